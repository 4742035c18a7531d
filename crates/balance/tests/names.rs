//! How people spell pools and servers.

mod node;

use evenkeel_balance::config::{Config, Pool};
use evenkeel_balance::names::{find_pool, find_server};
use evenkeel_balance::table::{Protocol, ServiceKey};
use evenkeel_wire::Family;
use node::{config, pool, server, service};
use std::net::IpAddr;

fn everything() -> Config {
    let udp = |address: &str| ServiceKey::Address {
        protocol: Protocol::Udp,
        address: address.parse().expect("an address"),
        port: 53,
    };
    let dns = Pool {
        name: "[10.0.0.1]:udp:53".to_owned(),
        services: vec![udp("10.0.0.1")],
        protocol: Some(Protocol::Udp),
        ..pool(vec![server(3, Vec::new())])
    };
    let dns_tcp = Pool {
        name: "[10.0.0.1]:tcp:53".to_owned(),
        services: vec![service("10.0.0.1", 53)],
        protocol: Some(Protocol::Tcp),
        ..dns.clone()
    };
    let mark = ServiceKey::Mark { family: Family::V4, mark: 7.try_into().expect("a mark") };
    let marked = Pool { name: "FWM 7".to_owned(), services: vec![mark], protocol: None, ..dns.clone() };
    let group = Pool {
        name: "web".to_owned(),
        label: Some("the web/shop".to_owned()),
        services: vec![service("10.0.0.5", 80), service("fd00::1", 443)],
        ..pool(vec![server(1, Vec::new()), server(2, Vec::new())])
    };
    let group_udp =
        Pool { services: vec![udp("10.0.0.6")], label: None, protocol: Some(Protocol::Udp), ..group.clone() };
    let mut two_ports = pool(vec![server(1, Vec::new()), server(1, Vec::new()), server(2, Vec::new())]);
    two_ports.servers[1].port = 8080;
    two_ports.servers[2].address = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 2]);
    two_ports.servers[2].label = Some("six".to_owned());
    config(vec![two_ports, dns, dns_tcp, marked, group, group_udp])
}

#[test]
fn pools_have_many_spellings() {
    let config = everything();
    for (text, expected) in [
        ("[10.0.0.1]:tcp:80", 0),
        ("10.0.0.1:80", 0),
        ("[10.0.0.1]:80", 0),
        ("tcp:10.0.0.1:80", 0),
        ("TCP:10.0.0.1:80", 0),
        ("10.0.0.1:tcp:80", 0),
        ("[10.0.0.1]:udp:53", 1),
        ("udp:10.0.0.1:53", 1),
        ("tcp:10.0.0.1:53", 2),
        ("FWM 7", 3),
        ("fwmark 7", 3),
        ("fwmark7", 3),
        ("the web/shop", 4),
        ("10.0.0.5", 4),
        ("[fd00::1]:443", 4),
        ("tcp:[fd00::1]:443", 4),
        ("fd00::1", 4),
        ("10.0.0.6:53", 5),
    ] {
        assert_eq!(find_pool(&config, text).map(|pool| pool.0), Ok(expected), "{text}");
    }
}

#[test]
fn servers_have_some() {
    let config = everything();
    for (text, expected) in [
        ("10.0.0.1:80/10.0.1.1:80", (0, 0)),
        ("10.0.0.1:80/10.0.1.1:8080", (0, 1)),
        ("10.0.0.1:80/[fd00::2]:80", (0, 2)),
        ("10.0.0.1:80/fd00::2", (0, 2)),
        ("10.0.0.1:80/six", (0, 2)),
        ("the web/shop/10.0.1.2", (4, 1)),
    ] {
        assert_eq!(find_server(&config, text), Ok(node::id(expected.0, expected.1)), "{text}");
    }
}

#[test]
fn what_means_nothing_or_two_things_is_refused_with_the_candidates() {
    let config = everything();
    for (text, expected) in [
        ("10.0.0.1:80", "10.0.0.1:80 is not POOL/SERVER"),
        (
            "10.9.9.9/10.0.1.1",
            "no pool is called 10.9.9.9; there are [10.0.0.1]:tcp:80, [10.0.0.1]:udp:53, [10.0.0.1]:tcp:53, FWM 7, web (tcp), web (udp)",
        ),
        (
            "10.0.0.1:53/10.0.1.3",
            "10.0.0.1:53 may be more than one pool; there are [10.0.0.1]:udp:53, [10.0.0.1]:tcp:53",
        ),
        ("web/10.0.1.1", "web may be more than one pool; there are web (tcp), web (udp)"),
        (
            "10.0.0.1:80/10.0.1.1",
            "10.0.1.1 may be more than one server of [10.0.0.1]:tcp:80; there are 10.0.1.1:80, 10.0.1.1:8080",
        ),
        ("FWM 7/x", "no server of FWM 7 is called x; there is 10.0.1.3:80"),
        (
            "/",
            "no pool is called ; there are [10.0.0.1]:tcp:80, [10.0.0.1]:udp:53, [10.0.0.1]:tcp:53, FWM 7, web (tcp), web (udp)",
        ),
    ] {
        assert_eq!(find_server(&config, text).map_err(|error| error.to_string()), Err(expected.to_owned()), "{text}");
    }
}
