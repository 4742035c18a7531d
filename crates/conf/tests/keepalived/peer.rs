//! The block `peer`: what it comes to, and what is said about one that cannot be talked to.

use crate::{options, rules, text};
use evenkeel_conf::keepalived::{Loaded, load};
use evenkeel_conf::{Files, MemoryFiles, ReadError, render};
use evenkeel_peer::config::Peer;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HEX: &str = "hex:000102030405060708090a0b0c0d0e0f";

/// A block with these lines in it, from line 2 on.
fn lowered(lines: &str) -> (Vec<Peer>, Vec<String>) {
    let loaded = text(&format!("peer {{\n{lines}\n}}\n"));
    let said = rules(&loaded);
    (loaded.peer.peers, said)
}

#[test]
fn a_peer_is_read_with_its_defaults() {
    let (peers, said) = lowered(&format!("address 10.0.0.2\nkey {HEX}"));
    assert_eq!(said, [""; 0]);
    let [peer] = peers.as_slice() else { panic!("{peers:?}") };
    assert_eq!((peer.name.as_str(), peer.port, peer.interval), ("10.0.0.2", 11200, Duration::from_secs(1)));
    assert_eq!((peer.source, &peer.interface), (None, &None));
    assert_eq!(Vec::from(peer.key.clone()), (0..16).collect::<Vec<u8>>());
}

#[test]
fn every_word_of_a_peer_is_read() {
    let lines = "address fd00::2 4000\nsource fd00::1\ninterface eth1\nkey \"sixteen letters.\"\ninterval 0.1";
    let loaded = text(&format!("peer lb02 {{\n{lines}\n}}\npeer lb03 {{\naddress 10.0.0.3\nkey {HEX}\n}}\n"));
    assert_eq!(rules(&loaded), [""; 0]);
    let [peer, other] = loaded.peer.peers.as_slice() else { panic!("{:?}", loaded.peer) };
    let Peer { name, address, port, source, interface, key, interval } = peer.clone();
    assert_eq!((name.as_str(), address.to_string().as_str(), port), ("lb02", "fd00::2", 4000));
    assert_eq!((source, interface.as_deref()), ("fd00::1".parse().ok(), Some("eth1")));
    assert_eq!((Vec::from(key), interval), (b"sixteen letters.".to_vec(), Duration::from_millis(100)));
    assert_eq!(other.name, "lb03");
}

#[test]
fn one_that_cannot_be_talked_to_is_left_out_with_the_reason() {
    let rows: [(&str, &[&str]); 12] = [
        (&format!("key {HEX}"), &["peer-off:1"]),
        ("address 10.0.0.2", &["peer-off:1"]),
        (&format!("address lb02\nkey {HEX}"), &["peer-off:1", "bad-value:2"]),
        ("address 10.0.0.2\nkey fifteenletters.", &["key-unusable:3"]),
        ("address 10.0.0.2\nkey hex:0011", &["key-unusable:3"]),
        ("address 10.0.0.2\nkey hex:00112233445566778899aabbccddeeffgg", &["key-unusable:3"]),
        ("address 10.0.0.2\nkey file:/none", &["key-unusable:3"]),
        ("address 10.0.0.2\nkey /etc/key", &["peer-off:1", "bad-value:3"]),
        (&format!("address 10.0.0.2\nsource fd00::1\nkey {HEX}"), &["peer-off:3"]),
        (&format!("address 10.0.0.2\nsource 10.0.0.2\nkey {HEX}"), &["peer-off:3"]),
        (&format!("key {HEX}\n}}\npeer {{\nkey {HEX}"), &["peer-off:1", "peer-off:4"]),
        ("", &["peer-off:1"]),
    ];
    for (lines, want) in rows {
        let (peers, said) = lowered(lines);
        assert_eq!((peers.len(), said), (0, want.iter().map(|rule| (*rule).to_owned()).collect()), "{lines}");
    }
}

#[test]
fn a_value_that_is_no_value_leaves_the_default() {
    for (line, said) in [
        ("address 10.0.0.2 80", "bad-value:4"),
        ("interval 0.05", "bad-value:4"),
        ("interval 61", "bad-value:4"),
        ("interface a-name-that-is-too-long", "bad-value:4"),
        ("source here", "bad-value:4"),
    ] {
        let (peers, rules) = lowered(&format!("address 10.0.0.2\nkey {HEX}\n{line}"));
        assert_eq!((rules, peers[0].port, peers[0].interval.as_secs()), (vec![said.to_owned()], 11200, 1), "{line}");
    }
}

#[test]
fn two_peers_of_one_address_are_one() {
    let block = format!("peer {{\naddress 10.0.0.2\nkey {HEX}\n}}\n");
    let loaded = text(&block.repeat(2));
    assert_eq!((loaded.peer.peers.len(), rules(&loaded)), (1, vec!["peer-off:6".to_owned()]));
}

/// A disk with a key whose rights are what the test says.
struct Disk {
    open: bool,
    owner: u32,
    memory: MemoryFiles,
}

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        if path == Path::new("/etc/peer.key") { Ok(format!("{HEX}\n").into_bytes()) } else { self.memory.read(path) }
    }

    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        self.memory.glob(pattern)
    }

    fn readable_by_others(&self, _: &Path) -> bool {
        self.open
    }

    fn owner(&self, _: &Path) -> Option<u32> {
        Some(self.owner)
    }
}

fn from_disk(open: bool, owner: u32) -> Loaded {
    let path = PathBuf::from("/etc/keepalived/keepalived.conf");
    let config = b"peer {\naddress 10.0.0.2\nkey file:/etc/peer.key\n}\n".to_vec();
    let memory = MemoryFiles([(path.clone(), config)].into());
    load(&Disk { open, owner, memory }, &path, &options(None))
}

#[test]
fn the_file_of_a_key_is_for_root_alone() {
    for (open, owner, want) in
        [(false, 0, vec![]), (true, 0, vec!["key-readable:3"]), (false, 1000, vec!["key-owner:3"])]
    {
        let loaded = from_disk(open, owner);
        assert_eq!((rules(&loaded), loaded.peer.peers.len()), (want.iter().map(ToString::to_string).collect(), 1));
    }
    let loaded = from_disk(true, 1000);
    let said: String = loaded.diagnostics.iter().map(|d| render(d, &loaded.sources, None)).collect();
    for part in ["run `chmod 600 /etc/peer.key`", "belongs to user 1000, not to root", "it can speak for either node"] {
        assert!(said.contains(part), "{part} in:\n{said}");
    }
}

#[test]
fn no_key_is_cited_or_shown() {
    let loaded = text(
        "peer {\naddress 10.0.0.2\nkey hunter2hunter2\n}\npeer {\naddress 10.0.0.3\nkey hunter2hunter2hunter2\n}\n",
    );
    let said: String = loaded.diagnostics.iter().map(|d| render(d, &loaded.sources, None)).collect();
    assert!(said.contains("too short: 14 bytes") && !said.contains("hunter"), "{said}");
    assert!(!format!("{:?} {:?}", loaded.peer, loaded.settings).contains("hunter"));
}
