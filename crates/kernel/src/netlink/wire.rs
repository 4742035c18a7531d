//! rtnetlink's messages about links and addresses, as values.

use super::Interface;
use super::message::{Message, attributes, text, u32_at};
use super::socket::{ACK, REQUEST};
use crate::addresses::{Address, Change, FLAGS, Held};
use evenkeel_wire::{Mac, Prefix};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const NEW_LINK: u16 = 16;
pub(super) const DELETE_LINK: u16 = 17;
pub(super) const GET_LINK: u16 = 18;
pub(super) const NEW_ADDRESS: u16 = 20;
pub(super) const DELETE_ADDRESS: u16 = 21;
pub(super) const GET_ADDRESS: u16 = 22;
pub(super) const NEW_ROUTE: u16 = 24;

/// Create, and fail when it exists.
pub(super) const CREATE: u16 = 0x400 | 0x200;

/// Bytes of `struct ifinfomsg`.
const LINK_FIXED: usize = 16;
/// Bytes of `struct ifaddrmsg`.
const ADDRESS_FIXED: usize = 8;

/// Administratively up.
pub(super) const IFF_UP: u32 = 0x1;
/// Operationally up: also shown by a new link without carrier, until the kernel has looked at it.
const IFF_RUNNING: u32 = 0x40;
/// With carrier.
const IFF_LOWER_UP: u32 = 0x10000;
const IFF_ALL_UP: u32 = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const IFA_F_SECONDARY: u32 = 1;
const IFA_F_DEPRECATED: u32 = 0x20;
/// No end of a life.
const FOREVER: u32 = u32::MAX;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;

/// `struct ifinfomsg` of any family: `| family u8, pad u8 | type u16 | index u32 | flags u32 | mask of flags u32 |`.
pub(super) fn link_header(index: u32, flags: u32, mask: u32) -> [u8; LINK_FIXED] {
    let mut header = [0; LINK_FIXED];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&mask.to_ne_bytes());
    header
}

/// A link's message. `None` for what is none, and for a bridge's messages about its ports, which share the type: a port
/// that leaves its bridge is reported as a deleted link of family AF_BRIDGE though the link lives on.
pub(super) fn link(payload: &[u8]) -> Option<Interface> {
    let index = u32_at(payload, 4)?;
    let flags = u32_at(payload, 8)?;
    if i32::from(*payload.first()?) != libc::AF_UNSPEC {
        return None;
    }
    let up = flags & IFF_ALL_UP == IFF_ALL_UP;
    let mut interface = Interface {
        index,
        name: String::new(),
        up,
        mac: Mac::default(),
        mtu: 0,
        addresses: Vec::new(),
        tentative: Vec::new(),
    };
    for (kind, value) in attributes(payload, LINK_FIXED) {
        match kind {
            IFLA_IFNAME => interface.name = text(value),
            IFLA_ADDRESS => interface.mac = value.try_into().map(Mac).unwrap_or_default(),
            IFLA_MTU => interface.mtu = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(interface)
}

/// An address's message.
#[derive(Debug)]
pub(super) struct AddressEntry {
    pub(super) held: Held,
    /// Another address of the same network came first; removing that one may remove this.
    pub(super) secondary: bool,
    /// Nothing can be sent from it: the kernel still asks whether somebody else has it, or somebody has.
    pub(super) tentative: bool,
}

/// Reads `struct ifaddrmsg` and its attributes: `| family u8 | length u8 | flags u8 | scope u8 | index u32 |`.
pub(super) fn address(payload: &[u8]) -> Option<AddressEntry> {
    let &[family, length, flags, scope, ..] = payload else { return None };
    let index = u32_at(payload, 4)?;
    let mut flags = u32::from(flags);
    let (mut local, mut peer, mut broadcast, mut label, mut protocol) = (None, None, None, None, 0);
    for (kind, value) in attributes(payload, ADDRESS_FIXED) {
        match kind {
            IFA_ADDRESS => peer = ip(value),
            IFA_LOCAL => local = ip(value),
            IFA_LABEL => label = Some(text(value)),
            IFA_BROADCAST => broadcast = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from),
            IFA_FLAGS => flags = u32_at(value, 0)?,
            IFA_PROTO => protocol = *value.first()?,
            _ => {}
        }
    }
    // IPv4 says its own address in IFA_LOCAL and, on a point-to-point link, the other end's in IFA_ADDRESS; IPv6 mostly
    // says only IFA_ADDRESS.
    let own = local.or(peer)?;
    let prefix = Prefix::new(own, length).ok()?;
    let secondary = i32::from(family) == libc::AF_INET && flags & IFA_F_SECONDARY != 0;
    let peer = peer.filter(|peer| *peer != own);
    let preferred = (flags & IFA_F_DEPRECATED != 0).then_some(0);
    Some(AddressEntry {
        held: Held {
            index,
            address: Address { prefix, broadcast, label, scope, peer, flags: flags & FLAGS, preferred },
            protocol,
        },
        secondary,
        tentative: flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0,
    })
}

/// The request that makes a change.
pub(super) fn address_request(change: &Change) -> Message {
    match change {
        Change::Add(held) => {
            let address = &held.address;
            let fixed = address_header(address.prefix, address.scope, held.index);
            let message = Message::new(NEW_ADDRESS, REQUEST | ACK | CREATE, &fixed);
            let mut message = with_prefix(message, address.prefix, address.peer);
            if address.flags & FLAGS != 0 {
                message = message.attribute(IFA_FLAGS, &(address.flags & FLAGS).to_ne_bytes());
            }
            if let Some(preferred) = address.preferred {
                // struct ifa_cacheinfo: preferred, valid, created, updated.
                let info = [preferred, FOREVER, 0, 0].map(u32::to_ne_bytes).concat();
                message = message.attribute(IFA_CACHEINFO, &info);
            }
            if let Some(broadcast) = address.broadcast {
                message = message.attribute(IFA_BROADCAST, &broadcast.octets());
            }
            if let Some(label) = &address.label {
                message = message.text(IFA_LABEL, label);
            }
            // Kernels before 5.18 do not know this attribute, and ignore it.
            message.attribute(IFA_PROTO, &[held.protocol])
        }
        Change::Delete { index, prefix, peer } => {
            let fixed = address_header(*prefix, 0, *index);
            with_prefix(Message::new(DELETE_ADDRESS, REQUEST | ACK, &fixed), *prefix, *peer)
        }
    }
}

fn address_header(prefix: Prefix, scope: u8, index: u32) -> [u8; ADDRESS_FIXED] {
    let family = if prefix.address().is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let [a, b, c, d] = index.to_ne_bytes();
    [family as u8, prefix.length(), 0, scope, a, b, c, d]
}

fn with_prefix(message: Message, prefix: Prefix, peer: Option<IpAddr>) -> Message {
    let octets = |message: Message, kind, address| match address {
        IpAddr::V4(ip) => message.attribute(kind, &ip.octets()),
        IpAddr::V6(ip) => message.attribute(kind, &ip.octets()),
    };
    let message = octets(message, IFA_LOCAL, prefix.address());
    octets(message, IFA_ADDRESS, peer.unwrap_or(prefix.address()))
}

pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}
