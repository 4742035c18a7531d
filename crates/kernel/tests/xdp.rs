//! The data plane, frame by frame: what comes out of it for what goes in. Every frame that comes out is read by other code,
//! which recomputes all checksums.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use evenkeel_balance::table::{
    Change, Destination, DestinationKey, Forward, Persistence, Plane, Protocol, Scheduler, Service, ServiceFlags,
    ServiceKey, Tunnel, TunnelChecksum,
};
use evenkeel_kernel::xdp::{Options, Run, XdpPlane};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::process::Command;
use support::frames::{ACK, CLIENT_MAC, FIN, Ip, OUR_MAC, Packet, SYN, Seen, UDP, read, unreachable};

const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

const VIP: &str = "192.0.2.100";
const VIP6: &str = "2001:db8::100";
const CLIENT: &str = "198.51.100.7";
const CLIENT6: &str = "2001:db8:ffff::7";
const OWN: &str = "192.0.2.2";
const OWN6: &str = "2001:db8::2";

/// Runs a test where the plane is on `eth0`, with servers 192.0.2.11 to .18 and 2001:db8::11 to ::18 as neighbours.
fn with_plane(test: impl FnOnce(XdpPlane) + Send) {
    support::in_fresh_namespace(|| {
        let mut lines = vec![
            "link add eth0 address 02:00:00:00:dd:01 type veth peer name far0".to_owned(),
            "link set far0 up".to_owned(),
            "link set eth0 up".to_owned(),
            format!("addr add {OWN}/24 dev eth0"),
            format!("addr add {OWN6}/64 dev eth0 nodad"),
        ];
        for n in 1..=8 {
            lines.push(format!("neigh add 192.0.2.1{n} lladdr 02:00:00:00:00:0{n} nud permanent dev eth0"));
            lines.push(format!("neigh add 2001:db8::1{n} lladdr 02:00:00:00:00:0{n} nud permanent dev eth0"));
        }
        lines.iter().for_each(|line| ip(line));
        test(XdpPlane::open(Options { flows: 4096, ..Options::new(["eth0"]) }).unwrap());
    });
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn key(protocol: Protocol, address: &str, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol, address: address.parse().unwrap(), port }
}

fn service(scheduler: Scheduler) -> Service {
    Service { scheduler, flags: ServiceFlags::default(), persistence: None }
}

/// Maglev over address and port of the client.
fn maglev() -> Service {
    Service { flags: ServiceFlags { scheduler_2: true, ..ServiceFlags::default() }, ..service(Scheduler::Mh) }
}

fn server(address: &str, port: u16) -> DestinationKey {
    DestinationKey { address: address.parse().unwrap(), port }
}

fn destination(forward: Forward, weight: u32) -> Destination {
    Destination { weight, forward, upper_threshold: 0, lower_threshold: 0 }
}

const GUE: Forward = Forward::Tunnel(Tunnel::Gue { port: 6080, checksum: TunnelChecksum::Absent });
const GRE: Forward = Forward::Tunnel(Tunnel::Gre { checksum: TunnelChecksum::Absent });
const IPIP: Forward = Forward::Tunnel(Tunnel::Ipip);

fn apply(plane: &mut XdpPlane, changes: &[Change]) {
    let failures = plane.apply(changes);
    assert!(failures.is_empty(), "{failures:?}");
}

/// A service with one server.
fn one(plane: &mut XdpPlane, key: ServiceKey, server: DestinationKey, forward: Forward) {
    apply(plane, &[Change::AddService(key, maglev()), Change::AddDestination(key, server, destination(forward, 1))]);
}

/// A service over the first `n` IPv4 servers, directly.
fn many(plane: &mut XdpPlane, key: ServiceKey, service: Service, n: u8) {
    let mut changes = vec![Change::AddService(key, service)];
    changes.extend((1..=n).map(|n| Change::AddDestination(key, direct(n), destination(Forward::Direct, 1))));
    apply(plane, &changes);
}

fn direct(n: u8) -> DestinationKey {
    server(&format!("192.0.2.1{n}"), 80)
}

fn mac(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, n]
}

/// Runs the program over a frame that it is to send out again.
fn sent(plane: &XdpPlane, frame: &[u8]) -> Seen {
    let run = plane.run(frame, 1).unwrap();
    assert_eq!(run.verdict, TX, "{frame:02x?}");
    read(&run.frame)
}

/// Which server a frame is sent to, by its number.
fn chosen(plane: &XdpPlane, frame: &[u8]) -> u8 {
    sent(plane, frame).mac[5]
}

/// The program must leave a frame as it is and hand it up.
fn passed(plane: &XdpPlane, frame: &[u8], what: &str) {
    let run = plane.run(frame, 1).unwrap();
    assert_eq!(run.verdict, PASS, "{what}");
    assert_eq!(run.frame, frame, "{what}");
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tcp(port: u16, flags: u8) -> Packet {
    Packet::tcp((CLIENT, port), (VIP, 80), flags)
}

#[test]
fn direct_routing_changes_the_frame_and_the_hop_count_alone() {
    with_plane(|mut plane| {
        one(&mut plane, key(Protocol::Tcp, VIP, 80), server("192.0.2.11", 80), Forward::Direct);
        one(&mut plane, key(Protocol::Udp, VIP6, 53), server("2001:db8::12", 53), Forward::Direct);
        let packets = [
            (tcp(40000, SYN), 1),
            (Packet { options: 8, ..tcp(40001, ACK) }, 1),
            (Packet::udp((CLIENT6, 40000), (VIP6, 53)), 2),
        ];
        for (packet, n) in packets {
            let before = read(&packet.frame());
            let after = sent(&plane, &packet.frame());
            let ip = Ip { ttl: 63, ..before.ip };
            assert_eq!(after, Seen { mac: mac(n), source_mac: OUR_MAC, ip }, "{packet:?}");
        }
    });
}

#[test]
fn what_is_for_no_service_goes_up_untouched() {
    with_plane(|mut plane| {
        one(&mut plane, key(Protocol::Tcp, VIP, 80), server("192.0.2.11", 80), Forward::Direct);
        let frame = tcp(40000, SYN).frame();
        let mut vlan = frame.clone();
        vlan.splice(12..12, [0x81, 0, 0, 5]);
        let mut lying = frame.clone();
        lying[16..18].copy_from_slice(&2000u16.to_be_bytes());
        let mut version = frame.clone();
        version[14] = 0x55;
        let mut header = frame.clone();
        header[14] = 0x43;
        let table: &[(&str, Vec<u8>)] = &[
            ("another port", Packet::tcp((CLIENT, 1), (VIP, 81), SYN).frame()),
            ("another protocol", Packet::udp((CLIENT, 1), (VIP, 80)).frame()),
            ("another address", Packet::tcp((CLIENT, 1), ("192.0.2.101", 80), SYN).frame()),
            ("another family", Packet::tcp((CLIENT6, 1), (VIP6, 80), SYN).frame()),
            ("an answer", Packet::tcp((VIP, 80), (CLIENT, 1), ACK).frame()),
            ("a VLAN", vlan),
            ("a length that lies", lying),
            ("a wrong version", version),
            ("a header that is too short", header),
            ("an error about something else", unreachable(address("192.0.2.1"), address(VIP), &frame[14..])),
        ];
        for (what, frame) in table {
            passed(&plane, frame, what);
        }
    });
}

#[test]
fn a_frame_cut_off_anywhere_is_never_changed() {
    with_plane(|mut plane| {
        one(&mut plane, key(Protocol::Tcp, VIP, 80), server("192.0.2.11", 8080), Forward::Masquerade);
        one(&mut plane, key(Protocol::Udp, VIP6, 53), server("2001:db8::12", 5353), Forward::Masquerade);
        for frame in [tcp(40000, SYN).frame(), Packet::udp((CLIENT6, 1), (VIP6, 53)).frame()] {
            // The kernel itself takes no shorter ones.
            for length in 14..frame.len() {
                passed(&plane, &frame[..length], &format!("{length} bytes"));
            }
        }
    });
}

#[test]
fn a_tunnel_carries_the_packet_whole() {
    with_plane(|mut plane| {
        let rows = [
            (VIP, CLIENT, "192.0.2.11", IPIP, 4, 0),
            (VIP6, CLIENT6, "2001:db8::12", IPIP, 41, 0),
            (VIP, CLIENT, "2001:db8::13", IPIP, 4, 0),
            (VIP6, CLIENT6, "192.0.2.14", IPIP, 41, 0),
            (VIP, CLIENT, "192.0.2.11", GUE, UDP, 12),
            (VIP6, CLIENT6, "2001:db8::12", GUE, UDP, 12),
            (VIP, CLIENT, "2001:db8::13", GRE, 47, 4),
            (VIP6, CLIENT6, "192.0.2.14", GRE, 47, 4),
        ];
        for (port, (vip, client, to, forward, protocol, skip)) in (80..).zip(rows) {
            one(&mut plane, key(Protocol::Tcp, vip, port), server(to, port), forward);
            let packet = Packet::tcp((client, 40000), (vip, port), SYN);
            let after = sent(&plane, &packet.frame());
            let own = if to.contains(':') { OWN6 } else { OWN };
            assert_eq!((after.ip.source, after.ip.destination), (address(own), address(to)), "{forward:?} {to}");
            assert_eq!((after.ip.protocol, after.ip.ttl), (protocol, 64), "{forward:?} {to}");
            let inner = after.ip.inner(skip);
            assert_eq!(inner, Ip { ttl: 63, ..read(&packet.frame()).ip }, "{forward:?} {to}");
            if forward == GUE {
                assert_eq!(after.ip.ports().1, 6080);
                assert!(after.ip.ports().0 >= 0xc000);
                assert_eq!(after.ip.payload[8..12], [0, if client.contains(':') { 41 } else { 4 }, 0, 0]);
            } else if forward == GRE {
                let kind: [u8; 2] = if client.contains(':') { [0x86, 0xdd] } else { [8, 0] };
                assert_eq!(after.ip.payload[..4], [0, 0, kind[0], kind[1]]);
            }
        }
    });
}

#[test]
fn a_packet_that_no_tunnel_holds_is_answered_with_what_fits() {
    with_plane(|mut plane| {
        one(&mut plane, key(Protocol::Tcp, VIP, 80), server("192.0.2.11", 80), IPIP);
        one(&mut plane, key(Protocol::Tcp, VIP6, 80), server("2001:db8::12", 80), GUE);
        let full = |packet: Packet, headers: usize| Packet { payload: vec![7; 1500 - headers], ..packet };
        let answer = sent(&plane, &full(tcp(40000, ACK), 40).frame());
        assert_eq!((answer.mac, answer.source_mac), (CLIENT_MAC, OUR_MAC));
        assert_eq!((answer.ip.source, answer.ip.destination), (address(VIP), address(CLIENT)));
        assert_eq!((answer.ip.protocol, &answer.ip.payload[..2]), (1, &[3, 4][..]));
        assert_eq!(answer.ip.payload[6..8], 1480u16.to_be_bytes());
        let answer = sent(&plane, &full(Packet::tcp((CLIENT6, 1), (VIP6, 80), ACK), 60).frame());
        assert_eq!((answer.ip.source, answer.ip.destination), (address(VIP6), address(CLIENT6)));
        assert_eq!((answer.ip.protocol, &answer.ip.payload[..2]), (58, &[2, 0][..]));
        assert_eq!(answer.ip.payload[4..8], 1448u32.to_be_bytes());
        // One that fits just so goes through.
        let fits = Packet { payload: vec![7; 1440], ..tcp(40001, ACK) };
        assert_eq!(sent(&plane, &fits.frame()).ip.payload.len(), 1480);
    });
}

#[test]
fn a_packet_at_the_end_of_its_hops_is_answered() {
    with_plane(|mut plane| {
        one(&mut plane, key(Protocol::Tcp, VIP, 80), server("192.0.2.11", 80), Forward::Direct);
        one(&mut plane, key(Protocol::Tcp, VIP6, 80), server("2001:db8::12", 80), Forward::Direct);
        let answer = sent(&plane, &Packet { ttl: 1, payload: vec![0; 100], ..tcp(40000, SYN) }.frame());
        assert_eq!((answer.mac, answer.ip.destination), (CLIENT_MAC, address(CLIENT)));
        assert_eq!((answer.ip.protocol, answer.ip.payload[0]), (1, 11));
        let packet = Packet::tcp((CLIENT6, 1), (VIP6, 80), SYN);
        let answer = sent(&plane, &Packet { ttl: 1, payload: vec![0; 100], ..packet }.frame());
        assert_eq!((answer.ip.protocol, answer.ip.payload[0]), (58, 3));
    });
}

#[test]
fn translation_changes_the_destination_and_its_way_back_the_source() {
    with_plane(|mut plane| {
        let rows = [
            (Protocol::Tcp, VIP, CLIENT, "192.0.2.11"),
            (Protocol::Udp, VIP, CLIENT, "192.0.2.12"),
            (Protocol::Tcp, VIP6, CLIENT6, "2001:db8::13"),
            (Protocol::Udp, VIP6, CLIENT6, "2001:db8::14"),
        ];
        for (protocol, vip, client, to) in rows {
            one(&mut plane, key(protocol, vip, 80), server(to, 8080), Forward::Masquerade);
            let packet = Packet { protocol: protocol.number(), ..Packet::tcp((client, 40000), (vip, 80), SYN) };
            let after = sent(&plane, &packet.frame());
            assert_eq!((after.ip.source, after.ip.destination), (address(client), address(to)));
            assert_eq!((after.ip.ports(), after.ip.ttl), ((40000, 8080), 63));

            let answer = Packet { protocol: protocol.number(), ..Packet::tcp((to, 8080), (client, 40000), SYN | ACK) };
            let after = sent(&plane, &Packet { source_mac: mac(1), ..answer }.frame());
            assert_eq!((after.ip.source, after.ip.destination), (address(vip), address(client)));
            assert_eq!((after.ip.ports(), after.ip.ttl), ((80, 40000), 63));
            assert_eq!((after.mac, after.source_mac), (CLIENT_MAC, OUR_MAC), "back to where the request came from");

            let stranger = Packet { protocol: protocol.number(), ..Packet::tcp((to, 8080), (client, 40001), ACK) };
            passed(&plane, &stranger.frame(), "a packet of a server to somebody else");
        }
    });
}

#[test]
fn a_datagram_without_checksum_keeps_none_and_a_wrong_one_stays_wrong() {
    with_plane(|mut plane| {
        one(&mut plane, key(Protocol::Udp, VIP, 53), server("192.0.2.11", 5353), Forward::Masquerade);
        one(&mut plane, key(Protocol::Tcp, VIP, 80), server("192.0.2.11", 8080), Forward::Masquerade);
        let mut none = Packet::udp((CLIENT, 40000), (VIP, 53)).frame();
        none[40..42].fill(0);
        assert_eq!(sent(&plane, &none).ip.payload[6..8], [0, 0]);

        // Wrong by so much before, and by as much after: compared with what the right one becomes.
        let right = tcp(40000, ACK).frame();
        let mut wrong = right.clone();
        wrong[14 + 20 + 20] ^= 0x55;
        let right = plane.run(&right, 1).unwrap().frame;
        let mut wrong = plane.run(&wrong, 1).unwrap().frame;
        assert_ne!(right, wrong);
        wrong[14 + 20 + 20] ^= 0x55;
        assert_eq!(right, wrong);
    });
}

#[test]
fn an_error_about_a_packet_reaches_the_server_that_sent_it() {
    with_plane(|mut plane| {
        many(&mut plane, key(Protocol::Tcp, VIP, 80), maglev(), 8);
        let quote = |from: (&str, u16), to: (&str, u16)| Packet::tcp(from, to, ACK).frame()[14..].to_vec();
        for port in 40000..40020 {
            let n = chosen(&plane, &tcp(port, SYN).frame());
            let error = unreachable(address("203.0.113.1"), address(VIP), &quote((VIP, 80), (CLIENT, port))[..28]);
            assert_eq!(chosen(&plane, &error), n);
            // Nobody knows this one, but every balancer would send its packets to the same server.
            let error =
                unreachable(address("203.0.113.1"), address(VIP), &quote((VIP, 80), (CLIENT, port + 100))[..28]);
            let n = chosen(&plane, &error);
            assert_eq!(chosen(&plane, &tcp(port + 100, ACK).frame()), n);
        }
        for (vip, client, to, reporter) in
            [(VIP, CLIENT, "192.0.2.11", "203.0.113.1"), (VIP6, CLIENT6, "2001:db8::12", "2001:db8:eeee::1")]
        {
            one(&mut plane, key(Protocol::Tcp, vip, 81), server(to, 8080), Forward::Masquerade);
            sent(&plane, &Packet::tcp((client, 40000), (vip, 81), SYN).frame());
            let whole = quote((vip, 81), (client, 40000));
            let header = if vip == VIP { 20 } else { 40 };
            for length in [header + 8, whole.len()] {
                let after = sent(&plane, &unreachable(address(reporter), address(vip), &whole[..length]));
                assert_eq!(after.ip.destination, address(to), "{length}");
                let quoted = &after.ip.payload[8..];
                let expected = quote((to, 8080), (client, 40000));
                // All but the checksum of the quoted segment, where it was cut off.
                assert_eq!(quoted[..header + 8], expected[..header + 8], "{length}");
                if length == whole.len() {
                    assert_eq!(quoted, expected);
                }
            }
        }
    });
}

#[test]
fn fragments_follow_the_first_of_them() {
    with_plane(|mut plane| {
        many(&mut plane, key(Protocol::Udp, VIP, 53), maglev(), 8);
        let packet = |port: u16| Packet { payload: vec![3; 64], ..Packet::udp((CLIENT, port), (VIP, 53)) };
        let [first, second] = packet(40000).fragments(24);
        passed(&plane, &second, "a fragment before the first");
        let n = chosen(&plane, &first);
        assert_eq!(chosen(&plane, &second), n);
        assert_eq!(chosen(&plane, &packet(40000).frame()), n, "nor does the flow depend on fragments");

        for (vip, client, to) in [(VIP, CLIENT, "192.0.2.11"), (VIP6, CLIENT6, "2001:db8::12")] {
            one(&mut plane, key(Protocol::Udp, vip, 99), server(to, 9999), Forward::Masquerade);
            let packet = Packet { payload: vec![3; 64], ..Packet::udp((client, 40000), (vip, 99)) };
            let answer = Packet { payload: vec![4; 64], ..Packet::udp((to, 9999), (client, 40000)) };
            for (packet, source, destination) in [(packet, client, to), (answer, vip, client)] {
                let [first, second] = packet.fragments(24).map(|frame| sent(&plane, &frame));
                for part in [&first, &second] {
                    assert!(part.ip.is_fragment);
                    assert_eq!((part.ip.source, part.ip.destination), (address(source), address(destination)));
                }
                // Put together, the datagram is right.
                let whole = Packet::udp((source, 0), (destination, 0));
                read(&whole.around(&[first.ip.payload, second.ip.payload].concat(), 0));
            }
        }
    });
}

#[test]
fn connections_stay_when_the_pool_changes_and_only_those_of_the_lost_server_move() {
    with_plane(|mut plane| {
        let service = key(Protocol::Tcp, VIP, 80);
        many(&mut plane, service, maglev(), 8);
        let ports = 40000..40400;
        let before: BTreeMap<u16, u8> =
            ports.clone().map(|port| (port, chosen(&plane, &tcp(port, SYN).frame()))).collect();
        assert_eq!(before.values().collect::<BTreeSet<_>>().len(), 8, "all servers get some");
        apply(&mut plane, &[Change::RemoveDestination(service, direct(3))]);
        for (port, n) in &before {
            let now = chosen(&plane, &tcp(*port, ACK).frame());
            assert!(if *n == 3 { now != 3 } else { now == *n }, "{port}: {n} -> {now}");
        }
        // Back again: nobody's connection goes there, only new ones.
        apply(&mut plane, &[Change::AddDestination(service, direct(3), destination(Forward::Direct, 1))]);
        for (port, n) in before.iter().filter(|(_, n)| **n != 3) {
            assert_eq!(chosen(&plane, &tcp(*port, ACK).frame()), *n);
        }
        let new: BTreeSet<u8> = (50000..50100).map(|port| chosen(&plane, &tcp(port, SYN).frame())).collect();
        assert!(new.contains(&3));
    });
}

#[test]
fn another_balancer_makes_the_same_choice_for_connections_it_never_saw() {
    let choices = std::sync::Mutex::new(Vec::new());
    for _ in 0..2 {
        with_plane(|mut plane| {
            many(&mut plane, key(Protocol::Tcp, VIP, 80), maglev(), 8);
            let of = |flags: u8| -> Vec<u8> {
                (40000..40200).map(|port| chosen(&plane, &tcp(port, flags).frame())).collect()
            };
            let flags = if choices.lock().unwrap().is_empty() { SYN } else { ACK };
            choices.lock().unwrap().push(of(flags));
        });
    }
    let choices = choices.into_inner().unwrap();
    assert_eq!(choices.first(), choices.last());
}

#[test]
fn a_drained_server_keeps_its_connections_and_gets_no_new_ones() {
    with_plane(|mut plane| {
        let service = key(Protocol::Tcp, VIP, 80);
        for scheduler in [maglev(), self::service(Scheduler::Rr), self::service(Scheduler::Wlc)] {
            apply(&mut plane, &[Change::RemoveService(service)]);
            many(&mut plane, service, scheduler, 3);
            let before: Vec<(u16, u8)> =
                (40000..40060).map(|port| (port, chosen(&plane, &tcp(port, SYN).frame()))).collect();
            apply(&mut plane, &[Change::EditDestination(service, direct(2), destination(Forward::Direct, 0))]);
            for (port, n) in &before {
                assert_eq!(chosen(&plane, &tcp(*port, ACK).frame()), *n);
            }
            assert!(before.iter().any(|(_, n)| *n == 2));
            assert!((41000..41060).all(|port| chosen(&plane, &tcp(port, SYN).frame()) != 2));
        }
    });
}

#[test]
fn without_a_server_nothing_goes_out() {
    with_plane(|mut plane| {
        let service = key(Protocol::Tcp, VIP, 80);
        apply(&mut plane, &[Change::AddService(service, maglev())]);
        assert_eq!(plane.run(&tcp(1, SYN).frame(), 1).unwrap().verdict, DROP);
        // One whose hardware address nobody said.
        apply(
            &mut plane,
            &[Change::AddDestination(service, server("192.0.2.77", 80), destination(Forward::Direct, 1))],
        );
        assert_eq!(plane.run(&tcp(2, SYN).frame(), 1).unwrap().verdict, DROP);
        let unreachable = plane.refresh().unwrap();
        assert_eq!(unreachable.len(), 1);
        assert_eq!(unreachable[0].2.to_string(), "the hardware address of 192.0.2.77 is not known");
        let events = plane.events().unwrap();
        assert_eq!((events["no server"], events["unreachable"]), (1, 1));
        // It says it.
        ip("neigh replace 192.0.2.77 lladdr 02:00:00:00:00:77 nud permanent dev eth0");
        assert!(plane.refresh().unwrap().is_empty());
        assert_eq!(chosen(&plane, &tcp(2, SYN).frame()), 0x77);
    });
}

#[test]
fn a_director_that_is_a_real_server_takes_its_share_itself() {
    with_plane(|mut plane| {
        let service = key(Protocol::Tcp, VIP, 80);
        one(&mut plane, service, server(OWN, 80), Forward::Direct);
        passed(&plane, &tcp(1, SYN).frame(), "the server is this host");
        // What the other director sent here stays here, though other servers could have it.
        many(&mut plane, key(Protocol::Tcp, VIP, 81), maglev(), 3);
        let packet = Packet { source_mac: mac(5), ..Packet::tcp((CLIENT, 1), (VIP, 81), SYN) };
        sent(&plane, &packet.frame());
        plane.set_directors(&[address("192.0.2.15")]).unwrap();
        passed(&plane, &packet.frame(), "from the other director");
        plane.set_directors(&[]).unwrap();
        sent(&plane, &packet.frame());
    });
}

#[test]
fn each_scheduler_spreads_as_its_name_says() {
    with_plane(|mut plane| {
        let vip = key(Protocol::Tcp, VIP, 80);
        let weights = [3, 1, 0, 2];
        let count = |plane: &mut XdpPlane, scheduler: Scheduler| -> Vec<usize> {
            let mut changes = vec![Change::RemoveService(vip), Change::AddService(vip, service(scheduler))];
            for (n, weight) in (1..).zip(weights) {
                changes.push(Change::AddDestination(vip, direct(n), destination(Forward::Direct, weight)));
            }
            apply(plane, &changes);
            let base = 10000 + 100 * scheduler as u16;
            // Dropped is to server 0.
            let got: Vec<u8> = (0..60)
                .map(|at| plane.run(&tcp(base + at, SYN).frame(), 1).unwrap())
                .map(|run| if run.verdict == TX { read(&run.frame).mac[5] } else { 0 })
                .collect();
            (1..=4).map(|n| got.iter().filter(|got| **got == n).count()).collect()
        };
        assert_eq!(count(&mut plane, Scheduler::Rr), [20, 20, 0, 20]);
        assert_eq!(count(&mut plane, Scheduler::Wrr), [30, 10, 0, 20]);
        assert_eq!(count(&mut plane, Scheduler::Lc), [20, 20, 0, 20]);
        for scheduler in [Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq, Scheduler::Twos] {
            let counts = count(&mut plane, scheduler);
            let near =
                counts.iter().zip([30, 10, 0, 20]).all(|(got, wanted): (&usize, usize)| got.abs_diff(wanted) <= 2);
            assert!(near, "{scheduler:?} {counts:?}");
        }
        assert_eq!(count(&mut plane, Scheduler::Fo), [60, 0, 0, 0]);
        let overflow = count(&mut plane, Scheduler::Ovf);
        assert_eq!(overflow, [3, 1, 0, 2], "each as many as its weight, and then nobody");
        for scheduler in [Scheduler::Sh, Scheduler::Mh, Scheduler::Dh, Scheduler::Lblc, Scheduler::Lblcr] {
            let counts = count(&mut plane, scheduler);
            assert_eq!(
                counts.iter().filter(|got| **got == 60).count(),
                1,
                "{scheduler:?} {counts:?}: by address alone"
            );
        }
        assert_eq!(plane.notes(), ["tcp 192.0.2.100:80: the XDP plane has no scheduler lblcr; dh stands in for it"]);
    });
}

#[test]
fn clients_of_a_network_stay_together_where_that_is_wanted() {
    with_plane(|mut plane| {
        // Port 0: whatever port they come to.
        let vip = key(Protocol::Tcp, VIP, 0);
        let timeout = NonZeroU32::new(60).unwrap();
        let persistence = Some(Persistence { timeout, prefix: 24, engine: None });
        many(&mut plane, vip, Service { persistence, ..service(Scheduler::Rr) }, 4);
        let to = |client: &str, port: u16| chosen(&plane, &Packet::tcp((client, port), (VIP, port), SYN).frame());
        let first = to("198.51.100.7", 1000);
        assert!((1001..1010).all(|port| to("198.51.100.200", port) == first));
        let others: BTreeSet<u8> = (1..9).map(|net| to(&format!("203.0.{net}.1"), 80)).collect();
        assert_eq!(others.len(), 4);
        drop(others);
        // A drained one gets no more of them.
        apply(&mut plane, &[Change::EditDestination(vip, direct(first), destination(Forward::Direct, 0))]);
        assert_ne!(chosen(&plane, &Packet::tcp((CLIENT, 2000), (VIP, 2000), SYN).frame()), first);
        assert_eq!(chosen(&plane, &Packet::tcp((CLIENT, 1000), (VIP, 1000), ACK).frame()), first);
    });
}

#[test]
fn a_full_server_gets_no_more_until_it_is_below_its_lower_threshold() {
    with_plane(|mut plane| {
        let vip = key(Protocol::Tcp, VIP, 80);
        let limited = Destination { upper_threshold: 4, lower_threshold: 2, ..destination(Forward::Direct, 1) };
        apply(
            &mut plane,
            &[
                Change::AddService(vip, service(Scheduler::Rr)),
                Change::AddDestination(vip, direct(1), limited),
                Change::AddDestination(vip, direct(2), destination(Forward::Direct, 1)),
            ],
        );
        let ports: Vec<u16> = (40000..40020).filter(|port| chosen(&plane, &tcp(*port, SYN).frame()) == 1).collect();
        assert_eq!(ports.len(), 4);
        let end = |port: u16| assert_eq!(chosen(&plane, &tcp(port, FIN | ACK).frame()), 1);
        ports[..2].iter().for_each(|port| end(*port));
        assert!((41000..41010).all(|port| chosen(&plane, &tcp(port, SYN).frame()) == 2), "two are not below two");
        end(ports[2]);
        assert!((42000..42010).any(|port| chosen(&plane, &tcp(port, SYN).frame()) == 1));
    });
}

#[test]
fn one_packet_scheduling_remembers_nothing() {
    with_plane(|mut plane| {
        let vip = key(Protocol::Udp, VIP, 53);
        let flags = ServiceFlags { one_packet: true, ..ServiceFlags::default() };
        many(&mut plane, vip, Service { flags, ..service(Scheduler::Rr) }, 4);
        let frame = Packet::udp((CLIENT, 40000), (VIP, 53)).frame();
        let got: BTreeSet<u8> = (0..4).map(|_| chosen(&plane, &frame)).collect();
        assert_eq!(got.len(), 4);
        assert_eq!(plane.sweep().unwrap().flows, 0);
    });
}

#[test]
fn what_went_through_is_counted() {
    with_plane(|mut plane| {
        let vip = key(Protocol::Tcp, VIP, 80);
        one(&mut plane, vip, server("192.0.2.11", 8080), Forward::Masquerade);
        let frame = tcp(40000, SYN).frame();
        sent(&plane, &frame);
        sent(&plane, &tcp(40000, ACK).frame());
        sent(&plane, &tcp(40001, SYN).frame());
        sent(&plane, &tcp(40001, FIN | ACK).frame());
        sent(&plane, &Packet::tcp(("192.0.2.11", 8080), (CLIENT, 40000), ACK).frame());
        let bytes = frame.len() as u64 - 14;
        let statistics = plane.statistics().unwrap().remove(&vip).unwrap();
        let (_, of_server) = statistics.destinations.first_key_value().unwrap();
        assert_eq!((of_server.active, of_server.inactive), (1, 1));
        for traffic in [statistics.traffic, of_server.traffic] {
            assert_eq!((traffic.connections, traffic.packets_in, traffic.bytes_in), (2, 4, 4 * bytes));
            assert_eq!((traffic.packets_out, traffic.bytes_out), (1, bytes));
        }
        assert_eq!(plane.sweep().unwrap().flows, 2);
    });
}

#[test]
fn what_the_program_cannot_do_is_refused() {
    with_plane(|mut plane| {
        let tcp = key(Protocol::Tcp, VIP, 80);
        let sctp = key(Protocol::Sctp, VIP, 80);
        apply(&mut plane, &[Change::AddService(tcp, maglev()), Change::AddService(sctp, maglev())]);
        let mark = ServiceKey::Mark { family: evenkeel_wire::Family::V4, mark: NonZeroU32::new(7).unwrap() };
        let csum = Forward::Tunnel(Tunnel::Gue { port: 6080, checksum: TunnelChecksum::Present });
        let add = |key, to: &str, forward| Change::AddDestination(key, server(to, 80), destination(forward, 1));
        let timeout = NonZeroU32::new(60).unwrap();
        let engine = Some(Persistence { timeout, prefix: 32, engine: Some("sip".to_owned()) });
        let table = [
            (
                Change::AddService(mark, maglev()),
                "balance mark 7: packets have no mark yet where the XDP plane sees them",
            ),
            (
                Change::EditService(tcp, Service { persistence: engine, ..maglev() }),
                "keep clients of tcp 192.0.2.100:80 by sip: the XDP plane has no persistence engines",
            ),
            (
                add(sctp, "192.0.2.11", Forward::Masquerade),
                "forward sctp 192.0.2.100:80 to 192.0.2.11: the XDP plane does not translate SCTP",
            ),
            (
                add(tcp, "2001:db8::11", Forward::Direct),
                "forward tcp 192.0.2.100:80 to 2001:db8::11: the server has an address of another family, which only a \
                 tunnel reaches",
            ),
            (
                add(tcp, "192.0.2.11", csum),
                "forward tcp 192.0.2.100:80 to 192.0.2.11: the XDP plane makes no checksums for tunnels",
            ),
        ];
        for (change, expected) in table {
            let failures = plane.apply(std::slice::from_ref(&change));
            assert_eq!(failures.len(), 1, "{change:?}");
            assert_eq!(failures[0].1.to_string(), expected);
        }
        assert!(plane.dump().unwrap().values().all(|entry| entry.destinations.is_empty()));
    });
}

#[test]
fn a_run_can_be_repeated() {
    with_plane(|mut plane| {
        one(&mut plane, key(Protocol::Tcp, VIP, 80), server("192.0.2.11", 80), Forward::Direct);
        let Run { verdict, .. } = plane.run(&Packet { ttl: 255, ..tcp(1, SYN) }.frame(), 200).unwrap();
        assert_eq!(verdict, TX);
        let statistics = plane.statistics().unwrap();
        assert_eq!(statistics.values().next().unwrap().traffic.packets_in, 200);
    });
}
