use crate::config::Config;
use crate::event::{Action, Event, Received, SessionId, StateName};
use crate::packet::Packet;
use crate::session::{Input, Random, Session};
use crate::status::{Status, Unclaimed};
use evenkeel_wire::Instant;

/// Every session of this node.
#[derive(Clone, Debug)]
pub struct Sessions {
    /// A node has a handful, so they are looked for one after the other.
    sessions: Vec<Session>,
    random: Random,
    unclaimed: Unclaimed,
}

impl Sessions {
    /// Sessions that have no socket yet: the first deadline asks for them. `seed` is what discriminators and pauses are
    /// drawn from.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut sessions = Sessions { sessions: Vec::new(), random: Random(seed), unclaimed: Unclaimed::default() };
        sessions.install(Instant::ORIGIN, config);
        sessions
    }

    /// Takes in one event; pushes what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Deadline => {
                for at in 0..self.sessions.len() {
                    if self.sessions[at].state.deadline().is_some_and(|deadline| deadline <= now) {
                        self.drive(at, now, Input::Deadline, actions);
                    }
                }
            }
            Event::Packet(received) => self.receive(now, &received, actions),
            Event::Opened { session } => self.tell(session, now, Input::Opened, actions),
            Event::NotOpened { session, reason } => self.tell(session, now, Input::NotOpened(&reason), actions),
            Event::NotSent { session } => {
                if let Some(session) = self.sessions.get_mut(session.0 as usize) {
                    session.counters.not_sent += 1;
                }
            }
            Event::NetworkChanged => {
                for at in 0..self.sessions.len() {
                    self.drive(at, now, Input::NetworkChanged, actions);
                }
            }
        }
    }

    /// When [`Event::Deadline`] is to come, at the latest; `None` without sessions.
    pub fn deadline(&self) -> Option<Instant> {
        self.sessions.iter().filter_map(|session| session.state.deadline()).min()
    }

    /// Replaces the configuration. A session with the name, neighbour, source and reach that it had goes on untouched; new
    /// intervals are agreed on by a poll sequence. The others begin anew, or are gone without a word.
    ///
    /// Afterwards identifiers are indices in the new configuration.
    pub fn reconfigure(&mut self, now: Instant, config: Config, _: &mut Vec<Action>) {
        self.install(now, config);
    }

    /// What is so now.
    pub fn status(&self, now: Instant) -> Status {
        Status {
            sessions: self.sessions.iter().map(|session| session.status(now)).collect(),
            unclaimed: self.unclaimed,
        }
    }

    /// What followers are to see of each session, and why.
    pub fn reports(&self) -> impl Iterator<Item = (SessionId, bool, &str)> {
        self.sessions.iter().map(|session| (session.id, session.reported, session.reason.as_str()))
    }

    fn install(&mut self, now: Instant, config: Config) {
        let mut old = std::mem::take(&mut self.sessions);
        for (id, config) in (0..).map(SessionId).zip(config.sessions) {
            let session = match old.iter().position(|old| old.config.is_same(&config)) {
                Some(at) => {
                    let mut session = old.swap_remove(at);
                    session.id = id;
                    session.adopt(now, config);
                    session
                }
                None => Session::new(id, config, now, Random(self.random.next())),
            };
            self.sessions.push(session);
        }
        for at in 0..self.sessions.len() {
            self.tell_apart(at);
        }
    }

    fn tell(&mut self, id: SessionId, now: Instant, input: Input, actions: &mut Vec<Action>) {
        if (id.0 as usize) < self.sessions.len() {
            self.drive(id.0 as usize, now, input, actions);
        }
    }

    fn drive(&mut self, at: usize, now: Instant, input: Input, actions: &mut Vec<Action>) {
        let session = &mut self.sessions[at];
        session.handle(now, input, actions);
        debug_assert!(session.reported || session.state.name() != StateName::Up, "a session that came up was reported");
        if session.spare == session.discriminator {
            self.tell_apart(at);
        }
    }

    /// Gives a session numbers, for this life and the next, that no other has.
    fn tell_apart(&mut self, at: usize) {
        let is_taken = |number, own: &[_]| {
            let others = self.sessions.iter().enumerate().filter(|(other, _)| *other != at);
            own.contains(&number)
                || others.into_iter().any(|(_, other)| [other.discriminator, other.spare].contains(&number))
        };
        let mut random = self.random.clone();
        let mut discriminator = self.sessions[at].discriminator;
        while is_taken(discriminator, &[]) {
            discriminator = random.number();
        }
        let mut spare = self.sessions[at].spare;
        while is_taken(spare, &[discriminator]) {
            spare = random.number();
        }
        self.random = random;
        self.sessions[at].discriminator = discriminator;
        self.sessions[at].spare = spare;
    }

    // ----- packets -----

    fn receive(&mut self, now: Instant, received: &Received, actions: &mut Vec<Action>) {
        let packet = match Packet::parse(&received.bytes) {
            Ok(packet) => packet,
            Err(reject) => {
                match self.by_address(received) {
                    Some(at) => self.sessions[at].counters.count(reject),
                    None => self.unclaimed.malformed += 1,
                }
                return;
            }
        };
        let Some(at) = self.addressee(&packet, received) else {
            self.unclaimed.unknown += 1;
            return;
        };
        let session = &mut self.sessions[at];
        if !is_near(received.ttl, session.config.ttl.get(), session.config.max_hops) {
            session.counters.bad_ttl += 1;
            return;
        }
        self.drive(at, now, Input::Packet(&packet), actions);
    }

    /// The session that a packet is for: by our number where it knows that, otherwise by addresses (RFC 5880 6.3).
    fn addressee(&self, packet: &Packet, received: &Received) -> Option<usize> {
        match packet.your_discriminator {
            Some(number) => {
                let is_it =
                    |session: &Session| session.discriminator == number && session.config.reach == received.reach;
                self.sessions.iter().position(is_it)
            }
            None => self.by_address(received),
        }
    }

    fn by_address(&self, received: &Received) -> Option<usize> {
        let is_neighbour =
            |session: &Session| session.config.neighbour == received.from && session.config.reach == received.reach;
        let exactly = |session: &Session| session.config.source.is_some() && session.config.source == received.to;
        let loosely = |session: &Session| session.config.source.is_none() || received.to.is_none();
        let position = |fits: &dyn Fn(&Session) -> bool| {
            self.sessions.iter().position(|session| is_neighbour(session) && fits(session))
        };
        position(&exactly).or_else(|| position(&loosely))
    }
}

/// Whether a packet has not come further than it may: `ttl` says what it was sent with, as keepalived takes it (observed).
fn is_near(left: Option<u8>, ttl: u8, max_hops: Option<u8>) -> bool {
    match (max_hops, left) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(max_hops), Some(left)) => left >= ttl.saturating_sub(max_hops),
    }
}
