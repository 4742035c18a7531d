//! A model of keepalived as a peer: what it does that its neighbours notice, on simulated machines beside our own core.
//!
//! It is told the same events and answers with the same actions, so that a scenario can put either on a machine. It does
//! what `docs/upstream-behavior.md` says that keepalived was seen to do, where that differs from ours in particular:
//!
//! - A new master sends its advert first, then adds its addresses, then announces them.
//! - A master that meets a better one lets go at once and without a word; one that is told to stop removes its addresses
//!   and then sends priority 0, one in FAULT sends two.
//! - An address that somebody removed costs it the mastership for a skew.
//! - A reload restarts its timers, and a master sends at once. A process that was killed starts as a backup.
//! - Nothing is asked or learned by ARP: of another owner of its addresses it knows nothing.
//!
//! Bytes are read and written by our own core's code: that both programs have the same is what tests with the real one
//! show. Absent are two owners of one address that meet (priority 255 on both), authentication beyond passwords, and
//! routes.

mod group;
#[cfg(test)]
mod tests;
mod track;

use evenkeel_vrrp::auth::Guard;
use evenkeel_vrrp::auth::trailer::Utc;
use evenkeel_vrrp::config::{self, Preempt, Priority, Version, VirtualAddress};
use evenkeel_vrrp::packet::{Advert, Checksum, Datagram, Heard, TTL};
use evenkeel_vrrp::{Action, Config, Event, InstanceId, Interface, StateName, Transition, timers};
use evenkeel_wire::{Family, Instant};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use track::Facts;

/// The timer of an owner before its first advert.
const AT_ONCE: Duration = Duration::from_micros(1);

/// All virtual routers of one keepalived.
#[derive(Clone, Debug)]
pub(crate) struct Keepalived {
    groups: Vec<config::Group>,
    routers: Vec<VirtualRouter>,
    links: BTreeMap<String, Interface>,
    facts: Facts,
    /// `vrrp_startup_delay`: nothing is done before this instant.
    delayed_until: Option<Instant>,
    stopped: bool,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct VirtualRouter {
    id: InstanceId,
    config: config::Instance,
    pub(crate) state: StateName,
    /// Its timer ran out, and other members of its group were not ready.
    wants_master: bool,
    /// As a backup when it becomes master, as a master when it sends next.
    timer: Option<Instant>,
    pub(crate) effective: u8,
    /// Kept when it becomes master, forgotten when it leaves FAULT.
    master_interval: Duration,
    /// `preempt_delay`, since a lower advert was heard.
    preempt_at: Option<Instant>,
    /// The second burst of gratuitous ARP, and of how many.
    burst: Option<(Instant, u8)>,
    refresh_at: Option<Instant>,
    /// Where adverts go out, and from which address.
    sends: Option<(u32, IpAddr)>,
    /// What an earlier process left on this machine was removed.
    is_clean: bool,
}

impl Keepalived {
    pub(crate) fn new(config: Config) -> Self {
        let numbered = (0..).map(InstanceId).zip(config.instances);
        Keepalived {
            routers: numbered.map(|(id, config)| VirtualRouter::new(id, config)).collect(),
            groups: config.groups,
            links: BTreeMap::new(),
            facts: Facts::new(config.scripts),
            delayed_until: None,
            stopped: false,
        }
    }

    pub(crate) fn routers(&self) -> &[VirtualRouter] {
        &self.routers
    }

    pub(crate) fn handle(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        if self.stopped {
            return;
        }
        match event {
            Event::Deadline => self.serve(now, actions),
            Event::Interface(interface) => {
                self.facts.link(&interface.name, interface.up);
                self.links.insert(interface.name.clone(), interface);
                self.look(now, actions);
            }
            Event::InterfaceGone { index } => {
                self.links.retain(|_, link| link.index != index);
                self.look(now, actions);
            }
            Event::Packet { interface, bytes } => self.receive(now, interface, Datagram::V4(&bytes), actions),
            Event::Packet6 { interface, source, destination, hop_limit, bytes } => {
                let datagram = Datagram::V6 { source, destination, hop_limit, message: &bytes };
                self.receive(now, interface, datagram, actions);
            }
            Event::AddressVanished { address, .. } => self.address_vanished(now, address, actions),
            Event::ScriptEnded { script, outcome } => {
                self.facts.script_ended(script, outcome);
                self.look(now, actions);
            }
            Event::File { name, value } => {
                self.facts.file(name, value);
                self.look(now, actions);
            }
            Event::Processes { name, well, .. } => {
                self.facts.processes(name, well);
                self.look(now, actions);
            }
            Event::Bfd { session, up, .. } => {
                self.facts.bfd(session, up);
                self.look(now, actions);
            }
            Event::Delay(delay) => self.delayed_until = Some(now + delay),
            Event::Shutdown => {
                for i in 0..self.routers.len() {
                    self.stop(i, actions);
                }
                self.stopped = true;
                actions.push(Action::Stopped);
            }
            // It looks at nobody's ARP, has no routes here, and knows neither our commands nor our proxy.
            Event::Arp { .. }
            | Event::Neighbour { .. }
            | Event::RouteVanished { .. }
            | Event::Static { .. }
            | Event::Proxy { .. }
            | Event::Resume { .. }
            | Event::Clock { .. }
            | Event::Maintenance(_)
            | Event::Command(_) => {}
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.routers.iter().filter_map(VirtualRouter::deadline).chain(self.delayed_until).min()
    }

    /// Instances that have the virtual router, family and interface that they had stay in their state; their timers start
    /// anew, and a master sends at once.
    pub(crate) fn reconfigure(&mut self, now: Instant, config: Config, actions: &mut Vec<Action>) {
        let mut old = std::mem::take(&mut self.routers);
        self.facts.configure(config.scripts);
        self.groups = config.groups;
        let n_instances = config.instances.len();
        for (id, config) in (0..).map(InstanceId).zip(config.instances) {
            let key = |config: &config::Instance| (config.vrid, config.family(), config.interface.clone());
            let router = match old.iter().position(|old| key(&old.config) == key(&config)) {
                Some(at) => {
                    let old = old.remove(at);
                    let timer = match old.state {
                        StateName::Master => Some(now),
                        _ => old.timer.map(|_| now + old.master_down()),
                    };
                    VirtualRouter { id, config, timer, ..old }
                }
                None => VirtualRouter::new(id, config),
            };
            self.routers.push(router);
        }
        for mut gone in old {
            gone.id = InstanceId(n_instances as u32 + gone.id.0);
            gone.leave(1, actions);
            gone.enter(StateName::Stopped, "no longer configured", actions);
        }
        for router in &self.routers {
            router.push_hold(actions);
        }
        self.look(now, actions);
    }

    // ----- facts -----

    /// Looks at links and trackers, and what follows from them for each instance.
    fn look(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for router in &mut self.routers {
            let old = std::mem::replace(&mut router.effective, self.facts.effective(&router.config));
            router.reckon_anew(old);
            if let Some(link) = self.links.get(&router.config.interface) {
                let source = source(link, router.config.family());
                router.sends = source.map(|source| (link.index, source)).or(router.sends);
            }
            router.clean(actions);
        }
        if self.delayed_until.is_some() {
            return;
        }
        for i in 0..self.routers.len() {
            let companions = self.with_companions(i);
            let fault = companions.iter().find_map(|c| self.own_fault(*c));
            let is_awaited = companions.iter().any(|c| self.is_awaited(*c));
            let router = &mut self.routers[i];
            match (router.state, fault) {
                (StateName::Init | StateName::Backup | StateName::Master, Some(fault)) => {
                    router.leave(2, actions);
                    router.timer = None;
                    router.enter(StateName::Fault, fault, actions);
                }
                (StateName::Init | StateName::Fault, None) if !is_awaited => self.start(i, now, actions),
                _ => {}
            }
        }
    }

    fn own_fault(&self, i: usize) -> Option<&'static str> {
        let config = &self.routers[i].config;
        match self.links.get(&config.interface) {
            Some(link) if !link.up => Some("its interface is down"),
            Some(link) if source(link, config.family()).is_none() => Some("no address to send from"),
            Some(_) | None => config.tracks.iter().any(|track| self.facts.forbids(track)).then_some("a tracker"),
        }
    }

    fn is_awaited(&self, i: usize) -> bool {
        let config = &self.routers[i].config;
        !self.links.contains_key(&config.interface) || config.tracks.iter().any(|track| self.facts.is_awaited(track))
    }

    fn start(&mut self, i: usize, now: Instant, actions: &mut Vec<Action>) {
        let all_own = self.with_companions(i).iter().all(|c| self.routers[*c].is_owner());
        let router = &mut self.routers[i];
        router.master_interval = router.own_interval();
        router.preempt_at = None;
        router.wants_master = false;
        router.timer = Some(now + if all_own { AT_ONCE } else { router.master_down() });
        router.enter(StateName::Backup, "it starts", actions);
    }

    /// Somebody removed one of the addresses of a master.
    fn address_vanished(&mut self, now: Instant, address: IpAddr, actions: &mut Vec<Action>) {
        for i in 0..self.routers.len() {
            let router = &mut self.routers[i];
            let has_it = router.addresses().any(|held| held.prefix.address() == address);
            if router.state == StateName::Master && has_it {
                router.leave(1, actions);
                router.timer = Some(now + router.skew());
                router.enter(StateName::Backup, "an address was removed", actions);
                self.pull_to_backup(i, now, actions);
            }
        }
    }

    fn stop(&mut self, i: usize, actions: &mut Vec<Action>) {
        let router = &mut self.routers[i];
        router.leave(1, actions);
        router.timer = None;
        router.enter(StateName::Stopped, "stopped", actions);
    }

    // ----- deadlines -----

    fn serve(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.delayed_until.is_some_and(|until| until <= now) {
            self.delayed_until = None;
            self.look(now, actions);
        }
        for i in 0..self.routers.len() {
            let router = &mut self.routers[i];
            if router.timer.is_some_and(|timer| timer <= now) {
                match router.state {
                    StateName::Backup => self.timer_ran_out(i, now, actions),
                    StateName::Master => router.send(now, actions),
                    StateName::Init | StateName::Fault | StateName::Leaving | StateName::Stopped => {
                        router.timer = None;
                    }
                }
            }
            self.routers[i].announce_in_time(now, actions);
        }
    }

    fn timer_ran_out(&mut self, i: usize, now: Instant, actions: &mut Vec<Action>) {
        self.routers[i].wants_master = true;
        if !self.is_group_ready(i) {
            let router = &mut self.routers[i];
            router.timer = Some(now + router.master_down());
            return;
        }
        for member in self.with_companions(i) {
            if self.routers[member].state == StateName::Backup {
                self.routers[member].become_master(now, actions);
            }
        }
    }

    // ----- adverts -----

    fn receive(&mut self, now: Instant, interface: u32, datagram: Datagram, actions: &mut Vec<Action>) {
        if self.delayed_until.is_some() {
            return;
        }
        let Some(received) = datagram.open() else { return };
        let family = Family::of(received.source);
        let is_it = |router: &VirtualRouter| {
            let link = self.links.get(&router.config.interface);
            link.is_some_and(|link| link.index == interface)
                && (Some(router.config.vrid), router.config.family()) == (received.vrid(), family)
        };
        let Some(i) = self.routers.iter().position(is_it) else { return };
        let config = &self.routers[i].config;
        let Ok(advert) = Heard::parse(&received, config, &mut Guard::default(), Utc::default()) else { return };
        match self.routers[i].state {
            StateName::Backup => self.routers[i].backup_hears(now, &advert),
            StateName::Master => self.master_hears(i, now, &advert, actions),
            // Adverts count for nothing before the start and in FAULT.
            StateName::Init | StateName::Fault | StateName::Leaving | StateName::Stopped => {}
        }
    }

    fn master_hears(&mut self, i: usize, now: Instant, advert: &Heard, actions: &mut Vec<Action>) {
        let router = &mut self.routers[i];
        if advert.priority == 0 {
            return router.send(now, actions);
        }
        let Some((_, own)) = router.sends else { return };
        match (advert.priority, advert.source).cmp(&(router.effective, own)) {
            Ordering::Equal => {}
            Ordering::Less => {
                if !router.config.lower_prio_no_advert {
                    router.send(now, actions);
                }
                for member in self.with_companions(i) {
                    self.routers[member].announce_beside_rival(now, actions);
                }
            }
            Ordering::Greater => {
                if router.config.higher_prio_send_advert {
                    router.send(now, actions);
                }
                router.learn_interval(advert);
                router.leave(0, actions);
                router.timer = Some(now + router.master_down());
                router.enter(StateName::Backup, "a better master", actions);
                self.pull_to_backup(i, now, actions);
            }
        }
    }
}

impl VirtualRouter {
    fn new(id: InstanceId, config: config::Instance) -> Self {
        VirtualRouter {
            id,
            state: StateName::Init,
            wants_master: false,
            timer: None,
            effective: config.priority.get(),
            master_interval: timers::advert_interval(config.version, config.advert_interval),
            preempt_at: None,
            burst: None,
            refresh_at: None,
            sends: None,
            is_clean: false,
            config,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.timer.into_iter().chain(self.burst.map(|(at, _)| at)).chain(self.refresh_at).min()
    }

    fn is_owner(&self) -> bool {
        self.config.priority == Priority::OWNER
    }

    fn own_interval(&self) -> Duration {
        timers::advert_interval(self.config.version, self.config.advert_interval)
    }

    /// By the effective priority; an owner's is always 255.
    fn skew(&self) -> Duration {
        timers::skew(self.config.version, self.effective, self.master_interval)
    }

    fn master_down(&self) -> Duration {
        self.master_interval * u32::from(self.config.down_adverts.get()) + self.skew()
    }

    fn addresses(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.config.addresses.iter().chain(&self.config.excluded)
    }

    fn learn_interval(&mut self, advert: &Heard) {
        if self.config.version == Version::V3 {
            self.master_interval = advert.interval.duration();
        }
    }

    fn backup_hears(&mut self, now: Instant, advert: &Heard) {
        if advert.priority == 0 {
            self.timer = Some(now + self.skew());
            self.wants_master = false;
            return;
        }
        let is_lower = advert.priority < self.effective;
        let is_delayed = match self.config.preempt {
            Preempt::After(delay) if is_lower => now < *self.preempt_at.get_or_insert(now + delay),
            Preempt::After(_) | Preempt::Always | Preempt::Never => {
                self.preempt_at = None;
                false
            }
        };
        // The time that is left is carried over, so that the timer really runs out.
        if is_lower && self.config.preempt != Preempt::Never && !is_delayed {
            return;
        }
        self.learn_interval(advert);
        self.wants_master = false;
        self.timer = Some(now + self.master_down());
    }

    fn become_master(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.wants_master = false;
        self.preempt_at = None;
        self.send(now, actions);
        self.enter(StateName::Master, "its timer ran out", actions);
        self.push_hold(actions);
        let garp = self.config.garp;
        self.announce(garp.repeat, actions);
        self.burst = (!garp.delay.is_zero()).then_some((now + garp.delay, garp.repeat));
        self.refresh_at = (!garp.refresh.is_zero()).then_some(now + garp.refresh);
    }

    /// Lets go of everything, if it is master, and then says so, so many times.
    fn leave(&mut self, n_goodbyes: u8, actions: &mut Vec<Action>) {
        (self.burst, self.refresh_at, self.wants_master) = (None, None, false);
        if self.state != StateName::Master {
            return;
        }
        self.state = StateName::Backup;
        self.push_hold(actions);
        self.state = StateName::Master;
        for _ in 0..n_goodbyes {
            self.push_adverts(0, actions);
        }
    }

    fn enter(&mut self, state: StateName, trigger: &str, actions: &mut Vec<Action>) {
        let from = std::mem::replace(&mut self.state, state);
        let (trigger, rule, decision) = (trigger.to_owned(), "as keepalived".to_owned(), String::new());
        let (instance, waited) = (self.id, Duration::ZERO);
        actions.push(Action::Explain(Transition { instance, from, to: state, trigger, rule, decision, waited }));
    }

    /// As it starts it removes what an earlier process left.
    fn clean(&mut self, actions: &mut Vec<Action>) {
        if !std::mem::replace(&mut self.is_clean, true) {
            self.push_hold(actions);
        }
    }

    fn push_hold(&self, actions: &mut Vec<Action>) {
        let is_master = self.state == StateName::Master;
        let addresses = self.addresses().filter(|_| is_master).cloned().collect();
        actions.push(Action::Hold { instance: self.id, addresses, routes: Vec::new(), rules: Vec::new() });
    }

    fn announce(&self, count: u8, actions: &mut Vec<Action>) {
        if count > 0 {
            actions.push(Action::Announce { instance: self.id, addresses: self.addresses().cloned().collect(), count });
        }
    }

    fn announce_beside_rival(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let garp = self.config.garp;
        if self.state == StateName::Master && garp.lower_prio_repeat > 0 {
            self.announce(garp.lower_prio_repeat, actions);
            if !garp.lower_prio_delay.is_zero() {
                self.burst = Some((now + garp.lower_prio_delay, garp.lower_prio_repeat));
            }
        }
    }

    fn announce_in_time(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if let Some((_, count)) = self.burst.take_if(|(at, _)| *at <= now) {
            self.announce(count, actions);
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = Some(now + self.config.garp.refresh);
            self.announce(self.config.garp.refresh_repeat, actions);
        }
    }

    fn send(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.timer = Some(now + self.own_interval());
        self.push_adverts(self.effective, actions);
    }

    fn push_adverts(&self, priority: u8, actions: &mut Vec<Action>) {
        let Some((interface, source)) = self.sends else { return };
        let config = &self.config;
        let ttl = if config.is_unicast() { config.unicast_ttl } else { TTL };
        let peers = config.peers.iter().map(|peer| peer.address);
        let group = (!config.is_unicast()).then_some(config.group);
        for destination in peers.chain(group) {
            let advert = Advert {
                source,
                destination,
                ttl,
                version: config.version,
                vrid: config.vrid,
                priority,
                interval: config.advert_interval,
                addresses: config.addresses.iter().map(|address| address.prefix.address()).collect(),
                password: config.password(),
            };
            let packet = advert.build(Checksum::WithPseudoHeader, 1);
            actions.push(Action::SendAdvert { instance: self.id, interface, source, destination, ttl, packet });
        }
    }
}

/// The address of a link that adverts come from: virtual ones come after its own.
fn source(link: &Interface, family: Family) -> Option<IpAddr> {
    link.addresses.iter().copied().find(|address| Family::of(*address) == family)
}
