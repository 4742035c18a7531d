//! The datagram.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------------------------------------------------------+
//! |                        "EKPN"                                 |
//! +---------------+---------------+-------------------------------+
//! |  version (1)  |       0       |   length of the datagram      |
//! +---------------+---------------+-------------------------------+
//! |  life of the sender's process (16 bytes, drawn at its start)  |
//! +---------------------------------------------------------------+
//! |  its challenge to the receiver (8 bytes)                      |
//! +---------------------------------------------------------------+
//! |  sequence (8 bytes): grows with each datagram of that life    |
//! +---------------------------------------------------------------+
//! |  the receiver's life (16 bytes) and challenge (8 bytes) that  |
//! |  the sender heard last; zeros when it heard none              |
//! +---------------------------------------------------------------+
//! |  fields: tag (2 bytes), length (2 bytes), bytes               |
//! +---------------------------------------------------------------+
//! |  HMAC-SHA256 over all before it (32 bytes)                    |
//! +---------------------------------------------------------------+
//! ```
//!
//! | tag | field | bytes |
//! |---|---|---|
//! | 1 | interval | milliseconds from one hello to the next (4) |
//! | 2 | digest | of the sender's facts (16), and their length (4) |
//! | 3 | have | digest of the receiver's facts that the sender has (16) |
//! | 4 | want | digest of the receiver's facts (16), and from which byte on they are wanted (4) |
//! | 5 | part | digest of the sender's facts (16), from which byte on (4), and bytes |

use crate::config::Secret;
use crate::tlv::{Lengths, Malformed, Reader, push};
use hmac::{KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use thiserror::Error;

/// The longest datagram: it is not cut into fragments on its way, in IPv6 neither.
pub const MAX_LENGTH: usize = 1232;
/// The version that is sent, and the only one that is understood.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"EKPN";
const HEAD: usize = 64;
const MAC: usize = 32;
/// Bytes of facts that fit beside all other fields.
pub const MAX_PART: usize = MAX_LENGTH - HEAD - MAC - (4 + 4) - 2 * (4 + 20) - (4 + 16) - (4 + 20);

/// Tells one life of a process from another. Drawn at random, and never zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Life(pub [u8; 16]);

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Life({:032x})", u128::from_be_bytes(self.0))
    }
}

/// Names a node's facts: the first half of their SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let whole: [u8; 32] = Sha256::digest(bytes).into();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        Digest(half)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:032x})", u128::from_be_bytes(self.0))
    }
}

/// A datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The sender's life.
    pub life: Life,
    /// What the receiver has to answer when it is new to the sender.
    pub challenge: u64,
    /// Grows with each datagram of that life.
    pub sequence: u64,
    /// What the sender heard last of the receiver.
    pub answer: (Life, u64),
    /// Milliseconds until the sender's next hello.
    pub interval: u32,
    /// The sender's facts, and how long they are.
    pub digest: Option<(Digest, u32)>,
    /// Facts of the receiver that the sender has.
    pub have: Option<Digest>,
    /// Facts of the receiver that the sender wants, and from which byte on.
    pub want: Option<(Digest, u32)>,
    /// Some of the sender's facts.
    pub part: Option<Part>,
}

/// A piece of facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of which facts.
    pub digest: Digest,
    /// Where it begins.
    pub offset: u32,
    /// What is there.
    pub bytes: Vec<u8>,
}

/// Why a datagram is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reject {
    /// It is too short, too long, or not as long as it says.
    #[error("its length is wrong")]
    Length,
    /// It is something else, or of another version of the protocol.
    #[error("it is of another version")]
    Version,
    /// Whoever sent it does not have the key, or somebody changed it on its way.
    #[error("its signature is wrong")]
    Mac,
    /// It is signed, and its fields are not what they should be.
    #[error("its fields are not understood")]
    Fields,
}

impl From<Malformed> for Reject {
    fn from(_: Malformed) -> Self {
        Reject::Fields
    }
}

impl Hello {
    /// The datagram, signed.
    pub fn build(&self, key: &Secret) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_LENGTH);
        out.extend(MAGIC);
        out.extend([VERSION, 0, 0, 0]);
        out.extend(self.life.0);
        out.extend(self.challenge.to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.answer.0.0);
        out.extend(self.answer.1.to_be_bytes());
        self.build_fields(&mut out);
        let length = (out.len() + MAC) as u16;
        out[6..8].copy_from_slice(&length.to_be_bytes());
        let mac: [u8; MAC] = sign(key, &out).finalize().into_bytes().into();
        out.extend(mac);
        debug_assert!(out.len() <= MAX_LENGTH, "a part is no longer than MAX_PART");
        out
    }

    fn build_fields(&self, out: &mut Vec<u8>) {
        let named = |out: &mut Vec<u8>, digest: &Digest, number: u32| {
            out.extend(digest.0);
            out.extend(number.to_be_bytes());
        };
        push(out, Lengths::Short, 1, |out| out.extend(self.interval.to_be_bytes()));
        if let Some((digest, length)) = &self.digest {
            push(out, Lengths::Short, 2, |out| named(out, digest, *length));
        }
        if let Some(have) = &self.have {
            push(out, Lengths::Short, 3, |out| out.extend(have.0));
        }
        if let Some((digest, offset)) = &self.want {
            push(out, Lengths::Short, 4, |out| named(out, digest, *offset));
        }
        if let Some(part) = &self.part {
            push(out, Lengths::Short, 5, |out| {
                named(out, &part.digest, part.offset);
                out.extend(&part.bytes);
            });
        }
    }

    /// Reads a datagram that is signed with `key`.
    ///
    /// # Errors
    /// Length, version, signature and fields are looked at in this order.
    pub fn parse(bytes: &[u8], key: &Secret) -> Result<Self, Reject> {
        if !(HEAD + MAC..=MAX_LENGTH).contains(&bytes.len()) {
            return Err(Reject::Length);
        }
        let (signed, mac) = bytes.split_at(bytes.len() - MAC);
        let mut reader = Reader(signed);
        if reader.array()? != MAGIC || reader.u8()? != VERSION {
            return Err(Reject::Version);
        }
        reader.u8()?;
        if usize::from(reader.u16()?) != bytes.len() {
            return Err(Reject::Length);
        }
        // In constant time.
        sign(key, signed).verify_slice(mac).map_err(|_| Reject::Mac)?;
        let mut hello = Hello {
            life: Life(reader.array()?),
            challenge: reader.u64()?,
            sequence: reader.u64()?,
            answer: (Life(reader.array()?), reader.u64()?),
            ..Hello::default()
        };
        while let Some((tag, field)) = reader.field(Lengths::Short)? {
            hello.parse_field(tag, field)?;
        }
        Ok(hello)
    }

    fn parse_field(&mut self, tag: u16, mut field: Reader) -> Result<(), Malformed> {
        match tag {
            1 => self.interval = field.u32()?,
            2 => self.digest = Some((Digest(field.array()?), field.u32()?)),
            3 => self.have = Some(Digest(field.array()?)),
            4 => self.want = Some((Digest(field.array()?), field.u32()?)),
            5 => {
                let (digest, offset) = (Digest(field.array()?), field.u32()?);
                self.part = Some(Part { digest, offset, bytes: field.0.to_vec() });
            }
            // Of a later version.
            _ => {}
        }
        Ok(())
    }
}

fn sign(key: &Secret, bytes: &[u8]) -> hmac::Hmac<Sha256> {
    let mut mac = hmac::Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
    mac.update(bytes);
    mac
}
