//! Interfaces, addresses and peers.

use super::Host;
use crate::Diagnostic;
use crate::keepalived::Loaded;
use crate::keepalived::lower::{At, InstanceDraft, TrackName};
use evenkeel_vrrp::config::UnicastPeer;
use std::collections::HashSet;

pub(super) fn instance(draft: &InstanceDraft, host: &dyn Host, found: &mut Vec<Diagnostic>) {
    interfaces(draft, host, found);
    peers(draft, host, found);
    broadcasts(draft, found);
    source(draft, host, found);
}

/// Rule `no-such-interface`.
fn interfaces(draft: &InstanceDraft, host: &dyn Host, found: &mut Vec<Diagnostic>) {
    let own = draft.interface.iter().map(|interface| (&interface.value, interface.span));
    let tracked = draft.tracks.iter().filter_map(|track| match &track.target.value {
        TrackName::Interface(name) => Some((name, track.target.span)),
        TrackName::Script(_) | TrackName::File(_) | TrackName::Process(_) | TrackName::Bfd(_) | TrackName::Proxy => {
            None
        }
    });
    let devices = draft.addresses.iter().chain(&draft.excluded);
    let devices = devices.filter_map(|address| Some((address.value.device.as_ref()?, address.span)));
    for (name, span) in own.chain(tracked).chain(devices) {
        if host.interface_exists(name) == Some(false) {
            found.push(
                Diagnostic::error("no-such-interface", span, format!("there is no interface `{name}` on this machine"))
                    .so("the instance stays in FAULT until it appears; keepalived does not start")
                    .fix("name one that `ip link` shows"),
            );
        }
    }
}

/// Rules `unicast-self` and `no-redundancy`.
fn peers(draft: &InstanceDraft, host: &dyn Host, found: &mut Vec<Diagnostic>) {
    let is_self = |peer: &&At<UnicastPeer>| {
        let address = peer.value.address;
        let source = draft.unicast_source.as_ref().is_some_and(|source| source.value == address);
        source || host.has_address(address) == Some(true)
    };
    let (own, others): (Vec<_>, Vec<_>) = draft.peers.iter().partition(is_self);
    for peer in &own {
        found.push(
            Diagnostic::warning(
                "unicast-self",
                peer.span,
                format!("the peer {} is this node itself", peer.value.address),
            )
            .so("the adverts to it do nothing")
            .fix("name only the other nodes"),
        );
    }
    if let Some(unicast) = draft.unicast.filter(|_| others.is_empty()) {
        let (message, consequence) = if own.is_empty() {
            ("`unicast_peer` names nobody", "the adverts go out by multicast, where unicast nodes do not listen")
        } else {
            ("`unicast_peer` names no other node", "nobody hears this node, and nobody takes the address over")
        };
        found.push(
            Diagnostic::warning("no-redundancy", unicast, message)
                .so(consequence)
                .fix("write the addresses of the other nodes, one on each line"),
        );
    }
    if let Some(source) = draft.unicast_source.as_ref().filter(|_| draft.unicast.is_none()) {
        found.push(
            Diagnostic::warning("unicast-without-peers", source.span, "`unicast_src_ip` without `unicast_peer`")
                .so("the adverts go out by multicast")
                .fix("write `unicast_peer { ADDRESS }`, or `mcast_src_ip`"),
        );
    }
}

/// Rule `broadcast-is-address`.
fn broadcasts(draft: &InstanceDraft, found: &mut Vec<Diagnostic>) {
    for address in draft.addresses.iter().chain(&draft.excluded) {
        let own = address.value.prefix.ipv4();
        if own.is_some() && address.value.broadcast == own {
            found.push(
                Diagnostic::warning(
                    "broadcast-is-address",
                    address.span,
                    "the broadcast address is the address itself",
                )
                .so("the kernel takes packets to it for broadcasts: connections to the address fail")
                .fix("remove `brd`: a /32 has no broadcast"),
            );
        }
    }
}

/// Rule `repeated-address`: in one instance, or in two on this node.
pub(super) fn repeated(loaded: &Loaded, found: &mut Vec<Diagnostic>) {
    let mut seen = HashSet::new();
    for draft in loaded.drafts.instances.iter().filter(|draft| !draft.duplicate) {
        for noted in draft.addresses.iter().chain(&draft.excluded) {
            let address = noted.value.prefix.address();
            if !seen.insert(address) {
                found.push(
                    Diagnostic::warning("repeated-address", noted.span, format!("{address} is there twice"))
                        .so("whichever gives it up first takes it from the other")
                        .fix("remove one of them"),
                );
            }
        }
    }
}

/// Rule `source-is-virtual`, and `source-not-here` when the machine is known.
fn source(draft: &InstanceDraft, host: &dyn Host, found: &mut Vec<Diagnostic>) {
    for source in draft.unicast_source.iter().chain(&draft.multicast_source) {
        let is_virtual = draft.addresses.iter().any(|address| address.value.prefix.address() == source.value);
        let specified = !source.value.is_unspecified();
        if is_virtual {
            found.push(
                Diagnostic::warning("source-is-virtual", source.span, "adverts come from the virtual address itself")
                    .so("a backup does not have it, and cannot send when it must")
                    .fix("name an address that this node always has"),
            );
        } else if specified && host.has_address(source.value) == Some(false) {
            found.push(
                Diagnostic::warning(
                    "source-not-here",
                    source.span,
                    format!("this machine does not have {}", source.value),
                )
                .so("adverts from it cannot be sent")
                .fix("name an address of this node"),
            );
        }
    }
}
