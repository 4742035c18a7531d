//! Sync groups: what one member does, all do.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::config::{Group, Initial, Instance, Priority, Track, TrackTarget, VirtualAddress, Vrid};
use evenkeel_vrrp::packet::{Advert, Checksum};
use evenkeel_vrrp::{Config, Event, InstanceId, Interface, StateName};
use evenkeel_wire::Mac;
use node::*;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const ETH1: u32 = 3;
const FAR_VIP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
const FAR_PEER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);

/// VI_1 on eth0 and VI_2 on eth1.
fn pair(priority: u8) -> Config {
    let first = with_priority(priority);
    let mut second = Instance::new("VI_2", "eth1", Vrid::new(52).unwrap());
    second.priority = Priority::new(priority).unwrap();
    second.addresses = vec![VirtualAddress::new("10.1.0.100/32".parse().unwrap())];
    let groups = vec![Group { name: "G1".to_owned(), members: vec![InstanceId(0), InstanceId(1)] }];
    Config { instances: vec![first, second], groups, ..Config::default() }
}

fn eth1(up: bool) -> Event {
    let addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 1, 0, 10)), FAR_VIP.into()];
    Event::Interface(Interface { index: ETH1, name: "eth1".to_owned(), up, mac: Mac([2, 0, 0, 0, 1, 10]), addresses })
}

/// An advert for VI_2.
fn heard_far(priority: u8) -> Event {
    let advert = Advert {
        vrid: Vrid::new(52).unwrap(),
        source: FAR_PEER.into(),
        addresses: vec![FAR_VIP.into()],
        ..advert(PEER, priority)
    };
    Event::Packet { interface: ETH1, bytes: advert.build(Checksum::WithPseudoHeader, 1) }
}

fn announced_far() -> Event {
    let arp = evenkeel_wire::arp::Arp::gratuitous(PEER_MAC, FAR_VIP);
    Event::Arp { interface: ETH1, arp }
}

fn backups(config: Config) -> Node {
    let mut node = Node::new(config);
    assert_eq!(node.on(eth0(true)), "hold 0", "it waits for the other member");
    let done = node.on(eth1(true));
    assert!(done.ends_with("GROUP Backup"), "{done}");
    assert_eq!(states(&node), [StateName::Backup; 2]);
    node
}

fn masters(config: Config) -> Node {
    let mut node = backups(config);
    node.run(14.0);
    assert_eq!(states(&node), [StateName::Master; 2]);
    node
}

fn states(node: &Node) -> Vec<StateName> {
    node.router.status(node.now).instances.iter().map(|instance| instance.state).collect()
}

fn group(node: &Node) -> StateName {
    node.router.status(node.now).groups[0].state
}

#[test]
fn members_start_together_and_the_group_is_told_after_them() {
    let mut node = Node::new(pair(100));
    node.on(eth0(true));
    assert_eq!(states(&node), [StateName::Init; 2]);
    assert_eq!(node.on(eth1(true)), "BACKUP 100, init>backup, #1 hold 0, #1 BACKUP 100, #1 init>backup, GROUP Backup");
    // keepalived: the one whose timer runs out last is first, and takes the others along.
    assert_eq!(
        node.run(3.61),
        "#1 hold 1, #1 garp 1x5, #1 advert 100, #1 MASTER 100, #1 backup>master, \
         hold 1, garp 1x5, advert 100, MASTER 100, backup>master, GROUP Master"
    );
}

#[test]
fn a_member_is_held_while_another_has_a_master() {
    let mut node = backups(pair(100));
    for _ in 0..10 {
        assert_eq!(node.on(heard_far(150)), "");
        node.run(1.0);
    }
    assert_eq!(states(&node), [StateName::Backup; 2]);
    assert!(node.status().counters.become_master == 0);
    // The far master leaves: its skew later all are master.
    node.on(heard_far(0));
    let done = node.run(0.61);
    assert!(done.ends_with("GROUP Master"), "{done}");
    assert_eq!(states(&node), [StateName::Master; 2]);
}

#[test]
fn a_member_that_hears_a_master_again_would_be_master_no_longer() {
    let mut node = backups(pair(100));
    node.on(heard_far(150));
    node.run(3.0);
    node.on(heard_far(150));
    node.run(1.0);
    // VI_1 is held; now it hears a master, and VI_2 does not any more.
    node.on(heard(PEER, 150));
    node.run(2.61);
    assert_eq!(states(&node), [StateName::Backup; 2], "VI_1 has a master");
}

#[test]
fn a_better_master_of_one_takes_all_and_each_answers_until_its_own_successor_is_there() {
    let mut node = masters(pair(100));
    assert_eq!(node.on(heard(PEER, 150)), "master>leaving, #1 advert 0, #1 master>leaving");
    assert_eq!(node.on(claim(PEER_MAC)), "hold 0, BACKUP 100, leaving>backup");
    assert_eq!(states(&node), [StateName::Backup, StateName::Leaving], "VI_2 still answers");
    assert_eq!(node.on(announced_far()), "#1 hold 0, #1 BACKUP 100, #1 leaving>backup, GROUP Backup");
}

#[test]
fn a_fault_of_one_is_a_fault_of_all_and_its_end_too() {
    let mut node = masters(pair(100));
    assert_eq!(
        node.on(eth1(false)),
        "advert 0, hold 0, FAULT 100, master>fault, #1 hold 0, #1 FAULT 100, #1 master>fault, GROUP Fault"
    );
    assert_eq!(node.status().reason, "VI_2 of its group: interface eth1 is down");
    assert_eq!(group(&node), StateName::Fault);
    assert_eq!(node.run(60.0), "");
    assert_eq!(node.on(eth1(true)), "BACKUP 100, fault>backup, #1 BACKUP 100, #1 fault>backup, GROUP Backup");
    node.run(3.61);
    assert_eq!(states(&node), [StateName::Master; 2]);
}

#[test]
fn a_tracker_of_one_member_without_weight_is_that_of_all() {
    let mut config = pair(100);
    config.instances[1].tracks.push(Track { target: TrackTarget::Proxy, weight: 0, reverse: false });
    let mut node = Node::new(config);
    node.on(eth0(true));
    node.on(eth1(true));
    assert_eq!(states(&node), [StateName::Init; 2], "the proxy has not reported");
    node.on(proxy(true));
    node.run(3.61);
    assert_eq!(states(&node), [StateName::Master; 2]);
    node.on(proxy(false));
    assert_eq!(states(&node), [StateName::Fault; 2]);
    node.on(proxy(true));
    assert_eq!(states(&node), [StateName::Backup; 2]);
}

#[test]
fn a_shutdown_hands_each_member_over() {
    let mut node = masters(pair(100));
    assert_eq!(node.on(Event::Shutdown), "advert 0, master>leaving, #1 advert 0, #1 master>leaving");
    node.on(claim(PEER_MAC));
    assert_eq!(states(&node), [StateName::Stopped, StateName::Leaving]);
    assert_eq!(node.on(announced_far()), "#1 hold 0, #1 STOP 100, #1 leaving>stopped, GROUP Stop, stopped");
}

#[test]
fn a_failover_of_one_is_that_of_all_and_ends_together() {
    let mut node = masters(pair(100));
    assert_eq!(node.on(failover()), "advert 0, master>leaving, #1 advert 0, #1 master>leaving");
    // Nobody is there for either: both are kept.
    node.run(4.0);
    assert_eq!(states(&node), [StateName::Master; 2]);
    // A successor for one alone: the group does not come back in halves.
    node.on(failover());
    node.on(heard(PEER, 90));
    node.on(claim(PEER_MAC));
    for _ in 0..4 {
        node.run(0.9995);
        node.on(heard(PEER, 90));
    }
    assert_eq!(states(&node), [StateName::Backup; 2]);
}

#[test]
fn failback_before_anybody_took_over_keeps_all() {
    let mut node = masters(pair(100));
    node.on(failover());
    node.on(failback());
    assert_eq!(states(&node), [StateName::Master; 2]);
}

#[test]
fn owners_start_as_masters_only_when_all_own() {
    let mut node = Node::new(pair(255));
    node.on(eth0(true));
    let done = node.on(eth1(true));
    assert_eq!(states(&node), [StateName::Master; 2]);
    assert!(done.ends_with("GROUP Master"), "{done}");
    let mut mixed = pair(100);
    mixed.instances[0].priority = Priority::OWNER;
    mixed.instances[0].initial = Initial::Master;
    let mut node = backups(mixed);
    node.run(3.004);
    assert_eq!(states(&node), [StateName::Backup; 2], "the owner's time is over, that of the other is not");
    node.run(0.61);
    assert_eq!(states(&node), [StateName::Master; 2]);
}

#[test]
fn a_process_in_the_place_of_a_dead_master_goes_on_only_with_all_members() {
    let within = Duration::from_secs(2);
    let resume = |i| Event::Resume { instance: InstanceId(i), within };
    let mut node = Node::new(pair(100));
    node.on(resume(0));
    node.on(resume(1));
    node.on(eth0(true));
    let done = node.on(eth1(true));
    assert_eq!(states(&node), [StateName::Master; 2], "{done}");
    let mut node = Node::new(pair(100));
    node.on(resume(0));
    node.on(eth0(true));
    node.on(eth1(true));
    assert_eq!(states(&node), [StateName::Backup; 2], "VI_2 was no master");
}

#[test]
fn a_lower_master_beside_one_has_all_announce_again() {
    let mut node = masters(pair(100));
    let done = node.on(heard(PEER, 50));
    assert_eq!(done, "advert 100, garp 1x5, MASTER_RX_LOWER_PRI 100, master>master, #1 garp 1x5");
}

#[test]
fn a_reload_that_makes_a_group_brings_its_members_together() {
    let alone = Config { groups: Vec::new(), ..pair(100) };
    let mut node = Node::new(alone.clone());
    node.on(eth0(true));
    node.on(eth1(true));
    node.run(2.0);
    node.on(heard_far(150));
    node.run(2.0);
    node.on(heard_far(150));
    assert_eq!(states(&node), [StateName::Master, StateName::Backup]);
    node.reconfigure(pair(100));
    assert_eq!(states(&node), [StateName::Master, StateName::Backup], "a reload alone releases nothing");
    node.on(heard_far(150));
    assert_eq!(states(&node), [StateName::Leaving, StateName::Backup], "VI_2 has a better master");
    node.reconfigure(alone);
    node.run(8.0);
    assert_eq!(states(&node), [StateName::Master; 2], "each for itself again");
}
