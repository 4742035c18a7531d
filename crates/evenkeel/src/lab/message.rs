//! What the lab and the first process of each host say to each other: one JSON value a line, over the host's
//! standard input and output.

use super::topology::Host;
use evenkeel_bus::Explanation;
use evenkeel_wire::{Instant, Mac};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// From the lab to a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Order {
    /// Start the daemon, unless it runs.
    StartDaemon,
    /// `systemctl stop`: SIGTERM, and the daemon hands over.
    StopDaemon,
    /// `kill -9`, to all processes of the daemon at once.
    KillDaemon,
    /// Freeze the daemon's proxy: the process is there and no longer answers.
    FreezeProxy,
    /// Let it go on.
    ThawProxy,
}

/// From a host to the lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Report {
    /// The host could not do what it was told.
    Failed {
        /// Why.
        reason: String,
    },
    /// The daemon ended.
    DaemonEnded {
        /// How.
        how: String,
    },
    /// A line that the daemon logged.
    Line {
        /// The line.
        text: String,
    },
    /// What the daemon says of itself; `None` when it did not answer.
    Node(Option<Node>),
    /// A decision of the daemon.
    Explained {
        /// What, and why.
        decision: Box<Explanation>,
        /// How long ago.
        age: Duration,
    },
    /// One request of the client.
    Sample(Sample),
    /// Where the client sends what goes to the address: the entry of its ARP table.
    Neighbour(Option<Mac>),
}

/// What a daemon says of itself, as far as the lab shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Node {
    /// MASTER, BACKUP, ...; empty on a web server.
    pub state: String,
    /// For how long.
    pub since: Duration,
    /// Why.
    pub reason: String,
    /// Priority after trackers.
    pub priority: u8,
    /// Whether it holds the address.
    pub holding: bool,
    /// Age of the peer's last advert.
    pub peer_age: Option<Duration>,
    /// Somebody else answers for the address too: who, in words.
    pub conflict: Option<String>,
    /// Whether its proxy is healthy.
    pub proxy_healthy: Option<bool>,
    /// Why it is (not).
    pub proxy_reason: String,
}

/// One request of the client and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// When it began, on the machine's monotonic clock.
    pub began: Instant,
    /// When it was over.
    pub ended: Instant,
    /// Who answered, or what went wrong.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// This web server's page came, whole.
    Page(Host),
    /// An answer with another status.
    Status(u16),
    /// The connection was refused.
    Refused,
    /// The connection was there, and was broken off: by a proxy that died, or because the address moved while the
    /// request was under way, and its new holder does not know the connection.
    CutOff,
    /// Nobody answered within a second.
    TimedOut,
    /// There was an answer, but not one of the pages.
    Garbled,
    /// No connection could be tried: no route, no neighbour, no port.
    Unreachable,
}

impl Outcome {
    /// Whether the client has its page.
    pub(super) fn is_good(self) -> bool {
        matches!(self, Outcome::Page(_))
    }
}
