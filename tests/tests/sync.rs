//! Sync groups, with Debian's keepalived at the other end: what one member does, all do, on both nodes.

use evenkeel_e2e::probe::{DatagramProbe, Echo};
use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use std::time::Duration;

const NEAR: &str = "10.0.0.100";
const FAR: &str = "10.1.0.100";
const TAKEOVER: Duration = Duration::from_secs(15);

/// Writes what it is told to a file.
const TELL: &str = "#!/bin/sh\necho \"$*\" >> /tmp/told\n";

fn conf(priority: u8) -> String {
    let instance = |name: &str, n: u8| {
        format!(
            "vrrp_instance {name} {{\n    interface eth{n}\n    virtual_router_id {}\n    priority {priority}\n    advert_int 1\n    virtual_ipaddress {{\n        10.{n}.0.100/24\n    }}\n    notify /usr/bin/tell\n}}\n",
            50 + n
        )
    };
    format!(
        "global_defs {{\n    script_user root\n}}\nvrrp_sync_group G1 {{\n    group {{\n        VI_1\n        VI_2\n    }}\n    notify /usr/bin/tell\n}}\n{}{}",
        instance("VI_1", 0),
        instance("VI_2", 1)
    )
}

struct Nodes {
    client: Machine,
    /// Priority 150.
    high: Machine,
    /// Priority 100.
    low: Machine,
    /// Of eth1.
    far: Lan,
    _near: Lan,
}

/// Two nodes on two LANs; evenkeel runs on those named, Debian's keepalived on the others.
fn nodes(evenkeel_on: &[&str]) -> Nodes {
    let (near, far) = (Lan::new(), Lan::new());
    let client = near.machine("client", "eth0", "10.0.0.1/24");
    let node = |name: &str, last: u8, priority: u8| {
        let machine = near.machine(name, "eth0", &format!("10.0.0.{last}/24"));
        far.attach(&machine, "eth1", &format!("10.1.0.{last}/24"));
        let machine = if evenkeel_on.contains(&name) { machine.with_evenkeel() } else { machine };
        machine.install("/usr/bin/tell", TELL);
        machine.write("/etc/keepalived/keepalived.conf", &conf(priority));
        machine
    };
    let high = node("high", 10, 150);
    let low = node("low", 11, 100);
    Nodes { client, high, low, far, _near: near }
}

fn await_both(machine: &Machine) {
    machine.await_holding(NEAR, TAKEOVER);
    machine.await_holding(FAR, TAKEOVER);
}

fn await_none(machine: &Machine) {
    machine.await_release(NEAR, TAKEOVER);
    machine.await_release(FAR, TAKEOVER);
}

/// The last line about `subject` that the scripts of a machine were told.
fn last_told(machine: &Machine, subject: &str) -> String {
    machine.read("/tmp/told").lines().rfind(|line| line.starts_with(subject)).unwrap_or_default().to_owned()
}

fn await_told(machine: &Machine, line: &str) {
    let subject = line.rsplitn(3, ' ').last().unwrap_or(line);
    let told = wait_until(TAKEOVER, || last_told(machine, subject) == line);
    assert!(told, "{line}: told {}\n{}", machine.read("/tmp/told"), machine.logs());
}

/// The link of one member fails on the preferred node, and returns.
fn a_link_fails_and_returns(evenkeel_on: &str) {
    let nodes = nodes(&[evenkeel_on]);
    nodes.high.start_service(Service::Keepalived);
    await_both(&nodes.high);
    nodes.low.start_service(Service::Keepalived);
    await_told(&nodes.high, "GROUP G1 MASTER 0");
    await_told(&nodes.low, "GROUP G1 BACKUP 0");

    nodes.far.cable("high", false);
    await_both(&nodes.low);
    await_none(&nodes.high);
    await_told(&nodes.high, "GROUP G1 FAULT 0");
    await_told(&nodes.high, "INSTANCE VI_1 FAULT 150");
    await_told(&nodes.low, "GROUP G1 MASTER 0");

    nodes.far.cable("high", true);
    await_both(&nodes.high);
    await_none(&nodes.low);
    await_told(&nodes.high, "GROUP G1 MASTER 0");
    await_told(&nodes.low, "GROUP G1 BACKUP 0");

    // In good order, and unplanned.
    nodes.high.stop_service(Service::Keepalived);
    await_both(&nodes.low);
    await_told(&nodes.high, "GROUP G1 STOP 0");
}

#[test]
fn all_members_move_when_one_link_of_evenkeel_fails() {
    if able_to_run(&["keepalived"]) {
        a_link_fails_and_returns("high");
    }
}

#[test]
fn all_members_move_when_one_link_of_keepalived_fails() {
    if able_to_run(&["keepalived"]) {
        a_link_fails_and_returns("low");
    }
}

#[test]
fn a_group_that_is_told_to_go_loses_no_datagram_and_is_shown() {
    if !able_to_run(&[]) {
        return;
    }
    let nodes = nodes(&["high", "low"]);
    let _echoes = [Echo::start(&nodes.high, 7), Echo::start(&nodes.low, 7)];
    nodes.high.start_service(Service::Keepalived);
    await_both(&nodes.high);
    nodes.low.start_service(Service::Keepalived);
    await_told(&nodes.low, "GROUP G1 BACKUP 0");
    let status = nodes.high.status().expect("a status");
    assert_eq!(status["groups"][0]["state"], "master", "{status}");
    assert_eq!(status["groups"][0]["members"], serde_json::json!(["VI_1", "VI_2"]));

    let probe = DatagramProbe::start(&nodes.client, format!("{NEAR}:7").parse().expect("an address"));
    nodes.high.shell("evenkeel failover G1");
    await_both(&nodes.low);
    await_none(&nodes.high);
    let loss = probe.finish();
    assert_eq!(loss.lost, 0, "{loss:?}\n{}", nodes.high.logs());
    let why = nodes.high.shell("evenkeel why G1");
    assert!(why.contains("VI_1") && why.contains("VI_2"), "{why}");
    assert!(nodes.low.shell("evenkeel status").contains("group G1  MASTER"));

    nodes.high.shell("evenkeel failback VI_2");
    await_both(&nodes.high);
    await_none(&nodes.low);
}
