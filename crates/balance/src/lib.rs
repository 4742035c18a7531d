//! Layer-4 balancing, as a pure core: probe results make servers healthy or not, servers make pools, pools have a quorum
//! and a sorry server, and all of it makes the table that a [`Plane`] is to hold.
//!
//! Nothing here opens a socket, reads a clock or runs a script.

pub mod config;
mod event;
pub mod maglev;
pub mod table;

pub use config::Config;
pub use event::{Action, AdminState, CheckId, Command, Event, Notice, PoolId, ProbeResult, ServerId};
pub use table::{Change, Plane, Table};
