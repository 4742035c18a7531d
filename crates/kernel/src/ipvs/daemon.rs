//! The kernel threads that carry connections to another balancer, and other settings of a whole namespace.

use super::numbers::{attribute, daemon as at, info};
use super::service::{address_bytes, parse_address};
use crate::netlink::message::{Message, attributes, text, u16_at, u32_at};
use evenkeel_wire::Family;
use std::net::IpAddr;

/// Which way connections are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// Sends them.
    Master,
    /// Receives them.
    Backup,
}

/// A sync daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncDaemon {
    /// Which way.
    pub state: SyncState,
    /// Interface of the multicast group.
    pub interface: String,
    /// Number of the group of balancers, 0 to 255.
    pub sync_id: u32,
    /// Longest message in bytes; 0 for the kernel's choice.
    pub max_length: u16,
    /// Multicast group; `None` for the kernel's (224.0.0.81).
    pub group: Option<IpAddr>,
    /// UDP port; 0 for the kernel's (8848).
    pub port: u16,
    /// TTL; 0 for the kernel's (1).
    pub ttl: u8,
}

/// Seconds after which connections are forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Of established TCP.
    pub tcp: u32,
    /// Of TCP after a FIN.
    pub tcp_fin: u32,
    /// Of UDP.
    pub udp: u32,
}

/// About the kernel's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its version, a byte for each number.
    pub version: u32,
    /// Slots of the table of connections.
    pub table_size: u32,
}

/// Appends a daemon. What has the kernel's choice is left out, so that kernels before 4.3 understand it.
pub(super) fn describe(message: Message, daemon: &SyncDaemon) -> Message {
    message.nest(attribute::DAEMON, |message| {
        let mut message = message
            .attribute(at::STATE, &state_number(daemon.state).to_ne_bytes())
            .text(at::INTERFACE, &daemon.interface)
            .attribute(at::SYNC_ID, &daemon.sync_id.to_ne_bytes());
        if daemon.max_length > 0 {
            message = message.attribute(at::MAX_LENGTH, &daemon.max_length.to_ne_bytes());
        }
        match daemon.group {
            Some(IpAddr::V4(group)) => message = message.attribute(at::GROUP, &group.octets()),
            Some(group @ IpAddr::V6(_)) => message = message.attribute(at::GROUP_6, &address_bytes(group)),
            None => {}
        }
        if daemon.port > 0 {
            message = message.attribute(at::PORT, &daemon.port.to_ne_bytes());
        }
        if daemon.ttl > 0 {
            message = message.attribute(at::TTL, &[daemon.ttl]);
        }
        message
    })
}

/// Appends what says which daemon is meant.
pub(super) fn name(message: Message, state: SyncState) -> Message {
    message.nest(attribute::DAEMON, |message| message.attribute(at::STATE, &state_number(state).to_ne_bytes()))
}

fn state_number(state: SyncState) -> u32 {
    match state {
        SyncState::Master => at::MASTER,
        SyncState::Backup => at::BACKUP,
    }
}

/// A daemon from the attributes of a message.
pub(super) fn parse(message: &[u8]) -> Option<SyncDaemon> {
    let (_, fields) = attributes(message, 0).find(|&(kind, _)| kind == attribute::DAEMON)?;
    let (mut state, mut interface, mut sync_id) = (None, String::new(), 0);
    let (mut max_length, mut group, mut port, mut ttl) = (0, None, 0, 0);
    for (kind, value) in attributes(fields, 0) {
        match kind {
            at::STATE => {
                state = match u32_at(value, 0)? {
                    at::MASTER => Some(SyncState::Master),
                    at::BACKUP => Some(SyncState::Backup),
                    _ => None,
                }
            }
            at::INTERFACE => interface = text(value),
            at::SYNC_ID => sync_id = u32_at(value, 0)?,
            at::MAX_LENGTH => max_length = u16_at(value, 0)?,
            at::GROUP => group = parse_address(Family::V4, value),
            at::GROUP_6 => group = parse_address(Family::V6, value),
            at::PORT => port = u16_at(value, 0)?,
            at::TTL => ttl = *value.first()?,
            _ => {}
        }
    }
    Some(SyncDaemon { state: state?, interface, sync_id, max_length, group, port, ttl })
}

/// Appends timeouts; a zero leaves the kernel's as it is.
pub(super) fn describe_timeouts(message: Message, timeouts: &Timeouts) -> Message {
    message
        .attribute(attribute::TIMEOUT_TCP, &timeouts.tcp.to_ne_bytes())
        .attribute(attribute::TIMEOUT_TCP_FIN, &timeouts.tcp_fin.to_ne_bytes())
        .attribute(attribute::TIMEOUT_UDP, &timeouts.udp.to_ne_bytes())
}

/// Timeouts from the attributes of a message; of a protocol that this kernel cannot balance, 0.
pub(super) fn parse_timeouts(message: &[u8]) -> Option<Timeouts> {
    let mut timeouts = Timeouts::default();
    for (kind, value) in attributes(message, 0) {
        match kind {
            attribute::TIMEOUT_TCP => timeouts.tcp = u32_at(value, 0)?,
            attribute::TIMEOUT_TCP_FIN => timeouts.tcp_fin = u32_at(value, 0)?,
            attribute::TIMEOUT_UDP => timeouts.udp = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(timeouts)
}

pub(super) fn parse_info(message: &[u8]) -> Option<Info> {
    let number =
        |wanted| attributes(message, 0).find(|&(kind, _)| kind == wanted).and_then(|(_, value)| u32_at(value, 0));
    Some(Info { version: number(info::VERSION)?, table_size: number(info::TABLE_SIZE)? })
}
