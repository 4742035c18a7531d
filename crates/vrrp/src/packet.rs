//! Advertisements on the wire: whole IPv4 packets of protocol 112, or the inside of such IPv6 packets.
//!
//! ```text
//!  0           1      2          3        4                5                  6        8
//!  | ver|type  | vrid | priority | count  | auth type      | interval in s    | checksum | addresses | 8 bytes  |  v2
//!  | ver|type  | vrid | priority | count  | 4 reserved bits, interval in 10 ms | checksum | addresses |             v3
//! ```
//!
//! Version 2 always ends in its eight bytes of authentication, zeros when unused; but not over IPv6, where it is
//! keepalived's own (no RFC has it). IPv6 headers are the kernel's business, and so is the checksum over IPv6.

use crate::config::{Centis, Family, Password, Version, Vrid};
use crate::timers;
use evenkeel_wire::{checksum, ipv4};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IP protocol number of VRRP.
pub const PROTOCOL: u8 = 112;

/// The TTL or hop limit without which a multicast advert came through a router.
pub const TTL: u8 = 255;

const ADVERTISEMENT: u8 = 1;
const FIXED: usize = 8;
const CHECKSUM_AT: usize = 6;
const AUTHENTICATION: usize = 8;
const SIMPLE_PASSWORD: u8 = 1;
const AUTHENTICATION_HEADER: u8 = 2;

/// The least payload of an Ethernet frame: shorter packets are padded up to it.
const MIN_ETHERNET_PAYLOAD: usize = 46;

/// A packet of protocol 112 as a raw socket delivers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// IPv4: the whole packet.
    V4(&'a [u8]),
    /// IPv6: what is inside, and what the header said.
    V6 {
        /// Who sent it.
        source: Ipv6Addr,
        /// Multicast group, or an address of this node.
        destination: Ipv6Addr,
        /// As it was on arrival.
        hop_limit: u8,
        /// All that follows the header.
        message: &'a [u8],
    },
}

/// A packet of protocol 112 with its header read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// Multicast group, or an address of this node.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The bytes of the IPv4 header; none of an IPv6 header.
    pub header: &'a [u8],
    /// All that follows the header.
    pub message: &'a [u8],
    /// Length of `header` and `message` together, as the IPv4 header states it.
    stated_length: usize,
}

impl<'a> Datagram<'a> {
    /// `None` for what is no packet of protocol 112.
    pub fn open(self) -> Option<Received<'a>> {
        match self {
            Datagram::V4(packet) => {
                let (header, message) = ipv4::Header::parse(packet)?;
                (header.protocol == PROTOCOL).then_some(Received {
                    source: header.source.into(),
                    destination: header.destination.into(),
                    ttl: header.ttl,
                    header: &packet[..packet.len() - message.len()],
                    message,
                    stated_length: header.total_length.into(),
                })
            }
            Datagram::V6 { source, destination, hop_limit, message } => Some(Received {
                source: source.into(),
                destination: destination.into(),
                ttl: hop_limit,
                header: &[],
                message,
                stated_length: message.len(),
            }),
        }
    }
}

impl Received<'_> {
    /// The virtual router that a packet is about, by which it is given to an instance; `None` when it is too short to say.
    pub fn vrid(&self) -> Option<Vrid> {
        Vrid::new(*self.message.get(1)?)
    }
}

/// One advertisement with what matters of its IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Who sends it. The addresses have the same family.
    pub source: IpAddr,
    /// The multicast group, or a unicast peer.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
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
    pub addresses: Vec<IpAddr>,
    /// Version 2 simple password, in IPv4 only.
    pub password: Option<Password>,
}

/// What a version 3 checksum over IPv4 covers. That of version 2 is always over the message alone, that over IPv6 is the
/// kernel's business.
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

impl Advert {
    /// Reads a packet, with keepalived's checks in keepalived's order.
    ///
    /// One difference: what length is right is decided by the packet's version, not by ours, so that a peer of the
    /// other version is counted as that and not as a wrong length.
    pub fn parse(received: &Received, expected: &Expected) -> Result<Advert, Reject> {
        let Received { source, destination, ttl, header, message, stated_length } = *received;
        if message.len() < FIXED {
            return Err(Reject::Length);
        }
        let family = Family::of(source);
        let version = match message[0] >> 4 {
            2 => Some(Version::V2),
            3 => Some(Version::V3),
            _ => None,
        };
        let count = usize::from(message[3]);
        let length = version.map_or(message.len(), |version| message_length(version, family, count));
        if !is_length(header.len() + message.len(), header.len() + length) {
            return Err(Reject::Length);
        }
        if expected.cast == Cast::Multicast && ttl != TTL {
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
            Version::V2 => {
                let password = check_authentication(message, family, expected.password)?;
                (password, Centis(u16::from(message[5]) * 100))
            }
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
        if stated_length != header.len() + length {
            return Err(Reject::Length);
        }
        let sum = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => match (expected.version, expected.checksum) {
                (Version::V2, _) => checksum::internet(&[message]),
                (Version::V3, Checksum::WithPseudoHeader) => {
                    checksum::internet(&[&pseudo_header(source, destination, length), message])
                }
                (Version::V3, Checksum::MessageOnly) => 0,
            },
            // The kernel has looked.
            (IpAddr::V6(_), _) | (_, IpAddr::V6(_)) => 0,
        };
        if sum != 0 {
            return Err(Reject::Checksum);
        }
        if destination.is_multicast() != (expected.cast == Cast::Multicast) {
            return Err(Reject::Destination);
        }
        Ok(Advert {
            source,
            destination,
            ttl,
            version: expected.version,
            vrid: expected.vrid,
            priority: message[2],
            interval,
            addresses: addresses(family, &message[FIXED..FIXED + address_length(family) * count]),
            password,
        })
    }

    /// The bytes that [`Action::SendAdvert`](crate::Action) has: `id` is the number of an IPv4 packet. Addresses beyond
    /// the 255th have no place in it and are left out.
    pub fn build(&self, checksum: Checksum, id: u16) -> Vec<u8> {
        let count = self.addresses.len().min(usize::from(u8::MAX));
        let family = Family::of(self.source);
        let length = message_length(self.version, family, count);
        let mut packet = Vec::with_capacity(ipv4::MIN_HEADER + length);
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (self.source, self.destination) else {
            self.push_message(count, family, &mut packet);
            return packet;
        };
        let total_length = (ipv4::MIN_HEADER + length) as u16;
        let header = ipv4::Header { total_length, ttl: self.ttl, protocol: PROTOCOL, source, destination };
        packet.extend_from_slice(&header.build_control(id));
        self.push_message(count, family, &mut packet);
        let message = &packet[ipv4::MIN_HEADER..];
        let sum = match (self.version, checksum) {
            (Version::V2, _) | (Version::V3, Checksum::MessageOnly) => checksum::internet(&[message]),
            (Version::V3, Checksum::WithPseudoHeader) => {
                checksum::internet(&[&pseudo_header(source, destination, length), message])
            }
        };
        let at = ipv4::MIN_HEADER + CHECKSUM_AT;
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// The message with zeros for its checksum.
    fn push_message(&self, count: usize, family: Family, packet: &mut Vec<u8>) {
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
            match address {
                IpAddr::V4(address) => packet.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => packet.extend_from_slice(&address.octets()),
            }
        }
        if self.version == Version::V2 && family == Family::V4 {
            packet.extend_from_slice(&self.password.map_or([0; AUTHENTICATION], |password| password.0));
        }
    }
}

fn message_length(version: Version, family: Family, count: usize) -> usize {
    let authentication = match (version, family) {
        (Version::V2, Family::V4) => AUTHENTICATION,
        (Version::V2, Family::V6) | (Version::V3, _) => 0,
    };
    FIXED + address_length(family) * count + authentication
}

/// Bytes of an address.
fn address_length(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

fn addresses(family: Family, bytes: &[u8]) -> Vec<IpAddr> {
    match family {
        Family::V4 => bytes.as_chunks::<4>().0.iter().map(|octets| IpAddr::from(*octets)).collect(),
        Family::V6 => bytes.as_chunks::<16>().0.iter().map(|octets| IpAddr::from(*octets)).collect(),
    }
}

/// Exact, or padded to the least Ethernet frame: 46 less a multiple of 4 leaves 2 modulo 4, and VLAN tags of four
/// bytes do not change that (keepalived, observed).
fn is_length(actual: usize, expected: usize) -> bool {
    let Some(surplus) = actual.checked_sub(expected) else { return false };
    surplus == 0 || expected < MIN_ETHERNET_PAYLOAD && surplus % 4 == 2
}

fn check_authentication(
    message: &[u8],
    family: Family,
    expected: Option<Password>,
) -> Result<Option<Password>, Reject> {
    let kind = message[4];
    if kind > AUTHENTICATION_HEADER {
        return Err(Reject::UnknownAuthentication);
    }
    // Over IPv6 there is no room for one.
    let Some(password) = expected.filter(|_| family == Family::V4) else {
        return if kind == 0 { Ok(None) } else { Err(Reject::AuthenticationMismatch) };
    };
    if kind != SIMPLE_PASSWORD {
        return Err(Reject::AuthenticationMismatch);
    }
    if message[message.len() - AUTHENTICATION..] != password.0 {
        return Err(Reject::Password);
    }
    Ok(Some(password))
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&source.octets());
    bytes[4..8].copy_from_slice(&destination.octets());
    bytes[9] = PROTOCOL;
    bytes[10..].copy_from_slice(&(length as u16).to_be_bytes());
    bytes
}
