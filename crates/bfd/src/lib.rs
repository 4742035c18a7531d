//! Bidirectional Forwarding Detection (RFC 5880) over one hop (RFC 5881) and several (RFC 5883), as a pure core.
//!
//! [`Sessions`] is a state machine without clock, socket or log. A shell hands it every [`Event`] with the present
//! [`Instant`](evenkeel_wire::Instant), performs the [`Action`]s in order, and comes back at [`Sessions::deadline`].
//!
//! ```text
//!                     +------+ heard Down                          heard Init, Up +----+
//!                     |      v                                                v   |    |
//!   AdminDown ----> Down ---------------- heard Down --------------> Init ------> Up <-+
//!   (no socket)      ^ \------------------ heard Init ------------------------->  |
//!                    |                                                 |          |
//!                    +------ silence, heard AdminDown -----------------+          |
//!                    +------ silence, heard AdminDown or Down --------------------+
//! ```
//!
//! What a shell has to know:
//! - The first [`Event::Deadline`] asks for the sockets ([`Action::Open`]); each answer is an event.
//! - What has been received is told before a deadline: a packet that waits unread is no silence.
//! - [`Action::Report`] comes when followers are to see another state than before. At the start, and for sessions that
//!   a reload brought, they are to be told that it is down ([`Sessions::reports`]), as keepalived does.
//!
//! Deliberately absent: authentication, the echo function, demand mode of our own (a peer's is honoured), and a last
//! AdminDown at the end. keepalived does not send one either, and takes a peer's for no failure, so that what follows a
//! session would stay with a node that has gone.

pub mod config;
mod event;
pub mod packet;
mod session;
mod sessions;
mod state;
mod status;

pub use config::{Config, Reach};
pub use event::{Action, Event, Expiry, Received, SessionId, StateName, Transition};
pub use sessions::Sessions;
pub use status::{Counters, RemoteStatus, SessionStatus, Status, Unclaimed};
