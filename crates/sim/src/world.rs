use crate::guest::{Guest, Whose};
use crate::lan::Lan;
use crate::laws::Watch;
use crate::node::Node;
use crate::random::Random;
use crate::scenario::{Edit, FILE, Fault, LINK, OTHER_LINK, PROCESSES, Scenario, primary};
use crate::{Summary, Trace, words};
use evenkeel_bfd::Received;
use evenkeel_vrrp::{Action, Event, InstanceId, ScriptId, ScriptOutcome, StateName};
use evenkeel_wire::arp::{Arp, Operation};
use evenkeel_wire::ndp::Advertisement;
use evenkeel_wire::{Family, Mac};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The message that names the broken law.
pub(crate) type Broken = String;

/// From a change in the kernel to its report by netlink.
const NETLINK_DELAY: Duration = Duration::from_micros(100);
/// A timer is never early and, on a machine that does other things, a little late.
const MAX_LATENESS: Duration = Duration::from_micros(200);

/// The machines, the LAN between them, and the clock.
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) scenario: Scenario,
    pub(crate) nodes: Vec<Node>,
    pub(crate) lan: Lan,
    pub(crate) random: Random,
    pub(crate) summary: Summary,
    pub(crate) healed: bool,
    /// Addresses that must be served at every instant.
    pub(crate) watch: Option<Watch>,
    /// Where a client looks for each address.
    pub(crate) client: BTreeMap<IpAddr, Whose>,
    pub(crate) guest: Option<Guest>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    n_scheduled: u64,
    /// Events at this very instant: a router that is never done would stop the clock.
    n_at_once: u32,
    trace: Option<Vec<String>>,
}

struct Scheduled {
    at: Duration,
    /// Those of one instant happen in the order in which they were scheduled.
    sequence: u64,
    happening: Happening,
}

pub(crate) enum Happening {
    Start(usize),
    Fault(Fault),
    /// Something arrives from the LAN: whoever runs then gets it.
    Arrival {
        node: usize,
        event: Event,
    },
    /// netlink tells about a link as it is when this happens.
    Facts {
        node: usize,
        incarnation: u64,
        link: &'static str,
    },
    Vanished {
        node: usize,
        incarnation: u64,
        address: IpAddr,
    },
    ScriptRun {
        node: usize,
        incarnation: u64,
    },
    ProxyReport {
        node: usize,
        incarnation: u64,
    },
    /// The tracked file and the tracked processes are looked at.
    Trackers {
        node: usize,
        incarnation: u64,
    },
    /// A BFD packet arrives.
    Bfd {
        node: usize,
        received: Box<Received>,
    },
    /// A process that got no time goes on.
    Resume {
        node: usize,
        incarnation: u64,
    },
    /// The client hears whose an address is.
    Learn {
        address: IpAddr,
        whose: Whose,
    },
    GuestSpeaks {
        visit: u64,
    },
    /// Only to look whether the laws hold.
    Look,
}

impl Happening {
    /// Whose process gets it.
    fn process(&self) -> Option<usize> {
        match self {
            Happening::Arrival { node, .. }
            | Happening::Bfd { node, .. }
            | Happening::Facts { node, .. }
            | Happening::Vanished { node, .. }
            | Happening::ScriptRun { node, .. }
            | Happening::ProxyReport { node, .. }
            | Happening::Trackers { node, .. } => Some(*node),
            Happening::Start(_)
            | Happening::Fault(_)
            | Happening::Resume { .. }
            | Happening::Learn { .. }
            | Happening::GuestSpeaks { .. }
            | Happening::Look => None,
        }
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl World {
    pub(crate) fn new(scenario: Scenario, random: Random, trace: Trace) -> Self {
        let nodes: Vec<_> = scenario.nodes.iter().enumerate().map(|(n, plan)| Node::new(n, plan)).collect();
        let mut world = World {
            now: Duration::ZERO,
            lan: Lan::new(nodes.len(), scenario.bad_lan),
            nodes,
            random,
            summary: Summary::default(),
            healed: false,
            watch: None,
            client: BTreeMap::new(),
            guest: None,
            queue: BinaryHeap::new(),
            n_scheduled: 0,
            n_at_once: 0,
            trace: (trace == Trace::On).then(Vec::new),
            scenario,
        };
        for node in 0..world.nodes.len() {
            world.schedule(world.scenario.nodes[node].starts_at, Happening::Start(node));
        }
        for (at, fault) in world.scenario.faults.clone() {
            world.schedule(at, Happening::Fault(fault));
        }
        world
    }

    /// The story: chaos, healing, agreement, and an orderly handover.
    pub(crate) fn run(&mut self) -> Result<(), Broken> {
        self.tell_scenario();
        self.run_until(self.scenario.heals_at)?;
        self.heal()?;
        self.run_until(self.now + self.scenario.settles_for)?;
        self.check_settled()?;
        self.rest()?;
        self.hand_over()
    }

    /// A while in which nothing happens: nothing may change, though deadlines are announced that have not come.
    fn rest(&mut self) -> Result<(), Broken> {
        const N_PARTS: u32 = 10;
        let n_transitions = self.summary.n_transitions;
        for _ in 0..N_PARTS {
            self.run_until(self.now + self.scenario.down_interval / N_PARTS)?;
            for node in 0..self.nodes.len() {
                self.tell(node, Event::Deadline)?;
            }
        }
        if self.summary.n_transitions != n_transitions {
            return Err("what has settled stays as it is".to_owned());
        }
        Ok(())
    }

    pub(crate) fn end(self) -> (Duration, Summary, Vec<String>) {
        (self.now, self.summary, self.trace.unwrap_or_default())
    }

    /// Puts everything right but what lasts.
    fn heal(&mut self) -> Result<(), Broken> {
        self.note(|| "-- healing".to_owned());
        self.healed = true;
        self.lan.quality = self.scenario.good_lan;
        self.lan.reconnect();
        if let Some(guest) = &self.guest {
            // It speaks once more, where all hear it, and goes.
            let visit = guest.visit();
            self.guest_speaks(visit);
            self.schedule(self.now + Duration::from_millis(200), Happening::Fault(Fault::GuestLeaves));
        }
        let lasting = self.scenario.lasting.clone();
        for node in 0..self.nodes.len() {
            let stays_down =
                lasting.iter().any(|fault| matches!(fault, Fault::PowerOff(n) | Fault::Kill(n) if *n == node));
            for link in [LINK, OTHER_LINK] {
                self.befall(Fault::Link { node, name: link, up: true })?;
            }
            self.befall(Fault::Script { node, works: true })?;
            self.befall(Fault::Proxy { node, healthy: true })?;
            self.befall(Fault::File { node, value: 0 })?;
            self.befall(Fault::Processes { node, well: true })?;
            self.befall(Fault::Reload { node, edit: Edit::Restored })?;
            for instance in 0..self.nodes[node].config.instances.len() {
                self.befall(Fault::Failback { node, instance })?;
            }
            if !stays_down {
                self.befall(Fault::Start(node))?;
            }
        }
        for fault in lasting {
            self.befall(fault)?;
        }
        self.client_asks_anew();
        Ok(())
    }

    pub(crate) fn run_until(&mut self, end: Duration) -> Result<(), Broken> {
        loop {
            let wake = |node: &Node| Some((node.wake_at?.max(node.paused_until), node.number));
            let wake = self.nodes.iter().filter_map(wake).min();
            let session_wake = |node: &Node| Some((node.sessions_wake_at()?, node.number));
            let session_wake = self.nodes.iter().filter_map(session_wake).min();
            let queued = self.queue.peek().map(|Reverse(scheduled)| scheduled.at);
            let next = match (wake, queued) {
                (Some((wake, _)), Some(queued)) => wake.min(queued),
                (Some((wake, _)), None) => wake,
                (None, Some(queued)) => queued,
                (None, None) => end,
            };
            if let Some((at, node)) = session_wake.filter(|(at, _)| *at < end && *at <= next) {
                self.now = self.now.max(at);
                self.tell_sessions(node, evenkeel_bfd::Event::Deadline)?;
                self.check_watch()?;
                continue;
            }
            if next >= end {
                self.now = end;
                self.n_at_once = 0;
                return Ok(());
            }
            self.n_at_once = if next > self.now { 0 } else { self.n_at_once + 1 };
            if self.n_at_once > 5_000 {
                return Err("a router's deadline moves on once it has been served".to_owned());
            }
            self.now = self.now.max(next);
            match wake {
                Some((wake, node)) if wake == next => self.tell(node, Event::Deadline)?,
                _ => {
                    if let Some(Reverse(scheduled)) = self.queue.pop() {
                        self.happen(scheduled.happening)?;
                    }
                }
            }
            self.check_watch()?;
        }
    }

    pub(crate) fn schedule(&mut self, at: Duration, happening: Happening) {
        self.n_scheduled += 1;
        self.queue.push(Reverse(Scheduled { at, sequence: self.n_scheduled, happening }));
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        // What is for a process that gets no time waits.
        if let Some(node) = happening.process().map(|n| &self.nodes[n]).filter(|node| node.is_paused(self.now)) {
            self.schedule(node.paused_until, happening);
            return Ok(());
        }
        match happening {
            Happening::Start(node) => self.befall(Fault::Start(node)),
            Happening::Fault(fault) => self.befall(fault),
            Happening::Arrival { node, event } => {
                if self.nodes[node].is_up(LINK) {
                    self.tell(node, event)
                } else {
                    Ok(())
                }
            }
            Happening::Bfd { node, received } => {
                if self.nodes[node].is_up(LINK) {
                    self.tell_sessions(node, evenkeel_bfd::Event::Packet(*received))
                } else {
                    Ok(())
                }
            }
            Happening::Facts { node, incarnation, link } => {
                if !self.is_running(node, incarnation) {
                    return Ok(());
                }
                let facts = self.nodes[node].facts(link);
                self.tell(node, Event::Interface(facts))
            }
            Happening::Vanished { node, incarnation, address } => {
                if !self.is_running(node, incarnation) {
                    return Ok(());
                }
                let interface = self.nodes[node].index(LINK);
                self.tell(node, Event::AddressVanished { interface, address })
            }
            Happening::ScriptRun { node, incarnation } => {
                if !self.is_running(node, incarnation) {
                    return Ok(());
                }
                let works = self.nodes[node].script_works;
                let bad = self.random.pick(&[ScriptOutcome::Failure { status: 1 }, ScriptOutcome::TimedOut]);
                let outcome = if works { ScriptOutcome::Success } else { bad };
                let again = self.now + self.scenario.script_interval;
                self.schedule(again, Happening::ScriptRun { node, incarnation });
                self.tell(node, Event::ScriptEnded { script: ScriptId(0), outcome })
            }
            Happening::ProxyReport { node, incarnation } => {
                if !self.is_running(node, incarnation) {
                    return Ok(());
                }
                let healthy = self.nodes[node].proxy_healthy;
                let reason = if healthy { "answers" } else { "upstream app: no live server" };
                self.tell(node, Event::Proxy { healthy, reason: reason.to_owned() })
            }
            Happening::Trackers { node, incarnation } => {
                if !self.is_running(node, incarnation) {
                    return Ok(());
                }
                let Node { file_value: value, processes_well: well, .. } = self.nodes[node];
                self.tell(node, Event::File { name: FILE.to_owned(), value })?;
                let (name, detail) = (PROCESSES.to_owned(), String::new());
                self.tell(node, Event::Processes { name, well, detail })
            }
            Happening::Resume { node, incarnation } => {
                if !self.is_running(node, incarnation) {
                    return Ok(());
                }
                self.tell(node, Event::Deadline)
            }
            Happening::Learn { address, whose } => {
                self.client.insert(address, whose);
                Ok(())
            }
            Happening::GuestSpeaks { visit } => {
                self.guest_speaks(visit);
                Ok(())
            }
            Happening::Look => self.nodes.iter().try_for_each(|node| self.check_node(node)),
        }
    }

    fn is_running(&self, node: usize, incarnation: u64) -> bool {
        self.nodes[node].router.is_some() && self.nodes[node].incarnation == incarnation
    }

    /// A fresh process: it learns its links at once, its scripts and the proxy a little later.
    pub(crate) fn start(&mut self, n: usize) -> Result<(), Broken> {
        let seed = self.random.number();
        let node = &mut self.nodes[n];
        node.start(seed);
        let incarnation = node.incarnation;
        for (k, within) in node.resumptions(self.now) {
            self.tell(n, Event::Resume { instance: InstanceId(k as u32), within })?;
        }
        self.nodes[n].start_sessions(seed);
        if let Some(delay) = self.nodes[n].startup_delay {
            self.tell(n, Event::Delay(delay))?;
        }
        self.begin_sessions(n)?;
        for link in [LINK, OTHER_LINK] {
            let facts = self.nodes[n].facts(link);
            self.tell(n, Event::Interface(facts))?;
        }
        self.nodes[n].starting = false;
        self.check_node(&self.nodes[n])?;
        let first_run = self.now + self.random.span(Duration::ZERO, self.scenario.script_interval);
        self.schedule(first_run, Happening::ScriptRun { node: n, incarnation });
        let first_report = self.now + self.random.span(Duration::ZERO, self.scenario.script_interval);
        self.schedule(first_report, Happening::ProxyReport { node: n, incarnation });
        let first_look = self.now + self.random.span(Duration::ZERO, self.scenario.script_interval);
        self.schedule(first_look, Happening::Trackers { node: n, incarnation });
        Ok(())
    }

    pub(crate) fn report_trackers(&mut self, n: usize) {
        let incarnation = self.nodes[n].incarnation;
        self.schedule(self.now + NETLINK_DELAY, Happening::Trackers { node: n, incarnation });
    }

    pub(crate) fn report_link(&mut self, n: usize, link: &'static str) {
        let incarnation = self.nodes[n].incarnation;
        self.schedule(self.now + NETLINK_DELAY, Happening::Facts { node: n, incarnation, link });
    }

    pub(crate) fn report_proxy(&mut self, n: usize) {
        let incarnation = self.nodes[n].incarnation;
        self.schedule(self.now + NETLINK_DELAY, Happening::ProxyReport { node: n, incarnation });
    }

    pub(crate) fn report_vanished(&mut self, n: usize, address: IpAddr) {
        let incarnation = self.nodes[n].incarnation;
        self.schedule(self.now + NETLINK_DELAY, Happening::Vanished { node: n, incarnation, address });
        self.report_link(n, LINK);
    }

    pub(crate) fn look_at(&mut self, at: Duration) {
        self.schedule(at, Happening::Look);
    }

    /// Hands an event to a router and does what it wants done.
    pub(crate) fn tell(&mut self, n: usize, event: Event) -> Result<(), Broken> {
        let now = self.now;
        if self.trace.is_some() {
            let line = format!("{} <- {}", self.nodes[n].name(), words::event(&event));
            self.note(|| line);
        }
        let node = &mut self.nodes[n];
        let clock = node.clock(now);
        let Some(router) = &mut node.router else {
            return Ok(());
        };
        self.summary.n_events += 1;
        let mut actions = Vec::new();
        router.handle(clock, event, &mut actions);
        self.perform(n, actions)
    }

    pub(crate) fn perform(&mut self, n: usize, actions: Vec<Action>) -> Result<(), Broken> {
        let telling = actions.iter().any(|action| matches!(action, Action::Hold { .. } | Action::Explain(_)));
        for action in actions {
            if self.trace.is_some() {
                let line = format!("{}    {}", self.nodes[n].name(), words::action(&action));
                self.note(|| line);
            }
            self.check_action(n, &action)?;
            self.perform_one(n, action);
        }
        self.set_alarm(n);
        // Asking for the status costs more than the event did: ask when it may have changed, and now and then.
        if telling || self.summary.n_events.is_multiple_of(64) {
            self.check_node(&self.nodes[n])?;
        }
        Ok(())
    }

    fn perform_one(&mut self, n: usize, action: Action) {
        match action {
            Action::SendAdvert { source, destination, ttl, packet, .. } => {
                self.summary.n_adverts += 1;
                self.broadcast(n, |node| {
                    let meant =
                        destination.is_multicast() || destination == primary(node.number, Family::of(destination));
                    meant.then(|| arrived(node.index(LINK), source, destination, ttl, packet.clone()))
                });
            }
            Action::Hold { instance, addresses, .. } => {
                let node = &mut self.nodes[n];
                let before = node.addresses.clone();
                node.reconcile(instance.0 as usize, &addresses);
                if node.addresses != before {
                    self.report_link(n, LINK);
                }
            }
            Action::Announce { addresses, .. } => {
                let mac = self.nodes[n].mac();
                let is_heard = self.nodes[n].is_up(LINK);
                for address in addresses.iter().filter(|_| is_heard) {
                    self.learn(address.prefix.address(), Whose::Node(n));
                }
                for address in addresses.iter().map(|address| address.prefix.address()) {
                    self.broadcast(n, |node| Some(announcement(node.index(LINK), mac, address)));
                }
            }
            Action::Probe { address, .. } => {
                if let IpAddr::V4(address) = address {
                    let arp = Arp::probe(self.nodes[n].mac(), address);
                    self.broadcast(n, |node| Some(Event::Arp { interface: node.index(LINK), arp }));
                }
                // Of a question by neighbour discovery routers hear only the answer.
                self.answer_probe(n, address);
            }
            Action::Explain(transition) => {
                if transition.from != transition.to {
                    self.summary.n_transitions += 1;
                    self.summary.n_peer_transitions += u64::from(!self.nodes[n].is_ours());
                }
                // One that was asleep begins to look at its addresses.
                if matches!(transition.from, StateName::Init | StateName::Fault) {
                    let gone_by = self.now + Node::UNREPORTED_REPAIR_TIME + self.scenario.down_interval;
                    self.nodes[n].added.values_mut().for_each(|by| *by = gone_by);
                }
                // Of what a reload took away nothing follows any more.
                if let Some(state) = self.nodes[n].states.get_mut(transition.instance.0 as usize) {
                    *state = transition.to;
                }
            }
            Action::Compare => {
                for address in self.nodes[n].compare() {
                    self.report_vanished(n, address);
                }
            }
            Action::Stopped => {
                self.nodes[n].stopped = true;
                self.nodes[n].sessions = None;
                if self.healed && self.watch.is_none() {
                    self.schedule(self.now + NETLINK_DELAY, Happening::Start(n));
                }
            }
            Action::Notify { .. } | Action::NotifyGroup { .. } | Action::Unclaimed { .. } => {}
        }
    }

    /// Kernels that have an address answer for it, whether or not a router runs above them.
    fn answer_probe(&mut self, asker: usize, address: IpAddr) {
        if self.nodes[asker].is_up(LINK) && self.guest.as_ref().is_some_and(|guest| guest.address == address) {
            let asking = &self.nodes[asker];
            let event = answer(asking.index(LINK), (Guest::MAC, address), asking.mac());
            let delay = self.lan.quality.delay * 2;
            self.schedule(self.now + delay, Happening::Arrival { node: asker, event });
        }
        for holder in 0..self.nodes.len() {
            let node = &self.nodes[holder];
            let hears = self.lan.reaches(asker, holder) && self.nodes[asker].is_up(LINK) && node.is_up(LINK);
            if !hears || !node.addresses.contains(&address) || !self.lan.reaches(holder, asker) {
                continue;
            }
            let asking = &self.nodes[asker];
            let event = answer(asking.index(LINK), (node.mac(), address), asking.mac());
            let arrivals: Vec<_> = self.lan.arrivals(&mut self.random).collect();
            for delay in arrivals {
                let there_and_back = self.now + delay * 2;
                self.schedule(there_and_back, Happening::Arrival { node: asker, event: event.clone() });
            }
        }
    }

    /// Puts a message on the LAN; `make` makes what each receiver gets of it, or nothing.
    fn broadcast(&mut self, from: usize, make: impl Fn(&Node) -> Option<Event>) {
        if !self.nodes[from].is_up(LINK) {
            return;
        }
        for to in 0..self.nodes.len() {
            if !self.lan.reaches(from, to) || self.nodes[to].router.is_none() {
                continue;
            }
            for delay in self.lan.arrivals(&mut self.random) {
                if let Some(event) = make(&self.nodes[to]) {
                    self.schedule(self.now + delay, Happening::Arrival { node: to, event });
                }
            }
        }
    }

    fn set_alarm(&mut self, n: usize) {
        let node = &self.nodes[n];
        let due = node.router.as_ref().and_then(|router| router.deadline()).map(|due| node.global(due));
        // A deadline that stands keeps its lateness.
        let stands =
            matches!((due, node.wake_at), (Some(due), Some(wake)) if due <= wake && wake <= due + MAX_LATENESS);
        if stands && self.nodes[n].wake_at > Some(self.now) {
            return;
        }
        let late = self.random.span(Duration::ZERO, MAX_LATENESS);
        self.nodes[n].wake_at = due.map(|due| due.max(self.now) + late);
    }

    /// Writes a line when somebody will read it.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.6} {}", self.now.as_secs_f64(), line()));
        }
    }

    fn tell_scenario(&mut self) {
        if self.trace.is_none() {
            return;
        }
        let mut lines: Vec<String> = self.nodes.iter().flat_map(words::configuration).collect();
        let Scenario { bad_lan, good_lan, heals_at, settles_for, handover, .. } = &self.scenario;
        lines.push(format!(
            "-- {bad_lan:?} until {heals_at:?}, then {good_lan:?} for {settles_for:?}, then {handover:?}"
        ));
        lines.push(format!("-- lasting: {:?}", self.scenario.lasting));
        for line in lines {
            self.note(|| line);
        }
    }
}

/// An advert as the receiver's kernel passes it on.
pub(crate) fn arrived(interface: u32, source: IpAddr, destination: IpAddr, ttl: u8, bytes: Vec<u8>) -> Event {
    match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Event::Packet6 { interface, source, destination, hop_limit: ttl, bytes }
        }
        (IpAddr::V4(_), _) | (_, IpAddr::V4(_)) => Event::Packet { interface, bytes },
    }
}

/// What the others hear when a node announces an address.
pub(crate) fn announcement(interface: u32, mac: Mac, address: IpAddr) -> Event {
    match address {
        IpAddr::V4(address) => Event::Arp { interface, arp: Arp::gratuitous(mac, address) },
        IpAddr::V6(address) => Event::Neighbour { interface, advert: Advertisement::unsolicited(mac, address, false) },
    }
}

/// What a kernel that has an address answers.
fn answer(interface: u32, (mac, address): (Mac, IpAddr), asker: Mac) -> Event {
    match address {
        IpAddr::V4(address) => {
            let target_ip = Ipv4Addr::UNSPECIFIED;
            let operation = Operation::Reply;
            let arp = Arp { operation, sender_mac: mac, sender_ip: address, target_mac: asker, target_ip };
            Event::Arp { interface, arp }
        }
        IpAddr::V6(address) => {
            let advert = Advertisement { solicited: true, ..Advertisement::unsolicited(mac, address, false) };
            Event::Neighbour { interface, advert }
        }
    }
}
