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
    OwnLink { name: name.to_owned(), kind, transmit_below: false, group: None }
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
        ("use_vmac name v51 netlink_notify_msg group 7", OwnLink { group: Some(7), ..own("v51", usual) }),
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
