//! How an instance's adverts are authenticated, when all is known that may forbid it.

use super::{AuthType, InstanceDraft, Lower, hmac};
use crate::{Diagnostic, Files};
use evenkeel_vrrp::config::{Authentication, Instance, Password, Version};
use evenkeel_wire::Family;

/// For an instance whose version, interval and addresses are known. One way at a time: the older one goes where both are
/// configured.
pub(super) fn authentication(
    draft: &InstanceDraft,
    instance: &Instance,
    strict: bool,
    files: &dyn Files,
    lower: &mut Lower,
) -> Authentication {
    if draft.hmac.is_none() {
        return legacy(draft, instance.version, strict, lower);
    }
    if let Some(place) = draft.auth_type.as_ref().map(|kind| kind.span) {
        lower.say(
            Diagnostic::warning("auth-ignored", place, "the authentication is ignored: there is an auth_hmac block")
                .so("one instance has one way of authentication, and keepalived keeps the newer one")
                .fix("remove the `authentication` block"),
        );
    }
    match hmac::finish(draft, instance.advert_interval, strict, files, lower) {
        Some(hmac) => Authentication::Hmac(hmac),
        None => Authentication::None,
    }
}

fn legacy(draft: &InstanceDraft, version: Version, strict: bool, lower: &mut Lower) -> Authentication {
    let kind = draft.auth_type.as_ref();
    let Some(place) = kind.map(|kind| kind.span).or(draft.auth_pass.as_ref().map(|pass| pass.span)) else {
        return Authentication::None;
    };
    let ignored = |why: &str, fix: &str| {
        Diagnostic::warning("auth-ignored", place, format!("the authentication is ignored: {why}"))
            .so("adverts are sent and taken without a password")
            .fix(fix)
    };
    let diagnostic = match (kind.map(|kind| kind.value), &draft.auth_pass) {
        _ if version == Version::V3 => ignored("version 3 has none", "remove it, or use `auth_hmac`"),
        _ if strict => ignored("strict mode has none", "remove it, or vrrp_strict"),
        (None, _) => ignored("there is no auth_type", "write `auth_type PASS`"),
        (Some(_), None) => ignored("there is no auth_pass", "write `auth_pass PASSWORD`"),
        (Some(AuthType::Ah), Some(_)) if draft.family() == Family::V6 => {
            ignored("there is no AH over IPv6, in keepalived neither", "remove it, or use `auth_hmac`")
        }
        (Some(AuthType::Pass), Some(pass)) => return Authentication::Password(Password::new(&pass.value)),
        (Some(AuthType::Ah), Some(pass)) => {
            if let Some(state) = draft.state.as_ref().filter(|_| !draft.is_state_master() && draft.priority.is_some())
                && state.value == evenkeel_vrrp::config::Initial::Master
            {
                lower.say(
                    Diagnostic::warning("ah-master", state.span, "`state MASTER` does not go with `auth_type AH`")
                        .so("the instance starts as BACKUP, as in keepalived: it first has to hear the sequence number")
                        .fix("write `state BACKUP`: the priorities decide who is master"),
                );
            }
            return Authentication::Header(Password::new(&pass.value));
        }
    };
    lower.say(diagnostic);
    Authentication::None
}
