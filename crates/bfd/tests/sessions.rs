//! The session machine: every state with every event, and the times that it keeps.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use evenkeel_bfd::config::{Config, Session};
use evenkeel_bfd::packet::{Diagnostic, Packet};
use evenkeel_bfd::{Action, Event, Reach, Received, SessionId, SessionStatus, Sessions, StateName, Transition};
use evenkeel_wire::Instant;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const ONE: SessionId = SessionId(0);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A session that sends each 100 ms and takes a packet each 50 ms.
fn config() -> Session {
    Session { min_tx: ms(100), min_rx: ms(50), ..Session::new("peer", PEER) }
}

struct Node {
    sessions: Sessions,
    now: Instant,
    sent: Vec<Packet>,
    reports: Vec<bool>,
    told: Vec<Transition>,
    asked: usize,
}

impl Node {
    /// One session with its socket.
    fn new(session: Session) -> Self {
        let mut node = Node::without_socket(session);
        node.on(Event::Opened { session: ONE });
        node
    }

    fn without_socket(session: Session) -> Self {
        let sessions = Sessions::new(Config { sessions: vec![session] }, 7);
        let now = Instant::ORIGIN + ms(1_000_000);
        let mut node = Node { sessions, now, sent: vec![], reports: vec![], told: vec![], asked: 0 };
        node.on(Event::Deadline);
        assert_eq!(node.asked, 1, "the first deadline asks for the socket");
        node
    }

    fn in_state(state: StateName, session: Session) -> Self {
        let mut node = match state {
            StateName::AdminDown => Node::without_socket(session),
            StateName::Down | StateName::Init | StateName::Up => Node::new(session),
        };
        match state {
            StateName::AdminDown | StateName::Down => {}
            StateName::Init => node.hear(says(StateName::Down)),
            StateName::Up => node.come_up(),
        }
        assert_eq!(node.state(), state);
        node.forget();
        node
    }

    fn come_up(&mut self) {
        self.hear(says(StateName::Down));
        self.hear(says(StateName::Up));
        self.hear(Packet { is_final: true, ..says(StateName::Up) });
        assert_eq!(self.state(), StateName::Up);
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.reports.clear();
        self.told.clear();
        self.asked = 0;
    }

    fn on(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.sessions.handle(self.now, event, &mut actions);
        for action in actions {
            match action {
                Action::Open { .. } => self.asked += 1,
                Action::Send { packet, .. } => self.sent.push(Packet::parse(&packet).unwrap()),
                Action::Report { up, .. } => self.reports.push(up),
                Action::Explain(transition) => self.told.push(transition),
            }
        }
    }

    /// Takes a packet of the neighbour, which knows our number where its state needs that.
    fn hear(&mut self, packet: Packet) {
        let known = NonZeroU32::new(self.status().discriminator);
        let your_discriminator = if packet.state == StateName::Down { None } else { known };
        self.hear_bytes(&Packet { your_discriminator, ..packet }.build(), 255);
    }

    fn hear_bytes(&mut self, bytes: &[u8], ttl: u8) {
        let (to, reach, ttl) = (Some(OURS), Reach::SingleHop, Some(ttl));
        self.on(Event::Packet(Received { from: PEER, to, reach, ttl, bytes: bytes.to_vec() }));
    }

    /// Goes to `until`, meeting each deadline on the way.
    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(deadline) = self.sessions.deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.on(Event::Deadline);
            let next = self.sessions.deadline();
            assert!(next.is_none_or(|next| next > self.now), "a deadline that was met is over");
        }
        self.now = until;
    }

    fn status(&self) -> SessionStatus {
        self.sessions.status(self.now).sessions.remove(0)
    }

    fn state(&self) -> StateName {
        self.status().state
    }
}

/// A neighbour that sends each 40 ms, takes a packet each 80 ms, and is gone after three intervals.
fn says(state: StateName) -> Packet {
    Packet {
        diagnostic: Diagnostic::None,
        state,
        poll: false,
        is_final: false,
        independent: false,
        demand: false,
        multiplier: NonZeroU8::new(3).unwrap(),
        my_discriminator: NonZeroU32::new(77).unwrap(),
        your_discriminator: None,
        min_tx: 40_000,
        min_rx: 80_000,
        min_echo_rx: 0,
    }
}

#[test]
fn each_state_answers_each_state_of_the_peer() {
    use StateName::{AdminDown, Down, Init, Up};
    let none = Diagnostic::None;
    let signaled = Diagnostic::NeighbourSignaled;
    // state, what the peer is, state after, our diagnostic after, what followers are told
    let rows = [
        (AdminDown, AdminDown, AdminDown, none, None),
        (AdminDown, Down, AdminDown, none, None),
        (AdminDown, Init, AdminDown, none, None),
        (AdminDown, Up, AdminDown, none, None),
        (Down, AdminDown, Down, none, None),
        (Down, Down, Init, none, None),
        (Down, Init, Up, none, Some(true)),
        (Down, Up, Down, none, None),
        (Init, AdminDown, Down, signaled, None),
        (Init, Down, Init, none, None),
        (Init, Init, Up, none, Some(true)),
        (Init, Up, Up, none, Some(true)),
        // The administrator's word is no failure.
        (Up, AdminDown, Down, signaled, None),
        (Up, Down, Down, signaled, Some(false)),
        (Up, Init, Up, none, None),
        (Up, Up, Up, none, None),
    ];
    for (from, peer, to, diagnostic, told) in rows {
        let mut node = Node::in_state(from, config());
        let number = node.status().discriminator;
        node.hear(says(peer));
        let status = node.status();
        let row = format!("{from:?} hears {peer:?}");
        assert_eq!((status.state, status.diagnostic), (to, diagnostic), "{row}");
        assert_eq!(node.reports, Vec::from_iter(told), "{row}");
        assert_eq!(status.discriminator != number, from == Up && to != Up, "{row}: a new life has a new number");
        assert_eq!(node.sent.len(), usize::from(from != to), "{row}: a change is told at once");
        assert!(node.sent.iter().all(|sent| sent.state == to), "{row}");
        assert_eq!(node.told.len(), usize::from(from != to), "{row}");
        assert_eq!(status.counters.while_admin_down, u64::from(from == AdminDown), "{row}");
    }
}

#[test]
fn each_state_answers_what_is_no_packet() {
    use StateName::{AdminDown, Down, Init, Up};
    let opened = || Event::Opened { session: ONE };
    let refused = || Event::NotOpened { session: ONE, reason: "no".to_owned() };
    for from in [AdminDown, Down, Init, Up] {
        let after_opened = if from == AdminDown { Down } else { from };
        for (event, to) in [(opened(), after_opened), (refused(), from), (Event::NetworkChanged, from)] {
            let mut node = Node::in_state(from, config());
            node.on(event.clone());
            assert_eq!(node.state(), to, "{from:?} {event:?}");
            assert_eq!(node.reports, [], "{from:?} {event:?}");
            assert_eq!(node.asked, 0, "{from:?} {event:?}");
        }
        let mut node = Node::in_state(from, config());
        node.on(Event::NotSent { session: ONE });
        assert_eq!((node.state(), node.status().counters.not_sent), (from, 1));
    }
}

#[test]
fn silence_ends_a_session_after_the_detection_time_and_not_before() {
    for (state, told) in [(StateName::Init, vec![]), (StateName::Up, vec![false])] {
        let mut node = Node::in_state(state, config());
        let heard_at = node.now;
        // The slower of what the peer sends and what we take, as often as the peer says.
        let detection = ms(150);
        assert_eq!(node.status().detection, Some(detection));
        node.run(detection - Duration::from_nanos(1));
        assert_eq!(node.state(), state);
        node.sent.clear();
        node.run(Duration::from_nanos(1));
        assert_eq!(node.now, heard_at + detection);
        assert_eq!((node.state(), node.status().diagnostic), (StateName::Down, Diagnostic::Expired));
        assert_eq!(node.reports, told);
        let transition = node.told.last().unwrap();
        assert_eq!(transition.waited, detection);
        assert_eq!(transition.trigger, "no packet from 10.0.0.2 for 150 ms");
        assert_eq!(transition.rule, "detection time = 3 x 50 ms = 150 ms (RFC 5880 6.8.4)");
        assert_eq!(transition.expiry.unwrap().overdue, Duration::ZERO);
        // The peer is told at once, in a packet that no longer knows its number.
        let [sent] = node.sent[..] else { panic!("{:?}", node.sent) };
        assert_eq!((sent.state, sent.your_discriminator), (StateName::Down, None));
        assert_eq!(node.status().remote, None);
    }
}

#[test]
fn a_packet_puts_the_end_off() {
    let mut node = Node::in_state(StateName::Up, config());
    for _ in 0..20 {
        node.run(ms(149));
        node.hear(says(StateName::Up));
    }
    assert_eq!(node.state(), StateName::Up);
}

#[test]
fn a_late_shell_says_by_how_much_it_was_late() {
    let mut node = Node::in_state(StateName::Up, config());
    node.now = node.now + ms(153);
    node.on(Event::Deadline);
    let transition = node.told.last().unwrap();
    assert_eq!(transition.waited, ms(153));
    assert_eq!(transition.expiry.unwrap().overdue, ms(3));
}

#[test]
fn packets_go_out_at_three_quarters_to_nine_tenths_of_the_interval() {
    // while, how long the interval is
    let rows = [(StateName::Down, 1000), (StateName::Up, 100)];
    for (state, interval) in rows {
        let mut node = Node::in_state(state, config());
        let mut pauses = Vec::new();
        let mut last = node.now;
        while pauses.len() < 400 {
            let before = node.sent.len();
            node.now = node.sessions.deadline().unwrap();
            if state == StateName::Up {
                node.hear(says(StateName::Up));
            }
            node.on(Event::Deadline);
            if node.sent.len() > before {
                pauses.push(node.now.since(last));
                last = node.now;
            }
        }
        pauses.remove(0);
        let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!(*least >= ms(interval) * 3 / 4 && *most <= ms(interval) * 9 / 10, "{state:?}: {least:?} to {most:?}");
        assert!(*most - *least > ms(interval) / 10, "{state:?}: they differ: {least:?} to {most:?}");
    }
}

#[test]
fn the_slower_of_both_sides_sets_the_interval() {
    // our min_tx, the peer's min_rx in us; what results
    for (min_tx, min_rx, interval) in [(100, 80_000, 100), (100, 250_000, 250), (10, 1, 10)] {
        let mut node = Node::in_state(StateName::Up, Session { min_tx: ms(min_tx), ..config() });
        node.hear(Packet { min_rx, ..says(StateName::Up) });
        assert_eq!(node.status().tx_interval, ms(interval));
    }
}

#[test]
fn coming_up_starts_a_poll_sequence_that_the_peers_answer_ends() {
    let mut node = Node::new(config());
    assert_eq!(node.sent[0].min_tx, 1_000_000, "idle");
    assert!(!node.sent[0].poll);
    node.hear(says(StateName::Down));
    node.forget();
    node.hear(says(StateName::Init));
    assert_eq!((node.sent[0].poll, node.sent[0].min_tx), (true, 100_000));
    assert_eq!(node.status().tx_interval, ms(100), "a shorter interval is in force at once");
    node.run(ms(95));
    node.hear(says(StateName::Up));
    assert!(node.sent.len() >= 2 && node.sent.iter().all(|sent| sent.poll), "until it is answered: {:?}", node.sent);
    node.hear(Packet { is_final: true, ..says(StateName::Up) });
    node.forget();
    node.run(ms(95));
    assert!(!node.sent.is_empty() && node.sent.iter().all(|sent| !sent.poll));
}

#[test]
fn a_question_is_answered_at_once_and_never_with_a_question() {
    for state in [StateName::Down, StateName::Init, StateName::Up] {
        let mut node = Node::in_state(state, config());
        let next_at = node.sessions.deadline();
        node.hear(Packet { poll: true, ..says(if state == StateName::Up { state } else { StateName::AdminDown }) });
        let [sent] = node.sent[..] else { panic!("{state:?}: {:?}", node.sent) };
        assert!(sent.is_final && !sent.poll, "{state:?}");
        if state == StateName::Up {
            assert_eq!(node.sessions.deadline(), next_at, "an answer puts nothing off");
        }
    }
    let mut node = Node::in_state(StateName::Init, config());
    node.hear(Packet { poll: true, ..says(StateName::Up) });
    let [sent] = node.sent[..] else { panic!("{:?}", node.sent) };
    assert!(sent.is_final && sent.state == StateName::Up);
}

#[test]
fn a_peer_in_demand_mode_gets_answers_only() {
    let mut node = Node::in_state(StateName::Up, config());
    let demands = Packet { demand: true, ..says(StateName::Up) };
    node.hear(demands);
    for _ in 0..10 {
        node.run(ms(140));
        node.hear(demands);
    }
    assert_eq!(node.sent, []);
    node.hear(Packet { poll: true, ..demands });
    assert_eq!(node.sent.len(), 1);
    node.hear(says(StateName::Up));
    node.run(ms(100));
    assert_eq!(node.sent.len(), 2, "it wants them again");
    node.hear(demands);
    node.run(ms(150));
    assert_eq!(node.state(), StateName::Down, "its silence is still too long");
    assert_eq!(node.sent.last().unwrap().state, StateName::Down, "and it hears so");
}

#[test]
fn a_peer_that_takes_no_packets_gets_none() {
    let mut node = Node::in_state(StateName::Up, config());
    node.hear(Packet { min_rx: 0, ..says(StateName::Up) });
    node.run(ms(140));
    assert_eq!(node.sent, []);
}

#[test]
fn a_passive_session_waits_to_be_spoken_to() {
    let mut node = Node::new(Session { passive: true, ..config() });
    node.run(ms(10_000));
    assert_eq!(node.sent, []);
    node.hear(says(StateName::Down));
    assert_eq!(node.sent.len(), 1);
    node.run(ms(150));
    assert_eq!(node.state(), StateName::Down);
    node.forget();
    node.run(ms(10_000));
    assert_eq!(node.sent, [], "the peer is forgotten");
}

#[test]
fn what_a_peer_said_is_forgotten_after_its_detection_time() {
    let mut node = Node::in_state(StateName::Up, config());
    node.hear(says(StateName::AdminDown));
    assert_eq!(node.status().remote.unwrap().discriminator, 77);
    node.run(ms(149));
    assert!(node.status().remote.is_some());
    node.run(ms(1));
    assert_eq!((node.status().remote, node.state()), (None, StateName::Down));
    assert_eq!(node.reports, [], "followers keep what they were told");
    assert!(node.status().reported_up);
    node.come_up();
    assert_eq!(node.reports, [], "it is news to nobody");
    node.run(ms(150));
    assert_eq!(node.reports, [false], "a failure is");
}

#[test]
fn a_socket_that_cannot_be_had_is_asked_for_again() {
    let mut node = Node::without_socket(config());
    let refused = || Event::NotOpened { session: ONE, reason: "bind 10.0.0.1: no such address".to_owned() };
    node.forget();
    node.on(refused());
    assert_eq!(node.told.len(), 1);
    assert_eq!(node.status().reason, "bind 10.0.0.1: no such address");
    node.run(ms(59_999));
    assert_eq!(node.asked, 0);
    node.run(ms(1));
    assert_eq!(node.asked, 1);
    node.on(refused());
    assert_eq!(node.told.len(), 1, "said once");
    node.on(Event::NetworkChanged);
    assert_eq!(node.asked, 2, "at once when the network changes");
    node.on(Event::Opened { session: ONE });
    assert_eq!((node.state(), node.sent.len()), (StateName::Down, 1));
}

#[test]
fn a_packet_from_too_far_away_is_counted_and_changes_nothing() {
    // ttl, max_hops, what is left, taken
    let rows = [
        (255, Some(0), 255, true),
        (255, Some(0), 254, false),
        (200, Some(4), 196, true),
        (200, Some(4), 195, false),
        (200, Some(0), 255, true),
        (64, Some(64), 1, true),
        (255, None, 1, true),
    ];
    for (ttl, max_hops, left, taken) in rows {
        let mut node = Node::new(Session { ttl: NonZeroU8::new(ttl).unwrap(), max_hops, ..config() });
        node.hear_bytes(&says(StateName::Down).build(), left);
        let (state, refused) = if taken { (StateName::Init, 0) } else { (StateName::Down, 1) };
        assert_eq!((node.state(), node.status().counters.bad_ttl), (state, refused), "{ttl} {max_hops:?} {left}");
    }
}

#[test]
fn a_reload_leaves_a_session_up_and_agrees_on_new_intervals() {
    let mut node = Node::in_state(StateName::Up, config());
    let before = node.status();
    let other = Session::new("other", "10.0.0.9".parse().unwrap());
    let reload = |node: &mut Node, session: Session| {
        let config = Config { sessions: vec![session, other.clone()] };
        let mut actions = Vec::new();
        node.sessions.reconfigure(node.now, config, &mut actions);
        assert_eq!(actions, []);
    };
    reload(&mut node, config());
    assert_eq!(node.status(), before, "nothing of it has changed");

    // Slower both ways.
    reload(&mut node, Session { min_tx: ms(300), min_rx: ms(200), ..config() });
    let status = node.status();
    assert_eq!((status.tx_interval, status.detection), (ms(100), Some(ms(600))), "slower sending waits for the peer");
    node.run(ms(100));
    assert!(node.sent.last().unwrap().poll && node.sent.last().unwrap().min_tx == 300_000);
    node.hear(Packet { is_final: true, ..says(StateName::Up) });
    assert_eq!(node.status().tx_interval, ms(300));

    // Faster both ways.
    reload(&mut node, Session { min_tx: ms(90), min_rx: ms(10), ..config() });
    let status = node.status();
    assert_eq!((status.tx_interval, status.detection), (ms(90), Some(ms(600))), "the peer still sends slowly");
    node.hear(Packet { is_final: true, ..says(StateName::Up) });
    assert_eq!(node.status().detection, Some(ms(120)));

    let moved = Session { neighbour: "10.0.0.3".parse().unwrap(), ..config() };
    reload(&mut node, moved);
    assert_eq!(node.state(), StateName::AdminDown, "another neighbour is another session");
    assert_eq!(node.sessions.reports().map(|(_, up, _)| up).collect::<Vec<_>>(), [false, false]);
}

#[test]
fn packets_find_their_session_by_number_or_by_addresses() {
    let at = |name: &str, neighbour: IpAddr, source: Option<IpAddr>, reach| Session {
        source,
        reach,
        ..Session::new(name, neighbour)
    };
    let config = Config {
        sessions: vec![
            at("any", PEER, None, Reach::SingleHop),
            at("bound", PEER, Some(OURS), Reach::SingleHop),
            at("far", PEER, None, Reach::Multihop),
        ],
    };
    let elsewhere: IpAddr = "10.0.0.200".parse().unwrap();
    let rows = [
        (PEER, Some(OURS), Reach::SingleHop, Some(1)),
        (PEER, Some(elsewhere), Reach::SingleHop, Some(0)),
        (PEER, Some(OURS), Reach::Multihop, Some(2)),
        (elsewhere, Some(OURS), Reach::SingleHop, None),
    ];
    for (from, to, reach, found) in rows {
        let mut sessions = Sessions::new(config.clone(), 3);
        let mut actions = Vec::new();
        for id in 0..3 {
            sessions.handle(Instant::ORIGIN, Event::Opened { session: SessionId(id) }, &mut actions);
        }
        let mut tell = |packet: Packet| {
            let bytes = packet.build().to_vec();
            sessions.handle(
                Instant::ORIGIN,
                Event::Packet(Received { from, to, reach, ttl: Some(255), bytes }),
                &mut actions,
            );
            sessions.status(Instant::ORIGIN)
        };
        let status = tell(says(StateName::Down));
        let heard: Vec<_> = status.sessions.iter().map(|session| session.counters.received).collect();
        let expected: Vec<_> = (0..3).map(|at| u64::from(found == Some(at))).collect();
        assert_eq!(heard, expected, "{from} {to:?} {reach:?}");
        assert_eq!(status.unclaimed.unknown, u64::from(found.is_none()));

        // By number, whoever sends it; but not to the other port.
        let number = NonZeroU32::new(status.sessions[2].discriminator);
        let status = tell(Packet { your_discriminator: number, ..says(StateName::Down) });
        let far = status.sessions[2].counters.received;
        assert_eq!(far - expected[2], u64::from(reach == Reach::Multihop));

        let status = tell(Packet { your_discriminator: NonZeroU32::new(1), ..says(StateName::Up) });
        assert!(status.unclaimed.unknown >= 1, "nobody has that number");
    }
}

#[test]
fn numbers_differ() {
    let sessions = (0..200u8).map(|n| Session::new(&n.to_string(), IpAddr::V4(Ipv4Addr::new(10, 0, 1, n))));
    let sessions = Sessions::new(Config { sessions: sessions.collect() }, 1);
    let mut numbers: Vec<_> =
        sessions.status(Instant::ORIGIN).sessions.iter().map(|session| session.discriminator).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 200);
}
