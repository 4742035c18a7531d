//! Cases on a program.

use super::origin::{self, Script};
use super::{Case, File, Send, compare, host};
use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long a connection may stay open that nobody closes.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a file's cases went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cases that both programs ran.
    pub n_cases: usize,
    /// Cases whose difference is written down.
    pub n_known: usize,
    /// What differs and should not, or is written down and does not.
    pub failures: Vec<String>,
}

/// Runs the cases whose title contains `wanted` on both programs. `place` tells apart the addresses of files that run beside
/// one another.
pub fn run(file: &File, place: u8, wanted: &str) -> Result<Outcome> {
    let mut cases: Vec<(usize, &Case)> = (1..).zip(&file.cases).collect();
    cases.retain(|(_, case)| case.title.contains(wanted));
    let mut outcome = Outcome::default();
    if cases.is_empty() {
        return Ok(outcome);
    }
    let bench = Bench::new(file, place)?;
    let nginx = bench.run(Path::new("/usr/sbin/nginx"), "nginx", &cases).context("on nginx")?;
    let evenkeel = bench.run(&crate::evenkeel(), "evenkeel", &cases).context("on evenkeel")?;
    for (((_, case), nginx), evenkeel) in cases.iter().zip(nginx).zip(evenkeel) {
        outcome.n_cases += 1;
        outcome.n_known += usize::from(case.because.is_some());
        let (only_nginx, only_evenkeel) = compare::difference(&nginx, &evenkeel);
        if only_nginx != case.only_nginx || only_evenkeel != case.only_evenkeel {
            let mut text = format!("{}:{}: {}\n", file.path.display(), case.line, case.title);
            only_nginx.iter().for_each(|line| text += &format!("    n| {line}\n"));
            only_evenkeel.iter().for_each(|line| text += &format!("    e| {line}\n"));
            if std::env::var_os("SHOW").is_some() {
                nginx.iter().for_each(|line| text += &format!("      nginx:    {line}\n"));
                evenkeel.iter().for_each(|line| text += &format!("      evenkeel: {line}\n"));
            }
            outcome.failures.push(text);
        }
    }
    Ok(outcome)
}

/// A folder, addresses and origins for one file of cases.
struct Bench<'f> {
    file: &'f File,
    folder: PathBuf,
    address: String,
    script: Arc<Script>,
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl<'f> Bench<'f> {
    fn new(file: &'f File, place: u8) -> Result<Self> {
        // Always as many digits: lengths of answers must not depend on the address.
        let third = 100 + std::process::id() % 150;
        let address = format!("127.{}.{third}.1", 100 + u32::from(place));
        let folder = std::env::temp_dir().join(format!("evenkeel-cases-{}-{}", std::process::id(), file.name()));
        std::fs::create_dir_all(&folder)?;
        for (path, text) in &file.files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().context("a file in a folder")?)?;
            std::fs::write(&path, text)?;
            let date = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_164_645);
            std::fs::File::options().write(true).open(&path)?.set_modified(date)?;
        }
        let script = Arc::new(Script::default());
        origin::listen(&address, &script).context("listen as an origin")?;
        Ok(Bench { file, folder, address, script })
    }

    /// What each case showed.
    fn run(&self, program: &Path, name: &str, cases: &[(usize, &Case)]) -> Result<Vec<Vec<String>>> {
        let log = self.folder.join("access.log");
        let _ = std::fs::remove_file(&log);
        let mut server = self.start(program, name, cases)?;
        let mut shown = Vec::new();
        for (number, case) in cases {
            shown.push(self.case(*number, case)?);
        }
        server.stop()?;
        let log = std::fs::read_to_string(&log).context("read the access log")?;
        let plain = |line: String| line.replace(&self.address, "ADDR");
        let lines = shown.into_iter().map(|case| case.with_log(&log).into_iter().map(plain).collect());
        Ok(lines.collect())
    }

    fn start(&self, program: &Path, name: &str, cases: &[(usize, &Case)]) -> Result<Running> {
        let conf = self.folder.join("nginx.conf");
        std::fs::write(&conf, self.configuration(cases))?;
        let link = self.folder.join(format!("as-{name}"));
        std::fs::create_dir_all(&link)?;
        let link = link.join("nginx");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(program, &link)?;
        let output = std::fs::File::create(self.folder.join(format!("{name}.out")))?;
        let child = Command::new(&link)
            .args(["-p".as_ref(), self.folder.as_os_str(), "-c".as_ref(), conf.as_os_str()])
            .env("EVENKEEL_RUNTIME_DIR", self.folder.join("run"))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut running = Running(child);
        let place: SocketAddr = format!("{}:8080", self.address).parse()?;
        let up = crate::wait_until(Duration::from_secs(20), || {
            TcpStream::connect(place).is_ok() || running.0.try_wait().is_ok_and(|status| status.is_some())
        });
        if !up || running.0.try_wait()?.is_some() {
            bail!("does not start: {}", std::fs::read_to_string(self.folder.join(format!("{name}.out")))?);
        }
        Ok(running)
    }

    fn configuration(&self, cases: &[(usize, &Case)]) -> String {
        let folder = self.folder.display();
        let mut text = format!(
            "daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log info;\n\
             events {{ worker_connections 256; }}\nhttp {{\n\
             log_format case '$remote_port $status \"$request\" $uri $args $upstream_addr $upstream_status sent=$body_bytes_sent';\n\
             access_log {folder}/access.log case;\nserver_tokens off;\nproxy_temp_path {folder}/temp;\n\
             client_body_temp_path {folder}/temp;\nroot {folder};\n"
        );
        self.file.http.iter().for_each(|line| text += &format!("{line}\n"));
        for (number, case) in cases {
            text += &format!("server {{\nlisten ADDR:8080;\nserver_name {};\n", host(*number));
            case.server.iter().for_each(|line| text += &format!("{line}\n"));
            text += "}\n";
        }
        text += "}\n";
        self.placed(&text)
    }

    fn placed(&self, text: &str) -> String {
        let mut text = text.replace("ADDR", &self.address).replace("DIR", &self.folder.display().to_string());
        for (name, place) in origin::places(&self.address) {
            text = text.replace(&name, &place);
        }
        text
    }

    fn case(&self, number: usize, case: &Case) -> Result<Shown> {
        let answers = case.answers.iter().cloned().map(|mut answer| {
            answer.text = self.placed_bytes(&answer.text);
            answer
        });
        self.script.set(answers.collect());
        let mut shown = Shown::default();
        for send in &case.sends {
            for _ in 0..send.times {
                let (port, answer) = self.connection(send).with_context(|| format!("case {number}: {}", case.title))?;
                let (lines, longer) = compare::answers(&answer);
                shown.lines.extend(lines);
                shown.connections.push((port, longer));
            }
        }
        for asked in self.script.take() {
            shown.lines.extend(compare::show(&asked).split('\n').map(str::to_owned));
        }
        Ok(shown)
    }

    fn placed_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.placed(text).into_bytes(),
            Err(_) => bytes.to_vec(),
        }
    }

    /// One connection to its end: its port, and what came.
    fn connection(&self, send: &Send) -> Result<(u16, Vec<u8>)> {
        let bytes = self.placed_bytes(&send.bytes);
        let mut stream = connect(&send.from, &format!("{}:8080", self.address))?;
        let port = stream.local_addr()?.port();
        stream.write_all(&bytes)?;
        let until = Instant::now() + PATIENCE;
        let mut answer = Vec::new();
        let mut buffer = [0; 16384];
        loop {
            stream.set_read_timeout(Some(
                until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)),
            ))?;
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => answer.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(_) => {
                    answer.extend_from_slice(b"\n(still open)");
                    break;
                }
            }
        }
        Ok((port, answer))
    }
}

/// From a local address: the system's choice is 127.0.0.1 for all of 127.0.0.0/8.
fn connect(from: &str, to: &str) -> Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    let from = from.parse().context("an address to come from")?;
    // Each port once: lines of the log are found by it. Whoever has one already keeps it.
    let socket = loop {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        let port = 10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 20_000;
        match bind(&socket, &SocketAddr::new(from, port)) {
            Ok(()) => break socket,
            Err(rustix::io::Errno::ADDRINUSE) => {}
            Err(error) => return Err(error.into()),
        }
    };
    connect(&socket, &to.parse::<SocketAddr>()?)?;
    Ok(TcpStream::from(socket))
}

/// What a case showed, before its log is known.
#[derive(Default)]
struct Shown {
    lines: Vec<String>,
    /// Ports of its connections, and by how much evenkeel's page was longer in each answer.
    connections: Vec<(u16, Vec<usize>)>,
}

impl Shown {
    fn with_log(mut self, log: &str) -> Vec<String> {
        for (port, longer) in self.connections {
            let prefix = format!("{port} ");
            let mut longer = longer.into_iter();
            for line in log.lines().filter_map(|line| line.strip_prefix(&prefix)) {
                let longer = longer.next().unwrap_or_default();
                let line = match line.rsplit_once(" sent=") {
                    Some((before, sent)) if longer > 0 => {
                        format!("{before} sent={}", sent.parse::<usize>().unwrap_or(0).saturating_sub(longer))
                    }
                    _ => line.to_owned(),
                };
                self.lines.push(format!("log: {line}"));
            }
        }
        self.lines
    }
}

/// A program that ends with this value.
struct Running(Child);

impl Running {
    fn stop(&mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT)?;
        let ended =
            crate::wait_until(Duration::from_secs(10), || self.0.try_wait().is_ok_and(|status| status.is_some()));
        ensure!(ended, "does not stop");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
