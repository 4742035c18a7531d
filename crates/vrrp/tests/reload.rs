//! What a new configuration changes, and what it leaves alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::config::{Centis, Instance, Priority, Script, TrackTarget, VirtualAddress, Vrid};
use evenkeel_vrrp::{Action, Config, Event, InstanceId, ScriptId, ScriptOutcome};
use node::*;

fn second() -> Instance {
    let mut second = instance();
    second.name = "VI_2".to_owned();
    second.vrid = Vrid::new(52).unwrap();
    second.addresses = vec![VirtualAddress::new("10.0.0.101/32".parse().unwrap())];
    second
}

#[test]
fn the_same_configuration_again_says_what_to_hold_and_nothing_else() {
    let mut node = Node::master(instance());
    let (before, due) = (node.status(), node.due_in());
    assert_eq!(node.reconfigure(config(instance())), "hold 1");
    assert_eq!((node.status(), node.due_in()), (before, due));

    let mut node = Node::backup(instance());
    node.on(heard(PEER, 150));
    node.run(1.0);
    let (before, due) = (node.status(), node.due_in());
    assert_eq!(node.reconfigure(config(instance())), "hold 0");
    assert_eq!((node.status(), node.due_in()), (before, due));
}

#[test]
fn instances_are_matched_by_virtual_router_not_by_name_or_place() {
    let mut node = Node::master(instance());
    let renamed = Instance { name: "other".to_owned(), ..instance() };
    let done = node.reconfigure(Config { instances: vec![second(), renamed], ..Config::default() });
    assert_eq!(done, "hold 0, #1 hold 1, hold 0, BACKUP 100, init>backup");
    let status = node.router.status(node.now).instances.remove(1);
    assert_eq!((status.id, status.name.as_str(), status.holding), (InstanceId(1), "other", true));
    assert_eq!(status.counters.become_master, 1);
    assert!(node.run(1.0).contains("#1 advert 100"));
}

#[test]
fn an_instance_that_is_gone_says_goodbye_under_an_identifier_beyond_the_list() {
    let mut node = Node::new(Config { instances: vec![instance(), second()], ..Config::default() });
    node.on(eth0(true));
    node.run(5.0);
    let done = node.reconfigure(config(second()));
    assert_eq!(done, "#1 advert 0, #1 hold 0, #1 FAULT 100, #1 master>stopped, hold 1");
    assert_eq!(InstanceId(1).departed(1), Some(0));
    assert_eq!(node.state(), "master");
    assert_eq!(node.status().name, "VI_2");
}

#[test]
fn new_addresses_of_a_master_are_held_and_announced() {
    let mut node = Node::master(instance());
    let mut wider = instance();
    wider.excluded = vec![VirtualAddress::new("10.0.0.102/32".parse().unwrap())];
    assert_eq!(node.reconfigure(config(wider)), "hold 2, garp 1x5");
    let announced = node.actions.iter().find_map(|action| match action {
        Action::Announce { addresses, .. } => Some(addresses[0].prefix.to_string()),
        _ => None,
    });
    assert_eq!(announced.as_deref(), Some("10.0.0.102/32"));
    assert_eq!(node.reconfigure(config(instance())), "hold 1");
}

#[test]
fn a_backups_timer_follows_priority_and_interval() {
    let mut node = Node::backup(instance());
    node.run(1.0);
    let high = Instance { priority: Priority::new(200).unwrap(), ..instance() };
    assert_eq!(node.reconfigure(config(high)), "hold 0, backup>backup");
    assert_eq!(node.due_in(), Some(2.218_75));
    let slow = Instance { advert_interval: Centis(300), ..instance() };
    node.reconfigure(config(slow));
    assert_eq!(node.due_in(), Some(8.609_375));
}

#[test]
fn a_master_with_a_shorter_interval_does_not_wait_the_longer_one_out() {
    let mut node = Node::master(Instance { advert_interval: Centis(400), ..instance() });
    node.on(heard(PEER, 0));
    node.reconfigure(config(instance()));
    node.run(0.99);
    assert!(node.run(0.02).contains("advert 100"));
}

#[test]
fn trackers_of_the_same_definition_keep_their_result() {
    let script = |name: &str| Script { name: name.to_owned(), rise: 1, fall: 1 };
    let tracked = |id| tracking(instance(), TrackTarget::Script(ScriptId(id)), -20);
    let mut node = Node::new(Config { instances: vec![tracked(0)], scripts: vec![script("a")], ..Config::default() });
    node.on(eth0(true));
    node.on(Event::ScriptEnded { script: ScriptId(0), outcome: ScriptOutcome::TimedOut });
    assert_eq!(node.status().effective_priority, 80);
    let moved = Config { instances: vec![tracked(1)], scripts: vec![script("b"), script("a")], ..Config::default() };
    assert_eq!(node.reconfigure(moved), "hold 0");
    assert_eq!(node.status().effective_priority, 80);
    // Another definition has not run yet.
    let other = Config { instances: vec![tracked(0)], scripts: vec![script("c")], ..Config::default() };
    node.reconfigure(other);
    assert_eq!((node.status().effective_priority, node.status().trackers[0].healthy), (100, None));
}

#[test]
fn a_running_instance_does_not_stop_for_a_script_that_has_not_run() {
    let mut node = Node::master(instance());
    let tracked = tracking(instance(), TrackTarget::Script(ScriptId(0)), 0);
    let scripts = vec![Script { name: "chk".to_owned(), rise: 1, fall: 1 }];
    assert_eq!(node.reconfigure(Config { instances: vec![tracked], scripts, ..Config::default() }), "hold 1");
    let failed = ScriptOutcome::Failure { status: 2 };
    let done = node.on(Event::ScriptEnded { script: ScriptId(0), outcome: failed });
    assert_eq!(done, "advert 0, hold 0, FAULT 100, master>fault");
}

#[test]
fn a_configuration_that_comes_during_shutdown_changes_nothing() {
    let mut node = Node::master(instance());
    node.on(Event::Shutdown);
    assert_eq!(node.reconfigure(Config::default()), "");
    assert!(node.run(4.0).ends_with("stopped"));
}

#[test]
fn out_of_range_identifiers_are_ignored() {
    let mut node = Node::master(instance());
    let command = evenkeel_vrrp::Command::Failover(InstanceId(9));
    assert_eq!(node.on(Event::Command(command)), "");
    let outcome = ScriptOutcome::Success;
    assert_eq!(node.on(Event::ScriptEnded { script: ScriptId(9), outcome }), "");
}
