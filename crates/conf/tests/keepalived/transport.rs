//! What adverts travel in, from where and to whom.

use crate::{rules, said, text};
use evenkeel_conf::keepalived::Loaded;
use evenkeel_vrrp::config::{UnicastPeer, Version};
use evenkeel_wire::Family;

fn instance(globals: &str, lines: &str, addresses: &str) -> Loaded {
    text(&format!(
        "global_defs {{\n{globals}\n}}\nvrrp_instance V {{\nvirtual_router_id 51\n{lines}\nvirtual_ipaddress {{\n{addresses}\n}}\n}}\n"
    ))
}

#[test]
fn the_family_decides_version_and_group() {
    use Family::{V4, V6};
    use Version::{V2, V3};
    let v6 = "fe80::1";
    let rows = [
        ("", "interface eth0", "10.0.0.100", V4, V2, "224.0.0.18"),
        ("vrrp_version 3", "interface eth0", "10.0.0.100", V4, V3, "224.0.0.18"),
        ("vrrp_mcast_group4 224.0.0.19", "interface eth0", "10.0.0.100", V4, V2, "224.0.0.19"),
        ("", "interface eth0", v6, V6, V3, "ff02::12"),
        ("vrrp_version 2", "interface eth0", v6, V6, V3, "ff02::12"),
        ("", "interface eth0\nversion 2", v6, V6, V2, "ff02::12"),
        ("vrrp_mcast_group6 ff02::77", "interface eth0", v6, V6, V3, "ff02::77"),
        ("vrrp_mcast_group6 ff02::77", "interface eth0\nmcast_dst_ip ff02::78", v6, V6, V3, "ff02::78"),
        ("", "interface eth0\nnative_ipv6\nno_virtual_ipaddress", "", V6, V3, "ff02::12"),
    ];
    for (globals, lines, addresses, family, version, group) in rows {
        let loaded = instance(globals, lines, addresses);
        let instance = &loaded.vrrp.instances[0];
        let found = (instance.family(), instance.version, instance.group.to_string());
        assert_eq!(found, (family, version, group.to_owned()), "{globals} {lines}: {}", said(&loaded));
    }
}

#[test]
fn an_ipv6_instance_should_begin_with_a_link_local_address() {
    let lines = "interface eth0";
    assert_eq!(rules(&instance("", lines, "fe80::1\n2001:db8::1")), [""; 0]);
    let loaded = instance("", lines, "2001:db8::1\nfe80::1");
    assert_eq!(rules(&loaded), ["first-not-link-local:8"]);
    assert_eq!(loaded.vrrp.instances.len(), 1);
    let strict = instance("", "interface eth0\nstrict_mode", "2001:db8::1");
    assert_eq!(strict.vrrp.instances.len(), 0, "{}", said(&strict));
    let strict = instance("", "interface eth0\nstrict_mode\nversion 2", "fe80::1");
    assert!(rules(&strict).contains(&"strict-ipv6:8".to_owned()), "{}", said(&strict));
    assert_eq!(strict.vrrp.instances.len(), 0);
}

#[test]
fn an_instance_without_an_interface_has_peers_a_source_and_places_for_its_addresses() {
    let peers =
        "unicast_src_ip 2001:db8::1\nunicast_peer {\n2001:db8::2 min_ttl 10 max_ttl 64\n2001:db8::3\n10.0.0.2\n}";
    let loaded = instance("default_interface lan0", peers, "fe80::1\n2001:db8::9 dev eth1");
    assert_eq!(rules(&loaded), ["mixed-families:10"], "{}", said(&loaded));
    let instance_found = &loaded.vrrp.instances[0];
    assert_eq!(instance_found.interface, "");
    let devices: Vec<_> = instance_found.addresses.iter().map(|address| address.device.as_deref()).collect();
    assert_eq!(devices, [Some("lan0"), Some("eth1")]);
    let [first, second] =
        ["2001:db8::2", "2001:db8::3"].map(|peer| UnicastPeer::new(peer.parse().expect("an address")));
    assert_eq!(instance_found.peers, [UnicastPeer { min_ttl: 10, max_ttl: 64, ..first }, second]);

    let refused = [
        ("", "no-interface"),
        ("unicast_src_ip fe80::9\nunicast_peer {\n2001:db8::2\n}", "no-interface"),
        ("unicast_peer {\n2001:db8::2\n}", "no-source"),
    ];
    for (lines, rule) in refused {
        let loaded = instance("", lines, "fe80::1");
        assert!(rules(&loaded)[0].starts_with(rule), "{lines}: {}", said(&loaded));
        assert_eq!(loaded.vrrp.instances.len(), 0, "{lines}");
    }
    let vrf = instance("", &format!("vrf red\n{peers}"), "fe80::1");
    assert_eq!(vrf.vrrp.instances[0].interface, "red");
}
