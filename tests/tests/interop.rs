//! With Debian's keepalived at the other end: both versions of the protocol, both directions, planned and not.

use evenkeel_e2e::probe::{DatagramProbe, Echo};
use evenkeel_e2e::{Capture, Node, Pair, Service, able_to_run};
use std::time::Duration;

const VIP: &str = "10.0.0.100";
const TAKEOVER: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
enum Protocol {
    V2Pass,
    V2Ah,
    V3,
}

fn conf(protocol: Protocol, state: &str, priority: u8) -> String {
    let (version, authentication) = match protocol {
        Protocol::V2Pass => (2, "    authentication {\n        auth_type PASS\n        auth_pass 123456\n    }\n"),
        Protocol::V2Ah => (2, "    authentication {\n        auth_type AH\n        auth_pass 123456\n    }\n"),
        Protocol::V3 => (3, ""),
    };
    format!(
        "vrrp_instance VI_1 {{\n    state {state}\n    interface eth0\n    version {version}\n    virtual_router_id 50\n    priority {priority}\n    advert_int 1\n{authentication}    virtual_ipaddress {{\n        10.0.0.100\n    }}\n}}\n"
    )
}

/// Two nodes on `protocol`; evenkeel runs on the named one, Debian's keepalived on the other.
fn nodes(protocol: Protocol, evenkeel_on: &str) -> Pair {
    Pair::new(&[evenkeel_on], |Node { priority, .. }| {
        let state = if priority == 150 { "MASTER" } else { "BACKUP" };
        conf(protocol, state, priority)
    })
}

fn handover_and_return(protocol: Protocol, evenkeel_on: &str) {
    let mut nodes = nodes(protocol, evenkeel_on);
    let name = format!("interop-{protocol:?}-{evenkeel_on}");
    let mut capture = Capture::start(&nodes.lan, &name, "ip proto 112 or ip proto 51");
    nodes.hand_over_return_and_die(VIP, TAKEOVER, |_| {});
    capture.end();
    assert!(capture.shown("vrrp").lines().count() > 5, "the capture has adverts");
    assert_eq!(
        capture.shown("_ws.malformed || _ws.expert.severity >= 0x600000 || vrrp.checksum.status == \"Bad\""),
        ""
    );
}

#[test]
fn version_2_with_evenkeel_as_the_preferred_node() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        handover_and_return(Protocol::V2Pass, "high");
    }
}

#[test]
fn version_2_with_keepalived_as_the_preferred_node() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        handover_and_return(Protocol::V2Pass, "low");
    }
}

#[test]
fn authentication_headers_with_evenkeel_as_the_preferred_node() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        handover_and_return(Protocol::V2Ah, "high");
    }
}

#[test]
fn authentication_headers_with_keepalived_as_the_preferred_node() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        handover_and_return(Protocol::V2Ah, "low");
    }
}

#[test]
fn version_3_with_evenkeel_as_the_preferred_node() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        handover_and_return(Protocol::V3, "high");
    }
}

#[test]
fn version_3_with_keepalived_as_the_preferred_node() {
    if able_to_run(&["keepalived", "tshark", "tcpdump"]) {
        handover_and_return(Protocol::V3, "low");
    }
}

#[test]
fn stopping_evenkeel_in_favour_of_keepalived_loses_no_datagram() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let nodes = nodes(Protocol::V2Pass, "high");
    let _echoes = [Echo::start(&nodes.high, 7), Echo::start(&nodes.low, 7)];
    nodes.high.start_service(Service::Keepalived);
    nodes.high.await_holding(VIP, TAKEOVER);
    nodes.low.start_service(Service::Keepalived);
    let probe = DatagramProbe::start(&nodes.client, format!("{VIP}:7").parse().expect("an address"));
    nodes.high.stop_service(Service::Keepalived);
    nodes.low.await_holding(VIP, TAKEOVER);
    nodes.high.await_release(VIP, TAKEOVER);
    let loss = probe.finish();
    assert!(loss.sent > 500, "the probe ran through the handover: {loss:?}");
    assert_eq!(loss.lost, 0, "{loss:?}\n{}", nodes.high.logs());
}

#[test]
fn evenkeel_taking_back_from_keepalived_loses_no_datagram() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let nodes = nodes(Protocol::V2Pass, "high");
    let _echoes = [Echo::start(&nodes.high, 7), Echo::start(&nodes.low, 7)];
    nodes.low.start_service(Service::Keepalived);
    nodes.low.await_holding(VIP, TAKEOVER);
    let probe = DatagramProbe::start(&nodes.client, format!("{VIP}:7").parse().expect("an address"));
    nodes.high.start_service(Service::Keepalived);
    nodes.high.await_holding(VIP, TAKEOVER);
    nodes.low.await_release(VIP, TAKEOVER);
    let loss = probe.finish();
    assert!(loss.sent > 500, "the probe ran through the handover: {loss:?}");
    assert_eq!(loss.lost, 0, "{loss:?}\n{}", nodes.high.logs());
}
