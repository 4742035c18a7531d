//! Adverts on the wire: the bytes keepalived sends, and everything it refuses.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::auth::Guard;
use evenkeel_vrrp::auth::trailer::Utc;
use evenkeel_vrrp::config::{
    Authentication, Centis, GROUP_V4, GROUP_V6, Instance, Password, UnicastPeer, Version, Vrid,
};
use evenkeel_vrrp::packet::{Advert, Checksum, Datagram, Heard, Received, Reject};
use evenkeel_vrrp::{AdvertCounters, Event};
use evenkeel_wire::checksum;
use node::*;
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert_eq, proptest};
use std::net::{IpAddr, Ipv4Addr};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sample(version: Version, priority: u8, password: Option<&str>) -> Advert {
    Advert {
        source: Ipv4Addr::new(198, 51, 100, 10).into(),
        version,
        password: password.map(Password::new),
        addresses: vec![Ipv4Addr::new(192, 0, 2, 100).into()],
        ..advert(OURS, priority)
    }
}

fn parse(packet: &[u8], config: &Instance) -> Result<Advert, Reject> {
    let received = Datagram::V4(packet).open().ok_or(Reject::Length)?;
    Heard::parse(&received, config, &mut Guard::default(), Utc::default()).map(Heard::into_owned)
}

fn expecting(version: Version, password: Option<Password>, checksum: Checksum) -> Instance {
    Instance {
        version,
        authentication: password.map_or(Authentication::None, Authentication::Password),
        v3_checksum_as_v2: checksum == Checksum::MessageOnly,
        ..instance()
    }
}

#[test]
fn adverts_have_the_bytes_that_keepalived_sends() {
    use Checksum::{MessageOnly, WithPseudoHeader};
    let rows = [
        (Version::V2, 200, None, WithPseudoHeader, "2133c80100015465c00002640000000000000000"),
        (Version::V2, 200, None, MessageOnly, "2133c80100015465c00002640000000000000000"),
        (Version::V2, 200, Some("abcdefgh"), WithPseudoHeader, "2133c8010101c1cfc00002646162636465666768"),
        (Version::V3, 200, None, WithPseudoHeader, "3133c80100643935c0000264"),
        (Version::V3, 200, None, MessageOnly, "3133c80100644402c0000264"),
        (Version::V3, 0, None, WithPseudoHeader, "3133000100640136c0000264"),
    ];
    for (version, priority, password, checksum, want) in rows {
        let advert = sample(version, priority, password);
        let packet = advert.build(checksum, 1);
        assert_eq!(hex(&packet[20..]), want);
        assert_eq!(hex(&packet[..10]), format!("45c000{:02x}00010000ff70", packet.len()));
        assert_eq!(checksum::internet(&[&packet[..20]]), 0);
        assert_eq!(parse(&packet, &expecting(version, password.map(Password::new), checksum)), Ok(advert));
    }
}

#[test]
fn adverts_of_ipv6_are_what_follows_the_header_and_leave_the_checksum_to_the_kernel() {
    let rows = [
        (Version::V3, 200, None, "313dc8010064000020010db8000000000000000000000100"),
        (Version::V3, 0, None, "313d00010064000020010db8000000000000000000000100"),
        // No RFC has this one: keepalived's, without room for a password.
        (Version::V2, 200, None, "213dc8010001000020010db8000000000000000000000100"),
        (Version::V2, 200, Some("abcd"), "213dc8010101000020010db8000000000000000000000100"),
    ];
    for (version, priority, password, want) in rows {
        let advert = Advert {
            source: "fe80::10".parse().unwrap(),
            destination: GROUP_V6.into(),
            vrid: Vrid::new(61).unwrap(),
            addresses: vec!["2001:db8::100".parse().unwrap()],
            ..sample(version, priority, password)
        };
        let message = advert.build(Checksum::WithPseudoHeader, 7);
        assert_eq!(hex(&message), want);
        let received = |hop_limit, message| {
            let (source, destination) = ("fe80::10".parse().unwrap(), GROUP_V6);
            Datagram::V6 { source, destination, hop_limit, message }.open().unwrap()
        };
        let expected = expecting(version, password.map(Password::new), Checksum::WithPseudoHeader);
        let expected = Instance { vrid: advert.vrid, group: GROUP_V6.into(), ..expected };
        let parse = |received: &Received| {
            let heard = Heard::parse(received, &expected, &mut Guard::default(), Utc::default());
            heard.map(Heard::into_owned)
        };
        assert_eq!(parse(&received(255, &message)), Ok(advert));
        assert_eq!(parse(&received(254, &message)), Err(Reject::Ttl));
        assert_eq!(parse(&received(255, &message[..23])), Err(Reject::Length));
    }
}

/// Sets one byte of the VRRP message and, unless it is the checksum, makes the version 2 checksum right again.
fn patched(mut packet: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    packet[20 + at] = value;
    if !(6..8).contains(&at) {
        packet[26..28].fill(0);
        let sum = checksum::internet(&[&packet[20..]]);
        packet[26..28].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn longer(mut packet: Vec<u8>, surplus: usize) -> Vec<u8> {
    packet.resize(packet.len() + surplus, 0);
    packet
}

#[test]
fn each_kind_of_bad_packet_is_counted_and_changes_neither_state_nor_timer() {
    type Counter = fn(&AdvertCounters) -> u64;
    let good = || advert(PEER, 150).build(Checksum::WithPseudoHeader, 1);
    let with = |change: fn(&mut Advert)| {
        let mut advert = advert(PEER, 150);
        change(&mut advert);
        advert.build(Checksum::WithPseudoHeader, 1)
    };
    let rows: Vec<(&str, Vec<u8>, Counter)> = vec![
        ("truncated by one", good()[..39].to_vec(), |c| c.packet_len_err),
        ("truncated to the fixed part", good()[..28].to_vec(), |c| c.packet_len_err),
        ("truncated within the fixed part", good()[..25].to_vec(), |c| c.packet_len_err),
        ("4 bytes too long", longer(good(), 4), |c| c.packet_len_err),
        ("28 bytes too long", longer(good(), 28), |c| c.packet_len_err),
        ("another count", patched(good(), 3, 2), |c| c.packet_len_err),
        (
            "another total length in the IP header",
            {
                let mut packet = good();
                packet[3] -= 4;
                packet
            },
            |c| c.packet_len_err,
        ),
        ("TTL 254", with(|advert| advert.ttl = 254), |c| c.ip_ttl_err),
        ("TTL 1", with(|advert| advert.ttl = 1), |c| c.ip_ttl_err),
        ("version 3", with(|advert| advert.version = Version::V3), |c| c.version_err),
        ("version 1", patched(good(), 0, 0x11), |c| c.version_err),
        ("type 2", patched(good(), 0, 0x22), |c| c.invalid_type_rcvd),
        ("a password", with(|advert| advert.password = Some(Password::new("x"))), |c| c.authtype_mismatch),
        ("AH", patched(good(), 4, 2), |c| c.authtype_mismatch),
        ("authentication type 3", patched(good(), 4, 3), |c| c.invalid_authtype),
        ("interval 3 s", with(|advert| advert.interval = Centis(300)), |c| c.advert_interval_err),
        ("a wrong checksum", patched(good(), 7, 0), |c| c.checksum_err),
        ("unicast", with(|advert| advert.destination = OURS), |c| c.destination_err),
    ];
    for (name, bytes, counter) in rows {
        for mut node in [Node::backup(instance()), Node::master(instance())] {
            node.run(0.5);
            let (state, due, before) = (node.state(), node.due_in(), node.status());
            let said = format!("{state}>{state}");
            assert_eq!(node.on(Event::Packet { interface: ETH0, bytes: bytes.clone() }), said, "{name}");
            assert_eq!((node.state(), node.due_in()), (state, due), "{name}");
            let after = node.status();
            assert_eq!(after.peer, None, "{name}");
            assert_eq!(counter(&after.counters), counter(&before.counters) + 1, "{name}");
            let errors = |c: &AdvertCounters| {
                [
                    c.packet_len_err,
                    c.advert_interval_err,
                    c.ip_ttl_err,
                    c.version_err,
                    c.checksum_err,
                    c.invalid_type_rcvd,
                    c.addr_list_err,
                    c.invalid_authtype,
                    c.authtype_mismatch,
                    c.auth_failure,
                    c.vrid_err,
                    c.destination_err,
                    c.advert_rcvd,
                ]
                .iter()
                .sum::<u64>()
            };
            assert_eq!(errors(&after.counters), errors(&before.counters) + 1, "{name}: one counter");
            assert_eq!(node.on(Event::Packet { interface: ETH0, bytes: bytes.clone() }), "", "{name}: said once");
            assert_eq!(counter(&node.status().counters), counter(&before.counters) + 2, "{name}");
        }
    }
}

#[test]
fn a_wrong_password_and_a_missing_one_are_told_apart() {
    let mut protected = instance();
    protected.authentication = Authentication::Password(Password::new("secret"));
    let mut node = Node::backup(protected);
    node.on(heard(PEER, 150));
    assert_eq!(node.status().counters.authtype_mismatch, 1);
    node.on(packet(&Advert { password: Some(Password::new("Secret")), ..advert(PEER, 150) }));
    assert_eq!(node.status().counters.auth_failure, 1);
    node.on(packet(&Advert { password: Some(Password::new("secret")), ..advert(PEER, 150) }));
    assert_eq!(node.status().counters.advert_rcvd, 1);
}

#[test]
fn packets_that_belong_to_nobody_are_counted_apart() {
    let mut node = Node::backup(instance());
    let other = Advert { vrid: Vrid::new(52).unwrap(), ..advert(PEER, 150) };
    node.on(packet(&other));
    let Event::Packet { bytes, .. } = heard(PEER, 150) else { unreachable!() };
    node.on(Event::Packet { interface: 9, bytes: bytes.clone() });
    node.on(Event::Packet { interface: ETH0, bytes: bytes[..21].to_vec() });
    node.on(Event::Packet { interface: ETH0, bytes: Vec::new() });
    node.on(Event::Packet { interface: ETH0, bytes: patched(bytes, 1, 0) });
    let unclaimed = node.router.status(node.now).unclaimed;
    assert_eq!((unclaimed.unknown_vrid, unclaimed.malformed), (2, 3));
    assert_eq!(node.status().counters, AdvertCounters::default());
}

#[test]
fn ethernet_padding_is_forgiven_up_to_the_least_frame() {
    // addresses, surplus bytes, forgiven: 36 + 4 x addresses is the length without surplus
    let rows = [(1, 6, true), (1, 2, true), (1, 10, true), (1, 4, false), (1, 8, false), (2, 2, true), (3, 2, false)];
    for (count, surplus, forgiven) in rows {
        let mut node = Node::backup(instance());
        let advert = Advert { addresses: vec![VIP; count], ..advert(PEER, 150) };
        let bytes = longer(advert.build(Checksum::WithPseudoHeader, 1), surplus);
        node.on(Event::Packet { interface: ETH0, bytes });
        assert_eq!(node.status().counters.advert_rcvd, u64::from(forgiven), "{count} addresses, {surplus} more bytes");
    }
}

#[test]
fn another_address_list_is_counted_but_the_advert_accepted() {
    let rows: [(&[IpAddr], u64); 4] = [(&[VIP], 0), (&[PEER], 1), (&[VIP, PEER], 1), (&[], 1)];
    for (addresses, errors) in rows {
        let mut node = Node::backup(instance());
        node.run(3.0);
        node.on(packet(&Advert { addresses: addresses.to_vec(), ..advert(PEER, 150) }));
        assert_eq!(node.status().counters.addr_list_err, errors, "{addresses:?}");
        assert_eq!(node.run(3.0), "", "its timer started anew");
    }
}

#[test]
fn version_3_checksums_are_strict_or_not_looked_at() {
    let good = sample(Version::V3, 200, None);
    let rows = [
        (Checksum::WithPseudoHeader, Checksum::WithPseudoHeader, true),
        (Checksum::MessageOnly, Checksum::WithPseudoHeader, false),
        (Checksum::WithPseudoHeader, Checksum::MessageOnly, true),
        (Checksum::MessageOnly, Checksum::MessageOnly, true),
    ];
    for (sent, read, accepted) in rows {
        let result = parse(&good.build(sent, 1), &expecting(Version::V3, None, read));
        assert_eq!(result, if accepted { Ok(good.clone()) } else { Err(Reject::Checksum) }, "{sent:?} read {read:?}");
    }
}

#[test]
fn unicast_takes_any_ttl_and_no_multicast() {
    let mut unicast = instance();
    unicast.peers = vec![UnicastPeer::new(PEER)];
    let mut node = Node::backup(unicast);
    node.on(packet(&Advert { destination: OURS, ttl: 7, ..advert(PEER, 150) }));
    assert_eq!(node.status().counters.advert_rcvd, 1);
    node.on(packet(&Advert { destination: GROUP_V4.into(), ..advert(PEER, 150) }));
    assert_eq!(node.status().counters.destination_err, 1);
}

fn adverts() -> impl Strategy<Value = (Advert, Checksum)> {
    let versions = prop::sample::select(vec![Version::V2, Version::V3]);
    let sums = prop::sample::select(vec![Checksum::MessageOnly, Checksum::WithPseudoHeader]);
    let addresses = prop::collection::vec(any::<[u8; 4]>().prop_map(IpAddr::from), 0..=255);
    (any::<[u8; 4]>(), any::<u8>(), versions, sums, 1..=255u16, addresses, any::<Option<[u8; 8]>>()).prop_map(
        |(source, priority, version, sum, interval, addresses, password)| {
            let v2 = version == Version::V2;
            let advert = Advert {
                source: source.into(),
                version,
                interval: Centis(if v2 { interval * 100 } else { interval * 16 }),
                addresses,
                password: password.map(Password).filter(|_| v2),
                ..advert(OURS, priority)
            };
            (advert, sum)
        },
    )
}

fn small(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(small(256))]

    #[test]
    fn what_is_built_is_what_is_parsed((advert, sum) in adverts(), id in any::<u16>()) {
        let config =
            Instance { advert_interval: advert.interval, ..expecting(advert.version, advert.password, sum) };
        prop_assert_eq!(parse(&advert.build(sum, id), &config), Ok(advert));
    }

    #[test]
    fn no_bytes_bring_a_router_down(bytes in prop::collection::vec(any::<u8>(), 0..200), v3 in any::<bool>()) {
        let mut node = Node::backup(Instance { version: if v3 { Version::V3 } else { Version::V2 }, ..instance() });
        node.on(Event::Packet { interface: ETH0, bytes });
        prop_assert_eq!(node.state(), "backup");
    }

    #[test]
    fn a_damaged_advert_brings_no_router_down(
        (advert, sum) in adverts(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        keep in 0..1200usize,
    ) {
        let mut bytes = advert.build(sum, 1);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(keep);
        let mut node = Node::master(instance());
        node.on(Event::Packet { interface: ETH0, bytes });
        node.run(1.0);
    }
}
