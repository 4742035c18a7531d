//! A balancer in virtual time, and pools to put into it.

#![allow(dead_code, reason = "each test file uses its part")]

use evenkeel_balance::config::{Check, Config, Pool, Probe, Script, ScriptId, Server, Sorry, Target, Timing};
use evenkeel_balance::table::{Forward, Protocol, Scheduler, Service, ServiceFlags, ServiceKey};
use evenkeel_balance::{
    Action, AdminState, Balancer, CheckId, Command, Event, Explanation, Notice, PoolId, ProbeResult, Says, ServerId,
};
use evenkeel_wire::Instant;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `10.0.0.1:80` by TCP, over the servers.
pub(crate) fn pool(servers: Vec<Server>) -> Pool {
    Pool {
        name: "[10.0.0.1]:tcp:80".to_owned(),
        label: None,
        services: vec![service("10.0.0.1", 80)],
        protocol: Some(Protocol::Tcp),
        service: Service { scheduler: Scheduler::Wlc, flags: ServiceFlags::default(), persistence: None },
        servers,
        sorry: None,
        quorum: NonZeroU32::MIN,
        hysteresis: 0,
        alpha: false,
        omega: false,
        ha_suspend: false,
        quorum_up: None,
        quorum_down: None,
        mail: false,
    }
}

pub(crate) fn service(address: &str, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: address.parse().expect("an address"), port }
}

/// `10.0.1.N:80` with weight 1 and the checks.
pub(crate) fn server(n: u8, checks: Vec<Check>) -> Server {
    Server {
        address: IpAddr::from([10, 0, 1, n]),
        port: 80,
        label: None,
        weight: 1,
        forward: Forward::Direct,
        upper_threshold: 0,
        lower_threshold: 0,
        inhibit_on_failure: false,
        alpha: false,
        slow_start: None,
        notify_up: None,
        notify_down: None,
        mail: false,
        checks,
    }
}

/// Every 10 seconds, retried twice after 2 seconds, without a warm-up.
pub(crate) fn check(probe: Probe) -> Check {
    let target = Target {
        address: IpAddr::from([10, 0, 1, 1]),
        port: 80,
        source: None,
        source_port: None,
        interface: None,
        mark: None,
        via_dataplane: false,
    };
    let timing =
        Timing { interval: seconds(10), timeout: seconds(5), retries: 2, retry_delay: seconds(2), warmup: seconds(0) };
    Check { probe, target: Some(target), timing, alpha: false, log_all_failures: false }
}

pub(crate) fn tcp() -> Vec<Check> {
    vec![check(Probe::Tcp)]
}

pub(crate) fn misc(dynamic: bool) -> Check {
    check(Probe::Misc { script: ScriptId(0), dynamic })
}

pub(crate) fn sorry() -> Option<Sorry> {
    Some(Sorry { address: IpAddr::from([10, 0, 9, 9]), port: 80, forward: Forward::Direct, inhibit: false })
}

pub(crate) fn script(word: &str) -> Script {
    Script { argv: vec![word.to_owned()], user: None, timeout: None }
}

pub(crate) fn config(pools: Vec<Pool>) -> Config {
    let pools = pools.into_iter().map(Arc::new).collect();
    Config { pools, scripts: vec![script("/bin/check")], ..Config::default() }
}

/// The first pool, to be changed.
#[allow(dead_code, reason = "not every test changes one")]
pub(crate) fn first(config: &mut Config) -> &mut Pool {
    Arc::make_mut(&mut config.pools[0])
}

pub(crate) fn id(pool: u32, server: u32) -> ServerId {
    ServerId { pool: PoolId(pool), server }
}

/// A balancer, its clock, and what it wanted last.
pub(crate) struct Node {
    pub(crate) balancer: Balancer,
    pub(crate) now: Instant,
    pub(crate) actions: Vec<Action>,
    /// Probes under way.
    pub(crate) running: Vec<(CheckId, u64, u32)>,
}

impl Node {
    /// Started at second 100.
    pub(crate) fn new(config: Config) -> Self {
        Node::with_admin(config, &[])
    }

    pub(crate) fn with_admin(config: Config, admin: &[((String, String), AdminState)]) -> Self {
        let mut node = Node {
            balancer: Balancer::new(config, admin, 7),
            now: Instant::ORIGIN + seconds(100),
            actions: Vec::new(),
            running: Vec::new(),
        };
        node.tell(Event::Deadline);
        node
    }

    /// One event now; `actions` is what it led to.
    pub(crate) fn tell(&mut self, event: Event) -> &[Action] {
        self.actions.clear();
        self.balancer.handle(self.now, event, &mut self.actions);
        self.note();
        &self.actions
    }

    pub(crate) fn reload(&mut self, config: Config) -> &[Action] {
        self.actions.clear();
        self.balancer.reconfigure(self.now, config, &mut self.actions);
        self.note();
        &self.actions
    }

    fn note(&mut self) {
        for action in &self.actions {
            match action {
                Action::Probe { check, run, url } => self.running.push((*check, *run, *url)),
                Action::Cancel { run, .. } => self.running.retain(|(_, known, _)| known != run),
                _ => {}
            }
        }
    }

    /// Goes on to the next deadline; how long that took.
    pub(crate) fn wait(&mut self) -> Duration {
        let at = self.balancer.deadline().expect("something is due");
        let waited = at.since(self.now);
        self.now = at;
        self.tell(Event::Deadline);
        waited
    }

    /// Goes on for a while, through every deadline on the way.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.balancer.deadline().filter(|at| *at <= end) {
            self.now = at;
            self.tell(Event::Deadline);
        }
        self.now = end;
    }

    /// Waits for the only probe and answers it after `took`.
    pub(crate) fn answer(&mut self, result: ProbeResult) -> Duration {
        let waited = if self.running.is_empty() { self.wait() } else { Duration::ZERO };
        let (check, run, _) = self.running.pop().expect("a probe is under way");
        assert!(self.running.is_empty(), "one probe at a time");
        self.tell(Event::Probed { check, run, result, took: Duration::from_millis(3) });
        waited
    }

    /// Answers the probe of that server's check, which must be under way.
    pub(crate) fn answer_of(&mut self, server: ServerId, check: u32, result: ProbeResult) {
        let wanted = CheckId { server, check };
        let place = self.running.iter().position(|(check, ..)| *check == wanted).expect("the probe is under way");
        let (check, run, _) = self.running.remove(place);
        self.tell(Event::Probed { check, run, result, took: Duration::from_millis(3) });
    }

    /// Answers every probe that is under way.
    pub(crate) fn answer_all(&mut self, result: &ProbeResult) {
        for (check, run, _) in std::mem::take(&mut self.running) {
            self.tell(Event::Probed { check, run, result: result.clone(), took: Duration::from_millis(3) });
        }
    }

    pub(crate) fn command(&mut self, server: ServerId, state: AdminState) -> &[Action] {
        self.tell(Event::Command(Command { server, state }))
    }

    /// The destinations of the first pool's first service, as `10.0.1.1*1 10.0.9.9*1`.
    pub(crate) fn table(&self) -> String {
        self.table_of(PoolId(0))
    }

    pub(crate) fn table_of(&self, pool: PoolId) -> String {
        let Some((_, entry)) = self.balancer.desired(pool).next() else { return "no service".to_owned() };
        let words = entry.destinations.iter().map(|(key, to)| format!("{}*{}", key.address, to.weight));
        words.collect::<Vec<_>>().join(" ")
    }

    /// The notices of the last event, as `up 0/1`, `quorum lost 0`.
    pub(crate) fn notices(&self) -> Vec<String> {
        notices(&self.actions)
    }

    pub(crate) fn explanations(&self) -> Vec<&Explanation> {
        let mut found = Vec::new();
        for action in &self.actions {
            if let Action::Explain(explanation) = action {
                found.push(explanation);
            }
        }
        found
    }

    pub(crate) fn reconciles(&self) -> usize {
        self.actions.iter().filter(|action| matches!(action, Action::Reconcile(_))).count()
    }
}

pub(crate) fn notices(actions: &[Action]) -> Vec<String> {
    let words = |action: &Action| match action {
        Action::Notify(Notice::Server { server, up, .. }) => {
            Some(format!("{} {}/{}", if *up { "up" } else { "down" }, server.pool.0, server.server))
        }
        Action::Notify(Notice::Quorum { pool, gained, .. }) => {
            Some(format!("quorum {} {}", if *gained { "gained" } else { "lost" }, pool.0))
        }
        _ => None,
    };
    actions.iter().filter_map(words).collect()
}

pub(crate) fn good() -> ProbeResult {
    ProbeResult::Passed { detail: "connected".to_owned(), says: None }
}

pub(crate) fn says(says: Says) -> ProbeResult {
    ProbeResult::Passed { detail: "it spoke".to_owned(), says: Some(says) }
}

pub(crate) fn bad() -> ProbeResult {
    ProbeResult::Failed { reason: "connection refused".to_owned() }
}

pub(crate) fn bad_url(url: u32) -> ProbeResult {
    ProbeResult::FailedAt { url, reason: "HTTP status 500".to_owned() }
}
