use super::{At, Lower};
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};
use evenkeel_vrrp::config::VirtualAddress;
use evenkeel_wire::Prefix;
use std::net::{IpAddr, Ipv4Addr};

/// The lines of an address block. A line that is no address is left out.
pub(super) fn lines(lower: &mut Lower, node: &Node) -> Vec<At<VirtualAddress>> {
    node.children.iter().filter_map(|line| address(lower, line)).collect()
}

/// `ADDR[/LENGTH] [dev IF] [brd ADDR|+|-] [scope SCOPE] [label NAME] ...`
fn address(lower: &mut Lower, line: &Node) -> Option<At<VirtualAddress>> {
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
    let mut address = VirtualAddress::new(prefix);
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
                    _ => ignored(lower, word),
                }
            }
            "home" | "mngtmpaddr" | "noprefixroute" | "autojoin" | "-nodad" | "no_track" | "use_vmac" => {
                ignored(lower, word);
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
    Some(At::of(first, address))
}

/// The word after `keyword`; missing, keepalived ends at this line.
fn argument<'a>(lower: &mut Lower, keyword: &Word, next: Option<&'a Word>) -> Option<&'a Word> {
    if next.is_none() {
        let message = format!("`{}` needs an argument", keyword.text);
        lower.say(Diagnostic::error("missing-argument", keyword.span, message));
    }
    next
}

fn ignored(lower: &mut Lower, word: &Word) {
    let message = format!("`{}` is accepted, not yet acted on", word.text);
    lower.say(Diagnostic::note("not-acted-on", word.span, message));
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
