//! How fast addresses are announced: garp_group and what global_defs says of intervals.

use super::number::Grain;
use super::{At, Drafts, Lower};
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};
use evenkeel_vrrp::config::{Extra, Gap, PacedGroup, Pacing};
use std::collections::HashSet;
use std::time::Duration;

/// A garp_group.
#[derive(Debug)]
pub(in crate::keepalived) struct PacedDraft {
    at: At<()>,
    gap: Gap,
    interfaces: Vec<At<String>>,
}

/// keepalived's bounds of an interval.
const LEAST: Duration = Duration::from_micros(1);
const MOST: Duration = Duration::from_micros(u32::MAX as u64);

/// Above this an address may be announced long after it has come.
const LARGE: Duration = Duration::from_secs(1);

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(keyword) = node.words.first() else { return };
    let draft = PacedDraft { at: At::of(keyword, ()), gap: Gap::default(), interfaces: Vec::new() };
    lower.drafts.paced.push(draft);
}

pub(in crate::keepalived) fn garp_interval(lower: &mut Lower, node: &Node) {
    let Some(interval) = interval(lower, node) else { return };
    let Some(draft) = lower.drafts.paced.last_mut() else { return };
    draft.gap.arp = interval;
}

pub(in crate::keepalived) fn gna_interval(lower: &mut Lower, node: &Node) {
    let Some(interval) = interval(lower, node) else { return };
    let Some(draft) = lower.drafts.paced.last_mut() else { return };
    draft.gap.neighbour = interval;
}

pub(in crate::keepalived) fn interface(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(draft) = lower.drafts.paced.last_mut() else { return };
    draft.interfaces.push(At::of(word, word.text.clone()));
}

pub(in crate::keepalived) fn interfaces(lower: &mut Lower, node: &Node) {
    let Some(draft) = lower.drafts.paced.last_mut() else { return };
    let names = node.children.iter().flat_map(|line| &line.words).map(|word| At::of(word, word.text.clone()));
    draft.interfaces.extend(names);
}

pub(in crate::keepalived) fn vrrp_garp_interval(lower: &mut Lower, node: &Node) {
    if let Some(interval) = interval(lower, node) {
        lower.drafts.globals.gap.arp = interval;
    }
}

pub(in crate::keepalived) fn vrrp_gna_interval(lower: &mut Lower, node: &Node) {
    if let Some(interval) = interval(lower, node) {
        lower.drafts.globals.gap.neighbour = interval;
    }
}

fn interval(lower: &mut Lower, node: &Node) -> Option<Duration> {
    let word = node.argument(1)?;
    let interval = lower.seconds(word, LEAST..=MOST, Grain::Microsecond)?;
    if interval > LARGE {
        lower.say(
            Diagnostic::warning("large-gap", word.span, format!("`{}` is more than a second", word.text))
                .so("a new master announces so slowly that neighbours look for some addresses in the old place meanwhile")
                .fix("write seconds with decimals, such as `0.01`"),
        );
    }
    Some(interval)
}

pub(in crate::keepalived) fn vrrp_garp_extra_if(lower: &mut Lower, node: &Node) {
    if let Some(extra) = extra(lower, node, 1) {
        lower.drafts.globals.garp.extra = Some(extra);
    }
}

pub(in crate::keepalived) fn garp_extra_if(lower: &mut Lower, node: &Node) {
    let Some(extra) = extra(lower, node, 0) else { return };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.garp.extra = Some(extra);
}

/// `[all] SECONDS`; no seconds are `None` inside.
fn extra(lower: &mut Lower, node: &Node, least: i64) -> Option<Option<Extra>> {
    let first = node.argument(1)?;
    let everywhere = first.text == "all";
    let Some(word) = (if everywhere { node.argument(2) } else { Some(first) }) else {
        lower.refuse(first, format!("`{}` needs a number of seconds behind `all`", keyword(node)));
        return None;
    };
    let seconds = lower.integer(word, least..=86_400, super::number::Garbage::Refused)?;
    let period = Duration::from_secs(seconds.unsigned_abs());
    Some((!period.is_zero()).then_some(Extra { period, everywhere }))
}

fn keyword(node: &Node) -> &str {
    node.words.first().map_or("", |word: &Word| word.text.as_str())
}

/// An interface belongs to the first group that names it, and a group without an interval is none, as in keepalived.
pub(super) fn finish(drafts: &Drafts, lower: &mut Lower) -> Pacing {
    let mut taken = HashSet::new();
    let mut groups = Vec::new();
    for draft in &drafts.paced {
        let mut interfaces = Vec::new();
        for At { value: name, span } in &draft.interfaces {
            if taken.insert(name.clone()) {
                interfaces.push(name.clone());
                continue;
            }
            lower.say(
                Diagnostic::warning("repeated", *span, format!("`{name}` is in a garp_group already"))
                    .so("it has the interval of the first one")
                    .fix("name it once"),
            );
        }
        let missing = match (draft.gap == Gap::default(), draft.interfaces.is_empty()) {
            (true, _) => Some(("no interval", "write `garp_interval SECONDS` or `gna_interval SECONDS` into it")),
            (false, true) => Some(("no interface", "write `interface IF` or `interfaces { IF ... }` into it")),
            (false, false) => None,
        };
        if let Some((what, fix)) = missing {
            let message = format!("this garp_group has {what}");
            let diagnostic = Diagnostic::warning("empty-garp-group", draft.at.span, message);
            lower.say(diagnostic.so("it changes nothing").fix(fix));
        } else {
            groups.push(PacedGroup { interfaces, gap: draft.gap });
        }
    }
    Pacing { each: drafts.globals.gap, groups }
}
