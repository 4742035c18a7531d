//! Interfaces that go down and up again: `interface_up_down_delays`.

use crate::config::LinkDelay;
use crate::event::Interface;
use evenkeel_wire::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Holds changes back until they have lasted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Debounce {
    /// By name of the interface: what was reported is the other state, and from when on that counts.
    pending: BTreeMap<String, Instant>,
}

impl Debounce {
    /// What a report is to be taken for. `before` is what counted until now, of the same interface.
    ///
    /// A change that is taken back before it counted is none.
    pub(crate) fn filter(
        &mut self,
        now: Instant,
        report: &mut Interface,
        before: Option<&Interface>,
        delay: impl FnOnce(&str, bool) -> Duration,
    ) {
        let Some(before) = before.filter(|before| before.name == report.name && before.up != report.up) else {
            self.pending.remove(&report.name);
            return;
        };
        let counts_at = match self.pending.get(&report.name) {
            Some(counts_at) => *counts_at,
            None => now + delay(&report.name, report.up),
        };
        if counts_at <= now {
            self.pending.remove(&report.name);
            return;
        }
        self.pending.insert(report.name.clone(), counts_at);
        report.up = before.up;
    }

    /// An interface that is gone has no state to come.
    pub(crate) fn forget(&mut self, name: &str) {
        self.pending.remove(name);
    }

    /// When [`Debounce::due`] is to be asked.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pending.values().min().copied()
    }

    /// An interface whose state turns round now.
    pub(crate) fn due(&mut self, now: Instant) -> Option<String> {
        let name = self.pending.iter().find(|(_, counts_at)| **counts_at <= now).map(|(name, _)| name.clone())?;
        self.pending.remove(&name);
        Some(name)
    }
}

/// The delay of an interface in this direction, of all that was configured.
pub(crate) fn configured(delays: &[LinkDelay], name: &str, up: bool) -> Duration {
    let delay = delays.iter().find(|delay| delay.interface == name);
    delay.map_or(Duration::ZERO, |delay| if up { delay.up } else { delay.down })
}
