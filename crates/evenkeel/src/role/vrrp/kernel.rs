//! The kernel's side of the virtual routers: which addresses to hold and which are there, and the sockets.

use super::beats::Beats;
use super::filter::Filter;
use super::holdings::{self, Holdings, Place};
use super::own_links::OwnLinks;
use super::routing::Routing;
use super::sockets::{Sockets, usable};
use super::watch::Watch;
use evenkeel_kernel::Error;
use evenkeel_kernel::addresses::{self, Address, Change, Held, PROTOCOL, Reconciled};
use evenkeel_kernel::clock;
use evenkeel_kernel::netlink::{self, Netlink};
use evenkeel_kernel::routes::Desired;
use evenkeel_kernel::vip_filter::VipFilter;
use evenkeel_vrrp::auth::header;
use evenkeel_vrrp::config::{Instance, VirtualAddress};
use evenkeel_vrrp::{Action, Config, Event, InstanceId, Interface};
use evenkeel_wire::{Family, Prefix};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

pub struct Kernel {
    netlink: Netlink,
    interfaces: BTreeMap<u32, Interface>,
    /// The indices of the interfaces.
    by_name: HashMap<String, u32>,
    holdings: Holdings,
    /// Every address of the configuration: ours to remove when not held.
    ours: Named,
    /// Addresses that are there from start to end.
    statics: Vec<VirtualAddress>,
    /// `no_track`: whose removal is nobody's business.
    untracked: Named,
    routing: Routing,
    own_links: OwnLinks,
    filter: Filter,
    /// Something may be there that nobody wants, or not be as it is wanted: the next change is to be followed by a look at
    /// everything.
    has_doubts: bool,
    /// That look is due.
    is_look_due: bool,
    /// Between [`begin_reload`](Self::begin_reload) and [`end_reload`](Self::end_reload).
    is_reloading: bool,
    /// What is heard and sent.
    pub sockets: Sockets,
    /// Carrier that drivers are asked for.
    pub beats: Beats,
}

/// What a look at the kernel showed.
pub enum Fact {
    Gone(u32),
    Interface(Interface),
    Vanished { interface: u32, address: IpAddr },
}

/// Addresses and interfaces that are there, for several questions of the same moment.
pub struct Look {
    places: BTreeSet<Place>,
    interfaces: BTreeSet<u32>,
}

impl Kernel {
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let mut kernel = Kernel {
            netlink: Netlink::open()?,
            interfaces: BTreeMap::new(),
            by_name: HashMap::new(),
            holdings: Holdings::default(),
            ours: ours(config),
            statics: config.network.addresses.clone(),
            untracked: addresses_of(config, |address| address.untracked),
            routing: Routing::default(),
            own_links: OwnLinks::new(config),
            filter: Filter::new(config),
            has_doubts: false,
            is_look_due: false,
            is_reloading: false,
            sockets: Sockets::new(),
            beats: Beats::new(config, clock::now())?,
        };
        kernel.own_links.clean_leftovers(&mut kernel.netlink);
        kernel.own_links.ensure(&mut kernel.netlink);
        kernel.read_interfaces()?;
        kernel.routing.configure(config);
        Ok(kernel)
    }

    /// Before the core's `actions` for a new configuration are performed: what the old instances hold stays theirs, under the
    /// identifiers that those depart with that are gone, and nobody's change takes away what another will hold.
    pub fn begin_reload(&mut self, config: &Config, actions: &[Action]) {
        let n_instances = config.instances.len();
        self.is_reloading = true;
        self.holdings.depart_all(n_instances);
        self.routing.depart_all(n_instances);
        self.filter.configure(config);
        for action in actions {
            if let Action::Hold { instance, addresses, routes, rules } = action
                && instance.departed(n_instances).is_none()
            {
                let routing = Desired { routes: routes.clone(), rules: rules.clone() };
                self.expect(*instance, config, addresses, routing);
            }
        }
    }

    /// After that: what nobody holds any more goes.
    pub fn end_reload(&mut self, config: &Config) {
        self.is_reloading = false;
        self.holdings.forget_departed(config.instances.len());
        self.routing.forget_departed(config.instances.len());
        // Addresses that the configuration no longer names are still ours to remove: they go with this reconciliation,
        // since nothing holds them any more.
        let next = ours(config);
        self.ours.extend(&next);
        self.statics.clone_from(&config.network.addresses);
        self.untracked = addresses_of(config, |address| address.untracked);
        self.routing.configure(config);
        self.beats.configure(config, clock::now());
        self.reconcile(&mut Vec::new());
        self.ours = next;
        self.routing.forget_old(config);
        self.own_links.forget_old(&mut self.netlink, config);
        // Less is ours now, and there may be fewer links with a virtual MAC.
        self.reconcile(&mut Vec::new());
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
        self.holdings.forget_all();
        self.statics.clear();
        self.routing.forget_all();
        self.reconcile(&mut Vec::new());
        self.own_links.release_all(&mut self.netlink);
        self.filter.apply(VipFilter::default(), &mut Vec::new());
    }

    pub fn name(&self, index: u32) -> String {
        self.interfaces.get(&index).map_or_else(|| format!("interface {index}"), |i| i.name.clone())
    }

    /// Takes over what the core says an instance is to hold, and makes the kernel so. What was done goes into `done`.
    ///
    /// This touches what is the instance's own; what depends on others is made right by [`settle`](Self::settle). Packets are
    /// kept from addresses before they come; rules send packets to routes, and routes need addresses: they come in this
    /// order and go in the other.
    pub fn hold(
        &mut self,
        id: InstanceId,
        config: &Config,
        addresses: &[VirtualAddress],
        routing: Desired,
        done: &mut Vec<String>,
    ) {
        let held = self.lower_all(id, config, addresses, done);
        // With an address go routes that need it, whoever took it away. What a reload changes about them comes at its end.
        let has_routing = routing != Desired::default() && !self.is_reloading;
        let needs_routing = self.routing.hold(id, routing) || has_routing;
        self.filter.admit(id, &held, done);
        let before = self.holdings.of(id).to_vec();
        let changes = self.holdings.hold(id, held);
        if changes.is_empty() && !needs_routing {
            return;
        }
        if needs_routing {
            self.routing.remove(&mut self.netlink, done);
        }
        // The kernel takes the others of a network away with the first one, unless `promote_secondaries` is set.
        let takes_others = |change: &Change| matches!(change, Change::Delete { prefix, .. } if prefix.address().is_ipv4() && prefix.length() < 32);
        self.is_look_due |= self.has_doubts || self.filter.is_unknown() || changes.iter().any(takes_others);
        let result = addresses::make(&mut self.netlink, changes);
        self.note(result, done);
        if needs_routing {
            self.routing.add(&mut self.netlink, done);
        }
        let is_gone = |held: &&Held| !self.holdings.is_present(holdings::place(held));
        let gone: Vec<_> = before.iter().filter(is_gone).cloned().collect();
        self.filter.dismiss(id, &gone, &self.holdings, done);
    }

    /// The look at everything that is due after changes that may have touched more than they were to.
    pub fn settle(&mut self) {
        if !self.is_look_due {
            return;
        }
        let mut done = Vec::new();
        self.reconcile(&mut done);
        for what in done {
            tracing::info!(target: "vrrp", "{what}");
        }
    }

    /// What a process before this one held for an instance stays where it is until the core says otherwise.
    pub fn resume(&mut self, id: InstanceId, config: &Config) {
        let Some(instance) = config.instances.get(id.0 as usize) else { return };
        let addresses: Vec<_> = instance.addresses.iter().chain(&instance.excluded).cloned().collect();
        let routing = Desired { routes: instance.routes.clone(), rules: instance.rules.clone() };
        self.expect(id, config, &addresses, routing);
    }

    fn expect(&mut self, id: InstanceId, config: &Config, addresses: &[VirtualAddress], routing: Desired) {
        let held = self.lower_all(id, config, addresses, &mut Vec::new());
        self.holdings.record(id, held);
        self.routing.hold(id, routing);
    }

    fn lower_all(
        &self,
        id: InstanceId,
        config: &Config,
        addresses: &[VirtualAddress],
        done: &mut Vec<String>,
    ) -> Vec<Held> {
        let instance = config.instances.get(id.0 as usize);
        let mut held = Vec::new();
        for address in addresses {
            let device = instance.map_or("", |instance| instance.holds_on(address));
            match self.index_of(device) {
                Some(index) => held.push(Held::new(index, lower(address))),
                None => done.push(format!("could not add {} to {device}: no such interface", address.prefix)),
            }
        }
        held
    }

    /// Makes the kernel hold exactly what is to be held, of what is ours, after a look at everything.
    fn reconcile(&mut self, done: &mut Vec<String>) {
        self.is_look_due = false;
        self.has_doubts = false;
        let filter = self.filter.desired(&self.holdings, &self.own_links);
        if self.filter.grows(&filter) {
            self.filter.apply(filter.clone(), done);
        }
        self.routing.remove(&mut self.netlink, done);
        self.reconcile_addresses(done);
        self.routing.add(&mut self.netlink, done);
        self.filter.apply(filter, done);
    }

    fn lower_static(&self, address: &VirtualAddress) -> Option<Held> {
        let index = self.index_of(address.device.as_deref()?)?;
        Some(Held::new(index, lower(address)))
    }

    fn reconcile_addresses(&mut self, done: &mut Vec<String>) {
        let statics = self.statics.iter().filter_map(|address| self.lower_static(address)).collect();
        self.holdings.set_statics(statics);
        let (interfaces, ours) = (&self.interfaces, &self.ours);
        let is_ours = |held: &Held| {
            // What another daemon or a person marked as theirs is not ours, whatever its number.
            let unmarked = held.protocol == PROTOCOL || held.protocol == 0;
            let name = interfaces.get(&held.index).map(|interface| &interface.name);
            unmarked && name.is_some_and(|name| ours.has(name, held.address.prefix.address()))
        };
        match addresses::reconcile(&mut self.netlink, &self.holdings.desired(), is_ours) {
            Ok(result) => {
                let is_refused = |place: &Place| {
                    let mut refused = result.refused.iter().map(|(change, _)| change);
                    refused.any(|change| matches!(change, Change::Add(held) if holdings::place(held) == *place))
                };
                self.holdings.was_seen(|place| !is_refused(place));
                self.note(result, done);
            }
            Err(error) => {
                tracing::error!(target: "vrrp", "{error}");
                done.push(format!("could not {error}"));
            }
        }
    }

    /// Takes note of what the kernel did, and tells it.
    fn note(&mut self, result: Reconciled, done: &mut Vec<String>) {
        for change in result.made {
            self.holdings.was_made(&change);
            done.push(match change {
                Change::Add(held) => format!("added {} to {}", held.address.prefix, self.name(held.index)),
                Change::Delete { index, prefix, .. } => format!("removed {prefix} from {}", self.name(index)),
            });
        }
        for (_, error) in &result.refused {
            self.has_doubts = true;
            tracing::error!(target: "vrrp", "{error}");
            done.push(format!("could not {error}"));
        }
    }

    /// The address, when its removal was not our doing. `look` is taken when it is needed, and has to be younger than the
    /// report of the removal.
    pub fn was_taken_away(&mut self, place: Place, look: &mut Option<Look>) -> Option<IpAddr> {
        let (index, prefix) = place;
        let is_tracked = || {
            let name = self.interfaces.get(&index).map(|interface| &interface.name);
            !name.is_some_and(|name| self.untracked.has(name, prefix.address()))
        };
        if !self.holdings.is_in_place(place) || !is_tracked() {
            return None;
        }
        if look.is_none() {
            *look = Some(self.look().ok()?);
        }
        let look = look.as_ref()?;
        // A replaced address (another broadcast address, say) goes and comes: the kernel knows whether it is there. With its
        // interface goes every address, and that is reported by itself.
        if look.places.contains(&place) || !look.interfaces.contains(&index) {
            return None;
        }
        self.holdings.vanished(place);
        Some(prefix.address())
    }

    /// Looks whether the kernel has what is to be held, whatever was reported or not; what is missing. What somebody else put
    /// there of ours is taken away.
    pub fn compare(&mut self) -> Result<Vec<(u32, IpAddr)>, Error> {
        let look = self.look()?;
        let lost = self.holdings.take_lost(&look.places).into_iter().filter(|(index, prefix)| {
            let name = self.interfaces.get(index).map(|interface| &interface.name);
            look.interfaces.contains(index) && !name.is_some_and(|name| self.untracked.has(name, prefix.address()))
        });
        let lost = lost.map(|(index, prefix)| (index, prefix.address())).collect();
        let is_added = |(index, prefix): &Place| {
            let name = self.interfaces.get(index).map(|interface| &interface.name);
            name.is_some_and(|name| self.ours.has(name, prefix.address()))
                && !self.holdings.is_present((*index, *prefix))
        };
        if look.places.iter().any(is_added) {
            let mut done = Vec::new();
            self.reconcile(&mut done);
            if !done.is_empty() {
                tracing::warn!(target: "vrrp", "addresses were not as they are to be: {}", done.join(", "));
            }
        }
        Ok(lost)
    }

    fn look(&mut self) -> Result<Look, Error> {
        let interfaces = self.netlink.interfaces()?;
        let places = interfaces.iter().flat_map(|it| it.addresses.iter().map(|prefix| (it.index, *prefix)));
        Ok(Look { places: places.collect(), interfaces: interfaces.iter().map(|interface| interface.index).collect() })
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
                let name = self.interfaces.get(index).map(|interface| &interface.name);
                let is_ours = name.is_some_and(|name| self.ours.has(name, prefix.address()));
                let is_addition = matches!(change, netlink::Change::AddressAdded { .. });
                // Somebody put there what we did not, or did not in this way.
                self.has_doubts |= is_ours && is_addition && !self.holdings.is_present((*index, *prefix));
                !is_ours
            }
        }
    }

    /// Reads everything again and says what differs from what was known.
    pub fn resync(&mut self) -> anyhow::Result<Vec<Fact>> {
        let before = std::mem::take(&mut self.interfaces);
        let there = self.read_interfaces()?;
        // What is on an interface that came may be ours from another time.
        self.has_doubts = true;
        let mut facts: Vec<Fact> = before
            .keys()
            .filter(|index| !self.interfaces.contains_key(index))
            .map(|&index| Fact::Gone(index))
            .collect();
        facts.extend(self.interfaces.values().cloned().map(Fact::Interface));
        for (interface, prefix) in self.holdings.take_lost(&there) {
            if self.interfaces.contains_key(&interface) {
                facts.push(Fact::Vanished { interface: self.own_links.below(interface), address: prefix.address() });
            }
        }
        Ok(facts)
    }

    /// Reads the interfaces; which addresses there are.
    fn read_interfaces(&mut self) -> Result<BTreeSet<Place>, Error> {
        let list = self.netlink.interfaces()?;
        let places = list.iter().flat_map(|it| it.addresses.iter().map(|prefix| (it.index, *prefix))).collect();
        self.interfaces = list
            .into_iter()
            .map(|i| {
                let addresses = usable(&i.addresses, &i.tentative);
                let mut interface = Interface { index: i.index, name: i.name, up: i.up, mac: i.mac, addresses };
                self.beats.apply(&mut interface);
                self.own_links.lend_source(&mut interface, &i.addresses);
                (i.index, interface)
            })
            .collect();
        self.by_name = self.interfaces.values().map(|it| (it.name.clone(), it.index)).collect();
        Ok(places)
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
        let instance = config.instances.get(id.0 as usize);
        let mut n_sent = 0u32;
        let mut failure = None;
        // All addresses once, then all again: the first message for the last address should not wait for the fifth for
        // the first.
        for _ in 0..count {
            for address in list {
                let device = instance.map_or("", |instance| instance.holds_on(address));
                match self.announce_once(device, address.prefix.address()) {
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
        let Some(interface) = self.index_of(device).and_then(|index| self.interfaces.get(&index)) else {
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
        self.read_interfaces()?;
        Ok(())
    }

    /// Makes the interfaces that instances have for themselves, where they are missing; those whose interface was made.
    pub fn ensure_own_links(&mut self, config: &Config) -> Vec<(InstanceId, String)> {
        let made = self.own_links.ensure(&mut self.netlink);
        self.is_look_due |= !self.filter.knows(&self.own_links);
        let ids = (0u32..).map(InstanceId).zip(&config.instances);
        let is_made = |name: &str| made.iter().any(|made| made == name);
        let own = |instance: &Instance| -> Vec<String> {
            let of_addresses = instance.address_links.iter().map(|link| link.name.clone());
            instance.own_link.iter().map(|link| link.name.clone()).chain(of_addresses).collect()
        };
        ids.filter_map(|(id, instance)| {
            let name = own(instance).into_iter().find(|name| is_made(name))?;
            Some((id, format!("interface {name}")))
        })
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
        let there = self.look()?.places;
        let absent = config.network.addresses.iter().enumerate().filter(|(_, address)| {
            !address.untracked
                && !self.lower_static(address).is_some_and(|held| there.contains(&holdings::place(&held)))
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
        self.by_name.get(name).copied()
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

fn lower(address: &VirtualAddress) -> Address {
    // With another end the length is that of its network.
    let length = address.peer.map(Prefix::length);
    let prefix = length.and_then(|length| Prefix::new(address.prefix.address(), length).ok());
    Address {
        prefix: prefix.unwrap_or(address.prefix),
        broadcast: address.broadcast,
        label: address.label.clone(),
        scope: address.scope,
        peer: address.peer.map(Prefix::address),
        flags: address.flags,
        preferred: address.preferred,
    }
}

/// Addresses of the configuration by the names of their interfaces.
#[derive(Default)]
struct Named(HashMap<String, HashSet<IpAddr>>);

impl Named {
    fn has(&self, interface: &str, address: IpAddr) -> bool {
        self.0.get(interface).is_some_and(|addresses| addresses.contains(&address))
    }

    fn insert(&mut self, interface: &str, address: IpAddr) {
        match self.0.get_mut(interface) {
            Some(addresses) => drop(addresses.insert(address)),
            None => drop(self.0.insert(interface.to_owned(), HashSet::from([address]))),
        }
    }

    fn extend(&mut self, others: &Named) {
        for (interface, addresses) in &others.0 {
            self.0.entry(interface.clone()).or_default().extend(addresses);
        }
    }
}

fn ours(config: &Config) -> Named {
    addresses_of(config, |_| true)
}

/// Addresses of the configuration, on their interfaces' names.
fn addresses_of(config: &Config, is_meant: impl Fn(&VirtualAddress) -> bool) -> Named {
    let mut all = Named::default();
    for instance in &config.instances {
        for address in instance.addresses.iter().chain(&instance.excluded).filter(|address| is_meant(address)) {
            all.insert(instance.holds_on(address), address.prefix.address());
            if address.own_link.is_some() || address.device.is_none() && instance.own_link.is_some() {
                // A run without an interface of its own held it there.
                all.insert(instance.announces_on(address), address.prefix.address());
            }
        }
    }
    for address in config.network.addresses.iter().filter(|address| is_meant(address)) {
        if let Some(device) = &address.device {
            all.insert(device, address.prefix.address());
        }
    }
    all
}
