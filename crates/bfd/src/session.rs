//! One session: what it knows, and what it does about events.

use crate::config;
use crate::event::{Action, Expiry, SessionId, StateName, Transition};
use crate::packet::{Diagnostic, Packet};
use crate::state::{Pace, Remote, State};
use crate::status::{Counters, RemoteStatus, SessionStatus};
use evenkeel_wire::Instant;
use std::num::NonZeroU32;
use std::time::Duration;

/// How often a socket is asked for that could not be had (keepalived's pause).
pub(crate) const RETRY: Duration = Duration::from_secs(60);

/// Nothing is sent more often, whatever both sides say.
const SHORTEST: Duration = Duration::from_millis(1);

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) config: config::Session,
    pub(crate) state: State,
    pub(crate) discriminator: NonZeroU32,
    /// The number that the next life has.
    pub(crate) spare: NonZeroU32,
    /// What followers were told.
    pub(crate) reported: bool,
    pub(crate) reason: String,
    pub(crate) counters: Counters,
    diagnostic: Diagnostic,
    /// What the peer said last about its own end, when it said anything.
    remote_diagnostic: Diagnostic,
    remote: Option<Remote>,
    pace: Pace,
    /// Why there is no socket, once one could not be had.
    refused: Option<String>,
    since_at: Instant,
    random: Random,
}

/// What a session is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    Deadline,
    Packet(&'a Packet),
    Opened,
    NotOpened(&'a str),
    NetworkChanged,
}

/// Why a state is entered.
struct Why {
    trigger: String,
    rule: String,
    waited: Duration,
    expiry: Option<Expiry>,
}

impl Why {
    fn new(trigger: String, rule: &str) -> Self {
        Why { trigger, rule: rule.to_owned(), waited: Duration::ZERO, expiry: None }
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, config: config::Session, now: Instant, random: Random) -> Self {
        let mut random = random;
        Session {
            id,
            state: State::AdminDown { retry_at: now },
            discriminator: random.number(),
            spare: random.number(),
            reported: false,
            reason: "its socket is not open yet".to_owned(),
            counters: Counters::default(),
            diagnostic: Diagnostic::None,
            remote_diagnostic: Diagnostic::None,
            remote: None,
            pace: Pace { tx: config.idle_tx, rx: config.min_rx },
            refused: None,
            since_at: now,
            random,
            config,
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input, actions: &mut Vec<Action>) {
        match (self.state, input) {
            (State::AdminDown { retry_at }, Input::Deadline) if now >= retry_at => self.ask(now, actions),
            (State::AdminDown { .. }, Input::Deadline) => {}
            // RFC 5880 6.8.6: what comes is discarded.
            (State::AdminDown { .. }, Input::Packet(_)) => self.counters.while_admin_down += 1,
            (State::AdminDown { .. }, Input::Opened) => self.begin(now, actions),
            (State::AdminDown { .. }, Input::NotOpened(reason)) => self.refuse(now, reason, actions),
            (State::AdminDown { .. }, Input::NetworkChanged) if self.refused.is_some() => self.ask(now, actions),
            (State::AdminDown { .. }, Input::NetworkChanged) => {}
            (State::Down { .. } | State::Init { .. } | State::Up { .. }, Input::Deadline) => {
                self.deadline_came(now, actions);
            }
            (State::Down { .. } | State::Init { .. } | State::Up { .. }, Input::Packet(packet)) => {
                self.hear(now, packet, actions);
            }
            // It has its socket.
            (
                State::Down { .. } | State::Init { .. } | State::Up { .. },
                Input::Opened | Input::NotOpened(_) | Input::NetworkChanged,
            ) => {}
        }
        self.schedule(now);
    }

    /// Takes a new configuration, with the same peer; the session goes on.
    ///
    /// While Up, a longer interval to send at and a shorter one to receive at come into force when the peer has
    /// confirmed them; the others at once (RFC 5880 6.8.3).
    pub(crate) fn adopt(&mut self, now: Instant, config: config::Session) {
        let wants = |config: &config::Session| (config.min_tx, config.min_rx, config.multiplier);
        let is_new_pace = wants(&self.config) != wants(&config);
        self.config = config;
        match &mut self.state {
            State::Up { polling, expires_at, .. } if is_new_pace => {
                *polling = true;
                self.pace.tx = self.pace.tx.min(self.config.min_tx);
                self.pace.rx = self.pace.rx.max(self.config.min_rx);
                if let Some(remote) = &self.remote {
                    *expires_at = remote.heard_at + detection(remote, self.pace);
                }
            }
            State::Up { .. } => {}
            State::AdminDown { .. } | State::Down { .. } | State::Init { .. } => {
                self.pace = Pace { tx: self.config.idle_tx, rx: self.config.min_rx };
            }
        }
        self.schedule(now);
    }

    pub(crate) fn status(&self, now: Instant) -> SessionStatus {
        let remote = self.remote.as_ref().map(|remote| RemoteStatus {
            discriminator: remote.discriminator.get(),
            state: remote.state,
            diagnostic: remote.diagnostic,
            demand: remote.demand,
            min_tx: remote.min_tx,
            min_rx: remote.min_rx,
            multiplier: remote.multiplier.get(),
            heard: now.since(remote.heard_at),
        });
        SessionStatus {
            id: self.id,
            name: self.config.name.clone(),
            neighbour: self.config.neighbour,
            source: self.config.source,
            reach: self.config.reach,
            state: self.state.name(),
            since: now.since(self.since_at),
            reason: self.reason.clone(),
            reported_up: self.reported,
            discriminator: self.discriminator.get(),
            diagnostic: self.diagnostic,
            tx_interval: self.tx_interval(),
            min_rx: self.config.min_rx,
            multiplier: self.config.multiplier.get(),
            detection: self.remote.as_ref().map(|remote| detection(remote, self.pace)),
            polling: self.state.is_polling(),
            remote,
            counters: self.counters,
        }
    }

    // ----- the socket -----

    fn ask(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.refused.is_none() {
            self.since_at = now;
        }
        self.state = State::AdminDown { retry_at: now + RETRY };
        actions.push(Action::Open { session: self.id });
    }

    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let before = self.refused.take();
        let down = State::Down { send_at: None, forget_at: None };
        match before {
            Some(_) => {
                let why = Why::new("its socket could be opened".to_owned(), "asked again each minute");
                self.enter(now, down, why, actions);
            }
            None => {
                self.state = down;
                self.since_at = now;
                self.reason = format!("{} has not been heard yet", self.config.neighbour);
            }
        }
        self.send_if_allowed(now, actions);
    }

    fn refuse(&mut self, now: Instant, reason: &str, actions: &mut Vec<Action>) {
        if self.refused.as_deref() == Some(reason) {
            return;
        }
        self.refused = Some(reason.to_owned());
        let why = Why::new(reason.to_owned(), "asked again each minute, and when the network changes");
        self.enter(now, State::AdminDown { retry_at: now + RETRY }, why, actions);
    }

    // ----- packets -----

    /// RFC 5880 section 6.8.6, from where a session has been chosen.
    fn hear(&mut self, now: Instant, packet: &Packet, actions: &mut Vec<Action>) {
        self.counters.received += 1;
        let remote = Remote::new(packet, now);
        self.remote = Some(remote);
        self.remote_diagnostic = packet.diagnostic;
        if packet.is_final {
            self.confirmed();
        }
        let said = |rule| Why::new(format!("{} is {}", self.config.neighbour, packet.state.words()), rule);
        let before = self.state.name();
        match (self.state, packet.state) {
            (State::AdminDown { .. }, _) => {}
            (State::Down { .. }, StateName::Down) => {
                let why = said("it is heard (RFC 5880 6.8.6)");
                self.enter(now, State::Init { send_at: None, expires_at: now }, why, actions);
            }
            (State::Down { .. }, StateName::Init) | (State::Init { .. }, StateName::Init | StateName::Up) => {
                let why = said("each hears the other (RFC 5880 6.8.6)");
                self.enter(now, State::Up { send_at: None, expires_at: now, polling: true }, why, actions);
            }
            (State::Init { .. }, StateName::AdminDown) | (State::Up { .. }, StateName::AdminDown | StateName::Down) => {
                let why = said("the neighbour signalled the session down (RFC 5880 6.8.6)");
                self.diagnostic = Diagnostic::NeighbourSignaled;
                self.enter(now, State::Down { send_at: None, forget_at: None }, why, actions);
            }
            // Up: it has yet to hear that this end is no longer.
            (State::Down { .. }, StateName::AdminDown | StateName::Up)
            | (State::Init { .. }, StateName::Down)
            | (State::Up { .. }, StateName::Init | StateName::Up) => {}
        }
        let due_at = now + detection(&remote, self.pace);
        match &mut self.state {
            State::AdminDown { .. } => {}
            State::Down { forget_at, .. } => *forget_at = Some(due_at),
            State::Init { expires_at, .. } | State::Up { expires_at, .. } => *expires_at = due_at,
        }
        if packet.poll {
            self.send(true, actions);
        } else if self.state.name() != before {
            // The peer is not kept waiting for the next interval (RFC 5880 6.8.7).
            self.send_if_allowed(now, actions);
        }
    }

    /// The peer has seen our new intervals.
    fn confirmed(&mut self) {
        if let State::Up { polling: polling @ true, .. } = &mut self.state {
            *polling = false;
            self.pace = Pace { tx: self.config.min_tx, rx: self.config.min_rx };
        }
    }

    // ----- time -----

    fn deadline_came(&mut self, now: Instant, actions: &mut Vec<Action>) {
        match self.state {
            State::AdminDown { .. } => {}
            State::Down { forget_at: Some(forget_at), .. } if now >= forget_at => {
                // RFC 5880 6.8.1: its number is no longer known.
                self.remote = None;
                if let State::Down { forget_at, .. } = &mut self.state {
                    *forget_at = None;
                }
            }
            State::Down { .. } => {}
            State::Init { expires_at, .. } | State::Up { expires_at, .. } if now >= expires_at => {
                return self.expire(now, expires_at, actions);
            }
            State::Init { .. } | State::Up { .. } => {}
        }
        if self.state.send_at().is_some_and(|send_at| send_at.is_some_and(|send_at| now >= send_at)) {
            self.send_if_allowed(now, actions);
        }
    }

    /// RFC 5880 section 6.8.4.
    fn expire(&mut self, now: Instant, expires_at: Instant, actions: &mut Vec<Action>) {
        let Some(remote) = self.remote.take() else { return };
        let detection = detection(&remote, self.pace);
        let interval = remote.min_tx.max(self.pace.rx);
        let silence = now.since(remote.heard_at);
        let expiry = Expiry { detection, overdue: now.since(expires_at) };
        let why = Why {
            trigger: format!("no packet from {} for {}", self.config.neighbour, span(silence)),
            rule: format!(
                "detection time = {} x {} = {} (RFC 5880 6.8.4)",
                remote.multiplier,
                span(interval),
                span(detection)
            ),
            waited: silence,
            expiry: Some(expiry),
        };
        self.diagnostic = Diagnostic::Expired;
        self.enter(now, State::Down { send_at: None, forget_at: None }, why, actions);
        self.send_if_allowed(now, actions);
    }

    /// The one door into a state: says and does what arriving there takes.
    fn enter(&mut self, now: Instant, next: State, why: Why, actions: &mut Vec<Action>) {
        let from = self.state.name();
        let to = next.name();
        self.state = next;
        self.since_at = now;
        match to {
            StateName::AdminDown | StateName::Down => {
                self.pace = Pace { tx: self.config.idle_tx, rx: self.config.min_rx }
            }
            StateName::Init => {
                self.diagnostic = Diagnostic::None;
                self.pace = Pace { tx: self.config.idle_tx, rx: self.config.min_rx };
            }
            StateName::Up => {
                self.diagnostic = Diagnostic::None;
                self.counters.ups += 1;
                // A longer interval than the one while idle waits for the end of the poll sequence.
                self.pace = Pace { tx: self.config.idle_tx.min(self.config.min_tx), rx: self.config.min_rx };
            }
        }
        if from == StateName::Up && to != StateName::Up {
            self.counters.downs += 1;
            // As keepalived: what is still on its way belongs to the life before.
            self.discriminator = self.spare;
        }
        let (decision, told) = self.report(from, to, &why.trigger);
        self.reason = why.trigger.clone();
        actions.push(Action::Explain(Transition {
            session: self.id,
            from,
            to,
            trigger: why.trigger,
            rule: why.rule,
            decision,
            waited: why.waited,
            expiry: why.expiry,
            diagnostic: self.diagnostic,
            remote_diagnostic: self.remote_diagnostic,
        }));
        actions.extend(told);
    }

    /// What followers are told about a transition, in words and as an action.
    ///
    /// A peer that is taken down by its administrator is no failure of the path (RFC 5882 4.2): those who follow the session
    /// keep what they were told, in keepalived too (observed).
    fn report(&mut self, from: StateName, to: StateName, trigger: &str) -> (String, Option<Action>) {
        let is_ordered = self.remote.as_ref().is_some_and(|remote| remote.state == StateName::AdminDown);
        let up = to == StateName::Up;
        if from == StateName::Up && is_ordered {
            return ("tell nobody: its administrator wants no session".to_owned(), None);
        }
        if self.reported == up {
            return (format!("go on as {}", to.words()), None);
        }
        if !up && from != StateName::Up {
            // Down, and told so only when a session that was up is lost; an orderly end is not turned into a failure later.
            return (format!("go on as {}", to.words()), None);
        }
        self.reported = up;
        let words =
            if up { "tell those who follow it that it is up" } else { "tell those who follow it that it is down" };
        (words.to_owned(), Some(Action::Report { session: self.id, up, reason: trigger.to_owned() }))
    }

    // ----- sending -----

    fn send_if_allowed(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.may_send() {
            self.send(false, actions);
            let next_at = now + self.jittered();
            if let Some(send_at) = self.state.send_at() {
                *send_at = Some(next_at);
            }
        }
    }

    /// Keeps the instant of the next packet within the present interval, which what was heard may have changed.
    fn schedule(&mut self, now: Instant) {
        let latest_at = now + self.tx_interval();
        let next_at = if self.may_send() { Some(now + self.jittered()) } else { None };
        let Some(send_at) = self.state.send_at() else { return };
        *send_at = match (next_at, *send_at) {
            (None, _) => None,
            (Some(next_at), None) => Some(next_at),
            (Some(next_at), Some(send_at)) if send_at > latest_at => Some(next_at),
            (Some(_), Some(send_at)) => Some(send_at),
        };
    }

    /// Whether packets go out by themselves (RFC 5880 6.8.7).
    fn may_send(&self) -> bool {
        let demanded = |remote: &Remote| {
            let both_up = matches!(self.state, State::Up { .. }) && remote.state == StateName::Up;
            remote.demand && both_up && !self.state.is_polling()
        };
        match (&self.remote, self.state) {
            (_, State::AdminDown { .. }) => false,
            (None, _) => !self.config.passive,
            (Some(remote), _) => !remote.min_rx.is_zero() && !demanded(remote),
        }
    }

    fn send(&mut self, is_answer: bool, actions: &mut Vec<Action>) {
        let is_up = matches!(self.state, State::Up { .. });
        let packet = Packet {
            diagnostic: self.diagnostic,
            state: self.state.name(),
            // RFC 5880 6.5: never both.
            poll: self.state.is_polling() && !is_answer,
            is_final: is_answer,
            independent: false,
            demand: false,
            multiplier: self.config.multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.as_ref().map(|remote| remote.discriminator),
            min_tx: micros(if is_up { self.config.min_tx } else { self.config.idle_tx }),
            min_rx: micros(self.config.min_rx),
            min_echo_rx: 0,
        };
        self.counters.sent += 1;
        actions.push(Action::Send { session: self.id, packet: packet.build() });
    }

    fn tx_interval(&self) -> Duration {
        let wanted = self.remote.as_ref().map_or(Duration::ZERO, |remote| remote.min_rx);
        self.pace.tx.max(wanted).max(SHORTEST)
    }

    /// A tenth to a quarter less than the interval: RFC 5880 6.8.7 where the multiplier is 1, and always in keepalived.
    fn jittered(&mut self) -> Duration {
        let permille = 750 + (self.random.next() % 151) as u32;
        self.tx_interval() * permille / 1000
    }
}

/// How long the peer may be silent.
fn detection(remote: &Remote, pace: Pace) -> Duration {
    remote.min_tx.max(pace.rx).max(SHORTEST) * u32::from(remote.multiplier.get())
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

/// `300 ms`, `300.06 ms`, `3.2 s`.
fn span(span: Duration) -> String {
    let millis = span.as_secs_f64() * 1000.0;
    let rounded = |value: f64| (value * 100.0).round() / 100.0;
    if millis < 10_000.0 { format!("{} ms", rounded(millis)) } else { format!("{} s", rounded(millis / 1000.0)) }
}

/// Numbers that spread (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Not 0.
    pub(crate) fn number(&mut self) -> NonZeroU32 {
        loop {
            if let Some(number) = NonZeroU32::new((self.next() >> 32) as u32) {
                return number;
            }
        }
    }
}
