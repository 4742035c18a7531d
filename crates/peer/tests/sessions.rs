//! Who is heard, what is believed, and what is told.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_peer::config::{Peer, Secret};
use evenkeel_peer::facts::{Facts, Maintenance};
use evenkeel_peer::packet::{Hello, Life};
use evenkeel_peer::{Action, Config, Counters, Event, Weight};
use evenkeel_wire::Instant;
use node::*;

#[test]
fn two_nodes_know_each_other_in_three_datagrams_and_their_facts_soon_after() {
    let mut pair = Pair::new(facts("lb01"), facts("lb02"));
    pair.run(ms(60));
    let (a, b) = (pair.a.status(pair.now), pair.b.status(pair.now));
    assert_eq!((a.facts, b.facts), (Some(facts("lb02")), Some(facts("lb01"))));
    assert_eq!(pair.a.told(), ["10.0.0.2 answers"]);
    assert_eq!(pair.b.told(), ["10.0.0.1 answers"]);
    let n_sent = a.counters.sent + b.counters.sent;
    pair.run(ms(10_000));
    let later = pair.a.status(pair.now).counters.sent + pair.b.status(pair.now).counters.sent;
    assert_eq!(later - n_sent, 20, "then one hello a second from each");
    assert_eq!((pair.a.told(), pair.b.told()), (vec![], vec![]));
}

#[test]
fn new_facts_arrive_at_once_however_long_they_are() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    for n in [1, 40, 20_000] {
        let addresses: Vec<_> = (0..n).map(|n| format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255)).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        let more = Facts { routers: vec![router(51, &addresses)], ..facts("lb01") };
        pair.a.say(pair.now, more.clone());
        pair.deliver();
        assert_eq!(pair.b.status(pair.now).facts, Some(more), "{n} addresses, without any time going by");
    }
}

#[test]
fn a_node_with_too_many_addresses_leaves_them_out_and_nothing_is_concluded() {
    let mut many = facts("lb01");
    let long = router(51, &vec!["fd00::1/128"; 60_000]);
    many.routers = vec![long];
    let mut pair = Pair::joined(many, facts("lb02"));
    let heard = pair.b.status(pair.now).facts.unwrap();
    assert!(heard.without_addresses && heard.routers[0].addresses.is_empty());
    assert_eq!(pair.b.status(pair.now).drifts, []);
    assert_eq!(pair.b.told(), [""; 0]);
}

#[test]
fn a_peer_that_says_nothing_for_three_intervals_is_silent_and_its_word_grows_old() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    pair.run(ms(1000));
    pair.is_cut = true;
    pair.run(ms(2000));
    assert!(pair.a.status(pair.now).heard);
    pair.run(ms(2000));
    let status = pair.a.status(pair.now);
    assert!(!status.heard);
    assert_eq!(status.facts, Some(facts("lb02")), "what it said last is still shown");
    assert!(status.age.unwrap() >= ms(3000));
    let change = pair.a.told.pop().unwrap();
    assert_eq!((change.weight, change.trigger.as_str()), (Weight::Warning, "no hello from 10.0.0.2 for 3.00s"));
    pair.is_cut = false;
    pair.run(ms(1000));
    assert!(pair.a.status(pair.now).heard);
    assert_eq!(pair.a.told(), ["10.0.0.2 answers"]);
    assert_eq!(pair.a.learned.len(), 1, "it still has what was said");
}

#[test]
fn the_slower_node_says_how_long_a_silence_may_be() {
    let mut pair = Pair::new(facts("lb01"), facts("lb02"));
    let slow = Config { peers: vec![Peer { interval: ms(5000), ..Peer::new(A, key()) }] };
    pair.b.peers.reconfigure(pair.now, slow, &mut Vec::new());
    pair.run(ms(20_000));
    assert!(pair.a.status(pair.now).heard && pair.b.status(pair.now).heard);
    pair.is_cut = true;
    pair.run(ms(9000));
    assert!(pair.a.status(pair.now).heard);
    pair.run(ms(6000));
    assert!(!pair.a.status(pair.now).heard);
}

#[test]
fn a_peer_that_was_started_again_is_taken_in_after_it_has_answered() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    pair.b = Node::new(B, 3, facts("lb02 again"));
    pair.run(ms(1100));
    assert_eq!(pair.a.status(pair.now).facts.unwrap().node, "lb02 again");
    assert_eq!(pair.a.told(), ["10.0.0.2 began a new life"]);
    assert_eq!(pair.b.status(pair.now).facts.unwrap().node, "lb01");
}

#[test]
fn what_was_recorded_changes_nothing_in_whichever_life_it_is_sent_again() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    pair.b.say(pair.now, facts("lb02 later"));
    pair.run(ms(3000));
    for life in 3..6 {
        pair.b = Node::new(B, life, facts("lb02 now"));
        pair.run(ms(3000));
        let recorded = pair.recorded.clone();
        let before = pair.a.status(pair.now);
        for (_, bytes) in recorded.iter().filter(|(from, _)| *from == B) {
            pair.a.on(pair.now, Event::Datagram { from: B, bytes: bytes.clone() });
        }
        pair.a.outbox.clear();
        let after = pair.a.status(pair.now);
        assert_eq!(after.facts, before.facts);
        assert_eq!(after.counters.received, before.counters.received, "none was taken");
        assert!(after.counters.unproven + after.counters.replayed > before.counters.unproven);
        pair.run(ms(2000));
        assert!(pair.a.status(pair.now).heard, "the peer that lives is still heard");
    }
    // A node that has no memory believes none of it either.
    let mut fresh = Node::new(A, 9, facts("lb01"));
    for (_, bytes) in pair.recorded.iter().filter(|(from, _)| *from == B) {
        fresh.on(pair.now, Event::Datagram { from: B, bytes: bytes.clone() });
    }
    assert!(!fresh.status(pair.now).heard && fresh.learned.is_empty());
}

#[test]
fn recorded_hellos_are_answered_no_faster_than_the_gap() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    let old = pair.recorded.iter().find(|(from, _)| *from == B).unwrap().1.clone();
    pair.b = Node::new(B, 3, facts("lb02"));
    pair.run(ms(3000));
    let before = pair.a.status(pair.now).counters.sent;
    for _ in 0..1000 {
        pair.now = pair.now + ms(1);
        pair.a.on(pair.now, Event::Datagram { from: B, bytes: old.clone() });
        pair.a.on(pair.now, Event::Deadline);
    }
    let sent = pair.a.status(pair.now).counters.sent - before;
    assert!((1..=21).contains(&sent), "{sent} in a second");
}

#[test]
fn our_own_hello_come_back_is_no_peer() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    let ours = pair.recorded.iter().filter(|(from, _)| *from == A).map(|(_, bytes)| bytes.clone());
    for bytes in ours.collect::<Vec<_>>() {
        pair.a.on(pair.now, Event::Datagram { from: B, bytes });
    }
    let status = pair.a.status(pair.now);
    assert!(status.counters.reflected > 0);
    assert_eq!(status.facts, Some(facts("lb02")));
}

#[test]
fn a_hello_for_another_node_with_the_same_key_proves_nothing() {
    // C hears what A and B say to each other, all three under one key.
    let pair = Pair::joined(facts("lb01"), facts("lb02"));
    let mut c = Node::new(A, 7, facts("lb03"));
    for (_, bytes) in &pair.recorded {
        c.on(pair.now, Event::Datagram { from: B, bytes: bytes.clone() });
    }
    assert!(!c.status(pair.now).heard);
}

#[test]
fn what_is_wrong_is_counted_and_changes_nothing() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    let before = pair.a.status(pair.now);
    let other = Secret::new(vec![9; 32]).unwrap();
    let good = pair.recorded.last().unwrap().1.clone();
    let mut changed = good.clone();
    changed[70] ^= 1;
    let mut later = good.clone();
    later[4] = 2;
    let forged = Hello { life: Life([5; 16]), ..Hello::default() }.build(&other);
    for bytes in [vec![], good[..95].to_vec(), changed, later, forged] {
        pair.a.on(pair.now, Event::Datagram { from: B, bytes });
    }
    let stranger = "10.0.0.9".parse().unwrap();
    pair.a.on(pair.now, Event::Datagram { from: stranger, bytes: good });
    let after = pair.a.status(pair.now);
    let expected = Counters { length_err: 2, version_err: 1, mac_err: 2, ..before.counters };
    assert_eq!(after.counters, expected);
    assert_eq!((after.heard, after.facts, after.since), (before.heard, before.facts, before.since));
    assert_eq!(pair.a.peers.status(pair.now).unclaimed.unknown, 1);
    assert!(pair.a.outbox.is_empty() && pair.a.told.is_empty());
}

#[test]
fn nobody_is_told_anything_before_they_have_answered() {
    let mut node = Node::new(A, 1, facts("lb01"));
    for _ in 0..5 {
        let now = node.peers.deadline().unwrap();
        node.on(now, Event::Deadline);
    }
    assert_eq!(node.outbox.len(), 5);
    for bytes in &node.outbox {
        let hello = Hello::parse(bytes, &key()).unwrap();
        assert_eq!((hello.part, hello.want, hello.answer), (None, None, Default::default()));
    }
}

#[test]
fn drift_is_told_at_once_and_so_is_its_end() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    let other = Facts { routers: vec![router(51, &["10.0.0.100/24", "10.0.0.101/24"])], ..facts("lb02") };
    pair.b.say(pair.now, other.clone());
    pair.deliver();
    let drift = "addresses of VI_51 (vrid 51, IPv4): 10.0.0.101/24 only there";
    assert_eq!(pair.a.told(), [format!("DRIFT from 10.0.0.2: {drift}")]);
    assert_eq!(pair.b.told().len(), 1, "the other node sees it, too");
    assert_eq!(pair.a.status(pair.now).drifts[0].to_string(), drift);
    // Another difference comes: only that is told.
    pair.b.say(pair.now, Facts { version: "1.1".to_owned(), ..other });
    pair.deliver();
    assert_eq!(pair.a.told(), ["DRIFT from 10.0.0.2: evenkeel 1.0 here, 1.1 there"]);
    // A silence says nothing of it, and its end says it again.
    pair.is_cut = true;
    pair.run(ms(4000));
    assert_eq!(pair.a.status(pair.now).drifts, []);
    pair.is_cut = false;
    pair.run(ms(1000));
    assert_eq!(pair.a.told().len(), 4, "silence, answer, and both differences");
    pair.a.say(pair.now, Facts { node: "lb01".to_owned(), version: "1.1".to_owned(), ..facts("lb01") });
    pair.b.say(pair.now, Facts { version: "1.1".to_owned(), ..facts("lb02") });
    pair.deliver();
    assert_eq!(pair.a.status(pair.now).drifts, []);
    let told = pair.a.told;
    assert_eq!(told.last().unwrap().decision, "both nodes agree");
    assert!(told.iter().all(|change| change.weight == Weight::Note));
}

#[test]
fn maintenance_of_the_peer_is_told_when_it_begins_and_ends() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    let maintenance = Some(Maintenance { until_ms: Some(1_700_000_000_000), strict: false });
    pair.b.say(pair.now, Facts { maintenance, ..facts("lb02") });
    pair.deliver();
    assert_eq!(pair.a.told(), ["10.0.0.2 says that it is in maintenance"]);
    assert_eq!(pair.a.status(pair.now).facts.unwrap().maintenance, maintenance);
    pair.b.say(pair.now, facts("lb02"));
    pair.deliver();
    assert_eq!(pair.a.told(), ["10.0.0.2 says that its maintenance is over"]);
}

#[test]
fn a_peer_that_a_reload_keeps_is_still_known_and_another_key_begins_anew() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    let renamed = Config { peers: vec![Peer { name: "lb02".to_owned(), ..Peer::new(B, key()) }] };
    pair.a.peers.reconfigure(pair.now, renamed, &mut Vec::new());
    assert!(pair.a.status(pair.now).heard);
    let rekeyed = |address| Config { peers: vec![Peer::new(address, Secret::new(vec![3; 16]).unwrap())] };
    pair.a.peers.reconfigure(pair.now, rekeyed(B), &mut Vec::new());
    pair.run(ms(5000));
    assert!(!pair.a.status(pair.now).heard && !pair.b.status(pair.now).heard);
    assert!(pair.a.status(pair.now).counters.mac_err > 0);
    pair.b.peers.reconfigure(pair.now, rekeyed(A), &mut Vec::new());
    pair.run(ms(2000));
    assert!(pair.a.status(pair.now).heard && pair.b.status(pair.now).heard);
}

#[test]
fn a_peer_that_was_taken_out_and_put_back_is_heard_again_though_the_other_never_forgot() {
    let mut pair = Pair::joined(facts("lb01"), facts("lb02"));
    pair.run(ms(30_000));
    pair.a.peers.reconfigure(pair.now, Config::default(), &mut Vec::new());
    assert_eq!(pair.a.peers.deadline(), None);
    pair.a.peers.reconfigure(pair.now, config(B), &mut Vec::new());
    pair.run(ms(2000));
    assert!(pair.a.status(pair.now).heard && pair.b.status(pair.now).heard);
    assert_eq!(pair.a.status(pair.now).facts, Some(facts("lb02")));
}

#[test]
fn facts_that_are_not_understood_are_asked_for_once() {
    let mut node = Node::new(A, 1, facts("lb01"));
    let now = Instant::ORIGIN + ms(1000);
    node.on(now, Event::Deadline);
    let challenge = Hello::parse(&node.outbox.pop().unwrap(), &key()).unwrap().challenge;
    let bytes = [0, 1, 0, 0, 0, 9, b'x'];
    let digest = evenkeel_peer::packet::Digest::of(&bytes);
    let mut hello = Hello {
        life: Life([2; 16]),
        sequence: 1,
        answer: (Life([1; 16]), challenge),
        interval: 1000,
        digest: Some((digest, bytes.len() as u32)),
        part: Some(evenkeel_peer::packet::Part { digest, offset: 0, bytes: bytes.to_vec() }),
        ..Hello::default()
    };
    node.on(now, Event::Datagram { from: B, bytes: hello.build(&key()) });
    let answer = Hello::parse(&node.outbox.pop().unwrap(), &key()).unwrap();
    assert_eq!((answer.want, answer.have), (None, Some(digest)));
    let status = node.status(now);
    assert_eq!((status.counters.facts_err, status.facts, status.heard), (1, None, true));
    // One that promises more than anybody has is not waited for.
    hello.sequence = 2;
    hello.part = None;
    hello.digest = Some((evenkeel_peer::packet::Digest::of(b"long"), u32::MAX));
    node.on(now, Event::Datagram { from: B, bytes: hello.build(&key()) });
    assert_eq!(node.status(now).counters.facts_err, 2);
}

#[test]
fn a_datagram_that_was_not_sent_is_counted() {
    let mut node = Node::new(A, 1, facts("lb01"));
    let mut actions = Vec::new();
    node.peers.handle(Instant::ORIGIN, Event::Deadline, &mut actions);
    let [Action::Send { peer, .. }] = actions[..] else { panic!("{actions:?}") };
    node.peers.handle(Instant::ORIGIN, Event::NotSent { peer }, &mut Vec::new());
    assert_eq!(node.status(Instant::ORIGIN).counters.not_sent, 1);
}
