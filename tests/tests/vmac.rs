//! An interface with the virtual router's MAC: the kernel looks as it does after keepalived, the two understand each
//! other, and no client learns another MAC.

use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use std::time::Duration;

const VIP: &str = "10.0.0.100";
const PATIENCE: Duration = Duration::from_secs(20);
const MAC: &str = "00:00:5e:00:01:33";

fn conf(priority: u8, flavour: &str) -> String {
    format!(
        "vrrp_instance V {{\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority {priority}\n    advert_int 1\n    {flavour}\n    virtual_ipaddress {{\n        10.0.0.100/24\n    }}\n}}\n"
    )
}

/// Settings that a virtual MAC changes.
const SETTINGS: &str = "cd /proc/sys/net/ipv4/conf; for i in all default eth0 vrrp.51; do for k in arp_ignore arp_filter rp_filter accept_local promote_secondaries; do test -f $i/$k && echo $i.$k=$(cat $i/$k); done; done; cat ../../ipv6/conf/vrrp.51/disable_ipv6 2>/dev/null; true";

/// The interface as the kernel shows it, without the numbers that differ from machine to machine.
fn picture(machine: &Machine) -> Vec<String> {
    let link = machine.shell("ip -d -o link show dev vrrp.51; ip -o -4 addr show; ip -o -6 addr show dev vrrp.51");
    let settings = machine.shell(SETTINGS);
    let strip = |line: &str| line.split_once(": ").map_or(line, |(_, rest)| rest).to_owned();
    link.lines().map(strip).chain(settings.lines().map(str::to_owned)).collect()
}

fn node(lan: &Lan, name: &str, address: &str, conf: &str) -> Machine {
    let machine = lan.machine(name, "eth0", address);
    machine.write("/etc/keepalived/keepalived.conf", conf);
    // So that the one for all interfaces has something to hand down.
    machine.shell("echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter");
    machine
}

#[test]
fn the_interface_looks_the_same_as_after_keepalived() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let lans = [Lan::new(), Lan::new()];
    let theirs = node(&lans[0], "theirs", "10.0.0.10/24", &conf(200, "use_vmac"));
    let ours = node(&lans[1], "ours", "10.0.0.10/24", &conf(200, "use_vmac")).with_evenkeel();
    let settings_before = ours.shell(SETTINGS);
    for machine in [&theirs, &ours] {
        machine.start_service(Service::Keepalived);
        machine.await_holding(VIP, PATIENCE);
    }
    let got = picture(&ours);
    assert_eq!(got, picture(&theirs), "{}", ours.logs());

    // Somebody deletes it, and it is there again with all that was on it.
    ours.shell("ip link del vrrp.51");
    let is_whole = || ours.run(&["ip", "link", "show", "dev", "vrrp.51"]).status.success() && picture(&ours) == got;
    assert!(wait_until(PATIENCE, is_whole), "{}", ours.logs());

    // A killed daemon leaves it, and the next one goes on with it.
    ours.shell("killall -9 keepalived evenkeel 2>/dev/null; sleep 0.2; true");
    ours.start_service(Service::Keepalived);
    assert!(wait_until(PATIENCE, || picture(&ours) == got), "{:#?}\n{}", picture(&ours), ours.logs());

    // A reload without it takes it away, with all that was borrowed for it.
    ours.write("/etc/keepalived/keepalived.conf", &conf(200, ""));
    ours.shell("systemctl reload keepalived");
    let is_on_eth0 =
        || ours.shell("ip -o -4 addr show dev eth0").contains(VIP) && ours.shell(SETTINGS) == settings_before;
    assert!(wait_until(PATIENCE, is_on_eth0), "{}\n{}", ours.shell("ip addr"), ours.logs());
    ours.write("/etc/keepalived/keepalived.conf", &conf(200, "use_vmac"));
    ours.shell("systemctl reload keepalived");
    let is_back = || ours.run(&["ip", "link", "show", "dev", "vrrp.51"]).status.success() && picture(&ours) == got;
    assert!(wait_until(PATIENCE, is_back), "{:#?}\n{}", picture(&ours), ours.logs());

    // At the end nothing is left of it, and the settings are what they were.
    ours.stop_service(Service::Keepalived);
    let is_gone = || !ours.run(&["ip", "link", "show", "dev", "vrrp.51"]).status.success();
    assert!(wait_until(PATIENCE, is_gone), "{}", ours.logs());
    assert_eq!(ours.shell(SETTINGS), settings_before);
}

/// Both ways, planned and not: the client's neighbour never has another MAC.
fn failover(evenkeel_is_preferred: bool) {
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let mut high = node(&lan, "high", "10.0.0.10/24", &conf(150, "use_vmac"));
    let mut low = node(&lan, "low", "10.0.0.11/24", &conf(100, "use_vmac"));
    match evenkeel_is_preferred {
        true => high = high.with_evenkeel(),
        false => low = low.with_evenkeel(),
    }
    let ours = if evenkeel_is_preferred { &high } else { &low };
    let our_mac = ours.shell("cat /sys/class/net/eth0/address").trim().to_owned();
    let capture = std::env::temp_dir().join(format!("ek-vmac-{}-{evenkeel_is_preferred}.pcap", std::process::id()));
    let mut tcpdump = lan.capture(&capture, "ip proto 112 or arp");
    // Nobody listens there: to be refused is to be answered.
    let reach = || {
        let asked = client.run(&["timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/10.0.0.100/9"]);
        String::from_utf8_lossy(&asked.stderr).contains("refused")
            && client.shell("ip neigh show 10.0.0.100").contains(MAC)
    };
    high.start_service(Service::Keepalived);
    high.await_holding(VIP, PATIENCE);
    assert!(wait_until(PATIENCE, reach), "{}\n{}", client.shell("ip neigh"), high.logs());
    low.start_service(Service::Keepalived);
    high.stop_service(Service::Keepalived);
    low.await_holding(VIP, PATIENCE);
    assert!(wait_until(PATIENCE, reach), "{}\n{}", client.shell("ip neigh"), low.logs());
    high.start_service(Service::Keepalived);
    high.await_holding(VIP, PATIENCE);
    low.await_release(VIP, PATIENCE);
    assert!(wait_until(PATIENCE, reach), "{}\n{}", client.shell("ip neigh"), high.logs());
    high.power_off();
    low.await_holding(VIP, PATIENCE);
    assert!(wait_until(PATIENCE, reach), "{}\n{}", client.shell("ip neigh"), low.logs());
    let _ = tcpdump.kill();
    let _ = tcpdump.wait();

    let tshark = |filter: &str| {
        let mut tshark = std::process::Command::new("tshark");
        let output = tshark.args(["-n", "-r"]).arg(&capture).args(["-Y", filter]).output().expect("tshark runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(tshark("vrrp").lines().count() > 5, "the capture has adverts");
    assert_eq!(tshark(&format!("vrrp && eth.src != {MAC}")), "");
    // keepalived's host asks for neighbours in the address's name with its own MAC; ours must not.
    let foreign = |mac: &str| tshark(&format!("arp.src.proto_ipv4 == {VIP} && arp.src.hw_mac == {mac}"));
    assert_eq!(foreign(&our_mac), "");
    let announced = "arp.isgratuitous == 1 || arp.opcode == 2";
    assert_eq!(tshark(&format!("({announced}) && arp.src.proto_ipv4 == {VIP} && arp.src.hw_mac != {MAC}")), "");
    let _ = std::fs::remove_file(capture);
}

#[test]
fn no_client_learns_another_mac_when_evenkeel_is_preferred() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        failover(true);
    }
}

#[test]
fn no_client_learns_another_mac_when_keepalived_is_preferred() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        failover(false);
    }
}
