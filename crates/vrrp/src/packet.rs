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

use crate::auth::trailer::{Covered, Utc};
use crate::auth::{Guard, header, trailer};
use crate::config::{Authentication, Centis, Instance, OldChecksum, Password, Priority, Version, Vrid};
use crate::timers;
use evenkeel_wire::{Family, checksum, ipv4};
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

/// A packet of protocol 112, or of 51 with an advert inside, as a raw socket delivers it.
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
    /// The whole packet, where an Authentication Header stands between IPv4 header and message.
    pub protected: Option<&'a [u8]>,
    /// All that follows the header.
    pub message: &'a [u8],
    /// Length of `header` and `message` together, as the IPv4 header states it.
    stated_length: usize,
}

impl<'a> Datagram<'a> {
    /// `None` for what is no such packet.
    pub fn open(self) -> Option<Received<'a>> {
        match self {
            Datagram::V4(packet) => {
                let (header, inside) = ipv4::Header::parse(packet)?;
                let (protected, message) = match header.protocol {
                    PROTOCOL => (None, inside),
                    header::PROTOCOL => (Some(packet), inside.get(header::LENGTH..)?),
                    _ => return None,
                };
                Some(Received {
                    source: header.source.into(),
                    destination: header.destination.into(),
                    ttl: header.ttl,
                    header: &packet[..packet.len() - inside.len()],
                    protected,
                    message,
                    stated_length: header.total_length.into(),
                })
            }
            Datagram::V6 { source, destination, hop_limit, message } => Some(Received {
                source: source.into(),
                destination: destination.into(),
                ttl: hop_limit,
                header: &[],
                protected: None,
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
pub struct Advert<Addresses = Vec<IpAddr>> {
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
    pub addresses: Addresses,
    /// Version 2 simple password. Over IPv6 an advert only says that there is one.
    pub password: Option<Password>,
}

/// An advertisement as it was received: its addresses stay in the packet.
pub type Heard<'a> = Advert<Listed<'a>>;

/// The addresses in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    family: Family,
    /// As many as there are addresses, times the length of one.
    bytes: &'a [u8],
}

impl<'a> Listed<'a> {
    /// How many they are.
    pub fn len(self) -> usize {
        self.bytes.len() / address_length(self.family)
    }

    /// Whether an advert names none.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let address = move |octets: &[u8]| match self.family {
            Family::V4 => octets.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
            Family::V6 => octets.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
        };
        self.bytes.chunks_exact(address_length(self.family)).filter_map(address)
    }
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
    /// Message and a pseudo header with the multicast group in it, though the packet goes to a peer: keepalived before
    /// 1.3.7.
    WithGroup(Ipv4Addr),
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
    /// The owner is configured not to listen.
    #[error("adverts are ignored here")]
    Ignored,
    /// Not from a peer, and only peers count.
    #[error("the sender is no configured peer")]
    Stranger,
    /// From a peer, with a TTL that it may not have.
    #[error("TTL is not within the limits of this peer")]
    PeerTtl,
    /// `auth_hmac`.
    #[error("{0}")]
    Trailer(trailer::Refusal),
    /// The Authentication Header.
    #[error("{0}")]
    Header(header::Refusal),
}

impl<'a> Heard<'a> {
    /// Reads a packet, with keepalived's checks in keepalived's order.
    ///
    /// One difference: what length is right is decided by the packet's version, not by ours, so that a peer of the
    /// other version is counted as that and not as a wrong length.
    ///
    /// `guard` keeps what has to be remembered of one advert for the next. What was well signed is remembered whatever
    /// later checks say.
    pub fn parse(received: &Received<'a>, config: &Instance, guard: &mut Guard, now: Utc) -> Result<Self, Reject> {
        let Received { source, destination, ttl, header, protected, message, stated_length } = *received;
        let authentication = &config.authentication;
        let is_header_wanted = matches!(authentication, Authentication::Header(_));
        if protected.is_some() != is_header_wanted {
            return Err(Reject::AuthenticationMismatch);
        }
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
        let outer = header.len() + if protected.is_some() { header::LENGTH } else { 0 };
        let trailer = match authentication {
            Authentication::Hmac(_) => {
                message.get(length..).and_then(|rest| <&[u8; trailer::LENGTH]>::try_from(rest).ok())
            }
            Authentication::None | Authentication::Password(_) | Authentication::Header(_) => None,
        };
        let whole = length + trailer.map_or(0, |trailer| trailer.len());
        if !is_length(outer + message.len(), outer + whole) {
            return Err(Reject::Length);
        }
        if !config.is_unicast() && ttl != TTL {
            return Err(Reject::Ttl);
        }
        if version != Some(config.version) {
            return Err(Reject::Version);
        }
        if message[1] != config.vrid.get() {
            return Err(Reject::Vrid);
        }
        let message = &message[..length];
        if let Authentication::Hmac(hmac) = authentication {
            let covered = Covered { source, version: config.version, vrid: config.vrid, message };
            guard.check_trailer(hmac, now, &covered, trailer, &config.peers).map_err(Reject::Trailer)?;
        }
        let password = match config.version {
            Version::V2 => check_authentication(message, family, config.password(), is_header_wanted)?,
            Version::V3 => None,
        };
        if let (Authentication::Header(password), Some(packet)) = (authentication, protected) {
            let checked = header::verify(packet, header.len(), *password, &mut guard.header);
            checked.map_err(Reject::Header)?;
        }
        let (interval, is_wanted) = match config.version {
            Version::V2 => {
                let is_ours = message[5] == timers::wire_seconds(config.advert_interval);
                (Centis(u16::from(message[5]) * 100), is_ours)
            }
            Version::V3 => {
                let interval = Centis(u16::from_be_bytes([message[4] & 0x0f, message[5]]));
                (interval, interval.0 != 0)
            }
        };
        if !is_wanted {
            return Err(Reject::Interval);
        }
        if message[0] & 0x0f != ADVERTISEMENT {
            return Err(Reject::Type);
        }
        if stated_length != outer + whole {
            return Err(Reject::Length);
        }
        check_sum(source, destination, message, config, guard)?;
        if destination.is_multicast() == config.is_unicast() {
            return Err(Reject::Destination);
        }
        if config.owner_ignores_adverts && config.priority == Priority::OWNER && !guard.heeds_all {
            return Err(Reject::Ignored);
        }
        check_peer(source, ttl, config)?;
        Ok(Advert {
            source,
            destination,
            ttl,
            version: config.version,
            vrid: config.vrid,
            priority: message[2],
            interval,
            addresses: Listed { family, bytes: &message[FIXED..FIXED + address_length(family) * count] },
            password,
        })
    }

    /// The same with addresses of its own.
    pub fn into_owned(self) -> Advert {
        let Advert { source, destination, ttl, version, vrid, priority, interval, addresses, password } = self;
        let addresses = addresses.iter().collect();
        Advert { source, destination, ttl, version, vrid, priority, interval, addresses, password }
    }
}

impl Advert {
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
            (Version::V3, Checksum::WithGroup(group)) => {
                checksum::internet(&[&pseudo_header(source, group, length), message])
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

/// Exact, or padded to the least Ethernet frame: 46 less a multiple of 4 leaves 2 modulo 4, and VLAN tags of four
/// bytes do not change that (keepalived, observed).
fn is_length(actual: usize, expected: usize) -> bool {
    let Some(surplus) = actual.checked_sub(expected) else { return false };
    surplus == 0 || expected < MIN_ETHERNET_PAYLOAD && surplus % 4 == 2
}

/// Version 2's own fields: the type, and the password where there is one.
fn check_authentication(
    message: &[u8],
    family: Family,
    expected: Option<Password>,
    is_header_wanted: bool,
) -> Result<Option<Password>, Reject> {
    let kind = message[4];
    if kind > AUTHENTICATION_HEADER {
        return Err(Reject::UnknownAuthentication);
    }
    let wanted = match expected {
        Some(_) => SIMPLE_PASSWORD,
        None if is_header_wanted => AUTHENTICATION_HEADER,
        None => 0,
    };
    if kind != wanted {
        return Err(Reject::AuthenticationMismatch);
    }
    // Over IPv6 only the type says that there is a password.
    if family == Family::V4 && expected.is_some_and(|password| message[message.len() - AUTHENTICATION..] != password.0)
    {
        return Err(Reject::Password);
    }
    Ok(expected)
}

fn check_sum(
    source: IpAddr,
    destination: IpAddr,
    message: &[u8],
    config: &Instance,
    guard: &mut Guard,
) -> Result<(), Reject> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else {
        // The kernel has looked.
        return Ok(());
    };
    let with_destination =
        |destination| checksum::internet(&[&pseudo_header(source, destination, message.len()), message]);
    let sum = match (config.version, checksum_of(config, guard.has_old_checksum)) {
        (Version::V2, _) => checksum::internet(&[message]),
        (Version::V3, Checksum::MessageOnly) => 0,
        // Once the old form is in use it is the only one (keepalived, observed).
        (Version::V3, Checksum::WithGroup(group)) => with_destination(group),
        (Version::V3, Checksum::WithPseudoHeader) => match (with_destination(destination), config.group) {
            (0, _) => 0,
            (_, IpAddr::V4(group)) if config.is_unicast() && config.old_checksum == OldChecksum::Learned => {
                let sum = with_destination(group);
                guard.has_old_checksum = sum == 0;
                sum
            }
            (sum, _) => sum,
        },
    };
    if sum == 0 { Ok(()) } else { Err(Reject::Checksum) }
}

/// A peer that limits the TTL makes its whole instance look at senders, as `check_unicast_src` does.
fn check_peer(source: IpAddr, ttl: u8, config: &Instance) -> Result<(), Reject> {
    let has_limit = config.peers.iter().any(|peer| (peer.min_ttl, peer.max_ttl) != (0, u8::MAX));
    if !config.check_unicast_source && !has_limit {
        return Ok(());
    }
    let Some(peer) = config.peers.iter().find(|peer| peer.address == source) else {
        return if config.is_unicast() { Err(Reject::Stranger) } else { Ok(()) };
    };
    if (peer.min_ttl..=peer.max_ttl).contains(&ttl) { Ok(()) } else { Err(Reject::PeerTtl) }
}

/// What version 3 checksums of an instance cover over IPv4.
pub(crate) fn checksum_of(config: &Instance, has_old_checksum: bool) -> Checksum {
    let is_old = match config.old_checksum {
        OldChecksum::Always => config.is_unicast(),
        OldChecksum::Learned => config.is_unicast() && has_old_checksum,
        OldChecksum::Never => false,
    };
    match config.group {
        _ if config.v3_checksum_as_v2 => Checksum::MessageOnly,
        IpAddr::V4(group) if is_old => Checksum::WithGroup(group),
        IpAddr::V4(_) | IpAddr::V6(_) => Checksum::WithPseudoHeader,
    }
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&source.octets());
    bytes[4..8].copy_from_slice(&destination.octets());
    bytes[9] = PROTOCOL;
    bytes[10..].copy_from_slice(&(length as u16).to_be_bytes());
    bytes
}
