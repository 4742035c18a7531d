//! HTTP_GET and SSL_GET, and the files of SSL_GET.

use super::super::Lower;
use super::super::number::Garbage;
use super::{HttpDraft, ProbeDraft, UrlDraft, check};
use crate::Diagnostic;
use crate::keepalived::language::Node;
use evenkeel_balance::config::{BodyRegex, HttpVersion};

pub(in crate::keepalived) fn http_get(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Http(HttpDraft::default()));
}

pub(in crate::keepalived) fn ssl_get(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Http(HttpDraft { tls: true, ..HttpDraft::default() }));
}

fn http(lower: &mut Lower) -> Option<&mut HttpDraft> {
    match &mut lower.check()?.probe {
        ProbeDraft::Http(http) => Some(http),
        _ => None,
    }
}

fn url(lower: &mut Lower) -> Option<&mut UrlDraft> {
    http(lower)?.urls.last_mut()
}

/// A word that becomes part of a request: nothing in it may end a line or a header.
fn plain(lower: &mut Lower, node: &Node) -> Option<String> {
    let word = node.argument(1)?;
    if word.text.is_empty() || word.text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        lower.refuse(word, format!("`{}` cannot stand in a request", word.text.escape_debug()));
        return None;
    }
    Some(word.text.clone())
}

pub(in crate::keepalived) fn virtualhost(lower: &mut Lower, node: &Node) {
    let Some(name) = plain(lower, node) else { return };
    let Some(http) = http(lower) else { return };
    http.virtualhost = Some(name);
}

pub(in crate::keepalived) fn http_protocol(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let version = match word.text.as_str() {
        "1.0" => HttpVersion::V10,
        "1.0C" | "1.0c" => HttpVersion::V10Close,
        "1.1" => HttpVersion::V11,
        other => return lower.refuse(word, format!("`{other}` is none of 1.0, 1.0C, 1.1")),
    };
    let Some(http) = http(lower) else { return };
    http.version = version;
}

pub(in crate::keepalived) fn enable_sni(lower: &mut Lower, _: &Node) {
    let Some(http) = http(lower) else { return };
    http.sni = true;
}

pub(in crate::keepalived) fn sni_name(lower: &mut Lower, node: &Node) {
    let Some(name) = plain(lower, node) else { return };
    let Some(http) = http(lower) else { return };
    http.sni_name = Some(name);
}

pub(in crate::keepalived) fn fast_recovery(lower: &mut Lower, node: &Node) {
    let Some(fast) = lower.boolean(node.argument(1)) else { return };
    let Some(http) = http(lower) else { return };
    http.fast_recovery = fast;
}

pub(in crate::keepalived) fn tls_compliant(lower: &mut Lower, _: &Node) {
    let Some(http) = http(lower) else { return };
    http.compliant = true;
}

pub(in crate::keepalived) fn begin_url(lower: &mut Lower, node: &Node) {
    let Some(span) = node.span() else { return };
    let Some(http) = http(lower) else { return };
    http.urls.push(UrlDraft {
        span,
        path: None,
        virtualhost: None,
        statuses: Vec::new(),
        digest: None,
        regex: BodyRegex {
            pattern: String::new(),
            no_match: false,
            options: Vec::new(),
            min_offset: 0,
            max_offset: None,
        },
        compliant: false,
    });
}

pub(in crate::keepalived) fn path(lower: &mut Lower, node: &Node) {
    let Some(path) = plain(lower, node) else { return };
    let Some(url) = url(lower) else { return };
    url.path = Some(path);
}

pub(in crate::keepalived) fn url_virtualhost(lower: &mut Lower, node: &Node) {
    let Some(name) = plain(lower, node) else { return };
    let Some(url) = url(lower) else { return };
    url.virtualhost = Some(name);
}

pub(in crate::keepalived) fn digest(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(sum) = md5(&word.text) else {
        return lower.refuse(word, format!("`{}` is not 32 hexadecimal digits", word.text));
    };
    let Some(url) = url(lower) else { return };
    url.digest = Some(sum);
}

fn md5(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let pairs = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.0.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok().filter(|_| pairs.1.is_empty())
}

/// `N` or `N-M`, several of them.
pub(in crate::keepalived) fn status_code(lower: &mut Lower, node: &Node) {
    for word in &node.words[1..] {
        let Some(range) = status_range(&word.text) else {
            lower.refuse(word, format!("`{}` is no status and no range of them between 100 and 599", word.text));
            continue;
        };
        let Some(url) = url(lower) else { return };
        url.statuses.push(range);
    }
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let valid = |status: &u16| (100..=599).contains(status);
    (valid(&first) && valid(&last) && first <= last).then_some((first, last))
}

pub(in crate::keepalived) fn regex(lower: &mut Lower, node: &Node) {
    let Some(pattern) = node.argument(1).map(|word| word.text.clone()) else { return };
    let Some(url) = url(lower) else { return };
    url.regex.pattern = pattern;
}

pub(in crate::keepalived) fn regex_no_match(lower: &mut Lower, _: &Node) {
    let Some(url) = url(lower) else { return };
    url.regex.no_match = true;
}

/// keepalived's names for the options of PCRE2.
const REGEX_OPTIONS: [&str; 24] = [
    "allow_empty_class",
    "alt_bsux",
    "alt_circumflex",
    "alt_verbnames",
    "auto_callout",
    "caseless",
    "dollar_endonly",
    "dotall",
    "dupnames",
    "extended",
    "firstline",
    "match_unset_backref",
    "multiline",
    "never_backslash_c",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "use_offset_limit",
    "utf",
];

pub(in crate::keepalived) fn regex_options(lower: &mut Lower, node: &Node) {
    for word in &node.words[1..] {
        if !REGEX_OPTIONS.contains(&word.text.as_str()) {
            lower.say(
                Diagnostic::warning("bad-value", word.span, format!("`{}` is no option of a pattern", word.text))
                    .so("the word is ignored")
                    .fix(format!("use one of {}", REGEX_OPTIONS.join(", "))),
            );
            continue;
        }
        let Some(url) = url(lower) else { return };
        if !url.regex.options.contains(&word.text) {
            url.regex.options.push(word.text.clone());
        }
    }
}

pub(in crate::keepalived) fn regex_min_offset(lower: &mut Lower, node: &Node) {
    let Some(offset) = offset(lower, node) else { return };
    let Some(url) = url(lower) else { return };
    url.regex.min_offset = offset;
}

pub(in crate::keepalived) fn regex_max_offset(lower: &mut Lower, node: &Node) {
    let Some(offset) = offset(lower, node) else { return };
    let Some(url) = url(lower) else { return };
    url.regex.max_offset = Some(offset);
}

fn offset(lower: &mut Lower, node: &Node) -> Option<usize> {
    usize::try_from(lower.integer(node.argument(1)?, 0..=i64::from(i32::MAX), Garbage::Refused)?).ok()
}

pub(in crate::keepalived) fn url_tls_compliant(lower: &mut Lower, _: &Node) {
    let Some(url) = url(lower) else { return };
    url.compliant = true;
}

pub(in crate::keepalived) fn ssl_password(lower: &mut Lower, node: &Node) {
    lower.drafts.balance.tls.password = node.argument(1).map(|word| word.text.clone());
}

pub(in crate::keepalived) fn ssl_ca(lower: &mut Lower, node: &Node) {
    lower.drafts.balance.tls.ca = node.argument(1).map(|word| word.text.clone());
}

pub(in crate::keepalived) fn ssl_certificate(lower: &mut Lower, node: &Node) {
    lower.drafts.balance.tls.certificate = node.argument(1).map(|word| word.text.clone());
}

pub(in crate::keepalived) fn ssl_key(lower: &mut Lower, node: &Node) {
    lower.drafts.balance.tls.key = node.argument(1).map(|word| word.text.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_number_or_a_range() {
        for (text, expected) in [
            ("200", Some((200, 200))),
            ("301-302", Some((301, 302))),
            ("100-599", Some((100, 599))),
            ("99", None),
            ("600", None),
            ("300-200", None),
            ("200-", None),
            ("-200", None),
            ("x", None),
        ] {
            assert_eq!(status_range(text), expected, "{text}");
        }
    }

    #[test]
    fn a_digest_has_32_digits() {
        assert_eq!(md5("640205b7b0fc66c1ea91c463fac6334D").map(|sum| (sum[0], sum[15])), Some((0x64, 0x4d)));
        for text in ["", "1234", "640205b7b0fc66c1ea91c463fac6334z", "640205b7b0fc66c1ea91c463fac6334d0"] {
            assert_eq!(md5(text), None, "{text}");
        }
    }
}
