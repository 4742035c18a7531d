//! SMTP_CHECK: greeting 220, HELO answered by 250, QUIT.

use super::parse::excerpt;
use super::parse::smtp::{MAX_REPLY, Reply, reply};
use super::{Limit, Pass, Verdict, socket};
use evenkeel_balance::config::Target;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
