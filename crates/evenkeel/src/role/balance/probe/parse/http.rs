//! The answer to an HTTP check, parsed as it arrives. Nothing is kept of the body but its digest and, for a pattern, its
//! beginning.
//!
//! As in keepalived, the status is the second word of the first line, whatever the first one is, and the body is what is
//! on the wire: a chunked one is digested with its chunk sizes, and `genhash` says the same digest.

use md5::{Digest, Md5};

/// Bytes of the longest header. keepalived gives up at 4 kB.
const MAX_HEAD: usize = 65_536;
/// Bytes of a body beyond which the server is taken to send without end.
const MAX_BODY: u64 = 64 << 20;
/// Bytes of the body in which a pattern is searched.
pub const MAX_SEARCHED: usize = 1 << 20;

/// What is to be known about the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its MD5.
    pub digest: bool,
    /// Its first [`MAX_SEARCHED`] bytes.
    pub body: bool,
    /// The bytes of the header too.
    pub head: bool,
}

/// What matters of status line and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Bytes of the body, where that is known before it ends: Content-Length, or none with a status that has no body.
    pub length: Option<u64>,
}

/// An answer that has arrived so far.
#[derive(Debug)]
pub struct Answer {
    head: Option<Head>,
    /// Bytes of an incomplete header.
    pending: Vec<u8>,
    /// Bytes of the body.
    n_body: u64,
    digest: Option<Md5>,
    wanted: Wanted,
    head_bytes: Vec<u8>,
    body: Vec<u8>,
}

/// Why an answer is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum Garbage {
    #[error("Read, no data received from server")]
    Nothing,
    #[error("the server does not speak HTTP: its answer begins with \"{0}\"")]
    NotHttp(String),
    #[error("connection closed within the header, after {0} bytes")]
    Cut(usize),
    #[error("header longer than {MAX_HEAD} bytes")]
    LongHead,
    #[error("body longer than {MAX_BODY} bytes")]
    LongBody,
}

impl Answer {
    /// Nothing has arrived.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            head: None,
            pending: Vec::new(),
            n_body: 0,
            digest: wanted.digest.then(Md5::new),
            wanted,
            head_bytes: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Takes what has arrived. True when the answer is complete by its own length.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<bool, Garbage> {
        match self.head {
            Some(head) => self.feed_body(head, bytes),
            // The usual case: the whole header in one piece, and no copy of it.
            None if self.pending.is_empty() => self.feed_head(bytes),
            None => {
                let mut pending = std::mem::take(&mut self.pending);
                pending.extend_from_slice(bytes);
                self.feed_head(&pending)
            }
        }
    }

    /// The server has closed the connection. A body shorter than Content-Length says counts as complete: keepalived logs
    /// it and goes on.
    pub fn close(&mut self) -> Result<(), Garbage> {
        match (self.head, self.pending.len()) {
            (Some(_), _) => Ok(()),
            (None, 0) => Err(Garbage::Nothing),
            (None, length) => Err(Garbage::Cut(length)),
        }
    }

    /// Status and length, once they have arrived.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Bytes that Content-Length promised and that did not come.
    pub fn missing(&self) -> Option<u64> {
        let length = self.head?.length?;
        length.checked_sub(self.n_body).filter(|missing| *missing > 0)
    }

    /// What there is, for the reason of a failure.
    pub fn so_far(&self) -> String {
        match (self.head, self.pending.len()) {
            (Some(Head { status, .. }), _) => format!("status {status} and {} bytes of the body received", self.n_body),
            (None, 0) => "nothing received".to_owned(),
            (None, length) => format!("{length} bytes of the header received"),
        }
    }

    /// The header as it arrived, when it was wanted.
    pub fn take_head(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.head_bytes)
    }

    /// Digest and beginning of the body.
    pub fn finish(self) -> (Option<[u8; 16]>, Vec<u8>) {
        (self.digest.map(|digest| digest.finalize().into()), self.body)
    }

    fn feed_head(&mut self, bytes: &[u8]) -> Result<bool, Garbage> {
        // A server that speaks something else is recognized by its first line, not by what it never sends.
        let first_line = bytes.iter().position(|byte| *byte == b'\n').map(|end| &bytes[..end]);
        let status = first_line.map(|line| status(line).ok_or_else(|| not_http(line))).transpose()?;
        match (status, end_of_head(bytes)) {
            (Some(status), Some(end)) => {
                // RFC 9110, sections 15.3.5 and 15.4.5: these have no body, whatever is said of its length.
                let length = if matches!(status, 204 | 304) { Some(0) } else { content_length(&bytes[..end]) };
                let head = Head { status, length };
                self.head = Some(head);
                if self.wanted.head {
                    self.head_bytes = bytes[..end].to_vec();
                }
                self.feed_body(head, &bytes[end..])
            }
            _ if bytes.len() > MAX_HEAD => Err(if status.is_some() { Garbage::LongHead } else { not_http(bytes) }),
            _ => {
                self.pending = bytes.to_vec();
                Ok(false)
            }
        }
    }

    fn feed_body(&mut self, head: Head, bytes: &[u8]) -> Result<bool, Garbage> {
        let room = head.length.map_or(u64::MAX, |length| length.saturating_sub(self.n_body));
        let bytes = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        self.n_body += bytes.len() as u64;
        if self.n_body > MAX_BODY {
            return Err(Garbage::LongBody);
        }
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        if self.wanted.body {
            let room = MAX_SEARCHED - self.body.len();
            self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        Ok(head.length.is_some_and(|length| self.n_body >= length))
    }
}

fn not_http(line: &[u8]) -> Garbage {
    Garbage::NotHttp(line.iter().take(40).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect())
}

/// `HTTP/1.0 200 OK`: the second word, when it is a number of three digits.
fn status(line: &[u8]) -> Option<u16> {
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let (_, word) = (words.next()?, words.next()?);
    let digits = std::str::from_utf8(word).ok().filter(|text| text.len() == 3)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Where the body begins: after an empty line, which may lack its carriage return.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut line_begins = 0;
    loop {
        let end = line_begins + bytes[line_begins..].iter().position(|byte| *byte == b'\n')?;
        if matches!(&bytes[line_begins..end], b"" | b"\r") {
            return Some(end + 1);
        }
        line_begins = end + 1;
    }
}

/// The first Content-Length. One that is no number is none.
fn content_length(head: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"content-length:";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    let value = std::str::from_utf8(&line[NAME.len()..]).ok()?.trim();
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted = Wanted { digest: true, body: true, head: false };

    /// The same whatever the pieces are.
    fn read(bytes: &[u8], closes: bool) -> Result<Option<(u16, String, Option<u64>)>, Garbage> {
        let mut seen = Vec::new();
        for piece in [1, 2, 3, 7, bytes.len().max(1)] {
            let mut answer = Answer::new(ALL);
            seen.push((|| {
                for part in bytes.chunks(piece) {
                    if answer.feed(part)? {
                        break;
                    }
                }
                if closes {
                    answer.close()?;
                }
                let (head, missing) = (answer.head(), answer.missing());
                let (digest, body) = answer.finish();
                let mut own = Md5::new();
                own.update(&body);
                assert_eq!(digest, Some(own.finalize().into()));
                Ok(head.map(|head| (head.status, String::from_utf8_lossy(&body).into_owned(), missing)))
            })());
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
        seen.remove(0)
    }

    fn body(bytes: &[u8]) -> (u16, String, Option<u64>) {
        read(bytes, true).unwrap().unwrap()
    }

    #[test]
    fn status_and_body_are_found_as_keepalived_finds_them() {
        for (bytes, expected) in [
            (&b"HTTP/1.0 200 OK\r\n\r\nhello"[..], (200, "hello", None)),
            (b"HTTP/1.1 404 no\r\n\r\n", (404, "", None)),
            (b"HTTP/1.1 204 No Content\r\n\r\nhello", (204, "", None)),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", (304, "", None)),
            (b"HTTP/1.0 200\r\n\r\nhello", (200, "hello", None)),
            (b"HTTP/1.0 200 OK\nX: y\n\nhello", (200, "hello", None)),
            (b"ICY 200 OK\r\n\r\nhello", (200, "hello", None)),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhello", (200, "hel", None)),
            (b"HTTP/1.0 200 OK\r\ncontent-LENGTH:5\r\n\r\nhello", (200, "hello", None)),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello", (200, "hello", Some(4))),
            (b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\nhello", (200, "hello", None)),
            (b"HTTP/1.0 200 OK\r\nX-Content-Length: 1\r\n\r\nhello", (200, "hello", None)),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                (200, "5\r\nhello\r\n0\r\n\r\n", None),
            ),
        ] {
            let expected = (expected.0, expected.1.to_owned(), expected.2);
            assert_eq!(body(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    /// What `genhash -P 1.1` of keepalived 2.2.7 says of the same answer.
    #[test]
    fn a_chunked_body_is_digested_with_its_chunk_sizes() {
        let mut answer = Answer::new(ALL);
        answer.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").unwrap();
        let digest = u128::from_be_bytes(answer.finish().0.unwrap());
        assert_eq!(format!("{digest:032x}"), "79e9489e3bd3f0cb0158215341de046d");
    }

    #[test]
    fn what_is_no_answer_is_named() {
        for (bytes, expected) in [
            (&b""[..], "Read, no data received from server"),
            (b"garbage", "connection closed within the header, after 7 bytes"),
            (b"HTTP/1.0 200 OK\r\nfoo: bar", "connection closed within the header, after 25 bytes"),
            (b"220 mail\r\n", r#"the server does not speak HTTP: its answer begins with "220 mail\r""#),
            (b"HTTP/1.0 20 OK\r\n\r\n", r#"the server does not speak HTTP: its answer begins with "HTTP/1.0 20 OK\r""#),
            (b"\0\xff\n", r#"the server does not speak HTTP: its answer begins with "\x00\xff""#),
        ] {
            assert_eq!(read(bytes, true).unwrap_err().to_string(), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn endless_headers_and_bodies_have_an_end() {
        let mut answer = Answer::new(ALL);
        assert_eq!(answer.feed(b"HTTP/1.0 200 OK\r\n"), Ok(false));
        let line = [b'a'; 4096];
        let end = (0..100).find_map(|_| answer.feed(&line).err());
        assert_eq!(end, Some(Garbage::LongHead));

        let mut answer = Answer::new(Wanted { digest: false, body: true, head: false });
        answer.feed(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
        let piece = vec![b'a'; 1 << 20];
        let end = (0..100).find_map(|_| answer.feed(&piece).err());
        assert_eq!(end, Some(Garbage::LongBody));
        assert_eq!(answer.finish().1.len(), MAX_SEARCHED);
    }

    #[test]
    fn an_answer_is_complete_at_its_length_or_without_a_body() {
        let complete = |bytes: &[u8]| Answer::new(ALL).feed(bytes).unwrap();
        assert!(complete(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
        assert!(complete(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(complete(b"HTTP/1.1 204 No Content\r\n\r\n"));
        assert!(!complete(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhell"));
        assert!(!complete(b"HTTP/1.0 200 OK\r\n\r\nhello"));
    }
}
