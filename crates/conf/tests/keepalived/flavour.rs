//! use_vmac, use_ipvlan and what belongs to them.

use crate::{rules, said, text};
use evenkeel_conf::keepalived::Loaded;
use evenkeel_vrrp::config::{LinkKind, OwnLink};
use evenkeel_wire::Mac;

fn instance(lines: &str) -> Loaded {
    text(&format!(
        "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {{\n10.0.0.100\n}}\n{lines}\n}}\n"
    ))
}

fn own(name: &str, kind: LinkKind) -> OwnLink {
    OwnLink { name: name.to_owned(), kind, transmit_below: false, group: None, tells_below: false }
}

#[test]
fn the_words_of_a_virtual_mac_are_read() {
    let vmac = |bytes| LinkKind::Vmac(Mac(bytes));
    let usual = vmac([0, 0, 0x5e, 0, 1, 51]);
    let ipvlan = |flags, address: Option<&str>| LinkKind::Ipvlan {
        flags,
        address: address.map(|text| text.parse().expect("an address")),
    };
    let cases = [
        ("use_vmac", own("vrrp.51", usual)),
        ("use_vmac v51", own("v51", usual)),
        (
            "use_vmac name v51 netlink_notify_msg group 7",
            OwnLink { group: Some(7), tells_below: true, ..own("v51", usual) },
        ),
        ("use_vmac 02:00:5e:00:07", own("vrrp.51", vmac([2, 0, 0x5e, 0, 7, 51]))),
        ("use_vmac v51 02:00:5e:00:07:09", own("v51", vmac([2, 0, 0x5e, 0, 7, 9]))),
        ("use_vmac\nvmac_xmit_base", OwnLink { transmit_below: true, ..own("vrrp.51", usual) }),
        ("use_vmac\nunicast_peer {\n10.0.0.11\n}", OwnLink { transmit_below: true, ..own("vrrp.51", usual) }),
        ("use_ipvlan 10.0.0.12", own("vrrp.51", ipvlan(0, Some("10.0.0.12")))),
        ("use_ipvlan ipv0 10.0.0.12/24 private", own("ipv0", ipvlan(1, Some("10.0.0.12/24")))),
    ];
    for (lines, expected) in cases {
        let loaded = instance(lines);
        assert_eq!(rules(&loaded), [""; 0], "{lines}: {}", said(&loaded));
        assert_eq!(loaded.vrrp.instances[0].own_link.as_deref(), Some(&expected), "{lines}");
    }
}

#[test]
fn adverts_of_an_ipvlan_come_from_its_address() {
    let source = |lines: &str| instance(lines).vrrp.instances[0].source.map(|source| source.to_string());
    assert_eq!(source("use_ipvlan 10.0.0.12/24").as_deref(), Some("10.0.0.12"));
    assert_eq!(source("use_ipvlan 10.0.0.12/24\nmcast_src_ip 10.0.0.9").as_deref(), Some("10.0.0.9"));
    assert_eq!(source("use_vmac"), None);
}

#[test]
fn strict_mode_knows_the_macs_of_the_standard_alone() {
    let loaded = instance("strict_mode\nversion 3\nuse_vmac 02:00:00:11:22:33\nvmac_xmit_base");
    assert_eq!(rules(&loaded).iter().filter(|rule| rule.starts_with("strict-reset")).count(), 2, "{}", said(&loaded));
    let usual = LinkKind::Vmac(Mac([0, 0, 0x5e, 0, 1, 51]));
    assert_eq!(loaded.vrrp.instances[0].own_link.as_deref(), Some(&own("vrrp.51", usual)));

    let without =
        text("vrrp_instance V {\ninterface eth0\nvirtual_router_id 51\nstrict_mode\nno_virtual_ipaddress\n}\n");
    assert_eq!(rules(&without), ["no-addresses:1"], "{}", said(&without));
}

#[test]
fn names_are_given_once() {
    let one = |name: &str, interface: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface {interface}\nvirtual_router_id 7\nuse_vmac\nvirtual_ipaddress {{\n10.0.0.100\n}}\n}}\n"
        )
    };
    let globals = "global_defs {\nvmac_prefix lb\n}\n";
    let loaded = text(&format!("{globals}{}{}", one("A", "eth0"), one("B", "eth1")));
    let names: Vec<_> = loaded.vrrp.instances.iter().map(|instance| instance.device()).collect();
    assert_eq!(names, ["lb.7", "lb1.7"], "{}", said(&loaded));
}

#[test]
fn what_is_no_name_and_no_mac_is_refused() {
    for line in ["use_vmac a_name_that_is_too_long", "use_vmac 01:00:5e:00:07:09", "use_vmac name a/b"] {
        let loaded = instance(line);
        assert_eq!(rules(&loaded), ["bad-value:7"], "{line}: {}", said(&loaded));
        assert_eq!(loaded.vrrp.instances[0].device(), "vrrp.51");
    }
    assert_eq!(rules(&instance("use_vmac\nuse_ipvlan 10.0.0.9")), ["repeated:8"]);
    assert_eq!(rules(&instance("use_ipvlan")), ["ipvlan-without-address:7"]);
}

/// As keepalived 2.2.7 was seen to name them and to give them their MACs.
#[test]
fn addresses_elsewhere_have_a_virtual_mac_where_that_is_wanted() {
    let (v4, v6) = (Mac([0, 0, 0x5e, 0, 1, 51]), Mac([0, 0, 0x5e, 0, 2, 51]));
    let named = Mac([2, 0, 0, 0x11, 0x22, 0x33]);
    // What the instance says, its addresses, and of each: its interface below, its own one and the MAC of that.
    type Row<'a> = (&'a str, &'a str, &'a [(Option<&'a str>, Option<(&'a str, Mac)>)]);
    let rows: [Row; 8] = [
        ("", "10.0.0.100\n10.1.0.100 dev eth1", &[(None, None), (Some("eth1"), None)]),
        ("use_vmac", "10.0.0.100\n10.1.0.100 dev eth1", &[(None, None), (Some("eth1"), None)]),
        (
            "use_vmac",
            "10.0.0.100\n10.1.0.100 dev eth1 use_vmac",
            &[(None, None), (Some("eth1"), Some(("vrrp1.51", v4)))],
        ),
        (
            "use_vmac\nuse_vmac_addr",
            "10.0.0.100\n10.1.0.100 dev eth1\n10.1.0.101 dev eth1",
            &[(None, None), (Some("eth1"), Some(("vrrp1.51", v4))), (Some("eth1"), Some(("vrrp1.51", v4)))],
        ),
        ("use_vmac", "10.0.0.100 use_vmac\n10.0.0.101 dev eth0 use_vmac", &[(None, None), (None, None)]),
        ("", "10.0.0.100 use_vmac\n10.0.0.101", &[(None, Some(("vrrp.51", v4))), (None, None)]),
        (
            "use_vmac 02:00:00:11:22:33",
            "10.0.0.100\n10.1.0.100 dev eth1 use_vmac",
            &[(None, None), (Some("eth1"), Some(("vrrp1.51", named)))],
        ),
        (
            "use_vmac\nvirtual_ipaddress_excluded {\nfd00::1\nfd00::2 use_vmac\n}",
            "10.0.0.100",
            &[(None, None), (Some("eth0"), None), (None, Some(("vrrp6.51", v6)))],
        ),
    ];
    for (lines, addresses, want) in rows {
        let loaded = text(&format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 51\n{lines}\nvirtual_ipaddress {{\n{addresses}\n}}\n}}\n"
        ));
        assert_eq!(rules(&loaded), [""; 0], "{lines}: {}", said(&loaded));
        let instance = &loaded.vrrp.instances[0];
        let mac = |name: &str| instance.address_links.iter().find(|link| link.name == name).expect("a link").mac;
        let seen: Vec<_> = instance.addresses.iter().chain(&instance.excluded).collect();
        let seen: Vec<_> = seen
            .iter()
            .map(|it| (it.device.as_deref(), it.own_link.as_deref().map(|name| (name, mac(name)))))
            .collect();
        assert_eq!(seen, want, "{lines} / {addresses}");
    }
}

#[test]
fn interfaces_of_addresses_have_a_prefix_of_their_own_and_instances_share_one() {
    let instance = |name: &str, interface: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface {interface}\nvirtual_router_id 7\nuse_vmac_addr\nvirtual_ipaddress {{\n10.0.0.1{name} dev eth9\n}}\n}}\n"
        )
    };
    let globals = "global_defs {\nvmac_prefix lb\nvmac_addr_prefix ad\n}\n";
    let loaded = text(&format!("{globals}{}{}", instance("1", "eth0"), instance("2", "eth1")));
    let names: Vec<_> = loaded.vrrp.instances.iter().map(|it| it.addresses[0].own_link.as_deref()).collect();
    assert_eq!(names, [Some("ad.7"), Some("ad.7")], "one MAC can be on an interface once: {}", said(&loaded));
    let both = text(
        "vrrp_instance V {\ninterface eth0\nvirtual_router_id 5\nuse_vmac_addr\nvirtual_ipaddress {\n10.0.0.1 dev eth1 use_vmac\n}\n}\n",
    );
    assert_eq!(rules(&both), ["extra-text:6"], "{}", said(&both));
    let fixed = text("static_ipaddress {\n10.0.0.1 dev eth1 use_vmac\n}\n");
    assert_eq!(rules(&fixed), ["extra-text:2"], "{}", said(&fixed));
}
