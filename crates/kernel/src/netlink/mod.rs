//! rtnetlink: links, addresses and routes of the network namespace that the opening thread is in.
//!
//! [`Netlink`] asks and orders; [`Monitor`] hears what anybody changes. A socket stays in the namespace it was opened in,
//! wherever its thread goes later.

pub(crate) mod generic;
mod links;
pub(crate) mod message;
mod monitor;
mod route_wire;
mod routing;
mod rule_wire;
pub(crate) mod socket;
mod virtual_links;
mod wire;

pub use monitor::{Change, Monitor};
pub(crate) use route_wire::There;
pub use routing::{Lost, RoutingMonitor};
pub use virtual_links::{LinkFlavour, VirtualLink};

use crate::Error;
use crate::addresses::{self, Address, Held};
use crate::error::During;
use evenkeel_wire::{Mac, Prefix};
use message::Message;
use rustix::io::Errno;
use socket::{ROUTE, Refusal, Socket};
use std::collections::HashMap;
use std::net::IpAddr;

/// An interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Kernel index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Administratively up, operationally up and with carrier. A list shows this a moment before packets pass (the queue
    /// is activated later); a [`Change::Link`] that says it comes after that.
    pub up: bool,
    /// Its Ethernet address; zero on links that have none.
    pub mac: Mac,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Its addresses, primary ones first. Empty in a [`Change::Link`], which reports no addresses.
    pub addresses: Vec<Prefix>,
    /// Those of them that nothing can be sent from yet.
    pub tentative: Vec<Prefix>,
}

/// A blocking socket for requests.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace. Reading needs no privilege, changing `CAP_NET_ADMIN`.
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::open(ROUTE).during(|| "open a netlink socket")?;
        Ok(Netlink { socket })
    }

    /// All interfaces with their addresses, in the order of their indexes.
    pub fn interfaces(&mut self) -> Result<Vec<Interface>, Error> {
        let mut interfaces = self.links()?;
        let at: HashMap<u32, usize> = interfaces.iter().enumerate().map(|(at, link)| (link.index, at)).collect();
        for entry in self.address_entries()? {
            if let Some(&at) = at.get(&entry.held.index) {
                let prefix = entry.held.address.prefix;
                interfaces[at].addresses.push(prefix);
                if entry.tentative {
                    interfaces[at].tentative.push(prefix);
                }
            }
        }
        Ok(interfaces)
    }

    /// The interface of this name, or an error that says there is none.
    pub fn interface(&mut self, name: &str) -> Result<Interface, Error> {
        let found = self.interfaces()?.into_iter().find(|interface| interface.name == name);
        found.ok_or_else(|| Error::new(format!("find interface {name}"), Errno::NODEV))
    }

    /// All addresses of all interfaces, with who put them there.
    pub fn addresses(&mut self) -> Result<Vec<Held>, Error> {
        let names: HashMap<u32, String> = self.links()?.into_iter().map(|link| (link.index, link.name)).collect();
        let mut all = Vec::new();
        for entry in self.address_entries()? {
            let mut held = entry.held;
            // The kernel labels an IPv4 address with the interface's name when nobody labels it.
            if held.address.label.as_ref() == names.get(&held.index) {
                held.address.label = None;
            }
            all.push(held);
        }
        Ok(all)
    }

    /// Adds an address, marked as put there by a VRRP daemon (`proto` 18, the number keepalived uses). An address that is
    /// there already is no error.
    pub fn add_address(&mut self, index: u32, address: &Address) -> Result<(), Error> {
        let change = addresses::Change::Add(Held::new(index, address.clone()));
        self.apply(std::slice::from_ref(&change)).pop().unwrap_or(Ok(()))
    }

    /// Removes an address. An address or an interface that is not there is no error.
    pub fn delete_address(&mut self, index: u32, prefix: Prefix) -> Result<(), Error> {
        let change = addresses::Change::Delete { index, prefix, peer: None };
        self.apply(std::slice::from_ref(&change)).pop().unwrap_or(Ok(()))
    }

    /// Makes changes in their order, sending many before reading the answers, and returns the result of each. Adding what
    /// is there and deleting what is not there succeed.
    pub fn apply(&mut self, changes: &[addresses::Change]) -> Vec<Result<(), Error>> {
        let requests: Vec<Message> = changes.iter().map(wire::address_request).collect();
        let answers = match self.socket.requests(&requests) {
            Ok(answers) => answers,
            // The socket itself failed, so nothing is known about any of them.
            Err(cause) => {
                let errno = cause.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
                vec![Err(errno.into()); changes.len()]
            }
        };
        let mut results = Vec::with_capacity(changes.len());
        for (change, answer) in changes.iter().zip(answers) {
            results.push(match (change, answer) {
                (_, Ok(())) => Ok(()),
                (addresses::Change::Add(_), Err(refusal)) if refusal.errno == Errno::EXIST => Ok(()),
                (addresses::Change::Delete { .. }, Err(refusal)) if is_absent(refusal.errno) => Ok(()),
                (change, Err(refusal)) => Err(self.refused(change, refusal)),
            });
        }
        results
    }

    fn refused(&mut self, change: &addresses::Change, refusal: Refusal) -> Error {
        match change {
            addresses::Change::Add(held) => {
                Error::new(format!("add {} to {}", held.address.prefix, self.name_of(held.index)), refusal)
            }
            addresses::Change::Delete { index, prefix, .. } => {
                Error::new(format!("remove {prefix} from {}", self.name_of(*index)), refusal)
            }
        }
    }

    /// The name for a message about `index`, also when nobody knows the index.
    fn name_of(&mut self, index: u32) -> String {
        let links = self.links().unwrap_or_default();
        let found = links.into_iter().find(|link| link.index == index);
        found.map_or_else(|| format!("interface {index}"), |link| link.name)
    }

    /// Whether packets to an address that an interface has are taken in. Of IPv4 they always are.
    pub(crate) fn receives(&mut self, index: u32, address: IpAddr) -> bool {
        let IpAddr::V6(address) = address else { return true };
        let fixed = [libc::AF_INET6 as u8, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let request = Message::new(route_wire::GET_ROUTE, socket::REQUEST | socket::ACK, &fixed)
            .attribute(route_wire::RTA_DST, &address.octets())
            .attribute(route_wire::RTA_OIF, &index.to_ne_bytes());
        // The eighth byte of struct rtmsg is the kind of the route.
        let kind = self.socket.ask(&request, |message| message.payload.get(7).copied());
        kind.is_ok_and(|kind| kind == Some(RTN_LOCAL))
    }

    /// All interfaces without their addresses.
    fn links(&mut self) -> Result<Vec<Interface>, Error> {
        let links =
            self.socket.dump(wire::GET_LINK, &wire::link_header(0, 0, 0), |message| wire::link(message.payload));
        links.during(|| "list interfaces")
    }

    fn address_entries(&mut self) -> Result<Vec<wire::AddressEntry>, Error> {
        let entries = self.socket.dump(wire::GET_ADDRESS, &[0; 8], |message| wire::address(message.payload));
        let mut entries = entries.during(|| "list addresses")?;
        // Stable, so within primary and within secondary ones the kernel's order remains.
        entries.sort_by_key(|entry| entry.secondary);
        Ok(entries)
    }

    fn order(&mut self, request: &Message, operation: impl FnOnce(&mut Self) -> String) -> Result<(), Error> {
        match self.socket.request(request) {
            Ok(()) => Ok(()),
            Err(cause) => Err(Error::new(operation(self), cause)),
        }
    }
}

/// The kind of a route to the host itself.
const RTN_LOCAL: u8 = 2;

/// The errors of taking an address away that is not there, or from an interface that is not there.
fn is_absent(errno: Errno) -> bool {
    errno == Errno::ADDRNOTAVAIL || errno == Errno::NODEV
}
