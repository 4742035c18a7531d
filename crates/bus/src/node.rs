//! What `evenkeel status --json` prints. This is the contract: names stay, new ones may come. Spans are seconds, points
//! in time RFC 3339. What could not be asked is `null`, never an old answer.

use crate::{BalanceView, MaintenanceView, PeerNodeView, SessionView, WallTime};
use evenkeel_vrrp::{AdvertCounters, GroupStatus, InstanceStatus, StateName};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One node, all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// `router_id`, or the host name.
    pub node: String,
    /// Version of evenkeel.
    pub version: String,
    /// When this was put together.
    pub at: WallTime,
    /// Process id of the supervisor.
    pub pid: u32,
    /// How long the daemon has run.
    pub uptime_seconds: f64,
    /// Files that the configuration in force was read from.
    pub files: Vec<String>,
    /// When it was read.
    pub configured_at: WallTime,
    /// Why the last reload was refused, when it was.
    pub reload_error: Option<String>,
    /// It leaves its addresses to others; `null` when it does not.
    #[serde(default)]
    pub maintenance: Option<MaintenanceView>,
    /// The processes.
    pub roles: Vec<RoleView>,
    /// How late the vrrp role serves its deadlines; `null` when it gave no answer.
    #[serde(default)]
    pub lateness: Option<LatenessView>,
    /// Virtual routers in configuration order; `null` when the vrrp role gave no answer.
    pub instances: Option<Vec<InstanceView>>,
    /// Sync groups in configuration order; `null` when the vrrp role gave no answer.
    #[serde(default)]
    pub groups: Option<Vec<GroupView>>,
    /// BFD sessions in configuration order; `null` when the vrrp role gave no answer.
    #[serde(default)]
    pub bfd: Option<Vec<SessionView>>,
    /// The other nodes that run evenkeel, in configuration order; `null` when the peer role gave no answer.
    #[serde(default)]
    pub peers: Option<Vec<PeerNodeView>>,
    /// The proxy; `null` when none is configured.
    pub proxy: Option<ProxyView>,
    /// Layer 4; `null` when none is configured, or the balance role gave no answer.
    pub balance: Option<BalanceView>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleView {
    /// `vrrp`, `balance`, `proxy`, `mail`, `dbus` or `peer`.
    pub name: String,
    /// Whether it runs.
    pub state: RoleState,
    /// Its process id.
    pub pid: Option<u32>,
    /// How long it has been in that state.
    pub since_seconds: f64,
    /// How often it was started again after it had died.
    pub restarts: u64,
    /// How it ended the last time.
    pub last_exit: Option<String>,
}

/// How late the vrrp role was with what was due, since its start. To the microsecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatenessView {
    /// Deadlines served.
    pub served: u64,
    /// How late the last one was.
    pub last_seconds: f64,
    /// How late the latest of all was.
    pub greatest_seconds: f64,
    /// How many were more than 10 ms late.
    pub over_10_ms: u64,
    /// How many of these were more than 100 ms late.
    pub over_100_ms: u64,
}

/// State of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleState {
    /// Started, not ready yet.
    Starting,
    /// At work.
    Running,
    /// Dead, and about to be started again.
    Waiting,
    /// Told to stop.
    Stopping,
    /// Not running, and not meant to.
    Stopped,
}

/// One sync group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// `fault` as soon as one member has it, `master` when all are.
    pub state: StateName,
    /// When it entered that state.
    pub since: WallTime,
    /// How long ago.
    pub since_seconds: f64,
    /// Names of the members.
    pub members: Vec<String>,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceView {
    /// Its name.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Protocol version.
    pub version: u8,
    /// State.
    pub state: StateName,
    /// When it entered that state.
    pub since: WallTime,
    /// How long ago.
    pub since_seconds: f64,
    /// Why.
    pub reason: String,
    /// Base priority.
    pub priority: u8,
    /// Priority after trackers.
    pub effective_priority: u8,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Whether this node is to answer for them.
    pub holding: bool,
    /// Who holds the addresses as far as this node knows: `this node`, the master's address, or `null`.
    pub owner: Option<String>,
    /// The last advert from somebody else.
    pub peer: Option<PeerView>,
    /// Somebody else answers for an address held here.
    pub conflict: Option<ConflictView>,
    /// What it watches.
    pub trackers: Vec<TrackerView>,
    /// Counters since the vrrp role started.
    pub counters: AdvertCounters,
}

/// The last advert heard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    /// Who sent it.
    pub address: String,
    /// With which priority.
    pub priority: u8,
    /// How long ago.
    pub age_seconds: f64,
}

/// A second owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConflictView {
    /// Of which address.
    pub address: String,
    /// Its Ethernet address.
    pub mac: String,
    /// How long it has been known.
    pub since_seconds: f64,
    /// How long ago the last evidence came.
    pub age_seconds: f64,
}

/// One tracker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackerView {
    /// `script chk_nginx`, `interface eth1`, `bfd peer`, `proxy`.
    pub name: String,
    /// `null` while it has not reported.
    pub healthy: Option<bool>,
    /// Its weight.
    pub weight: i16,
    /// Its last result.
    pub detail: String,
}

/// The proxy as the supervisor judges it and as it describes itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyView {
    /// The judgement that `track_proxy` goes by.
    pub health: ProxyHealth,
    /// Worker threads that answered; `null` when the process gave no answer.
    pub workers_alive: Option<u32>,
    /// Worker threads.
    pub workers: Option<u32>,
    /// Client connections open now.
    pub connections: Option<u64>,
    /// Requests answered.
    pub requests: Option<u64>,
    /// Answers by class: 1xx to 5xx.
    pub responses: Option<[u64; 5]>,
    /// Requests refused for their framing.
    pub bad_requests: Option<u64>,
    /// Upstreams in configuration order; empty when the process gave no answer.
    pub upstreams: Vec<UpstreamView>,
}

/// Whether the proxy serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyHealth {
    /// It runs, answers on its listeners, and every upstream has a live server.
    pub healthy: bool,
    /// Why, in words.
    pub reason: String,
    /// How long it has been so.
    pub since_seconds: f64,
}

/// One upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpstreamView {
    /// Its name.
    pub name: String,
    /// Its servers.
    pub servers: Vec<ServerView>,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerView {
    /// Its address.
    pub address: String,
    /// Whether it takes requests.
    pub alive: bool,
    /// `backup`.
    pub backup: bool,
    /// Requests sent to it.
    pub requests: u64,
    /// Failures counted.
    pub fails: u64,
    /// The last failure.
    pub last_error: Option<String>,
    /// How long ago that was.
    pub last_error_age_seconds: Option<f64>,
}

impl GroupView {
    /// The view of one group at `now`.
    pub fn new(status: &GroupStatus, now: WallTime) -> Self {
        GroupView {
            name: status.name.clone(),
            state: status.state,
            since: now.before(status.since),
            since_seconds: seconds(status.since),
            members: status.members.clone(),
        }
    }
}

impl InstanceView {
    /// The view of one instance at `now`.
    pub fn new(status: &InstanceStatus, now: WallTime) -> Self {
        let peer = status.peer.as_ref().map(|peer| PeerView {
            address: peer.address.to_string(),
            priority: peer.priority,
            age_seconds: seconds(peer.age),
        });
        let owner = match (status.holding, status.state) {
            (true, _) => Some("this node".to_owned()),
            (false, StateName::Backup | StateName::Leaving) => peer.as_ref().map(|peer| peer.address.clone()),
            (false, StateName::Init | StateName::Master | StateName::Fault | StateName::Stopped) => None,
        };
        InstanceView {
            name: status.name.clone(),
            interface: status.interface.clone(),
            vrid: status.vrid,
            version: status.version,
            state: status.state,
            since: now.before(status.since),
            since_seconds: seconds(status.since),
            reason: status.reason.clone(),
            priority: status.priority,
            effective_priority: status.effective_priority,
            addresses: status.addresses.clone(),
            holding: status.holding,
            owner,
            peer,
            conflict: status.conflict.as_ref().map(|conflict| ConflictView {
                address: conflict.address.to_string(),
                mac: conflict.mac.to_string(),
                since_seconds: seconds(conflict.since),
                age_seconds: seconds(conflict.age),
            }),
            trackers: status
                .trackers
                .iter()
                .map(|tracker| TrackerView {
                    name: tracker.name.clone(),
                    healthy: tracker.healthy,
                    weight: tracker.weight,
                    detail: tracker.detail.clone(),
                })
                .collect(),
            counters: status.counters,
        }
    }
}

impl ProxyView {
    /// The view of a proxy that gave `status`, or no answer.
    pub fn new(health: ProxyHealth, status: Option<&evenkeel_site::Status>) -> Self {
        ProxyView {
            health,
            workers_alive: status.map(|s| s.workers_alive),
            workers: status.map(|s| s.workers),
            connections: status.map(|s| s.connections),
            requests: status.map(|s| s.requests),
            responses: status.map(|s| s.responses),
            bad_requests: status.map(|s| s.bad_requests),
            upstreams: status.into_iter().flat_map(|s| &s.upstreams).map(UpstreamView::new).collect(),
        }
    }
}

impl UpstreamView {
    fn new(status: &evenkeel_site::UpstreamStatus) -> Self {
        let servers = status.servers.iter().map(|server| ServerView {
            address: server.address.clone(),
            alive: server.alive,
            backup: server.backup,
            requests: server.requests,
            fails: server.fails,
            last_error: server.last_error.clone(),
            last_error_age_seconds: server.last_error_age.map(seconds),
        });
        UpstreamView { name: status.name.clone(), servers: servers.collect() }
    }
}

/// To the millisecond: more digits only look exact.
pub(crate) fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}
