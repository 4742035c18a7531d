//! HTTP_GET and SSL_GET: one request for each url, each on its own connection.

mod key;
mod pattern;
mod request;
mod tls;

pub(super) use pattern::Patterns;
pub(super) use tls::Tls;

use super::parse::excerpt;
use super::parse::http::{Answer, Head, Wanted};
use super::{Limit, Pass, Verdict, socket, with_scratch};
use evenkeel_balance::config::{ClientTls, HttpProbe, Target, UrlProbe};
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Asks for one url.
///
/// One timeout covers the connection and the whole answer. keepalived begins anew with each piece that it reads, so that a
/// server that sends a byte now and then holds a check for as long as it likes.
pub(super) async fn probe(
    target: &Target,
    probe: &HttpProbe,
    url: &UrlProbe,
    patterns: &Patterns,
    tls: Option<&Tls>,
    limit: Limit,
) -> Verdict {
    let pattern = url.regex.as_ref().map(|regex| patterns.of(regex)).transpose()?;
    let wanted = Wanted { digest: url.digest.is_some(), body: pattern.is_some(), head: false };
    let answer = answer_of(target, probe, url, wanted, tls, limit).await?;
    judge(url, pattern, answer)
}

/// What a server answers, whatever it is.
#[derive(Debug)]
pub struct Fetched {
    /// Status line and headers, up to the empty line.
    pub head: Vec<u8>,
    /// The body, or the first [`MAX_SEARCHED`](super::parse::http::MAX_SEARCHED) bytes of it.
    pub body: Vec<u8>,
    /// MD5 of all of it, as HTTP_GET compares it.
    pub digest: [u8; 16],
}

/// Asks as a check does, and judges nothing: for genhash. The url's statuses must be all there are.
pub async fn fetch(
    target: &Target,
    probe: &HttpProbe,
    url: &UrlProbe,
    tls: &ClientTls,
    timeout: Duration,
) -> Result<Fetched, String> {
    let tls = probe.tls.is_some().then(|| Tls::new(tls)).transpose().map_err(|error| error.to_string())?;
    let wanted = Wanted { digest: true, body: true, head: true };
    let mut answer = answer_of(target, probe, url, wanted, tls.as_ref(), Limit::new(timeout)).await?;
    let head = answer.take_head();
    let (digest, body) = answer.finish();
    Ok(Fetched { head, body, digest: digest.unwrap_or_default() })
}

async fn answer_of(
    target: &Target,
    probe: &HttpProbe,
    url: &UrlProbe,
    wanted: Wanted,
    tls: Option<&Tls>,
    limit: Limit,
) -> Result<Answer, String> {
    let request = request::build(target, probe.version, url);
    let mut stream = connect(target, limit).await?;
    let Some(with) = &probe.tls else {
        return exchange(&mut stream, &request, url, wanted, limit).await;
    };
    let tls = tls.ok_or("SSL is not set up")?;
    let mut stream = tls.handshake(stream, with, url, limit).await?;
    let answer = exchange(&mut stream, &request, url, wanted, limit).await?;
    if with.compliant || url.tls_compliant {
        // The verdict does not depend on whether the goodbye arrives.
        let _ = limit.of(stream.shutdown()).await;
    }
    Ok(answer)
}

async fn connect(target: &Target, limit: Limit) -> Result<TcpStream, String> {
    let opened = socket::tcp(target).map_err(|error| format!("Error connecting: {error}"))?;
    match limit.of(opened.connect(socket::address(target))).await {
        Some(Ok(stream)) => Ok(stream),
        Some(Err(error)) => Err(format!("Error connecting: {}", socket::text(&error))),
        None => Err(format!("Timeout connecting after {limit}")),
    }
}

/// Sends the request and reads the answer: until Content-Length is complete or the server closes.
async fn exchange<S>(
    stream: &mut S,
    request: &[u8],
    url: &UrlProbe,
    wanted: Wanted,
    limit: Limit,
) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match limit.of(send(stream, request)).await {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(format!("Cannot send get request: {}", tls::text(&error))),
        None => return Err(format!("Timeout WEB write after {limit}")),
    }
    let mut answer = Answer::new(wanted);
    match limit.of(receive(stream, &mut answer, url)).await {
        Some(outcome) => outcome.map(|()| answer),
        None => Err(format!("Timeout HTTP read after {limit}, {}", answer.so_far())),
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, request: &[u8]) -> io::Result<()> {
    stream.write_all(request).await?;
    stream.flush().await
}

async fn receive<S: AsyncRead + Unpin>(stream: &mut S, answer: &mut Answer, url: &UrlProbe) -> Result<(), String> {
    loop {
        let complete = std::future::poll_fn(|context| {
            with_scratch(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                let outcome = match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
                    // A server that forgets close_notify has closed all the same.
                    Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                        Err(format!("Read error: {}, {}", tls::text(&error), answer.so_far()))
                    }
                    Ok(()) if !buffer.filled().is_empty() => answer.feed(buffer.filled()).map_err(|e| e.to_string()),
                    Ok(()) | Err(_) => answer.close().map(|()| true).map_err(|e| e.to_string()),
                };
                Poll::Ready(outcome)
            })
        })
        .await?;
        // A wrong status needs no body.
        if let Some(head) = answer.head() {
            status_is_right(url, head)?;
        }
        if complete {
            return Ok(());
        }
    }
}

fn status_is_right(url: &UrlProbe, head: Head) -> Result<(), String> {
    let right = match url.statuses.as_slice() {
        [] => (200..=299).contains(&head.status),
        ranges => ranges.iter().any(|(first, last)| (*first..=*last).contains(&head.status)),
    };
    if right { Ok(()) } else { Err(format!("HTTP status code error: {}", head.status)) }
}

fn judge(url: &UrlProbe, pattern: Option<&pattern::Pattern>, answer: Answer) -> Verdict {
    let status = answer.head().map_or(0, |head| head.status);
    let mut detail = format!("HTTP status {status}");
    if let Some(short) = answer.missing() {
        detail.push_str(&format!(", {short} bytes less than Content-Length says"));
    }
    let (digest, body) = answer.finish();
    if let (Some(expected), Some(seen)) = (url.digest, digest) {
        if expected != seen {
            return Err(format!("MD5 digest error: {} instead of {}", hex(&seen), hex(&expected)));
        }
        detail.push_str(", MD5 digest success");
    }
    if let (Some(regex), Some(pattern)) = (&url.regex, pattern) {
        let found = pattern.finds(&body, regex)?;
        if found == regex.no_match {
            let what = if found { "the body matches" } else { "no match" };
            return Err(format!("Regex match failed: {what}, body begins with \"{}\"", excerpt(&body)));
        }
        detail.push_str(", regex success");
    }
    Ok(Pass::new(detail))
}

/// Bytes as lower-case digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
