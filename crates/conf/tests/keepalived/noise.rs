use crate::{fixtures, options, said};
use evenkeel_balance::config::Probe;
use evenkeel_balance::table::Forward;
use evenkeel_conf::keepalived::{Block, NoHost, directives, lint, load};
use evenkeel_conf::{DiskFiles, MemoryFiles};
use evenkeel_wire::Family;
use proptest::prelude::*;
use std::path::Path;

/// One clear error, and nothing else.
#[track_caller]
fn one_error(bytes: &[u8], expected: &str) {
    let path = Path::new("/k.conf");
    let files = MemoryFiles([(path.to_owned(), bytes.to_vec())].into());
    let loaded = load(&files, path, &options(None));
    assert!(loaded.has_errors());
    assert_eq!(loaded.diagnostics.len(), 1, "{}", said(&loaded));
    assert!(loaded.diagnostics[0].message.contains(expected), "{}", loaded.diagnostics[0].message);
}

#[test]
fn what_is_no_configuration_gives_one_error() {
    one_error(b"", "says nothing");
    one_error(b"# only\n\n   ! comments\n", "says nothing");
    one_error(b"\x7fELF\x02\x01\x01\0\0\0", "NUL byte on line 1");
    one_error(b"\x01\x02\x03\x04\x05\x06 noise", "control characters");
    one_error(b"vrrp_instance a {\n}\0", "NUL byte on line 2");
}

#[test]
fn a_path_that_is_no_file_gives_one_error() {
    for (path, expected) in
        [("/", "is a directory"), ("/nonexistent", "no such file"), ("/dev/zero", "larger than 16777216 bytes")]
    {
        let loaded = load(&DiskFiles, Path::new(path), &options(None));
        assert_eq!(loaded.diagnostics.len(), 1, "{path}");
        assert!(loaded.diagnostics[0].message.contains(expected), "{}", loaded.diagnostics[0].message);
    }
}

#[test]
fn what_expands_without_end_is_an_error_and_no_hang() {
    for text in [
        "$A=x$A y\n$A",
        "$A=${A}${A}\n${A}x",
        "$A=\\\n$A\\\n$A\n$A\n",
        "$A=${B}\n$B=${A}\nx ${A}",
        "include k.conf",
        "include *.conf\ninclude *.conf",
        "~SEQ(a, -9223372036854775807, 9223372036854775807) x",
        "~SEQ(a, 1, 0, 5) x",
        "$L=~SEQ(a, 1, 1000) $L\n$L",
    ] {
        let path = Path::new("/k.conf");
        let files = MemoryFiles([(path.to_owned(), text.as_bytes().to_vec())].into());
        let loaded = load(&files, path, &options(None));
        assert!((1..=3).contains(&loaded.diagnostics.len()), "{text}: {}", said(&loaded));
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let text = "a {\n".repeat(100_000);
    let path = Path::new("/k.conf");
    let files = MemoryFiles([(path.to_owned(), text.into_bytes())].into());
    assert!(load(&files, path, &options(None)).has_errors());
}

fn load_anything(bytes: Vec<u8>) {
    let path = Path::new("/k.conf");
    let loaded = load(&MemoryFiles([(path.to_owned(), bytes)].into()), path, &options(Some("x")));
    let _ = said(&loaded);
    let _ = lint(&loaded, &NoHost);
}

/// Text made of the pieces that mean something, in any order.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "vrrp_instance",
        "VI_1",
        "{",
        "}",
        "\n",
        " ",
        "\t",
        "\"",
        "'",
        "\\",
        "#",
        "!",
        "$A",
        "${A}",
        "$A=",
        "@x",
        "@^x",
        "~SEQ(a,1,3)",
        "~LST(a,b,c)",
        "~LST({a,b},{1,2})",
        "priority",
        "100",
        "virtual_ipaddress",
        "10.0.0.1/24",
        "dev",
        "eth0",
        "brd",
        "+",
        "state",
        "MASTER",
        "script",
        "vrrp_script",
        "track_script",
        "weight",
        "-20",
        "3s",
        "0.01",
        "auth_pass",
        "authentication",
        "include",
        "k.conf",
        "*",
        "(",
        ")",
        ",",
        "interface",
        "virtual_router_id",
        "global_defs",
        "${_RANDOM 1 9}",
        "${_ENV HOME}",
        "unicast_peer",
        "label",
        "\u{ff11}",
        "é",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..120).prop_map(|pieces| pieces.concat())
}

/// A virtual_server made of its own keywords with arguments right and wrong, in any order and nesting.
fn virtual_servers() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "",
        "0",
        "1",
        "7",
        "80",
        "65536",
        "4294967296",
        "-1",
        "2.5",
        "30s",
        "10.0.0.1",
        "10.0.0.2 80",
        "10.0.0.1 81",
        "2001:db8::1 80",
        "10.0.0.0/30 80",
        "10.0.0.1-9 80",
        "fwmark 5",
        "fwmark 6 inet6",
        "group G",
        "TCP",
        "UDP",
        "NAT",
        "DR",
        "TUN type gue port 5",
        "sh",
        "wlc",
        "on",
        "off",
        "G",
        "F",
        "/bin/x",
        "01xx",
        "200 300-301",
        "inet6",
        "dataplane",
    ];
    let keywords: Vec<&str> = directives()
        .iter()
        .filter(|row| row.contexts.iter().any(|block| LAYER_4.contains(block)))
        .map(|row| row.name)
        .chain(["virtual_server", "virtual_server_group", "track_file", "}", "}"])
        .collect();
    let line = (proptest::sample::select(keywords), proptest::sample::select(WORDS), any::<bool>());
    proptest::collection::vec(line, 0..60).prop_map(|lines| {
        let start = "virtual_server 10.0.0.100 80 {\nreal_server 10.0.0.1 80 {\n".to_owned();
        lines.into_iter().fold(start, |text, (keyword, words, opens)| {
            text + keyword + " " + words + if opens { " {\n" } else { "\n" }
        })
    })
}

const LAYER_4: [Block; 9] = [
    Block::VirtualServer,
    Block::RealServer,
    Block::HttpGet,
    Block::Url,
    Block::UdpCheck,
    Block::SmtpCheck,
    Block::DnsCheck,
    Block::MiscCheck,
    Block::FileCheck,
];

/// What the balancer may rely on, whatever stands in a file.
fn balancer_can_rely_on(config: &evenkeel_balance::config::Config) {
    let mut services = std::collections::HashSet::new();
    for pool in &config.pools {
        assert!(!pool.services.is_empty() && !pool.servers.is_empty());
        let total: u64 = pool.servers.iter().map(|server| u64::from(server.weight)).sum();
        assert!(u64::from(pool.quorum.get()) <= total.max(1) && pool.hysteresis < pool.quorum.get());
        assert!(pool.services.iter().all(|service| services.insert(*service)), "a service of two pools");
        let scripts = [pool.quorum_up, pool.quorum_down].into_iter().flatten();
        assert!(scripts.into_iter().all(|script| config.scripts.len() > script.0 as usize));
        for server in &pool.servers {
            let family = Family::of(server.address);
            let tunnel = matches!(server.forward, Forward::Tunnel(_));
            assert!(tunnel || pool.services.iter().any(|service| service.family() == family));
            for check in &server.checks {
                assert!(!check.timing.interval.is_zero() && !check.timing.timeout.is_zero());
                match &check.probe {
                    Probe::Misc { script, .. } => assert!(config.scripts.len() > script.0 as usize),
                    Probe::File { file, .. } => assert!(config.files.len() > file.0 as usize),
                    Probe::Bfd { session } => assert!(config.bfd_sessions.len() > session.0 as usize),
                    Probe::Ping => assert!(check.target.is_some()),
                    _ => assert!(check.target.as_ref().is_some_and(|target| target.port != 0)),
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_lowered_of_virtual_servers_can_be_relied_on(text in virtual_servers()) {
        let path = Path::new("/k.conf");
        let loaded = load(&MemoryFiles([(path.to_owned(), text.into_bytes())].into()), path, &options(None));
        let _ = (said(&loaded), lint(&loaded, &NoHost));
        balancer_can_rely_on(&loaded.balance);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        load_anything(bytes);
    }

    #[test]
    fn no_order_of_words_makes_it_panic(text in pieces()) {
        load_anything(text.into_bytes());
    }

    #[test]
    fn a_damaged_file_does_not_make_it_panic(at in 0_usize..4000, byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = std::fs::read(fixtures().join("seed_002_master.conf")).expect("the fixture");
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        load_anything(bytes);
    }
}
