use crate::clock::unix_time;
use crate::http1::RequestHead;
use crate::worker::Worker;
use evenkeel_site::config::LogLevel;
use evenkeel_site::{CompiledServer, Facts, Look, Plan, Site, Values, Variable, time};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

/// What stays the same on one connection.
#[derive(Debug)]
pub(crate) struct Identity {
    /// `$connection`.
    pub(crate) number: u64,
    /// Index in `Config::listens`.
    pub(crate) listen: usize,
    pub(crate) peer: Option<SocketAddr>,
    /// `$remote_addr`; `unix:` for a client on a Unix socket.
    pub(crate) peer_text: String,
    pub(crate) local: Option<SocketAddr>,
    /// By the worker's clock.
    pub(crate) opened_at: Duration,
}

/// A request and the answer that is decided for it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) site: &'a Site,
    pub(crate) identity: &'a Identity,
    pub(crate) head: &'a RequestHead,
    /// What `head` points into.
    pub(crate) bytes: &'a [u8],
    /// Absent for a request that could not be read.
    pub(crate) plan: Option<&'a Plan<'a>>,
    /// On this connection, this one included.
    pub(crate) n_requests: u32,
}

/// What happened to a request, for the access log.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Status sent, or nginx's 499 and 408 for what was not.
    pub(crate) status: u16,
    pub(crate) body_sent: u64,
    pub(crate) head_sent: u64,
    /// By the worker's clock; set when there is a log.
    pub(crate) started_at: Duration,
    pub(crate) request_length: u64,
    pub(crate) attempts: Vec<Attempt>,
    /// The head that was sent and that of the upstream; kept when there is a log.
    pub(crate) sent_head: Vec<u8>,
    pub(crate) upstream_head: Vec<u8>,
    pub(crate) complete: bool,
}

/// One try at an upstream server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    pub(crate) address: String,
    pub(crate) status: Option<u16>,
    pub(crate) connect: Option<Duration>,
    pub(crate) header: Option<Duration>,
    pub(crate) response: Option<Duration>,
    pub(crate) length: u64,
    /// The first for another upstream: that of an error page.
    pub(crate) is_elsewhere: bool,
}

impl<'a> Asked<'a> {
    /// The client's, or that with which an error page is asked for.
    pub(crate) fn method(&self) -> &'a [u8] {
        match self.plan.and_then(|plan| plan.method) {
            Some(method) => method.as_bytes(),
            None => self.head.method.of_bytes(self.bytes),
        }
    }

    /// The status of an answer: whatever it says, a page of an error has that of the error.
    pub(crate) fn status(&self, status: u16) -> u16 {
        self.plan.and_then(|plan| plan.status).unwrap_or(status)
    }

    /// All variables, those of the answer included.
    pub(crate) fn values(&'a self, record: &'a Record) -> impl Values + 'a {
        View { asked: self, record }
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// Whether somebody will want to know times and heads.
    pub(crate) fn is_logged(&self) -> bool {
        self.plan.is_some_and(|plan| plan.scope.is_observed())
    }

    /// One line in each access log in force.
    pub(crate) fn log(&self, record: &Record) {
        let scope = match self.plan {
            Some(plan) => plan.scope,
            None => &self.server().fallback,
        };
        for log in &scope.values.access_logs {
            let values = View { asked: self, record };
            self.worker.logs.append(&log.path, |out| self.site.log_format(log.format).render(&values, out));
        }
    }

    /// A message in the error log: `text` and who and what it is about.
    pub(crate) fn error(&self, level: LogLevel, text: &str, upstream: Option<&str>) {
        let log = match self.plan {
            Some(plan) => &plan.scope.values.error_log,
            None => &self.server().fallback.values.error_log,
        };
        tracing::debug!(connection = self.identity.number, upstream, "{text}");
        if level < log.level {
            return;
        }
        let mut line = format!("{text}, client: {}", self.identity.peer_text);
        line.push_str(", server: ");
        line.push_str(&self.server().name);
        let request = String::from_utf8_lossy(self.head.line.of_bytes(self.bytes));
        if !request.is_empty() {
            line.push_str(&format!(", request: \"{request}\""));
        }
        if let Some(upstream) = upstream {
            line.push_str(&format!(", upstream: \"{upstream}\""));
        }
        if let Some(host) = self.head.host(self.bytes) {
            line.push_str(&format!(", host: \"{}\"", String::from_utf8_lossy(host)));
        }
        self.worker.logs.error(log, level, Some(self.identity.number), &line);
    }

    /// The server that answers: the default one until the request has been read.
    pub(crate) fn server(&self) -> &'a CompiledServer {
        match self.plan {
            Some(plan) => plan.server,
            None => self.site.default_server(self.identity.listen),
        }
    }

    /// Appends the values of all fields of this name; false when there is none.
    pub(crate) fn header(&self, name: &str, separator: &[u8], out: &mut Vec<u8>) -> bool {
        let mut found = false;
        for field in &self.head.fields {
            if field.name.of_bytes(self.bytes).eq_ignore_ascii_case(name.as_bytes()) {
                if found {
                    out.extend_from_slice(separator);
                }
                out.extend_from_slice(field.value.of_bytes(self.bytes));
                found = true;
            }
        }
        found
    }
}

/// Values for a template that is rendered before there is an answer.
impl Values for Asked<'_> {
    fn write(&self, variable: &Variable, out: &mut Vec<u8>) -> bool {
        View { asked: self, record: &Record::default() }.write(variable, out)
    }
}

impl Facts for Asked<'_> {
    fn look(&self, path: &Path) -> Look {
        let Ok(metadata) = std::fs::metadata(path) else { return Look::default() };
        Look {
            exists: true,
            is_file: metadata.is_file(),
            is_directory: metadata.is_dir(),
            is_executable: metadata.is_file() && metadata.permissions().mode() & 0o100 != 0,
        }
    }
}

struct View<'a> {
    asked: &'a Asked<'a>,
    record: &'a Record,
}

impl Values for View<'_> {
    fn write(&self, variable: &Variable, out: &mut Vec<u8>) -> bool {
        let Asked { worker, identity, head, bytes, plan, n_requests, .. } = *self.asked;
        if let Some(found) = plan.and_then(|plan| plan.variable(variable, self, out)) {
            return found;
        }
        let record = self.record;
        match variable {
            Variable::Http(name) if name == "host" => {
                let Some(host) = head.host else { return false };
                out.extend_from_slice(host.of_bytes(bytes));
            }
            Variable::Http(name) => {
                let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
                return self.asked.header(name, separator, out);
            }
            Variable::ContentType => return self.asked.header("content-type", b", ", out),
            Variable::ContentLength => return self.asked.header("content-length", b", ", out),
            Variable::Cookie(name) => return self.cookie(name, out),
            Variable::SentHttp(name) => return head_field(&record.sent_head, name, out),
            Variable::UpstreamHttp(name) => return head_field(&record.upstream_head, name, out),
            Variable::RemoteAddr => out.extend_from_slice(identity.peer_text.as_bytes()),
            Variable::RemotePort => return number(identity.peer.map(|peer| peer.port()), out),
            Variable::BinaryRemoteAddr => match identity.peer.map(|peer| peer.ip()) {
                Some(std::net::IpAddr::V4(address)) => out.extend_from_slice(&address.octets()),
                Some(std::net::IpAddr::V6(address)) => out.extend_from_slice(&address.octets()),
                None => return false,
            },
            Variable::ProxyAddXForwardedFor => {
                if self.asked.header("x-forwarded-for", b", ", out) {
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(identity.peer_text.as_bytes());
            }
            Variable::ServerAddr => match identity.local {
                Some(local) => append(out, format_args!("{}", local.ip())),
                None => out.extend_from_slice(b"unix:"),
            },
            Variable::ServerPort => return number(identity.local.map(|local| local.port()), out),
            Variable::ServerProtocol => append(out, format_args!("HTTP/1.{}", head.minor)),
            Variable::Scheme => out.extend_from_slice(b"http"),
            Variable::Https => {}
            Variable::Request => out.extend_from_slice(head.line.of_bytes(bytes)),
            Variable::RequestMethod => out.extend_from_slice(head.method.of_bytes(bytes)),
            Variable::RequestLength => append(out, format_args!("{}", record.request_length)),
            Variable::RequestTime => {
                seconds(out, worker.clock.precise().saturating_sub(record.started_at));
            }
            Variable::RequestCompletion => out.extend_from_slice(if record.complete { b"OK" } else { b"" }),
            Variable::RequestId => append(out, format_args!("{:016x}{:016x}", identity.number, n_requests)),
            Variable::Status => append(out, format_args!("{:03}", record.status)),
            Variable::BodyBytesSent => append(out, format_args!("{}", record.body_sent)),
            Variable::BytesSent => append(out, format_args!("{}", record.head_sent + record.body_sent)),
            Variable::Connection => append(out, format_args!("{}", identity.number)),
            Variable::ConnectionRequests => append(out, format_args!("{n_requests}")),
            Variable::ConnectionTime => seconds(out, worker.clock.precise().saturating_sub(identity.opened_at)),
            Variable::Pid => append(out, format_args!("{}", std::process::id())),
            Variable::NginxVersion => out.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes()),
            Variable::Hostname => out.extend_from_slice(&worker.shared.hostname),
            Variable::Msec => {
                let now = unix_time();
                append(out, format_args!("{}.{:03}", now.as_secs(), now.subsec_millis()));
            }
            Variable::TimeLocal => time::local(unix_time().as_secs() as i64, 0, out),
            Variable::TimeIso8601 => time::iso8601(unix_time().as_secs() as i64, 0, out),
            Variable::UpstreamAddr => {
                return self.attempts(out, |try_, out| out.extend_from_slice(try_.address.as_bytes()));
            }
            Variable::UpstreamStatus => {
                return self.attempts(out, |try_, out| match try_.status {
                    Some(status) => append(out, format_args!("{status}")),
                    None => out.push(b'-'),
                });
            }
            Variable::UpstreamConnectTime => return self.attempts(out, |try_, out| maybe_seconds(out, try_.connect)),
            Variable::UpstreamHeaderTime => return self.attempts(out, |try_, out| maybe_seconds(out, try_.header)),
            Variable::UpstreamResponseTime => return self.attempts(out, |try_, out| maybe_seconds(out, try_.response)),
            Variable::UpstreamResponseLength | Variable::UpstreamBytesReceived => {
                return self.attempts(out, |try_, out| append(out, format_args!("{}", try_.length)));
            }
            Variable::RemoteUser => return self.remote_user(out),
            // The rest belongs to the plan; a request without one has no value for it.
            _ => return false,
        }
        true
    }
}

impl View<'_> {
    fn attempts(&self, out: &mut Vec<u8>, write: impl Fn(&Attempt, &mut Vec<u8>)) -> bool {
        for (index, attempt) in self.record.attempts.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(if attempt.is_elsewhere { b" : " } else { b", " });
            }
            write(attempt, out);
        }
        !self.record.attempts.is_empty()
    }

    fn cookie(&self, name: &str, out: &mut Vec<u8>) -> bool {
        let mut cookies = Vec::new();
        if !self.asked.header("cookie", b"; ", &mut cookies) {
            return false;
        }
        let mut pairs = cookies.split(|&byte| byte == b';').filter_map(|pair| {
            let at = memchr::memchr(b'=', pair)?;
            Some((pair[..at].trim_ascii(), &pair[at + 1..]))
        });
        let Some((_, value)) = pairs.find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())) else {
            return false;
        };
        out.extend_from_slice(value);
        true
    }

    /// The name in `Authorization: Basic`, decoded.
    fn remote_user(&self, out: &mut Vec<u8>) -> bool {
        let mut value = Vec::new();
        if !self.asked.header("authorization", b", ", &mut value) {
            return false;
        }
        let Some((scheme, encoded)) = value.split_at_checked(6) else { return false };
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return false;
        }
        let Some(decoded) = decode_base64(encoded.trim_ascii()) else { return false };
        let Some(colon) = memchr::memchr(b':', &decoded) else { return false };
        out.extend_from_slice(&decoded[..colon]);
        colon > 0
    }
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut n_bits) = (0u32, 0);
    for byte in text.iter().take_while(|&&byte| byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            out.push((bits >> n_bits) as u8);
        }
    }
    Some(out)
}

/// Appends the value of a field of a raw head.
fn head_field(head: &[u8], name: &str, out: &mut Vec<u8>) -> bool {
    let value = head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    });
    out.extend_from_slice(value.unwrap_or_default());
    value.is_some()
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn number(value: Option<u16>, out: &mut Vec<u8>) -> bool {
    if let Some(value) = value {
        append(out, format_args!("{value}"));
    }
    value.is_some()
}

/// Seconds with milliseconds, as nginx writes spans.
fn seconds(out: &mut Vec<u8>, span: Duration) {
    append(out, format_args!("{}.{:03}", span.as_secs(), span.subsec_millis()));
}

fn maybe_seconds(out: &mut Vec<u8>, span: Option<Duration>) {
    match span {
        Some(span) => seconds(out, span),
        None => out.push(b'-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_with_and_without_padding() {
        assert_eq!(decode_base64(b"dXNlcjpwYXNz").as_deref(), Some(&b"user:pass"[..]));
        assert_eq!(decode_base64(b"dTo=").as_deref(), Some(&b"u:"[..]));
        assert_eq!(decode_base64(b"d!"), None);
    }

    #[test]
    fn a_field_is_found_in_a_raw_head() {
        let mut out = Vec::new();
        assert!(head_field(b"HTTP/1.1 200 OK\r\nX-A:  b \r\n\r\n", "x-a", &mut out));
        assert_eq!(out, b"b");
    }
}
