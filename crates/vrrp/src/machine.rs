//! What a virtual router does about an event in each of its states.

use crate::config::Preempt;
use crate::event::{Action, Maintenance, Report};
use crate::explain::{self, Why};
use crate::group::Word;
use crate::instance::{Instance, Peer};
use crate::packet::Heard;
use crate::state::{Backup, DownTimer, Init, Leave, Leaving, Master, State};
use crate::timers;
use crate::track::Tracker;
use evenkeel_wire::{Instant, Mac};
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What reaches one instance of an [`Event`](crate::Event).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    /// The deadline of the state may have come.
    Deadline,
    /// An advert that passed every check.
    Advert(&'a Heard<'a>),
    /// Gratuitous ARP or an unsolicited neighbour advertisement, in which somebody else announces one of the addresses.
    Announced { address: IpAddr, mac: Mac },
    /// Other ARP or an answer to a solicitation, in which somebody else speaks for one of the addresses: it has it, but
    /// maybe not for long. A master on its way out still answers our probes.
    Answered { address: IpAddr, mac: Mac },
    /// The kernel lost one of the addresses.
    Vanished(IpAddr),
    /// The kernel lost one of the routes or rules: this one.
    RouteVanished(&'a str),
    /// The interface, a tracker or the configuration changed, for this reason; the instance has the new facts.
    Facts(&'a str),
    /// A process that was master died, and this one may take its place for so long.
    Resume(Duration),
    /// Another member of the sync group, this one, is master, and all others can be.
    AllReady(&'a str),
    /// Another member of the sync group, this one, has a better master.
    GiveWay(&'a str),
    /// Another member of the sync group heard a master of lower priority.
    Outranked,
    /// Hand over, and do not take back.
    Failover,
    /// Take back when the time comes.
    Failback,
    /// Hand over: the node is in maintenance.
    Retire,
    /// Announce the addresses once more.
    Announce,
    /// Hand over and stop.
    Shutdown,
}

impl Instance {
    pub(crate) fn handle(&mut self, now: Instant, input: Input, actions: &mut Vec<Action>) {
        match (self.state, input) {
            (State::Init(init), Input::Facts(trigger)) => self.init_learns(now, init, trigger, actions),
            (State::Backup(_), Input::Facts(trigger)) => self.backup_learns(now, trigger, actions),
            (State::Master(_), Input::Facts(trigger)) => self.master_learns(now, trigger, actions),
            (State::Leaving(leaving), Input::Facts(trigger)) => self.leaving_learns(now, leaving, trigger, actions),
            (State::Fault, Input::Facts(trigger)) => self.fault_learns(now, trigger, actions),

            (State::Init(init), Input::Deadline) => self.init_deadline(now, init, actions),
            (State::Backup(backup), Input::Deadline) => self.backup_deadline(now, backup, actions),
            (State::Master(_), Input::Deadline) => self.master_deadline(now, actions),
            (State::Leaving(leaving), Input::Deadline) => self.leaving_deadline(now, leaving, actions),

            (State::Init(init), Input::Advert(advert)) => self.init_hears(init, advert, actions),
            (State::Backup(backup), Input::Advert(advert)) => {
                self.hear_other_owner(advert, actions);
                self.backup_hears(now, backup, advert);
            }
            (State::Master(master), Input::Advert(advert)) => self.master_hears(now, master, advert, actions),
            (State::Leaving(leaving), Input::Advert(advert)) => self.leaving_hears(now, leaving, advert, actions),

            (State::Init(Init { resume_until: Some(_), .. }), Input::Announced { address, mac }) => {
                self.give_up_resuming(format!("{mac} announces {address}"), actions);
            }
            (State::Master(master), Input::Announced { address, mac }) => {
                self.contradict(now, master, address, mac);
            }
            (State::Master(mut master), Input::Answered { address, mac }) => {
                self.suspect(now, &mut master, address, mac);
            }
            // A successor announces its addresses in their order: with the last of them it has them all, and neighbours
            // know. Before that, to let go would lose what is on its way to the others.
            (State::Leaving(_), Input::Announced { address, .. })
                if !self.is_announced_last(address) || !self.may_have_been_last(now) => {}
            (State::Leaving(leaving), Input::Announced { address, mac }) => {
                let trigger = format!("{mac} announces {address}");
                self.release(now, leaving, trigger, "the successor has the address", actions);
            }
            (State::Leaving(_), Input::Answered { .. }) => {}

            (State::Master(_), Input::Vanished(address)) => self.repair(now, address, Announce::Yes, actions),
            // Nobody's table says otherwise yet, and a late announcement would take the address from the successor.
            (State::Leaving(_), Input::Vanished(address)) => self.repair(now, address, Announce::No, actions),
            (State::Master(_) | State::Leaving(_), Input::RouteVanished(what)) => self.repair_route(what, actions),

            (State::Init(_), Input::Resume(within)) => {
                self.state = State::Init(Init { resume_until: Some(now + within), delayed_until: None });
            }
            // It is not at its start any more.
            (State::Backup(_) | State::Master(_) | State::Leaving(_) | State::Fault, Input::Resume(_)) => {}

            (State::Backup(_) | State::Leaving(_), Input::AllReady(member)) => {
                let trigger = format!("{member} of its group is master");
                let why = Why::new(trigger, "a sync group is master when each member can be", self.take_over());
                self.enter(now, self.master(now), why, actions);
            }
            (State::Master(_), Input::GiveWay(member)) => {
                self.leave(now, Leave::Group, &format!("{member} of its group gives way"), actions);
            }
            (State::Master(mut master), Input::Outranked) => {
                self.remind_beside_rival(now, &mut master);
                self.state = State::Master(master);
                self.announce(now, self.config.garp.lower_prio_repeat, actions);
            }
            (State::Init(_) | State::Master(_) | State::Fault, Input::AllReady(_))
            | (State::Init(_) | State::Backup(_) | State::Leaving(_) | State::Fault, Input::GiveWay(_))
            | (State::Init(_) | State::Backup(_) | State::Leaving(_) | State::Fault, Input::Outranked) => {}

            (State::Init(_) | State::Backup(_) | State::Fault, Input::Failover) => {
                self.standby = true;
                self.explain(
                    Why::new("failover was asked for", "this node is not master", "do not preempt until failback"),
                    actions,
                );
            }
            (State::Master(_), Input::Failover) => {
                self.standby = true;
                self.leave(now, Leave::Failover, "failover was asked for", actions);
            }
            (State::Leaving(Leaving { why: Leave::Yield | Leave::Failover | Leave::Group, .. }), Input::Failover) => {
                self.standby = true;
            }
            (State::Leaving(Leaving { why: Leave::Shutdown, .. }), Input::Failover) => {}

            (State::Master(_), Input::Retire) => self.retire(now, actions),
            // Nothing is here to be handed over, or it is on its way.
            (State::Init(_) | State::Backup(_) | State::Leaving(_) | State::Fault, Input::Retire) => {}

            (State::Leaving(Leaving { why: Leave::Failover, successor: None, .. }), Input::Failback)
                if self.is_group_ready() && !self.maintenance.is_on() =>
            {
                let why = Why::new(
                    "failback was asked for",
                    "nobody has taken over yet",
                    format!("keep {}", self.address_names()),
                );
                self.enter(now, self.master(now), why, actions);
            }
            (
                State::Init(_) | State::Backup(_) | State::Master(_) | State::Leaving(_) | State::Fault,
                Input::Failback,
            ) => {
                let was_standby = std::mem::replace(&mut self.standby, false);
                if was_standby {
                    self.explain(
                        Why::new("failback was asked for", "the failover is over", "preempt as configured"),
                        actions,
                    );
                }
            }

            // Once, as keepalived (observed), whatever its repetitions are configured as.
            (State::Master(_), Input::Announce) => {
                self.announce(now, 1, actions);
                let decision = format!("announce {} again", self.address_names());
                self.explain(Why::new("an announcement was asked for", "this node is master", decision), actions);
            }
            // Nothing is here to be announced, or a successor may have announced it already.
            (State::Init(_) | State::Backup(_) | State::Leaving(_) | State::Fault, Input::Announce) => {}

            (State::Init(_) | State::Backup(_) | State::Fault, Input::Shutdown) => {
                self.enter(now, State::Stopped, Why::new("shutdown", "no address is held here", "stop"), actions);
            }
            (State::Master(_), Input::Shutdown) => self.leave(now, Leave::Shutdown, "shutdown", actions),
            (State::Leaving(Leaving { why: Leave::Shutdown, .. }), Input::Shutdown) => {
                let why = Why::new("shutdown, asked for twice", "the second does not wait", self.let_go());
                self.enter(now, State::Stopped, why, actions);
            }
            // Whoever was to take over still is; only what comes after is different, and the wait is that of a shutdown.
            (
                State::Leaving(leaving @ Leaving { why: Leave::Yield | Leave::Failover | Leave::Group, .. }),
                Input::Shutdown,
            ) => {
                let release_at = leaving.release_at.min(now + self.longest_master_down());
                self.state = State::Leaving(Leaving { why: Leave::Shutdown, release_at, ..leaving });
            }

            // Adverts count for nothing before the start and in FAULT (keepalived, observed), and nothing is held.
            (
                State::Fault,
                Input::Deadline
                | Input::Advert(_)
                | Input::Announced { .. }
                | Input::Answered { .. }
                | Input::Vanished(_)
                | Input::RouteVanished(_),
            )
            | (
                State::Init(_) | State::Backup(_),
                Input::Announced { .. } | Input::Answered { .. } | Input::Vanished(_) | Input::RouteVanished(_),
            ) => {}
            (
                State::Stopped,
                Input::Deadline
                | Input::Advert(_)
                | Input::Announced { .. }
                | Input::Answered { .. }
                | Input::Vanished(_)
                | Input::RouteVanished(_)
                | Input::Facts(_)
                | Input::Resume(_)
                | Input::AllReady(_)
                | Input::GiveWay(_)
                | Input::Outranked
                | Input::Failover
                | Input::Failback
                | Input::Retire
                | Input::Announce
                | Input::Shutdown,
            ) => {}
        }
        self.check_invariants();
    }

    // ----- facts -----

    fn init_learns(&mut self, now: Instant, init: Init, trigger: &str, actions: &mut Vec<Action>) {
        self.effective = self.effective_now();
        if let Some(fault) = self.fault().filter(|_| init.delayed_until.is_none()) {
            return self.fail(now, fault, actions);
        }
        if let Some(awaited) = self.awaited() {
            if self.present().is_some() && init.resume_until.is_none() {
                self.hold_nothing(actions);
            }
            return self.set_reason(awaited);
        }
        let all_resume = self.bond.as_ref().is_none_or(|bond| bond.all_resume);
        let may_serve = !self.standby && self.maintenance != Maintenance::Strict;
        if may_serve && all_resume && init.resume_until.is_some_and(|until| now < until) {
            let trigger = "the vrrp process of this node died as master and was started again";
            let rule = "nobody can have taken over since";
            let why = Why::new(trigger, rule, format!("go on as master of {}", self.address_names()));
            return self.enter(now, self.master(now), why, actions);
        }
        self.start(now, trigger, actions);
    }

    fn init_deadline(&mut self, now: Instant, init: Init, actions: &mut Vec<Action>) {
        if init.resume_until.is_some_and(|until| until <= now) {
            self.give_up_resuming("a peer may have taken over by now".to_owned(), actions);
        }
    }

    /// Counts only while this node means to go on as master: what it does not know yet, another one may.
    fn init_hears(&mut self, init: Init, advert: &Heard, actions: &mut Vec<Action>) {
        let own = self.own_source();
        if init.resume_until.is_some() && (advert.priority, advert.source) > (self.effective, own) {
            let Heard { source, priority, .. } = advert;
            let trigger = format!("advert from {source} with priority {priority}, ours is {}", self.effective);
            self.give_up_resuming(trigger, actions);
        }
    }

    fn give_up_resuming(&mut self, trigger: String, actions: &mut Vec<Action>) {
        self.state = State::Init(Init::default());
        if self.present().is_some() {
            self.hold_nothing(actions);
        }
        let rule = "a process started again goes on as master only while nobody else can be";
        self.explain(Why::new(trigger, rule, format!("start as any other: {}", self.let_go())), actions);
    }

    fn fault_learns(&mut self, now: Instant, trigger: &str, actions: &mut Vec<Action>) {
        self.effective = self.effective_now();
        if let Some(obstacle) = self.fault().or_else(|| self.awaited()) {
            return self.set_reason(obstacle);
        }
        self.master_interval = self.own_interval();
        self.start(now, trigger, actions);
        self.announce_source(now, actions);
    }

    fn backup_learns(&mut self, now: Instant, trigger: &str, actions: &mut Vec<Action>) {
        if let Some(fault) = self.fault() {
            self.effective = self.effective_now();
            return self.fail(now, fault, actions);
        }
        let old_skew = self.skew();
        self.reprioritize(trigger, actions);
        let skew = self.skew();
        // keepalived moves the running timer by the difference.
        if let State::Backup(backup) = &mut self.state {
            backup.master_down_at = backup.master_down_at + skew - old_skew;
        }
    }

    fn master_learns(&mut self, now: Instant, trigger: &str, actions: &mut Vec<Action>) {
        if let Some(fault) = self.fault() {
            self.effective = self.effective_now();
            return self.fail(now, fault, actions);
        }
        self.reprioritize(trigger, actions);
    }

    pub(crate) fn fail(&mut self, now: Instant, fault: String, actions: &mut Vec<Action>) {
        let rule = "FAULT while an interface or an unweighted tracker has failed";
        let decision = if self.state.is_holding() { self.let_go() } else { "do not take part".to_owned() };
        self.enter(now, State::Fault, Why::new(fault, rule, decision), actions);
    }

    /// Begins to take part. `state MASTER` below priority 255 changes nothing here (keepalived, observed: it waits the
    /// whole master down interval).
    fn start(&mut self, now: Instant, trigger: &str, actions: &mut Vec<Action>) {
        self.own_again(trigger, actions);
        // An owner among others who are none waits as they do (keepalived, observed).
        let all_own = self.is_owner() && self.bond.as_ref().is_none_or(|bond| bond.all_own);
        if all_own && !self.standby && !self.maintenance.is_on() {
            let why = Why::new(trigger, "priority 255 owns the addresses (RFC 9568 6.4.1)", self.take_over());
            return self.enter(now, self.master(now), why, actions);
        }
        let rule = explain::master_down_rule(&self.config, self.master_interval, self.skew());
        let why = Why::new(trigger, rule, "listen for a master");
        self.enter(now, self.backup(now), why, actions);
    }

    pub(crate) fn reprioritize(&mut self, trigger: &str, actions: &mut Vec<Action>) {
        let (old, new) = (self.effective, self.effective_now());
        if old == new {
            return;
        }
        self.effective = new;
        let mut rule = match self.maintenance {
            Maintenance::Off => format!("priority {}", self.config.priority.get()),
            Maintenance::Yielding | Maintenance::Strict => "in maintenance a node has the lowest priority".to_owned(),
        };
        let counts = |tracker: &&Tracker| tracker.contribution() != 0 && !self.maintenance.is_on();
        for tracker in self.trackers.iter().filter(counts) {
            rule.push_str(&format!(" {:+} ({})", tracker.contribution(), tracker.name));
        }
        self.explain(Why::new(trigger, rule, format!("effective priority {old} -> {new}")), actions);
        if self.config.notify_priority_changes {
            let is_master = matches!(self.state, State::Master(_) | State::Leaving(_));
            self.report(if is_master { Report::MasterPriority } else { Report::BackupPriority }, actions);
        }
    }

    // ----- backup -----

    /// A backup that starts the whole master down interval at `from`.
    pub(crate) fn backup(&self, from: Instant) -> State {
        State::Backup(Backup {
            started_at: from,
            master_down_at: from + self.master_down(),
            timer: DownTimer::MasterDown,
            preempt_at: None,
            ignored: None,
            is_held: false,
            was_told: false,
        })
    }

    /// An advert of lower priority, like an invalid one, leaves the timer alone, so that it really runs out.
    fn backup_hears(&mut self, now: Instant, backup: Backup, advert: &Heard) {
        if advert.priority == 0 {
            let (started_at, master_down_at) = (now, now + self.skew());
            let timer = DownTimer::Skew;
            self.state = State::Backup(Backup { started_at, master_down_at, timer, is_held: false, ..backup });
            return;
        }
        let is_lower = advert.priority < self.effective;
        // The delay begins with each spell of lower adverts; one that is not lower ends it.
        let preempt_at = match (self.config.preempt, is_lower) {
            (Preempt::After(delay), true) => Some(backup.preempt_at.unwrap_or(now + delay)),
            (Preempt::After(_), false) | (Preempt::Always | Preempt::Never, _) => None,
        };
        let is_delayed = preempt_at.is_some_and(|preempt_at| now < preempt_at);
        if is_lower && !is_delayed && !self.never_preempts() {
            let ignored = Some((advert.source, advert.priority));
            self.state = State::Backup(Backup { preempt_at, ignored, ..backup });
            return;
        }
        self.learn_interval(advert);
        self.state = State::Backup(Backup {
            started_at: now,
            master_down_at: now + self.master_down(),
            timer: DownTimer::MasterDown,
            preempt_at,
            ignored: None,
            is_held: false,
            was_told: false,
        });
        self.word = Some(Word::Accepted);
    }

    fn backup_deadline(&mut self, now: Instant, backup: Backup, actions: &mut Vec<Action>) {
        if now < backup.master_down_at {
            return;
        }
        let waited = now.since(backup.started_at);
        let down_rule = || explain::master_down_rule(&self.config, self.master_interval, self.skew());
        let (trigger, rule) = match (backup.ignored, backup.timer, self.peer) {
            (Some((address, priority)), _, _) => {
                let mine = self.effective;
                (
                    format!("{address} is master with priority {priority}, lower than {mine} here"),
                    format!("preempt: lower adverts do not restart the {}", down_rule()),
                )
            }
            (None, DownTimer::Skew, Some(Peer { address, .. })) => (
                format!("{address} sent priority 0: it leaves"),
                explain::skew_rule(&self.config, self.effective, self.master_interval, self.skew()),
            ),
            (None, DownTimer::MasterDown, Some(Peer { address, heard_at, .. })) => {
                (format!("no advert from {address} for {}", explain::span(now.since(heard_at))), down_rule())
            }
            (None, DownTimer::MasterDown | DownTimer::Skew, None) => {
                (format!("no advert from anybody for {}", explain::span(waited)), down_rule())
            }
        };
        if self.maintenance == Maintenance::Strict {
            return self.stand_aside(now, backup, trigger, actions);
        }
        if !self.is_group_ready() {
            return self.hold_back(now, backup, trigger, actions);
        }
        let why = Why::new(trigger, rule, self.take_over()).after(waited);
        self.own_again("an election begins anew", actions);
        self.enter(now, self.master(now), why, actions);
    }

    // ----- master -----

    fn master_deadline(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let State::Master(mut master) = self.state else { return };
        if self.guard.header.is_spent() {
            return self.begin_new_numbers(now, actions);
        }
        if let Some(late) = self.lost_by_sleeping(now, &master) {
            return self.leave_it_to_the_peer(now, late, actions);
        }
        if master.advert_at <= now {
            master.advert_at = next(master.advert_at, now, self.own_interval());
            self.send_advert(self.effective, actions);
        }
        self.judge_other_owner(now, &mut master, actions);
        if let Some(burst) = master.burst.filter(|burst| burst.at <= now) {
            master.burst = None;
            self.announce(now, burst.count, actions);
        }
        if let Some(refresh_at) = master.refresh_at.filter(|refresh_at| *refresh_at <= now) {
            master.refresh_at = Some(next(refresh_at, now, self.config.garp.refresh));
            self.announce(now, self.config.garp.refresh_repeat, actions);
        }
        if let (Some(extra_at), Some(extra)) = (master.extra_at.filter(|at| *at <= now), self.config.garp.extra) {
            master.extra_at = Some(next(extra_at, now, extra.period));
            self.announce_elsewhere(now, extra, actions);
        }
        if master.probe_at <= now {
            master.probe_at = next(master.probe_at, now, timers::PROBE_INTERVAL);
            self.probe(actions);
        }
        self.look_at_claims(now, &mut master, actions);
        self.state = State::Master(master);
    }

    /// No peer takes another advert of ours, and one that has heard the last number cannot send one that we would take:
    /// all begin again (keepalived goes BACKUP, too).
    fn begin_new_numbers(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.guard.header = Default::default();
        let trigger = "the sequence numbers of the authentication header are used up";
        let why = Why::new(trigger, "no advert could be sent any more (RFC 2402 3.3.2)", self.let_go());
        self.enter(now, self.backup(now), why, actions);
    }

    /// For how long the advert is overdue, when a peer of `timer_expired_backup`'s priority must have taken over.
    fn lost_by_sleeping(&self, now: Instant, master: &Master) -> Option<Duration> {
        let priority = self.config.expired_priority.filter(|_| self.config.preempt == Preempt::Never)?;
        let (interval, adverts) = (self.own_interval(), self.config.down_adverts.get());
        let patience = timers::master_down(self.config.version, priority.get(), interval, adverts);
        // The last advert was sent one interval before this one was due.
        (now + interval >= master.advert_at + patience).then(|| now.since(master.advert_at))
    }

    fn leave_it_to_the_peer(&mut self, now: Instant, late: Duration, actions: &mut Vec<Action>) {
        let rule = "timer_expired_backup: a peer has taken over since, and nopreempt leaves it to it";
        let why = Why::new(format!("this node was stopped for {}", explain::span(late)), rule, self.let_go());
        self.enter(now, self.backup(now), why, actions);
    }

    fn master_hears(&mut self, now: Instant, master: Master, advert: &Heard, actions: &mut Vec<Action>) {
        if advert.priority == 0 {
            return self.outlive(now, master, advert, actions);
        }
        let own = self.own_source();
        match (advert.priority, advert.source).cmp(&(self.effective, own)) {
            Ordering::Greater => self.yield_to(now, advert, actions),
            // What the peer sent may be heard before the deadline that was missed is served.
            Ordering::Less => match self.lost_by_sleeping(now, &master) {
                Some(late) => self.leave_it_to_the_peer(now, late, actions),
                None => {
                    self.outrank(now, master, advert, actions);
                    self.watch_other_owner(now, advert);
                }
            },
            // Two nodes with one address, or our own advert come back: nothing decides between them.
            Ordering::Equal => {}
        }
    }

    /// A better master is there. It has the addresses, or will in a moment; until then this node goes on answering.
    /// No priority 0 is sent (keepalived, observed).
    ///
    /// After a partition both are masters, and clients may have learned this one. The better master only announces itself
    /// again when it hears of this one, which would not send another advert: so it sends a last one where the address is
    /// known to be disputed (keepalived does so when `vrrp_higher_prio_send_advert` is set).
    fn yield_to(&mut self, now: Instant, advert: &Heard, actions: &mut Vec<Action>) {
        // In a conflict it may have been somebody else.
        let in_conflict = matches!(&self.state, State::Master(master) if master.conflict.is_some());
        let has_announced =
            !in_conflict && self.claimed_at.is_some_and(|claimed_at| now.since(claimed_at) <= timers::ANNOUNCED_BEFORE);
        let is_disputed = matches!(&self.state, State::Master(master) if master.conflict.or(master.suspect).is_some());
        if self.config.higher_prio_send_advert || (is_disputed && !has_announced) {
            self.send_advert(self.effective, actions);
        }
        self.learn_interval(advert);
        let Heard { source, priority, .. } = advert;
        let (mine, same) = (self.effective, *priority == self.effective);
        let trigger = format!("advert from {source} with priority {priority}, ours is {mine}");
        let rule = if same {
            "equal priority: the higher address wins (RFC 9568 6.4.3)"
        } else {
            "the higher priority wins (RFC 9568 6.4.3)"
        };
        if has_announced {
            let decision = format!("{}: {source} has announced it", self.let_go());
            return self.enter(now, self.backup(now), Why::new(trigger, rule, decision), actions);
        }
        let leaving = Leaving {
            why: Leave::Yield,
            entered_at: now,
            release_at: now + timers::SUCCESSOR_GRACE,
            successor: Some((*source, now)),
            has_asked: false,
        };
        let decision = format!("answer for {} until {source} announces it", self.address_names());
        self.enter(now, State::Leaving(leaving), Why::new(trigger, rule, decision), actions);
    }

    /// Brings back an address that somebody removed. keepalived becomes backup with priority 0 and master again a
    /// skew later.
    fn repair(&mut self, now: Instant, address: IpAddr, announce: Announce, actions: &mut Vec<Action>) {
        let lost: Vec<_> = self.addresses().filter(|held| held.prefix.address() == address).cloned().collect();
        if lost.is_empty() {
            return;
        }
        self.counters.addresses_repaired += 1;
        self.push_hold(actions);
        if announce == Announce::Yes {
            self.announce_some(now, lost, self.config.garp.repeat, actions);
        }
        let trigger = format!("{address} is no longer on this node, and nothing here removed it");
        self.explain(Why::new(trigger, "held addresses are reconciled", format!("add {address} again")), actions);
    }

    /// Brings back a route or a rule that somebody removed.
    fn repair_route(&mut self, what: &str, actions: &mut Vec<Action>) {
        self.counters.addresses_repaired += 1;
        self.push_hold(actions);
        let trigger = format!("{what} is no longer on this node, and nothing here removed it");
        let rule = "held routes and rules are reconciled";
        self.explain(Why::new(trigger, rule, format!("add {what} again")), actions);
    }

    /// What this node's adverts come from: among equal priorities the higher address wins.
    pub(crate) fn own_source(&self) -> IpAddr {
        self.present().and_then(|present| present.source).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    pub(crate) fn take_over(&self) -> String {
        format!("take over {}", self.address_names())
    }

    pub(crate) fn let_go(&self) -> String {
        format!("release {}", self.address_names())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Announce {
    Yes,
    No,
}

/// The next instant of a period. After a long stall it starts anew, so that nothing is sent in a row to catch up.
fn next(due_at: Instant, now: Instant, period: Duration) -> Instant {
    let next = due_at + period;
    if next > now { next } else { now + period }
}
