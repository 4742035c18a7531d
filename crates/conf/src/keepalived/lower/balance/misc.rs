//! MISC_CHECK.

use super::super::{Lower, value};
use super::{MiscDraft, ProbeDraft, check};
use crate::keepalived::language::Node;
use std::time::Duration;

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Misc(MiscDraft::default()));
}

fn misc(lower: &mut Lower) -> Option<&mut MiscDraft> {
    match &mut lower.check()?.probe {
        ProbeDraft::Misc(misc) => Some(misc),
        _ => None,
    }
}

pub(in crate::keepalived) fn misc_path(lower: &mut Lower, node: &Node) {
    let Some(command) = lower.quoted_command(node) else { return };
    let Some(misc) = misc(lower) else { return };
    misc.command = Some(command);
}

pub(in crate::keepalived) fn misc_timeout(lower: &mut Lower, node: &Node) {
    let Some(seconds) = node.argument(1).and_then(|word| lower.count(word, 1, 4294)) else { return };
    let Some(misc) = misc(lower) else { return };
    misc.timeout = Some(Duration::from_secs(u64::from(seconds)));
}

pub(in crate::keepalived) fn misc_dynamic(lower: &mut Lower, _: &Node) {
    let Some(misc) = misc(lower) else { return };
    misc.dynamic = true;
}

pub(in crate::keepalived) fn user(lower: &mut Lower, node: &Node) {
    let Some(misc) = misc(lower) else { return };
    misc.user = value::user(&node.words[1..]);
}
