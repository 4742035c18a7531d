//! Groups, sorry servers, what global_defs says about layer 4, and what cannot be read.

use crate::balance::{address, left_out, loaded, mark, pool, quiet, service, virtual_server};
use crate::{rules, said, text};
use evenkeel_balance::config::{Config, FlushAtStop, PlaneChoice, Sorry, SyncDaemon, Timeouts};
use evenkeel_balance::table::{Forward, Protocol, ServiceKey};
use evenkeel_conf::Severity;
use evenkeel_conf::keepalived::Loaded;
use evenkeel_wire::Family;
use std::num::NonZeroU32;

/// A virtual_server for a group with these lines.
fn group(members: &str, lines: &str) -> Loaded {
    text(&format!("virtual_server_group G {{\n{members}\n}}\n{}", virtual_server("group G", lines)))
}

#[test]
fn a_group_is_spread_out() {
    let tcp = |at: &str, port| service(Protocol::Tcp, at, port);
    let cases: [(&str, Vec<ServiceKey>); 5] = [
        ("10.0.0.1-3 80", vec![tcp("10.0.0.1", 80), tcp("10.0.0.2", 80), tcp("10.0.0.3", 80)]),
        ("10.0.0.255-10.0.1.0 80", vec![tcp("10.0.0.255", 80), tcp("10.0.1.0", 80)]),
        ("10.0.3.0/31 80", vec![tcp("10.0.3.0", 80), tcp("10.0.3.1", 80)]),
        ("10.0.0.1 80\n10.0.0.1 443", vec![tcp("10.0.0.1", 80), tcp("10.0.0.1", 443)]),
        ("10.0.0.1 80\nfwmark 5", vec![tcp("10.0.0.1", 80), mark(Family::V4, 5)]),
    ];
    for (members, expected) in cases {
        let loaded = group(members, "");
        assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
        assert_eq!(loaded.balance.pools[0].services, expected, "{members}");
        assert_eq!(loaded.balance.pools[0].name, "G");
    }
    let six = group("2001:db8::fe-100 80", "real_server 2001:db8::1 80 {\n}");
    assert_eq!(six.balance.pools[0].services.len(), 3);
}

#[test]
fn a_group_below_its_virtual_server_counts() {
    let lines = virtual_server("group G", "");
    assert_eq!(quiet(&format!("{lines}virtual_server_group G {{\n10.0.0.1 80\n}}")).pools.len(), 1);
}

#[test]
fn lines_of_a_group_that_cannot_be_read_are_left_out() {
    for line in [
        "10.0.1.1-0 80",
        "10.0.5.1-300 80",
        "10.0.5.5/30 80",
        "10.0.5.5 tcp",
        "10.0.5.5 tcp 80",
        "foo 80",
        "fwmark x",
        "fwmark 0",
        "fwmark",
        "fwmark 5 inet7",
        "10.0.0.1-::2",
    ] {
        let loaded = group(&format!("{line}\n10.0.0.1 80"), "");
        let warnings: Vec<_> = loaded.diagnostics.iter().filter(|d| d.severity == Severity::Warning).collect();
        assert_eq!(warnings.len(), 1, "{line}: {}", said(&loaded));
        assert_eq!(warnings[0].span.map(|span| span.line), Some(2), "{line}");
        assert_eq!(loaded.balance.pools[0].services.len(), 1, "{line}");
    }
}

#[test]
fn a_group_of_too_many_is_an_error() {
    assert!(!group("10.0.0.0/16 80", "").has_errors());
    for members in ["10.0.0.0/15 80", "10.0.0.0/16 80\n10.1.0.0 80", "10.0.0.0/8", "2001:db8::/32 80", "::/0"] {
        let loaded = group(members, "");
        let error = loaded.diagnostics.iter().find(|d| d.severity == Severity::Error).map(|d| d.rule);
        assert_eq!(error, Some("too-many-services"), "{members}");
        assert_eq!(loaded.balance.pools, [], "{members}");
    }
}

#[test]
fn all_groups_together_are_bounded() {
    let group = "virtual_server_group G {\n10.0.0.0/16 80\n}\n";
    let pools = virtual_server("group G", "").repeat(1000);
    let loaded = text(&format!("{group}{pools}"));
    assert!(loaded.has_errors());
    assert_eq!(loaded.balance.pools.len(), 1);
}

#[test]
fn a_mark_is_of_the_family_of_what_stands_beside_it() {
    let server = "real_server 2001:db8::1 80 {\n}";
    let six = group("2001:db8::100 80\nfwmark 5", server);
    assert_eq!(six.balance.pools[0].services[1], mark(Family::V6, 5));
    let told = group("10.0.0.1 80\nfwmark 5 inet6", "lvs_method TUN");
    assert_eq!(told.balance.pools[0].services[1], mark(Family::V6, 5));
    let both = group("10.0.0.1 80\n2001:db8::100 80\nfwmark 6", "lvs_method TUN");
    assert_eq!(rules(&both), ["mark-without-family:4"]);
    let marks = pool_of(group("fwmark 5\nfwmark 6", "lvs_method DR\nreal_server 10.0.0.1 {\n}"));
    assert_eq!((marks.services.len(), marks.protocol), (2, None));
}

fn pool_of(mut loaded: Loaded) -> evenkeel_balance::config::Pool {
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    std::sync::Arc::unwrap_or_clone(loaded.balance.pools.remove(0))
}

#[test]
fn a_family_that_no_server_serves_is_left_out() {
    let loaded = group("10.0.0.1 80\n2001:db8::100 80", "");
    assert_eq!(rules(&loaded), ["mixed-families:5"]);
    assert_eq!(loaded.balance.pools[0].services, [service(Protocol::Tcp, "10.0.0.1", 80)]);
    let servers = "real_server 10.0.0.1 80 {\n}\nreal_server 2001:db8::1 80 {\n}";
    assert_eq!(pool_of(group("10.0.0.1 80\n2001:db8::100 80", servers)).services.len(), 2);
}

#[test]
fn ports_of_a_group_of_several_ports_are_those_that_come() {
    let server = |port: u16| format!("lvs_method DR\nreal_server 10.0.0.9 {port} {{\n}}");
    assert_eq!(rules(&group("10.0.0.1 80\n10.0.0.1 443", &server(443))), [""; 0]);
    assert_eq!(rules(&group("10.0.0.1 80\n10.0.0.1 443", &server(8080))), ["port-changed:9"]);
    let one = group("10.0.0.1-3 80", &server(8080));
    assert_eq!(rules(&one), ["port-changed:8"]);
    assert_eq!(one.balance.pools[0].servers[0].port, 80);
}

#[test]
fn what_cannot_be_balanced_is_left_out_and_said() {
    for (of, rule) in [
        ("10.0.0.999 80", "virtual-server-ignored"),
        ("10.0.0.1 80000", "virtual-server-ignored"),
        ("fwmark 0", "virtual-server-ignored"),
        ("group NONE", "unknown-group"),
    ] {
        left_out(of, "", rule);
    }
    left_out("10.0.0.100 80", "real_server 10.0.0.1x 80 {\nTCP_CHECK {\n}\n}", "no-real-servers");
    let nothing =
        text("virtual_server 10.0.0.1 80 {\nprotocol TCP\nlvs_sched rr\nlvs_method NAT\nsorry_server 10.0.0.9 80\n}");
    assert_eq!(rules(&nothing), ["no-real-servers:1"]);
    let empty = group("", "");
    assert_eq!(rules(&empty), ["empty-group:1"]);
    assert_eq!(empty.balance.pools, []);
}

#[test]
fn a_server_that_cannot_be_read_takes_its_lines_with_it() {
    let lines = "real_server 10.0.0.1 80 {\n}\nreal_server 10.0.0.2 99999 {\nweight 7\nTCP_CHECK {\n}\n}";
    let loaded = loaded("10.0.0.100 80", lines);
    assert_eq!(rules(&loaded), ["bad-value:7"]);
    let servers = &loaded.balance.pools[0].servers;
    assert_eq!(servers.iter().map(|server| (server.weight, server.checks.len())).collect::<Vec<_>>(), [(1, 0)]);
}

#[test]
fn two_virtual_servers_do_not_share_a_service() {
    let both = virtual_server("10.0.0.100 80", "").repeat(2);
    let loaded = text(&both);
    assert_eq!(rules(&loaded), ["repeated-service:9"]);
    assert_eq!(loaded.balance.pools.len(), 1);
    let other = format!("{}{}", virtual_server("10.0.0.100 80", ""), virtual_server("10.0.0.100 80", "protocol UDP"));
    assert_eq!(quiet(&other).pools.len(), 2);
}

#[test]
fn a_sorry_server_and_what_is_said_about_it() {
    let sorry = |forward, inhibit, port| Some(Sorry { address: address("10.0.0.9"), port, forward, inhibit });
    for (lines, expected) in [
        ("sorry_server 10.0.0.9 8080", sorry(Forward::Masquerade, false, 8080)),
        ("sorry_server 10.0.0.9", sorry(Forward::Masquerade, false, 0)),
        ("sorry_server 10.0.0.9\nsorry_server_inhibit\nsorry_server_lvs_method DR", sorry(Forward::Direct, true, 80)),
        ("lvs_method DR\nsorry_server 10.0.0.9 80\nsorry_server_lvs_method NAT", sorry(Forward::Masquerade, false, 80)),
    ] {
        assert_eq!(pool("10.0.0.100 80", lines).sorry, expected, "{lines}");
    }
    for line in ["sorry_server_inhibit", "sorry_server_lvs_method DR"] {
        let loaded = loaded("10.0.0.100 80", &format!("{line}\nsorry_server 10.0.0.9 80"));
        assert_eq!(rules(&loaded), ["no-sorry-server:5"], "{line}");
        assert_eq!(loaded.balance.pools[0].sorry, sorry(Forward::Masquerade, false, 80), "{line}");
    }
}

#[test]
fn a_protocol_says_nothing_about_a_mark() {
    let of_mark = loaded("fwmark 7", "protocol TCP");
    assert_eq!(of_mark.diagnostics.iter().map(|d| d.rule).collect::<Vec<_>>(), ["protocol-of-mark"]);
    assert_eq!(of_mark.balance.pools[0].protocol, None);
}

#[test]
fn ha_suspend_needs_an_address_to_look_for() {
    assert!(pool("10.0.0.100 80", "ha_suspend").ha_suspend);
    let of_mark = loaded("fwmark 7", "ha_suspend");
    assert_eq!(rules(&of_mark), ["suspend-without-address:4"]);
    assert!(!of_mark.balance.pools[0].ha_suspend);
}

#[test]
fn global_defs_says_how_the_kernel_is_handled() {
    let config = quiet(
        "global_defs {\nlb_plane xdp\nlvs_timeouts tcp 7200 udp 60\nlvs_flush\nlvs_flush_on_stop VS\nrs_init_notifies\n\
         }\nSSL {\npassword secret\nca ca.pem\ncertificate c.pem\nkey k.pem\n}",
    );
    assert_eq!(config.plane, PlaneChoice::Xdp);
    let timeouts = Timeouts { tcp: NonZeroU32::new(7200), tcp_fin: None, udp: NonZeroU32::new(60) };
    assert_eq!(config.timeouts, timeouts);
    assert!(config.flush_at_start && config.notices_at_start);
    assert_eq!(config.flush_at_stop, FlushAtStop::Services);
    assert_eq!(config.tls.key.as_deref(), Some("k.pem"));
    let namespace = |line: &str| quiet(line).ipvs_namespace;
    assert_eq!(namespace("net_namespace_ipvs blue").as_deref(), Some("/run/netns/blue"));
    assert_eq!(namespace("net_namespace_ipvs").as_deref(), Some("/proc/1/ns/net"));
    assert_eq!(config.ipvs_namespace, None);
    assert_eq!(rules(&text("net_namespace_ipvs ../x")), ["bad-value:1"]);
    let everything = quiet("global_defs {\nlvs_flush_on_stop\n}");
    assert_eq!(everything, Config { flush_at_stop: FlushAtStop::Everything, ..Config::default() });
    for line in
        ["lb_plane nft", "lvs_timeouts udp x", "lvs_timeouts tcp", "lvs_timeouts sctp 5", "lvs_flush_on_stop FOO"]
    {
        assert_eq!(rules(&text(&format!("global_defs {{\n{line}\n}}"))), ["bad-value:2"], "{line}");
    }
}

#[test]
fn failures_are_logged_where_somebody_says_so() {
    for (global, line, expected) in [
        ("", "", false),
        ("checker_log_all_failures", "", true),
        ("checker_log_all_failures", "log_all_failures no", false),
    ] {
        let server = format!("real_server 10.0.0.1 80 {{\nTCP_CHECK {{\n{line}\n}}\n}}");
        let config = quiet(&format!("{}global_defs {{\n{global}\n}}", virtual_server("10.0.0.100 80", &server)));
        assert_eq!(config.pools[0].servers[0].checks[0].log_all_failures, expected, "{global}/{line}");
    }
}

#[test]
fn the_sync_daemon_in_each_of_its_spellings() {
    let instance = |line: &str| {
        format!(
            "vrrp_instance VI {{\ninterface eth0\nvirtual_router_id 51\npriority 100\n{line}\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
        )
    };
    let plain = SyncDaemon {
        interface: "eth0".to_owned(),
        instance: None,
        id: 0,
        max_length: None,
        port: None,
        ttl: None,
        group: None,
    };
    let of_instance = SyncDaemon { instance: Some("VI".to_owned()), id: 51, ..plain.clone() };
    let full = SyncDaemon {
        id: 12,
        max_length: Some(1400),
        port: Some(8849),
        ttl: Some(16),
        group: Some(address("224.0.0.82")),
        ..of_instance.clone()
    };
    for (line, expected) in [
        ("eth0", plain.clone()),
        ("eth0 id 7", SyncDaemon { id: 7, ..plain.clone() }),
        ("eth0 VI", of_instance.clone()),
        ("eth0 VI 12", SyncDaemon { id: 12, ..of_instance.clone() }),
        ("eth0 inst VI", of_instance.clone()),
        ("eth0 VI id 12 port 8849 ttl 16 group 224.0.0.82 maxlen 1400", full),
    ] {
        let config = quiet(&format!("global_defs {{\nlvs_sync_daemon {line}\n}}\n{}", instance("")));
        assert_eq!(config.sync_daemon, Some(expected), "{line}");
    }
    for line in ["lvs_sync_daemon_interface eth0", "lvs_sync_daemon_inteface eth0"] {
        let loaded = text(&instance(line));
        assert_eq!(rules(&loaded), ["old-spelling:5"], "{}", said(&loaded));
        assert_eq!(loaded.balance.sync_daemon, Some(of_instance.clone()), "{line}");
    }
    for (line, rule) in [
        ("lvs_sync_daemon eth0 id 300", "bad-value:2"),
        ("lvs_sync_daemon eth0 VI ttl 0", "bad-value:2"),
        ("lvs_sync_daemon eth0 group 10.0.0.1", "bad-value:2"),
        ("lvs_sync_daemon eth0 id", "bad-value:2"),
        ("lvs_sync_daemon eth0 OTHER", "unknown-instance:2"),
        ("lvs_sync_daemon eth0\nlvs_sync_daemon eth1", "repeated:3"),
    ] {
        let loaded = text(&format!("global_defs {{\n{line}\n}}\n{}", instance("")));
        assert_eq!(rules(&loaded), [rule], "{line}");
    }
}

#[test]
fn odd_shapes_mean_what_they_seem_to_mean() {
    let loaded = crate::fixture("odd_virtual_servers.conf");
    let expected =
        ["comment-inside-word:4", "old-spelling:13", "old-spelling:16", "missing-brace:18", "old-spelling:28"];
    assert_eq!(rules(&loaded), expected, "{}", said(&loaded));
    let [first, second] = loaded.balance.pools.as_slice() else { panic!("two pools") };
    assert_eq!(first.service.persistence.as_ref().map(|persistence| persistence.timeout.get()), Some(50));
    for server in &first.servers {
        assert_eq!((server.weight, server.port, server.forward), (3, 80, Forward::Direct));
        let timing = &server.checks[0].timing;
        assert_eq!((timing.timeout.as_secs(), timing.retries, timing.interval.as_secs()), (10, 3, 6));
    }
    assert_eq!(first.servers.len(), 2);
    assert_eq!(second.sorry.as_ref().map(|sorry| sorry.address), Some(address("127.0.0.1")));
    let ports: Vec<_> = second.servers.iter().map(|server| server.checks[0].target.as_ref().map(|t| t.port)).collect();
    assert_eq!(ports, [Some(443), Some(80)]);
}
