//! `auth_hmac`: 28 bytes behind an advert, as keepalived 2.4.2 and later write them (draft-cassen-vrrp-auth-hmac).
//!
//! ```text
//!  0          1        2          4             8                 10        12            28
//!  | type 1   | key id | reserved | UTC seconds | 65536ths        | counter | 16 bytes of the digest |
//! ```
//!
//! The digest covers a pseudo header, the advert with its checksum zero, and the trailer with its digest zero.
//! Destination and TTL are not covered, so all unicast copies of an advert carry the same trailer:
//!
//! ```text
//!  0            1         2      3   4                                             20
//!  | family 4/6 | version | vrid | 0 | source address, filled up with zeros        |
//! ```

use crate::config::{Hmac, Key, Mode, Replay, Version, Vrid};
use ::hmac::{KeyInit, Mac};
use sha2::Sha256;
use std::net::IpAddr;
use std::time::Duration;

/// Bytes of a trailer.
pub const LENGTH: usize = 28;

/// HMAC-SHA-256, cut to its first 128 bits.
const TYPE: u8 = 1;
const DIGEST_AT: usize = 12;
const CHECKSUM: std::ops::Range<usize> = 6..8;

/// Multicast senders whose last sequence number is remembered; the one that was silent longest makes room.
const MOST_SENDERS: usize = 4;

/// A wall clock, as sequence numbers count it: seconds since 1970 modulo 2^32, and 65536ths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utc {
    seconds: u32,
    fraction: u16,
}

impl Utc {
    /// From the time since 1970.
    pub fn from_epoch(elapsed: Duration) -> Self {
        let fraction = (u64::from(elapsed.subsec_nanos()) << 16) / 1_000_000_000;
        // Seconds pass 2^32 in 2106; from then on they count modulo it, and comparisons go on (RFC 1982).
        Utc { seconds: elapsed.as_secs() as u32, fraction: fraction as u16 }
    }
}

/// Orders the adverts of one sender: seconds, 65536ths, and a counter for adverts of the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence(pub u64);

impl Sequence {
    fn of(utc: Utc) -> Self {
        Sequence(u64::from(utc.seconds) << 32 | u64::from(utc.fraction) << 16)
    }

    fn seconds(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn next(self) -> Self {
        Sequence(self.0.wrapping_add(1))
    }

    /// Serial number arithmetic (RFC 1982 3.2): there is no order between numbers that are half the circle apart.
    fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) as i64 > 0
    }

    /// Seconds from `utc` to this; negative when this is older.
    fn ahead_of(self, utc: Utc) -> i32 {
        self.seconds().wrapping_sub(utc.seconds) as i32
    }

    fn is_within(self, utc: Utc, window: u16) -> bool {
        self.ahead_of(utc).unsigned_abs() <= u32::from(window)
    }
}

/// An advert, as the digest covers it.
#[derive(Clone, Copy, Debug)]
pub struct Covered<'a> {
    /// Who sends it.
    pub source: IpAddr,
    /// Protocol version.
    pub version: Version,
    /// Number of the virtual router.
    pub vrid: Vrid,
    /// The advert without its IP header and its trailer.
    pub message: &'a [u8],
}

/// Why an advert is refused. Each kind has its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No trailer, and the mode is enforce.
    #[error("it is not signed")]
    Missing,
    /// Another type of trailer, or reserved bits that are set.
    #[error("its auth_hmac trailer is of an unknown form")]
    Malformed,
    /// Outside the window.
    #[error("its time is too far from this node's clock")]
    Stale,
    /// No key of this number is configured.
    #[error("it is signed with a key that is not configured here")]
    UnknownKey,
    /// The digest is not that of the key.
    #[error("its signature is wrong")]
    InvalidHmac,
    /// Not newer than what the sender sent before.
    #[error("it is a replay")]
    Replay,
    /// Well signed, by somebody who is no peer.
    #[error("its sender is no configured peer")]
    UnknownPeer,
}

/// What one instance remembers of sequence numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    sent: Option<Sequence>,
    /// Of each sender the last that was accepted; who spoke last is at the end.
    heard: Vec<(IpAddr, Sequence)>,
}

impl Memory {
    /// The trailer for an advert, all of whose copies carry it; `None` where nothing is to be signed.
    pub fn sign(&mut self, hmac: &Hmac, now: Utc, covered: &Covered) -> Option<[u8; LENGTH]> {
        let key = hmac.key(hmac.active.get()).filter(|_| hmac.mode != Mode::ReceiveOnly)?;
        let sequence = self.next(hmac, now);
        Some(build(key, sequence, covered))
    }

    /// The clock, when it is newer than what was sent last, or else that and one more. A clock that was set back by more
    /// than the window is followed all the same in time mode: nobody would take the old time any more.
    fn next(&mut self, hmac: &Hmac, now: Utc) -> Sequence {
        let clock = Sequence::of(now);
        let is_lost = |last: Sequence| hmac.replay == Replay::Time && last.ahead_of(now) > i32::from(hmac.window.get());
        let next = match self.sent {
            Some(last) if !clock.is_after(last) && !is_lost(last) => last.next(),
            Some(_) | None => clock,
        };
        self.sent = Some(next);
        next
    }

    /// Whether an advert may be believed, with keepalived's checks in keepalived's order: nothing is computed for an
    /// advert that is too old, and nothing is remembered of one that is not well signed. With unicast, `peers` are all
    /// who may send. How far the sender's clock is from ours.
    pub fn verify(
        &mut self,
        hmac: &Hmac,
        now: Utc,
        covered: &Covered,
        trailer: &[u8; LENGTH],
        peers: &[IpAddr],
    ) -> Result<Duration, Refusal> {
        let [kind, id, reserved_high, reserved_low, ..] = *trailer;
        if kind != TYPE || (reserved_high, reserved_low) != (0, 0) {
            return Err(Refusal::Malformed);
        }
        let sequence = sequence(trailer);
        let timed = hmac.replay == Replay::Time;
        if timed && !sequence.is_within(now, hmac.window.get()) {
            return Err(Refusal::Stale);
        }
        let key = hmac.key(id).ok_or(Refusal::UnknownKey)?;
        // Constant time: how long it takes tells nothing of the right digest.
        let signature = digest(key, covered, trailer).verify_truncated_left(&trailer[DIGEST_AT..]);
        signature.map_err(|_| Refusal::InvalidHmac)?;
        if !peers.is_empty() && !peers.contains(&covered.source) {
            return Err(Refusal::UnknownPeer);
        }
        let known = self.heard.iter().position(|(sender, _)| *sender == covered.source);
        if let Some(at) = known {
            let (_, last) = self.heard[at];
            // What is outside the window cannot be played again, so it need not be remembered either.
            let counts = !timed || last.is_within(now, hmac.window.get());
            if counts && !sequence.is_after(last) {
                return Err(Refusal::Replay);
            }
            self.heard.remove(at);
        } else if peers.is_empty() && self.heard.len() >= MOST_SENDERS {
            self.heard.remove(0);
        }
        self.heard.push((covered.source, sequence));
        Ok(Duration::from_secs(sequence.ahead_of(now).unsigned_abs().into()))
    }

    /// Forgets who cannot be heard any more under a new configuration.
    pub fn keep(&mut self, peers: &[IpAddr]) {
        if peers.is_empty() {
            let surplus = self.heard.len().saturating_sub(MOST_SENDERS);
            self.heard.drain(..surplus);
        } else {
            self.heard.retain(|(sender, _)| peers.contains(sender));
        }
    }
}

/// A trailer with this sequence number.
pub fn build(key: &Key, sequence: Sequence, covered: &Covered) -> [u8; LENGTH] {
    let mut trailer = [0; LENGTH];
    (trailer[0], trailer[1]) = (TYPE, key.id.get());
    trailer[4..DIGEST_AT].copy_from_slice(&sequence.0.to_be_bytes());
    let digest = digest(key, covered, &trailer).finalize().into_bytes();
    trailer[DIGEST_AT..].copy_from_slice(&digest[..LENGTH - DIGEST_AT]);
    trailer
}

/// The sequence number of a trailer.
pub fn sequence(trailer: &[u8; LENGTH]) -> Sequence {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&trailer[4..DIGEST_AT]);
    Sequence(u64::from_be_bytes(bytes))
}

fn digest(key: &Key, covered: &Covered, trailer: &[u8; LENGTH]) -> ::hmac::Hmac<Sha256> {
    let mut mac = ::hmac::Hmac::<Sha256>::new_from_slice(key.secret.bytes()).expect("HMAC takes keys of any length");
    mac.update(&pseudo_header(covered));
    let (before, after) = match (covered.message.get(..CHECKSUM.start), covered.message.get(CHECKSUM.end..)) {
        (Some(before), Some(after)) => (before, after),
        _ => (covered.message, &[][..]),
    };
    mac.update(before);
    mac.update(&[0; 2]);
    mac.update(after);
    mac.update(&trailer[..DIGEST_AT]);
    mac.update(&[0; LENGTH - DIGEST_AT]);
    mac
}

fn pseudo_header(covered: &Covered) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[1] = match covered.version {
        Version::V2 => 2,
        Version::V3 => 3,
    };
    bytes[2] = covered.vrid.get();
    match covered.source {
        IpAddr::V4(source) => {
            bytes[0] = 4;
            bytes[4..8].copy_from_slice(&source.octets());
        }
        IpAddr::V6(source) => {
            bytes[0] = 6;
            bytes[4..].copy_from_slice(&source.octets());
        }
    }
    bytes
}
