//! What the checks have in common.

use super::super::number::{Garbage, Grain};
use super::super::{At, Lower};
use super::pool::{TICK, fields};
use super::{CheckDraft, HostDraft, ProbeDraft, TargetDraft};
use crate::keepalived::language::{Node, Word};
use std::time::Duration;

/// A check begins with what its block is about.
pub(super) fn begin(lower: &mut Lower, node: &Node, probe: ProbeDraft) {
    let Some(span) = node.span() else { return };
    let Some(server) = lower.server() else { return };
    server.checks.push(CheckDraft {
        span,
        probe,
        timing: Default::default(),
        target: TargetDraft::default(),
        alpha: None,
        log_all_failures: None,
    });
}

fields! { check {
    retry => timing.retries |lower, word| lower.count(word?, 0, u32::MAX);
    delay_before_retry => timing.retry_delay |lower, word| lower.check_seconds(word?, Duration::ZERO);
    warmup => timing.warmup |lower, word| lower.check_seconds(word?, Duration::ZERO);
    delay_loop => timing.interval |lower, word| lower.check_seconds(word?, TICK);
    alpha => alpha |lower, word| lower.boolean(word);
    log_all_failures => log_all_failures |lower, word| lower.boolean(word);
}}

/// `nb_get_retry`, which HTTP_GET still knows.
pub(in crate::keepalived) fn nb_get_retry(lower: &mut Lower, node: &Node) {
    lower.formerly(node, "retry", "keepalived takes it with a warning as well");
    retry(lower, node);
}

/// The `host` block of SMTP_CHECK that the line is in.
fn host<'a>(check: &'a mut CheckDraft, node: &Node) -> Option<&'a mut HostDraft> {
    let ProbeDraft::Smtp { hosts, .. } = &mut check.probe else { return None };
    let host = hosts.last_mut()?;
    node.span().filter(|span| host.lines.contains(span)).map(|_| host)
}

/// Where the line's check goes: the check itself, or a `host` in it.
fn target<'a>(lower: &'a mut Lower, node: &Node) -> Option<&'a mut TargetDraft> {
    let check = lower.check()?;
    if host(check, node).is_some() {
        return host(check, node).map(|host| &mut host.target);
    }
    Some(&mut check.target)
}

pub(in crate::keepalived) fn connect_timeout(lower: &mut Lower, node: &Node) {
    let range = TICK..=Duration::from_secs(4294);
    let Some(timeout) = node.argument(1).and_then(|word| lower.seconds(word, range, Grain::Microsecond)) else {
        return;
    };
    let Some(check) = lower.check() else { return };
    match host(check, node) {
        Some(host) => host.timeout = Some(timeout),
        None => check.timing.timeout = Some(timeout),
    }
}

pub(in crate::keepalived) fn connect_ip(lower: &mut Lower, node: &Node) {
    let Some(address) = node.argument(1).and_then(|word| lower.address(word)) else { return };
    let Some(target) = target(lower, node) else { return };
    target.address = Some(address);
}

pub(in crate::keepalived) fn connect_port(lower: &mut Lower, node: &Node) {
    let Some(port) = node.argument(1).and_then(|word| lower.port(word)) else { return };
    let Some(target) = target(lower, node) else { return };
    target.port = Some(port);
}

pub(in crate::keepalived) fn bindto(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(address) = lower.address(word) else { return };
    let Some(target) = target(lower, node) else { return };
    target.source = Some(At::of(word, address));
}

pub(in crate::keepalived) fn bind_port(lower: &mut Lower, node: &Node) {
    let Some(port) = node.argument(1).and_then(|word| lower.port(word)) else { return };
    let Some(target) = target(lower, node) else { return };
    target.source_port = Some(port);
}

pub(in crate::keepalived) fn bind_if(lower: &mut Lower, node: &Node) {
    let Some(interface) = node.argument(1).and_then(|word| lower.interface(word)) else { return };
    let Some(target) = target(lower, node) else { return };
    target.interface = Some(interface);
}

pub(in crate::keepalived) fn fwmark(lower: &mut Lower, node: &Node) {
    let mark = node.argument(1).and_then(|word| lower.integer(word, 0..=i64::from(u32::MAX), Garbage::Refused));
    let Some(mark) = mark.and_then(|mark| u32::try_from(mark).ok()) else { return };
    let Some(target) = target(lower, node) else { return };
    target.mark = std::num::NonZeroU32::new(mark);
}

/// `via dataplane`
pub(in crate::keepalived) fn via(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    if word.text != "dataplane" {
        return lower.refuse(word, format!("`via {}`: a check can go via `dataplane` only", word.text));
    }
    let Some(target) = target(lower, node) else { return };
    target.via_dataplane = true;
}

impl Lower {
    /// A name that the kernel could have given.
    pub(super) fn interface(&mut self, word: &Word) -> Option<String> {
        if word.text.is_empty() || word.text.len() > 15 || word.text.contains('/') {
            self.refuse(word, format!("`{}` is no name of an interface", word.text));
            return None;
        }
        Some(word.text.clone())
    }
}
