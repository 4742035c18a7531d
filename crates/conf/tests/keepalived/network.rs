//! Routes, rules, and addresses with all their words.

use crate::{rules, said, text};
use evenkeel_conf::keepalived::Loaded;
use evenkeel_vrrp::config::TrackTarget;
use evenkeel_wire::Family;
use evenkeel_wire::route::{Hop, Place, Route, RouteKind, Rule, RuleAction, Wrap};

fn instance(lines: &str) -> Loaded {
    text(&format!(
        "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {{\n10.0.0.100\n}}\n{lines}\n}}\n"
    ))
}

fn route(line: &str) -> Option<Route> {
    let loaded = instance(&format!("virtual_routes {{\n{line}\n}}"));
    assert_eq!(rules(&loaded), [""; 0], "{line}: {}", said(&loaded));
    loaded.vrrp.instances[0].routes.first().cloned()
}

fn plain(destination: &str, via: &str, device: &str) -> Route {
    let gateway = (!via.is_empty()).then(|| via.parse().expect("an address"));
    let device = (!device.is_empty()).then(|| device.to_owned());
    let mut route = Route::new(destination.parse().expect("a network"));
    if gateway.is_some() || device.is_some() {
        route.hops.push(Hop { gateway, device, ..Hop::default() });
    }
    route
}

#[test]
fn routes_are_read() {
    let base = || plain("192.168.9.0/24", "10.0.0.1", "eth0");
    let mut with_metrics = base();
    with_metrics.metrics.values = [(2, 1400), (4, 800), (10, 9), (12, 1), (13, 200)].into();
    with_metrics.metrics.locked = 1 << 2;
    with_metrics.metrics.congestion = Some("reno".to_owned());
    let several = |hops: Vec<Hop>| Route { hops, ..base() };
    let hop = |via: &str, device: Option<&str>, weight| Hop {
        gateway: Some(via.parse().unwrap()),
        device: device.map(str::to_owned),
        weight,
        ..Hop::default()
    };
    let wrapped = |wrap| Route { hops: vec![Hop { wrap: Some(wrap), ..base().hops[0].clone() }], ..base() };
    let tunnel = Wrap::Ip {
        family: Family::V4,
        id: Some(10),
        destination: Some("10.5.5.5".parse().unwrap()),
        source: None,
        tos: Some(4),
        ttl: Some(8),
        flags: None,
    };
    let cases = [
        ("192.168.9.0/24 via 10.0.0.1 dev eth0", base()),
        ("to 192.168.9.0/24 gw 10.0.0.1 oif eth0", base()),
        ("default via 10.0.0.1", plain("0.0.0.0/0", "10.0.0.1", "")),
        ("inet6 default via fe80::1 dev eth0", plain("::/0", "fe80::1", "eth0")),
        ("default6 via fe80::1 dev eth0", plain("::/0", "fe80::1", "eth0")),
        ("blackhole 192.168.9.0/24", Route { kind: RouteKind::Blackhole, ..plain("192.168.9.0/24", "", "") }),
        ("append 192.168.9.0/24 via 10.0.0.1 dev eth0", Route { place: Place::Last, ..base() }),
        ("add to unicast 192.168.9.0/24 via 10.0.0.1 dev eth0", Route { place: Place::Alone, ..base() }),
        ("192.168.9.0/24 via 10.0.0.1 dev eth0 metric 5 table 100", Route { metric: Some(5), table: 100, ..base() }),
        (
            "192.168.9.0/24 via 10.0.0.1 dev eth0 table local tos 0x10 scope link",
            Route { table: 255, tos: 16, scope: 253, ..base() },
        ),
        (
            "192.168.9.0/24 via 10.0.0.1 dev eth0 protocol bgp no_track",
            Route { protocol: 186, tracked: false, ..base() },
        ),
        (
            "192.168.9.0/24 via 10.0.0.1 dev eth0 mtu lock 1400 rtt 100ms hoplimit 9 features ecn rto_min 200ms congctl reno",
            with_metrics,
        ),
        (
            "192.168.9.0/24 nexthop via 10.0.0.1 dev eth0 weight 2 nexthop via 10.1.0.1",
            several(vec![hop("10.0.0.1", Some("eth0"), 1), hop("10.1.0.1", None, 0)]),
        ),
        ("192.168.9.0/24 via 10.0.0.1 or 10.1.0.1", several(vec![hop("10.0.0.1", None, 0), hop("10.1.0.1", None, 0)])),
        ("192.168.9.0/24 encap ip id 10 dst 10.5.5.5 tos 4 ttl 8 via 10.0.0.1 dev eth0", wrapped(tunnel)),
        ("192.168.9.0/24 encap mpls 100/200 via 10.0.0.1 dev eth0", wrapped(Wrap::Mpls(vec![100, 200]))),
        ("192.168.9.0/24 encap ila 1:2:3:4 via 10.0.0.1 dev eth0", wrapped(Wrap::Ila(0x0001_0002_0003_0004))),
        ("192.168.9.0/24 via inet6 fe80::1 dev eth0", plain("192.168.9.0/24", "fe80::1", "eth0")),
    ];
    for (line, expected) in cases {
        assert_eq!(route(line), Some(expected), "{line}");
    }
}

#[test]
fn lines_that_are_no_route_are_left_out() {
    for line in [
        "via 10.0.0.1",
        "192.168.9.0/33 via 10.0.0.1",
        "192.168.9.0/24 via fe80",
        "2001:db8::/32 via 10.0.0.1",
        "192.168.9.0/24 src fe80::1 dev eth0",
        "192.168.9.0/24 dev eth0 tos 256",
        "192.168.9.0/24 dev eth0 table blue",
        "192.168.9.0/24 dev eth0 frob 5",
        "192.168.9.0/24 nexthop via 10.0.0.1 weight 0",
        "192.168.9.0/24 encap gre via 10.0.0.1",
        "192.168.9.0/24 dev eth0 features all",
        "192.168.9.0/24 dev eth0 rtt 5days",
        "192.168.9.0/24 as to 10.0.0.1",
    ] {
        let loaded = instance(&format!("virtual_routes {{\n{line}\n}}"));
        assert_eq!(rules(&loaded), ["bad-route:8"], "{line}: {}", said(&loaded));
        assert_eq!(loaded.vrrp.instances[0].routes, [], "{line}");
    }
    let cut = instance("virtual_routes {\n192.168.9.0/24 via\n}");
    assert_eq!(rules(&cut), ["missing-argument:8"]);
    assert!(cut.has_errors());
}

#[test]
fn rules_are_read() {
    let table = |number| Rule::new(Family::V4, 7, RuleAction::Lookup(number));
    let from = |rule: Rule, prefix: &str| Rule { from: Some(prefix.parse().unwrap()), ..rule };
    let cases = [
        ("from 10.0.0.0/8 table 28 priority 7", from(table(28), "10.0.0.0/8")),
        ("not from 10.0.0.0/8 lookup main order 7", Rule { inverted: true, ..from(table(254), "10.0.0.0/8") }),
        ("fwmark 0x10/0xff table 3 preference 7", Rule { mark: Some((16, 255)), ..table(3) }),
        ("fwmark 5 table 3 preference 7", Rule { mark: Some((5, u32::MAX)), ..table(3) }),
        (
            "iif eth0 oif eth1 tos 8 table 3 preference 7",
            Rule { iif: Some("eth0".to_owned()), oif: Some("eth1".to_owned()), tos: 8, ..table(3) },
        ),
        (
            "sup_pl 8 sup_group 3 table 3 preference 7",
            Rule { suppress_length: Some(8), suppress_group: Some(3), ..table(3) },
        ),
        (
            "uidrange 1-2 ipproto udp sport 10-20 dport 53 table 3 preference 7",
            Rule {
                users: Some((1, 2)),
                ip_protocol: Some(17),
                source_ports: Some((10, 20)),
                destination_ports: Some((53, 53)),
                ..table(3)
            },
        ),
        (
            "realms 3/4 tunnel-id 5 table 3 preference 7",
            Rule { realms: Some(3 << 16 | 4), tunnel: Some(5), ..table(3) },
        ),
        ("l3mdev preference 7", Rule { l3mdev: true, ..table(0) }),
        ("table 3 preference 7 no_track", Rule { tracked: false, protocol: 0, ..table(3) }),
        ("from 2001:db8::/32 blackhole preference 7", {
            from(Rule { family: Family::V6, action: RuleAction::Blackhole, ..table(0) }, "2001:db8::/32")
        }),
        ("inet6 from all goto 9 preference 7", Rule { family: Family::V6, action: RuleAction::Goto(9), ..table(0) }),
    ];
    for (line, expected) in cases {
        let loaded = instance(&format!("virtual_rules {{\n{line}\n}}"));
        assert_eq!(rules(&loaded), [""; 0], "{line}: {}", said(&loaded));
        assert_eq!(loaded.vrrp.instances[0].rules, [expected], "{line}");
    }
}

#[test]
fn rules_without_priority_count_down_as_in_keepalived() {
    let loaded = instance("virtual_rules {\nfrom 10.0.0.0/8 table 1\nfrom 10.0.0.0/8 table 2\n}");
    assert_eq!(rules(&loaded), ["rule-without-priority:8", "rule-without-priority:9"]);
    let priorities: Vec<_> = loaded.vrrp.instances[0].rules.iter().map(|rule| rule.priority).collect();
    assert_eq!(priorities, [16384, 16383]);
}

#[test]
fn lines_that_are_no_rule_are_left_out() {
    for line in [
        "from 10.0.0.0/8 preference 1",
        "from 10.0.0.0/8 to 2001:db8::/32 table 1 preference 1",
        "from 10.0.0.0/8 table 0 preference 1",
        "l3mdev table 5 preference 1",
        "uidrange 5-1 table 1 preference 1",
        "sport 1-70000 table 1 preference 1",
        "fwmark x table 1 preference 1",
        "frob table 1 preference 1",
    ] {
        let loaded = instance(&format!("virtual_rules {{\n{line}\n}}"));
        assert_eq!(rules(&loaded), ["bad-rule:8"], "{line}: {}", said(&loaded));
    }
}

#[test]
fn addresses_carry_their_words() {
    let loaded = instance(
        "virtual_ipaddress_excluded {\nfd00::1\nfd00::2/64 home mngtmpaddr -nodad no_track\nfd00::3 preferred_lft forever\n10.3.0.1 peer 10.3.0.2/30\n10.4.0.1/24 noprefixroute\n}",
    );
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    let excluded = &loaded.vrrp.instances[0].excluded;
    let seen: Vec<_> = excluded.iter().map(|a| (a.flags, a.preferred, a.untracked, a.peer)).collect();
    let peer = Some("10.3.0.2/30".parse().unwrap());
    assert_eq!(
        seen,
        [
            (0x02, Some(0), false, None),
            (0x110, None, true, None),
            (0x02, None, false, None),
            (0, None, false, peer),
            (0x200, None, false, None)
        ]
    );
}

#[test]
fn a_track_group_ties_what_is_static_to_instances() {
    let statics = "track_group G {\ngroup {\nV\n}\n}\nstatic_ipaddress {\n10.9.0.1/24 dev eth1 track_group G\n10.9.0.2/24\n}\nstatic_routes {\n10.77.0.0/16 via 10.0.0.1 track_group G\n}\n";
    let vrrp = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {\n10.0.0.100\n}\n}\n";
    let loaded = text(&format!("global_defs {{\ndefault_interface eth7\n}}\n{statics}{vrrp}"));
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    let network = &loaded.vrrp.network;
    assert_eq!(network.addresses[1].device.as_deref(), Some("eth7"));
    assert_eq!((&network.groups[0].addresses[..], &network.groups[0].routes[..]), (&[0][..], &[0][..]));
    assert_eq!(loaded.vrrp.instances[0].tracks[0].target, TrackTarget::Static("G".to_owned()));

    let unknown = text(&format!("{}{vrrp}", statics.replace("track_group G {\ngroup {\nV\n}\n}\n", "")));
    assert_eq!(rules(&unknown), ["unknown-group:2", "unknown-group:6"]);
}
