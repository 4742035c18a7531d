//! A master beside another one: a rival of lower priority, or somebody else who speaks for its addresses.
//!
//! Whoever is master says so again after a conflict, with growing pauses, for a minute: what neighbours learned meanwhile
//! is not known, and one message may be lost.

use crate::event::{Action, Report};
use crate::explain::{self, Why};
use crate::group::Word;
use crate::instance::Instance;
use crate::packet::Heard;
use crate::state::{Burst, Claim, Master, Reminder, State};
use crate::timers;
use evenkeel_wire::{Instant, Mac};
use std::net::IpAddr;

impl Instance {
    /// A master of lower priority is there: it hears from us at once, and the network learns again where the
    /// addresses are, now and in a later burst (keepalived's `garp_lower_prio_*`).
    pub(crate) fn outrank(&mut self, now: Instant, mut master: Master, advert: &Heard, actions: &mut Vec<Action>) {
        let is_news = master.rival_at.is_none_or(|rival_at| now.since(rival_at) > timers::CONFLICT_QUIET);
        master.rival_at = Some(now);
        self.remind_beside_rival(now, &mut master);
        if !self.config.lower_prio_no_advert {
            master.advert_at = now + self.own_interval();
            self.send_advert(self.effective, actions);
        }
        self.state = State::Master(master);
        self.announce(now, self.config.garp.lower_prio_repeat, actions);
        self.word = Some(Word::Outranked);
        self.report(Report::MasterRxLowerPri, actions);
        if is_news {
            let Heard { source, priority, .. } = advert;
            let (mine, same) = (self.effective, *priority == self.effective);
            let trigger = format!("{source} is master too, with priority {priority}; ours is {mine}");
            let rule = if same {
                "equal priority: the higher address wins (RFC 9568 6.4.3)"
            } else {
                "the higher priority wins (RFC 9568 6.4.3)"
            };
            let again = match self.config.garp.lower_prio_repeat {
                0 => String::new(),
                _ => format!(" and announce {} again, {}", self.address_names(), for_a_minute()),
            };
            self.explain(Why::new(trigger, rule, format!("stay master{again}")), actions);
        }
    }

    /// Somebody who was master beside us leaves: whoever waits now hears at once that there is one (RFC 9568 6.4.3), and
    /// neighbours that send to it hear where to send.
    pub(crate) fn outlive(&mut self, now: Instant, mut master: Master, advert: &Heard, actions: &mut Vec<Action>) {
        master.advert_at = now + self.own_interval();
        self.remind_beside_rival(now, &mut master);
        self.state = State::Master(master);
        self.send_advert(self.effective, actions);
        self.announce(now, self.config.garp.lower_prio_repeat, actions);
        let trigger = format!("{} sent priority 0: it leaves, and was master too", advert.source);
        let decision = format!("stay master and announce {} again, {}", self.address_names(), for_a_minute());
        let why = Why::new(trigger, "a master answers whoever leaves (RFC 9568 6.4.3)", decision);
        if self.config.garp.lower_prio_repeat > 0 {
            self.explain(why, actions);
        }
    }

    /// Whoever wants no announcements because of a rival has none.
    pub(crate) fn remind_beside_rival(&self, now: Instant, master: &mut Master) {
        let garp = self.config.garp;
        if garp.lower_prio_repeat == 0 {
            return;
        }
        master.reminder = Some(Reminder::begin(now));
        if !garp.lower_prio_delay.is_zero() {
            master.burst = Some(Burst { at: now + garp.lower_prio_delay, count: garp.lower_prio_repeat });
        }
    }

    /// Somebody else has told all neighbours that an address that is held here is its own.
    pub(crate) fn contradict(&mut self, now: Instant, mut master: Master, address: IpAddr, mac: Mac) {
        if self.may_have_been_last(now) {
            self.claimed_at = Some(now);
        }
        if now.since(master.entered_at) < timers::TAKEOVER_GRACE {
            // The old master's last word, which came to others after our first.
            master.reminder = Some(Reminder::begin_soon(now, master.reminder));
            self.state = State::Master(master);
        }
        self.suspect(now, &mut master, address, mac);
    }

    /// Whether an announcement that is heard now has come to neighbours after our own last one. Of two that are under way at
    /// the same time nobody knows which comes first.
    pub(crate) fn may_have_been_last(&self, now: Instant) -> bool {
        self.announced_at.is_none_or(|announced_at| now.since(announced_at) >= timers::UNDER_WAY)
    }

    /// Somebody else speaks for an address that is held here: the master we took over from, for a moment; or the
    /// one that takes over, whose advert then follows; or else a second owner.
    pub(crate) fn suspect(&mut self, now: Instant, master: &mut Master, address: IpAddr, mac: Mac) {
        if now.since(master.entered_at) < timers::TAKEOVER_GRACE {
            return;
        }
        let fresh = Claim { address, mac, first_at: now, last_at: now };
        match (&mut master.conflict, &mut master.suspect) {
            (Some(claim), _) | (None, Some(claim)) => *claim = Claim { first_at: claim.first_at, ..fresh },
            (None, suspect @ None) => *suspect = Some(fresh),
        }
        self.state = State::Master(*master);
    }

    /// What becomes of somebody else's claims, and of neighbours that believed them.
    pub(crate) fn look_at_claims(&mut self, now: Instant, master: &mut Master, actions: &mut Vec<Action>) {
        if let Some(claim) = master.suspect.filter(|claim| claim.first_at + timers::CLAIM_GRACE <= now) {
            master.suspect = None;
            master.conflict = Some(claim);
            master.reminder = Some(Reminder::begin(now));
            self.counters.conflicts += 1;
            // Once, as RFC 5227 2.4 defends an address.
            self.announce(now, 1, actions);
            let trigger = format!("{} answers for {} too", claim.mac, claim.address);
            let rule = "one owner at a time, and no advert of a better master has come";
            let decision = format!(
                "conflict: keep {}, announce it again, {}, and keep asking",
                self.address_names(),
                for_a_minute()
            );
            self.explain(Why::new(trigger, rule, decision).after(now.since(claim.first_at)), actions);
        }
        if let Some(claim) = master.conflict.filter(|claim| claim.last_at + timers::CONFLICT_QUIET <= now) {
            master.conflict = None;
            master.reminder = Some(Reminder::begin(now));
            self.announce(now, self.config.garp.repeat, actions);
            let quiet = explain::span(timers::CONFLICT_QUIET);
            let trigger = format!("{} has not answered for {} since {quiet}", claim.mac, claim.address);
            let decision = format!("announce {} again, {}", self.address_names(), for_a_minute());
            let why = Why::new(trigger, "a conflict without evidence is over", decision);
            self.explain(why.after(now.since(claim.first_at)), actions);
        }
        if let Some(reminder) = master.reminder.filter(|reminder| reminder.at <= now) {
            master.reminder = reminder.next(now);
            self.counters.reminders += 1;
            self.announce(now, 1, actions);
        }
    }
}

fn for_a_minute() -> String {
    format!("with growing pauses for {}", explain::span(timers::REMINDERS_FOR))
}
