//! A reload as a user of the address sees it: not at all.

use evenkeel_e2e::probe::{DatagramProbe, Echo};
use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_for};
use serde_json::Value;
use std::time::Duration;

const VIP: &str = "10.0.0.100";
const OTHER_VIP: &str = "10.0.0.101";
const PATIENCE: Duration = Duration::from_secs(20);
const CONF: &str = "/etc/keepalived/keepalived.conf";

fn instance(name: &str, vrid: u8, priority: u8, address: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n    state BACKUP\n    interface eth0\n    virtual_router_id {vrid}\n    priority {priority}\n    advert_int 1\n    virtual_ipaddress {{\n        {address}\n    }}\n}}\n"
    )
}

/// What the machine's `status --json` has of the virtual routers, by number.
fn routers(machine: &Machine) -> Vec<Value> {
    machine.status().and_then(|status| status["instances"].as_array().cloned()).unwrap_or_default()
}

fn router(machine: &Machine, vrid: u8) -> Value {
    routers(machine).into_iter().find(|router| router["vrid"] == vrid).unwrap_or_default()
}

fn n_sent(router: &Value) -> Option<u64> {
    router["counters"]["advert_sent"].as_u64()
}

/// Loads `conf` and waits for two more adverts of the router `name`, that of number 50, which goes on as it was.
fn reload(machine: &Machine, conf: &str, name: &str) {
    let before = router(machine, 50);
    machine.write(CONF, conf);
    machine.shell("evenkeel reload");
    let after = router(machine, 50);
    assert_eq!((&after["name"], &after["state"]), (&name.into(), &"master".into()), "{}", machine.logs());
    assert!(n_sent(&before).is_some() && n_sent(&after) >= n_sent(&before), "{before}\n{after}");
    let goes_on = || Some(router(machine, 50)).filter(|now| n_sent(now) >= n_sent(&after).map(|n| n + 2));
    let Some(later) = wait_for(PATIENCE, goes_on) else { panic!("it counts no further: {}", machine.logs()) };
    assert_eq!(later["counters"]["become_master"], 1, "{later}");
    assert_eq!(later["counters"]["release_master"], 0, "{later}");
    assert_eq!(later["counters"]["pri_zero_sent"], 0, "{later}");
}

#[test]
fn a_reload_of_the_master_loses_no_datagram_and_no_count() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let master = lan.machine("high", "eth0", "10.0.0.10/24").with_evenkeel();
    let peer = lan.machine("low", "eth0", "10.0.0.11/24").with_evenkeel();
    let same = instance("VI_1", 50, 150, VIP);
    let renamed = instance("VI_renamed", 50, 150, VIP);
    // First in the file, so that the one that goes on has another place in it.
    let with_another = format!("{}{renamed}", instance("VI_2", 51, 150, OTHER_VIP));
    master.write(CONF, &same);
    peer.write(CONF, &instance("VI_1", 50, 100, VIP));
    let _echoes = [Echo::start(&master, 7), Echo::start(&peer, 7)];
    master.start_service(Service::Keepalived);
    master.await_holding(VIP, PATIENCE);
    peer.start_service(Service::Keepalived);
    let hears = || router(&peer, 50)["counters"]["advert_rcvd"].as_u64().filter(|n| *n > 0);
    assert!(wait_for(PATIENCE, hears).is_some(), "{}", peer.logs());

    let probe = DatagramProbe::start(&client, format!("{VIP}:7").parse().expect("an address"));
    reload(&master, &same, "VI_1");
    reload(&master, &renamed, "VI_renamed");
    reload(&master, &with_another, "VI_renamed");
    master.await_holding(OTHER_VIP, PATIENCE);
    reload(&master, &renamed, "VI_renamed");
    master.await_release(OTHER_VIP, PATIENCE);
    assert_eq!(routers(&master).len(), 1);
    let loss = probe.finish();

    let seen = router(&peer, 50);
    assert_eq!(seen["state"], "backup", "{}", peer.logs());
    let counters = &seen["counters"];
    assert_eq!((&counters["become_master"], &counters["advert_sent"]), (&0.into(), &0.into()), "{}", peer.logs());
    assert_eq!(counters["pri_zero_rcvd"], 0, "the master never said goodbye: {seen}");
    assert!(loss.sent > 4000, "the probe ran through four reloads: {loss:?}");
    assert_eq!(loss.lost, 0, "{loss:?}\n{}", master.logs());
}

#[test]
fn what_a_running_daemon_cannot_change_is_refused_and_what_ran_goes_on() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let host = lan.machine("host", "eth0", "10.0.0.10/24").with_evenkeel();
    let routers = instance("VI_1", 50, 150, VIP);
    host.write(CONF, &routers);
    host.start_service(Service::Keepalived);
    host.await_holding(VIP, PATIENCE);
    let changed = instance("VI_1", 50, 150, OTHER_VIP);
    for (head, word) in [
        ("net_namespace blue\n", "net_namespace"),
        ("instance Two\n", "instance"),
        ("global_defs {\n    config_save_dir /tmp/saved\n}\n", "config_save_dir"),
        ("global_defs {\n    tmp_config_directory /tmp\n}\n", "tmp_config_directory"),
    ] {
        host.write(CONF, &format!("{head}{changed}"));
        let output = host.run(&["evenkeel", "reload"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{word}: {said}");
        assert!(said.contains(word) && said.contains("cannot change at a reload: restart for that"), "{word}: {said}");
        assert!(host.holds(VIP) && !host.holds(OTHER_VIP), "{word}");
    }
    host.write(CONF, &changed);
    host.shell("evenkeel reload");
    host.await_holding(OTHER_VIP, PATIENCE);
    host.await_release(VIP, PATIENCE);
}
