use super::{Field, Framing, Known, Span, keeps_connection, parse_length};
use std::mem::MaybeUninit;
use thiserror::Error;

/// Header fields one response may carry.
const MAX_FIELDS: usize = 256;

/// A response head, as offsets into the bytes it was parsed from. Reused from one response to the next.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// Bytes up to and with the empty line.
    pub len: usize,
    /// Status code.
    pub status: u16,
    /// Code and reason as they came: `200 OK`.
    pub status_line: Span,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// How the body ends, for a request that was not HEAD.
    pub framing: Framing,
    /// The upstream will keep the connection open.
    pub keep_alive: bool,
}

/// Why a response was refused; nginx's words for its error log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadResponse {
    /// Not HTTP/1.
    #[error("upstream sent no valid HTTP/1.0 header")]
    Syntax,
    /// More fields than allowed.
    #[error("upstream sent too many header lines")]
    TooManyFields,
    /// `Content-Length` is no number, or two of them.
    #[error("upstream sent invalid \"Content-Length\" header")]
    Length,
    /// `Transfer-Encoding` other than `chunked`.
    #[error("upstream sent unknown \"Transfer-Encoding\"")]
    TransferEncoding,
    /// Both.
    #[error("upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time")]
    Both,
}

/// Parses the head at the beginning of `bytes` into `head`; `Ok(false)` when it is not complete yet.
pub fn parse_response(bytes: &[u8], head: &mut ResponseHead) -> Result<bool, BadResponse> {
    let mut storage = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = httparse::ParserConfig::default()
        .allow_spaces_after_header_name_in_responses(true)
        .parse_response_with_uninit_headers(&mut parsed, bytes, &mut storage);
    let len = match outcome {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(false),
        Err(httparse::Error::TooManyHeaders) => return Err(BadResponse::TooManyFields),
        Err(_) => return Err(BadResponse::Syntax),
    };
    head.len = len;
    head.status = parsed.code.unwrap_or(0);
    if head.status < 100 || head.status > 999 {
        return Err(BadResponse::Syntax);
    }
    // `HTTP/1.x ` is nine bytes; what follows up to the line end goes to the client as it is.
    // Empty lines before it are the parser's to skip.
    let line_start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let line = &bytes[line_start..len];
    let line = line[..memchr::memchr(b'\n', line).unwrap_or(line.len())].trim_ascii_end();
    head.status_line = Span::of(bytes, line.get(9..).unwrap_or_default());

    head.fields.clear();
    head.keep_alive = parsed.version == Some(1);
    let mut length = None;
    let mut chunked = false;
    for field in parsed.headers.iter() {
        let name = field.name.as_bytes();
        let known = Known::of(name);
        match known {
            Known::Connection => head.keep_alive = keeps_connection(field.value, head.keep_alive),
            Known::ContentLength => {
                let value = parse_length(field.value).ok_or(BadResponse::Length)?;
                if length.replace(value).is_some() {
                    return Err(BadResponse::Length);
                }
            }
            Known::TransferEncoding => {
                if chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadResponse::TransferEncoding);
                }
                chunked = true;
            }
            // What is of concern when the head is passed on, or in requests only.
            _ => {}
        }
        head.fields.push(Field { name: Span::of(bytes, name), value: Span::of(bytes, field.value), known });
    }
    head.framing = match (length, chunked) {
        _ if head.status < 200 || head.status == 204 || head.status == 304 => Framing::None,
        (Some(_), true) => return Err(BadResponse::Both),
        (None, true) => Framing::Chunked,
        (Some(length), false) => Framing::Length(length),
        (None, false) => Framing::Close,
    };
    Ok(true)
}

impl ResponseHead {
    /// Whether nothing can follow this head on the connection it came from.
    pub fn ends_connection(&self) -> bool {
        !self.keep_alive || self.framing == Framing::Close
    }

    /// The value of the first field of this kind.
    pub fn known<'a>(&self, bytes: &'a [u8], known: Known) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.known == known).map(|field| field.value.of_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<ResponseHead>, BadResponse> {
        let mut head = ResponseHead::default();
        Ok(parse_response(text.as_bytes(), &mut head)?.then_some(head))
    }

    #[test]
    fn the_end_of_a_body_is_found_as_rfc_9112_says() {
        let table = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::Close, true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", Framing::None, false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Framing::None, true),
        ];
        for (text, framing, keep_alive) in table {
            let head = parse(text).unwrap().unwrap();
            assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{text}");
        }
    }

    #[test]
    fn the_status_line_is_kept_as_it_came() {
        let text = "HTTP/1.1 299 Odd  Reason\r\nA: b\r\n\r\nbody";
        let head = parse(text).unwrap().unwrap();
        assert_eq!(head.status_line.of_bytes(text.as_bytes()), b"299 Odd  Reason");
        let [field] = head.fields[..] else { panic!("{:?}", head.fields) };
        assert_eq!(
            (field.name.of_bytes(text.as_bytes()), field.value.of_bytes(text.as_bytes())),
            (&b"A"[..], &b"b"[..])
        );
        assert_eq!(&text.as_bytes()[head.len..], b"body");
        let late = "\r\n\nHTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(parse(late).unwrap().unwrap().status_line.of_bytes(late.as_bytes()), b"200 OK");
        let bare = "HTTP/1.1 200\r\n\r\n";
        assert_eq!(parse(bare).unwrap().unwrap().status_line.of_bytes(bare.as_bytes()), b"200");
    }

    #[test]
    fn a_response_that_could_end_in_two_places_is_refused() {
        let table = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", BadResponse::Length),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5,5\r\n\r\n", BadResponse::Length),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", BadResponse::TransferEncoding),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", BadResponse::Both),
            ("SMTP ready\r\n\r\n", BadResponse::Syntax),
        ];
        for (text, error) in table {
            assert_eq!(parse(text).err(), Some(error), "{text}");
        }
        assert!(parse("HTTP/1.1 200 OK\r\nA:").unwrap().is_none());
    }
}
