//! How processes are scheduled: the same keywords for the virtual routers and for the health checks.

use super::Lower;
use super::number::Garbage;
use crate::keepalived::language::Node;
use crate::keepalived::process::AutoPriority;
use crate::keepalived::settings::Scheduling;
use std::time::Duration;

type Of = fn(&mut Lower) -> &mut Scheduling;

const VRRP: Of = |lower| &mut lower.settings.vrrp_scheduling;
const CHECKER: Of = |lower| &mut lower.settings.checker_scheduling;

pub(in crate::keepalived) fn vrrp_priority(lower: &mut Lower, node: &Node) {
    nice(lower, node, VRRP);
}

pub(in crate::keepalived) fn vrrp_rt_priority(lower: &mut Lower, node: &Node) {
    realtime(lower, node, VRRP);
}

pub(in crate::keepalived) fn vrrp_cpu_affinity(lower: &mut Lower, node: &Node) {
    processors(lower, node, VRRP);
}

pub(in crate::keepalived) fn vrrp_rlimit_rttime(lower: &mut Lower, node: &Node) {
    longest_run(lower, node, VRRP);
}

pub(in crate::keepalived) fn vrrp_rlimit_rtime(lower: &mut Lower, node: &Node) {
    lower.formerly(node, "vrrp_rlimit_rttime", "it means the same");
    longest_run(lower, node, VRRP);
}

pub(in crate::keepalived) fn vrrp_no_swap(lower: &mut Lower, _: &Node) {
    VRRP(lower).no_swap = true;
}

pub(in crate::keepalived) fn checker_priority(lower: &mut Lower, node: &Node) {
    nice(lower, node, CHECKER);
}

pub(in crate::keepalived) fn checker_rt_priority(lower: &mut Lower, node: &Node) {
    realtime(lower, node, CHECKER);
}

pub(in crate::keepalived) fn checker_cpu_affinity(lower: &mut Lower, node: &Node) {
    processors(lower, node, CHECKER);
}

pub(in crate::keepalived) fn checker_rlimit_rttime(lower: &mut Lower, node: &Node) {
    longest_run(lower, node, CHECKER);
}

pub(in crate::keepalived) fn checker_rlimit_rtime(lower: &mut Lower, node: &Node) {
    lower.formerly(node, "checker_rlimit_rttime", "it means the same");
    longest_run(lower, node, CHECKER);
}

pub(in crate::keepalived) fn checker_no_swap(lower: &mut Lower, _: &Node) {
    CHECKER(lower).no_swap = true;
}

/// Bare it is the highest there is; -1 keeps it off and in keepalived silences a hint at the start.
pub(in crate::keepalived) fn max_auto_priority(lower: &mut Lower, node: &Node) {
    let most = match node.argument(1) {
        None => Some(i64::from(AutoPriority::HIGHEST)),
        Some(word) => lower.integer(word, -1..=i64::from(AutoPriority::HIGHEST), Garbage::Tolerated),
    };
    if let Some(most) = most {
        lower.settings.process.auto_priority.most = u8::try_from(most).unwrap_or(0);
    }
}

pub(in crate::keepalived) fn min_auto_priority_delay(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    if let Some(delay) = lower.integer(word, 1..=10_000_000, Garbage::Tolerated) {
        lower.settings.process.auto_priority.delay = Duration::from_micros(delay.unsigned_abs());
    }
}

fn nice(lower: &mut Lower, node: &Node, of: Of) {
    let nice = node.argument(1).and_then(|word| lower.integer(word, -20..=19, Garbage::Tolerated));
    of(lower).nice = nice.and_then(|nice| i8::try_from(nice).ok());
}

fn realtime(lower: &mut Lower, node: &Node, of: Of) {
    let priority = node.argument(1).and_then(|word| lower.integer(word, 1..=99, Garbage::Tolerated));
    of(lower).realtime = priority.and_then(|priority| u8::try_from(priority).ok());
}

/// Numbers of processors; one that is none is left out.
fn processors(lower: &mut Lower, node: &Node, of: Of) {
    // As many as the kernel's sets of them hold.
    let numbers = node.words[1..].iter().filter_map(|word| lower.integer(word, 0..=1023, Garbage::Refused));
    let processors = numbers.filter_map(|number| u16::try_from(number).ok()).collect();
    of(lower).processors = processors;
}

fn longest_run(lower: &mut Lower, node: &Node, of: Of) {
    let Some(word) = node.argument(1) else { return };
    let microseconds = lower.integer(word, 1..=i64::from(u32::MAX), Garbage::Tolerated);
    of(lower).longest_run = microseconds.map(|microseconds| Duration::from_micros(microseconds.unsigned_abs()));
}
