use crate::keepalived::Keepalived;
use evenkeel_vrrp::{Action, Config, Event, Router, StateName};
use evenkeel_wire::Instant;

/// What runs on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Evenkeel,
    /// The model of it.
    Keepalived,
}

/// A process of it.
pub(crate) enum Daemon {
    Evenkeel(Box<Router>),
    Keepalived(Box<Keepalived>),
}

/// What is so of one virtual router, for the laws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) state: StateName,
    /// It says that its addresses are here.
    pub(crate) holding: bool,
    pub(crate) effective: u8,
}

impl Daemon {
    pub(crate) fn new(program: Program, config: Config, seed: u64) -> Self {
        match program {
            Program::Evenkeel => Daemon::Evenkeel(Box::new(Router::new(config, seed))),
            Program::Keepalived => Daemon::Keepalived(Box::new(Keepalived::new(config))),
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match self {
            Daemon::Evenkeel(router) => router.handle(now, event, actions),
            Daemon::Keepalived(keepalived) => keepalived.handle(now, event, actions),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Daemon::Evenkeel(router) => router.deadline(),
            Daemon::Keepalived(keepalived) => keepalived.deadline(),
        }
    }

    pub(crate) fn reconfigure(&mut self, now: Instant, config: Config, actions: &mut Vec<Action>) {
        match self {
            Daemon::Evenkeel(router) => router.reconfigure(now, config, actions),
            Daemon::Keepalived(keepalived) => keepalived.reconfigure(now, config, actions),
        }
    }

    /// Each virtual router, in the order of the configuration.
    pub(crate) fn see(&self, now: Instant) -> Vec<Seen> {
        match self {
            Daemon::Evenkeel(router) => {
                let seen = router.status(now).instances.into_iter().map(|instance| Seen {
                    state: instance.state,
                    holding: instance.holding,
                    effective: instance.effective_priority,
                });
                seen.collect()
            }
            Daemon::Keepalived(keepalived) => {
                let seen = keepalived.routers().iter().map(|router| Seen {
                    state: router.state,
                    holding: router.state == StateName::Master,
                    effective: router.effective,
                });
                seen.collect()
            }
        }
    }
}
