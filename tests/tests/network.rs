//! Routes, rules and addresses with all their words: the kernel must look the same after keepalived and after evenkeel.

use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// What both programs are given. Only what the kernel shows in the same way twice: no lives that count down.
const CONF: &str = "
static_ipaddress {
    10.9.0.1/24 dev eth1
    fd09::1/64 dev eth1
}
static_routes {
    10.77.0.0/16 via 10.1.0.1 dev eth1
    blackhole 10.78.0.0/16 no_track
}
static_rules {
    from 10.77.0.0/16 table 77 preference 900
}
vrrp_instance V {
    state MASTER
    interface eth0
    virtual_router_id 5
    priority 200
    virtual_ipaddress {
        10.0.0.100
        10.0.0.101/24 brd +
        10.0.0.102/24 label eth0:x
        10.0.0.106/24 noprefixroute
        10.2.0.1/24 brd - scope link
        10.3.0.1 peer 10.3.0.2
    }
    virtual_ipaddress_excluded {
        fd00::100
        fd00::101/64
        fd00::102/64 home mngtmpaddr
        fd00::103/64 -nodad
        fd00::104/128 preferred_lft forever
        10.1.0.103 dev eth1
    }
    virtual_routes {
        192.168.100.0/24 via 10.0.0.1 dev eth0
        192.168.101.0/24 via 10.0.0.1 dev eth0 metric 5 table 100
        src 10.0.0.100 192.168.102.0/24 dev eth0
        to 192.168.103.0/24 via 10.0.0.1 dev eth0 src 10.0.0.100 mtu lock 1400 advmss 1300 hoplimit 5 initcwnd 20 congctl reno quickack 1 features ecn window 1000 reordering 4 ssthresh 9 cwnd lock 8 initrwnd 30
        192.168.104.0/24 nexthop via 10.0.0.1 dev eth0 weight 2 nexthop via 10.1.0.1 dev eth1 weight 3
        blackhole 192.168.105.0/24
        unreachable 192.168.106.0/24 no_track
        192.168.107.0/24 dev eth0 scope link tos 8
        192.168.108.0/24 via 10.0.0.1 dev eth0 protocol 99 no_track
        192.168.109.0/24 encap ip id 10 dst 10.5.5.5 tos 4 ttl 8 via 10.0.0.1 dev eth0
        192.168.111.0/24 via 172.16.0.1 dev eth0 onlink
        192.168.113.0/24 via 10.0.0.1 dev eth0 realms 3/4
        throw 192.168.110.0/24 table 300
        prohibit 192.168.114.0/24 metric 9
        2001:db8:1::/48 via fd00::1 dev eth0 metric 77 pref high
        2001:db8:2::/48 dev eth0 mtu 1300
        unreachable 2001:db8:3::/48
        default via 10.0.0.254 dev eth0
    }
    virtual_rules {
        from 192.168.28.0/24 table 28 priority 1000
        to 192.168.29.0/24 lookup 29 preference 1001
        fwmark 0x10/0xff table 31 preference 1003
        iif eth0 table 32 preference 1004 tos 16
        oif eth1 table 33 preference 1005
        not from 10.5.0.0/16 table 34 preference 1006
        from 10.5.0.0/16 table 35 preference 1007 suppress_prefixlength 8 suppress_ifgroup 3
        from 2001:db8::/32 table 35 preference 1008
        from 10.6.0.0/16 blackhole preference 1009
        from 10.7.0.0/16 goto 32766 preference 1010
        from 10.8.0.0/16 uidrange 100-200 table 36 preference 1011 ipproto udp sport 10-20 dport 30-40
        from 10.9.0.0/16 realms 3/4 table 37 preference 1012 no_track
        from 10.10.0.0/16 unreachable preference 1013
        l3mdev preference 1014
        from 10.11.0.0/16 table 38 tunnel-id 5 preference 1015
        from 10.12.0.0/16 prohibit
    }
}
";

/// What the kernel shows, a line each, in an order of its own.
fn picture(machine: &Machine) -> Vec<String> {
    let show = |line: &str| {
        let text = machine.shell(line);
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for line in [
        "ip -4 -d route show table all",
        "ip -6 -d route show table all",
        "ip -4 -d rule",
        "ip -6 -d rule",
        "ip -o -d addr show dev eth0",
        "ip -o -d addr show dev eth1",
    ] {
        let mut lines = show(line);
        // Link-local addresses follow from MACs, and those are random; indexes come first.
        lines.retain(|line| !line.contains("fe80:") && !line.contains("multicast"));
        let strip = |line: String| line.split_once(": eth").map(|(_, rest)| format!("eth{rest}")).unwrap_or(line);
        let mut lines: Vec<_> = lines.into_iter().map(strip).collect();
        // Whether an address is secondary depends on which came first.
        for line in &mut lines {
            *line = line.replace(" secondary", "");
        }
        lines.sort();
        all.extend(lines.into_iter().map(|text| format!("{line}: {text}")));
    }
    all
}

fn machine(lan: &Lan, name: &str) -> Machine {
    let machine = lan.machine(name, "eth0", "10.0.0.10/24");
    machine.shell(
        "set -e; ip link add eth1 type veth peer name peer1; ip link set eth1 up; ip link set peer1 up; ip addr add 10.1.0.10/24 dev eth1; ip addr add fd00::10/64 dev eth0 nodad",
    );
    machine.write("/etc/keepalived/keepalived.conf", CONF);
    machine
}

#[test]
fn the_kernel_looks_the_same_as_after_keepalived() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let lans = [Lan::new(), Lan::new()];
    let theirs = machine(&lans[0], "theirs");
    let ours = machine(&lans[1], "ours").with_evenkeel();
    let before = picture(&ours);
    for machine in [&theirs, &ours] {
        machine.start_service(Service::Keepalived);
        machine.await_holding("10.0.0.100", PATIENCE);
    }
    // Its search for duplicates takes an address without NODAD a moment.
    let is_last_rule_there = |machine: &Machine| {
        machine.shell("ip rule").contains("10.12.0.0/16") && !machine.shell("ip -6 addr").contains("tentative")
    };
    assert!(wait_until(PATIENCE, || is_last_rule_there(&ours) && is_last_rule_there(&theirs)), "{}", ours.logs());
    let expected = picture(&theirs);
    let got = picture(&ours);
    let missing: Vec<_> = expected.iter().filter(|line| !got.contains(line)).collect();
    let extra: Vec<_> = got.iter().filter(|line| !expected.contains(line)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nextra: {extra:#?}\n{}", ours.logs());

    let differences = || {
        let now = picture(&ours);
        let missing: Vec<_> = got.iter().filter(|line| !now.contains(line)).collect();
        let extra: Vec<_> = now.iter().filter(|line| !got.contains(line)).collect();
        format!("missing: {missing:#?}\nextra: {extra:#?}\n{}", ours.logs())
    };

    // What somebody takes away comes back, what was there from start to end too.
    ours.shell("ip route del 192.168.101.0/24 table 100; ip rule del preference 1000; ip route del 10.77.0.0/16");
    ours.shell("ip addr del 10.9.0.1/24 dev eth1");
    assert!(wait_until(PATIENCE, || picture(&ours) == got), "{}", differences());

    // A killed daemon leaves all of it, and the next one adopts it: nothing is doubled.
    ours.shell("killall -9 keepalived evenkeel 2>/dev/null; sleep 0.2; true");
    ours.start_service(Service::Keepalived);
    ours.await_holding("10.0.0.100", PATIENCE);
    assert!(wait_until(PATIENCE, || picture(&ours) == got), "{}", differences());

    // At the end nothing of it is left.
    ours.stop_service(Service::Keepalived);
    assert!(wait_until(PATIENCE, || picture(&ours) == before), "{}", differences());
}
