//! The wall clock, which the core knows only by what it is told of it.

use evenkeel_kernel::clock;
use evenkeel_vrrp::config::{Authentication, Instance};
use evenkeel_vrrp::{Config, Event};
use evenkeel_wire::Instant;
use std::time::Duration;

/// How far the core's wall clock may be off before it is told anew: little beside the least window of `auth_hmac`, a
/// second.
const GRAIN: Duration = Duration::from_millis(10);

/// What the core was told, and when.
#[derive(Debug, Default)]
pub struct Wall {
    told: Option<(Instant, Duration)>,
}

impl Wall {
    /// What to tell the core, when the clock is not what the core thinks and an instance asks for it.
    pub fn news(&mut self, config: &Config, now: Instant) -> Option<Event> {
        let is_signed = |instance: &Instance| matches!(instance.authentication, Authentication::Hmac(_));
        if !config.instances.iter().any(is_signed) {
            return None;
        }
        let utc = clock::utc();
        let is_known = |(told_at, told): (Instant, Duration)| (told + now.since(told_at)).abs_diff(utc) < GRAIN;
        if self.told.is_some_and(is_known) {
            return None;
        }
        self.told = Some((now, utc));
        Some(Event::Clock { utc })
    }
}
