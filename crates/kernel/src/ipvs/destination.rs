//! Destinations in the kernel's messages.

use super::counters::traffic;
use super::numbers::{attribute, destination as at, forward, tunnel};
use super::service::{address_bytes, be16_at, family_number, parse_address, parse_family};
use crate::netlink::message::{Message, attributes, u16_at, u32_at};
use evenkeel_balance::table::{Destination, DestinationKey, DestinationStatistics, Forward, Tunnel, TunnelChecksum};
use evenkeel_wire::Family;

/// A destination as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationRecord {
    /// Which server.
    pub key: DestinationKey,
    /// What the service does with it.
    pub destination: Destination,
    /// Counters.
    pub statistics: DestinationStatistics,
}

/// Appends what says which destination is meant.
pub(super) fn name(message: Message, key: &DestinationKey) -> Message {
    message.nest(attribute::DESTINATION, |message| key_attributes(message, key))
}

/// Appends a whole destination.
pub(super) fn describe(message: Message, key: &DestinationKey, destination: &Destination) -> Message {
    message.nest(attribute::DESTINATION, |message| {
        let message = key_attributes(message, key)
            .attribute(at::FORWARD, &method(destination.forward).to_ne_bytes())
            .attribute(at::WEIGHT, &destination.weight.to_ne_bytes())
            .attribute(at::UPPER_THRESHOLD, &destination.upper_threshold.to_ne_bytes())
            .attribute(at::LOWER_THRESHOLD, &destination.lower_threshold.to_ne_bytes());
        match destination.forward {
            // Kernels before 5.3 know IP in IP alone, and no attribute that says so.
            Forward::Tunnel(kind) if kind != Tunnel::Ipip => tunnel_attributes(message, kind),
            _ => message,
        }
    })
}

fn key_attributes(message: Message, key: &DestinationKey) -> Message {
    message
        .attribute(at::FAMILY, &family_number(Family::of(key.address)).to_ne_bytes())
        .attribute(at::ADDRESS, &address_bytes(key.address))
        .attribute(at::PORT, &key.port.to_be_bytes())
}

fn method(forward: Forward) -> u32 {
    match forward {
        Forward::Masquerade => forward::MASQUERADE,
        Forward::Local => forward::LOCAL,
        Forward::Tunnel(_) => forward::TUNNEL,
        Forward::Direct => forward::DIRECT,
    }
}

fn tunnel_attributes(message: Message, kind: Tunnel) -> Message {
    let (number, port, checksum) = match kind {
        Tunnel::Ipip => (tunnel::IPIP, 0, TunnelChecksum::Absent),
        Tunnel::Gue { port, checksum } => (tunnel::GUE, port, checksum),
        Tunnel::Gre { checksum } => (tunnel::GRE, 0, checksum),
    };
    let flags = match checksum {
        TunnelChecksum::Absent => 0,
        TunnelChecksum::Present => tunnel::CHECKSUM,
        TunnelChecksum::Remote => tunnel::REMOTE_CHECKSUM,
    };
    message
        .attribute(at::TUNNEL_TYPE, &[number])
        .attribute(at::TUNNEL_PORT, &port.to_be_bytes())
        .attribute(at::TUNNEL_FLAGS, &flags.to_ne_bytes())
}

/// A destination from the attributes of a message about a service of `family`.
pub(super) fn parse(message: &[u8], family: Family) -> Option<DestinationRecord> {
    let (_, fields) = attributes(message, 0).find(|&(kind, _)| kind == attribute::DESTINATION)?;
    // Kernels before 3.18 do not say the family: it was the service's.
    let (mut family, mut address, mut port, mut flags) = (family, None, 0, None);
    let (mut tunnel_type, mut tunnel_port, mut tunnel_flags) = (tunnel::IPIP, 0, 0);
    let (mut weight, mut upper_threshold, mut lower_threshold) = (0, 0, 0);
    let mut statistics = DestinationStatistics::default();
    let (mut narrow, mut wide) = (None, None);
    for (kind, value) in attributes(fields, 0) {
        match kind {
            at::FAMILY => family = parse_family(value)?,
            at::ADDRESS => address = Some(value),
            at::PORT => port = be16_at(value)?,
            at::FORWARD => flags = u32_at(value, 0),
            at::WEIGHT => weight = u32_at(value, 0)?,
            at::UPPER_THRESHOLD => upper_threshold = u32_at(value, 0)?,
            at::LOWER_THRESHOLD => lower_threshold = u32_at(value, 0)?,
            at::ACTIVE => statistics.active = u32_at(value, 0)?,
            at::INACTIVE => statistics.inactive = u32_at(value, 0)?,
            at::PERSISTENT => statistics.persistent = u32_at(value, 0)?,
            at::TUNNEL_TYPE => tunnel_type = *value.first()?,
            at::TUNNEL_PORT => tunnel_port = be16_at(value)?,
            at::TUNNEL_FLAGS => tunnel_flags = u16_at(value, 0)?,
            at::STATISTICS => narrow = Some(traffic(value)),
            at::STATISTICS_64 => wide = Some(traffic(value)),
            _ => {}
        }
    }
    statistics.traffic = wide.or(narrow).unwrap_or_default();
    let forward = match flags? & forward::MASK {
        forward::MASQUERADE => Forward::Masquerade,
        forward::LOCAL => Forward::Local,
        forward::TUNNEL => Forward::Tunnel(parse_tunnel(tunnel_type, tunnel_port, tunnel_flags)?),
        forward::DIRECT => Forward::Direct,
        _ => return None,
    };
    let key = DestinationKey { address: parse_address(family, address?)?, port };
    let destination = Destination { weight, forward, upper_threshold, lower_threshold };
    Some(DestinationRecord { key, destination, statistics })
}

fn parse_tunnel(kind: u8, port: u16, flags: u16) -> Option<Tunnel> {
    let checksum = match flags {
        flags if flags & tunnel::REMOTE_CHECKSUM != 0 => TunnelChecksum::Remote,
        flags if flags & tunnel::CHECKSUM != 0 => TunnelChecksum::Present,
        _ => TunnelChecksum::Absent,
    };
    match kind {
        tunnel::IPIP => Some(Tunnel::Ipip),
        tunnel::GUE => Some(Tunnel::Gue { port, checksum }),
        tunnel::GRE => Some(Tunnel::Gre { checksum }),
        _ => None,
    }
}
