//! The layer-4 table: services, their destinations, and the difference between two tables.
//!
//! The words are those of IPVS. A plane (IPVS of the kernel, or our own XDP program) is told changes and can be asked for
//! what it holds; nobody edits an entry by hand.

pub use crate::difference::{diff, diff_service};
use evenkeel_wire::Family;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// Services by what they match.
pub type Table = BTreeMap<ServiceKey, Entry>;

/// Which packets a service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServiceKey {
    /// Those to an address and a port.
    Address {
        /// Layer-4 protocol.
        protocol: Protocol,
        /// The virtual address.
        address: IpAddr,
        /// The virtual port; 0 takes every port and needs persistence.
        port: u16,
    },
    /// Those that the firewall marked.
    Mark {
        /// Address family of the packets.
        family: Family,
        /// The mark.
        mark: NonZeroU32,
    },
}

impl ServiceKey {
    /// Address family of the packets.
    pub fn family(&self) -> Family {
        match self {
            ServiceKey::Address { address, .. } => Family::of(*address),
            ServiceKey::Mark { family, .. } => *family,
        }
    }

    /// The virtual address; a mark has none.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            ServiceKey::Address { address, .. } => Some(*address),
            ServiceKey::Mark { .. } => None,
        }
    }
}

/// A layer-4 protocol that can be balanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is the protocol of that name")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

/// A service and where its packets go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// How connections are spread.
    pub service: Service,
    /// Over whom.
    pub destinations: BTreeMap<DestinationKey, Destination>,
}

/// How a service spreads connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The scheduler.
    pub scheduler: Scheduler,
    /// Flags of the service and its scheduler.
    pub flags: ServiceFlags,
    /// Connections of a client stay with a server.
    pub persistence: Option<Persistence>,
}

/// Flags of a service. Which of the scheduler flags means what depends on the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServiceFlags {
    /// Each datagram is scheduled by itself (`ops`).
    pub one_packet: bool,
    /// `flag-1`; `sh-fallback` and `mh-fallback`.
    pub scheduler_1: bool,
    /// `flag-2`; `sh-port` and `mh-port`.
    pub scheduler_2: bool,
    /// `flag-3`.
    pub scheduler_3: bool,
}

/// How long, and for which group of clients, connections stay with a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// Seconds after the last connection of the client.
    pub timeout: NonZeroU32,
    /// Length of the prefix of the client's address that makes a group: 32 or 128 for one client.
    pub prefix: u8,
    /// Persistence engine of the kernel, such as `sip`.
    pub engine: Option<String>,
}

/// A scheduler, by IPVS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is the scheduler of that name")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Lblc,
    Lblcr,
    Dh,
    Sh,
    Mh,
    Sed,
    Nq,
    Fo,
    Ovf,
    Twos,
}

impl Scheduler {
    /// All of them.
    pub const ALL: [Scheduler; 14] = [
        Scheduler::Rr,
        Scheduler::Wrr,
        Scheduler::Lc,
        Scheduler::Wlc,
        Scheduler::Lblc,
        Scheduler::Lblcr,
        Scheduler::Dh,
        Scheduler::Sh,
        Scheduler::Mh,
        Scheduler::Sed,
        Scheduler::Nq,
        Scheduler::Fo,
        Scheduler::Ovf,
        Scheduler::Twos,
    ];

    /// Its name in configurations and in the kernel.
    pub fn name(self) -> &'static str {
        match self {
            Scheduler::Rr => "rr",
            Scheduler::Wrr => "wrr",
            Scheduler::Lc => "lc",
            Scheduler::Wlc => "wlc",
            Scheduler::Lblc => "lblc",
            Scheduler::Lblcr => "lblcr",
            Scheduler::Dh => "dh",
            Scheduler::Sh => "sh",
            Scheduler::Mh => "mh",
            Scheduler::Sed => "sed",
            Scheduler::Nq => "nq",
            Scheduler::Fo => "fo",
            Scheduler::Ovf => "ovf",
            Scheduler::Twos => "twos",
        }
    }

    /// The scheduler of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Scheduler::ALL.into_iter().find(|scheduler| scheduler.name() == name)
    }
}

/// Which server, within a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DestinationKey {
    /// Its address. With tunnels it may be of another family than the service.
    pub address: IpAddr,
    /// Its port; 0 in services by mark that do not translate.
    pub port: u16,
}

/// What a service does with a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Its share; 0 keeps its connections and gives it no new ones.
    pub weight: u32,
    /// How packets get there.
    pub forward: Forward,
    /// More connections than this are not given to it; 0 for no limit.
    pub upper_threshold: u32,
    /// After the upper threshold was reached, it gets new ones below this.
    pub lower_threshold: u32,
}

/// How packets get to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Forward {
    /// The destination is rewritten, and the answer's source on its way back (`NAT`).
    Masquerade,
    /// The frame goes to the server's MAC (`DR`).
    Direct,
    /// The packet goes into another (`TUN`).
    Tunnel(Tunnel),
    /// The server is this host. Read from a plane, never configured.
    Local,
}

/// The outer packet of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tunnel {
    /// IP in IP.
    Ipip,
    /// Generic UDP encapsulation to this port.
    Gue {
        /// Destination port of the outer packet.
        port: u16,
        /// Its checksum.
        checksum: TunnelChecksum,
    },
    /// GRE.
    Gre {
        /// Its checksum.
        checksum: TunnelChecksum,
    },
}

/// Checksum of a tunnel's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TunnelChecksum {
    /// None (`nocsum`).
    #[default]
    Absent,
    /// Over the packet (`csum`).
    Present,
    /// Remote checksum offload (`remcsum`), GUE only.
    Remote,
}

/// One step from one table to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A service that is not there.
    AddService(ServiceKey, Service),
    /// Another way to spread; destinations and connections stay.
    EditService(ServiceKey, Service),
    /// A service with all its destinations.
    RemoveService(ServiceKey),
    /// A server that is not there.
    AddDestination(ServiceKey, DestinationKey, Destination),
    /// Another weight, method or threshold; connections stay.
    EditDestination(ServiceKey, DestinationKey, Destination),
    /// A server.
    RemoveDestination(ServiceKey, DestinationKey),
}

/// What moves packets: IPVS, or the XDP program.
pub trait Plane {
    /// Why something could not be done.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What it holds now, other people's services among it.
    fn dump(&mut self) -> Result<Table, Self::Error>;

    /// Performs the changes in order. One that fails does not keep the others from being tried; the failures are returned
    /// with the index of their change. Adding what is there and removing what is not count as done.
    fn apply(&mut self, changes: &[Change]) -> Vec<(usize, Self::Error)>;

    /// Counters of every service and destination.
    fn statistics(&mut self) -> Result<Statistics, Self::Error>;
}

/// Counters of a plane.
pub type Statistics = BTreeMap<ServiceKey, ServiceStatistics>;

/// Counters of a service and its destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatistics {
    /// Of the service.
    pub traffic: Traffic,
    /// Of each destination.
    pub destinations: BTreeMap<DestinationKey, DestinationStatistics>,
}

/// What went through, and how fast of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it; rates are for a second")]
pub struct Traffic {
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub connections_rate: u64,
    pub packets_in_rate: u64,
    pub packets_out_rate: u64,
    pub bytes_in_rate: u64,
    pub bytes_out_rate: u64,
}

/// Counters of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStatistics {
    /// What went through.
    pub traffic: Traffic,
    /// Connections that are open.
    pub active: u32,
    /// Connections that are ending, or of a protocol without an end.
    pub inactive: u32,
    /// Connections held by persistence alone.
    pub persistent: u32,
}
