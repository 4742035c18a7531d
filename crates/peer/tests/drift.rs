//! Where two nodes differ, in the words that people read.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_peer::drifts;
use evenkeel_peer::facts::{Facts, Router};
use node::{facts, ms, router};

fn check(here: &Facts, there: &Facts, expected: &[&str]) {
    let found: Vec<_> = drifts(here, there).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

fn with(routers: Vec<Router>) -> Facts {
    Facts { routers, ..facts("lb01") }
}

fn part(name: &str, byte: u8) -> (String, [u8; 16]) {
    (name.to_owned(), [byte; 16])
}

#[test]
fn equal_nodes_do_not_differ_whatever_their_names_states_and_priorities() {
    let mut there = with(vec![router(51, &["10.0.0.2/24", "10.0.0.1/24"])]);
    let here = with(vec![router(51, &["10.0.0.1/24", "10.0.0.2/24"])]);
    there.node = "lb02".to_owned();
    there.routers[0].name = "other".to_owned();
    there.routers[0].priority = 1;
    there.routers[0].state = evenkeel_peer::facts::RouterState::Master;
    check(&here, &there, &[]);
}

#[test]
fn addresses_are_compared_with_their_prefixes() {
    let here = with(vec![router(51, &["10.0.0.1/24", "10.0.0.2/24"])]);
    let there = with(vec![router(51, &["10.0.0.1/24", "10.0.0.2/32", "10.0.0.3/24"])]);
    let expected = "addresses of VI_51 (vrid 51, IPv4): 10.0.0.2/24 only here, 10.0.0.2/32, 10.0.0.3/24 only there";
    check(&here, &there, &[expected]);
}

#[test]
fn long_lists_are_cut() {
    let many: Vec<_> = (0..20).map(|n| format!("10.0.0.{n}/32")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let text = drifts(&with(vec![router(51, &many)]), &with(vec![router(51, &[])]))[0].to_string();
    assert!(text.ends_with("10.0.0.7/32 and 12 more only here"), "{text}");
}

#[test]
fn version_and_interval_of_a_router_are_compared() {
    let mut there = with(vec![router(51, &[])]);
    there.routers[0].interval = ms(10);
    check(
        &with(vec![router(51, &[])]),
        &there,
        &["VI_51 (vrid 51, IPv4): VRRPv3 every 1s here, VRRPv3 every 10ms there"],
    );
}

#[test]
fn a_router_of_one_node_alone_has_nobody_to_stand_in() {
    let mut six = router(51, &[]);
    six.is_ipv6 = true;
    check(
        &with(vec![router(51, &[]), router(52, &[])]),
        &with(vec![router(51, &[]), six]),
        &["VI_52 (vrid 52, IPv4) is only here", "VI_51 (vrid 51, IPv6) is only there"],
    );
}

#[test]
fn routers_of_one_number_on_several_networks_are_told_apart_by_name() {
    let named = |name: &str, address: &str| Router { name: name.to_owned(), ..router(51, &[address]) };
    let here = with(vec![named("IN", "10.0.0.1/24"), named("OUT", "192.0.2.1/24")]);
    let there = with(vec![named("OUT", "192.0.2.1/24"), named("IN", "10.0.0.1/24")]);
    check(&here, &there, &[]);
    let renamed = with(vec![named("OUT", "192.0.2.1/24"), named("INSIDE", "10.0.0.1/24")]);
    check(&here, &renamed, &["IN (vrid 51, IPv4) is only here", "INSIDE (vrid 51, IPv4) is only there"]);
}

#[test]
fn parts_are_compared_between_equal_versions_only() {
    let mut here = Facts { parts: vec![part("virtual servers", 1), part("the proxy", 2)], ..facts("a") };
    let mut there = Facts { parts: vec![part("virtual servers", 3), part("the sites", 2)], ..facts("b") };
    let expected = ["virtual servers", "the proxy", "the sites"];
    check(&here, &there, &expected.map(|name| format!("the configuration of {name} differs")).each_ref().map(|s| &**s));
    there.version = "2.0".to_owned();
    check(&here, &there, &["evenkeel 1.0 here, 2.0 there"]);
    here.version = "2.0".to_owned();
    there.parts = here.parts.clone();
    check(&here, &there, &[]);
}

#[test]
fn lists_that_were_left_out_are_not_compared() {
    let here = with(vec![router(51, &["10.0.0.1/24"])]);
    let there = Facts { without_addresses: true, ..with(vec![router(51, &[])]) };
    check(&here, &there, &[]);
    check(&there, &here, &[]);
}
