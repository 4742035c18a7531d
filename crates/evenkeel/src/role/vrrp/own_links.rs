//! The interfaces that instances have for themselves: made at the start, made again when somebody deletes them, deleted at
//! the end; and the settings of the network that they need.
//!
//! With a virtual MAC, only the interface of its own may answer for its addresses: an answer by the interface below
//! would carry another MAC (`arp_ignore`, `arp_filter`), and packets for it come in on an interface whose routes they
//! would not go out by (`rp_filter`).

use evenkeel_kernel::Error;
use evenkeel_kernel::addresses::Address;
use evenkeel_kernel::netlink::{LinkFlavour, Netlink, VirtualLink};
use evenkeel_kernel::sysctl::{self, Borrowed};
use evenkeel_vrrp::Interface;
use evenkeel_vrrp::config::{AddressLink, Config, LinkKind, OwnLink};
use evenkeel_wire::{Family, Mac, Prefix};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub struct OwnLinks {
    /// By name: the interface below and what it is to be.
    wanted: BTreeMap<String, Wanted>,
    /// The index of each, and of the one below.
    present: BTreeMap<u32, u32>,
    vmacs4: BTreeMap<u32, u32>,
    vmacs6: BTreeMap<u32, u32>,
    borrowed: Borrowed,
}

#[derive(Clone, PartialEq)]
struct Wanted {
    below: String,
    link: OwnLink,
    ipv6: bool,
    /// Adverts leave by it.
    speaks: bool,
}

impl OwnLinks {
    pub fn new(config: &Config) -> Self {
        OwnLinks {
            wanted: wanted(config),
            present: BTreeMap::new(),
            vmacs4: BTreeMap::new(),
            vmacs6: BTreeMap::new(),
            borrowed: Borrowed::resume(),
        }
    }

    /// Wants what a new configuration wants as well.
    pub fn add(&mut self, config: &Config) {
        self.wanted.extend(wanted(config));
    }

    /// What only the old configuration wanted is deleted.
    pub fn forget_old(&mut self, netlink: &mut Netlink, config: &Config) {
        let old = std::mem::replace(&mut self.wanted, wanted(config));
        for (name, before) in old {
            if self.wanted.get(&name) != Some(&before) {
                self.delete(netlink, &name);
            }
        }
    }

    /// The interface below one of these, or the interface itself.
    pub fn below(&self, index: u32) -> u32 {
        self.present.get(&index).copied().unwrap_or(index)
    }

    /// Those with a virtual MAC and the links below them: of IPv4, and of IPv6.
    pub fn vmacs(&self) -> (&BTreeMap<u32, u32>, &BTreeMap<u32, u32>) {
        (&self.vmacs4, &self.vmacs6)
    }

    /// Where IPv6 adverts leave by an interface of ours they come from the link-local address of the one below. One that
    /// has none has the one that its MAC would give it, as in keepalived.
    pub fn lend_source(&self, interface: &mut Interface, all: &[Prefix]) {
        let is_link_local =
            |prefix: &Prefix| matches!(prefix.address(), IpAddr::V6(address) if address.is_unicast_link_local());
        let speaks = |wanted: &Wanted| wanted.speaks && wanted.ipv6 && wanted.below == interface.name;
        if self.wanted.values().any(speaks) && !all.iter().any(is_link_local) {
            interface.addresses.push(interface.mac.link_local().into());
        }
    }

    /// Makes those that are not there and whose interface below is; the names of those that were made.
    pub fn ensure(&mut self, netlink: &mut Netlink) -> Vec<String> {
        if self.wanted.is_empty() && self.borrowed.keys().next().is_none() {
            return Vec::new();
        }
        let mut made = Vec::new();
        self.present.clear();
        self.vmacs4.clear();
        self.vmacs6.clear();
        let list =
            netlink.interfaces().map(|all| all.into_iter().map(|i| (i.name, i.index)).collect::<BTreeMap<_, _>>());
        let (list, there) = match (list, netlink.virtual_links()) {
            (Ok(list), Ok(there)) => (list, there),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(target: "vrrp", "{error}");
                return made;
            }
        };
        for (name, wanted) in self.wanted.clone() {
            let Some(&below) = list.get(&wanted.below) else { continue };
            match self.ensure_one(netlink, &name, &wanted, below, &there, list.contains_key(&name)) {
                Ok((index, is_new)) => {
                    self.present.insert(index, below);
                    if let LinkKind::Vmac(_) = wanted.link.kind {
                        if wanted.ipv6 { &mut self.vmacs6 } else { &mut self.vmacs4 }.insert(index, below);
                    }
                    if is_new {
                        tracing::info!(target: "vrrp", "made interface {name} on top of {}", wanted.below);
                        made.push(name);
                    }
                }
                Err(error) => tracing::error!(target: "vrrp", "{error}"),
            }
        }
        self.lend_settings(list.keys());
        made
    }

    fn ensure_one(
        &mut self,
        netlink: &mut Netlink,
        name: &str,
        wanted: &Wanted,
        below: u32,
        there: &[VirtualLink],
        is_taken: bool,
    ) -> Result<(u32, bool), Error> {
        let flavour = flavour(&wanted.link.kind);
        if let Some(link) = there.iter().find(|link| link.name == name) {
            if (link.parent, link.flavour) == (below, flavour) {
                self.prepare(netlink, name, wanted, link.index)?;
                return Ok((link.index, false));
            }
            // Left over by a run with another configuration; nobody else makes such links under such names.
            tracing::info!(target: "vrrp", "interface {name} is left over from another configuration; it is made anew");
            netlink.delete_link(link.index)?;
        } else if is_taken {
            let cause = std::io::Error::other("another interface has that name");
            return Err(Error::new(format!("add {name} on top of {}", wanted.below), cause));
        }
        netlink.add_virtual_link(name, below, flavour, wanted.link.group)?;
        let index = netlink.interface(name)?.index;
        self.prepare(netlink, name, wanted, index)?;
        if wanted.link.tells_below {
            tell(netlink.tell_again(below));
        }
        Ok((index, true))
    }

    /// Settings of its own, then up: nothing is to happen on it before.
    fn prepare(&self, netlink: &mut Netlink, name: &str, wanted: &Wanted, index: u32) -> Result<(), Error> {
        netlink.refuse_own_addresses(index);
        let is_vmac = matches!(wanted.link.kind, LinkKind::Vmac(_));
        let settings: &[(&str, &str)] = match is_vmac {
            true => &[("arp_ignore", "1"), ("accept_local", "1"), ("rp_filter", "0"), ("promote_secondaries", "1")],
            false => &[("arp_ignore", "1"), ("rp_filter", "0"), ("promote_secondaries", "1")],
        };
        for (key, value) in settings {
            tell(sysctl::set(&format!("ipv4/conf/{name}/{key}"), value));
        }
        if !wanted.ipv6 {
            tell(sysctl::set(&format!("ipv6/conf/{name}/disable_ipv6"), "1"));
        }
        netlink.set_up(index, true)?;
        if let LinkKind::Ipvlan { address: Some(prefix), .. } = wanted.link.kind {
            netlink.add_address(index, &Address::new(prefix))?;
        }
        Ok(())
    }

    /// What the interfaces below and the machine lend while there are such links; what is lent no longer is given back.
    fn lend_settings<'a>(&mut self, interfaces: impl Iterator<Item = &'a String>) {
        let mut needed = BTreeSet::new();
        for wanted in
            self.wanted.values().filter(|wanted| !wanted.ipv6 || matches!(wanted.link.kind, LinkKind::Vmac(_)))
        {
            // The last keeps the host from asking for its neighbours in the virtual address's name with the MAC below, which
            // they would remember; keepalived leaves that to happen.
            for (key, value) in [("arp_ignore", "1"), ("arp_filter", "1"), ("arp_announce", "2")] {
                needed.insert((format!("ipv4/conf/{}/{key}", wanted.below), value.to_owned()));
            }
        }
        let all = "ipv4/conf/all/rp_filter";
        if !self.wanted.is_empty() {
            // The larger of the two counts: what all had goes to each, and to those that come, so that all may have none.
            let global: u8 = self.borrowed.original(all).and_then(|value| value.parse().ok()).unwrap_or(0);
            let each = interfaces.map(String::as_str).chain(std::iter::once("default"));
            for name in each.filter(|name| global > 0 && !self.wanted.contains_key(*name)) {
                let key = format!("ipv4/conf/{name}/rp_filter");
                let own: u8 = self.borrowed.original(&key).and_then(|value| value.parse().ok()).unwrap_or(0);
                if own < global {
                    needed.insert((key, global.to_string()));
                }
            }
            needed.insert((all.to_owned(), "0".to_owned()));
        }
        for (key, value) in &needed {
            tell(self.borrowed.set(key, value));
        }
        for error in self.borrowed.give_back(|key| !needed.iter().any(|(needed, _)| needed == key)) {
            tracing::warn!(target: "vrrp", "{error}");
        }
    }

    /// Deletes what a killed run left and this one does not want: links with the MAC of a virtual router and a name as
    /// this program gives them.
    pub fn clean_leftovers(&mut self, netlink: &mut Netlink) {
        let there = netlink.virtual_links().unwrap_or_default();
        for link in there.iter().filter(|link| !self.wanted.contains_key(&link.name)) {
            let LinkFlavour::Macvlan(Mac([0, 0, 0x5e, 0, 1 | 2, vrid])) = link.flavour else { continue };
            let is_our_name = link.name.strip_suffix(&format!(".{vrid}")).is_some_and(|prefix| {
                prefix.strip_prefix("vrrp").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
            });
            if is_our_name && netlink.delete_link(link.index).is_ok() {
                tracing::info!(target: "vrrp", "left over by an earlier run: removed interface {}", link.name);
            }
        }
    }

    /// The end.
    pub fn release_all(&mut self, netlink: &mut Netlink) {
        let names: Vec<String> = std::mem::take(&mut self.wanted).into_keys().collect();
        for name in names {
            self.delete(netlink, &name);
        }
        self.present.clear();
        self.vmacs4.clear();
        self.vmacs6.clear();
        for error in self.borrowed.give_back(|_| true) {
            tracing::warn!(target: "vrrp", "{error}");
        }
    }

    fn delete(&mut self, netlink: &mut Netlink, name: &str) {
        // Only what is such a link: another of that name is somebody else's.
        let there = netlink.virtual_links().unwrap_or_default();
        if let Some(link) = there.iter().find(|link| link.name == name) {
            tell(netlink.delete_link(link.index));
        }
    }
}

fn wanted(config: &Config) -> BTreeMap<String, Wanted> {
    let mut wanted = BTreeMap::new();
    for instance in &config.instances {
        if let Some(link) = &instance.own_link {
            let is_ipv6 = |address: &evenkeel_vrrp::config::VirtualAddress| address.prefix.address().is_ipv6();
            let on_it = instance.addresses.iter().chain(&instance.excluded).filter(|address| address.device.is_none());
            let ipv6 = instance.family() == Family::V6 || on_it.into_iter().any(is_ipv6);
            let speaks = instance.speaks_on() == link.name;
            let entry = Wanted { below: instance.interface.clone(), link: (**link).clone(), ipv6, speaks };
            wanted.insert(link.name.clone(), entry);
        }
        for AddressLink { name, below, mac, family } in &instance.address_links {
            let kind = LinkKind::Vmac(*mac);
            let link = OwnLink { name: name.clone(), kind, transmit_below: true, group: None, tells_below: false };
            let ipv6 = *family == Family::V6;
            // One of another instance may be the same.
            wanted.entry(name.clone()).or_insert(Wanted { below: below.clone(), link, ipv6, speaks: false });
        }
    }
    wanted
}

fn flavour(kind: &LinkKind) -> LinkFlavour {
    match kind {
        LinkKind::Vmac(mac) => LinkFlavour::Macvlan(*mac),
        LinkKind::Ipvlan { flags, .. } => LinkFlavour::Ipvlan(*flags),
    }
}

fn tell(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        tracing::warn!(target: "vrrp", "{error}");
    }
}
