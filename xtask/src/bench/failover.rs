//! How long, and for how many datagrams, the address does not answer when it moves.

use super::report::{self, median};
use anyhow::Result;
use evenkeel_e2e::probe::{DatagramProbe, Echo, Loss};
use evenkeel_e2e::seeds::Programs;
use evenkeel_e2e::{Lan, Machine, Service, wait_until};
use std::fmt::Write as _;
use std::time::Duration;

const VIP: &str = "10.0.0.100";
const RUNS: usize = 3;
const LIMIT: Duration = Duration::from_secs(15);

/// What happens to the node that has the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Its power goes.
    Killed,
    /// Its daemon is stopped.
    Stopped,
    /// It comes back, with the higher priority.
    Returned,
}

#[derive(Clone, Copy)]
struct Timing {
    name: &'static str,
    lines: &'static str,
    /// 3 intervals and the skew of priority 100.
    bound: f64,
}

const TIMINGS: [Timing; 2] = [
    Timing { name: "version 2, `advert_int 1`", lines: "version 2\n    advert_int 1", bound: 3609.4 },
    Timing { name: "version 3, `advert_int 0.01`", lines: "version 3\n    advert_int 0.01", bound: 36.1 },
];

pub(super) fn run() -> Result<()> {
    let mut table = String::from(
        "| what happens | timing | old owner | new owner | longest gap, ms | lost of 1,000 a second | protocol's bound, ms |\n|---|---|---|---|---|---|---|\n",
    );
    for timing in TIMINGS {
        for case in [Case::Killed, Case::Stopped, Case::Returned] {
            for (owner, other) in [
                (Programs::Evenkeel, Programs::Evenkeel),
                (Programs::Evenkeel, Programs::Debian),
                (Programs::Debian, Programs::Evenkeel),
                (Programs::Debian, Programs::Debian),
            ] {
                let mut losses = Vec::new();
                for _ in 0..RUNS {
                    losses.push(measure(case, timing, owner, other)?);
                }
                let gap = median(losses.iter().map(|loss| loss.longest_gap.as_secs_f64() * 1e3).collect());
                let lost: Vec<String> = losses.iter().map(|loss| loss.lost.to_string()).collect();
                let (what, old, new) = match case {
                    Case::Killed => ("the owner loses its power", owner, other),
                    Case::Stopped => ("the owner is stopped", owner, other),
                    Case::Returned => ("the preferred node returns", other, owner),
                };
                let bound = if case == Case::Killed { format!("{:.1}", timing.bound) } else { "0".to_owned() };
                let row = format!(
                    "| {what} | {} | {} | {} | {gap:.1} | {} | {bound} |",
                    timing.name,
                    label(old),
                    label(new),
                    lost.join(", ")
                );
                println!("{row}");
                let _ = writeln!(table, "{row}");
            }
        }
    }
    let text = format!(
        "## Failover\n\n`cargo xtask bench failover`: a client sends 1,000 datagrams a second to the address and counts the echoes; two nodes of\npriority 150 and 100; {RUNS} runs of each row, the gap is the median, the losses are all given. keepalived is Debian's {}.\n\n{table}",
        keepalived_version()
    );
    report::write("failover", &text)
}

fn label(programs: Programs) -> &'static str {
    match programs {
        Programs::Evenkeel => "evenkeel",
        Programs::Debian => "keepalived",
    }
}

fn keepalived_version() -> String {
    let output = std::process::Command::new("keepalived").arg("-v").output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stderr).into_owned()).unwrap_or_default();
    text.split_whitespace().nth(1).unwrap_or("(unknown)").to_owned()
}

fn measure(case: Case, timing: Timing, owner: Programs, other: Programs) -> Result<Loss> {
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let mut high = node(&lan, owner, "high", "10.0.0.10/24", "MASTER", 150, timing);
    let low = node(&lan, other, "low", "10.0.0.11/24", "BACKUP", 100, timing);
    let _echoes = [Echo::start(&high, 7), Echo::start(&low, 7)];
    if case == Case::Returned {
        low.start_service(Service::Keepalived);
        low.await_holding(VIP, LIMIT);
    } else {
        high.start_service(Service::Keepalived);
        high.await_holding(VIP, LIMIT);
        low.start_service(Service::Keepalived);
        // The backup has heard the master by now.
        wait_until(Duration::from_secs(2), || false);
    }
    let probe = DatagramProbe::start(&client, format!("{VIP}:7").parse()?);
    wait_until(Duration::from_millis(300), || false);
    match case {
        Case::Killed => high.power_off(),
        Case::Stopped => high.stop_service(Service::Keepalived),
        Case::Returned => high.start_service(Service::Keepalived),
    }
    let new = if case == Case::Returned { &high } else { &low };
    new.await_holding(VIP, LIMIT);
    wait_until(Duration::from_millis(1500), || false);
    Ok(probe.finish())
}

fn node(
    lan: &Lan,
    programs: Programs,
    name: &str,
    address: &str,
    state: &str,
    priority: u8,
    timing: Timing,
) -> Machine {
    let machine = programs.install(lan.machine(name, "eth0", address));
    let conf = format!(
        "vrrp_instance VI_1 {{\n    state {state}\n    interface eth0\n    virtual_router_id 50\n    priority {priority}\n    {}\n    virtual_ipaddress {{\n        {VIP}\n    }}\n}}\n",
        timing.lines
    );
    machine.write("/etc/keepalived/keepalived.conf", &conf);
    machine
}
