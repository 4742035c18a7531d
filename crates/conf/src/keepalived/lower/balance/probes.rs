//! TCP_CHECK, PING_CHECK, SMTP_CHECK, DNS_CHECK, FILE_CHECK, BFD_CHECK, AGENT_CHECK, and what the last two but one follow.

use super::super::number::Garbage;
use super::super::{At, Lower, bfd};
use super::{FileDraft, HostDraft, ProbeDraft, TargetDraft, check};
use crate::Diagnostic;
use crate::keepalived::language::Node;

pub(in crate::keepalived) fn tcp(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Tcp);
}

pub(in crate::keepalived) fn ping(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Ping);
}

pub(in crate::keepalived) fn smtp(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Smtp { helo: None, hosts: Vec::new() });
}

pub(in crate::keepalived) fn helo_name(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1).map(|word| word.text.clone()) else { return };
    let Some(ProbeDraft::Smtp { helo, .. }) = lower.check().map(|check| &mut check.probe) else { return };
    *helo = Some(name);
}

/// Each of several `host` blocks makes a check of its own.
pub(in crate::keepalived) fn host(lower: &mut Lower, node: &Node) {
    if let Some(span) = node.span() {
        lower.say(
            Diagnostic::warning("old-spelling", span, "a `host` block in SMTP_CHECK is an old form")
                .so("it is checked as before; keepalived takes it with a warning as well")
                .fix("write its lines into the SMTP_CHECK itself, and another SMTP_CHECK for another host"),
        );
    }
    let lines = node.children.iter().filter_map(Node::span).collect();
    let Some(ProbeDraft::Smtp { hosts, .. }) = lower.check().map(|check| &mut check.probe) else { return };
    hosts.push(HostDraft { target: TargetDraft::default(), timeout: None, lines });
}

pub(in crate::keepalived) fn dns(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Dns { query_type: 6, name: ".".to_owned() });
}

/// The types that keepalived knows, by IANA's numbers.
const QUERY_TYPES: [(&str, u16); 10] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("RRSIG", 46),
    ("DNSKEY", 48),
];

pub(in crate::keepalived) fn dns_type(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some((_, number)) = QUERY_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word.text)) else {
        let names = QUERY_TYPES.map(|(name, _)| name).join(", ");
        return lower.refuse(word, format!("`{}` is none of {names}", word.text));
    };
    let Some(ProbeDraft::Dns { query_type, .. }) = lower.check().map(|check| &mut check.probe) else { return };
    *query_type = *number;
}

/// RFC 1035 section 2.3.4: labels of 63 bytes, names of 255 with their lengths.
pub(in crate::keepalived) fn dns_name(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let bare = word.text.strip_suffix('.').unwrap_or(&word.text);
    let fits = |label: &str| (1..=63).contains(&label.len());
    if word.text != "." && (bare.len() > 253 || !bare.split('.').all(fits)) {
        return lower.refuse(word, format!("`{}` is no name of the DNS", word.text));
    }
    let Some(ProbeDraft::Dns { name, .. }) = lower.check().map(|check| &mut check.probe) else { return };
    *name = word.text.clone();
}

pub(in crate::keepalived) fn file(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::File { file: None, weight: None });
}

pub(in crate::keepalived) fn file_track_file(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(ProbeDraft::File { file, .. }) = lower.check().map(|check| &mut check.probe) else { return };
    *file = Some(At::of(word, word.text.clone()));
}

/// `N [reverse|noreverse]`
pub(in crate::keepalived) fn file_weight(lower: &mut Lower, node: &Node) {
    let most = i64::from(i32::MAX);
    let number = node.argument(1).and_then(|word| lower.integer(word, -most..=most, Garbage::Refused));
    let Some(number) = number.and_then(|number| i32::try_from(number).ok()) else { return };
    let reverse = match node.argument(2).map(|word| (word, word.text.as_str())) {
        None => None,
        Some((_, "reverse")) => Some(true),
        Some((_, "noreverse")) => Some(false),
        Some((word, other)) => {
            return lower.refuse(word, format!("`{other}` is neither reverse nor noreverse"));
        }
    };
    let Some(ProbeDraft::File { weight, .. }) = lower.check().map(|check| &mut check.probe) else { return };
    *weight = Some((number, reverse));
}

/// A track_file outside every block, as far as FILE_CHECK needs it.
pub(in crate::keepalived) fn track_file(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1) else { return };
    lower.drafts.balance.files.push(FileDraft { name: name.text.clone(), path: None, weight: (1, false), init: None });
}

pub(in crate::keepalived) fn track_file_path(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(file) = lower.drafts.balance.files.last_mut() else { return };
    file.path = Some(word.text.clone());
}

pub(in crate::keepalived) fn track_file_weight(lower: &mut Lower, node: &Node) {
    let weight = node.argument(1).and_then(|word| lower.integer(word, -254..=254, Garbage::Tolerated));
    let Some(weight) = weight.and_then(|weight| i32::try_from(weight).ok()) else { return };
    let reverse = node.argument(2).is_some_and(|word| word.text == "reverse");
    let Some(file) = lower.drafts.balance.files.last_mut() else { return };
    file.weight = (weight, reverse);
}

/// `vrrp_track_file`, which keepalived would rather not see any more.
pub(in crate::keepalived) fn legacy_track_file(lower: &mut Lower, node: &Node) {
    if let Some(span) = node.span() {
        lower.say(
            Diagnostic::note("old-spelling", span, "`vrrp_track_file` is now called `track_file`")
                .so("it means the same"),
        );
    }
    track_file(lower, node);
}

/// `[VALUE] [overwrite]`, in any order; 0 when there is no value.
pub(in crate::keepalived) fn track_file_init(lower: &mut Lower, node: &Node) {
    let (mut value, mut overwrite) = (0, false);
    for word in node.words.iter().skip(1) {
        match word.text.as_str() {
            "overwrite" => overwrite = true,
            _ => {
                let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
                let Some(number) = lower.integer(word, range, Garbage::Refused) else { return };
                value = i32::try_from(number).unwrap_or_default();
            }
        }
    }
    let Some(file) = lower.drafts.balance.files.last_mut() else { return };
    file.init = Some((value, overwrite));
}

pub(in crate::keepalived) fn bfd(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Bfd { session: None, problem: None });
}

pub(in crate::keepalived) fn bfd_name(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    // keepalived looks it up here, and keeps the first.
    let problem = bfd::no_check_of(lower, &word.text);
    let Some(ProbeDraft::Bfd { session, problem: noted }) = lower.check().map(|check| &mut check.probe) else { return };
    if session.is_some() {
        return lower.repeated(node);
    }
    *session = Some(At::of(word, word.text.clone()));
    *noted = problem;
}

pub(in crate::keepalived) fn agent(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Agent { send: None });
}

pub(in crate::keepalived) fn agent_send(lower: &mut Lower, node: &Node) {
    let Some(text) = node.argument(1).map(|word| word.text.clone()) else { return };
    let Some(ProbeDraft::Agent { send }) = lower.check().map(|check| &mut check.probe) else { return };
    *send = Some(text);
}
