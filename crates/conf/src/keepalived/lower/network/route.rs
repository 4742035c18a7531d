//! `[inet|inet6] [add|prepend|append] [to] [TYPE] DESTINATION ...`: a line of static_routes or virtual_routes.

use super::super::{At, Lower};
use super::words::{PROTOCOLS, SCOPES, TABLES, Words, locator, number};
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};
use evenkeel_wire::Family;
use evenkeel_wire::route::{Hop, Place, Route, RouteKind, Wrap};

/// A line, with the track_group that it names.
#[derive(Clone, Debug)]
pub(in crate::keepalived) struct RouteDraft {
    pub(in crate::keepalived) route: Route,
    pub(in crate::keepalived) group: Option<At<String>>,
}

/// The routes of a block. A line that is no route is left out.
pub(super) fn lines(lower: &mut Lower, node: &Node) -> Vec<At<RouteDraft>> {
    node.children.iter().filter_map(|line| Some(At::of(line.words.first()?, route(lower, line)?))).collect()
}

/// What has been read of a line.
struct Reading {
    route: Route,
    has_destination: bool,
    family: Option<Family>,
    /// What is said outside of `nexthop`.
    only: Hop,
    protocol: Option<u8>,
    group: Option<At<String>>,
}

fn route(lower: &mut Lower, line: &Node) -> Option<RouteDraft> {
    let first = line.words.first()?;
    let mut reading = Reading {
        route: Route::new(Family::V4.any()),
        has_destination: false,
        family: None,
        only: Hop::default(),
        protocol: None,
        group: None,
    };
    let mut words = Words::of(line, "route");
    while let Some(word) = words.next() {
        word_of_route(lower, &mut words, word, &mut reading)?;
    }
    if !reading.has_destination {
        return words.refuse(lower, first, "a route needs a destination".to_owned());
    }
    finish(lower, &words, first, reading)
}

fn finish(lower: &mut Lower, words: &Words, first: &Word, reading: Reading) -> Option<RouteDraft> {
    let Reading { mut route, only, protocol, group, .. } = reading;
    let family = Family::of(route.destination.address());
    route.family = family;
    let foreign = |prefix: Option<evenkeel_wire::Prefix>| prefix.is_some_and(|p| Family::of(p.address()) != family);
    // IPv4 by way of an IPv6 router is in order (RFC 5549), the reverse is not.
    let bad_gateway = |hop: &Hop| hop.gateway.is_some_and(|ip| ip.is_ipv4() && family == Family::V6);
    if foreign(route.from)
        || route.source.is_some_and(|ip| Family::of(ip) != family)
        || route.hops.iter().any(bad_gateway)
        || bad_gateway(&only)
    {
        return words.refuse(lower, first, "IPv4 and IPv6 in one route".to_owned());
    }
    if route.hops.is_empty() && only != Hop::default() {
        route.hops.push(only);
    } else if only.gateway.is_some() {
        return words.refuse(lower, first, "`via` outside of `nexthop` in a route with nexthops".to_owned());
    }
    match protocol {
        Some(protocol) if protocol != route.protocol && route.tracked => lower.say(
            Diagnostic::warning("route-protocol", first.span, "a route that is tracked has the protocol keepalived")
                .so("`protocol` is ignored, as in keepalived")
                .fix("write `no_track` as well, or remove `protocol`"),
        ),
        Some(protocol) => route.protocol = protocol,
        None => {}
    }
    Some(RouteDraft { route, group })
}

fn word_of_route(lower: &mut Lower, words: &mut Words, word: &Word, reading: &mut Reading) -> Option<()> {
    let route = &mut reading.route;
    match word.text.as_str() {
        "inet" => reading.family = Some(Family::V4),
        "inet6" => reading.family = Some(Family::V6),
        "add" => route.place = Place::Alone,
        "prepend" => route.place = Place::First,
        "append" => route.place = Place::Last,
        "src" => route.source = Some(words.address(lower, word)?),
        "from" => route.from = Some(words.network(lower, word, Some(Family::V6))?),
        "tos" | "dsfield" => route.tos = words.number8(lower, word)?,
        "table" => route.table = words.named(lower, word, &TABLES, u32::MAX)?,
        "metric" | "priority" | "preference" => route.metric = Some(words.number32(lower, word)?),
        "protocol" => {
            let number = words.named(lower, word, &PROTOCOLS, 255)?;
            reading.protocol = u8::try_from(number).ok();
        }
        "scope" => route.scope = u8::try_from(words.named(lower, word, &SCOPES, 255)?).unwrap_or_default(),
        "expires" => route.expires = Some(words.number32(lower, word)?),
        "pref" => {
            let number = words.named(lower, word, &[("low", 3), ("medium", 0), ("high", 1)], 3)?;
            route.preference = u8::try_from(number).ok();
        }
        "ttl-propagate" => {
            let number = words.named(lower, word, &[("enabled", 1), ("disabled", 0)], 1)?;
            route.ttl_propagate = Some(number == 1);
        }
        "no_track" => route.tracked = false,
        "track_group" => {
            let name = words.argument(lower, word)?;
            reading.group = Some(At::of(name, name.text.clone()));
        }
        "vrf" => {
            let name = words.argument(lower, word)?;
            let message = format!("the table of the VRF `{}` is not looked up", name.text);
            return words.refuse(lower, name, format!("{message}: write `table N` with its number"));
        }
        "as" => {
            let message = "`as` is not supported, by the kernel neither".to_owned();
            return words.refuse(lower, word, message);
        }
        "nexthop" => {
            let hop = nexthop(lower, words, reading.family)?;
            reading.route.hops.push(hop);
        }
        // A second router, as old files write it.
        "or" => {
            let gateway = words.address(lower, word)?;
            let first = Hop { ..std::mem::take(&mut reading.only) };
            reading.route.hops.push(first);
            reading.route.hops.push(Hop { gateway: Some(gateway), ..Hop::default() });
        }
        "to" => {
            let next = words.argument(lower, word)?;
            return destination(lower, words, next, reading);
        }
        _ if hop_word(lower, words, word, &mut reading.only, reading.family)? => {}
        _ if metric(lower, words, word, &mut reading.route)? => {}
        _ if reading.has_destination => {
            return words.refuse(lower, word, format!("`{}` says nothing about a route", word.text));
        }
        _ => return destination(lower, words, word, reading),
    }
    Some(())
}

fn destination(lower: &mut Lower, words: &mut Words, word: &Word, reading: &mut Reading) -> Option<()> {
    let mut word = word;
    let mut kind = None;
    let next;
    if let Some(found) = RouteKind::of_word(&word.text) {
        kind = Some(found);
        next = words.argument(lower, word)?;
        word = next;
    }
    reading.route.kind = kind.unwrap_or(reading.route.kind);
    reading.route.destination = words.network_of(lower, word, reading.family)?;
    reading.has_destination = true;
    Some(())
}

/// What can be said of each way: whether `word` was such a word.
fn hop_word(lower: &mut Lower, words: &mut Words, word: &Word, hop: &mut Hop, _: Option<Family>) -> Option<bool> {
    match word.text.as_str() {
        "via" => {
            if !words.take("inet") {
                words.take("inet6");
            }
            hop.gateway = Some(words.address(lower, word)?);
        }
        "gw" => hop.gateway = Some(words.address(lower, word)?),
        "dev" | "oif" => hop.device = Some(words.argument(lower, word)?.text.clone()),
        "onlink" => hop.onlink = true,
        "realms" => hop.realms = Some(words.realms(lower, word)?),
        "encap" => hop.wrap = Some(wrap(lower, words, word)?),
        _ => return Some(false),
    }
    Some(true)
}

fn nexthop(lower: &mut Lower, words: &mut Words, family: Option<Family>) -> Option<Hop> {
    let mut hop = Hop::default();
    while let Some(next) = words.peek() {
        if !["via", "gw", "dev", "oif", "onlink", "realms", "encap", "weight"].contains(&next) {
            break;
        }
        let Some(word) = words.next() else { break };
        if word.text == "weight" {
            let weight = words.number(lower, word, 256)?;
            if weight == 0 {
                return words.refuse(lower, word, "a weight is 1 to 256".to_owned());
            }
            hop.weight = u8::try_from(weight - 1).unwrap_or(u8::MAX);
        } else {
            hop_word(lower, words, word, &mut hop, family)?;
        }
    }
    Some(hop)
}

fn wrap(lower: &mut Lower, words: &mut Words, keyword: &Word) -> Option<Wrap> {
    let kind = words.argument(lower, keyword)?;
    match kind.text.as_str() {
        "ip" => tunnel(lower, words, Family::V4),
        "ip6" => tunnel(lower, words, Family::V6),
        "mpls" => {
            let labels = words.argument(lower, kind)?;
            let parsed: Option<Vec<u32>> = labels
                .text
                .split('/')
                .map(|label| number(label).and_then(|label| u32::try_from(label).ok()).filter(|label| *label < 1 << 20))
                .collect();
            match parsed {
                Some(parsed) => Some(Wrap::Mpls(parsed)),
                None => words.refuse(lower, labels, format!("`{}` are no MPLS labels", labels.text)),
            }
        }
        "ila" => {
            let text = words.argument(lower, kind)?;
            match locator(&text.text) {
                Some(locator) => Some(Wrap::Ila(locator)),
                None => words.refuse(lower, text, format!("`{}` is no ILA locator", text.text)),
            }
        }
        other => words.refuse(lower, kind, format!("`encap {other}` is none of ip, ip6, mpls, ila")),
    }
}

fn tunnel(lower: &mut Lower, words: &mut Words, family: Family) -> Option<Wrap> {
    let (mut id, mut destination, mut source, mut tos, mut ttl, mut flags) = (None, None, None, None, None, None);
    while let Some(next) = words.peek() {
        if !["id", "dst", "src", "tos", "tc", "ttl", "hoplimit", "flags"].contains(&next) {
            break;
        }
        let Some(word) = words.next() else { break };
        match word.text.as_str() {
            "id" => id = Some(words.number(lower, word, u64::MAX)?),
            "dst" => destination = Some(words.address(lower, word)?),
            "src" => source = Some(words.address(lower, word)?),
            "tos" | "tc" => tos = Some(words.number8(lower, word)?),
            "ttl" | "hoplimit" => ttl = Some(words.number8(lower, word)?),
            _ => flags = Some(u16::try_from(words.number(lower, word, u64::from(u16::MAX))?).unwrap_or_default()),
        }
    }
    Some(Wrap::Ip { family, id, destination, source, tos, ttl, flags })
}

/// Words for `RTAX_*`, its number, and whether it can be locked.
const METRICS: [(&str, u8); 14] = [
    ("mtu", 2),
    ("window", 3),
    ("rtt", 4),
    ("rttvar", 5),
    ("ssthresh", 6),
    ("cwnd", 7),
    ("advmss", 8),
    ("reordering", 9),
    ("hoplimit", 10),
    ("initcwnd", 11),
    ("rto_min", 13),
    ("initrwnd", 14),
    ("quickack", 15),
    ("fastopen_no_cookie", 17),
];
const FEATURES: u8 = 12;
const CONGESTION: u8 = 16;
const ECN: u32 = 1;

/// Whether `word` was about a metric.
fn metric(lower: &mut Lower, words: &mut Words, word: &Word, route: &mut Route) -> Option<bool> {
    let metrics = &mut route.metrics;
    match word.text.as_str() {
        "features" => {
            let mut any = false;
            while words.take("ecn") {
                any = true;
            }
            if !any {
                return words.refuse(lower, word, "`features` knows `ecn` alone".to_owned());
            }
            metrics.values.insert(FEATURES, ECN);
            return Some(true);
        }
        "congctl" => {
            if words.take("lock") {
                metrics.locked |= 1 << CONGESTION;
            }
            metrics.congestion = Some(words.argument(lower, word)?.text.clone());
            return Some(true);
        }
        _ => {}
    }
    let Some((name, number)) = METRICS.iter().find(|(name, _)| *name == word.text) else { return Some(false) };
    let can_lock = !matches!(*name, "initcwnd" | "initrwnd" | "quickack" | "fastopen_no_cookie");
    if can_lock && words.take("lock") {
        metrics.locked |= 1 << number;
    }
    let value = match *name {
        "rtt" => time(lower, words, word, 8)?,
        "rttvar" => time(lower, words, word, 4)?,
        "rto_min" => time(lower, words, word, 1)?,
        "hoplimit" => u32::from(words.number8(lower, word)?),
        "quickack" | "fastopen_no_cookie" => u32::try_from(words.number(lower, word, 1)?).unwrap_or_default(),
        _ => words.number32(lower, word)?,
    };
    metrics.values.insert(*number, value);
    Some(true)
}

/// Milliseconds, with or without their unit; with one they are scaled as the kernel keeps them.
fn time(lower: &mut Lower, words: &mut Words, keyword: &Word, scale: u32) -> Option<u32> {
    let word = words.argument(lower, keyword)?;
    let digits = word.text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (text, unit) = word.text.split_at(digits);
    let value: Option<f64> = text.parse().ok();
    let milliseconds = match (value, unit) {
        (Some(value), "") => Some((value, 1)),
        (Some(value), "ms" | "msec" | "msecs") => Some((value, scale)),
        (Some(value), "s" | "sec" | "secs") => Some((value * 1000.0, scale)),
        (Some(value), "us" | "usec" | "usecs") => Some((value / 1000.0, scale)),
        _ => None,
    };
    match milliseconds.map(|(value, scale)| value * f64::from(scale)).filter(|value| *value < f64::from(u32::MAX)) {
        Some(value) => Some(value.round() as u32),
        None => words.refuse(lower, word, format!("`{} {}` is no time", keyword.text, word.text)),
    }
}
