//! What 250 virtual routers cost, and how 2,500 of them with 10,000 addresses start and reload.

use super::report;
use anyhow::{Context, Result, ensure};
use evenkeel_e2e::seeds::Programs;
use evenkeel_e2e::{Lan, Machine, Service, wait_until};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const CONF: &str = "/etc/keepalived/keepalived.conf";

const ROUTERS: u16 = 250;
const ADVERTS_PER_SECOND: u64 = 10;
const MEASURED: Duration = Duration::from_secs(20);

/// LANs of as many virtual routers each, for the large configuration.
const LANS: u16 = 10;
const ADDRESSES_OF_ONE: u16 = 4;
const RUNS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

const PROGRAMS: [Programs; 2] = [Programs::Debian, Programs::Evenkeel];

/// What a program costs that sends.
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
    let received = receive()?;
    let sent = [send(PROGRAMS[0])?, send(PROGRAMS[1])?];
    for (name, sent, received) in [("keepalived", sent[0], received[0]), ("evenkeel", sent[1], received[1])] {
        let Cost { cpu, resident, private } = sent;
        let _ = writeln!(table, "| {name} | {cpu:.1} | {received:.1} | {resident:.1} | {private:.1} |");
    }
    let [theirs, ours] = sent;
    let _ = writeln!(
        table,
        "| ratio | {:.2} | {:.2} | {:.2} | {:.2} |",
        ours.cpu / theirs.cpu,
        received[1] / received[0],
        ours.resident / theirs.resident,
        ours.private / theirs.private
    );
    println!("{table}");
    let text = format!(
        "## Virtual routers\n\n`cargo xtask bench vrrp`: {ROUTERS} virtual routers at {ADVERTS_PER_SECOND} adverts a second each for {} s. CPU is what the kernel charged to the vrrp process\n(`/proc/PID/schedstat`), so it holds the kernel's share of sending and receiving too. The two that receive hear the same\nadverts at the same time. Memory is `VmRSS` and `RssAnon` of the process that sends.\n\n{table}",
        MEASURED.as_secs()
    );
    report::write("vrrp", &text)?;
    run_large()
}

/// The second part alone.
pub(super) fn run_large() -> Result<()> {
    let large = large()?;
    println!("{large}");
    let text = format!(
        "## Many virtual routers\n\n`cargo xtask bench vrrp` too: {} virtual routers on {LANS} interfaces with {ADDRESSES_OF_ONE} addresses each, `advert_int 1`, alone on their LANs; the median of {RUNS}. A start is from the\ncommand until the kernel has the last of the {} addresses, which can be no sooner than the 3 s and more of the protocol. A reload adds\none address to one of them: from the signal until the kernel has it. CPU is the vrrp process's for an advert, {} s long, once all are master.\n\n{large}",
        LANS * ROUTERS,
        LANS * ROUTERS * ADDRESSES_OF_ONE,
        MEASURED.as_secs()
    );
    report::write("vrrp-many", &text)
}

/// The cost of each program as the only master.
fn send(programs: Programs) -> Result<Cost> {
    let lan = Lan::new();
    let machine = programs.install(lan.machine("measured", "eth0", "10.0.0.10/16"));
    start(&machine, 150);
    machine.await_holding("10.0.2.249", Duration::from_secs(30));
    await_quiet();
    let pid = vrrp_process(&machine, programs)?;
    let [cpu] = cpu_for_advert([(&machine, &pid)])?;
    Ok(Cost { cpu, resident: memory(&machine, &pid, "VmRSS:")?, private: memory(&machine, &pid, "RssAnon:")? })
}

/// CPU for each advert of both programs, as backups of one master, in microseconds.
fn receive() -> Result<[f64; 2]> {
    let lan = Lan::new();
    let speaker = lan.machine("speaker", "eth0", "10.0.0.10/16").with_evenkeel();
    start(&speaker, 150);
    speaker.await_holding("10.0.2.249", Duration::from_secs(30));
    let theirs = PROGRAMS[0].install(lan.machine("theirs", "eth0", "10.0.0.11/16"));
    let ours = PROGRAMS[1].install(lan.machine("ours", "eth0", "10.0.0.12/16"));
    start(&theirs, 100);
    start(&ours, 100);
    await_quiet();
    let pids = [vrrp_process(&theirs, PROGRAMS[0])?, vrrp_process(&ours, PROGRAMS[1])?];
    cpu_for_advert([(&theirs, &pids[0]), (&ours, &pids[1])])
}

/// A start, reloads and adverts of the large configuration.
fn large() -> Result<String> {
    let [theirs, ours] = [large_of(PROGRAMS[0])?, large_of(PROGRAMS[1])?];
    let mut table = String::from("| what | keepalived | evenkeel | ratio |\n|---|---|---|---|\n");
    let words = ["start, ms", "reload, ms", "CPU for an advert sent, us"];
    for ((what, theirs), ours) in words.into_iter().zip(theirs).zip(ours) {
        let _ = writeln!(table, "| {what} | {theirs:.1} | {ours:.1} | {:.2} |", ours / theirs);
    }
    Ok(table)
}

/// Milliseconds of a start and of a reload, and microseconds of CPU for an advert.
fn large_of(programs: Programs) -> Result<[f64; 3]> {
    let lans: Vec<Lan> = (0..LANS).map(|_| Lan::new()).collect();
    let machine = programs.install(lans[0].machine("measured", "eth0", "10.0.0.10/16"));
    for (n, lan) in lans.iter().enumerate().skip(1) {
        lan.plug_in(&machine, &format!("eth{n}"), &format!("10.{n}.0.10/16"));
    }
    let [mut starts, mut reloads] = [Vec::new(), Vec::new()];
    let mut cpu = 0.0;
    for run in 0..RUNS {
        machine.write(CONF, &large_conf(0));
        let began_at = Instant::now();
        machine.start_service(Service::Keepalived);
        // Looking costs CPU that the start wants.
        wait_until(Duration::from_secs(3), || false);
        let wanted = usize::from(LANS * ROUTERS * ADDRESSES_OF_ONE);
        let has_all = || machine.shell("ip -o -4 addr show").lines().count() > wanted + usize::from(LANS);
        ensure!(wait_until(PATIENCE, has_all), "not all addresses came\n{}", machine.logs());
        starts.push(began_at.elapsed().as_secs_f64() * 1e3);
        await_quiet();
        if run == 0 {
            let pid = vrrp_process(&machine, programs)?;
            let before = self::cpu(&machine, &pid)?;
            let clock = Instant::now();
            wait_until(MEASURED, || false);
            let adverts = clock.elapsed().as_secs_f64() * f64::from(LANS * ROUTERS);
            cpu = (self::cpu(&machine, &pid)? - before) / adverts;
        }
        machine.write(CONF, &large_conf(1));
        let began_at = Instant::now();
        machine.shell("systemctl reload keepalived");
        let has_it = || !machine.shell("ip -o -4 addr show to 10.5.250.1").is_empty();
        ensure!(wait_until(PATIENCE, has_it), "the new address did not come\n{}", machine.logs());
        reloads.push(began_at.elapsed().as_secs_f64() * 1e3);
        machine.stop_service(Service::Keepalived);
        let is_clean = || machine.shell("ip -o -4 addr show").lines().count() == usize::from(LANS) + 1;
        ensure!(wait_until(PATIENCE, is_clean), "addresses stayed\n{}", machine.logs());
    }
    Ok([report::median(starts), report::median(reloads), cpu])
}

/// The large configuration, with so many addresses more in the one in the middle.
fn large_conf(n_more: u16) -> String {
    let mut conf = String::new();
    for lan in 0..LANS {
        for vrid in 1..=ROUTERS {
            let mut addresses: Vec<String> =
                (1..=ADDRESSES_OF_ONE).map(|n| format!("10.{lan}.{n}.{vrid}", n = 100 + n)).collect();
            if (lan, vrid) == (LANS / 2, ROUTERS / 2) {
                addresses.extend((1..=n_more).map(|n| format!("10.{lan}.250.{n}")));
            }
            let _ = writeln!(
                conf,
                "vrrp_instance V{lan}_{vrid} {{\n state BACKUP\n interface eth{lan}\n version 3\n virtual_router_id {vrid}\n priority 150\n advert_int 1\n virtual_ipaddress {{\n {}\n }}\n}}",
                addresses.join("\n ")
            );
        }
    }
    conf
}

fn start(machine: &Machine, priority: u8) {
    machine.write(CONF, &conf(priority));
    machine.start_service(Service::Keepalived);
}

/// Past the second burst of gratuitous ARP, which comes five seconds after a takeover.
fn await_quiet() {
    wait_until(Duration::from_secs(9), || false);
}

fn cpu_for_advert<const N: usize>(processes: [(&Machine, &str); N]) -> Result<[f64; N]> {
    let read = || processes.map(|(machine, pid)| cpu(machine, pid));
    let clock = Instant::now();
    let before = read();
    wait_until(MEASURED, || false);
    let after = read();
    let adverts = clock.elapsed().as_secs_f64() * f64::from(ROUTERS) * ADVERTS_PER_SECOND as f64;
    let mut costs = [0.0; N];
    for (cost, (before, after)) in costs.iter_mut().zip(before.into_iter().zip(after)) {
        *cost = (after? - before?) / adverts;
    }
    Ok(costs)
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
