//! Services in the kernel's messages.

use super::counters::traffic;
use super::numbers::{attribute, flag, service as at};
use crate::netlink::message::{Message, attributes, text, u16_at, u32_at};
use evenkeel_balance::table::{Persistence, Protocol, Scheduler, Service, ServiceFlags, ServiceKey, Traffic};
use evenkeel_wire::Family;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

/// A service as the kernel lists it: also with what our table has no word for, such as a scheduler of another tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Which packets it takes.
    pub key: ServiceKey,
    /// The scheduler's name.
    pub scheduler: String,
    /// Flags of the service and its scheduler.
    pub flags: ServiceFlags,
    /// Persistence, when it is switched on.
    pub persistence: Option<PersistenceRecord>,
    /// Persistence engine; the kernel keeps one also where persistence is off.
    pub engine: Option<String>,
    /// Counters.
    pub traffic: Traffic,
}

/// Persistence as the kernel keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistenceRecord {
    /// Seconds.
    pub timeout: u32,
    /// Which of a client's addresses count as one.
    pub mask: Mask,
}

/// The part of a client's address that makes a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Of IPv4, any bits.
    V4(Ipv4Addr),
    /// Of IPv6, a prefix of this length.
    V6(u32),
}

impl Mask {
    /// One client is one group.
    pub fn whole(family: Family) -> Self {
        match family {
            Family::V4 => Mask::V4(Ipv4Addr::BROADCAST),
            Family::V6 => Mask::V6(128),
        }
    }

    /// The mask of a prefix; a longer one than the address has counts as the whole address.
    fn of_prefix(family: Family, length: u8) -> Self {
        match family {
            Family::V4 => {
                let zeros = 32u32.saturating_sub(u32::from(length));
                Mask::V4(Ipv4Addr::from(u32::MAX.checked_shl(zeros).unwrap_or(0)))
            }
            Family::V6 => Mask::V6(u32::from(length.clamp(1, 128))),
        }
    }

    /// Length of the prefix; of an IPv4 mask with holes that of the part before the first.
    fn prefix(self) -> u8 {
        match self {
            Mask::V4(mask) => mask.to_bits().leading_ones() as u8,
            Mask::V6(length) => u8::try_from(length).unwrap_or(128),
        }
    }

    /// As the kernel takes it: bytes of the address, or a number.
    fn bytes(self) -> [u8; 4] {
        match self {
            Mask::V4(mask) => mask.octets(),
            Mask::V6(length) => length.to_ne_bytes(),
        }
    }
}

impl ServiceRecord {
    /// A service of our table, as the kernel would list it.
    pub fn new(key: ServiceKey, service: &Service) -> Self {
        let persistence = service.persistence.as_ref().map(|persistence| PersistenceRecord {
            timeout: persistence.timeout.get(),
            mask: Mask::of_prefix(key.family(), persistence.prefix),
        });
        let engine = service.persistence.as_ref().and_then(|persistence| persistence.engine.clone());
        let scheduler = service.scheduler.name().to_owned();
        ServiceRecord { key, scheduler, flags: service.flags, persistence, engine, traffic: Traffic::default() }
    }

    /// As our table has it; `None` with a scheduler that it has no word for.
    pub fn service(&self) -> Option<Service> {
        let persistence = self.persistence.as_ref().map(|persistence| Persistence {
            timeout: NonZeroU32::new(persistence.timeout).unwrap_or(NonZeroU32::MIN),
            prefix: persistence.mask.prefix(),
            engine: self.engine.clone(),
        });
        Some(Service { scheduler: Scheduler::parse(&self.scheduler)?, flags: self.flags, persistence })
    }
}

/// Appends what says which service is meant.
pub(super) fn name(message: Message, key: &ServiceKey) -> Message {
    message.nest(attribute::SERVICE, |message| key_attributes(message, key))
}

/// Appends a whole service.
pub(super) fn describe(message: Message, record: &ServiceRecord) -> Message {
    message.nest(attribute::SERVICE, |message| {
        let message = key_attributes(message, &record.key).text(at::SCHEDULER, &record.scheduler);
        let flags = [flag_bits(record).to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
        let persistence = record.persistence.as_ref();
        let timeout = persistence.map_or(0, |persistence| persistence.timeout);
        let mask = persistence.map_or(Mask::whole(record.key.family()), |persistence| persistence.mask);
        let message = message
            .attribute(at::FLAGS, &flags)
            .attribute(at::TIMEOUT, &timeout.to_ne_bytes())
            .attribute(at::NETMASK, &mask.bytes());
        match record.engine.as_deref() {
            Some(engine) => message.text(at::ENGINE, engine),
            None => message,
        }
    })
}

fn key_attributes(message: Message, key: &ServiceKey) -> Message {
    match *key {
        ServiceKey::Address { protocol, address, port } => message
            .attribute(at::FAMILY, &family_number(Family::of(address)).to_ne_bytes())
            .attribute(at::PROTOCOL, &u16::from(protocol.number()).to_ne_bytes())
            .attribute(at::ADDRESS, &address_bytes(address))
            .attribute(at::PORT, &port.to_be_bytes()),
        ServiceKey::Mark { family, mark } => message
            .attribute(at::FAMILY, &family_number(family).to_ne_bytes())
            .attribute(at::MARK, &mark.get().to_ne_bytes()),
    }
}

fn flag_bits(record: &ServiceRecord) -> u32 {
    let flags = record.flags;
    let bits = [
        (record.persistence.is_some(), flag::PERSISTENT),
        (flags.one_packet, flag::ONE_PACKET),
        (flags.scheduler_1, flag::SCHEDULER_1),
        (flags.scheduler_2, flag::SCHEDULER_2),
        (flags.scheduler_3, flag::SCHEDULER_3),
    ];
    bits.into_iter().filter(|(on, _)| *on).fold(0, |sum, (_, bit)| sum | bit)
}

/// A service from the attributes of a message.
pub(super) fn parse(message: &[u8]) -> Option<ServiceRecord> {
    let (_, fields) = attributes(message, 0).find(|&(kind, _)| kind == attribute::SERVICE)?;
    let (mut family, mut protocol, mut address, mut port, mut mark) = (None, None, None, 0, 0);
    let (mut scheduler, mut bits, mut timeout, mut mask, mut engine) = (None, 0, 0, None, None);
    let (mut narrow, mut wide) = (None, None);
    for (kind, value) in attributes(fields, 0) {
        match kind {
            at::FAMILY => family = parse_family(value),
            at::PROTOCOL => protocol = u16_at(value, 0),
            at::ADDRESS => address = Some(value),
            at::PORT => port = be16_at(value)?,
            at::MARK => mark = u32_at(value, 0)?,
            at::SCHEDULER => scheduler = Some(text(value)),
            at::FLAGS => bits = u32_at(value, 0)?,
            at::TIMEOUT => timeout = u32_at(value, 0)?,
            at::NETMASK => mask = Some(value),
            at::ENGINE => engine = Some(text(value)).filter(|name| !name.is_empty()),
            at::STATISTICS => narrow = Some(traffic(value)),
            at::STATISTICS_64 => wide = Some(traffic(value)),
            _ => {}
        }
    }
    let family = family?;
    let key = match NonZeroU32::new(mark) {
        Some(mark) => ServiceKey::Mark { family, mark },
        None => {
            let address = parse_address(family, address?)?;
            ServiceKey::Address { protocol: parse_protocol(protocol?)?, address, port }
        }
    };
    let flags = ServiceFlags {
        one_packet: bits & flag::ONE_PACKET != 0,
        scheduler_1: bits & flag::SCHEDULER_1 != 0,
        scheduler_2: bits & flag::SCHEDULER_2 != 0,
        scheduler_3: bits & flag::SCHEDULER_3 != 0,
    };
    let mask = mask.and_then(|mask| parse_mask(family, mask)).unwrap_or(Mask::whole(family));
    let persistence = (bits & flag::PERSISTENT != 0).then_some(PersistenceRecord { timeout, mask });
    let traffic = wide.or(narrow).unwrap_or_default();
    Some(ServiceRecord { key, scheduler: scheduler?, flags, persistence, engine, traffic })
}

fn parse_protocol(number: u16) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|protocol| u16::from(protocol.number()) == number)
}

fn parse_mask(family: Family, value: &[u8]) -> Option<Mask> {
    match family {
        Family::V4 => Some(Mask::V4(Ipv4Addr::from(value.first_chunk::<4>().copied()?))),
        Family::V6 => u32_at(value, 0).map(Mask::V6),
    }
}

/// `AF_INET` or `AF_INET6`.
pub(super) fn family_number(family: Family) -> u16 {
    match family {
        Family::V4 => libc::AF_INET as u16,
        Family::V6 => libc::AF_INET6 as u16,
    }
}

pub(super) fn parse_family(value: &[u8]) -> Option<Family> {
    let number = u16_at(value, 0)?;
    [Family::V4, Family::V6].into_iter().find(|family| family_number(*family) == number)
}

/// `union nf_inet_addr`: an IPv4 address in the first of its sixteen bytes.
pub(super) fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

pub(super) fn parse_address(family: Family, value: &[u8]) -> Option<IpAddr> {
    match family {
        Family::V4 => Some(Ipv4Addr::from(value.first_chunk::<4>().copied()?).into()),
        Family::V6 => Some(Ipv6Addr::from(value.first_chunk::<16>().copied()?).into()),
    }
}

/// A port, in the order of the wire.
pub(super) fn be16_at(value: &[u8]) -> Option<u16> {
    value.first_chunk::<2>().copied().map(u16::from_be_bytes)
}
