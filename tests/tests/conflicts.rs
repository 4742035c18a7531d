//! Addresses are what they are to be, whoever else touches them.

use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use std::time::Duration;

const VIP: &str = "10.0.0.100";
const PATIENCE: Duration = Duration::from_secs(20);

fn node(lan: &Lan, name: &str, address: &str, priority: u8) -> Machine {
    let machine = lan.machine(name, "eth0", address).with_evenkeel();
    let conf = format!(
        "vrrp_instance VI_1 {{\n    interface eth0\n    virtual_router_id 50\n    priority {priority}\n    garp_master_delay 1\n    virtual_ipaddress {{\n        {VIP}\n    }}\n}}\n"
    );
    machine.write("/etc/keepalived/keepalived.conf", &conf);
    machine
}

fn mac(machine: &Machine) -> String {
    machine.shell("cat /sys/class/net/eth0/address").trim().to_owned()
}

#[test]
fn after_a_thief_neighbours_learn_the_master_again() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let thief = lan.machine("thief", "eth0", "10.0.0.66/24");
    let master = node(&lan, "first", "10.0.0.10/24", 150);
    master.start_service(Service::Keepalived);
    master.await_holding(VIP, PATIENCE);
    // A neighbour that is known already: announcements of others are taken in for such alone.
    client.shell(&format!("ip neigh replace {VIP} lladdr {} dev eth0 nud stale", mac(&master)));
    let learned = |machine: &Machine| client.shell(&format!("ip neigh show {VIP}")).contains(&mac(machine));
    assert!(learned(&master));

    // With this the kernel announces its addresses as the link comes up.
    thief.shell("sysctl -qw net.ipv4.conf.eth0.arp_notify=1");
    thief.shell(&format!("ip addr add {VIP}/32 dev eth0 && ip link set eth0 down && ip link set eth0 up"));
    let counter = |name: &str| {
        master.status().map_or(0, |status| status["instances"][0]["counters"][name].as_u64().unwrap_or_default())
    };
    assert!(wait_until(PATIENCE, || counter("conflicts") > 0), "{}", master.logs());
    thief.shell(&format!("ip addr del {VIP}/32 dev eth0"));
    assert!(wait_until(PATIENCE, || learned(&master)), "{}\n{}", client.shell("ip neigh"), master.logs());
    assert!(wait_until(PATIENCE, || counter("reminders") > 1), "{:?}\n{}", master.status(), master.logs());
    let why = master.shell("evenkeel why VI_1");
    assert!(why.contains("again, with growing pauses for 60 s"), "{why}");
}

#[test]
fn an_address_that_somebody_gave_to_a_backup_is_taken_away() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let master = node(&lan, "first", "10.0.0.10/24", 150);
    let backup = node(&lan, "second", "10.0.0.11/24", 100);
    master.start_service(Service::Keepalived);
    master.await_holding(VIP, PATIENCE);
    backup.start_service(Service::Keepalived);
    assert!(wait_until(PATIENCE, || {
        backup.status().is_some_and(|status| status["instances"][0]["state"] == "backup")
    }));
    backup.shell(&format!("ip addr add {VIP}/32 dev eth0"));
    backup.await_release(VIP, PATIENCE);
    assert!(master.holds(VIP));
    assert!(backup.logs().contains("addresses were not as they are to be"), "{}", backup.logs());
}
