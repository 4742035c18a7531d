//! What the node's interfaces look like to its instances.

use crate::config::{Config, Instance, Priority};
use crate::event::Interface;
use evenkeel_wire::{Family, Mac};
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

/// An instance's own interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not reported since the start.
    Unreported,
    /// Reported once, and gone since.
    Gone,
    Present(Present),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) index: u32,
    pub(crate) up: bool,
    pub(crate) mac: Mac,
    /// What adverts are sent from.
    pub(crate) source: Option<IpAddr>,
}

/// The index in packets of instances that have no interface.
pub(crate) const ANY: u32 = 0;

/// All interfaces that were reported.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    present: BTreeMap<u32, Interface>,
    /// Names that were reported at some time, present or not.
    seen: HashSet<String>,
}

impl Links {
    /// Indices of interfaces that a report shows to be gone: its own under another name, or its name under another index.
    pub(crate) fn displaced(&self, interface: &Interface) -> Vec<u32> {
        let is_displaced =
            |(index, known): &(&u32, &Interface)| (**index == interface.index) != (known.name == interface.name);
        self.present.iter().filter(is_displaced).map(|(index, _)| *index).collect()
    }

    /// Takes a report in, after what it displaces was removed.
    pub(crate) fn insert(&mut self, interface: Interface) {
        self.seen.insert(interface.name.clone());
        self.present.insert(interface.index, interface);
    }

    /// Forgets an interface; its name, when it was known.
    pub(crate) fn remove(&mut self, index: u32) -> Option<String> {
        self.present.remove(&index).map(|interface| interface.name)
    }

    pub(crate) fn by_index(&self, index: u32) -> Option<&Interface> {
        self.present.get(&index)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Interface> {
        self.present.values().find(|interface| interface.name == name)
    }

    /// Whether a MAC is one of this node's.
    pub(crate) fn has_mac(&self, mac: Mac) -> bool {
        self.present.values().any(|interface| interface.mac == mac)
    }

    /// `Some(up)` of an interface that was reported at some time.
    pub(crate) fn health(&self, name: &str) -> Option<bool> {
        match self.by_name(name) {
            Some(interface) => Some(interface.up),
            None => self.seen.contains(name).then_some(false),
        }
    }

    /// An instance's own interface. Adverts are sent from the configured source, or from the interface's first
    /// address that is not a virtual one: those go away with the next handover. The owner may have no other. In IPv6 it
    /// has to be a link-local one (RFC 9568 5.1.2.1).
    pub(crate) fn link(&self, config: &Instance, virtuals: &HashSet<IpAddr>) -> Link {
        if config.interface.is_empty() {
            return Link::Present(Present { index: ANY, up: true, mac: Mac::default(), source: config.source });
        }
        let Some(interface) = self.by_name(&config.interface) else {
            return if self.seen.contains(&config.interface) { Link::Gone } else { Link::Unreported };
        };
        let usable = || interface.addresses.iter().copied().filter(|address| is_source(config.family(), *address));
        let real = || usable().find(|address| !virtuals.contains(address));
        let owned = || usable().next().filter(|_| config.priority == Priority::OWNER);
        let is_there = |source: &IpAddr| !config.track_source || interface.addresses.contains(source);
        let source = match config.source {
            Some(source) => Some(source).filter(is_there),
            None => real().or_else(owned),
        };
        Link::Present(Present { index: interface.index, up: interface.up, mac: interface.mac, source })
    }
}

/// Whether adverts of this family may come from here without anybody having said so.
fn is_source(family: Family, address: IpAddr) -> bool {
    match (family, address) {
        (Family::V4, IpAddr::V4(_)) => true,
        (Family::V6, IpAddr::V6(address)) => address.is_unicast_link_local(),
        (Family::V4, IpAddr::V6(_)) | (Family::V6, IpAddr::V4(_)) => false,
    }
}

/// Every address that moves with some instance.
pub(crate) fn virtual_addresses(config: &Config) -> HashSet<IpAddr> {
    let of = |instance: &Instance| -> Vec<IpAddr> {
        instance.addresses.iter().chain(&instance.excluded).map(|address| address.prefix.address()).collect()
    };
    config.instances.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        Interface { index, name: name.to_owned(), up: true, mac: Mac::default(), addresses: Vec::new() }
    }

    #[test]
    fn a_rename_and_a_replacement_show_what_is_gone() {
        let mut links = Links::default();
        let mut report = |index, name| -> Vec<String> {
            let interface = interface(index, name);
            let gone = links.displaced(&interface).into_iter().filter_map(|index| links.remove(index)).collect();
            links.insert(interface);
            gone
        };
        assert_eq!(report(1, "eth0"), Vec::<String>::new());
        assert_eq!(report(1, "eth0"), Vec::<String>::new());
        assert_eq!(report(2, "eth1"), Vec::<String>::new());
        assert_eq!(report(1, "lan0"), ["eth0"]);
        assert_eq!(report(3, "eth1"), ["eth1"]);
        assert_eq!(links.health("eth0"), Some(false));
        assert_eq!(links.health("eth1"), Some(true));
        assert_eq!(links.health("eth9"), None);
    }
}
