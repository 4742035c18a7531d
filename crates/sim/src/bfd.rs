//! BFD between neighbours in a ring: each watches the next one and is watched by the one before. Packets are lost as all
//! else is; what a session says is told to the virtual routers of its machine.

use crate::node::Node;
use crate::scenario::{BFD, LINK, primary};
use crate::world::{Broken, Happening, World};
use evenkeel_bfd::config::Session;
use evenkeel_bfd::{Action, Config, Event, Reach, Received, SessionId, Sessions};
use evenkeel_wire::Family;
use std::time::Duration;

/// The session that instances may track: the one with the next neighbour.
const NEXT: SessionId = SessionId(0);

/// The sessions of one machine.
pub(crate) fn config(node: usize, n_nodes: usize, interval: Duration) -> Config {
    let session = |name: &str, neighbour: usize| {
        let mut session = Session::new(name, primary(neighbour, Family::V4));
        session.source = Some(primary(node, Family::V4));
        (session.min_tx, session.min_rx) = (interval, interval);
        session
    };
    let next = (node + 1) % n_nodes;
    let before = (node + n_nodes - 1) % n_nodes;
    let mut sessions = vec![session(BFD, next)];
    if before != next {
        sessions.push(session("before", before));
    }
    Config { sessions }
}

impl Node {
    /// A process of this node has begun: its sessions are there, and down.
    pub(crate) fn start_sessions(&mut self, seed: u64) {
        self.sessions = self.bfd.clone().map(|config| Sessions::new(config, seed));
        self.sees_next = false;
    }

    /// When its sessions want to be called.
    pub(crate) fn sessions_wake_at(&self) -> Option<Duration> {
        let deadline = self.sessions.as_ref()?.deadline()?;
        Some(self.global(deadline).max(self.paused_until))
    }
}

impl World {
    /// Before any interface, as the role does: nobody is to be master beside a neighbour that nobody has looked for.
    pub(crate) fn begin_sessions(&mut self, n: usize) -> Result<(), Broken> {
        if self.nodes[n].sessions.is_none() {
            return Ok(());
        }
        self.tell(n, report(false))?;
        self.tell_sessions(n, Event::Deadline)
    }

    pub(crate) fn tell_sessions(&mut self, n: usize, event: Event) -> Result<(), Broken> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let node = &mut self.nodes[n];
            let clock = node.clock(self.now);
            let Some(sessions) = &mut node.sessions else { return Ok(()) };
            let mut actions = Vec::new();
            sessions.handle(clock, event, &mut actions);
            self.summary.n_events += 1;
            for action in actions {
                match action {
                    Action::Open { session } => events.push(Event::Opened { session }),
                    Action::Send { session, packet } => self.send_to_neighbour(n, session, packet.to_vec()),
                    Action::Report { session: NEXT, up, .. } => {
                        self.nodes[n].sees_next = up;
                        self.summary.n_session_changes += 1;
                        self.tell(n, report(up))?;
                    }
                    Action::Report { .. } | Action::Explain(_) => {}
                }
            }
        }
        Ok(())
    }

    fn send_to_neighbour(&mut self, from: usize, session: SessionId, bytes: Vec<u8>) {
        let node = &self.nodes[from];
        let Some(session) = node.bfd.as_ref().and_then(|config| config.sessions.get(session.0 as usize)) else {
            return;
        };
        let is_it = |node: &&Node| primary(node.number, Family::V4) == session.neighbour;
        let Some(to) = self.nodes.iter().find(is_it).map(|node| node.number) else { return };
        if !node.is_up(LINK) || !self.lan.reaches(from, to) {
            return;
        }
        let received = Received {
            from: primary(from, Family::V4),
            to: Some(session.neighbour),
            reach: Reach::SingleHop,
            ttl: Some(u8::MAX),
            bytes,
        };
        for delay in self.lan.arrivals(&mut self.random) {
            let received = Box::new(received.clone());
            self.schedule(self.now + delay, Happening::Bfd { node: to, received });
        }
    }

    /// After settling: a session is up exactly while both ends run and hear each other.
    pub(crate) fn check_sessions(&self) -> Result<(), Broken> {
        for node in self.nodes.iter().filter(|node| node.sessions.is_some() && node.runs()) {
            let next = &self.nodes[(node.number + 1) % self.nodes.len()];
            let hear = |one: &Node, other: &Node| self.lan.reaches(one.number, other.number) && one.is_up(LINK);
            let both = next.sessions.is_some() && hear(node, next) && hear(next, node);
            if node.sees_next != both {
                let (name, next, seen) = (node.name(), next.name(), node.sees_next);
                return Err(format!("a session is up while both hear each other: {name} with {next}, up: {seen}"));
            }
        }
        Ok(())
    }
}

fn report(up: bool) -> evenkeel_vrrp::Event {
    evenkeel_vrrp::Event::Bfd { session: BFD.to_owned(), up, reason: String::new() }
}
