//! rtnetlink's messages about policy rules, as values.
//!
//! ```text
//!  fib_rule_hdr: | family u8 | dst len u8 | src len u8 | tos u8 | table u8 | 0 | 0 | action u8 | flags u32 |
//! ```

use super::message::{Message, attributes, text, u16_at, u32_at};
use super::route_wire::{masked, masked_prefix};
use super::socket::{ACK, REQUEST};
use super::wire;
use evenkeel_wire::route::{Rule, RuleAction};
use evenkeel_wire::{Family, Prefix};
use std::net::IpAddr;

pub(super) const NEW_RULE: u16 = 32;
pub(super) const DELETE_RULE: u16 = 33;
pub(super) const GET_RULE: u16 = 34;

const RULE_FIXED: usize = 12;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_FLOW: u16 = 11;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;

const INVERT: u8 = 2;
const NONE: u32 = u32::MAX;

const TO_TABLE: u8 = 1;
const GOTO: u8 = 2;
const NOP: u8 = 3;
const BLACKHOLE: u8 = 6;
const UNREACHABLE: u8 = 7;
const PROHIBIT: u8 = 8;

/// The request that makes a rule.
pub(super) fn add(rule: &Rule) -> Message {
    /// Create, and fail when it exists.
    const FLAGS: u16 = REQUEST | ACK | wire::CREATE;
    build(NEW_RULE, FLAGS, rule)
}

/// The request that takes a rule away.
pub(super) fn delete(rule: &Rule) -> Message {
    build(DELETE_RULE, REQUEST | ACK, rule)
}

fn build(kind: u16, flags: u16, rule: &Rule) -> Message {
    let family = match rule.family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    let (action, table) = match rule.action {
        RuleAction::Lookup(table) => (TO_TABLE, table),
        RuleAction::Goto(_) => (GOTO, 0),
        RuleAction::Nop => (NOP, 0),
        RuleAction::Blackhole => (BLACKHOLE, 0),
        RuleAction::Unreachable => (UNREACHABLE, 0),
        RuleAction::Prohibit => (PROHIBIT, 0),
    };
    let mut header = [0; RULE_FIXED];
    header[0] = family as u8;
    header[1] = rule.to.map_or(0, Prefix::length);
    header[2] = rule.from.map_or(0, Prefix::length);
    header[3] = rule.tos;
    header[4] = u8::try_from(table).unwrap_or(0);
    header[7] = action;
    header[8] = if rule.inverted { INVERT } else { 0 };
    let mut message = Message::new(kind, flags, &header).attribute(FRA_PRIORITY, &rule.priority.to_ne_bytes());
    message = message.attribute(FRA_PROTOCOL, &[rule.protocol]);
    for (kind, prefix) in [(FRA_DST, rule.to), (FRA_SRC, rule.from)] {
        message = match prefix.map(masked) {
            Some(IpAddr::V4(ip)) => message.attribute(kind, &ip.octets()),
            Some(IpAddr::V6(ip)) => message.attribute(kind, &ip.octets()),
            None => message,
        };
    }
    if table != 0 {
        message = message.attribute(FRA_TABLE, &table.to_ne_bytes());
    }
    if let RuleAction::Goto(priority) = rule.action {
        message = message.attribute(FRA_GOTO, &priority.to_ne_bytes());
    }
    if let Some((mark, mask)) = rule.mark {
        message = message.attribute(FRA_FWMARK, &mark.to_ne_bytes()).attribute(FRA_FWMASK, &mask.to_ne_bytes());
    }
    for (kind, number) in [
        (FRA_FLOW, rule.realms),
        (FRA_SUPPRESS_PREFIXLEN, rule.suppress_length),
        (FRA_SUPPRESS_IFGROUP, rule.suppress_group),
    ] {
        if let Some(number) = number {
            message = message.attribute(kind, &number.to_ne_bytes());
        }
    }
    for (kind, name) in [(FRA_IIFNAME, &rule.iif), (FRA_OIFNAME, &rule.oif)] {
        if let Some(name) = name {
            message = message.text(kind, name);
        }
    }
    if let Some(tunnel) = rule.tunnel {
        message = message.attribute(FRA_TUN_ID, &tunnel.to_be_bytes());
    }
    if let Some((first, last)) = rule.users {
        message = message.attribute(FRA_UID_RANGE, &[first.to_ne_bytes(), last.to_ne_bytes()].concat());
    }
    if rule.l3mdev {
        message = message.attribute(FRA_L3MDEV, &[1]);
    }
    if let Some(protocol) = rule.ip_protocol {
        message = message.attribute(FRA_IP_PROTO, &[protocol]);
    }
    for (kind, ports) in [(FRA_SPORT_RANGE, rule.source_ports), (FRA_DPORT_RANGE, rule.destination_ports)] {
        if let Some((first, last)) = ports {
            message = message.attribute(kind, &[first.to_ne_bytes(), last.to_ne_bytes()].concat());
        }
    }
    message
}

/// A rule's message. `None` for what is none, or does what is not known here.
pub(super) fn rule(payload: &[u8]) -> Option<Rule> {
    let &[family, to_length, from_length, tos, table, _, _, action, flags, ..] = payload else { return None };
    let family = match i32::from(family) {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        _ => return None,
    };
    let mut rule = Rule::new(family, 0, RuleAction::Nop);
    (rule.tos, rule.inverted, rule.protocol) = (tos, flags & INVERT != 0, 0);
    let (mut table, mut target) = (u32::from(table), 0);
    let (mut mark, mut mask) = (0, 0);
    for (kind, value) in attributes(payload, RULE_FIXED) {
        match kind {
            FRA_DST => rule.to = Prefix::new(wire::ip(value)?, to_length).ok(),
            FRA_SRC => rule.from = Prefix::new(wire::ip(value)?, from_length).ok(),
            FRA_IIFNAME => rule.iif = Some(text(value)),
            FRA_OIFNAME => rule.oif = Some(text(value)),
            FRA_GOTO => target = u32_at(value, 0)?,
            FRA_PRIORITY => rule.priority = u32_at(value, 0)?,
            FRA_FWMARK => mark = u32_at(value, 0)?,
            FRA_FWMASK => mask = u32_at(value, 0)?,
            FRA_FLOW => rule.realms = u32_at(value, 0).filter(|realms| *realms != 0),
            FRA_TUN_ID => rule.tunnel = value.try_into().ok().map(u64::from_be_bytes),
            FRA_SUPPRESS_IFGROUP => rule.suppress_group = u32_at(value, 0).filter(|group| *group != NONE),
            FRA_SUPPRESS_PREFIXLEN => rule.suppress_length = u32_at(value, 0).filter(|length| *length != NONE),
            FRA_TABLE => table = u32_at(value, 0)?,
            FRA_L3MDEV => rule.l3mdev = value.first() == Some(&1),
            FRA_UID_RANGE => rule.users = u32_at(value, 0).zip(u32_at(value, 4)),
            FRA_PROTOCOL => rule.protocol = *value.first()?,
            FRA_IP_PROTO => rule.ip_protocol = value.first().copied(),
            FRA_SPORT_RANGE => rule.source_ports = u16_at(value, 0).zip(u16_at(value, 2)),
            FRA_DPORT_RANGE => rule.destination_ports = u16_at(value, 0).zip(u16_at(value, 2)),
            _ => {}
        }
    }
    rule.mark = (mark != 0 || mask != 0).then_some((mark, mask));
    rule.action = match action {
        TO_TABLE => RuleAction::Lookup(table),
        GOTO => RuleAction::Goto(target),
        NOP => RuleAction::Nop,
        BLACKHOLE => RuleAction::Blackhole,
        UNREACHABLE => RuleAction::Unreachable,
        PROHIBIT => RuleAction::Prohibit,
        _ => return None,
    };
    Some(rule)
}

/// A rule with nothing in it that the kernel would not give back: equal rules are the same rule.
pub(super) fn normal(rule: &Rule) -> Rule {
    let network = |prefix: Option<Prefix>| prefix.filter(|prefix| prefix.length() > 0).map(masked_prefix);
    Rule {
        from: network(rule.from),
        to: network(rule.to),
        realms: rule.realms.filter(|realms| *realms != 0),
        mark: rule.mark.filter(|(mark, mask)| *mark != 0 || *mask != 0),
        tracked: true,
        ..rule.clone()
    }
}
