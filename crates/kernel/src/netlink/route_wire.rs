//! rtnetlink's messages about routes, as values.
//!
//! ```text
//!  rtmsg: | family u8 | dst len u8 | src len u8 | tos u8 | table u8 | protocol u8 | scope u8 | type u8 | flags u32 |
//!  rtnexthop, in RTA_MULTIPATH: | length u16 | flags u8 | weight - 1 u8 | interface u32 | attributes |
//! ```

use super::message::{Message, attributes, text, u16_at, u32_at};
use super::socket::{ACK, REQUEST};
use super::wire;
use evenkeel_wire::route::{Hop, Metrics, Place, Route, RouteKind, Wrap};
use evenkeel_wire::{Family, Prefix};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const DELETE_ROUTE: u16 = 25;
pub(super) const GET_ROUTE: u16 = 26;

const ROUTE_FIXED: usize = 12;
const HOP_FIXED: usize = 8;

pub(super) const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
pub(super) const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_FLOW: u16 = 11;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const RTA_EXPIRES: u16 = 23;
const RTA_TTL_PROPAGATE: u16 = 26;

const RTAX_LOCK: u16 = 1;
const RTAX_CC_ALGO: u16 = 16;

const RTNH_F_ONLINK: u8 = 4;
/// `RTM_F_CLONED`: a cached result, no route.
const CLONED: u32 = 0x200;

const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
const APPEND: u16 = 0x800;

const ENCAP_MPLS: u16 = 1;
const ENCAP_IP: u16 = 2;
const ENCAP_ILA: u16 = 3;
const ENCAP_IP6: u16 = 4;

/// The index of an interface's name.
pub(super) type IndexOf<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// The request that makes a route, or the name of the interface that is missing.
pub(super) fn add(route: &Route, index_of: IndexOf) -> Result<Message, String> {
    let flags = match route.place {
        Place::First => CREATE,
        Place::Last => CREATE | APPEND,
        Place::Alone => CREATE | EXCLUSIVE,
    };
    let onlink = matches!(&route.hops[..], [hop] if hop.onlink);
    let message = Message::new(wire::NEW_ROUTE, REQUEST | ACK | flags, &header(route, onlink));
    let mut message = selectors(message, route);
    message = match &route.hops[..] {
        [] => message,
        [hop] => {
            let message = match hop.device.as_deref().map(|name| index_of(name).ok_or_else(|| name.to_owned())) {
                Some(index) => message.attribute(RTA_OIF, &index?.to_ne_bytes()),
                None => message,
            };
            way(message, route.family, hop)
        }
        hops => {
            let indexes: Result<Vec<u32>, String> = hops
                .iter()
                .map(|hop| match &hop.device {
                    Some(name) => index_of(name).ok_or_else(|| name.clone()),
                    None => Ok(0),
                })
                .collect();
            let indexes = indexes?;
            message.nest(RTA_MULTIPATH, |m| {
                hops.iter().zip(indexes).fold(m, |m, (hop, index)| next_hop(m, route.family, hop, index))
            })
        }
    };
    if !route.metrics.is_empty() {
        message = message.nest(RTA_METRICS, |m| metrics(m, &route.metrics));
    }
    if let Some(expires) = route.expires {
        message = message.attribute(RTA_EXPIRES, &expires.to_ne_bytes());
    }
    if let Some(preference) = route.preference {
        message = message.attribute(RTA_PREF, &[preference]);
    }
    if let Some(propagate) = route.ttl_propagate {
        message = message.attribute(RTA_TTL_PROPAGATE, &[u8::from(propagate)]);
    }
    Ok(message)
}

/// The request that takes a route away, as the kernel described it. Several ways are not repeated: the others of its
/// properties tell it from its siblings well enough, and IPv6 would take away one way alone.
pub(super) fn delete(there: &There) -> Message {
    let route = &there.route;
    let message = Message::new(DELETE_ROUTE, REQUEST | ACK, &header(route, false));
    let message = selectors(message, route);
    match (&route.hops[..], &there.indexes[..]) {
        ([hop], [index]) if *index != 0 => {
            let message = message.attribute(RTA_OIF, &index.to_ne_bytes());
            gateway(message, route.family, hop)
        }
        _ => message,
    }
}

fn header(route: &Route, onlink: bool) -> [u8; ROUTE_FIXED] {
    let family = match route.family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    let mut header = [0; ROUTE_FIXED];
    header[0] = family as u8;
    header[1] = route.destination.length();
    header[2] = route.from.map_or(0, Prefix::length);
    header[3] = route.tos;
    // Larger numbers travel in RTA_TABLE alone.
    header[4] = u8::try_from(route.table).unwrap_or(0);
    header[5] = route.protocol;
    header[6] = route.scope;
    header[7] = route.kind as u8;
    header[8] = if onlink { RTNH_F_ONLINK } else { 0 };
    header
}

fn selectors(message: Message, route: &Route) -> Message {
    let mut message = message.attribute(RTA_TABLE, &route.table.to_ne_bytes());
    if route.destination.length() > 0 {
        message = octets(message, RTA_DST, masked(route.destination));
    }
    if let Some(from) = route.from.filter(|from| from.length() > 0) {
        message = octets(message, RTA_SRC, masked(from));
    }
    if let Some(source) = route.source {
        message = octets(message, RTA_PREFSRC, source);
    }
    if let Some(metric) = route.metric {
        message = message.attribute(RTA_PRIORITY, &metric.to_ne_bytes());
    }
    message
}

fn way(message: Message, family: Family, hop: &Hop) -> Message {
    let mut message = gateway(message, family, hop);
    if let Some(realms) = hop.realms {
        message = message.attribute(RTA_FLOW, &realms.to_ne_bytes());
    }
    match &hop.wrap {
        Some(wrap) => encapsulation(message, wrap),
        None => message,
    }
}

fn gateway(message: Message, family: Family, hop: &Hop) -> Message {
    match (hop.gateway, family) {
        // A router of the other family says its own (RFC 5549).
        (Some(IpAddr::V6(ip)), Family::V4) => {
            let family = (libc::AF_INET6 as u16).to_ne_bytes();
            message.attribute(RTA_VIA, &[&family[..], &ip.octets()].concat())
        }
        (Some(ip), _) => octets(message, RTA_GATEWAY, ip),
        (None, _) => message,
    }
}

fn next_hop(message: Message, family: Family, hop: &Hop, index: u32) -> Message {
    let flags = if hop.onlink { RTNH_F_ONLINK } else { 0 };
    message.block(|message| {
        let fixed = [0, 0, flags, hop.weight];
        way(message.raw(&fixed).raw(&index.to_ne_bytes()), family, hop)
    })
}

fn metrics(mut message: Message, metrics: &Metrics) -> Message {
    if metrics.locked != 0 {
        message = message.attribute(RTAX_LOCK, &metrics.locked.to_ne_bytes());
    }
    for (number, value) in &metrics.values {
        message = message.attribute(u16::from(*number), &value.to_ne_bytes());
    }
    match &metrics.congestion {
        Some(name) => message.text(RTAX_CC_ALGO, name),
        None => message,
    }
}

fn encapsulation(message: Message, wrap: &Wrap) -> Message {
    let kind = encapsulation_kind(wrap);
    let message = message.attribute(RTA_ENCAP_TYPE, &kind.to_ne_bytes());
    message.nest(RTA_ENCAP, |mut m| match wrap {
        Wrap::Ip { family: _, id, destination, source, tos, ttl, flags } => {
            // LWTUNNEL_IP_* and LWTUNNEL_IP6_* have the same numbers.
            if let Some(id) = id {
                m = m.attribute(1, &id.to_be_bytes());
            }
            for (kind, address) in [(2, destination), (3, source)] {
                if let Some(address) = address {
                    m = octets(m, kind, *address);
                }
            }
            if let Some(ttl) = ttl {
                m = m.attribute(4, &[*ttl]);
            }
            if let Some(tos) = tos {
                m = m.attribute(5, &[*tos]);
            }
            if let Some(flags) = flags {
                m = m.attribute(6, &flags.to_be_bytes());
            }
            m
        }
        Wrap::Mpls(labels) => {
            let last = labels.len().saturating_sub(1);
            let entries = labels.iter().enumerate();
            // A label is 20 bits, then three of traffic class, the bottom of the stack and eight of TTL.
            let stack = entries.flat_map(|(at, label)| (label << 12 | u32::from(at == last) << 8).to_be_bytes());
            m.attribute(1, &stack.collect::<Vec<_>>())
        }
        Wrap::Ila(locator) => m.attribute(1, &locator.to_be_bytes()),
    })
}

fn encapsulation_kind(wrap: &Wrap) -> u16 {
    match wrap {
        Wrap::Ip { family: Family::V4, .. } => ENCAP_IP,
        Wrap::Ip { family: Family::V6, .. } => ENCAP_IP6,
        Wrap::Mpls(_) => ENCAP_MPLS,
        Wrap::Ila(_) => ENCAP_ILA,
    }
}

/// A route that the kernel has.
#[derive(Clone, Debug)]
pub(crate) struct There {
    /// Its hops name no devices, and what packets are wrapped into is left out.
    pub(crate) route: Route,
    /// The interfaces of the hops, in their order; 0 for none.
    pub(crate) indexes: Vec<u32>,
    /// What packets of each hop are wrapped into, by rtnetlink's number; 0 for nothing.
    wraps: Vec<u16>,
}

impl There {
    /// Whether this is the route `wanted`, where that says anything.
    pub(crate) fn serves(&self, wanted: &Route, index_of: IndexOf) -> bool {
        let there = &self.route;
        let same_hop = |(at, hop): (usize, &Hop)| {
            let Some(have) = there.hops.get(at) else { return false };
            let (index, wrap) = (self.indexes.get(at).copied(), self.wraps.get(at).copied().unwrap_or(0));
            have.gateway == hop.gateway
                && have.weight == hop.weight
                && hop.device.as_deref().is_none_or(|name| index_of(name) == index)
                && hop.realms.is_none_or(|realms| have.realms == Some(realms))
                && hop.wrap.as_ref().map_or(0, encapsulation_kind) == wrap
        };
        // The kernel gives an IPv6 route the metric 1024 when none is said, and puts IPv6 routes without a way on lo.
        let metric = |route: &Route| route.metric.filter(|metric| *metric != 0);
        let same_metric = match wanted.family {
            Family::V4 => metric(wanted) == metric(there),
            Family::V6 => metric(wanted).unwrap_or(1024) == metric(there).unwrap_or(1024),
        };
        (wanted.family, wanted.kind, wanted.tos, wanted.table) == (there.family, there.kind, there.tos, there.table)
            && masked_prefix(wanted.destination) == there.destination
            && wanted.from.filter(|from| from.length() > 0).map(masked_prefix) == there.from
            && wanted.source == there.source
            && wanted.protocol == there.protocol
            && same_metric
            && (wanted.family == Family::V6 || wanted.scope == there.scope)
            && (wanted.hops.is_empty() || wanted.hops.len() == there.hops.len())
            && wanted.hops.iter().enumerate().all(same_hop)
            && (wanted.metrics.values.iter()).all(|(number, value)| there.metrics.values.get(number) == Some(value))
            && (wanted.metrics.congestion.is_none() || wanted.metrics.congestion == there.metrics.congestion)
            && wanted.preference.is_none_or(|preference| there.preference == Some(preference))
    }

    /// Whether this is where `wanted` would be, whatever else it says: the same table, destination and metric.
    pub(crate) fn stands_at(&self, wanted: &Route) -> bool {
        let there = &self.route;
        (wanted.family, wanted.tos, wanted.table) == (there.family, there.tos, there.table)
            && masked_prefix(wanted.destination) == there.destination
            && wanted.protocol == there.protocol
            && wanted.metric.is_none_or(|metric| there.metric.unwrap_or(0) == metric)
    }
}

/// A route's message. `None` for what is none, or of a kind that is not known here.
pub(super) fn route(payload: &[u8]) -> Option<There> {
    let &[family, to_length, from_length, tos, table, protocol, scope, kind, ..] = payload else { return None };
    if u32_at(payload, 8)? & CLONED != 0 {
        return None;
    }
    let family = match i32::from(family) {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        _ => return None,
    };
    let mut route = Route::new(family.any());
    (route.family, route.tos, route.table, route.protocol, route.scope) = (family, tos, table.into(), protocol, scope);
    route.kind = RouteKind::of_number(kind)?;
    let mut only = HopThere::default();
    let mut hops = Vec::new();
    for (kind, value) in attributes(payload, ROUTE_FIXED) {
        match kind {
            RTA_DST => route.destination = Prefix::new(wire::ip(value)?, to_length).ok()?,
            RTA_SRC => route.from = Prefix::new(wire::ip(value)?, from_length).ok(),
            RTA_PREFSRC => route.source = wire::ip(value),
            RTA_PRIORITY => route.metric = u32_at(value, 0),
            RTA_TABLE => route.table = u32_at(value, 0)?,
            RTA_PREF => route.preference = value.first().copied(),
            RTA_METRICS => route.metrics = read_metrics(value),
            RTA_MULTIPATH => hops = read_hops(value),
            _ => only.read(kind, value),
        }
    }
    if hops.is_empty() && only != HopThere::default() {
        hops.push(only);
    }
    let indexes = hops.iter().map(|hop| hop.index).collect();
    let wraps = hops.iter().map(|hop| hop.wrap).collect();
    route.hops = hops.into_iter().map(|hop| hop.hop).collect();
    Some(There { route, indexes, wraps })
}

#[derive(Default, PartialEq)]
struct HopThere {
    hop: Hop,
    index: u32,
    wrap: u16,
}

impl HopThere {
    fn read(&mut self, kind: u16, value: &[u8]) {
        match kind {
            RTA_OIF => self.index = u32_at(value, 0).unwrap_or(0),
            RTA_GATEWAY => self.hop.gateway = wire::ip(value),
            RTA_VIA => self.hop.gateway = value.get(2..).and_then(wire::ip),
            RTA_FLOW => self.hop.realms = u32_at(value, 0),
            RTA_ENCAP_TYPE => self.wrap = u16_at(value, 0).unwrap_or(0),
            _ => {}
        }
    }
}

fn read_hops(mut bytes: &[u8]) -> Vec<HopThere> {
    let mut hops = Vec::new();
    while let (Some(length), Some(&weight), Some(index)) = (u16_at(bytes, 0), bytes.get(3), u32_at(bytes, 4)) {
        let length = usize::from(length);
        let Some(entry) = bytes.get(..length).filter(|entry| entry.len() >= HOP_FIXED) else { break };
        let mut hop = HopThere { index, ..HopThere::default() };
        hop.hop.weight = weight;
        for (kind, value) in attributes(entry, HOP_FIXED) {
            hop.read(kind, value);
        }
        hops.push(hop);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

fn read_metrics(bytes: &[u8]) -> Metrics {
    let mut metrics = Metrics::default();
    for (kind, value) in attributes(bytes, 0) {
        match (kind, u8::try_from(kind), u32_at(value, 0)) {
            (RTAX_LOCK, _, Some(locked)) => metrics.locked = locked,
            (RTAX_CC_ALGO, _, _) => metrics.congestion = Some(text(value)),
            (_, Ok(number), Some(value)) => drop(metrics.values.insert(number, value)),
            _ => {}
        }
    }
    metrics
}

fn octets(message: Message, kind: u16, address: IpAddr) -> Message {
    match address {
        IpAddr::V4(ip) => message.attribute(kind, &ip.octets()),
        IpAddr::V6(ip) => message.attribute(kind, &ip.octets()),
    }
}

/// The network's own address: the kernel refuses host bits in a route.
pub(super) fn masked(prefix: Prefix) -> IpAddr {
    match prefix.address() {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.length())).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.length())).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

pub(super) fn masked_prefix(prefix: Prefix) -> Prefix {
    Prefix::new(masked(prefix), prefix.length()).unwrap_or(prefix)
}
