//! What the program and the plane share. The C side is `src/bpf/abi.h`, which says what everything means; a test compares
//! sizes and offsets with the types in the object.
//!
//! Addresses are 16 bytes in network order, IPv4 ones mapped (`::ffff:a.b.c.d`). Ports are in network order. Times are
//! nanoseconds of the monotonic clock.

use std::net::{IpAddr, Ipv6Addr};

/// A plane adopts the maps of an earlier run only if they were made for the same version.
pub const VERSION: u32 = 2;

/// An address of either family.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 16]);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Address(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => Address(address.octets()),
        }
    }
}

impl Address {
    /// The address, which is an IPv4 one if it is mapped.
    pub fn ip(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self.0)).to_canonical()
    }
}

/// A port in network order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port([u8; 2]);

impl From<u16> for Port {
    fn from(port: u16) -> Self {
        Port(port.to_be_bytes())
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        u16::from_be_bytes(port.0)
    }
}

/// `struct service_key`.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct ServiceKey {
    pub address: Address,
    pub port: Port,
    pub protocol: u8,
    pub family: u8,
}

/// IPv4, in every `family`.
pub const FAMILY_V4: u8 = 4;
/// IPv6, in every `family`.
pub const FAMILY_V6: u8 = 6;

/// `enum choice`: how the ring of a service is read.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "see abi.h")]
pub enum Choice {
    Source = 1,
    Destination = 2,
    Cycle = 3,
    Least = 4,
    LeastWeighted = 5,
    ShortestDelay = 6,
    NeverQueue = 7,
    First = 8,
    Overflow = 9,
}

/// Flag of a service: every datagram is scheduled by itself.
pub const SERVICE_ONE_PACKET: u32 = 1;
/// Flag of a service: the client's port is hashed too.
pub const SERVICE_HASH_PORT: u32 = 2;
/// Flag of a service: where a hash leads to a full server, another is tried.
pub const SERVICE_FALLBACK: u32 = 4;

/// `struct service`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct Service {
    pub id: u32,
    pub flags: u32,
    pub choice: u8,
    pub scheduler: u8,
    pub prefix: u8,
    pub scheduler_flags: u8,
    pub persistence: u32,
}

/// In a ring, where its length stands.
pub const RING_LENGTH: u32 = 0;
/// In a ring, where the next entry to take stands.
pub const RING_CURSOR: u32 = 1;
/// In a ring, where the servers begin.
pub const RING_ENTRIES: u32 = 2;

/// Method: to the server's hardware address.
pub const METHOD_DIRECT: u8 = 1;
/// Method: with another destination.
pub const METHOD_NAT: u8 = 2;
/// Method: IP in IP.
pub const METHOD_IPIP: u8 = 3;
/// Method: generic UDP encapsulation.
pub const METHOD_GUE: u8 = 4;
/// Method: GRE.
pub const METHOD_GRE: u8 = 5;

/// Flag of a server: how to get there is known.
pub const SERVER_REACHABLE: u8 = 1;
/// Flag of a server: it is this host.
pub const SERVER_LOCAL: u8 = 2;

/// `struct server`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct Server {
    pub service: u32,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
    pub address: Address,
    pub source: Address,
    pub ifindex: u32,
    pub port: Port,
    pub tunnel_port: Port,
    pub mac: [u8; 6],
    pub source_mac: [u8; 6],
    pub family: u8,
    pub method: u8,
    pub flags: u8,
    pub pad: u8,
    pub mtu: u32,
}

/// `struct load`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct Load {
    pub active: u32,
    pub inactive: u32,
    pub full: u32,
    pub pad: u32,
}

/// `struct flow_key`.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct FlowKey {
    pub source: Address,
    pub destination: Address,
    pub source_port: Port,
    pub destination_port: Port,
    pub protocol: u8,
    pub family: u8,
    pub pad: u16,
}

/// State of a flow: its client is saying goodbye.
pub const FLOW_CLOSING: u32 = 2;

/// `struct flow`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct Flow {
    pub seen: u64,
    pub server: u32,
    pub state: u32,
}

/// `struct reply`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct Reply {
    pub seen: u64,
    pub address: Address,
    pub service: u32,
    pub server: u32,
    pub ifindex: u32,
    pub port: Port,
    pub mac: [u8; 6],
    pub source_mac: [u8; 6],
    pub pad: u16,
}

/// `struct client_key`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct ClientKey {
    pub service: u32,
    pub address: Address,
}

/// `struct client`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct Client {
    pub until: u64,
    pub server: u32,
    pub pad: u32,
}

/// `struct counts`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct Counts {
    pub connections: u64,
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
}

impl std::ops::Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts {
            connections: self.connections + other.connections,
            packets_in: self.packets_in + other.packets_in,
            bytes_in: self.bytes_in + other.bytes_in,
            packets_out: self.packets_out + other.packets_out,
            bytes_out: self.bytes_out + other.bytes_out,
        }
    }
}

/// `struct settings`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct Settings {
    pub abi: u32,
    pub next_id: u32,
    pub tcp_timeout: u64,
    pub closing_timeout: u64,
    pub udp_timeout: u64,
    pub n_directors: u32,
    pub pad: u32,
}

/// `struct mac_key`.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "see abi.h")]
pub struct MacKey {
    pub mac: [u8; 6],
    pub pad: u16,
}

/// `enum event`, in its order.
pub const EVENTS: [&str; 8] = [
    "no server",
    "unreachable",
    "from another director",
    "orphan fragment",
    "too big",
    "hop limit",
    "table full",
    "no room",
];
