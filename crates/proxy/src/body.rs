use crate::buffer::{Buffer, LARGE};
use crate::client::Line;
use crate::http1::{Chunked, Framing, RequestHead, Strictness};
use crate::pump::Source;
use evenkeel_site::config::{HttpVersion, LogLevel, Scope};
use std::io;

/// A request body up to this size is read before an upstream is chosen: then it can be sent again to another one.
const COLLECTED: usize = LARGE;
/// Longest body without a length that is collected for an upstream that must be told one.
const COLLECTED_FOR_LENGTH: usize = 16 * 1024 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A request body on its way.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None, or none that anybody wants: then whether some of it is still to come.
    None { in_buffer: usize, unread: bool },
    /// This many bytes after the head.
    InBuffer(usize),
    /// Decoded.
    Collected(Vec<u8>),
    /// Too long to wait for: the beginning, and what is still to come.
    Stream { collected: Vec<u8>, buffer: Buffer, source: Source, complete: bool },
}

/// Why a body is not accepted.
#[derive(Debug)]
pub(crate) struct BodyFailure {
    pub(crate) status: u16,
    pub(crate) level: LogLevel,
    pub(crate) text: String,
}

fn failure(status: u16, level: LogLevel, text: &str) -> BodyFailure {
    BodyFailure { status, level, text: text.to_owned() }
}

fn too_large() -> BodyFailure {
    failure(413, LogLevel::Error, "client intended to send too large body")
}

impl RequestBody {
    /// Bytes after the head that belong to it.
    pub(crate) fn used(&self) -> usize {
        match self {
            RequestBody::None { in_buffer, .. } => *in_buffer,
            RequestBody::InBuffer(n) => *n,
            RequestBody::Collected(_) | RequestBody::Stream { .. } => 0,
        }
    }

    /// Whether the next request cannot be found, because the body was not read to its end.
    pub(crate) fn must_close(&self) -> bool {
        matches!(self, RequestBody::None { unread: true, .. })
    }

    /// What was read beyond the end of a streamed body.
    pub(crate) fn take_leftover(&mut self) -> Buffer {
        match self {
            RequestBody::Stream { buffer, complete: true, .. } => std::mem::take(buffer),
            _ => Buffer::default(),
        }
    }

    /// Length, when it is known before the body is sent.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            RequestBody::None { .. } => Some(0),
            RequestBody::InBuffer(n) => Some(*n as u64),
            RequestBody::Collected(body) => Some(body.len() as u64),
            RequestBody::Stream { source: Source::Length(length), .. } => Some(*length),
            RequestBody::Stream { .. } => None,
        }
    }
}

/// Takes notice of a body that nobody will read.
pub(crate) fn skip(line: &Line, head: &RequestHead) -> RequestBody {
    let available = line.buffer.len() - head.len;
    match head.framing {
        Framing::None | Framing::Close => RequestBody::None { in_buffer: 0, unread: false },
        Framing::Length(length) if length <= available as u64 => {
            RequestBody::None { in_buffer: length as usize, unread: false }
        }
        Framing::Chunked => match whole_chunks(&line.buffer.filled()[head.len..]) {
            Some(in_buffer) => RequestBody::None { in_buffer, unread: false },
            None => RequestBody::None { in_buffer: 0, unread: true },
        },
        Framing::Length(_) => RequestBody::None { in_buffer: 0, unread: true },
    }
}

/// The length of a chunked body that is all there.
fn whole_chunks(bytes: &[u8]) -> Option<usize> {
    let mut bytes = bytes.to_vec();
    let decoded = Chunked::new(Strictness::Exact).decode(&mut bytes).ok()?;
    decoded.done.then_some(decoded.consumed)
}

/// Whether a body says of itself that it is too large.
pub(crate) fn exceeds_length(scope: &Scope, head: &RequestHead) -> bool {
    matches!(head.framing, Framing::Length(length) if exceeds(scope, length))
}

fn exceeds(scope: &Scope, length: u64) -> bool {
    scope.client_max_body_size != 0 && length > scope.client_max_body_size
}

/// Reads a body, or the beginning of a long one.
pub(crate) async fn prepare(line: &mut Line, head: &RequestHead, scope: &Scope) -> Result<RequestBody, BodyFailure> {
    match head.framing {
        Framing::None | Framing::Close => Ok(RequestBody::None { in_buffer: 0, unread: false }),
        Framing::Length(length) => {
            if exceeds(scope, length) {
                return Err(too_large());
            }
            let available = (line.buffer.len() - head.len) as u64;
            if available < length {
                ask_to_continue(line, head, scope).await?;
            }
            if length > COLLECTED as u64 {
                return Ok(stream(line, head, Vec::new(), Source::Length(length)));
            }
            let total = head.len + length as usize;
            while line.buffer.len() < total {
                line.buffer.make_room(total + 1);
                read_more(line, scope).await?;
            }
            Ok(RequestBody::InBuffer(length as usize))
        }
        Framing::Chunked => collect_chunks(line, head, scope).await,
    }
}

async fn collect_chunks(line: &mut Line, head: &RequestHead, scope: &Scope) -> Result<RequestBody, BodyFailure> {
    let mut decoder = Chunked::new(Strictness::Exact);
    let mut body = Vec::new();
    let limit = match scope.proxy_http_version {
        HttpVersion::Http10 => COLLECTED_FOR_LENGTH,
        HttpVersion::Http11 => COLLECTED,
    };
    let mut continued = false;
    loop {
        let chunks = &mut line.buffer.filled_mut()[head.len..];
        let decoded = decoder
            .decode(chunks)
            .map_err(|error| failure(400, LogLevel::Info, &format!("client sent invalid chunked body: {error}")))?;
        body.extend_from_slice(&chunks[..decoded.data]);
        line.buffer.remove(head.len, head.len + decoded.consumed);
        if exceeds(scope, body.len() as u64) {
            return Err(too_large());
        }
        if decoded.done {
            return Ok(RequestBody::Collected(body));
        }
        if body.len() > limit {
            return match scope.proxy_http_version {
                HttpVersion::Http10 => Err(too_large()),
                HttpVersion::Http11 => Ok(stream(line, head, body, Source::Chunked(decoder))),
            };
        }
        if !std::mem::replace(&mut continued, true) {
            ask_to_continue(line, head, scope).await?;
        }
        line.buffer.make_room(head.len + LARGE);
        read_more(line, scope).await?;
    }
}

/// The rest of the body goes through a buffer of its own, which begins with what came with the head.
fn stream(line: &mut Line, head: &RequestHead, collected: Vec<u8>, source: Source) -> RequestBody {
    let mut buffer = line.worker.buffers.large();
    buffer.append(&line.buffer.filled()[head.len..]);
    line.buffer.remove(head.len, line.buffer.len());
    RequestBody::Stream { collected, buffer, source, complete: false }
}

async fn ask_to_continue(line: &mut Line, head: &RequestHead, scope: &Scope) -> Result<(), BodyFailure> {
    if !head.expects_continue {
        return Ok(());
    }
    line.write_all(CONTINUE, b"", scope.send_timeout).await.map_err(|error| gone(&error))
}

async fn read_more(line: &mut Line, scope: &Scope) -> Result<(), BodyFailure> {
    match line.read_more(scope.client_body_timeout).await {
        Ok(0) => Err(failure(499, LogLevel::Info, "client prematurely closed connection")),
        Ok(_) => Ok(()),
        Err(error) => Err(gone(&error)),
    }
}

fn gone(error: &io::Error) -> BodyFailure {
    match error.kind() {
        io::ErrorKind::TimedOut => failure(408, LogLevel::Info, "client timed out while reading client request body"),
        _ => failure(499, LogLevel::Info, "client closed connection while reading client request body"),
    }
}
