//! What becomes of answers, as configured.

use evenkeel_wire::Prefix;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// `error_page`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorPage {
    /// For these statuses.
    pub statuses: Vec<u16>,
    /// What the client is told.
    pub shown: Shown,
    /// A path with variables, a named location, or a URL to redirect to.
    pub target: String,
}

/// The status with an error page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    /// That of the error.
    Error,
    /// `=`: that of the page.
    Page,
    /// `=200`.
    This(u16),
}

/// `add_header`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddHeader {
    /// As written.
    pub name: String,
    /// May hold variables; empty, it is left out.
    pub value: String,
    /// `always`: with every status.
    pub always: bool,
}

/// `try_files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TryFiles {
    /// Paths with variables; those that end with `/` are directories.
    pub paths: Vec<String>,
    /// What comes when none is there.
    pub otherwise: Otherwise,
}

/// The last word of `try_files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Otherwise {
    /// `=404`.
    Status(u16),
    /// `@name`.
    Named(String),
    /// A path with variables, and arguments.
    Path(String),
}

/// `alias`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// May hold variables.
    pub path: String,
    /// How much of the path it replaces; `None` in a location by expression, where it is the whole.
    pub replaces: Option<usize>,
}

/// `allow` or `deny`; the first whose clients a request comes from decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRule {
    /// `allow`.
    pub allows: bool,
    /// Whom it is about.
    pub clients: Clients,
}

/// Whom a rule of access is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clients {
    /// `all`.
    All,
    /// `unix:`: those on Unix sockets.
    Unix,
    /// An address or a network.
    Network(Prefix),
}

impl Clients {
    /// Whether a client is one of them; one on a Unix socket has no address.
    pub fn hold(self, client: Option<IpAddr>) -> bool {
        match (self, client.map(|address| address.to_canonical())) {
            (Clients::All, _) | (Clients::Unix, None) => true,
            (Clients::Network(network), Some(address)) => same_network(network, address),
            (Clients::Unix, Some(_)) | (Clients::Network(_), None) => false,
        }
    }
}

fn same_network(network: Prefix, address: IpAddr) -> bool {
    let length = u32::from(network.length());
    match (network.address(), address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(32 - length).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(128 - length).unwrap_or(0) == 0
        }
        _ => false,
    }
}
