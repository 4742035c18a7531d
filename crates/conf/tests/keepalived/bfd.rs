//! bfd_instance, and what follows one.

use crate::balance::virtual_server;
use crate::{rules, said, text};
use evenkeel_bfd::Reach;
use evenkeel_bfd::config::Session;
use evenkeel_conf::keepalived::Loaded;
use evenkeel_vrrp::config::{Track, TrackTarget};
use std::num::NonZeroU8;
use std::time::Duration;

const NEIGHBOUR: &str = "10.0.0.2";

/// Loads a bfd_instance `peer` with these lines after its neighbour; they begin in the third line of the file.
fn with(lines: &str) -> Loaded {
    text(&format!("bfd_instance peer {{\nneighbor_ip {NEIGHBOUR}\n{lines}\n}}\n"))
}

fn defaults() -> Session {
    Session::new("peer", NEIGHBOUR.parse().expect("an address"))
}

fn byte(value: u8) -> NonZeroU8 {
    NonZeroU8::new(value).expect("not 0")
}

#[test]
fn each_keyword_is_taken() {
    let ms = Duration::from_millis;
    let us = Duration::from_micros;
    type Change = fn(&mut Session);
    let rows: [(&str, Change); 15] = [
        ("", |_| {}),
        ("source_ip 10.0.0.1", |s| s.source = Some("10.0.0.1".parse().expect("an address"))),
        ("multiplier 3", |s| s.multiplier = byte(3)),
        ("multiplier 255", |s| s.multiplier = byte(255)),
        ("passive", |s| s.passive = true),
        ("ttl 255", |_| {}),
        ("max_hops 4", |s| s.max_hops = Some(4)),
        ("max_hops 255", |s| s.max_hops = None),
        ("max_hops -1", |s| s.max_hops = None),
        ("multihop\nmax_hops 4", |s| (s.reach, s.max_hops) = (Reach::Multihop, Some(4))),
        ("multihop off", |_| {}),
        ("multihop\nhoplimit 30\nmax_hops -1", |s| (s.reach, s.ttl, s.max_hops) = (Reach::Multihop, byte(30), None)),
        ("vrrp", |s| s.tells_checker = false),
        ("checker", |s| s.tells_vrrp = false),
        ("vrrp\nchecker", |_| {}),
    ];
    for (lines, change) in rows {
        let loaded = with(lines);
        let mut expected = defaults();
        change(&mut expected);
        assert_eq!(rules(&loaded), [""; 0], "{lines}: {}", said(&loaded));
        assert_eq!(loaded.bfd.sessions, [expected], "{lines}");
    }
    let rows = [
        ("min_rx 1\nmin_tx 4294967\nidle_tx 1000", (ms(1), ms(4_294_967), ms(1000)), vec!["bfd-slow:4"]),
        ("min_rx 12.345", (us(12_345), ms(10), ms(1000)), vec![]),
        ("min_rx 12.3456", (us(12_346), ms(10), ms(1000)), vec!["rounded:3"]),
        ("idle_tx 20000", (ms(10), ms(10), ms(20_000)), vec!["bfd-slow:3"]),
    ];
    for (lines, intervals, said) in rows {
        let loaded = with(lines);
        assert_eq!(rules(&loaded), said, "{lines}");
        let [session] = &loaded.bfd.sessions[..] else { panic!("{lines}") };
        assert_eq!((session.min_rx, session.min_tx, session.idle_tx), intervals, "{lines}");
    }
    let british = text("bfd_instance peer {\nneighbour_ip 2001:db8::2\nhoplimit 255\n}");
    assert_eq!(rules(&british), [""; 0]);
    assert_eq!(british.bfd.sessions[0].ttl, byte(255));
}

/// As keepalived 2.2.7 was seen to do, line for line.
#[test]
fn what_keepalived_refuses_leaves_the_default() {
    let lines = [
        "min_rx 0",
        "min_rx 5s",
        "min_rx abc",
        "min_tx 20ms",
        "min_tx -1",
        "min_tx 4294968",
        "idle_tx 999",
        "multiplier 0",
        "multiplier 256",
        "multiplier 3x",
        "ttl 0",
        "ttl 256",
        "max_hops -2",
        "max_hops 256",
        "weight 254",
        "weight -254",
        "source_ip 10.0.0.1x",
        "multihop perhaps",
    ];
    for line in lines {
        let loaded = with(line);
        assert_eq!(rules(&loaded), ["bad-value:3"], "{line}");
        assert_eq!(loaded.bfd.sessions, [defaults()], "{line}");
    }
    let clipped = with("ttl 200\nmax_hops 250\nmultihop");
    assert_eq!(rules(&clipped), ["bad-value:4"]);
    assert_eq!(clipped.bfd.sessions[0].max_hops, Some(200));
}

#[test]
fn a_session_that_cannot_run_is_left_out_with_its_line() {
    let first = "bfd_instance one {\nneighbor_ip 10.0.0.2\n}\n";
    let rows = [
        ("bfd_instance two {\n}", "bfd-disabled:4"),
        ("bfd_instance two {\nneighbor_ip 10.0.0.x\n}", "bad-value:5"),
        ("bfd_instance two {\nneighbor_ip fe80::1%eth0\n}", "bad-value:5"),
        ("bfd_instance two {\nneighbor_ip 10.0.0.2\n}", "bfd-disabled:5"),
        ("bfd_instance two {\nneighbor_ip 10.0.0.3\nsource_ip fe80::1\n}", "bfd-disabled:6"),
        ("bfd_instance one {\nneighbor_ip 10.0.0.3\n}", "repeated:4"),
        ("bfd_instance 01234567890123456789012345678901 {\nneighbor_ip 10.0.0.3\n}", "bad-value:4"),
    ];
    for (second, rule) in rows {
        let loaded = text(&format!("{first}{second}\n"));
        assert_eq!(rules(&loaded), [rule], "{second}: {}", said(&loaded));
        assert_eq!(loaded.bfd.sessions.len(), 1, "{second}");
        assert_eq!(loaded.bfd.sessions[0].name, "one", "{second}");
    }
    let apart = "bfd_instance two {\nneighbor_ip 10.0.0.2\nsource_ip 10.0.0.1\n}\n\
                 bfd_instance three {\nneighbor_ip 10.0.0.2\nmultihop\n}";
    assert_eq!(text(&format!("{first}{apart}")).bfd.sessions.len(), 3);
}

#[test]
fn a_hop_limit_that_neighbours_may_drop_is_remarked_on() {
    assert_eq!(rules(&with("ttl 64")), ["bfd-ttl:3"]);
    assert_eq!(rules(&with("ttl 64\nmultihop\nmax_hops 9")), [""; 0], "routers on the way use some up");
    assert_eq!(rules(&with("multihop")), ["bfd-hops:1"]);
    assert_eq!(rules(&with("multihop\nmax_hops 0")), ["bfd-hops:4"]);
    let six = text("bfd_instance peer {\nneighbor_ip 2001:db8::2\n}");
    assert_eq!(rules(&six), ["bfd-ttl:2"]);
    assert_eq!(six.bfd.sessions[0].ttl, byte(64), "keepalived's default");
}

/// A vrrp_instance whose track_bfd has these lines, which begin in line 20.
fn tracking(lines: &str) -> Loaded {
    text(&format!(
        "bfd_instance plain {{\nneighbor_ip 10.0.0.2\n}}\n\
         bfd_instance heavy {{\nneighbor_ip 10.0.0.3\nweight -20 reverse\n}}\n\
         bfd_instance other {{\nneighbor_ip 10.0.0.4\nchecker\n}}\n\
         vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 51\npriority 100\n\
         virtual_ipaddress {{\n10.0.0.100\n}}\ntrack_bfd {{\n{lines}\n}}\n}}\n\
         bfd_instance late {{\nneighbor_ip 10.0.0.5\n}}\n"
    ))
}

#[test]
fn an_instance_tracks_the_sessions_above_it() {
    let track = |name: &str, weight, reverse| Track { target: TrackTarget::Bfd(name.to_owned()), weight, reverse };
    let rows = [
        ("plain", vec![track("plain", 0, false)], vec![]),
        ("heavy", vec![track("heavy", -20, true)], vec![]),
        ("heavy weight 5 noreverse", vec![track("heavy", 5, false)], vec![]),
        ("plain weight 253 reverse\nheavy", vec![track("plain", 253, true), track("heavy", -20, true)], vec![]),
        ("heavy weight 254", vec![track("heavy", -20, true)], vec!["bad-value:20"]),
        ("plain\nplain weight 5", vec![track("plain", 0, false)], vec!["repeated:21"]),
        ("none", vec![], vec!["unknown-bfd:20"]),
        ("late", vec![], vec!["unknown-bfd:20"]),
        ("other", vec![], vec!["unknown-bfd:20"]),
    ];
    for (lines, expected, said) in rows {
        let loaded = tracking(lines);
        assert_eq!(rules(&loaded), said, "{lines}");
        assert_eq!(loaded.vrrp.instances[0].tracks, expected, "{lines}");
    }
}

#[test]
fn what_a_group_tracks_counts_for_each_member() {
    let member = |n: u8, lines: &str| {
        format!(
            "vrrp_instance VI_{n} {{\ninterface eth0\nvirtual_router_id {n}\nvirtual_ipaddress {{\n10.0.0.{n}\n}}\n{lines}\n}}\n"
        )
    };
    let text = |own: &str| {
        let session = "bfd_instance peer {\nneighbor_ip 10.0.0.2\nweight -20\n}\n";
        let group = "vrrp_sync_group G {\ngroup {\nVI_1\nVI_2\n}\ntrack_bfd {\npeer\n}\n}\n";
        text(&format!("{session}{group}{}{}", member(1, own), member(2, "")))
    };
    let loaded = text("");
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    let peer = |weight| vec![Track { target: TrackTarget::Bfd("peer".to_owned()), weight, reverse: false }];
    assert!(loaded.vrrp.instances.iter().all(|instance| instance.tracks == peer(-20)), "{:?}", loaded.vrrp.instances);
    let loaded = text("track_bfd {\npeer weight 0\n}");
    assert_eq!([&loaded.vrrp.instances[0].tracks, &loaded.vrrp.instances[1].tracks], [&peer(0), &peer(-20)]);
}

#[test]
fn a_check_follows_a_session_above_it_that_tells_checkers() {
    let load = |session: &str, lines: &str| {
        let server = format!("real_server 10.0.0.1 80 {{\nBFD_CHECK {{\n{lines}\n}}\n}}");
        text(&format!("{session}{}", virtual_server("10.0.0.100 80", &server)))
    };
    let session = "bfd_instance peer {\nneighbor_ip 10.0.0.1\n}\n";
    let loaded = load(session, "name peer");
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    assert_eq!(loaded.balance.bfd_sessions, ["peer"]);
    let for_vrrp = "bfd_instance peer {\nneighbor_ip 10.0.0.1\nvrrp\n}\n";
    for (session, lines) in [("", "name peer"), (for_vrrp, "name peer"), (session, "name none"), (session, "")] {
        let loaded = load(session, lines);
        assert!(rules(&loaded)[0].starts_with("check-without-object:"), "{session}{lines}: {}", said(&loaded));
        assert_eq!(loaded.balance.pools[0].servers[0].checks, []);
    }
    let later = format!(
        "{}{session}",
        virtual_server("10.0.0.100 80", "real_server 10.0.0.1 80 {\nBFD_CHECK {\nname peer\n}\n}")
    );
    assert!(rules(&text(&later))[0].starts_with("check-without-object:"));
}
