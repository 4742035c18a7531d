//! The sockets of each interface: adverts of both families, ARP and neighbour discovery.

use super::watch::{Socket, Watch};
use evenkeel_kernel::Error;
use evenkeel_kernel::arp_socket::ArpSocket;
use evenkeel_kernel::ndp_socket::NdpSocket;
use evenkeel_kernel::vrrp_socket::{self, Batch, Packet, VrrpSocket};
use evenkeel_vrrp::config::Authentication;
use evenkeel_vrrp::packet::Datagram;
use evenkeel_vrrp::{Config, Event, Interface};
use evenkeel_wire::arp::Arp;
use evenkeel_wire::ndp::Advertisement;
use evenkeel_wire::{Family, Mac, Prefix};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// By the indices of the interfaces.
pub struct Sockets {
    links: BTreeMap<u32, Link>,
    /// The adverts that were read last.
    batch: Batch,
}

struct Link {
    plan: Plan,
    v4: Option<VrrpSocket>,
    v6: Option<VrrpSocket>,
    protected: Option<VrrpSocket>,
    arp: Option<ArpSocket>,
    ndp: Option<NdpSocket>,
}

/// What the configuration wants of an interface: a reload may want it otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    name: String,
    /// Whether there are virtual routers of IPv4, and the groups they listen to; none when all have peers.
    v4: Option<Vec<Ipv4Addr>>,
    v6: Option<Vec<Ipv6Addr>>,
    /// Whether adverts come from the address of the interface below.
    borrows_source: bool,
    /// Whether some of IPv4 want an Authentication Header.
    authentication_header: bool,
    /// Whether somebody else may speak for IPv4 addresses that are held there, and for IPv6 ones.
    arp: bool,
    ndp: bool,
}

impl Sockets {
    pub fn new() -> Self {
        Sockets { links: BTreeMap::new(), batch: Batch::new() }
    }

    /// Sockets for each interface in use that exists; those of interfaces that are gone are closed.
    pub fn open(&mut self, config: &Config, interfaces: &BTreeMap<u32, Interface>, watch: &Watch) {
        let mut plans = plans(config);
        // What has no interface is in no list of them, and always there.
        let anywhere = (0, String::new(), Mac::default());
        let of_interface = |interface: &Interface| (interface.index, interface.name.clone(), interface.mac);
        let places: Vec<_> = std::iter::once(anywhere).chain(interfaces.values().map(of_interface)).collect();
        self.links.retain(|index, link| {
            let is_there = places.iter().any(|(place, name, _)| place == index && *name == link.plan.name);
            is_there && plans.get(&link.plan.name) == Some(&link.plan)
        });
        for (index, name, mac) in places {
            if self.links.contains_key(&index) {
                continue;
            }
            let Some(plan) = plans.remove(&name) else { continue };
            match open(plan, index, mac, watch) {
                Ok(link) => drop(self.links.insert(index, link)),
                Err(error) => tracing::error!(target: "vrrp", "{error}"),
            }
        }
    }

    /// Reads a batch of packets of protocol 112, or of 51, and says how many: [`packet`](Self::packet) has them.
    pub fn receive_packets(&mut self, interface: u32, socket: Socket) -> usize {
        let Some(link) = self.links.get(&interface) else { return 0 };
        let socket = match socket {
            Socket::Adverts(family) => link.adverts(family),
            Socket::Protected => link.protected.as_ref(),
            Socket::Neighbours(_) => None,
        };
        let Some(socket) = socket else { return 0 };
        match socket.receive(&mut self.batch) {
            Ok(()) => self.batch.len(),
            Err(error) => {
                tracing::warn!(target: "vrrp", "{error}");
                0
            }
        }
    }

    /// A packet of the last batch.
    pub fn packet(&self, at: usize) -> Option<Datagram<'_>> {
        Some(match self.batch.packet(at)? {
            Packet::V4(bytes) => Datagram::V4(bytes),
            Packet::V6(header, message) => Datagram::V6 {
                source: header.source,
                destination: header.destination,
                hop_limit: header.hop_limit,
                message,
            },
        })
    }

    /// The interfaces that have sockets.
    pub fn interfaces(&self) -> impl Iterator<Item = u32> {
        self.links.keys().copied()
    }

    /// Whether this interface has sockets.
    pub fn has(&self, interface: u32) -> bool {
        self.links.contains_key(&interface)
    }

    /// What somebody says about an address, as if it had come in on the interface that is `told`.
    pub fn receive_neighbour(&self, interface: u32, told: u32, family: Family) -> Option<Event> {
        let (link, interface) = (self.links.get(&interface)?, told);
        let received = match family {
            Family::V4 => link.arp.as_ref()?.receive().map(|arp| Some(Event::Arp { interface, arp: arp? })),
            Family::V6 => {
                link.ndp.as_ref()?.receive().map(|advert| Some(Event::Neighbour { interface, advert: advert? }))
            }
        };
        received.unwrap_or_else(|error| {
            tracing::warn!(target: "vrrp", "{error}");
            None
        })
    }

    pub fn send_advert(
        &self,
        interface: u32,
        (source, destination): (IpAddr, IpAddr),
        ttl: u8,
        packet: &[u8],
    ) -> Result<(), String> {
        let socket = self.links.get(&interface).and_then(|link| link.adverts(Family::of(destination)));
        let Some(socket) = socket else { return Err(format!("no socket on interface {interface}")) };
        socket.send(packet, source, destination, ttl).map_err(|error| {
            tracing::warn!(target: "vrrp", "{error}");
            error.to_string()
        })
    }

    /// Tells everybody on the link that an address is here.
    pub fn announce(&self, interface: &Interface, address: IpAddr) -> Result<(), Error> {
        let (link, mac) = (self.links.get(&interface.index), interface.mac);
        if mac == Mac::default() {
            // A link without Ethernet has nobody to tell.
            return Ok(());
        }
        match address {
            IpAddr::V4(address) => {
                let arp = Arp::gratuitous(mac, address);
                match link.and_then(|link| link.arp.as_ref()) {
                    Some(socket) => socket.send(&arp),
                    // An address on an interface where no virtual router speaks.
                    None => ArpSocket::open(interface.index)?.send(&arp),
                }
            }
            IpAddr::V6(address) => {
                let advert = Advertisement::unsolicited(mac, address, forwards(&interface.name));
                match link.and_then(|link| link.ndp.as_ref()) {
                    Some(socket) => socket.announce(&advert),
                    None => NdpSocket::open(&interface.name, interface.index)?.announce(&advert),
                }
            }
        }
    }

    /// Asks whether anybody else has an address.
    pub fn probe(&self, interface: &Interface, source: IpAddr, address: IpAddr) -> Result<(), Error> {
        let Some(link) = self.links.get(&interface.index) else { return Ok(()) };
        match (source, address, &link.arp, &link.ndp) {
            (_, IpAddr::V4(address), Some(socket), _) => socket.send(&Arp::probe(interface.mac, address)),
            (IpAddr::V6(source), IpAddr::V6(address), _, Some(socket)) => socket.ask(source, interface.mac, address),
            // A link without Ethernet has nobody to ask.
            (_, IpAddr::V4(_), None, _) | (_, IpAddr::V6(_), _, None) | (IpAddr::V4(_), IpAddr::V6(_), ..) => Ok(()),
        }
    }
}

impl Link {
    fn adverts(&self, family: Family) -> Option<&VrrpSocket> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }
}

/// By the names of the interfaces.
fn plans(config: &Config) -> BTreeMap<String, Plan> {
    let mut plans = BTreeMap::<String, Plan>::new();
    for instance in &config.instances {
        let name = instance.speaks_on();
        let plan = plans.entry(name.to_owned()).or_insert_with(|| Plan { name: name.to_owned(), ..Plan::default() });
        match instance.group {
            IpAddr::V4(group) => join(plan.v4.get_or_insert_default(), group, instance.is_unicast()),
            IpAddr::V6(group) => join(plan.v6.get_or_insert_default(), group, instance.is_unicast()),
        }
        plan.borrows_source |= instance.own_link.as_ref().is_some_and(|link| link.name == name);
        plan.authentication_header |= matches!(instance.authentication, Authentication::Header(_));
        for address in instance.addresses.iter().chain(&instance.excluded).filter(|address| address.device.is_none()) {
            let is_v4 = address.prefix.address().is_ipv4();
            plan.arp |= is_v4;
            plan.ndp |= !is_v4;
        }
    }
    plans
}

fn join<A: PartialEq>(groups: &mut Vec<A>, group: A, unicast: bool) {
    if !unicast && !groups.contains(&group) {
        groups.push(group);
    }
}

fn open(plan: Plan, index: u32, mac: Mac, watch: &Watch) -> Result<Link, Error> {
    let name = &plan.name;
    let place = || match index {
        0 => vrrp_socket::Interface::Any,
        _ => vrrp_socket::Interface::One(name.clone(), index),
    };
    let v4 = plan.v4.as_ref().map(|groups| VrrpSocket::open_v4(place(), groups)).transpose()?;
    let v6 = plan.v6.as_ref().map(|groups| VrrpSocket::open_v6(place(), groups)).transpose()?;
    if let Some(socket) = v6.as_ref().filter(|_| plan.borrows_source) {
        socket.borrow_source()?;
    }
    let protected = plan.v4.as_ref().filter(|_| plan.authentication_header);
    let protected = protected.map(|groups| VrrpSocket::open_protected(place(), groups)).transpose()?;
    if let Some(socket) = &protected {
        watch.add_patient(socket, Socket::Protected.of(index))?;
    }
    // A link without Ethernet has neither ARP nor anything like it, and needs none.
    let has_neighbours = mac != Mac::default();
    let arp = (has_neighbours && plan.arp).then(|| ArpSocket::open(index)).transpose()?;
    let ndp = (has_neighbours && plan.ndp).then(|| NdpSocket::open(name, index)).transpose()?;
    if let Some(socket) = &v4 {
        watch.add_patient(socket, Socket::Adverts(Family::V4).of(index))?;
    }
    if let Some(socket) = &v6 {
        watch.add_patient(socket, Socket::Adverts(Family::V6).of(index))?;
    }
    if let Some(socket) = &arp {
        watch.add_patient(socket, Socket::Neighbours(Family::V4).of(index))?;
    }
    if let Some(socket) = &ndp {
        watch.add_patient(socket, Socket::Neighbours(Family::V6).of(index))?;
    }
    Ok(Link { plan, v4, v6, protected, arp, ndp })
}

/// Whether this host is a router on an interface, as its neighbour advertisements say (RFC 4861 4.4).
fn forwards(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    fs::read(path).is_ok_and(|text| text.first().is_some_and(|digit| *digit != b'0'))
}

/// The addresses of an interface that packets can be sent from.
pub fn usable(addresses: &[Prefix], tentative: &[Prefix]) -> Vec<IpAddr> {
    addresses.iter().filter(|prefix| !tentative.contains(prefix)).map(|prefix| prefix.address()).collect()
}
