//! The servers, the shell around the balancer, and what befalls them.

use super::Summary;
use super::laws::{self, Told};
use super::scenario::{self, N_FOLLOWED, N_HOSTS, SETTLED};
use crate::Trace;
use crate::random::Random;
use evenkeel_balance::config::{BfdId, FileId, Probe};
use evenkeel_balance::table::{diff, diff_service};
use evenkeel_balance::{
    Action, AdminState, Balancer, CheckId, Command, Event, PoolId, ProbeResult, Says, ServerId, Table,
};
use evenkeel_wire::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// For so long things go wrong.
const CHAOS: Duration = Duration::from_secs(120);
/// Longer than any world lasts.
const NEVER: Duration = Duration::from_secs(1_000_000);
/// More events than this at one instant are a balancer that spins.
const MOST_AT_ONCE: u32 = 2_000;

/// What is true of the world, whatever the balancer believes.
pub(super) struct Truth {
    pub(super) alive: [bool; N_HOSTS],
    /// The weight that dynamic scripts ask for.
    pub(super) level: [u8; N_HOSTS],
    pub(super) files: [i32; N_FOLLOWED],
    pub(super) sessions: [bool; N_FOLLOWED],
    pub(super) local: BTreeSet<IpAddr>,
}

/// A probe that will end.
struct UnderWay {
    check: CheckId,
    run: u64,
    url: u32,
    /// What it asks, as the configuration was at its start.
    probe: Probe,
    host: usize,
}

pub(super) struct World {
    random: Random,
    pub(super) balancer: Balancer,
    now: Instant,
    pub(super) truth: Truth,
    under_way: BTreeMap<(Instant, u64), UnderWay>,
    /// What the plane holds.
    pub(super) table: Table,
    pub(super) told: Told,
    runs: BTreeSet<u64>,
    calm: bool,
    /// What agents said last in the calm: that they are ready, and that they are whole, by turns.
    ready: BTreeMap<CheckId, bool>,
    trace: Option<Vec<String>>,
    summary: Summary,
}

impl World {
    pub(super) fn new(mut random: Random, trace: Trace) -> Self {
        let config = scenario::config(&mut random);
        let balancer = Balancer::new(config, &[], random.number());
        let truth = Truth {
            alive: [true; N_HOSTS],
            level: [5; N_HOSTS],
            files: [0; N_FOLLOWED],
            sessions: [true; N_FOLLOWED],
            local: (0..8).map(scenario::virtual_address).collect(),
        };
        World {
            random,
            balancer,
            now: Instant::ORIGIN,
            truth,
            under_way: BTreeMap::new(),
            table: Table::new(),
            told: Told::default(),
            runs: BTreeSet::new(),
            calm: false,
            ready: BTreeMap::new(),
            trace: (trace == Trace::On).then(Vec::new),
            summary: Summary::default(),
        }
    }

    /// From the start through all mishaps to the end.
    pub(super) fn run(&mut self) -> Result<(), String> {
        self.tell(Event::Deadline)?;
        for address in self.truth.local.clone() {
            self.tell(Event::LocalAddress { address, present: true })?;
        }
        for index in 0..N_FOLLOWED {
            self.tell(Event::File { file: FileId(index as u32), value: Some(self.truth.files[index]) })?;
            self.tell(Event::Bfd { session: BfdId(index as u32), up: self.truth.sessions[index] })?;
        }
        while self.now < Instant::ORIGIN + CHAOS {
            let pause = self.random.span(Duration::from_millis(1), Duration::from_secs(6));
            self.pass(pause)?;
            self.mishap()?;
        }
        self.calm = true;
        self.pass(SETTLED)?;
        laws::settled(self)?;
        self.handle(Event::Shutdown)?;
        laws::left(self)
    }

    pub(super) fn end(self) -> (Duration, Summary, Vec<String>) {
        (self.now.since_origin(), self.summary, self.trace.unwrap_or_default())
    }

    pub(super) fn n_under_way(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Lets time go on: deadlines and ends of probes in their order.
    fn pass(&mut self, span: Duration) -> Result<(), String> {
        let end = self.now + span;
        let mut n_at_once = 0;
        loop {
            let deadline = self.balancer.deadline();
            let probe = self.under_way.keys().next().copied();
            let next = deadline.into_iter().chain(probe.map(|(at, _)| at)).min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            n_at_once = if at > self.now { 0 } else { n_at_once + 1 };
            if n_at_once > MOST_AT_ONCE {
                return Err("time goes on: too many events at one instant".to_owned());
            }
            self.now = self.now.max(at);
            match probe.filter(|(probe_at, _)| *probe_at <= self.now) {
                Some(key) => {
                    let Some(ended) = self.under_way.remove(&key) else { continue };
                    let result = self.outcome(&ended);
                    let took = Duration::from_millis(1);
                    self.tell(Event::Probed { check: ended.check, run: ended.run, result, took })?;
                }
                None => self.tell(Event::Deadline)?,
            }
        }
        self.now = end;
        Ok(())
    }

    /// What a probe that ends now sees.
    fn outcome(&mut self, probe: &UnderWay) -> ProbeResult {
        let noise = !self.calm && self.random.percent(8);
        let alive = self.truth.alive[probe.host] != noise;
        if !alive {
            let reason = self.random.pick(&["connection refused", "timeout"]).to_owned();
            return match &probe.probe {
                Probe::Http(http) => {
                    let left = http.urls.len().saturating_sub(probe.url as usize).max(1);
                    ProbeResult::FailedAt { url: probe.url + self.random.below(left) as u32, reason }
                }
                _ => ProbeResult::Failed { reason },
            };
        }
        let says = match &probe.probe {
            Probe::Misc { dynamic: true, .. } => Some(Says::ExitStatus(2 + self.truth.level[probe.host])),
            // In the end all agents are content.
            Probe::Agent { .. } if self.calm => {
                let was_ready = self.ready.entry(probe.check).or_default();
                *was_ready = !*was_ready;
                Some(if *was_ready { Says::Ready } else { Says::Percent(100) })
            }
            Probe::Agent { .. } => Some(self.random.pick(&[
                Says::Percent(0),
                Says::Percent(50),
                Says::Percent(250),
                Says::Drain,
                Says::Maintenance,
                Says::Ready,
                Says::Ready,
            ])),
            _ => None,
        };
        ProbeResult::Passed { detail: "it answers".to_owned(), says }
    }

    fn mishap(&mut self) -> Result<(), String> {
        let host = self.random.below(N_HOSTS);
        let followed = self.random.below(N_FOLLOWED);
        match self.random.below(12) {
            0..=3 => self.truth.alive[host] = !self.truth.alive[host],
            4 => self.truth.alive = [self.random.percent(50); N_HOSTS],
            5 => self.truth.level[host] = self.random.below(20) as u8,
            6 => {
                let value = self.random.pick(&[0, 0, 1, -3, 100, i32::MIN, i32::MAX]);
                self.truth.files[followed] = value;
                self.tell(Event::File { file: FileId(followed as u32), value: Some(value) })?;
            }
            7 => {
                let up = self.random.percent(60);
                self.truth.sessions[followed] = up;
                self.tell(Event::Bfd { session: BfdId(followed as u32), up })?;
            }
            8 => {
                let address = scenario::virtual_address(self.random.below(4) as u8);
                let present = !self.truth.local.remove(&address);
                if present {
                    self.truth.local.insert(address);
                }
                self.tell(Event::LocalAddress { address, present })?;
            }
            9 => self.reload()?,
            _ => {
                let server =
                    ServerId { pool: PoolId(self.random.below(3) as u32), server: self.random.below(6) as u32 };
                let states = [
                    AdminState::Enabled,
                    AdminState::Enabled,
                    AdminState::Drained,
                    AdminState::Disabled,
                    AdminState::Weight(4),
                ];
                let state = self.random.pick(&states);
                self.tell(Event::Command(Command { server, state }))?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) -> Result<(), String> {
        // Where nothing but a probe follows, nothing has changed: a look now and then is enough.
        if self.handle(event)? > 0 || self.summary.n_events.is_multiple_of(16) { laws::always(self) } else { Ok(()) }
    }

    /// Tells the balancer and does what it wants. Returns how many things other than probes that was.
    fn handle(&mut self, event: Event) -> Result<usize, String> {
        self.summary.n_events += 1;
        self.note(|| format!("{event:?}"));
        let mut actions = Vec::new();
        self.balancer.handle(self.now, event, &mut actions);
        let n_changes = actions.iter().filter(|action| !matches!(action, Action::Probe { .. })).count();
        self.perform(actions)?;
        Ok(n_changes)
    }

    fn reload(&mut self) -> Result<(), String> {
        self.summary.n_reloads += 1;
        let config = scenario::mutated(&mut self.random, self.balancer.config());
        let old = self.balancer.config().clone();
        let before = self.balancer.status(self.now);
        self.note(|| "reload".to_owned());
        let mut actions = Vec::new();
        self.balancer.reconfigure(self.now, config, &mut actions);
        let place = actions.iter().position(|action| *action == Action::Reconfigured);
        let Some(place) = place else { return Err("a reload says where the new configuration begins".to_owned()) };
        let later = actions.split_off(place);
        self.told.hear(&old, &actions)?;
        self.told.reconfigure(&old, self.balancer.config(), &self.balancer.status(self.now), &later);
        self.perform_all(actions)?;
        self.perform(later)?;
        laws::always(self)?;
        laws::reloaded(&old, &before, self)
    }

    fn perform(&mut self, actions: Vec<Action>) -> Result<(), String> {
        if self.told.is_new() {
            self.told.begin(self.balancer.config());
        }
        self.summary.n_notices += self.told.hear(self.balancer.config(), &actions)?;
        self.perform_all(actions)
    }

    fn perform_all(&mut self, actions: Vec<Action>) -> Result<(), String> {
        for action in actions {
            self.note(|| format!("  {action:?}"));
            match action {
                Action::Probe { check, run, url } => self.ask(check, run, url)?,
                Action::Cancel { run, .. } => self.under_way.retain(|_, probe| probe.run != run),
                Action::Reconcile(pool) => self.reconcile(pool)?,
                Action::Withdraw(key) => {
                    let mut changes = Vec::new();
                    diff_service(key, self.table.get(&key), None, &mut changes);
                    changes.iter().for_each(|change| change.apply_to(&mut self.table));
                }
                Action::Done => {
                    let owned = self.balancer.owned();
                    for change in diff(&self.table, &self.balancer.desired_table(), &owned) {
                        change.apply_to(&mut self.table);
                    }
                }
                Action::Reconfigured | Action::Notify(_) | Action::Explain(_) => {}
            }
        }
        Ok(())
    }

    fn ask(&mut self, check: CheckId, run: u64, url: u32) -> Result<(), String> {
        self.summary.n_probes += 1;
        if !self.runs.insert(run) {
            return Err(format!("no number of a run is used twice: {run}"));
        }
        let server = &self.balancer.config().pools[check.server.pool.0 as usize].servers[check.server.server as usize];
        let probe = server.checks[check.check as usize].probe.clone();
        let host = match server.address {
            IpAddr::V4(address) => usize::from(address.octets()[3]),
            IpAddr::V6(_) => 0,
        };
        // Now and then one takes longer than the interval.
        let longest = if self.random.percent(5) { 9_000 } else { 300 };
        let at = self.now + self.random.span(Duration::from_micros(100), Duration::from_millis(longest));
        // And now and then one is never heard of again; programs have an hour, which is longer than this world lasts.
        let is_lost = !self.calm && !matches!(probe, Probe::Misc { .. }) && self.random.percent(1);
        let at = if is_lost { at + NEVER } else { at };
        self.under_way.insert((at, run), UnderWay { check, run, url, probe, host });
        Ok(())
    }

    /// The shell's part: the difference for the services of one pool, step by step.
    fn reconcile(&mut self, pool: PoolId) -> Result<(), String> {
        let wanted: Table = self.balancer.desired(pool).collect();
        for (key, entry) in &wanted {
            let mut changes = Vec::new();
            diff_service(*key, self.table.get(key), Some(entry), &mut changes);
            let least = laws::n_usable(self.table.get(key)).min(laws::n_usable(Some(entry)));
            for change in changes {
                self.summary.n_changes += 1;
                change.apply_to(&mut self.table);
                if laws::n_usable(self.table.get(key)) < least {
                    return Err(format!("no service has fewer servers on the way: {key:?} after {change:?}"));
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.6} {}", self.now.since_origin().as_secs_f64(), line()));
        }
    }
}
