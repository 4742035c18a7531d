//! What the processes of one node say to each other: framed JSON over Unix sockets, with descriptors where needed.
//!
//! [`Codec`] cuts a byte stream into frames and knows no socket. [`Channel`] is a socket with a codec on each side,
//! never blocking unless asked to. The messages are one closed enum for each direction: [`ToVrrp`], [`FromVrrp`],
//! [`ToProxy`], [`FromProxy`] and their like on the star between supervisor and roles, [`Request`] and [`Reply`] on the control socket.
//!
//! There is no runtime in here: the vrrp role polls a [`Channel`] in its own epoll loop, the supervisor wraps it in
//! tokio's `AsyncFd`.

mod balance;
mod channel;
mod codec;
mod dbus;
mod explanation;
mod mail;
mod message;
mod node;
mod peers;
mod pools;
mod session;
mod wall;

pub use balance::{Administered, FromBalance, Kept, ScriptEnd, ToBalance};
pub use channel::{Channel, ChannelError, MAX_PENDING, Received};
pub use codec::{Codec, Frame, FrameError, MAX_DESCRIPTORS, MAX_FRAME};
pub use dbus::{DbusCall, DbusInstance, DbusSignal, FromDbus, ToDbus};
pub use explanation::{Effect, Explanation};
pub use mail::{FromMail, Letter, Relay, ToMail};
pub use message::{FromProxy, FromVrrp, ProxyOptions, Reply, Request, ToProxy, ToVrrp, VrrpOptions};
pub use node::{
    ConflictView, GroupView, InstanceView, LatenessView, NodeStatus, PeerView, ProxyHealth, ProxyView, RoleState,
    RoleView, ServerView, TrackerView, UpstreamView,
};
pub use peers::{FromPeer, MaintenanceView, PeerNodeView, PeerPoolView, PeerRouterView, ToPeer};
pub use pools::{BalanceView, CheckView, PlaneView, PoolView, RealServerView, ServerNotice};
pub use session::{RemoteView, SessionView};
pub use wall::WallTime;
