//! BFD beside the virtual routers: sockets for the sessions of the pure core, and its actions performed.

use super::lateness::Due;
use super::watch::{self, Watch};
use evenkeel_bfd::{Action, Config, Event, Reach, Received, SessionId, Sessions, StateName, Transition};
use evenkeel_bus::{Effect, Explanation, WallTime};
use evenkeel_kernel::bfd_socket::{BfdListener, BfdSender};
use evenkeel_kernel::clock;
use evenkeel_kernel::poll::Token;
use evenkeel_vrrp::config::{Track, TrackTarget};
use evenkeel_wire::{Family, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Datagrams taken from one socket before others get their turn.
const BURST: usize = 64;

/// What sessions are heard through: one for each family and port.
pub type Door = (Family, Reach);

/// The sessions with their sockets.
pub struct Bfd {
    sessions: Sessions,
    config: Config,
    listeners: BTreeMap<Door, BfdListener>,
    senders: BTreeMap<SessionId, BfdSender>,
    /// Sessions whose last packet could not be sent: it is said once.
    mute: BTreeSet<SessionId>,
    /// What followers were told last of each session, by its name, and who they were.
    told: BTreeMap<String, (bool, bool, bool)>,
    due: Due,
}

/// What others are to be told, in order.
#[derive(Debug)]
pub enum Word {
    /// Followers are to see this of a session.
    Report(Report),
    /// Why a session changed.
    Explained(Explanation),
}

/// What followers are to see of a session.
#[derive(Debug)]
pub struct Report {
    pub session: String,
    pub up: bool,
    pub reason: String,
    /// `vrrp`: virtual routers hear of it.
    pub to_vrrp: bool,
    /// `checker`: BFD_CHECK hears of it.
    pub to_checker: bool,
}

impl Bfd {
    pub fn new(config: Config, seed: u64) -> Self {
        Bfd {
            sessions: Sessions::new(config.clone(), seed),
            config,
            listeners: BTreeMap::new(),
            senders: BTreeMap::new(),
            mute: BTreeSet::new(),
            told: BTreeMap::new(),
            due: Due::default(),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.sessions.deadline()
    }

    /// From when on that deadline is due.
    pub fn due(&self) -> &Due {
        &self.due
    }

    pub fn status(&self, now: Instant) -> evenkeel_bfd::Status {
        self.sessions.status(now)
    }

    /// Takes another configuration. Sessions that stay keep their sockets too: the peer knows them by their port.
    pub fn reconfigure(&mut self, config: Config) {
        let now = clock::now();
        self.sessions.reconfigure(now, config.clone(), &mut Vec::new());
        self.due.note(now, self.sessions.deadline());
        let old = std::mem::replace(&mut self.config, config);
        let mut senders = std::mem::take(&mut self.senders);
        let mut changed = Vec::new();
        for (new_id, new) in numbered(&self.config) {
            let Some((old_id, old)) = numbered(&old).find(|(_, old)| old.is_same(new)) else { continue };
            match senders.remove(&old_id) {
                Some(sender) if old.ttl == new.ttl => drop(self.senders.insert(new_id, sender)),
                Some(_) => changed.push(new_id),
                None => {}
            }
        }
        for id in changed {
            if let Err(error) = self.open_sender(id) {
                tracing::error!(target: "bfd", "({}) {error}", name(&self.config, id));
            }
        }
        self.mute.clear();
        let wanted: BTreeSet<Door> = self.config.sessions.iter().map(door).collect();
        self.listeners.retain(|door, _| wanted.contains(door));
    }

    /// What followers do not know yet: that a session is there, and down.
    pub fn news(&mut self) -> Vec<Word> {
        let config = &self.config;
        self.told.retain(|name, _| config.sessions.iter().any(|session| session.name == *name));
        let all: Vec<_> = self.sessions.reports().map(|(id, up, reason)| (id, up, reason.to_owned())).collect();
        all.into_iter().filter_map(|(id, up, reason)| self.report(id, up, reason)).collect()
    }

    /// What has come through the doors that are `ready`.
    pub fn read(&mut self, ready: &[Token], watch: &Watch) -> Vec<Word> {
        let doors: Vec<_> = ready.iter().filter_map(|token| watch::bfd_of(*token)).collect();
        self.read_doors(&doors, watch)
    }

    /// The deadline of the sessions has come. What waits unread is heard first: it is no silence.
    pub fn deadline_came(&mut self, watch: &Watch) -> Vec<Word> {
        let doors: Vec<_> = self.listeners.keys().copied().collect();
        let mut words = self.read_doors(&doors, watch);
        words.extend(self.handle(Event::Deadline, watch));
        words
    }

    fn read_doors(&mut self, doors: &[Door], watch: &Watch) -> Vec<Word> {
        let mut words = Vec::new();
        for door in doors {
            for _ in 0..BURST {
                let Some(listener) = self.listeners.get(door) else { break };
                match listener.receive() {
                    Ok(Some(datagram)) => {
                        let (from, to, ttl, bytes) = (datagram.from, datagram.to, datagram.ttl, datagram.bytes);
                        let received = Received { from, to, reach: door.1, ttl, bytes };
                        words.extend(self.handle(Event::Packet(received), watch));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(target: "bfd", "{error}");
                        break;
                    }
                }
            }
        }
        words
    }

    /// Tells the core, and does what it says.
    pub fn handle(&mut self, event: Event, watch: &Watch) -> Vec<Word> {
        let mut words = Vec::new();
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            let now = clock::now();
            self.sessions.handle(now, event, &mut actions);
            self.due.note(now, self.sessions.deadline());
            for action in actions {
                match action {
                    Action::Open { session } => events.push(self.open(session, watch)),
                    Action::Send { session, packet } => {
                        if !self.send(session, &packet) {
                            events.push(Event::NotSent { session });
                        }
                    }
                    Action::Report { session, up, reason } => {
                        words.extend(self.report(session, up, reason));
                    }
                    Action::Explain(transition) => words.extend(self.explain(transition)),
                }
            }
        }
        words
    }

    fn open(&mut self, session: SessionId, watch: &Watch) -> Event {
        let opened = match self.config.sessions.get(session.0 as usize).map(door) {
            Some(door) => self.open_listener(door, watch).and_then(|()| self.open_sender(session)),
            None => Err("there is no such session".to_owned()),
        };
        match opened {
            Ok(()) => Event::Opened { session },
            Err(reason) => Event::NotOpened { session, reason },
        }
    }

    fn open_listener(&mut self, door: Door, watch: &Watch) -> Result<(), String> {
        if self.listeners.contains_key(&door) {
            return Ok(());
        }
        let (family, reach) = door;
        let listener = BfdListener::open(family, reach.port()).map_err(|error| error.to_string())?;
        watch.add_urgent(&listener, watch::bfd_socket(door)).map_err(|error| error.to_string())?;
        self.listeners.insert(door, listener);
        Ok(())
    }

    fn open_sender(&mut self, id: SessionId) -> Result<(), String> {
        let Some(session) = self.config.sessions.get(id.0 as usize) else { return Ok(()) };
        let neighbour = SocketAddr::new(session.neighbour, session.reach.port());
        let sender =
            BfdSender::open(session.source, neighbour, session.ttl.get()).map_err(|error| error.to_string())?;
        self.senders.insert(id, sender);
        Ok(())
    }

    /// Whether it went out.
    fn send(&mut self, id: SessionId, packet: &[u8]) -> bool {
        let Some(sender) = self.senders.get(&id) else { return false };
        match sender.send(packet) {
            Ok(()) => {
                self.mute.remove(&id);
                true
            }
            Err(error) => {
                if self.mute.insert(id) {
                    tracing::warn!(target: "bfd", "({}) Error sending packet: {error}", name(&self.config, id));
                }
                false
            }
        }
    }

    /// Whether there is a session of this name that virtual routers hear of.
    pub fn tells_vrrp(&self, name: &str) -> bool {
        self.config.sessions.iter().any(|session| session.name == name && session.tells_vrrp)
    }

    /// Unless it is known already.
    fn report(&mut self, id: SessionId, up: bool, reason: String) -> Option<Word> {
        let session = self.config.sessions.get(id.0 as usize)?;
        let (to_vrrp, to_checker) = (session.tells_vrrp, session.tells_checker);
        let told = (up, to_vrrp, to_checker);
        if self.told.insert(session.name.clone(), told) == Some(told) {
            return None;
        }
        Some(Word::Report(Report { session: session.name.clone(), up, reason, to_vrrp, to_checker }))
    }

    /// Between Down and Init a session may go to and fro as often as packets come: that is no news.
    fn explain(&self, transition: Transition) -> Option<Word> {
        let name = name(&self.config, transition.session);
        log_transition(name, &transition);
        let is_news = |state| matches!(state, StateName::Up | StateName::AdminDown);
        if !is_news(transition.from) && !is_news(transition.to) {
            return None;
        }
        let effects: Vec<Effect> = Vec::new();
        Some(Word::Explained(Explanation::of_session(transition, name, WallTime::now(), effects)))
    }
}

fn numbered(config: &Config) -> impl Iterator<Item = (SessionId, &evenkeel_bfd::config::Session)> {
    (0..).map(SessionId).zip(&config.sessions)
}

fn door(session: &evenkeel_bfd::config::Session) -> Door {
    (Family::of(session.neighbour), session.reach)
}

fn name(config: &Config, id: SessionId) -> &str {
    config.sessions.get(id.0 as usize).map_or("", |session| session.name.as_str())
}

/// keepalived's own phrases, with our reasons behind them.
fn log_transition(name: &str, transition: &Transition) {
    let Transition { from, to, trigger, decision, .. } = transition;
    if let Some(expiry) = transition.expiry {
        let (millis, overdue) = (expiry.detection.as_millis(), expiry.overdue.as_micros());
        tracing::warn!(target: "bfd", "({name}) Expired after {millis} ms ({overdue} usec overdue)");
    }
    match to {
        StateName::Up => {
            tracing::info!(target: "bfd", trigger, "({name}) Entering Up state");
            tracing::info!(target: "bfd", "({name}) Starting poll sequence");
        }
        StateName::Down if *from == StateName::Up => {
            let (local, remote) = (transition.diagnostic.words(), transition.remote_diagnostic.words());
            tracing::warn!(
                target: "bfd", trigger, decision,
                "({name}) Entering Down state (Local diagnostic - {local}, Remote diagnostic - {remote})"
            );
        }
        StateName::AdminDown => {
            tracing::error!(target: "bfd", "({name}) Unable to open output socket, disabling instance: {trigger}");
        }
        StateName::Down | StateName::Init => {
            tracing::debug!(target: "bfd", trigger, "({name}) Entering {} state", to.words());
        }
    }
}

/// The session that an instance follows, if this is one.
pub fn tracked(track: &Track) -> Option<&str> {
    let TrackTarget::Bfd(name) = &track.target else { return None };
    Some(name)
}

/// A report, in the words that keepalived has for it, and for each instance that follows the session.
pub fn log_report(report: &Report, vrrp: &evenkeel_vrrp::Config) {
    let Report { session, up, .. } = report;
    let state = if *up { "Up" } else { "Down" };
    tracing::info!(target: "vrrp", "Received BFD event: instance {session} is in state {state}");
    let is_it = |track: &Track| tracked(track) == Some(session);
    for instance in vrrp.instances.iter().filter(|instance| instance.tracks.iter().any(is_it)) {
        let (name, state) = (&instance.name, if *up { "UP" } else { "DOWN" });
        tracing::info!(target: "vrrp", "VRRP_Instance({name}) Tracked BFD instance {session} is {state}");
    }
}
