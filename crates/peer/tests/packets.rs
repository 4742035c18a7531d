//! The datagram: what is written is read again, and what is wrong in it is told apart.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use evenkeel_peer::config::Secret;
use evenkeel_peer::packet::{Digest, Hello, Life, MAX_LENGTH, MAX_PART, Part, Reject};
use hmac::{KeyInit, Mac};

fn key(byte: u8) -> Secret {
    Secret::new(vec![byte; 32]).unwrap()
}

fn whole() -> Hello {
    Hello {
        life: Life([1; 16]),
        challenge: 2,
        sequence: 3,
        answer: (Life([4; 16]), 5),
        interval: 1000,
        digest: Some((Digest::of(b"mine"), 4)),
        have: Some(Digest::of(b"yours")),
        want: Some((Digest::of(b"new"), 17)),
        part: Some(Part { digest: Digest::of(b"mine"), offset: 1, bytes: b"ine".to_vec() }),
    }
}

/// Signs a datagram again after it was changed.
fn sign(bytes: &mut [u8]) {
    let at = bytes.len() - 32;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]).unwrap();
    mac.update(&bytes[..at]);
    let mac: [u8; 32] = mac.finalize().into_bytes().into();
    bytes[at..].copy_from_slice(&mac);
}

#[test]
fn what_is_written_is_read_again() {
    let bare = Hello { life: Life([9; 16]), ..Hello::default() };
    for hello in [whole(), bare] {
        assert_eq!(Hello::parse(&hello.build(&key(7)), &key(7)), Ok(hello));
    }
}

#[test]
fn the_first_bytes_are_as_documented() {
    let bytes = whole().build(&key(7));
    assert_eq!(bytes[..8], [b'E', b'K', b'P', b'N', 1, 0, 0, bytes.len() as u8]);
    assert_eq!(bytes[8..24], [1; 16]);
    assert_eq!(bytes[24..40], [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
    assert_eq!(bytes[64..72], [0, 1, 0, 4, 0, 0, 3, 232], "the interval is the first field");
}

#[test]
fn the_longest_part_fits_into_a_datagram_that_nobody_cuts() {
    let part = Part { digest: Digest::of(b""), offset: 0, bytes: vec![0; MAX_PART] };
    assert_eq!(Hello { part: Some(part), ..whole() }.build(&key(7)).len(), MAX_LENGTH);
}

#[test]
fn every_mistake_has_its_name() {
    type Spoil = fn(&mut Vec<u8>);
    let rows: [(Spoil, Reject); 9] = [
        (|bytes| bytes.truncate(95), Reject::Length),
        (|bytes| bytes.resize(MAX_LENGTH + 1, 0), Reject::Length),
        (|bytes| bytes.push(0), Reject::Length),
        (|bytes| bytes[0] = b'X', Reject::Version),
        (|bytes| bytes[4] = 2, Reject::Version),
        (|bytes| bytes[30] ^= 1, Reject::Mac),
        (|bytes| *bytes.last_mut().unwrap() ^= 1, Reject::Mac),
        // The length of the first field, too long and too short.
        (|bytes| bytes[66] = 0xff, Reject::Fields),
        (|bytes| bytes[67] = 3, Reject::Fields),
    ];
    for (row, (spoil, reject)) in rows.into_iter().enumerate() {
        let mut bytes = whole().build(&key(7));
        spoil(&mut bytes);
        if reject == Reject::Fields {
            sign(&mut bytes);
        }
        assert_eq!(Hello::parse(&bytes, &key(7)), Err(reject), "row {row}");
    }
    assert_eq!(Hello::parse(&whole().build(&key(7)), &key(8)), Err(Reject::Mac));
}

#[test]
fn fields_of_a_later_version_are_skipped() {
    let hello = Hello { interval: 500, ..Hello::default() };
    let mut bytes = hello.build(&key(7));
    let at = bytes.len() - 32;
    bytes.splice(at..at, [0xab, 0xcd, 0, 3, 1, 2, 3]);
    let length = bytes.len() as u16;
    bytes[6..8].copy_from_slice(&length.to_be_bytes());
    sign(&mut bytes);
    assert_eq!(Hello::parse(&bytes, &key(7)), Ok(hello));
}

#[test]
fn a_key_is_neither_too_short_nor_too_long_and_not_shown() {
    for (length, good) in [(0, false), (15, false), (16, true), (64, true), (65, false)] {
        assert_eq!(Secret::new(vec![1; length]).is_some(), good, "{length}");
    }
    assert_eq!(format!("{:?}", key(0x42)), "********");
}
