//! What 250 virtual routers cost.

use super::report;
use anyhow::{Context, Result};
use evenkeel_e2e::seeds::Programs;
use evenkeel_e2e::{Lan, Machine, Service, wait_until};
use std::fmt::Write as _;
use std::time::Duration;

const ROUTERS: u16 = 250;
const ADVERTS_PER_SECOND: u64 = 10;
const MEASURED: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
struct Cost {
    /// CPU for each advert, in microseconds.
    cpu: f64,
    /// Resident memory of the process, in MB.
    resident: f64,
    /// What of it no other process and no file has.
    private: f64,
}

pub(super) fn run() -> Result<()> {
    let mut table = String::from(
        "| program | CPU for an advert sent, us | CPU for an advert received, us | resident memory of the vrrp process, MB | of it private, MB |\n|---|---|---|---|---|\n",
    );
    let mut rows = Vec::new();
    for programs in [Programs::Debian, Programs::Evenkeel] {
        let sent = measure(programs, Role::Master)?;
        let received = measure(programs, Role::Backup)?;
        rows.push((sent, received));
        let name = if programs == Programs::Debian { "keepalived" } else { "evenkeel" };
        let _ = writeln!(
            table,
            "| {name} | {:.1} | {:.1} | {:.1} | {:.1} |",
            sent.cpu, received.cpu, sent.resident, sent.private
        );
    }
    let [(sent, received), (our_sent, our_received)] = rows[..] else { unreachable!("two programs were measured") };
    let _ = writeln!(
        table,
        "| ratio | {:.2} | {:.2} | {:.2} | {:.2} |",
        our_sent.cpu / sent.cpu,
        our_received.cpu / received.cpu,
        our_sent.resident / sent.resident,
        our_sent.private / sent.private
    );
    println!("{table}");
    let text = format!(
        "## Virtual routers\n\n`cargo xtask bench vrrp`: {ROUTERS} virtual routers at {ADVERTS_PER_SECOND} adverts a second each for {} s. CPU is what the kernel charged to the vrrp process\n(`/proc/PID/schedstat`), so it holds the kernel's share of sending and receiving too.\nMemory is `VmRSS` and `RssAnon` of the process that sends.\n\n{table}",
        MEASURED.as_secs()
    );
    report::write("vrrp", &text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Master,
    Backup,
}

fn measure(programs: Programs, role: Role) -> Result<Cost> {
    let lan = Lan::new();
    let measured = programs.install(lan.machine("measured", "eth0", "10.0.0.10/16"));
    let peer = lan.machine("peer", "eth0", "10.0.0.11/16").with_evenkeel();
    let (own, others) = if role == Role::Master { (150, 100) } else { (100, 150) };
    measured.write("/etc/keepalived/keepalived.conf", &conf(own));
    if role == Role::Backup {
        peer.write("/etc/keepalived/keepalived.conf", &conf(others));
        peer.start_service(Service::Keepalived);
        peer.await_holding("10.0.2.249", Duration::from_secs(30));
    }
    measured.start_service(Service::Keepalived);
    if role == Role::Master {
        measured.await_holding("10.0.2.249", Duration::from_secs(30));
    }
    // Past the second burst of gratuitous ARP, which comes five seconds after a takeover.
    wait_until(Duration::from_secs(9), || false);
    let pid = vrrp_process(&measured, programs)?;
    let before = cpu(&measured, &pid)?;
    let clock = std::time::Instant::now();
    wait_until(MEASURED, || false);
    let adverts = clock.elapsed().as_secs_f64() * f64::from(ROUTERS) * ADVERTS_PER_SECOND as f64;
    let spent = cpu(&measured, &pid)? - before;
    Ok(Cost {
        cpu: spent / adverts,
        resident: memory(&measured, &pid, "VmRSS:")?,
        private: memory(&measured, &pid, "RssAnon:")?,
    })
}

fn conf(priority: u8) -> String {
    (1..=ROUTERS)
        .map(|vrid| {
            format!(
                "vrrp_instance VI_{vrid} {{\n    state BACKUP\n    interface eth0\n    version 3\n    virtual_router_id {vrid}\n    priority {priority}\n    advert_int 0.1\n    virtual_ipaddress {{\n        10.0.2.{}\n    }}\n}}\n",
                vrid - 1
            )
        })
        .collect()
}

/// Process number, on the machine, of the process that speaks VRRP.
fn vrrp_process(machine: &Machine, programs: Programs) -> Result<String> {
    let find = match programs {
        // The child of the daemon in the pid file.
        Programs::Debian => "cat /proc/$(cat /run/keepalived.pid)/task/*/children",
        Programs::Evenkeel => "pgrep -f -- '--rol[e] vrrp'",
    };
    let pid = machine.shell(find);
    Ok(pid.split_whitespace().next().context("no vrrp process")?.to_owned())
}

/// CPU time so far, in microseconds.
fn cpu(machine: &Machine, pid: &str) -> Result<f64> {
    let text = machine.read(&format!("/proc/{pid}/schedstat"));
    let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse().context("read schedstat")?;
    Ok(nanoseconds / 1e3)
}

/// A figure of the process's memory, in MB.
fn memory(machine: &Machine, pid: &str, name: &str) -> Result<f64> {
    let text = machine.read(&format!("/proc/{pid}/status"));
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
    let kib: f64 =
        line.split_whitespace().nth(1).unwrap_or_default().parse().with_context(|| format!("read {name}"))?;
    Ok(kib * 1024.0 / 1e6)
}
