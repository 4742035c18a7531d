use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the proxy knows about itself at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Worker threads that answered in time, of those that exist.
    pub workers_alive: u32,
    /// Worker threads.
    pub workers: u32,
    /// Client connections open now.
    pub connections: u64,
    /// Requests answered since start.
    pub requests: u64,
    /// Answers by class of status: index 0 is 1xx, index 4 is 5xx.
    pub responses: [u64; 5],
    /// Requests refused with 400 for their framing.
    pub bad_requests: u64,
    /// In the order of `Config::upstreams`.
    pub upstreams: Vec<UpstreamStatus>,
}

/// One upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Its servers, in file order.
    pub servers: Vec<ServerStatus>,
}

impl UpstreamStatus {
    /// Whether a request would find a server.
    pub fn alive(&self) -> bool {
        self.servers.iter().any(|server| server.alive)
    }
}

/// One server of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its address.
    pub address: String,
    /// It takes requests: not `down`, not set aside after failures, and not failing its probe.
    pub alive: bool,
    /// `backup`.
    pub backup: bool,
    /// Requests sent to it.
    pub requests: u64,
    /// Failures counted, as `max_fails` counts them.
    pub fails: u64,
    /// The last failure in words.
    pub last_error: Option<String>,
    /// How long ago that was.
    pub last_error_age: Option<Duration>,
}
