//! The pools' part of what `evenkeel status --json` prints.

use evenkeel_balance::config::ScriptId;
use evenkeel_balance::status::{CheckStatus, PoolStatus, ServerStatus, ServerWord};
use evenkeel_balance::table::{DestinationStatistics, ServiceKey, Statistics, Traffic};
use evenkeel_balance::{AdminState, Config, Notice};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What moves packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaneView {
    /// `ipvs` or `xdp`.
    pub name: String,
    /// More about it: version, or interfaces and modes.
    pub detail: String,
    /// Services of ours that it holds.
    pub services: u64,
    /// Entries that somebody else had changed and that were put right.
    pub repairs: u64,
    /// The last of them.
    pub last_repair: Option<String>,
    /// Changes that it does not take, each with the reason.
    pub refused: Vec<String>,
}

/// The layer-4 half of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalanceView {
    /// What moves packets.
    pub plane: PlaneView,
    /// The pools, in configuration order.
    pub pools: Vec<PoolView>,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// As keepalived's log spells it: `[10.0.0.1]:tcp:80`.
    pub name: String,
    /// `snmp_name`.
    pub label: Option<String>,
    /// Its services.
    pub services: Vec<String>,
    /// Scheduler.
    pub scheduler: String,
    /// Enough servers are up.
    pub quorum: bool,
    /// How long that has been so.
    pub since_seconds: f64,
    /// And why.
    pub reason: String,
    /// Sum of the weights of usable servers.
    pub weight: u64,
    /// The sum that gains the quorum.
    pub gained_at: u64,
    /// The sum below which it is lost.
    pub lost_below: u64,
    /// The server of last resort.
    pub sorry_server: Option<String>,
    /// It answers now.
    pub sorry_server_in_use: bool,
    /// Checks rest (`ha_suspend`).
    pub suspended: bool,
    /// Counters over all services of the pool; `null` when the plane gave none.
    pub traffic: Option<Traffic>,
    /// The servers.
    pub servers: Vec<RealServerView>,
}

/// One real server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RealServerView {
    /// Address and port.
    pub name: String,
    /// `snmp_name`.
    pub label: Option<String>,
    /// In one word.
    pub state: ServerWord,
    /// How long it has been healthy or not.
    pub since_seconds: f64,
    /// And why.
    pub reason: String,
    /// Weight in the table; `null` when it is not there.
    pub weight: Option<u32>,
    /// Weight in the configuration.
    pub configured_weight: u32,
    /// Its weight still rises (`slow_start`).
    pub starting: bool,
    /// What a person said.
    pub admin: AdminState,
    /// Times that it came up.
    pub ups: u64,
    /// Times that it went down.
    pub downs: u64,
    /// Counters; `null` when the plane gave none.
    pub traffic: Option<DestinationStatistics>,
    /// The checks.
    pub checks: Vec<CheckView>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckView {
    /// Its keyword.
    pub keyword: String,
    /// Whom it asks.
    pub target: Option<String>,
    /// It is content; `null` when it has yet to succeed for the first time.
    pub ok: Option<bool>,
    /// Failures in a row that do not count yet.
    pub failures: u32,
    /// What was seen at last.
    pub last: Option<String>,
    /// Whether that was good.
    pub last_passed: Option<bool>,
    /// How long it took.
    pub took_seconds: Option<f64>,
    /// How long ago that was.
    pub age_seconds: Option<f64>,
    /// Time until the next run.
    pub next_in_seconds: Option<f64>,
    /// Good results.
    pub passed: u64,
    /// Bad ones.
    pub failed: u64,
}

impl PoolView {
    /// The view of one pool, with its part of the plane's counters.
    pub fn new(status: &PoolStatus, statistics: Option<&Statistics>) -> Self {
        let services = || status.services.iter().filter_map(|key| statistics?.get(key));
        PoolView {
            name: status.name.clone(),
            label: status.label.clone(),
            services: status.services.iter().map(ServiceKey::to_string).collect(),
            scheduler: status.scheduler.clone(),
            quorum: status.quorum,
            since_seconds: seconds(status.since),
            reason: status.why.clone(),
            weight: status.weight_sum,
            gained_at: status.gained_at,
            lost_below: status.lost_below,
            sorry_server: status.sorry.map(|sorry| sorry.to_string()),
            sorry_server_in_use: status.sorry_in_use,
            suspended: status.suspended,
            traffic: statistics.map(|_| services().fold(Traffic::default(), |sum, service| sum + service.traffic)),
            servers: status
                .servers
                .iter()
                .map(|server| {
                    let own = services().flat_map(|service| &service.destinations);
                    let own = own.filter(|(key, _)| key.to_string() == server.name).map(|(_, counters)| *counters);
                    RealServerView::new(
                        server,
                        statistics.map(|_| own.fold(DestinationStatistics::default(), |a, b| a + b)),
                    )
                })
                .collect(),
        }
    }
}

impl RealServerView {
    fn new(status: &ServerStatus, traffic: Option<DestinationStatistics>) -> Self {
        RealServerView {
            name: status.name.clone(),
            label: status.label.clone(),
            state: status.state,
            since_seconds: seconds(status.since),
            reason: status.why.clone(),
            weight: status.weight,
            configured_weight: status.configured_weight,
            starting: status.starting,
            admin: status.admin,
            ups: status.n_ups,
            downs: status.n_downs,
            traffic,
            checks: status.checks.iter().map(CheckView::new).collect(),
        }
    }
}

impl CheckView {
    fn new(status: &CheckStatus) -> Self {
        let last = status.last.as_ref();
        CheckView {
            keyword: status.keyword.clone(),
            target: status.target.map(|target| target.to_string()),
            ok: status.ok,
            failures: status.n_failures,
            last: last.map(|last| last.text.clone()),
            last_passed: last.map(|last| last.passed),
            took_seconds: last.map(|last| last.took.as_secs_f64()),
            age_seconds: last.map(|last| seconds(last.age)),
            next_in_seconds: status.next_in.map(seconds),
            passed: status.n_passed,
            failed: status.n_failed,
        }
    }
}

/// Something that scripts, FIFO and mail are told, with keepalived's spelling of servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerNotice {
    /// The configuration that `script` is an index of.
    pub number: u64,
    /// The virtual server: `[10.0.0.1]:tcp:80`.
    pub pool: String,
    /// The real server, when it is about one: `[10.0.0.2]:tcp:80`.
    pub server: Option<String>,
    /// Up, or the quorum gained.
    pub up: bool,
    /// What to run.
    pub script: Option<ScriptId>,
    /// A mail is wanted.
    pub mail: bool,
    /// Why.
    pub reason: String,
}

impl ServerNotice {
    /// What `notice` says in terms of the configuration with this number. `None` when it names what is not there.
    pub fn new(notice: &Notice, number: u64, config: &Config) -> Option<Self> {
        let pool_of = |id: evenkeel_balance::PoolId| config.pools.get(id.0 as usize);
        Some(match notice {
            Notice::Server { server: id, up, script, mail, reason } => {
                let pool = pool_of(id.pool)?;
                let server = pool.servers.get(id.server as usize)?;
                ServerNotice {
                    number,
                    pool: pool.name.clone(),
                    server: Some(keepaliveds_name(server.address, pool.protocol, server.port)),
                    up: *up,
                    script: *script,
                    mail: *mail,
                    reason: reason.clone(),
                }
            }
            Notice::Quorum { pool: id, gained, script, mail } => ServerNotice {
                number,
                pool: pool_of(*id)?.name.clone(),
                server: None,
                up: *gained,
                script: *script,
                mail: *mail,
                reason: String::new(),
            },
        })
    }

    /// What it is about, as keepalived's FIFO spells it.
    pub fn subject(&self) -> String {
        match &self.server {
            Some(server) => format!("RS {server} {}", self.pool),
            None => format!("VS {}", self.pool),
        }
    }

    /// `UP` or `DOWN`.
    pub fn state(&self) -> &'static str {
        if self.up { "UP" } else { "DOWN" }
    }
}

fn keepaliveds_name(
    address: std::net::IpAddr,
    protocol: Option<evenkeel_balance::table::Protocol>,
    port: u16,
) -> String {
    let protocol = protocol.map_or("none", |protocol| protocol.name());
    format!("[{address}]:{protocol}:{port}")
}

/// To the millisecond: more digits only look exact.
fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}
