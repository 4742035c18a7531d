use super::{Field, Framing, Known, Span, keeps_connection, list_has, parse_length};
use std::borrow::Cow;
use std::mem::MaybeUninit;

/// Header fields one request may carry.
const MAX_FIELDS: usize = 256;

/// A request head, as offsets into the bytes it was parsed from. Reused from one request to the next.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// Bytes up to and with the empty line.
    pub len: usize,
    /// Method.
    pub method: Span,
    /// Request target as it came.
    pub target: Span,
    /// Authority of an absolute-form target; it replaces `Host` (RFC 9112, section 3.2.2).
    pub authority: Option<Span>,
    /// Path and query of the target; empty when an absolute-form target has none.
    pub path: Span,
    /// The whole request line without its line end, for logs.
    pub line: Span,
    /// Minor version: 0 or 1.
    pub minor: u8,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// Value of `Host`.
    pub host: Option<Span>,
    /// How the body ends.
    pub framing: Framing,
    /// The client wants the connection kept open.
    pub keep_alive: bool,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// `Upgrade`, when `Connection` names it as well.
    pub upgrade: Option<Span>,
}

/// A request that gets no further than its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Status to answer with; the connection is closed afterwards.
    pub status: u16,
    /// Why, for the error log.
    pub reason: &'static str,
}

const fn bad(reason: &'static str) -> Reject {
    Reject { status: 400, reason }
}

/// Parses the request head at the beginning of `bytes` into `head`; `Ok(false)` when it is not complete yet.
///
/// What two parsers could read in two ways is refused, not interpreted.
pub fn parse_request(bytes: &[u8], head: &mut RequestHead) -> Result<bool, Reject> {
    let mut storage = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut storage) {
        Ok(httparse::Status::Complete(len)) => head.len = len,
        Ok(httparse::Status::Partial) => return Ok(false),
        Err(error) => return Err(refuse(bytes, error)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(bad("client sent invalid request line"));
    };
    head.minor = minor;
    head.method = Span::of(bytes, method.as_bytes());
    check_method(method.as_bytes())?;
    set_target(bytes, target.as_bytes(), head)?;
    head.line = Span { start: head.method.start, end: head.target.end + " HTTP/1.1".len() as u32 };
    if !bytes[head.line.end as usize..].starts_with(b"\r\n") && bytes.get(head.line.end as usize) != Some(&b'\n') {
        return Err(bad("client sent invalid request line"));
    }

    head.fields.clear();
    head.host = None;
    head.expects_continue = false;
    head.upgrade = None;
    head.keep_alive = minor == 1;
    let mut length = None;
    let mut chunked = false;
    let mut connection_upgrade = false;
    let mut upgrade = None;
    for field in parsed.headers.iter() {
        let name = field.name.as_bytes();
        // `ignore_invalid_headers on` and `underscores_in_headers off`: to CGI-like programs behind us `X_A` is `X-A`.
        if !name.iter().all(|&byte| IN_NAME[usize::from(byte)]) {
            continue;
        }
        let value = field.value.trim_ascii();
        let span = Span::of(bytes, value);
        let known = Known::of(name);
        match known {
            Known::Host => {
                if head.host.replace(span).is_some() {
                    return Err(bad("client sent duplicate host header"));
                }
                check_host(value)?;
            }
            Known::Connection => {
                head.keep_alive = keeps_connection(value, head.keep_alive);
                connection_upgrade |= list_has(value, b"upgrade");
            }
            Known::ContentLength => {
                let value = parse_length(value).ok_or(bad("client sent invalid \"Content-Length\" header"))?;
                if length.replace(value).is_some() {
                    return Err(bad("client sent duplicate header line: \"Content-Length\""));
                }
            }
            Known::TransferEncoding => {
                if minor == 0 {
                    return Err(bad("client sent HTTP/1.0 request with \"Transfer-Encoding\" header"));
                }
                if chunked {
                    return Err(bad("client sent duplicate header line: \"Transfer-Encoding\""));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(bad("client sent unknown \"Transfer-Encoding\""));
                }
                chunked = true;
            }
            Known::Expect => head.expects_continue = minor == 1 && value.eq_ignore_ascii_case(b"100-continue"),
            Known::Upgrade => upgrade = Some(span),
            // What is of concern later, or in answers only.
            _ => {}
        }
        head.fields.push(Field { name: Span::of(bytes, name), value: span, known });
    }
    if connection_upgrade {
        head.upgrade = upgrade;
    }
    if head.host.is_none() && minor == 1 {
        return Err(bad("client sent HTTP/1.1 request without \"Host\" header"));
    }
    head.framing = match (length, chunked) {
        (Some(_), true) => {
            return Err(bad("client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time"));
        }
        (None, true) => Framing::Chunked,
        (Some(0) | None, false) => Framing::None,
        (Some(length), false) => Framing::Length(length),
    };
    Ok(true)
}

impl RequestHead {
    /// Path and query in origin form, `/` when an absolute-form target had no path.
    pub fn uri<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match self.path.of_bytes(bytes) {
            b"" => Cow::Borrowed(b"/"),
            query @ [b'?', ..] => Cow::Owned([b"/", query].concat()),
            path => Cow::Borrowed(path),
        }
    }

    /// The host the request is for: of the target, or of `Host`.
    pub fn host<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.authority.or(self.host).map(|span| span.of_bytes(bytes))
    }

    /// The value of the first field of this kind.
    pub fn known<'a>(&self, bytes: &'a [u8], known: Known) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.known == known).map(|field| field.value.of_bytes(bytes))
    }
}

/// httparse's verdict in the words and codes of nginx.
fn refuse(bytes: &[u8], error: httparse::Error) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => Reject { status: 494, reason: "client sent too many header lines" },
        httparse::Error::Version => {
            let line = bytes.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
            let version = line.and_then(|line| line.trim_ascii_end().rsplit(|&byte| byte == b' ').next());
            match version {
                Some([b'H', b'T', b'T', b'P', b'/', b'2'..=b'9', b'.', minor]) if minor.is_ascii_digit() => {
                    Reject { status: 505, reason: "client sent unsupported HTTP version" }
                }
                _ => bad("client sent invalid version"),
            }
        }
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            bad("client sent invalid header line")
        }
        httparse::Error::Token | httparse::Error::Status => bad("client sent invalid request line"),
    }
}

/// nginx takes upper case letters, `_` and `-` as a method; CONNECT and TRACE it answers with 405.
fn check_method(method: &[u8]) -> Result<(), Reject> {
    match method {
        b"CONNECT" => Err(Reject { status: 405, reason: "client sent CONNECT method" }),
        b"TRACE" => Err(Reject { status: 405, reason: "client sent TRACE method" }),
        _ if method.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'_' | b'-')) => Ok(()),
        _ => Err(bad("client sent invalid method")),
    }
}

/// Origin form (`/path`) or absolute form (`http://host/path`).
fn set_target(bytes: &[u8], target: &[u8], head: &mut RequestHead) -> Result<(), Reject> {
    head.target = Span::of(bytes, target);
    head.authority = None;
    head.path = head.target;
    if target.first() == Some(&b'/') {
        return Ok(());
    }
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .ok_or(bad("client sent invalid request line"))?;
    let rest = &target[scheme.len()..];
    let (authority, path) =
        rest.split_at(rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len()));
    check_host(authority)?;
    head.authority = Some(Span::of(bytes, authority));
    head.path = Span::of(bytes, path);
    Ok(())
}

/// A name or address with an optional port. Never anything that could end a header or be taken for a path or user.
fn check_host(host: &[u8]) -> Result<(), Reject> {
    const INVALID: Reject = bad("client sent invalid host header");
    let name = match host {
        [b'[', ..] => {
            let end = memchr::memchr(b']', host).ok_or(INVALID)?;
            if !host[1..end].iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')) {
                return Err(INVALID);
            }
            &host[..=end]
        }
        _ => &host[..memchr::memchr(b':', host).unwrap_or(host.len())],
    };
    let port_is_sound = match &host[name.len()..] {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let name_is_sound = name.first() == Some(&b'[') || name.iter().all(|&byte| IN_HOST[usize::from(byte)]);
    if name.is_empty() || !port_is_sound || !name_is_sound || name.windows(2).any(|pair| pair == b"..") {
        return Err(INVALID);
    }
    Ok(())
}

/// Letters, digits and `-`.
const IN_NAME: [bool; 256] = among(b"-", false);
/// What may stand in the name or address of a host that is not in brackets.
const IN_HOST: [bool; 256] = among(b"-._~%!$&'()*+;=", true);

/// Letters, digits, `others` and perhaps what is not ASCII: looked up, because each byte of each request is.
const fn among(others: &[u8], beyond_ascii: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || beyond_ascii && byte >= 0x80;
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &[u8]) -> Result<Option<RequestHead>, Reject> {
        let mut head = RequestHead::default();
        Ok(parse_request(text, &mut head)?.then_some(head))
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let table: &[(&str, u16)] = &[
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", 400),
            ("GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nA\x01: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
            ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET / HTTP/1.12\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ];
        for (text, status) in table {
            let outcome = parse(text.as_bytes());
            assert_eq!(outcome.err().map(|reject| reject.status), Some(*status), "{text:?}");
        }
    }

    #[test]
    fn the_end_of_the_body_and_of_the_connection_is_known() {
        let table = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None, true),
            ("GET / HTTP/1.0\r\n\r\n", Framing::None, false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Framing::None, true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", Framing::None, false),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Framing::None, true),
            ("POST / HTTP/1.1\r\nHost: a\r\ncontent-length:  12 \r\n\r\n", Framing::Length(12), true),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked, true),
            ("\r\nGET / HTTP/1.1\nHost: a\n\n", Framing::None, true),
        ];
        for (text, framing, keep_alive) in table {
            let head = parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!((head.framing, head.keep_alive, head.len), (framing, keep_alive, text.len()), "{text:?}");
        }
    }

    #[test]
    fn an_absolute_target_names_host_and_path() {
        let table = [
            ("http://b.example:80/x?y", "b.example:80", "/x?y"),
            ("HTTP://b", "b", "/"),
            ("http://b?q", "b", "/?q"),
            ("https://[::1]:8/", "[::1]:8", "/"),
        ];
        for (target, host, uri) in table {
            let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.host(text.as_bytes()), Some(host.as_bytes()), "{target}");
            assert_eq!(&*head.uri(text.as_bytes()), uri.as_bytes(), "{target}");
            assert_eq!(head.line.of_bytes(text.as_bytes()), format!("GET {target} HTTP/1.1").as_bytes());
        }
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        let both = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n";
        let head = parse(both.as_bytes()).unwrap().unwrap();
        assert_eq!(head.upgrade.map(|span| span.of_bytes(both.as_bytes())), Some(&b"websocket"[..]));
        assert!(parse(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").unwrap().unwrap().upgrade.is_none());
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn every_prefix_of_a_head_is_incomplete(cut in 0usize..60) {
            let text = b"POST /path?x=1 HTTP/1.1\r\nHost: example.com:81\r\nContent-Length: 3\r\n\r\n";
            let cut = cut.min(text.len() - 1);
            prop_assert!(matches!(parse(&text[..cut]), Ok(None)));
        }
    }
}
