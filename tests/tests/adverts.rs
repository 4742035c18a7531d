//! Which adverts are believed: one table of packets, good and bad, sent to evenkeel and to Debian's keepalived.
//!
//! Each row is a virtual router of its own, a backup of priority 100 that hears nothing but the row's packet, with priority
//! 200, again and again. Where it takes the packet it stays backup; where it refuses it, it takes its address. A last one,
//! of priority 1, hears nothing at all: when it is master, all the others have long decided.

use evenkeel_e2e::probe::on;
use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use evenkeel_vrrp::auth::header;
use evenkeel_vrrp::auth::trailer::{Covered, Memory, Utc};
use evenkeel_vrrp::config::{Centis, Hmac, Key, KeyId, Mode, Password, Replay, Secret, Version, Vrid};
use evenkeel_vrrp::packet::{Advert, Checksum};
use evenkeel_wire::checksum;
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU16;
use std::time::{Duration, Instant, SystemTime};

const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const SENTINEL: u8 = 250;
const PATIENCE: Duration = Duration::from_secs(60);

/// Which program knows what the row is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Both,
    /// keepalived 2.2.7 has no such keyword.
    Evenkeel,
    /// Both, but keepalived 2.2.7 refuses what 2.4 and evenkeel only count.
    OlderRefuse,
}

struct Row {
    name: &'static str,
    /// What the instance has besides number, priority and address.
    conf: &'static str,
    packet: fn(&Advert, u32) -> Vec<u8>,
    /// The counter that evenkeel counts it in; `advert_rcvd` or `addr_list_err` for what is taken.
    counter: &'static str,
    known: Known,
}

impl Row {
    fn is_taken(&self) -> bool {
        ["advert_rcvd", "addr_list_err"].contains(&self.counter)
    }
}

const PLAIN: &str = "";
const V3: &str = "version 3\n";
const PASS: &str = "authentication {\nauth_type PASS\nauth_pass secret\n}\n";
const AH: &str = "authentication {\nauth_type AH\nauth_pass secret\n}\n";
const UNICAST: &str = "version 3\nunicast_src_ip 10.0.0.10\nunicast_peer {\n10.0.0.1\n}\n";
const UNICAST_NEVER: &str =
    "version 3\nold_unicast_checksum never\nunicast_src_ip 10.0.0.10\nunicast_peer {\n10.0.0.1\n}\n";
const UNICAST_OLD: &str = "version 3\nold_unicast_checksum\nunicast_src_ip 10.0.0.10\nunicast_peer {\n10.0.0.1\n}\n";
const UNICAST_CHECKED: &str = "version 3\ncheck_unicast_src\nunicast_src_ip 10.0.0.10\nunicast_peer {\n10.0.0.1\n}\n";
const UNICAST_NEAR: &str = "version 3\nunicast_src_ip 10.0.0.10\nunicast_peer {\n10.0.0.1 min_ttl 254\n}\n";
const UNICAST_FAR: &str = "version 3\nunicast_src_ip 10.0.0.10\nunicast_peer {\n10.0.0.1 min_ttl 100 max_ttl 254\n}\n";
const AS_V2: &str = "version 3\nv3_checksum_as_v2\n";
const HMAC: &str =
    "auth_hmac {\nkey 7 hex:0707070707070707070707070707070707070707070707070707070707070707\nactive_key 7\n}\n";

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |name, conf, counter, packet: fn(&Advert, u32) -> Vec<u8>| {
        rows.push(Row { name, conf, packet, counter, known: Known::Both });
    };
    row("version 2", PLAIN, "advert_rcvd", |advert, _| build(advert));
    row("a wrong checksum", PLAIN, "checksum_err", |advert, _| raw(build(advert), 7, 0x55));
    row("TTL 254", PLAIN, "ip_ttl_err", |advert, _| build(&Advert { ttl: 254, ..advert.clone() }));
    row("TTL 1", PLAIN, "ip_ttl_err", |advert, _| build(&Advert { ttl: 1, ..advert.clone() }));
    row("version 3 where 2 is configured", PLAIN, "version_err", |advert, _| build(&v3(advert)));
    row("version 1", PLAIN, "version_err", |advert, _| patched(build(advert), 0, 0x11));
    row("another type of message", PLAIN, "invalid_type_rcvd", |advert, _| patched(build(advert), 0, 0x22));
    row("a password where there is none", PLAIN, "authtype_mismatch", |advert, _| build(&password(advert, "secret")));
    row("type AH without a header", PLAIN, "authtype_mismatch", |advert, _| patched(build(advert), 4, 2));
    row("an unknown type of authentication", PLAIN, "invalid_authtype", |advert, _| patched(build(advert), 4, 3));
    row("another interval in version 2", PLAIN, "advert_interval_err", |advert, _| {
        build(&Advert { interval: Centis(300), ..advert.clone() })
    });
    row("4 bytes too short", PLAIN, "packet_len_err", |advert, _| shorter(build(advert), 4));
    row("4 bytes too long", PLAIN, "packet_len_err", |advert, _| longer(build(advert), 4));
    row("28 bytes too long", PLAIN, "packet_len_err", |advert, _| longer(build(advert), 28));
    row("2 bytes too long, by its IP header", PLAIN, "packet_len_err", |advert, _| longer(build(advert), 2));
    row("a count that is not the number of addresses", PLAIN, "packet_len_err", |advert, _| {
        patched(build(advert), 3, 2)
    });
    row("the password", PASS, "advert_rcvd", |advert, _| build(&password(advert, "secret")));
    row("another password", PASS, "auth_failure", |advert, _| build(&password(advert, "Secret")));
    row("no password", PASS, "authtype_mismatch", |advert, _| build(advert));

    row("AH", AH, "advert_rcvd", |advert, n| header::protect(&build(advert), Password::new("secret"), n));
    row("AH with another password", AH, "auth_failure", |advert, n| {
        header::protect(&build(advert), Password::new("other"), n)
    });
    row("AH, always the same number", AH, "auth_failure", |advert, _| {
        header::protect(&build(advert), Password::new("secret"), 9)
    });
    row("AH, damaged", AH, "auth_failure", |advert, n| {
        let mut packet = header::protect(&build(advert), Password::new("secret"), n);
        packet[46] ^= 1;
        packet
    });
    row("no AH where it is configured", AH, "authtype_mismatch", |advert, _| build(advert));
    row("AH where it is not configured", PLAIN, "authtype_mismatch", |advert, n| {
        header::protect(&build(advert), Password::new("secret"), n)
    });

    row("version 3", V3, "advert_rcvd", |advert, _| build(&v3(advert)));
    row("version 3, a sum without pseudo header", V3, "checksum_err", |advert, _| {
        v3(advert).build(Checksum::MessageOnly, 1)
    });
    row("version 3, another interval", V3, "advert_rcvd", |advert, _| {
        build(&Advert { interval: Centis(300), ..v3(advert) })
    });
    row("version 2 where 3 is configured", V3, "version_err", |advert, _| build(advert));
    row("version 3, 4 bytes too long", V3, "packet_len_err", |advert, _| longer(build(&v3(advert)), 4));
    row("version 3, 28 bytes too long", V3, "packet_len_err", |advert, _| longer(build(&v3(advert)), 28));
    row("version 3, TTL 254", V3, "ip_ttl_err", |advert, _| build(&Advert { ttl: 254, ..v3(advert) }));
    row("unicast where multicast is configured", V3, "destination_err", |advert, _| build(&unicast(advert)));

    row("unicast", UNICAST, "advert_rcvd", |advert, _| build(&unicast(advert)));
    row("unicast, TTL 1", UNICAST, "advert_rcvd", |advert, _| build(&Advert { ttl: 1, ..unicast(advert) }));
    row("unicast with the old checksum", UNICAST, "advert_rcvd", |advert, _| old(advert));
    row("unicast with an old checksum that is forbidden", UNICAST_NEVER, "checksum_err", |advert, _| old(advert));
    row("unicast with the old checksum as configured", UNICAST_OLD, "advert_rcvd", |advert, _| old(advert));
    row("unicast without the old checksum that is configured", UNICAST_OLD, "checksum_err", |advert, _| {
        build(&unicast(advert))
    });
    row("multicast where unicast is configured", UNICAST, "destination_err", |advert, _| build(&v3(advert)));
    row("unicast of a stranger", UNICAST, "advert_rcvd", |advert, _| build(&stranger(advert)));
    row("unicast of a stranger, looked at", UNICAST_CHECKED, "unicast_src_err", |advert, _| build(&stranger(advert)));
    row("unicast of a peer, looked at", UNICAST_CHECKED, "advert_rcvd", |advert, _| build(&unicast(advert)));
    row("unicast from too far", UNICAST_NEAR, "ip_ttl_err", |advert, _| build(&Advert { ttl: 253, ..unicast(advert) }));
    row("unicast from within", UNICAST_NEAR, "advert_rcvd", |advert, _| build(&Advert { ttl: 254, ..unicast(advert) }));
    row("unicast from too near", UNICAST_FAR, "ip_ttl_err", |advert, _| build(&unicast(advert)));
    row("unicast of a stranger, a limit", UNICAST_NEAR, "unicast_src_err", |advert, _| build(&stranger(advert)));

    let mut row = |name, conf, counter, packet: fn(&Advert, u32) -> Vec<u8>| {
        rows.push(Row { name, conf, packet, counter, known: Known::OlderRefuse });
    };
    row("another address", PLAIN, "addr_list_err", |advert, _| build(&listing(advert, &[[10, 0, 2, 1]])));
    row("another number of addresses", PLAIN, "addr_list_err", |advert, _| {
        build(&listing(advert, &[[10, 0, 2, 1], [10, 0, 2, 2]]))
    });
    row("no address", PLAIN, "addr_list_err", |advert, _| build(&listing(advert, &[])));

    let mut row = |name, conf, counter, packet: fn(&Advert, u32) -> Vec<u8>| {
        rows.push(Row { name, conf, packet, counter, known: Known::Evenkeel });
    };
    row("a sum without pseudo header as configured", AS_V2, "advert_rcvd", |advert, _| {
        v3(advert).build(Checksum::MessageOnly, 1)
    });
    row("any sum, where sums are not looked at", AS_V2, "advert_rcvd", |advert, _| raw(build(&v3(advert)), 7, 0x55));
    row("signed", HMAC, "advert_rcvd", |advert, n| signed(advert, 7, n));
    row("signed with another key", HMAC, "auth_ext_invalid_hmac", |advert, n| signed(advert, 8, n));
    row("not signed", HMAC, "auth_ext_missing", |advert, _| build(advert));
    row("a signature where none is expected", PLAIN, "packet_len_err", |advert, n| signed(advert, 7, n));
    rows
}

fn build(advert: &Advert) -> Vec<u8> {
    advert.build(Checksum::WithPseudoHeader, 1)
}

fn old(advert: &Advert) -> Vec<u8> {
    unicast(advert).build(Checksum::WithGroup(GROUP), 1)
}

fn v3(advert: &Advert) -> Advert {
    Advert { version: Version::V3, ..advert.clone() }
}

fn unicast(advert: &Advert) -> Advert {
    Advert { destination: NODE.into(), ..v3(advert) }
}

fn stranger(advert: &Advert) -> Advert {
    Advert { source: STRANGER.into(), ..unicast(advert) }
}

fn password(advert: &Advert, text: &str) -> Advert {
    Advert { password: Some(Password::new(text)), ..advert.clone() }
}

fn listing(advert: &Advert, addresses: &[[u8; 4]]) -> Advert {
    Advert { addresses: addresses.iter().map(|address| IpAddr::from(*address)).collect(), ..advert.clone() }
}

fn raw(mut packet: Vec<u8>, at: usize, mask: u8) -> Vec<u8> {
    packet[20 + at] ^= mask;
    packet
}

/// One byte of a message of version 2, and the right checksum.
fn patched(mut packet: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    packet[20 + at] = value;
    packet[26..28].fill(0);
    let sum = checksum::internet(&[&packet[20..]]);
    packet[26..28].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn longer(mut packet: Vec<u8>, surplus: usize) -> Vec<u8> {
    packet.resize(packet.len() + surplus, 0);
    packet
}

fn shorter(mut packet: Vec<u8>, less: usize) -> Vec<u8> {
    packet.truncate(packet.len() - less);
    packet
}

/// A memory of its own for each advert: the sequence number is the clock's, which goes on.
fn signed(advert: &Advert, secret: u8, _: u32) -> Vec<u8> {
    let id = KeyId::new(7).expect("7 is a number of a key");
    let keys = vec![Key { id, secret: Secret::new(vec![secret; 32]).expect("32 bytes") }];
    let window = NonZeroU16::new(5).expect("5 is not 0");
    let hmac = Hmac { keys, active: id, window, replay: Replay::Time, mode: Mode::Enforce };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set");
    let mut packet = build(advert);
    let covered = Covered { source: advert.source, version: advert.version, vrid: advert.vrid, message: &packet[20..] };
    let trailer = Memory::default().sign(&hmac, Utc::from_epoch(now), &covered).expect("it signs");
    packet.extend_from_slice(&trailer);
    packet
}

fn vip(vrid: u8) -> [u8; 4] {
    [10, 0, 1, vrid]
}

fn instance(vrid: u8, priority: u8, conf: &str) -> String {
    format!(
        "vrrp_instance V{vrid} {{\nstate BACKUP\ninterface eth0\nvirtual_router_id {vrid}\npriority {priority}\n\
         advert_int 1\n{conf}virtual_ipaddress {{\n10.0.1.{vrid}\n}}\n}}\n"
    )
}

/// The rows whose packets are taken and those whose packets are refused, by the addresses that the node holds.
fn decide(rows: &[Row], node: &Machine, client: &Machine, is_taken: fn(&Row) -> bool) {
    let numbered: Vec<(u8, &Row)> = (1..).zip(rows).collect();
    let mut conf: String = numbered.iter().map(|(vrid, row)| instance(*vrid, 100, row.conf)).collect();
    conf.push_str(&instance(SENTINEL, 1, PLAIN));
    node.write("/etc/keepalived/keepalived.conf", &conf);
    client.shell("ip addr add 10.0.0.2/24 dev eth0; ip route add 224.0.0.0/4 dev eth0");
    let refused = numbered.iter().filter(|(_, row)| !is_taken(row)).map(|(vrid, _)| *vrid);
    let expected: BTreeSet<u8> = refused.chain([SENTINEL]).collect();
    let mut held = BTreeSet::new();
    node.start_service(Service::Keepalived);
    let decided = on(client, || {
        let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).expect("a raw socket");
        let (mut sent_at, mut n_rounds) = (None::<Instant>, 0);
        wait_until(PATIENCE, || {
            if sent_at.is_none_or(|sent_at| sent_at.elapsed() >= Duration::from_millis(200)) {
                sent_at = Some(Instant::now());
                n_rounds += 1;
                for (vrid, row) in &numbered {
                    let packet = (row.packet)(&advert(*vrid), n_rounds);
                    let to = SocketAddrV4::new(Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]), 0);
                    sendto(&socket, &packet, SendFlags::empty(), &to).expect("the packet is sent");
                }
            }
            held = addresses(node);
            held == expected
        })
    });
    let name = |vrid: &u8| numbered.iter().find(|(n, _)| n == vrid).map_or("nothing heard", |(_, row)| row.name);
    let wrongly_taken: Vec<_> = expected.difference(&held).map(name).collect();
    let wrongly_refused: Vec<_> = held.difference(&expected).map(name).collect();
    assert!(
        decided,
        "taken, but should not be: {wrongly_taken:?}\nrefused, but should not be: {wrongly_refused:?}\n{}",
        node.logs()
    );
}

fn advert(vrid: u8) -> Advert {
    Advert {
        source: PEER.into(),
        destination: GROUP.into(),
        ttl: 255,
        version: Version::V2,
        vrid: Vrid::new(vrid).expect("rows count from 1"),
        priority: 200,
        interval: Centis(100),
        addresses: vec![vip(vrid).into()],
        password: None,
    }
}

/// The last bytes of the virtual addresses that a node has.
fn addresses(node: &Machine) -> BTreeSet<u8> {
    let listing = node.shell("ip -o -4 addr show dev eth0");
    let virtuals = listing.split_whitespace().filter_map(|word| word.strip_prefix("10.0.1."));
    virtuals.filter_map(|rest| rest.split('/').next()?.parse().ok()).collect()
}

fn lan() -> (Lan, Machine, Machine) {
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let node = lan.machine("node", "eth0", "10.0.0.10/24");
    (lan, client, node)
}

#[test]
fn evenkeel_takes_and_refuses_what_keepalived_does() {
    if !able_to_run(&[]) {
        return;
    }
    let (_lan, client, node) = lan();
    let node = node.with_evenkeel();
    let rows = rows();
    decide(&rows, &node, &client, Row::is_taken);
    let status = node.status().expect("a status");
    for (vrid, row) in (1..).zip(&rows) {
        let instances = status["instances"].as_array().expect("a list");
        let view = instances.iter().find(|view| view["vrid"] == vrid).expect("each row has its instance");
        assert!(view["counters"][row.counter].as_u64() > Some(0), "{}: {} in {view}", row.name, row.counter);
        let taken = view["counters"]["advert_rcvd"].as_u64() > Some(0);
        let first_is_good = row.name.contains("always the same number");
        assert_eq!(taken, row.is_taken() || first_is_good, "{}: {view}", row.name);
        let n_lines = node.shell("cat /tmp/keepalived.log").matches(&format!("(V{vrid}) refuse the advert")).count();
        // Once as backup, and once more as master: the state has changed.
        let most = if row.is_taken() { 0 } else { 2 };
        assert!(n_lines <= most && (n_lines > 0) == (most > 0), "{}: {n_lines} lines", row.name);
    }
}

#[test]
fn keepalived_takes_and_refuses_the_same_but_other_address_lists() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let (_lan, client, node) = lan();
    let rows: Vec<_> = rows().into_iter().filter(|row| row.known != Known::Evenkeel).collect();
    assert!(rows.len() > 22, "the table has what both know");
    decide(&rows, &node, &client, |row| row.is_taken() && row.known == Known::Both);
}

#[test]
fn two_nodes_that_sign_hand_over_and_a_third_that_does_not_is_ignored() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let node = |name: &str, address: &str, priority: u8, authentication: &str| {
        let machine = lan.machine(name, "eth0", address).with_evenkeel();
        machine.write("/etc/keepalived/keepalived.conf", &instance(51, priority, authentication));
        machine.write("/etc/keepalived/key", "hex:0102030405060708091011121314151617181920212223242526272829303132\n");
        machine.shell("chmod 600 /etc/keepalived/key");
        machine
    };
    let signed = "auth_hmac {\nkey 1 file:/etc/keepalived/key\nactive_key 1\n}\n";
    let high = node("high", "10.0.0.10/24", 150, signed);
    let low = node("low", "10.0.0.11/24", 100, signed);
    let stranger = node("stranger", "10.0.0.12/24", 254, "");
    let address = "10.0.1.51";
    low.start_service(Service::Keepalived);
    low.await_holding(address, PATIENCE);
    high.start_service(Service::Keepalived);
    high.await_holding(address, PATIENCE);
    low.await_release(address, PATIENCE);
    // It hears nothing that it understands, and nobody believes it.
    stranger.start_service(Service::Keepalived);
    stranger.await_holding(address, PATIENCE);
    let counter = |machine: &Machine, name: &str| {
        machine.status().and_then(|status| status["instances"][0]["counters"][name].as_u64()).unwrap_or_default()
    };
    assert!(wait_until(PATIENCE, || counter(&low, "auth_ext_missing") > 2 && counter(&high, "auth_ext_missing") > 2));
    assert!(high.holds(address) && !low.holds(address));
    assert!(counter(&low, "advert_rcvd") > 0);
    assert!(counter(&stranger, "packet_len_err") > 0);
    high.stop_service(Service::Keepalived);
    low.await_holding(address, PATIENCE);
}
