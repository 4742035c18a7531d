//! Request targets: decoding, normalising and escaping as nginx does it.

use std::borrow::Cow;

/// A request target taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<'r> {
    /// Host of an absolute target (`http://host/path`), with its port.
    pub authority: Option<&'r str>,
    /// The target from its path on, as sent: `$request_uri`. With the path `/` when an absolute target has none.
    pub raw: Cow<'r, str>,
    /// The path decoded and normalised; starts with `/` and holds neither `.` nor `..` as a segment.
    pub path: Cow<'r, [u8]>,
    /// What follows `?`, as sent.
    pub args: Option<&'r str>,
    /// The path was written with `%`: nginx escapes it again when it rebuilds a URI.
    pub quoted: bool,
}

/// A target that nginx answers with 400: no path, a bad escape, or a way out of the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid request target")]
pub struct BadTarget;

/// Takes a target apart. `//` counts as `/` when `merge_slashes`.
pub fn parse(target: &str, merge_slashes: bool) -> Result<Parsed<'_>, BadTarget> {
    if target.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Err(BadTarget);
    }
    let (authority, from_path) = split_authority(target)?;
    let end = from_path.find(['?', '#']).unwrap_or(from_path.len());
    let args = from_path[end..].strip_prefix('?').map(|args| args.split('#').next().unwrap_or_default());
    let (written, raw) = match end {
        0 => ("/", Cow::Owned(format!("/{from_path}"))),
        _ => (&from_path[..end], Cow::Borrowed(from_path)),
    };
    let quoted = written.contains('%');
    let path = match quoted || needs_normalising(written.as_bytes(), merge_slashes) {
        true => Cow::Owned(normalise(written.as_bytes(), merge_slashes)?),
        false => Cow::Borrowed(written.as_bytes()),
    };
    Ok(Parsed { authority, raw, path, args, quoted })
}

/// The authority of an absolute target, and what follows it: empty, or from `/`, `?` or `#` on.
fn split_authority(target: &str) -> Result<(Option<&str>, &str), BadTarget> {
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let scheme = target.find("://").ok_or(BadTarget)?;
    if scheme == 0 || !target[..scheme].bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
        return Err(BadTarget);
    }
    let rest = &target[scheme + 3..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Ok((Some(&rest[..end]), &rest[end..]))
}

fn needs_normalising(path: &[u8], merge_slashes: bool) -> bool {
    path.windows(2).any(|pair| pair[0] == b'/' && (pair[1] == b'.' || (pair[1] == b'/' && merge_slashes)))
}

/// Decodes `%XX`, then resolves `.`, `..` and repeated slashes, decoded ones included: `/a/%2e%2e%2fb` is `/b`.
pub fn normalise(path: &[u8], merge_slashes: bool) -> Result<Vec<u8>, BadTarget> {
    let mut rest = path.strip_prefix(b"/").ok_or(BadTarget)?;
    let mut out = Vec::with_capacity(path.len());
    out.push(b'/');
    while let [first, after @ ..] = rest {
        let byte;
        (byte, rest) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (hex(*high)? << 4 | hex(*low)?, after),
            (b'%', _) => return Err(BadTarget),
            (byte, after) => (*byte, after),
        };
        match byte {
            0 => return Err(BadTarget),
            b'/' if !resolve_dots(&mut out)? => {
                if !(merge_slashes && out.last() == Some(&b'/')) {
                    out.push(b'/');
                }
            }
            b'/' => {}
            byte => out.push(byte),
        }
    }
    resolve_dots(&mut out)?;
    Ok(out)
}

/// When the last segment is `.` or `..`, removes it (and its parent), and says that it did.
fn resolve_dots(out: &mut Vec<u8>) -> Result<bool, BadTarget> {
    if out.ends_with(b"/.") {
        out.pop();
        return Ok(true);
    }
    if !out.ends_with(b"/..") {
        return Ok(false);
    }
    out.truncate(out.len() - 3);
    let parent = out.iter().rposition(|b| *b == b'/').ok_or(BadTarget)?;
    out.truncate(parent + 1);
    Ok(true)
}

fn hex(digit: u8) -> Result<u8, BadTarget> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(BadTarget)
}

/// Appends a path in the form of a request target: `%XX` for `#`, `%`, `?` and what no URI holds.
pub fn escape(path: &[u8], out: &mut String) {
    for byte in path {
        match byte {
            b'#' | b'%' | b'?' => push_escaped(*byte, out),
            byte if is_unsafe(*byte) => push_escaped(*byte, out),
            byte => out.push(*byte as char),
        }
    }
}

/// Appends arguments: `%XX` only for what would end a request line or is not text. nginx escapes none of it.
pub(crate) fn escape_bytes(args: &[u8], out: &mut String) {
    for byte in args {
        match byte {
            0..=b' ' | 0x7f..=0xff => push_escaped(*byte, out),
            byte => out.push(*byte as char),
        }
    }
}

/// Appends what becomes a part of arguments: `%XX` for blanks, controls, `#`, `%`, `&`, `+`, `;`, `?` and what is not ASCII.
pub(crate) fn escape_args(value: &[u8], out: &mut Vec<u8>) {
    let mut text = String::with_capacity(value.len());
    for byte in value {
        match byte {
            b'#' | b'%' | b'&' | b'+' | b';' | b'?' => push_escaped(*byte, &mut text),
            byte if is_unsafe(*byte) => push_escaped(*byte, &mut text),
            byte => text.push(*byte as char),
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// A redirect that `rewrite` made of a path: printable characters are not left as `%XX`, up to the arguments.
pub(crate) fn unescape_redirect(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len());
    let mut rest = target;
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'?', _) => break,
            (b'%', [high, low, after @ ..]) => {
                match (hex(*high), hex(*low)) {
                    (Ok(high), Ok(low)) if (high << 4 | low) > b'%' && (high << 4 | low) < 0x7f => {
                        out.push(high << 4 | low);
                    }
                    _ => out.extend_from_slice(&[b'%', *high, *low]),
                }
                rest = after;
            }
            (byte, after) => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// What no part of a URI may hold (RFC 3986, appendix A, and what is not ASCII).
fn is_unsafe(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7f..=0xff)
}

fn push_escaped(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(HEX[usize::from(byte >> 4)] as char);
    out.push(HEX[usize::from(byte & 15)] as char);
}

/// A `Host` header or an authority: checked as nginx checks it, without its port and a trailing dot, in lower case.
/// `None` when nginx would answer 400.
pub fn host(text: &str) -> Option<Cow<'_, str>> {
    let name = match text.starts_with('[') {
        true => &text[..=text.find(']')?],
        false => &text[..text.bytes().position(|b| b == b':').unwrap_or(text.len())],
    };
    // In one pass over what is short and read with each request.
    let (mut before, mut has_upper) = (0, false);
    for b in name.bytes() {
        if b == b'.' && before == b'.' {
            return None;
        }
        has_upper |= b.is_ascii_uppercase();
        before = b;
    }
    if text.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'/') {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return None;
    }
    Some(if has_upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_normalised_as_nginx_does_it() {
        for (target, path) in [
            ("/", Some("/")),
            ("/a/b", Some("/a/b")),
            ("/a//b", Some("/a/b")),
            ("/a/./b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/..", Some("/")),
            ("/a/b/..", Some("/a/")),
            ("/a/.", Some("/a/")),
            ("/a/.b", Some("/a/.b")),
            ("/a/..b/c", Some("/a/..b/c")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a%2F%2Fb", Some("/a/b")),
            ("/a%2f..%2fb", Some("/b")),
            ("/%41", Some("/A")),
            ("/a%20b", Some("/a b")),
            ("/a%3Fb", Some("/a?b")),
            ("/a%25b", Some("/a%b")),
            ("/a%252e", Some("/a%2e")),
            ("/a?b/../c", Some("/a")),
            ("/a/..?b", Some("/")),
            ("/a#b?c", Some("/a")),
            ("http://h/a/../b", Some("/b")),
            ("http://h", Some("/")),
            ("/..", None),
            ("/../a", None),
            ("/a/../../b", None),
            ("/%2e%2e/a", None),
            ("/a%", None),
            ("/a%4", None),
            ("/a%zz", None),
            ("/a%00", None),
            ("a/b", None),
            ("", None),
            ("*", None),
            ("/a b", None),
            ("http://h?a", Some("/")),
        ] {
            let parsed = parse(target, true).ok().map(|p| String::from_utf8_lossy(&p.path).into_owned());
            assert_eq!(parsed.as_deref(), path, "{target}");
        }
    }

    #[test]
    fn slashes_are_kept_when_told_so() {
        let path = |target| parse(target, false).map(|p| String::from_utf8_lossy(&p.path).into_owned());
        assert_eq!(path("/a//b").as_deref(), Ok("/a//b"));
        assert_eq!(path("/a//../b").as_deref(), Ok("/a/b"));
        assert_eq!(path("/a//./b").as_deref(), Ok("/a//b"));
    }

    #[test]
    fn the_rest_of_a_target_is_kept_as_sent() {
        let parsed = parse("http://h:8/a/%20?x=%41#y", true).expect("valid");
        assert_eq!(parsed.authority, Some("h:8"));
        assert_eq!(parsed.raw, "/a/%20?x=%41#y");
        assert_eq!(parsed.args, Some("x=%41"));
        assert!(parsed.quoted);
        assert_eq!(parse("http://h?x", true).expect("valid").raw, "/?x");
        assert_eq!(parse("/a?", true).expect("valid").args, Some(""));
        assert_eq!(parse("/a", true).expect("valid").args, None);
    }

    #[test]
    fn a_host_is_checked_and_stripped() {
        for (text, name) in [
            ("example.com", Some("example.com")),
            ("Example.COM:8080", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("[::1]:80", Some("[::1]")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("_", Some("_")),
            ("a..b", None),
            ("a/b", None),
            ("a b", None),
            ("[::1", None),
            ("", None),
            (":80", None),
        ] {
            assert_eq!(host(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn what_would_not_survive_is_escaped() {
        let mut out = String::new();
        escape("/a b?#%é+&\u{1}".as_bytes(), &mut out);
        assert_eq!(out, "/a%20b%3F%23%25%C3%A9+&%01");
    }

    proptest::proptest! {
        #[test]
        fn no_path_leaves_the_root(path in "[/.%2efEF0-3a?#\\PC]{0,40}", merge: bool) {
            let Ok(parsed) = parse(&path, merge) else { return Ok(()) };
            proptest::prop_assert!(parsed.path.starts_with(b"/"));
            for segment in parsed.path.split(|b| *b == b'/') {
                proptest::prop_assert!(segment != b"." && segment != b"..");
            }
            proptest::prop_assert!(!merge || !parsed.path.windows(2).any(|pair| pair == b"//"));
            // A path without escapes is its own normal form.
            if !parsed.path.contains(&b'%') {
                let again = normalise(&parsed.path, merge);
                proptest::prop_assert_eq!(again.as_deref(), Ok(&*parsed.path));
            }
        }

        #[test]
        fn an_escaped_path_reads_back(path in "[a-z .#%?\\x01-\\x7f]{0,20}") {
            let path = format!("/x{}", path.replace(['/', '.'], "_"));
            let mut out = String::new();
            escape(path.as_bytes(), &mut out);
            let parsed = parse(&out, true).expect("escaped");
            proptest::prop_assert_eq!(&*parsed.path, path.as_bytes());
        }

        #[test]
        fn no_host_panics(text in "\\PC{0,30}") {
            let _ = host(&text);
        }
    }
}
