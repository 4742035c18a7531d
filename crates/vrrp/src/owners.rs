//! Two nodes that both claim to own the addresses, with priority 255: somebody has configured one of them wrongly.
//!
//! The lower address yields, as among equals. One that does not (it ignores adverts, as owners may) cannot be outdone: after
//! a while the other one goes without, with priority 254, as in keepalived 2.4, and the addresses have one master again.

use crate::event::{Action, Report};
use crate::explain::{self, Why};
use crate::instance::Instance;
use crate::packet::Heard;
use crate::state::{Master, State};
use evenkeel_wire::Instant;
use std::net::IpAddr;
use std::time::Duration;

const OWNER: u8 = 255;
/// What is left to an owner that has given in.
const REDUCED: u8 = 254;

/// What is known of another owner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum OtherOwner {
    /// Its address is lower, and it has not yielded yet. When it is judged is the master's to know.
    Watched {
        source: IpAddr,
        heard_at: Instant,
        /// What it has to be silent for at the end.
        patience: Duration,
    },
    /// It would not yield, and this one is no owner for now.
    GivenInTo(IpAddr),
}

impl Instance {
    /// A master of priority 255 was heard, whose address is lower than that of this one: it should yield.
    pub(crate) fn watch_other_owner(&mut self, now: Instant, advert: &Heard) {
        let (own, theirs) = (self.own_interval(), advert.interval.duration());
        let State::Master(master) = &mut self.state else { return };
        if self.effective != OWNER || advert.priority != OWNER {
            return;
        }
        if let (Some(OtherOwner::Watched { source, heard_at, .. }), Some(_)) = (&mut self.other_owner, master.judge_at)
            && *source == advert.source
        {
            *heard_at = now;
            return;
        }
        // It is to have two of our adverts, of which the first goes out at once unless it is not to, and time to answer.
        let second_at = if self.config.lower_prio_no_advert { master.advert_at + own } else { now + own };
        let patience = own.max(theirs) * 6 / 5;
        master.judge_at = Some(second_at + patience);
        self.other_owner = Some(OtherOwner::Watched { source: advert.source, heard_at: now, patience });
    }

    /// Gives in to one that goes on, and forgets one that has fallen silent.
    pub(crate) fn judge_other_owner(&mut self, now: Instant, master: &mut Master, actions: &mut Vec<Action>) {
        if master.judge_at.is_none_or(|judge_at| now < judge_at) {
            return;
        }
        master.judge_at = None;
        let Some(OtherOwner::Watched { source, heard_at, patience }) = self.other_owner.take() else { return };
        if now.since(heard_at) >= patience {
            return;
        }
        self.other_owner = Some(OtherOwner::GivenInTo(source));
        self.effective = REDUCED;
        let trigger = format!("{source} owns the addresses too, and its address is lower, but it does not yield");
        let waited = explain::span(patience);
        let rule = format!("two owners: {waited} after two adverts the one that hears gives in (keepalived)");
        self.explain(Why::new(trigger, rule, format!("effective priority {OWNER} -> {REDUCED}")), actions);
        if self.config.notify_priority_changes {
            self.report(Report::MasterPriority, actions);
        }
    }

    /// The one that was given in to stops, or is an owner no more.
    pub(crate) fn hear_other_owner(&mut self, advert: &Heard, actions: &mut Vec<Action>) {
        if self.other_owner == Some(OtherOwner::GivenInTo(advert.source)) && advert.priority != OWNER {
            let trigger = match advert.priority {
                0 => format!("{} stops", advert.source),
                priority => format!("{} has priority {priority} now", advert.source),
            };
            self.own_again(&trigger, actions);
        }
    }

    /// An owner as before: the other one is gone, or an election begins anew.
    pub(crate) fn own_again(&mut self, trigger: &str, actions: &mut Vec<Action>) {
        if self.other_owner.take().is_some() {
            self.reprioritize(trigger, actions);
        }
    }

    /// What [`Instance::effective_now`] is while it has given in.
    pub(crate) fn reduced(&self) -> Option<u8> {
        let has_given_in = matches!(self.other_owner, Some(OtherOwner::GivenInTo(_)));
        (has_given_in && self.is_owner()).then_some(REDUCED)
    }
}
