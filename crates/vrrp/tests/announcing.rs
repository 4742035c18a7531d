//! How fast, how often and where addresses are announced.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::config::{Extra, Gap, Instance, PacedGroup, Pacing, VirtualAddress};
use evenkeel_vrrp::{Action, Config, Event};
use evenkeel_wire::Instant;
use node::{Node, PEER, heard, instance, with_priority};
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

const GAP: Duration = Duration::from_millis(100);

fn address(text: &str, device: Option<&str>) -> VirtualAddress {
    let mut address = VirtualAddress::new(text.parse().unwrap());
    address.device = device.map(str::to_owned);
    address
}

/// Addresses `10.0.0.1` and `.2` on eth0, `10.1.0.1` on eth1, `10.2.0.1` on eth2, and one of IPv6 on eth0; two messages each, once.
fn spread_out() -> Instance {
    let mut instance = instance();
    instance.addresses = vec![
        address("10.0.0.1/32", None),
        address("10.0.0.2/32", None),
        address("10.1.0.1/32", Some("eth1")),
        address("10.2.0.1/32", Some("eth2")),
    ];
    instance.excluded = vec![address("fd00::1/128", None)];
    instance.garp.repeat = 2;
    instance.garp.delay = Duration::ZERO;
    instance
}

fn of(instance: Instance, each: Gap, groups: Vec<PacedGroup>) -> Config {
    Config { pacing: Box::new(Pacing { each, groups }), ..node::config(instance) }
}

fn arp(gap: Duration) -> Gap {
    Gap { arp: gap, neighbour: Duration::ZERO }
}

fn group(interfaces: &[&str], gap: Gap) -> PacedGroup {
    PacedGroup { interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(), gap }
}

/// Lets `seconds` pass; what was announced, and how long after the first of all: `0: 10.0.0.1x2`.
fn timeline(node: &mut Node, seconds: f64) -> Vec<String> {
    let until = node.now + Duration::from_secs_f64(seconds);
    let (mut lines, mut first) = (Vec::new(), None);
    loop {
        for action in node.actions.drain(..) {
            if let Action::Announce { addresses, count, .. } = action {
                let since = node.now.since(*first.get_or_insert(node.now)).as_millis();
                for address in addresses {
                    lines.push(format!("{since}: {}x{count}", address.prefix.address()));
                }
            }
        }
        let Some(at) = node.router.deadline().filter(|at| *at <= until) else { break };
        node.now = at.max(node.now);
        node.router.handle(node.now, Event::Deadline, &mut node.actions);
    }
    node.now = until;
    lines
}

/// All that a new master announces, from its first message on.
fn check(pacing: Config, want: &[&str]) {
    let mut node = Node::new(pacing);
    node.on(node::eth0(true));
    assert_eq!(timeline(&mut node, 10.0), want);
}

#[test]
fn without_a_gap_nothing_waits() {
    let want = ["0: 10.0.0.1x2", "0: 10.0.0.2x2", "0: 10.1.0.1x2", "0: 10.2.0.1x2", "0: fd00::1x2"];
    check(of(spread_out(), Gap::default(), vec![group(&["eth0"], Gap::default())]), &want);
}

#[test]
fn each_interface_has_its_own_gap_and_its_addresses_take_turns() {
    let want = [
        "0: fd00::1x2",
        "0: 10.0.0.1x1",
        "0: 10.1.0.1x1",
        "0: 10.2.0.1x1",
        "100: 10.0.0.2x1",
        "100: 10.1.0.1x1",
        "100: 10.2.0.1x1",
        "200: 10.0.0.1x1",
        "300: 10.0.0.2x1",
    ];
    check(of(spread_out(), arp(GAP), Vec::new()), &want);
}

#[test]
fn neighbour_advertisements_have_a_gap_of_their_own() {
    let want = ["0: 10.0.0.1x2", "0: 10.0.0.2x2", "0: 10.1.0.1x2", "0: 10.2.0.1x2", "0: fd00::1x1", "100: fd00::1x1"];
    check(of(spread_out(), Gap { arp: Duration::ZERO, neighbour: GAP }, Vec::new()), &want);
}

#[test]
fn interfaces_of_a_group_share_its_gap_and_have_none_of_the_others() {
    let want = [
        "0: fd00::1x2",
        "0: 10.0.0.1x1",
        "0: 10.2.0.1x1",
        "50: 10.2.0.1x1",
        "100: 10.0.0.2x1",
        "200: 10.1.0.1x1",
        "300: 10.0.0.1x1",
        "400: 10.0.0.2x1",
        "500: 10.1.0.1x1",
    ];
    check(of(spread_out(), Gap { arp: GAP / 2, neighbour: GAP }, vec![group(&["eth0", "eth1"], arp(GAP))]), &want);
}

#[test]
fn what_is_no_longer_held_is_not_announced() {
    let mut node = Node::new(of(spread_out(), arp(GAP), Vec::new()));
    node.on(node::eth0(true));
    node.run(3.65);
    assert_eq!(node.state(), "master");
    // It keeps the addresses until the better one has them all, or for 300 ms.
    node.on(heard(PEER, 200));
    node.run(0.31);
    assert_eq!(node.state(), "backup");
    node.actions.clear();
    assert_eq!(timeline(&mut node, 1.0), Vec::<String>::new());
}

#[test]
fn a_second_burst_asks_for_no_more_than_the_larger_of_both() {
    let mut instance = spread_out();
    instance.addresses.truncate(1);
    instance.excluded.clear();
    let mut node = Node::new(of(instance, arp(Duration::from_secs(1)), Vec::new()));
    node.on(node::eth0(true));
    node.run(3.65);
    for _ in 0..10 {
        node.on(node::vanished());
        node.on(node::announce());
    }
    node.actions.clear();
    let n_messages = timeline(&mut node, 20.0).len();
    assert!(n_messages <= 2, "{n_messages} messages");
}

#[test]
fn a_reload_drops_nothing_that_waits() {
    let first = of(spread_out(), arp(GAP), Vec::new());
    let mut node = Node::new(first);
    node.on(node::eth0(true));
    node.run(3.65);
    let mut before = with_priority(1);
    before.vrid = evenkeel_vrrp::config::Vrid::new(7).unwrap();
    let moved = Config { instances: vec![before, spread_out()], ..of(spread_out(), arp(GAP * 2), Vec::new()) };
    node.reconfigure(moved);
    node.actions.clear();
    let seen = timeline(&mut node, 2.0);
    assert_eq!(seen.len(), 5, "three on eth0, one on each of the others: {seen:?}");

    let mut node = Node::new(of(spread_out(), arp(GAP), Vec::new()));
    node.on(node::eth0(true));
    node.run(3.65);
    let done = node.reconfigure(of(spread_out(), Gap::default(), Vec::new()));
    assert_eq!(done.matches("garp 1x1").count(), 5, "without a gap all go at once: {done}");
}

#[test]
fn other_interfaces_are_announced_on_time_and_again() {
    let cases = [(false, vec!["0: 10.3.0.1x1"]), (true, vec!["0: 10.1.0.1x1", "0: 10.2.0.1x1", "0: 10.3.0.1x1"])];
    for (everywhere, of_one_period) in cases {
        let mut instance = spread_out();
        let second = address("10.1.0.2/32", Some("eth1"));
        let mut own = address("10.3.0.1/32", Some("eth1"));
        own.own_link = Some("vrrp1.51".to_owned());
        instance.addresses.extend([second, own]);
        instance.garp.extra = Some(Extra { period: Duration::from_secs(20), everywhere });
        let mut node = Node::master(instance);
        node.actions.clear();
        let seen = timeline(&mut node, 20.0);
        assert_eq!(seen, of_one_period, "one period after becoming master");
        let seen = timeline(&mut node, 20.0);
        assert_eq!(seen, of_one_period, "the next one");
    }
}

/// Peers may have forgotten the way to this node, and nobody else asks for it.
#[test]
fn after_a_fault_a_unicast_source_is_announced_once() {
    let mut instance = instance();
    instance.own_link = Some(Box::new(evenkeel_vrrp::config::OwnLink {
        name: "vrrp.51".to_owned(),
        kind: evenkeel_vrrp::config::LinkKind::Vmac(node::PEER_MAC),
        transmit_below: true,
        group: None,
        tells_below: false,
    }));
    let mut node = Node::backup(instance.clone());
    node.on(node::eth0(false));
    assert_eq!(node.on(node::eth0(true)), "BACKUP 100, fault>backup");
    instance.peers.push(evenkeel_vrrp::config::UnicastPeer::new(PEER));
    let mut node = Node::backup(instance);
    node.on(node::eth0(false));
    node.on(node::eth0(true));
    let announced = node.actions.iter().find_map(|action| match action {
        Action::Announce { addresses, count, .. } => Some((addresses.clone(), *count)),
        _ => None,
    });
    assert_eq!(announced, Some((vec![address("10.0.0.10/32", Some("eth0"))], 1)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, two messages of one interface are never closer than the gap, and all go in the end.
    #[test]
    fn no_two_messages_are_closer_than_the_gap(steps in prop::collection::vec((0..4u8, 1..400u64), 1..30)) {
        let mut node = Node::new(of(spread_out(), arp(GAP), Vec::new()));
        node.on(node::eth0(true));
        node.run(3.7);
        node.actions.clear();
        let mut sent_at: HashMap<String, Instant> = HashMap::new();
        let mut look = |node: &mut Node| {
            for action in node.actions.drain(..) {
                let Action::Announce { addresses, count, .. } = action else { continue };
                for address in addresses.iter().filter(|address| address.prefix.address().is_ipv4()) {
                    let interface = address.device.clone().unwrap_or_default();
                    if let Some(before) = sent_at.insert(interface, node.now) {
                        assert!(node.now.since(before) >= GAP && count == 1);
                    }
                }
            }
        };
        for (what, millis) in steps {
            let event = match what {
                0 => node::announce(),
                1 => heard(PEER, 1),
                2 => node::vanished(),
                _ => Event::Deadline,
            };
            node.router.handle(node.now, event, &mut node.actions);
            look(&mut node);
            let until = node.now + Duration::from_millis(millis);
            while let Some(at) = node.router.deadline().filter(|at| *at <= until) {
                node.now = at.max(node.now);
                node.router.handle(node.now, Event::Deadline, &mut node.actions);
                look(&mut node);
            }
            node.now = until;
        }
    }
}
