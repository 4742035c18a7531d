//! Between the supervisor and the balance role.

use crate::{BalanceView, ServerNotice};
use evenkeel_balance::AdminState;
use evenkeel_balance::config::ScriptId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// From the supervisor to the balance role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToBalance {
    /// The first one starts the balancer, later ones change it. Answered by [`FromBalance::Ready`] or
    /// [`FromBalance::ConfigureFailed`] with the same number.
    Configure {
        /// Number of this configuration.
        number: u64,
        /// Pools, servers and checks.
        config: Box<evenkeel_balance::Config>,
        /// What people asked of servers, in this run of the daemon or before.
        admin: Vec<Administered>,
        /// Interfaces that clients' packets come in by, for the XDP plane.
        interfaces: Vec<String>,
        /// A directory of this daemon alone, where the XDP plane keeps what outlives the role.
        directory: PathBuf,
    },
    /// The program of a MISC_CHECK has ended.
    ScriptEnded {
        /// The number it was asked for with.
        run: u64,
        /// How.
        outcome: ScriptEnd,
    },
    /// An instance became master, or is it no longer: for the sync daemon.
    Instance {
        /// Its name.
        name: String,
        /// Whether it is master.
        master: bool,
    },
    /// A person asked for something.
    Administer(Administered),
    /// Asks for [`FromBalance::Status`] with the same number.
    Status {
        /// Ties the answer to the question.
        id: u64,
    },
    /// Take everything out that is ours, say [`FromBalance::Stopped`] and exit.
    Stop,
}

/// What a person asked of a server. It outlives reload and restart: the supervisor keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Administered {
    /// Name of the pool.
    pub pool: String,
    /// The server, as `address:port`.
    pub server: String,
    /// What it is to be.
    pub state: AdminState,
}

/// How the program of a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptEnd {
    /// It left with this status.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// It took too long and was ended.
    TimedOut,
    /// It could not be started.
    NotStarted,
}

/// From the balance role to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromBalance {
    /// The configuration is in force.
    Ready {
        /// Its number.
        number: u64,
    },
    /// The configuration cannot be carried out; the process exits when it was the first, else the one before stays.
    ConfigureFailed {
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// Run the program of a MISC_CHECK once. Answered by [`ToBalance::ScriptEnded`].
    RunScript {
        /// The configuration that `script` is an index of.
        number: u64,
        /// Ties the answer to the question.
        run: u64,
        /// Which.
        script: ScriptId,
    },
    /// Tell scripts, FIFO and mail.
    Notify(ServerNotice),
    /// A decision: for `why`.
    Explained(crate::Explanation),
    /// Answer to [`ToBalance::Status`].
    Status {
        /// The number of the question.
        id: u64,
        /// All pools now.
        status: Box<BalanceView>,
    },
    /// Nothing of ours is left in the table; the process is about to exit.
    Stopped,
}
