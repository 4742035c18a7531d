//! Addresses that accept nothing: the rules are keepalived's, packets are dropped, and nothing stays behind.

use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use std::time::Duration;

const VIP: &str = "10.0.0.100";
const PATIENCE: Duration = Duration::from_secs(20);

fn conf(globals: &str, flavour: &str) -> String {
    format!(
        "global_defs {{\n{globals}\n}}\nvrrp_instance V {{\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority 200\n    {flavour}\n    virtual_ipaddress {{\n        10.0.0.100/24\n    }}\n    virtual_ipaddress_excluded {{\n        fd00::100\n        fe80::100\n        10.3.0.1\n    }}\n}}\n"
    )
}

/// Lines of the ruleset in an order of their own: sets, chains and tables are listed in that of their making.
fn ruleset(machine: &Machine) -> Vec<String> {
    let text = machine.shell("nft list ruleset");
    let mut context = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "}" {
            context.pop();
        } else if let Some(opens) = line.strip_suffix(" {").filter(|_| !line.contains("elements")) {
            context.push(opens.to_owned());
        } else {
            // What was counted depends on what happened on the wire.
            let words: Vec<_> = line.split(' ').collect();
            let is_number = |at: usize| at > 0 && ["packets", "bytes"].contains(&words[at - 1]);
            let words: Vec<_> =
                words.iter().enumerate().map(|(at, word)| if is_number(at) { "N" } else { word }).collect();
            lines.push(format!("{}: {}", context.join("/"), words.join(" ")));
        }
    }
    lines.sort();
    lines
}

fn same_rules(globals: &str, flavour: &str) {
    let lans = [Lan::new(), Lan::new()];
    let node = |lan: &Lan, name: &str| {
        let machine = lan.machine(name, "eth0", "10.0.0.10/24");
        machine.write("/etc/keepalived/keepalived.conf", &conf(globals, flavour));
        machine
    };
    let theirs = node(&lans[0], "theirs");
    let ours = node(&lans[1], "ours").with_evenkeel();
    for machine in [&theirs, &ours] {
        machine.start_service(Service::Keepalived);
        machine.await_holding(VIP, PATIENCE);
    }
    let is_same = || ruleset(&ours) == ruleset(&theirs);
    assert!(
        wait_until(PATIENCE, is_same),
        "ours: {:#?}\ntheirs: {:#?}\n{}",
        ruleset(&ours),
        ruleset(&theirs),
        ours.logs()
    );

    // Left by a killed daemon, the rules are there once and not twice, and at the end not at all.
    let rules = ruleset(&ours);
    ours.shell("nft add table ip of_somebody_else; killall -9 keepalived evenkeel 2>/dev/null; sleep 0.2; true");
    ours.start_service(Service::Keepalived);
    let others = |machine: &Machine| {
        ruleset(machine).into_iter().filter(|line| !line.contains("of_somebody_else")).collect::<Vec<_>>()
    };
    assert!(
        wait_until(PATIENCE, || ours.holds(VIP) && others(&ours) == rules),
        "{:#?}\n{}",
        ruleset(&ours),
        ours.logs()
    );
    ours.stop_service(Service::Keepalived);
    let left = || ours.shell("nft list tables");
    assert!(wait_until(PATIENCE, || left().trim() == "table ip of_somebody_else"), "{}", left());
}

#[test]
fn no_accept_makes_keepalived_s_rules() {
    if able_to_run(&["keepalived", "nft"]) {
        same_rules("", "no_accept");
    }
}

#[test]
fn counters_name_and_priority_are_keepalived_s() {
    if able_to_run(&["keepalived", "nft"]) {
        same_rules("nftables vips_of_lb\nnftables_counters\nnftables_priority 5", "no_accept");
    }
}

#[test]
fn a_virtual_mac_redirects_reports_of_groups_as_in_keepalived() {
    if able_to_run(&["keepalived", "nft"]) {
        let conf_without_v6 = "use_vmac";
        let lans = [Lan::new(), Lan::new()];
        let node = |lan: &Lan, name: &str| {
            let machine = lan.machine(name, "eth0", "10.0.0.10/24");
            let text = conf("", conf_without_v6).replace("fd00::100", "10.3.0.2").replace("fe80::100", "10.3.0.3");
            machine.write("/etc/keepalived/keepalived.conf", &text);
            machine
        };
        let (theirs, ours) = (node(&lans[0], "theirs"), node(&lans[1], "ours").with_evenkeel());
        for machine in [&theirs, &ours] {
            machine.start_service(Service::Keepalived);
            machine.await_holding(VIP, PATIENCE);
        }
        let is_same = || ruleset(&ours) == ruleset(&theirs);
        assert!(wait_until(PATIENCE, is_same), "ours: {:#?}\ntheirs: {:#?}", ruleset(&ours), ruleset(&theirs));
    }
}

#[test]
fn packets_to_such_an_address_are_dropped_and_to_others_not() {
    if !able_to_run(&["nft"]) {
        return;
    }
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let node = lan.machine("node", "eth0", "10.0.0.10/24").with_evenkeel();
    node.write("/etc/keepalived/keepalived.conf", &conf("", "no_accept"));
    node.start_service(Service::Keepalived);
    node.await_holding(VIP, PATIENCE);
    let refused = |address: &str| {
        let line = format!("exec 3<>/dev/tcp/{address}/9");
        let asked = client.run(&["timeout", "1", "bash", "-c", &line]);
        String::from_utf8_lossy(&asked.stderr).contains("refused")
    };
    assert!(refused("10.0.0.10"), "its own address answers");
    assert!(!refused(VIP), "the virtual one does not");
    node.write("/etc/keepalived/keepalived.conf", &conf("", "accept"));
    node.shell("systemctl reload keepalived");
    assert!(wait_until(PATIENCE, || refused(VIP)), "{}\n{}", node.shell("nft list ruleset"), node.logs());
}
