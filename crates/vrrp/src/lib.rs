//! The virtual router: VRRPv2 (RFC 3768) and VRRPv3 (RFC 9568) with keepalived's extensions, as a pure core.
//!
//! [`Router`] is a state machine without clock, socket or log. A shell hands it every [`Event`] with the
//! present [`Instant`](evenkeel_wire::Instant), performs the [`Action`]s in order, and comes back at
//! [`Router::deadline`]. Results are not returned: the world reports facts as new events.

pub mod config;
mod event;
mod explain;
mod instance;
mod link;
mod machine;
pub mod packet;
mod reload;
mod router;
mod sender;
mod state;
mod status;
pub mod timers;
mod track;

pub use config::Config;
pub use event::{
    Action, Command, Event, InstanceId, Interface, Report, ScriptId, ScriptOutcome, StateName, Transition,
};
pub use router::Router;
pub use status::{AdvertCounters, ConflictStatus, InstanceStatus, PeerStatus, Status, TrackerStatus, Unclaimed};
