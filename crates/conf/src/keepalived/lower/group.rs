//! vrrp_sync_group.

use super::{At, GroupDraft, Lower};
use crate::keepalived::language::Node;

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1) else { return };
    lower.drafts.groups.push(GroupDraft { name: At::of(name, name.text.clone()), members: Vec::new() });
}

pub(in crate::keepalived) fn members(lower: &mut Lower, node: &Node) {
    let Some(group) = lower.drafts.groups.last_mut() else { return };
    let members = node.children.iter().flat_map(|line| &line.words).map(|word| At::of(word, word.text.clone()));
    group.members.extend(members);
}
