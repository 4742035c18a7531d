use crate::event::{CheckId, ServerId};
use evenkeel_wire::Instant;
use std::collections::BTreeSet;

/// What is due some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A check runs.
    Run(CheckId),
    /// A probe should have reported.
    Overdue(CheckId),
    /// A weight rises another step.
    Ramp(ServerId),
}

/// Timers by their instants. One that is no longer wanted stays until it comes to the front, where [`Timers::prune`] drops
/// it: whoever it is for knows the instant that it waits for, and that is the truth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// For timers that are hardly ever waited for: there would be many of them.
    pub(crate) fn unset(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The next that has come due, wanted or not.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        if self.first()? > now {
            return None;
        }
        self.0.pop_first()
    }

    /// Drops what is first and not wanted, so that [`Timers::first`] is a true deadline.
    pub(crate) fn prune(&mut self, is_wanted: impl Fn(Instant, Timer) -> bool) {
        while let Some((at, timer)) = self.0.first() {
            if is_wanted(*at, *timer) {
                return;
            }
            self.0.pop_first();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
