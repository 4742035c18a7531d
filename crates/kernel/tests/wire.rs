//! Adverts and ARP between network namespaces, and the ways to cut them off.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_kernel::arp_socket::ArpSocket;
use evenkeel_kernel::firewall;
use evenkeel_kernel::netlink::{Monitor, Netlink};
use evenkeel_kernel::vrrp_socket::{BATCH, Batch, GROUP, LONGEST_PACKET, PROTOCOL, VrrpSocket};
use evenkeel_wire::arp::Arp;
use evenkeel_wire::ipv4::{Header, MIN_HEADER};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use std::net::Ipv4Addr;
use support::{Host, awaited, hosts_on_a_bridge, in_fresh_namespace, two_hosts, until_up};

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

fn vrrp(host: &Host, multicast: bool) -> VrrpSocket {
    host.namespace.run(|| VrrpSocket::open("eth0", host.eth0.index, multicast).unwrap()).unwrap()
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
    (0..batch.len()).map(|at| batch.packet(at).unwrap().to_vec()).collect()
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
        first.send(&packet(FIRST, GROUP, "advert"), GROUP).unwrap();
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
        first.send(&packet(FIRST, GROUP, "to all"), GROUP).unwrap();
        assert_eq!(received(&mut joined).1, "to all");
        first.send(&packet(FIRST, SECOND, "to one"), SECOND).unwrap();
        assert_eq!(received(&mut second).1, "to one");
    });
}

#[test]
fn what_has_no_room_in_a_slot_is_cut_off() {
    in_fresh_namespace(|| {
        // The loopback link carries packets that an Ethernet would not.
        Netlink::open().unwrap().set_up(1, true).unwrap();
        let mut socket = VrrpSocket::open("lo", 1, false).unwrap();
        for (length, expected) in [(3000, LONGEST_PACKET), (100, 100)] {
            let text = "x".repeat(length - MIN_HEADER);
            socket.send(&packet(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, &text), Ipv4Addr::LOCALHOST).unwrap();
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
            first.send(&packet(FIRST, GROUP, text), GROUP).unwrap();
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
        assert!(first.send(&packet(FIRST, GROUP, "lost"), GROUP).is_ok());
        let refused = second.send(&packet(SECOND, GROUP, "refused"), GROUP).unwrap_err().to_string();
        assert!(refused.starts_with("send an advert to 224.0.0.18 on eth0: network is "), "{refused}");
        assert!(nothing_received(&second));
        assert_eq!(second_arp.receive().unwrap(), None);

        let mut monitor = hosts[0].namespace.run(|| Monitor::open().unwrap()).unwrap();
        set_up(true);
        until_up(&mut monitor, "eth0");
        first.send(&packet(FIRST, GROUP, "heard"), GROUP).unwrap();
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
        let in_second = |f: fn() -> Result<(), evenkeel_kernel::Error>| hosts[1].namespace.run(f).unwrap().unwrap();

        in_second(firewall::clear);
        in_second(|| firewall::drop_protocol(PROTOCOL));
        first.send(&packet(FIRST, GROUP, "dropped"), GROUP).unwrap();
        // Other protocols pass, and this frame left after the advert.
        let claim = Arp::gratuitous(hosts[0].eth0.mac, VIP);
        first_arp.send(&claim).unwrap();
        assert_eq!(awaited(&mut second_arp, |socket| socket.receive().unwrap()), claim);
        assert!(nothing_received(&second));
        assert_eq!(
            second.send(&packet(SECOND, GROUP, "dropped"), GROUP).unwrap_err().to_string(),
            "send an advert to 224.0.0.18 on eth0: operation not permitted"
        );

        in_second(firewall::clear);
        first.send(&packet(FIRST, GROUP, "passes"), GROUP).unwrap();
        assert_eq!(received(&mut second).1, "passes");
    });
}

#[test]
fn two_addresses_can_be_kept_apart() {
    in_fresh_namespace(|| {
        let hosts = two_hosts();
        let [first, mut second] = hosts.each_ref().map(|host| vrrp(host, true));
        hosts[1].namespace.run(|| firewall::drop_between(SECOND, FIRST).unwrap()).unwrap();
        first.send(&packet(FIRST, SECOND, "between the two"), SECOND).unwrap();
        first.send(&packet(FIRST, GROUP, "to the group"), GROUP).unwrap();
        assert_eq!(received(&mut second).1, "to the group");
        assert!(second.send(&packet(SECOND, FIRST, "and back"), FIRST).is_err());
    });
}
