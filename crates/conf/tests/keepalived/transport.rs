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

#[test]
fn addresses_that_have_no_place_in_an_advert_are_held_and_not_advertised() {
    let hmac = "auth_hmac {\nkey 1 0123456789abcdef0123456789abcdef\nactive_key 1\n}\n";
    let v4 = |n: usize| (0..n).map(|n| format!("10.1.{}.{}\n", n / 250, n % 250 + 1)).collect::<String>();
    let v6 = |n: usize| (0..n).map(|n| format!("fe80::{n:x}\n")).collect::<String>();
    for (lines, addresses, advertised, excluded) in [
        ("", v4(255), 255, 0),
        ("", v4(300), 255, 45),
        (hmac, v4(300), 255, 45),
        ("version 3", v6(89), 89, 0),
        ("version 3", v6(101), 89, 12),
        (hmac, v6(101), 87, 14),
    ] {
        let loaded = instance("", &format!("interface eth0\n{lines}"), &addresses);
        let instance = &loaded.vrrp.instances[0];
        assert_eq!((instance.addresses.len(), instance.excluded.len()), (advertised, excluded), "{}", said(&loaded));
        let is_said = rules(&loaded).iter().any(|rule| rule.starts_with("too-many-addresses"));
        assert_eq!(is_said, excluded > 0, "{}", said(&loaded));
    }
}

#[test]
fn global_defs_count_for_the_instances_above_them_too() {
    let globals =
        "global_defs {\nv3_checksum_as_v2\nvrrp_version 3\nvrrp_down_timer_adverts 5\nvrrp_garp_master_repeat 2\n}\n";
    let router = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {\n10.0.0.100\n}\n}\n";
    let below = text(&format!("{router}{globals}"));
    assert_eq!(below.vrrp, text(&format!("{globals}{router}")).vrrp);
    let instance = &below.vrrp.instances[0];
    assert!(instance.v3_checksum_as_v2 && instance.down_adverts.get() == 5 && instance.garp.repeat == 2);
}
