//! vrrp_script.

use super::number::{Garbage, Grain};
use super::{At, Kind, Lower, ScriptDraft, value};
use crate::Diagnostic;
use crate::keepalived::language::Node;
use std::time::Duration;

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1) else { return };
    let duplicate = !lower.claim(Kind::Script, &name.text);
    if duplicate {
        lower.say(
            Diagnostic::warning("repeated", name.span, format!("there is already a vrrp_script `{}`", name.text))
                .so("this one is ignored")
                .fix("give it another name"),
        );
    }
    lower.drafts.scripts.push(ScriptDraft {
        name: At::of(name, name.text.clone()),
        command: None,
        interval: None,
        timeout: None,
        weight: None,
        rise: None,
        fall: None,
        user: None,
        duplicate,
    });
}

pub(in crate::keepalived) fn script(lower: &mut Lower, node: &Node) {
    let Some(At { value: mut words, span }) = lower.quoted_command(node) else { return };
    // `</path` asks whether the file can be read.
    if let [only] = words.as_slice()
        && let Some(path) = only.strip_prefix('<')
    {
        words = vec!["/usr/bin/test".to_owned(), "-r".to_owned(), path.to_owned()];
    }
    let command = At::new(words, span);
    let Some(draft) = lower.drafts.scripts.last_mut() else { return };
    if draft.command.is_some() {
        return lower.repeated(node);
    }
    draft.command = Some(command);
}

pub(in crate::keepalived) fn interval(lower: &mut Lower, node: &Node) {
    let value = time(lower, node);
    let Some(draft) = lower.drafts.scripts.last_mut() else { return };
    draft.interval = value;
}

pub(in crate::keepalived) fn timeout(lower: &mut Lower, node: &Node) {
    let value = time(lower, node);
    let Some(draft) = lower.drafts.scripts.last_mut() else { return };
    draft.timeout = value;
}

/// From a millisecond to a day and more: keepalived's limit is that of its timer.
fn time(lower: &mut Lower, node: &Node) -> Option<At<Duration>> {
    let word = node.argument(1)?;
    let range = Duration::from_millis(1)..=Duration::from_secs(4_000_000);
    let value = lower.seconds(word, range, Grain::Millisecond)?;
    Some(At::of(word, value))
}

pub(in crate::keepalived) fn weight(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    // 254 is accepted and clipped there.
    let weight = lower.integer(word, -254..=254, Garbage::Tolerated);
    let reverse = node.argument(2).is_some_and(|word| word.text == "reverse");
    let Some(draft) = lower.drafts.scripts.last_mut() else { return };
    draft.weight = weight
        .and_then(|weight| i16::try_from(weight.clamp(-253, 253)).ok())
        .map(|weight| At::of(word, (weight, reverse)));
}

pub(in crate::keepalived) fn rise(lower: &mut Lower, node: &Node) {
    let value = count(lower, node);
    let Some(draft) = lower.drafts.scripts.last_mut() else { return };
    draft.rise = value;
}

pub(in crate::keepalived) fn fall(lower: &mut Lower, node: &Node) {
    let value = count(lower, node);
    let Some(draft) = lower.drafts.scripts.last_mut() else { return };
    draft.fall = value;
}

fn count(lower: &mut Lower, node: &Node) -> Option<u32> {
    let count = lower.integer(node.argument(1)?, 1..=i64::from(i32::MAX), Garbage::Tolerated)?;
    u32::try_from(count).ok()
}

pub(in crate::keepalived) fn user(lower: &mut Lower, node: &Node) {
    let Some(draft) = lower.drafts.scripts.last_mut() else { return };
    draft.user = value::user(&node.words[1..]);
}
