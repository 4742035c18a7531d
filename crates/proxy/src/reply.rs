use crate::client::{After, Line};
use crate::files::media_type;
use crate::record::{Asked, Record};
use crate::rewrite::{added_headers, own_headers, push_field};
use evenkeel_site::config::Scope;
use evenkeel_site::{Template, error_page, reason};
use std::io::Write as _;

/// An answer of our own.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    /// Empty leaves the header out.
    pub(crate) content_type: &'a str,
    /// Header lines with their line ends: those before `Connection`, and those after it.
    pub(crate) early: &'a [u8],
    pub(crate) headers: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) keep: bool,
}

/// An error page.
pub(crate) async fn page(line: &mut Line, asked: &Asked<'_>, status: u16, keep: bool, record: &mut Record) -> After {
    if asked.plan.is_some_and(|plan| plan.has_page(status)) {
        return After::Error(status);
    }
    with_page(line, asked, status, (b"", b""), keep, record).await
}

/// A redirect to a target that may be relative to the site.
pub(crate) async fn redirect(
    line: &mut Line,
    asked: &Asked<'_>,
    status: u16,
    target: &str,
    keep: bool,
    record: &mut Record,
) -> After {
    let port = asked.identity.local.map_or(0, |local| local.port());
    let whole = asked.plan.map_or_else(|| target.to_owned(), |plan| plan.redirect_target(target, "http", port));
    let mut headers = Vec::new();
    // A target with variables may hold anything; it must not end the header.
    let clean: Vec<u8> = whole.bytes().filter(|byte| !byte.is_ascii_control()).collect();
    push_field(&mut headers, b"Location", &clean);
    // nginx writes what it has completed before `Connection`, what it was given after it.
    let headers: (&[u8], &[u8]) = if whole == target { (b"", &headers) } else { (&headers, b"") };
    with_page(line, asked, status, headers, keep, record).await
}

/// `return`.
pub(crate) async fn returned(
    line: &mut Line,
    asked: &Asked<'_>,
    status: u16,
    text: &Template,
    keep: bool,
    record: &mut Record,
) -> After {
    if status == 444 {
        record.status = 444;
        return After::Close;
    }
    let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
    let status = if is_redirect { status } else { asked.status(status) };
    record.status = status;
    let mut rendered = Vec::new();
    text.render(&asked.values(record), &mut rendered);
    if is_redirect {
        return redirect(line, asked, status, &String::from_utf8_lossy(&rendered), keep, record).await;
    }
    let content_type = asked.plan.map_or("", |plan| media_type(&plan.scope.values, &plan.uri));
    send(line, asked, &Reply { status, content_type, early: b"", headers: b"", body: &rendered, keep }, record).await
}

async fn with_page(
    line: &mut Line,
    asked: &Asked<'_>,
    status: u16,
    (early, headers): (&[u8], &[u8]),
    keep: bool,
    record: &mut Record,
) -> After {
    let body = error_page(status, scope(asked).server_tokens);
    let content_type = if body.is_empty() { "" } else { "text/html" };
    let keep = keep && !ends_connection(status);
    // nginx's own codes are 400 to the client.
    let status = if (494..=497).contains(&status) { 400 } else { status };
    send(line, asked, &Reply { status, content_type, early, headers, body: &body, keep }, record).await
}

/// After these nginx does not keep a connection: what follows on it may not be a request.
pub(crate) fn ends_connection(status: u16) -> bool {
    matches!(status, 400 | 413 | 414 | 494..=497 | 500 | 501)
}

fn scope<'a>(asked: &Asked<'a>) -> &'a Scope {
    match asked.plan {
        Some(plan) => &plan.scope.values,
        None => &asked.server().fallback.values,
    }
}

/// Sends an answer. What it becomes of the connection follows from whether it was sent and may be kept.
pub(crate) async fn send(line: &mut Line, asked: &Asked<'_>, reply: &Reply<'_>, record: &mut Record) -> After {
    let scope = scope(asked);
    let mut out = asked.worker.buffers.text();
    record.status = reply.status;
    head(asked, scope, reply, reply.body.len() as u64, record, &mut out);
    let body = if asked.is_head() || matches!(record.status, 204 | 304) { &b""[..] } else { reply.body };
    let outcome = line.write_all(&out, body, scope.send_timeout).await;
    if outcome.is_ok() {
        record.head_sent = out.len() as u64;
        record.body_sent = body.len() as u64;
    }
    if asked.is_logged() {
        record.sent_head.clone_from(&out);
    }
    asked.worker.buffers.put_text(out);
    match outcome {
        Ok(()) if reply.keep => After::KeepAlive,
        Ok(()) => After::Linger,
        Err(_) => After::Close,
    }
}

/// Appends the head of an answer of our own.
pub(crate) fn head(
    asked: &Asked<'_>,
    scope: &Scope,
    reply: &Reply<'_>,
    length: u64,
    record: &Record,
    out: &mut Vec<u8>,
) {
    let status = reply.status;
    status_line(status, out);
    own_headers(asked.worker, scope, out);
    if !reply.content_type.is_empty() && status != 204 {
        push_field(out, b"Content-Type", reply.content_type.as_bytes());
    }
    // A 304 that the configuration asks for has a length, that of a file has none.
    let is_file_unchanged = status == 304 && reply.content_type.is_empty();
    if status != 204 && !is_file_unchanged {
        let _ = write!(out, "Content-Length: {length}\r\n");
    }
    out.extend_from_slice(reply.early);
    push_field(out, b"Connection", if reply.keep { b"keep-alive" } else { b"close" });
    out.extend_from_slice(reply.headers);
    added_headers(asked, status, record, out);
    out.extend_from_slice(b"\r\n");
}

/// The first line of an answer; the blank stands there also without words after it.
pub(crate) fn status_line(status: u16, out: &mut Vec<u8>) {
    let _ = write!(out, "HTTP/1.1 {status:03} {}\r\n", reason(status).unwrap_or_default());
}
