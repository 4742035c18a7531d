//! The trailer of auth_hmac and the Authentication Header, as pure functions: published vectors, bytes that keepalived
//! sent, and the rules of sequence numbers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use evenkeel_vrrp::auth::header::{self, Counter};
use evenkeel_vrrp::auth::trailer::{self, Covered, LENGTH, Memory, Refusal, Sequence, Utc};
use evenkeel_vrrp::config::{Centis, Hmac, Key, KeyId, Mode, Password, Replay, Secret, Version, Vrid};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;

const WINDOW: u16 = 10;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter(char::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn key(id: u8, first: u8) -> Key {
    Key { id: KeyId::new(id).unwrap(), secret: Secret::new((first..first + 32).collect()).unwrap() }
}

fn hmac(replay: Replay) -> Hmac {
    let window = NonZeroU16::new(WINDOW).unwrap();
    Hmac { keys: vec![key(1, 0)], active: KeyId::new(1).unwrap(), window, replay, mode: Mode::Enforce }
}

fn covered<'a>(source: &str, message: &'a [u8]) -> Covered<'a> {
    Covered { source: address(source), version: Version::V3, vrid: Vrid::new(51).unwrap(), message }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(seconds: u64) -> Utc {
    Utc::from_epoch(Duration::from_secs(seconds))
}

fn whole(trailer: &[u8]) -> [u8; LENGTH] {
    trailer.try_into().unwrap()
}

#[test]
fn the_published_vectors_are_built_and_verified() {
    let rows = [
        ("198.51.100.10", "3133c80100644402c0000264", "010100006800000080000000 1b84bc4e8e43892dc6d98448f8ee2265"),
        (
            "fe80::10",
            "3133c8010064a2e9 fe800000000000000000000000000100",
            "010100006800000080000000 c8c56146ebfd66ee10ec4d8186461b78",
        ),
    ];
    for (source, message, want) in rows {
        let message = bytes(message);
        let built = trailer::build(&key(1, 0), Sequence(0x6800_0000_8000_0000), &covered(source, &message));
        assert_eq!(built.to_vec(), bytes(want), "{source}");
        let mut memory = Memory::default();
        let mut verify = || memory.verify(&hmac(Replay::Monotonic), at(0), &covered(source, &message), &built, &[]);
        assert!(verify().is_ok(), "{source}");
        assert_eq!(verify(), Err(Refusal::Replay), "{source}");
    }
}

#[test]
fn whatever_is_covered_cannot_be_changed_and_the_checksum_can() {
    let message = bytes("3133c80100644402c0000264");
    let built = trailer::build(&key(1, 0), Sequence(0x6800_0000_8000_0000), &covered("198.51.100.10", &message));
    let verify = |covered: Covered, trailer: &[u8; LENGTH]| {
        Memory::default().verify(&hmac(Replay::Monotonic), at(0), &covered, trailer, &[]).map(|_| ())
    };
    for at in 0..message.len() {
        let mut message = message.clone();
        message[at] ^= 1;
        let want = if (6..8).contains(&at) { Ok(()) } else { Err(Refusal::InvalidHmac) };
        assert_eq!(verify(covered("198.51.100.10", &message), &built), want, "byte {at} of the advert");
    }
    for at in 0..LENGTH {
        let mut trailer = built;
        trailer[at] ^= 1;
        let want = match at {
            0 | 2 | 3 => Refusal::Malformed,
            1 => Refusal::UnknownKey,
            _ => Refusal::InvalidHmac,
        };
        assert_eq!(verify(covered("198.51.100.10", &message), &trailer), Err(want), "byte {at} of the trailer");
    }
    let ours = covered("198.51.100.10", &message);
    let version = Covered { version: Version::V2, ..ours };
    let vrid = Covered { vrid: Vrid::new(52).unwrap(), ..ours };
    for (what, other) in [("version", version), ("vrid", vrid), ("source", covered("198.51.100.11", &message))] {
        assert_eq!(verify(other, &built), Err(Refusal::InvalidHmac), "{what}");
    }
}

/// Trailers from `sender` with these sequence numbers, and what becomes of each.
fn hear(memory: &mut Memory, hmac: &Hmac, now: Utc, sender: &str, sequence: u64, peers: &[IpAddr]) -> String {
    let message = bytes("3133c80100644402c0000264");
    let covered = covered(sender, &message);
    let built = trailer::build(&hmac.keys[0], Sequence(sequence), &covered);
    match memory.verify(hmac, now, &covered, &built, peers) {
        Ok(skew) => format!("{} s apart", skew.as_secs()),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn a_replay_and_what_is_out_of_the_window_are_refused_in_time_mode() {
    let (hmac, mut memory) = (hmac(Replay::Time), Memory::default());
    let stale = "its time is too far from this node's clock";
    let replay = "it is a replay";
    let rows = [
        // now, sequence, what becomes of it
        (1000, 1000 << 32, "0 s apart"),
        (1000, 1000 << 32, replay),
        (1000, 1000 << 32 | 1, "0 s apart"),
        (1001, 1000 << 32, replay),
        (1001, 1011 << 32, "10 s apart"),
        (1001, 1012 << 32, stale),
        (1001, 990 << 32, stale),
        // The peer's clock was set back: its adverts are replays until the mark is out of the window.
        (1002, 1002 << 32, replay),
        (1021, 1012 << 32, "9 s apart"),
        (1022, 1011 << 32, stale),
        // Our clock was set back by a lot; the mark is outside the window now.
        (500, 500 << 32, "0 s apart"),
    ];
    for (now, sequence, want) in rows {
        assert_eq!(hear(&mut memory, &hmac, at(now), "10.0.0.1", sequence, &[]), want, "{now} {sequence:#x}");
    }
}

#[test]
fn monotonic_mode_knows_no_clock_and_counts_round_the_circle() {
    let (hmac, mut memory) = (hmac(Replay::Monotonic), Memory::default());
    let rows = [
        (u64::MAX - 1, true),
        (u64::MAX, true),
        (0, true),
        (u64::MAX, false),
        (5, true),
        (5, false),
        // Half the circle away there is no order (RFC 1982 3.2): not newer.
        (5 + (1 << 63), false),
        (4 + (1 << 63), true),
    ];
    for (sequence, is_newer) in rows {
        let want = hear(&mut memory, &hmac, at(77), "10.0.0.1", sequence, &[]) != "it is a replay";
        assert_eq!(want, is_newer, "{sequence:#x}");
    }
}

#[test]
fn four_multicast_senders_are_remembered_and_only_verified_ones_push_others_out() {
    let (hmac, mut memory) = (hmac(Replay::Monotonic), Memory::default());
    let mut hear = |sender: u8, sequence| hear(&mut memory, &hmac, at(0), &format!("10.0.0.{sender}"), sequence, &[]);
    for sender in 1..=4 {
        assert_eq!(hear(sender, 100 << 32), "100 s apart");
    }
    // 1 speaks again, so that 2 is the one that was silent longest.
    assert_eq!(hear(1, 101 << 32), "101 s apart");
    assert_eq!(hear(5, 100 << 32), "100 s apart");
    for sender in [1, 3, 4, 5] {
        assert_eq!(hear(sender, 100 << 32), "it is a replay", "{sender}");
    }
    assert_eq!(hear(2, 100 << 32), "100 s apart", "2 was forgotten");

    let message = bytes("3133c80100644402c0000264");
    let forged = whole(&[&[1, 1, 0, 0, 0, 0, 1], &[0; 21][..]].concat());
    let covered = covered("10.0.0.9", &message);
    assert_eq!(memory.verify(&hmac, at(0), &covered, &forged, &[]), Err(Refusal::InvalidHmac));
    let mut hear = |sender: u8| self::hear(&mut memory, &hmac, at(0), &format!("10.0.0.{sender}"), 99 << 32, &[]);
    for sender in [1, 2, 4, 5] {
        assert_eq!(hear(sender), "it is a replay", "{sender} was not pushed out by a forged advert");
    }
}

#[test]
fn with_unicast_each_peer_has_its_mark_and_nobody_else_is_heard() {
    let (hmac, mut memory) = (hmac(Replay::Monotonic), Memory::default());
    let peers: Vec<IpAddr> = (1..=6).map(|last| IpAddr::from([10, 0, 0, last])).collect();
    for peer in &peers {
        assert_eq!(hear(&mut memory, &hmac, at(0), &peer.to_string(), 1 << 32, &peers), "1 s apart");
    }
    for peer in &peers {
        assert_eq!(hear(&mut memory, &hmac, at(0), &peer.to_string(), 1 << 32, &peers), "it is a replay");
    }
    let want = "its sender is no configured peer";
    assert_eq!(hear(&mut memory, &hmac, at(0), "10.0.0.7", 1 << 32, &peers), want);
}

#[test]
fn what_is_sent_always_grows_and_follows_the_clock() {
    let message = bytes("3133c80100644402c0000264");
    let rows: [(Replay, &[(u64, u64)]); 2] = [
        // Clock, and the sequence number that is sent. Set back within the window: one more than the last. Beyond: the clock.
        (
            Replay::Time,
            &[(1000, 1000 << 32), (1000, 1000 << 32 | 1), (1001, 1001 << 32), (995, 1001 << 32 | 1), (990, 990 << 32)],
        ),
        (Replay::Monotonic, &[(1000, 1000 << 32), (995, 1000 << 32 | 1), (10, 1000 << 32 | 2), (1001, 1001 << 32)]),
    ];
    for (replay, steps) in rows {
        let (hmac, mut memory) = (hmac(replay), Memory::default());
        for (clock, want) in steps {
            let built = memory.sign(&hmac, at(*clock), &covered("10.0.0.1", &message)).unwrap();
            let sent = u64::from_be_bytes(built[4..12].try_into().unwrap());
            assert_eq!(sent, *want, "{replay:?} at {clock}");
        }
    }
    assert_eq!(Utc::from_epoch(Duration::new(5, 500_000_000)), Utc::from_epoch(Duration::from_millis(5500)));
    let half = Memory::default().sign(
        &hmac(Replay::Time),
        Utc::from_epoch(Duration::from_millis(5500)),
        &covered("10.0.0.1", &message),
    );
    assert_eq!(half.unwrap()[4..12], [0, 0, 0, 5, 0x80, 0, 0, 0]);
}

#[test]
fn receive_only_signs_nothing_and_any_key_verifies() {
    let message = bytes("3133c80100644402c0000264");
    let covered = covered("10.0.0.1", &message);
    let mut rotating = hmac(Replay::Time);
    rotating.keys.push(key(2, 100));
    for signer in [1, 2] {
        let sender = Hmac { active: KeyId::new(signer).unwrap(), ..rotating.clone() };
        let built = Memory::default().sign(&sender, at(7), &covered).unwrap();
        assert_eq!(built[1], signer);
        assert_eq!(Memory::default().verify(&rotating, at(7), &covered, &built, &[]), Ok(Duration::ZERO));
    }
    rotating.mode = Mode::ReceiveOnly;
    assert_eq!(Memory::default().sign(&rotating, at(7), &covered), None);
}

#[test]
fn the_window_is_three_intervals_within_bounds() {
    for (centis, want) in [(1, 5), (100, 5), (167, 6), (200, 6), (1000, 30), (25_500, 300)] {
        assert_eq!(Hmac::default_window(Centis(centis)).get(), want, "{centis}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?} {:?}", hmac(Replay::Time), Password::new("hunter22"));
    assert!(!text.contains("hunter") && !text.contains("31"), "{text}");
    assert_eq!((Secret::new(vec![0; 31]), Secret::new(vec![0; 65])), (None, None));
}

/// Captured from keepalived 2.2.7: virtual router 51, priority 200, password `abcdefgh`.
const AH: [&str; 2] = [
    "45c0004000010000ff33b079c633640ae0000012 70040000c633640a00000001 0af50c41b373f68be97eb840 2133c80102015265c00002640000000000000000",
    "45c0004000030000ff33b077c633640ae0000012 70040000c633640a00000003 8a8a2116c5015e94992910eb 2133c80102015265c00002640000000000000000",
];

#[test]
fn the_authentication_header_has_the_bytes_that_keepalived_sends() {
    for packet in AH {
        let packet = bytes(packet);
        let sequence = u32::from_be_bytes(packet[28..32].try_into().unwrap());
        let mut plain = [&packet[..20], &packet[44..]].concat();
        plain[9] = 112;
        assert_eq!(header::protect(&plain, Password::new("abcdefgh"), sequence), packet);
    }
}

#[test]
fn the_authentication_header_is_checked_and_its_number_only_grows() {
    let (first, third) = (bytes(AH[0]), bytes(AH[1]));
    let password = Password::new("abcdefgh");
    let mut counter = Counter::default();
    let mut verify = |packet: &[u8], password| header::verify(packet, 20, password, &mut counter);
    assert_eq!(verify(&first, Password::new("abcdefgx")), Err(header::Refusal::Digest));
    assert_eq!(verify(&first, password), Ok(()));
    assert_eq!(verify(&first, password), Err(header::Refusal::Replay));
    assert_eq!(verify(&third, password), Ok(()));
    assert_eq!(verify(&first, password), Err(header::Refusal::Replay));
    assert_eq!(counter, Counter(3));
    assert_eq!(counter.advance(), Some(4));
    let mut last = Counter(u32::MAX - 1);
    assert_eq!((last.advance(), last.advance()), (Some(u32::MAX), None));

    // Every byte but the type of service and the header's checksum counts.
    for at in 0..third.len() {
        let mut packet = third.clone();
        packet[at] ^= 1;
        let want = match at {
            1 | 10 | 11 => Ok(()),
            12..16 | 24..28 => Err(header::Refusal::Sender),
            20 | 21 => Err(header::Refusal::Malformed),
            _ => Err(header::Refusal::Digest),
        };
        assert_eq!(header::verify(&packet, 20, password, &mut Counter::default()), want, "byte {at}");
    }
    assert_eq!(header::verify(&third[..40], 20, password, &mut Counter(0)), Err(header::Refusal::Malformed));
}
