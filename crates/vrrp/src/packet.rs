//! Advertisements on the wire: whole IPv4 packets of protocol 112.
//!
//! ```text
//!  0           1      2          3        4                5                  6        8
//!  | ver|type  | vrid | priority | count  | auth type      | interval in s    | checksum | addresses | 8 bytes  |  v2
//!  | ver|type  | vrid | priority | count  | 4 reserved bits, interval in 10 ms | checksum | addresses |             v3
//! ```
//!
//! Version 2 always ends in its eight bytes of authentication, zeros when unused.

use crate::config::{Centis, Password, Version, Vrid};
use crate::timers;
use evenkeel_wire::{checksum, ipv4};
use std::net::Ipv4Addr;

/// The multicast group of VRRP.
pub const MULTICAST: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// The IP protocol number of VRRP.
pub const PROTOCOL: u8 = 112;

/// The TTL without which a multicast advert came through a router.
pub const TTL: u8 = 255;

const ADVERTISEMENT: u8 = 1;
const FIXED: usize = 8;
const AUTHENTICATION: usize = 8;
const SIMPLE_PASSWORD: u8 = 1;
const AUTHENTICATION_HEADER: u8 = 2;

/// The least payload of an Ethernet frame: shorter packets are padded up to it.
const MIN_ETHERNET_PAYLOAD: usize = 46;

/// One advertisement with what matters of its IPv4 header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Who sends it.
    pub source: Ipv4Addr,
    /// [`MULTICAST`], or a unicast peer.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Protocol version.
    pub version: Version,
    /// Number of the virtual router.
    pub vrid: Vrid,
    /// Priority; 0 means that the master leaves.
    pub priority: u8,
    /// Time between adverts; whole seconds in version 2.
    pub interval: Centis,
    /// The virtual addresses, at most 255.
    pub addresses: Vec<Ipv4Addr>,
    /// Version 2 simple password.
    pub password: Option<Password>,
}

/// What a version 3 checksum covers. That of version 2 is always over the message alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Pseudo header and message (RFC 5798 5.2.8 as keepalived reads it): its default.
    WithPseudoHeader,
    /// The message alone (RFC 9568 5.2.8), keepalived's `v3_checksum_as_v2`. Sums of received adverts are then
    /// not looked at, as keepalived does.
    MessageOnly,
}

/// Which adverts an instance takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Number of the virtual router.
    pub vrid: Vrid,
    /// Protocol version.
    pub version: Version,
    /// Own interval, which in version 2 must be the sender's too.
    pub interval: Centis,
    /// Version 2 simple password.
    pub password: Option<Password>,
    /// What version 3 checksums cover.
    pub checksum: Checksum,
    /// How adverts travel.
    pub cast: Cast,
}

/// How adverts travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// To the multicast group; the TTL must be 255.
    Multicast,
    /// From peer to peer; any TTL.
    Unicast,
}

/// Why a packet is no advert for an instance. Each kind has its counter; none changes a state or a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// Shorter or longer than its count of addresses says, or than its IP header says.
    #[error("wrong length")]
    Length,
    /// Multicast with a TTL other than 255.
    #[error("TTL is not 255")]
    Ttl,
    /// Another protocol version.
    #[error("wrong version")]
    Version,
    /// Another virtual router.
    #[error("wrong virtual router")]
    Vrid,
    /// An authentication type that does not exist.
    #[error("unknown authentication type")]
    UnknownAuthentication,
    /// Another authentication type than ours.
    #[error("authentication type is not ours")]
    AuthenticationMismatch,
    /// The wrong password.
    #[error("wrong password")]
    Password,
    /// Version 2: not our interval. Version 3: an interval of 0, by which no timer could be set.
    #[error("wrong interval")]
    Interval,
    /// Not an advertisement.
    #[error("unknown type")]
    Type,
    /// The checksum does not match.
    #[error("wrong checksum")]
    Checksum,
    /// Unicast to a multicast instance, or the other way round.
    #[error("unicast where multicast is configured, or the reverse")]
    Destination,
}

/// The virtual router that a packet is about, by which it is given to an instance; `None` when it is too short to say.
pub fn vrid_of(packet: &[u8]) -> Option<Vrid> {
    let (header, message) = ipv4::Header::parse(packet)?;
    if header.protocol != PROTOCOL {
        return None;
    }
    Vrid::new(*message.get(1)?)
}

impl Advert {
    /// Reads a packet, with keepalived's checks in keepalived's order.
    ///
    /// One difference: what length is right is decided by the packet's version, not by ours, so that a peer of the
    /// other version is counted as that and not as a wrong length.
    pub fn parse(packet: &[u8], expected: &Expected) -> Result<Advert, Reject> {
        let (header, message) = ipv4::Header::parse(packet).ok_or(Reject::Length)?;
        if header.protocol != PROTOCOL || message.len() < FIXED {
            return Err(Reject::Length);
        }
        let version = match message[0] >> 4 {
            2 => Some(Version::V2),
            3 => Some(Version::V3),
            _ => None,
        };
        let count = usize::from(message[3]);
        let length = version.map_or(message.len(), |version| message_length(version, count));
        let header_length = packet.len() - message.len();
        if !is_length(packet.len(), header_length + length) {
            return Err(Reject::Length);
        }
        if expected.cast == Cast::Multicast && header.ttl != TTL {
            return Err(Reject::Ttl);
        }
        if version != Some(expected.version) {
            return Err(Reject::Version);
        }
        if message[1] != expected.vrid.get() {
            return Err(Reject::Vrid);
        }
        let message = &message[..length];
        let (password, interval) = match expected.version {
            Version::V2 => (check_authentication(message, expected.password)?, Centis(u16::from(message[5]) * 100)),
            Version::V3 => (None, Centis(u16::from_be_bytes([message[4] & 0x0f, message[5]]))),
        };
        let wanted_interval = match expected.version {
            Version::V2 => message[5] == timers::wire_seconds(expected.interval),
            Version::V3 => interval.0 != 0,
        };
        if !wanted_interval {
            return Err(Reject::Interval);
        }
        if message[0] & 0x0f != ADVERTISEMENT {
            return Err(Reject::Type);
        }
        if usize::from(header.total_length) != header_length + length {
            return Err(Reject::Length);
        }
        let sum = match (expected.version, expected.checksum) {
            (Version::V2, _) => checksum::internet(&[message]),
            (Version::V3, Checksum::WithPseudoHeader) => {
                checksum::internet(&[&pseudo_header(header.source, header.destination, length), message])
            }
            (Version::V3, Checksum::MessageOnly) => 0,
        };
        if sum != 0 {
            return Err(Reject::Checksum);
        }
        if header.destination.is_multicast() != (expected.cast == Cast::Multicast) {
            return Err(Reject::Destination);
        }
        let addresses = message[FIXED..FIXED + 4 * count]
            .chunks_exact(4)
            .map(|octets| Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))
            .collect();
        Ok(Advert {
            source: header.source,
            destination: header.destination,
            ttl: header.ttl,
            version: expected.version,
            vrid: expected.vrid,
            priority: message[2],
            interval,
            addresses,
            password,
        })
    }

    /// The packet's bytes. Addresses beyond the 255th have no place in it and are left out.
    pub fn build(&self, checksum: Checksum, id: u16) -> Vec<u8> {
        let count = self.addresses.len().min(usize::from(u8::MAX));
        let length = message_length(self.version, count);
        let header = ipv4::Header {
            total_length: (ipv4::MIN_HEADER + length) as u16,
            ttl: self.ttl,
            protocol: PROTOCOL,
            source: self.source,
            destination: self.destination,
        };
        let mut packet = Vec::with_capacity(ipv4::MIN_HEADER + length);
        packet.extend_from_slice(&header.build_control(id));
        let (version, [high, low]) = match self.version {
            Version::V2 => {
                let authentication = if self.password.is_some() { SIMPLE_PASSWORD } else { 0 };
                (2, [authentication, timers::wire_seconds(self.interval)])
            }
            Version::V3 => (3, timers::wire_centis(self.interval).0.to_be_bytes()),
        };
        packet.extend_from_slice(&[version << 4 | ADVERTISEMENT, self.vrid.get(), self.priority, count as u8]);
        packet.extend_from_slice(&[high, low, 0, 0]);
        for address in &self.addresses[..count] {
            packet.extend_from_slice(&address.octets());
        }
        if self.version == Version::V2 {
            packet.extend_from_slice(&self.password.map_or([0; AUTHENTICATION], |password| password.0));
        }
        let message = &packet[ipv4::MIN_HEADER..];
        let sum = match (self.version, checksum) {
            (Version::V2, _) | (Version::V3, Checksum::MessageOnly) => checksum::internet(&[message]),
            (Version::V3, Checksum::WithPseudoHeader) => {
                checksum::internet(&[&pseudo_header(self.source, self.destination, length), message])
            }
        };
        packet[ipv4::MIN_HEADER + 6..ipv4::MIN_HEADER + 8].copy_from_slice(&sum.to_be_bytes());
        packet
    }
}

fn message_length(version: Version, count: usize) -> usize {
    FIXED
        + 4 * count
        + match version {
            Version::V2 => AUTHENTICATION,
            Version::V3 => 0,
        }
}

/// Exact, or padded to the least Ethernet frame: 46 less a multiple of 4 leaves 2 modulo 4, and VLAN tags of four
/// bytes do not change that (keepalived, observed).
fn is_length(actual: usize, expected: usize) -> bool {
    let Some(surplus) = actual.checked_sub(expected) else { return false };
    surplus == 0 || expected < MIN_ETHERNET_PAYLOAD && surplus % 4 == 2
}

fn check_authentication(message: &[u8], expected: Option<Password>) -> Result<Option<Password>, Reject> {
    let kind = message[4];
    if kind > AUTHENTICATION_HEADER {
        return Err(Reject::UnknownAuthentication);
    }
    let Some(password) = expected else {
        return if kind == 0 { Ok(None) } else { Err(Reject::AuthenticationMismatch) };
    };
    if kind != SIMPLE_PASSWORD {
        return Err(Reject::AuthenticationMismatch);
    }
    if message[message.len() - AUTHENTICATION..] != password.0 {
        return Err(Reject::Password);
    }
    Ok(expected)
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&source.octets());
    bytes[4..8].copy_from_slice(&destination.octets());
    bytes[9] = PROTOCOL;
    bytes[10..].copy_from_slice(&(length as u16).to_be_bytes());
    bytes
}
