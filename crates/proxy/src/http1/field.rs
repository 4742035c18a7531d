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
        match name.len() {
            2 if is(name, b"te") => Known::Te,
            4 if is(name, b"host") => Known::Host,
            4 if is(name, b"date") => Known::Date,
            5 if is(name, b"range") => Known::Range,
            5 if is(name, b"x-pad") => Known::ForNginx,
            6 if is(name, b"server") => Known::Server,
            6 if is(name, b"expect") => Known::Expect,
            7 if is(name, b"upgrade") => Known::Upgrade,
            8 if is(name, b"location") => Known::Location,
            10 if is(name, b"connection") => Known::Connection,
            10 if is(name, b"keep-alive") => Known::KeepAlive,
            12 if is(name, b"content-type") => Known::ContentType,
            13 if is(name, b"if-none-match") => Known::IfNoneMatch,
            14 if is(name, b"content-length") => Known::ContentLength,
            15 if is(name, b"x-accel-expires") || is(name, b"x-accel-charset") => Known::ForNginx,
            16 if is(name, b"x-accel-redirect") => Known::ForNginx,
            17 if is(name, b"transfer-encoding") => Known::TransferEncoding,
            17 if is(name, b"if-modified-since") => Known::IfModifiedSince,
            17 if is(name, b"x-accel-buffering") => Known::ForNginx,
            18 if is(name, b"x-accel-limit-rate") => Known::ForNginx,
            _ => Known::Other,
        }
    }
}

/// Whether a field's name is `lower`, which is letters and `-`, but for case. A known length makes this a few wide
/// comparisons. (Setting a bit makes letters small and leaves `-`; no name holds the line end that it would make a `-`.)
fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else { return false };
    let difference = name.iter().zip(lower).fold(0, |sum, (byte, lower)| sum | ((byte | 0x20) ^ lower));
    difference == 0
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
