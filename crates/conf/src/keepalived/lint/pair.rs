//! What does not fit between two nodes.

use super::place;
use crate::Diagnostic;
use crate::keepalived::Loaded;
use crate::keepalived::lower::InstanceDraft;
use evenkeel_vrrp::config::{Authentication, Hmac, Instance, Mode, Preempt, Priority, Version};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// `draft` became `mine`; `peer` is the instance of the same number on the other node.
pub(super) fn instance(
    draft: &InstanceDraft,
    loaded: &Loaded,
    mine: &Instance,
    peer: &Instance,
    found: &mut Vec<Diagnostic>,
) {
    addresses(draft, mine, peer, found);
    wire(draft, mine, peer, found);
    priorities(draft, mine, peer, found);
    weights(draft, loaded, mine, peer, found);
    unicast(draft, mine, peer, found);
}

/// Rule `addresses-differ`.
fn addresses(draft: &InstanceDraft, mine: &Instance, peer: &Instance, found: &mut Vec<Diagnostic>) {
    let set = |instance: &Instance| -> BTreeSet<IpAddr> {
        instance.addresses.iter().map(|address| address.prefix.address()).collect()
    };
    let (ours, theirs) = (set(mine), set(peer));
    for address in draft.addresses.iter().filter(|address| !theirs.contains(&address.value.prefix.address())) {
        let address_text = address.value.prefix.address();
        found.push(
            Diagnostic::warning(
                "addresses-differ",
                address.span,
                format!("the other node does not have {address_text}"),
            )
            .so("after a failover nobody holds it")
            .fix("make the lists of both nodes the same"),
        );
    }
    let missing: Vec<_> = theirs.difference(&ours).map(IpAddr::to_string).collect();
    if !missing.is_empty() {
        found.push(
            Diagnostic::warning(
                "addresses-differ",
                draft.name.span,
                format!("the other node also has {}", missing.join(", ")),
            )
            .so("this node does not take them over")
            .fix("make the lists of both nodes the same"),
        );
    }
}

/// Rules `versions-differ`, `intervals-differ`: adverts that the other node throws away.
fn wire(draft: &InstanceDraft, mine: &Instance, peer: &Instance, found: &mut Vec<Diagnostic>) {
    let both = "each node throws the other's adverts away: both become master";
    if mine.version != peer.version {
        found.push(
            Diagnostic::error("versions-differ", draft.name.span, "the nodes speak different versions of VRRP")
                .so(both)
                .fix("write the same `version` on both nodes"),
        );
        return;
    }
    if mine.version == Version::V2 && mine.advert_interval != peer.advert_interval {
        let span = draft.advert.as_ref().map_or(draft.name.span, |advert| advert.span);
        found.push(
            Diagnostic::error("intervals-differ", span, "the nodes have different advert intervals")
                .so(both)
                .fix("write the same `advert_int` on both nodes"),
        );
    }
    authentication(draft, mine, peer, found);
}

/// Rules `passwords-differ` and `auth-hmac-differs`.
fn authentication(draft: &InstanceDraft, mine: &Instance, peer: &Instance, found: &mut Vec<Diagnostic>) {
    let (Authentication::Hmac(ours), Authentication::Hmac(theirs)) = (&mine.authentication, &peer.authentication)
    else {
        if mine.authentication != peer.authentication {
            let span = draft.auth_pass.as_ref().map_or(draft.name.span, |pass| pass.span);
            found.push(
                Diagnostic::error("passwords-differ", span, "the nodes have different authentication")
                    .so("each node throws the other's adverts away: both become master")
                    .fix("write the same authentication on both nodes"),
            );
        }
        return;
    };
    let place = draft.hmac.as_ref().map_or(draft.name.span, |hmac| hmac.place);
    let knows = |hmac: &Hmac, signer: &Hmac| {
        hmac.key(signer.active.get()).is_some_and(|key| signer.key(signer.active.get()) == Some(key))
    };
    let understood = |hmac: &Hmac, signer: &Hmac| match (signer.mode, hmac.mode) {
        (Mode::ReceiveOnly, Mode::Enforce) => false,
        (Mode::ReceiveOnly, Mode::Permissive | Mode::ReceiveOnly) => true,
        (Mode::Permissive | Mode::Enforce, _) => knows(hmac, signer),
    };
    if !understood(ours, theirs) || !understood(theirs, ours) {
        found.push(
            Diagnostic::error("auth-hmac-differs", place, "one node refuses what the other one signs")
                .so("both become master")
                .fix("give both nodes both active keys, and let both sign before one enforces"),
        );
    }
}

/// Rule `equal-priorities`.
fn priorities(draft: &InstanceDraft, mine: &Instance, peer: &Instance, found: &mut Vec<Diagnostic>) {
    if mine.priority != peer.priority {
        return;
    }
    let span = draft.priority.as_ref().map_or(draft.name.span, |priority| priority.span);
    if mine.priority == Priority::OWNER {
        found.push(
            Diagnostic::error("two-owners", span, "both nodes have priority 255")
                .so("both become master")
                .fix("lower the priority of one node"),
        );
        return;
    }
    let nopreempt = mine.preempt == Preempt::Never || peer.preempt == Preempt::Never;
    let consequence = if nopreempt {
        "with nopreempt the node that came up first stays master, until both start at once: then the higher address wins"
    } else {
        "the node with the higher address wins a tie, and `state` decides nothing"
    };
    found.push(
        Diagnostic::warning("equal-priorities", span, "both nodes have the same priority")
            .so(consequence)
            .fix("give the node that should normally be master the higher priority"),
    );
}

/// Rules `weight-too-small` and `weight-on-primary-only`.
fn weights(draft: &InstanceDraft, loaded: &Loaded, mine: &Instance, peer: &Instance, found: &mut Vec<Diagnostic>) {
    let gap = i32::from(mine.priority.get()) - i32::from(peer.priority.get());
    if gap <= 0 || mine.priority == Priority::OWNER {
        return;
    }
    // All is well on both nodes: positive weights of both count. Then each of mine fails alone.
    let bonus =
        |instance: &Instance| -> i32 { instance.tracks.iter().map(|track| i32::from(track.weight.max(0))).sum() };
    let lead = gap + bonus(mine) - bonus(peer);
    for track in mine.tracks.iter().filter(|track| track.weight != 0) {
        let weight = i32::from(track.weight).abs();
        if weight > lead {
            continue;
        }
        let only_here = track.weight > 0 && bonus(peer) == 0;
        let (rule, message) = if only_here {
            ("weight-on-primary-only", format!("the weight {weight} is added on this node only"))
        } else {
            ("weight-too-small", format!("a failure here takes {weight} from a lead of {lead}"))
        };
        found.push(
            Diagnostic::warning(rule, place(track, draft, loaded), message)
                .so("the other node still has the lower priority: the address stays where the check fails")
                .fix(format!("use a weight above {lead}, or none, so that failure means FAULT")),
        );
    }
}

/// Rule `unicast-asymmetric`.
fn unicast(draft: &InstanceDraft, mine: &Instance, peer: &Instance, found: &mut Vec<Diagnostic>) {
    let (Some(source), Some(unicast)) = (peer.source, draft.unicast) else { return };
    if mine.is_unicast() && !mine.has_peer(source) {
        found.push(
            Diagnostic::warning(
                "unicast-asymmetric",
                unicast,
                format!("the other node sends from {source}, which is no peer here"),
            )
            .so("this node's adverts do not reach it: both become master")
            .fix(format!("add {source} to unicast_peer")),
        );
    }
}
