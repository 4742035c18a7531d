//! What a packet costs a machine that does nothing but balance, in instructions: the guest is that machine, and everybody
//! else is here.

use super::report;
use crate::guest::{self, Hardware, Inside};
use anyhow::{Context, Result};
use evenkeel_balance::table::Forward;
use evenkeel_guest::director::{CLIENTS, READY, Work, frame};
use evenkeel_guest::forwarding::{Balancer, DIRECTORS_MAC};
use evenkeel_kernel::netns::NetNs;
use std::fmt::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const INTRODUCTION: &str = "## A machine that only balances

`cargo xtask bench director`: the guest (Linux 6.1, one processor) has a network card of virtio's, and everybody else is outside of it:
64 clients send datagrams to one address as fast as they are taken, and what comes back for the server is thrown away. The guest's
clock counts its instructions (QEMU's `-icount shift=0`), so a figure is everything that the machine executed for a packet that it sent on:
interrupts, the driver in both directions, memory for the packet, and the balancer; the cheapest of 3 rounds of 20,000 packets.
Time in which it had nothing to do is taken off. An instruction is no nanosecond, for what misses a cache takes longer; but it is the same
for all, and nothing else that goes on around the guest changes it. Native is the driver's own mode, generic the kernel's behind it.";

/// Frames that may wait for the card: so many that it is never without.
const WAITING: &str = "1024";

pub(super) fn run() -> Result<()> {
    // How many may wait is a setting of the namespace that the sockets are in.
    let namespace = NetNs::create().map_err(anyhow::Error::new)?;
    namespace.set_sysctl("net/unix/max_dgram_qlen", WAITING).map_err(anyhow::Error::new)?;
    let works = namespace.run(measure).map_err(anyhow::Error::new)??;
    let mut text = INTRODUCTION.to_owned();
    text += "\n\n| balancer | instructions for a packet | of IPVS's | those of the program alone | time idle |\n|---|---|---|---|---|\n";
    for Work { balancer, instructions, idle, program } in &works {
        let ipvs = |forward| works.iter().find(|work| work.balancer == Balancer::Ipvs(forward));
        let ipvs = match balancer {
            Balancer::Xdp(_, forward) => ipvs(*forward),
            Balancer::Nftables => ipvs(Forward::Masquerade),
            Balancer::Ipvs(_) => None,
        };
        let ratio = ipvs.map_or(String::new(), |ipvs| format!("{:.2}", instructions / ipvs.instructions));
        let program = if *program > 0.0 { format!("{program:.0}") } else { String::new() };
        let _ = writeln!(text, "| {} | {instructions:.0} | {ratio} | {program} | {idle:.2} |", balancer.name());
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
                report::progress(&format!("{}: {:.0} instructions", work.balancer.name(), work.instructions));
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
