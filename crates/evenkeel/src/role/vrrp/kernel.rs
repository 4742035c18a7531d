//! The kernel's side of the virtual routers: which addresses to hold and which are there, and the sockets.

use super::own_links::OwnLinks;
use super::routing::Routing;
use super::sockets::{Sockets, usable};
use super::watch::Watch;
use evenkeel_kernel::Error;
use evenkeel_kernel::addresses::{self, Address, Held, PROTOCOL};
use evenkeel_kernel::netlink::{self, Netlink};
use evenkeel_kernel::routes::Desired;
use evenkeel_kernel::vip_filter::{self, Style, VipFilter};
use evenkeel_vrrp::auth::header;
use evenkeel_vrrp::config::VirtualAddress;
use evenkeel_vrrp::{Config, Event, InstanceId, Interface};
use evenkeel_wire::{Family, Prefix};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub struct Kernel {
    netlink: Netlink,
    interfaces: BTreeMap<u32, Interface>,
    /// What each instance is to hold, as the core said last.
    holds: BTreeMap<InstanceId, Vec<Held>>,
    /// What the kernel has of it, as far as we know: so that our own removals are told from other people's.
    present: BTreeSet<(u32, Prefix)>,
    /// Every address of the configuration, on its interface's name: ours to remove when not held.
    ours: BTreeSet<(String, IpAddr)>,
    /// Addresses that are there from start to end.
    statics: Vec<VirtualAddress>,
    /// `no_track`: whose removal is nobody's business.
    untracked: BTreeSet<(String, IpAddr)>,
    routing: Routing,
    own_links: OwnLinks,
    /// Instances whose addresses accept nothing.
    refusing: BTreeSet<InstanceId>,
    style: Style,
    /// What is filtered; `None` before the first look, when a killed run may have left a table.
    filtered: Option<VipFilter>,
    /// What is heard and sent.
    pub sockets: Sockets,
}

/// What a look at the kernel showed.
pub enum Fact {
    Gone(u32),
    Interface(Interface),
    Vanished { interface: u32, address: IpAddr },
}

impl Kernel {
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let mut kernel = Kernel {
            netlink: Netlink::open()?,
            interfaces: BTreeMap::new(),
            holds: BTreeMap::new(),
            present: BTreeSet::new(),
            ours: ours(config),
            statics: config.network.addresses.clone(),
            untracked: addresses_of(config, |address| address.untracked),
            routing: Routing::default(),
            own_links: OwnLinks::new(config),
            refusing: refusing(config),
            style: style(config),
            filtered: None,
            sockets: Sockets::new(),
        };
        kernel.own_links.clean_leftovers(&mut kernel.netlink);
        kernel.own_links.ensure(&mut kernel.netlink);
        kernel.read_interfaces()?;
        kernel.routing.configure(config);
        Ok(kernel)
    }

    pub fn configure(&mut self, config: &Config) -> anyhow::Result<()> {
        // Addresses that the configuration no longer names are still ours to remove: they go with this reconciliation,
        // since nothing holds them any more.
        let mut next = ours(config);
        std::mem::swap(&mut self.ours, &mut next);
        let known: BTreeSet<_> = self.ours.union(&next).cloned().collect();
        let kept = std::mem::replace(&mut self.ours, known);
        self.statics.clone_from(&config.network.addresses);
        self.untracked = addresses_of(config, |address| address.untracked);
        self.routing.configure(config);
        self.refusing = refusing(config);
        self.reconcile(&mut Vec::new());
        self.ours = kept;
        self.routing.forget_old(config);
        self.own_links.forget_old(&mut self.netlink, config);
        Ok(())
    }

    /// Removes what an earlier run left behind, and puts there what is to be there whoever is master.
    pub fn clean_leftovers(&mut self) {
        let mut done = Vec::new();
        self.reconcile(&mut done);
        for what in done {
            match what.starts_with("removed") {
                true => tracing::info!(target: "vrrp", "left over by an earlier run: {what}"),
                false => tracing::info!(target: "vrrp", "static: {what}"),
            }
        }
    }

    /// The end: nothing stays, what was there whoever is master neither.
    pub fn release_all(&mut self) {
        self.forget_holds();
        self.statics.clear();
        self.routing.forget_statics();
        self.reconcile(&mut Vec::new());
        self.own_links.release_all(&mut self.netlink);
        self.apply_filter(VipFilter::default(), &mut Vec::new());
    }

    pub fn forget_holds(&mut self) {
        self.holds.clear();
        self.routing.forget_holds();
    }

    pub fn name(&self, index: u32) -> String {
        self.interfaces.get(&index).map_or_else(|| format!("interface {index}"), |i| i.name.clone())
    }

    /// Takes over what the core says an instance is to hold, and makes the kernel so. What was done goes into `done`.
    pub fn hold(
        &mut self,
        id: InstanceId,
        config: &Config,
        addresses: Vec<VirtualAddress>,
        routing: Desired,
        done: &mut Vec<String>,
    ) {
        let held = self.lower_all(id, config, addresses, done);
        let has_routing = routing != Desired::default();
        let same_routing = !self.routing.hold(id, routing);
        if held.is_empty() && same_routing && !has_routing && !self.holds.contains_key(&id) {
            self.holds.insert(id, held);
            return;
        }
        let same = self.holds.get(&id) == Some(&held) && same_routing && !has_routing;
        if same && held.iter().all(|held| self.present.contains(&key(held))) {
            return;
        }
        self.holds.insert(id, held);
        self.reconcile(done);
    }

    /// What a process before this one held for an instance stays where it is until the core says otherwise.
    pub fn resume(&mut self, id: InstanceId, config: &Config) {
        let Some(instance) = config.instances.get(id.0 as usize) else { return };
        let addresses = instance.addresses.iter().chain(&instance.excluded).cloned().collect();
        let held = self.lower_all(id, config, addresses, &mut Vec::new());
        self.holds.insert(id, held);
        self.routing.hold(id, Desired { routes: instance.routes.clone(), rules: instance.rules.clone() });
    }

    fn lower_all(
        &self,
        id: InstanceId,
        config: &Config,
        addresses: Vec<VirtualAddress>,
        done: &mut Vec<String>,
    ) -> Vec<Held> {
        let own = config.instances.get(id.0 as usize).map_or("", |instance| instance.device());
        let mut held = Vec::new();
        for address in addresses {
            let device = address.device.as_deref().unwrap_or(own);
            match self.index_of(device) {
                Some(index) => held.push(Held::new(index, lower(address))),
                None => done.push(format!("could not add {} to {device}: no such interface", address.prefix)),
            }
        }
        held
    }

    /// Makes the kernel hold exactly what is to be held, of what is ours.
    ///
    /// Rules send packets to routes, and routes need addresses: they come in this order and go in the other.
    pub fn reconcile(&mut self, done: &mut Vec<String>) {
        let filter = self.filter();
        // An address that accepts nothing is not to be there before what keeps packets from it.
        let grows = filter
            .addresses
            .iter()
            .any(|address| self.filtered.as_ref().is_none_or(|filtered| !filtered.addresses.contains(address)));
        if grows {
            self.apply_filter(filter.clone(), done);
        }
        self.routing.remove(&mut self.netlink, done);
        self.reconcile_addresses(done);
        self.routing.add(&mut self.netlink, done);
        self.apply_filter(filter, done);
    }

    fn filter(&self) -> VipFilter {
        let held = self.holds.iter().filter(|(id, _)| self.refusing.contains(id)).flat_map(|(_, held)| held);
        let addresses: BTreeSet<_> = held.map(|held| (held.address.prefix.address(), held.index)).collect();
        let (vmacs4, vmacs6) = self.own_links.vmacs();
        VipFilter { addresses: addresses.into_iter().collect(), vmacs4, vmacs6 }
    }

    fn apply_filter(&mut self, filter: VipFilter, done: &mut Vec<String>) {
        if self.filtered.as_ref() == Some(&filter) {
            return;
        }
        let n_addresses = filter.addresses.len();
        match vip_filter::apply(&self.style, &filter) {
            Ok(()) => {
                let before = self.filtered.replace(filter).unwrap_or_default().addresses.len();
                if n_addresses != before {
                    done.push(format!("{n_addresses} addresses are kept from packets"));
                }
            }
            Err(error) => {
                tracing::error!(target: "vrrp", "{error}");
                done.push(format!("could not {error}"));
            }
        }
    }

    fn desired(&self) -> Vec<Held> {
        let statics = self.statics.iter().filter_map(|address| self.lower_static(address));
        self.holds.values().flatten().cloned().chain(statics).collect()
    }

    fn lower_static(&self, address: &VirtualAddress) -> Option<Held> {
        let index = self.index_of(address.device.as_deref()?)?;
        Some(Held::new(index, lower(address.clone())))
    }

    fn reconcile_addresses(&mut self, done: &mut Vec<String>) {
        let desired = self.desired();
        let (interfaces, ours) = (&self.interfaces, &self.ours);
        let is_ours = |held: &Held| {
            let name = interfaces.get(&held.index).map(|interface| interface.name.clone());
            // What another daemon or a person marked as theirs is not ours, whatever its number.
            let unmarked = held.protocol == PROTOCOL || held.protocol == 0;
            unmarked && name.is_some_and(|name| ours.contains(&(name, held.address.prefix.address())))
        };
        match addresses::reconcile(&mut self.netlink, &desired, is_ours) {
            Ok(result) => {
                for change in result.made {
                    done.push(match change {
                        addresses::Change::Add(held) => {
                            format!("added {} to {}", held.address.prefix, self.name(held.index))
                        }
                        addresses::Change::Delete { index, prefix, .. } => {
                            format!("removed {prefix} from {}", self.name(index))
                        }
                    });
                }
                for error in &result.errors {
                    tracing::error!(target: "vrrp", "{error}");
                    done.push(format!("could not {error}"));
                }
            }
            Err(error) => {
                tracing::error!(target: "vrrp", "{error}");
                done.push(format!("could not {error}"));
            }
        }
        self.present = desired.iter().map(key).collect();
    }

    /// The address, when its removal was not our doing.
    pub fn was_taken_away(&mut self, index: u32, prefix: Prefix) -> Option<IpAddr> {
        let desired = self.desired().iter().any(|held| key(held) == (index, prefix));
        // A replaced address (another broadcast address, say) goes and comes: the kernel knows whether it is there.
        let untracked = self.untracked.contains(&(self.name(index), prefix.address()));
        if !desired || untracked || !self.present.contains(&(index, prefix)) {
            return None;
        }
        let there = self.netlink.addresses().ok()?.iter().any(|held| key(held) == (index, prefix));
        // With its interface goes every address, and that is reported by itself.
        let is_on_link = self.netlink.interfaces().ok()?.iter().any(|interface| interface.index == index);
        if there || !is_on_link {
            return None;
        }
        self.present.remove(&(index, prefix));
        Some(prefix.address())
    }

    /// Whether the interfaces have to be looked at again because of `change`. Our own addresses coming and going change
    /// nothing about them.
    pub fn note_change(&mut self, change: &netlink::Change) -> bool {
        match change {
            netlink::Change::Link(link) => self
                .interfaces
                .get(&link.index)
                .is_none_or(|known| (&known.name, known.up, known.mac) != (&link.name, link.up, link.mac)),
            netlink::Change::LinkGone { .. } | netlink::Change::Overrun => true,
            netlink::Change::AddressAdded { index, prefix } | netlink::Change::AddressRemoved { index, prefix } => {
                let name = self.interfaces.get(index).map(|interface| interface.name.clone());
                name.is_none_or(|name| !self.ours.contains(&(name, prefix.address())))
            }
        }
    }

    /// Reads everything again and says what differs from what was known.
    pub fn resync(&mut self) -> anyhow::Result<Vec<Fact>> {
        let before = std::mem::take(&mut self.interfaces);
        self.read_interfaces()?;
        let mut facts: Vec<Fact> = before
            .keys()
            .filter(|index| !self.interfaces.contains_key(index))
            .map(|&index| Fact::Gone(index))
            .collect();
        facts.extend(self.interfaces.values().cloned().map(Fact::Interface));
        let there: BTreeSet<_> = self.netlink.addresses()?.iter().map(key).collect();
        let gone: Vec<_> = self.present.iter().filter(|held| !there.contains(held)).copied().collect();
        for (interface, prefix) in gone {
            self.present.remove(&(interface, prefix));
            if self.interfaces.contains_key(&interface) {
                facts.push(Fact::Vanished { interface: self.own_links.below(interface), address: prefix.address() });
            }
        }
        Ok(facts)
    }

    fn read_interfaces(&mut self) -> Result<(), Error> {
        let list = self.netlink.interfaces()?;
        self.interfaces = list
            .into_iter()
            .map(|i| {
                let addresses = usable(&i.addresses, &i.tentative);
                (i.index, Interface { index: i.index, name: i.name, up: i.up, mac: i.mac, addresses })
            })
            .collect();
        Ok(())
    }

    /// A socket for each interface in use that exists; those of interfaces that are gone are closed.
    pub fn open_sockets(&mut self, config: &Config, watch: &Watch) {
        self.sockets.open(config, &self.interfaces, watch);
    }

    /// What somebody says about an address.
    pub fn receive_neighbour(&self, interface: u32, family: Family) -> Option<Event> {
        self.sockets.receive_neighbour(interface, self.own_links.below(interface), family)
    }

    /// Gratuitous ARP or unsolicited neighbour advertisements, `count` for each address; what was done, in words.
    pub fn announce(&self, id: InstanceId, config: &Config, list: &[VirtualAddress], count: u8) -> String {
        let own = config.instances.get(id.0 as usize).map_or("", |instance| instance.device());
        let mut n_sent = 0u32;
        let mut failure = None;
        // All addresses once, then all again: the first message for the last address should not wait for the fifth for
        // the first.
        for _ in 0..count {
            for address in list {
                match self.announce_once(address.device.as_deref().unwrap_or(own), address.prefix.address()) {
                    Ok(()) => n_sent += 1,
                    Err(error) => failure = Some(error),
                }
            }
        }
        let has = |v6| list.iter().any(|address| address.prefix.address().is_ipv6() == v6);
        let what = match (has(false), has(true)) {
            (_, false) => "gratuitous ARPs",
            (false, true) => "neighbour advertisements",
            (true, true) => "gratuitous ARPs and neighbour advertisements",
        };
        if let Some(failure) = failure {
            tracing::warn!(target: "vrrp", "{failure}");
            return format!("sent {n_sent} {what}, then could not: {failure}");
        }
        let names: Vec<_> = list.iter().map(|address| address.prefix.address().to_string()).collect();
        match &names[..] {
            [one] => format!("sent {n_sent} {what} for {one}"),
            names => format!("sent {n_sent} {what} for {} addresses", names.len()),
        }
    }

    fn announce_once(&self, device: &str, address: IpAddr) -> Result<(), String> {
        let Some(interface) = self.interfaces.values().find(|interface| interface.name == device) else {
            return Err(format!("no interface {device}"));
        };
        self.sockets.announce(interface, address).map_err(|error| error.to_string())
    }

    pub fn probe(&self, interface: u32, source: IpAddr, address: IpAddr) {
        let Some(interface) = self.interfaces.get(&interface) else { return };
        if let Err(error) = self.sockets.probe(interface, source, address) {
            tracing::debug!(target: "vrrp", "{error}");
        }
    }

    /// Before a new configuration: its interfaces are made, and the old ones stay until nothing is held on them.
    pub fn make_own_links(&mut self, config: &Config) -> Result<(), Error> {
        self.own_links.add(config);
        self.own_links.ensure(&mut self.netlink);
        self.read_interfaces()
    }

    /// Makes the interfaces that instances have for themselves, where they are missing; those whose interface was made.
    pub fn ensure_own_links(&mut self, config: &Config) -> Vec<(InstanceId, String)> {
        let made = self.own_links.ensure(&mut self.netlink);
        let ids = (0u32..).map(InstanceId).zip(&config.instances);
        let is_made = |name: &str| made.iter().any(|made| made == name);
        ids.filter(|(_, instance)| instance.own_link.is_some() && is_made(instance.device()))
            .map(|(id, instance)| (id, format!("interface {}", instance.device())))
            .collect()
    }

    /// The interface of an instance that something came in by, to the core.
    pub fn below(&self, interface: u32) -> u32 {
        self.own_links.below(interface)
    }

    /// The interface that an instance's adverts leave by.
    pub fn speaks_on(&self, id: InstanceId, config: &Config, interface: u32) -> u32 {
        let own = config.instances.get(id.0 as usize).filter(|instance| instance.own_link.is_some());
        if let Some(index) = own.and_then(|instance| self.index_of(instance.speaks_on())) {
            return index;
        }
        // One that departs is in no configuration any more: where a socket is, it spoke.
        let above = || self.sockets.interfaces().find(|index| self.own_links.below(*index) == interface);
        if self.sockets.has(interface) { interface } else { above().unwrap_or(interface) }
    }

    /// Whether there are routes or rules to watch over, and which protocols they carry.
    pub fn routing_protocols(&self) -> Option<Vec<u8>> {
        (!self.routing.is_idle()).then(|| self.routing.protocols())
    }

    /// Routes and rules of instances that somebody took away.
    pub fn lost_routing(&mut self) -> Result<Vec<(InstanceId, String)>, Error> {
        self.routing.lost(&mut self.netlink)
    }

    /// Puts back what is to be there whoever is master, and says what the core has to hear of it.
    pub fn mend_statics(&mut self, config: &Config) -> Result<Vec<Event>, Error> {
        if *config.network == evenkeel_vrrp::config::Network::default() {
            return Ok(Vec::new());
        }
        let absent = self.absent_statics(config)?;
        let mut done = Vec::new();
        if !absent.is_empty() || self.routing.lacks_static(&mut self.netlink)? {
            self.reconcile(&mut done);
        }
        for what in done {
            tracing::info!(target: "vrrp", "static: {what}");
        }
        let absent = self.absent_statics(config)?;
        self.routing.judge_groups(&mut self.netlink, config, &absent)
    }

    /// Static addresses that are missing, by their index.
    fn absent_statics(&mut self, config: &Config) -> Result<BTreeMap<usize, String>, Error> {
        let there: BTreeSet<_> = self.netlink.addresses()?.iter().map(key).collect();
        let absent = config.network.addresses.iter().enumerate().filter(|(_, address)| {
            !address.untracked && !self.lower_static(address).is_some_and(|held| there.contains(&key(&held)))
        });
        let tell = |address: &VirtualAddress| {
            format!("address {} on {}", address.prefix, address.device.as_deref().unwrap_or("?"))
        };
        Ok(absent.map(|(at, address)| (at, tell(address))).collect())
    }

    /// Whether an address is one of those that are there whoever is master.
    pub fn is_static(&self, index: u32, address: IpAddr) -> bool {
        let name = self.name(index);
        self.statics.iter().any(|it| it.prefix.address() == address && it.device.as_ref() == Some(&name))
    }

    /// Whether there is an interface of this name.
    pub fn has(&self, name: &str) -> bool {
        self.index_of(name).is_some()
    }

    fn index_of(&self, name: &str) -> Option<u32> {
        self.interfaces.values().find(|interface| interface.name == name).map(|interface| interface.index)
    }
}

/// `sent advert priority 150`, or why not.
pub fn tell_advert(packet: &[u8], destination: IpAddr, sent: Result<(), String>) -> String {
    let header = match destination {
        IpAddr::V4(_) => usize::from(packet.first().copied().unwrap_or_default() & 0xf) * 4,
        IpAddr::V6(_) => 0,
    };
    let is_protected = destination.is_ipv4() && packet.get(9) == Some(&header::PROTOCOL);
    let header = header + if is_protected { header::LENGTH } else { 0 };
    let priority = packet.get(header + 2).copied().unwrap_or_default();
    let to = if destination.is_multicast() { String::new() } else { format!(" to {destination}") };
    match sent {
        Ok(()) => format!("sent advert priority {priority}{to}"),
        Err(error) => format!("could not send advert priority {priority}{to}: {error}"),
    }
}

fn lower(address: VirtualAddress) -> Address {
    // With another end the length is that of its network.
    let length = address.peer.map(Prefix::length);
    let prefix = length.and_then(|length| Prefix::new(address.prefix.address(), length).ok());
    Address {
        prefix: prefix.unwrap_or(address.prefix),
        broadcast: address.broadcast,
        label: address.label,
        scope: address.scope,
        peer: address.peer.map(Prefix::address),
        flags: address.flags,
        preferred: address.preferred,
    }
}

fn key(held: &Held) -> (u32, Prefix) {
    (held.index, held.address.prefix)
}

fn refusing(config: &Config) -> BTreeSet<InstanceId> {
    let ids = (0u32..).map(InstanceId).zip(&config.instances);
    ids.filter(|(_, instance)| instance.refuses).map(|(id, _)| id).collect()
}

fn style(config: &Config) -> Style {
    let firewall = &config.network.firewall;
    Style { table: firewall.table.clone(), priority: firewall.priority, counters: firewall.counters }
}

fn ours(config: &Config) -> BTreeSet<(String, IpAddr)> {
    addresses_of(config, |_| true)
}

/// Addresses of the configuration, on their interfaces' names.
fn addresses_of(config: &Config, is_meant: impl Fn(&VirtualAddress) -> bool) -> BTreeSet<(String, IpAddr)> {
    let mut all = BTreeSet::new();
    for instance in &config.instances {
        for address in instance.addresses.iter().chain(&instance.excluded).filter(|address| is_meant(address)) {
            let device = address.device.as_deref().unwrap_or(instance.device());
            all.insert((device.to_owned(), address.prefix.address()));
            if address.device.is_none() && instance.own_link.is_some() {
                // A run without an interface of its own held it there.
                all.insert((instance.interface.clone(), address.prefix.address()));
            }
        }
    }
    for address in config.network.addresses.iter().filter(|address| is_meant(address)) {
        if let Some(device) = &address.device {
            all.insert((device.clone(), address.prefix.address()));
        }
    }
    all
}
