use crate::{Explanation, LatenessView, NodeStatus};
use evenkeel_vrrp::{Event, Report};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// From the supervisor to the vrrp role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToVrrp {
    /// The first one starts the virtual routers, later ones change them. Answered by [`FromVrrp::Ready`].
    Configure {
        /// Number of this configuration: the answer has it, so that an answer to an earlier one is not taken for it.
        number: u64,
        /// The virtual routers.
        config: evenkeel_vrrp::Config,
        /// The BFD sessions.
        bfd: evenkeel_bfd::Config,
        /// How the process runs.
        options: VrrpOptions,
        /// What a process before this one was, and what trackers reported to it: told to the routers before they hear of
        /// any interface. Only the first configuration of a process has it.
        known: Vec<Event>,
    },
    /// Something for the virtual routers that happened outside of their process: what a tracker found, what became of the
    /// proxy, what a person asked for.
    Event(Event),
    /// Asks for [`FromVrrp::Status`] with the same number.
    Status {
        /// Ties the answer to the question.
        id: u64,
    },
    /// Hand over every address, then say [`FromVrrp::Stopped`] and exit.
    Stop,
}

/// How the vrrp process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpOptions {
    /// Log every address that comes and goes.
    #[serde(default)]
    pub tells_addresses: bool,
    /// Write every event to this file, for `cargo xtask replay`.
    pub record: Option<PathBuf>,
    /// keepalived's `--dont-release-vrrp`: leave the addresses where they are at exit.
    pub keep_addresses: bool,
    /// `log_unknown_vrids`.
    pub log_unknown_vrids: bool,
    /// A deadline that is served so late is worth a [`FromVrrp::Late`].
    #[serde(default)]
    pub late_after: Option<Duration>,
}

/// From the vrrp role to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromVrrp {
    /// The configuration is in force.
    Ready {
        /// Its number.
        number: u64,
    },
    /// The configuration cannot be carried out; the process exits when it was the first.
    ConfigureFailed {
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// Tell notify scripts.
    Notify {
        /// Name of the instance.
        instance: String,
        /// Its state.
        state: Report,
        /// Its effective priority.
        priority: u8,
    },
    /// Tell the notify scripts of a sync group; its members' come first.
    NotifyGroup {
        /// Name of the group.
        group: String,
        /// Its state.
        state: Report,
    },
    /// A decision and what was done about it.
    Explained(Explanation),
    /// What BFD_CHECK is to see of a session from now on.
    Bfd {
        /// Its name.
        session: String,
        /// Whether it is up.
        up: bool,
    },
    /// Answer to [`ToVrrp::Status`].
    Status {
        /// The number of the question.
        id: u64,
        /// All instances now.
        status: evenkeel_vrrp::Status,
        /// All BFD sessions now.
        bfd: evenkeel_bfd::Status,
        /// How late its deadlines were served.
        lateness: LatenessView,
    },
    /// A deadline was served late: the process may need a higher priority.
    Late {
        /// How late.
        by: Duration,
    },
    /// Every address is released; the process is about to exit.
    Stopped,
}

/// From the supervisor to the proxy role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToProxy {
    /// Serve this. Beside the frame come the listeners, in the order of `config.listens`, and then the log files, in the
    /// order of `logs`. Answered by [`FromProxy::Ready`] or [`FromProxy::ConfigureFailed`].
    Configure {
        /// Number of this configuration: the answer has it, so that an answer to an earlier one is not taken for it.
        number: u64,
        /// The sites.
        config: Box<evenkeel_site::Config>,
        /// Paths of the log files whose descriptors follow those of the listeners.
        logs: Vec<PathBuf>,
        /// What the configuration file does not say.
        options: ProxyOptions,
    },
    /// The log files were opened anew: their descriptors come beside the frame, in the order of `logs`.
    ReopenLogs {
        /// Paths of the files.
        logs: Vec<PathBuf>,
    },
    /// Asks for [`FromProxy::Status`] with the same number.
    Status {
        /// Ties the answer to the question.
        id: u64,
    },
    /// Stop accepting, finish what is under way, say [`FromProxy::Drained`] and exit.
    Drain,
    /// Exit at once.
    Quit,
}

/// What the proxy is told beside its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyOptions {
    /// Try upstream servers that were set aside, and idle ones, without waiting for a client's request.
    pub probe_upstreams: bool,
    /// User and group to become.
    pub user: Option<(String, Option<String>)>,
    /// Name of the process, as `ps -C` sees it.
    pub process_name: String,
}

/// From the proxy role to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromProxy {
    /// The configuration is in force.
    Ready {
        /// Its number.
        number: u64,
    },
    /// The configuration cannot be carried out; the one before stays in force.
    ConfigureFailed {
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// Answer to [`ToProxy::Status`].
    Status {
        /// The number of the question.
        id: u64,
        /// The proxy now.
        status: evenkeel_site::Status,
    },
    /// Nothing is under way any more; the process is about to exit.
    Drained,
}

/// What a client of the control socket asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Everything about this node now.
    Status,
    /// The last decisions, oldest first.
    Why {
        /// Of one instance only.
        instance: Option<String>,
        /// At most so many, the newest ones.
        limit: usize,
    },
    /// Load the configuration again: all of it or nothing.
    Reload,
    /// Hand the addresses of an instance to its peer.
    Failover {
        /// Its name.
        instance: String,
    },
    /// End the effect of `Failover`.
    Failback {
        /// Its name.
        instance: String,
    },
    /// Say what a real server is to be, until somebody says otherwise.
    Server {
        /// `POOL/SERVER`.
        server: String,
        /// What it is to be.
        state: evenkeel_balance::AdminState,
    },
    /// Leave the addresses of this node to others, for some time or until somebody ends it.
    MaintenanceOn {
        /// For how long.
        seconds: Option<u64>,
        /// Take no address even when nobody else answers.
        strict: bool,
    },
    /// End it.
    MaintenanceOff,
    /// Stop the daemon as SIGTERM does.
    Stop,
    /// Counters, as text in keepalived's form.
    Stats,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Box<NodeStatus>),
    /// To [`Request::Why`], oldest first.
    Why(Vec<Explanation>),
    /// To [`Request::Stats`].
    Stats(String),
    /// It was done.
    Done {
        /// In words.
        message: String,
    },
    /// To [`Request::Server`].
    Server {
        /// The server that was meant, and what it is now to be.
        meant: crate::Administered,
        /// In words.
        message: String,
    },
    /// It was not done, and nothing was changed.
    Failed {
        /// Why, in words; may have several lines.
        message: String,
    },
}
