//! A node in maintenance: it hands over, serves only what nobody else does, and comes back.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::config::{Instance, Preempt, TrackTarget};
use evenkeel_vrrp::{Config, Event, GroupId, InstanceId, Maintenance};
use node::*;

fn begin() -> Event {
    Event::Maintenance(Maintenance::Yielding)
}

fn strict() -> Event {
    Event::Maintenance(Maintenance::Strict)
}

fn over() -> Event {
    Event::Maintenance(Maintenance::Off)
}

#[test]
fn a_master_hands_over_as_in_a_failover_and_then_has_the_lowest_priority() {
    let mut node = Node::master(with_priority(150));
    assert_eq!(node.on(begin()), "advert 0, master>leaving, leaving>leaving");
    assert_eq!(
        node.why().lines().last().unwrap(),
        "maintenance began | in maintenance a node has the lowest priority | effective priority 150 -> 1"
    );
    assert!(node.status().holding, "it answers until somebody else does");
    node.run(0.6);
    node.on(heard(PEER, 90));
    assert_eq!(node.on(claim(PEER_MAC)), "hold 0, BACKUP 1, leaving>backup");
    for _ in 0..10 {
        assert_eq!(node.run(1.0), "");
        node.on(heard(PEER, 90));
    }
}

#[test]
fn an_address_that_nobody_else_takes_is_kept_and_given_to_the_first_who_comes() {
    let mut node = Node::master(with_priority(150));
    node.on(begin());
    let taken_back = node.run(4.0);
    assert_eq!(taken_back, "garp 1x5, advert 1, leaving>master");
    assert!(node.status().holding);
    // Of two announcements at once nobody knows which came last: what comes later is the successor's.
    node.run(0.1);
    assert_eq!(node.on(heard(PEER, 2)), "master>leaving");
    assert_eq!(node.on(claim(PEER_MAC)), "hold 0, BACKUP 1, leaving>backup");
}

#[test]
fn a_backup_in_maintenance_takes_over_when_the_master_dies_unless_it_is_strict() {
    let mut node = Node::backup(with_priority(150));
    node.on(heard(PEER, 90));
    node.on(begin());
    assert_eq!(node.status().effective_priority, 1);
    // 3 x 1 s and the longest skew.
    assert_eq!(node.run(3.99), "");
    assert!(node.run(0.02).ends_with("advert 1, MASTER 1, backup>master"));

    let mut node = Node::backup(with_priority(150));
    node.on(heard(PEER, 90));
    node.on(strict());
    assert_eq!(node.run(4.1), "backup>backup", "it is told once");
    assert!(node.why().ends_with("in strict maintenance a node takes no address | leave 10.0.0.100 unserved"));
    assert_eq!(node.run(60.0), "");
    assert!(!node.status().holding);
    node.on(over());
    assert!(node.run(4.1).ends_with("backup>master"));
}

#[test]
fn a_strict_master_that_nobody_relieves_lets_go() {
    let mut node = Node::master(with_priority(150));
    node.on(strict());
    assert_eq!(node.run(4.0), "hold 0, BACKUP 1, leaving>backup");
    // Stricter than it was: it holds the address because nobody else does.
    let mut node = Node::master(with_priority(150));
    node.on(begin());
    node.run(4.0);
    assert!(node.status().holding);
    assert_eq!(node.on(strict()), "advert 0, master>leaving");
    assert_eq!(node.run(4.0), "hold 0, BACKUP 1, leaving>backup");
}

#[test]
fn begun_again_it_is_one_more_handover_for_a_peer_that_does_not_preempt() {
    let mut node = Node::master(with_priority(150));
    node.on(begin());
    node.run(4.0);
    assert_eq!(node.on(begin()), "advert 0, master>leaving");
    node.run(0.1);
    node.on(heard(PEER, 90));
    assert_eq!(node.on(claim(PEER_MAC)), "hold 0, BACKUP 1, leaving>backup");
    assert_eq!(node.on(begin()), "", "and nothing more for one that has handed over");
}

#[test]
fn afterwards_it_preempts_as_configured() {
    for (preempt, returns) in [(Preempt::Always, true), (Preempt::Never, false)] {
        let mut node = Node::master(Instance { preempt, ..with_priority(150) });
        node.on(begin());
        node.on(heard(PEER, 90));
        node.on(claim(PEER_MAC));
        assert_eq!(node.on(over()), "backup>backup");
        assert_eq!(node.status().effective_priority, 150);
        for _ in 0..3 {
            node.run(1.0);
            node.on(heard(PEER, 90));
        }
        assert_eq!(node.run(0.9).ends_with("backup>master"), returns, "{preempt:?}");
    }
}

#[test]
fn trackers_change_nothing_meanwhile_and_count_again_afterwards() {
    let mut node = Node::backup(tracking(with_priority(100), TrackTarget::Proxy, -20));
    node.on(heard(PEER, 150));
    node.on(begin());
    assert_eq!(node.on(proxy(false)), "");
    assert_eq!(node.status().effective_priority, 1);
    node.on(over());
    assert_eq!(node.status().effective_priority, 80);
}

#[test]
fn it_goes_on_in_a_process_that_is_started_again_and_over_a_reload() {
    for priority in [150, 255] {
        let mut node = Node::new(config(with_priority(priority)));
        node.on(begin());
        node.on(eth0(true));
        assert_eq!((node.state().as_str(), node.status().effective_priority), ("backup", 1));
        node.on(heard(PEER, 90));
        let mut changed = with_priority(priority);
        changed.addresses.clear();
        let mut actions = Vec::new();
        node.router.reconfigure(node.now, config(changed), &mut actions);
        assert_eq!(node.status().effective_priority, 1);
    }
    // As the one that died as master it goes on, unless it is strict: then the address is let go.
    for (maintenance, state) in [(begin(), "master"), (strict(), "backup")] {
        let mut node = Node::new(config(with_priority(150)));
        node.on(maintenance);
        node.on(resume(2.0));
        node.on(eth0(true));
        assert_eq!(node.state(), state);
    }
}

#[test]
fn an_owner_that_ignores_adverts_heeds_them_in_maintenance() {
    let mut node = Node::master(Instance { owner_ignores_adverts: true, ..with_priority(255) });
    node.on(begin());
    node.on(heard(PEER, 90));
    assert_eq!(node.on(claim(PEER_MAC)), "hold 0, BACKUP 1, leaving>backup");
    for _ in 0..10 {
        node.run(1.0);
        node.on(heard(PEER, 90));
    }
    assert_eq!(node.state(), "backup");
}

#[test]
fn a_sync_group_goes_as_one() {
    let mut second = instance();
    second.name = "VI_2".to_owned();
    second.vrid = evenkeel_vrrp::config::Vrid::new(52).unwrap();
    let group = evenkeel_vrrp::config::Group { name: "G".to_owned(), members: vec![InstanceId(0), InstanceId(1)] };
    let mut node = Node::new(Config { instances: vec![instance(), second], groups: vec![group], ..Config::default() });
    node.on(eth0(true));
    node.run(20.0);
    let states = |node: &Node| {
        let status = node.router.status(node.now);
        (status.instances.iter().all(|instance| instance.holding), status.groups[GroupId(0).0 as usize].state)
    };
    assert_eq!(states(&node), (true, evenkeel_vrrp::StateName::Master));
    node.on(begin());
    assert_eq!(states(&node), (true, evenkeel_vrrp::StateName::Leaving));
    node.run(10.0);
    assert_eq!(states(&node), (true, evenkeel_vrrp::StateName::Master), "nobody took over");
    node.on(strict());
    node.run(10.0);
    let status = node.router.status(node.now);
    assert!(status.instances.iter().all(|instance| !instance.holding));
    assert_eq!(status.groups[0].state, evenkeel_vrrp::StateName::Backup);
    assert_eq!(node.run(60.0), "");
}
