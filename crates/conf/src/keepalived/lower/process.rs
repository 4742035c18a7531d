//! vrrp_track_process.

use super::number::{Garbage, Grain};
use super::{At, Kind, Lower, ProcessDraft, track};
use crate::Diagnostic;
use crate::keepalived::language::Node;
use crate::keepalived::settings::{Parameters, TrackedProcess};
use std::time::Duration;

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1) else { return };
    let duplicate = !lower.claim(Kind::Process, &name.text);
    if duplicate {
        lower.say(
            Diagnostic::warning(
                "repeated",
                name.span,
                format!("there is already a vrrp_track_process `{}`", name.text),
            )
            .so("this one is ignored")
            .fix("give it another name"),
        );
    }
    lower.drafts.processes.push(ProcessDraft {
        name: At::of(name, name.text.clone()),
        weight: (0, false),
        command: None,
        full_command: false,
        duplicate,
        tracked: TrackedProcess {
            name: name.text.clone(),
            weight: (0, false),
            command: String::new(),
            parameters: Parameters::Any,
            by_command_line: false,
            quorum: 1,
            quorum_max: None,
            gained_after: Duration::ZERO,
            lost_after: Duration::ZERO,
        },
    });
}

fn draft(lower: &mut Lower) -> Option<&mut ProcessDraft> {
    lower.drafts.processes.last_mut()
}

pub(in crate::keepalived) fn process(lower: &mut Lower, node: &Node) {
    let words: Vec<String> = node.words.iter().skip(1).map(|word| word.text.clone()).collect();
    let Some((command, parameters)) = words.split_first() else { return };
    let Some(draft) = draft(lower) else { return };
    draft.command = Some(command.clone());
    if !parameters.is_empty() {
        draft.tracked.parameters = match std::mem::replace(&mut draft.tracked.parameters, Parameters::Any) {
            Parameters::Initial(_) => Parameters::Initial(parameters.to_vec()),
            Parameters::Partial(_) => Parameters::Partial(parameters.to_vec()),
            Parameters::Any | Parameters::Exact(_) => Parameters::Exact(parameters.to_vec()),
        };
    }
}

/// Bare: the parameters are exactly those that are listed, also when none is.
pub(in crate::keepalived) fn param_match(lower: &mut Lower, node: &Node) {
    let word = node.argument(1).cloned();
    let Some(draft) = draft(lower) else { return };
    let listed = match &draft.tracked.parameters {
        Parameters::Any => Vec::new(),
        Parameters::Exact(listed) | Parameters::Initial(listed) | Parameters::Partial(listed) => listed.clone(),
    };
    draft.tracked.parameters = match word.as_ref().map(|word| word.text.as_str()) {
        None | Some("exact") => Parameters::Exact(listed),
        Some("initial") => Parameters::Initial(listed),
        Some("partial") => Parameters::Partial(listed),
        Some(other) => {
            let message = format!("`{other}` is neither initial nor partial");
            let Some(word) = word.as_ref() else { return };
            return lower.refuse(word, message);
        }
    };
}

pub(in crate::keepalived) fn full_command(lower: &mut Lower, _: &Node) {
    let Some(draft) = draft(lower) else { return };
    draft.full_command = true;
}

pub(in crate::keepalived) fn weight(lower: &mut Lower, node: &Node) {
    let Some(weight) = track::default_weight(lower, node) else { return };
    let Some(draft) = draft(lower) else { return };
    draft.weight = weight;
}

pub(in crate::keepalived) fn quorum(lower: &mut Lower, node: &Node) {
    let number = node.argument(1).and_then(|word| lower.integer(word, 1..=65_535, Garbage::Tolerated));
    let (Some(number), Some(draft)) = (number.and_then(|n| u32::try_from(n).ok()), draft(lower)) else { return };
    draft.tracked.quorum = number;
}

pub(in crate::keepalived) fn quorum_max(lower: &mut Lower, node: &Node) {
    let number = node.argument(1).and_then(|word| lower.integer(word, 0..=65_535, Garbage::Tolerated));
    let (Some(number), Some(draft)) = (number.and_then(|n| u32::try_from(n).ok()), draft(lower)) else { return };
    draft.tracked.quorum_max = Some(number);
}

pub(in crate::keepalived) fn delay(lower: &mut Lower, node: &Node) {
    fork_delay(lower, node);
    let Some(draft) = draft(lower) else { return };
    draft.tracked.lost_after = draft.tracked.gained_after;
}

pub(in crate::keepalived) fn fork_delay(lower: &mut Lower, node: &Node) {
    let (Some(value), Some(draft)) = (time(lower, node), draft(lower)) else { return };
    draft.tracked.gained_after = value;
}

pub(in crate::keepalived) fn terminate_delay(lower: &mut Lower, node: &Node) {
    let (Some(value), Some(draft)) = (time(lower, node), draft(lower)) else { return };
    draft.tracked.lost_after = value;
}

fn time(lower: &mut Lower, node: &Node) -> Option<Duration> {
    lower.seconds(node.argument(1)?, Duration::ZERO..=Duration::from_secs(3600), Grain::Microsecond)
}

impl ProcessDraft {
    /// What the supervisor counts; `None` without `process`.
    pub(super) fn tracked(&self) -> Option<TrackedProcess> {
        let mut tracked = self.tracked.clone();
        tracked.command = self.command.clone()?;
        tracked.weight = self.weight;
        // Parameters are only in the command line.
        tracked.by_command_line = self.full_command || tracked.parameters != Parameters::Any;
        Some(tracked)
    }
}
