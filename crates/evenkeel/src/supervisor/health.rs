//! Whether the local proxy serves: what `track_proxy` goes by.

use evenkeel_site::Status;
use evenkeel_site::config::ListenAddress;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Limit of one connection and of the status question.
pub const LIMIT: Duration = Duration::from_secs(1);

/// Period of the checks.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Silences in a row that count. Once may be a moment of load; a dead process or a refused connection counts at once.
const PATIENCE: u32 = 2;

/// A proxy that has not answered its supervisor for so long, or is not ready so long after its start, is killed: what it
/// accepts nobody serves, and its successor may.
pub const PATIENCE_TO_KILL: Duration = Duration::from_secs(10);

/// What one check found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The answer to the status question, if one came in time.
    pub status: Option<Status>,
    /// Listeners that did not take a connection.
    pub failed: Vec<Failed>,
}

/// A listener that did not take a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Where.
    pub address: SocketAddr,
    /// Refused, or no answer in time.
    pub how: Failure,
}

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// At once.
    Refused,
    /// By its time limit.
    Silent,
}

impl Findings {
    /// The process, or a worker of it, said nothing. A listener that takes no connection is no such sign: it may be busy.
    fn hangs(&self) -> bool {
        self.status.as_ref().is_none_or(|status| status.workers_alive < status.workers)
    }
}

/// The judgement over the checks so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it serves.
    pub healthy: bool,
    /// Why.
    pub reason: String,
    /// There was a judgement: a proxy that is starting has not failed.
    is_judged: bool,
    n_silent: u32,
    hangs_since: Option<Instant>,
}

impl Default for Health {
    fn default() -> Self {
        let reason = "the proxy has not started yet".to_owned();
        Health { healthy: false, reason, is_judged: false, n_silent: 0, hangs_since: None }
    }
}

impl Health {
    /// What to tell others; nothing before the first judgement.
    pub fn judgement(&self) -> Option<(bool, String)> {
        self.is_judged.then(|| (self.healthy, self.reason.clone()))
    }

    /// For how long the process has not answered.
    pub fn silent_for(&self, now: Instant) -> Duration {
        self.hangs_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Takes in one check; true when the judgement changed.
    pub fn judge(&mut self, now: Instant, findings: &Findings) -> bool {
        self.hangs_since = findings.hangs().then(|| self.hangs_since.unwrap_or(now));
        match verdict(findings) {
            Verdict::Well => {
                self.n_silent = 0;
                self.set(true, "the proxy answers and every upstream has a live server".to_owned())
            }
            Verdict::Silent(reason) => {
                self.n_silent += 1;
                // It stays what it was until the silence is too long.
                self.n_silent >= PATIENCE && self.set(false, reason)
            }
            Verdict::Ill(reason) => {
                self.n_silent = 0;
                self.set(false, reason)
            }
        }
    }

    /// The process is not there. True when the judgement changed.
    pub fn gone(&mut self, reason: String) -> bool {
        self.hangs_since = None;
        self.n_silent = 0;
        self.set(false, reason)
    }

    fn set(&mut self, healthy: bool, reason: String) -> bool {
        let changed = !self.is_judged || self.healthy != healthy || self.reason != reason;
        self.is_judged = true;
        self.healthy = healthy;
        self.reason = reason;
        changed
    }
}

enum Verdict {
    Well,
    Silent(String),
    Ill(String),
}

fn verdict(findings: &Findings) -> Verdict {
    if let Some(refused) = findings.failed.iter().find(|failed| failed.how == Failure::Refused) {
        return Verdict::Ill(format!("nothing listens on {}", refused.address));
    }
    let Some(status) = &findings.status else {
        return Verdict::Silent("the proxy does not answer its supervisor".to_owned());
    };
    if status.workers_alive < status.workers {
        let silent = status.workers - status.workers_alive;
        return Verdict::Silent(format!("{silent} of {} workers of the proxy do not answer", status.workers));
    }
    if let Some(silent) = findings.failed.first() {
        return Verdict::Silent(format!("{} takes no connection within {LIMIT:?}", silent.address));
    }
    match status.upstreams.iter().find(|upstream| !upstream.alive()) {
        Some(upstream) => Verdict::Ill(format!("upstream {} has no live server", upstream.name)),
        None => Verdict::Well,
    }
}

/// Connects to each listener of this machine.
pub async fn connect_all(addresses: Vec<ListenAddress>) -> Vec<Failed> {
    let mut attempts = tokio::task::JoinSet::new();
    for address in addresses {
        let ListenAddress::Tcp(address) = address else { continue };
        if let Some(address) = reachable(address) {
            attempts.spawn(async move { Some((address, connect(address).await?)) });
        }
    }
    let mut failed = Vec::new();
    while let Some(result) = attempts.join_next().await {
        failed.extend(result.ok().flatten().map(|(address, how)| Failed { address, how }));
    }
    failed.sort_by_key(|failed| failed.address);
    failed
}

async fn connect(address: SocketAddr) -> Option<Failure> {
    match tokio::time::timeout(LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => None,
        Ok(Err(_)) => Some(Failure::Refused),
        Err(_) => Some(Failure::Silent),
    }
}

/// Where to connect to reach our own listener; `None` when its address is not on this machine now. To connect then would
/// ask the peer.
fn reachable(address: SocketAddr) -> Option<SocketAddr> {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    UdpSocket::bind((ip, 0)).ok().map(|_| SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_site::{ServerStatus, UpstreamStatus};

    fn answering(alive: bool) -> Findings {
        let server = ServerStatus { alive, ..ServerStatus::default() };
        let upstreams = vec![UpstreamStatus { name: "kd".to_owned(), servers: vec![server] }];
        Findings {
            status: Some(Status { workers: 1, workers_alive: 1, upstreams, ..Status::default() }),
            failed: vec![],
        }
    }

    #[test]
    fn one_silence_is_forgiven_and_two_are_not() {
        let mut health = Health::default();
        assert!(health.judge(Instant::now(), &answering(true)) && health.healthy);
        assert!(!health.judge(Instant::now(), &Findings::default()));
        assert!(!health.judge(Instant::now(), &answering(true)));
        assert!(!health.judge(Instant::now(), &Findings::default()));
        assert!(health.judge(Instant::now(), &Findings::default()));
        assert_eq!((health.healthy, health.reason.as_str()), (false, "the proxy does not answer its supervisor"));
    }

    #[test]
    fn a_proxy_that_is_starting_is_not_said_to_have_failed() {
        let mut health = Health::default();
        assert_eq!(health.judgement(), None);
        assert!(health.gone("the proxy exited with status 1".to_owned()), "the first judgement is news");
        assert_eq!(health.judgement(), Some((false, "the proxy exited with status 1".to_owned())));
    }

    #[test]
    fn silence_of_the_process_adds_up_and_that_of_a_listener_does_not() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let busy = Failed { address: "127.0.0.1:80".parse().unwrap(), how: Failure::Silent };
        let mut worker_hangs = answering(true);
        worker_hangs.status.as_mut().unwrap().workers_alive = 0;
        // Second, what is found, and for how long nothing was said then.
        let rows = [
            (1, answering(true), 0),
            (2, Findings { failed: vec![busy], ..answering(true) }, 0),
            (3, Findings::default(), 0),
            (8, worker_hangs, 5),
            (13, Findings::default(), 10),
            (14, answering(true), 0),
            (15, Findings::default(), 0),
        ];
        let mut health = Health::default();
        for (second, findings, silent) in rows {
            health.judge(after(second), &findings);
            assert_eq!(health.silent_for(after(second)).as_secs(), silent, "at second {second}");
        }
    }

    #[test]
    fn a_dead_upstream_or_a_closed_listener_counts_at_once() {
        let mut health = Health::default();
        health.judge(Instant::now(), &answering(true));
        assert!(health.judge(Instant::now(), &answering(false)));
        assert_eq!(health.reason, "upstream kd has no live server");
        health.judge(Instant::now(), &answering(true));
        let address = "127.0.0.1:80".parse().unwrap();
        let mut findings = answering(true);
        findings.failed.push(Failed { address, how: Failure::Refused });
        assert!(health.judge(Instant::now(), &findings));
        assert_eq!(health.reason, "nothing listens on 127.0.0.1:80");
    }

    #[test]
    fn a_listener_on_an_address_that_is_elsewhere_is_not_asked() {
        assert_eq!(reachable("192.0.2.1:80".parse().unwrap()), None);
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()), Some("127.0.0.1:80".parse().unwrap()));
    }
}
