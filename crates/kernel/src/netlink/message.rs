//! Netlink's framing: messages of a header, a fixed part and attributes, all aligned to four bytes.
//!
//! ```text
//!  | length u32 | type u16 | flags u16 | sequence u32 | port u32 | fixed part | attributes ... |
//!  attribute: | length u16 | type u16 | payload | padding |
//! ```
//!
//! Reading ignores whatever it does not know and stops at the first frame that does not fit: a newer kernel must not
//! blind us.

/// Bytes of a message's header.
const HEADER: usize = 16;
/// Bytes of an attribute's header.
const ATTRIBUTE_HEADER: usize = 4;
/// In an attribute's type: the payload is attributes.
const NESTED: u16 = 1 << 15;
/// In an attribute's type: the bits that are flags.
const TYPE_FLAGS: u16 = 3 << 14;

/// A message under construction.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of type `kind` whose fixed part is `fixed`.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut message = Message { bytes };
        message.align();
        message
    }

    /// With these flags besides those that it has.
    pub(crate) fn flagged(mut self, flags: u16) -> Self {
        let flags = flags | u16::from_ne_bytes([self.bytes[6], self.bytes[7]]);
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    /// Appends an attribute.
    pub(crate) fn attribute(mut self, kind: u16, payload: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE_HEADER + payload.len()).expect("attributes built here are a few bytes");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.align();
        self
    }

    /// Appends an attribute that is a text, ended by a zero byte.
    pub(crate) fn text(self, kind: u16, text: &str) -> Self {
        self.attribute(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// Appends an attribute that holds whatever `fill` appends.
    pub(crate) fn nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        let mut filled = fill(self);
        let length = u16::try_from(filled.bytes.len() - start).expect("attributes built here are a few bytes");
        filled.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled
    }

    /// Appends bytes that are no attribute: the fixed part of a message inside an attribute.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.align();
        self
    }

    /// Appends what `fill` appends, whose first two bytes are then its length: a next hop of a route.
    pub(crate) fn block(self, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        let mut filled = fill(self);
        let length = u16::try_from(filled.bytes.len() - start).expect("attributes built here are a few bytes");
        filled.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled
    }

    /// Bytes on the way, header included.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the message to the end of `buffer`, with `sequence` as its number.
    pub(crate) fn write(&self, sequence: u32, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        let length = u32::try_from(self.bytes.len()).expect("messages built here are a few bytes");
        buffer.extend_from_slice(&self.bytes);
        buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        buffer[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A message that was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// Fixed part and attributes.
    pub(crate) payload: &'a [u8],
}

/// The messages in a datagram.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.get(..HEADER)?;
        let length = u32_at(header, 0)? as usize;
        let payload = datagram.get(HEADER..length)?;
        let received =
            Received { kind: u16_at(header, 4)?, flags: u16_at(header, 6)?, sequence: u32_at(header, 8)?, payload };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(received)
    })
}

/// Types and payloads of the attributes that follow a fixed part of `fixed` bytes.
pub(crate) fn attributes(payload: &[u8], fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = payload.get(fixed..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & !TYPE_FLAGS;
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The u16 in the machine's order at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The u32 in the machine's order at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The text in an attribute, without its zero byte.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_built_is_read() {
        let message = Message::new(16, 5, &[1, 2, 3]).text(3, "eth0").nest(18, |m| m.attribute(1, &[9]));
        let mut bytes = Vec::new();
        message.write(7, &mut bytes);
        message.write(8, &mut bytes);
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.iter().map(|m| m.sequence).collect::<Vec<_>>(), [7, 8]);
        assert_eq!((all[0].kind, all[0].flags), (16, 5));
        let found: Vec<_> = attributes(all[0].payload, 4).collect();
        assert_eq!(text(found[0].1), "eth0");
        assert_eq!(found[1].0, 18);
        assert_eq!(attributes(found[1].1, 0).collect::<Vec<_>>(), [(1, &[9][..])]);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                let _ = attributes(message.payload, 8).count();
            }
            for (_, value) in attributes(&bytes, 0) {
                let _ = text(value);
            }
        }
    }
}
