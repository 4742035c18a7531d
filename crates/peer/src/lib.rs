//! What nodes that are both evenkeel tell each other, as a pure core: an authenticated hello from each to each.
//!
//! [`Peers`] is a machine without clock, socket or log. A shell hands it every [`Event`] with the present
//! [`Instant`](evenkeel_wire::Instant), performs the [`Action`]s in order, and comes back at [`Peers::deadline`].
//!
//! ```text
//!   node A                                                    node B
//!     | hello: A's life and challenge, no answer                |   B does not know that life: nothing changes
//!     |-------------------------------------------------------->|
//!     | hello: B's life and challenge, the answer to A's        |
//!     |<--------------------------------------------------------|   nobody but B, now, can have sent that:
//!     | hello: the answer to B's; A's facts have digest x       |   A takes B in
//!     |-------------------------------------------------------->|   and B takes A in
//!     | hello: send me x from byte 0                            |
//!     |<--------------------------------------------------------|
//!     | hello with the bytes; and so on until B says "I have x" |
//! ```
//!
//! A node's [`Facts`] are what it says of itself: configuration, virtual routers, health, maintenance, and what people
//! asked of real servers ([`Words`]). Each hello names them by their digest, and only who does not have them asks for
//! them: it costs the same small datagram each second whether there is one virtual address or ten thousand.
//!
//! Deliberately absent: encryption (facts are no secrets, and keys are not among them), elections (VRRP's, which must work
//! beside nodes that know nothing of this), and any way to command the other node.

pub mod config;
mod drift;
mod event;
pub mod facts;
pub mod packet;
mod peers;
mod session;
mod status;
mod tlv;
mod words;

pub use config::Config;
pub use drift::{Drift, drifts};
pub use event::{Action, Change, Event, PeerId, Weight};
pub use facts::Facts;
pub use peers::Peers;
pub use status::{Counters, PeerStatus, Status, Unclaimed};
pub use words::{Asked, Stamp, Word, Words};
