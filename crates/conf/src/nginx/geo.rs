//! `geo` and `split_clients`.

use super::lexer::Word;
use super::lower::Lowering;
use super::rewrite::variable_name;
use super::tree::Directive;
use evenkeel_site::config::rewrite::{Computed, Geo, Rule, Share};
use evenkeel_wire::Prefix;
use std::net::{IpAddr, Ipv4Addr};

pub(super) fn lower_geo(lowering: &mut Lowering<'_>, directive: &Directive) {
    let (source, name) = match directive.args.as_slice() {
        [name] => ("$remote_addr".to_owned(), name),
        [source, name] => {
            lowering.check_template(source);
            (source.text.clone(), name)
        }
        _ => return,
    };
    let Some(name) = variable_name(lowering, name) else { return };
    let block = directive.block.as_deref().unwrap_or_default();
    let by_range = block.iter().any(|entry| entry.name.text == "ranges" && entry.args.is_empty());
    let mut geo = Geo::default();
    for entry in block {
        match (entry.name.text.as_str(), entry.args.as_slice()) {
            ("ranges", []) => {}
            ("default", [value]) => geo.default.clone_from(&value.text),
            ("delete", [network]) if !by_range => {
                if let Some(network) = network_of(lowering, network) {
                    geo.networks.retain(|(known, _)| *known != network);
                }
            }
            // Whom to believe about the client, and what would have to be read from another file.
            ("proxy" | "delete" | "volatile", _) | ("proxy_recursive", []) => {
                lowering.unsupported(directive, &entry.name);
            }
            (_, [value]) if by_range => add_range(lowering, &mut geo, &entry.name, value),
            (_, [value]) => {
                let Some(network) = network_of(lowering, &entry.name) else { continue };
                match geo.networks.iter_mut().find(|(known, _)| *known == network) {
                    Some((_, known)) => {
                        let message = format!(
                            "duplicate network \"{}\", value: \"{}\", old value: \"{known}\"",
                            entry.name.text, value.text
                        );
                        known.clone_from(&value.text);
                        lowering.warning("duplicate", entry.name.span, message);
                    }
                    None => geo.networks.push((network, value.text.clone())),
                }
            }
            _ => {
                let message = "invalid number of the geo parameters".to_owned();
                lowering.error("argument-count", entry.name.span, message);
            }
        }
    }
    lowering.config.computed.push(Computed { name, source, rule: Rule::Geo(geo) });
}

/// A network with the bits of hosts cleared; `default` is not one.
fn network_of(lowering: &mut Lowering<'_>, word: &Word) -> Option<Prefix> {
    let parsed = match word.text.contains('/') {
        true => word.text.parse::<Prefix>().ok(),
        false => word.text.parse::<IpAddr>().ok().map(Prefix::host),
    };
    let Some(prefix) = parsed else {
        lowering.error("invalid-value", word.span, format!("invalid network \"{}\"", word.text));
        return None;
    };
    let length = u32::from(prefix.length());
    let network = match prefix.address() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    };
    if network != prefix.address() {
        let message = format!("low address bits of {} are meaningless", word.text);
        lowering.warning("meaningless-bits", word.span, message);
    }
    Prefix::new(network, prefix.length()).ok()
}

/// nginx cuts ranges that lie within others into pieces; here they may not overlap.
fn add_range(lowering: &mut Lowering<'_>, geo: &mut Geo, word: &Word, value: &Word) {
    let parsed = word.text.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let Some((from, to)) = parsed.filter(|(from, to): &(Ipv4Addr, Ipv4Addr)| from <= to) else {
        lowering.error("invalid-value", word.span, format!("invalid range \"{}\"", word.text));
        return;
    };
    if geo.ranges.iter().any(|(known_from, known_to, _)| from <= *known_to && *known_from <= to) {
        let message = format!("range \"{}\" overlaps another, which is not supported yet", word.text);
        lowering.error("not-supported", word.span, message);
        return;
    }
    geo.ranges.push((from, to, value.text.clone()));
}

pub(super) fn lower_split(lowering: &mut Lowering<'_>, directive: &Directive) {
    let [source, name] = directive.args.as_slice() else { return };
    lowering.check_template(source);
    let Some(name) = variable_name(lowering, name) else { return };
    let mut shares = Vec::new();
    let mut sum = 0;
    for entry in directive.block.as_deref().unwrap_or_default() {
        let [value] = entry.args.as_slice() else { continue };
        let part = match entry.name.text.as_str() {
            "*" => None,
            text => match hundredths(text) {
                Some(part) => Some(part),
                None => {
                    lowering.error("invalid-value", entry.name.span, format!("invalid percent value \"{text}\""));
                    continue;
                }
            },
        };
        sum += part.unwrap_or(0);
        if sum > 10_000 {
            lowering.error("invalid-value", entry.name.span, "percent total is greater than 100%".to_owned());
        }
        shares.push(Share { part, value: value.text.clone() });
    }
    lowering.config.computed.push(Computed { name, source: source.text.clone(), rule: Rule::Split(shares) });
}

/// `0.5%` is 50; two digits after the point at most, and more than nothing.
fn hundredths(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if part.len() > 2 || !digits(whole) || !digits(part) || whole.is_empty() {
        return None;
    }
    let part: u32 = format!("{part:0<2}").parse().ok()?;
    let value = whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part)?;
    (value > 0 && value <= 10_000).then_some(value)
}
