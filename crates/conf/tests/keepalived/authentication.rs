//! The blocks `authentication` and `auth_hmac`: what they come to, and what is said about keys that cannot be used.

use crate::{options, rules, text};
use evenkeel_conf::keepalived::{Loaded, load};
use evenkeel_conf::{Files, MemoryFiles, ReadError, render};
use evenkeel_vrrp::config::{Authentication, Hmac, Mode, OldChecksum, Password, Replay};
use std::path::{Path, PathBuf};

const HEX: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER: &str = "hex:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// An instance with these lines in it, from line 5 on.
fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {{ 10.0.0.100 }}\n{lines}\n}}\n"
    )
}

fn lowered(lines: &str) -> (Authentication, Vec<String>) {
    let loaded = text(&instance(lines));
    (loaded.vrrp.instances[0].authentication.clone(), rules(&loaded))
}

/// The block's result and what was said, with `active_key 1` on line 6 and the lines from line 7 on.
fn hmac(lines: &str) -> (Option<Hmac>, Vec<String>) {
    let (authentication, rules) = lowered(&format!("auth_hmac {{\nactive_key 1\n{lines}\n}}"));
    match authentication {
        Authentication::Hmac(hmac) => (Some(hmac), rules),
        Authentication::None => (None, rules),
        other => panic!("{other:?}"),
    }
}

fn bytes(hmac: &Hmac, id: u8) -> Vec<u8> {
    hmac.key(id).expect("the key is there").secret.clone().into()
}

#[test]
fn a_block_of_auth_hmac_is_read_with_its_defaults() {
    let (read, said) = hmac(&format!("key 1 {HEX}"));
    let read = read.expect("it is in force");
    assert_eq!(said, [""; 0]);
    assert_eq!((read.active.get(), read.window.get(), read.replay, read.mode), (1, 5, Replay::Time, Mode::Enforce));
    assert_eq!(bytes(&read, 1), (0..32).collect::<Vec<u8>>());

    let lines =
        format!("key 1 {HEX}\nkey 2 {}\ntime_window 10\nanti_replay monotonic\nmode permissive", "x".repeat(64));
    let (read, said) = hmac(&lines);
    let read = read.expect("it is in force");
    assert_eq!(said, [""; 0]);
    assert_eq!((read.window.get(), read.replay, read.mode), (10, Replay::Monotonic, Mode::Permissive));
    assert_eq!(bytes(&read, 2), [b'x'; 64]);
    assert_eq!(hmac(&format!("key 1 {HEX}\nmode receive-only")).0.map(|read| read.mode), Some(Mode::ReceiveOnly));
}

#[test]
fn the_window_follows_the_interval() {
    let (authentication, _) = lowered(&format!("advert_int 20\nauth_hmac {{\nkey 1 {HEX}\nactive_key 1\n}}"));
    assert!(matches!(authentication, Authentication::Hmac(hmac) if hmac.window.get() == 60));
}

#[test]
fn what_cannot_be_used_is_said_with_its_line() {
    let short = "x".repeat(31);
    let long = "x".repeat(65);
    let rows: [(String, bool, &[&str]); 10] = [
        (format!("key 1 {short}"), false, &["auth-hmac-off:6", "key-unusable:7"]),
        (format!("key 1 {long}"), false, &["auth-hmac-off:6", "key-unusable:7"]),
        ("key 1 hex:00f".to_owned(), false, &["auth-hmac-off:6", "key-unusable:7"]),
        ("key 1 hex:00zz".to_owned(), false, &["auth-hmac-off:6", "key-unusable:7"]),
        ("key 1 file:/none".to_owned(), false, &["auth-hmac-off:6", "key-unusable:7"]),
        // Another key verifies nothing if none signs: keepalived turns all of it off.
        (format!("key 2 {HEX}"), false, &["auth-hmac-off:6"]),
        (format!("key 1 {HEX}\nkey 1 {OTHER}"), true, &["repeated:8"]),
        (format!("key 1 {HEX}\nkey 0 {OTHER}\nkey 256 {OTHER}"), true, &["bad-value:8", "bad-value:9"]),
        (
            format!("key 1 {HEX}\ntime_window 301\nanti_replay never\nmode off"),
            true,
            &["bad-value:8", "bad-value:9", "bad-value:10"],
        ),
        (format!("key 1 {HEX}\nkey 2 {short}"), true, &["key-unusable:8"]),
    ];
    for (lines, in_force, want) in rows {
        let (read, said) = hmac(&lines);
        assert_eq!((read.is_some(), said.iter().map(String::as_str).collect::<Vec<_>>()), (in_force, want.to_vec()));
    }
    let (authentication, said) = lowered(&format!("auth_hmac {{\nkey 1 {HEX}\n}}"));
    assert_eq!((authentication, said), (Authentication::None, vec!["auth-hmac-off:5".to_owned()]));
    let (read, _) = hmac(&format!("key 1 {HEX}\nkey 1 {OTHER}"));
    assert_eq!(bytes(&read.expect("the first one counts"), 1)[0], 0);
}

/// A disk with one file, which others may read or not.
struct Disk {
    content: Result<&'static [u8], ReadError>,
    open: bool,
    memory: MemoryFiles,
}

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        if path == Path::new("/etc/key") { self.content.clone().map(<[u8]>::to_vec) } else { self.memory.read(path) }
    }

    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        self.memory.glob(pattern)
    }

    fn readable_by_others(&self, _: &Path) -> bool {
        self.open
    }
}

fn from_file(content: Result<&'static [u8], ReadError>, open: bool) -> Loaded {
    let path = Path::new("/etc/keepalived/keepalived.conf");
    let text = instance("auth_hmac {\nactive_key 1\nkey 1 file:/etc/key\n}");
    let memory = MemoryFiles([(path.to_owned(), text.into_bytes())].into());
    load(&Disk { content, open, memory }, path, &options(None))
}

#[test]
fn a_key_may_be_in_a_file() {
    type Row<'a> = (Result<&'static [u8], ReadError>, bool, Option<(usize, u8)>, &'a [&'a str]);
    let rows: [Row; 8] = [
        (Ok(b"0123456789abcdef0123456789abcdef"), false, Some((32, b'0')), &[]),
        // One newline at the end is the editor's, a second one is the key's.
        (Ok(b"0123456789abcdef0123456789abcdef\n"), false, Some((32, b'0')), &[]),
        (Ok(b"0123456789abcdef0123456789abcdef\n\n"), false, Some((33, b'0')), &[]),
        (Ok(b"hex:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"), false, Some((32, 0xff)), &[]),
        (Ok(b"0123456789abcdef0123456789abcdef"), true, Some((32, b'0')), &["key-readable:7"]),
        (Ok(b"short\n"), false, None, &["auth-hmac-off:6", "key-unusable:7"]),
        (Err(ReadError::NotFound), false, None, &["auth-hmac-off:6", "key-unusable:7"]),
        (Err(ReadError::PermissionDenied), false, None, &["auth-hmac-off:6", "key-unusable:7"]),
    ];
    for (content, open, key, want) in rows {
        let loaded = from_file(content.clone(), open);
        assert_eq!(rules(&loaded), want, "{content:?}");
        let found = match &loaded.vrrp.instances[0].authentication {
            Authentication::Hmac(hmac) => Some((bytes(hmac, 1).len(), bytes(hmac, 1)[0])),
            _ => None,
        };
        assert_eq!(found, key, "{content:?}");
    }
}

#[test]
fn a_missing_key_is_explained_and_no_key_is_ever_cited() {
    let loaded = from_file(Err(ReadError::NotFound), false);
    let said: String = loaded.diagnostics.iter().map(|d| render(d, &loaded.sources, None)).collect();
    for part in ["read /etc/key: no such file", "file:/etc/key", "as in keepalived", "^^^^^^"] {
        assert!(said.contains(part), "{part} in:\n{said}");
    }
    let loaded = text(&instance("auth_hmac {\nactive_key 1\nkey 1 hunter2hunter2\nkey 2 hex:abcdef\n}"));
    let said: String = loaded.diagnostics.iter().map(|d| render(d, &loaded.sources, None)).collect();
    assert!(said.contains("too short: 14 bytes"), "{said}");
    assert!(!said.contains("hunter") && !said.contains("abcdef"), "{said}");
    let everything = format!("{loaded:?}");
    assert!(!everything.contains("hunter2"), "the drafts have it");
}

#[test]
fn one_way_of_authentication_at_a_time() {
    let pass = "authentication {\nauth_type PASS\nauth_pass 12345678\n}\n";
    let (authentication, said) = lowered(&format!("{pass}auth_hmac {{\nactive_key 1\nkey 1 {HEX}\n}}"));
    assert!(matches!(authentication, Authentication::Hmac(_)));
    assert_eq!(said, ["auth-ignored:6"]);
    let strict = format!("strict_mode\nauth_hmac {{\nactive_key 1\nkey 1 {HEX}\nmode permissive\n}}");
    let (authentication, said) = lowered(&strict);
    assert!(matches!(authentication, Authentication::Hmac(hmac) if hmac.mode == Mode::Enforce));
    assert_eq!(said, ["strict-auth-hmac:9"]);
}

#[test]
fn the_older_ways_are_for_version_2_without_strict_mode() {
    let password = Password::new("secret");
    let block = |kind: &str| format!("authentication {{\nauth_type {kind}\nauth_pass secret\n}}");
    let (pass, ah) = (block("PASS"), block("AH"));
    let rows: [(String, Authentication, &[&str]); 7] = [
        (pass.clone(), Authentication::Password(password), &[]),
        (ah.clone(), Authentication::Header(password), &[]),
        (format!("{ah}\nversion 3"), Authentication::None, &["auth-ignored:6"]),
        (format!("{pass}\nversion 3"), Authentication::None, &["auth-ignored:6"]),
        (format!("{ah}\nstrict_mode"), Authentication::None, &["auth-ignored:6"]),
        // AH takes `state MASTER` back, so nopreempt counts.
        (format!("{ah}\nstate MASTER\npriority 150\nnopreempt"), Authentication::Header(password), &["ah-master:9"]),
        ("authentication {\nauth_type AH\n}".to_owned(), Authentication::None, &["auth-ignored:6"]),
    ];
    for (lines, want, said) in rows {
        assert_eq!(lowered(&lines), (want, said.iter().map(|rule| (*rule).to_owned()).collect()), "{lines}");
    }
}

#[test]
fn what_is_asked_of_a_sender_is_lowered() {
    let lowered = |globals: &str, lines: &str| {
        let text = format!("global_defs {{\n{globals}\n}}\n{}", instance(lines));
        let loaded = crate::text(&text);
        let instance = &loaded.vrrp.instances[0];
        (instance.check_unicast_source, instance.old_checksum)
    };
    use OldChecksum::{Always, Learned, Never};
    let rows = [
        ("", "", (false, Learned)),
        ("", "check_unicast_src\nold_unicast_checksum", (true, Always)),
        ("vrrp_check_unicast_src", "old_unicast_checksum never", (true, Never)),
    ];
    for (globals, lines, want) in rows {
        assert_eq!(lowered(globals, lines), want, "{globals} {lines}");
    }
    let peers = "unicast_peer {\n10.0.0.2 min_ttl 254\n10.0.0.3 min_ttl 2 max_ttl 9\n10.0.0.4\n10.0.0.5 max_ttl 256\n}";
    let loaded = text(&instance(peers));
    let limits = loaded.vrrp.instances[0].peers.iter().map(|peer| (peer.min_ttl, peer.max_ttl));
    assert_eq!(limits.collect::<Vec<_>>(), [(254, 255), (2, 9), (0, 255), (0, 255)]);
    assert_eq!(rules(&loaded), ["bad-value:9"]);
    assert!(text("global_defs {\nlog_unknown_vrids\n}\n").settings.log_unknown_vrids);
}
