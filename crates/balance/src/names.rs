//! How people spell pools and servers in commands: `server drain POOL/SERVER`.
//!
//! A pool may be spelled as keepalived's log does (`[10.0.0.1]:tcp:80`, `FWM 7`, the name of a group), by its `snmp_name`,
//! or by any of its services: `10.0.0.1:80`, `tcp:10.0.0.1:80`, `[fd00::1]:80`, `10.0.0.1`, `fwmark 7`. A server by
//! address and port, by address alone, or by its `snmp_name`. What could mean two things is refused, with both of them.

use crate::config::{Config, Pool, Server};
use crate::event::{PoolId, ServerId};
use crate::table::{Protocol, ServiceKey};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use thiserror::Error;

/// How many candidates an error lists.
const LISTED: usize = 12;

/// Why a spelling means nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FindError {
    /// Nothing is called so.
    #[error("no {what} is called {text}; there {candidates}")]
    Unknown {
        /// `pool`, or `server of` a pool.
        what: String,
        /// What was said.
        text: String,
        /// All there are.
        candidates: Candidates,
    },
    /// More than one thing is.
    #[error("{text} may be more than one {what}; there {candidates}")]
    Ambiguous {
        /// `pool`, or `server of` a pool.
        what: String,
        /// What was said.
        text: String,
        /// Those that it may be.
        candidates: Candidates,
    },
    /// There is no slash.
    #[error("{text} is not POOL/SERVER")]
    NoSlash {
        /// What was said.
        text: String,
    },
}

/// Names to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates(pub Vec<String>);

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0 => write!(f, "are none"),
            1 => write!(f, "is {}", self.0[0]),
            n => {
                write!(f, "are {}", self.0[..n.min(LISTED)].join(", "))?;
                if n > LISTED { write!(f, " and {} more", n - LISTED) } else { Ok(()) }
            }
        }
    }
}

/// The server that is spelled `POOL/SERVER`. Names may have slashes: the last one divides.
pub fn find_server(config: &Config, text: &str) -> Result<ServerId, FindError> {
    let Some((pool, server)) = text.rsplit_once('/') else {
        return Err(FindError::NoSlash { text: text.to_owned() });
    };
    let id = find_pool(config, pool)?;
    let pool = &config.pools[id.0 as usize];
    let found: Vec<u32> =
        (0..).zip(&pool.servers).filter(|(_, it)| is_server(it, server)).map(|(index, _)| index).collect();
    // A name that is written out means itself, even when something else has it as its label.
    let exact = (0..).zip(&pool.servers).find(|(_, it)| it.name() == server).map(|(index, _)| index);
    if let Some(server) = exact {
        return Ok(ServerId { pool: id, server });
    }
    match found.as_slice() {
        [server] => Ok(ServerId { pool: id, server: *server }),
        [] => Err(FindError::Unknown {
            what: format!("server of {}", pool.name),
            text: server.to_owned(),
            candidates: Candidates(pool.servers.iter().map(Server::name).collect()),
        }),
        several => Err(FindError::Ambiguous {
            what: format!("server of {}", pool.name),
            text: server.to_owned(),
            candidates: Candidates(several.iter().map(|index| pool.servers[*index as usize].name()).collect()),
        }),
    }
}

/// The pool that is spelled so.
pub fn find_pool(config: &Config, text: &str) -> Result<PoolId, FindError> {
    let exact: Vec<u32> =
        (0..).zip(&config.pools).filter(|(_, pool)| pool.name == text).map(|(index, _)| index).collect();
    if let [index] = exact.as_slice() {
        return Ok(PoolId(*index));
    }
    let found: Vec<u32> =
        (0..).zip(&config.pools).filter(|(_, pool)| is_pool(pool, text)).map(|(index, _)| index).collect();
    let name = |index: &u32| describe(&config.pools[*index as usize]);
    match found.as_slice() {
        [index] => Ok(PoolId(*index)),
        [] => Err(FindError::Unknown {
            what: "pool".to_owned(),
            text: text.to_owned(),
            candidates: Candidates(config.pools.iter().map(|pool| describe(pool)).collect()),
        }),
        several => Err(FindError::Ambiguous {
            what: "pool".to_owned(),
            text: text.to_owned(),
            candidates: Candidates(several.iter().map(name).collect()),
        }),
    }
}

/// The name, and where that says nothing about the protocol, the protocol: two pools may use one group.
fn describe(pool: &Pool) -> String {
    match pool.protocol {
        Some(protocol) if !pool.name.contains(&format!(":{}", word(protocol))) => {
            format!("{} ({})", pool.name, word(protocol))
        }
        _ => pool.name.clone(),
    }
}

fn is_pool(pool: &Pool, text: &str) -> bool {
    pool.name == text || pool.label.as_deref() == Some(text) || pool.services.iter().any(|key| is_service(key, text))
}

fn is_service(key: &ServiceKey, text: &str) -> bool {
    match *key {
        ServiceKey::Address { protocol, address, port } => {
            let Some(spelling) = Spelling::parse(text) else { return false };
            spelling.address == address
                && spelling.port.is_none_or(|said| said == port)
                && spelling.protocol.is_none_or(|said| said == protocol)
        }
        ServiceKey::Mark { mark, .. } => {
            let lower = text.to_ascii_lowercase();
            let number = ["fwmark", "fwm", "mark"].iter().find_map(|word| lower.strip_prefix(word));
            number.is_some_and(|number| number.trim_start_matches([' ', ':']).parse() == Ok(mark))
        }
    }
}

fn is_server(server: &Server, text: &str) -> bool {
    let by_address = match text.parse::<SocketAddr>() {
        Ok(said) => said == SocketAddr::new(server.address, server.port),
        Err(_) => bare_address(text) == Some(server.address),
    };
    by_address || server.label.as_deref() == Some(text)
}

/// A service as it may be written.
struct Spelling {
    protocol: Option<Protocol>,
    address: IpAddr,
    port: Option<u16>,
}

impl Spelling {
    /// `10.0.0.1`, `10.0.0.1:80`, `[10.0.0.1]:80`, `tcp:10.0.0.1:80`, `[10.0.0.1]:tcp:80`, and the same with IPv6.
    fn parse(text: &str) -> Option<Self> {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let word = word(protocol);
            let lower = text.to_ascii_lowercase();
            if let Some(rest) = lower.strip_prefix(&format!("{word}:")) {
                return Some(Spelling { protocol: Some(protocol), ..Spelling::parse_plain(rest)? });
            }
            if let Some((address, port)) = lower.split_once(&format!(":{word}:")) {
                return Some(Spelling {
                    protocol: Some(protocol),
                    address: bare_address(address)?,
                    port: Some(port.parse().ok()?),
                });
            }
        }
        Spelling::parse_plain(text)
    }

    fn parse_plain(text: &str) -> Option<Self> {
        if let Some(address) = bare_address(text) {
            return Some(Spelling { protocol: None, address, port: None });
        }
        let (address, port) = text.rsplit_once(':')?;
        Some(Spelling { protocol: None, address: bare_address(address)?, port: Some(port.parse().ok()?) })
    }
}

fn bare_address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.unwrap_or(text).parse().ok()
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}
