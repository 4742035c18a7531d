//! A destination of the table as an entry of the program's map, and back; and the services that can be.

use super::network::Path;
use super::rings;
use crate::Error;
use evenkeel_balance::table::{
    Destination, DestinationKey, Forward, Persistence, Protocol, Scheduler, Service, ServiceFlags, ServiceKey, Tunnel,
    TunnelChecksum,
};
use evenkeel_wire::Family;
use evenkeel_xdp::abi;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroU32;

const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const GUE_HEADERS: u32 = 12;
const GRE_HEADER: u32 = 4;

/// Words for a service in errors and notes: `tcp 192.0.2.1:80`.
pub(super) fn name(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Mark { mark, .. } => format!("mark {mark}"),
        ServiceKey::Address { protocol, address, port } => {
            let protocol = match protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Sctp => "sctp",
            };
            format!("{protocol} {}", std::net::SocketAddr::new(*address, *port))
        }
    }
}

fn refused(what: String, why: &str) -> Error {
    Error::new(what, io::Error::new(io::ErrorKind::Unsupported, why))
}

/// The program's key for a service, if it can have one.
pub(super) fn service_key(key: &ServiceKey) -> Result<abi::ServiceKey, Error> {
    let ServiceKey::Address { protocol, address, port } = key else {
        return Err(refused(
            format!("balance {}", name(key)),
            "packets have no mark yet where the XDP plane sees them",
        ));
    };
    Ok(abi::ServiceKey {
        address: (*address).into(),
        port: (*port).into(),
        protocol: protocol.number(),
        family: family(*address),
    })
}

pub(super) fn table_key(key: &abi::ServiceKey) -> Option<ServiceKey> {
    let protocol = match key.protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        _ => return None,
    };
    Some(ServiceKey::Address { protocol, address: key.address.ip(), port: key.port.into() })
}

fn family(address: IpAddr) -> u8 {
    match Family::of(address) {
        Family::V4 => abi::FAMILY_V4,
        Family::V6 => abi::FAMILY_V6,
    }
}

/// The program's entry for a service.
pub(super) fn service(id: u32, key: &ServiceKey, service: &Service) -> Result<abi::Service, Error> {
    let (choice, _) = rings::choice(service.scheduler);
    let hashes = matches!(service.scheduler, Scheduler::Sh | Scheduler::Mh);
    let mut flags = 0;
    for (set, flag) in [
        (service.flags.one_packet, abi::SERVICE_ONE_PACKET),
        (hashes && service.flags.scheduler_1, abi::SERVICE_FALLBACK),
        (hashes && service.flags.scheduler_2, abi::SERVICE_HASH_PORT),
    ] {
        flags |= if set { flag } else { 0 };
    }
    let (mut persistence, mut prefix) = (0, 0);
    if let Some(wanted) = &service.persistence {
        if let Some(engine) = &wanted.engine {
            let what = format!("keep clients of {} by {engine}", name(key));
            return Err(refused(what, "the XDP plane has no persistence engines"));
        }
        persistence = wanted.timeout.get();
        prefix = if key.family() == Family::V4 { wanted.prefix.min(32) + 96 } else { wanted.prefix.min(128) };
    }
    let bits =
        [service.flags.one_packet, service.flags.scheduler_1, service.flags.scheduler_2, service.flags.scheduler_3];
    Ok(abi::Service {
        id,
        flags,
        choice: choice as u8,
        scheduler: Scheduler::ALL.iter().position(|one| *one == service.scheduler).unwrap_or_default() as u8,
        prefix,
        scheduler_flags: bits.iter().zip(0..).map(|(set, bit)| u8::from(*set) << bit).sum(),
        persistence,
    })
}

/// The service that an entry was made from.
pub(super) fn table_service(key: &ServiceKey, entry: &abi::Service) -> Service {
    let bit = |bit: u8| entry.scheduler_flags >> bit & 1 == 1;
    let mapped = if key.family() == Family::V4 { 96 } else { 0 };
    Service {
        scheduler: Scheduler::ALL.get(usize::from(entry.scheduler)).copied().unwrap_or(Scheduler::Mh),
        flags: ServiceFlags { one_packet: bit(0), scheduler_1: bit(1), scheduler_2: bit(2), scheduler_3: bit(3) },
        persistence: NonZeroU32::new(entry.persistence).map(|timeout| Persistence {
            timeout,
            prefix: entry.prefix.saturating_sub(mapped),
            engine: None,
        }),
    }
}

/// Whether the program can send packets of the service to the server this way.
pub(super) fn check(key: &ServiceKey, server: &DestinationKey, forward: Forward) -> Result<(), Error> {
    let what = || format!("forward {} to {}", name(key), server.address);
    let same_family = key.family() == Family::of(server.address);
    let is_sctp = matches!(key, ServiceKey::Address { protocol: Protocol::Sctp, .. });
    match forward {
        Forward::Masquerade if is_sctp => Err(refused(what(), "the XDP plane does not translate SCTP")),
        Forward::Masquerade | Forward::Direct if !same_family => {
            Err(refused(what(), "the server has an address of another family, which only a tunnel reaches"))
        }
        Forward::Tunnel(Tunnel::Gue { checksum, .. } | Tunnel::Gre { checksum })
            if checksum != TunnelChecksum::Absent =>
        {
            Err(refused(what(), "the XDP plane makes no checksums for tunnels"))
        }
        Forward::Masquerade | Forward::Direct | Forward::Tunnel(_) | Forward::Local => Ok(()),
    }
}

/// The program's entry for a server.
pub(super) fn server(service: u32, key: &DestinationKey, destination: &Destination, path: &Path) -> abi::Server {
    let mut entry = abi::Server {
        service,
        weight: destination.weight,
        upper: destination.upper_threshold,
        lower: destination.lower_threshold,
        address: key.address.into(),
        port: key.port.into(),
        family: family(key.address),
        ..abi::Server::default()
    };
    let outer = if key.address.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER };
    let overhead = match destination.forward {
        Forward::Masquerade => 0,
        Forward::Direct | Forward::Local => 0,
        Forward::Tunnel(Tunnel::Ipip) => outer,
        Forward::Tunnel(Tunnel::Gue { .. }) => outer + GUE_HEADERS,
        Forward::Tunnel(Tunnel::Gre { .. }) => outer + GRE_HEADER,
    };
    entry.method = match destination.forward {
        Forward::Masquerade => abi::METHOD_NAT,
        Forward::Direct | Forward::Local => abi::METHOD_DIRECT,
        Forward::Tunnel(Tunnel::Ipip) => abi::METHOD_IPIP,
        Forward::Tunnel(Tunnel::Gue { port, .. }) => {
            entry.tunnel_port = port.into();
            abi::METHOD_GUE
        }
        Forward::Tunnel(Tunnel::Gre { .. }) => abi::METHOD_GRE,
    };
    match path {
        Path::Local => entry.flags = abi::SERVER_LOCAL,
        Path::None(_) => {}
        Path::Out(out) => {
            entry.flags = abi::SERVER_REACHABLE;
            entry.ifindex = out.interface;
            entry.mac = out.mac.0;
            entry.source_mac = out.source_mac.0;
            entry.mtu = out.mtu.saturating_sub(overhead);
            // Without a source there is no outer packet.
            match out.source {
                Some(source) => entry.source = source.into(),
                None if overhead > 0 => entry.flags = 0,
                None => {}
            }
        }
    }
    entry
}

/// The destination that an entry was made from.
pub(super) fn table_server(entry: &abi::Server) -> Option<(DestinationKey, Destination)> {
    let checksum = TunnelChecksum::Absent;
    let forward = match entry.method {
        abi::METHOD_DIRECT => Forward::Direct,
        abi::METHOD_NAT => Forward::Masquerade,
        abi::METHOD_IPIP => Forward::Tunnel(Tunnel::Ipip),
        abi::METHOD_GUE => Forward::Tunnel(Tunnel::Gue { port: entry.tunnel_port.into(), checksum }),
        abi::METHOD_GRE => Forward::Tunnel(Tunnel::Gre { checksum }),
        _ => return None,
    };
    let key = DestinationKey { address: entry.address.ip(), port: entry.port.into() };
    let destination =
        Destination { weight: entry.weight, forward, upper_threshold: entry.upper, lower_threshold: entry.lower };
    Some((key, destination))
}
