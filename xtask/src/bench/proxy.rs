//! What a proxied request costs, beside nginx and HAProxy.

use super::report::{self, median};
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const RUNS: usize = 3;
const SECONDS: u32 = 5;
const CONNECTIONS: u32 = 64;
const SIZES: [(&str, usize); 3] = [("100 B", 100), ("10 kB", 10_000), ("100 kB", 100_000)];
const ORIGIN: u16 = 18_080;
const PROXY: u16 = 18_081;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Proxy {
    Nginx,
    Haproxy,
    Evenkeel,
}

impl Proxy {
    const ALL: [Proxy; 3] = [Proxy::Nginx, Proxy::Haproxy, Proxy::Evenkeel];

    fn name(self) -> &'static str {
        match self {
            Proxy::Nginx => "nginx",
            Proxy::Haproxy => "HAProxy",
            Proxy::Evenkeel => "evenkeel",
        }
    }
}

pub(super) fn run() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("evenkeel-bench-{}", std::process::id()));
    fs::create_dir_all(directory.join("html"))?;
    let result = measure_all(&directory);
    let _ = fs::remove_dir_all(&directory);
    let table = result?;
    println!("{table}");
    let text = format!(
        "## Proxy\n\n`cargo xtask bench proxy`: one worker on a core of its own, {CONNECTIONS} client connections with keep-alive, keep-alive to one origin (nginx),\nclient (`wrk`) and origin on the other core, no access log, {SECONDS} s a run, {RUNS} runs of each in turn. CPU is user and system\ntime of the proxy divided by the requests answered: median, and its ratio to nginx's.\n\n{table}"
    );
    report::write("proxy", &text)
}

fn measure_all(directory: &Path) -> Result<String> {
    for (name, size) in SIZES {
        fs::write(directory.join("html").join(name.replace(' ', "")), "x".repeat(size))?;
    }
    let _origin = start_origin(directory)?;
    let mut table = String::from(
        "| body | proxy | CPU for a request, us | ratio to nginx | requests a second | not 2xx |\n|---|---|---|---|---|---|\n",
    );
    for (name, _) in SIZES {
        let mut results: Vec<Vec<Sample>> = vec![Vec::new(); Proxy::ALL.len()];
        for _ in 0..RUNS {
            for (proxy, samples) in Proxy::ALL.into_iter().zip(&mut results) {
                samples.push(measure(directory, proxy, &name.replace(' ', ""))?);
            }
        }
        let cpu: Vec<f64> = results.iter().map(|s| median(s.iter().map(|s| s.cpu).collect())).collect();
        for ((proxy, samples), cpu_here) in Proxy::ALL.into_iter().zip(&results).zip(&cpu) {
            let rate = median(samples.iter().map(|s| s.rate).collect());
            let errors: u64 = samples.iter().map(|s| s.errors).sum();
            let _ = writeln!(
                table,
                "| {name} | {} | {cpu_here:.1} | {:.2} | {rate:.0} | {errors} |",
                proxy.name(),
                cpu_here / cpu[0]
            );
        }
    }
    Ok(table)
}

#[derive(Clone, Copy)]
struct Sample {
    /// Microseconds for each request.
    cpu: f64,
    rate: f64,
    errors: u64,
}

fn measure(directory: &Path, proxy: Proxy, path: &str) -> Result<Sample> {
    let running = Running(start_proxy(directory, proxy)?);
    await_port(PROXY)?;
    let url = format!("http://127.0.0.1:{PROXY}/{path}");
    wrk(&url, 1)?;
    let before = cpu_of_tree(running.0.id())?;
    let load = wrk(&url, SECONDS)?;
    let spent = cpu_of_tree(running.0.id())? - before;
    ensure!(load.requests > 0, "{} answered nothing", proxy.name());
    Ok(Sample {
        cpu: spent * 1e6 / load.requests as f64,
        rate: load.requests as f64 / f64::from(SECONDS),
        errors: load.errors,
    })
}

/// A proxy that ends with the measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }
}

fn start_origin(directory: &Path) -> Result<Running> {
    let conf = format!(
        "daemon off; worker_processes 1; pid {0}/origin.pid; error_log stderr crit;\nevents {{ worker_connections 4096; }}\nhttp {{ access_log off; keepalive_requests 100000000; sendfile on; server {{ listen 127.0.0.1:{ORIGIN}; root {0}/html; }} }}\n",
        directory.display()
    );
    let file = directory.join("origin.conf");
    fs::write(&file, conf)?;
    let child = pinned(1, Path::new("/usr/sbin/nginx"))
        .args(["-p".as_ref(), directory.as_os_str(), "-c".as_ref(), file.as_os_str()])
        .spawn()?;
    let running = Running(child);
    await_port(ORIGIN)?;
    Ok(running)
}

fn start_proxy(directory: &Path, proxy: Proxy) -> Result<Child> {
    let (program, arguments): (PathBuf, Vec<String>) = match proxy {
        Proxy::Nginx | Proxy::Evenkeel => {
            let file = directory.join("proxy.conf");
            let conf = format!(
                "daemon off; worker_processes 1; pid {0}/proxy.pid; error_log stderr crit;\nevents {{ worker_connections 4096; }}\nhttp {{ access_log off; keepalive_requests 100000000; upstream origin {{ server 127.0.0.1:{ORIGIN}; keepalive 64; keepalive_requests 100000000; }}\n server {{ listen 127.0.0.1:{PROXY}; location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n",
                directory.display()
            );
            fs::write(&file, conf)?;
            let program =
                if proxy == Proxy::Nginx { PathBuf::from("/usr/sbin/nginx") } else { evenkeel_as_nginx(directory)? };
            let path = |p: &Path| p.to_string_lossy().into_owned();
            (program, vec!["-p".to_owned(), path(directory), "-c".to_owned(), path(&file)])
        }
        Proxy::Haproxy => {
            let file = directory.join("haproxy.cfg");
            let conf = format!(
                "global\n    nbthread 1\n    maxconn 4096\ndefaults\n    mode http\n    timeout client 30s\n    timeout server 30s\n    timeout connect 5s\n    http-reuse always\nfrontend f\n    bind 127.0.0.1:{PROXY}\n    default_backend b\nbackend b\n    server origin 127.0.0.1:{ORIGIN}\n"
            );
            fs::write(&file, conf)?;
            (
                PathBuf::from("/usr/sbin/haproxy"),
                vec!["-db".to_owned(), "-f".to_owned(), file.to_string_lossy().into_owned()],
            )
        }
    };
    pinned(0, &program)
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("start {}", program.display()))
}

fn evenkeel_as_nginx(directory: &Path) -> Result<PathBuf> {
    let link = directory.join("nginx");
    if !link.exists() {
        std::os::unix::fs::symlink(evenkeel_e2e::evenkeel(), &link)?;
    }
    Ok(link)
}

fn pinned(core: u8, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program).stdin(Stdio::null());
    command
}

fn await_port(port: u16) -> Result<()> {
    let open =
        evenkeel_e2e::wait_until(Duration::from_secs(10), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    ensure!(open, "nobody listens on port {port}");
    Ok(())
}

struct Load {
    requests: u64,
    errors: u64,
}

fn wrk(url: &str, seconds: u32) -> Result<Load> {
    let output = pinned(1, Path::new("wrk"))
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), url])
        .output()
        .context("wrk (cargo xtask setup installs it)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number_before = |word: &str| {
        let line = text.lines().find(|line| line.contains(word))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let errors =
        text.lines().find(|line| line.contains("Non-2xx")).and_then(|line| line.rsplit(' ').next()?.parse().ok());
    Ok(Load { requests: number_before("requests in").context("wrk printed no count")?, errors: errors.unwrap_or(0) })
}

/// User and system time of a process and all below it, in seconds.
fn cpu_of_tree(root: u32) -> Result<f64> {
    let mut total = 0.0;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            let text = fs::read_to_string(task.join("schedstat"))?;
            total += text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9;
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    Ok(total)
}
