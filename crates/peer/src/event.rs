use crate::facts::Facts;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// Index of a peer in [`Config::peers`](crate::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub u32);

/// All that can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The deadline that [`Peers::deadline`](crate::Peers::deadline) named has come. Harmless when early.
    Deadline,
    /// A datagram came to the port.
    Datagram {
        /// Who sent it.
        from: IpAddr,
        /// What was in it.
        bytes: Vec<u8>,
    },
    /// What this node says of itself now.
    Facts(Box<Facts>),
    /// A datagram could not be sent.
    NotSent {
        /// Whose.
        peer: PeerId,
    },
}

/// What the shell has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to the peer.
    Send {
        /// Whom.
        peer: PeerId,
        /// A datagram.
        datagram: Vec<u8>,
    },
    /// What a peer says of itself now.
    Learned {
        /// Who.
        peer: PeerId,
        /// All of it.
        facts: Box<Facts>,
    },
    /// Something changed, for the log and for `why`.
    Explain(Change),
}

/// How much a change matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It is as it should be.
    Note,
    /// Somebody should look at it.
    Warning,
}

/// A change and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of which peer.
    pub peer: PeerId,
    /// Whether it is good or bad.
    pub weight: Weight,
    /// What happened, with its figures: `no hello for 3.00 s`.
    pub trigger: String,
    /// The rule that applied.
    pub rule: String,
    /// What was decided.
    pub decision: String,
    /// From the cause to the decision, where silence was the cause; zero otherwise.
    pub waited: Duration,
}
