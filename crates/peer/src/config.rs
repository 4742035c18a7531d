//! Who the peers are.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The port that hellos come to, unless the configuration names another: a hundred times VRRP's protocol number.
pub const PORT: u16 = 11200;

/// The other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// In configuration order; each with an address of its own.
    pub peers: Vec<Peer>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// What it is called in logs; its address when the configuration gives no name.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// The port there, and here.
    pub port: u16,
    /// Which of our addresses it is sent to from; the kernel's choice when absent.
    pub source: Option<IpAddr>,
    /// The only interface that hellos go out of and come in by; any when absent.
    pub interface: Option<String>,
    /// What both sign with.
    pub key: Secret,
    /// From one hello to the next.
    pub interval: Duration,
}

impl Peer {
    /// From one hello to the next, unless the configuration says otherwise.
    pub const INTERVAL: Duration = Duration::from_secs(1);
    /// As often as it may be.
    pub const SHORTEST: Duration = Duration::from_millis(100);
    /// As seldom as it may be.
    pub const LONGEST: Duration = Duration::from_secs(60);
    /// A peer that is not heard for so many intervals, the longer of both nodes', is silent.
    pub const PATIENCE: u32 = 3;

    /// With the usual port and interval.
    pub fn new(address: IpAddr, key: Secret) -> Self {
        let name = address.to_string();
        Peer { name, address, port: PORT, source: None, interface: None, key, interval: Peer::INTERVAL }
    }
}

/// The bytes of a key. They are in no log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Bytes that a key has at least.
    pub const SHORTEST: usize = 16;
    /// Bytes that a key has at most: those of a block of SHA-256, beyond which HMAC would hash it first.
    pub const LONGEST: usize = 64;

    /// `None` when there are too few bytes, or too many.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (Self::SHORTEST..=Self::LONGEST).contains(&bytes.len()).then_some(Secret(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Secret {
    type Error = &'static str;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        Secret::new(bytes).ok_or("a key has 16 to 64 bytes")
    }
}

impl From<Secret> for Vec<u8> {
    fn from(secret: Secret) -> Self {
        secret.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}
