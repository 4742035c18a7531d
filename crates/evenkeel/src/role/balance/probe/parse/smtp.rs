//! Replies of mail servers.

/// Bytes of the longest reply, all its lines together.
pub const MAX_REPLY: usize = 8_192;

/// A reply at the beginning of what has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Its last line is not here yet.
    Incomplete,
    /// This status, and so many bytes.
    Complete(u16, usize),
    /// It is none.
    Garbage,
}

/// A reply of one or more lines (RFC 5321, section 4.2.1): `250-hello`, `250 done`.
pub fn reply(bytes: &[u8]) -> Reply {
    let mut begin = 0;
    let mut first = None;
    while let Some(length) = bytes[begin..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[begin..begin + length];
        begin += length + 1;
        let Some((code, more)) = code(line) else { return Reply::Garbage };
        // All lines of a reply carry the same status.
        if *first.get_or_insert(code) != code {
            return Reply::Garbage;
        }
        if !more {
            return Reply::Complete(code, begin);
        }
    }
    if bytes.len() > MAX_REPLY { Reply::Garbage } else { Reply::Incomplete }
}

/// The status of a line and whether further lines follow.
fn code(line: &[u8]) -> Option<(u16, bool)> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match rest.first() {
        Some(b'-') => Some((code, true)),
        None | Some(b' ' | b'\r') => Some((code, false)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_one_and_more_lines_are_understood() {
        for (bytes, expected) in [
            (&b"220 hello\r\n"[..], Reply::Complete(220, 11)),
            (b"220\r\n", Reply::Complete(220, 5)),
            (b"220\n", Reply::Complete(220, 4)),
            (b"220-a\r\n220 b\r\nrest", Reply::Complete(220, 14)),
            (b"220-a\r\n", Reply::Incomplete),
            (b"220 a", Reply::Incomplete),
            (b"", Reply::Incomplete),
            (b"220-a\r\n221 b\r\n", Reply::Garbage),
            (b"22 a\r\n", Reply::Garbage),
            (b"2200\r\n", Reply::Garbage),
            (b"+OK POP3\r\n", Reply::Garbage),
            (b"\r\n", Reply::Garbage),
            (&[b'2'; MAX_REPLY + 1], Reply::Garbage),
        ] {
            assert_eq!(reply(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
