//! Configurations that a seed makes, and what it changes about them.

use crate::random::Random;
use evenkeel_balance::config::{
    BfdId, Check, Config, FileId, HttpProbe, HttpVersion, Pool, Probe, Script, ScriptId, Server, Sorry, Target, Timing,
    TrackFile, UrlProbe,
};
use evenkeel_balance::table::{Forward, Protocol, Scheduler, Service, ServiceFlags, ServiceKey};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Servers have the addresses `10.0.1.0` to this, less one.
pub(super) const N_HOSTS: usize = 8;
/// Files and BFD sessions.
pub(super) const N_FOLLOWED: usize = 2;
/// The longest that anything takes to be seen, with all retries: what a settled world waits for.
pub(super) const SETTLED: Duration = Duration::from_secs(90);

pub(super) fn config(random: &mut Random) -> Config {
    let n_pools = 1 + random.below(3);
    let script = Script { argv: vec!["/bin/check".to_owned()], user: None, timeout: None };
    let file = |n| TrackFile { name: format!("file{n}"), path: format!("/run/file{n}") };
    Config {
        pools: (0..n_pools).map(|index| Arc::new(pool(random, index as u8))).collect(),
        scripts: vec![script],
        files: (0..N_FOLLOWED).map(file).collect(),
        bfd_sessions: (0..N_FOLLOWED).map(|n| format!("session{n}")).collect(),
        notices_at_start: false,
        ..Config::default()
    }
}

/// Another configuration that has much in common with the old.
pub(super) fn mutated(random: &mut Random, old: &Config) -> Config {
    let mut new = old.clone();
    for _ in 0..1 + random.below(3) {
        let n_pools = new.pools.len();
        let chosen = random.below(n_pools);
        match random.below(9) {
            0 if n_pools > 1 => {
                new.pools.swap(chosen, 0);
            }
            1 if n_pools > 1 => {
                new.pools.remove(chosen);
            }
            2 => {
                let unused = (0..8).find(|n| new.pools.iter().all(|pool| pool.name != name(*n)));
                new.pools.extend(unused.map(|index| Arc::new(pool(random, index))));
            }
            3 => Arc::make_mut(&mut new.pools[chosen]).quorum = NonZeroU32::MIN.saturating_add(random.below(5) as u32),
            4 => {
                let sorry = if random.percent(50) { Some(sorry(random)) } else { None };
                Arc::make_mut(&mut new.pools[chosen]).sorry = sorry;
            }
            5 => {
                let servers = &mut Arc::make_mut(&mut new.pools[chosen]).servers;
                let n_servers = servers.len();
                if n_servers > 1 {
                    servers.rotate_left(1 + random.below(n_servers - 1));
                }
            }
            6 => {
                let servers = &mut Arc::make_mut(&mut new.pools[chosen]).servers;
                if !servers.is_empty() {
                    servers.remove(random.below(servers.len()));
                }
            }
            7 => {
                let host = random.below(N_HOSTS) as u8;
                let pool = Arc::make_mut(&mut new.pools[chosen]);
                if pool.servers.iter().all(|server| server.address != address(host)) {
                    pool.servers.push(server(random, host));
                }
            }
            _ => {
                let servers = &mut Arc::make_mut(&mut new.pools[chosen]).servers;
                if !servers.is_empty() {
                    let index = random.below(servers.len());
                    servers[index].weight = random.below(20) as u32;
                    if random.percent(50) {
                        servers[index].checks = checks(random, index as u8);
                    }
                }
            }
        }
    }
    new
}

pub(super) fn address(host: u8) -> IpAddr {
    IpAddr::from([10, 0, 1, host])
}

/// The virtual address of a pool, for its name.
pub(super) fn virtual_address(index: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, index])
}

fn name(index: u8) -> String {
    format!("[{}]:tcp:80", virtual_address(index))
}

fn pool(random: &mut Random, index: u8) -> Pool {
    let key = |port| ServiceKey::Address { protocol: Protocol::Tcp, address: virtual_address(index), port };
    let n_services = 1 + random.below(2) as u16;
    let mut servers = Vec::new();
    for host in 0..N_HOSTS as u8 {
        if random.percent(50) {
            servers.push(server(random, host));
        }
    }
    Pool {
        name: name(index),
        label: None,
        services: (0..n_services).map(|n| key(80 + n)).collect(),
        protocol: Some(Protocol::Tcp),
        service: Service { scheduler: Scheduler::Wlc, flags: ServiceFlags::default(), persistence: None },
        servers,
        sorry: if random.percent(60) { Some(sorry(random)) } else { None },
        quorum: NonZeroU32::MIN.saturating_add(random.pick(&[0, 0, 0, 1, 5, 20])),
        hysteresis: random.pick(&[0, 0, 1, 3]),
        alpha: random.percent(20),
        omega: random.percent(30),
        ha_suspend: random.percent(15),
        quorum_up: None,
        quorum_down: None,
        mail: false,
    }
}

fn server(random: &mut Random, host: u8) -> Server {
    Server {
        address: address(host),
        port: 80,
        label: None,
        weight: random.pick(&[1, 1, 1, 3, 10, 0]),
        forward: Forward::Direct,
        upper_threshold: 0,
        lower_threshold: 0,
        inhibit_on_failure: random.percent(25),
        alpha: random.percent(25),
        slow_start: random.percent(25).then(|| random.span(Duration::from_millis(1), Duration::from_secs(30))),
        notify_up: None,
        notify_down: None,
        mail: false,
        checks: checks(random, host),
    }
}

fn sorry(random: &mut Random) -> Sorry {
    Sorry { address: IpAddr::from([10, 0, 9, 9]), port: 80, forward: Forward::Direct, inhibit: random.percent(30) }
}

fn checks(random: &mut Random, host: u8) -> Vec<Check> {
    let n_checks = random.pick(&[0, 1, 1, 1, 2, 3]);
    (0..n_checks).map(|_| check(random, host)).collect()
}

fn check(random: &mut Random, host: u8) -> Check {
    let followed = random.below(N_FOLLOWED) as u32;
    let probe = match random.below(8) {
        0 | 1 => Probe::Tcp,
        2 => Probe::Http(HttpProbe {
            tls: None,
            version: HttpVersion::V10,
            urls: vec![url(); 1 + random.below(3)],
            fast_recovery: random.percent(50),
        }),
        3 => Probe::Misc { script: ScriptId(0), dynamic: random.percent(70) },
        4 => Probe::File { file: FileId(followed), weight: random.pick(&[0, 0, 2, -1]), reverse: random.percent(30) },
        5 => Probe::Bfd { session: BfdId(followed) },
        6 => Probe::Agent { send: None },
        _ => Probe::Ping,
    };
    let target = Target {
        address: address(host),
        port: 80,
        source: None,
        source_port: None,
        interface: None,
        mark: None,
        via_dataplane: false,
    };
    Check {
        probe,
        target: Some(target),
        timing: Timing {
            interval: random.span(Duration::from_millis(500), Duration::from_secs(8)),
            timeout: Duration::from_secs(3),
            retries: random.below(3) as u32,
            retry_delay: random.span(Duration::from_millis(100), Duration::from_secs(4)),
            warmup: random.span(Duration::ZERO, Duration::from_secs(5)),
        },
        alpha: random.percent(15),
        log_all_failures: random.percent(20),
    }
}

fn url() -> UrlProbe {
    UrlProbe {
        path: "/".to_owned(),
        virtualhost: None,
        sni: None,
        statuses: vec![(200, 299)],
        digest: None,
        regex: None,
        tls_compliant: false,
    }
}
