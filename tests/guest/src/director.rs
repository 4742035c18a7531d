//! What a packet costs a machine that does nothing but balance: IPVS, nftables and the program for XDP in turn, the last in
//! the driver of the network card, which is virtio's. Clients and servers are outside of the machine.
//!
//! ```text
//!   whoever started the machine                                  the machine
//!   sends datagrams of many clients to 10.0.0.100, port 9  --->  eth0, 10.0.0.2
//!   and throws away what comes back for 10.0.0.3           <---
//! ```
//!
//! The machine's clock must count its instructions, as that of QEMU does with `-icount shift=0`: a nanosecond for each. Then
//! what a packet takes is a number of instructions, the driver's and the interrupts' among them, and nothing else that goes
//! on outside changes it.

use crate::forwarding::{Balancer, DIRECTORS_MAC, NOBODYS_MAC, PORT, SERVER, VIP, fill};
use crate::output;
use evenkeel_balance::table::{Forward, Plane};
use evenkeel_kernel::ipvs::Ipvs;
use evenkeel_kernel::xdp::{Mode, Options, XdpPlane};
use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Who sends.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Ports that they send from, each a connection.
pub const CLIENTS: std::ops::Range<u16> = 20_000..20_064;
/// Printed when datagrams may come.
pub const READY: &str = "the director is ready";

/// In each datagram.
const DATA: &[u8] = b"datagram";
/// That it may come through.
const HOPS: u8 = 64;

/// Packets in a round.
const PACKETS: u64 = 20_000;
/// Rounds of each kind, of which the cheapest counts; before them one that fills caches and tables.
const ROUNDS: usize = 3;
/// For nobody sends.
const PATIENCE: Duration = Duration::from_secs(20);

/// In this order.
pub const BALANCERS: &[Balancer] = &[
    Balancer::Ipvs(Forward::Direct),
    Balancer::Xdp(Mode::Native, Forward::Direct),
    Balancer::Xdp(Mode::Generic, Forward::Direct),
    Balancer::Ipvs(Forward::Masquerade),
    Balancer::Nftables,
    Balancer::Xdp(Mode::Native, Forward::Masquerade),
];

/// A result.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Who.
    pub balancer: Balancer,
    /// Instructions for each packet that was sent on, all of the machine's.
    pub instructions: f64,
    /// The part of the time in which there was nothing to do: interrupts come for every few packets then.
    pub idle: f64,
    /// Of the instructions those of our program, where it is ours that balances: over a packet in memory.
    pub program: f64,
}

impl Work {
    /// As one line, for [`Work::parse`].
    pub fn line(self) -> Option<String> {
        let number = BALANCERS.iter().position(|balancer| *balancer == self.balancer)?;
        Some(format!("work\t{number}\t{}\t{}\t{}", self.instructions, self.idle, self.program))
    }

    /// What [`Work::line`] made; nothing for any other line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("work\t")?.split('\t');
        let balancer = *BALANCERS.get(words.next()?.parse::<usize>().ok()?)?;
        let mut number = || words.next()?.parse().ok();
        Some(Work { balancer, instructions: number()?, idle: number()?, program: number()? })
    }
}

/// Measures all of them, on the machine's only network card.
pub fn measure(mut each: impl FnMut(Work)) {
    output("modprobe -a virtio_pci virtio_net");
    for line in ["ip link set lo up", "ip link set eth0 up", "ip address add 10.0.0.2/24 dev eth0"] {
        output(line);
    }
    let card = fs::read_to_string("/sys/class/net/eth0/address").expect("a network card");
    assert_eq!(card.trim(), DIRECTORS_MAC);
    for address in [SERVER, CLIENT] {
        output(&format!("ip neigh add {address} lladdr {NOBODYS_MAC} nud permanent dev eth0"));
    }
    for name in ["all/rp_filter", "all/send_redirects", "eth0/rp_filter", "eth0/send_redirects"] {
        fs::write(format!("/proc/sys/net/ipv4/conf/{name}"), "0").expect("set a sysctl");
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("set a sysctl");
    println!("{READY}");
    for balancer in BALANCERS {
        each(work(*balancer));
    }
}

fn work(balancer: Balancer) -> Work {
    match balancer {
        Balancer::Ipvs(forward) => {
            output(&format!("ip address add {VIP}/32 dev eth0"));
            let mut ipvs = Ipvs::open().expect("IPVS");
            fill(&mut ipvs, forward);
            let work = cheapest(balancer);
            ipvs.flush().expect("remove all services");
            output(&format!("ip address del {VIP}/32 dev eth0"));
            work
        }
        Balancer::Nftables => {
            output("nft add table ip balance");
            output("nft add chain ip balance pre { type nat hook prerouting priority dstnat; }");
            output(&format!("nft add rule ip balance pre ip daddr {VIP} udp dport {PORT} dnat to {SERVER}:{PORT}"));
            let work = cheapest(balancer);
            output("nft delete table ip balance");
            work
        }
        Balancer::Xdp(mode, forward) => {
            let options = Options { mode, ..Options::new(["eth0"]) };
            let mut plane = XdpPlane::open(options).expect("the program is loaded");
            assert!(plane.attachments().iter().all(|at| at.mode == mode), "{:?}", plane.attachments());
            fill(&mut plane, forward);
            plane.refresh().expect("the way to the server");
            let frame = frame(CLIENTS.start);
            // Translated, it would be a packet for no service the second time.
            let program = if forward == Forward::Direct { over_memory(&plane, &frame) } else { 0.0 };
            let work = Work { program, ..cheapest(balancer) };
            let counted = plane.statistics().expect("counters");
            assert!(counted.values().all(|service| service.traffic.packets_in > PACKETS), "{counted:?}");
            plane.close().expect("the program is gone");
            work
        }
    }
}

/// Instructions of the program for the packet of a connection that is known.
fn over_memory(plane: &XdpPlane, frame: &[u8]) -> f64 {
    // The kernel restores no frame between repetitions, and each is a hop.
    let repeated = || plane.run(frame, u32::from(HOPS) - 4).expect("the program runs");
    repeated();
    repeated().duration.as_nanos() as f64
}

fn cheapest(balancer: Balancer) -> Work {
    let rounds = (0..=ROUNDS).map(|_| round(balancer)).skip(1);
    rounds.min_by(|one, other| one.instructions.total_cmp(&other.instructions)).expect("a round")
}

/// A client's datagram to the virtual address, in a frame to the director.
pub fn frame(port: u16) -> Vec<u8> {
    let length = 8 + DATA.len() as u16;
    let mut ip = vec![0x45, 0];
    ip.extend((20 + length).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, HOPS, 17, 0, 0]);
    ip.extend(CLIENT.octets());
    ip.extend(VIP.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut udp = Vec::new();
    for number in [port, PORT, length, 0] {
        udp.extend(number.to_be_bytes());
    }
    udp.extend(DATA);
    let sum = checksum(&[pseudo_header(CLIENT, VIP, length).as_slice(), &udp].concat());
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [mac(DIRECTORS_MAC), mac(NOBODYS_MAC)].concat();
    frame.extend([8, 0]);
    frame.extend(ip);
    frame.extend(udp);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn pseudo_header(from: Ipv4Addr, to: Ipv4Addr, length: u16) -> Vec<u8> {
    [&from.octets()[..], &to.octets(), &[0, 17], &length.to_be_bytes()].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn mac(text: &str) -> Vec<u8> {
    text.split(':').filter_map(|digits| u8::from_str_radix(digits, 16).ok()).collect()
}

/// From one packet to another, many later.
fn round(balancer: Balancer) -> Work {
    let from = wait_for_packets(balancer, sent());
    let (since, idle_before) = (Instant::now(), idle());
    let to = wait_for_packets(balancer, from + PACKETS);
    let (took, idled) = (since.elapsed(), idle() - idle_before);
    Work {
        balancer,
        instructions: took.saturating_sub(idled).as_nanos() as f64 / (to - from) as f64,
        idle: idled.as_secs_f64() / took.as_secs_f64(),
        program: 0.0,
    }
}

/// Until more packets than this have left; how many have.
fn wait_for_packets(balancer: Balancer, number: u64) -> u64 {
    let since = Instant::now();
    loop {
        let sent = sent();
        if sent > number {
            return sent;
        }
        assert!(since.elapsed() < PATIENCE, "{balancer:?} sends nothing: {sent} of {number}");
        // Looking takes instructions too: few, for so many packets.
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn sent() -> u64 {
    let text = fs::read_to_string("/sys/class/net/eth0/statistics/tx_packets").expect("a counter");
    text.trim().parse().expect("a number")
}

/// How long the processor has had nothing to do.
fn idle() -> Duration {
    let text = fs::read_to_string("/proc/stat").expect("the processor's times");
    let times = text.lines().next().expect("a line for all processors").split_whitespace();
    let hundredths = times.skip(4).take(2).map(|word| word.parse::<u64>().expect("a number")).sum::<u64>();
    Duration::from_millis(hundredths * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_right_checksums() {
        let frame = frame(20_001);
        let (ip, udp) = (&frame[14..34], &frame[34..50]);
        assert_eq!(checksum(ip), 0);
        assert_eq!(checksum(&[pseudo_header(CLIENT, VIP, 16).as_slice(), udp].concat()), 0);
        assert_eq!((frame.len(), &frame[..6]), (60, &[2, 0, 0, 0, 0, 2][..]));
    }
}
