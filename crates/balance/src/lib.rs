//! Layer-4 balancing, as a pure core: probe results make servers healthy or not, servers make pools, pools have a quorum
//! and a sorry server, and all of it makes the table that a [`Plane`] is to hold.
//!
//! Nothing here opens a socket, reads a clock or runs a script.

mod balancer;
mod check;
pub mod config;
mod desired;
mod difference;
mod event;
mod explain;
pub mod maglev;
pub mod names;
mod random;
mod reload;
mod state;
pub mod status;
pub mod table;
mod timers;
mod words;

pub use balancer::Balancer;
pub use config::Config;
pub use event::{
    Action, AdminState, CheckId, Command, Event, Explanation, Notice, PoolId, ProbeResult, Says, ServerId,
};
pub use status::Status;
pub use table::{Change, Plane, Table};
