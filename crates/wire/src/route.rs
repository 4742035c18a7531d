//! Routes and policy rules, as rtnetlink numbers what is in them; interfaces go by their names.

use crate::{Family, Prefix};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// The mark of a VRRP daemon on addresses, routes and rules: keepalived's number.
pub const PROTOCOL: u8 = 18;

/// `RT_TABLE_MAIN`.
pub const MAIN_TABLE: u32 = 254;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Which table of tables it stands in.
    pub family: Family,
    /// What becomes of packets.
    pub kind: RouteKind,
    /// Where they go.
    pub destination: Prefix,
    /// `from`: where they come from (IPv6).
    pub from: Option<Prefix>,
    /// `src`: what they are sent from unless they say.
    pub source: Option<IpAddr>,
    /// Type of service that they have to have; 0 is any.
    pub tos: u8,
    /// Number of the table.
    pub table: u32,
    /// Of several the lowest is taken.
    pub metric: Option<u32>,
    /// Who made it.
    pub protocol: u8,
    /// Scope; 0 is global. IPv6 has none.
    pub scope: u8,
    /// By which ways, spread by weight when there are several. Empty where packets do not travel on.
    pub hops: Vec<Hop>,
    /// Properties of connections along it.
    pub metrics: Metrics,
    /// Seconds after which it goes (IPv6).
    pub expires: Option<u32>,
    /// Router preference (RFC 4191): 0 medium, 1 high, 3 low. IPv6.
    pub preference: Option<u8>,
    /// Whether labels of MPLS carry the TTL on.
    pub ttl_propagate: Option<bool>,
    /// Its place among routes of the same destination.
    pub place: Place,
    /// Its loss is noticed and repaired.
    pub tracked: bool,
}

impl Route {
    /// A route as keepalived makes it when nothing more is said.
    pub fn new(destination: Prefix) -> Self {
        Route {
            family: Family::of(destination.address()),
            kind: RouteKind::Unicast,
            destination,
            from: None,
            source: None,
            tos: 0,
            table: MAIN_TABLE,
            metric: None,
            protocol: PROTOCOL,
            scope: 0,
            hops: Vec::new(),
            metrics: Metrics::default(),
            expires: None,
            preference: None,
            ttl_propagate: None,
            place: Place::First,
            tracked: true,
        }
    }
}

/// `blackhole 10.0.0.0/8`, `192.168.9.0/24 via 10.0.0.1 dev eth0 metric 5 table 100`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteKind::Unicast {
            write!(f, "{} ", self.kind.name())?;
        }
        match self.destination.length() {
            0 => f.write_str("default")?,
            _ => write!(f, "{}", self.destination)?,
        }
        for hop in &self.hops {
            if self.hops.len() > 1 {
                f.write_str(" nexthop")?;
            }
            if let Some(gateway) = hop.gateway {
                write!(f, " via {gateway}")?;
            }
            if let Some(device) = &hop.device {
                write!(f, " dev {device}")?;
            }
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        if self.table != MAIN_TABLE {
            write!(f, " table {}", self.table)?;
        }
        Ok(())
    }
}

/// What becomes of packets that take a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words of iproute2")]
pub enum RouteKind {
    Unicast = 1,
    Local = 2,
    Broadcast = 3,
    Anycast = 4,
    Multicast = 5,
    Blackhole = 6,
    Unreachable = 7,
    Prohibit = 8,
    Throw = 9,
    Nat = 10,
    Xresolve = 11,
}

impl RouteKind {
    const ALL: [RouteKind; 11] = [
        RouteKind::Unicast,
        RouteKind::Local,
        RouteKind::Broadcast,
        RouteKind::Anycast,
        RouteKind::Multicast,
        RouteKind::Blackhole,
        RouteKind::Unreachable,
        RouteKind::Prohibit,
        RouteKind::Throw,
        RouteKind::Nat,
        RouteKind::Xresolve,
    ];

    /// The kind of rtnetlink's number.
    pub fn of_number(number: u8) -> Option<Self> {
        RouteKind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        if word == "brd" {
            return Some(RouteKind::Broadcast);
        }
        RouteKind::ALL.into_iter().find(|kind| kind.name() == word)
    }

    /// iproute2's word.
    pub fn name(self) -> &'static str {
        match self {
            RouteKind::Unicast => "unicast",
            RouteKind::Local => "local",
            RouteKind::Broadcast => "broadcast",
            RouteKind::Anycast => "anycast",
            RouteKind::Multicast => "multicast",
            RouteKind::Blackhole => "blackhole",
            RouteKind::Unreachable => "unreachable",
            RouteKind::Prohibit => "prohibit",
            RouteKind::Throw => "throw",
            RouteKind::Nat => "nat",
            RouteKind::Xresolve => "xresolve",
        }
    }
}

/// Where a route goes among those of the same destination, type of service and metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// `prepend`, keepalived's default.
    First,
    /// `append`.
    Last,
    /// `add`: only where there is none.
    Alone,
}

/// One way of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The next router; one of IPv6 may carry IPv4 (RFC 5549).
    pub gateway: Option<IpAddr>,
    /// The interface; what the gateway is on, unless said.
    pub device: Option<String>,
    /// The gateway is on that link, whatever addresses say.
    pub onlink: bool,
    /// Its share among several, less one, as rtnetlink has it.
    pub weight: u8,
    /// Realms, source in the upper half.
    pub realms: Option<u32>,
    /// What packets are wrapped into.
    pub wrap: Option<Wrap>,
}

/// What packets of a route are wrapped into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrap {
    /// `encap ip` and `encap ip6`: metadata for a tunnel device.
    Ip {
        /// Which of the two: the addresses are of this family.
        family: Family,
        /// Key of the tunnel.
        id: Option<u64>,
        /// Other end.
        destination: Option<IpAddr>,
        /// This end.
        source: Option<IpAddr>,
        /// TOS or traffic class.
        tos: Option<u8>,
        /// TTL or hop limit.
        ttl: Option<u8>,
        /// Flags of the tunnel.
        flags: Option<u16>,
    },
    /// `encap mpls`: labels, outermost first.
    Mpls(Vec<u32>),
    /// `encap ila`: the locator that replaces the upper half of the address.
    Ila(u64),
}

/// `RTAX_*`: what connections along a route are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// By rtnetlink's number.
    pub values: BTreeMap<u8, u32>,
    /// Bits of the numbers whose value is not to be discovered otherwise.
    pub locked: u32,
    /// Congestion control.
    pub congestion: Option<String>,
}

impl Metrics {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.locked == 0 && self.congestion.is_none()
    }
}

/// A policy rule: which packets are routed how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Whose packets.
    pub family: Family,
    /// `not`: the packets that all of the rest does not match.
    pub inverted: bool,
    /// Where they come from.
    pub from: Option<Prefix>,
    /// Where they go.
    pub to: Option<Prefix>,
    /// Its place among the rules.
    pub priority: u32,
    /// Type of service; 0 is any.
    pub tos: u8,
    /// Mark and mask.
    pub mark: Option<(u32, u32)>,
    /// Realms, source in the upper half.
    pub realms: Option<u32>,
    /// A result of the table with this prefix length or less is none.
    pub suppress_length: Option<u32>,
    /// A result of the table through an interface of this group is none.
    pub suppress_group: Option<u32>,
    /// The interface they come in by.
    pub iif: Option<String>,
    /// The interface their socket is bound to.
    pub oif: Option<String>,
    /// Key of the tunnel.
    pub tunnel: Option<u64>,
    /// First and last user of the socket.
    pub users: Option<(u32, u32)>,
    /// The table is that of the VRF.
    pub l3mdev: bool,
    /// Who made it.
    pub protocol: u8,
    /// Protocol of the packets.
    pub ip_protocol: Option<u8>,
    /// First and last source port.
    pub source_ports: Option<(u16, u16)>,
    /// First and last destination port.
    pub destination_ports: Option<(u16, u16)>,
    /// What becomes of them.
    pub action: RuleAction,
    /// Its loss is noticed and repaired.
    pub tracked: bool,
}

impl Rule {
    /// A rule for all packets of a family.
    pub fn new(family: Family, priority: u32, action: RuleAction) -> Self {
        Rule {
            family,
            inverted: false,
            from: None,
            to: None,
            priority,
            tos: 0,
            mark: None,
            realms: None,
            suppress_length: None,
            suppress_group: None,
            iif: None,
            oif: None,
            tunnel: None,
            users: None,
            l3mdev: false,
            protocol: PROTOCOL,
            ip_protocol: None,
            source_ports: None,
            destination_ports: None,
            action,
            tracked: true,
        }
    }
}

/// `1000: from 10.0.0.0/8 lookup 28`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.priority)?;
        if self.inverted {
            f.write_str(" not")?;
        }
        match self.from {
            Some(from) => write!(f, " from {from}")?,
            None => f.write_str(" from all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some((mark, mask)) = self.mark {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?;
        }
        match self.action {
            RuleAction::Lookup(table) => write!(f, " lookup {table}"),
            RuleAction::Goto(priority) => write!(f, " goto {priority}"),
            RuleAction::Nop => f.write_str(" nop"),
            RuleAction::Blackhole => f.write_str(" blackhole"),
            RuleAction::Unreachable => f.write_str(" unreachable"),
            RuleAction::Prohibit => f.write_str(" prohibit"),
        }
    }
}

/// What becomes of the packets of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleAction {
    /// This table decides; with [`Rule::l3mdev`] the VRF's does, and the number is 0.
    Lookup(u32),
    /// Go on at the rule of this priority.
    Goto(u32),
    /// Nothing.
    Nop,
    /// Drop them silently.
    Blackhole,
    /// Answer that the network cannot be reached.
    Unreachable,
    /// Answer that it is forbidden.
    Prohibit,
}
