//! What the data plane costs for each packet: over frames in memory (`BPF_PROG_RUN`), which measures the program and nothing
//! else, no interface and no queue; and on its way through a machine, beside what the kernels here and in the guest have.

use super::report;
use crate::guest::{self, Hardware, Inside};
use anyhow::{Context, Result, bail};
use evenkeel_balance::table::{
    Change, Destination, DestinationKey, Forward, Plane, Protocol, Scheduler, Service, ServiceFlags, ServiceKey,
    Tunnel, TunnelChecksum,
};
use evenkeel_guest::forwarding::{self, Balancer, Cost, IN_THE_GUEST, WITHOUT_IPVS};
use evenkeel_kernel::netns::NetNs;
use evenkeel_kernel::xdp::{Options, XdpPlane};
use frames::{ACK, Packet, SYN};
use std::fmt::Write as _;
use std::process::Command;
use std::time::Instant;

#[path = "../../../crates/kernel/tests/support/frames.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "the tests' own frames")]
mod frames;

const VIP: &str = "192.0.2.100";
const SERVERS: u8 = 8;
const RUNS: u16 = 20_000;
const SERVICES: u16 = 10_000;
/// Datagrams in a round on this machine.
const DATAGRAMS: usize = 50_000;

pub(super) fn run() -> Result<()> {
    let namespace = NetNs::create().map_err(anyhow::Error::new)?;
    let mut text = namespace.run(measure).map_err(anyhow::Error::new)??;
    println!("{text}");
    text += &through_a_machine()?;
    println!("{text}");
    report::write("l4", &text)
}

fn measure() -> Result<String> {
    ip("link add eth0 address 02:00:00:00:dd:01 type veth peer name far0")?;
    ip("link set far0 up")?;
    ip("link set eth0 up")?;
    ip("addr add 192.0.2.2/24 dev eth0")?;
    for n in 1..=SERVERS {
        ip(&format!("neigh add 192.0.2.1{n} lladdr 02:00:00:00:00:0{n} nud permanent dev eth0"))?;
    }
    let checksum = TunnelChecksum::Absent;
    let methods = [
        ("DR", Forward::Direct),
        ("TUN (IP in IP)", Forward::Tunnel(Tunnel::Ipip)),
        ("TUN (GUE)", Forward::Tunnel(Tunnel::Gue { port: 6080, checksum })),
        ("NAT", Forward::Masquerade),
    ];
    let mut table = String::from("| method | known connection, ns | new connection, ns |\n|---|---|---|\n");
    for (name, forward) in methods {
        let plane = balance(forward)?;
        let _ = writeln!(table, "| {name} | {:.0} | {:.0} |", known(&plane)?, new(&plane)?);
    }
    let plane = balance(Forward::Direct)?;
    let other = Packet::tcp(("198.51.100.7", 40000), ("192.0.2.99", 80), ACK).frame();
    let other = nanoseconds(&plane, &other, 1_000_000)?;
    let _ = writeln!(table, "| none: a packet for no service | {other:.0} | |");
    drop(plane);
    let (start, change) = reload()?;
    Ok(format!(
        "## Layer 4 over XDP\n\n`cargo xtask bench l4`: the program over frames in memory (`BPF_PROG_RUN`), Maglev over {SERVERS} servers, TCP over IPv4 with a few\nbytes in it. Medians of {RUNS} single runs, without the time that reading the clock takes: of the same packet, and of\npackets of as many clients.\n\n{table}\nFilling an empty plane with {SERVICES} services of two servers each takes {start:.0} ms; one more change to it, {change:.1} ms.\n",
    ))
}

/// Beside IPVS in the guest, and beside nftables there and here.
fn through_a_machine() -> Result<String> {
    let here = forwarding::measure(WITHOUT_IPVS, DATAGRAMS);
    let mut there = Vec::new();
    let inside = Inside::Program("forwarding");
    guest::boot_built(&inside, &Hardware::Plain, |line| match Cost::parse(line, IN_THE_GUEST) {
        Some(cost) => there.push(cost),
        None => println!("{line}"),
    })?;
    let mut text = String::from(
        "\n### Through a machine\n\nDatagrams of 64 clients through a director on a veth, all in the sender's own system call, so that time is CPU; what the\nsame call takes when the director balances nothing and throws the datagram away at once is taken off. The fastest of 15 rounds.\n\n",
    );
    for (kernel, costs) in [("this machine's kernel", here), ("the guest: Linux 6.1 on an emulated processor", there)] {
        let _ = writeln!(
            text,
            "On {kernel}:\n\n| balancer | for a packet, ns | ratio | packets a second, the sender's work included |\n|---|---|---|---|"
        );
        for cost in &costs {
            let ratio = beside(cost, &costs).map_or(String::new(), |other| {
                format!("{:.2} of {}", cost.nanoseconds / other.nanoseconds, other.balancer.name())
            });
            let _ =
                writeln!(text, "| {} | {:.0} | {ratio} | {:.0} |", cost.balancer.name(), cost.nanoseconds, cost.rate);
        }
        text.push('\n');
    }
    Ok(text)
}

/// What one of ours is compared with: IPVS by the same method, or nftables.
fn beside<'a>(cost: &Cost, costs: &'a [Cost]) -> Option<&'a Cost> {
    let Balancer::Xdp(_, forward) = cost.balancer else { return None };
    let of = |balancer| costs.iter().find(|cost| cost.balancer == balancer);
    of(Balancer::Ipvs(forward)).or_else(|| of(Balancer::Nftables))
}

fn balance(forward: Forward) -> Result<XdpPlane> {
    let mut plane = XdpPlane::open(Options::new(["eth0"]))?;
    let mut changes = vec![Change::AddService(key(80), service(Scheduler::Mh))];
    changes.extend((1..=SERVERS).map(|n| Change::AddDestination(key(80), server(n), by(forward))));
    apply(&mut plane, &changes)?;
    Ok(plane)
}

fn key(port: u16) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: [192, 0, 2, 100].into(), port }
}

fn service(scheduler: Scheduler) -> Service {
    Service { scheduler, flags: ServiceFlags { scheduler_2: true, ..ServiceFlags::default() }, persistence: None }
}

fn server(n: u8) -> DestinationKey {
    DestinationKey { address: [192, 0, 2, 10 + n].into(), port: 8080 }
}

fn by(forward: Forward) -> Destination {
    Destination { weight: 1, forward, upper_threshold: 0, lower_threshold: 0 }
}

fn apply(plane: &mut XdpPlane, changes: &[Change]) -> Result<()> {
    match plane.apply(changes).pop() {
        Some((_, error)) => Err(error.into()),
        None => Ok(()),
    }
}

/// What a single run is charged beside the program: reading the clock twice. From a frame that is too short for anything,
/// once and many times.
fn overhead(plane: &XdpPlane) -> Result<f64> {
    let short = [0; 14];
    let many = nanoseconds(plane, &short, 1_000_000)?;
    let single = (0..RUNS).map(|_| nanoseconds(plane, &short, 1)).collect::<Result<_>>()?;
    Ok(report::median(single) - many)
}

/// The kernel restores no frame between repetitions, and the program changes what it forwards; so each run is a single one.
fn known(plane: &XdpPlane) -> Result<f64> {
    let frame = Packet::tcp(("198.51.100.7", 40000), (VIP, 80), ACK).frame();
    let times = (0..RUNS).map(|_| nanoseconds(plane, &frame, 1)).collect::<Result<_>>()?;
    Ok(report::median(times) - overhead(plane)?)
}

fn new(plane: &XdpPlane) -> Result<f64> {
    let mut times = Vec::new();
    for port in 0..RUNS {
        let client = format!("198.51.{}.{}", port >> 8, port & 0xff);
        times.push(nanoseconds(plane, &Packet::tcp((&client, port), (VIP, 80), SYN).frame(), 1)?);
    }
    Ok(report::median(times) - overhead(plane)?)
}

fn nanoseconds(plane: &XdpPlane, frame: &[u8], repeat: u32) -> Result<f64> {
    Ok(plane.run(frame, repeat)?.duration.as_nanos() as f64)
}

/// Milliseconds for many services at once, and for one change among them.
fn reload() -> Result<(f64, f64)> {
    let mut plane = XdpPlane::open(Options::new(["eth0"]))?;
    let mut changes = Vec::new();
    for port in 1..=SERVICES {
        changes.push(Change::AddService(key(port), service(Scheduler::Wrr)));
        changes.extend((1..=2).map(|n| Change::AddDestination(key(port), server(n), by(Forward::Direct))));
    }
    let since = Instant::now();
    apply(&mut plane, &changes)?;
    let start = since.elapsed();
    let since = Instant::now();
    apply(&mut plane, &[Change::AddDestination(key(77), server(3), by(Forward::Direct))])?;
    Ok((start.as_secs_f64() * 1e3, since.elapsed().as_secs_f64() * 1e3))
}

fn ip(line: &str) -> Result<()> {
    let output = Command::new("ip").args(line.split_whitespace()).output().context("run ip")?;
    if !output.status.success() {
        bail!("ip {line}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
