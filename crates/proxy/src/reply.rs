use crate::client::{After, Line};
use crate::record::{Asked, Record};
use crate::rewrite::{own_headers, push_field};
use evenkeel_site::config::Scope;
use evenkeel_site::{Template, error_page, reason};
use std::io::Write as _;

/// An answer of our own.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    /// Empty leaves the header out.
    pub(crate) content_type: &'a str,
    /// Header lines with their line ends.
    pub(crate) headers: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) keep: bool,
}

/// An error page.
pub(crate) async fn page(line: &mut Line, asked: &Asked<'_>, status: u16, keep: bool, record: &mut Record) -> After {
    with_page(line, asked, status, b"", keep, record).await
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
    let target = asked.plan.map_or_else(|| target.to_owned(), |plan| plan.redirect_target(target, "http", port));
    let mut headers = Vec::new();
    // A target with variables may hold anything; it must not end the header.
    let target: Vec<u8> = target.bytes().filter(|byte| !byte.is_ascii_control()).collect();
    push_field(&mut headers, b"Location", &target);
    with_page(line, asked, status, &headers, keep, record).await
}

/// `return`.
pub(crate) async fn returned(
    line: &mut Line,
    asked: &Asked<'_>,
    status: u16,
    text: Option<&Template>,
    keep: bool,
    record: &mut Record,
) -> After {
    if status == 444 {
        record.status = 444;
        return After::Close;
    }
    let Some(text) = text else { return page(line, asked, status, keep, record).await };
    let mut rendered = Vec::new();
    text.render(asked, &mut rendered);
    if matches!(status, 301 | 302 | 303 | 307 | 308) {
        return redirect(line, asked, status, &String::from_utf8_lossy(&rendered), keep, record).await;
    }
    let content_type = scope(asked).default_type.as_str();
    send(line, asked, &Reply { status, content_type, headers: b"", body: &rendered, keep }, record).await
}

async fn with_page(
    line: &mut Line,
    asked: &Asked<'_>,
    status: u16,
    headers: &[u8],
    keep: bool,
    record: &mut Record,
) -> After {
    let body = error_page(status, scope(asked).server_tokens);
    let content_type = match body.is_empty() {
        true if status == 204 || status == 304 => "",
        true => scope(asked).default_type.as_str(),
        false => "text/html",
    };
    // After these nginx does not keep a connection: what follows on it may not be a request.
    let keep = keep && !matches!(status, 400 | 413 | 414 | 494..=497 | 500 | 501);
    // nginx's own codes are 400 to the client.
    let status = if (494..=497).contains(&status) { 400 } else { status };
    send(line, asked, &Reply { status, content_type, headers, body: &body, keep }, record).await
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
    head(asked, scope, reply, reply.body.len() as u64, &mut out);
    let body = if asked.is_head() || matches!(reply.status, 204 | 304) { &b""[..] } else { reply.body };
    record.status = reply.status;
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
pub(crate) fn head(asked: &Asked<'_>, scope: &Scope, reply: &Reply<'_>, length: u64, out: &mut Vec<u8>) {
    let _ = write!(out, "HTTP/1.1 {}", reply.status);
    if let Some(reason) = reason(reply.status) {
        let _ = write!(out, " {reason}");
    }
    out.extend_from_slice(b"\r\n");
    own_headers(asked.worker, scope, out);
    if !reply.content_type.is_empty() {
        push_field(out, b"Content-Type", reply.content_type.as_bytes());
    }
    if !matches!(reply.status, 204 | 304) {
        let _ = write!(out, "Content-Length: {length}\r\n");
    }
    push_field(out, b"Connection", if reply.keep { b"keep-alive" } else { b"close" });
    out.extend_from_slice(reply.headers);
    out.extend_from_slice(b"\r\n");
}
