//! The first article: a node that does not take back, priorities that scripts move, and two masters for two addresses.

use evenkeel_e2e::seeds::Programs;
use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use std::time::Duration;

const VIP: &str = "192.168.1.20";
const SECOND_VIP: &str = "192.168.1.21";
/// Three intervals, the longest skew, a script's interval, and what a busy machine adds.
const TAKEOVER: Duration = Duration::from_secs(12);
/// Longer than any takeover: what has not happened by then does not happen.
const NEVER: Duration = Duration::from_secs(6);

fn nodes(lan: &Lan, programs: Programs) -> [Machine; 2] {
    [("master-node", "14"), ("slave-node", "24")]
        .map(|(name, host)| programs.install(lan.machine(name, "em1", &format!("192.168.1.{host}/24"))))
}

fn configure(node: &Machine, template: &str, values: &[(&str, &str)]) {
    let text = values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value));
    assert!(!text.contains('@') || text.contains("example.com"), "a value is missing in {text}");
    node.write("/etc/keepalived/keepalived.conf", &text);
}

#[test]
fn a_node_that_returns_with_nopreempt_leaves_the_address_where_it_is() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let lan = Lan::new();
    let [master, slave] = nodes(&lan, Programs::Evenkeel);
    let template = include_str!("../files/000/nopreempt.conf");
    configure(&master, template, &[("ROUTER_ID", "master-node"), ("ADDRESS", "192.168.1.14"), ("PRIORITY", "101")]);
    configure(&slave, template, &[("ROUTER_ID", "slave-node"), ("ADDRESS", "192.168.1.24"), ("PRIORITY", "99")]);
    master.start_service(Service::Keepalived);
    master.await_holding(VIP, TAKEOVER);
    slave.start_service(Service::Keepalived);
    master.stop_service(Service::Keepalived);
    slave.await_holding(VIP, TAKEOVER);
    master.start_service(Service::Keepalived);
    assert!(!wait_until(NEVER, || master.holds(VIP)), "nopreempt took the address back");
    assert!(slave.holds(VIP));
}

#[test]
fn a_negative_weight_moves_the_address_and_brings_it_back() {
    if able_to_run(&["nginx", "killall"]) {
        weight_moves_the_address(Programs::Evenkeel, "-20", ["101", "99"]);
    }
}

#[test]
fn a_positive_weight_moves_the_address_and_brings_it_back() {
    if able_to_run(&["nginx", "killall"]) {
        weight_moves_the_address(Programs::Evenkeel, "20", ["100", "90"]);
    }
}

#[test]
fn the_real_keepalived_moves_by_weight_in_the_same_way() {
    if able_to_run(&["nginx", "killall", "keepalived"]) {
        weight_moves_the_address(Programs::Debian, "-20", ["101", "99"]);
    }
}

fn weight_moves_the_address(programs: Programs, weight: &str, priorities: [&str; 2]) {
    let lan = Lan::new();
    let nodes = nodes(&lan, programs);
    for ((node, priority), state) in nodes.iter().zip(priorities).zip(["MASTER", "BACKUP"]) {
        let values = [("WEIGHT", weight), ("STATE", state), ("PRIORITY", priority)];
        configure(node, include_str!("../files/000/weighted.conf"), &values);
        node.start_service(Service::Nginx);
        node.start_service(Service::Keepalived);
    }
    let [master, slave] = nodes;
    master.await_holding(VIP, TAKEOVER);
    master.stop_service(Service::Nginx);
    slave.await_holding(VIP, TAKEOVER);
    master.await_release(VIP, TAKEOVER);
    master.start_service(Service::Nginx);
    master.await_holding(VIP, TAKEOVER);
    slave.await_release(VIP, TAKEOVER);
}

#[test]
fn with_two_masters_one_node_takes_both_addresses_when_the_other_dies() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let [mut one, two] = nodes(&lan, Programs::Evenkeel);
    let template = include_str!("../files/000/master-master.conf");
    let first = [("STATE_1", "MASTER"), ("PRIORITY_1", "100"), ("STATE_2", "BACKUP"), ("PRIORITY_2", "90")];
    let second = [("STATE_1", "BACKUP"), ("PRIORITY_1", "90"), ("STATE_2", "MASTER"), ("PRIORITY_2", "100")];
    configure(&one, template, &first);
    configure(&two, template, &second);
    one.start_service(Service::Keepalived);
    two.start_service(Service::Keepalived);
    one.await_holding(VIP, TAKEOVER);
    two.await_holding(SECOND_VIP, TAKEOVER);
    one.await_release(SECOND_VIP, TAKEOVER);
    two.await_release(VIP, TAKEOVER);
    one.power_off();
    two.await_holding(VIP, TAKEOVER);
    assert!(two.holds(SECOND_VIP));
}
