//! Every state with every event, once: `states.txt` is the table. `UPDATE_EXPECT=1` writes it anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::config::TrackTarget;
use evenkeel_vrrp::{Event, InstanceId, Maintenance};
use node::*;
use std::fmt::Write;
use std::net::Ipv4Addr;

const STATES: [&str; 9] = [
    "init",
    "init:resuming",
    "backup",
    "master",
    "leaving:yield",
    "leaving:failover",
    "leaving:shutdown",
    "fault",
    "stopped",
];

/// A node in this state. All track the proxy without weight, so that Init lasts until it reports.
fn reach(state: &str) -> Node {
    let mut node = Node::new(config(tracking(instance(), TrackTarget::Proxy, 0)));
    if state == "init:resuming" {
        node.on(resume(2.0));
    }
    node.on(eth0(true));
    if !state.starts_with("init") {
        node.on(proxy(state != "fault"));
    }
    match state {
        "init" | "init:resuming" | "fault" => {}
        "backup" => {
            node.on(heard(PEER, 150));
        }
        "stopped" => {
            node.on(Event::Shutdown);
        }
        _ => {
            node.run(10.5);
            match state {
                "leaving:yield" => node.on(heard(PEER, 150)),
                "leaving:failover" => node.on(failover()),
                "leaving:shutdown" => node.on(Event::Shutdown),
                _ => String::new(),
            };
        }
    }
    assert_eq!(Some(node.state().as_str()), state.split(':').next());
    node
}

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("deadline, early", Event::Deadline),
        ("deadline", Event::Deadline),
        ("advert 150", heard(PEER, 150)),
        ("advert 100 from a higher address", heard(PEER, 100)),
        ("advert 100 from our address", heard(OURS, 100)),
        ("advert 100 from a lower address", heard(Ipv4Addr::new(10, 0, 0, 1).into(), 100)),
        ("advert 50", heard(PEER, 50)),
        ("advert 0", heard(PEER, 0)),
        ("announcement of our address", claim(PEER_MAC)),
        ("announcement of our address, from ourselves", claim(OUR_MAC)),
        ("answer for our address", answer(PEER_MAC)),
        ("address vanished", vanished()),
        ("route vanished", Event::RouteVanished { instance: InstanceId(0), what: "route default".to_owned() }),
        ("proxy well", proxy(true)),
        ("proxy failed", proxy(false)),
        ("link up", eth0(true)),
        ("link down", eth0(false)),
        ("link gone", Event::InterfaceGone { index: ETH0 }),
        ("resume", resume(2.0)),
        ("failover", failover()),
        ("failback", failback()),
        ("announce", announce()),
        ("maintenance", Event::Maintenance(Maintenance::Yielding)),
        ("strict maintenance", Event::Maintenance(Maintenance::Strict)),
        ("maintenance is over", Event::Maintenance(Maintenance::Off)),
        ("shutdown", Event::Shutdown),
    ]
}

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    let mut table = String::from("# state | event | next state | deadline in | actions\n");
    for state in STATES {
        table.push('\n');
        for (name, event) in events() {
            let mut node = reach(state);
            if name == "deadline" {
                node.now = node.due_at().unwrap_or(node.now);
            }
            let actions = node.on(event);
            let due = node.due_in().map_or("-".to_owned(), |due| format!("{due:.3}"));
            writeln!(table, "{state} | {name} | {} | {due} | {actions}", node.state()).unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/states.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let want = std::fs::read_to_string(path).unwrap();
    for (got, want) in table.lines().zip(want.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(table.lines().count(), want.lines().count());
}
