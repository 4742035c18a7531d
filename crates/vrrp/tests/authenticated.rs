//! Two routers that authenticate their adverts, and everything else that is asked of a sender: what one sends the other
//! takes, what somebody else sends changes nothing and is said once.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::auth::disguise;
use evenkeel_vrrp::config::{
    Authentication, Centis, Hmac, Instance, Key, KeyId, Mode, OldChecksum, Password, Priority, Replay, Secret,
    UnicastPeer, Version,
};
use evenkeel_vrrp::packet::{Advert, Checksum, Datagram};
use evenkeel_vrrp::{Action, AdvertCounters, Event, Interface};
use node::*;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;

type Counter = fn(&AdvertCounters) -> u64;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn key(id: u8, byte: u8) -> Key {
    Key { id: KeyId::new(id).unwrap(), secret: Secret::new(vec![byte; 32]).unwrap() }
}

fn hmac(keys: Vec<Key>, active: u8, mode: Mode) -> Authentication {
    let window = NonZeroU16::new(5).unwrap();
    Authentication::Hmac(Hmac { keys, active: KeyId::new(active).unwrap(), window, replay: Replay::Time, mode })
}

fn enforcing() -> Authentication {
    hmac(vec![key(1, 7)], 1, Mode::Enforce)
}

fn with(authentication: Authentication) -> Instance {
    Instance { authentication, ..instance() }
}

fn clock(utc: Duration) -> Event {
    Event::Clock { utc }
}

/// What a master of this configuration sends from the peer's address: whole packets.
struct Speaker {
    node: Node,
}

impl Speaker {
    fn new(config: Instance, utc: Duration) -> Self {
        let mut node = Node::new(config_of(config));
        node.on(clock(utc));
        let mac = PEER_MAC;
        node.on(Event::Interface(Interface {
            index: ETH0,
            name: "eth0".to_owned(),
            up: true,
            mac,
            addresses: vec![PEER],
        }));
        node.run(4.0);
        Speaker { node }
    }

    /// Its next advert, once for each destination.
    fn next(&mut self) -> Vec<Vec<u8>> {
        loop {
            let at = self.node.due_at().unwrap();
            self.node.now = at;
            self.node.on(Event::Deadline);
            let packets = self.node.actions.iter().filter_map(|action| match action {
                Action::SendAdvert { packet, .. } => Some(packet.clone()),
                _ => None,
            });
            let packets = packets.collect::<Vec<_>>();
            if !packets.is_empty() {
                return packets;
            }
        }
    }
}

fn config_of(instance: Instance) -> evenkeel_vrrp::Config {
    config(Instance { priority: Priority::new(150).unwrap(), ..instance })
}

fn hear(node: &mut Node, bytes: &[u8]) -> String {
    node.on(Event::Packet { interface: ETH0, bytes: bytes.to_vec() })
}

/// A backup of this configuration whose wall clock shows [`NOW`] when the speaker's does.
fn listener(config: Instance) -> Node {
    let mut node = Node::backup(config);
    node.on(clock(NOW));
    node
}

fn speaker(config: Instance) -> Speaker {
    Speaker::new(config, NOW)
}

fn received(node: &Node) -> u64 {
    node.status().counters.advert_rcvd
}

#[test]
fn a_signed_advert_is_taken_once_and_neither_unsigned_nor_strange_ones_are() {
    let mut speaker = speaker(with(enforcing()));
    let [first, second] = [speaker.next().remove(0), speaker.next().remove(0)];
    let unsigned = packet(&advert(PEER, 150));
    let Event::Packet { bytes: unsigned, .. } = unsigned else { unreachable!() };
    let reserved = {
        let mut packet = second.clone();
        let at = packet.len() - 26;
        packet[at] = 1;
        packet
    };
    let other_id = {
        let mut packet = second.clone();
        let at = packet.len() - 27;
        packet[at] = 9;
        packet
    };
    let priority = {
        let mut packet = second.clone();
        packet[22] = 200;
        packet
    };
    let other_key = Speaker::new(with(hmac(vec![key(1, 8)], 1, Mode::Enforce)), NOW).next().remove(0);
    let early = Speaker::new(with(enforcing()), NOW - Duration::from_secs(60)).next().remove(0);
    let longer = [&second[..], &[0; 4]].concat();

    let mut node = listener(with(enforcing()));
    node.on(clock(NOW + Duration::from_secs(5)));
    assert_eq!(hear(&mut node, &first), "");
    let (due, state) = (node.due_at(), node.state());
    let rows: Vec<(&str, &[u8], Counter)> = vec![
        ("a replay", &first, |c| c.auth_ext_replay),
        ("without a trailer", &unsigned, |c| c.auth_ext_missing),
        ("reserved bits", &reserved, |c| c.auth_ext_malformed),
        ("another number of a key", &other_id, |c| c.auth_ext_unknown_key),
        ("another priority", &priority, |c| c.auth_ext_invalid_hmac),
        ("another key", &other_key, |c| c.auth_ext_invalid_hmac),
        ("a minute old", &early, |c| c.auth_ext_stale),
        ("longer", &longer, |c| c.packet_len_err),
    ];
    for (name, bytes, counter) in rows {
        let before = counter(&node.status().counters);
        hear(&mut node, bytes);
        assert_eq!(counter(&node.status().counters), before + 1, "{name}");
        assert_eq!((node.due_at(), node.state(), received(&node)), (due, state.clone(), 1), "{name}");
    }
    assert_eq!(hear(&mut node, &second), "");
    assert_eq!(received(&node), 2);
    // Whoever knows nothing of it takes a signed advert for one that is too long.
    let mut node = listener(instance());
    hear(&mut node, &second);
    assert_eq!(node.status().counters.packet_len_err, 1);
}

#[test]
fn each_mode_takes_and_sends_what_it_is_for() {
    let mode = |mode| with(hmac(vec![key(1, 7)], 1, mode));
    let rows = [
        // how the sender signs, what the listener is, whether it takes the advert
        (mode(Mode::Enforce), mode(Mode::Permissive), true),
        (mode(Mode::Enforce), mode(Mode::ReceiveOnly), true),
        (mode(Mode::Permissive), mode(Mode::Enforce), true),
        (mode(Mode::ReceiveOnly), mode(Mode::Enforce), false),
        (mode(Mode::ReceiveOnly), mode(Mode::ReceiveOnly), true),
        (mode(Mode::ReceiveOnly), instance(), true),
        (instance(), mode(Mode::Permissive), true),
        (mode(Mode::Permissive), instance(), false),
        // A trailer that is there and wrong is refused in every mode.
        (with(hmac(vec![key(1, 8)], 1, Mode::Enforce)), mode(Mode::Permissive), false),
        (with(hmac(vec![key(1, 8)], 1, Mode::Enforce)), mode(Mode::ReceiveOnly), false),
    ];
    for (sender, receiver, taken) in rows {
        let row = format!("{:?} to {:?}", sender.authentication, receiver.authentication);
        let packet = speaker(sender).next().remove(0);
        let mut node = listener(receiver);
        hear(&mut node, &packet);
        assert_eq!(received(&node), u64::from(taken), "{row}");
    }
}

#[test]
fn keys_rotate_without_a_gap() {
    let (old, new) = (key(1, 7), key(2, 8));
    let both = |active| with(hmac(vec![old.clone(), new.clone()], active, Mode::Enforce));
    let steps = [
        with(hmac(vec![old.clone()], 1, Mode::Enforce)),
        both(1),
        both(2),
        with(hmac(vec![new.clone()], 2, Mode::Enforce)),
    ];
    for pair in steps.windows(2) {
        for (sender, receiver) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let packet = speaker(sender.clone()).next().remove(0);
            let mut node = listener(receiver.clone());
            hear(&mut node, &packet);
            assert_eq!(received(&node), 1, "{:?} to {:?}", sender.authentication, receiver.authentication);
        }
    }
}

#[test]
fn all_unicast_copies_have_one_trailer_and_strangers_are_not_heard() {
    let peers = |list: &[IpAddr]| list.iter().map(|peer| UnicastPeer::new(*peer)).collect();
    let other = IpAddr::from([10, 0, 0, 30]);
    let mut speaker = speaker(Instance { peers: peers(&[OURS, other]), ..with(enforcing()) });
    let copies = speaker.next();
    let trailers: Vec<_> = copies.iter().map(|packet| packet[packet.len() - 28..].to_vec()).collect();
    assert_eq!(trailers.len(), 2);
    assert_eq!(trailers[0], trailers[1]);
    for packet in &copies {
        assert_eq!(u16::from_be_bytes([packet[2], packet[3]]) as usize, packet.len(), "the header counts the trailer");
        assert_eq!(evenkeel_wire::checksum::internet(&[&packet[..20]]), 0);
    }
    let mut node = listener(Instance { peers: peers(&[PEER]), ..with(enforcing()) });
    hear(&mut node, &copies[0]);
    assert_eq!(received(&node), 1);
    let mut node = listener(Instance { peers: peers(&[other]), ..with(enforcing()) });
    hear(&mut node, &copies[0]);
    assert_eq!((received(&node), node.status().counters.unicast_src_err), (0, 1));
}

#[test]
fn a_reload_forgets_no_sequence_number() {
    let mut speaker = speaker(with(enforcing()));
    let packet = speaker.next().remove(0);
    let mut node = listener(with(enforcing()));
    hear(&mut node, &packet);
    node.reconfigure(config(with(hmac(vec![key(1, 7), key(2, 9)], 1, Mode::Enforce))));
    hear(&mut node, &packet);
    assert_eq!((received(&node), node.status().counters.auth_ext_replay), (1, 1));
}

#[test]
fn the_wall_clock_is_data_and_a_drift_is_mentioned_before_it_hurts() {
    let mut speaker = speaker(with(enforcing()));
    let packet = speaker.next().remove(0);
    let at = speaker.node.now.since_origin() - Duration::from_secs(1000);
    let skewed = |seconds: u64| {
        let mut node = Node::backup(with(enforcing()));
        node.on(clock(NOW + at + Duration::from_secs(seconds)));
        hear(&mut node, &packet);
        (received(&node), node.why())
    };
    assert_eq!(skewed(0), (1, String::new()));
    assert_eq!(skewed(2), (1, String::new()));
    let (taken, why) = skewed(4);
    assert_eq!(taken, 1);
    assert!(why.contains("its clock is 4 s from ours, the window is 5 s"), "{why}");
    assert_eq!(skewed(6).0, 0);
}

fn ah() -> Instance {
    with(Authentication::Header(Password::new("secret")))
}

#[test]
fn who_becomes_master_goes_on_from_the_number_that_it_heard() {
    let mut speaker = speaker(ah());
    let number = |packet: &[u8]| u32::from_be_bytes(packet[28..32].try_into().unwrap());
    let heard: Vec<_> = (0..3).map(|_| speaker.next().remove(0)).collect();
    let mut node = Node::backup(ah());
    for packet in &heard {
        assert_eq!((packet[9], packet[20], packet[48]), (51, 112, 2));
        hear(&mut node, packet);
    }
    assert_eq!(received(&node), 3);
    let before = node.due_at();
    hear(&mut node, &heard[2]);
    hear(&mut node, &heard[0]);
    assert_eq!((node.status().counters.auth_failure, node.due_at()), (2, before), "replays");
    let mut sent = None;
    while sent.is_none() {
        node.now = node.due_at().unwrap();
        node.on(Event::Deadline);
        sent = node.actions.iter().find_map(|action| match action {
            Action::SendAdvert { packet, .. } => Some(packet.clone()),
            _ => None,
        });
    }
    assert_eq!(number(&sent.unwrap()), number(&heard[2]) + 1);
}

#[test]
fn an_authentication_header_is_wanted_or_not() {
    let plain = advert(PEER, 150).build(Checksum::WithPseudoHeader, 1);
    let protected = speaker(ah()).next().remove(0);
    let other = speaker(with(Authentication::Header(Password::new("other")))).next().remove(0);
    let rows: [(Instance, &[u8], Counter); 4] = [
        (ah(), &plain, |c| c.authtype_mismatch),
        (instance(), &protected, |c| c.authtype_mismatch),
        (ah(), &other, |c| c.auth_failure),
        (ah(), &protected, |c| c.advert_rcvd),
    ];
    for (config, packet, counter) in rows {
        let mut node = Node::backup(config);
        hear(&mut node, packet);
        assert_eq!(counter(&node.status().counters), 1);
    }
}

#[test]
fn a_master_without_numbers_begins_anew_as_backup() {
    let last = evenkeel_vrrp::auth::header::protect(
        &advert(PEER, 50).build(Checksum::WithPseudoHeader, 1),
        Password::new("secret"),
        u32::MAX,
    );
    let mut node = Node::master(ah());
    hear(&mut node, &last);
    assert_eq!(received(&node), 1);
    let ended = node.run(1.1);
    assert!(ended.contains("master>backup"), "{ended}");
    let again = node.run(4.0);
    assert!(again.contains("backup>master") && again.contains("hold 1, garp 1x5, advert"), "{again}");
}

fn unicast(old_checksum: OldChecksum) -> Instance {
    let peers = vec![UnicastPeer::new(PEER)];
    Instance { version: Version::V3, peers, old_checksum, ..instance() }
}

#[test]
fn the_old_unicast_checksum_is_learned_unless_forbidden() {
    let group = "224.0.0.18".parse().unwrap();
    let advert = Advert { version: Version::V3, destination: OURS, ..advert(PEER, 150) };
    let (new, old) = (advert.build(Checksum::WithPseudoHeader, 1), advert.build(Checksum::WithGroup(group), 1));
    use OldChecksum::{Always, Learned, Never};
    let rows: [(OldChecksum, &[&[u8]], u64, u64); 6] = [
        (Learned, &[&new], 1, 0),
        // Once it is learned the right one is wrong (keepalived, observed).
        (Learned, &[&new, &old, &new, &old], 3, 1),
        (Always, &[&new], 0, 1),
        (Always, &[&old], 1, 0),
        (Never, &[&old], 0, 1),
        (Never, &[&new], 1, 0),
    ];
    for (config, packets, taken, refused) in rows {
        let mut node = Node::backup(unicast(config));
        for packet in packets {
            hear(&mut node, packet);
        }
        let counters = node.status().counters;
        assert_eq!((counters.advert_rcvd, counters.checksum_err), (taken, refused), "{config:?}");
    }
    // What was learned is what is sent.
    for (config, heard, want) in
        [(Learned, &new, &new), (Learned, &old, &old), (Always, &old, &old), (Never, &new, &new)]
    {
        let mut node = Node::backup(unicast(config));
        hear(&mut node, heard);
        node.run(5.0);
        let Some(Action::SendAdvert { packet, .. }) =
            node.actions.iter().find(|a| matches!(a, Action::SendAdvert { .. }))
        else {
            panic!("it is master: {}", node.done())
        };
        let checksum = |packet: &[u8]| u16::from_be_bytes([packet[26], packet[27]]);
        // Source and destination change places, and the priority is ours.
        let ours = Advert { source: OURS, destination: PEER, priority: 100, ..advert.clone() };
        let sum = if want == &new { Checksum::WithPseudoHeader } else { Checksum::WithGroup(group) };
        assert_eq!(checksum(packet), checksum(&ours.build(sum, 1)), "{config:?}");
    }
}

#[test]
fn unicast_senders_are_looked_at_when_asked_for() {
    let other = IpAddr::from([10, 0, 0, 30]);
    let limited = |min_ttl, max_ttl| vec![UnicastPeer { min_ttl, max_ttl, ..UnicastPeer::new(PEER) }];
    let any = || vec![UnicastPeer::new(PEER)];
    let rows: Vec<(Vec<UnicastPeer>, bool, IpAddr, u8, Counter)> = vec![
        (any(), false, other, 255, |c| c.advert_rcvd),
        (any(), true, other, 255, |c| c.unicast_src_err),
        (any(), true, PEER, 1, |c| c.advert_rcvd),
        (limited(254, 255), false, PEER, 253, |c| c.ip_ttl_err),
        (limited(254, 255), false, PEER, 254, |c| c.advert_rcvd),
        (limited(0, 254), false, PEER, 255, |c| c.ip_ttl_err),
        // A limit asks for the source, too.
        (limited(1, 255), false, other, 255, |c| c.unicast_src_err),
    ];
    for (peers, check_unicast_source, source, ttl, counter) in rows {
        let row = format!("{peers:?} {check_unicast_source} {source} {ttl}");
        let mut node = Node::backup(Instance { peers, check_unicast_source, ..instance() });
        node.on(packet(&Advert { destination: OURS, ttl, ..advert(source, 150) }));
        assert_eq!(counter(&node.status().counters), 1, "{row}");
    }
}

#[test]
fn an_owner_that_does_not_listen_stays_master() {
    let owner = Instance { owner_ignores_adverts: true, ..with_priority(255) };
    let mut node = Node::new(config(owner));
    node.on(eth0(true));
    node.on(packet(&advert(PEER, 255)));
    assert_eq!((node.state().as_str(), node.status().counters.advert_ignored), ("master", 1));
}

#[test]
fn what_is_odd_is_said_once_until_the_state_changes_or_another_sender_is_heard() {
    let mut v3 = instance();
    v3.version = Version::V3;
    let mut node = Node::backup(v3);
    let from = |source, interval| {
        packet(&Advert {
            version: Version::V3,
            interval: Centis(interval),
            addresses: vec![VIP, PEER],
            ..advert(source, 150)
        })
    };
    let other = IpAddr::from([10, 0, 0, 30]);
    node.on(from(PEER, 300));
    let why = node.why();
    for part in ["it has 2 addresses, we have 1", "its interval is 3 s, ours 1 s"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    node.on(from(PEER, 300));
    assert_eq!(node.why(), "");
    // A refused packet of somebody else does not start it anew, an accepted one does.
    node.on(packet(&advert(other, 150)));
    assert!(node.why().contains("10.0.0.30: wrong version"), "{}", node.why());
    node.on(packet(&advert(other, 150)));
    assert_eq!(node.why(), "");
    node.on(from(other, 300));
    assert!(node.why().contains("its interval is 3 s"), "{}", node.why());
    node.on(packet(&advert(other, 150)));
    assert!(node.why().contains("wrong version"), "{}", node.why());
    node.run(20.0);
    assert_eq!(node.state(), "master");
    node.on(packet(&advert(other, 150)));
    assert!(node.why().contains("wrong version"), "the state has changed: {}", node.why());
}

#[test]
fn an_unknown_virtual_router_is_said_once() {
    let mut node = Node::backup(instance());
    let other = Advert { vrid: evenkeel_vrrp::config::Vrid::new(52).unwrap(), ..advert(PEER, 150) };
    assert_eq!(node.on(packet(&other)), "unclaimed 52");
    assert_eq!(node.on(packet(&other)), "");
    node.reconfigure(config(instance()));
    assert_eq!(node.on(packet(&other)), "unclaimed 52");
}

#[test]
fn a_recording_has_no_secret_and_replays_alike() {
    for config in [with(enforcing()), ah()] {
        let mut speaker = speaker(config.clone());
        let first = speaker.next().remove(0);
        let mut damaged = speaker.next().remove(0);
        let at = damaged.len() - 1;
        damaged[at] ^= 1;
        let whole = node::config(config);
        let disguised = disguise::config(&whole);
        assert_ne!(disguised.instances[0].authentication, whole.instances[0].authentication);
        let mut original = listener(whole.instances[0].clone());
        let mut replayed = listener(disguised.instances[0].clone());
        for packet in [&first, &first, &damaged] {
            let recorded = disguise::packet(&whole, Datagram::V4(packet)).into_owned();
            hear(&mut original, packet);
            hear(&mut replayed, &recorded);
            assert_eq!(original.status(), replayed.status());
        }
        assert_eq!(received(&replayed), 1);
    }
}
