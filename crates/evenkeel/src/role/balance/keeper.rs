//! Keeps the plane's table as the balancer wants it: desired, then diff, whatever the reason.

use super::plane::Planes;
use evenkeel_balance::table::{Change, Entry, ServiceKey, Statistics, Table, diff, diff_service};
use evenkeel_balance::{Config, PoolId};
use evenkeel_bus::{Effect, PlaneView};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The table is compared with what the plane holds at least so often, unless reading it takes long.
const AUDIT: Duration = Duration::from_secs(5);

/// Reading the table takes at most one part in so many of the role's time.
pub(super) const AUDIT_SHARE: u32 = 100;

/// After a change that the plane refused, it is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// The plane's own needs are looked after so often.
const ATTEND: Duration = Duration::from_secs(1);

/// Of the changes of one look, so many are told one by one.
const MOST_EFFECTS: usize = 20;

/// The plane and what we believe it holds of ours.
pub(super) struct Keeper {
    planes: Planes,
    current: Table,
    /// The plane's table has been read once. Before that nothing is changed, and then everything at once.
    adopted: bool,
    audit_at: Instant,
    /// When the plane's own needs are looked after.
    attend_at: Instant,
    /// The last refusals, by what was refused, so that each is logged once.
    refused: BTreeMap<String, String>,
    /// Entries that somebody else had changed and that were put back.
    n_repairs: u64,
    last_repair: Option<String>,
    /// Those that nobody has asked for yet, and of which service they are.
    repairs: Vec<(Option<ServiceKey>, String)>,
    /// Done since the last time somebody asked, for explanations.
    effects: BTreeMap<PoolId, Vec<Effect>>,
}

impl Keeper {
    pub(super) fn new(planes: Planes) -> Self {
        Keeper {
            planes,
            current: Table::new(),
            adopted: false,
            audit_at: Instant::now() + AUDIT,
            attend_at: Instant::now() + ATTEND,
            refused: BTreeMap::new(),
            n_repairs: 0,
            last_repair: None,
            repairs: Vec::new(),
            effects: BTreeMap::new(),
        }
    }

    /// Takes over what is there: of an earlier process, or of keepalived.
    pub(super) fn adopt(&mut self, owned: &BTreeSet<ServiceKey>, desired: &Table) -> anyhow::Result<()> {
        self.look(owned)?;
        self.adopted = true;
        let changes = diff(&self.current, desired, owned);
        let (n_services, n_changes) = (desired.len(), changes.len());
        self.apply(&changes);
        tracing::info!(
            target: "balance",
            "{n_services} virtual services in {}, {n_changes} changes made",
            self.planes.name()
        );
        Ok(())
    }

    /// Another configuration is about to come: whatever of it can fail, fails here.
    pub(super) fn reconfigure(&mut self, config: &Config, interfaces: &[String]) -> anyhow::Result<()> {
        self.planes.reconfigure(config, interfaces)
    }

    /// Takes services out that no pool has any more, and makes those of each pool as they should be: all at once, since each
    /// turn costs the XDP plane some ten milliseconds, and many servers may die together.
    pub(super) fn settle(
        &mut self,
        withdrawn: Vec<ServiceKey>,
        pools: impl Iterator<Item = (PoolId, Vec<(ServiceKey, Entry)>)>,
    ) {
        if !self.adopted {
            return;
        }
        let mut changes: Vec<_> = withdrawn.into_iter().map(Change::RemoveService).collect();
        let mut spans = Vec::new();
        for (pool, desired) in pools {
            let start = changes.len();
            for (key, entry) in desired {
                diff_service(key, self.current.get(&key), Some(&entry), &mut changes);
            }
            if changes.len() > start {
                spans.push((pool, start..changes.len()));
            }
        }
        let began_at = Instant::now();
        self.apply(&changes);
        let took = began_at.elapsed() / u32::try_from(changes.len().max(1)).unwrap_or(u32::MAX);
        for (pool, span) in spans {
            let changes = &changes[span];
            let effects = self.effects.entry(pool).or_default();
            effects.extend(changes.iter().take(MOST_EFFECTS).map(|change| Effect::new(words(change), took)));
            if changes.len() > MOST_EFFECTS {
                effects.push(Effect::new(format!("and {} changes more", changes.len() - MOST_EFFECTS), took));
            }
        }
    }

    /// What was done for a pool since this was asked last.
    pub(super) fn take_effects(&mut self, pool: PoolId) -> Vec<Effect> {
        self.effects.remove(&pool).unwrap_or_default()
    }

    pub(super) fn forget_effects(&mut self) {
        self.effects.clear();
    }

    /// When [`Keeper::look_after`] has something to do.
    pub(super) fn deadline(&self) -> Instant {
        self.audit_at.min(self.attend_at)
    }

    /// Does what is due: the plane's own needs, and the comparison of its table with what should be there.
    pub(super) fn look_after(&mut self, owned: impl FnOnce() -> (BTreeSet<ServiceKey>, Table)) {
        if Instant::now() >= self.attend_at {
            self.attend_at = Instant::now() + ATTEND;
            match self.planes.attend() {
                Ok(repairs) => repairs.into_iter().for_each(|(service, what)| self.note_repair(service, what)),
                Err(error) => tracing::error!(target: "balance", "{error}"),
            }
        }
        if Instant::now() >= self.audit_at {
            let (owned, desired) = owned();
            self.audit(&owned, &desired);
        }
    }

    fn note_repair(&mut self, service: Option<ServiceKey>, what: String) {
        self.n_repairs += 1;
        self.last_repair = Some(what.clone());
        self.repairs.push((service, what));
    }

    /// What was put right since this was asked last, and of which service.
    pub(super) fn take_repairs(&mut self) -> Vec<(Option<ServiceKey>, String)> {
        std::mem::take(&mut self.repairs)
    }

    /// Compares what the plane holds with what it should, and puts right what somebody else changed.
    fn audit(&mut self, owned: &BTreeSet<ServiceKey>, desired: &Table) {
        let believed = std::mem::take(&mut self.current);
        if let Err(error) = self.look(owned) {
            tracing::error!(target: "balance", "{error:#}");
            self.current = believed;
            return;
        }
        let foreign = diff(&self.current, &believed, owned);
        if !foreign.is_empty() {
            self.n_repairs += foreign.len().saturating_sub(MOST_EFFECTS) as u64;
            foreign
                .iter()
                .take(MOST_EFFECTS)
                .for_each(|change| self.note_repair(Some(change.service()), words(change)));
        }
        let changes = diff(&self.current, desired, owned);
        self.apply(&changes);
    }

    /// Counters, when the plane gives them.
    pub(super) fn statistics(&mut self) -> Option<Statistics> {
        match self.planes.statistics() {
            Ok(statistics) => Some(statistics),
            Err(error) => {
                tracing::warn!(target: "balance", "{error:#}");
                None
            }
        }
    }

    /// How the plane does, for `status`.
    pub(super) fn status(&mut self) -> PlaneView {
        PlaneView {
            name: self.planes.name().to_owned(),
            detail: self.planes.detail(),
            services: self.current.len() as u64,
            repairs: self.n_repairs,
            last_repair: self.last_repair.clone(),
            refused: self.refused.iter().map(|(what, why)| format!("{what}: {why}")).collect(),
        }
    }

    /// Starts and stops the sync daemons for the instances that are master here.
    pub(super) fn follow_masters(&mut self, config: &Config, masters: &BTreeMap<String, bool>) {
        self.planes.follow_masters(config, masters);
    }

    /// Takes out what is ours, as the configuration says.
    pub(super) fn leave(&mut self, config: &Config) {
        let changes: Vec<_> = self.current.keys().map(|key| Change::RemoveService(*key)).collect();
        self.apply(&changes);
        self.planes.leave(config);
    }

    /// Reads the plane's table, as far as it is ours.
    fn look(&mut self, owned: &BTreeSet<ServiceKey>) -> anyhow::Result<()> {
        let began_at = Instant::now();
        let mut table = self.planes.dump()?;
        table.retain(|key, _| owned.contains(key));
        self.current = table;
        self.audit_at = Instant::now() + AUDIT.max(began_at.elapsed() * AUDIT_SHARE);
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut failures = self.planes.apply(changes).into_iter().peekable();
        for (index, change) in changes.iter().enumerate() {
            match failures.next_if(|(failed, _)| *failed == index) {
                Some((_, error)) => {
                    let what = words(change);
                    self.audit_at = self.audit_at.min(Instant::now() + RETRY);
                    let why = error.to_string();
                    if self.refused.get(&what) != Some(&why) {
                        tracing::error!(target: "balance", "{why}");
                        self.refused.insert(what, why);
                    }
                }
                None => {
                    change.apply_to(&mut self.current);
                    if !self.refused.is_empty() {
                        self.refused.remove(&words(change));
                    }
                }
            }
        }
    }
}

/// `added 10.0.0.2:80 with weight 1 to TCP 10.0.0.1:80`.
fn words(change: &Change) -> String {
    let host = |key: &evenkeel_balance::table::DestinationKey| std::net::SocketAddr::new(key.address, key.port);
    match change {
        Change::AddService(key, service) => format!("add service {key} ({})", service.scheduler.name()),
        Change::EditService(key, service) => format!("change service {key} ({})", service.scheduler.name()),
        Change::RemoveService(key) => format!("remove service {key}"),
        Change::AddDestination(key, server, d) => format!("add {} with weight {} to {key}", host(server), d.weight),
        Change::EditDestination(key, server, d) => format!("give {} weight {} in {key}", host(server), d.weight),
        Change::RemoveDestination(key, server) => format!("remove {} from {key}", host(server)),
    }
}
