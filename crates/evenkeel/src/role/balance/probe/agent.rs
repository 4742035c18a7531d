//! AGENT_CHECK: a line of text on a TCP port, in the format that agents for HAProxy speak.
//!
//! Words separated by spaces, tabs or commas, up to the end of the first line; what follows `#` is a description.

use super::parse::agent::{Line, parse};
use super::parse::excerpt;
use super::{Limit, Pass, Verdict, socket, with_scratch};
use evenkeel_balance::config::Target;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Bytes of the longest line.
const MAX_LINE: usize = 1_024;

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
