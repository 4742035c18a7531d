use crate::config::Reach;
use crate::packet::{Diagnostic, LENGTH};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// Index of a session in [`Config::sessions`](crate::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u32);

/// All that can happen to the sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The deadline that [`Sessions::deadline`](crate::Sessions::deadline) named has come. Harmless when early.
    Deadline,
    /// A datagram came to one of the two ports.
    Packet(Received),
    /// What [`Action::Open`] asked for is there.
    Opened {
        /// Whose socket.
        session: SessionId,
    },
    /// What [`Action::Open`] asked for could not be had.
    NotOpened {
        /// Whose socket.
        session: SessionId,
        /// Why, in words.
        reason: String,
    },
    /// A packet could not be sent.
    NotSent {
        /// Whose packet.
        session: SessionId,
    },
    /// Addresses or links of this node changed: a socket that could not be opened may be had now.
    NetworkChanged,
}

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: IpAddr,
    /// Which of our addresses it was sent to, when that is known.
    pub to: Option<IpAddr>,
    /// Which port it came to.
    pub reach: Reach,
    /// What was left of its time to live, or of its hop limit, when that is known.
    pub ttl: Option<u8>,
    /// What was in it.
    pub bytes: Vec<u8>,
}

/// What the shell has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open the socket that a session sends from, and that it is heard through; say how that went.
    Open {
        /// Whose.
        session: SessionId,
    },
    /// Send this to the neighbour.
    Send {
        /// Whose packet.
        session: SessionId,
        /// The packet.
        packet: [u8; LENGTH],
    },
    /// Followers are to see this from now on.
    Report {
        /// Which session.
        session: SessionId,
        /// Whether it is up.
        up: bool,
        /// Why, in words for people.
        reason: String,
    },
    /// A change of state and its reason, for the log and for `why`.
    Explain(Transition),
}

/// State of a session (RFC 5880 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StateName {
    /// Of ours: there is no socket. Of a peer's: its administrator wants no session.
    AdminDown,
    /// The peer is not heard, or does not hear us.
    Down,
    /// The peer is heard.
    Init,
    /// Both hear each other.
    Up,
}

impl StateName {
    /// As keepalived's log has it.
    pub fn words(self) -> &'static str {
        match self {
            StateName::AdminDown => "AdminDown",
            StateName::Down => "Down",
            StateName::Init => "Init",
            StateName::Up => "Up",
        }
    }
}

/// Why a session changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Which session.
    pub session: SessionId,
    /// State before.
    pub from: StateName,
    /// State after.
    pub to: StateName,
    /// What happened, with its figures: `no packet from 10.0.0.2 for 300.06 ms`.
    pub trigger: String,
    /// The rule that applied, with its source.
    pub rule: String,
    /// What was decided.
    pub decision: String,
    /// From the last packet to the decision, where silence was the cause; zero otherwise.
    pub waited: Duration,
    /// The detection time that ran out, if one did.
    pub expiry: Option<Expiry>,
    /// Why the session is not up, as this end sees it.
    pub diagnostic: Diagnostic,
    /// And as the peer said last.
    pub remote_diagnostic: Diagnostic,
}

/// A silence that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// How long a silence may be.
    pub detection: Duration,
    /// By how much the shell was late to say so.
    pub overdue: Duration,
}
