//! `evenkeel realserver` does what the scripts of articles about direct routing do, and undoes exactly that.
#![allow(missing_docs)]

use evenkeel_e2e::{Lan, Machine, able_to_run};

const SETTINGS: &str = "cd /proc/sys/net/ipv4/conf; cat all/arp_ignore all/arp_announce lo/arp_ignore lo/arp_announce";

fn settings(machine: &Machine) -> String {
    machine.shell(SETTINGS).split_whitespace().collect()
}

#[test]
fn a_real_server_has_the_address_and_keeps_quiet_until_it_is_down_again() {
    if !able_to_run(&["ip"]) {
        return;
    }
    let lan = Lan::new();
    let server = lan.machine("server", "eth0", "10.0.0.11/24");
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    // Something was set before, and is there again afterwards.
    server.shell("echo 1 > /proc/sys/net/ipv4/conf/all/arp_announce");
    assert_eq!(settings(&server), "0100");

    server.shell("evenkeel realserver up 10.0.0.100 10.0.0.101 2001:db8::100");
    assert_eq!(settings(&server), "1212");
    for address in ["10.0.0.100", "10.0.0.101"] {
        assert!(server.holds(address), "{address}");
        let asked = client.run(&["ping", "-c", "1", "-W", "1", address]);
        assert!(!asked.status.success(), "somebody answers for {address}");
    }
    assert!(server.shell("ip -6 addr show dev lo").contains("2001:db8::100/128"));

    let again = server.shell("evenkeel realserver up 10.0.0.100");
    assert_eq!(again, "everything is as it should be\n");
    server.shell("evenkeel realserver down 10.0.0.101");
    assert!(server.holds("10.0.0.100") && !server.holds("10.0.0.101"));
    assert_eq!(settings(&server), "1212", "one address still needs them");

    server.shell("evenkeel realserver down");
    assert!(!server.holds("10.0.0.100"));
    assert_eq!(settings(&server), "0100");
    assert_eq!(server.shell("evenkeel realserver down"), "nothing was up\n");
}

#[test]
fn what_others_set_up_stays() {
    if !able_to_run(&["ip"]) {
        return;
    }
    let lan = Lan::new();
    let server = lan.machine("server", "eth0", "10.0.0.11/24");
    server.shell("ip addr add 10.0.0.100/32 dev lo; evenkeel realserver up 10.0.0.100");
    server.shell("echo 2 > /proc/sys/net/ipv4/conf/all/arp_ignore");
    server.shell("evenkeel realserver down 10.0.0.100");
    assert!(server.holds("10.0.0.100"), "it was there before");
    assert_eq!(settings(&server), "2000", "only what is still as it was set goes back");
}

#[test]
fn the_shell_commands_that_are_printed_do_the_same() {
    if !able_to_run(&["ip"]) {
        return;
    }
    let lan = Lan::new();
    let server = lan.machine("server", "eth0", "10.0.0.11/24");
    let printed = server.shell("evenkeel realserver up --print 10.0.0.100");
    assert_eq!(settings(&server), "0000", "nothing was done");
    assert_eq!(
        printed,
        "sysctl -w net.ipv4.conf.lo.arp_ignore=1\nsysctl -w net.ipv4.conf.lo.arp_announce=2\nsysctl -w \
         net.ipv4.conf.all.arp_ignore=1\nsysctl -w net.ipv4.conf.all.arp_announce=2\nip address add 10.0.0.100/32 dev lo\n"
    );
    server.shell("evenkeel realserver up --print 10.0.0.100 | sed 's/^sysctl -w \\(.*\\)=\\(.*\\)/echo \\2 > \\/proc\\/sys\\/\\1/; /proc/s/\\(net\\|ipv4\\|conf\\|lo\\|all\\)\\./\\1\\//g' | sh");
    assert_eq!(settings(&server), "1212");
    assert!(server.holds("10.0.0.100"));
}
