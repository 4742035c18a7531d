//! Two nodes on a bad network, with an attacker on it: datagrams are lost, doubled, late and out of order, recorded ones
//! come back, nodes start again. Each seed is one run.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_peer::Event;
use evenkeel_peer::facts::Facts;
use evenkeel_wire::Instant;
use node::{A, B, Node, ms, router};
use std::net::IpAddr;
use std::time::Duration;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

struct World {
    random: Random,
    now: Instant,
    nodes: [Node; 2],
    /// What each node says now is numbered: a higher number was said later, over all its lives.
    numbers: [u32; 2],
    lives: u8,
    /// On their way: when they arrive, from whom, what.
    wire: Vec<(Instant, IpAddr, Vec<u8>)>,
    recorded: Vec<(IpAddr, Vec<u8>)>,
}

/// Facts with this number, and sometimes of several datagrams.
fn numbered(node: usize, number: u32) -> Facts {
    let addresses = if number.is_multiple_of(3) { 300 } else { 1 };
    let addresses: Vec<_> = (0..addresses).map(|n| format!("10.{}.{}.1/32", n / 256, n % 256)).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    Facts { node: format!("{node} {number}"), routers: vec![router(51, &addresses)], ..Facts::default() }
}

fn number_of(facts: &Facts) -> u32 {
    facts.node.split_once(' ').unwrap().1.parse().unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let nodes = [Node::new(A, 1, numbered(0, 0)), Node::new(B, 2, numbered(1, 0))];
        let now = Instant::ORIGIN + Duration::from_secs(10);
        World { random: Random(seed), now, nodes, numbers: [0; 2], lives: 2, wire: vec![], recorded: vec![] }
    }

    fn post(&mut self, is_bad: bool) {
        for node in 0..2 {
            let address = self.nodes[node].address;
            for bytes in std::mem::take(&mut self.nodes[node].outbox) {
                self.recorded.push((address, bytes.clone()));
                let copies = match (is_bad, self.random.below(10)) {
                    (true, 0..3) => 0,
                    (true, 3) => 2,
                    _ => 1,
                };
                for _ in 0..copies {
                    let late = if is_bad { self.random.below(400) } else { 1 };
                    self.wire.push((self.now + ms(late), address, bytes.clone()));
                }
            }
        }
    }

    fn deliver(&mut self, from: IpAddr, bytes: Vec<u8>) {
        let to = usize::from(from == A);
        let heard_before = self.nodes[to].learned.last().map(number_of);
        self.nodes[to].on(self.now, Event::Datagram { from, bytes });
        let heard = self.nodes[to].learned.last().map(number_of);
        assert!(heard >= heard_before, "{to} believes {heard:?}, and knew {heard_before:?} already");
    }

    fn mishap(&mut self) {
        let node = self.random.below(2) as usize;
        match self.random.below(8) {
            0..3 => {
                self.numbers[node] += 1;
                let facts = numbered(node, self.numbers[node]);
                self.nodes[node].say(self.now, facts);
            }
            3 if self.lives < 250 => {
                self.lives += 1;
                let (address, life) = (self.nodes[node].address, self.lives);
                self.nodes[node] = Node::new(address, life, numbered(node, self.numbers[node]));
            }
            4..7 if !self.recorded.is_empty() => {
                for _ in 0..self.random.below(20) {
                    let at = self.random.below(self.recorded.len() as u64) as usize;
                    let (from, bytes) = self.recorded[at].clone();
                    // To its addressee, or back to its sender.
                    let from = if self.random.below(4) == 0 { if from == A { B } else { A } } else { from };
                    self.deliver(from, bytes);
                }
            }
            _ => {}
        }
    }

    fn run(&mut self, span: Duration, is_bad: bool) {
        let end = self.now + span;
        while self.now < end {
            self.post(is_bad);
            if is_bad && self.random.below(10) == 0 {
                self.mishap();
            }
            let deadlines = self.nodes.iter().filter_map(|node| node.peers.deadline());
            let next = deadlines.chain(self.wire.iter().map(|(at, ..)| *at)).min().unwrap();
            self.now = next.max(self.now);
            for node in 0..2 {
                if self.nodes[node].peers.deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.nodes[node].on(self.now, Event::Deadline);
                }
            }
            let (due, later) = std::mem::take(&mut self.wire).into_iter().partition(|(at, ..)| *at <= self.now);
            self.wire = later;
            let due: Vec<(Instant, IpAddr, Vec<u8>)> = due;
            due.into_iter().for_each(|(_, from, bytes)| self.deliver(from, bytes));
        }
    }
}

#[test]
fn no_old_word_is_believed_and_a_network_that_is_well_again_tells_all() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        world.run(Duration::from_secs(30), true);
        world.run(Duration::from_secs(5), false);
        for node in 0..2 {
            let status = world.nodes[node].status(world.now);
            let other = 1 - node;
            assert!(status.heard, "seed {seed}: {node} does not hear the other");
            assert_eq!(number_of(&status.facts.unwrap()), world.numbers[other], "seed {seed}: {node}");
        }
        // And nothing more is said than a hello each second.
        let sent = |world: &World| world.nodes.iter().map(|node| node.status(world.now).counters.sent).sum::<u64>();
        let before = sent(&world);
        world.run(Duration::from_secs(10), false);
        let more = sent(&world) - before;
        assert!((19..=21).contains(&more), "seed {seed}: {more} datagrams in ten seconds");
    }
}
