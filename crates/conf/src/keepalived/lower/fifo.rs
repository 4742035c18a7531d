//! FIFOs that are told of events, and the programs that read them. Path and reader may come in either order; the first of
//! each is kept, as keepalived does it.

use super::value::{self, User};
use super::{At, Lower};
use crate::Diagnostic;
use crate::keepalived::language::Node;
use crate::keepalived::settings::{CommandLine, NotifyFifo};

/// One of them as it was written.
#[derive(Debug, Default)]
pub(in crate::keepalived) struct FifoDraft {
    path: Option<(String, Option<User>)>,
    pub(in crate::keepalived) reader: Option<At<CommandLine>>,
}

/// `PATH [USER [GROUP]]`
pub(in crate::keepalived) fn lvs_notify_fifo(lower: &mut Lower, node: &Node) {
    path(lower, node, |lower| &mut lower.drafts.fifos.lvs);
}

/// `"COMMAND" [USER [[:]GROUP]]`
pub(in crate::keepalived) fn lvs_notify_fifo_script(lower: &mut Lower, node: &Node) {
    reader(lower, node, |lower| &mut lower.drafts.fifos.lvs);
}

/// `PATH [USER [GROUP]]`
pub(in crate::keepalived) fn vrrp_notify_fifo(lower: &mut Lower, node: &Node) {
    path(lower, node, |lower| &mut lower.drafts.fifos.vrrp);
}

/// `"COMMAND" [USER [[:]GROUP]]`
pub(in crate::keepalived) fn vrrp_notify_fifo_script(lower: &mut Lower, node: &Node) {
    reader(lower, node, |lower| &mut lower.drafts.fifos.vrrp);
}

/// `PATH [USER [GROUP]]`
pub(in crate::keepalived) fn notify_fifo(lower: &mut Lower, node: &Node) {
    path(lower, node, |lower| &mut lower.drafts.fifos.all);
}

/// `"COMMAND" [USER [[:]GROUP]]`
pub(in crate::keepalived) fn notify_fifo_script(lower: &mut Lower, node: &Node) {
    reader(lower, node, |lower| &mut lower.drafts.fifos.all);
}

pub(in crate::keepalived) fn fifo_write_vrrp_states_on_reload(lower: &mut Lower, _: &Node) {
    lower.settings.fifo_states_at_reload = true;
}

/// As they were written, by their keywords.
#[derive(Debug, Default)]
pub(in crate::keepalived) struct FifoDrafts {
    pub(in crate::keepalived) lvs: FifoDraft,
    pub(in crate::keepalived) vrrp: FifoDraft,
    /// `notify_fifo`
    pub(in crate::keepalived) all: FifoDraft,
}

fn path(lower: &mut Lower, node: &Node, of: fn(&mut Lower) -> &mut FifoDraft) {
    let Some(path) = node.argument(1) else { return };
    if of(lower).path.is_some() {
        return lower.repeated(node);
    }
    of(lower).path = Some((path.text.clone(), value::user(&node.words[2..])));
}

fn reader(lower: &mut Lower, node: &Node, of: fn(&mut Lower) -> &mut FifoDraft) {
    let before = of(lower).reader.take();
    if before.is_some() {
        of(lower).reader = before;
        return lower.repeated(node);
    }
    let Some(command) = lower.command(node, None) else { return };
    of(lower).reader = node.argument(1).map(|word| At::of(word, command));
}

/// What the supervisor is told of them.
pub(super) fn finish(lower: &mut Lower) {
    let FifoDrafts { lvs, vrrp, all } = std::mem::take(&mut lower.drafts.fifos);
    lower.settings.lvs_fifo = lower.fifo("lvs_notify_fifo", &lvs);
    lower.settings.vrrp_fifo = lower.fifo("vrrp_notify_fifo", &vrrp);
    lower.settings.fifo = lower.fifo("notify_fifo", &all);
    lower.drafts.fifos = FifoDrafts { lvs, vrrp, all };
}

impl Lower {
    fn fifo(&mut self, keyword: &str, draft: &FifoDraft) -> Option<NotifyFifo> {
        if let (None, Some(reader)) = (&draft.path, &draft.reader) {
            self.say(
                Diagnostic::warning("reader-without-fifo", reader.span, format!("there is no `{keyword}` to read"))
                    .so("the program is not started")
                    .fix(format!("add `{keyword} PATH`")),
            );
        }
        let (path, owner) = draft.path.clone()?;
        Some(NotifyFifo { path, owner, reader: draft.reader.as_ref().map(|reader| reader.value.clone()) })
    }
}
