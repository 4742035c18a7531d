//! The client: a request for the address's page every few milliseconds, each on a connection of its own.
//!
//! Requests begin at their time whether or not earlier ones are answered, as those of many people would. A client that
//! waited for its answer would send one request in a second of outage and report one failure.

use super::message::{Outcome, Report, Sample};
use super::topology::{Host, VIP};
use evenkeel_kernel::clock;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Between the beginnings of two requests.
pub(super) const INTERVAL: Duration = Duration::from_millis(5);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(1);
/// More than any of the pages with its head.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Sends requests for ever and reports each when it is over. At most [`TIMEOUT`] / [`INTERVAL`] of them are under way.
pub(super) async fn run(reports: mpsc::Sender<Report>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reports = reports.clone();
        tokio::spawn(async move {
            let began = clock::now();
            let outcome = request(SocketAddr::from((VIP, 80)), TIMEOUT).await;
            let sample = Sample { began, ended: clock::now(), outcome };
            // A full queue means that the lab is gone or far behind: a sample less is then the smaller evil.
            let _ = reports.try_send(Report::Sample(sample));
        });
    }
}

/// One request on a new connection.
async fn request(to: SocketAddr, within: Duration) -> Outcome {
    match timeout(within, exchange(to)).await {
        Ok(Ok(answer)) => read_answer(&answer),
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ConnectionRefused => Outcome::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Outcome::CutOff,
            ErrorKind::TimedOut => Outcome::TimedOut,
            _ => Outcome::Unreachable,
        },
        Err(_) => Outcome::TimedOut,
    }
}

async fn exchange(to: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    let head = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", to.ip());
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Who answered. The connection was closed by the other side, so all that will come is here.
fn read_answer(answer: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(answer) else { return Outcome::Garbled };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Outcome::Garbled };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(200) => Host::SERVERS
            .into_iter()
            .find(|host| body.trim_end().strip_suffix(host.name()).is_some() && body.starts_with(host.name()))
            .map_or(Outcome::Garbled, Outcome::Page),
        Some(status) => Outcome::Status(status),
        None => Outcome::Garbled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn answers_are_told_apart() {
        for (answer, outcome) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\nweb01 web01 web01\n", Outcome::Page(Host::Web01)),
            ("HTTP/1.1 200 OK\r\n\r\nweb02 web02 web02\n", Outcome::Page(Host::Web02)),
            ("HTTP/1.1 200 OK\r\n\r\nweb02 web", Outcome::Garbled),
            ("HTTP/1.1 200 OK\r\n\r\n", Outcome::Garbled),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", Outcome::Status(502)),
            ("HTTP/1.1 200 OK\r\n", Outcome::Garbled),
            ("", Outcome::Garbled),
        ] {
            assert_eq!(read_answer(answer.as_bytes()), outcome, "{answer:?}");
        }
        assert_eq!(read_answer(&[0xff, 0xfe]), Outcome::Garbled);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_that_accepts_and_is_silent_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        assert_eq!(request(to, Duration::from_millis(20)).await, Outcome::TimedOut);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_port_that_nobody_listens_on_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(request(to, Duration::from_secs(5)).await, Outcome::Refused);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_page_is_credited_to_its_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let n = stream.read(&mut head).await.unwrap();
            assert!(head[..n].starts_with(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nweb02 web02 web02\n").await.unwrap();
        };
        let (outcome, ()) = tokio::join!(request(to, Duration::from_secs(5)), server);
        assert_eq!(outcome, Outcome::Page(Host::Web02));
    }
}
