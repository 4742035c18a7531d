use super::{At, Lower};
use crate::keepalived::language::{Node, Word};
use crate::{Diagnostic, Span};
use evenkeel_vrrp::config::VirtualAddress;
use evenkeel_wire::Prefix;
use std::net::{IpAddr, Ipv4Addr};

/// An address, with what only some blocks know.
#[derive(Clone, Debug)]
pub(in crate::keepalived) struct AddressDraft {
    pub(in crate::keepalived) address: VirtualAddress,
    /// `track_group`.
    pub(in crate::keepalived) group: Option<At<String>>,
    /// The place of `use_vmac`.
    pub(in crate::keepalived) own_mac: Option<Span>,
}

/// The addresses of an instance. A line that is no address is left out.
pub(super) fn of_instance(lower: &mut Lower, node: &Node) -> Vec<At<VirtualAddress>> {
    let mut addresses = Vec::new();
    for At { value: AddressDraft { address, group, own_mac }, span } in lines(lower, node) {
        if let (Some(own_mac), Some(draft)) = (own_mac, lower.drafts.instances.last_mut()) {
            draft.own_macs.push(At::new(address.prefix, own_mac));
        }
        if let Some(group) = group {
            lower.say(
                Diagnostic::warning(
                    "extra-text",
                    group.span,
                    "`track_group` says nothing about an address of an instance",
                )
                .so("it is ignored: the instance itself is what depends on it")
                .fix("remove it"),
            );
        }
        addresses.push(At::new(address, span));
    }
    addresses
}

/// The lines of an address block.
pub(super) fn lines(lower: &mut Lower, node: &Node) -> Vec<At<AddressDraft>> {
    node.children.iter().filter_map(|line| address(lower, line)).collect()
}

/// Bits that rtnetlink has for an address: `IFA_F_*`.
const NODAD: u32 = 0x02;
const FLAGS: [(&str, u32); 4] = [("home", 0x10), ("mngtmpaddr", 0x100), ("noprefixroute", 0x200), ("autojoin", 0x400)];

/// `ADDR[/LENGTH] [dev IF] [brd ADDR|+|-] [scope SCOPE] [label NAME] ...`
fn address(lower: &mut Lower, line: &Node) -> Option<At<AddressDraft>> {
    let first = line.words.first()?;
    let prefix: Prefix = match first.text.parse() {
        Ok(prefix) => prefix,
        Err(error) => {
            lower.say(
                Diagnostic::warning("bad-address", first.span, format!("`{}`: {error}", first.text))
                    .so("the line is ignored: nobody holds this address")
                    .fix("write `ADDRESS[/LENGTH] [dev INTERFACE]`"),
            );
            return None;
        }
    };
    let is_ipv6 = prefix.address().is_ipv6();
    let mut address = VirtualAddress::new(prefix);
    let (mut group, mut own_mac) = (None, None);
    // Nobody else has a virtual address when it comes, and to wait for duplicates would keep it from being used.
    address.flags = if is_ipv6 { NODAD } else { 0 };
    // A lone address is not for what starts here to be sent from (keepalived, observed).
    address.preferred = (is_ipv6 && prefix.length() == 128).then_some(0);
    let mut words = line.words[1..].iter();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "dev" | "label" | "brd" | "broadcast" | "scope" | "peer" | "preferred_lft" | "track_group" => {
                let value = argument(lower, word, words.next())?;
                match word.text.as_str() {
                    "dev" => address.device = Some(value.text.clone()),
                    "label" => address.label = label(lower, value),
                    "scope" => address.scope = scope(lower, value),
                    "brd" | "broadcast" => address.broadcast = broadcast(lower, prefix, value),
                    "peer" => address.peer = peer(lower, prefix, value),
                    "preferred_lft" => preferred(lower, &mut address, value),
                    _ => group = Some(At::of(value, value.text.clone())),
                }
            }
            "-nodad" => address.flags &= !NODAD,
            "no_track" => address.untracked = true,
            "use_vmac" => own_mac = Some(word.span),
            other if FLAGS.iter().any(|(name, _)| *name == other) => {
                address.flags |= FLAGS.iter().find(|(name, _)| *name == other).map_or(0, |(_, flag)| *flag);
            }
            other if other.parse::<Prefix>().is_ok() => lower.say(
                Diagnostic::warning("two-addresses", word.span, format!("`{other}` is the second address on its line"))
                    .so("it is ignored: nobody holds this address")
                    .fix("write one address on each line"),
            ),
            other => lower.say(
                Diagnostic::warning("extra-text", word.span, format!("`{other}` says nothing about an address"))
                    .so("it is ignored")
                    .fix("remove it, or make it a comment with `#`"),
            ),
        }
    }
    Some(At::of(first, AddressDraft { address, group, own_mac }))
}

/// The other end, of the same family.
fn peer(lower: &mut Lower, prefix: Prefix, word: &Word) -> Option<Prefix> {
    match word.text.parse::<Prefix>() {
        Ok(peer) if peer.address().is_ipv4() == prefix.address().is_ipv4() => Some(peer),
        Ok(_) | Err(_) => {
            lower.refuse(word, format!("`{}` is no address of the other end of {prefix}", word.text));
            None
        }
    }
}

/// `forever` or seconds. IPv4 addresses have the attribute, and keepalived does not set it (observed).
fn preferred(lower: &mut Lower, address: &mut VirtualAddress, word: &Word) {
    if address.prefix.address().is_ipv4() {
        lower.refuse(word, "`preferred_lft` is for IPv6 addresses".to_owned());
        return;
    }
    match (word.text.as_str(), word.text.parse::<u32>()) {
        ("forever", _) => address.preferred = None,
        (_, Ok(seconds)) => address.preferred = Some(seconds),
        (text, Err(_)) => lower.refuse(word, format!("`{text}` is neither `forever` nor a number of seconds")),
    }
}

/// The word after `keyword`; missing, keepalived ends at this line.
fn argument<'a>(lower: &mut Lower, keyword: &Word, next: Option<&'a Word>) -> Option<&'a Word> {
    if next.is_none() {
        let message = format!("`{}` needs an argument", keyword.text);
        lower.say(Diagnostic::error("missing-argument", keyword.span, message));
    }
    next
}

/// A label is a name of an interface to old tools, and as short.
fn label(lower: &mut Lower, word: &Word) -> Option<String> {
    if word.text.len() > 15 {
        lower.refuse(word, format!("the label `{}` is longer than 15 bytes", word.text));
        return None;
    }
    Some(word.text.clone())
}

/// An address, `+` (host bits all ones) or `-` (host bits all zeros).
fn broadcast(lower: &mut Lower, prefix: Prefix, word: &Word) -> Option<Ipv4Addr> {
    let (Some(address), Some(host)) = (prefix.ipv4(), u32::MAX.checked_shr(u32::from(prefix.length()))) else {
        // IPv6 has no broadcast; of a /32 nothing can be derived.
        return word.text.parse().ok();
    };
    match (word.text.as_str(), word.text.parse().ok()) {
        ("+", _) => Some(Ipv4Addr::from(u32::from(address) | host)),
        ("-", _) => Some(Ipv4Addr::from(u32::from(address) & !host)),
        (_, Some(IpAddr::V4(broadcast))) => Some(broadcast),
        _ => {
            lower.refuse(word, format!("`{}` is no broadcast address", word.text));
            None
        }
    }
}

/// Names as iproute2 spells them, or a number.
fn scope(lower: &mut Lower, word: &Word) -> u8 {
    match word.text.as_str() {
        "global" | "universe" => 0,
        "site" => 200,
        "link" => 253,
        "host" => 254,
        "nowhere" => 255,
        number => number.parse().unwrap_or_else(|_| {
            lower.refuse(word, format!("`{number}` is no scope"));
            0
        }),
    }
}
