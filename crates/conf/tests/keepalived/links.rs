//! Interfaces as such, and how fast addresses are announced on them.

use crate::{rules, said, text};
use evenkeel_conf::keepalived::Loaded;
use evenkeel_vrrp::config::{Beat, Extra, Gap, LinkDelay, PacedGroup, Polled};
use std::time::Duration;

const INSTANCE: &str =
    "vrrp_instance V {\ninterface eth0\nvirtual_router_id 51\nadvert_int 2\nvirtual_ipaddress {\n10.0.0.100\n}\n}\n";

fn with(before: &str, in_instance: &str) -> Loaded {
    let instance = INSTANCE.replace("advert_int 2\n", &format!("advert_int 2\n{in_instance}\n"));
    text(&format!("{before}\n{instance}"))
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn gaps_are_read_for_each_interface_and_for_groups() {
    let loaded = with(
        "global_defs {\nvrrp_garp_interval 0.001\nvrrp_gna_interval 0.000001\n}\n\
         garp_group {\ngarp_interval 0.5\ninterfaces {\neth0 eth1\neth2\n}\n}\n\
         garp_group {\ngna_interval 0.25\ninterface eth3\n}",
        "",
    );
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    let pacing = &loaded.vrrp.pacing;
    assert_eq!(pacing.each, Gap { arp: seconds(0.001), neighbour: seconds(0.000_001) });
    let groups = [
        PacedGroup {
            interfaces: names(&["eth0", "eth1", "eth2"]),
            gap: Gap { arp: seconds(0.5), neighbour: Duration::ZERO },
        },
        PacedGroup { interfaces: names(&["eth3"]), gap: Gap { arp: Duration::ZERO, neighbour: seconds(0.25) } },
    ];
    assert_eq!(pacing.groups, groups);
}

#[test]
fn what_a_garp_group_lacks_is_said_and_an_interface_is_in_the_first_that_names_it() {
    let loaded = with(
        "garp_group {\ngarp_interval 0.5\ninterface eth0\n}\n\
         garp_group {\ngarp_interval 0.1\ninterfaces {\neth0\neth1\n}\n}\n\
         garp_group {\ninterface eth2\n}\n\
         garp_group {\ngna_interval 0.1\n}\n\
         garp_group {\ngarp_interval 0\ninterface eth3\n}\n\
         garp_group {\ngarp_interval 5\ninterface eth4\n}",
        "",
    );
    let said_of = [
        "repeated:8",
        "empty-garp-group:12",
        "empty-garp-group:15",
        "empty-garp-group:18",
        "bad-value:19",
        "large-gap:23",
    ];
    assert_eq!(rules(&loaded), said_of, "{}", said(&loaded));
    let groups: Vec<_> = loaded.vrrp.pacing.groups.iter().map(|group| group.interfaces.clone()).collect();
    assert_eq!(groups, [names(&["eth0"]), names(&["eth1"]), names(&["eth4"])]);
}

#[test]
fn announcements_on_other_interfaces_are_asked_for_by_several_names() {
    let extra = |seconds, everywhere| Some(Extra { period: Duration::from_secs(seconds), everywhere });
    let cases = [
        ("", "", None),
        ("vrrp_garp_extra_if 100", "", extra(100, false)),
        ("vrrp_garp_extra_if all 100", "", extra(100, true)),
        ("vrrp_vmac_garp_intvl all 100", "", extra(100, true)),
        ("vrrp_garp_extra_if 100", "garp_extra_if all 7", extra(7, true)),
        ("vrrp_garp_extra_if 100", "garp_extra_if 0", None),
        ("", "vmac_garp_intvl 7", extra(7, false)),
    ];
    for (global, own, want) in cases {
        let loaded = with(&format!("global_defs {{\n{global}\n}}"), own);
        assert_eq!(rules(&loaded), [""; 0], "{global} {own}: {}", said(&loaded));
        assert_eq!(loaded.vrrp.instances[0].garp.extra, want, "{global} {own}");
    }
    for wrong in ["garp_extra_if all", "garp_extra_if 86401", "garp_extra_if 7x"] {
        let loaded = with("", wrong);
        assert_eq!(rules(&loaded), ["bad-value:6"], "{wrong}: {}", said(&loaded));
        assert_eq!(loaded.vrrp.instances[0].garp.extra, None);
    }
}

#[test]
fn delays_of_links_are_read_and_a_missing_one_is_none() {
    let loaded = with("interface_up_down_delays {\neth0 1.5 2\neth1 3\neth2 0.00001 0\n}", "");
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    let delay =
        |interface: &str, down, up| LinkDelay { interface: interface.to_owned(), down: seconds(down), up: seconds(up) };
    let want = [delay("eth0", 1.5, 2.0), delay("eth1", 3.0, 0.0), delay("eth2", 0.000_01, 0.0)];
    assert_eq!(loaded.vrrp.links.delays, want);

    let loaded = with("interface_up_down_delays {\neth0\neth1 256\neth2 1 x\n}", "");
    assert_eq!(rules(&loaded), ["bad-value:2", "bad-value:3", "bad-value:4"], "{}", said(&loaded));
    assert_eq!(loaded.vrrp.links.delays, []);
}

/// Two adverts of two seconds may be missed.
#[test]
fn a_delay_that_will_be_cut_is_said() {
    let loaded = with("interface_up_down_delays {\neth0 4\n}", "");
    assert_eq!(rules(&loaded), ["link-delay-cut:2"], "{}", said(&loaded));
    let loaded = with("interface_up_down_delays {\neth0 4\n}", "down_timer_adverts 4");
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
}

#[test]
fn interfaces_are_polled_where_it_is_said_in_any_of_three_places() {
    let polled = |interface: &str, beat| Polled { interface: interface.to_owned(), beat };
    let loaded = with("linkbeat_interfaces {\neth1\neth2 ETHTOOL\neth3 IOCTL\neth4 MII\n}", "linkbeat_use_polling");
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    let want = [
        polled("eth1", Beat::Mii),
        polled("eth2", Beat::Ethtool),
        polled("eth3", Beat::Ioctl),
        polled("eth4", Beat::Mii),
        polled("eth0", Beat::Mii),
    ];
    assert_eq!(loaded.vrrp.links.polled, want);
    assert!(!loaded.vrrp.links.polls_all);
    assert!(with("linkbeat_use_polling", "").vrrp.links.polls_all);
    assert_eq!(rules(&with("linkbeat_interfaces {\neth1 FOO\n}", "")), ["extra-text:2"]);
}
