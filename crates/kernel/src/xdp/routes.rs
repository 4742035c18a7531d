//! How to get to a server: route, neighbour, and the interface's own address.
//!
//! The program could ask the kernel for each packet (`bpf_fib_lookup`), but that answers only where forwarding is switched
//! on, which a director does not need, and it asks nobody for a hardware address that is not known yet. So the plane
//! looks routes up, lets the kernel resolve neighbours (`NTF_USE`, as if a packet were going there) and writes what it
//! learns beside the server.

use crate::Error;
use crate::error::During;
use crate::netlink::message::{Message, attributes, text, u32_at};
use crate::netlink::socket::{ACK, REQUEST, ROUTE, Socket};
use crate::netlink::{Interface, Netlink};
use evenkeel_wire::Mac;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

const GET_LINK: u16 = 18;
const GET_ROUTE: u16 = 26;
const NEW_ROUTE: u16 = 24;
const NEW_NEIGHBOUR: u16 = 28;
const GET_NEIGHBOUR: u16 = 30;
const CREATE: u16 = 0x400;
const REPLACE: u16 = 0x100;

const LINK_FIXED: usize = 16;
const ROUTE_FIXED: usize = 12;
const NEIGHBOUR_FIXED: usize = 12;

const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const RTA_DESTINATION: u16 = 1;
const RTA_INTERFACE: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFERRED_SOURCE: u16 = 7;
/// A gateway of another family than the destination.
const RTA_VIA: u16 = 18;
const NDA_DESTINATION: u16 = 1;
const NDA_MAC: u16 = 2;

/// The destination is this host.
const TYPE_LOCAL: u8 = 2;
/// Asks the kernel to find the neighbour out.
const NTF_USE: u8 = 1;
/// States in which the hardware address is known: reachable, stale, delay, probe, no ARP, permanent.
const KNOWN: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
/// States in which nobody needs to ask.
const FRESH: u16 = 0x02 | 0x40 | 0x80;

/// Where packets to an address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// This host.
    Local,
    /// Out of an interface, to the next hop.
    Via {
        interface: u32,
        next_hop: IpAddr,
        /// What the kernel would put as source, when it says.
        source: Option<IpAddr>,
    },
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbour {
    pub(super) mac: Mac,
    /// Heard of lately.
    pub(super) fresh: bool,
}

/// Questions about routes and neighbours, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Routes {
    socket: Socket,
    netlink: Netlink,
}

impl Routes {
    pub(super) fn open() -> Result<Self, Error> {
        let socket = Socket::open(ROUTE).during(|| "open a netlink socket")?;
        Ok(Routes { socket, netlink: Netlink::open()? })
    }

    /// All interfaces by their numbers.
    pub(super) fn interfaces(&mut self) -> Result<HashMap<u32, Interface>, Error> {
        Ok(self.netlink.interfaces()?.into_iter().map(|interface| (interface.index, interface)).collect())
    }

    /// The interface of this name.
    pub(super) fn interface(&mut self, name: &str) -> Result<Interface, Error> {
        self.netlink.interface(name)
    }

    /// What an interface is, where it is no hardware: `veth`, `bond`.
    pub(super) fn kind(&mut self, interface: &str) -> Result<Option<String>, Error> {
        let index = self.netlink.interface(interface)?.index;
        let kinds = self.socket.dump(GET_LINK, &[0; LINK_FIXED], |message| {
            let found = u32_at(message.payload, 4)? == index;
            let information = attributes(message.payload, LINK_FIXED).find(|(kind, _)| *kind == IFLA_LINKINFO)?.1;
            let kind = attributes(information, 0).find(|(kind, _)| *kind == IFLA_INFO_KIND)?.1;
            found.then(|| text(kind))
        });
        Ok(kinds.during(|| format!("look at interface {interface}"))?.pop())
    }

    /// Where the kernel would send packets for `address`; nothing when it has no route.
    pub(super) fn route(&mut self, address: IpAddr) -> Result<Option<Route>, Error> {
        let (family, bytes) = family_and_bytes(address);
        let mut fixed = [0; ROUTE_FIXED];
        fixed[0] = family;
        fixed[1] = if address.is_ipv4() { 32 } else { 128 };
        let request = Message::new(GET_ROUTE, REQUEST | ACK, &fixed).attribute(RTA_DESTINATION, &bytes);
        let answer =
            self.socket.ask(&request, |message| (message.kind == NEW_ROUTE).then(|| route(address, message.payload)));
        match answer {
            Ok(found) => Ok(found.flatten()),
            Err(error) if is_unreachable(&error) => Ok(None),
            Err(error) => Err(Error::new(format!("look up the route to {address}"), error)),
        }
    }

    /// Every neighbour whose hardware address is known.
    pub(super) fn neighbours(&mut self) -> Result<HashMap<(u32, IpAddr), Neighbour>, Error> {
        let entries = self.socket.dump(GET_NEIGHBOUR, &[0; NEIGHBOUR_FIXED], |message| neighbour(message.payload));
        Ok(entries.during(|| "list neighbours")?.into_iter().collect())
    }

    /// Lets the kernel find neighbours out. Failures show as neighbours that stay unknown.
    pub(super) fn resolve(&mut self, neighbours: &[(u32, IpAddr)]) -> Result<(), Error> {
        let request = |(interface, address): &(u32, IpAddr)| {
            let (family, bytes) = family_and_bytes(*address);
            let mut fixed = [0; NEIGHBOUR_FIXED];
            fixed[0] = family;
            fixed[4..8].copy_from_slice(&interface.to_ne_bytes());
            fixed[10] = NTF_USE;
            Message::new(NEW_NEIGHBOUR, REQUEST | ACK | CREATE | REPLACE, &fixed).attribute(NDA_DESTINATION, &bytes)
        };
        let requests: Vec<Message> = neighbours.iter().map(request).collect();
        self.socket.requests(&requests).during(|| "resolve neighbours")?;
        Ok(())
    }
}

/// What the kernel says where there is no route: as a number, or as a kind when it has words to add.
fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable)
}

fn family_and_bytes(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET as u8, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6 as u8, address.octets().to_vec()),
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Reads `struct rtmsg`, whose byte 7 is the type, and its attributes.
fn route(destination: IpAddr, payload: &[u8]) -> Option<Route> {
    if *payload.get(7)? == TYPE_LOCAL {
        return Some(Route::Local);
    }
    let (mut interface, mut gateway, mut source) = (None, None, None);
    for (kind, value) in attributes(payload, ROUTE_FIXED) {
        match kind {
            RTA_INTERFACE => interface = u32_at(value, 0),
            RTA_GATEWAY => gateway = ip(value),
            RTA_VIA => gateway = value.get(2..).and_then(ip),
            RTA_PREFERRED_SOURCE => source = ip(value),
            _ => {}
        }
    }
    Some(Route::Via { interface: interface?, next_hop: gateway.unwrap_or(destination), source })
}

/// Reads `struct ndmsg`: `| family u8 | pad 3 | interface u32 | state u16 | flags u8 | type u8 |`.
fn neighbour(payload: &[u8]) -> Option<((u32, IpAddr), Neighbour)> {
    let interface = u32_at(payload, 4)?;
    let state = crate::netlink::message::u16_at(payload, 8)?;
    let (mut address, mut mac) = (None, None);
    for (kind, value) in attributes(payload, NEIGHBOUR_FIXED) {
        match kind {
            NDA_DESTINATION => address = ip(value),
            NDA_MAC => mac = value.try_into().ok().map(Mac),
            _ => {}
        }
    }
    (state & KNOWN != 0).then_some(((interface, address?), Neighbour { mac: mac?, fresh: state & FRESH != 0 }))
}
