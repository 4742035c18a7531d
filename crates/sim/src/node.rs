use crate::daemon::{Daemon, Program, Seen};
use crate::scenario::{LINK, NodePlan, OTHER_LINK, primary};
use evenkeel_bfd::Sessions;
use evenkeel_vrrp::config::{Instance, Track, TrackTarget, VirtualAddress};
use evenkeel_vrrp::{Config, InstanceId, Interface, StateName};
use evenkeel_wire::{Family, Instant, Mac};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// A machine: its kernel, as much of it as matters here, and its router while the process runs.
pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) program: Program,
    /// What its process was started with.
    pub(crate) config: Config,
    /// What the file says, if it was edited since.
    pub(crate) edited: Option<Config>,
    /// What it said at the start.
    pub(crate) original: Config,
    /// Instances that the last reload took away, with the states they were in: their goodbyes have numbers beyond the list.
    pub(crate) departed: Vec<(Instance, StateName)>,
    pub(crate) startup_delay: Option<Duration>,
    clock_offset: Duration,
    first_index: u32,

    pub(crate) powered: bool,
    pub(crate) router: Option<Daemon>,
    /// The process has not learnt of its links yet, so it cannot have cleaned up after an earlier one.
    pub(crate) starting: bool,
    /// Counts the starts, so that what was meant for an earlier process does not reach a later one.
    pub(crate) incarnation: u64,
    pub(crate) shutdown_at: Option<Duration>,
    /// The router said `Stopped`. It stays loaded, to see that it does nothing any more.
    pub(crate) stopped: bool,
    /// When the router wants to be called, on the simulation's clock.
    pub(crate) wake_at: Option<Duration>,
    /// As the router's transitions have it.
    pub(crate) states: Vec<StateName>,
    /// When the process was killed, and the instances that it was master for then.
    died: Option<(Duration, Vec<usize>)>,
    /// Until when a process in its place may leave the addresses of an instance where they are without being master yet.
    pub(crate) resumes_until: BTreeMap<usize, Duration>,

    link_up: BTreeMap<&'static str, bool>,
    /// Virtual addresses in the kernel.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Addresses that somebody removed by hand, and by when they have to be back.
    pub(crate) removed: BTreeMap<IpAddr, Duration>,
    /// Addresses that somebody added by hand, and by when they have to be gone.
    pub(crate) added: BTreeMap<IpAddr, Duration>,
    /// What the router wants each instance to hold.
    holds: BTreeMap<usize, Vec<IpAddr>>,
    /// Until when the process gets no time.
    pub(crate) paused_until: Duration,
    /// The BFD sessions that its processes have, if any.
    pub(crate) bfd: Option<evenkeel_bfd::Config>,
    pub(crate) sessions: Option<Sessions>,
    /// The session with the next neighbour is up, as it said last.
    pub(crate) sees_next: bool,
    pub(crate) file_value: i32,
    pub(crate) processes_well: bool,
    pub(crate) script_works: bool,
    pub(crate) proxy_healthy: bool,
}

impl Node {
    pub(crate) fn new(number: usize, plan: &NodePlan) -> Self {
        Node {
            number,
            program: plan.program,
            config: plan.config.clone(),
            edited: None,
            original: plan.config.clone(),
            departed: Vec::new(),
            startup_delay: plan.startup_delay,
            clock_offset: plan.clock_offset,
            first_index: plan.first_index,
            powered: true,
            router: None,
            starting: false,
            incarnation: 0,
            shutdown_at: None,
            stopped: false,
            wake_at: None,
            states: Vec::new(),
            died: None,
            resumes_until: BTreeMap::new(),
            link_up: BTreeMap::from([(LINK, true), (OTHER_LINK, true)]),
            addresses: BTreeSet::new(),
            removed: BTreeMap::new(),
            added: BTreeMap::new(),
            holds: BTreeMap::new(),
            paused_until: Duration::ZERO,
            bfd: plan.bfd.clone(),
            sessions: None,
            sees_next: false,
            file_value: 0,
            processes_well: true,
            script_works: true,
            proxy_healthy: true,
        }
    }

    pub(crate) fn name(&self) -> String {
        let program = match self.program {
            Program::Evenkeel => "lb",
            Program::Keepalived => "ka",
        };
        format!("{program}{:02}", self.number + 1)
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.program == Program::Evenkeel
    }

    /// What its router says of itself, while there is one.
    pub(crate) fn see(&self, now: Duration) -> Option<Vec<Seen>> {
        self.router.as_ref().map(|router| router.see(self.clock(now)))
    }

    /// This node's clock.
    pub(crate) fn clock(&self, now: Duration) -> Instant {
        Instant::from_origin(now + self.clock_offset)
    }

    /// The simulation's time of an instant of this node's clock.
    pub(crate) fn global(&self, instant: Instant) -> Duration {
        instant.since_origin().saturating_sub(self.clock_offset)
    }

    pub(crate) fn start(&mut self, seed: u64) {
        self.powered = true;
        if let Some(edited) = self.edited.take() {
            self.config = edited;
        }
        self.router = Some(Daemon::new(self.program, self.config.clone(), seed));
        self.starting = true;
        self.incarnation += 1;
        self.stopped = false;
        self.shutdown_at = None;
        self.wake_at = None;
        self.states = vec![StateName::Init; self.config.instances.len()];
        self.removed.clear();
        self.holds.clear();
        self.departed.clear();
    }

    /// What the supervisor tells a process that takes the place of one that was master a moment ago, with how much time
    /// is left: until then no peer can have taken over.
    pub(crate) fn resumptions(&mut self, now: Duration) -> Vec<(usize, Duration)> {
        self.resumes_until.clear();
        let died = self.died.take().filter(|_| self.is_ours());
        let Some((died_at, masters)) = died else { return Vec::new() };
        let mut left = Vec::new();
        for k in masters {
            let Some(instance) = self.config.instances.get(k) else { continue };
            let undisputed = instance.advert_interval.duration() * u32::from(instance.down_adverts.get() - 1);
            if let Some(within) = (died_at + undisputed).checked_sub(now).filter(|within| !within.is_zero()) {
                self.resumes_until.insert(k, now + within);
                left.push((k, within));
            }
        }
        left
    }

    /// The process dies; the kernel keeps what it has.
    pub(crate) fn kill(&mut self, now: Duration) {
        if self.runs() {
            let masters = (0..self.states.len()).filter(|k| self.states[*k] == StateName::Master).collect();
            self.died = Some((now, masters));
        }
        self.router = None;
        self.sessions = None;
        self.wake_at = None;
        self.removed.clear();
        self.paused_until = Duration::ZERO;
    }

    pub(crate) fn power_off(&mut self, now: Duration) {
        self.kill(now);
        self.died = None;
        self.powered = false;
        self.addresses.clear();
        self.added.clear();
    }

    pub(crate) fn is_paused(&self, now: Duration) -> bool {
        now < self.paused_until
    }

    /// A machine that was suspended goes on with the clock that it had.
    pub(crate) fn suspend(&mut self, lasts: Duration) {
        self.clock_offset = self.clock_offset.saturating_sub(lasts);
    }

    pub(crate) fn runs(&self) -> bool {
        self.router.is_some() && !self.stopped
    }

    pub(crate) fn is_up(&self, link: &str) -> bool {
        self.powered && self.link_up.get(link).copied().unwrap_or(false)
    }

    /// Whether that was a change.
    pub(crate) fn set_link(&mut self, link: &'static str, up: bool) -> bool {
        self.link_up.insert(link, up) != Some(up)
    }

    /// As the router's transitions have it, those of an instance that the last reload took away among them.
    pub(crate) fn state(&self, instance: InstanceId) -> Option<StateName> {
        let departed = || self.departed.get(instance.departed(self.states.len())?).map(|(_, state)| *state);
        self.states.get(instance.0 as usize).copied().or_else(departed)
    }

    pub(crate) fn link_index(&self) -> u32 {
        self.index(LINK)
    }

    pub(crate) fn index(&self, link: &str) -> u32 {
        if link == LINK { self.first_index } else { self.first_index + 1 }
    }

    pub(crate) fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1 + self.number as u8])
    }

    /// What the kernel says about a link.
    pub(crate) fn facts(&self, link: &str) -> Interface {
        let addresses = if link == LINK {
            let own = [Family::V4, Family::V6].map(|family| primary(self.number, family));
            own.into_iter().chain(self.addresses.iter().copied()).collect()
        } else {
            vec![IpAddr::from([192, 168, 0, 10 + self.number as u8])]
        };
        Interface { index: self.index(link), name: link.to_owned(), up: self.is_up(link), mac: self.mac(), addresses }
    }

    /// Makes the kernel have exactly `wanted` of an instance's addresses.
    pub(crate) fn reconcile(&mut self, instance: usize, wanted: &[VirtualAddress]) {
        for address in self.instance_addresses(instance) {
            self.addresses.remove(&address);
            self.removed.remove(&address);
            self.added.remove(&address);
        }
        let wanted: Vec<_> = wanted.iter().map(|address| address.prefix.address()).collect();
        self.addresses.extend(&wanted);
        self.holds.insert(instance, wanted);
    }

    /// Takes away what nobody holds; what is missing of that which somebody holds.
    pub(crate) fn compare(&mut self) -> Vec<IpAddr> {
        let held: BTreeSet<IpAddr> = self.holds.values().flatten().copied().collect();
        self.addresses.retain(|address| held.contains(address));
        self.added.clear();
        held.difference(&self.addresses).copied().collect()
    }

    /// Every address that moves with an instance, one that the last reload took away among them.
    pub(crate) fn instance_addresses(&self, instance: usize) -> Vec<IpAddr> {
        let gone =
            || instance.checked_sub(self.config.instances.len()).and_then(|gone| Some(&self.departed.get(gone)?.0));
        let Some(instance) = self.config.instances.get(instance).or_else(gone) else { return Vec::new() };
        instance.addresses.iter().chain(&instance.excluded).map(|address| address.prefix.address()).collect()
    }

    /// Begins with another configuration, of which the instances are the first ones of the original.
    pub(crate) fn install(&mut self, config: Config) {
        let n_instances = config.instances.len();
        self.departed = self.config.instances.iter().cloned().zip(self.states.iter().copied()).collect();
        self.states.resize(n_instances, StateName::Init);
        self.holds.clear();
        self.config = config;
    }

    pub(crate) fn is_master_of(&self, address: IpAddr) -> bool {
        let mut masters = (0..self.states.len()).filter(|k| self.states[*k] == StateName::Master);
        masters.any(|k| self.instance_addresses(k).contains(&address))
    }

    /// A client on the LAN would be answered by this node's router.
    pub(crate) fn serves(&self, address: IpAddr) -> bool {
        self.runs() && self.is_up(LINK) && self.addresses.contains(&address)
    }

    /// The number in a file takes away all the priority that there is.
    fn is_taken_away(&self, track: &Track) -> bool {
        let sign = if track.reverse { -1 } else { 1 };
        matches!(track.target, TrackTarget::File(_)) && self.file_value * i32::from(track.weight) * sign <= -254
    }

    /// Nothing that an instance depends on has failed.
    pub(crate) fn is_eligible(&self) -> bool {
        let well = |target: &TrackTarget| match target {
            TrackTarget::Interface(name) => self.is_up(name),
            TrackTarget::Script(_) => self.script_works,
            TrackTarget::File(_) => self.file_value == 0,
            TrackTarget::Processes(_) => self.processes_well,
            TrackTarget::Bfd(_) => self.sees_next,
            TrackTarget::Proxy => self.proxy_healthy,
            TrackTarget::Static(_) => true,
        };
        // The nodes of a scenario track the same things in all their instances.
        let tracks = self.config.instances.first().map_or(&[][..], |instance| &instance.tracks);
        self.runs()
            && self.shutdown_at.is_none()
            && self.is_up(LINK)
            && tracks
                .iter()
                .all(|track| if track.weight == 0 { well(&track.target) } else { !self.is_taken_away(track) })
    }
}
