//! Layer 4: commands, and real servers that are this node.

use super::{Host, script};
use crate::Diagnostic;
use crate::keepalived::Loaded;
use crate::keepalived::lower::At;
use crate::keepalived::lower::balance::{PoolDraft, ProbeDraft, ServerDraft, Virtual};
use crate::keepalived::settings::CommandLine;
use evenkeel_balance::table::Forward;
use std::time::Duration;

pub(super) fn pool(draft: &PoolDraft, loaded: &Loaded, host: &dyn Host, found: &mut Vec<Diagnostic>) {
    notices([&draft.quorum_up, &draft.quorum_down], loaded, host, found);
    for server in &draft.servers {
        director(server, draft, host, found);
        notices([&server.notify_up, &server.notify_down], loaded, host, found);
        for check in &server.checks {
            let ProbeDraft::Misc(misc) = &check.probe else { continue };
            let Some(At { value: words, span }) = &misc.command else { continue };
            let text = script::file_of(words, *span, "the check cannot run", loaded, host, found);
            // A check may take longer than its interval: the next one is counted from its start.
            script::content(&text, Duration::MAX, *span, found);
        }
    }
}

/// Rules about files, for what is run when something has changed.
pub(super) fn notices<const N: usize>(
    commands: [&Option<At<CommandLine>>; N],
    loaded: &Loaded,
    host: &dyn Host,
    found: &mut Vec<Diagnostic>,
) {
    for command in commands.into_iter().flatten() {
        let consequence = "nobody is told";
        script::file_of(&command.value.words, command.span, consequence, loaded, host, found);
    }
}

/// Rules `real-server-is-virtual` and `real-server-is-director`. A proxy behind NAT on the node itself is no surprise.
fn director(server: &ServerDraft, pool: &PoolDraft, host: &dyn Host, found: &mut Vec<Diagnostic>) {
    let method = server.forward.or(pool.forward).unwrap_or(Forward::Masquerade);
    let (Some(address), false) = (server.address.value, method == Forward::Masquerade) else { return };
    if matches!(pool.of.value, Virtual::Address { address: own, .. } if own == address) {
        found.push(
            Diagnostic::warning(
                "real-server-is-virtual",
                server.address.span,
                format!("the real server {address} is the virtual address itself"),
            )
            .so("whoever holds the address is the server: the others send it their packets back, in a circle")
            .fix("name the address that the server always has"),
        );
    } else if host.has_address(address) == Some(true) {
        found.push(
            Diagnostic::note(
                "real-server-is-director",
                server.address.span,
                format!("the real server {address} is this node"),
            )
            .so("evenkeel sends such packets in no circle; with keepalived on the other node they go back and forth")
            .fix("run evenkeel on both nodes, or keep directors and real servers apart"),
        );
    }
}
