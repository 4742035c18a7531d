//! What the supervisor's one queue carries.

use super::dump;
use super::health::Findings;
use super::process::{Generation, Heard};
use super::script::Round;
use evenkeel_bus::{
    FromBalance, FromDbus, FromMail, FromPeer, FromProxy, FromVrrp, NodeStatus, Reply, Request, ScriptEnd,
};
use evenkeel_vrrp::{Event, ScriptId, ScriptOutcome};
use tokio::sync::oneshot;

/// Everything that can happen to the supervisor.
#[derive(Debug)]
pub enum Happening {
    /// From the vrrp role.
    Vrrp(Generation, Heard<FromVrrp>),
    /// From the proxy role.
    Proxy(Generation, Heard<FromProxy>),
    /// From the balance role.
    Balance(Generation, Heard<FromBalance>),
    /// From the mail role.
    Mail(Generation, Heard<FromMail>),
    /// From the dbus role.
    Dbus(Generation, Heard<FromDbus>),
    /// From the peer role.
    Peer(Generation, Heard<FromPeer>),
    /// How this node is, for its peers.
    Described(Box<NodeStatus>),
    /// A maintenance of this number may be over.
    MaintenanceDue(u64),
    /// A mail that could not be sent before is to be tried again.
    MailDue,
    /// The wait before a role is started again is over.
    Respawn(crate::role::Role),
    /// One run of a check script.
    ScriptEnded {
        /// For which configuration: after a reload another script may have the number.
        round: Round,
        /// Which.
        id: ScriptId,
        /// How.
        outcome: ScriptOutcome,
    },
    /// What is tracked besides scripts reported, for which configuration.
    Watched {
        /// For which start of the watchers.
        round: Round,
        /// What was watched: `file NAME`.
        source: String,
        /// What to tell the virtual routers.
        event: Event,
    },
    /// The program of a MISC_CHECK.
    MiscEnded {
        /// Of which life of the balance role.
        generation: Generation,
        /// The number it was asked for with.
        run: u64,
        /// How.
        outcome: ScriptEnd,
    },
    /// The notify scripts of one state have ended.
    NotifyEnded(String),
    /// A check of the proxy.
    Checked(Generation, Findings),
    /// A client asks.
    Asked {
        /// What.
        request: Request,
        /// Where the answer goes.
        answer: oneshot::Sender<Reply>,
    },
    /// A role had its time to take the configuration of this number.
    ReloadOverdue(u64),
    /// A signal asked for a reload while one was under way, or it is the time that `reload_time_file` says.
    ReloadDue,
    /// The states of the virtual routers after a reload, for the FIFOs.
    States(evenkeel_vrrp::Status),
    /// The counters of the dumps start anew from these.
    Cleared(dump::Cleared),
}
