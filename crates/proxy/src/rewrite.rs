//! Heads as they go on: the request to the upstream and its answer to the client.

use crate::http1::{Field, Framing, Known, RequestHead, ResponseHead, Span};
use crate::record::{Asked, Record};
use crate::reply::status_line;
use crate::worker::Worker;
use evenkeel_site::config::{HttpVersion, Scope};
use evenkeel_site::{CompiledPass, CompiledScope, SERVER, SERVER_WITH_VERSION};
use std::io::Write as _;

/// How the body of a request goes to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyHeader {
    None,
    Length(u64),
    Chunked,
}

/// Appends the head of a request: the line, the headers that the configuration sets, the body's, and the client's others.
pub(crate) fn request_head(
    asked: &Asked<'_>,
    scope: &CompiledScope,
    target: &str,
    body: BodyHeader,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(asked.method());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(match scope.values.proxy_http_version {
        HttpVersion::Http10 => b" HTTP/1.0\r\n",
        HttpVersion::Http11 => b" HTTP/1.1\r\n",
    });
    for header in &scope.proxy_headers {
        // Where the body ends is ours to say: said twice, or wrong, it would let a client hide a request in its body.
        if is_framing(header.name.as_bytes()) {
            continue;
        }
        let start = out.len();
        out.extend_from_slice(header.name.as_bytes());
        out.extend_from_slice(b": ");
        let value = out.len();
        match header.value.literal() {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => {
                header.value.render(asked, out);
                drop_line_ends(out, value);
            }
        }
        match out.len() == value {
            true => out.truncate(start),
            false => out.extend_from_slice(b"\r\n"),
        }
    }
    match body {
        BodyHeader::None => {}
        BodyHeader::Length(length) => {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        BodyHeader::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    for field in &asked.head.fields {
        let name = field.name.of_bytes(asked.bytes);
        if is_for_this_hop(field.known)
            || scope.proxy_headers.iter().any(|header| header.name.as_bytes().eq_ignore_ascii_case(name))
        {
            continue;
        }
        pass_field(out, field, asked.bytes);
    }
    out.extend_from_slice(b"\r\n");
}

fn is_framing(name: &[u8]) -> bool {
    match name.len() {
        14 => name.eq_ignore_ascii_case(b"content-length"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => false,
    }
}

/// Variables may hold anything that a client wrote with `%` (`$uri`, captures): what follows `from` must not end a header.
fn drop_line_ends(out: &mut Vec<u8>, from: usize) {
    if memchr::memchr3(b'\r', b'\n', 0, &out[from..]).is_none() {
        return;
    }
    let mut kept = from;
    for at in from..out.len() {
        if !matches!(out[at], b'\r' | b'\n' | 0) {
            out[kept] = out[at];
            kept += 1;
        }
    }
    out.truncate(kept);
}

/// Headers that nginx does not pass to an upstream unless `proxy_set_header` names them.
fn is_for_this_hop(known: Known) -> bool {
    match known {
        Known::Host
        | Known::Connection
        | Known::KeepAlive
        | Known::ContentLength
        | Known::TransferEncoding
        | Known::Te
        | Known::Expect
        | Known::Upgrade => true,
        Known::IfModifiedSince
        | Known::IfNoneMatch
        | Known::Range
        | Known::ContentType
        | Known::Date
        | Known::Server
        | Known::Location
        | Known::ForNginx
        | Known::Other => false,
    }
}

/// Whether a request names this header by its configuration.
pub(crate) fn sends_header(scope: &CompiledScope, asked: &Asked<'_>, name: &str) -> bool {
    scope.proxy_headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).any(|header| {
        let mut value = Vec::new();
        header.value.render(asked, &mut value);
        !value.is_empty()
    })
}

/// How the client learns where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerBody {
    /// As the upstream said, or not at all.
    AsFramed,
    Chunked,
}

/// Appends the head of an answer: nginx's own headers first and in its order, then the upstream's as they came.
#[allow(clippy::too_many_arguments, reason = "one flat function; each is a different ingredient of the head")]
pub(crate) fn response_head(
    asked: &Asked<'_>,
    scope: &Scope,
    pass: &CompiledPass,
    head: &ResponseHead,
    bytes: &[u8],
    body: AnswerBody,
    connection: &str,
    record: &Record,
    out: &mut Vec<u8>,
) {
    let status = asked.status(head.status);
    if status == head.status {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(head.status_line.of_bytes(bytes));
        out.extend_from_slice(b"\r\n");
    } else {
        status_line(status, out);
    }
    let is_theirs = |name: &[u8], known| is_passed(scope, name) && head.known(bytes, known).is_some();
    if !is_theirs(b"server", Known::Server) {
        push_server(scope, out);
    }
    if !is_theirs(b"date", Known::Date) {
        push_date(asked.worker, out);
    }
    for (name, known) in [(b"Content-Type".as_slice(), Known::ContentType), (b"Content-Length", Known::ContentLength)] {
        if let Some(value) = head.known(bytes, known) {
            push_field(out, name, value);
        }
    }
    // What nginx completes with scheme and host comes before `Connection`, in its own spelling.
    let location = redirected(asked, pass, head, bytes);
    if let Some(location) = &location {
        push_field(out, b"Location", location.as_bytes());
    }
    if body == AnswerBody::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    push_field(out, b"Connection", connection.as_bytes());
    for field in &head.fields {
        let name = field.name.of_bytes(bytes);
        let may_pass = matches!(field.known, Known::Date | Known::Server | Known::ForNginx) && is_passed(scope, name);
        if is_replaced(field.known) && !may_pass || is_hidden(scope, name) {
            continue;
        }
        if field.known == Known::Location && location.is_some() {
            continue;
        }
        if name.eq_ignore_ascii_case(b"refresh")
            && let Some(refresh) = refreshed(pass, field.value.of_bytes(bytes))
        {
            push_field(out, name, refresh.as_bytes());
            continue;
        }
        pass_field(out, field, bytes);
    }
    added_headers(asked, status, record, out);
    out.extend_from_slice(b"\r\n");
}

/// The `Location` of an answer in the client's terms; `None` when it goes on as it is.
fn redirected(asked: &Asked<'_>, pass: &CompiledPass, head: &ResponseHead, bytes: &[u8]) -> Option<String> {
    let location = std::str::from_utf8(head.known(bytes, Known::Location)?).ok()?;
    let location = pass.redirect(location)?;
    let port = asked.identity.local.map_or(0, |local| local.port());
    Some(asked.plan?.redirect_target(&location, "http", port))
}

/// A `Refresh` whose URL is put in the client's terms.
fn refreshed(pass: &CompiledPass, value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok()?;
    let (before, url) = value.split_at(value.to_ascii_lowercase().find("url=")? + "url=".len());
    Some(format!("{before}{}", pass.redirect(url)?))
}

/// Appends what `add_header` asks for with this status.
pub(crate) fn added_headers(asked: &Asked<'_>, status: u16, record: &Record, out: &mut Vec<u8>) {
    let Some(plan) = asked.plan else { return };
    let is_usual = matches!(status, 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308);
    for header in plan.scope.add_headers.iter().filter(|header| header.always || is_usual) {
        let start = out.len();
        out.extend_from_slice(header.name.as_bytes());
        out.extend_from_slice(b": ");
        let value = out.len();
        header.value.render(&asked.values(record), out);
        drop_line_ends(out, value);
        match out.len() == value {
            true => out.truncate(start),
            false => out.extend_from_slice(b"\r\n"),
        }
    }
}

/// Headers of an answer that nginx writes itself or keeps to itself.
fn is_replaced(known: Known) -> bool {
    match known {
        Known::Date
        | Known::Server
        | Known::Connection
        | Known::KeepAlive
        | Known::ContentType
        | Known::ContentLength
        | Known::TransferEncoding
        | Known::ForNginx => true,
        Known::Host
        | Known::Te
        | Known::Expect
        | Known::Upgrade
        | Known::IfModifiedSince
        | Known::IfNoneMatch
        | Known::Range
        | Known::Location
        | Known::Other => false,
    }
}

/// `proxy_hide_header`.
fn is_hidden(scope: &Scope, name: &[u8]) -> bool {
    scope.proxy_hide_headers.iter().any(|hidden| hidden.as_bytes().eq_ignore_ascii_case(name))
}

/// `proxy_pass_header`: of those that nginx keeps to itself.
fn is_passed(scope: &Scope, name: &[u8]) -> bool {
    scope.proxy_pass_headers.iter().any(|passed| passed.as_bytes().eq_ignore_ascii_case(name))
}

/// `Server` and `Date`.
pub(crate) fn own_headers(worker: &Worker, scope: &Scope, out: &mut Vec<u8>) {
    push_server(scope, out);
    push_date(worker, out);
}

fn push_server(scope: &Scope, out: &mut Vec<u8>) {
    push_field(out, b"Server", if scope.server_tokens { SERVER_WITH_VERSION } else { SERVER }.as_bytes());
}

fn push_date(worker: &Worker, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Date: ");
    worker.clock.append_date(out);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a field as it came; in one piece, when it is written as it would be here.
fn pass_field(out: &mut Vec<u8>, field: &Field, bytes: &[u8]) {
    let end = field.value.end + 2;
    let whole = Span { start: field.name.start, end }.of_bytes(bytes);
    let between = Span { start: field.name.end, end: field.value.start }.of_bytes(bytes);
    match between == b": " && whole.ends_with(b"\r\n") {
        true => out.extend_from_slice(whole),
        false => push_field(out, field.name.of_bytes(bytes), field.value.of_bytes(bytes)),
    }
}

/// What the client said about a body that is not there: `Content-Length: 0` goes on, silence stays silence.
pub(crate) fn empty_body(head: &RequestHead) -> BodyHeader {
    let said_so = head.framing == Framing::None && head.fields.iter().any(|field| field.known == Known::ContentLength);
    if said_so { BodyHeader::Length(0) } else { BodyHeader::None }
}
