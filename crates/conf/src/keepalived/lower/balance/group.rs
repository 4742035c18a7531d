//! virtual_server_group: addresses and marks that share one virtual server.

use super::super::Lower;
use super::Member;
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1) else { return };
    let members: Vec<_> = node.children.iter().filter_map(|line| member(lower, line)).collect();
    if lower.drafts.balance.groups.contains_key(&name.text) {
        return lower.say(
            Diagnostic::warning(
                "repeated",
                name.span,
                format!("there is already a virtual_server_group `{}`", name.text),
            )
            .so("this one is ignored")
            .fix("give it another name"),
        );
    }
    if members.is_empty() {
        lower.say(
            Diagnostic::warning(
                "empty-group",
                name.span,
                format!("virtual_server_group `{}` names nothing", name.text),
            )
            .so("it is ignored, and so is a virtual_server that uses it")
            .fix("write `ADDRESS PORT`, `FIRST-LAST PORT`, `ADDRESS/LENGTH PORT` or `fwmark N` into it"),
        );
    }
    lower.drafts.balance.groups.insert(name.text.clone(), members);
}

/// `ADDR[-LAST|/LENGTH] [PORT]` or `fwmark N [inet|inet6]`
fn member(lower: &mut Lower, line: &Node) -> Option<Member> {
    let first = line.words.first()?;
    if let Some(extra) = line.words.get(if first.text == "fwmark" { 3 } else { 2 }) {
        lower.refuse(extra, format!("`{}` is one word too many for a line of a group", extra.text));
        return None;
    }
    if first.text == "fwmark" {
        let mark = lower.mark(line.words.get(1).unwrap_or(first))?;
        let family = match line.words.get(2) {
            Some(word) => Some(lower.family(word)?),
            None => None,
        };
        return Some(Member::Mark { mark, family, span: first.span });
    }
    let port = match line.words.get(1) {
        Some(word) => lower.port(word)?,
        None => 0,
    };
    let (first_address, last) = match range(&first.text) {
        Ok(range) => range,
        Err(why) => {
            bad_line(lower, first, &why);
            return None;
        }
    };
    Some(Member::Range { first: first_address, last, port, span: first.span })
}

fn bad_line(lower: &mut Lower, word: &Word, why: &str) {
    lower.say(
        Diagnostic::warning("bad-address", word.span, format!("`{}`: {why}", word.text))
            .so("the line is ignored: connections to it are not balanced")
            .fix("write `ADDRESS PORT`, `FIRST-LAST PORT` or `ADDRESS/LENGTH PORT`"),
    );
}

/// First and last address.
fn range(text: &str) -> Result<(IpAddr, IpAddr), String> {
    if let Some((first, last)) = text.split_once('-') {
        let first: IpAddr = first.parse().map_err(|_| format!("`{first}` is not an IP address"))?;
        let last = last_of(first, last)?;
        return match first < last {
            true => Ok((first, last)),
            false => Err(format!("{last} does not come after {first}")),
        };
    }
    if let Some((first, length)) = text.split_once('/') {
        let first: IpAddr = first.parse().map_err(|_| format!("`{first}` is not an IP address"))?;
        let length: u32 = length.parse().map_err(|_| format!("`{length}` is no length of a prefix"))?;
        return network(first, length);
    }
    let address: IpAddr = text.parse().map_err(|_| "not an IP address".to_owned())?;
    Ok((address, address))
}

/// The last octet or hextet, or a whole address.
fn last_of(first: IpAddr, last: &str) -> Result<IpAddr, String> {
    let too_large = || format!("`{last}` is no address and no last part of one");
    match (first, last.parse()) {
        (IpAddr::V4(_), Ok(whole @ IpAddr::V4(_))) | (IpAddr::V6(_), Ok(whole @ IpAddr::V6(_))) => Ok(whole),
        (_, Ok(_)) => Err("the ends are of two families".to_owned()),
        (IpAddr::V4(first), Err(_)) => {
            let [a, b, c, _] = first.octets();
            let last: u8 = last.parse().map_err(|_| too_large())?;
            Ok(Ipv4Addr::new(a, b, c, last).into())
        }
        (IpAddr::V6(first), Err(_)) => {
            let mut segments = first.segments();
            segments[7] = u16::from_str_radix(last, 16).map_err(|_| too_large())?;
            Ok(Ipv6Addr::from(segments).into())
        }
    }
}

/// Every address of a network, the first and the last among them, as keepalived has it.
fn network(first: IpAddr, length: u32) -> Result<(IpAddr, IpAddr), String> {
    let host_bits_set = || format!("{first} is not the first address of the network");
    match first {
        IpAddr::V4(address) if length <= 32 => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            let bits = u32::from(address);
            (bits & host == 0).then(|| (first, Ipv4Addr::from(bits | host).into())).ok_or_else(host_bits_set)
        }
        IpAddr::V6(address) if length <= 128 => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0);
            let bits = u128::from(address);
            (bits & host == 0).then(|| (first, Ipv6Addr::from(bits | host).into())).ok_or_else(host_bits_set)
        }
        _ => Err(format!("`{length}` is no length of a prefix")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_at_a_last_part_or_at_a_whole_address() {
        for (text, expected) in [
            ("10.0.0.1", Ok(("10.0.0.1", "10.0.0.1"))),
            ("10.0.0.1-3", Ok(("10.0.0.1", "10.0.0.3"))),
            ("10.0.1.250-10.0.2.5", Ok(("10.0.1.250", "10.0.2.5"))),
            ("2001:db8::1-f", Ok(("2001:db8::1", "2001:db8::f"))),
            ("2001:db8::1-2001:db8::1:0", Ok(("2001:db8::1", "2001:db8::1:0"))),
            ("10.0.3.0/30", Ok(("10.0.3.0", "10.0.3.3"))),
            ("10.0.3.7/32", Ok(("10.0.3.7", "10.0.3.7"))),
            ("2001:db8::/127", Ok(("2001:db8::", "2001:db8::1"))),
            ("10.0.1.1-0", Err("10.0.1.0 does not come after 10.0.1.1")),
            ("10.0.5.1-300", Err("`300` is no address and no last part of one")),
            ("2001:db8::fff0-10000", Err("`10000` is no address and no last part of one")),
            ("10.0.5.5/30", Err("10.0.5.5 is not the first address of the network")),
            ("10.0.5.0/33", Err("`33` is no length of a prefix")),
            ("10.0.0.1-::2", Err("the ends are of two families")),
            ("foo", Err("not an IP address")),
        ] {
            let expected = expected
                .map(|(first, last)| (first.parse().expect("an address"), last.parse().expect("an address")))
                .map_err(str::to_owned);
            assert_eq!(range(text), expected, "{text}");
        }
    }
}
