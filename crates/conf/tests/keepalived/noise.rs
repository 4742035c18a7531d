use crate::{fixtures, options, said};
use evenkeel_conf::keepalived::{NoHost, lint, load};
use evenkeel_conf::{DiskFiles, MemoryFiles};
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

proptest! {
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
