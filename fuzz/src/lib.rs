//! One function for each parser of what comes from outside: it takes any bytes and does not panic, loop or grow without
//! bound. `fuzz_targets/` hands them to libFuzzer, `tests/smoke.rs` to a generator that needs nothing installed.

use evenkeel_bfd::{self as bfd, Reach, Received, SessionId, Sessions};
use evenkeel_bus::{Codec, MAX_FRAME};
use evenkeel_conf::{MemoryFiles, keepalived, nginx, render};
use evenkeel_peer as peer;
use evenkeel_proxy::http1;
use evenkeel_vrrp::config::{Instance, Version, VirtualAddress, Vrid};
use evenkeel_vrrp::{Config, Event, Interface, Router, StateName};
use evenkeel_wire::{Instant, Mac, Prefix};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A target by its name.
pub type Target = fn(&[u8]);

/// All of them, each with bytes that mean something to it.
pub const TARGETS: &[(&str, Target, &[&[u8]])] = &[
    ("advert", advert, samples::ADVERTS),
    ("bfd_packet", bfd_packet, samples::BFD_PACKETS),
    ("keepalived_conf", keepalived_conf, samples::KEEPALIVED),
    ("nginx_conf", nginx_conf, samples::NGINX),
    ("bus_frame", bus_frame, samples::FRAMES),
    ("http_head", http_head, samples::HTTP),
    ("probe_answers", probe_answers, samples::ANSWERS),
    ("peer_packet", peer_packet, samples::PEER),
];

pub mod samples;

/// The parsers of the health probes. They live in the binary, which is no library to depend on.
#[allow(dead_code, reason = "the probes use more of it")]
#[path = "../../crates/evenkeel/src/role/balance/probe/parse/mod.rs"]
mod parse;

/// An IPv4 packet of protocol 112. The virtual router drops it or learns from it, and remains one of a few states.
pub fn advert(bytes: &[u8]) {
    const INDEX: u32 = 2;
    let mut config = Config::default();
    for (vrid, version) in [(51, Version::V2), (52, Version::V3)] {
        let mut instance = Instance::new("VI", "eth0", Vrid::new(vrid).expect("not 0"));
        instance.version = version;
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100));
        instance.addresses = vec![VirtualAddress::new(Prefix::host(address))];
        config.instances.push(instance);
    }
    let mut router = Router::new(config, 1);
    let mut actions = Vec::new();
    let link = Interface {
        index: INDEX,
        name: "eth0".to_owned(),
        up: true,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        addresses: vec![Ipv4Addr::new(10, 0, 0, 10).into()],
    };
    router.handle(Instant::ORIGIN, Event::Interface(link), &mut actions);
    let mut now = Instant::ORIGIN;
    // To a backup, and to a master.
    for wait in [Duration::from_millis(10), Duration::from_secs(60)] {
        now = now + wait;
        router.handle(now, Event::Deadline, &mut actions);
        router.handle(now, Event::Packet { interface: INDEX, bytes: bytes.to_vec() }, &mut actions);
        let status = router.status(now);
        assert!(status.instances.iter().all(|instance| instance.state != StateName::Stopped));
        assert!(status.instances.iter().all(|instance| instance.effective_priority > 0));
    }
}

/// What comes to a port of BFD, for a session that is down and one that is up: it is counted as one thing or another, and a
/// session that is up goes down no later than its detection time after it.
pub fn bfd_packet(bytes: &[u8]) {
    let neighbour = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    let far = bfd::config::Session { reach: Reach::Multihop, ..bfd::config::Session::new("far", neighbour) };
    let config = bfd::Config { sessions: vec![bfd::config::Session::new("near", neighbour), far] };
    let mut sessions = Sessions::new(config, 1);
    let mut actions = Vec::new();
    let mut now = Instant::ORIGIN;
    for session in [SessionId(0), SessionId(1)] {
        sessions.handle(now, bfd::Event::Opened { session }, &mut actions);
    }
    let datagram = |reach, bytes: &[u8]| {
        bfd::Event::Packet(Received { from: neighbour, to: None, reach, ttl: Some(255), bytes: bytes.to_vec() })
    };
    // The second session comes up: the peer sends Down, then Init to our number.
    let up: [u8; 24] = samples::BFD_PACKETS[0].try_into().expect("a sample is a packet");
    sessions.handle(now, datagram(Reach::Multihop, &up), &mut actions);
    let number = sessions.status(now).sessions[1].discriminator.to_be_bytes();
    let mut up = up;
    up[1] = 0x80;
    up[8..12].copy_from_slice(&number);
    sessions.handle(now, datagram(Reach::Multihop, &up), &mut actions);
    assert_eq!(sessions.status(now).sessions[1].state, bfd::StateName::Up);
    for with_number in [false, true] {
        let mut bytes = bytes.to_vec();
        if let (true, Some(slot)) = (with_number, bytes.get_mut(8..12)) {
            slot.copy_from_slice(&number);
        }
        for reach in [Reach::SingleHop, Reach::Multihop] {
            sessions.handle(now, datagram(reach, &bytes), &mut actions);
        }
        for _ in 0..20 {
            let Some(deadline) = sessions.deadline() else { break };
            assert!(deadline > now, "a deadline that was met is over");
            now = deadline;
            sessions.handle(now, bfd::Event::Deadline, &mut actions);
        }
    }
    let status = sessions.status(now);
    for session in &status.sessions {
        assert!(session.state != bfd::StateName::Up || session.remote.is_some());
        let heard = session.counters.received + session.counters.refused();
        assert!(heard <= 6, "{heard} of four datagrams, and two to come up");
    }
}

/// keepalived.conf: settings or diagnostics, each of which can be shown.
pub fn keepalived_conf(bytes: &[u8]) {
    let path = Path::new("/etc/keepalived/keepalived.conf");
    let files = MemoryFiles([(path.to_owned(), bytes.to_vec())].into());
    let options = keepalived::Options { config_id: Some("lb01"), env: &|_| None, all_checks: false, seed: 1 };
    let loaded = keepalived::load(&files, path, &options);
    for diagnostic in &loaded.diagnostics {
        let _ = render(diagnostic, &loaded.sources, Some("evenkeel"));
    }
}

/// nginx.conf: a site or diagnostics, each of which can be shown.
pub fn nginx_conf(bytes: &[u8]) {
    let path = Path::new("/etc/nginx/nginx.conf");
    let files = MemoryFiles([(path.to_owned(), bytes.to_vec())].into());
    let options = nginx::Options {
        prefix: PathBuf::from("/etc/nginx"),
        globals: None,
        error_log: None,
        resolve: &|_, _| Vec::new(),
        shape: nginx::Shape::Whole,
    };
    let loaded = nginx::load(&files, path, &options);
    for diagnostic in &loaded.diagnostics {
        let _ = render(diagnostic, &loaded.sources, Some("evenkeel"));
    }
}

/// A stream of frames, in two parts that may cut one: frames, or an error that ends it.
pub fn bus_frame(bytes: &[u8]) {
    let mut codec = Codec::default();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut n_bytes = 0;
    for part in [first, second] {
        codec.feed(part);
        loop {
            match codec.take() {
                Ok(Some(frame)) => {
                    assert!(frame.body.len() <= MAX_FRAME);
                    n_bytes += frame.body.len();
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(n_bytes <= bytes.len());
}

/// Requests, answers and chunks. A head that is whole lies within the bytes that it was read from.
pub fn http_head(bytes: &[u8]) {
    let mut request = http1::RequestHead::default();
    if let Ok(true) = http1::parse_request(bytes, &mut request) {
        assert!(request.len <= bytes.len());
        let _ = (request.uri(bytes), request.host(bytes), request.method.of_bytes(bytes));
        for field in &request.fields {
            let _ = (field.name.of_bytes(bytes), field.value.of_bytes(bytes));
        }
    }
    let mut response = http1::ResponseHead::default();
    if let Ok(true) = http1::parse_response(bytes, &mut response) {
        assert!(response.len <= bytes.len());
        for field in &response.fields {
            let _ = (field.name.of_bytes(bytes), field.value.of_bytes(bytes));
        }
    }
    for strictness in [http1::Strictness::Exact, http1::Strictness::Upstream] {
        let mut chunked = http1::Chunked::new(strictness);
        let mut buffer = bytes.to_vec();
        let _ = chunked.decode(&mut buffer);
    }
}

/// What checked servers send: HTTP answers in one piece and in two, replies of mail servers, DNS replies, lines of agents.
pub fn probe_answers(bytes: &[u8]) {
    let wanted = parse::http::Wanted { digest: true, body: true, head: true };
    let read = |parts: &[&[u8]]| {
        let mut answer = parse::http::Answer::new(wanted);
        for part in parts {
            match answer.feed(part) {
                Ok(false) => {}
                Ok(true) => break,
                Err(_) => return None,
            }
        }
        answer.close().ok()?;
        let head = answer.head();
        Some((head, answer.missing(), answer.finish()))
    };
    let (first, second) = bytes.split_at(bytes.len() / 2);
    assert_eq!(read(&[bytes]), read(&[first, second]));
    if let parse::smtp::Reply::Complete(code, length) = parse::smtp::reply(bytes) {
        assert!(code < 1000 && length <= bytes.len());
    }
    let query = parse::dns::Query::new(0x1234, "www.test", 1).expect("a name");
    let _ = query.judge(bytes);
    if let Ok(name) = std::str::from_utf8(bytes)
        && let Ok(query) = parse::dns::Query::new(0, name, 6)
    {
        assert!(query.bytes().len() <= 12 + 255 + 4);
    }
    let _ = parse::agent::parse(bytes);
}

/// What comes to the port of hellos. As it is, it is counted and changes nothing; as the fields of a peer that has the key,
/// and as what such a peer says of itself, it is understood or counted.
pub fn peer_packet(bytes: &[u8]) {
    use peer::packet::{Digest, Hello, Life, MAX_PART, Part};
    use peer::{Action, Config, Event, Facts, Peers};
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    let key = || peer::config::Secret::new(vec![7; 32]).expect("32 bytes are enough");
    let config = Config { peers: vec![peer::config::Peer::new(address, key())] };
    let (ours, now) = (Life([1; 16]), Instant::from_origin(Duration::from_secs(1)));
    let mut peers = Peers::new(config, ours, Facts::default());
    let mut actions = Vec::new();
    peers.handle(now, Event::Deadline, &mut actions);
    let Some(Action::Send { datagram, .. }) = actions.pop() else { panic!("the first deadline sends a hello") };
    let challenge = Hello::parse(&datagram, &key()).expect("it is ours").challenge;
    let before = peers.status(now).peers.remove(0);
    peers.handle(now, Event::Datagram { from: address, bytes: bytes.to_vec() }, &mut actions);
    let after = peers.status(now).peers.remove(0);
    assert_eq!((after.heard, after.facts, after.counters.refused()), (before.heard, before.facts, 1));
    // The same bytes as facts, in as many parts as they need, and the end of them in a datagram of their own.
    let digest = Digest::of(bytes);
    for (n, part) in bytes.chunks(MAX_PART).enumerate() {
        let hello = Hello {
            life: Life([2; 16]),
            sequence: 1 + n as u64,
            answer: (ours, challenge),
            digest: Some((digest, bytes.len() as u32)),
            part: Some(Part { digest, offset: (n * MAX_PART) as u32, bytes: part.to_vec() }),
            ..Hello::default()
        };
        peers.handle(now, Event::Datagram { from: address, bytes: hello.build(&key()) }, &mut actions);
    }
    let status = peers.status(now).peers.remove(0);
    let counters = status.counters;
    assert_eq!(counters.facts_received + counters.facts_err, u64::from(!bytes.is_empty()));
    if let Some(facts) = status.facts {
        assert_eq!(Facts::parse(&facts.build()).as_ref(), Ok(&facts), "what was understood is written as it is read");
    }
}
