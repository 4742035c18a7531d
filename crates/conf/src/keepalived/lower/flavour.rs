//! The interface that an instance has for itself: use_vmac, use_ipvlan and what belongs to them.

use super::number::Garbage;
use super::{At, Drafts, InstanceDraft, Lower, strict};
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};
use evenkeel_vrrp::config::{AddressLink, Instance, LinkKind, OwnLink, Version};
use evenkeel_wire::{Family, Mac, Prefix};
use std::collections::{HashMap, HashSet};

/// What a line says.
#[derive(Clone, Debug, Default)]
pub(in crate::keepalived) struct FlavourDraft {
    kind: Option<Kind>,
    name: Option<At<String>>,
    group: Option<u32>,
    notify: bool,
}

impl FlavourDraft {
    /// Whether the MAC is another than that of the standard.
    pub(super) fn names_mac(&self) -> bool {
        matches!(self.kind, Some(Kind::Vmac(Some(_))))
    }
}

#[derive(Clone, Debug)]
enum Kind {
    /// The MAC, where the line names one; five bytes leave the last one to the VRID.
    Vmac(Option<Vec<u8>>),
    /// Flags of the kernel's, and its address.
    Ipvlan(u16, Option<Prefix>),
}

/// A name of an interface is shorter than this.
const IFNAMSIZ: usize = 16;

/// `use_vmac [[name] IF] [MAC|5 octets] [netlink_notify_msg] [group G]`
pub(in crate::keepalived) fn use_vmac(lower: &mut Lower, node: &Node) {
    let mut draft = FlavourDraft { kind: Some(Kind::Vmac(None)), ..FlavourDraft::default() };
    let mut words = node.words[1..].iter();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "name" => draft.name = words.next().and_then(|word| name(lower, word)),
            "netlink_notify_msg" => draft.notify = true,
            "group" => draft.group = words.next().and_then(|word| group(lower, word)),
            text => match octets(text) {
                Some(octets) if octets.first().is_some_and(|first| first & 1 == 0) => {
                    draft.kind = Some(Kind::Vmac(Some(octets)));
                }
                Some(_) => lower.refuse(word, format!("`{text}` is a group's MAC")),
                None => draft.name = name(lower, word),
            },
        }
    }
    keep(lower, node, draft);
}

/// `use_ipvlan [[name] IF] [ADDR] [bridge|private|vepa] [group G]`
pub(in crate::keepalived) fn use_ipvlan(lower: &mut Lower, node: &Node) {
    let mut draft = FlavourDraft::default();
    let (mut flags, mut address) = (0, None);
    let mut words = node.words[1..].iter();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "name" => draft.name = words.next().and_then(|word| name(lower, word)),
            "group" => draft.group = words.next().and_then(|word| group(lower, word)),
            "bridge" => flags = 0,
            "private" => flags = 1,
            "vepa" => flags = 2,
            text => match text.parse::<Prefix>() {
                Ok(prefix) => address = Some(prefix),
                Err(_) => draft.name = name(lower, word),
            },
        }
    }
    draft.kind = Some(Kind::Ipvlan(flags, address));
    keep(lower, node, draft);
}

fn keep(lower: &mut Lower, node: &Node, flavour: FlavourDraft) {
    let again = lower.drafts.instances.last().is_some_and(|draft| draft.flavour.is_some());
    if again {
        return lower.repeated(node);
    }
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.flavour = node.words.first().map(|word| At::of(word, flavour));
}

pub(in crate::keepalived) fn vmac_xmit_base(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.xmit_base = true;
}

pub(in crate::keepalived) fn use_vmac_addr(lower: &mut Lower, _: &Node) {
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.vmac_addresses = true;
}

pub(in crate::keepalived) fn vmac_prefix(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.vmac_prefix = prefix(lower, node);
}

pub(in crate::keepalived) fn vmac_addr_prefix(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.vmac_addr_prefix = prefix(lower, node);
}

fn prefix(lower: &mut Lower, node: &Node) -> Option<String> {
    node.argument(1).and_then(|word| {
        // `.255` and a number that tells two of the same VRID apart have to fit behind it.
        if word.text.len() + ".255".len() + 1 < IFNAMSIZ {
            return Some(word.text.clone());
        }
        lower.refuse(word, format!("the prefix `{}` is too long for a name of an interface", word.text));
        None
    })
}

fn name(lower: &mut Lower, word: &Word) -> Option<At<String>> {
    if word.text.len() < IFNAMSIZ && !word.text.is_empty() && !word.text.contains('/') {
        return Some(At::of(word, word.text.clone()));
    }
    lower.refuse(word, format!("`{}` is no name of an interface: they have at most 15 bytes", word.text));
    None
}

fn group(lower: &mut Lower, word: &Word) -> Option<u32> {
    if word.text == "default" {
        return Some(0);
    }
    let number = lower.integer(word, 0..=i64::from(i32::MAX), Garbage::Refused)?;
    u32::try_from(number).ok()
}

/// Five or six bytes in hexadecimal, with colons between them.
fn octets(text: &str) -> Option<Vec<u8>> {
    let octets: Option<Vec<u8>> =
        text.split(':').map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() <= 2)).collect();
    octets.filter(|octets| (5..=6).contains(&octets.len()))
}

/// Gives each instance that wants one its interface, with a name of its own.
pub(super) fn finish(drafts: &Drafts, instances: &mut [Instance], lower: &mut Lower) {
    let flavour = |draft: &InstanceDraft| draft.flavour.clone();
    let mut names: HashSet<String> =
        drafts.instances.iter().filter_map(|draft| flavour(draft)?.value.name.map(|name| name.value)).collect();
    for draft in drafts.instances.iter().filter(|draft| !draft.duplicate) {
        let Some(flavour) = &draft.flavour else { continue };
        let Some(instance) = instances.iter_mut().find(|instance| instance.name == draft.name.value) else { continue };
        let is_ipv6 = draft.family() == Family::V6;
        let strict = strict::is_strict(draft, &drafts.globals);
        let kind = match &flavour.value.kind {
            Some(Kind::Vmac(octets)) => {
                let octets = octets.as_deref().filter(|_| !strict);
                LinkKind::Vmac(mac(octets, instance.vrid.get(), is_ipv6))
            }
            Some(Kind::Ipvlan(flags, address)) => {
                if address.is_none() && !is_ipv6 {
                    lower.say(
                        Diagnostic::warning(
                            "ipvlan-without-address",
                            flavour.span,
                            "`use_ipvlan` of IPv4 without an address",
                        )
                        .so("its adverts have no address of the interface to come from: that of the one below is used")
                        .fix("write `use_ipvlan ADDRESS`"),
                    );
                }
                // What it has an address for.
                instance.source = instance.source.or(address.map(|prefix| prefix.address()));
                LinkKind::Ipvlan { flags: *flags, address: *address }
            }
            None => continue,
        };
        let name = match &flavour.value.name {
            Some(name) => name.value.clone(),
            None => free_name(drafts.globals.vmac_prefix.as_deref(), instance.vrid.get(), is_ipv6, &mut names),
        };
        if instance.version == Version::V2 && is_ipv6 {
            continue;
        }
        instance.own_link = Some(Box::new(OwnLink {
            name,
            kind,
            transmit_below: draft.xmit_base && !strict || instance.is_unicast(),
            group: flavour.value.group,
            tells_below: flavour.value.notify,
        }));
    }
    address_links(drafts, instances, &mut names, lower);
}

/// Gives addresses that want a virtual MAC an interface with one, where that of their instance is not it. Addresses of one
/// virtual router on one interface share it.
fn address_links(drafts: &Drafts, instances: &mut [Instance], names: &mut HashSet<String>, lower: &mut Lower) {
    let globals = &drafts.globals;
    let prefix = globals.vmac_addr_prefix.as_deref().or(globals.vmac_prefix.as_deref());
    let own = |instance: &Instance| match instance.own_link.as_deref() {
        Some(OwnLink { name, kind: LinkKind::Vmac(mac), .. }) => Some((*mac, name.clone())),
        Some(OwnLink { kind: LinkKind::Ipvlan { .. }, .. }) | None => None,
    };
    let of_instances = instances.iter().filter_map(|it| own(it).map(|(mac, name)| ((it.interface.clone(), mac), name)));
    let mut known: HashMap<(String, Mac), String> = of_instances.collect();
    for draft in drafts.instances.iter().filter(|draft| !draft.duplicate) {
        let Some(instance) = instances.iter_mut().find(|instance| instance.name == draft.name.value) else { continue };
        for redundant in draft.own_macs.iter().filter(|_| draft.vmac_addresses) {
            let message = "`use_vmac` of an address of an instance with `use_vmac_addr`";
            let diagnostic = Diagnostic::warning("extra-text", redundant.span, message);
            lower.say(diagnostic.so("each of its addresses has a virtual MAC already").fix("remove one of the two"));
        }
        let (family, vrid, interface) = (instance.family(), instance.vrid.get(), instance.interface.clone());
        let own = own(instance);
        let mut links = Vec::new();
        for address in instance.addresses.iter_mut().chain(&mut instance.excluded) {
            let of = Family::of(address.prefix.address());
            let below = address.device.clone().unwrap_or_else(|| interface.clone());
            let is_at_home = below == interface && of == family;
            let is_asked = draft.own_macs.iter().any(|own| own.value == address.prefix);
            if !is_asked && (is_at_home || !draft.vmac_addresses) {
                // Its MAC would be of the wrong family (keepalived, observed).
                if own.is_some() && of != family && address.device.is_none() {
                    address.device = Some(interface.clone());
                }
                continue;
            }
            // One that the file names counts for all of its family (keepalived, observed).
            let mac = match &own {
                Some((mac, _)) if of == family => *mac,
                Some(_) | None => mac(None, vrid, of == Family::V6),
            };
            let name =
                known.entry((below.clone(), mac)).or_insert_with(|| free_name(prefix, vrid, of == Family::V6, names));
            if own.as_ref().is_some_and(|(_, own)| own == name) {
                address.device = None;
                continue;
            }
            address.own_link = Some(name.clone());
            let link = AddressLink { name: name.clone(), below, mac, family: of };
            if !links.contains(&link) {
                links.push(link);
            }
        }
        instance.address_links = links;
    }
}

/// `vrrp.51`, `vrrp6.51` for IPv6 where that is taken, then `vrrp1.51` and so on, as keepalived has it.
fn free_name(prefix: Option<&str>, vrid: u8, is_ipv6: bool, names: &mut HashSet<String>) -> String {
    let prefix = prefix.unwrap_or("vrrp");
    let first = [format!("{prefix}.{vrid}"), format!("{prefix}6.{vrid}")];
    let numbered = (1..=u32::from(u16::MAX)).map(|n| format!("{prefix}{n}.{vrid}"));
    let all = first.into_iter().take(if is_ipv6 { 2 } else { 1 }).chain(numbered);
    let name = all.into_iter().find(|name| !names.contains(name)).unwrap_or_default();
    names.insert(name.clone());
    name
}

/// RFC 9568 section 7.3, unless the line says otherwise.
fn mac(octets: Option<&[u8]>, vrid: u8, is_ipv6: bool) -> Mac {
    match octets {
        Some(&[a, b, c, d, e, f]) => Mac([a, b, c, d, e, f]),
        Some(&[a, b, c, d, e]) => Mac([a, b, c, d, e, vrid]),
        Some(_) | None => Mac([0, 0, 0x5e, 0, if is_ipv6 { 2 } else { 1 }, vrid]),
    }
}
