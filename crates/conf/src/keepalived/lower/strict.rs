//! What `vrrp_strict` takes back: each with a word, as in keepalived.

use super::{Globals, InstanceDraft, Lower};
use crate::Diagnostic;
use evenkeel_vrrp::config::{Instance, Priority, Version};
use std::time::Duration;

/// What the instance says, or else all of them.
pub(super) fn is_strict(draft: &InstanceDraft, globals: &Globals) -> bool {
    draft.strict.as_ref().or(globals.strict.as_ref()).is_some_and(|strict| strict.value)
}

pub(super) fn resets(draft: &InstanceDraft, globals: &Globals, instance: &mut Instance, lower: &mut Lower) {
    // Nobody hears of an advert of lower priority, neither hosts nor its sender.
    instance.garp.lower_prio_repeat = 0;
    instance.garp.lower_prio_delay = Duration::ZERO;
    let rows = [
        (draft.preempt_delay.is_some(), "preempt_delay", "there is no delay"),
        (
            draft.down_adverts.or(globals.down_adverts).is_some_and(|n| n.get() != 3),
            "down_timer_adverts",
            "three are missed",
        ),
        (draft.garp.lower_prio_repeat.is_some_and(|n| n > 0), "garp_lower_prio_repeat", "none is sent"),
        (draft.garp.lower_prio_delay.is_some_and(|delay| !delay.is_zero()), "garp_lower_prio_delay", "none is sent"),
        (draft.lower_prio_no_advert == Some(false), "lower_prio_no_advert off", "no advert answers a lower one"),
        (draft.higher_prio_send_advert == Some(true), "higher_prio_send_advert", "none is sent"),
        (draft.owner_ignore_adverts == Some(false), "owner_ignore_adverts off", "an owner ignores adverts"),
        (
            draft.flavour.as_ref().is_some_and(|flavour| flavour.value.names_mac()),
            "use_vmac MAC",
            "the MAC is that of the standard",
        ),
        (draft.xmit_base, "vmac_xmit_base", "adverts have the virtual MAC"),
        (draft.accept && instance.version == Version::V2, "accept", "RFC 3768 does not know it"),
        (
            draft.is_state_master() && instance.priority != Priority::OWNER,
            "state MASTER",
            "only an owner (priority 255) begins as master: it begins as backup",
        ),
    ];
    for (is_written, keyword, so) in rows {
        if is_written {
            let message = format!("`{keyword}` of vrrp_instance `{}` has no place in strict mode", draft.name.value);
            lower.say(
                Diagnostic::warning("strict-reset", draft.name.span, message)
                    .so(format!("it is reset, as in keepalived: {so}"))
                    .fix("remove it, or vrrp_strict"),
            );
        }
    }
}
