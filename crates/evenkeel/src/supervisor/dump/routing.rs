//! Routes and rules as keepalived spells them.

use evenkeel_vrrp::Config;
use evenkeel_wire::route::{Hop, MAIN_TABLE, Place, Route, RouteKind, Rule, RuleAction};
use std::fmt::Write as _;
use std::net::IpAddr;

/// `prepend 10.7.0.0/24 src 10.0.0.100 via inet 10.0.0.1 dev eth0 table 100 proto 18 metric 5`
pub fn route(route: &Route) -> String {
    let mut text = match route.place {
        Place::First if route.kind == RouteKind::Unicast => "prepend".to_owned(),
        Place::Last => "append".to_owned(),
        Place::First | Place::Alone => "add".to_owned(),
    };
    if route.kind != RouteKind::Unicast {
        let _ = write!(text, " {}", route.kind.name());
    }
    let _ = write!(text, " {}", route.destination);
    if let Some(from) = route.from {
        let _ = write!(text, " from {from}");
    }
    if route.tos != 0 {
        let _ = write!(text, " tos {}", route.tos);
    }
    if let Some(source) = route.source {
        let _ = write!(text, " src {source}");
    }
    if let [only] = route.hops.as_slice() {
        way(&mut text, only);
    }
    if route.table != MAIN_TABLE {
        let _ = write!(text, " table {}", route.table);
    }
    let _ = write!(text, " proto {}", route.protocol);
    if route.scope != 0 {
        let _ = write!(text, " scope {}", route.scope);
    }
    if let Some(metric) = route.metric {
        let _ = write!(text, " metric {metric}");
    }
    if route.hops.len() > 1 {
        for hop in &route.hops {
            text += " nexthop";
            way(&mut text, hop);
            if hop.weight > 0 {
                let _ = write!(text, " weight {}", u16::from(hop.weight) + 1);
            }
        }
    }
    if !route.tracked {
        text += " no_track";
    }
    text
}

fn way(text: &mut String, hop: &Hop) {
    if let Some(gateway) = hop.gateway {
        let family = if matches!(gateway, IpAddr::V4(_)) { "inet" } else { "inet6" };
        let _ = write!(text, " via {family} {gateway}");
    }
    if let Some(device) = &hop.device {
        let _ = write!(text, " dev {device}");
    }
    if hop.onlink {
        text.push_str(" onlink");
    }
}

/// `from 10.7.0.0/24 priority 16383 tos 0x0 protocol 18 lookup 200`
pub fn rule(rule: &Rule) -> String {
    let mut text = if rule.inverted { "not from" } else { "from" }.to_owned();
    match rule.from {
        Some(from) => drop(write!(text, " {from}")),
        None => text += " all",
    }
    if let Some(to) = rule.to {
        let _ = write!(text, " to {to}");
    }
    let _ = write!(text, " priority {} tos {:#x}", rule.priority, rule.tos);
    match rule.mark {
        Some((mark, u32::MAX)) => drop(write!(text, " fwmark {mark:#x}")),
        Some((mark, mask)) => drop(write!(text, " fwmark {mark:#x}/{mask:#x}")),
        None => {}
    }
    for (word, interface) in [("iif", &rule.iif), ("oif", &rule.oif)] {
        if let Some(interface) = interface {
            let _ = write!(text, " {word} {interface}");
        }
    }
    let has_protocol = matches!(rule.action, RuleAction::Lookup(_) | RuleAction::Goto(_) | RuleAction::Nop);
    if has_protocol {
        let _ = write!(text, " protocol {}", rule.protocol);
    }
    if let Some(protocol) = rule.ip_protocol {
        let _ = write!(text, " ipproto {protocol}");
    }
    for (word, ports) in [("sport", rule.source_ports), ("dport", rule.destination_ports)] {
        if let Some((first, last)) = ports {
            let _ = write!(text, " {word} {first}-{last}");
        }
    }
    match rule.action {
        RuleAction::Lookup(table) => drop(write!(text, " lookup {table}")),
        RuleAction::Goto(priority) => drop(write!(text, " goto {priority}")),
        RuleAction::Nop => text += " type nop",
        RuleAction::Blackhole => text += " type blackhole",
        RuleAction::Unreachable => text += " type unreachable",
        RuleAction::Prohibit => text += " type prohibit",
    }
    if !rule.tracked {
        text += " no_track";
    }
    text
}

/// What is in the kernel whoever is master, as lines under their titles.
pub fn statics(config: &Config) -> (Vec<String>, Vec<String>) {
    let network = &config.network;
    (network.routes.iter().map(route).collect(), network.rules.iter().map(rule).collect())
}
