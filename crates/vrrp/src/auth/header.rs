//! The IP Authentication Header (RFC 2402) as keepalived sends it: protocol 51, between the IPv4 header and the advert.
//!
//! ```text
//!  0                 1          2          4     8          12                24
//!  | next header 112 | length 4 | reserved | SPI | sequence | HMAC-MD5-96     | advert
//! ```
//!
//! The SPI is the source address. The digest covers the IPv4 header with type of service and checksum zero, this header
//! with its digest zero, and the advert. TTL, identification and fragment field are covered as they are sent (keepalived
//! 2.2.7, observed), though RFC 2402 3.3.3.1.1.1 counts TTL and fragment field among those that change on the way.

use crate::config::Password;
use ::hmac::{KeyInit, Mac};
use evenkeel_wire::{checksum, ipv4};
use md5::Md5;

/// The IP protocol number.
pub const PROTOCOL: u8 = 51;

/// Bytes of the header.
pub const LENGTH: usize = 24;

const NEXT_HEADER: u8 = crate::packet::PROTOCOL;
/// In words of four bytes, less two.
const PAYLOAD_LENGTH: u8 = 4;
/// What an advert says that is behind such a header.
const AUTHENTICATION_TYPE: u8 = 2;
const DIGEST: std::ops::Range<usize> = 12..24;

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a header of ours, or not whole.
    #[error("its authentication header is of an unknown form")]
    Malformed,
    /// The SPI names another sender.
    #[error("its authentication header names another sender")]
    Sender,
    /// Not above the last one.
    #[error("the sequence number in its authentication header was seen before")]
    Replay,
    /// The digest is not that of the password.
    #[error("the digest in its authentication header is wrong")]
    Digest,
}

/// The only sequence number of an instance: the last that was sent or heard. Whoever becomes master goes on from what the
/// last master said, so that the backups, which have heard it too, take its first advert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter(pub u32);

impl Counter {
    /// Whether there is no number left.
    pub fn is_spent(self) -> bool {
        self.0 == u32::MAX
    }

    /// The number for one advert; `None` at the end of the numbers, where nothing is sent any more.
    pub fn advance(&mut self) -> Option<u32> {
        self.0 = self.0.checked_add(1)?;
        Some(self.0)
    }
}

/// Puts the header into a packet of protocol 112 with an advert of version 2, from its IPv4 header on, and makes the advert
/// say so. The packet must not be touched afterwards.
pub fn protect(packet: &[u8], password: Password, sequence: u32) -> Vec<u8> {
    let (ip, message) = packet.split_at(ipv4::MIN_HEADER.min(packet.len()));
    let mut protected = Vec::with_capacity(packet.len() + LENGTH);
    protected.extend_from_slice(ip);
    let Some(source) = ip.get(12..16) else { return protected };
    protected.extend_from_slice(&[NEXT_HEADER, PAYLOAD_LENGTH, 0, 0]);
    protected.extend_from_slice(source);
    protected.extend_from_slice(&sequence.to_be_bytes());
    protected.extend_from_slice(&[0; 12]);
    protected.extend_from_slice(message);
    if let Some(message) = protected.get_mut(ipv4::MIN_HEADER + LENGTH..).filter(|message| message.len() >= 8) {
        message[4] = AUTHENTICATION_TYPE;
        message[6..8].fill(0);
        let sum = checksum::internet(&[message]);
        message[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    protected[9] = PROTOCOL;
    super::state_length(&mut protected);
    sign(&mut protected, ipv4::MIN_HEADER, password);
    protected
}

/// Checks the header of a packet of protocol 51, whose IPv4 header has `header_length` bytes. keepalived looks at the
/// number before the digest, and takes it over only after both.
pub fn verify(packet: &[u8], header_length: usize, password: Password, counter: &mut Counter) -> Result<(), Refusal> {
    let header = packet.get(header_length..header_length + LENGTH).ok_or(Refusal::Malformed)?;
    if header[0] != NEXT_HEADER || header[1] != PAYLOAD_LENGTH {
        return Err(Refusal::Malformed);
    }
    if Some(&header[4..8]) != packet.get(12..16) {
        return Err(Refusal::Sender);
    }
    let sequence = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    if sequence <= counter.0 {
        return Err(Refusal::Replay);
    }
    let digest = digest(packet, header_length, password);
    digest.verify_truncated_left(&header[DIGEST]).map_err(|_| Refusal::Digest)?;
    counter.0 = sequence;
    Ok(())
}

/// Writes the digest into a packet that has the header, behind an IPv4 header of so many bytes.
pub(super) fn sign(packet: &mut [u8], header_length: usize, password: Password) {
    let digest = digest(packet, header_length, password).finalize().into_bytes();
    if let Some(place) = packet.get_mut(header_length + DIGEST.start..header_length + DIGEST.end) {
        place.copy_from_slice(&digest[..DIGEST.len()]);
    }
}

fn digest(packet: &[u8], header_length: usize, password: Password) -> ::hmac::Hmac<Md5> {
    let mut mac = ::hmac::Hmac::<Md5>::new_from_slice(&password.0).expect("HMAC takes keys of any length");
    let (ip, rest) = packet.split_at(header_length.min(packet.len()));
    for (at, byte) in ip.iter().enumerate() {
        mac.update(&[if matches!(at, 1 | 10 | 11) { 0 } else { *byte }]);
    }
    for (at, byte) in rest.iter().enumerate() {
        mac.update(&[if DIGEST.contains(&at) { 0 } else { *byte }]);
    }
    mac
}
