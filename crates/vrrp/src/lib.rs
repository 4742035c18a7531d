//! The virtual router: VRRPv2 (RFC 3768) and VRRPv3 (RFC 9568) with keepalived's extensions, as a pure core.
//!
//! [`Router`] is a state machine without clock, socket or log. A shell hands it every [`Event`] with the
//! present [`Instant`](evenkeel_wire::Instant), performs the [`Action`]s in order, and comes back at
//! [`Router::deadline`]. Results are not returned: the world reports facts as new events.
//!
//! One packet's way: [`Router::receive`] finds the instance, [`packet::Heard::parse`] checks the bytes, the machine
//! decides by state and input, and one door into each state pushes what arriving there takes.
//!
//! What a shell has to know:
//! - Report every configured and tracked interface once at the start: an instance waits in Init for its own and for
//!   unweighted tracked ones. The first report of an instance's interface answers with an empty `Hold`, which cleans
//!   what a killed run left behind.
//! - `Hold` is the whole truth about one instance and may come again unchanged. An address that two instances name
//!   stays while one of them holds it.
//! - Pass on ARP that was received, replies and announcements both; drop what this node sent.
//! - `AddressVanished` is for removals that no `Hold` asked for.
//! - A second `Shutdown` does not wait for a successor.

pub mod auth;
pub mod config;
mod conflict;
mod deadlines;
mod debounce;
mod event;
mod explain;
mod group;
mod instance;
mod leaving;
mod link;
mod machine;
mod maintenance;
mod owners;
mod pacer;
pub mod packet;
mod reload;
mod remarks;
mod router;
mod sender;
mod state;
mod status;
pub mod timers;
mod track;

pub use config::Config;
pub use event::{
    Action, Command, Event, GroupId, InstanceId, Interface, Maintenance, Report, ScriptId, ScriptOutcome, StateName,
    Transition,
};
pub use router::Router;
pub use status::{
    AdvertCounters, ConflictStatus, GroupStatus, InstanceStatus, PeerStatus, ScriptStatus, Status, TrackerStatus,
    Unclaimed,
};
