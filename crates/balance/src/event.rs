//! What happens to a balancer and what it wants done.

use crate::config::{BfdId, FileId, ScriptId};
use crate::table::ServiceKey;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// Index in [`Config::pools`](crate::Config::pools).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolId(pub u32);

/// A server of a pool: index in [`Pool::servers`](crate::config::Pool::servers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerId {
    /// Its pool.
    pub pool: PoolId,
    /// Its index there.
    pub server: u32,
}

/// A check of a server: index in [`Server::checks`](crate::config::Server::checks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CheckId {
    /// Its server.
    pub server: ServerId,
    /// Its index there.
    pub check: u32,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The deadline has come.
    Deadline,
    /// A probe is over. One that was asked for before the last reload carries an old `run` and is ignored.
    Probed {
        /// Which check.
        check: CheckId,
        /// The number from [`Action::Probe`].
        run: u64,
        /// How it ended.
        result: ProbeResult,
        /// How long it took.
        took: Duration,
    },
    /// The number in a file, at the start and whenever it changes; `None` when there is none.
    File {
        /// Which file.
        file: FileId,
        /// The number.
        value: Option<i32>,
    },
    /// A BFD session went up or down.
    Bfd {
        /// Which session.
        session: BfdId,
        /// Whether it is up.
        up: bool,
    },
    /// An address came to this host or left it (for `ha_suspend`).
    LocalAddress {
        /// The address.
        address: IpAddr,
        /// Whether it is here.
        present: bool,
    },
    /// A person asked for something.
    Command(Command),
    /// Leave: take servers and services out, send what `omega` asks for, then [`Action::Done`].
    Shutdown,
}

/// How a probe ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeResult {
    /// The server answered as it should.
    Passed {
        /// What was seen, in a few words: `HTTP status 200`.
        detail: String,
        /// What the answer says about the server beyond being up.
        says: Option<Says>,
    },
    /// It did not.
    Failed {
        /// Why, in a few words: `connection refused`.
        reason: String,
    },
    /// One of the urls of an HTTP check did not; the next run begins with it.
    FailedAt {
        /// Its index in [`HttpProbe::urls`](crate::config::HttpProbe::urls).
        url: u32,
        /// Why, in a few words.
        reason: String,
    },
}

/// What an answer says about a server beyond being up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    /// MISC_CHECK with `misc_dynamic` left with this status, 2 to 255.
    ExitStatus(u8),
    /// An agent wants this share of the configured weight, in percent.
    Percent(u16),
    /// An agent wants no new connections.
    Drain,
    /// An agent wants the server out until it says otherwise.
    Maintenance,
    /// An agent wants it in again.
    Ready,
}

/// What a person asks of a server. It outlives reload and restart: the supervisor keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Which server.
    pub server: ServerId,
    /// What it is to be.
    pub state: AdminState,
}

/// The administrative state of a server, apart from its configuration and its health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminState {
    /// As configured.
    #[default]
    Enabled,
    /// It keeps its connections and gets no new ones: in the table with weight 0.
    Drained,
    /// Out of the table.
    Disabled,
    /// In with this weight instead of the configured one.
    Weight(u32),
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Start this check's probe, and say [`Event::Probed`] with the same number, within the check's timeout (for HTTP, that
    /// of each url): the check waits for it.
    ///
    /// An HTTP probe asks one url after another without a pause, from `url` to the last, and ends at the first that fails
    /// with [`ProbeResult::FailedAt`]. All pauses are the balancer's: keepalived's of `delay_loop` between urls is not kept,
    /// so a failure of any url is seen within one interval and not in as many as there are urls.
    Probe {
        /// Which check.
        check: CheckId,
        /// Ties the result to the question. Never used twice.
        run: u64,
        /// The url to begin with, for HTTP checks that resume at the one that failed.
        url: u32,
    },
    /// Its result is no longer wanted. The number tells which probe is meant: the check may have had another index when it
    /// was started.
    Cancel {
        /// Which check.
        check: CheckId,
        /// The number it was started with.
        run: u64,
    },
    /// What this pool should be in the table has changed: compare it with what is there and apply the difference.
    Reconcile(PoolId),
    /// No pool has this service any more: remove it.
    Withdraw(ServiceKey),
    /// In the answer to a new configuration: pools, servers, checks and scripts that were named before this are of the old
    /// configuration (those that are gone), those named after it of the new one.
    Reconfigured,
    /// Tell scripts, FIFO and mail. Comes after [`Action::Reconcile`]: the table changes first.
    Notify(Notice),
    /// For the log and for `why`.
    Explain(Explanation),
    /// Shutdown is complete.
    Done,
}

/// Something that scripts, FIFO and mail are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// A server came up or went down.
    Server {
        /// Which.
        server: ServerId,
        /// Whether it is up.
        up: bool,
        /// Its script.
        script: Option<ScriptId>,
        /// A mail is wanted.
        mail: bool,
        /// Why.
        reason: String,
    },
    /// A quorum was gained or lost.
    Quorum {
        /// Of which pool.
        pool: PoolId,
        /// Whether it is there.
        gained: bool,
        /// Its script.
        script: Option<ScriptId>,
        /// A mail is wanted.
        mail: bool,
    },
}

/// Why a pool or server changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The pool.
    pub pool: PoolId,
    /// The server, when it is about one.
    pub server: Option<ServerId>,
    /// What happened.
    pub trigger: String,
    /// By which rule.
    pub rule: String,
    /// What follows.
    pub decision: String,
}
