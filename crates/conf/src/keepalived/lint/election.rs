//! Who becomes master, and whether that can change.

use super::{lowered, script_name};
use crate::Diagnostic;
use crate::keepalived::Loaded;
use crate::keepalived::lower::{At, InstanceDraft};
use evenkeel_vrrp::config::{Preempt, Priority, TrackTarget, Version};

pub(super) fn instance(draft: &InstanceDraft, loaded: &Loaded, found: &mut Vec<Diagnostic>) {
    master_holds_back(draft, found);
    delay_with_nopreempt(draft, found);
    weight_with_nopreempt(draft, loaded, found);
    strict_without_accept(draft, loaded, found);
    slow_failover(draft, loaded, found);
}

/// Rules `master-nopreempt` and `master-preempt-delay`.
fn master_holds_back(draft: &InstanceDraft, found: &mut Vec<Diagnostic>) {
    if !draft.is_state_master() {
        return;
    }
    let fix = "write `state BACKUP` on both nodes: the priorities decide who starts as master";
    if let Some(nopreempt) = draft.nopreempt {
        found.push(
            Diagnostic::warning("master-nopreempt", nopreempt, "`nopreempt` with `state MASTER` does nothing")
                .so("this node takes the address back whenever it returns")
                .fix(fix),
        );
    }
    if let Some(delay) = draft.preempt_delay.as_ref().filter(|delay| !delay.value.is_zero()) {
        found.push(
            Diagnostic::warning("master-preempt-delay", delay.span, "`preempt_delay` with `state MASTER` does nothing")
                .so("this node takes the address back at once when it returns")
                .fix(fix),
        );
    }
}

/// Rule `nopreempt-delay`.
fn delay_with_nopreempt(draft: &InstanceDraft, found: &mut Vec<Diagnostic>) {
    let (Some(delay), Some(_), false) = (&draft.preempt_delay, draft.nopreempt, draft.is_state_master()) else {
        return;
    };
    found.push(
        Diagnostic::warning("nopreempt-delay", delay.span, "`preempt_delay` with `nopreempt` does nothing")
            .so("the address is never taken from a living master")
            .fix("keep one of them"),
    );
}

/// Rule `weight-nopreempt`: a master whose priority falls goes on, because nobody takes the address from it.
fn weight_with_nopreempt(draft: &InstanceDraft, loaded: &Loaded, found: &mut Vec<Diagnostic>) {
    let Some(instance) = lowered(loaded, draft) else { return };
    let (Some(nopreempt), Preempt::Never) = (draft.nopreempt, instance.preempt) else { return };
    let Some(track) = instance.tracks.iter().find(|track| track.weight != 0) else { return };
    let target = match &track.target {
        TrackTarget::Interface(name) => format!("interface `{name}`"),
        TrackTarget::Script(_) => format!("script `{}`", script_name(&track.target, loaded).unwrap_or_default()),
        TrackTarget::Bfd(name) => format!("bfd_instance `{name}`"),
        TrackTarget::File(name) => format!("track_file `{name}`"),
        TrackTarget::Processes(name) => format!("vrrp_track_process `{name}`"),
        TrackTarget::Proxy => "proxy".to_owned(),
        TrackTarget::Static(group) => format!("track_group `{group}`"),
    };
    found.push(
        Diagnostic::warning("weight-nopreempt", nopreempt, format!("`nopreempt` beside the weight of {target}"))
            .so("when the check fails on the master its priority falls, and a backup with nopreempt takes no notice: the address stays where the service is dead")
            .fix("remove the weight, so that failure means FAULT and the address moves; or remove nopreempt"),
    );
}

/// Rule `strict-without-accept`.
fn strict_without_accept(draft: &InstanceDraft, loaded: &Loaded, found: &mut Vec<Diagnostic>) {
    let strict = draft.strict.as_ref().or(loaded.drafts.globals.strict.as_ref());
    let Some(At { value: true, span }) = strict else { return };
    let Some(instance) = lowered(loaded, draft) else { return };
    if instance.priority == Priority::OWNER || draft.accept {
        return;
    }
    let version = if instance.version == Version::V2 { ", which version 2 does not allow in strict mode" } else { "" };
    let diagnostic = Diagnostic::warning(
        "strict-without-accept",
        *span,
        format!("vrrp_instance `{}` is strict and has no `accept`", draft.name.value),
    )
    .so("every packet to its addresses is dropped, ping included, as in keepalived")
    .fix(format!("remove vrrp_strict, or write `accept`{version}"));
    // One global keyword, one message.
    if !found.iter().any(|other| other.rule == diagnostic.rule && other.span == diagnostic.span) {
        found.push(diagnostic);
    }
}

/// Rule `slow-failover`: articles copy `advert_int 5` and more without its price.
fn slow_failover(draft: &InstanceDraft, loaded: &Loaded, found: &mut Vec<Diagnostic>) {
    let (Some(instance), Some(advert)) = (lowered(loaded, draft), &draft.advert) else { return };
    let adverts = u32::from(instance.down_adverts.get());
    let silent = instance.advert_interval.duration() * adverts;
    if silent.as_secs() >= 30 {
        found.push(
            Diagnostic::note(
                "slow-failover",
                advert.span,
                format!("a dead master is replaced after {} s", silent.as_secs()),
            )
            .so("a backup waits for that many missing adverts")
            .fix("lower advert_int on both nodes"),
        );
    }
}
