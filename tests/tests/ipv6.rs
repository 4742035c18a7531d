//! Virtual routers of IPv6, and unicast in both families; with Debian's keepalived at the other end where it can do it.

use evenkeel_e2e::probe::{DatagramProbe, Echo};
use evenkeel_e2e::{Capture, Machine, Node, Pair, Service, able_to_run};
use std::time::Duration;

const VIP: &str = "2001:db8::100";
const TAKEOVER: Duration = Duration::from_secs(10);
const CONF: &str = "/etc/keepalived/keepalived.conf";

/// One instance of IPv6 with everything that addresses can be.
fn multicast(Node { priority, .. }: Node) -> String {
    format!(
        "vrrp_instance VI_6 {{\n    interface eth0\n    virtual_router_id 61\n    priority {priority}\n    advert_int 1\n    virtual_ipaddress {{\n        fe80::100\n        2001:db8::100\n        2001:db8::101/64\n    }}\n    virtual_ipaddress_excluded {{\n        10.0.0.100\n        2001:db8::102/64 preferred_lft 0\n    }}\n}}\n"
    )
}

/// The addresses of a machine as `ip` shows them, without what depends on the machine.
fn shown(machine: &Machine) -> Vec<String> {
    let text = machine.shell("ip -o addr show dev eth0");
    let is_virtual = |line: &&str| ["::100/", "::101/", "::102/", "10.0.0.100/"].iter().any(|end| line.contains(end));
    let mut lines: Vec<_> =
        text.lines().filter(is_virtual).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.iter_mut().for_each(|line| *line = line.replace(" proto 18", "").replace(" proto keepalived", ""));
    lines.sort();
    lines
}

fn handover_and_return(evenkeel_on: &str) {
    let mut nodes = Pair::new(&[evenkeel_on], multicast);
    let mut capture = Capture::start(&nodes.lan, &format!("ipv6-{evenkeel_on}"), "ip6 proto 112 or icmp6");
    let mut looks = Vec::new();
    // The last of the addresses, so that all are there.
    nodes.hand_over_return_and_die("2001:db8::102", TAKEOVER, |machine| looks.push(shown(machine)));
    assert_eq!(looks[0], looks[1], "evenkeel and keepalived show the same");
    assert_eq!(looks[0].len(), 5, "{looks:?}");
    capture.end();
    let adverts = capture.shown("vrrp").lines().count();
    assert!(adverts > 5, "the capture has adverts");
    let right = "vrrp && ipv6.dst == ff02::12 && ipv6.hlim == 255 && ipv6.tclass == 0xc0 && ipv6.src == fe80::/10";
    assert_eq!(capture.shown(right).lines().count(), adverts);
    let told = capture.shown("icmpv6.type == 136 && ipv6.src == 2001:db8::100").lines().count();
    assert!(told >= 5, "neighbours are told");
    let wrong = "_ws.malformed || _ws.expert.severity >= 0x600000 || vrrp.checksum.status == \"Bad\" || icmpv6.checksum.status == \"Bad\"";
    assert_eq!(capture.shown(wrong), "");
}

#[test]
fn with_evenkeel_as_the_preferred_node_of_ipv6() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        handover_and_return("high");
    }
}

#[test]
fn with_keepalived_as_the_preferred_node_of_ipv6() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        handover_and_return("low");
    }
}

/// Stops the preferred node, then starts it again; what the client lost.
fn planned(evenkeel_on: &[&str], conf: impl Fn(Node) -> String, vip: &str) {
    let nodes = Pair::new(evenkeel_on, conf);
    let _echoes = [Echo::start(&nodes.high, 7), Echo::start(&nodes.low, 7)];
    nodes.high.start_service(Service::Keepalived);
    nodes.high.await_holding(vip, TAKEOVER);
    nodes.low.start_service(Service::Keepalived);
    let target = std::net::SocketAddr::new(vip.parse().expect("an address"), 7);
    let probe = DatagramProbe::start(&nodes.client, target);
    nodes.high.stop_service(Service::Keepalived);
    nodes.low.await_holding(vip, TAKEOVER);
    nodes.high.await_release(vip, TAKEOVER);
    if evenkeel_on.contains(&"low") {
        nodes.high.start_service(Service::Keepalived);
        nodes.high.await_holding(vip, TAKEOVER);
        nodes.low.await_release(vip, TAKEOVER);
    }
    let loss = probe.finish();
    assert!(loss.sent > 500, "the probe ran through the handover: {loss:?}");
    assert_eq!(loss.lost, 0, "{loss:?}\n{}\n{}", nodes.high.logs(), nodes.low.logs());
}

#[test]
fn stopping_evenkeel_in_favour_of_keepalived_loses_no_datagram_of_ipv6() {
    if able_to_run(&["keepalived"]) {
        planned(&["high"], multicast, VIP);
    }
}

#[test]
fn a_planned_handover_and_the_return_lose_no_datagram_of_ipv6() {
    if able_to_run(&[]) {
        planned(&["high", "low"], multicast, VIP);
    }
}

/// Unicast peers, without an interface: the addresses go to `default_interface`.
fn unicast(network: &str, vip: &str) -> impl Fn(Node) -> String {
    move |Node { priority, own, other }| {
        format!(
            "global_defs {{\n    default_interface eth0\n}}\nvrrp_instance VI_U {{\n    virtual_router_id 62\n    version 3\n    priority {priority}\n    advert_int 1\n    unicast_src_ip {network}{own}\n    unicast_peer {{\n        {network}{other}\n    }}\n    unicast_ttl 64\n    virtual_ipaddress {{\n        {vip}\n    }}\n}}\n"
        )
    }
}

#[test]
fn unicast_of_ipv6_without_an_interface_loses_no_datagram() {
    if able_to_run(&[]) {
        planned(&["high", "low"], unicast("2001:db8::", VIP), VIP);
    }
}

#[test]
fn unicast_of_ipv4_without_an_interface_loses_no_datagram() {
    if able_to_run(&[]) {
        planned(&["high", "low"], unicast("10.0.0.", "10.0.0.100"), "10.0.0.100");
    }
}

#[test]
fn unicast_of_ipv6_with_keepalived_at_the_other_end() {
    if able_to_run(&["keepalived"]) {
        let with_interface = |node| {
            let conf = unicast("2001:db8::", VIP)(node);
            conf.replace("    version 3\n", "    version 3\n    interface eth0\n")
        };
        planned(&["high"], with_interface, VIP);
    }
}

#[test]
fn left_over_and_lost_addresses_are_put_right_and_the_status_names_them() {
    if !able_to_run(&[]) {
        return;
    }
    let nodes = Pair::new(&["high", "low"], multicast);
    nodes.high.shell("ip addr add 2001:db8::101/64 dev eth0 nodad; ip addr add fe80::100/128 dev eth0 nodad");
    nodes.low.start_service(Service::Keepalived);
    nodes.low.await_holding(VIP, TAKEOVER);
    nodes.low.shell("ip addr del 2001:db8::100/128 dev eth0");
    nodes.low.await_holding(VIP, TAKEOVER);
    // The other one finds what an earlier run left there, and is backup until it is told otherwise.
    let text = nodes.high.read(CONF).replace("priority 150", "priority 50");
    nodes.high.write(CONF, &text);
    nodes.high.start_service(Service::Keepalived);
    nodes.high.await_release("2001:db8::101", TAKEOVER);
    nodes.high.await_release("fe80::100", TAKEOVER);
    let status = nodes.low.status().expect("a status");
    let text = status.to_string();
    assert!(text.contains("\"2001:db8::100/128\"") && text.contains("\"fe80::100/128\""), "{text}");
    let shown = nodes.low.run(&["evenkeel", "status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("2001:db8::100"), "{shown}");
    let why = nodes.low.run(&["evenkeel", "why"]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("2001:db8::100 is no longer on this node"), "{why}");
}
