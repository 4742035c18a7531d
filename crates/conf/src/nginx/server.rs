//! `server` and `location`.

use super::lexer::Word;
use super::lower::{Lowering, is_on};
use super::rewrite::{self, Place};
use super::tree::Directive;
use super::upstream;
use super::value::Grain;
use crate::Span;
use evenkeel_site::config::answer::Alias;
use evenkeel_site::config::{Handler, Location, LocationMatch, Scope, Server, ServerName};
use std::collections::BTreeSet;

/// What `http` and `server` say of a server itself.
pub(super) fn values(lowering: &mut Lowering<'_>, around: &Server, directives: &[Directive]) -> Server {
    let mut server = around.clone();
    for directive in directives {
        match directive.name.text.as_str() {
            "client_header_timeout" => {
                if let Some(time) = lowering.time(directive, Grain::Milliseconds) {
                    server.client_header_timeout = time;
                }
            }
            "large_client_header_buffers" => {
                let [number, size] = directive.args.as_slice() else { continue };
                let number = super::value::number(&number.text).filter(|n| *n > 0);
                if let (Some(number), Some(size)) = (number, lowering.size(directive, size)) {
                    server.max_head = usize::try_from(number.saturating_mul(size)).unwrap_or(usize::MAX).min(1 << 24);
                }
            }
            "merge_slashes" => server.merge_slashes = is_on(directive),
            _ => {}
        }
    }
    server
}

pub(super) fn lower(lowering: &mut Lowering<'_>, directive: &Directive, defaults: &Server, around: &Scope) {
    let block = directive.block.as_deref().unwrap_or_default();
    let index = lowering.config.servers.len();
    let mut server = values(lowering, defaults, block);
    server.fallback = lowering.scope(around, block);
    server.rewrite = rewrite::steps(lowering, block, Place::Server);
    server.names = names(lowering, block);
    server.locations = locations(lowering, block, &server.fallback, None);
    lowering.config.servers.push(server);
    lowering.server_spans.push(directive.name.span);
    let listens: Vec<_> = block.iter().filter(|directive| directive.name.text == "listen").collect();
    if listens.is_empty() {
        let default = Word { text: "80".to_owned(), span: directive.name.span };
        let implied = Directive { name: directive.name.clone(), args: vec![default], block: None };
        lowering.listen(&implied, index);
    }
    for listen in listens {
        lowering.listen(listen, index);
    }
}

fn names(lowering: &mut Lowering<'_>, block: &[Directive]) -> Vec<ServerName> {
    let mut names = Vec::new();
    for directive in block.iter().filter(|directive| directive.name.text == "server_name") {
        for word in &directive.args {
            names.extend(name(lowering, word));
        }
    }
    if names.is_empty() {
        names.push(ServerName::Exact(String::new()));
    }
    names
}

fn name(lowering: &mut Lowering<'_>, word: &Word) -> Option<ServerName> {
    let text = word.text.as_str();
    if let Some(pattern) = text.strip_prefix('~') {
        if pattern.is_empty() {
            lowering.error("invalid-value", word.span, "empty regex in server name \"~\"".to_owned());
            return None;
        }
        return Some(ServerName::Regex(pattern.to_owned()));
    }
    if text.eq_ignore_ascii_case("$hostname") {
        lowering.error("not-supported", word.span, "\"$hostname\" in \"server_name\" is not supported yet".to_owned());
        return None;
    }
    if text.contains('/') {
        let message = format!("server name \"{text}\" has suspicious symbols");
        lowering.warning("suspicious-name", word.span, message);
    }
    let lower = text.to_ascii_lowercase();
    let rest = |rest: &str| !rest.is_empty() && !rest.contains('*') && !rest.contains("..");
    let name = if let Some(below) = lower.strip_prefix("*.") {
        rest(below).then(|| ServerName::Suffix(format!(".{below}")))
    } else if let Some(below) = lower.strip_prefix('.') {
        rest(below).then(|| ServerName::SuffixOrSelf(below.to_owned()))
    } else if let Some(above) = lower.strip_suffix(".*") {
        rest(above).then(|| ServerName::Prefix(format!("{above}.")))
    } else {
        (lower.is_empty() || rest(&lower))
            .then(|| ServerName::Exact(lower.strip_suffix('.').unwrap_or(&lower).to_owned()))
    };
    if name.is_none() {
        let message = format!("invalid server name or wildcard \"{text}\"");
        lowering.error("invalid-value", word.span, message);
    }
    name
}

/// The location around the one that is lowered.
#[derive(Clone, Copy)]
struct Around<'l> {
    matches: &'l LocationMatch,
    shown: &'l str,
}

fn locations(
    lowering: &mut Lowering<'_>,
    block: &[Directive],
    scope: &Scope,
    around: Option<Around<'_>>,
) -> Vec<Location> {
    let mut lowered = Vec::new();
    let mut seen = BTreeSet::new();
    for directive in block.iter().filter(|directive| directive.name.text == "location") {
        let Some(matches) = location_match(lowering, directive) else { continue };
        let shown = match directive.args.as_slice() {
            [_, name] => name.text.as_str(),
            [name] => name.text.as_str(),
            _ => continue,
        };
        let key = match &matches {
            LocationMatch::Prefix(name) | LocationMatch::PrefixNoRegex(name) => Some(format!("prefix {name}")),
            LocationMatch::Exact(name) => Some(format!("exact {name}")),
            LocationMatch::Named(name) => Some(format!("named {name}")),
            LocationMatch::Regex { .. } => None,
        };
        if key.is_some_and(|key| !seen.insert(key)) {
            lowering.error("duplicate", directive.name.span, format!("duplicate location \"{shown}\""));
            continue;
        }
        if let Some(around) = around {
            check_nesting(lowering, directive.name.span, &matches, shown, around);
        }
        let inner = directive.block.as_deref().unwrap_or_default();
        let mut scope = lowering.scope(scope, inner);
        if let Some(alias) = alias(lowering, inner, &matches) {
            scope.alias = Some(alias);
        }
        let handler = handler(lowering, inner, &matches);
        let nested = locations(lowering, inner, &scope, Some(Around { matches: &matches, shown }));
        let rewrite = rewrite::steps(lowering, inner, Place::Location(&scope));
        let internal = inner.iter().any(|directive| directive.name.text == "internal");
        lowered.push(Location { matches, scope, rewrite, internal, handler, nested });
    }
    lowered
}

fn location_match(lowering: &mut Lowering<'_>, directive: &Directive) -> Option<LocationMatch> {
    let regex = |pattern: &str, ignore_case| LocationMatch::Regex { pattern: pattern.to_owned(), ignore_case };
    match directive.args.as_slice() {
        [modifier, name] => match modifier.text.as_str() {
            "=" => Some(LocationMatch::Exact(name.text.clone())),
            "^~" => Some(LocationMatch::PrefixNoRegex(name.text.clone())),
            "~" => Some(regex(&name.text, false)),
            "~*" => Some(regex(&name.text, true)),
            other => {
                let message = format!("invalid location modifier \"{other}\"");
                lowering.error("invalid-value", modifier.span, message);
                None
            }
        },
        [name] => {
            let text = name.text.as_str();
            Some(if let Some(exact) = text.strip_prefix('=') {
                LocationMatch::Exact(exact.to_owned())
            } else if let Some(prefix) = text.strip_prefix("^~") {
                LocationMatch::PrefixNoRegex(prefix.to_owned())
            } else if let Some(pattern) = text.strip_prefix("~*") {
                regex(pattern, true)
            } else if let Some(pattern) = text.strip_prefix('~') {
                regex(pattern, false)
            } else if text.starts_with('@') {
                LocationMatch::Named(text.to_owned())
            } else {
                LocationMatch::Prefix(text.to_owned())
            })
        }
        _ => None,
    }
}

fn check_nesting(lowering: &mut Lowering<'_>, span: Span, matches: &LocationMatch, shown: &str, around: Around<'_>) {
    let outer = around.shown;
    let message = match (around.matches, matches) {
        (LocationMatch::Exact(_), _) => format!("location \"{shown}\" cannot be inside the exact location \"{outer}\""),
        (LocationMatch::Named(_), _) => format!("location \"{shown}\" cannot be inside the named location \"{outer}\""),
        (_, LocationMatch::Named(_)) => format!("named location \"{shown}\" can be on the server level only"),
        (
            LocationMatch::Prefix(outside) | LocationMatch::PrefixNoRegex(outside),
            LocationMatch::Prefix(name) | LocationMatch::PrefixNoRegex(name) | LocationMatch::Exact(name),
        ) if !name.starts_with(outside.as_str()) => {
            format!("location \"{shown}\" is outside location \"{outer}\"")
        }
        _ => return,
    };
    lowering.error("misplaced-location", span, message);
}

/// `alias`, which replaces the location's name.
fn alias(lowering: &mut Lowering<'_>, block: &[Directive], matches: &LocationMatch) -> Option<Alias> {
    let word = block.iter().find(|directive| directive.name.text == "alias")?.args.first()?;
    lowering.check_template(word);
    let path = if word.text.starts_with('$') { word.text.clone() } else { lowering.path(word).display().to_string() };
    let replaces = match matches {
        LocationMatch::Prefix(name) | LocationMatch::PrefixNoRegex(name) | LocationMatch::Exact(name) => {
            Some(name.len())
        }
        LocationMatch::Regex { .. } => None,
        LocationMatch::Named(_) => {
            let message = "the \"alias\" directive cannot be used inside the named location".to_owned();
            lowering.error("misplaced-directive", word.span, message);
            return None;
        }
    };
    Some(Alias { path, replaces })
}

fn handler(lowering: &mut Lowering<'_>, block: &[Directive], matches: &LocationMatch) -> Handler {
    let proxied = block.iter().filter(|directive| directive.name.text == "proxy_pass");
    let passes = proxied.filter_map(|directive| upstream::proxy_pass(lowering, directive, matches));
    passes.last().map_or(Handler::Static, Handler::Proxy)
}

/// A name that two servers of one listen claim belongs to the first.
pub(super) fn report_conflicts(lowering: &mut Lowering<'_>) {
    let mut conflicts = Vec::new();
    for listen in &lowering.config.listens {
        let mut order = listen.servers.clone();
        order.sort_unstable();
        let mut claimed: Vec<&ServerName> = Vec::new();
        for server in order {
            for name in &lowering.config.servers[server].names {
                let ServerName::Exact(text) = name else { continue };
                if claimed.contains(&name) {
                    let shown = super::listen::show(&listen.address);
                    let message = format!("conflicting server name \"{text}\" on {shown}, ignored");
                    conflicts.push((lowering.server_spans[server], message));
                } else {
                    claimed.push(name);
                }
            }
        }
    }
    for (span, message) in conflicts {
        lowering.warning("conflicting-name", span, message);
    }
}
