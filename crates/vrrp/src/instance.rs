//! One virtual router: what it knows, and its one door into a state. What it does about events is in
//! [`machine`](crate::machine).

use crate::auth::Guard;
use crate::auth::trailer::{Refusal, Utc};
use crate::config::{self, Extra, Preempt, Priority, Version, VirtualAddress};
use crate::event::{Action, InstanceId, Maintenance, Report, StateName, Transition};
use crate::explain::{self, Why};
use crate::group::{Bond, Word};
use crate::link::{Link, Present};
use crate::owners::OtherOwner;
use crate::packet::{Heard, Reject};
use crate::remarks::Remark;
use crate::sender::{Outgoing, Sender};
use crate::state::{Burst, Init, Leave, Leaving, Master, State};
use crate::status::{AdvertCounters, ConflictStatus, InstanceStatus, PeerStatus, TrackerStatus};
use crate::timers;
use crate::track::{self, Tracker};
use evenkeel_wire::{Family, Instant, Mac, Prefix};
use std::net::IpAddr;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) config: config::Instance,
    pub(crate) state: State,
    pub(crate) link: Link,
    pub(crate) trackers: Vec<Tracker>,
    /// Another instance of the configuration has the same virtual router on the same interface.
    pub(crate) duplicate_of: Option<String>,
    /// What it knows of the others of its sync group; `None` when it is in none.
    pub(crate) bond: Option<Bond>,
    /// What the others have to hear of it.
    pub(crate) word: Option<Word>,
    /// Priority after trackers.
    pub(crate) effective: u8,
    /// The master's interval: our own, or in version 3 the one its adverts state. As in keepalived it is kept when
    /// this node becomes master and forgotten when it leaves FAULT.
    pub(crate) master_interval: Duration,
    /// After `Failover`: do not preempt a living master.
    pub(crate) standby: bool,
    /// Another owner of the addresses.
    pub(crate) other_owner: Option<OtherOwner>,
    /// The whole node leaves its addresses to others.
    pub(crate) maintenance: Maintenance,
    /// The last advert of somebody else.
    pub(crate) peer: Option<Peer>,
    /// When somebody else last spoke for one of the addresses while they were held here.
    pub(crate) claimed_at: Option<Instant>,
    /// When they were last announced from here.
    pub(crate) announced_at: Option<Instant>,
    pub(crate) counters: AdvertCounters,
    /// What is remembered of adverts to believe the next ones.
    pub(crate) guard: Guard,
    /// What was said of adverts since the state changed or another sender was heard.
    pub(crate) remarks: Vec<Remark>,
    /// The wall clock at the present event.
    pub(crate) utc: Utc,
    /// The configuration no longer has this instance: scripts hear FAULT at its end, not STOP (keepalived, unless
    /// `notify_deleted` is set).
    pub(crate) departed: bool,
    held: Held,
    notified: Option<Report>,
    since_at: Instant,
    reason: String,
    sender: Sender,
    /// Spreads the first ARP probes of many instances.
    probe_offset: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) priority: u8,
    pub(crate) heard_at: Instant,
}

/// What the shell was last told to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Nothing said yet: a killed run may have left addresses behind.
    Unsaid,
    Nothing,
    All,
}

impl Instance {
    pub(crate) fn new(id: InstanceId, config: config::Instance, now: Instant, seed: u64) -> Self {
        Instance {
            id,
            state: State::Init(Init::default()),
            link: Link::Unreported,
            trackers: Vec::new(),
            duplicate_of: None,
            bond: None,
            word: None,
            effective: config.priority.get(),
            master_interval: timers::advert_interval(config.version, config.advert_interval),
            standby: false,
            other_owner: None,
            maintenance: Maintenance::Off,
            peer: None,
            claimed_at: None,
            announced_at: None,
            counters: AdvertCounters::default(),
            guard: Guard::default(),
            remarks: Vec::new(),
            utc: Utc::default(),
            departed: false,
            held: Held::Unsaid,
            notified: None,
            since_at: now,
            reason: format!("interface {} has not been reported yet", config.interface),
            sender: Sender::new(),
            probe_offset: Duration::from_millis(spread(seed, config.vrid.get()) % 250),
            config,
        }
    }

    /// Takes a new view of the interface. The caller then has the machine look at the facts.
    pub(crate) fn set_link(&mut self, link: Link) {
        self.link = link;
        self.prepare_sender();
    }

    /// Builds adverts anew after a change of configuration or source. A source that is gone stays in the packets:
    /// the priority 0 that says so is still to be sent.
    pub(crate) fn prepare_sender(&mut self) {
        if let Link::Present(Present { source: Some(source), .. }) = self.link {
            self.sender.prepare(&self.config, source, self.guard.has_old_checksum);
        }
    }

    pub(crate) fn count_reject(&mut self, reject: Reject) {
        let counters = &mut self.counters;
        let counter = match reject {
            Reject::Length => &mut counters.packet_len_err,
            Reject::Ttl => &mut counters.ip_ttl_err,
            Reject::Version => &mut counters.version_err,
            Reject::Vrid => &mut counters.vrid_err,
            Reject::UnknownAuthentication => &mut counters.invalid_authtype,
            Reject::AuthenticationMismatch => &mut counters.authtype_mismatch,
            Reject::Password => &mut counters.auth_failure,
            Reject::Interval => &mut counters.advert_interval_err,
            Reject::Type => &mut counters.invalid_type_rcvd,
            Reject::Checksum => &mut counters.checksum_err,
            Reject::Destination => &mut counters.destination_err,
            Reject::Ignored => &mut counters.advert_ignored,
            Reject::Stranger | Reject::Trailer(Refusal::UnknownPeer) => &mut counters.unicast_src_err,
            Reject::PeerTtl => &mut counters.ip_ttl_err,
            Reject::Header(_) => &mut counters.auth_failure,
            Reject::Trailer(Refusal::Missing) => &mut counters.auth_ext_missing,
            Reject::Trailer(Refusal::Malformed) => &mut counters.auth_ext_malformed,
            Reject::Trailer(Refusal::UnknownKey) => &mut counters.auth_ext_unknown_key,
            Reject::Trailer(Refusal::InvalidHmac) => &mut counters.auth_ext_invalid_hmac,
            Reject::Trailer(Refusal::Stale) => &mut counters.auth_ext_stale,
            Reject::Trailer(Refusal::Replay) => &mut counters.auth_ext_replay,
        };
        *counter += 1;
    }

    /// Makes the interval of an accepted master ours, as far as timers go.
    pub(crate) fn learn_interval(&mut self, advert: &Heard) {
        self.master_interval = match self.config.version {
            Version::V2 => self.own_interval(),
            Version::V3 => advert.interval.duration(),
        };
    }

    pub(crate) fn own_interval(&self) -> Duration {
        timers::advert_interval(self.config.version, self.config.advert_interval)
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.config.priority == Priority::OWNER
    }

    pub(crate) fn skew(&self) -> Duration {
        timers::skew(self.config.version, self.effective, self.master_interval)
    }

    pub(crate) fn master_down(&self) -> Duration {
        let adverts = self.config.down_adverts.get();
        timers::master_down(self.config.version, self.effective, self.master_interval, adverts)
    }

    /// The master down interval of a peer of priority 1: by then each peer has taken over, even one that lost our
    /// priority 0.
    pub(crate) fn longest_master_down(&self) -> Duration {
        let adverts = self.config.down_adverts.get();
        timers::master_down(self.config.version, 1, self.own_interval(), adverts)
    }

    /// Whether adverts of lower priority are to be accepted for now, whatever `preempt_delay` says.
    pub(crate) fn never_preempts(&self) -> bool {
        self.standby || self.config.preempt == Preempt::Never
    }

    pub(crate) fn present(&self) -> Option<Present> {
        match self.link {
            Link::Present(present) => Some(present),
            Link::Gone | Link::Unreported => None,
        }
    }

    /// Why this instance may not be master now: for a reason of its own, or of another member of its sync group.
    pub(crate) fn fault(&self) -> Option<String> {
        self.own_fault().or_else(|| self.bond.as_ref()?.fault.clone())
    }

    /// What has to be known before this instance can start, with its sync group. It is no fault, and none is logged.
    pub(crate) fn awaited(&self) -> Option<String> {
        self.own_awaited().or_else(|| self.bond.as_ref()?.awaited.clone())
    }

    /// `dont_track_primary` forgives a link that is down, not one that is gone: no address can be held on it.
    pub(crate) fn own_fault(&self) -> Option<String> {
        let interface = &self.config.interface;
        if let Some(other) = &self.duplicate_of {
            let vrid = self.config.vrid.get();
            return Some(format!("virtual router {vrid} on {interface} is already that of {other}"));
        }
        if let Some(obstacle) = &self.config.obstacle {
            return Some(obstacle.clone());
        }
        match self.link {
            Link::Unreported => {}
            Link::Gone => return Some(format!("interface {interface} is gone")),
            Link::Present(present) if !present.up && !self.config.dont_track_primary => {
                return Some(format!("interface {interface} is down"));
            }
            Link::Present(Present { source: None, .. }) if !self.awaits_source() => {
                let what = match self.config.family() {
                    Family::V4 => "IPv4 address",
                    Family::V6 => "link-local IPv6 address",
                };
                return Some(format!("interface {interface} has no {what} to send from"));
            }
            Link::Present(_) => {}
        }
        let tracker = self.trackers.iter().find(|tracker| tracker.forbids())?;
        Some(format!("{}: {}", tracker.name, tracker.verdict.detail))
    }

    /// A link that has just come up has its link-local address only once nobody else was found to have it: at the start that
    /// is waited for, and no fault (keepalived, observed).
    fn awaits_source(&self) -> bool {
        matches!((self.state, self.config.family()), (State::Init(_), Family::V6))
    }

    /// How many conditions without weight fail now, the interface among them.
    fn n_faults(&self) -> u32 {
        let tracked: u32 = self.trackers.iter().map(|tracker| u32::from(tracker.forbids())).sum();
        let link_is_down = match self.link {
            Link::Present(present) => !present.up && !self.config.dont_track_primary,
            Link::Gone => true,
            Link::Unreported => false,
        };
        tracked + u32::from(link_is_down)
    }

    pub(crate) fn own_awaited(&self) -> Option<String> {
        if let State::Init(Init { delayed_until: Some(_), .. }) = self.state {
            return Some("the delay after the start is not over".to_owned());
        }
        if self.link == Link::Unreported {
            return Some(format!("interface {} has not been reported yet", self.config.interface));
        }
        if self.awaits_source() && self.present().is_some_and(|present| present.source.is_none()) {
            return Some(format!("interface {} has no link-local IPv6 address yet", self.config.interface));
        }
        let tracker = self.trackers.iter().find(|tracker| tracker.is_awaited())?;
        Some(format!("{} {}", tracker.name, tracker.verdict.detail))
    }

    pub(crate) fn effective_now(&self) -> u8 {
        if self.maintenance.is_on() {
            return 1;
        }
        self.reduced().unwrap_or_else(|| track::effective(self.config.priority, &self.trackers))
    }

    pub(crate) fn set_reason(&mut self, reason: String) {
        self.reason = reason;
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.config.addresses.iter().chain(&self.config.excluded)
    }

    pub(crate) fn address_names(&self) -> String {
        explain::addresses(self.addresses())
    }

    /// The one door into a state: says and does what arriving there takes.
    ///
    /// Becoming master: addresses, announcement, advert, in this order, so that a master that lets go when it hears
    /// the advert is already replaced (keepalived sends the advert first). Leaving on request: priority 0 first and
    /// nothing released. FAULT: one priority 0 (keepalived sends two, one for each of the two paths that lead there),
    /// and only over a link that carries it.
    pub(crate) fn enter(&mut self, now: Instant, next: State, why: Why, actions: &mut Vec<Action>) {
        let from = self.state.name();
        let was_holding = self.state.is_holding();
        self.remarks.clear();
        self.state = next;
        self.since_at = now;
        match next {
            State::Init(_) => {}
            State::Backup(_) => {
                self.hold_nothing(actions);
                self.notify(Report::Backup, actions);
            }
            State::Master(_) => {
                if !was_holding {
                    self.counters.become_master += 1;
                }
                self.standby = false;
                self.claimed_at = None;
                self.hold_all(actions);
                self.announce(now, self.config.garp.repeat, actions);
                self.send_advert(self.effective, actions);
                self.notify(Report::Master, actions);
            }
            State::Leaving(Leaving { why: Leave::Shutdown | Leave::Failover | Leave::Group, .. }) => {
                self.send_advert(0, actions);
            }
            State::Leaving(Leaving { why: Leave::Yield, .. }) => {}
            State::Fault => {
                if from == StateName::Master && self.present().is_some_and(|present| present.up) {
                    self.send_advert(0, actions);
                }
                self.hold_nothing(actions);
                self.notify(Report::Fault, actions);
            }
            State::Stopped => {
                if from == StateName::Master {
                    self.send_advert(0, actions);
                }
                self.hold_nothing(actions);
                let report = match (self.departed, self.config.notify_deleted) {
                    (false, _) => Report::Stop,
                    (true, false) => Report::Fault,
                    (true, true) => Report::Deleted,
                };
                self.notify(report, actions);
            }
        }
        if was_holding && !next.is_holding() {
            self.counters.release_master += 1;
        }
        self.reason = why.trigger.clone();
        self.push_transition(from, why, actions);
    }

    /// Says why something was done that changed no state.
    pub(crate) fn explain(&self, why: Why, actions: &mut Vec<Action>) {
        self.push_transition(self.state.name(), why, actions);
    }

    fn push_transition(&self, from: StateName, why: Why, actions: &mut Vec<Action>) {
        let Why { trigger, rule, decision, waited } = why;
        let to = self.state.name();
        actions.push(Action::Explain(Transition { instance: self.id, from, to, trigger, rule, decision, waited }));
    }

    /// A master's state on arrival.
    pub(crate) fn master(&self, now: Instant) -> State {
        let garp = &self.config.garp;
        State::Master(Master {
            entered_at: now,
            advert_at: now + self.own_interval(),
            burst: (!garp.delay.is_zero()).then_some(Burst { at: now + garp.delay, count: garp.repeat }),
            refresh_at: (!garp.refresh.is_zero()).then_some(now + garp.refresh),
            extra_at: garp.extra.map(|extra| now + extra.period),
            probe_at: now + timers::PROBE_INTERVAL + self.probe_offset,
            rival_at: None,
            suspect: None,
            conflict: None,
            judge_at: None,
            reminder: None,
        })
    }

    pub(crate) fn send_advert(&mut self, priority: u8, actions: &mut Vec<Action>) {
        let Link::Present(Present { index: interface, .. }) = self.link else { return };
        let mut copies: Vec<_> = self.sender.adverts(priority).collect();
        self.guard.seal(&self.config, self.utc, &mut copies);
        for Outgoing { source, destination, ttl, packet } in copies {
            actions.push(Action::SendAdvert { instance: self.id, interface, source, destination, ttl, packet });
            if priority == 0 {
                self.counters.pri_zero_sent += 1;
            } else {
                self.counters.advert_sent += 1;
            }
        }
    }

    pub(crate) fn announce(&mut self, now: Instant, count: u8, actions: &mut Vec<Action>) {
        self.announce_some(now, self.addresses().cloned().collect(), count, actions);
    }

    pub(crate) fn announce_some(
        &mut self,
        now: Instant,
        addresses: Vec<VirtualAddress>,
        count: u8,
        actions: &mut Vec<Action>,
    ) {
        if count > 0 && !addresses.is_empty() {
            // Whoever announced them before has to do so again before it can be said to have them.
            self.claimed_at = None;
            self.announced_at = Some(now);
            actions.push(Action::Announce { instance: self.id, addresses, count });
        }
    }

    /// On each other interface the first address (keepalived, observed): that is enough for switches.
    pub(crate) fn announce_elsewhere(&mut self, now: Instant, extra: Extra, actions: &mut Vec<Action>) {
        let mut chosen: Vec<VirtualAddress> = Vec::new();
        for address in self.addresses().filter(|address| extra.everywhere || address.own_link.is_some()) {
            let place = |address: &VirtualAddress| (address.device.clone(), address.own_link.clone());
            let is_elsewhere = address.own_link.is_some()
                || address.device.as_ref().is_some_and(|device| *device != self.config.interface);
            if is_elsewhere && !chosen.iter().any(|other| place(other) == place(address)) {
                chosen.push(address.clone());
            }
        }
        self.announce_some(now, chosen, 1, actions);
    }

    /// After a fault peers that are spoken to directly may have forgotten the way (keepalived, observed).
    pub(crate) fn announce_source(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let interface = &self.config.interface;
        let Some(source) = self.present().and_then(|present| present.source) else { return };
        if !self.config.is_unicast() || interface.is_empty() {
            return;
        }
        let length = if source.is_ipv4() { 32 } else { 128 };
        let Ok(prefix) = Prefix::new(source, length) else { return };
        // On the interface that has it, also where the addresses are on one of their own.
        let device = Some(interface.clone());
        self.announce_some(now, vec![VirtualAddress { device, ..VirtualAddress::new(prefix) }], 1, actions);
    }

    /// Tells the network a new MAC for the addresses that are held.
    pub(crate) fn announce_new_mac(&mut self, now: Instant, mac: Mac, actions: &mut Vec<Action>) {
        if !self.state.is_holding() {
            return;
        }
        self.announce(now, self.config.garp.repeat, actions);
        let trigger = format!("interface {} has a new MAC, {mac}", self.config.interface);
        let decision = format!("announce {} again", self.address_names());
        self.explain(Why::new(trigger, "neighbours remember the old one", decision), actions);
    }

    /// Whether this is the last address that a successor announces on the instance's own interface.
    pub(crate) fn is_announced_last(&self, address: IpAddr) -> bool {
        self.announced_last() == Some(address)
    }

    /// The last address that is announced on the instance's own interface, if any is.
    pub(crate) fn announced_last(&self) -> Option<IpAddr> {
        let interface = &self.config.interface;
        let is_local = |held: &&VirtualAddress| held.device.as_ref().is_none_or(|device| device == interface);
        self.addresses().filter(is_local).last().map(|last| last.prefix.address())
    }

    /// Asks who else has the first address that lives on the instance's own interface.
    pub(crate) fn probe(&self, actions: &mut Vec<Action>) {
        let Some(present) = self.present().filter(|present| present.up) else { return };
        let Some(source) = present.source else { return };
        let is_local = |address: &&VirtualAddress| {
            Family::of(address.prefix.address()) == self.config.family()
                && address.device.as_ref().is_none_or(|device| *device == self.config.interface)
        };
        let Some(address) = self.addresses().find(is_local) else { return };
        actions.push(Action::Probe { interface: present.index, source, address: address.prefix.address() });
    }

    pub(crate) fn hold_all(&mut self, actions: &mut Vec<Action>) {
        if self.held != Held::All {
            self.held = Held::All;
            self.push_hold(actions);
        }
    }

    pub(crate) fn hold_nothing(&mut self, actions: &mut Vec<Action>) {
        if self.held != Held::Nothing {
            self.held = Held::Nothing;
            self.push_hold(actions);
        }
    }

    /// Says again what is to be held: after a repair, and after a change of configuration.
    pub(crate) fn push_hold(&self, actions: &mut Vec<Action>) {
        let (addresses, routes, rules) = match self.held {
            Held::All => (self.addresses().cloned().collect(), self.config.routes.clone(), self.config.rules.clone()),
            Held::Nothing | Held::Unsaid => Default::default(),
        };
        actions.push(Action::Hold { instance: self.id, addresses, routes, rules });
    }

    /// Tells scripts, unless they were told the same last time.
    pub(crate) fn notify(&mut self, state: Report, actions: &mut Vec<Action>) {
        if self.notified != Some(state) {
            self.notified = Some(state);
            self.report(state, actions);
        }
    }

    /// Tells of an event, each time.
    pub(crate) fn report(&self, state: Report, actions: &mut Vec<Action>) {
        actions.push(Action::Notify { instance: self.id, state, priority: self.effective });
    }

    pub(crate) fn status(&self, now: Instant) -> InstanceStatus {
        let conflict = match &self.state {
            State::Master(master) => master.conflict,
            State::Init(_) | State::Backup(_) | State::Leaving(_) | State::Fault | State::Stopped => None,
        };
        InstanceStatus {
            id: self.id,
            name: self.config.name.clone(),
            interface: self.config.interface.clone(),
            vrid: self.config.vrid.get(),
            version: match self.config.version {
                Version::V2 => 2,
                Version::V3 => 3,
            },
            state: self.state.name(),
            since: now.since(self.since_at),
            reason: self.reason.clone(),
            priority: self.config.priority.get(),
            effective_priority: self.effective,
            addresses: self.addresses().map(|address| address.prefix.to_string()).collect(),
            holding: self.state.is_holding(),
            standby: self.standby,
            peer: self.peer.map(|peer| PeerStatus {
                address: peer.address,
                priority: peer.priority,
                age: now.since(peer.heard_at),
            }),
            conflict: conflict.map(|claim| ConflictStatus {
                address: claim.address,
                mac: claim.mac,
                since: now.since(claim.first_at),
                age: now.since(claim.last_at),
            }),
            trackers: self.trackers.iter().map(tracker_status).collect(),
            source: self.present().and_then(|present| present.source),
            deadline_in: self.state.deadline().map(|deadline| deadline.since(now)),
            master_down: self.master_down(),
            master_interval: self.master_interval,
            n_faults: self.n_faults(),
            n_awaited: self.trackers.iter().map(|tracker| u32::from(tracker.is_awaited())).sum(),
            counters: self.counters,
        }
    }

    /// What must hold between two events.
    pub(crate) fn check_invariants(&self) {
        let told_to_hold = self.held == Held::All;
        debug_assert_eq!(
            told_to_hold,
            self.state.is_holding(),
            "{}: held while not master, or the reverse",
            self.config.name
        );
        let waits = match self.state {
            State::Backup(_) | State::Master(_) | State::Leaving(_) => true,
            State::Init(init) => init.resume_until.or(init.delayed_until).is_some(),
            State::Fault | State::Stopped => false,
        };
        debug_assert_eq!(self.state.deadline().is_some(), waits, "{}: a state without its deadline", self.config.name);
        debug_assert!(self.effective >= 1, "{}: priority 0 is no priority", self.config.name);
    }
}

fn tracker_status(tracker: &Tracker) -> TrackerStatus {
    TrackerStatus {
        name: tracker.name.clone(),
        healthy: tracker.is_well(),
        weight: tracker.track.weight,
        detail: tracker.verdict.detail.clone(),
    }
}

/// A number that depends on the seed and the virtual router (the finalizer of SplitMix64).
fn spread(seed: u64, vrid: u8) -> u64 {
    let mut z = seed.wrapping_add(u64::from(vrid).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
