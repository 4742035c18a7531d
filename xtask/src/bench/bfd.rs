//! How long after its detection time a session notices that its neighbour is dead, at the shortest intervals there are.

use super::report::{self, median};
use anyhow::{Context, Result, ensure};
use evenkeel_e2e::seeds::Programs;
use evenkeel_e2e::{Lan, Machine, wait_until};
use std::fmt::Write as _;
use std::time::Duration;

/// The least that keepalived takes.
const INTERVAL_MS: u32 = 10;
const MULTIPLIER: u32 = 5;
const DEATHS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run() -> Result<()> {
    let detection = INTERVAL_MS * MULTIPLIER;
    let mut table = String::from(
        "| program | deaths | later than the detection time, us: least | median | most | more than 2 ms |\n|---|---|---|---|---|---|\n",
    );
    for (programs, name) in [(Programs::Debian, "keepalived"), (Programs::Evenkeel, "evenkeel")] {
        let overdue = measure(programs)?;
        let of = |pick: fn(f64, f64) -> f64| overdue.iter().copied().reduce(pick).unwrap_or_default();
        let n_late = overdue.iter().filter(|micros| **micros > 2000.0).count();
        let row = format!(
            "| {name} | {} | {:.0} | {:.0} | {:.0} | {n_late} |",
            overdue.len(),
            of(f64::min),
            median(overdue.clone()),
            of(f64::max)
        );
        println!("{row}");
        let _ = writeln!(table, "{row}");
    }
    let text = format!(
        "## Neighbours that die\n\n`cargo xtask bench bfd`: a BFD session with BIRD, which is killed {DEATHS} times; both ends at {INTERVAL_MS} ms, so that the detection time is\n{detection} ms (multiplier {MULTIPLIER}). How much later the session is declared down is what each program itself says of it (\"usec overdue\").\nBoth run with the real-time priority 20.\n\n{table}"
    );
    report::write("bfd", &text)
}

/// By how many microseconds each death was noticed after its time.
fn measure(programs: Programs) -> Result<Vec<f64>> {
    let lan = Lan::new();
    let peer = lan.machine("peer", "eth0", "10.0.0.2/24");
    let node = programs.install(lan.machine("node", "eth0", "10.0.0.10/24"));
    node.write(
        "/etc/keepalived/keepalived.conf",
        &format!(
            "global_defs {{\n    bfd_rt_priority 20\n    vrrp_rt_priority 20\n}}\nbfd_instance near {{\n    neighbor_ip 10.0.0.2\n    \
             source_ip 10.0.0.10\n    min_rx {INTERVAL_MS}\n    min_tx {INTERVAL_MS}\n    multiplier {MULTIPLIER}\n}}\n"
        ),
    );
    peer.write(
        "/tmp/bird.conf",
        &format!(
            "router id 10.0.0.2;\nlog stderr all;\nprotocol device {{ }}\nprotocol bfd {{\n    interface \"*\" {{ min rx interval \
             {INTERVAL_MS} ms; min tx interval {INTERVAL_MS} ms; multiplier {MULTIPLIER}; }};\n    neighbor 10.0.0.10 dev \"eth0\";\n}}\n"
        ),
    );
    let mut daemon = node.spawn("keepalived.log", &["keepalived", "-n", "-l", "-D"]);
    let overdue = (0..DEATHS).map(|_| death(&node, &peer)).collect();
    node.run(&["sh", "-c", "kill $(cat /run/keepalived.pid)"]);
    daemon.wait().context("end the daemon")?;
    overdue
}

/// Starts BIRD, kills it when both have agreed on the shortest intervals, and says how late that was noticed.
fn death(node: &Machine, peer: &Machine) -> Result<f64> {
    let words = ["bird", "-f", "-c", "/tmp/bird.conf", "-s", "/tmp/bird.ctl", "-P", "/tmp/bird.pid"];
    let mut bird = peer.spawn("bird.log", &words);
    let detection = INTERVAL_MS * MULTIPLIER;
    let fast =
        format!("birdc -s /tmp/bird.ctl show bfd sessions | grep -qE 'Up .* 0\\.0?{INTERVAL_MS}0? +0\\.0*{detection}'");
    let is_fast = wait_until(PATIENCE, || peer.run(&["sh", "-c", &fast]).status.success());
    let shown = sessions(peer);
    // What was lost before, on a machine that had no time for BIRD, is no death of it.
    let n_before = expiries(node).len();
    peer.run(&["sh", "-c", "kill -9 $(cat /tmp/bird.pid); rm -f /tmp/bird.pid"]);
    let _ = bird.wait();
    ensure!(is_fast, "no session at {INTERVAL_MS} ms: {shown}\n{}", node.logs());
    ensure!(wait_until(PATIENCE, || expiries(node).len() > n_before), "its death is not noticed: {}", node.logs());
    Ok(expiries(node)[n_before])
}

fn sessions(peer: &Machine) -> String {
    String::from_utf8_lossy(&peer.run(&["birdc", "-s", "/tmp/bird.ctl", "show", "bfd", "sessions"]).stdout).into_owned()
}

/// `(near) Expired after 50 ms (120 usec overdue)`
fn expiries(node: &Machine) -> Vec<f64> {
    let log = node.read("/tmp/keepalived.log");
    let lines = log.lines().filter_map(|line| line.split_once("Expired after ")?.1.split_once('('));
    lines.filter_map(|(_, rest)| rest.split_whitespace().next()?.parse().ok()).collect()
}
