//! Fields one behind the other: `tag (2 bytes), length (2 or 4 bytes), bytes`. Numbers are in network order.
//!
//! What has an unknown tag is skipped, and a number may be followed by more than this version knows: a later version can
//! add to both.

use thiserror::Error;

/// A length says more than there is, or a value is none of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a field is not what it should be")]
pub struct Malformed;

/// How long the length of a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lengths {
    /// Two bytes.
    Short,
    /// Four bytes.
    Long,
}

/// Bytes yet to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next so many.
    pub(crate) fn take(&mut self, n_bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(n_bytes).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// All that is left, as text.
    pub(crate) fn text(self) -> Result<String, Malformed> {
        std::str::from_utf8(self.0).map(str::to_owned).map_err(|_| Malformed)
    }

    /// The next field; `None` at the end.
    pub(crate) fn field(&mut self, lengths: Lengths) -> Result<Option<(u16, Reader<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.u16()?;
        let length = match lengths {
            Lengths::Short => usize::from(self.u16()?),
            Lengths::Long => self.u32()? as usize,
        };
        Ok(Some((tag, Reader(self.take(length)?))))
    }
}

/// Appends a field whose bytes `write` appends.
pub(crate) fn push(out: &mut Vec<u8>, lengths: Lengths, tag: u16, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend(tag.to_be_bytes());
    let at = out.len();
    match lengths {
        Lengths::Short => out.extend([0; 2]),
        Lengths::Long => out.extend([0; 4]),
    }
    let start = out.len();
    write(out);
    let length = (out.len() - start) as u32;
    match lengths {
        Lengths::Short => out[at..start].copy_from_slice(&(length as u16).to_be_bytes()),
        Lengths::Long => out[at..start].copy_from_slice(&length.to_be_bytes()),
    }
}
