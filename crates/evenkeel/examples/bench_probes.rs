//! CPU time of one TCP and one HTTP probe: `cargo run --release -p evenkeel --example bench_probes [PROBES] [AT_ONCE]`.
//!
//! The servers are a child process (this program again) on many loopback addresses, so that the time is the prober's alone.

#[allow(dead_code, unreachable_pub, reason = "the probes of the program, of which this uses a part")]
#[path = "../src/role/balance/probe/mod.rs"]
mod probe;

use evenkeel_balance::ProbeResult;
use evenkeel_balance::config::{Check, ClientTls, HttpProbe, HttpVersion, Probe, Target, Timing, UrlProbe};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Servers: each a loopback address, all on one port.
const N_SERVERS: u32 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "serve") {
        return serve();
    }
    let number = |at: usize, default: usize| words.get(at).map_or(Ok(default), |word| word.parse());
    let (n_probes, at_once) = (number(0, 20_000)?, number(1, 100)?);
    let mut server = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no output of the servers")?).read_line(&mut line)?;
    let port = line.trim().parse()?;
    let url = UrlProbe {
        path: "/".to_owned(),
        virtualhost: None,
        sni: None,
        statuses: Vec::new(),
        digest: None,
        regex: None,
        tls_compliant: false,
    };
    let http = HttpProbe { tls: None, version: HttpVersion::V10, urls: vec![url], fast_recovery: false };
    for (name, probe) in [("tcp", Probe::Tcp), ("http", Probe::Http(http))] {
        let checks: Vec<Check> = (0..N_SERVERS).map(|at| check(probe.clone(), at, port)).collect();
        run(name, checks, n_probes, at_once)?;
    }
    server.kill()?;
    server.wait()?;
    Ok(())
}

fn run(name: &str, checks: Vec<Check>, n_probes: usize, at_once: usize) -> Result<(), Box<dyn std::error::Error>> {
    let prober = Rc::new(probe::Prober::of_checks(&ClientTls::default(), checks.iter())?);
    let checks = Rc::new(checks);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (begun_at, before) = (Instant::now(), cpu_time());
    let n_failed: usize = tokio::task::LocalSet::new().block_on(&runtime, async {
        let tasks: Vec<_> = (0..at_once)
            .map(|first| {
                let (prober, checks) = (Rc::clone(&prober), Rc::clone(&checks));
                tokio::task::spawn_local(async move {
                    let mut n_failed = 0;
                    for at in (first..n_probes).step_by(at_once) {
                        let result = prober.probe(&checks[at % checks.len()], 0).await;
                        n_failed += usize::from(!matches!(result, Some(ProbeResult::Passed { .. })));
                    }
                    n_failed
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap_or(1);
        }
        sum
    });
    let (wall, cpu) = (begun_at.elapsed(), cpu_time() - before);
    let each = cpu.as_secs_f64() * 1e6 / n_probes as f64;
    let rate = n_probes as f64 / wall.as_secs_f64();
    println!("{name}: {each:.1} us of CPU a probe, {rate:.0} probes/s, {n_failed} of {n_probes} failed");
    Ok(())
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn check(probe: Probe, at: u32, port: u16) -> Check {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + at).into();
    let target =
        Target { address, port, source: None, source_port: None, interface: None, mark: None, via_dataplane: false };
    let timing = Timing {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(5),
        retries: 0,
        retry_delay: Duration::from_secs(1),
        warmup: Duration::ZERO,
    };
    Check { probe, target: Some(target), timing, alpha: false, log_all_failures: false }
}

/// One listener for all loopback addresses.
fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    println!("{}", listener.local_addr()?.port());
    for mut stream in listener.incoming().flatten() {
        let mut buffer = [0; 512];
        if matches!(stream.read(&mut buffer), Ok(1..)) {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    }
    Ok(())
}
