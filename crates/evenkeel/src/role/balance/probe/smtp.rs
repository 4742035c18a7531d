//! SMTP_CHECK: greeting 220, HELO answered by 250, QUIT.

use super::{Limit, Pass, Verdict, excerpt, socket};
use evenkeel_balance::config::Target;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of the longest reply, all its lines together.
const MAX_REPLY: usize = 8_192;

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

pub(super) async fn probe(target: &Target, helo: &str, limit: Limit) -> Verdict {
    let opened = socket::tcp(target).map_err(|error| format!("Could not connect: {error}"))?;
    let mut stream = match limit.of(opened.connect(socket::address(target))).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Err(format!("Could not connect: {}", socket::text(&error))),
        None => return Err(format!("Connection timeout after {limit}")),
    };
    let mut received = Vec::new();
    expect(&mut stream, &mut received, 220, "Bad greeting banner", limit).await?;
    say(&mut stream, &format!("HELO {helo}\r\n"), limit).await?;
    expect(&mut stream, &mut received, 250, "Bad HELO response", limit).await?;
    say(&mut stream, "QUIT\r\n", limit).await?;
    // Its goodbye is waited for so that it is not reset, and does not decide.
    let _ = expect(&mut stream, &mut received, 221, "Bad QUIT response", limit).await;
    Ok(Pass::new("SMTP dialogue complete"))
}

async fn say(stream: &mut TcpStream, line: &str, limit: Limit) -> Result<(), String> {
    match limit.of(stream.write_all(line.as_bytes())).await {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(format!("Write failure: {}", socket::text(&error))),
        None => Err(format!("Write timeout after {limit}")),
    }
}

/// Reads the next reply and compares its status. What has arrived beyond it stays in `received`.
async fn expect(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
    wanted: u16,
    complaint: &str,
    limit: Limit,
) -> Result<(), String> {
    loop {
        match reply(received) {
            Reply::Complete(code, length) if code == wanted => {
                received.drain(..length);
                return Ok(());
            }
            Reply::Complete(..) | Reply::Garbage => return Err(format!("{complaint}: \"{}\"", excerpt(received))),
            Reply::Incomplete => {}
        }
        match limit.of(read_some(stream, received)).await {
            Some(Ok(0)) => return Err(format!("{complaint}: connection closed after \"{}\"", excerpt(received))),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(format!("Read failure: {}", socket::text(&error))),
            None => return Err(format!("Read timeout after {limit}, \"{}\" received", excerpt(received))),
        }
    }
}

/// At most twice [`MAX_REPLY`] is ever held: more is asked for only while a reply is incomplete.
async fn read_some(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<usize> {
    let mut limited = stream.take(MAX_REPLY as u64);
    received.reserve(512);
    limited.read_buf(received).await
}

#[cfg(test)]
mod reply_tests {
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
