//! A new configuration: what it shares with the old one keeps its state.
//!
//! A pool is the same when its name and protocol are, or else all its services; a server, when its address and port are; a
//! check, when it is defined identically. A check that is new to a server that stays begins as the server is: what is up is
//! not taken out because somebody changed a `delay_loop`, nor is what is down put back. (keepalived treats such a check as
//! at its start, and so may put a dead server back.)

use crate::balancer::{Balancer, Followed, Followers, Phase, Work};
use crate::config::{Check, Config, Pool, Probe, Server};
use crate::event::{Action, CheckId, PoolId, ServerId};
use crate::explain::Cause;
use crate::state::{CheckState, Health, PoolState, Run, ServerState, Standing, is_alpha};
use crate::table::{Entry, Protocol, ServiceKey};
use crate::timers::Timer;
use evenkeel_wire::Instant;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

impl Balancer {
    /// Takes a new configuration. See [`Action::Reconfigured`] for which identifiers are of which.
    pub fn reconfigure(&mut self, now: Instant, config: impl Into<Arc<Config>>, actions: &mut Vec<Action>) {
        let config = config.into();
        match self.phase {
            Phase::Running => {}
            Phase::Fresh => {
                self.install(config);
                actions.push(Action::Reconfigured);
                return;
            }
            Phase::Left => return,
        }
        let matches = Matches::new(&self.config, &config);
        let before: Vec<Option<Entry>> = matches.pools.iter().map(|origin| self.entry_before(*origin)).collect();
        self.depart(now, &matches, actions);
        actions.push(Action::Reconfigured);

        let old = std::mem::take(&mut self.pools);
        let old_config = self.install(config);
        let arrived = self.migrate(now, old, &old_config, &matches);
        let mut work = Work::default();
        self.resume(now, &matches, &arrived, &mut work, actions);
        work.dirty.clear();
        for (pool, (origin, before)) in self.pool_ids().zip(matches.pools.iter().zip(before)) {
            let dirty = match origin {
                // Nothing but its state can have changed, and who changes that says so.
                Origin::Unchanged(_) => self.pools[pool.0 as usize].dirty,
                Origin::Changed(old) => {
                    let services = &self.config.pools[pool.0 as usize].services;
                    old_config.pools[*old].services != *services || self.entry(pool) != before
                }
                Origin::New => true,
            };
            self.pools[pool.0 as usize].dirty = dirty;
            if dirty {
                work.dirty.push(pool);
            }
        }
        let named: BTreeSet<ServiceKey> = self.config.pools.iter().flat_map(|pool| &pool.services).copied().collect();
        actions.extend(self.former.difference(&named).map(|key| Action::Withdraw(*key)));
        self.finish(work, actions);
    }

    /// Puts the configuration in place, and what is known of its files and sessions. Returns the one before.
    pub(crate) fn install(&mut self, config: Arc<Config>) -> Arc<Config> {
        let old = std::mem::replace(&mut self.config, config);
        self.former = old.pools.iter().flat_map(|pool| &pool.services).copied().collect();
        let followers = std::mem::take(&mut self.followers);
        let of_file = |path: &String| {
            let index = old.files.iter().position(|file| file.path == *path)?;
            followers.files.get(index)?.value
        };
        let of_session = |name: &String| {
            let index = old.bfd_sessions.iter().position(|session| session == name)?;
            followers.sessions.get(index)?.value
        };
        let files = self.config.files.iter().map(|file| Followed { value: of_file(&file.path), checks: Vec::new() });
        let sessions =
            self.config.bfd_sessions.iter().map(|name| Followed { value: of_session(name), checks: Vec::new() });
        self.followers = Followers { files: files.collect(), sessions: sessions.collect() };
        for (pool, config) in (0..).map(PoolId).zip(&self.config.pools) {
            for (server, config) in (0..).map(|server| ServerId { pool, server }).zip(&config.servers) {
                for (check, config) in (0..).map(|check| CheckId { server, check }).zip(&config.checks) {
                    let list = match &config.probe {
                        Probe::File { file, .. } => {
                            self.followers.files.get_mut(file.0 as usize).map(|file| &mut file.checks)
                        }
                        Probe::Bfd { session } => {
                            self.followers.sessions.get_mut(session.0 as usize).map(|session| &mut session.checks)
                        }
                        _ => None,
                    };
                    if let Some(list) = list {
                        list.push(check);
                    }
                }
            }
        }
        old
    }

    /// The state of every pool at the start.
    pub(crate) fn populate(&mut self, now: Instant) {
        let old = std::mem::take(&mut self.pools);
        debug_assert!(old.is_empty(), "a balancer starts once");
        self.pools = self.config.pools.iter().map(|config| PoolState::new(now, config)).collect();
        for index in 0..self.pools.len() {
            let config = &self.config.pools[index];
            let servers = config
                .servers
                .iter()
                .map(|server| ServerState::new(now, config, server, self.admin_of(config, server)));
            self.pools[index].servers = servers.collect();
        }
    }

    /// Says what is to be said of servers and pools that the new configuration does not know, while they still have their
    /// identifiers.
    fn depart(&mut self, now: Instant, matches: &Matches, actions: &mut Vec<Action>) {
        let mut work = Work::default();
        for pool in self.pool_ids() {
            if matches.unchanged.contains(&pool) {
                continue;
            }
            let stays = matches.servers.get(&pool);
            for server in self.server_ids(pool) {
                if !stays.is_some_and(|stays| stays.contains_key(&server.server)) {
                    self.rest(server, actions);
                    self.say_server_farewell(now, server, "no longer in the configuration", &mut work);
                }
            }
            if stays.is_none() {
                self.say_farewell(now, pool, "no longer in the configuration", &mut work);
            }
            // Checks that are not the same any more; the others keep their run.
            for (old, new) in stays.into_iter().flatten() {
                let server = ServerId { pool, server: *old };
                let gone = (0..self.server(server).checks.len() as u32).filter(|check| !new.checks.contains_key(check));
                for check in gone.collect::<Vec<_>>() {
                    let id = CheckId { server, check };
                    if let Some((_, CheckState { run: Run::UnderWay { run, .. }, .. })) = self.check_mut(id) {
                        actions.push(Action::Cancel { check: id, run: *run });
                    }
                }
            }
        }
        actions.extend(work.notices.into_iter().map(Action::Notify));
    }

    /// Moves the old state under the new configuration. Returns the servers that are new.
    fn migrate(
        &mut self,
        now: Instant,
        old: Vec<PoolState>,
        old_config: &Config,
        matches: &Matches,
    ) -> BTreeSet<ServerId> {
        let mut old: Vec<Option<PoolState>> = old.into_iter().map(Some).collect();
        let mut arrived = BTreeSet::new();
        for (id, from) in (0..).map(PoolId).zip(&matches.pools) {
            let config = &self.config.pools[id.0 as usize];
            let from = match from {
                Origin::Unchanged(from) => {
                    self.pools.extend(old.get_mut(*from).and_then(Option::take));
                    continue;
                }
                Origin::Changed(from) => Some(*from),
                Origin::New => None,
            };
            let Some((from, mut state)) = from.and_then(|from| Some((from, old.get_mut(from)?.take()?))) else {
                arrived.extend((0..config.servers.len() as u32).map(|server| ServerId { pool: id, server }));
                let mut state = PoolState::new(now, config);
                state.servers.extend(config.servers.iter().map(|server| self.arriving(now, config, server)));
                self.pools.push(state);
                continue;
            };
            let mut old_servers: Vec<Option<ServerState>> =
                std::mem::take(&mut state.servers).into_iter().map(Some).collect();
            let origins: HashMap<u32, (u32, &ServerMatch)> = matches
                .servers
                .get(&PoolId(from as u32))
                .into_iter()
                .flatten()
                .map(|(old, new)| (new.index, (*old, new)))
                .collect();
            for (index, server) in (0..).zip(&config.servers) {
                let origin = origins.get(&index);
                let kept = origin.and_then(|(old, _)| old_servers.get_mut(*old as usize)?.take());
                let Some(((old_index, matched), mut kept)) = origin.zip(kept) else {
                    arrived.insert(ServerId { pool: id, server: index });
                    state.servers.push(self.arriving(now, config, server));
                    continue;
                };
                let old_server = &old_config.pools[from].servers[*old_index as usize];
                kept.admin = self.admin_of(config, server);
                kept.keep_checks(config, server, old_server, matched);
                state.servers.push(kept);
            }
            state.weight_sum = state.servers.iter().map(|server| u64::from(server.counted)).sum();
            self.pools.push(state);
        }
        arrived
    }

    /// A server that was not there before. Its weight may rise slowly: the others are warm.
    fn arriving(&self, now: Instant, pool: &Pool, server: &Server) -> ServerState {
        let mut state = ServerState::new(now, pool, server, self.admin_of(pool, server));
        state.admitted = false;
        state.may_ramp = true;
        state
    }

    /// Timers, and the consequences of everything that is different.
    fn resume(
        &mut self,
        now: Instant,
        matches: &Matches,
        arrived: &BTreeSet<ServerId>,
        work: &mut Work,
        actions: &mut Vec<Action>,
    ) {
        self.timers.clear();
        self.carried.clear();
        for (pool, state) in (0..).map(PoolId).zip(&self.pools) {
            for (server, state) in (0..).map(|server| ServerId { pool, server }).zip(&state.servers) {
                if let Some(ramp) = state.ramp {
                    self.timers.set(ramp.step_at, Timer::Ramp(server));
                }
                for (check, state) in (0..).map(|check| CheckId { server, check }).zip(&state.checks) {
                    match state.run {
                        Run::Waiting(at) => self.timers.set(at, Timer::Run(check)),
                        Run::UnderWay { run, overdue_at, .. } => {
                            self.carried.insert(run, check);
                            self.timers.set(overdue_at, Timer::Overdue(check));
                        }
                        Run::Following | Run::Suspended => {}
                    }
                }
            }
        }
        let followed: Vec<CheckId> = {
            let files = self.followers.files.iter().flat_map(|file| &file.checks);
            files.chain(self.followers.sessions.iter().flat_map(|session| &session.checks)).copied().collect()
        };
        for check in followed {
            let is_new = self.check_mut(check).is_some_and(|(_, state)| state.last.is_none());
            if is_new {
                self.judge_followed(now, check);
            }
        }
        for (pool, origin) in self.pool_ids().zip(&matches.pools) {
            if matches!(origin, Origin::Unchanged(_)) {
                continue;
            }
            self.follow_addresses(now, pool, actions);
            for server in self.server_ids(pool) {
                if arrived.contains(&server) {
                    let state = self.server_mut(server);
                    state.health = state.judged();
                    self.open_server(now, server, work);
                } else {
                    self.schedule_resting(now, server);
                }
                self.settle(now, server, Cause::Reload, work, actions);
            }
            self.weigh_quorum(now, pool, Cause::Reload, work, actions);
            self.place_all(now, pool, work);
        }
    }

    /// What the table was to hold for a pool that changes, while it still has its old number.
    fn entry_before(&self, origin: Origin) -> Option<Entry> {
        match origin {
            Origin::Changed(old) => self.entry(PoolId(old as u32)),
            Origin::Unchanged(_) | Origin::New => None,
        }
    }

    fn admin_of(&self, pool: &Pool, server: &Server) -> crate::AdminState {
        if self.admin.is_empty() {
            return crate::AdminState::Enabled;
        }
        self.admin.get(&(pool.name.clone(), server.name())).copied().unwrap_or_default()
    }
}

impl ServerState {
    /// Keeps the state of the checks that are the same. Those that are new begin as the server is.
    fn keep_checks(&mut self, pool: &Pool, new: &Server, old: &Server, matched: &ServerMatch) {
        let mut before: Vec<Option<CheckState>> = std::mem::take(&mut self.checks).into_iter().map(Some).collect();
        let origins: BTreeMap<u32, u32> = matched.checks.iter().map(|(old, new)| (*new, *old)).collect();
        // Without checks it was up by default, and a check that must succeed first may well ask for that.
        let was_proved = !old.checks.is_empty();
        for (index, check) in (0..).zip(&new.checks) {
            let kept = origins.get(&index).and_then(|old| before.get_mut(*old as usize)?.take());
            self.checks.push(kept.unwrap_or_else(|| {
                let mut state = CheckState::new(check, is_alpha(pool, new, check));
                match self.health {
                    Health::Up if was_proved => {
                        state.standing = Standing::Passing { n_failures: check.timing.retries };
                    }
                    Health::Up => {}
                    Health::Down => state.standing = Standing::Unproven,
                }
                state
            }));
        }
    }
}

/// What of the old configuration is in the new one.
struct Matches {
    /// For each new pool.
    pools: Vec<Origin>,
    /// Old pools that stay as they are.
    unchanged: HashSet<PoolId>,
    /// For each old pool that stays and changes, its servers that stay, by their old index.
    servers: HashMap<PoolId, BTreeMap<u32, ServerMatch>>,
}

/// Where a new pool comes from: the index of an old one.
#[derive(Clone, Copy)]
enum Origin {
    /// Word for word the same: nearly all of them at most reloads, and moved without a closer look.
    Unchanged(usize),
    Changed(usize),
    New,
}

/// A server that stays.
struct ServerMatch {
    /// Its new index.
    index: u32,
    /// New indices of its checks that stay, by the old ones.
    checks: BTreeMap<u32, u32>,
}

impl Matches {
    fn new(old: &Config, new: &Config) -> Self {
        let same_names = (&old.scripts, &old.files, &old.bfd_sessions) == (&new.scripts, &new.files, &new.bfd_sessions);
        let mut pools = Vec::with_capacity(new.pools.len());
        let mut unchanged = HashSet::new();
        let mut servers = HashMap::new();
        for (new_pool, old_index) in new.pools.iter().zip(match_pools(old, new)) {
            let Some(old_index) = old_index else {
                pools.push(Origin::New);
                continue;
            };
            let old_pool = &old.pools[old_index];
            if same_names && (Arc::ptr_eq(old_pool, new_pool) || old_pool == new_pool) {
                pools.push(Origin::Unchanged(old_index));
                unchanged.insert(PoolId(old_index as u32));
                continue;
            }
            pools.push(Origin::Changed(old_index));
            let places: HashMap<(IpAddr, u16), u32> = new_pool
                .servers
                .iter()
                .zip(0..)
                .map(|(server, index)| ((server.address, server.port), index))
                .collect();
            let stays = (0..).zip(&old_pool.servers).filter_map(|(old_server, server)| {
                let index = *places.get(&(server.address, server.port))?;
                let checks = match_checks((old, &server.checks), (new, &new_pool.servers[index as usize].checks));
                Some((old_server, ServerMatch { index, checks }))
            });
            servers.insert(PoolId(old_index as u32), stays.collect());
        }
        Matches { pools, unchanged, servers }
    }
}

/// First by name and protocol, then, for what is left, by services (a group that got another name).
fn match_pools(old: &Config, new: &Config) -> Vec<Option<usize>> {
    let mut by_name: HashMap<(&str, Option<Protocol>), Vec<usize>> = HashMap::new();
    for (index, pool) in old.pools.iter().enumerate().rev() {
        by_name.entry((pool.name.as_str(), pool.protocol)).or_default().push(index);
    }
    let mut found: Vec<Option<usize>> =
        new.pools.iter().map(|pool| by_name.get_mut(&(pool.name.as_str(), pool.protocol))?.pop()).collect();
    let mut by_services: HashMap<&[ServiceKey], usize> =
        by_name.into_values().flatten().map(|index| (old.pools[index].services.as_slice(), index)).collect();
    for (pool, found) in new.pools.iter().zip(&mut found) {
        if found.is_none() {
            *found = by_services.remove(pool.services.as_slice());
        }
    }
    found
}

fn match_checks((old, olds): (&Config, &[Check]), (new, news): (&Config, &[Check])) -> BTreeMap<u32, u32> {
    let mut matched = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (old_index, old_check) in (0..).zip(olds) {
        let is_free_and_same =
            |(index, check): &(u32, &Check)| !taken.contains(index) && is_same((old, old_check), (new, *check));
        if let Some((new_index, _)) = (0..).zip(news).find(is_free_and_same) {
            taken.insert(new_index);
            matched.insert(old_index, new_index);
        }
    }
    matched
}

/// Identical, where scripts, files and sessions are what they name and not their index.
fn is_same((old_config, old): (&Config, &Check), (new_config, new): (&Config, &Check)) -> bool {
    let same_probe = match (&old.probe, &new.probe) {
        (Probe::Misc { script: a, dynamic: x }, Probe::Misc { script: b, dynamic: y }) => {
            x == y && old_config.scripts.get(a.0 as usize) == new_config.scripts.get(b.0 as usize)
        }
        (Probe::File { file: a, weight: v, reverse: x }, Probe::File { file: b, weight: w, reverse: y }) => {
            (v, x) == (w, y) && old_config.files.get(a.0 as usize) == new_config.files.get(b.0 as usize)
        }
        (Probe::Bfd { session: a }, Probe::Bfd { session: b }) => {
            old_config.bfd_sessions.get(a.0 as usize) == new_config.bfd_sessions.get(b.0 as usize)
        }
        (a, b) => a == b,
    };
    same_probe
        && old.target == new.target
        && old.timing == new.timing
        && old.alpha == new.alpha
        && old.log_all_failures == new.log_all_failures
}
