//! What the log says of virtual routers and groups.

use evenkeel_vrrp::{Report, StateName, Transition};

/// What the log says of a group.
pub fn phrase(state: Report) -> &'static str {
    match state {
        Report::Master => "Entering MASTER STATE",
        Report::Backup => "Entering BACKUP STATE",
        Report::Fault => "Entering FAULT STATE",
        Report::Stop => "Stopped",
        Report::Deleted => "Deleted",
        Report::MasterRxLowerPri | Report::MasterPriority | Report::BackupPriority => "changed",
    }
}

/// keepalived's own phrases, with our reasons behind them.
pub fn log_transition(name: &str, transition: &Transition) {
    let Transition { from, to, trigger, decision, .. } = transition;
    if let Some((before, after)) = decision.strip_prefix("effective priority ").and_then(|p| p.split_once(" -> ")) {
        tracing::info!(target: "vrrp", trigger, "({name}) Changing effective priority from {before} to {after}");
        return;
    }
    if from == to {
        tracing::warn!(target: "vrrp", "({name}) {decision}: {trigger}");
        return;
    }
    if *from == StateName::Backup && *to == StateName::Master && trigger.starts_with("no advert") {
        tracing::info!(target: "vrrp", "({name}) Receive advertisement timeout");
    }
    let phrase = match to {
        StateName::Master => "Entering MASTER STATE",
        StateName::Backup if *from == StateName::Init => "Entering BACKUP STATE (init)",
        StateName::Backup => "Entering BACKUP STATE",
        StateName::Fault => "Entering FAULT STATE",
        StateName::Leaving => "Handing over",
        StateName::Stopped => "Stopped",
        StateName::Init => "Waiting for its interface",
    };
    tracing::info!(target: "vrrp", trigger, decision, "({name}) {phrase}");
}
