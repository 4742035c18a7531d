//! What the sessions are told to be. keepalived.conf is lowered to these values.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

/// All sessions of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// [`SessionId`](crate::SessionId) is the index in this list. No two have the same name, and no two the same
    /// neighbour, source and reach.
    pub sessions: Vec<Session>,
}

/// A `bfd_instance`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The name after `bfd_instance`.
    pub name: String,
    /// `neighbor_ip`.
    pub neighbour: IpAddr,
    /// `source_ip`, of the same family.
    pub source: Option<IpAddr>,
    /// `multihop`.
    pub reach: Reach,
    /// `min_rx`: how often the peer may send at most.
    pub min_rx: Duration,
    /// `min_tx`: how often we want to send while Up.
    pub min_tx: Duration,
    /// `idle_tx`: how often we send while not Up; a second or more (RFC 5880 6.8.3).
    pub idle_tx: Duration,
    /// `multiplier`: so many of our intervals without a packet, and the peer gives us up.
    pub multiplier: NonZeroU8,
    /// `passive`: say nothing before the peer does.
    pub passive: bool,
    /// `ttl`, `hoplimit`: what packets are sent with, and what the peer's are taken to be sent with.
    pub ttl: NonZeroU8,
    /// `max_hops`: how much of it may be missing on arrival; `None` when that is not looked at.
    pub max_hops: Option<u8>,
    /// `vrrp`: what tracks the session is told about it.
    pub tells_vrrp: bool,
    /// `checker`: BFD_CHECK is told about it.
    pub tells_checker: bool,
}

impl Session {
    /// A session with keepalived's defaults.
    pub fn new(name: &str, neighbour: IpAddr) -> Self {
        Session {
            name: name.to_owned(),
            neighbour,
            source: None,
            reach: Reach::SingleHop,
            min_rx: Duration::from_millis(10),
            min_tx: Duration::from_millis(10),
            idle_tx: Duration::from_secs(1),
            multiplier: NonZeroU8::new(5).expect("5 is not 0"),
            passive: false,
            ttl: default_ttl(neighbour),
            max_hops: Some(0),
            tells_vrrp: true,
            tells_checker: true,
        }
    }

    /// Whether a session of `self` goes on as one of `other`: what the peer sees of it is the same.
    pub fn is_same(&self, other: &Session) -> bool {
        let key = |session: &Session| (session.neighbour, session.source, session.reach);
        self.name == other.name && key(self) == key(other)
    }
}

/// What keepalived sends with: 255 over IPv4, but 64 over IPv6.
pub fn default_ttl(neighbour: IpAddr) -> NonZeroU8 {
    let ttl = if neighbour.is_ipv4() { u8::MAX } else { 64 };
    NonZeroU8::new(ttl).expect("neither is 0")
}

/// How far away the neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reach {
    /// On the same link (RFC 5881).
    SingleHop,
    /// Behind routers (RFC 5883).
    Multihop,
}

impl Reach {
    /// The UDP port that packets are sent to.
    pub fn port(self) -> u16 {
        match self {
            Reach::SingleHop => 3784,
            Reach::Multihop => 4784,
        }
    }
}
