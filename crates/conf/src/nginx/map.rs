//! `map`.

use super::lexer::Word;
use super::lower::Lowering;
use super::rewrite::variable_name;
use super::tree::Directive;
use crate::Span;
use evenkeel_site::config::rewrite::{Computed, Map, MapKey, Rule};

/// `~*pattern` or `~pattern`, and whether it is without case.
fn pattern(text: &str) -> Option<(&str, bool)> {
    text.strip_prefix("~*").map(|rest| (rest, true)).or(text.strip_prefix('~').map(|rest| (rest, false)))
}

/// The expressions of a block and where they stand.
pub(super) fn patterns(directive: &Directive) -> Vec<(&str, Span)> {
    let block = directive.block.as_deref().unwrap_or_default();
    block.iter().filter_map(|entry| Some((pattern(&entry.name.text)?.0, entry.name.span))).collect()
}

pub(super) fn lower(lowering: &mut Lowering<'_>, directive: &Directive) {
    let [source, name] = directive.args.as_slice() else { return };
    lowering.check_template(source);
    let Some(name) = variable_name(lowering, name) else { return };
    let mut map = Map::default();
    let block = directive.block.as_deref().unwrap_or_default();
    // How keys are read does not depend on where the word stands.
    for entry in block.iter().filter(|entry| entry.args.is_empty()) {
        match entry.name.text.as_str() {
            "hostnames" => map.hostnames = true,
            "volatile" => map.volatile = true,
            _ => lowering.error("argument-count", entry.name.span, "invalid number of the map parameters".to_owned()),
        }
    }
    let mut has_default = false;
    for entry in block {
        let [value] = entry.args.as_slice() else {
            if entry.args.len() > 1 {
                let message = "invalid number of the map parameters".to_owned();
                lowering.error("argument-count", entry.name.span, message);
            }
            continue;
        };
        lowering.check_template(value);
        if entry.name.text == "default" {
            if std::mem::replace(&mut has_default, true) {
                lowering.error("duplicate", entry.name.span, "duplicate default map parameter".to_owned());
            }
            map.default.clone_from(&value.text);
            continue;
        }
        let key = key(lowering, &entry.name);
        if map.entries.iter().any(|(known, _)| matches!(key, MapKey::Text(_)) && *known == key) {
            let message = format!("conflicting parameter \"{}\"", entry.name.text);
            lowering.error("duplicate", entry.name.span, message);
            continue;
        }
        map.entries.push((key, value.text.clone()));
    }
    lowering.config.computed.push(Computed { name, source: source.text.clone(), rule: Rule::Map(map) });
}

fn key(lowering: &mut Lowering<'_>, word: &Word) -> MapKey {
    if let Some((text, ignore_case)) = pattern(&word.text) {
        if text.is_empty() {
            lowering.error("invalid-value", word.span, "empty regex in map".to_owned());
        }
        return MapKey::Regex { pattern: text.to_owned(), ignore_case };
    }
    // `\default` is the word itself.
    MapKey::Text(word.text.strip_prefix('\\').unwrap_or(&word.text).to_ascii_lowercase())
}
