//! Adverts and ARP between network namespaces, and the ways to cut them off.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_kernel::addresses::{Address, Held, reconcile};
use evenkeel_kernel::arp_socket::ArpSocket;
use evenkeel_kernel::link_beat::{LinkBeat, Way};
use evenkeel_kernel::ndp_socket::NdpSocket;
use evenkeel_kernel::netlink::{Monitor, Netlink};
use evenkeel_kernel::vrrp_socket::{BATCH, Batch, Header6, Interface, LONGEST_PACKET, PROTOCOL, Packet, VrrpSocket};
use evenkeel_kernel::{Error, firewall};
use evenkeel_wire::arp::Arp;
use evenkeel_wire::ipv4::{Header, MIN_HEADER};
use evenkeel_wire::ndp::Advertisement;
use evenkeel_wire::{Prefix, checksum};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use std::net::{Ipv4Addr, Ipv6Addr};
use support::{Host, awaited, hosts_on_a_bridge, in_fresh_namespace, two_hosts, until_up};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

fn vrrp(host: &Host, multicast: bool) -> VrrpSocket {
    let interface = Interface::One("eth0".to_owned(), host.eth0.index);
    let groups = if multicast { &[GROUP][..] } else { &[] };
    host.namespace.run(|| VrrpSocket::open_v4(interface, groups).unwrap()).unwrap()
}

fn send(socket: &VrrpSocket, source: Ipv4Addr, destination: Ipv4Addr, text: &str) -> Result<(), Error> {
    socket.send(&packet(source, destination, text), source.into(), destination.into(), 255)
}

fn arp(host: &Host) -> ArpSocket {
    host.namespace.run(|| ArpSocket::open(host.eth0.index).unwrap()).unwrap()
}

/// A packet of protocol 112 with `text` as its payload.
fn packet(source: Ipv4Addr, destination: Ipv4Addr, text: &str) -> Vec<u8> {
    let total_length = (MIN_HEADER + text.len()) as u16;
    let header = Header { total_length, ttl: 255, protocol: PROTOCOL, source, destination };
    [&header.build_control(1)[..], text.as_bytes()].concat()
}

/// The packets of the next reading that finds any.
fn reading(socket: &mut VrrpSocket) -> Vec<Vec<u8>> {
    awaited(socket, |socket| Some(waiting(socket)).filter(|packets| !packets.is_empty()))
}

fn waiting(socket: &VrrpSocket) -> Vec<Vec<u8>> {
    let mut batch = Batch::new();
    socket.receive(&mut batch).unwrap();
    assert_eq!(batch.packet(batch.len()), None);
    let bytes = |at| match batch.packet(at).unwrap() {
        Packet::V4(bytes) => bytes.to_vec(),
        Packet::V6(..) => panic!("not from this socket"),
    };
    (0..batch.len()).map(bytes).collect()
}

fn received(socket: &mut VrrpSocket) -> (Header, String) {
    let packets = reading(socket);
    assert_eq!(packets.len(), 1);
    let (header, payload) = Header::parse(&packets[0]).unwrap();
    (header, String::from_utf8(payload.to_vec()).unwrap())
}

fn nothing_received(socket: &VrrpSocket) -> bool {
    waiting(socket).is_empty()
}

#[test]
fn a_multicast_advert_reaches_the_other_host_and_not_its_sender() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let [first, mut second] = hosts.each_ref().map(|host| vrrp(host, true));
        send(&first, FIRST, GROUP, "advert").unwrap();
        let (header, text) = received(&mut second);
        assert_eq!((header.source, header.destination, header.ttl, header.protocol), (FIRST, GROUP, 255, PROTOCOL));
        assert_eq!(text, "advert");
        assert!(nothing_received(&first));
        assert!(nothing_received(&second));
    });
}

#[test]
fn a_socket_that_did_not_join_hears_unicast_only() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let first = vrrp(&hosts[0], true);
        let mut second = vrrp(&hosts[1], false);
        // Another socket of the same host joins, which must make no difference.
        let mut joined = vrrp(&hosts[1], true);
        send(&first, FIRST, GROUP, "to all").unwrap();
        assert_eq!(received(&mut joined).1, "to all");
        send(&first, FIRST, SECOND, "to one").unwrap();
        assert_eq!(received(&mut second).1, "to one");
    });
}

#[test]
fn what_has_no_room_in_a_slot_is_cut_off() {
    in_fresh_namespace(|| {
        // The loopback link carries packets that an Ethernet would not.
        Netlink::open().unwrap().set_up(1, true).unwrap();
        let mut socket = VrrpSocket::open_v4(Interface::One("lo".to_owned(), 1), &[]).unwrap();
        for (length, expected) in [(3000, LONGEST_PACKET), (100, 100)] {
            let text = "x".repeat(length - MIN_HEADER);
            send(&socket, Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, &text).unwrap();
            assert_eq!(reading(&mut socket)[0].len(), expected);
        }
    });
}

#[test]
fn a_reading_takes_what_waits_in_order_and_no_more_than_a_batch() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let [first, mut second] = hosts.each_ref().map(|host| vrrp(host, true));
        // On one processor a link keeps the order of what is sent.
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        sched_setaffinity(None, &here).unwrap();
        let sent: Vec<String> = (0..BATCH + 3).map(|n| format!("{n:-<n$}")).collect();
        for text in &sent {
            send(&first, FIRST, GROUP, text).unwrap();
        }
        // Once this is there, so are the adverts.
        let [first_arp, mut second_arp] = hosts.each_ref().map(arp);
        let fence = Arp::gratuitous(hosts[0].eth0.mac, VIP);
        first_arp.send(&fence).unwrap();
        assert_eq!(awaited(&mut second_arp, |socket| socket.receive().unwrap()), fence);
        let readings = [reading(&mut second), waiting(&second), waiting(&second)];
        assert_eq!(readings.each_ref().map(Vec::len), [BATCH, 3, 0]);
        for (packet, text) in readings.concat().iter().zip(&sent) {
            assert_eq!(&packet[MIN_HEADER..], text.as_bytes());
        }
    });
}

#[test]
fn sockets_live_through_a_link_that_goes_down_and_up() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let [first, mut second] = hosts.each_ref().map(|host| vrrp(host, true));
        let [first_arp, mut second_arp] = hosts.each_ref().map(arp);
        let index = hosts[1].eth0.index;
        let set_up = |up| hosts[1].namespace.run(|| Netlink::open().unwrap().set_up(index, up).unwrap()).unwrap();
        set_up(false);
        assert!(send(&first, FIRST, GROUP, "lost").is_ok());
        let refused = send(&second, SECOND, GROUP, "refused").unwrap_err().to_string();
        assert!(refused.starts_with("send an advert to 224.0.0.18 on eth0: network is "), "{refused}");
        assert!(nothing_received(&second));
        assert_eq!(second_arp.receive().unwrap(), None);

        let mut monitor = hosts[0].namespace.run(|| Monitor::open().unwrap()).unwrap();
        set_up(true);
        until_up(&mut monitor, "eth0");
        send(&first, FIRST, GROUP, "heard").unwrap();
        assert_eq!(received(&mut second).1, "heard");
        let claim = Arp::gratuitous(hosts[0].eth0.mac, VIP);
        first_arp.send(&claim).unwrap();
        assert_eq!(awaited(&mut second_arp, |socket| socket.receive().unwrap()), claim);
    });
}

#[test]
fn a_claim_is_heard_and_a_probe_only_by_the_kernel_that_answers_it() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let [mut first, mut second] = hosts.each_ref().map(arp);
        let claim = Arp::gratuitous(hosts[0].eth0.mac, VIP);
        first.send(&claim).unwrap();
        assert_eq!(awaited(&mut second, |socket| socket.receive().unwrap()), claim);
        assert_eq!(first.receive().unwrap(), None, "the sender hears itself");

        // The kernel of the host that has the address answers a probe.
        first.send(&Arp::probe(hosts[0].eth0.mac, SECOND)).unwrap();
        let answer = awaited(&mut first, |socket| socket.receive().unwrap());
        assert_eq!((answer.sender_ip, answer.sender_mac), (SECOND, hosts[1].eth0.mac));
        assert_eq!(second.receive().unwrap(), None, "a probe claims nothing");
    });
}

#[test]
fn isolated_ports_hear_the_others_but_not_one_another() {
    in_fresh_namespace(|| {
        let hosts = hosts_on_a_bridge(3);
        let mut netlink = Netlink::open().unwrap();
        let ports = ["port1", "port2"].map(|name| netlink.interface(name).unwrap().index);
        for port in ports {
            netlink.set_isolated(port, true).unwrap();
        }
        let mut sockets: Vec<_> = hosts.iter().map(arp).collect();
        let claims: Vec<_> = hosts.iter().map(|host| Arp::gratuitous(host.eth0.mac, VIP)).collect();
        let next = |socket: &mut ArpSocket| awaited(socket, |socket| socket.receive().unwrap());

        sockets[0].send(&claims[0]).unwrap();
        assert_eq!(next(&mut sockets[2]), claims[0]);
        // Had the first host's claim reached the second, it would be in the queue before this one.
        sockets[2].send(&claims[2]).unwrap();
        assert_eq!(next(&mut sockets[1]), claims[2]);
        assert_eq!(next(&mut sockets[0]), claims[2]);

        for port in ports {
            netlink.set_isolated(port, false).unwrap();
        }
        sockets[0].send(&claims[0]).unwrap();
        assert_eq!(next(&mut sockets[1]), claims[0]);
    });
}

#[test]
fn a_dropped_protocol_neither_comes_nor_goes_until_the_firewall_is_cleared() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let [first, mut second] = hosts.each_ref().map(|host| vrrp(host, true));
        let [first_arp, mut second_arp] = hosts.each_ref().map(arp);
        let in_second = |f: fn() -> Result<(), Error>| hosts[1].namespace.run(f).unwrap().unwrap();

        in_second(firewall::clear);
        in_second(|| firewall::drop_protocol(PROTOCOL));
        send(&first, FIRST, GROUP, "dropped").unwrap();
        // Other protocols pass, and this frame left after the advert.
        let claim = Arp::gratuitous(hosts[0].eth0.mac, VIP);
        first_arp.send(&claim).unwrap();
        assert_eq!(awaited(&mut second_arp, |socket| socket.receive().unwrap()), claim);
        assert!(nothing_received(&second));
        assert_eq!(
            send(&second, SECOND, GROUP, "dropped").unwrap_err().to_string(),
            "send an advert to 224.0.0.18 on eth0: operation not permitted"
        );

        in_second(firewall::clear);
        send(&first, FIRST, GROUP, "passes").unwrap();
        assert_eq!(received(&mut second).1, "passes");
    });
}

#[test]
fn a_driver_is_asked_for_carrier_by_the_first_way_that_it_knows() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let ask = |host: &Host, ways: &[Way]| {
            let asked = host.namespace.run(|| LinkBeat::open().unwrap().ask("eth0", ways)).unwrap();
            asked.map_err(|error| error.raw_os_error())
        };
        let [first, second] = &hosts;
        for ways in [&[Way::Mii, Way::Ethtool][..], &[Way::Ethtool], &[Way::Flags]] {
            assert_eq!(ask(first, ways), Ok(true), "{ways:?}");
        }
        // A pair of veth has no transceiver.
        assert_eq!(ask(first, &[Way::Mii]), Err(Some(libc::EOPNOTSUPP)));

        let peer_is_up = |up| second.namespace.run(|| Netlink::open().unwrap().set_up(second.eth0.index, up).unwrap());
        peer_is_up(false).unwrap();
        for ways in [&[Way::Mii, Way::Ethtool][..], &[Way::Ethtool], &[Way::Flags]] {
            assert_eq!(ask(second, ways), Ok(false), "{ways:?}");
        }
        let nobody = first.namespace.run(|| LinkBeat::open().unwrap().ask("eth9", &[Way::Mii, Way::Flags])).unwrap();
        assert_eq!(nobody.map_err(|error| error.raw_os_error()), Err(Some(libc::ENODEV)));
    });
}

#[test]
fn two_addresses_can_be_kept_apart() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let [first, mut second] = hosts.each_ref().map(|host| vrrp(host, true));
        hosts[1].namespace.run(|| firewall::drop_between(SECOND, FIRST).unwrap()).unwrap();
        send(&first, FIRST, SECOND, "between the two").unwrap();
        send(&first, FIRST, GROUP, "to the group").unwrap();
        assert_eq!(received(&mut second).1, "to the group");
        assert!(send(&second, SECOND, FIRST, "and back").is_err());
    });
}

#[test]
fn an_advert_of_ipv6_is_heard_with_what_its_header_says_and_the_checksum_that_the_kernel_makes() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let addresses = ["fe80::1", "fe80::2"].map(|address| address.parse::<Ipv6Addr>().unwrap());
        let group: Ipv6Addr = "ff02::12".parse().unwrap();
        let sockets = [0, 1].map(|n| {
            with_ipv6(&hosts[n], addresses[n]);
            let interface = Interface::One("eth0".to_owned(), hosts[n].eth0.index);
            hosts[n].namespace.run(|| VrrpSocket::open_v6(interface, &[group]).unwrap()).unwrap()
        });
        let [first, mut second] = sockets;
        let message = [0x31, 61, 200, 0, 0, 100, 0, 0];
        for (destination, hop_limit) in [(group, 255), (addresses[1], 7)] {
            first.send(&message, addresses[0].into(), destination.into(), hop_limit).unwrap();
            let mut batch = Batch::new();
            awaited(&mut second, |socket| {
                socket.receive(&mut batch).unwrap();
                (!batch.is_empty()).then_some(())
            });
            let Some(Packet::V6(header, bytes)) = batch.packet(0) else { panic!("a packet of IPv6") };
            assert_eq!(header, Header6 { source: addresses[0], destination, hop_limit });
            assert_eq!((&bytes[..6], bytes.len()), (&message[..6], 8));
            let mut pseudo = [addresses[0].octets(), destination.octets()].concat();
            pseudo.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, PROTOCOL]);
            assert_eq!(checksum::internet(&[&pseudo, bytes]), 0);
        }
        let mut batch = Batch::new();
        first.receive(&mut batch).unwrap();
        assert!(batch.is_empty(), "the sender hears itself");
        let absent: Ipv6Addr = "fe80::9".parse().unwrap();
        assert!(first.send(&message, absent.into(), group.into(), 255).is_err(), "not an address of this host");
        first.borrow_source().unwrap();
        first.send(&message, absent.into(), group.into(), 255).unwrap();
        awaited(&mut second, |socket| {
            socket.receive(&mut batch).unwrap();
            (!batch.is_empty()).then_some(())
        });
        assert!(matches!(batch.packet(0), Some(Packet::V6(header, _)) if header.source == absent));
    });
}

#[test]
fn an_announced_neighbour_is_heard_and_a_question_is_answered_by_the_kernel_that_has_the_address() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let addresses = ["fe80::1", "fe80::2"].map(|address| address.parse::<Ipv6Addr>().unwrap());
        let [mut first, mut second] = [0, 1].map(|n| {
            with_ipv6(&hosts[n], addresses[n]);
            let open = || NdpSocket::open("eth0", hosts[n].eth0.index).unwrap();
            hosts[n].namespace.run(open).unwrap()
        });
        let claim = Advertisement::unsolicited(hosts[0].eth0.mac, addresses[0], true);
        first.announce(&claim).unwrap();
        assert_eq!(awaited(&mut second, |socket| socket.receive().unwrap()), claim);
        assert_eq!(first.receive().unwrap(), None, "the sender hears itself");

        first.ask(addresses[0], hosts[0].eth0.mac, addresses[1]).unwrap();
        let answer = awaited(&mut first, |socket| socket.receive().unwrap());
        assert!(answer.solicited);
        assert_eq!((answer.target, answer.mac), (addresses[1], Some(hosts[1].eth0.mac)));
        assert_eq!(second.receive().unwrap(), None, "a question claims nothing");
    });
}

/// IFA_F_NODAD.
const NO_DAD: u32 = 0x02;

/// Switches IPv6 on, which the hosts of the other tests do without, and gives the host an address that is usable at once.
fn with_ipv6(host: &Host, address: Ipv6Addr) {
    for (name, value) in [("accept_dad", "0"), ("addr_gen_mode", "1"), ("disable_ipv6", "0")] {
        host.namespace.set_sysctl(&format!("net/ipv6/conf/eth0/{name}"), value).unwrap();
    }
    let address = Address { flags: NO_DAD, ..Address::new(Prefix::new(address.into(), 64).unwrap()) };
    let held = Held::new(host.eth0.index, address);
    // Returns when the kernel takes in what comes for it.
    let reconciled =
        host.namespace.run(|| reconcile(&mut Netlink::open().unwrap(), &[held], |_| false).unwrap()).unwrap();
    assert_eq!((reconciled.made.len(), reconciled.refused.len()), (1, 0));
}
