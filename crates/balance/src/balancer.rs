use crate::config::{Config, Pool, Probe, Server};
use crate::event::{Action, AdminState, CheckId, Command, Event, Notice, PoolId, ServerId};
use crate::explain::Cause;
use crate::random::Random;
use crate::state::{Asks, CheckState, Health, PoolState, Quorum, Ramp, Run, ServerState};
use crate::table::ServiceKey;
use crate::timers::{Timer, Timers};
use evenkeel_wire::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A weight that rises does so in steps of this.
const RAMP_STEP: Duration = Duration::from_secs(1);

/// Pools, servers and checks, and what is to be done about them.
///
/// Until the first event nothing is asked or said: [`Balancer::deadline`] is then the origin of the clock, and whatever
/// event comes first starts everything.
#[derive(Clone, Debug)]
pub struct Balancer {
    pub(crate) config: Arc<Config>,
    /// Parallel to the pools of the configuration.
    pub(crate) pools: Vec<PoolState>,
    pub(crate) phase: Phase,
    pub(crate) timers: Timers,
    pub(crate) random: Random,
    pub(crate) n_runs: u64,
    /// Where the probes that run since before the last reload belong now.
    pub(crate) carried: BTreeMap<u64, CheckId>,
    /// Administrative states other than enabled, by pool and server; also of those that are not configured now.
    pub(crate) admin: BTreeMap<(String, String), AdminState>,
    /// Addresses of this host that were reported.
    pub(crate) local: BTreeSet<IpAddr>,
    pub(crate) followers: Followers,
    /// Services of the configuration before the last reload.
    pub(crate) former: BTreeSet<ServiceKey>,
}

/// From the start to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Fresh,
    Running,
    Left,
}

/// What was said of files and sessions, and the checks that want to know. Parallel to the lists of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followers {
    pub(crate) files: Vec<Followed<i32>>,
    pub(crate) sessions: Vec<Followed<bool>>,
}

/// One file or session.
#[derive(Clone, Debug)]
pub(crate) struct Followed<T> {
    /// `None` before the first word of it.
    pub(crate) value: Option<T>,
    pub(crate) checks: Vec<CheckId>,
}

/// What one event leads to, in the order in which it is said: tables, then notices.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) dirty: Vec<PoolId>,
    pub(crate) notices: Vec<Notice>,
}

impl Balancer {
    /// A balancer that knows what administrators said of (pool, server): [`Pool::name`] and [`Server::name`].
    pub fn new(config: impl Into<Arc<Config>>, admin: &[((String, String), AdminState)], seed: u64) -> Self {
        let admin = admin.iter().filter(|(_, state)| *state != AdminState::Enabled).cloned().collect();
        let mut balancer = Balancer {
            config: Arc::default(),
            pools: Vec::new(),
            phase: Phase::Fresh,
            timers: Timers::default(),
            random: Random::new(seed),
            n_runs: 0,
            carried: BTreeMap::new(),
            admin,
            local: BTreeSet::new(),
            followers: Followers::default(),
            former: BTreeSet::new(),
        };
        balancer.install(config.into());
        balancer
    }

    /// What it was told to be.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// When [`Event::Deadline`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Fresh => Some(Instant::ORIGIN),
            Phase::Running => self.timers.first(),
            Phase::Left => None,
        }
    }

    /// Takes one event. After [`Action::Done`] everything is ignored.
    pub fn handle(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        let mut work = Work::default();
        match self.phase {
            Phase::Fresh => self.start(now, &mut work, actions),
            Phase::Running => {}
            Phase::Left => return,
        }
        match event {
            Event::Deadline => self.run_due(now, &mut work, actions),
            Event::Probed { check, run, result, took } => {
                self.take_result(now, check, run, result, took, &mut work, actions);
            }
            Event::File { file, value } => self.take_file(now, file, value.unwrap_or(0), &mut work, actions),
            Event::Bfd { session, up } => self.take_session(now, session, up, &mut work, actions),
            Event::LocalAddress { address, present } => self.take_address(now, address, present, actions),
            Event::Command(command) => self.obey(now, command, &mut work, actions),
            Event::Shutdown => self.leave(now, &mut work, actions),
        }
        self.finish(work, actions);
    }

    /// Says what is owed, and drops what no longer has to be waited for.
    pub(crate) fn finish(&mut self, work: Work, actions: &mut Vec<Action>) {
        for pool in work.dirty {
            if let Some(state) = self.pools.get_mut(pool.0 as usize) {
                state.dirty = false;
            }
            actions.push(Action::Reconcile(pool));
        }
        actions.extend(work.notices.into_iter().map(Action::Notify));
        if self.phase == Phase::Left {
            actions.push(Action::Done);
            self.timers.clear();
        }
        let (pools, timers) = (&self.pools, &mut self.timers);
        timers.prune(|at, timer| is_wanted(pools, at, timer));
    }

    /// Everything begins: servers that need not prove themselves are up.
    fn start(&mut self, now: Instant, work: &mut Work, actions: &mut Vec<Action>) {
        self.phase = Phase::Running;
        self.populate(now);
        for pool in self.pool_ids() {
            self.touch(pool, work);
            self.open(now, pool, work, actions);
        }
    }

    /// A pool takes its place: schedules of its new checks, notices of its new servers, its quorum and its weights.
    pub(crate) fn open(&mut self, now: Instant, pool: PoolId, work: &mut Work, actions: &mut Vec<Action>) {
        self.pools[pool.0 as usize].suspended = self.is_suspended(pool);
        for server in self.server_ids(pool) {
            self.open_server(now, server, work);
        }
        self.weigh_quorum(now, pool, Cause::Start, work, actions);
        self.place_all(now, pool, work);
    }

    /// A server that was not there before takes its place.
    pub(crate) fn open_server(&mut self, now: Instant, id: ServerId, work: &mut Work) {
        self.schedule_resting(now, id);
        let server = self.server(id);
        if server.health == Health::Up && self.config.notices_at_start {
            work.notices.push(self.server_notice(id, "start".to_owned()));
        }
        self.count(id);
    }

    /// Pauses of checks end, or a pool wakes up.
    fn run_due(&mut self, now: Instant, work: &mut Work, actions: &mut Vec<Action>) {
        while let Some((at, timer)) = self.timers.pop_due(now) {
            if !is_wanted(&self.pools, at, timer) {
                continue;
            }
            match timer {
                Timer::Run(check) => self.start_run(now, check, actions),
                Timer::Overdue(check) => self.give_up(now, check, work, actions),
                Timer::Ramp(server) => self.settle(now, server, Cause::Ramp, work, actions),
            }
        }
    }

    fn take_address(&mut self, now: Instant, address: IpAddr, present: bool, actions: &mut Vec<Action>) {
        let changed = if present { self.local.insert(address) } else { self.local.remove(&address) };
        if !changed {
            return;
        }
        for pool in self.pool_ids() {
            self.follow_addresses(now, pool, actions);
        }
    }

    /// `ha_suspend`: checks rest while none of the pool's addresses is here, and resume when one comes.
    pub(crate) fn follow_addresses(&mut self, now: Instant, pool: PoolId, actions: &mut Vec<Action>) {
        let suspended = self.is_suspended(pool);
        let state = &mut self.pools[pool.0 as usize];
        if state.suspended == suspended {
            return;
        }
        state.suspended = suspended;
        for server in self.server_ids(pool) {
            if suspended {
                self.rest(server, actions);
            } else {
                self.schedule_resting(now, server);
            }
        }
        actions.push(Action::Explain(self.explain_suspension(pool)));
    }

    fn obey(&mut self, now: Instant, command: Command, work: &mut Work, actions: &mut Vec<Action>) {
        let Command { server: id, state } = command;
        let Some((pool, config)) = self.configured(id) else { return };
        let key = (pool.name.clone(), config.name());
        if state == AdminState::Enabled {
            self.admin.remove(&key);
        } else {
            self.admin.insert(key, state);
        }
        let server = self.server_mut(id);
        if server.admin == state {
            return;
        }
        server.admin = state;
        actions.push(Action::Explain(self.explain_command(id)));
        self.settle(now, id, Cause::Command, work, actions);
    }

    /// Everything is taken out. keepalived says that servers and quorums are down only with `omega`.
    fn leave(&mut self, now: Instant, work: &mut Work, actions: &mut Vec<Action>) {
        self.phase = Phase::Left;
        for pool in self.pool_ids() {
            for server in self.server_ids(pool) {
                self.rest(server, actions);
            }
            self.touch(pool, work);
            if self.config.pools[pool.0 as usize].omega {
                self.say_farewell(now, pool, "shutdown", work);
            }
        }
    }

    /// Notices that what is up is up no more: first of the servers, then of the quorum.
    pub(crate) fn say_farewell(&mut self, now: Instant, pool: PoolId, why: &str, work: &mut Work) {
        for id in self.server_ids(pool) {
            self.say_server_farewell(now, id, why, work);
        }
        let state = &mut self.pools[pool.0 as usize];
        if state.quorum == Quorum::Gained {
            (state.quorum, state.since, state.why) = (Quorum::Lost, now, why.into());
            work.notices.push(self.quorum_notice(pool));
        }
    }

    /// The same of one server.
    pub(crate) fn say_server_farewell(&mut self, now: Instant, id: ServerId, why: &str, work: &mut Work) {
        let server = self.server_mut(id);
        if server.health == Health::Up {
            (server.health, server.since, server.why) = (Health::Down, now, why.into());
            work.notices.push(self.server_notice(id, why.to_owned()));
        }
    }

    /// Draws the consequences of whatever has changed about a server: its health, what it counts for, the quorum, the table.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        id: ServerId,
        cause: Cause,
        work: &mut Work,
        actions: &mut Vec<Action>,
    ) {
        let judged = self.server(id).judged();
        let turned = judged != self.server(id).health;
        if turned {
            self.enter(now, id, judged, cause, work, actions);
        }
        self.follow_ramp(now, id);
        if self.count(id) {
            if !turned {
                actions.push(Action::Explain(self.explain_weight(id, cause)));
            }
            self.weigh_quorum(now, id.pool, cause, work, actions);
            self.check_invariants(id.pool);
        }
        self.place(now, id, work);
    }

    /// The one door into a server's health.
    fn enter(
        &mut self,
        now: Instant,
        id: ServerId,
        health: Health,
        cause: Cause,
        work: &mut Work,
        actions: &mut Vec<Action>,
    ) {
        let why = self.cause_text(id, cause);
        let server = self.server_mut(id);
        (server.health, server.since, server.why) = (health, now, why.as_str().into());
        match health {
            Health::Up => server.n_ups += 1,
            Health::Down => server.n_downs += 1,
        }
        actions.push(Action::Explain(self.explain_health(id, cause)));
        work.notices.push(self.server_notice(id, why));
    }

    /// A weight begins to rise when the server gets new connections again, and is there in the end.
    pub(crate) fn follow_ramp(&mut self, now: Instant, id: ServerId) {
        let span = self.configured(id).and_then(|(_, config)| config.slow_start).filter(|span| !span.is_zero());
        let server = self.server_mut(id);
        let admitted = server.is_admitted();
        let was_admitted = std::mem::replace(&mut server.admitted, admitted);
        let returned = admitted && !was_admitted;
        server.ramp = match (span, server.ramp) {
            (Some(span), _) if returned && server.may_ramp => {
                Some(Ramp { since: now, step_at: now + RAMP_STEP.min(span) })
            }
            (Some(span), Some(Ramp { since, step_at })) if admitted && now < since + span => {
                let step_at = if step_at <= now { (now + RAMP_STEP).min(since + span) } else { step_at };
                Some(Ramp { since, step_at })
            }
            _ => None,
        };
        server.may_ramp |= was_admitted;
        if let Some(Ramp { step_at, .. }) = server.ramp {
            self.timers.set(step_at, Timer::Ramp(id));
        }
    }

    /// Whether what the server counts for has changed.
    fn count(&mut self, id: ServerId) -> bool {
        let counted = match self.configured(id) {
            Some((_, config)) if self.server(id).is_admitted() => self.server(id).target(config.weight),
            _ => 0,
        };
        let server = self.server_mut(id);
        let before = std::mem::replace(&mut server.counted, counted);
        let sum = &mut self.pools[id.pool.0 as usize].weight_sum;
        *sum = *sum + u64::from(counted) - u64::from(before);
        before != counted
    }

    /// Gains or loses the quorum. keepalived's thresholds: up to the quorum and the hysteresis to gain it, down below the
    /// quorum less the hysteresis, or to nothing, to lose it.
    pub(crate) fn weigh_quorum(
        &mut self,
        now: Instant,
        pool: PoolId,
        cause: Cause,
        work: &mut Work,
        actions: &mut Vec<Action>,
    ) {
        let config = &self.config.pools[pool.0 as usize];
        let state = &self.pools[pool.0 as usize];
        let (gain, keep) = thresholds(config);
        let quorum = match state.quorum {
            Quorum::Lost if state.weight_sum >= gain => Quorum::Gained,
            Quorum::Gained if state.weight_sum < keep || state.weight_sum == 0 => Quorum::Lost,
            Quorum::Lost | Quorum::Gained => return,
        };
        let explanation = self.explain_quorum(pool, quorum, cause);
        let state = &mut self.pools[pool.0 as usize];
        (state.quorum, state.since, state.why) = (quorum, now, explanation.rule.as_str().into());
        actions.push(Action::Explain(explanation));
        self.touch(pool, work);
        self.place_all(now, pool, work);
        work.notices.push(self.quorum_notice(pool));
    }

    pub(crate) fn place_all(&mut self, now: Instant, pool: PoolId, work: &mut Work) {
        for server in self.server_ids(pool) {
            self.place(now, server, work);
        }
    }

    /// Gives a server its weight in the table.
    pub(crate) fn place(&mut self, now: Instant, id: ServerId, work: &mut Work) {
        let placed = self.placement(now, id);
        let server = self.server_mut(id);
        if server.placed != placed {
            server.placed = placed;
            self.touch(id.pool, work);
        }
    }

    /// Owes the pool a comparison with the table.
    pub(crate) fn touch(&mut self, pool: PoolId, work: &mut Work) {
        let state = &mut self.pools[pool.0 as usize];
        if !state.dirty {
            state.dirty = true;
            work.dirty.push(pool);
        }
    }

    fn is_suspended(&self, pool: PoolId) -> bool {
        let config = &self.config.pools[pool.0 as usize];
        let mut addresses = config.services.iter().filter_map(ServiceKey::address).peekable();
        config.ha_suspend && addresses.peek().is_some() && !addresses.any(|address| self.local.contains(&address))
    }

    fn server_notice(&self, id: ServerId, reason: String) -> Notice {
        let up = self.server(id).health == Health::Up;
        let config = self.configured(id).map(|(_, config)| config);
        let script = config.and_then(|config| if up { config.notify_up } else { config.notify_down });
        Notice::Server { server: id, up, script, mail: config.is_some_and(|config| config.mail), reason }
    }

    fn quorum_notice(&self, pool: PoolId) -> Notice {
        let config = &self.config.pools[pool.0 as usize];
        let gained = self.pools[pool.0 as usize].quorum == Quorum::Gained;
        let script = if gained { config.quorum_up } else { config.quorum_down };
        Notice::Quorum { pool, gained, script, mail: config.mail }
    }

    pub(crate) fn pool_ids(&self) -> impl Iterator<Item = PoolId> + use<> {
        (0..self.pools.len() as u32).map(PoolId)
    }

    pub(crate) fn server_ids(&self, pool: PoolId) -> impl Iterator<Item = ServerId> + use<> {
        let n_servers = self.pools.get(pool.0 as usize).map_or(0, |pool| pool.servers.len() as u32);
        (0..n_servers).map(move |server| ServerId { pool, server })
    }

    /// The configuration of a server that there is.
    pub(crate) fn configured(&self, id: ServerId) -> Option<(&Pool, &Server)> {
        let pool = self.config.pools.get(id.pool.0 as usize)?;
        Some((pool, pool.servers.get(id.server as usize)?))
    }

    /// Panics when there is none: for identifiers that are our own.
    pub(crate) fn server(&self, id: ServerId) -> &ServerState {
        &self.pools[id.pool.0 as usize].servers[id.server as usize]
    }

    pub(crate) fn server_mut(&mut self, id: ServerId) -> &mut ServerState {
        &mut self.pools[id.pool.0 as usize].servers[id.server as usize]
    }

    /// For identifiers that came from outside.
    pub(crate) fn check_mut(&mut self, id: CheckId) -> Option<(&Probe, &mut CheckState)> {
        let (pool, server, check) = (id.server.pool.0 as usize, id.server.server as usize, id.check as usize);
        let config = self.config.pools.get(pool)?.servers.get(server)?.checks.get(check)?;
        Some((&config.probe, self.pools.get_mut(pool)?.servers.get_mut(server)?.checks.get_mut(check)?))
    }

    fn check_invariants(&self, pool: PoolId) {
        let state = &self.pools[pool.0 as usize];
        debug_assert_eq!(
            state.weight_sum,
            state.servers.iter().map(|server| u64::from(server.counted)).sum::<u64>(),
            "a pool's sum is that of its servers"
        );
        debug_assert!(
            state.servers.iter().all(|server| server.asks() == Asks::Nothing || server.counted == 0),
            "who is drained or out does not count"
        );
    }
}

/// What the sum of weights must reach to gain the quorum, and must not fall below to keep it. Lowering has clamped both
/// numbers already; here they are clamped again, so that no configuration makes a quorum that nobody could reach by itself.
pub(crate) fn thresholds(pool: &Pool) -> (u64, u64) {
    let total: u64 = pool.servers.iter().map(|server| u64::from(server.weight)).sum();
    let quorum = u64::from(pool.quorum.get()).min(total.max(1));
    let hysteresis = u64::from(pool.hysteresis).min(quorum - 1);
    (quorum + hysteresis, quorum - hysteresis)
}

fn is_wanted(pools: &[PoolState], at: Instant, timer: Timer) -> bool {
    let server = |id: ServerId| pools.get(id.pool.0 as usize)?.servers.get(id.server as usize);
    match timer {
        Timer::Run(id) => server(id.server)
            .and_then(|server| server.checks.get(id.check as usize))
            .is_some_and(|check| check.run == Run::Waiting(at)),
        Timer::Overdue(id) => server(id.server)
            .and_then(|server| server.checks.get(id.check as usize))
            .is_some_and(|check| matches!(check.run, Run::UnderWay { overdue_at, .. } if overdue_at == at)),
        Timer::Ramp(id) => server(id).and_then(|server| server.ramp).is_some_and(|ramp| ramp.step_at == at),
    }
}
