use super::Lower;
use super::number::Garbage;
use crate::keepalived::language::Node;
use evenkeel_vrrp::config::{Extra, Garp};
use std::time::Duration;

/// What a file says about gratuitous ARP, globally or for one instance.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::keepalived) struct GarpDraft {
    pub(super) delay: Option<Duration>,
    pub(super) repeat: Option<u8>,
    pub(super) refresh: Option<Duration>,
    pub(super) refresh_repeat: Option<u8>,
    pub(super) lower_prio_delay: Option<Duration>,
    pub(super) lower_prio_repeat: Option<u8>,
    /// What is said; none when it is that there is none.
    pub(super) extra: Option<Option<Extra>>,
}

impl GarpDraft {
    /// `self` where it says something, `global` where that does, and the defaults of keepalived.
    pub(super) fn over(&self, global: &GarpDraft) -> Garp {
        let default = Garp::default();
        let delay = self.delay.or(global.delay).unwrap_or(default.delay);
        let repeat = self.repeat.or(global.repeat).unwrap_or(default.repeat);
        Garp {
            delay,
            repeat,
            refresh: self.refresh.or(global.refresh).unwrap_or(default.refresh),
            refresh_repeat: self.refresh_repeat.or(global.refresh_repeat).unwrap_or(default.refresh_repeat),
            // Without values of their own these two follow the global ones, not those of the instance (keepalived, observed).
            lower_prio_delay: self
                .lower_prio_delay
                .or(global.lower_prio_delay)
                .or(global.delay)
                .unwrap_or(default.delay),
            lower_prio_repeat: self
                .lower_prio_repeat
                .or(global.lower_prio_repeat)
                .or(global.repeat)
                .unwrap_or(default.repeat),
            extra: self.extra.or(global.extra).flatten(),
        }
    }

    /// `vrrp_min_garp` changes only what has not been said before it.
    pub(super) fn minimize(&mut self) {
        self.delay.get_or_insert(Duration::ZERO);
        self.repeat.get_or_insert(1);
        self.refresh.get_or_insert(Duration::ZERO);
        self.refresh_repeat.get_or_insert(1);
    }
}

impl Lower {
    /// Whole seconds as argument 1.
    pub(super) fn garp_seconds(&mut self, node: &Node) -> Option<Duration> {
        let seconds = self.integer(node.argument(1)?, 0..=i64::from(u32::MAX / 1000), Garbage::Tolerated)?;
        Some(Duration::from_secs(seconds.unsigned_abs()))
    }

    /// A count as argument 1. A burst has at most 255 messages here.
    pub(super) fn garp_count(&mut self, node: &Node, zero: Zero) -> Option<u8> {
        let count = self.integer(node.argument(1)?, 0..=255, Garbage::Tolerated)?;
        let count = u8::try_from(count).ok()?;
        Some(if count == 0 && zero == Zero::IsOne { 1 } else { count })
    }
}

/// What a count of 0 means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    IsOne,
    IsNone,
}
