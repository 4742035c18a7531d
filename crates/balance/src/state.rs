//! What is known of pools, servers and checks. These lists run parallel to those of the configuration.

use crate::config::{Check, Pool, Probe, Server};
use crate::event::{AdminState, Says};
use evenkeel_wire::Instant;
use std::time::Duration;

/// Weights of IPVS end here.
pub(crate) const MAX_WEIGHT: i64 = i32::MAX as i64;

/// A pool.
#[derive(Clone, Debug)]
pub(crate) struct PoolState {
    pub(crate) quorum: Quorum,
    pub(crate) since: Instant,
    pub(crate) why: Box<str>,
    /// Sum of what its servers count for.
    pub(crate) weight_sum: u64,
    /// Checks rest, since none of its addresses is on this host.
    pub(crate) suspended: bool,
    /// [`Action::Reconcile`](crate::Action::Reconcile) is owed.
    pub(crate) dirty: bool,
    pub(crate) servers: Vec<ServerState>,
}

/// Whether the servers that are up suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quorum {
    Gained,
    Lost,
}

/// A server.
#[derive(Clone, Debug)]
pub(crate) struct ServerState {
    pub(crate) health: Health,
    pub(crate) since: Instant,
    pub(crate) why: Box<str>,
    pub(crate) admin: AdminState,
    /// Its weight is still rising.
    pub(crate) ramp: Option<Ramp>,
    /// It got new connections when last looked at, or would have but for the quorum.
    pub(crate) admitted: bool,
    /// When it gets new connections again, its weight rises slowly. Not so at the start, when all servers are cold.
    pub(crate) may_ramp: bool,
    /// What it counts for in the pool's sum.
    pub(crate) counted: u32,
    /// Its weight in the table; `None` when it is not there.
    pub(crate) placed: Option<u32>,
    pub(crate) n_ups: u64,
    pub(crate) n_downs: u64,
    pub(crate) checks: Vec<CheckState>,
}

/// What the checks say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Up,
    Down,
}

/// A rising weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    pub(crate) since: Instant,
    pub(crate) step_at: Instant,
}

/// A check.
#[derive(Clone, Debug)]
pub(crate) struct CheckState {
    pub(crate) standing: Standing,
    pub(crate) run: Run,
    /// Url that the next run begins with.
    pub(crate) url: u32,
    pub(crate) share: Share,
    pub(crate) asks: Asks,
    pub(crate) last: Option<LastResult>,
    pub(crate) n_passed: u64,
    pub(crate) n_failed: u64,
}

/// What a check says about its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It must succeed before the server is up, and has not run.
    Unproven,
    /// The server is well; of late so many probes failed one after another.
    Passing {
        /// Fewer than what makes it fail, or the check's retries where it has not run yet.
        n_failures: u32,
    },
    /// The server is not.
    Failing,
}

/// What a check is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Nothing: it is told what it needs (files, BFD).
    Following,
    /// It rests while the pool does.
    Suspended,
    /// It runs at that instant.
    Waiting(Instant),
    /// Its probe runs.
    UnderWay {
        /// The number of this run.
        run: u64,
        since: Instant,
        /// Url that it began with.
        url: u32,
        /// A probe that says nothing until then is given up.
        overdue_at: Instant,
    },
}

/// What a check makes of the configured weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    Configured,
    /// It should be this.
    Exact(u32),
    /// It should be so many percent.
    Percent(u16),
    /// So much more.
    More(i64),
}

/// What an agent wants until it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Nothing,
    Drain,
    Maintenance,
}

/// The last result of a check.
#[derive(Clone, Debug)]
pub(crate) struct LastResult {
    pub(crate) passed: bool,
    pub(crate) text: Box<str>,
    pub(crate) took: Duration,
    pub(crate) at: Instant,
}

impl PoolState {
    /// As it is before anything has been heard.
    pub(crate) fn new(now: Instant, config: &Pool) -> Self {
        PoolState {
            quorum: if config.alpha { Quorum::Lost } else { Quorum::Gained },
            since: now,
            why: "start".into(),
            weight_sum: 0,
            suspended: false,
            dirty: false,
            servers: Vec::with_capacity(config.servers.len()),
        }
    }
}

impl ServerState {
    /// As it is before anything has been heard: up, unless it has to prove itself.
    pub(crate) fn new(now: Instant, pool: &Pool, config: &Server, admin: AdminState) -> Self {
        let checks: Vec<_> =
            config.checks.iter().map(|check| CheckState::new(check, is_alpha(pool, config, check))).collect();
        let mut state = ServerState {
            health: Health::Up,
            since: now,
            why: "start".into(),
            admin,
            ramp: None,
            admitted: false,
            may_ramp: false,
            counted: 0,
            placed: None,
            n_ups: 0,
            n_downs: 0,
            checks,
        };
        state.health = state.judged();
        state.admitted = state.is_admitted();
        state
    }

    /// What its checks say: a server is up while none fails, and none still has to succeed for the first time.
    pub(crate) fn judged(&self) -> Health {
        let is_well = |check: &CheckState| matches!(check.standing, Standing::Passing { .. });
        if self.checks.iter().all(is_well) { Health::Up } else { Health::Down }
    }

    /// What the agents ask for, the stronger wish when there are several.
    pub(crate) fn asks(&self) -> Asks {
        let asks = |what| self.checks.iter().any(|check| check.asks == what);
        match (asks(Asks::Maintenance), asks(Asks::Drain)) {
            (true, _) => Asks::Maintenance,
            (false, true) => Asks::Drain,
            (false, false) => Asks::Nothing,
        }
    }

    /// Out of the table, whatever its health.
    pub(crate) fn is_out(&self) -> bool {
        self.admin == AdminState::Disabled || self.asks() == Asks::Maintenance
    }

    /// It keeps connections and gets no new ones.
    pub(crate) fn is_drained(&self) -> bool {
        self.admin == AdminState::Drained || self.asks() == Asks::Drain
    }

    /// It may get new connections.
    pub(crate) fn is_admitted(&self) -> bool {
        self.health == Health::Up && !self.is_out() && !self.is_drained()
    }

    /// Its full weight: the configured one and what its checks make of it, or what a person said.
    pub(crate) fn target(&self, configured: u32) -> u32 {
        if let AdminState::Weight(weight) = self.admin {
            return clip(i64::from(weight));
        }
        let added: i64 = self.checks.iter().map(|check| check.share.added(configured)).fold(0, i64::saturating_add);
        clip(i64::from(configured).saturating_add(added))
    }
}

impl CheckState {
    pub(crate) fn new(config: &Check, alpha: bool) -> Self {
        CheckState {
            // keepalived starts with the retries used up: the first probe that fails takes the server out.
            standing: if alpha { Standing::Unproven } else { Standing::Passing { n_failures: config.timing.retries } },
            run: if is_followed(&config.probe) { Run::Following } else { Run::Suspended },
            url: 0,
            share: Share::Configured,
            asks: Asks::Nothing,
            last: None,
            n_passed: 0,
            n_failed: 0,
        }
    }

    /// Takes what an answer said beyond being one.
    pub(crate) fn take_says(&mut self, probe: &Probe, says: Option<Says>) {
        match (probe, says) {
            (Probe::Misc { dynamic: true, .. }, Some(Says::ExitStatus(status))) => {
                self.share = Share::Exact(u32::from(status).saturating_sub(2));
            }
            (Probe::Misc { .. }, _) => self.share = Share::Configured,
            (Probe::Agent { .. }, Some(Says::Percent(percent))) => self.share = Share::Percent(percent),
            (Probe::Agent { .. }, Some(Says::Drain)) => self.asks = Asks::Drain,
            (Probe::Agent { .. }, Some(Says::Maintenance)) => self.asks = Asks::Maintenance,
            (Probe::Agent { .. }, Some(Says::Ready)) => self.asks = Asks::Nothing,
            _ => {}
        }
    }

    /// Remembers a result. The text is kept when it is the same again, which it nearly always is.
    pub(crate) fn remember(&mut self, now: Instant, passed: bool, text: String, took: Duration) {
        if passed {
            self.n_passed += 1;
        } else {
            self.n_failed += 1;
        }
        match &mut self.last {
            Some(last) if *last.text == text => {
                (last.passed, last.took, last.at) = (passed, took, now);
            }
            last => *last = Some(LastResult { passed, text: text.into(), took, at: now }),
        }
    }
}

impl Share {
    /// What is added to the configured weight. keepalived sums these over the checks, so that one MISC_CHECK alone sets
    /// the weight to its exit status less two, and two of them move it by both differences.
    fn added(self, configured: u32) -> i64 {
        let configured = i64::from(configured);
        match self {
            Share::Configured => 0,
            Share::Exact(weight) => i64::from(weight) - configured,
            // Rounded up: a share above 0 is not drained.
            Share::Percent(percent) => (configured * i64::from(percent) + 99) / 100 - configured,
            Share::More(more) => more,
        }
    }
}

/// The server is down until this check has succeeded.
pub(crate) fn is_alpha(pool: &Pool, server: &Server, check: &Check) -> bool {
    pool.alpha || server.alpha || check.alpha
}

/// Nothing is run for it; it is told of changes.
pub(crate) fn is_followed(probe: &Probe) -> bool {
    match probe {
        Probe::File { .. } | Probe::Bfd { .. } => true,
        Probe::Tcp
        | Probe::Http(_)
        | Probe::Smtp { .. }
        | Probe::Dns { .. }
        | Probe::Udp(_)
        | Probe::Ping
        | Probe::Misc { .. }
        | Probe::Agent { .. } => false,
    }
}

fn clip(weight: i64) -> u32 {
    u32::try_from(weight.clamp(0, MAX_WEIGHT)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The goal is less than 2 kB for a server in all; what the words of results and reasons take comes on top.
    #[test]
    fn a_server_with_two_checks_is_small() {
        let state = size_of::<ServerState>() + 2 * size_of::<CheckState>();
        let config = size_of::<Server>() + 2 * size_of::<Check>();
        assert!(state <= 512 && config <= 1024, "state {state}, configuration {config}");
    }
}
