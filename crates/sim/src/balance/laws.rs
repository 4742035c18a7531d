//! What must hold: after every event, after a reload, when nothing has happened for long, and in the end.

use super::world::{Truth, World};
use evenkeel_balance::config::{Config, Pool, Probe, Server};
use evenkeel_balance::status::{PoolStatus, ServerStatus, ServerWord, Status};
use evenkeel_balance::table::{DestinationKey, Entry};
use evenkeel_balance::{Action, AdminState, Notice};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What the notices have said, by name: servers and pools of old configurations have no number any more.
#[derive(Default)]
pub(super) struct Told {
    servers: BTreeMap<(String, String), bool>,
    quorums: BTreeMap<String, bool>,
}

impl Told {
    pub(super) fn is_new(&self) -> bool {
        self.quorums.is_empty()
    }

    /// Before the first word: what need not prove itself is up.
    pub(super) fn begin(&mut self, config: &Config) {
        for pool in &config.pools {
            self.quorums.insert(pool.name.clone(), !pool.alpha);
            for server in &pool.servers {
                self.servers.insert((pool.name.clone(), server.name()), begins_up(pool, server));
            }
        }
    }

    /// Law: notices alternate. Returns how many there were.
    pub(super) fn hear(&mut self, config: &Config, actions: &[Action]) -> Result<u64, String> {
        let mut n_notices = 0;
        for action in actions {
            let Action::Notify(notice) = action else { continue };
            n_notices += 1;
            let (what, known, now) = match notice {
                Notice::Server { server, up, .. } => {
                    let pool = &config.pools[server.pool.0 as usize];
                    let key = (pool.name.clone(), pool.servers[server.server as usize].name());
                    (format!("{key:?}"), self.servers.insert(key, *up), *up)
                }
                Notice::Quorum { pool, gained, .. } => {
                    let name = config.pools[pool.0 as usize].name.clone();
                    (format!("quorum of {name}"), self.quorums.insert(name, *gained), *gained)
                }
            };
            if known != Some(!now) {
                return Err(format!("notices alternate: {what} is {now}, and was {known:?}"));
            }
        }
        Ok(n_notices)
    }

    /// Forgets what is gone, and takes up what is new as it says that it is, before the notices among `later`.
    pub(super) fn reconfigure(&mut self, old: &Config, new: &Config, status: &Status, later: &[Action]) {
        let old_servers: BTreeMap<_, _> = std::mem::take(&mut self.servers);
        let old_quorums: BTreeMap<_, _> = std::mem::take(&mut self.quorums);
        let was_pool = |name: &String| old.pools.iter().any(|pool| pool.name == *name);
        for (pool, seen) in new.pools.iter().zip(&status.pools) {
            let turned =
                |what: &Notice| later.iter().any(|action| matches!(action, Action::Notify(said) if same(said, what)));
            let quorum = Notice::Quorum { pool: seen.id, gained: seen.quorum, script: None, mail: false };
            let before = old_quorums.get(&pool.name).copied().filter(|_| was_pool(&pool.name));
            self.quorums.insert(pool.name.clone(), before.unwrap_or(seen.quorum != turned(&quorum)));
            for (index, (server, seen_server)) in (0..).zip(pool.servers.iter().zip(&seen.servers)) {
                let key = (pool.name.clone(), server.name());
                let was_there = old
                    .pools
                    .iter()
                    .any(|old| old.name == pool.name && old.servers.iter().any(|old| old.name() == server.name()));
                let id = evenkeel_balance::ServerId { pool: seen.id, server: index };
                let notice =
                    Notice::Server { server: id, up: seen_server.up, script: None, mail: false, reason: String::new() };
                let before = old_servers.get(&key).copied().filter(|_| was_there);
                self.servers.insert(key, before.unwrap_or(seen_server.up != turned(&notice)));
            }
        }
    }
}

fn same(a: &Notice, b: &Notice) -> bool {
    match (a, b) {
        (Notice::Server { server: a, up: x, .. }, Notice::Server { server: b, up: y, .. }) => (a, x) == (b, y),
        (Notice::Quorum { pool: a, gained: x, .. }, Notice::Quorum { pool: b, gained: y, .. }) => (a, x) == (b, y),
        (Notice::Server { .. }, Notice::Quorum { .. }) | (Notice::Quorum { .. }, Notice::Server { .. }) => false,
    }
}

pub(super) fn n_usable(entry: Option<&Entry>) -> usize {
    entry.map_or(0, |entry| entry.destinations.values().filter(|to| to.weight > 0).count())
}

/// After every event.
pub(super) fn always(world: &World) -> Result<(), String> {
    let balancer = &world.balancer;
    if world.table != balancer.desired_table() {
        return Err(format!("the table is what it should be: {:?}", world.table));
    }
    let status = balancer.status(world.now());
    if balancer.deadline().is_none() && status.pools.iter().any(|pool| pool.servers.iter().any(waits)) {
        return Err("there is a deadline while a check waits: there is none".to_owned());
    }
    let checks = || status.pools.iter().flat_map(|pool| &pool.servers).flat_map(|server| &server.checks);
    let n_running = checks().filter(|check| check.running_for.is_some()).count();
    if n_running != world.n_under_way() {
        return Err(format!("one probe for a check that runs: {n_running} checks, {} probes", world.n_under_way()));
    }
    for (config, pool) in balancer.config().pools.iter().zip(&status.pools) {
        if world.told.quorums.get(&pool.name) != Some(&pool.quorum) {
            return Err(format!("what was said of a quorum is so: {} is {}", pool.name, pool.quorum));
        }
        if pool.suspended && pool.servers.iter().any(|server| server.checks.iter().any(|check| check.next_in.is_some()))
        {
            return Err(format!("checks rest while the address is elsewhere: {}", pool.name));
        }
        for key in &config.services {
            let Some(entry) = world.table.get(key) else { return Err(format!("a service is there: {key:?}")) };
            of_entry(config, pool, entry)?;
        }
        for server in &pool.servers {
            if world.told.servers.get(&(pool.name.clone(), server.name.clone())) != Some(&server.up) {
                return Err(format!("what was said of a server is so: {} is {}", server.name, server.up));
            }
        }
    }
    Ok(())
}

fn waits(server: &ServerStatus) -> bool {
    server.checks.iter().any(|check| check.next_in.is_some())
}

/// The destinations follow from the states.
fn of_entry(config: &Pool, pool: &PoolStatus, entry: &Entry) -> Result<(), String> {
    let weight_of =
        |address: IpAddr, port| entry.destinations.get(&DestinationKey { address, port }).map(|to| to.weight);
    let takes_over = !pool.quorum && config.sorry.is_some();
    for (config, server) in config.servers.iter().zip(&pool.servers) {
        let weight = weight_of(config.address, config.port);
        let inhibited = config.inhibit_on_failure.then_some(0);
        let is_right = match server.state {
            ServerWord::Disabled => weight.is_none(),
            ServerWord::Down | ServerWord::Unproven => weight == inhibited,
            ServerWord::Drained => weight.unwrap_or(0) == 0,
            _ if takes_over => weight.unwrap_or(0) == 0,
            ServerWord::Waiting => false,
            ServerWord::Up => weight.is_some_and(|weight| weight <= server.full_weight),
        };
        let said = match server.admin {
            AdminState::Disabled => server.state == ServerWord::Disabled,
            AdminState::Drained => server.state != ServerWord::Up,
            AdminState::Enabled | AdminState::Weight(_) => true,
        };
        let is_right = is_right && said && (server.up || server.state != ServerWord::Up);
        if !is_right {
            return Err(format!("a server has the weight of its state: {weight:?} for {server:?}"));
        }
    }
    if let Some(sorry) = &config.sorry {
        let expected = if takes_over { Some(1) } else { sorry.inhibit.then_some(0) };
        let weight = weight_of(sorry.address, sorry.port);
        if weight != expected {
            return Err(format!("the sorry server answers without quorum and only then: {weight:?}"));
        }
    }
    if (pool.weight_sum > 0 || takes_over) && n_usable(Some(entry)) == 0 {
        return Err(format!("a pool is not empty while there is somebody: {}", pool.name));
    }
    Ok(())
}

/// After a reload, servers whose configuration is the same are as before.
pub(super) fn reloaded(old: &Config, before: &Status, world: &World) -> Result<(), String> {
    let after = world.balancer.status(world.now());
    let new = world.balancer.config();
    let entries = |config: &Config, status: &Status| -> BTreeMap<(String, String), (Server, bool, ServerStatus)> {
        let pools = config.pools.iter().zip(&status.pools);
        let servers = pools.flat_map(|(pool, status)| {
            pool.servers.iter().zip(&status.servers).map(|(server, status_of)| {
                ((pool.name.clone(), server.name()), (server.clone(), status.suspended, status_of.clone()))
            })
        });
        servers.collect()
    };
    let (before, after) = (entries(old, before), entries(new, &after));
    for (key, (server, suspended, was)) in &before {
        let Some((same, still_suspended, is)) = after.get(key) else { continue };
        if same == server && suspended == still_suspended && (&is.checks, is.up) != (&was.checks, was.up) {
            return Err(format!("a reload keeps health and schedule: {key:?} was {was:?}, is {is:?}"));
        }
        if is.admin != was.admin {
            return Err(format!("a reload keeps what people said: {key:?}"));
        }
    }
    Ok(())
}

/// When nothing has happened for long, what the balancer believes is true.
pub(super) fn settled(world: &World) -> Result<(), String> {
    let status = world.balancer.status(world.now());
    for (config, pool) in world.balancer.config().pools.iter().zip(&status.pools) {
        if pool.suspended {
            continue;
        }
        for (config, server) in config.servers.iter().zip(&pool.servers) {
            let up = config.checks.iter().all(|check| passes(&check.probe, config, &world.truth));
            if server.up != up {
                return Err(format!("in the end health is true: {server:?}"));
            }
            let weight = match server.admin {
                AdminState::Weight(weight) => i64::from(weight),
                _ => (i64::from(config.weight) + added(config, &world.truth)).clamp(0, i64::from(i32::MAX)),
            };
            if up && i64::from(server.full_weight) != weight {
                return Err(format!("in the end weights are true: not {weight}: {server:?}"));
            }
            let in_pool = up && server.admin != AdminState::Disabled && !pool.sorry_in_use;
            if in_pool && server.admin != AdminState::Drained && server.weight.map(i64::from) != Some(weight) {
                return Err(format!("in the end no weight is still rising: {server:?}"));
            }
        }
        let sum = pool.weight_sum;
        if pool.quorum && (sum == 0 || sum < pool.lost_below) || !pool.quorum && sum >= pool.gained_at {
            return Err(format!("a quorum is what its thresholds say: {pool:?}"));
        }
    }
    Ok(())
}

/// After the end.
pub(super) fn left(world: &World) -> Result<(), String> {
    if !world.table.is_empty() || world.n_under_way() > 0 || world.balancer.deadline().is_some() {
        return Err("in the end nothing is left".to_owned());
    }
    Ok(())
}

fn begins_up(pool: &Pool, server: &Server) -> bool {
    server.checks.iter().all(|check| !(pool.alpha || server.alpha || check.alpha))
}

fn host(server: &Server) -> usize {
    match server.address {
        IpAddr::V4(address) => usize::from(address.octets()[3]),
        IpAddr::V6(_) => 0,
    }
}

fn passes(probe: &Probe, server: &Server, truth: &Truth) -> bool {
    match probe {
        Probe::File { file, weight, reverse } => {
            let value = i64::from(truth.files[file.0 as usize]);
            let product = value * i64::from(*weight) * if *reverse { -1 } else { 1 };
            if *weight == 0 { (value == 0) != *reverse } else { product > i64::from(i32::MIN) }
        }
        Probe::Bfd { session } => truth.sessions[session.0 as usize],
        _ => truth.alive[host(server)],
    }
}

fn added(server: &Server, truth: &Truth) -> i64 {
    let of = |probe: &Probe| match probe {
        Probe::Misc { dynamic: true, .. } => i64::from(truth.level[host(server)]) - i64::from(server.weight),
        Probe::File { file, weight, reverse } => {
            let product = i64::from(truth.files[file.0 as usize]) * i64::from(*weight) * if *reverse { -1 } else { 1 };
            product.min(i64::from(i32::MAX))
        }
        _ => 0,
    };
    server.checks.iter().map(|check| of(&check.probe)).sum()
}
