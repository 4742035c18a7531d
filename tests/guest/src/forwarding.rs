//! What a packet costs the machine that balances it: IPVS, nftables and the program for XDP in turn, over the same wire.
//!
//! ```text
//!   clients and servers, 10.0.0.1 .. 10.0.0.3          director, 10.0.0.2
//!            eth0  ---------------- veth ----------------  eth0
//! ```
//!
//! Clients send datagrams to 10.0.0.100, whose hardware address is the director's. What the director sends to a server comes
//! back over the same wire and ends there, since the server's hardware address is nobody's. All of it happens in the sender's
//! own call, so the time of the call is the CPU of the whole way. Taken off is the time of the same call on a director that
//! balances nothing and throws the datagram away at once, because it is for another hardware address.

use crate::output;
use evenkeel_balance::table::{
    Change, Destination, DestinationKey, Forward, Plane, Protocol, Scheduler, Service, ServiceFlags, ServiceKey,
};
use evenkeel_kernel::ipvs::Ipvs;
use evenkeel_kernel::netlink::Netlink;
use evenkeel_kernel::netns::NetNs;
use evenkeel_kernel::xdp::{Mode, Options, XdpPlane};
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

/// The virtual address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// Nobody's hardware address, so nobody takes what is sent there.
const IGNORED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
/// Its port.
pub const PORT: u16 = 9;
/// Of the card that is to take packets.
pub const DIRECTORS_MAC: &str = "02:00:00:00:00:02";
/// Of nobody.
pub const NOBODYS_MAC: &str = "02:00:00:00:00:03";

/// Connections that take turns.
const CLIENTS: usize = 64;
/// Rounds of each kind, of which the fastest counts: whatever else the machine does only adds to the time.
const ROUNDS: usize = 15;

/// Who forwards, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancer {
    /// The kernel's IPVS.
    Ipvs(Forward),
    /// A rule of nftables that translates the destination.
    Nftables,
    /// Our program for XDP, in the driver or behind it. A veth runs it "in the driver" on another processor, after a copy of
    /// the packet that no driver makes.
    Xdp(Mode, Forward),
}

impl Balancer {
    /// For a table.
    pub fn name(self) -> String {
        let method = |forward| if forward == Forward::Direct { "DR" } else { "NAT" };
        match self {
            Balancer::Ipvs(forward) => format!("IPVS, {}", method(forward)),
            Balancer::Nftables => "nftables, DNAT".to_owned(),
            Balancer::Xdp(mode, forward) => format!("XDP ({}), {}", mode.name(), method(forward)),
        }
    }
}

/// A result.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Who.
    pub balancer: Balancer,
    /// Nanoseconds that it adds to a packet that would be thrown away.
    pub nanoseconds: f64,
    /// Packets a second through the whole way, the sender's work included.
    pub rate: f64,
}

impl Cost {
    /// As one line, for [`Cost::parse`].
    pub fn line(self, balancers: &[Balancer]) -> Option<String> {
        let number = balancers.iter().position(|balancer| *balancer == self.balancer)?;
        Some(format!("cost\t{number}\t{}\t{}", self.nanoseconds, self.rate))
    }

    /// What [`Cost::line`] made; nothing for any other line.
    pub fn parse(line: &str, balancers: &[Balancer]) -> Option<Self> {
        let mut words = line.strip_prefix("cost\t")?.split('\t');
        let balancer = *balancers.get(words.next()?.parse::<usize>().ok()?)?;
        Some(Cost { balancer, nanoseconds: words.next()?.parse().ok()?, rate: words.next()?.parse().ok()? })
    }
}

/// What there is to be measured in the guest, IPVS first.
pub const IN_THE_GUEST: &[Balancer] = &[
    Balancer::Ipvs(Forward::Direct),
    Balancer::Xdp(Mode::Generic, Forward::Direct),
    Balancer::Ipvs(Forward::Masquerade),
    Balancer::Nftables,
    Balancer::Xdp(Mode::Generic, Forward::Masquerade),
];

/// The same for a kernel that has no IPVS.
pub const WITHOUT_IPVS: &[Balancer] = &[
    Balancer::Nftables,
    Balancer::Xdp(Mode::Generic, Forward::Masquerade),
    Balancer::Xdp(Mode::Generic, Forward::Direct),
];

/// Measures all of these in turn, with `packets` datagrams in a round.
pub fn measure(balancers: &[Balancer], packets: usize) -> Vec<Cost> {
    balancers.iter().map(|balancer| Wire::new().cost(*balancer, packets)).collect()
}

/// The machines at both its ends.
struct Wire {
    near: NetNs,
    director: NetNs,
}

impl Wire {
    fn new() -> Self {
        let (near, director) = (NetNs::create(), NetNs::create());
        let (near, director) = (near.expect("a network namespace"), director.expect("a network namespace"));
        let in_near = || {
            let mut netlink = Netlink::open().expect("netlink");
            netlink.add_veth("eth0", "far0").expect("a pair of interfaces");
            let far = netlink.interface("far0").expect("the other end").index;
            netlink.rename(far, "eth1").expect("a name");
            netlink.set_netns(far, &director).expect("the director's end");
        };
        near.run(in_near).expect("enter a namespace");
        let in_director = || {
            output(&format!("ip link set eth1 name eth0 address {DIRECTORS_MAC}"));
            lines(&["ip link set lo up", "ip link set eth0 up", "ip address add 10.0.0.2/24 dev eth0"]);
            lines(&[&format!("ip neigh add {SERVER} lladdr {NOBODYS_MAC} nud permanent dev eth0")]);
        };
        director.run(in_director).expect("enter a namespace");
        let in_near = || {
            lines(&["ip link set eth0 up", "ip address add 10.0.0.1/24 dev eth0"]);
            lines(&[&format!("ip neigh add {VIP} lladdr {DIRECTORS_MAC} nud permanent dev eth0")]);
            lines(&[&format!("ip neigh add {IGNORED} lladdr {NOBODYS_MAC} nud permanent dev eth0")]);
        };
        near.run(in_near).expect("enter a namespace");
        for namespace in [&near, &director] {
            for interface in ["all", "eth0"] {
                for name in ["rp_filter", "send_redirects"] {
                    let path = format!("net/ipv4/conf/{interface}/{name}");
                    namespace.set_sysctl(&path, "0").expect("set a sysctl");
                }
            }
            // Translation by XDP needs whole checksums.
            let ethtool = || output("ethtool -K eth0 tx off tso off gso off");
            namespace.run(ethtool).expect("enter a namespace");
        }
        director.set_sysctl("net/ipv4/ip_forward", "1").expect("set a sysctl");
        Wire { near, director }
    }

    fn cost(&self, balancer: Balancer, packets: usize) -> Cost {
        self.director.run(|| self.cost_of(balancer, packets)).expect("enter the director's namespace")
    }

    /// Runs in the director's namespace.
    fn cost_of(&self, balancer: Balancer, packets: usize) -> Cost {
        let clients: Vec<UdpSocket> = self.near.run(clients).expect("enter a namespace");
        let through = |to: Ipv4Addr| {
            let before = received(&self.near);
            let began_at = Instant::now();
            for n in 0..packets {
                clients[n % CLIENTS].send_to(b"datagram", (to, PORT)).expect("send a datagram");
            }
            let took = began_at.elapsed();
            let came = received(&self.near) - before;
            let wanted = if to == VIP { packets } else { 0 };
            assert!(came.abs_diff(wanted) <= packets / 100, "{balancer:?}: {came} of {wanted} packets came back");
            took
        };
        // The first round warms up: with a balancer, everybody's first packet makes a connection.
        let fastest = |to| (0..=ROUNDS).map(|_| through(to)).skip(1).min().unwrap_or_default();
        // Before there is a balancer, so that what it does with a packet that is none of its business counts too.
        let thrown_away = fastest(IGNORED);
        let mut xdp = None;
        match balancer {
            Balancer::Ipvs(forward) => {
                output(&format!("ip address add {VIP}/32 dev eth0"));
                fill(&mut Ipvs::open().expect("IPVS"), forward);
            }
            Balancer::Nftables => {
                output("nft add table ip balance");
                output("nft add chain ip balance pre { type nat hook prerouting priority dstnat; }");
                output(&format!("nft add rule ip balance pre ip daddr {VIP} udp dport {PORT} dnat to {SERVER}:{PORT}"));
            }
            Balancer::Xdp(mode, forward) => {
                output(&format!("ip address add {VIP}/32 dev eth0"));
                let options = Options { mode, ..Options::new(["eth0"]) };
                let mut plane = XdpPlane::open(options).expect("the program is loaded");
                fill(&mut plane, forward);
                plane.refresh().expect("the way to the server");
                xdp = Some(plane);
            }
        }
        let balanced = fastest(VIP);
        drop(xdp);
        let nanoseconds = (balanced.as_secs_f64() - thrown_away.as_secs_f64()) * 1e9 / packets as f64;
        Cost { balancer, nanoseconds, rate: packets as f64 / balanced.as_secs_f64() }
    }
}

fn clients() -> Vec<UdpSocket> {
    (0..CLIENTS).map(|_| UdpSocket::bind("10.0.0.1:0").expect("a socket")).collect()
}

fn lines(lines: &[&str]) {
    lines.iter().for_each(|line| drop(output(line)));
}

pub(crate) fn fill(plane: &mut impl Plane, forward: Forward) {
    let key = ServiceKey::Address { protocol: Protocol::Udp, address: VIP.into(), port: PORT };
    let service = Service { scheduler: Scheduler::Rr, flags: ServiceFlags::default(), persistence: None };
    let server = DestinationKey { address: SERVER.into(), port: PORT };
    let destination = Destination { weight: 1, forward, upper_threshold: 0, lower_threshold: 0 };
    let failures = plane.apply(&[Change::AddService(key, service), Change::AddDestination(key, server, destination)]);
    assert!(failures.is_empty(), "a service with one server");
}

/// Packets that came in at the senders' end so far.
fn received(near: &NetNs) -> usize {
    let text = near.run(|| fs::read_to_string("/proc/thread-self/net/dev")).expect("enter a namespace");
    let text = text.expect("the interfaces' counters");
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("eth0:")).expect("eth0");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("packets that came in")
}
