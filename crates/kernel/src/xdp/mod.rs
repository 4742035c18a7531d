//! Layer-4 balancing without IPVS: a program for XDP, and the [`Plane`](evenkeel_balance::Plane) that fills its tables.
//!
//! | file | what |
//! |---|---|
//! | `plane` | the table that is held, and what a change does to the maps |
//! | `object` | loading, attaching, pinning, adopting |
//! | `network` and `routes` | how to get to each server |
//! | `rings` | which server gets which share |
//! | `upkeep` | flows that have ended, entries that somebody changed |
//! | `statistics` | counters |
//! | `map` | the kernel's maps |
//!
//! What the program can do and how is described at `crates/xdp/src/bpf`. What it cannot: services by firewall mark (a
//! packet has none yet), persistence engines, NAT for SCTP, checksums in tunnels; changes that need them are refused.

mod map;
mod network;
mod object;
mod plane;
mod rings;
mod routes;
mod server;
mod statistics;
mod upkeep;

pub use network::Unreachable;
pub use object::prepare_pins;
pub use plane::{Run, XdpPlane};
pub use upkeep::{Repair, Sweep};

use std::path::PathBuf;

/// What a plane is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where packets arrive: those of clients, and with NAT those of servers too.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub mode: Mode,
    /// A directory in a BPF file system where maps and attachments outlive the process; see [`prepare_pins`].
    pub pins: Option<PathBuf>,
    /// Connections that are remembered, some 150 bytes each; beyond that the ones unused for longest are forgotten.
    pub flows: u32,
    /// Entries of a Maglev table, a prime. Balancers that stand in for each other need the same.
    pub ring_size: usize,
}

impl Options {
    /// The usual, for these interfaces.
    pub fn new(interfaces: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Options {
            interfaces: interfaces.into_iter().map(Into::into).collect(),
            mode: Mode::Automatic,
            pins: None,
            flows: 1 << 18,
            ring_size: 16381,
        }
    }
}

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver where it can, otherwise generic. A veth counts as one that cannot.
    Automatic,
    /// In the driver.
    Native,
    /// Behind the driver, on any interface, at some cost.
    Generic,
}

impl Mode {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Automatic => "automatic",
            Mode::Native => "native",
            Mode::Generic => "generic",
        }
    }
}

/// The program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the interface.
    pub interface: String,
    /// Its number.
    pub index: u32,
    /// How it is attached: native or generic.
    pub mode: Mode,
}
