//! What this node and one peer have told each other.

use crate::config::Peer;
use crate::drift::{Drift, drifts};
use crate::event::{Action, Change, PeerId, Weight};
use crate::facts::{self, Facts};
use crate::packet::{Digest, Hello, Life, MAX_PART, Part};
use crate::status::{Counters, PeerStatus};
use evenkeel_wire::Instant;
use std::time::Duration;

/// A hello that nothing new made necessary comes no sooner after the last one: who sends us recorded hellos of a former life
/// is answered no faster than this.
const GAP: Duration = Duration::from_millis(50);

/// What this node says of itself, as it goes out.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) life: Life,
    pub(crate) facts: Facts,
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

impl Ours {
    pub(crate) fn new(life: Life, facts: Facts) -> Self {
        let bytes = facts.build();
        let digest = Digest::of(&bytes);
        Ours { life, facts, bytes, digest }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: PeerId,
    pub(crate) config: Peer,
    pub(crate) state: State,
    pub(crate) counters: Counters,
    /// The life that the peer proved last; kept through silence, so that its old hellos stay old.
    theirs: Option<Theirs>,
    /// What its next life has to answer. No challenge is used for a second one.
    challenge: u64,
    /// Of our last datagram to it.
    sequence: u64,
    /// A life that has yet to answer, and its challenge: the next hello has the answer.
    newcomer: Option<(Life, u64)>,
    sent_at: Option<Instant>,
    /// What it has of our facts, and which byte it wants next.
    has: Option<Digest>,
    wants: Option<(Digest, u32)>,
    /// What it said of itself.
    known: Option<Known>,
    /// What it is saying of itself.
    arriving: Option<Arriving>,
    drifts: Vec<Drift>,
}

/// Whether the peer is heard. Both know when the next hello is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not since then, or not yet.
    Silent {
        since_at: Instant,
        send_at: Instant,
    },
    Heard {
        since_at: Instant,
        heard_at: Instant,
        silent_at: Instant,
        send_at: Instant,
    },
}

#[derive(Clone, Copy, Debug)]
struct Theirs {
    life: Life,
    challenge: u64,
    sequence: u64,
    heard_at: Instant,
}

#[derive(Clone, Debug)]
struct Known {
    digest: Digest,
    /// `None` when they were not understood: nobody asks for them again.
    facts: Option<Facts>,
}

#[derive(Clone, Debug)]
struct Arriving {
    digest: Digest,
    length: u32,
    bytes: Vec<u8>,
}

impl State {
    pub(crate) fn deadline(&self) -> Instant {
        match *self {
            State::Silent { send_at, .. } => send_at,
            State::Heard { send_at, silent_at, .. } => send_at.min(silent_at),
        }
    }

    fn send_at(&mut self) -> &mut Instant {
        match self {
            State::Silent { send_at, .. } | State::Heard { send_at, .. } => send_at,
        }
    }

    pub(crate) fn is_heard(&self) -> bool {
        matches!(self, State::Heard { .. })
    }
}

impl Session {
    /// `epoch` is another one for each session of this life: neither a challenge nor a sequence is used twice.
    pub(crate) fn new(id: PeerId, config: Peer, now: Instant, epoch: u32) -> Self {
        let first = u64::from(epoch) << 32;
        Session {
            id,
            config,
            state: State::Silent { since_at: now, send_at: now },
            counters: Counters::default(),
            theirs: None,
            challenge: first + 1,
            sequence: first,
            newcomer: None,
            sent_at: None,
            has: None,
            wants: None,
            known: None,
            arriving: None,
            drifts: Vec::new(),
        }
    }

    /// Takes another name or interval; the rest is what it was.
    pub(crate) fn become_configured(&mut self, id: PeerId, config: Peer, now: Instant) {
        (self.id, self.config) = (id, config);
        let next = now + self.config.interval;
        let send_at = self.state.send_at();
        *send_at = next.min(*send_at);
    }

    pub(crate) fn deadline_came(&mut self, now: Instant, ours: &Ours, actions: &mut Vec<Action>) {
        if let State::Heard { heard_at, silent_at, send_at, .. } = self.state
            && silent_at <= now
        {
            self.state = State::Silent { since_at: now, send_at };
            self.fall_silent(now.since(heard_at), actions);
        }
        if *self.state.send_at() <= now {
            self.send(now, ours, actions);
        }
    }

    fn fall_silent(&mut self, silence: Duration, actions: &mut Vec<Action>) {
        // What it is now, nobody knows.
        self.drifts.clear();
        self.arriving = None;
        let change = Change {
            waited: silence,
            ..self.change(
                Weight::Warning,
                format!("no hello from {} for {silence:.2?}", self.config.name),
                format!("{} intervals of the slower node without one", Peer::PATIENCE),
                "what it last said is shown with its age, and nothing is concluded from it",
            )
        };
        actions.push(Action::Explain(change));
    }

    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8], ours: &Ours, actions: &mut Vec<Action>) {
        let hello = match Hello::parse(bytes, &self.config.key) {
            Ok(hello) => hello,
            Err(reject) => return self.counters.count(reject),
        };
        if hello.life == ours.life {
            self.counters.reflected += 1;
            return;
        }
        match self.theirs {
            Some(theirs) if theirs.life == hello.life => {
                if hello.sequence <= theirs.sequence {
                    self.counters.replayed += 1;
                    return;
                }
            }
            // Only who has heard our present challenge can have answered it: it lives now.
            Some(_) | None if hello.answer == (ours.life, self.challenge) => self.begin_life(actions),
            Some(_) | None => {
                self.counters.unproven += 1;
                self.newcomer = Some((hello.life, hello.challenge));
                let soonest = self.sent_at.map_or(now, |sent_at| (sent_at + GAP).max(now));
                let send_at = self.state.send_at();
                *send_at = soonest.min(*send_at);
                return;
            }
        }
        let is_new = self.theirs.is_none_or(|theirs| theirs.life != hello.life);
        self.counters.received += 1;
        let Hello { life, challenge, sequence, .. } = hello;
        self.theirs = Some(Theirs { life, challenge, sequence, heard_at: now });
        self.newcomer = None;
        self.hear(now, &hello, actions);
        // At once: the peer waits for it, to know us or to go on.
        if self.take_content(hello, ours, actions) || is_new {
            self.send(now, ours, actions);
        }
    }

    /// A new life of the peer has answered.
    fn begin_life(&mut self, actions: &mut Vec<Action>) {
        self.challenge += 1;
        (self.has, self.wants, self.arriving) = (None, None, None);
        if self.theirs.is_some() && self.state.is_heard() {
            let change = self.change(
                Weight::Note,
                format!("{} began a new life", self.config.name),
                "it answered a challenge that was never used before",
                "its process was started again: learn anew what it says",
            );
            actions.push(Action::Explain(change));
        }
    }

    fn hear(&mut self, now: Instant, hello: &Hello, actions: &mut Vec<Action>) {
        let theirs = Duration::from_millis(hello.interval.into()).clamp(Peer::SHORTEST, Peer::LONGEST);
        let silent_at = now + theirs.max(self.config.interval) * Peer::PATIENCE;
        let send_at = *self.state.send_at();
        let since_at = match self.state {
            State::Heard { since_at, .. } => since_at,
            State::Silent { .. } => {
                let change = self.change(
                    Weight::Note,
                    format!("{} answers", self.config.name),
                    "both have answered each other's challenge under the same key",
                    "take in what it says of itself",
                );
                actions.push(Action::Explain(change));
                now
            }
        };
        self.state = State::Heard { since_at, heard_at: now, silent_at, send_at };
    }

    /// Takes in what a hello is about; true when the peer is to be answered at once.
    fn take_content(&mut self, hello: Hello, ours: &Ours, actions: &mut Vec<Action>) -> bool {
        self.has = hello.have;
        let is_asked = hello.want != self.wants && hello.want.is_some_and(|(digest, _)| digest == ours.digest);
        self.wants = hello.want;
        let mut goes_on = is_asked && self.has != Some(ours.digest);
        if let Some((digest, length)) = hello.digest {
            goes_on |= self.await_facts(digest, length, ours, actions);
        }
        if let Some(part) = hello.part {
            goes_on |= self.take_part(&part, ours, actions);
        }
        goes_on
    }

    /// The peer's facts have this digest now: if they are others than those that we have, they are to arrive.
    fn await_facts(&mut self, digest: Digest, length: u32, ours: &Ours, actions: &mut Vec<Action>) -> bool {
        if let Some(known) = self.known.as_ref().filter(|known| known.digest == digest) {
            self.arriving = None;
            // After a silence what it said before counts again.
            if known.facts.is_some() && self.drifts.is_empty() {
                self.compare(ours, actions);
            }
            return false;
        }
        if self.arriving.as_ref().is_some_and(|arriving| arriving.digest == digest) {
            return false;
        }
        if length as usize > facts::MAX_LENGTH {
            self.counters.facts_err += 1;
            self.known = Some(Known { digest, facts: None });
            return false;
        }
        self.arriving = Some(Arriving { digest, length, bytes: Vec::new() });
        true
    }

    /// Some of the peer's facts; true when they are news, so that it is told how far they came.
    fn take_part(&mut self, part: &Part, ours: &Ours, actions: &mut Vec<Action>) -> bool {
        let Some(arriving) = self.arriving.as_mut().filter(|arriving| arriving.digest == part.digest) else {
            return false;
        };
        if part.offset as usize != arriving.bytes.len() || part.bytes.is_empty() {
            return false;
        }
        arriving.bytes.extend(&part.bytes);
        if arriving.bytes.len() < arriving.length as usize {
            return true;
        }
        let Arriving { digest, bytes, .. } = self.arriving.take().expect("it is here");
        if Digest::of(&bytes) != digest {
            // Two lengths for one digest, or parts of a peer that cannot count: once more from the start.
            self.counters.facts_err += 1;
            return false;
        }
        let facts = Facts::parse(&bytes).ok();
        match &facts {
            Some(_) => self.counters.facts_received += 1,
            None => self.counters.facts_err += 1,
        }
        let before = self.known.replace(Known { digest, facts: facts.clone() }).and_then(|known| known.facts);
        if let Some(facts) = facts {
            self.note_maintenance(before.as_ref(), &facts, actions);
            actions.push(Action::Learned { peer: self.id, facts: Box::new(facts) });
            self.compare(ours, actions);
        }
        true
    }

    fn note_maintenance(&self, before: Option<&Facts>, after: &Facts, actions: &mut Vec<Action>) {
        let (was, is) = (before.and_then(|facts| facts.maintenance), after.maintenance);
        if was == is {
            return;
        }
        let name = &self.config.name;
        let (trigger, decision) = match is {
            Some(maintenance) => (
                format!("{name} says that it is {maintenance}"),
                "it takes over only when nobody else answers, or never: there is no redundancy",
            ),
            None => (format!("{name} says that its maintenance is over"), "it stands in for this node again"),
        };
        let weight = if is.is_some() { Weight::Warning } else { Weight::Note };
        actions.push(Action::Explain(self.change(weight, trigger, "evenkeel maintenance", decision)));
    }

    // ----- drift -----

    /// Looks for differences anew, and says which came and which went.
    pub(crate) fn compare(&mut self, ours: &Ours, actions: &mut Vec<Action>) {
        let facts = self.known.as_ref().and_then(|known| known.facts.as_ref());
        let (Some(facts), true) = (facts, self.state.is_heard()) else { return };
        let now = drifts(&ours.facts, facts);
        let before = std::mem::replace(&mut self.drifts, now);
        let rule = "nodes that stand in for each other agree";
        for drift in self.drifts.iter().filter(|drift| !before.contains(drift)) {
            let trigger = format!("DRIFT from {}: {drift}", self.config.name);
            let change = self.change(Weight::Warning, trigger, rule, "warn until both are the same");
            actions.push(Action::Explain(change));
        }
        for drift in before.iter().filter(|drift| !self.drifts.contains(drift)) {
            let trigger = format!("no longer so with {}: {drift}", self.config.name);
            let decision = match self.drifts.len() {
                0 => "both nodes agree".to_owned(),
                n => format!("{n} other differences are left"),
            };
            actions.push(Action::Explain(self.change(Weight::Note, trigger, rule, decision)));
        }
    }

    // ----- sending -----

    /// Our facts are others now: who is there is told at once.
    pub(crate) fn ours_changed(&mut self, now: Instant, ours: &Ours, actions: &mut Vec<Action>) {
        self.compare(ours, actions);
        if self.state.is_heard() && self.has != Some(ours.digest) {
            self.send(now, ours, actions);
        }
    }

    fn send(&mut self, now: Instant, ours: &Ours, actions: &mut Vec<Action>) {
        self.sequence += 1;
        self.sent_at = Some(now);
        *self.state.send_at() = now + self.config.interval;
        self.counters.sent += 1;
        let answer = self.newcomer.take().or(self.theirs.map(|theirs| (theirs.life, theirs.challenge)));
        let hello = Hello {
            life: ours.life,
            challenge: self.challenge,
            sequence: self.sequence,
            answer: answer.unwrap_or_default(),
            interval: u32::try_from(self.config.interval.as_millis()).unwrap_or(u32::MAX),
            digest: Some((ours.digest, ours.bytes.len() as u32)),
            have: self.known.as_ref().map(|known| known.digest),
            want: self.arriving.as_ref().map(|arriving| (arriving.digest, arriving.bytes.len() as u32)),
            part: self.part(ours),
        };
        actions.push(Action::Send { peer: self.id, datagram: hello.build(&self.config.key) });
    }

    /// What the peer wants of our facts; their beginning when it does not say.
    fn part(&self, ours: &Ours) -> Option<Part> {
        if !self.state.is_heard() || self.has == Some(ours.digest) {
            return None;
        }
        let offset = self.wants.filter(|(digest, _)| *digest == ours.digest).map_or(0, |(_, offset)| offset);
        let rest = ours.bytes.get(offset as usize..).filter(|rest| !rest.is_empty())?;
        let bytes = rest[..rest.len().min(MAX_PART)].to_vec();
        Some(Part { digest: ours.digest, offset, bytes })
    }

    pub(crate) fn status(&self, now: Instant) -> PeerStatus {
        let since_at = match self.state {
            State::Silent { since_at, .. } | State::Heard { since_at, .. } => since_at,
        };
        PeerStatus {
            id: self.id,
            heard: self.state.is_heard(),
            since: now.since(since_at),
            age: self.theirs.map(|theirs| now.since(theirs.heard_at)),
            facts: self.known.as_ref().and_then(|known| known.facts.clone()),
            drifts: self.drifts.clone(),
            counters: self.counters,
        }
    }

    fn change(&self, weight: Weight, trigger: String, rule: impl Into<String>, decision: impl Into<String>) -> Change {
        let (rule, decision) = (rule.into(), decision.into());
        Change { peer: self.id, weight, trigger, rule, decision, waited: Duration::ZERO }
    }
}
