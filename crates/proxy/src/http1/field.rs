use super::Span;

/// A header field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: Span,
    /// Its value, without the white space around it.
    pub value: Span,
    /// Which of the fields that concern a proxy it is.
    pub known: Known,
}

/// Fields that concern a proxy. Each name is compared once, when the head is parsed; later steps compare this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the name of a field")]
pub enum Known {
    Host,
    Connection,
    KeepAlive,
    ContentLength,
    ContentType,
    TransferEncoding,
    Te,
    Expect,
    Upgrade,
    IfModifiedSince,
    IfNoneMatch,
    Range,
    Date,
    Server,
    Location,
    /// `X-Pad` and the `X-Accel-` fields with which an upstream talks to nginx alone.
    ForNginx,
    Other,
}

impl Known {
    /// The kind of a field's name, compared without case.
    pub fn of(name: &[u8]) -> Known {
        // Length and first letter leave at most one candidate, or several that mean the same.
        let (candidate, known): (&[u8], Known) = match (name.len(), name.first().map(u8::to_ascii_lowercase)) {
            (2, Some(b't')) => (b"te", Known::Te),
            (4, Some(b'h')) => (b"host", Known::Host),
            (4, Some(b'd')) => (b"date", Known::Date),
            (5, Some(b'r')) => (b"range", Known::Range),
            (5, Some(b'x')) => (b"x-pad", Known::ForNginx),
            (6, Some(b'e')) => (b"expect", Known::Expect),
            (6, Some(b's')) => (b"server", Known::Server),
            (7, Some(b'u')) => (b"upgrade", Known::Upgrade),
            (8, Some(b'l')) => (b"location", Known::Location),
            (10, Some(b'c')) => (b"connection", Known::Connection),
            (10, Some(b'k')) => (b"keep-alive", Known::KeepAlive),
            (12, Some(b'c')) => (b"content-type", Known::ContentType),
            (13, Some(b'i')) => (b"if-none-match", Known::IfNoneMatch),
            (14, Some(b'c')) => (b"content-length", Known::ContentLength),
            (15, Some(b'x')) if name.eq_ignore_ascii_case(b"x-accel-charset") => return Known::ForNginx,
            (15, Some(b'x')) => (b"x-accel-expires", Known::ForNginx),
            (16, Some(b'x')) => (b"x-accel-redirect", Known::ForNginx),
            (17, Some(b'i')) => (b"if-modified-since", Known::IfModifiedSince),
            (17, Some(b't')) => (b"transfer-encoding", Known::TransferEncoding),
            (17, Some(b'x')) => (b"x-accel-buffering", Known::ForNginx),
            (18, Some(b'x')) => (b"x-accel-limit-rate", Known::ForNginx),
            _ => return Known::Other,
        };
        if name.eq_ignore_ascii_case(candidate) { known } else { Known::Other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_whatever_its_case_and_by_all_its_letters() {
        let table: &[(&str, Known)] = &[
            ("TE", Known::Te),
            ("Host", Known::Host),
            ("hOST", Known::Host),
            ("Hose", Known::Other),
            ("Date", Known::Date),
            ("Range", Known::Range),
            ("X-Pad", Known::ForNginx),
            ("Expect", Known::Expect),
            ("Server", Known::Server),
            ("Upgrade", Known::Upgrade),
            ("Location", Known::Location),
            ("Connection", Known::Connection),
            ("Keep-Alive", Known::KeepAlive),
            ("Content-Type", Known::ContentType),
            ("If-None-Match", Known::IfNoneMatch),
            ("Content-Length", Known::ContentLength),
            ("Content_Length", Known::Other),
            ("If-Modified-Since", Known::IfModifiedSince),
            ("Transfer-Encoding", Known::TransferEncoding),
            ("X-Accel-Charset", Known::ForNginx),
            ("X-Accel-Expires", Known::ForNginx),
            ("X-Accel-Redirect", Known::ForNginx),
            ("X-Accel-Buffering", Known::ForNginx),
            ("X-Accel-Limit-Rate", Known::ForNginx),
            ("X-Forwarded-Proto", Known::Other),
            ("", Known::Other),
        ];
        for (name, known) in table {
            assert_eq!(Known::of(name.as_bytes()), *known, "{name}");
        }
    }
}
