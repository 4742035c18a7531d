use crate::auth::trailer::Utc;
use crate::config::{self, Config, LinkDelay, TrackTarget, Vrid};
use crate::deadlines::Deadlines;
use crate::debounce::{self, Debounce};
use crate::event::{Action, Command, Event, InstanceId, Interface, Maintenance, ScriptId, ScriptOutcome};
use crate::group::Group;
use crate::instance::Instance;
use crate::link::{self, Links};
use crate::machine::Input;
use crate::pacer::Pacer;
use crate::packet::{Datagram, Received};
use crate::state::{Init, State};
use crate::status::{Status, Unclaimed};
use crate::timers;
use crate::track::{Judge, Tracker, Verdict};
use evenkeel_wire::arp::Arp;
use evenkeel_wire::ndp::Advertisement;
use evenkeel_wire::{Family, Instant, Mac};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// Instances whose deadlines are served by one event. When very many are due together, the adverts that have arrived
/// meanwhile are heard in between: some of these deadlines are then none any more.
const DEADLINES_AT_ONCE: usize = 32;

/// Every virtual router of this node.
#[derive(Clone, Debug)]
pub struct Router {
    pub(crate) instances: Vec<Instance>,
    pub(crate) groups: Vec<Group>,
    /// The group of each instance: index in `groups`.
    pub(crate) group_of: Vec<Option<usize>>,
    judges: Vec<Judge>,
    links: Links,
    /// What was said last of BFD sessions, files, processes and static things.
    reported: HashMap<TrackTarget, Verdict>,
    proxy: Option<Verdict>,
    /// Addresses that move, of all instances: none of them is a source of adverts.
    virtuals: HashSet<IpAddr>,
    /// The virtual routers ([`number`]) that are on some interface, and their instances, in order. More than one of the
    /// same only with other unicast peers or another group.
    by_vrid: Vec<(u64, usize)>,
    /// Instances by the addresses they may hold.
    by_address: HashMap<IpAddr, Vec<usize>>,
    deadlines: Deadlines,
    pacer: Pacer,
    delays: Vec<LinkDelay>,
    debounce: Debounce,
    seed: u64,
    phase: Phase,
    unclaimed: Unclaimed,
    /// Those that were said to be unknown, on which interface: at most 255 for each that exists.
    unknown_vrids: HashSet<(u32, Vrid)>,
    clock: Clock,
    pub(crate) maintenance: Maintenance,
    /// When the kernel was last to be compared with what is to be held.
    compared_at: Instant,
}

/// The wall clock, tied to the clock of the events.
#[derive(Clone, Copy, Debug)]
struct Clock {
    told_at: Instant,
    utc: Duration,
}

impl Clock {
    fn at(self, now: Instant) -> Utc {
        Utc::from_epoch(self.utc + now.since(self.told_at))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// [`Event::Shutdown`] came; some instance still waits for its successor.
    Stopping,
    Stopped,
}

impl Router {
    /// A router that has heard of no interface yet. `seed` spreads what may be spread (the first ARP probe).
    pub fn new(config: Config, seed: u64) -> Self {
        let mut router = Router {
            instances: Vec::new(),
            groups: Vec::new(),
            group_of: Vec::new(),
            judges: Vec::new(),
            links: Links::default(),
            reported: HashMap::new(),
            proxy: None,
            virtuals: HashSet::new(),
            by_vrid: Vec::new(),
            by_address: HashMap::new(),
            deadlines: Deadlines::default(),
            pacer: Pacer::new((*config.pacing).clone()),
            delays: Vec::new(),
            debounce: Debounce::default(),
            seed,
            phase: Phase::Running,
            unclaimed: Unclaimed::default(),
            unknown_vrids: HashSet::new(),
            clock: Clock { told_at: Instant::ORIGIN, utc: Duration::ZERO },
            maintenance: Maintenance::Off,
            compared_at: Instant::ORIGIN,
        };
        router.install(Instant::ORIGIN, config);
        router
    }

    /// Takes in one event; pushes what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        let from = actions.len();
        match event {
            Event::Deadline => self.deadline_came(now, actions),
            Event::Interface(interface) => self.interface_changed(now, interface, actions),
            Event::InterfaceGone { index } => {
                if let Some(name) = self.links.remove(index) {
                    self.debounce.forget(&name);
                    self.name_changed(now, &name, &format!("interface {name} is gone"), actions);
                }
            }
            Event::Packet { interface, bytes } => {
                return self.receive(now, interface, Datagram::V4(&bytes), actions);
            }
            Event::Packet6 { interface, source, destination, hop_limit, bytes } => {
                let datagram = Datagram::V6 { source, destination, hop_limit, message: &bytes };
                return self.receive(now, interface, datagram, actions);
            }
            Event::Arp { interface, arp } => self.arp_came(now, interface, &arp, actions),
            Event::Neighbour { interface, advert } => self.neighbour_came(now, interface, &advert, actions),
            Event::AddressVanished { interface, address } => {
                for i in self.holders(interface, address) {
                    self.drive(i, now, Input::Vanished(address), actions);
                }
            }
            Event::RouteVanished { instance, what } => {
                self.command(instance, now, Input::RouteVanished(&what), actions);
            }
            Event::Static { group, whole, reason } => {
                self.report(now, TrackTarget::Static(group), Verdict::of(Some(whole), reason), actions);
            }
            Event::ScriptEnded { script, outcome } => self.script_ended(now, script, outcome, actions),
            Event::Bfd { session, up, reason } => {
                self.report(now, TrackTarget::Bfd(session), Verdict::of(Some(up), reason), actions);
            }
            Event::File { name, value } => {
                self.report(now, TrackTarget::File(name), Verdict::of_file(value), actions);
            }
            Event::Processes { name, well, detail } => {
                self.report(now, TrackTarget::Processes(name), Verdict::of(Some(well), detail), actions);
            }
            Event::Proxy { healthy, reason } => {
                self.proxy = Some(Verdict::of(Some(healthy), reason));
                self.target_changed(now, &TrackTarget::Proxy, actions);
            }
            Event::Delay(delay) => {
                for (i, instance) in self.instances.iter_mut().enumerate() {
                    if let State::Init(init) = &mut instance.state
                        && init.resume_until.is_none()
                    {
                        init.delayed_until = Some(now + delay);
                        self.deadlines.note(i, instance.state.deadline());
                    }
                }
            }
            Event::Resume { instance, within } => self.command(instance, now, Input::Resume(within), actions),
            Event::Clock { utc } => self.clock = Clock { told_at: now, utc },
            Event::Maintenance(maintenance) => self.maintain(now, maintenance, actions),
            Event::Command(Command::Failover(id)) => self.command_all(id, now, Input::Failover, actions),
            Event::Command(Command::Failback(id)) => self.command_all(id, now, Input::Failback, actions),
            // Of one alone: its group has other addresses.
            Event::Command(Command::Announce(id)) => self.command(id, now, Input::Announce, actions),
            Event::Shutdown => {
                if self.phase == Phase::Running {
                    self.phase = Phase::Stopping;
                }
                for i in 0..self.instances.len() {
                    self.drive(i, now, Input::Shutdown, actions);
                }
            }
        }
        self.conclude(now, from, actions);
    }

    /// [`Event::Packet`] and [`Event::Packet6`] for bytes that stay with the caller.
    pub fn receive(&mut self, now: Instant, interface: u32, datagram: Datagram, actions: &mut Vec<Action>) {
        let from = actions.len();
        self.packet_came(now, interface, datagram, actions);
        self.conclude(now, from, actions);
    }

    /// What all instances together make of what each has decided.
    fn conclude(&mut self, now: Instant, from: usize, actions: &mut Vec<Action>) {
        let instances = &self.instances;
        self.pacer.admit(now, from, actions, |id| instances.get(id.0 as usize).map(|instance| &instance.config));
        self.pacer.serve(now, actions);
        self.stop_when_all_have(actions);
    }

    /// When [`Event::Deadline`] is to come, at the latest; `None` when nothing is awaited.
    ///
    /// One such event serves some of the instances that are due. Are there more, then this names an instant that has
    /// passed, and what has come in meanwhile is to be told first.
    ///
    /// Adverts put deadlines off without changing this. The event may then find nothing to do, and this names a later
    /// instant afterwards.
    pub fn deadline(&self) -> Option<Instant> {
        [self.deadlines.earliest(), self.pacer.deadline(), self.debounce.deadline()].into_iter().flatten().min()
    }

    /// The shortest time between two adverts of any instance, its own or its master's; `None` without instances.
    pub fn shortest_interval(&self) -> Option<Duration> {
        self.instances.iter().map(|instance| instance.own_interval().min(instance.master_interval)).min()
    }

    /// What is so now.
    pub fn status(&self, now: Instant) -> Status {
        Status {
            instances: self.instances.iter().map(|instance| instance.status(now)).collect(),
            groups: self.group_statuses(now),
            scripts: self.judges.iter().map(Judge::status).collect(),
            unclaimed: self.unclaimed,
        }
    }

    /// Replaces the configuration. Instances are matched by virtual router, family and interface, not by name;
    /// matched ones keep state, counters and addresses. Trackers of the same definition keep their results.
    ///
    /// Afterwards identifiers are indices in the new configuration. The actions hold one [`Action::Hold`] for each of
    /// its instances, so a shell that keeps a table of what to hold empties it first and has it complete again
    /// afterwards. An instance that is gone appears with an identifier beyond the new list: its old index plus the
    /// new number of instances ([`InstanceId::departed`]). If it was master it sends priority 0; scripts hear FAULT,
    /// which is what keepalived reports unless `notify_deleted` is set.
    ///
    /// Nothing is sent but for instances that are gone and addresses that are new. After [`Event::Shutdown`] the old
    /// configuration stays.
    pub fn reconfigure(&mut self, now: Instant, config: Config, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        let (from, pacing) = (actions.len(), (*config.pacing).clone());
        let mut old: Vec<Option<Instance>> = self.install(now, config).into_iter().map(Some).collect();
        let n_instances = self.instances.len();
        let mut candidates = HashMap::<_, VecDeque<usize>>::new();
        for (at, old) in old.iter().flatten().enumerate() {
            candidates.entry(identity(&old.config)).or_default().push_back(at);
        }
        let found = self.instances.iter().map(|new| candidates.get_mut(&identity(&new.config))?.pop_front());
        let found: Vec<Option<usize>> = found.collect();
        let matched: Vec<_> = found.into_iter().map(|at| old[at?].take()).collect();
        let numbers = matched.iter().zip(&self.instances).filter_map(|(old, new)| Some((old.as_ref()?.id, new.id)));
        self.pacer.reconfigure(now, pacing, &numbers.collect(), &self.instances);
        for mut gone in old.into_iter().flatten() {
            gone.utc = self.clock.at(now);
            gone.depart(now, InstanceId(n_instances as u32 + gone.id.0), actions);
        }
        for (new, old) in self.instances.iter_mut().zip(matched) {
            match old {
                Some(old) => {
                    let fresh = std::mem::replace(new, old);
                    new.become_configured(now, fresh, actions);
                }
                None => new.push_hold(actions),
            }
        }
        self.drive_facts((0..n_instances).collect(), now, "the configuration changed", actions);
        self.conclude(now, from, actions);
    }

    /// Puts a configuration in place with new instances that know the present facts; returns the old ones.
    fn install(&mut self, now: Instant, config: Config) -> Vec<Instance> {
        let old_judges = std::mem::take(&mut self.judges);
        let judge = |script| match old_judges.iter().find(|judge| judge.script == script) {
            Some(judge) => judge.clone(),
            None => Judge::new(script),
        };
        self.virtuals = link::virtual_addresses(&config);
        self.delays = config.links.delays;
        self.judges = config.scripts.into_iter().map(judge).collect();
        let numbered = (0..).map(InstanceId).zip(config.instances);
        let fresh = numbered.map(|(id, config)| Instance::new(id, config, now, self.seed)).collect();
        let old = std::mem::replace(&mut self.instances, fresh);
        let duplicates = duplicates(&self.instances);
        for (instance, duplicate_of) in self.instances.iter_mut().zip(duplicates) {
            instance.duplicate_of = duplicate_of;
            instance.set_maintenance(self.maintenance);
            instance.trackers =
                instance.config.tracks.iter().map(|track| Tracker::new(track.clone(), &self.judges)).collect();
            for tracker in &mut instance.trackers {
                if let Some(verdict) =
                    verdict(&tracker.track.target, &self.links, &self.judges, &self.reported, self.proxy.as_ref())
                {
                    tracker.verdict = verdict;
                }
            }
            let link = self.links.link(&instance.config, &self.virtuals);
            instance.set_link(link);
        }
        self.install_groups(now, config.groups);
        self.unknown_vrids.clear();
        self.by_address.clear();
        for (i, instance) in self.instances.iter().enumerate() {
            for address in instance.addresses().map(|address| address.prefix.address()) {
                let holders = self.by_address.entry(address).or_default();
                if !holders.contains(&i) {
                    holders.push(i);
                }
            }
        }
        self.deadlines = Deadlines::of(self.instances.len());
        self.index_vrids();
        old
    }

    fn index_vrids(&mut self) {
        self.by_vrid.clear();
        for (i, instance) in self.instances.iter().enumerate() {
            let Some(present) = instance.present() else { continue };
            if instance.duplicate_of.is_none() {
                let config = &instance.config;
                self.by_vrid.push((number(present.index, config.family(), config.vrid), i));
            }
        }
        self.by_vrid.sort_unstable();
    }

    fn stop_when_all_have(&mut self, actions: &mut Vec<Action>) {
        let all_stopped = || self.instances.iter().all(|instance| instance.state == State::Stopped);
        if self.phase == Phase::Stopping && all_stopped() {
            self.phase = Phase::Stopped;
            actions.push(Action::Stopped);
        }
    }

    // ----- events -----

    fn deadline_came(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(name) = self.debounce.due(now) {
            if let Some(before) = self.links.by_name(&name).cloned() {
                self.take_interface(now, Interface { up: !before.up, ..before }, actions);
            }
        }
        for _ in 0..DEADLINES_AT_ONCE {
            let Some(i) = self.deadlines.due(now, |i| self.instances[i].state.deadline()) else { break };
            let met = self.instances[i].state.deadline();
            if self.end_delay(i, now, actions) {
                continue;
            }
            self.drive(i, now, Input::Deadline, actions);
            debug_assert!(self.instances[i].state.deadline() != met, "a deadline that was met is over");
        }
        self.compare_in_time(now, actions);
    }

    /// Reports of removed addresses may be lost, and nobody reports what an address was lacking from the start. Nothing is
    /// woken for this: a master has a deadline each second, for its probe.
    fn compare_in_time(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let period = timers::COMPARE_INTERVAL.max(timers::COMPARE_EACH * self.virtuals.len() as u32);
        if now.since(self.compared_at) >= period {
            self.compared_at = now;
            actions.push(Action::Compare);
        }
    }

    /// Whether an instance waited for the delay after the start, which is over for all now.
    fn end_delay(&mut self, i: usize, now: Instant, actions: &mut Vec<Action>) -> bool {
        let State::Init(Init { delayed_until: Some(_), resume_until: None }) = self.instances[i].state else {
            return false;
        };
        let all: Vec<usize> = (0..self.instances.len()).collect();
        for i in &all {
            if let State::Init(init) = &mut self.instances[*i].state {
                init.delayed_until = None;
            }
        }
        self.drive_facts(all, now, "the delay after the start is over", actions);
        true
    }

    fn packet_came(&mut self, now: Instant, interface: u32, datagram: Datagram, actions: &mut Vec<Action>) {
        let Some((received, vrid)) = datagram.open().and_then(|received| Some((received, received.vrid()?))) else {
            self.unclaimed.malformed += 1;
            return;
        };
        let Some(i) = self.addressee(interface, vrid, &received) else {
            self.unclaimed.unknown_vrid += 1;
            if self.unknown_vrids.insert((interface, vrid)) {
                actions.push(Action::Unclaimed { interface, vrid });
            }
            return;
        };
        let instance = &mut self.instances[i];
        instance.utc = self.clock.at(now);
        match instance.read(&received) {
            Ok(advert) => {
                instance.note_advert(now, &advert, actions);
                self.drive(i, now, Input::Advert(&advert), actions);
            }
            Err(reject) => instance.refuse(received.source, reject, actions),
        }
    }

    /// The instance that a packet is for; among several the one that has its sender as a peer, or its destination as group.
    fn addressee(&self, interface: u32, vrid: Vrid, received: &Received) -> Option<usize> {
        let wanted = number(interface, Family::of(received.source), vrid);
        let from = self.by_vrid.partition_point(|(number, _)| *number < wanted);
        let is_candidate = |(number, _): &&(u64, usize)| *number == wanted;
        let mut candidates = self.by_vrid[from..].iter().take_while(is_candidate).map(|(_, i)| *i);
        if candidates.clone().nth(1).is_none() {
            return candidates.next();
        }
        candidates.find(|i| {
            let config = &self.instances[*i].config;
            if config.is_unicast() { config.has_peer(received.source) } else { config.group == received.destination }
        })
    }

    fn arp_came(&mut self, now: Instant, interface: u32, arp: &Arp, actions: &mut Vec<Action>) {
        let (address, mac) = (arp.sender_ip.into(), arp.sender_mac);
        let input = if arp.target_ip == arp.sender_ip {
            Input::Announced { address, mac }
        } else {
            Input::Answered { address, mac }
        };
        self.somebody_speaks_for(now, interface, (address, mac), input, actions);
    }

    fn neighbour_came(&mut self, now: Instant, interface: u32, advert: &Advertisement, actions: &mut Vec<Action>) {
        // Without a MAC address nobody can say whose it is.
        let Some(mac) = advert.mac else { return };
        let address = advert.target.into();
        let input = if advert.solicited { Input::Answered { address, mac } } else { Input::Announced { address, mac } };
        self.somebody_speaks_for(now, interface, (address, mac), input, actions);
    }

    fn somebody_speaks_for(
        &mut self,
        now: Instant,
        interface: u32,
        (address, mac): (IpAddr, Mac),
        input: Input,
        actions: &mut Vec<Action>,
    ) {
        if self.links.has_mac(mac) {
            return;
        }
        for i in self.holders(interface, address) {
            self.drive(i, now, input, actions);
        }
    }

    /// The instances that may hold this address on this interface.
    fn holders(&self, interface: u32, address: IpAddr) -> Vec<usize> {
        let Some(candidates) = self.by_address.get(&address) else { return Vec::new() };
        let Some(Interface { name, .. }) = self.links.by_index(interface) else { return Vec::new() };
        let lives_there = |instance: &Instance| {
            instance.addresses().any(|held| {
                held.prefix.address() == address && held.device.as_ref().unwrap_or(&instance.config.interface) == name
            })
        };
        candidates.iter().copied().filter(|i| lives_there(&self.instances[*i])).collect()
    }

    fn interface_changed(&mut self, now: Instant, mut interface: Interface, actions: &mut Vec<Action>) {
        let before = self.links.by_index(interface.index).cloned();
        let limit = self.link_delay_limit(&interface.name);
        let delays = &self.delays;
        let delay =
            |name: &str, up| limit.map_or(Duration::ZERO, |limit| debounce::configured(delays, name, up).min(limit));
        self.debounce.filter(now, &mut interface, before.as_ref(), delay);
        self.take_interface(now, interface, actions);
    }

    /// A change that waited longer would let a peer take over before this node knows (keepalived, observed): one advert less
    /// than it may miss, and the least skew. `None` where nobody has a delay.
    fn link_delay_limit(&self, name: &str) -> Option<Duration> {
        if self.delays.is_empty() {
            return None;
        }
        let uses = |instance: &&Instance| {
            instance.config.interface == name
                || instance.addresses().any(|address| address.device.as_deref() == Some(name))
                || instance.config.tracks.iter().any(|track| track.target == TrackTarget::Interface(name.to_owned()))
        };
        let limit = |instance: &Instance| {
            let interval = instance.own_interval().min(instance.master_interval);
            let adverts = u32::from(instance.config.down_adverts.get());
            (interval * (adverts - 1)).saturating_sub(interval / 256)
        };
        Some(self.instances.iter().filter(uses).map(limit).min().unwrap_or(Duration::MAX))
    }

    fn take_interface(&mut self, now: Instant, interface: Interface, actions: &mut Vec<Action>) {
        let name = interface.name.clone();
        let before = self.links.by_index(interface.index).cloned();
        let trigger = describe(before.as_ref(), &interface);
        let (up, mac) = (interface.up, interface.mac);
        for displaced in self.links.displaced(&interface) {
            if let Some(gone) = self.links.remove(displaced) {
                self.name_changed(now, &gone, &format!("interface {gone} is gone"), actions);
            }
        }
        self.links.insert(interface);
        self.name_changed(now, &name, &trigger, actions);
        // What needs no interface starts with the first that is known of any.
        for i in 0..self.instances.len() {
            if self.instances[i].config.interface.is_empty() && matches!(self.instances[i].state, State::Init(_)) {
                self.drive(i, now, Input::Facts("it needs no interface"), actions);
            }
        }
        if before.is_some_and(|before| before.mac != mac) && up {
            for instance in self.instances.iter_mut().filter(|instance| instance.config.interface == name) {
                instance.announce_new_mac(now, mac, actions);
            }
        }
    }

    /// Gives the new view of an interface to the instances that live on it or track it.
    fn name_changed(&mut self, now: Instant, name: &str, trigger: &str, actions: &mut Vec<Action>) {
        let mut is_affected = vec![false; self.instances.len()];
        for (instance, is_affected) in self.instances.iter_mut().zip(&mut is_affected) {
            if instance.config.interface == name {
                let link = self.links.link(&instance.config, &self.virtuals);
                *is_affected |= instance.link != link;
                instance.set_link(link);
            }
        }
        self.index_vrids();
        let affected = (0..self.instances.len()).filter(|i| is_affected[*i]).collect();
        self.drive_facts(affected, now, trigger, actions);
        self.target_changed(now, &TrackTarget::Interface(name.to_owned()), actions);
    }

    fn script_ended(&mut self, now: Instant, script: ScriptId, outcome: ScriptOutcome, actions: &mut Vec<Action>) {
        let Some(judge) = self.judges.get_mut(script.0 as usize) else { return };
        judge.record(outcome);
        self.target_changed(now, &TrackTarget::Script(script), actions);
    }

    fn report(&mut self, now: Instant, target: TrackTarget, verdict: Verdict, actions: &mut Vec<Action>) {
        self.reported.insert(target.clone(), verdict);
        self.target_changed(now, &target, actions);
    }

    /// Gives the new verdict on a tracked thing to the instances that track it.
    fn target_changed(&mut self, now: Instant, target: &TrackTarget, actions: &mut Vec<Action>) {
        let Some(verdict) = verdict(target, &self.links, &self.judges, &self.reported, self.proxy.as_ref()) else {
            return;
        };
        let mut changed = Vec::new();
        for i in 0..self.instances.len() {
            let mut trigger = None;
            for tracker in &mut self.instances[i].trackers {
                if tracker.track.target == *target && tracker.verdict != verdict {
                    let (before, after) = (&tracker.verdict, &verdict);
                    if before.value != after.value {
                        trigger = Some(format!("{} holds {}", tracker.name, verdict.detail));
                    } else if before.healthy != after.healthy {
                        let word = if verdict.healthy == Some(true) { "is well" } else { "has failed" };
                        trigger = Some(format!("{} {word}: {}", tracker.name, verdict.detail));
                    }
                    tracker.verdict = verdict.clone();
                }
            }
            changed.extend(trigger.map(|trigger| (i, trigger)));
        }
        for (i, trigger) in changed {
            self.drive_facts(vec![i], now, &trigger, actions);
        }
    }

    fn command(&mut self, id: InstanceId, now: Instant, input: Input, actions: &mut Vec<Action>) {
        if (id.0 as usize) < self.instances.len() {
            self.drive(id.0 as usize, now, input, actions);
        }
    }

    /// Hands an input to one instance, and what follows from it to the others of its sync group.
    fn drive(&mut self, i: usize, now: Instant, input: Input, actions: &mut Vec<Action>) {
        let from = self.instances[i].state.name();
        self.drive_alone(i, now, input, actions);
        if self.group_of[i].is_some() {
            self.take_along(i, from, now, actions);
        }
    }

    /// Hands an input to one instance and notes its new deadline.
    pub(crate) fn drive_alone(&mut self, i: usize, now: Instant, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Deadline | Input::Facts(_) | Input::Failback => self.look_at_companions(i, now),
            _ => {}
        }
        let instance = &mut self.instances[i];
        instance.utc = self.clock.at(now);
        instance.handle(now, input, actions);
        self.deadlines.note(i, instance.state.deadline());
    }
}

/// What makes an instance the same virtual router of this node as another.
fn identity(config: &config::Instance) -> (&str, Family, Vrid) {
    (&config.interface, config.family(), config.vrid)
}

/// For each instance the earlier one that has the same virtual router on the same interface. Instances may share one as
/// long as they share no peer, or no group.
fn duplicates(instances: &[Instance]) -> Vec<Option<String>> {
    let clash = |this: &config::Instance, other: &config::Instance| match (this.is_unicast(), other.is_unicast()) {
        (true, true) => this.peers.iter().any(|peer| other.has_peer(peer.address)),
        (false, false) => this.group == other.group,
        (true, false) | (false, true) => true,
    };
    let mut earlier = HashMap::<_, Vec<&config::Instance>>::new();
    let mut found = Vec::with_capacity(instances.len());
    for this in instances.iter().map(|instance| &instance.config) {
        let others = earlier.entry(identity(this)).or_default();
        found.push(others.iter().find(|other| clash(this, other)).map(|other| other.name.clone()));
        others.push(this);
    }
    found
}

/// One number for each virtual router of this node.
fn number(interface: u32, family: Family, vrid: Vrid) -> u64 {
    u64::from(interface) << 9 | u64::from(family == Family::V6) << 8 | u64::from(vrid.get())
}

/// What is known of a tracked thing; `None` before its first report.
fn verdict(
    target: &TrackTarget,
    links: &Links,
    judges: &[Judge],
    reported: &HashMap<TrackTarget, Verdict>,
    proxy: Option<&Verdict>,
) -> Option<Verdict> {
    match target {
        TrackTarget::Interface(name) => {
            let up = links.health(name)?;
            Some(Verdict::of(Some(up), if up { "up" } else { "down" }))
        }
        TrackTarget::Script(id) => {
            judges.get(id.0 as usize).map(Judge::verdict).filter(|verdict| verdict.healthy.is_some())
        }
        TrackTarget::Bfd(_) | TrackTarget::File(_) | TrackTarget::Processes(_) | TrackTarget::Static(_) => {
            reported.get(target).cloned()
        }
        TrackTarget::Proxy => proxy.cloned(),
    }
}

/// What a report of an interface says that was not known before.
fn describe(before: Option<&Interface>, now: &Interface) -> String {
    let name = &now.name;
    match before.filter(|before| before.name == now.name) {
        Some(before) if before.up == now.up => format!("interface {name} has other addresses"),
        Some(_) | None if now.up => format!("interface {name} is up"),
        Some(_) | None => format!("interface {name} is down"),
    }
}
