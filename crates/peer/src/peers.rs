use crate::config::Config;
use crate::event::{Action, Event, PeerId};
use crate::facts::Facts;
use crate::packet::Life;
use crate::session::{Ours, Session};
use crate::status::{Status, Unclaimed};
use evenkeel_wire::Instant;
use std::net::IpAddr;

/// Every other node that this one talks to.
#[derive(Clone, Debug)]
pub struct Peers {
    /// A node has one or two, so they are looked for one after the other.
    sessions: Vec<Session>,
    ours: Ours,
    unclaimed: Unclaimed,
    /// Sessions that there have been.
    n_sessions: u32,
}

impl Peers {
    /// Nobody has been heard yet. `life` is drawn at random for each process; it is what old datagrams are told by.
    pub fn new(config: Config, life: Life, facts: Facts) -> Self {
        let mut peers = Peers {
            sessions: Vec::new(),
            ours: Ours::new(life, facts),
            unclaimed: Unclaimed::default(),
            n_sessions: 0,
        };
        peers.install(Instant::ORIGIN, config);
        peers
    }

    /// Takes in one event; pushes what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Deadline => {
                for session in self.sessions.iter_mut().filter(|session| session.state.deadline() <= now) {
                    session.deadline_came(now, &self.ours, actions);
                    debug_assert!(session.state.deadline() > now, "a deadline that was met is over");
                }
            }
            Event::Datagram { from, bytes } => match self.sessions.iter_mut().find(|s| s.config.address == from) {
                Some(session) => session.receive(now, &bytes, &self.ours, actions),
                None => self.unclaimed.unknown += 1,
            },
            Event::Facts(facts) => {
                if *facts == self.ours.facts {
                    return;
                }
                self.ours = Ours::new(self.ours.life, *facts);
                for session in &mut self.sessions {
                    session.ours_changed(now, &self.ours, actions);
                }
            }
            Event::NotSent { peer } => {
                if let Some(session) = self.sessions.get_mut(peer.0 as usize) {
                    session.counters.not_sent += 1;
                }
            }
        }
    }

    /// When [`Event::Deadline`] is to come, at the latest; `None` without peers.
    pub fn deadline(&self) -> Option<Instant> {
        self.sessions.iter().map(|session| session.state.deadline()).min()
    }

    /// Replaces the configuration. A peer with the address and key that it had is still known; others begin anew.
    ///
    /// Afterwards identifiers are indices in the new configuration.
    pub fn reconfigure(&mut self, now: Instant, config: Config, _: &mut Vec<Action>) {
        self.install(now, config);
    }

    /// What is so now.
    pub fn status(&self, now: Instant) -> Status {
        Status { peers: self.sessions.iter().map(|session| session.status(now)).collect(), unclaimed: self.unclaimed }
    }

    /// What this node says of itself.
    pub fn facts(&self) -> &Facts {
        &self.ours.facts
    }

    /// Whether a peer has this address.
    pub fn knows(&self, address: IpAddr) -> bool {
        self.sessions.iter().any(|session| session.config.address == address)
    }

    fn install(&mut self, now: Instant, config: Config) {
        let mut old = std::mem::take(&mut self.sessions);
        for (id, config) in (0..).map(PeerId).zip(config.peers) {
            let is_same = |old: &Session| old.config.address == config.address && old.config.key == config.key;
            let session = match old.iter().position(is_same) {
                Some(at) => {
                    let mut session = old.swap_remove(at);
                    session.become_configured(id, config, now);
                    session
                }
                None => {
                    self.n_sessions += 1;
                    Session::new(id, config, now, self.n_sessions)
                }
            };
            self.sessions.push(session);
        }
    }
}
