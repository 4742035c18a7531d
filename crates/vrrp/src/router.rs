use crate::{Action, Config, Event, Status};
use evenkeel_wire::Instant;

/// Every virtual router of this node.
pub struct Router {
    config: Config,
}

impl Router {
    /// A router that has heard of no interface yet. `seed` spreads what may be spread (the first ARP probe).
    pub fn new(config: Config, seed: u64) -> Self {
        let _ = seed;
        Router { config }
    }

    /// Takes in one event; pushes what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        let _ = (now, event, actions, &self.config);
    }

    /// When [`Event::Deadline`] is due; `None` when nothing is awaited.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Replaces the configuration. Instances are matched by virtual router, family and interface, not by name;
    /// matched ones keep state, counters and addresses.
    pub fn reconfigure(&mut self, now: Instant, config: Config, actions: &mut Vec<Action>) {
        let _ = (now, actions);
        self.config = config;
    }

    /// What is so now.
    pub fn status(&self, now: Instant) -> Status {
        let _ = now;
        Status::default()
    }
}
