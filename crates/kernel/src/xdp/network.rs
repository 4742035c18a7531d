//! The way to each server, found and kept current.

use super::routes::{Neighbour, Route, Routes};
use crate::Error;
use crate::netlink::Interface;
use evenkeel_wire::Mac;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

/// Routes are looked up again after so many refreshes.
const ROUTE_ROUNDS: u32 = 10;

/// How to get to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Local,
    Out(Out),
    None(Unreachable),
}

/// A frame's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Out {
    pub(super) interface: u32,
    pub(super) mac: Mac,
    pub(super) source_mac: Mac,
    /// Of the outer packet, when it is one of that family.
    pub(super) source: Option<IpAddr>,
    pub(super) mtu: u32,
}

/// Why there is no way to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// No route.
    NoRoute,
    /// The next hop has not said its hardware address, or not yet.
    NoNeighbour(IpAddr),
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreachable::NoRoute => f.write_str("no route"),
            Unreachable::NoNeighbour(address) => write!(f, "the hardware address of {address} is not known"),
        }
    }
}

/// What is known of the network.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) routes: Routes,
    interfaces: HashMap<u32, Interface>,
    neighbours: HashMap<(u32, IpAddr), Neighbour>,
    known: HashMap<IpAddr, Option<Route>>,
    round: u32,
}

impl Network {
    pub(super) fn open() -> Result<Self, Error> {
        let routes = Routes::open()?;
        let mut network =
            Network { routes, interfaces: HashMap::new(), neighbours: HashMap::new(), known: HashMap::new(), round: 0 };
        network.look()?;
        Ok(network)
    }

    /// Reads interfaces and neighbours again, and now and then routes.
    pub(super) fn look(&mut self) -> Result<(), Error> {
        self.interfaces = self.routes.interfaces()?;
        self.neighbours = self.routes.neighbours()?;
        self.round += 1;
        if self.round >= ROUTE_ROUNDS {
            self.round = 0;
            self.known.clear();
        }
        Ok(())
    }

    /// The way to an address, as known now.
    pub(super) fn path(&mut self, address: IpAddr) -> Result<Path, Error> {
        let route = match self.known.get(&address) {
            Some(route) => *route,
            None => {
                let route = self.routes.route(address)?;
                self.known.insert(address, route);
                route
            }
        };
        let (interface, next_hop, source) = match route {
            None => return Ok(Path::None(Unreachable::NoRoute)),
            Some(Route::Local) => return Ok(Path::Local),
            Some(Route::Via { interface, next_hop, source }) => (interface, next_hop, source),
        };
        let Some(link) = self.interfaces.get(&interface) else { return Ok(Path::None(Unreachable::NoRoute)) };
        let Some(neighbour) = self.neighbours.get(&(interface, next_hop)) else {
            return Ok(Path::None(Unreachable::NoNeighbour(next_hop)));
        };
        let own = || {
            let addresses = link.addresses.iter().map(|prefix| prefix.address());
            addresses.into_iter().find(|own| own.is_ipv4() == address.is_ipv4())
        };
        Ok(Path::Out(Out {
            interface,
            mac: neighbour.mac,
            source_mac: link.mac,
            source: source.or_else(own),
            mtu: link.mtu,
        }))
    }

    /// The hardware address behind an address on a link of ours.
    pub(super) fn mac(&mut self, address: IpAddr) -> Result<Option<Mac>, Error> {
        Ok(match self.path(address)? {
            Path::Out(out) => Some(out.mac),
            Path::Local | Path::None(_) => None,
        })
    }

    /// Lets the kernel ask for the next hops of these addresses that it knows nothing fresh about.
    pub(super) fn resolve(&mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), Error> {
        let mut wanted: Vec<(u32, IpAddr)> = addresses
            .into_iter()
            .filter_map(|address| match self.known.get(&address) {
                Some(Some(Route::Via { interface, next_hop, .. })) => Some((*interface, *next_hop)),
                _ => None,
            })
            .filter(|next_hop| self.neighbours.get(next_hop).is_none_or(|neighbour| !neighbour.fresh))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() { Ok(()) } else { self.routes.resolve(&wanted) }
    }
}
