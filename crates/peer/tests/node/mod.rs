//! Two nodes under test, and what they say.
#![allow(dead_code, reason = "each test file uses its own part")]

use evenkeel_peer::config::{Peer, Secret};
use evenkeel_peer::facts::{Facts, Router, RouterState};
use evenkeel_peer::packet::Life;
use evenkeel_peer::{Action, Change, Config, Event, PeerStatus, Peers};
use evenkeel_wire::Instant;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub(crate) const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn key() -> Secret {
    Secret::new(b"sixteen bytes or more".to_vec()).unwrap()
}

pub(crate) fn router(vrid: u8, addresses: &[&str]) -> Router {
    Router {
        name: format!("VI_{vrid}"),
        vrid,
        is_ipv6: false,
        version: 3,
        interval: Duration::from_secs(1),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        state: RouterState::Backup,
        priority: 100,
    }
}

pub(crate) fn facts(node: &str) -> Facts {
    Facts {
        node: node.to_owned(),
        version: "1.0".to_owned(),
        routers: vec![router(51, &["10.0.0.100/24"])],
        ..Facts::default()
    }
}

pub(crate) fn config(peer: IpAddr) -> Config {
    Config { peers: vec![Peer::new(peer, key())] }
}

/// One node whose only peer is the other one.
pub(crate) struct Node {
    pub(crate) peers: Peers,
    pub(crate) address: IpAddr,
    pub(crate) outbox: Vec<Vec<u8>>,
    pub(crate) learned: Vec<Facts>,
    pub(crate) told: Vec<Change>,
}

impl Node {
    pub(crate) fn new(address: IpAddr, life: u8, facts: Facts) -> Self {
        let other = if address == A { B } else { A };
        let peers = Peers::new(config(other), Life([life; 16]), facts);
        Node { peers, address, outbox: Vec::new(), learned: Vec::new(), told: Vec::new() }
    }

    pub(crate) fn on(&mut self, now: Instant, event: Event) {
        let mut actions = Vec::new();
        self.peers.handle(now, event, &mut actions);
        for action in actions {
            match action {
                Action::Send { datagram, .. } => self.outbox.push(datagram),
                Action::Learned { facts, .. } => self.learned.push(*facts),
                Action::Explain(change) => self.told.push(change),
            }
        }
    }

    pub(crate) fn say(&mut self, now: Instant, facts: Facts) {
        self.on(now, Event::Facts(Box::new(facts)));
    }

    pub(crate) fn status(&self, now: Instant) -> PeerStatus {
        self.peers.status(now).peers.remove(0)
    }

    /// What was told since the last time, each by its trigger.
    pub(crate) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told).into_iter().map(|change| change.trigger).collect()
    }
}

/// Two nodes, and a network that delivers everything at once.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) a: Node,
    pub(crate) b: Node,
    /// Everything that was ever sent, with its sender.
    pub(crate) recorded: Vec<(IpAddr, Vec<u8>)>,
    pub(crate) is_cut: bool,
}

impl Pair {
    pub(crate) fn new(a: Facts, b: Facts) -> Self {
        let now = Instant::ORIGIN + Duration::from_secs(1000);
        let (a, b) = (Node::new(A, 1, a), Node::new(B, 2, b));
        Pair { now, a, b, recorded: Vec::new(), is_cut: false }
    }

    /// Two nodes that know each other.
    pub(crate) fn joined(a: Facts, b: Facts) -> Self {
        let mut pair = Pair::new(a, b);
        pair.run(ms(100));
        assert!(pair.a.status(pair.now).heard && pair.b.status(pair.now).heard);
        pair.a.told.clear();
        pair.b.told.clear();
        pair
    }

    pub(crate) fn deliver(&mut self) {
        loop {
            let (from_a, from_b) = (std::mem::take(&mut self.a.outbox), std::mem::take(&mut self.b.outbox));
            if from_a.is_empty() && from_b.is_empty() {
                return;
            }
            for bytes in from_a {
                self.recorded.push((A, bytes.clone()));
                if !self.is_cut {
                    self.b.on(self.now, Event::Datagram { from: A, bytes });
                }
            }
            for bytes in from_b {
                self.recorded.push((B, bytes.clone()));
                if !self.is_cut {
                    self.a.on(self.now, Event::Datagram { from: B, bytes });
                }
            }
        }
    }

    /// Lets so much time go by.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.deliver();
            let next = [&self.a, &self.b].into_iter().filter_map(|node| node.peers.deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            self.a.on(self.now, Event::Deadline);
            self.b.on(self.now, Event::Deadline);
        }
        self.now = end;
    }
}
