//! Interfaces whose changes count late: `interface_up_down_delays`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::config::{Centis, Instance, LinkDelay, Links, TrackTarget, Version};
use evenkeel_vrrp::{Config, Event, Interface};
use node::{Node, OUR_MAC, PEER, eth0, heard, instance, tracking};
use std::time::Duration;

fn delayed(instance: Instance, interface: &str, down: f64, up: f64) -> Config {
    let (down, up) = (Duration::from_secs_f64(down), Duration::from_secs_f64(up));
    let delays = vec![LinkDelay { interface: interface.to_owned(), down, up }];
    Config { links: Box::new(Links { delays, ..Links::default() }), ..node::config(instance) }
}

fn eth1(up: bool) -> Event {
    Event::Interface(Interface { index: 3, name: "eth1".to_owned(), up, mac: OUR_MAC, addresses: Vec::new() })
}

/// A master whose link may be away for 1.5 s, and that comes back half a second after it.
fn master() -> Node {
    let mut node = Node::new(delayed(instance(), "eth0", 1.5, 0.5));
    node.on(eth0(true));
    node.run(4.0);
    assert_eq!(node.state(), "master");
    node
}

#[test]
fn a_link_that_returns_in_time_was_never_away() {
    let mut node = master();
    assert_eq!(node.on(eth0(false)), "");
    node.run(1.4);
    assert_eq!(node.on(eth0(true)), "");
    node.run(5.0);
    assert_eq!(node.state(), "master");
}

#[test]
fn a_link_that_stays_away_counts_after_its_delay_and_so_does_its_return() {
    let mut node = master();
    node.on(eth0(false));
    node.run(1.4);
    assert_eq!(node.state(), "master");
    // Another report of the same state does not begin the wait anew.
    node.on(eth0(false));
    let done = node.run(0.2);
    assert!(done.contains("hold 0, FAULT 100, master>fault"), "{done}");
    assert_eq!(node.status().reason, "interface eth0 is down");
    node.run(1.0);
    assert_eq!(node.on(eth0(true)), "");
    node.run(0.4);
    // Away again before the return counted.
    node.on(eth0(false));
    node.run(3.0);
    assert_eq!(node.state(), "fault");
    node.on(eth0(true));
    node.run(0.6);
    assert_eq!(node.state(), "backup");
}

#[test]
fn the_first_report_counts_at_once_and_so_does_a_link_that_is_gone() {
    let mut node = Node::new(delayed(instance(), "eth0", 1.5, 1.5));
    node.on(eth0(true));
    assert_eq!(node.state(), "backup");
    node.on(eth0(false));
    node.on(Event::InterfaceGone { index: node::ETH0 });
    assert_eq!(node.state(), "fault");
    assert_eq!(node.due_at(), None, "nothing is awaited of what is gone");
    node.on(eth0(true));
    assert_eq!(node.state(), "backup", "one that is new has no state before");
}

#[test]
fn a_tracked_interface_is_given_its_delay() {
    let tracking = tracking(instance(), TrackTarget::Interface("eth1".to_owned()), 0);
    let mut node = Node::new(delayed(tracking, "eth1", 1.0, 0.0));
    node.on(eth0(true));
    node.on(eth1(true));
    assert_eq!(node.state(), "backup");
    node.on(eth1(false));
    node.run(0.9);
    assert_eq!(node.state(), "backup");
    node.run(0.2);
    assert_eq!(node.state(), "fault");
    node.on(eth1(true));
    assert_eq!(node.state(), "backup", "without a delay it counts at once");
}

#[test]
fn no_delay_is_longer_than_a_peer_waits_less_one_advert() {
    // interval, down_timer_adverts, the master's interval, when FAULT comes
    let rows = [(100, 3, None, 1.99609), (100, 2, None, 0.99609), (10, 3, None, 0.19961), (200, 3, Some(100), 1.99609)];
    for (interval, adverts, masters, want) in rows {
        let mut instance = instance();
        instance.version = Version::V3;
        instance.advert_interval = Centis(interval);
        instance.down_adverts = std::num::NonZeroU8::new(adverts).unwrap();
        let mut node = Node::new(delayed(instance, "eth0", 30.0, 30.0));
        node.on(eth0(true));
        if let Some(masters) = masters {
            let advert = evenkeel_vrrp::packet::Advert {
                version: Version::V3,
                interval: Centis(masters),
                password: None,
                ..node::advert(PEER, 200)
            };
            node.on(node::packet(&advert));
        } else {
            node.run(10.0);
        }
        node.on(eth0(false));
        let before = node.now;
        while node.state() != "fault" {
            node.now = node.router.deadline().expect("a change that waits has a deadline");
            node.on(Event::Deadline);
        }
        let waited = node.now.since(before).as_secs_f64();
        assert!((waited - want).abs() < 0.0001, "interval {interval} x {adverts}: {waited}");
    }
}

#[test]
fn a_master_goes_on_advertising_until_its_link_counts_as_down() {
    let mut node = master();
    node.on(eth0(false));
    assert!(node.run(1.0).contains("advert 100"));
    assert_eq!(node.on(heard(PEER, 200)), "master>leaving", "what is heard counts");
}
