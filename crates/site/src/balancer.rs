use crate::config::{Method, Upstream};
use crate::hashing::{Ring, crc32};
use crate::next::Failure;
use evenkeel_wire::Instant;
use std::cmp::Ordering;
use std::time::Duration;

/// Chooses servers of one upstream as nginx does: smooth weighted round robin or another method, servers set aside for
/// `fail_timeout` after `max_fails` failures, backup servers only when no other is left.
///
/// One for each worker: nginx's workers do not share their counts either, unless told to (`zone`).
#[derive(Clone, Debug)]
pub struct Balancer {
    servers: Vec<Peer>,
    /// A single server, without backups, is tried whatever happened to it before.
    single: bool,
    method: Method,
    /// Of the servers that are no backups.
    total_weight: u64,
    ring: Ring,
}

#[derive(Clone, Debug)]
struct Peer {
    weight: i64,
    effective_weight: i64,
    current_weight: i64,
    max_fails: u32,
    fail_timeout: Duration,
    backup: bool,
    down: bool,
    probe_failing: bool,
    max_conns: u32,
    /// Requests that are with it.
    conns: u32,
    fails: u32,
    /// Of the last failure.
    accessed_at: Option<Instant>,
    /// Of the last failure, or of the first choice after `fail_timeout` was over: a server that came back gets one
    /// request in each `fail_timeout` until one succeeds.
    checked_at: Option<Instant>,
}

/// Servers that a request has been to.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    first: u64,
    rest: Vec<u64>,
    n_tried: u32,
    /// The other servers were all unavailable: the request stays with the backups.
    among_backups: bool,
    /// How far the request's hash has come.
    hash: Option<u64>,
    n_hashes: u32,
    /// Servers that the hash named and that could not be had.
    n_missed: u32,
}

/// So many servers that a hash names are asked for; then comes round robin.
const MOST_MISSED: u32 = 20;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered.
    Success,
    /// It did not.
    Failure(Failure),
}

impl Tried {
    /// How many servers the request has been to.
    pub fn count(&self) -> u32 {
        self.n_tried
    }

    fn contains(&self, server: usize) -> bool {
        let word = match server / 64 {
            0 => self.first,
            word => self.rest.get(word - 1).copied().unwrap_or_default(),
        };
        word & (1 << (server % 64)) != 0
    }

    fn insert(&mut self, server: usize) {
        let word = match server / 64 {
            0 => &mut self.first,
            word => {
                self.rest.resize(self.rest.len().max(word), 0);
                &mut self.rest[word - 1]
            }
        };
        *word |= 1 << (server % 64);
        self.n_tried += 1;
    }
}

impl Balancer {
    /// Nobody has failed yet.
    pub fn new(upstream: &Upstream) -> Balancer {
        let servers = upstream.servers.iter().map(|server| Peer {
            weight: i64::from(server.weight),
            effective_weight: i64::from(server.weight),
            current_weight: 0,
            max_fails: server.max_fails,
            fail_timeout: server.fail_timeout,
            backup: server.backup,
            down: server.down,
            probe_failing: false,
            max_conns: server.max_conns,
            conns: 0,
            fails: 0,
            accessed_at: None,
            checked_at: None,
        });
        let primaries = || upstream.servers.iter().enumerate().filter(|(_, server)| !server.backup);
        let ring = match upstream.method {
            Method::Hash { consistent: true, .. } => {
                Ring::new(primaries().map(|(index, server)| (index, server.name.as_str(), server.weight)))
            }
            _ => Ring::default(),
        };
        Balancer {
            servers: servers.collect(),
            single: upstream.servers.len() == 1,
            method: upstream.method.clone(),
            total_weight: primaries().map(|(_, server)| u64::from(server.weight)).sum(),
            ring,
        }
    }

    /// The server for the next attempt of a request, by index in `Upstream::servers`. `None` when none is left: "no live
    /// upstreams" when none was tried, else the last failure is what the client hears of. `key` is what a method by hash
    /// goes by: the key, or the client's address.
    pub fn pick(&mut self, now: Instant, tried: &mut Tried, key: &[u8]) -> Option<usize> {
        if self.single {
            let usable = !self.servers[0].down && !self.servers[0].is_full() && !tried.contains(0);
            return usable.then(|| self.take(now, tried, 0));
        }
        let by_method = match self.method {
            Method::RoundRobin | Method::LeastConn => None,
            _ if tried.among_backups || tried.n_missed > MOST_MISSED => None,
            Method::IpHash => self.pick_by_hash(now, tried, key, next_by_address),
            Method::Hash { .. } if key.is_empty() => None,
            Method::Hash { consistent: true, .. } => self.pick_from_ring(now, tried, key),
            Method::Hash { consistent: false, .. } => self.pick_by_hash(now, tried, key, next_by_key),
        };
        let picked = by_method.or_else(|| match tried.among_backups {
            true => self.pick_among(now, tried, Group::Backup),
            false => self.pick_among(now, tried, Group::Primary).or_else(|| {
                tried.among_backups = true;
                self.pick_among(now, tried, Group::Backup)
            }),
        })?;
        Some(self.take(now, tried, picked))
    }

    /// A request is through with a server that was picked for it.
    pub fn release(&mut self, server: usize) {
        if let Some(server) = self.servers.get_mut(server) {
            server.conns = server.conns.saturating_sub(1);
        }
    }

    fn take(&mut self, now: Instant, tried: &mut Tried, server: usize) -> usize {
        tried.insert(server);
        let chosen = &mut self.servers[server];
        chosen.conns += 1;
        if chosen.checked_at.is_some_and(|at| now.since(at) > chosen.fail_timeout) {
            chosen.checked_at = Some(now);
        }
        server
    }

    fn may_take(servers: &[Peer], now: Instant, tried: &Tried, group: Group, index: usize) -> bool {
        let server = &servers[index];
        server.backup == (group == Group::Backup) && !tried.contains(index) && server.available(now)
    }

    fn pick_among(&mut self, now: Instant, tried: &Tried, group: Group) -> Option<usize> {
        match self.method {
            Method::LeastConn => self.pick_least_busy(now, tried, group),
            Method::RoundRobin | Method::IpHash | Method::Hash { .. } => {
                self.take_turns(0, |servers, index| Self::may_take(servers, now, tried, group, index))
            }
        }
    }

    /// The server with the fewest requests for its weight; those with equally few take turns.
    fn pick_least_busy(&mut self, now: Instant, tried: &Tried, group: Group) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut are_many = false;
        for index in 0..self.servers.len() {
            if !Self::may_take(&self.servers, now, tried, group, index) {
                continue;
            }
            let order = best.map(|best| self.servers[index].busier_than(&self.servers[best]));
            match order {
                None | Some(Ordering::Less) => {
                    best = Some(index);
                    are_many = false;
                }
                Some(Ordering::Equal) => are_many = true,
                Some(Ordering::Greater) => {}
            }
        }
        let first = best?;
        if !are_many {
            return Some(first);
        }
        self.take_turns(first, |servers, index| {
            servers[index].busier_than(&servers[first]) == Ordering::Equal
                && Self::may_take(servers, now, tried, group, index)
        })
    }

    /// Each server in turn gains its effective weight, the one with the most is chosen and pays what all gained.
    fn take_turns(&mut self, from: usize, may: impl Fn(&[Peer], usize) -> bool) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut total = 0;
        for index in from..self.servers.len() {
            if !may(&self.servers, index) {
                continue;
            }
            let server = &mut self.servers[index];
            server.current_weight += server.effective_weight;
            total += server.effective_weight;
            if server.effective_weight < server.weight {
                server.effective_weight += 1;
            }
            let weight = server.current_weight;
            if best.is_none_or(|best| weight > self.servers[best].current_weight) {
                best = Some(index);
            }
        }
        self.servers[best?].current_weight -= total;
        best
    }

    /// `ip_hash` and `hash`: servers by weight, at the place that the hash says; another hash when that one cannot be had.
    fn pick_by_hash(
        &mut self,
        now: Instant,
        tried: &mut Tried,
        key: &[u8],
        next: fn(Option<u64>, u32, &[u8]) -> u64,
    ) -> Option<usize> {
        while tried.n_missed <= MOST_MISSED {
            let hash = next(tried.hash, tried.n_hashes, key);
            tried.hash = Some(hash);
            tried.n_hashes += 1;
            let mut place = hash.checked_rem(self.total_weight)?;
            let named = self.servers.iter().position(|server| {
                let weight = if server.backup { 0 } else { server.weight.unsigned_abs() };
                let found = place < weight;
                place -= if found { 0 } else { weight };
                found
            })?;
            if Self::may_take(&self.servers, now, tried, Group::Primary, named) {
                return Some(named);
            }
            tried.n_missed += 1;
        }
        None
    }

    /// `hash ... consistent`: the servers of the next point on the ring, and of those after it.
    fn pick_from_ring(&mut self, now: Instant, tried: &mut Tried, key: &[u8]) -> Option<usize> {
        let start = self.ring.find(crc32(&[key])) as u64;
        while tried.n_missed <= MOST_MISSED {
            let at = *tried.hash.get_or_insert(start);
            let named = self.ring.at(at)?;
            let ring = &self.ring;
            let same = |servers: &[Peer], index: usize| {
                ring.is_same(named, index) && Self::may_take(servers, now, tried, Group::Primary, index)
            };
            let mut best = None;
            // Servers of one name, the addresses of a host, take turns.
            let n_same = (0..self.servers.len()).filter(|&index| same(&self.servers, index)).count();
            if n_same > 0 {
                let may: Vec<bool> = (0..self.servers.len()).map(|index| same(&self.servers, index)).collect();
                best = self.take_turns(0, |_, index| may[index]);
            }
            if best.is_some() {
                return best;
            }
            tried.hash = Some(at + 1);
            tried.n_missed += 1;
        }
        None
    }

    /// How an attempt at a server ended. A failure that goes on to another server and one that the client sees count alike.
    pub fn report(&mut self, now: Instant, server: usize, outcome: Outcome) {
        if self.single {
            return;
        }
        let Some(server) = self.servers.get_mut(server) else { return };
        match outcome {
            Outcome::Failure(failure) if failure.counts() => {
                server.fails = server.fails.saturating_add(1);
                server.accessed_at = Some(now);
                server.checked_at = Some(now);
                if let Some(cost) = server.weight.checked_div(i64::from(server.max_fails)) {
                    server.effective_weight = (server.effective_weight - cost).max(0);
                }
            }
            Outcome::Failure(_) => {}
            // Alive again only when it was chosen after its time was over: an answer to a request that was under way
            // before the failure proves nothing.
            Outcome::Success if server.accessed_at < server.checked_at => server.fails = 0,
            Outcome::Success => {}
        }
    }

    /// What a probe says of a server: one whose probe fails gets no requests, a single one excepted.
    pub fn set_probe(&mut self, server: usize, alive: bool) {
        if let Some(server) = self.servers.get_mut(server) {
            server.probe_failing = !alive;
        }
    }

    /// Whether a request would find a server.
    pub fn alive(&self, now: Instant) -> bool {
        (0..self.servers.len()).any(|server| self.server_alive(now, server))
    }

    /// Whether a server takes requests: not `down`, not set aside, its probe not failing.
    pub fn server_alive(&self, now: Instant, server: usize) -> bool {
        let Some(server) = self.servers.get(server) else { return false };
        if self.single { !server.down && !server.probe_failing } else { server.available(now) }
    }

    /// Failures that count now.
    pub fn fails(&self, server: usize) -> u32 {
        self.servers.get(server).map_or(0, |server| server.fails)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Primary,
    Backup,
}

impl Peer {
    fn available(&self, now: Instant) -> bool {
        let set_aside = self.max_fails > 0
            && self.fails >= self.max_fails
            && self.checked_at.is_some_and(|at| now.since(at) <= self.fail_timeout);
        !self.down && !self.probe_failing && !set_aside && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.max_conns > 0 && self.conns >= self.max_conns
    }

    /// By requests for each part of weight.
    fn busier_than(&self, other: &Peer) -> Ordering {
        (i64::from(self.conns) * other.weight).cmp(&(i64::from(other.conns) * self.weight))
    }
}

/// `ip_hash`, by the first three bytes of an IPv4 address or all of an IPv6 one.
fn next_by_address(hash: Option<u64>, _: u32, address: &[u8]) -> u64 {
    let bytes = match address.len() {
        16 => address,
        4 => &address[..3],
        // A client on a Unix socket has no address: nginx takes zeros.
        _ => &[0, 0, 0],
    };
    bytes.iter().fold(hash.unwrap_or(89), |hash, byte| (hash * 113 + u64::from(*byte)) % 6271)
}

/// `hash`, as `Cache::Memcached` has it: a server that cannot be had makes the count of attempts a part of the key.
fn next_by_key(hash: Option<u64>, n_hashes: u32, key: &[u8]) -> u64 {
    let sum = match n_hashes {
        0 => crc32(&[key]),
        n => crc32(&[n.to_string().as_bytes(), key]),
    };
    hash.unwrap_or(0) + u64::from((sum >> 16) & 0x7fff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ListenAddress, UpstreamServer};

    fn server(weight: u32) -> UpstreamServer {
        UpstreamServer { weight, ..UpstreamServer::new(ListenAddress::Unix("x".into())) }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    /// One request: every server it goes to until one that is not in `broken`.
    fn request(balancer: &mut Balancer, now: Instant, broken: &[usize]) -> Vec<usize> {
        let mut tried = Tried::default();
        let mut visited = Vec::new();
        while let Some(picked) = balancer.pick(now, &mut tried, b"") {
            visited.push(picked);
            if !broken.contains(&picked) {
                balancer.report(now, picked, Outcome::Success);
                break;
            }
            balancer.report(now, picked, Outcome::Failure(Failure::Error));
        }
        visited
    }

    fn requests(upstream: &Upstream, n: usize, broken: &[usize]) -> Vec<Vec<usize>> {
        let mut balancer = Balancer::new(upstream);
        (0..n).map(|_| request(&mut balancer, at(0), broken)).collect()
    }

    /// The sequences are those of Debian's nginx 1.22.1 with one worker.
    #[test]
    fn servers_take_turns_by_weight() {
        let upstream = Upstream::new("w", vec![server(5), server(1), server(1)]);
        let order: Vec<usize> = requests(&upstream, 14, &[]).concat();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    }

    /// Observed with nginx 1.22.1: `weight=6 max_fails=3` refuses connections, the others have weights 2 and 1.
    #[test]
    fn a_failing_server_loses_weight_and_is_set_aside() {
        let broken = UpstreamServer { max_fails: 3, fail_timeout: Duration::from_secs(60), ..server(6) };
        let upstream = Upstream::new("w", vec![broken, server(2), server(1)]);
        let expected: [&[usize]; 16] =
            [&[0, 1], &[1], &[0, 2], &[2], &[0, 1], &[1], &[1], &[1], &[1], &[2], &[1], &[1], &[2], &[1], &[1], &[2]];
        assert_eq!(requests(&upstream, 16, &[0]), expected);
    }

    /// Observed with nginx 1.22.1.
    #[test]
    fn backups_take_over_when_no_other_is_left() {
        let backup = |weight| UpstreamServer { backup: true, ..server(weight) };
        let down = UpstreamServer { down: true, ..server(1) };
        let upstream = Upstream::new("w", vec![server(1), backup(1), backup(2), down]);
        let expected: [&[usize]; 8] = [&[0, 2], &[1], &[2], &[2], &[1], &[2], &[2], &[1]];
        assert_eq!(requests(&upstream, 8, &[0]), expected);
    }

    #[test]
    fn a_server_is_tried_again_after_its_time_and_keeps_the_backup_idle() {
        let backup = UpstreamServer { backup: true, ..server(1) };
        let mut balancer = Balancer::new(&Upstream::new("w", vec![server(1), backup]));
        assert_eq!(request(&mut balancer, at(0), &[0]), [0, 1]);
        assert!(!balancer.server_alive(at(10), 0));
        assert_eq!(request(&mut balancer, at(10), &[]), [1]);
        // fail_timeout is 10 s, and must be over. One request goes there; while it is under way, no other does.
        assert!(balancer.server_alive(at(11), 0));
        let mut first = Tried::default();
        assert_eq!(balancer.pick(at(11), &mut first, b""), Some(0));
        assert_eq!(balancer.pick(at(12), &mut Tried::default(), b""), Some(1));
        balancer.report(at(12), 0, Outcome::Success);
        assert_eq!(balancer.fails(0), 0);
        assert_eq!(request(&mut balancer, at(12), &[]), [0]);
    }

    #[test]
    fn an_answer_from_before_a_failure_proves_nothing() {
        let mut balancer = Balancer::new(&Upstream::new("w", vec![server(1), server(1)]));
        let mut early = Tried::default();
        let mut late = Tried::default();
        assert_eq!(balancer.pick(at(0), &mut early, b""), Some(0));
        assert_eq!(balancer.pick(at(0), &mut Tried::default(), b""), Some(1));
        assert_eq!(balancer.pick(at(0), &mut late, b""), Some(0));
        balancer.report(at(1), 0, Outcome::Failure(Failure::Timeout));
        balancer.report(at(1), 0, Outcome::Success);
        assert_eq!(balancer.fails(0), 1);
        assert!(!balancer.server_alive(at(1), 0));
    }

    #[test]
    fn a_single_server_is_never_set_aside() {
        let mut balancer = Balancer::new(&Upstream::new("w", vec![server(1)]));
        for _ in 0..3 {
            assert_eq!(request(&mut balancer, at(0), &[0]), [0]);
        }
        assert!(balancer.alive(at(0)));
    }

    #[test]
    fn when_all_fail_nobody_is_left_until_the_time_is_over() {
        let mut balancer = Balancer::new(&Upstream::new("w", vec![server(1), server(1)]));
        assert_eq!(request(&mut balancer, at(0), &[0, 1]), [0, 1]);
        assert!(request(&mut balancer, at(5), &[0, 1]).is_empty());
        assert!(!balancer.alive(at(5)));
        assert_eq!(request(&mut balancer, at(11), &[]).len(), 1);
    }

    #[test]
    fn max_fails_zero_never_counts_and_404_counts_against_nobody() {
        let forgiving = UpstreamServer { max_fails: 0, ..server(1) };
        let mut balancer = Balancer::new(&Upstream::new("w", vec![forgiving, server(1)]));
        balancer.report(at(0), 0, Outcome::Failure(Failure::Error));
        balancer.report(at(0), 1, Outcome::Failure(Failure::Status(404)));
        assert!(balancer.server_alive(at(0), 0) && balancer.server_alive(at(0), 1));
        assert_eq!(request(&mut balancer, at(0), &[0]), [0, 1]);
    }

    #[test]
    fn a_failing_probe_keeps_requests_away() {
        let mut balancer = Balancer::new(&Upstream::new("w", vec![server(1), server(1)]));
        balancer.set_probe(0, false);
        assert_eq!(request(&mut balancer, at(0), &[]), [1]);
        balancer.set_probe(1, false);
        assert!(!balancer.alive(at(0)));
        balancer.set_probe(0, true);
        assert_eq!(request(&mut balancer, at(0), &[]), [0]);
    }

    #[test]
    fn an_upstream_may_have_many_servers_or_none() {
        let mut many = Balancer::new(&Upstream::new("w", vec![server(1); 200]));
        let mut tried = Tried::default();
        let mut picked: Vec<usize> = std::iter::from_fn(|| many.pick(at(0), &mut tried, b"")).collect();
        picked.sort_unstable();
        assert_eq!(picked, (0..200).collect::<Vec<_>>());
        assert_eq!(tried.count(), 200);
        let mut none = Balancer::new(&Upstream::new("w", Vec::new()));
        assert_eq!(none.pick(at(0), &mut Tried::default(), b""), None);
    }
}
