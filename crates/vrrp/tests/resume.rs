//! A router that takes the place of one that died as master.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::config::{Priority, Script, TrackTarget};
use evenkeel_vrrp::{Config, Event, ScriptId, ScriptOutcome};
use node::*;

/// A process whose predecessor died as master, before it has heard of its interface.
fn successor(config: Config) -> Node {
    let mut node = Node::new(config);
    assert_eq!(node.on(resume(2.0)), "");
    node
}

#[test]
fn it_goes_on_as_master_at_once_where_a_new_one_waits() {
    let mut node = successor(config(instance()));
    assert_eq!(node.on(eth0(true)), "hold 1, garp 1x5, advert 100, MASTER 100, init>master");
    assert!(node.why().contains("died as master"), "{}", node.why());
    assert_eq!(Node::new(config(instance())).on(eth0(true)), "hold 0, BACKUP 100, init>backup");
}

#[test]
fn what_it_finds_decides_whether_it_may_go_on() {
    let waits = tracking(instance(), TrackTarget::Proxy, 0);
    // What happens before the awaited tracker reports well; what is done then; the state in the end.
    let rows: [(&str, Vec<Event>, &str, &str); 7] = [
        ("nothing", vec![], "", "master"),
        ("a lower advert", vec![heard(PEER, 90)], "", "master"),
        ("an equal advert from a lower address", vec![heard("10.0.0.1".parse().unwrap(), 100)], "", "master"),
        ("priority 0", vec![heard(PEER, 0)], "", "master"),
        ("a higher advert", vec![heard(PEER, 101)], "hold 0, init>init", "backup"),
        ("an equal advert from a higher address", vec![heard(PEER, 100)], "hold 0, init>init", "backup"),
        ("an announcement of somebody else", vec![claim(PEER_MAC)], "hold 0, init>init", "backup"),
    ];
    for (what, events, want, state) in rows {
        let mut node = successor(config(waits.clone()));
        // What the dead one held stays where it is.
        assert_eq!(node.on(eth0(true)), "", "{what}");
        let done: Vec<String> = events.into_iter().map(|event| node.on(event)).collect();
        assert_eq!(done.join("; "), want, "{what}");
        node.on(proxy(true));
        assert_eq!(node.state(), state, "{what}");
    }
}

#[test]
fn it_holds_on_only_as_long_as_nobody_can_have_taken_over() {
    let mut node = successor(config(tracking(instance(), TrackTarget::Proxy, 0)));
    node.on(eth0(true));
    assert_eq!(node.due_in(), Some(2.0));
    assert_eq!(node.run(1.9), "");
    assert_eq!(node.run(0.2), "hold 0, init>init");
    assert_eq!(node.due_in(), None);
    assert_eq!(node.on(proxy(true)), "BACKUP 100, init>backup");
}

#[test]
fn a_fault_of_now_counts_more_than_the_mastership_of_before() {
    let mut node = successor(config(instance()));
    assert_eq!(node.on(eth0(false)), "hold 0, FAULT 100, init>fault");
    let mut node = successor(config(tracking(instance(), TrackTarget::Proxy, 0)));
    assert_eq!(node.on(proxy(false)), "hold 0, FAULT 100, init>fault");
    assert_eq!(node.on(eth0(true)), "");
}

#[test]
fn its_first_advert_has_the_priority_that_its_scripts_gave_before() {
    let mut tracked = tracking(instance(), TrackTarget::Script(ScriptId(0)), 20);
    tracked.priority = Priority::new(100).unwrap();
    let scripts = vec![Script { name: "chk".to_owned(), rise: 3, fall: 3 }];
    let mut node = successor(Config { instances: vec![tracked], scripts, ..Config::default() });
    node.on(Event::ScriptEnded { script: ScriptId(0), outcome: ScriptOutcome::Success });
    assert_eq!(node.on(eth0(true)), "hold 1, garp 1x5, advert 120, MASTER 120, init>master");
}

#[test]
fn a_master_that_is_better_takes_over_from_it_as_from_any_other() {
    let mut node = successor(config(instance()));
    node.on(eth0(true));
    assert_eq!(node.on(heard(PEER, 150)), "master>leaving");
    node.run(0.02);
    assert_eq!(node.on(claim(PEER_MAC)), "hold 0, BACKUP 100, leaving>backup");
}
