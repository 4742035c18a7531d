//! Two nodes with priority 255.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::Event;
use node::{Node, PEER, heard, with_priority};
use std::net::{IpAddr, Ipv4Addr};

/// Lower than ours, 10.0.0.10.
const LOWER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

fn owner() -> Node {
    let mut node = Node::new(node::config(with_priority(255)));
    node.on(node::eth0(true));
    assert_eq!(node.state(), "master");
    node
}

/// Lets so many seconds pass, with an advert of the other owner in each.
fn beside(node: &mut Node, other: IpAddr, seconds: u32) {
    for _ in 0..seconds {
        node.run(0.5);
        node.on(heard(other, 255));
        node.run(0.5);
    }
}

#[test]
fn the_lower_address_yields() {
    let mut node = owner();
    assert_eq!(node.on(heard(PEER, 255)), "master>leaving");
    node.run(1.0);
    assert_eq!((node.state().as_str(), node.status().effective_priority), ("backup", 255));
    // As long as the other one speaks.
    beside(&mut node, PEER, 10);
    assert_eq!(node.state(), "backup");
    node.run(3.1);
    assert_eq!(node.state(), "master");
}

#[test]
fn one_that_does_not_yield_is_given_in_to_after_two_adverts_and_a_little_more_than_an_interval() {
    let mut node = owner();
    node.run(0.2);
    let done = node.on(heard(LOWER, 255));
    assert!(done.starts_with("advert 255"), "{done}");
    // The second advert a second later, and 1.2 s after that.
    node.run(1.0);
    node.on(heard(LOWER, 255));
    node.run(1.0);
    node.on(heard(LOWER, 255));
    assert_eq!(node.status().effective_priority, 255);
    node.run(0.21);
    assert_eq!((node.state().as_str(), node.status().effective_priority), ("master", 254));
    assert!(node.why().contains("10.0.0.9 owns the addresses too"), "{}", node.why());
    // Its next advert is of a better one.
    node.on(heard(LOWER, 255));
    node.run(1.0);
    assert_eq!(node.state(), "backup");
    beside(&mut node, LOWER, 20);
    assert_eq!((node.state().as_str(), node.status().effective_priority), ("backup", 254));
}

#[test]
fn one_that_yields_in_time_is_forgotten() {
    let mut node = owner();
    node.on(heard(LOWER, 255));
    node.run(0.5);
    node.on(heard(LOWER, 255));
    node.run(5.0);
    assert_eq!((node.state().as_str(), node.status().effective_priority), ("master", 255));
    // A second time it has as long again.
    node.on(heard(LOWER, 255));
    node.run(1.0);
    assert_eq!(node.status().effective_priority, 255);
}

fn given_in() -> Node {
    let mut node = owner();
    beside(&mut node, LOWER, 5);
    node.run(0.3);
    assert_eq!((node.state().as_str(), node.status().effective_priority), ("backup", 254));
    node
}

#[test]
fn it_owns_the_addresses_again_when_the_other_stops_changes_or_falls_silent() {
    let mut node = given_in();
    node.on(heard(LOWER, 0));
    assert_eq!(node.status().effective_priority, 255);
    node.run(0.1);
    assert_eq!(node.state(), "master", "the skew of 255 is a few milliseconds");

    let mut node = given_in();
    node.on(heard(PEER, 100));
    assert_eq!(node.status().effective_priority, 254, "that is somebody else");
    node.on(heard(LOWER, 200));
    assert_eq!(node.status().effective_priority, 255);
    node.run(4.0);
    assert_eq!(node.state(), "master");

    let mut node = given_in();
    node.run(4.0);
    assert_eq!((node.state().as_str(), node.status().effective_priority), ("master", 255));

    let mut node = given_in();
    node.on(node::eth0(false));
    node.on(node::eth0(true));
    assert_eq!((node.state().as_str(), node.status().effective_priority), ("master", 255), "an election begins anew");
}

#[test]
fn one_that_is_no_owner_any_more_has_the_priority_of_its_file() {
    let mut node = given_in();
    node.reconfigure(node::config(with_priority(120)));
    assert_eq!(node.status().effective_priority, 120);
}

#[test]
fn an_owner_that_ignores_adverts_hears_of_none() {
    let mut instance = with_priority(255);
    instance.owner_ignores_adverts = true;
    let mut node = Node::new(node::config(instance));
    node.on(node::eth0(true));
    beside(&mut node, LOWER, 10);
    assert_eq!((node.state().as_str(), node.status().effective_priority), ("master", 255));
    assert_eq!(node.on(Event::Deadline), "");
}
