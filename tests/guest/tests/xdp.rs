//! The data plane on Debian's kernel: its verifier takes the program, and the program does there what it does elsewhere.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../../crates/kernel/tests/support/frames.rs"]
#[allow(dead_code)]
mod frames;

use evenkeel_balance::table::{
    Change, Destination, DestinationKey, Forward, Plane, Protocol, Scheduler, Service, ServiceFlags, ServiceKey,
    Tunnel, TunnelChecksum,
};
use evenkeel_guest::{in_fresh_namespace, output};
use evenkeel_kernel::xdp::{Options, XdpPlane};
use frames::{ACK, Packet, SYN, read};
use std::net::IpAddr;

const VIP: &str = "192.0.2.100";
const CLIENT: &str = "198.51.100.7";
const SERVER: &str = "192.0.2.11";
const TX: u32 = 3;

/// One test, since loading takes a virtual machine without acceleration ten seconds.
#[test]
fn every_scheduler_and_method_works_on_this_kernel() {
    in_fresh_namespace(|| {
        output("ip link add eth0 address 02:00:00:00:dd:01 type veth peer name far0");
        output("ip link set far0 up");
        output("ip link set eth0 up");
        output("ip addr add 192.0.2.2/24 dev eth0");
        output("ip neigh add 192.0.2.11 lladdr 02:00:00:00:00:01 nud permanent dev eth0");
        let mut plane = XdpPlane::open(Options { flows: 1024, ..Options::new(["eth0"]) }).unwrap();
        let checksum = TunnelChecksum::Absent;
        let methods = [
            (Forward::Direct, 6),
            (Forward::Masquerade, 6),
            (Forward::Tunnel(Tunnel::Ipip), 4),
            (Forward::Tunnel(Tunnel::Gue { port: 6080, checksum }), 17),
            (Forward::Tunnel(Tunnel::Gre { checksum }), 47),
        ];
        let rows = Scheduler::ALL.into_iter().flat_map(|scheduler| methods.map(|method| (scheduler, method)));
        for (port, (scheduler, (forward, protocol))) in (1..).zip(rows) {
            let key = ServiceKey::Address { protocol: Protocol::Tcp, address: VIP.parse().unwrap(), port };
            let service = Service { scheduler, flags: ServiceFlags::default(), persistence: None };
            let server = DestinationKey { address: SERVER.parse().unwrap(), port: 8080 };
            let destination = Destination { weight: 1, forward, upper_threshold: 0, lower_threshold: 0 };
            let changes = [Change::AddService(key, service), Change::AddDestination(key, server, destination)];
            let failures = plane.apply(&changes);
            assert!(failures.is_empty(), "{failures:?}");
            let run = plane.run(&Packet::tcp((CLIENT, port), (VIP, port), SYN).frame(), 1).unwrap();
            assert_eq!(run.verdict, TX, "{scheduler:?} {forward:?}");
            assert_eq!(read(&run.frame).ip.protocol, protocol);
            if forward == Forward::Masquerade {
                let answer = Packet::tcp((SERVER, 8080), (CLIENT, port), ACK).frame();
                let answer = read(&plane.run(&answer, 1).unwrap().frame).ip;
                assert_eq!((answer.source, answer.ports()), (VIP.parse::<IpAddr>().unwrap(), (port, port)));
            }
        }
    });
}
