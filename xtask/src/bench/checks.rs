//! What the health checks of 10,000 real servers cost, and how long 10,000 virtual servers take to start and to reload.

use super::report;
use anyhow::{Context, Result, ensure};
use evenkeel_e2e::seeds::Programs;
use evenkeel_e2e::{Lan, Machine, Service, wait_until};
use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const SERVERS: u32 = 10_000;
/// So few that keepalived asks each of them as often as it is told to.
const FEWER: u32 = 1_000;
/// Real servers of each virtual server, where checks are measured.
const SERVERS_OF_A_POOL: u32 = 100;
const MEASURED: Duration = Duration::from_secs(10);
const RUNS: usize = 3;
/// Until every check has begun: the first one is after a second and a random part of another.
const WARMUP: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(60);

const CONF: &str = "/etc/keepalived/keepalived.conf";
const LOG: &str = "/tmp/daemon.log";
const SHIM: &str = "/tmp/no-ipvs.so";

/// How a server is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Tcp,
    Http,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::Tcp => "TCP_CHECK",
            Check::Http => "HTTP_GET",
        }
    }

    fn block(self) -> &'static str {
        match self {
            Check::Tcp => "TCP_CHECK {\n connect_timeout 3\n }",
            Check::Http => "HTTP_GET {\n connect_timeout 3\n url {\n path /\n status_code 200\n }\n }",
        }
    }
}

/// What a process costs that checks once a second.
#[derive(Clone, Copy)]
struct Cost {
    /// CPU for each check, in microseconds.
    cpu: f64,
    /// Checks that arrived, each second.
    rate: f64,
    /// Resident memory for each server, in kB of 1,000 bytes.
    memory: f64,
}

pub(super) fn run() -> Result<()> {
    let lan = Lan::new();
    let _servers = servers(&lan);
    let theirs = machine(&lan, Programs::Debian)?;
    let ours = machine(&lan, Programs::Evenkeel)?;
    let checks = checks(&theirs, &ours)?;
    println!("{checks}");
    let times = times(&theirs, &ours)?;
    println!("{times}");
    let text = format!(
        "## Health checks\n\n`cargo xtask bench checks`: real servers in pools of {SERVERS_OF_A_POOL}, each checked once a second for {} s; one nginx on another\nmachine of the LAN has all their addresses. CPU is what the kernel charged to the process that checks (`/proc/PID/task/*/schedstat`),\ndivided by the connections that nginx accepted. Memory is `VmRSS` after that time, less what it is with a single server,\ndivided by the servers. This kernel has no IPVS: evenkeel fills the table of its XDP program; keepalived (Debian's 2.2.7) runs\nwith a preloaded library (`xtask/src/bench/shim.c`) for which every IPVS call succeeds and does nothing, so its table costs it nothing.\n\n{checks}\n{SERVERS} virtual servers of one real server each, {} lines; the median of {RUNS}, and one start of keepalived. A start is from the command to the daemon's log line that\nthe table is complete (evenkeel) or the checkers are activated (keepalived, `Startup complete`). A reload changes the weight of one server, from `evenkeel reload`\nto its answer, which comes when everything is in force; keepalived says nothing when it has reloaded, so there is no figure.\n\n{times}",
        MEASURED.as_secs(),
        services(Programs::Evenkeel, 1).lines().count(),
    );
    report::write("checks", &text)
}

fn checks(theirs: &Machine, ours: &Machine) -> Result<String> {
    let mut table = String::from(
        "| check | servers | program | CPU for a check, us | ratio | checks a second | memory for a server, kB |\n|---|---|---|---|---|---|---|\n",
    );
    for (check, n_servers) in [(Check::Tcp, FEWER), (Check::Tcp, SERVERS), (Check::Http, FEWER), (Check::Http, SERVERS)]
    {
        let keepalived = cost(theirs, Programs::Debian, check, n_servers)?;
        let evenkeel = cost(ours, Programs::Evenkeel, check, n_servers)?;
        for (name, Cost { cpu, rate, memory }) in [("keepalived", keepalived), ("evenkeel", evenkeel)] {
            let (check, ratio) = (check.name(), cpu / keepalived.cpu);
            let line = format!("| {check} | {n_servers} | {name} | {cpu:.1} | {ratio:.2} | {rate:.0} | {memory:.1} |");
            report::progress(&line);
            let _ = writeln!(table, "{line}");
        }
    }
    Ok(table)
}

fn cost(machine: &Machine, programs: Programs, check: Check, n_servers: u32) -> Result<Cost> {
    report::progress(&format!("{n_servers} times {} by {}", check.name(), name(programs)));
    let alone = {
        machine.write(CONF, &pools(programs, check, 1, 1));
        let daemon = Daemon::start(machine, programs)?;
        wait_until(Duration::from_secs(3), || false);
        memory(&daemon)?
    };
    machine.write(CONF, &pools(programs, check, n_servers / SERVERS_OF_A_POOL, SERVERS_OF_A_POOL));
    let daemon = Daemon::start(machine, programs)?;
    wait_until(WARMUP, || false);
    let (clock, cpu_before, accepted_before) = (Instant::now(), cpu(&daemon)?, accepted(machine)?);
    wait_until(MEASURED, || false);
    let (elapsed, cpu_after, accepted_after) = (clock.elapsed(), cpu(&daemon)?, accepted(machine)?);
    let n_checks = accepted_after - accepted_before;
    ensure!(n_checks > 0.0, "no check arrived\n{}", machine.logs());
    Ok(Cost {
        cpu: (cpu_after - cpu_before) / n_checks,
        rate: n_checks / elapsed.as_secs_f64(),
        memory: (memory(&daemon)? - alone) / f64::from(n_servers) / 1e3,
    })
}

fn times(theirs: &Machine, ours: &Machine) -> Result<String> {
    let mut table = String::from("| what | keepalived, ms | evenkeel, ms | ratio |\n|---|---|---|---|\n");
    theirs.write(CONF, &services(Programs::Debian, 1));
    ours.write(CONF, &services(Programs::Evenkeel, 1));
    report::progress("starts");
    let checked = (
        median(|| timed(theirs.command(&["keepalived", "-t", "-f", CONF])))?,
        median(|| timed(ours.command(&["evenkeel", "check", CONF])))?,
    );
    let started = (
        // Once: it takes some ten seconds, and as long again to stop.
        Daemon::start(theirs, Programs::Debian).map(|daemon| daemon.started_in)?,
        median(|| Daemon::start(ours, Programs::Evenkeel).map(|daemon| daemon.started_in))?,
    );
    for (what, (keepalived, evenkeel)) in [("the configuration is checked", checked), ("start", started)] {
        let _ = writeln!(table, "| {what} | {keepalived:.0} | {evenkeel:.0} | {:.2} |", evenkeel / keepalived);
    }
    let _daemon = Daemon::start(ours, Programs::Evenkeel)?;
    wait_until(Duration::from_secs(2), || false);
    report::progress("reloads");
    let mut weight = 1;
    let mut reload = |changes: bool| {
        median(|| {
            weight += u32::from(changes);
            ours.write(CONF, &services(Programs::Evenkeel, weight));
            timed(ours.command(&["evenkeel", "reload"]))
        })
    };
    for (what, changes) in [("reload, one service changed", true), ("reload, nothing changed", false)] {
        let _ = writeln!(table, "| {what} | | {:.0} | |", reload(changes)?);
    }
    Ok(table)
}

/// The machine that has every real server's address.
fn servers(lan: &Lan) -> Machine {
    let servers = lan.machine("servers", "eth0", "10.0.0.20/16");
    servers.shell("ip route add local 10.1.0.0/16 dev lo");
    servers.write(
        "/etc/nginx/nginx.conf",
        "worker_processes 1;\npid /run/nginx.pid;\nevents { worker_connections 20000; }\nhttp { access_log off; server { listen 80 backlog=16384; location / { return 200 'ok'; } location /accepted { stub_status; } } }\n",
    );
    servers.start_service(Service::Nginx);
    servers
}

/// A machine for one of the programs.
fn machine(lan: &Lan, programs: Programs) -> Result<Machine> {
    let (name, address) = match programs {
        Programs::Debian => ("theirs", "10.0.0.11/16"),
        Programs::Evenkeel => ("ours", "10.0.0.12/16"),
    };
    let machine = lan.machine(name, "eth0", address);
    machine.shell("ip route add 10.1.0.0/16 via 10.0.0.20");
    if programs == Programs::Debian {
        machine.write("/tmp/no-ipvs.c", include_str!("shim.c"));
        machine.shell(&format!("cc -O2 -shared -fPIC -o {SHIM} /tmp/no-ipvs.c -ldl"));
    }
    Ok(machine)
}

/// Address of a real server.
fn address(n: u32) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from(u32::from_be_bytes([10, 1, 0, 0]) + 1 + n)
}

fn name(programs: Programs) -> &'static str {
    match programs {
        Programs::Debian => "keepalived",
        Programs::Evenkeel => "evenkeel",
    }
}

fn globals(programs: Programs) -> &'static str {
    match programs {
        Programs::Debian => "global_defs {\n router_id bench\n}\n",
        Programs::Evenkeel => "global_defs {\n router_id bench\n lb_plane xdp\n lb_interface eth0\n}\n",
    }
}

fn pools(programs: Programs, check: Check, n_pools: u32, n_servers: u32) -> String {
    let mut conf = globals(programs).to_owned();
    for pool in 0..n_pools {
        let _ = writeln!(conf, "virtual_server 10.9.0.{pool} 80 {{\n{HEAD} delay_loop 1");
        for server in 0..n_servers {
            let real = address(pool * n_servers + server);
            let _ = writeln!(conf, " real_server {real} 80 {{\n weight 1\n {}\n }}", check.block());
        }
        conf += "}\n";
    }
    conf
}

const HEAD: &str = " lvs_sched rr\n lvs_method TUN\n protocol TCP\n";

/// Virtual servers of one server each, of which the one in the middle has this weight.
fn services(programs: Programs, weight: u32) -> String {
    let mut conf = globals(programs).to_owned();
    for n in 0..SERVERS {
        let weight = if n == SERVERS / 2 { weight } else { 1 };
        let (high, low) = (n / 250, n % 250);
        let _ = writeln!(
            conf,
            "virtual_server 10.9.{high}.{low} 80 {{\n{HEAD} delay_loop 30\n real_server {} 80 {{\n weight {weight}\n TCP_CHECK {{\n connect_timeout 3\n }}\n }}\n}}",
            address(n)
        );
    }
    conf
}

/// A program that runs, in the foreground, until this is dropped.
struct Daemon<'a> {
    machine: &'a Machine,
    programs: Programs,
    child: Child,
    /// Milliseconds until its log says that it works.
    started_in: f64,
}

impl<'a> Daemon<'a> {
    fn start(machine: &'a Machine, programs: Programs) -> Result<Self> {
        let (words, works): (&[&str], _) = match programs {
            Programs::Debian => {
                (&["env", "LD_PRELOAD=/tmp/no-ipvs.so", "keepalived", "-n", "-l", "-C", "-f", CONF], "Startup complete")
            }
            Programs::Evenkeel => (&["evenkeel", "run"], "virtual services in xdp"),
        };
        let mut command = machine.command(words);
        let log = std::fs::File::create(machine.path(LOG)).context("create a log")?;
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let began_at = Instant::now();
        let child = command.spawn().context("start a daemon")?;
        let mut daemon = Daemon { machine, programs, child, started_in: 0.0 };
        let is_up = wait_until(PATIENCE, || machine.read(LOG).contains(works));
        daemon.started_in = began_at.elapsed().as_secs_f64() * 1e3;
        ensure!(is_up, "it did not start\n{}", machine.logs());
        Ok(daemon)
    }

    /// Process number, on the machine, of the process that checks.
    fn checker(&self) -> Result<String> {
        let find = match self.programs {
            Programs::Debian => "cat /proc/$(cat /run/keepalived.pid)/task/*/children",
            Programs::Evenkeel => "pgrep -f -- '--rol[e] balance'",
        };
        let pids = self.machine.shell(find);
        Ok(pids.split_whitespace().next().context("no process that checks")?.to_owned())
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let name = name(self.programs);
        // On the machine, which has its own processes.
        let _ = self.machine.run(&["pkill", "-TERM", "-o", "-x", name]);
        if !wait_until(PATIENCE, || matches!(self.child.try_wait(), Ok(Some(_)))) {
            let _ = self.machine.run(&["pkill", "-KILL", "-x", name]);
        }
        let _ = self.child.wait();
    }
}

/// CPU time of all threads so far, in microseconds.
fn cpu(daemon: &Daemon) -> Result<f64> {
    let text = daemon.machine.shell(&format!("cat /proc/{}/task/*/schedstat", daemon.checker()?));
    let times = text.lines().map(|line| line.split(' ').next().unwrap_or_default().parse::<f64>());
    Ok(times.sum::<Result<f64, _>>().context("read schedstat")? / 1e3)
}

/// Resident memory, in bytes.
fn memory(daemon: &Daemon) -> Result<f64> {
    let text = daemon.machine.read(&format!("/proc/{}/status", daemon.checker()?));
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).unwrap_or_default().parse().context("read VmRSS")?;
    Ok(kib * 1024.0)
}

/// Connections that nginx has accepted so far.
fn accepted(machine: &Machine) -> Result<f64> {
    let page = machine.shell("curl -sf http://10.0.0.20/accepted");
    let numbers = page.lines().nth(2).context("nginx tells no connections")?;
    numbers.split_whitespace().next().unwrap_or_default().parse().context("read nginx's connections")
}

/// Milliseconds that a command takes, which must succeed.
fn timed(mut command: Command) -> Result<f64> {
    let began_at = Instant::now();
    let output = command.output().context("run a command")?;
    let took = began_at.elapsed().as_secs_f64() * 1e3;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

/// The median of some runs.
fn median(mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let values: Result<Vec<_>> = (0..RUNS).map(|_| measure()).collect();
    Ok(report::median(values?))
}
