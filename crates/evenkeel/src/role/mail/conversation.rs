//! SMTP as a client without TLS and without extensions speaks it (RFC 5321): HELO, MAIL FROM, RCPT TO, DATA, QUIT.

use super::text;
use evenkeel_bus::{Letter, Relay};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of the longest reply, all its lines together.
const MAX_REPLY: usize = 8192;
/// Characters of a reply that are repeated in a log.
const EXCERPT: usize = 120;

/// What became of a letter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Recipients that have it, or will never.
    pub(super) settled: Vec<String>,
    /// What did not go well.
    pub(super) trouble: Option<String>,
}

impl Outcome {
    /// Nobody has it.
    pub(super) fn failed(trouble: String) -> Self {
        Outcome { settled: Vec::new(), trouble: Some(trouble) }
    }
}

/// A connection to a mail server that has not said anything yet.
pub(super) struct Conversation {
    stream: TcpStream,
    timeout: Duration,
    received: Vec<u8>,
}

/// Connects.
pub(super) fn open(address: SocketAddr, timeout: Duration) -> io::Result<Conversation> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    Ok(Conversation { stream, timeout, received: Vec::new() })
}

/// Why a step did not get the reply it needs.
enum Refusal {
    /// The server may do it another time, or nobody knows.
    ForNow(String),
    /// It will never do it: a status of 500 or more.
    ForGood(String),
}

impl Refusal {
    fn for_now(self) -> Self {
        let (Refusal::ForNow(text) | Refusal::ForGood(text)) = self;
        Refusal::ForNow(text)
    }
}

impl Conversation {
    /// The whole conversation about one letter.
    pub(super) fn deliver(mut self, relay: &Relay, to: &[String], letter: &Letter) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(refusal) = self.dictate(relay, to, letter, &mut outcome) {
            let (Refusal::ForNow(text) | Refusal::ForGood(text)) = &refusal;
            outcome.trouble.get_or_insert_with(|| text.clone());
            if matches!(refusal, Refusal::ForGood(_)) {
                outcome.settled = to.to_vec();
            }
        }
        // What it answers changes nothing any more, but hanging up before would look like an error to it.
        let _ = self.ask("QUIT", 200);
        outcome
    }

    fn dictate(&mut self, relay: &Relay, to: &[String], letter: &Letter, outcome: &mut Outcome) -> Result<(), Refusal> {
        // Whatever the status, it is not about this letter: a server that is mended will take it.
        self.expect("the greeting", 200).map_err(Refusal::for_now)?;
        self.ask(&format!("HELO {}", text::one_line(&relay.helo)), 200).map_err(Refusal::for_now)?;
        self.ask(&format!("MAIL FROM:<{}>", text::mailbox(&relay.from)), 200)?;
        let mut taken = Vec::new();
        for recipient in to {
            match self.ask(&format!("RCPT TO:<{}>", text::mailbox(recipient)), 200) {
                Ok(()) => taken.push(recipient.clone()),
                Err(Refusal::ForNow(reason)) => outcome.trouble = Some(reason),
                Err(Refusal::ForGood(reason)) => {
                    outcome.settled.push(recipient.clone());
                    outcome.trouble = Some(reason);
                }
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        self.ask("DATA", 300)?;
        let text = text::message(relay, to, letter);
        self.write(text.as_bytes(), "the letter")?;
        self.expect("the letter", 200)?;
        outcome.settled.extend(taken);
        Ok(())
    }

    /// Says `line`; fine when the reply is of `class` (200 means 200 to 299).
    fn ask(&mut self, line: &str, class: u16) -> Result<(), Refusal> {
        self.write(format!("{line}\r\n").as_bytes(), line)?;
        self.expect(line, class)
    }

    fn write(&mut self, bytes: &[u8], what: &str) -> Result<(), Refusal> {
        let written = self.stream.set_write_timeout(Some(self.timeout)).and_then(|()| self.stream.write_all(bytes));
        written.map_err(|error| Refusal::ForNow(format!("send {what}: {}", words(&error))))
    }

    fn expect(&mut self, what: &str, class: u16) -> Result<(), Refusal> {
        let (code, line) = self
            .reply()
            .map_err(|error| Refusal::ForNow(format!("wait for the reply to {what}: {}", words(&error))))?;
        if (class..class + 100).contains(&code) {
            return Ok(());
        }
        let text = format!("the reply to {what} is `{line}`");
        Err(if code >= 500 { Refusal::ForGood(text) } else { Refusal::ForNow(text) })
    }

    /// The status of the next reply, and its last line for people (RFC 5321, section 4.2.1).
    fn reply(&mut self) -> io::Result<(u16, String)> {
        let until = Instant::now() + self.timeout;
        let mut length = 0;
        loop {
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                length += line.len();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                let excerpt: String = line.chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
                let code = line.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
                let Some(code) = code.and_then(|digits| digits.parse().ok()) else {
                    return Err(io::Error::other(format!("`{excerpt}` is no reply")));
                };
                if line.as_bytes().get(3) != Some(&b'-') {
                    return Ok((code, excerpt));
                }
            }
            if length + self.received.len() > MAX_REPLY {
                return Err(io::Error::other("it is too long"));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::Error::other("the server hung up")),
                Ok(n) => self.received.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        // A socket that runs out of time says that it would block.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it took too long".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_bus::WallTime;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    /// Stands for what the server says first.
    const CONNECTED: &str = "(connected)";

    const FOLLOWING: &[(&str, &str)] = &[
        (CONNECTED, "220-mail.example.org\r\n220 ready"),
        ("HELO lb01", "250 hello"),
        ("MAIL FROM:<ek@example.org>", "250 ok"),
        ("RCPT TO:<a@example.org>", "250 ok"),
        ("RCPT TO:<b@example.org>", "251 will forward"),
        ("DATA", "354 go on"),
        (".", "250 queued"),
        ("QUIT", "221 bye"),
    ];

    /// Talks to a server that answers each line that begins so with that; lines it has no answer for belong to a letter.
    fn talk(script: &[(&str, &str)]) -> (Outcome, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script: Vec<(String, String)> = script.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut heard = Vec::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = CONNECTED.to_owned();
            loop {
                let answer = script.iter().find(|(said, _)| *said == line.trim_end());
                let is_heard = match answer {
                    Some((_, answer)) if answer.is_empty() => return heard,
                    // Who has heard enough of a long answer hangs up in the middle of it.
                    Some((_, answer)) => stream.write_all(format!("{answer}\r\n").as_bytes()).is_ok(),
                    None => true,
                };
                if !is_heard {
                    return heard;
                }
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return heard;
                }
                heard.push(line.trim_end_matches("\r\n").to_owned());
            }
        });
        let relay = Relay {
            host: "127.0.0.1".to_owned(),
            port: address.port(),
            helo: "lb01".to_owned(),
            from: "Node <ek@example.org>".to_owned(),
            timeout: Duration::from_secs(5),
        };
        let letter = Letter {
            at: "2026-01-02T03:04:05.678Z".parse::<WallTime>().unwrap(),
            subject: "[lb01] subject".to_owned(),
            body: "first\n.second\n".to_owned(),
        };
        let to = ["a@example.org".to_owned(), "B <b@example.org>".to_owned()];
        let outcome = open(address, relay.timeout).unwrap().deliver(&relay, &to, &letter);
        (outcome, server.join().unwrap())
    }

    #[test]
    fn a_letter_is_dictated_and_everybody_has_it() {
        let (outcome, heard) = talk(FOLLOWING);
        assert_eq!(outcome.trouble, None);
        assert_eq!(outcome.settled, ["a@example.org", "B <b@example.org>"]);
        let commands: Vec<_> = FOLLOWING[1..6].iter().map(|(said, _)| *said).collect();
        assert_eq!(heard[..5], commands);
        assert_eq!(heard[heard.len() - 4..], ["first", "..second", ".", "QUIT"]);
    }

    #[test]
    fn refusals_settle_a_recipient_or_leave_it_for_another_time() {
        let both = ["a@example.org", "B <b@example.org>"];
        for (said, answer, settled, trouble) in [
            ("RCPT TO:<a@example.org>", "550 no such user", &both[..], "550 no such user"),
            ("RCPT TO:<a@example.org>", "450 greylisted", &both[1..], "450 greylisted"),
            ("MAIL FROM:<ek@example.org>", "553 not you", &both, "553 not you"),
            (CONNECTED, "421 busy", &[], "421 busy"),
            ("HELO lb01", "554 no", &[], "554 no"),
            ("DATA", "451 disk full", &[], "451 disk full"),
            (".", "554 spam", &both, "554 spam"),
            (".", "452 later", &[], "452 later"),
            (".", "", &[], "hung up"),
            ("HELO lb01", "hello", &[], "`hello` is no reply"),
        ] {
            let mut script = vec![(said, answer)];
            script.extend(FOLLOWING);
            let (outcome, _) = talk(&script);
            assert_eq!(
                outcome.settled.iter().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
                settled.iter().copied().collect(),
                "{answer}"
            );
            assert!(outcome.trouble.as_ref().is_some_and(|text| text.contains(trouble)), "{answer}: {outcome:?}");
        }
    }

    #[test]
    fn an_endless_reply_ends_the_conversation() {
        let endless = "250-more\r\n".repeat(2000);
        let mut script = vec![("HELO lb01", endless.as_str())];
        script.extend(FOLLOWING);
        let (outcome, _) = talk(&script);
        assert!(outcome.settled.is_empty());
        assert!(outcome.trouble.is_some_and(|text| text.contains("too long")));
    }
}
