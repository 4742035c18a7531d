//! AGENT_CHECK: a line of text on a TCP port, in the format that agents for HAProxy speak.
//!
//! Words separated by spaces, tabs or commas, up to the end of the first line; what follows `#` is a description.

use super::{Limit, Pass, Verdict, excerpt, socket, with_scratch};
use evenkeel_balance::Says;
use evenkeel_balance::config::Target;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Bytes of the longest line.
const MAX_LINE: usize = 1_024;

/// What an agent's line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The server works, and perhaps wants something.
    Up(Option<Says>),
    /// It does not: the word, and the description if there is one.
    Down(String),
    /// No word of it is known.
    Unknown,
}

/// The meaning of a line. Where several words ask for something, the one that takes more traffic away wins; a word that is
/// not known, `maxconn:30` for one, is passed over, as in HAProxy.
pub fn parse(line: &[u8]) -> Line {
    let (words, description) = match line.iter().position(|byte| *byte == b'#') {
        Some(at) => (&line[..at], line[at + 1..].trim_ascii()),
        None => (line, &[][..]),
    };
    let mut known = false;
    let mut says = None;
    let mut down = None;
    for word in words.split(|byte| byte.is_ascii_whitespace() || *byte == b',').filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        let asked = match lower.as_slice() {
            b"up" => None,
            b"down" | b"fail" | b"stopped" => {
                down = Some(String::from_utf8_lossy(&lower).into_owned());
                None
            }
            b"ready" => Some(Says::Ready),
            b"drain" => Some(Says::Drain),
            b"maint" => Some(Says::Maintenance),
            other => match percent(other) {
                Some(percent) => Some(Says::Percent(percent)),
                None => continue,
            },
        };
        known = true;
        if asked.is_some_and(|asked| says.is_none_or(|before| severity(asked) > severity(before))) {
            says = asked;
        }
    }
    match down {
        Some(word) if description.is_empty() => Line::Down(word),
        Some(word) => Line::Down(format!("{word}: {}", excerpt(description))),
        None if known => Line::Up(says),
        None => Line::Unknown,
    }
}

/// `75%`. More than all of the weight is possible: HAProxy allows an agent to raise it.
fn percent(word: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(word.strip_suffix(b"%")?).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn severity(says: Says) -> u8 {
    match says {
        Says::Ready => 0,
        Says::Percent(_) | Says::ExitStatus(_) => 1,
        Says::Drain => 2,
        Says::Maintenance => 3,
    }
}

pub(super) async fn probe(target: &Target, send: Option<&str>, limit: Limit) -> Verdict {
    let opened = socket::tcp(target).map_err(|error| format!("agent: {error}"))?;
    let mut stream = match limit.of(opened.connect(socket::address(target))).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Err(format!("agent: {}", socket::text(&error))),
        None => return Err(format!("agent: connection timeout after {limit}")),
    };
    if let Some(text) = send {
        match limit.of(stream.write_all(text.as_bytes())).await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(format!("agent: write: {}", socket::text(&error))),
            None => return Err(format!("agent: write timeout after {limit}")),
        }
    }
    let mut line = Vec::new();
    match limit.of(read_line(&stream, &mut line)).await {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(format!("agent: read: {}", socket::text(&error))),
        None => return Err(format!("agent: read timeout after {limit}, \"{}\" received", excerpt(&line))),
    }
    let text = excerpt(&line);
    match parse(&line) {
        Line::Up(says) => Ok(Pass { detail: format!("agent says \"{text}\""), says }),
        Line::Down(why) => Err(format!("agent says {why}")),
        Line::Unknown if line.is_empty() => Err("agent says nothing".to_owned()),
        Line::Unknown => Err(format!("agent says nothing known: \"{text}\"")),
    }
}

/// The first line without its end. One that is too long, or ends with the connection, is what it is until there.
async fn read_line(stream: &TcpStream, line: &mut Vec<u8>) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let n_read = with_scratch(|buffer| {
            let room = MAX_LINE - line.len();
            stream.try_read(&mut buffer[..room]).inspect(|n_read| line.extend_from_slice(&buffer[..*n_read]))
        });
        match n_read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
            Ok(0) => break,
            Ok(_) if line.contains(&b'\n') || line.len() == MAX_LINE => break,
            Ok(_) => {}
        }
    }
    let end = line.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(line.len());
    line.truncate(end);
    Ok(())
}

#[cfg(test)]
mod parse_tests {
    use super::*;

    #[test]
    fn lines_mean_what_they_mean_to_haproxy() {
        let down = |text: &str| Line::Down(text.to_owned());
        for (line, expected) in [
            ("up", Line::Up(None)),
            ("UP 75%", Line::Up(Some(Says::Percent(75)))),
            ("75%", Line::Up(Some(Says::Percent(75)))),
            ("200%,ready\tup", Line::Up(Some(Says::Percent(200)))),
            ("ready", Line::Up(Some(Says::Ready))),
            ("ready up # all is well", Line::Up(Some(Says::Ready))),
            ("drain 50%", Line::Up(Some(Says::Drain))),
            ("50% drain", Line::Up(Some(Says::Drain))),
            ("maint", Line::Up(Some(Says::Maintenance))),
            ("up maxconn:30", Line::Up(None)),
            ("down", down("down")),
            ("stopped", down("stopped")),
            ("fail # disk full", down("fail: disk full")),
            ("up down", down("down")),
            ("# up", Line::Unknown),
            ("", Line::Unknown),
            ("hello", Line::Unknown),
            ("%", Line::Unknown),
            ("-5%", Line::Unknown),
            ("99999999%", Line::Unknown),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }
}
