//! Layer 4: what is lowered, what is corrected, and what is said about it.

use crate::{rules, said, text};
use evenkeel_balance::config::{Check, Config, Pool, Probe, Server, Timing};
use evenkeel_balance::table::{Forward, Protocol, Scheduler, ServiceFlags, ServiceKey, Tunnel, TunnelChecksum};
use evenkeel_conf::Severity;
use evenkeel_conf::keepalived::Loaded;
use evenkeel_wire::Family;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// A virtual_server for `of`, with the lines and a scheduler, a method, a protocol and a real server unless they are
/// among them.
pub(crate) fn virtual_server(of: &str, lines: &str) -> String {
    let default = |keyword: &str, line: &str| match lines.lines().any(|line| line.starts_with(keyword)) {
        true => String::new(),
        false => format!("{line}\n"),
    };
    let method = default("lvs_method", "lvs_method NAT");
    let scheduler = default("lvs_sched", "lvs_sched rr");
    let protocol = if of.starts_with("fwmark") { String::new() } else { default("protocol", "protocol TCP") };
    let server = default("real_server", "real_server 10.0.0.1 80 {\n}");
    format!("virtual_server {of} {{\n{scheduler}{method}{protocol}{lines}\n{server}}}\n")
}

pub(crate) fn loaded(of: &str, lines: &str) -> Loaded {
    text(&virtual_server(of, lines))
}

/// What is loaded when nothing is said.
#[track_caller]
pub(crate) fn quiet(text_of_it: &str) -> Config {
    let loaded = text(text_of_it);
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    loaded.balance
}

#[track_caller]
pub(crate) fn pool(of: &str, lines: &str) -> Pool {
    let mut config = quiet(&virtual_server(of, lines));
    assert_eq!(config.pools.len(), 1);
    Arc::unwrap_or_clone(config.pools.remove(0))
}

#[track_caller]
pub(crate) fn server(lines: &str) -> Server {
    pool("10.0.0.100 80", &format!("real_server 10.0.0.1 80 {{\n{lines}\n}}")).servers.remove(0)
}

#[track_caller]
pub(crate) fn check(lines: &str) -> Check {
    server(lines).checks.remove(0)
}

/// Loads, finds one warning of this rule with this consequence, and returns the pool.
#[track_caller]
fn corrected(of: &str, lines: &str, rule: &str, consequence: &str) -> Pool {
    let mut loaded = loaded(of, lines);
    let found: Vec<_> = loaded.diagnostics.iter().filter(|d| d.severity == Severity::Warning).collect();
    let [only] = found.as_slice() else { panic!("not one warning: {}", said(&loaded)) };
    assert_eq!(only.rule, rule, "{}", said(&loaded));
    let so = only.consequence.as_deref().unwrap_or_default();
    assert!(so.contains(consequence), "{so}");
    assert_eq!(loaded.balance.pools.len(), 1, "{}", said(&loaded));
    Arc::unwrap_or_clone(loaded.balance.pools.remove(0))
}

/// The same where nothing is left of the virtual server.
#[track_caller]
pub(crate) fn left_out(of: &str, lines: &str, rule: &str) {
    let loaded = loaded(of, lines);
    assert!(loaded.diagnostics.iter().any(|d| d.rule == rule), "{}", said(&loaded));
    assert_eq!(loaded.balance.pools, []);
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn service(protocol: Protocol, at: &str, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol, address: address(at), port }
}

pub(crate) fn mark(family: Family, mark: u32) -> ServiceKey {
    ServiceKey::Mark { family, mark: NonZeroU32::new(mark).expect("not 0") }
}

#[test]
fn nothing_is_corrected_where_everything_is_written() {
    let pool = pool("10.0.0.100 80", "");
    assert_eq!(pool.name, "[10.0.0.100]:tcp:80");
    assert_eq!(pool.services, [service(Protocol::Tcp, "10.0.0.100", 80)]);
    assert_eq!(pool.service.scheduler, Scheduler::Rr);
    assert_eq!(pool.service.persistence, None);
    assert_eq!((pool.quorum.get(), pool.hysteresis, pool.mail), (1, 0, false));
    let [server] = pool.servers.as_slice() else { panic!("one server") };
    assert_eq!((server.address, server.port, server.weight), (address("10.0.0.1"), 80, 1));
    assert_eq!(server.forward, Forward::Masquerade);
    assert_eq!(server.checks, []);
    assert!(server.mail, "mail about servers is on unless somebody says otherwise");
}

#[test]
fn what_is_missing_becomes_what_keepalived_takes() {
    let lines = "lvs_sched rr\nlvs_method NAT\nreal_server 10.0.0.1 80 {\n}";
    let config = |lines: &str| text(&format!("virtual_server 10.0.0.100 80 {{\n{lines}\n}}"));
    let no_protocol = config(lines);
    assert_eq!(rules(&no_protocol), ["no-protocol:1"]);
    assert!(said(&no_protocol).contains("it balances UDP"));
    assert_eq!(no_protocol.balance.pools[0].services, [service(Protocol::Udp, "10.0.0.100", 80)]);
    let no_scheduler = config("protocol TCP\nlvs_method NAT\nreal_server 10.0.0.1 80 {\n}");
    assert_eq!(rules(&no_scheduler), ["no-scheduler:1"]);
    assert!(said(&no_scheduler).contains("it is wlc"));
    assert_eq!(no_scheduler.balance.pools[0].service.scheduler, Scheduler::Wlc);
    let no_method = config("protocol TCP\nlvs_sched rr\nreal_server 10.0.0.1 80 {\n}");
    assert_eq!(rules(&no_method), ["no-method:1"]);
    assert!(said(&no_method).contains("it is NAT"));
    assert_eq!(no_method.balance.pools[0].servers[0].forward, Forward::Masquerade);
}

#[test]
fn every_port_needs_persistence() {
    let added = corrected("10.0.0.100", "real_server 10.0.0.1 {\n}", "persistence-added", "for 360 s");
    let persistence = added.service.persistence.expect("added");
    assert_eq!((persistence.timeout.get(), persistence.prefix), (360, 32));
    let pool = pool("10.0.0.100", "persistence_timeout 50");
    assert_eq!(pool.service.persistence.map(|persistence| persistence.timeout.get()), Some(50));
}

#[test]
fn persistence_has_a_time_and_a_prefix() {
    for (lines, expected) in [
        ("persistence_timeout", (360, 32)),
        ("persistence_timeout 600", (600, 32)),
        ("persistence_granularity 255.255.255.0", (360, 24)),
        ("persistence_granularity 24\npersistence_timeout 7", (7, 24)),
    ] {
        let persistence = pool("10.0.0.100 80", lines).service.persistence.expect("persistent");
        assert_eq!((persistence.timeout.get(), persistence.prefix), expected, "{lines}");
    }
    let of_six = pool("2001:db8::100 80", "persistence_timeout\nreal_server 2001:db8::1 80 {\n}");
    assert_eq!(of_six.service.persistence.map(|persistence| persistence.prefix), Some(128));
    let engine = corrected("10.0.0.100 80", "persistence_engine sip", "persistence-added", "for 360 s");
    assert_eq!(engine.service.persistence.and_then(|persistence| persistence.engine).as_deref(), Some("sip"));
    for (lines, rule) in [
        ("persistence_granularity 255.255.0.255", "bad-value"),
        ("persistence_granularity 33", "bad-value"),
        ("persistence_timeout 0", "bad-value"),
        ("persistence_timeout 2678401", "bad-value"),
    ] {
        assert!(loaded("10.0.0.100 80", lines).diagnostics.iter().any(|d| d.rule == rule), "{lines}");
    }
}

#[test]
fn only_nat_changes_a_port() {
    for method in ["DR", "TUN"] {
        let lines = format!("lvs_method {method}\nreal_server 10.0.0.1 8080 {{\nTCP_CHECK {{\n}}\n}}");
        let pool = corrected("10.0.0.100 80", &lines, "port-changed", "packets go to port 80");
        assert_eq!(pool.servers[0].port, 80);
        let target = pool.servers[0].checks[0].target.as_ref().expect("a target");
        assert_eq!(target.port, 8080, "the check asks the port that was written");
    }
    let nat = pool("10.0.0.100 80", "real_server 10.0.0.1 8080 {\n}");
    assert_eq!(nat.servers[0].port, 8080);
    let of_server = "lvs_method NAT\nreal_server 10.0.0.1 8080 {\nlvs_method DR\n}";
    let pool = corrected("10.0.0.100 80", of_server, "port-changed", "packets go to port 80");
    assert_eq!(pool.servers[0].port, 80);
}

#[test]
fn a_server_without_a_port_has_that_of_the_virtual_server() {
    let pool = pool("10.0.0.100 80", "lvs_method DR\nreal_server 10.0.0.1 {\nTCP_CHECK {\n}\n}");
    assert_eq!(pool.servers[0].port, 80);
    assert_eq!(pool.servers[0].checks[0].target.as_ref().map(|target| target.port), Some(80));
}

#[test]
fn a_mark_that_is_not_translated_clears_ports() {
    let lines = "lvs_method DR\nreal_server 10.0.0.1 80 {\n}";
    let pool = corrected("fwmark 7", lines, "port-cleared", "only NAT changes it");
    assert_eq!((pool.servers[0].port, pool.protocol), (0, None));
    assert_eq!(pool.services, [mark(Family::V4, 7)]);
    assert_eq!(pool.name, "FWM 7");
    let nat = self::pool("fwmark 7", "protocol TCP\nreal_server 10.0.0.1 80 {\n}");
    assert_eq!((nat.servers[0].port, nat.protocol), (80, None));
}

#[test]
fn the_family_of_a_mark_is_written_or_that_of_its_servers() {
    for (of, lines, family) in [
        ("fwmark 7", "", Family::V4),
        ("fwmark 7", "real_server 2001:db8::1 80 {\n}", Family::V6),
        ("fwmark 7 inet6", "real_server 2001:db8::1 80 {\n}", Family::V6),
        ("fwmark 7", "ip_family inet6\nlvs_method TUN\nreal_server 10.0.0.1 {\n}", Family::V6),
        ("fwmark 7", "lvs_method TUN\nreal_server 10.0.0.1 {\n}\nip_family inet6", Family::V6),
    ] {
        assert_eq!(pool(of, lines).services, [mark(family, 7)], "{of} {lines}");
    }
}

#[test]
fn one_packet_scheduling_is_for_datagrams_and_marks() {
    let one_packet = ServiceFlags { one_packet: true, ..ServiceFlags::default() };
    assert_eq!(pool("10.0.0.100 53", "ops\nprotocol UDP").service.flags, one_packet);
    assert_eq!(pool("fwmark 7", "ops").service.flags, one_packet);
    let tcp = corrected("10.0.0.100 80", "ops", "ops-without-udp", "it is ignored");
    assert!(!tcp.service.flags.one_packet);
}

#[test]
fn flags_of_a_scheduler_need_it_before_them() {
    let flags = |scheduler_1, scheduler_2, scheduler_3| ServiceFlags {
        one_packet: false,
        scheduler_1,
        scheduler_2,
        scheduler_3,
    };
    for (lines, expected) in [
        ("lvs_sched sh\nsh-port", flags(false, true, false)),
        ("lvs_sched sh\nsh-fallback", flags(true, false, false)),
        ("lvs_sched mh\nmh-port\nmh-fallback", flags(true, true, false)),
        ("flag-1\nflag-3\nlvs_sched rr", flags(true, false, true)),
        ("lb_algo sh\nlvs_sched sh\nflag-2", flags(false, true, false)),
    ] {
        assert_eq!(pool("10.0.0.100 80", lines).service.flags, expected, "{lines}");
    }
    for lines in ["sh-port\nlvs_sched sh", "lvs_sched mh\nsh-port", "lvs_sched sh\nmh-fallback"] {
        let pool = corrected("10.0.0.100 80", lines, "flag-without-scheduler", "it is ignored");
        assert_eq!(pool.service.flags, ServiceFlags::default(), "{lines}");
    }
}

#[test]
fn the_second_of_two_equal_servers_is_left_out() {
    let lines = "real_server 10.0.0.1 80 {\nweight 5\n}\nreal_server 10.0.0.1 80 {\nweight 7\n}";
    let pool = corrected("10.0.0.100 80", lines, "repeated-server", "the first one wins");
    assert_eq!(pool.servers.iter().map(|server| server.weight).collect::<Vec<_>>(), [5]);
    let other_port = self::pool("10.0.0.100 80", "real_server 10.0.0.1 80 {\n}\nreal_server 10.0.0.1 81 {\n}");
    assert_eq!(other_port.servers.len(), 2);
    // What makes them equal may be a correction.
    let lines = "lvs_method DR\nreal_server 10.0.0.1 80 {\n}\nreal_server 10.0.0.1 81 {\n}";
    let loaded = loaded("10.0.0.100 80", lines);
    assert_eq!(rules(&loaded), ["port-changed:7", "repeated-server:7"]);
    assert_eq!(loaded.balance.pools[0].servers.len(), 1);
}

#[test]
fn only_a_tunnel_crosses_families() {
    let lines = "real_server 10.0.0.1 80 {\n}\nreal_server 2001:db8::1 80 {\n}";
    let pool = corrected("10.0.0.100 80", lines, "mixed-families", "it is left out");
    assert_eq!(pool.servers.len(), 1);
    let tunnel = self::pool("10.0.0.100 80", &format!("lvs_method TUN\n{lines}"));
    assert_eq!(tunnel.servers.len(), 2);
    let sorry = corrected("10.0.0.100 80", "sorry_server 2001:db8::9 80", "mixed-families", "it is left out");
    assert_eq!(sorry.sorry, None);
    left_out("10.0.0.100 80", "real_server 2001:db8::1 80 {\n}", "mixed-families");
}

#[test]
fn quorum_and_hysteresis_are_bounded_by_the_weights() {
    let servers = "real_server 10.0.0.1 80 {\nweight 2\n}\nreal_server 10.0.0.2 80 {\nweight 2\n}";
    let fits = pool("10.0.0.100 80", &format!("quorum 4\nhysteresis 3\n{servers}"));
    assert_eq!((fits.quorum.get(), fits.hysteresis), (4, 3));
    let high = corrected("10.0.0.100 80", &format!("quorum 9\n{servers}"), "quorum-too-high", "the quorum is 4");
    assert_eq!(high.quorum.get(), 4);
    let lines = format!("quorum 3\nhysteresis 12\n{servers}");
    let band = corrected("10.0.0.100 80", &lines, "hysteresis-too-high", "the hysteresis is 2");
    assert_eq!(band.hysteresis, 2);
    let none = "quorum 1\nhysteresis 5\nreal_server 10.0.0.1 80 {\nweight 0\n}";
    let none = corrected("10.0.0.100 80", none, "hysteresis-too-high", "the hysteresis is 0");
    assert_eq!((none.quorum.get(), none.hysteresis), (1, 0), "keepalived makes 4294967295 of it");
}

#[test]
fn a_weight_is_the_servers_or_the_pools_or_one() {
    for lines in [
        "weight 7\nreal_server 10.0.0.1 80 {\nweight 3\n}\nreal_server 10.0.0.2 80 {\n}",
        "real_server 10.0.0.1 80 {\nweight 3\n}\nreal_server 10.0.0.2 80 {\n}\nweight 7",
    ] {
        let weights: Vec<_> = pool("10.0.0.100 80", lines).servers.iter().map(|server| server.weight).collect();
        assert_eq!(weights, [3, 7], "{lines}");
    }
}

#[test]
fn methods_and_their_tunnels() {
    let absent = TunnelChecksum::Absent;
    for (text, expected) in [
        ("NAT", Forward::Masquerade),
        ("DR", Forward::Direct),
        ("TUN", Forward::Tunnel(Tunnel::Ipip)),
        ("TUN type ipip nocsum", Forward::Tunnel(Tunnel::Ipip)),
        ("TUN type gue port 5555", Forward::Tunnel(Tunnel::Gue { port: 5555, checksum: absent })),
        (
            "TUN type gue port 5555 remcsum",
            Forward::Tunnel(Tunnel::Gue { port: 5555, checksum: TunnelChecksum::Remote }),
        ),
        ("TUN type gre csum", Forward::Tunnel(Tunnel::Gre { checksum: TunnelChecksum::Present })),
    ] {
        for keyword in ["lvs_method", "lb_kind"] {
            let lines = format!("lvs_method NAT\n{keyword} {text}\nreal_server 10.0.0.1 {{\n}}");
            assert_eq!(pool("10.0.0.100 80", &lines).servers[0].forward, expected, "{text}");
        }
    }
    for text in
        ["nat", "BAR", "DR type gre", "TUN type gue", "TUN type gre remcsum", "TUN csum", "TUN port 5", "TUN type"]
    {
        let lines = format!("lvs_method NAT\nlvs_method {text}");
        assert!(rules(&loaded("10.0.0.100 80", &lines)).contains(&"bad-value:5".to_owned()), "{text}");
    }
}

#[test]
fn times_come_from_the_nearest_place_that_names_them() {
    let timing = |interval, timeout, retries, retry_delay, warmup| Timing {
        interval: seconds(interval),
        timeout: seconds(timeout),
        retries,
        retry_delay: seconds(retry_delay),
        warmup: seconds(warmup),
    };
    let of_pool = "delay_loop 20\nconnect_timeout 21\nretry 22\ndelay_before_retry 23\nwarmup 24";
    let of_server = "delay_loop 30\nconnect_timeout 31\nretry 32\ndelay_before_retry 33\nwarmup 34";
    let of_check = "delay_loop 40\nconnect_timeout 41\nretry 0\ndelay_before_retry 43\nwarmup 0";
    for (pool_lines, server_lines, check_lines, expected) in [
        ("", "", "", timing(60, 5, 1, 1, 60)),
        ("delay_loop 6", "", "", timing(6, 5, 1, 1, 6)),
        (of_pool, "", "", timing(20, 21, 22, 23, 24)),
        (of_pool, of_server, "", timing(30, 31, 32, 33, 34)),
        ("", of_server, "", timing(30, 31, 32, 33, 34)),
        (of_pool, of_server, of_check, timing(40, 41, 0, 43, 0)),
        ("", "", of_check, timing(40, 41, 0, 43, 0)),
    ] {
        // Before and behind what inherits them.
        for (first, last) in [(pool_lines, ""), ("", pool_lines)] {
            let server = format!("real_server 10.0.0.1 80 {{\nTCP_CHECK {{\n{check_lines}\n}}\n{server_lines}\n}}");
            let pool = pool("10.0.0.100 80", &format!("{first}\n{server}\n{last}"));
            assert_eq!(pool.servers[0].checks[0].timing, expected, "{pool_lines}/{server_lines}/{check_lines}");
        }
    }
}

#[test]
fn each_check_has_its_own_defaults() {
    for (block, retries, retry_delay, timeout) in [
        ("TCP_CHECK {\n}", 1, 1, 5),
        ("HTTP_GET {\nurl {\npath /\n}\n}", 1, 3, 5),
        ("SSL_GET {\nurl {\npath /\n}\n}", 1, 3, 5),
        ("SMTP_CHECK {\n}", 1, 1, 5),
        ("UDP_CHECK {\n}", 1, 1, 5),
        ("PING_CHECK {\n}", 1, 1, 5),
        ("DNS_CHECK {\n}", 3, 6, 5),
        ("MISC_CHECK {\nmisc_path /c\n}", 0, 6, 6),
        ("MISC_CHECK {\nmisc_path /c\nmisc_timeout 4\n}", 0, 6, 4),
        ("AGENT_CHECK {\nconnect_port 9\n}", 1, 1, 5),
    ] {
        let timing = check(&format!("delay_loop 6\n{block}")).timing;
        assert_eq!(
            (timing.retries, timing.retry_delay, timing.timeout),
            (retries, seconds(retry_delay), seconds(timeout)),
            "{block}"
        );
        assert_eq!((timing.interval, timing.warmup), (seconds(6), seconds(6)), "{block}");
    }
}

#[test]
fn alpha_inhibit_and_slow_start_are_inherited_and_overridden() {
    let lines = "alpha\ninhibit_on_failure\nslow_start 30s\n\
                 real_server 10.0.0.1 80 {\nTCP_CHECK {\n}\n}\n\
                 real_server 10.0.0.2 80 {\nalpha off\ninhibit_on_failure no\nslow_start 1.5\nTCP_CHECK {\n}\n}\n\
                 real_server 10.0.0.3 80 {\nslow_start 0\nTCP_CHECK {\nalpha off\n}\n}";
    let pool = pool("10.0.0.100 80", lines);
    let got: Vec<_> = pool
        .servers
        .iter()
        .map(|server| (server.alpha, server.inhibit_on_failure, server.slow_start, server.checks[0].alpha))
        .collect();
    let ramp = Duration::from_millis(1500);
    assert_eq!(
        got,
        [(true, true, Some(seconds(30)), true), (false, false, Some(ramp), false), (true, true, None, false)]
    );
    assert!(pool.alpha);
}

#[test]
fn mail_about_servers_is_on_unless_told_and_about_quorums_off() {
    for (global, of_pool, of_server, expected) in [
        ("", "", "", (false, true)),
        ("smtp_alert off", "", "", (false, false)),
        ("smtp_alert", "", "", (true, true)),
        ("smtp_alert\nsmtp_alert_checker off", "", "", (false, false)),
        ("smtp_alert off", "smtp_alert", "smtp_alert", (true, true)),
        ("", "smtp_alert off", "smtp_alert off", (false, false)),
        ("", "smtp_alert", "", (true, true)),
    ] {
        let lines = format!("{of_pool}\nreal_server 10.0.0.1 80 {{\n{of_server}\n}}");
        let pool = &quiet(&format!("{}global_defs {{\n{global}\n}}", virtual_server("10.0.0.100 80", &lines))).pools[0];
        assert_eq!((pool.mail, pool.servers[0].mail), expected, "{global}/{of_pool}/{of_server}");
    }
}

#[test]
fn the_host_header_and_the_name_in_tls_have_orders_of_their_own() {
    for (of_pool, of_server, of_check, of_url, host, sni) in [
        ("", "", "", "", None, None),
        ("p", "", "", "", Some("p"), Some("p")),
        ("p", "s", "", "", Some("s"), Some("p")),
        ("", "s", "", "", Some("s"), None),
        ("p", "s", "c", "", Some("c"), Some("c")),
        ("p", "s", "c", "u", Some("u"), Some("u")),
    ] {
        let line = |name: &str| if name.is_empty() { String::new() } else { format!("virtualhost {name}\n") };
        let lines = format!(
            "real_server 10.0.0.1 443 {{\nSSL_GET {{\nenable_sni\nurl {{\npath /\n{}}}\n{}}}\n{}}}\n{}",
            line(of_url),
            line(of_check),
            line(of_server),
            line(of_pool)
        );
        let pool = pool("10.0.0.100 443", &lines);
        let Probe::Http(http) = &pool.servers[0].checks[0].probe else { panic!("an HTTP probe") };
        assert_eq!((http.urls[0].virtualhost.as_deref(), http.urls[0].sni.as_deref()), (host, sni), "{lines}");
    }
}
