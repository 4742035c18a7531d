//! How an instance's adverts travel: family, interface, group, peers and source.

use super::{At, Globals, InstanceDraft, Lower};
use crate::Diagnostic;
use evenkeel_vrrp::config::{Authentication, GROUP_V4, GROUP_V6, Instance, UnicastPeer, Version};
use evenkeel_wire::Family;
use std::net::IpAddr;

/// The interface, empty where unicast peers make one needless; `None` after saying that one is needed.
pub(super) fn interface(draft: &InstanceDraft, lower: &mut Lower) -> Option<String> {
    if let (Some(_), Some(vrf)) = (&draft.interface, &draft.vrf) {
        lower.say(
            Diagnostic::warning("extra-text", vrf.span, "the interface says which VRF it is")
                .so("`vrf` is ignored: it is for instances without an interface")
                .fix("remove it"),
        );
    }
    if let Some(interface) = &draft.interface {
        return Some(interface.value.clone());
    }
    let name = &draft.name;
    let is_link_local = |address: IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let addresses =
        draft.peers.iter().map(|peer| peer.value.address).chain(draft.unicast_source.iter().map(|s| s.value));
    let diagnostic = if draft.peers.is_empty() {
        Diagnostic::error("no-interface", name.span, format!("vrrp_instance `{}` names no interface", name.value))
            .so("it cannot start: only unicast peers can be reached without")
            .fix("write `interface eth0`")
    } else if addresses.into_iter().any(is_link_local) {
        Diagnostic::error("no-interface", name.span, format!("vrrp_instance `{}` names no interface", name.value))
            .so("it cannot start: a link-local address means nothing without one")
            .fix("write `interface eth0`, or use global addresses")
    } else if draft.unicast_source.is_none() {
        Diagnostic::error(
            "no-source",
            name.span,
            format!("vrrp_instance `{}` has neither interface nor source", name.value),
        )
        .so("it cannot start: nothing says where its adverts come from")
        .fix("write `unicast_src_ip ADDRESS`, or `interface eth0`")
    } else {
        return Some(draft.vrf.as_ref().map_or_else(String::new, |vrf| vrf.value.clone()));
    };
    lower.say(diagnostic);
    None
}

/// Whether this family, version and strictness go together; says why when they do not.
pub(super) fn is_fit(draft: &InstanceDraft, family: Family, version: Version, strict: bool, lower: &mut Lower) -> bool {
    if family == Family::V4 {
        return true;
    }
    if strict && version == Version::V2 {
        let place = draft.version.as_ref().map_or(draft.name.span, |version| version.span);
        lower.say(
            Diagnostic::error("strict-ipv6", place, "strict mode has no version 2 over IPv6")
                .so("no RFC has it: the instance cannot start")
                .fix("remove `version 2`, or vrrp_strict"),
        );
        return false;
    }
    let first = draft.addresses.iter().find(|address| address.value.prefix.address().is_ipv6());
    let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    if let Some(first) = first.filter(|first| !is_link_local(&first.value.prefix.address())) {
        let (rule, message) = ("first-not-link-local", "the first IPv6 address should be link-local (RFC 9568 5.2.9)");
        let diagnostic = if strict {
            Diagnostic::error(rule, first.span, message).so("strict mode insists on it: the instance cannot start")
        } else {
            Diagnostic::warning(rule, first.span, message)
                .so("clients that use it as their router lose it in a handover")
        };
        lower.say(diagnostic.fix("write `fe80::...` before it, the same on both nodes"));
        return !strict;
    }
    true
}

/// The multicast group.
pub(super) fn group(draft: &InstanceDraft, family: Family, globals: &Globals, lower: &mut Lower) -> IpAddr {
    let global = match family {
        Family::V4 => IpAddr::V4(globals.group_v4.unwrap_or(GROUP_V4)),
        Family::V6 => IpAddr::V6(globals.group_v6.unwrap_or(GROUP_V6)),
    };
    let own = draft.group.as_ref().and_then(|group| of_family(group, family, "the group", lower));
    own.unwrap_or(global)
}

pub(super) fn peers(draft: &InstanceDraft, family: Family, lower: &mut Lower) -> Vec<UnicastPeer> {
    let mut peers = Vec::<UnicastPeer>::new();
    for peer in &draft.peers {
        let address = At { value: peer.value.address, span: peer.span };
        if of_family(&address, family, "the peer", lower).is_none() {
            continue;
        }
        if peers.iter().any(|known| known.address == address.value) {
            lower.say(
                Diagnostic::warning("repeated", peer.span, format!("the peer {} is there twice", address.value))
                    .so("it gets one copy of each advert")
                    .fix("remove one of them"),
            );
            continue;
        }
        peers.push(peer.value);
    }
    peers
}

/// keepalived uses the source that belongs to the way it sends.
pub(super) fn source(
    draft: &InstanceDraft,
    family: Family,
    peers: &[UnicastPeer],
    lower: &mut Lower,
) -> Option<IpAddr> {
    let source = match peers {
        [] => draft.multicast_source.as_ref().or(draft.unicast_source.as_ref()),
        _ => draft.unicast_source.as_ref().or(draft.multicast_source.as_ref()),
    };
    of_family(source?, family, "the source", lower)
}

/// Gives the addresses of an instance without an interface a place to be.
pub(super) fn settle(instance: &mut Instance, globals: &Globals) {
    let device = globals.default_interface();
    for address in instance.addresses.iter_mut().chain(&mut instance.excluded) {
        address.device.get_or_insert_with(|| device.to_owned());
    }
}

fn of_family(address: &At<IpAddr>, family: Family, what: &str, lower: &mut Lower) -> Option<IpAddr> {
    let other = Family::of(address.value);
    if other == family {
        return Some(address.value);
    }
    lower.say(
        Diagnostic::warning(
            "mixed-families",
            address.span,
            format!("{what} {} is {other}, the instance is {family}", address.value),
        )
        .so("it is left out")
        .fix(format!("name an {family} address")),
    );
    None
}

/// Addresses that have no place in an advert are held, but not advertised, as in keepalived: there are 255 at most, and of IPv6
/// what fits into a frame of Ethernet, with a signature behind it where there is one.
pub(super) fn fit(instance: &mut Instance, draft: &InstanceDraft, lower: &mut Lower) {
    const FRAME: usize = 1500;
    // keepalived counts an IPv4 header besides (observed: 89 addresses, where 90 would fit).
    const HEADERS: usize = 40 + 20 + 8;
    const SIGNATURE: usize = 28;
    let signature = if matches!(instance.authentication, Authentication::Hmac(_)) { SIGNATURE } else { 0 };
    let most = match instance.family() {
        Family::V4 => usize::from(u8::MAX),
        Family::V6 => (FRAME - HEADERS - signature) / 16,
    };
    let n_addresses = instance.addresses.len();
    if n_addresses <= most {
        return;
    }
    let surplus = instance.addresses.split_off(most);
    instance.excluded.splice(0..0, surplus);
    lower.say(
        Diagnostic::warning(
            "too-many-addresses",
            draft.name.span,
            format!(
                "of the {n_addresses} addresses of vrrp_instance `{}` an advert has room for {most}",
                instance.name
            ),
        )
        .so("the others are held, but not advertised, as in keepalived")
        .fix("move them to `virtual_ipaddress_excluded`, on the peer too"),
    );
}
