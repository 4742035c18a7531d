//! What a packet costs a machine that does nothing but balance, in instructions: the guest is that machine, and everybody
//! else is here.

use super::report;
use crate::guest::{self, Hardware, Inside};
use anyhow::{Context, Result};
use evenkeel_balance::table::Forward;
use evenkeel_guest::director::{CLIENT, CLIENTS, READY, Work};
use evenkeel_guest::forwarding::{Balancer, DIRECTORS_MAC, NOBODYS_MAC, PORT, VIP};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const DATA: &[u8] = b"datagram";

pub(super) fn run() -> Result<()> {
    let works = measure()?;
    let mut text = String::from(
        "## A machine that only balances\n\nINTRO\n\n| balancer | instructions for a packet | of IPVS's | time idle |\n|---|---|---|---|\n",
    );
    for Work { balancer, instructions, idle } in &works {
        let ipvs = |forward| works.iter().find(|work| work.balancer == Balancer::Ipvs(forward));
        let ipvs = match balancer {
            Balancer::Xdp(_, forward) => ipvs(*forward),
            Balancer::Nftables => ipvs(Forward::Masquerade),
            Balancer::Ipvs(_) => None,
        };
        let ratio = ipvs.map_or(String::new(), |ipvs| format!("{:.2}", instructions / ipvs.instructions));
        let _ = writeln!(text, "| {} | {instructions:.0} | {ratio} | {idle:.2} |", balancer.name());
    }
    println!("{text}");
    report::write("director", &text)
}

/// Boots the guest with a network card and sends to it as long as it takes.
fn measure() -> Result<Vec<Work>> {
    let folder = crate::steps::target().join("guest");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let (card, here) = (folder.join("card.sock"), folder.join("clients.sock"));
    for path in [&card, &here] {
        let _ = std::fs::remove_file(path);
    }
    let socket = UnixDatagram::bind(&here).with_context(|| format!("open {}", here.display()))?;
    // So that both threads see the end, whatever the guest does.
    socket.set_write_timeout(Some(Duration::from_millis(100))).context("set a time limit")?;
    socket.set_read_timeout(Some(Duration::from_millis(100))).context("set a time limit")?;
    let (is_ready, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut works = Vec::new();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| send(&socket, &card, &is_ready, &is_over));
        scope.spawn(|| throw_away(&socket, &is_over));
        let hardware = Hardware::Measured { mac: DIRECTORS_MAC, socket: &card, peer: &here };
        let outcome = guest::boot_built(&Inside::Program("director"), &hardware, |line| match Work::parse(line) {
            Some(work) => {
                println!("{}: {:.0} instructions, {:.2} idle", work.balancer.name(), work.instructions, work.idle);
                works.push(work);
            }
            None if line == READY => is_ready.store(true, Ordering::Relaxed),
            None => println!("{line}"),
        });
        is_over.store(true, Ordering::Relaxed);
        outcome
    });
    outcome.map(|()| works)
}

/// Datagrams of all clients in turn, as fast as they are taken.
fn send(socket: &UnixDatagram, card: &Path, is_ready: &AtomicBool, is_over: &AtomicBool) {
    let frames: Vec<Vec<u8>> = CLIENTS.map(frame).collect();
    while !is_over.load(Ordering::Relaxed) {
        if !is_ready.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        for frame in &frames {
            // Where there is no room for it in time, the next one may have it.
            let _ = socket.send_to(frame, card);
        }
    }
}

fn throw_away(socket: &UnixDatagram, is_over: &AtomicBool) {
    let mut frame = [0; 2048];
    while !is_over.load(Ordering::Relaxed) {
        let _ = socket.recv(&mut frame);
    }
}

/// A client's datagram to the virtual address, in a frame to the director.
fn frame(port: u16) -> Vec<u8> {
    let length = 8 + DATA.len() as u16;
    let mut ip = vec![0x45, 0];
    ip.extend((20 + length).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
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
