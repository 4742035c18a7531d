//! Packets on the wire: the bytes that keepalived and BIRD send, and everything that is refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use evenkeel_bfd::config::{Config, Session};
use evenkeel_bfd::packet::{Diagnostic, LENGTH, Packet, Reject};
use evenkeel_bfd::{Counters, Event, Reach, Received, SessionId, Sessions, StateName};
use evenkeel_wire::Instant;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use std::num::{NonZeroU8, NonZeroU32};

/// keepalived 2.2.7 in Down, Init and Up with Final; BIRD 2.0.12 in Up with Poll.
const SEEN: [(&str, Packet); 4] = [
    (
        "20400418709b801c00000000000f4240000186a000000000",
        seen(StateName::Down, false, false, 4, 0x709b_801c, 0, 1_000_000),
    ),
    (
        "20800418709b801c1bcd51eb000f4240000186a000000000",
        seen(StateName::Init, false, false, 4, 0x709b_801c, 0x1bcd_51eb, 1_000_000),
    ),
    (
        "20d00418709b801c1bcd51eb000249f0000186a000000000",
        seen(StateName::Up, false, true, 4, 0x709b_801c, 0x1bcd_51eb, 150_000),
    ),
    (
        "20e003181bcd51eb709b801c000186a0000186a000000000",
        seen(StateName::Up, true, false, 3, 0x1bcd_51eb, 0x709b_801c, 100_000),
    ),
];

const fn seen(state: StateName, poll: bool, is_final: bool, multiplier: u8, my: u32, your: u32, min_tx: u32) -> Packet {
    Packet {
        diagnostic: Diagnostic::None,
        state,
        poll,
        is_final,
        independent: false,
        demand: false,
        multiplier: NonZeroU8::new(multiplier).unwrap(),
        my_discriminator: NonZeroU32::new(my).unwrap(),
        your_discriminator: NonZeroU32::new(your),
        min_tx,
        min_rx: 100_000,
        min_echo_rx: 0,
    }
}

#[test]
fn packets_have_the_bytes_that_keepalived_and_bird_send() {
    for (bytes, packet) in SEEN {
        let built: String = packet.build().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(built, bytes);
        assert_eq!(Packet::parse(&packet.build()), Ok(packet));
    }
}

#[test]
fn each_kind_of_bad_packet_is_counted_and_changes_no_session() {
    type Spoil = fn(&mut Vec<u8>);
    type Counter = fn(&Counters) -> u64;
    let rows: [(Spoil, Reject, Counter); 12] = [
        (|bytes| bytes.truncate(23), Reject::Short, |c| c.too_short),
        (|bytes| bytes[3] = 23, Reject::Short, |c| c.too_short),
        (|bytes| bytes[3] = 26, Reject::Length, |c| c.length_mismatch),
        (|bytes| bytes.extend([0; 4]), Reject::Length, |c| c.length_mismatch),
        (|bytes| bytes[0] = 2 << 5, Reject::Version, |c| c.bad_version),
        (|bytes| bytes[1] |= 0x30, Reject::PollAndFinal, |c| c.poll_and_final),
        (|bytes| bytes[1] |= 1, Reject::Multipoint, |c| c.multipoint),
        (|bytes| bytes[2] = 0, Reject::Multiplier, |c| c.zero_multiplier),
        (|bytes| bytes[4..8].fill(0), Reject::MyDiscriminator, |c| c.zero_discriminator),
        (|bytes| bytes[1] = 0xc0, Reject::YourDiscriminator, |c| c.zero_your_discriminator),
        (|bytes| bytes[0] |= 9, Reject::Diagnostic, |c| c.bad_diagnostic),
        (|bytes| bytes[1] |= 4, Reject::Authenticated, |c| c.authenticated),
    ];
    let neighbour = "10.0.0.2".parse().unwrap();
    for (spoil, reject, counter) in rows {
        let mut bytes = SEEN[0].1.build().to_vec();
        spoil(&mut bytes);
        assert_eq!(Packet::parse(&bytes), Err(reject));
        let mut sessions = Sessions::new(Config { sessions: vec![Session::new("peer", neighbour)] }, 1);
        let mut actions = Vec::new();
        let now = Instant::ORIGIN;
        sessions.handle(now, Event::Opened { session: SessionId(0) }, &mut actions);
        actions.clear();
        let mut tell = |from| {
            let received = Received { from, to: None, reach: Reach::SingleHop, ttl: Some(255), bytes: bytes.clone() };
            sessions.handle(now, Event::Packet(received), &mut actions);
            assert_eq!(actions, []);
            sessions.status(now)
        };
        let status = tell(neighbour);
        let session = &status.sessions[0];
        assert_eq!((counter(&session.counters), session.counters.refused()), (1, 1), "{reject:?}");
        assert_eq!((session.state, session.counters.received), (StateName::Down, 0));
        assert_eq!(tell("10.0.0.3".parse().unwrap()).unclaimed.malformed, 1, "{reject:?} of a stranger");
    }
}

fn packets() -> impl Strategy<Value = Packet> {
    use StateName::{AdminDown, Down, Init, Up};
    let diagnostics = (0u8..9).prop_map(|number| {
        let mut bytes = SEEN[0].1.build();
        bytes[0] |= number;
        Packet::parse(&bytes).unwrap().diagnostic
    });
    let flags = (any::<[bool; 3]>(), prop::sample::select(vec![(false, false), (true, false), (false, true)]));
    let numbers = (1u8.., 1u32.., any::<u32>(), any::<[u32; 3]>());
    let states = prop::sample::select(vec![AdminDown, Down, Init, Up]);
    (diagnostics, states, flags, numbers).prop_map(|(diagnostic, state, flags, numbers)| {
        let ([independent, demand, _], (poll, is_final)) = flags;
        let (multiplier, my, your, [min_tx, min_rx, min_echo_rx]) = numbers;
        let needs_ours = matches!(state, Init | Up);
        Packet {
            diagnostic,
            state,
            poll,
            is_final,
            independent,
            demand,
            multiplier: NonZeroU8::new(multiplier).unwrap(),
            my_discriminator: NonZeroU32::new(my).unwrap(),
            your_discriminator: NonZeroU32::new(if needs_ours { your.max(1) } else { your }),
            min_tx,
            min_rx,
            min_echo_rx,
        }
    })
}

proptest! {
    #[test]
    fn what_is_built_is_parsed_to_the_same(packet in packets()) {
        prop_assert_eq!(Packet::parse(&packet.build()), Ok(packet));
    }

    #[test]
    fn any_bytes_are_a_packet_that_builds_to_them_or_are_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..40),
        likely in any::<bool>(),
    ) {
        if likely && bytes.len() >= LENGTH {
            bytes.truncate(LENGTH);
            bytes[0] = 0x20 | bytes[0] & 7;
            bytes[3] = LENGTH as u8;
            bytes[1] &= !0x15;
        }
        if let Ok(packet) = Packet::parse(&bytes) {
            let built = packet.build();
            prop_assert_eq!(&built[..], &bytes[..]);
        } else {
            prop_assert!(!likely || bytes.len() < LENGTH || bytes[2] == 0 || bytes[4..8] == [0; 4] || bytes[8..12] == [0; 4]);
        }
    }
}
