//! A line of static_rules or virtual_rules.

use super::super::{At, Lower};
use super::words::{PROTOCOLS, TABLES, Words, number};
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};
use evenkeel_wire::route::{Rule, RuleAction};
use evenkeel_wire::{Family, Prefix};

/// A line, with the track_group that it names.
#[derive(Clone, Debug)]
pub(in crate::keepalived) struct RuleDraft {
    pub(in crate::keepalived) rule: Rule,
    pub(in crate::keepalived) group: Option<At<String>>,
}

/// keepalived's first priority of a rule that names none; the next one gets one less.
const FIRST_UNSAID: u32 = 16384;

/// The rules of a block. A line that is no rule is left out.
pub(super) fn lines(lower: &mut Lower, node: &Node) -> Vec<At<RuleDraft>> {
    node.children.iter().filter_map(|line| Some(At::of(line.words.first()?, rule(lower, line)?))).collect()
}

/// What has been read of a line.
struct Reading {
    rule: Rule,
    family: Option<Family>,
    priority: Option<u32>,
    action: Option<RuleAction>,
    protocol: Option<u8>,
    group: Option<At<String>>,
}

fn rule(lower: &mut Lower, line: &Node) -> Option<RuleDraft> {
    let first = line.words.first()?;
    let mut reading = Reading {
        rule: Rule::new(Family::V4, 0, RuleAction::Nop),
        family: None,
        priority: None,
        action: None,
        protocol: None,
        group: None,
    };
    let mut words = Words::of(line, "rule");
    while let Some(word) = words.next() {
        word_of_rule(lower, &mut words, word, &mut reading)?;
    }
    finish(lower, &words, first, reading)
}

fn finish(lower: &mut Lower, words: &Words, first: &Word, reading: Reading) -> Option<RuleDraft> {
    let Reading { mut rule, family, priority, action, protocol, group } = reading;
    let of = |prefix: Option<Prefix>| prefix.map(|prefix| Family::of(prefix.address()));
    let families: Vec<Family> = [family, of(rule.from), of(rule.to)].into_iter().flatten().collect();
    rule.family = families.first().copied().unwrap_or(Family::V4);
    if families.iter().any(|family| *family != rule.family) {
        return words.refuse(lower, first, "IPv4 and IPv6 in one rule".to_owned());
    }
    rule.action = match action {
        Some(action) => action,
        None if rule.l3mdev => RuleAction::Lookup(0),
        None => return words.refuse(lower, first, "a rule needs a table or an action".to_owned()),
    };
    if let RuleAction::Lookup(table) = rule.action
        && table != 0
        && rule.l3mdev
    {
        return words.refuse(lower, first, "`table` and `l3mdev` in one rule".to_owned());
    }
    rule.priority = match priority {
        Some(priority) => priority,
        None => {
            let priority = FIRST_UNSAID.saturating_sub(lower.drafts.network.n_rules_without_priority);
            lower.drafts.network.n_rules_without_priority += 1;
            lower.say(
                Diagnostic::warning("rule-without-priority", first.span, "the rule has no `priority`")
                    .so(format!("it gets {priority}, as in keepalived, which is rarely meant"))
                    .fix("write `priority N`"),
            );
            priority
        }
    };
    match protocol {
        Some(protocol) if protocol != rule.protocol && rule.tracked => lower.say(
            Diagnostic::warning("rule-protocol", first.span, "a rule that is tracked has the protocol keepalived")
                .so("`protocol` is ignored, as in keepalived")
                .fix("write `no_track` as well, or remove `protocol`"),
        ),
        Some(protocol) => rule.protocol = protocol,
        // keepalived marks the rules that it watches, and no others (observed).
        None if !rule.tracked => rule.protocol = 0,
        None => {}
    }
    Some(RuleDraft { rule, group })
}

fn word_of_rule(lower: &mut Lower, words: &mut Words, word: &Word, reading: &mut Reading) -> Option<()> {
    let rule = &mut reading.rule;
    match word.text.as_str() {
        "inet" => reading.family = Some(Family::V4),
        "inet6" => reading.family = Some(Family::V6),
        "not" => rule.inverted = true,
        "from" => rule.from = selector(words.network(lower, word, reading.family)?, &mut reading.family),
        "to" => rule.to = selector(words.network(lower, word, reading.family)?, &mut reading.family),
        "table" | "lookup" => {
            let table = words.named(lower, word, &TABLES, u32::MAX)?;
            if table == 0 {
                return words.refuse(lower, word, "there is no table 0".to_owned());
            }
            reading.action = Some(RuleAction::Lookup(table));
        }
        "preference" | "order" | "priority" => reading.priority = Some(words.number32(lower, word)?),
        "tos" | "dsfield" => rule.tos = words.number8(lower, word)?,
        "fwmark" => rule.mark = Some(mark(lower, words, word)?),
        "realms" => rule.realms = Some(words.realms(lower, word)?),
        "suppress_prefixlength" | "sup_pl" => {
            let most = if reading.family == Some(Family::V6) { 128 } else { 32 };
            rule.suppress_length = u32::try_from(words.number(lower, word, most)?).ok();
        }
        "suppress_ifgroup" | "sup_group" => {
            rule.suppress_group = Some(words.named(lower, word, &[("default", 0)], i32::MAX.unsigned_abs())?);
        }
        "iif" | "dev" => rule.iif = Some(words.argument(lower, word)?.text.clone()),
        "oif" => rule.oif = Some(words.argument(lower, word)?.text.clone()),
        "tunnel-id" => rule.tunnel = Some(words.number(lower, word, u64::MAX)?),
        "uidrange" => {
            let (first, last) = words.range(lower, word, u64::from(u32::MAX))?;
            rule.users = Some((u32::try_from(first).ok()?, u32::try_from(last).ok()?));
        }
        "l3mdev" => rule.l3mdev = true,
        "protocol" => {
            reading.protocol = u8::try_from(words.named(lower, word, &PROTOCOLS, 255)?).ok();
        }
        "ipproto" | "ip_proto" => {
            let number = words.named(
                lower,
                word,
                &[("icmp", 1), ("tcp", 6), ("udp", 17), ("ipv6-icmp", 58), ("sctp", 132)],
                255,
            )?;
            rule.ip_protocol = u8::try_from(number).ok();
        }
        "sport" => rule.source_ports = Some(ports(lower, words, word)?),
        "dport" => rule.destination_ports = Some(ports(lower, words, word)?),
        "no_track" => rule.tracked = false,
        "track_group" => {
            let name = words.argument(lower, word)?;
            reading.group = Some(At::of(name, name.text.clone()));
        }
        // The action that follows says all.
        "type" => {}
        "goto" => reading.action = Some(RuleAction::Goto(words.number32(lower, word)?)),
        "nop" => reading.action = Some(RuleAction::Nop),
        "blackhole" => reading.action = Some(RuleAction::Blackhole),
        "unreachable" => reading.action = Some(RuleAction::Unreachable),
        "prohibit" => reading.action = Some(RuleAction::Prohibit),
        other => return words.refuse(lower, word, format!("`{other}` says nothing about a rule")),
    }
    Some(())
}

/// `all` selects nothing, but says a family.
fn selector(prefix: Prefix, family: &mut Option<Family>) -> Option<Prefix> {
    family.get_or_insert(Family::of(prefix.address()));
    Some(prefix).filter(|prefix| prefix.length() > 0)
}

/// `VALUE[/MASK]`.
fn mark(lower: &mut Lower, words: &mut Words, keyword: &Word) -> Option<(u32, u32)> {
    let word = words.argument(lower, keyword)?;
    let (value, mask) = word.text.split_once('/').unwrap_or((&word.text, "0xffffffff"));
    let read = |text| number(text).and_then(|number| u32::try_from(number).ok());
    match (read(value), read(mask)) {
        (Some(value), Some(mask)) => Some((value, mask)),
        _ => words.refuse(lower, word, format!("`{}` is no mark: write `VALUE[/MASK]`", word.text)),
    }
}

fn ports(lower: &mut Lower, words: &mut Words, word: &Word) -> Option<(u16, u16)> {
    let (first, last) = words.range(lower, word, u64::from(u16::MAX))?;
    Some((u16::try_from(first).ok()?, u16::try_from(last).ok()?))
}
