//! A handover: priority 0 first, the addresses when somebody else has them.

use crate::event::{Action, Maintenance};
use crate::explain::{self, Why};
use crate::instance::Instance;
use crate::packet::Heard;
use crate::state::{Leave, Leaving, State};
use crate::timers;
use evenkeel_wire::Instant;

impl Instance {
    /// Begins a handover that was asked for: priority 0 first, the addresses later.
    pub(crate) fn leave(&mut self, now: Instant, why: Leave, trigger: &str, actions: &mut Vec<Action>) {
        let patience = self.longest_master_down();
        let leaving = Leaving { why, entered_at: now, release_at: now + patience, successor: None, has_asked: false };
        let rule =
            format!("hand over: a peer takes over its skew after priority 0; wait up to {}", explain::span(patience));
        let decision = format!("answer for {} until a peer has it", self.address_names());
        self.enter(now, State::Leaving(leaving), Why::new(trigger, rule, decision), actions);
    }

    pub(crate) fn leaving_learns(&mut self, now: Instant, leaving: Leaving, trigger: &str, actions: &mut Vec<Action>) {
        let fault = match leaving.why {
            // The others of the group stop as well: what ails them is no reason to let go early.
            Leave::Shutdown => self.own_fault(),
            Leave::Failover | Leave::Yield | Leave::Group => self.fault(),
        };
        let Some(fault) = fault else { return self.reprioritize(trigger, actions) };
        self.effective = self.effective_now();
        match leaving.why {
            Leave::Shutdown => {
                let why = Why::new(fault, "without it no address can be held", self.let_go());
                self.enter(now, State::Stopped, why, actions);
            }
            Leave::Failover | Leave::Yield | Leave::Group => self.fail(now, fault, actions),
        }
    }

    pub(crate) fn leaving_hears(&mut self, now: Instant, leaving: Leaving, advert: &Heard, actions: &mut Vec<Action>) {
        let source = advert.source;
        if self.present().is_some_and(|present| present.source == Some(source)) {
            // Our own last advert, come back, is no successor.
            return;
        }
        let is_successor = leaving.successor.is_some_and(|(successor, _)| successor == source);
        match (leaving.why, advert.priority) {
            // The one we made way for leaves itself, and we still hold everything.
            (Leave::Yield, 0) if is_successor && self.bond.is_none() && self.maintenance != Maintenance::Strict => {
                let trigger = format!("{source} sent priority 0 before it took over");
                let why = Why::new(trigger, "no better master is left", format!("keep {}", self.address_names()));
                self.enter(now, self.master(now), why, actions);
            }
            (Leave::Shutdown | Leave::Failover | Leave::Group, 0) if is_successor => {
                let release_at = leaving.entered_at + self.longest_master_down();
                self.state = State::Leaving(Leaving { release_at: release_at.max(now), successor: None, ..leaving });
            }
            (Leave::Shutdown | Leave::Failover | Leave::Group | Leave::Yield, 0) => {}
            (Leave::Shutdown | Leave::Failover | Leave::Group | Leave::Yield, _) if is_successor => {
                self.learn_interval(advert);
                self.state = State::Leaving(Leaving { successor: Some((source, now)), ..leaving });
            }
            (Leave::Shutdown | Leave::Failover | Leave::Group, _) if leaving.successor.is_none() => {
                self.learn_interval(advert);
                let release_at = leaving.release_at.min(now + timers::SUCCESSOR_GRACE);
                let leaving = Leaving { release_at, successor: Some((source, now)), ..leaving };
                self.state = State::Leaving(leaving);
                if self.claimed_at.is_some_and(|claimed_at| now.since(claimed_at) <= timers::ANNOUNCED_BEFORE) {
                    let trigger = format!("{source} is master");
                    self.release(now, leaving, trigger, "it announced the address before its advert", actions);
                }
            }
            // One successor is enough.
            (Leave::Shutdown | Leave::Failover | Leave::Group | Leave::Yield, _) => {}
        }
    }

    pub(crate) fn leaving_deadline(&mut self, now: Instant, leaving: Leaving, actions: &mut Vec<Action>) {
        if now < leaving.release_at {
            return;
        }
        if self.should_ask(&leaving) {
            return self.ask_for_announcement(now, leaving, actions);
        }
        let waited = explain::span(now.since(leaving.entered_at));
        match (leaving.successor, leaving.why) {
            (Some((successor, _)), _) => {
                let trigger = format!("{successor} is master");
                let rule = format!("released {} after its advert", explain::span(timers::SUCCESSOR_GRACE));
                self.release(now, leaving, trigger, &rule, actions);
            }
            (None, Leave::Failover) if self.is_group_ready() && self.maintenance != Maintenance::Strict => {
                let trigger = format!("nobody took over within {waited}");
                let why = Why::new(trigger, "an address that nobody else has is kept", self.take_over());
                self.enter(now, self.master(now), why.after(now.since(leaving.entered_at)), actions);
            }
            (None, Leave::Shutdown | Leave::Yield | Leave::Failover | Leave::Group) => {
                let trigger = format!("nobody took over within {waited}");
                self.release(now, leaving, trigger, "the wait is over", actions);
            }
        }
    }

    /// The better master has not announced itself. One that was master all along, beside this one and out of its hearing,
    /// does not know that it has to.
    fn should_ask(&self, leaving: &Leaving) -> bool {
        let is_better = self.peer.is_some_and(|peer| {
            (peer.priority, peer.address) > (self.effective, self.own_source())
                && leaving.successor.is_some_and(|(successor, _)| successor == peer.address)
        });
        match leaving.why {
            // After a failover the lower one is to be master: an advert of ours would take that back.
            Leave::Shutdown | Leave::Failover => false,
            Leave::Yield | Leave::Group => is_better && !leaving.has_asked && self.announced_last().is_some(),
        }
    }

    /// By an advert, which a better master answers with announcements (keepalived's `garp_lower_prio_repeat`).
    fn ask_for_announcement(&mut self, now: Instant, leaving: Leaving, actions: &mut Vec<Action>) {
        self.state = State::Leaving(Leaving { release_at: now + timers::SUCCESSOR_GRACE, has_asked: true, ..leaving });
        self.send_advert(self.effective, actions);
        let trigger = format!("the better master has not announced {}", self.address_names());
        let rule = "neighbours go on to send here what they believe to be here";
        let decision = format!("send one more advert, so that it does, and answer for {}", self.address_names());
        self.explain(Why::new(trigger, rule, decision).after(now.since(leaving.entered_at)), actions);
    }

    /// Ends a handover: a successor is there, or there is none to wait for.
    pub(crate) fn release(
        &mut self,
        now: Instant,
        leaving: Leaving,
        trigger: String,
        rule: &str,
        actions: &mut Vec<Action>,
    ) {
        let next = match leaving.why {
            Leave::Shutdown => State::Stopped,
            // Of several that took over the first one heard need not be the one that stayed.
            Leave::Failover | Leave::Yield | Leave::Group => {
                let last = self.peer.filter(|peer| peer.priority > 0).map(|peer| peer.heard_at);
                self.backup(
                    leaving.successor.map_or(now, |(_, heard_at)| last.map_or(heard_at, |last| last.max(heard_at))),
                )
            }
        };
        let why = Why::new(trigger, rule, self.let_go()).after(now.since(leaving.entered_at));
        self.enter(now, next, why, actions);
    }
}
