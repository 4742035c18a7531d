//! What a balancer says of itself. Ages are spans, so the reader needs no clock of ours.

use crate::balancer::{Balancer, thresholds};
use crate::config::{Check, Pool, Server};
use crate::event::{AdminState, PoolId};
use crate::state::{CheckState, Health, PoolState, Quorum, Run, ServerState, Standing};
use crate::table::ServiceKey;
use evenkeel_wire::Instant;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// All pools at one instant, in configuration order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The pools.
    pub pools: Vec<PoolStatus>,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Index in the configuration.
    pub id: PoolId,
    /// As keepalived's log spells it.
    pub name: String,
    /// `snmp_name`.
    pub label: Option<String>,
    /// Its services.
    pub services: Vec<ServiceKey>,
    /// Scheduler.
    pub scheduler: String,
    /// The servers that are up suffice.
    pub quorum: bool,
    /// How long that has been so.
    pub since: Duration,
    /// And why.
    pub why: String,
    /// Sum of the weights of usable servers.
    pub weight_sum: u64,
    /// What the sum must reach to gain the quorum.
    pub gained_at: u64,
    /// What the sum must not fall below to keep it.
    pub lost_below: u64,
    /// The server of last resort.
    pub sorry: Option<SocketAddr>,
    /// It answers now.
    pub sorry_in_use: bool,
    /// Checks rest, since the virtual address is not on this host.
    pub suspended: bool,
    /// Its servers.
    pub servers: Vec<ServerStatus>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its name within the pool: address and port.
    pub name: String,
    /// `snmp_name`.
    pub label: Option<String>,
    /// In one word.
    pub state: ServerWord,
    /// Its checks are content.
    pub up: bool,
    /// How long that has been so.
    pub since: Duration,
    /// And why.
    pub why: String,
    /// Weight in the table; `None` when it is not there.
    pub weight: Option<u32>,
    /// The weight that it has when nothing holds it back: of configuration, checks and administrators.
    pub full_weight: u32,
    /// The configured weight.
    pub configured_weight: u32,
    /// The weight is still rising after a start.
    pub starting: bool,
    /// What an administrator said.
    pub admin: AdminState,
    /// Times that it came up.
    pub n_ups: u64,
    /// Times that it went down.
    pub n_downs: u64,
    /// Its checks.
    pub checks: Vec<CheckStatus>,
}

/// The state of a server in one word: what matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerWord {
    /// Out of the table by an administrator's or an agent's word.
    Disabled,
    /// A check fails.
    Down,
    /// A check has yet to succeed for the first time.
    Unproven,
    /// Healthy; keeps connections and gets no new ones.
    Drained,
    /// Healthy, and the sorry server answers in its place.
    Waiting,
    /// Healthy and in the table.
    Up,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// Its keyword.
    pub keyword: String,
    /// Whom it asks.
    pub target: Option<SocketAddr>,
    /// It is content; `None` when it has yet to succeed for the first time.
    pub ok: Option<bool>,
    /// Failures in a row that do not count yet.
    pub n_failures: u32,
    /// The last result.
    pub last: Option<ResultStatus>,
    /// Time until the next run; `None` when one is under way, or the check rests, or is told and does not ask.
    pub next_in: Option<Duration>,
    /// How long the present run has taken.
    pub running_for: Option<Duration>,
    /// Good results since the start.
    pub n_passed: u64,
    /// Bad ones.
    pub n_failed: u64,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultStatus {
    /// A good one.
    pub passed: bool,
    /// What was seen, or why it failed.
    pub text: String,
    /// How long the probe took.
    pub took: Duration,
    /// How long ago that was.
    pub age: Duration,
}

impl Balancer {
    /// Everything. Of many thousand servers this is much: ask for one pool with [`Balancer::pool_status`].
    pub fn status(&self, now: Instant) -> Status {
        Status { pools: self.pool_ids().filter_map(|pool| self.pool_status(now, pool)).collect() }
    }

    /// One pool. `None` when there is no such pool, or nothing has been started.
    pub fn pool_status(&self, now: Instant, id: PoolId) -> Option<PoolStatus> {
        let config = self.config.pools.get(id.0 as usize)?;
        Some(self.pools.get(id.0 as usize)?.status(now, id, config))
    }
}

impl PoolState {
    fn status(&self, now: Instant, id: PoolId, config: &Pool) -> PoolStatus {
        let (gained_at, lost_below) = thresholds(config);
        let servers = self.servers.iter().zip(&config.servers);
        PoolStatus {
            id,
            name: config.name.clone(),
            label: config.label.clone(),
            services: config.services.clone(),
            scheduler: config.service.scheduler.name().to_owned(),
            quorum: self.quorum == Quorum::Gained,
            since: now.since(self.since),
            why: self.why.to_string(),
            weight_sum: self.weight_sum,
            gained_at,
            lost_below,
            sorry: config.sorry.as_ref().map(|sorry| SocketAddr::new(sorry.address, sorry.port)),
            sorry_in_use: self.is_sorry(config.sorry.is_some()),
            suspended: self.suspended,
            servers: servers.map(|(state, config)| state.status(now, config)).collect(),
        }
    }
}

impl ServerState {
    fn status(&self, now: Instant, config: &Server) -> ServerStatus {
        ServerStatus {
            name: config.name(),
            label: config.label.clone(),
            state: self.word(),
            up: self.health == Health::Up,
            since: now.since(self.since),
            why: self.why.to_string(),
            weight: self.placed,
            full_weight: self.target(config.weight),
            configured_weight: config.weight,
            starting: self.ramp.is_some(),
            admin: self.admin,
            n_ups: self.n_ups,
            n_downs: self.n_downs,
            checks: self.checks.iter().zip(&config.checks).map(|(state, config)| state.status(now, config)).collect(),
        }
    }

    fn word(&self) -> ServerWord {
        let fails = || self.checks.iter().any(|check| check.standing == Standing::Failing);
        match self.health {
            _ if self.is_out() => ServerWord::Disabled,
            Health::Down if fails() => ServerWord::Down,
            Health::Down => ServerWord::Unproven,
            Health::Up if self.is_drained() => ServerWord::Drained,
            // With inhibit_on_failure a waiting server is there with weight 0.
            Health::Up if self.placed.is_none() || self.counted > 0 && self.placed == Some(0) => ServerWord::Waiting,
            Health::Up => ServerWord::Up,
        }
    }
}

impl CheckState {
    fn status(&self, now: Instant, config: &Check) -> CheckStatus {
        let (ok, n_failures) = match self.standing {
            Standing::Unproven => (None, 0),
            // Before the first run its retries count as used up, but nothing has failed.
            Standing::Passing { n_failures } => (Some(true), if self.last.is_none() { 0 } else { n_failures }),
            Standing::Failing => (Some(false), 0),
        };
        let (next_in, running_for) = match self.run {
            Run::Waiting(at) => (Some(at.since(now)), None),
            Run::UnderWay { since, .. } => (None, Some(now.since(since))),
            Run::Following | Run::Suspended => (None, None),
        };
        CheckStatus {
            keyword: config.probe.keyword().to_owned(),
            target: config.target.as_ref().map(|target| SocketAddr::new(target.address, target.port)),
            ok,
            n_failures,
            last: self.last.as_ref().map(|last| ResultStatus {
                passed: last.passed,
                text: last.text.to_string(),
                took: last.took,
                age: now.since(last.at),
            }),
            next_in,
            running_for,
            n_passed: self.n_passed,
            n_failed: self.n_failed,
        }
    }
}
