//! How tables are written for people, and how counters add up.

use crate::table::{DestinationKey, DestinationStatistics, Protocol, ServiceKey, Traffic};
use evenkeel_wire::Family;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Add;

impl Protocol {
    /// Its name in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// `tcp 10.0.0.1:80`, `mark 7`, `mark 7 of IPv6`.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceKey::Address { protocol, address, port } => {
                write!(f, "{} {}", protocol.name(), SocketAddr::new(*address, *port))
            }
            ServiceKey::Mark { family: Family::V4, mark } => write!(f, "mark {mark}"),
            ServiceKey::Mark { family: Family::V6, mark } => write!(f, "mark {mark} of IPv6"),
        }
    }
}

/// `10.0.0.2:80`.
impl fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Traffic {
            connections: self.connections + other.connections,
            packets_in: self.packets_in + other.packets_in,
            packets_out: self.packets_out + other.packets_out,
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
            connections_rate: self.connections_rate + other.connections_rate,
            packets_in_rate: self.packets_in_rate + other.packets_in_rate,
            packets_out_rate: self.packets_out_rate + other.packets_out_rate,
            bytes_in_rate: self.bytes_in_rate + other.bytes_in_rate,
            bytes_out_rate: self.bytes_out_rate + other.bytes_out_rate,
        }
    }
}

impl Add for DestinationStatistics {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        DestinationStatistics {
            traffic: self.traffic + other.traffic,
            active: self.active + other.active,
            inactive: self.inactive + other.inactive,
            persistent: self.persistent + other.persistent,
        }
    }
}
