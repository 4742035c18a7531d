//! HTTP/1 as bytes: heads, body framing and chunks, parsed and checked without I/O.
//!
//! Requests are read strictly, because a proxy that guesses where a message ends lets one client speak in
//! another's name. Responses are read as nginx reads them: the upstream is ours.

mod chunked;
mod field;
mod request;
mod response;

pub use chunked::{ChunkError, Chunked, Decoded, Strictness};
pub use field::{Field, Known};
pub use request::{Reject, RequestHead, parse_request};
pub use response::{BadResponse, ResponseHead, parse_response};

/// A piece of a head, as offsets into the bytes it was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One after the last byte.
    pub end: u32,
}

impl Span {
    /// Where `part`, a slice of `whole`, lies in it.
    pub(crate) fn of(whole: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize) as u32;
        Span { start, end: start + part.len() as u32 }
    }

    /// The bytes themselves.
    pub fn of_bytes(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// How the end of a body is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the sender closes; only in responses.
    Close,
}

/// `1*DIGIT`, and nothing else: no sign, no list, no white space inside.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, &byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// What a `Connection` field says about keeping the connection; `otherwise` when it says nothing.
pub(crate) fn keeps_connection(value: &[u8], otherwise: bool) -> bool {
    match value {
        // What nearly everybody says, known without taking a list apart.
        b"keep-alive" => true,
        list if list_has(list, b"close") => false,
        list => otherwise || list_has(list, b"keep-alive"),
    }
}

/// Whether a comma separated list holds `token`, compared without case.
pub(crate) fn list_has(list: &[u8], token: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_digits_only() {
        assert_eq!(parse_length(b"0"), Some(0));
        assert_eq!(parse_length(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"+1", b"-1", b"1 ", b"0x10", b"1,1", b"18446744073709551616"] {
            assert_eq!(parse_length(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn close_wins_over_keep_alive_and_silence_changes_nothing() {
        for (value, otherwise, keeps) in [
            ("keep-alive", false, true),
            ("Keep-Alive", false, true),
            ("keep-alive, close", true, false),
            ("CLOSE", true, false),
            ("upgrade", true, true),
            ("upgrade", false, false),
        ] {
            assert_eq!(keeps_connection(value.as_bytes(), otherwise), keeps, "{value}");
        }
    }

    #[test]
    fn a_token_is_found_in_a_list_whatever_its_case() {
        assert!(list_has(b"keep-alive, Upgrade", b"upgrade"));
        assert!(!list_has(b"upgraded", b"upgrade"));
    }
}
