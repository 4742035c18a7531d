//! How adverts are authenticated, and the secrets for it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::{NonZeroU8, NonZeroU16};

/// How adverts are authenticated. One way at a time: keepalived drops the older one where both are configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// Not at all.
    #[default]
    None,
    /// Version 2: a password in the advert (RFC 2338 5.3.6), for everybody on the link to read.
    Password(Password),
    /// Version 2: an IP Authentication Header (RFC 2402) with HMAC-MD5-96, whose key is this.
    Header(Password),
    /// A trailer with HMAC-SHA-256 behind the advert (draft-cassen-vrrp-auth-hmac): keepalived's `auth_hmac`.
    Hmac(Hmac),
}

/// Version 2 password: up to eight bytes, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password(pub [u8; 8]);

impl Password {
    /// The first eight bytes of `text`.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; 8];
        for (slot, byte) in bytes.iter_mut().zip(text.bytes()) {
            *slot = byte;
        }
        Password(bytes)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// The `auth_hmac` block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hmac {
    /// Each of them may verify what is heard, so that a new key can be given to every node before one signs with it.
    pub keys: Vec<Key>,
    /// The key that signs. Without such a key nothing is signed.
    pub active: KeyId,
    /// How far a sender's clock may be from ours, in seconds.
    pub window: NonZeroU16,
    /// What a sequence number is held against.
    pub replay: Replay,
    /// How much of it is in force.
    pub mode: Mode,
}

impl Hmac {
    /// Seconds that a window has at most.
    pub const LONGEST_WINDOW: u16 = 300;

    /// keepalived's window where none is configured: three intervals, within 5 and 300 seconds.
    pub fn default_window(interval: super::Centis) -> NonZeroU16 {
        let three = (u32::from(interval.0) * 3).div_ceil(100).clamp(5, u32::from(Self::LONGEST_WINDOW));
        u16::try_from(three).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
    }

    /// The key of this number.
    pub fn key(&self, id: u8) -> Option<&Key> {
        self.keys.iter().find(|key| key.id.get() == id)
    }
}

/// A key and its number, which stands in the trailer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its number.
    pub id: KeyId,
    /// What only the nodes of the virtual router know.
    pub secret: Secret,
}

/// Number of a key, 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(pub NonZeroU8);

impl KeyId {
    /// `None` for 0.
    pub fn new(number: u8) -> Option<Self> {
        NonZeroU8::new(number).map(KeyId)
    }

    /// The number in the trailer.
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// 32 to 64 bytes that are never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Bytes that a key has at least: those of the digest.
    pub const SHORTEST: usize = 32;
    /// Bytes that a key has at most: those of a block of SHA-256, beyond which HMAC would hash it first.
    pub const LONGEST: usize = 64;

    /// `None` when there are too few bytes, or too many.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (Self::SHORTEST..=Self::LONGEST).contains(&bytes.len()).then_some(Secret(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Secret {
    type Error = &'static str;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        Secret::new(bytes).ok_or("a key has 32 to 64 bytes")
    }
}

impl From<Secret> for Vec<u8> {
    fn from(secret: Secret) -> Self {
        secret.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// What keeps an old advert from being taken again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replay {
    /// It must be newer than the last one of its sender, and no farther from our clock than the window.
    Time,
    /// It must be newer than the last one of its sender: for machines without a common clock.
    Monotonic,
}

/// The steps by which a virtual router comes to be protected without an outage. A trailer that is there and wrong is
/// refused in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// First: take adverts with and without a trailer, send none. A node that knows nothing of it refuses signed adverts
    /// for their length, so nobody may sign before all are here.
    ReceiveOnly,
    /// Then: sign, and still take what is not signed.
    Permissive,
    /// At last: what is not signed is refused.
    Enforce,
}
