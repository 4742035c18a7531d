//! The first process of a host. It mounts the host's files, runs its daemon or its requests, does what the lab tells it,
//! and reports what it sees. When the lab is gone it ends, and the kernel ends everything else in the host.

use super::message::{Order, Report};
use super::topology::{Host, Service, VIP};
use super::{probe, root, watch};
use anyhow::{Context, Result};
use evenkeel_kernel::privilege;
use evenkeel_wire::Mac;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::interval;

/// Reports that wait to be written. When the lab does not read, samples are lost, and the rest waits.
const QUEUE: usize = 4096;
/// Between two looks at the client's ARP table.
const NEIGHBOUR: Duration = Duration::from_millis(50);

/// Is the host until the lab is gone.
pub(super) fn main(host: Host) -> Result<ExitCode> {
    // The lab's end reaches us twice: by this signal, and by the end of our input, which also holds when the lab died
    // before this line.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("die with the lab")?;
    privilege::name_process(&format!("lab-{host}")).context("name the process")?;
    let ready = root::enter(host);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(async {
        let (reports, queue) = mpsc::channel(QUEUE);
        let output = rustix::io::dup(rustix::stdio::stdout()).context("open the output")?;
        let writer = tokio::spawn(write_reports(output, queue));
        let result = match ready {
            Ok(()) => HostProcess { host, reports: reports.clone(), daemon: None, start_again: false }.run().await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            let _ = reports.send(Report::Failed { reason: format!("{error:#}") }).await;
            drop(reports);
            let _ = writer.await;
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn write_reports(output: OwnedFd, mut queue: mpsc::Receiver<Report>) -> Result<()> {
    let mut output = pipe::Sender::from_owned_fd(output)?;
    while let Some(report) = queue.recv().await {
        let mut line = serde_json::to_vec(&report)?;
        line.push(b'\n');
        output.write_all(&line).await?;
    }
    Ok(())
}

struct HostProcess {
    host: Host,
    reports: mpsc::Sender<Report>,
    /// The supervisor of the daemon, and the leader of the daemon's process group.
    daemon: Option<Pid>,
    /// Whether to start the daemon when the one that runs has ended.
    start_again: bool,
}

impl HostProcess {
    async fn run(mut self) -> Result<()> {
        let input = rustix::io::dup(rustix::stdio::stdin()).context("open the input")?;
        let mut orders = BufReader::new(pipe::Receiver::from_owned_fd(input).context("open the input")?).lines();
        let mut children = signal(SignalKind::child()).context("wait for children")?;
        let mut looks = interval(NEIGHBOUR);
        match self.host.service() {
            Service::Probe => {
                tokio::spawn(probe::run(self.reports.clone()));
            }
            Service::Daemon(_) => {
                watch::start(self.reports.clone()).context("watch the daemon")?;
                self.start_daemon()?;
            }
        }
        let mut neighbour = None;
        loop {
            tokio::select! {
                order = orders.next_line() => match order.context("read an order")? {
                    Some(line) => self.obey(serde_json::from_str(&line).context("understand an order")?)?,
                    None => return Ok(()),
                },
                _ = children.recv() => self.reap().await?,
                _ = looks.tick(), if self.host == Host::Client => {
                    let found = read_neighbour(&fs::read_to_string("/proc/net/arp").unwrap_or_default());
                    if found != neighbour {
                        neighbour = found;
                        self.reports.send(Report::Neighbour(found)).await?;
                    }
                }
            }
        }
    }

    fn obey(&mut self, order: Order) -> Result<()> {
        match order {
            Order::StartDaemon => {
                // One that still hands over is waited for.
                self.start_again = self.daemon.is_some();
                if self.daemon.is_none() {
                    self.start_daemon()?;
                }
            }
            Order::StopDaemon => {
                self.start_again = false;
                if let Some(daemon) = self.daemon {
                    kill_process(daemon, Signal::TERM).context("stop the daemon")?;
                }
            }
            Order::KillDaemon => {
                self.start_again = false;
                if let Some(daemon) = self.daemon {
                    kill_all(daemon);
                }
            }
            Order::FreezeProxy => signal_role("proxy", Signal::STOP),
            Order::ThawProxy => signal_role("proxy", Signal::CONT),
        }
        Ok(())
    }

    fn start_daemon(&mut self) -> Result<()> {
        let Service::Daemon(arguments) = self.host.service() else { return Ok(()) };
        let (lines, output) = std::io::pipe().context("make a pipe")?;
        let daemon = Command::new("/proc/self/exe")
            .arg0("evenkeel")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("copy a descriptor")?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .context("start the daemon")?;
        self.daemon = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw);
        tokio::spawn(forward_lines(lines.into(), self.reports.clone()));
        Ok(())
    }

    /// Takes in every process that ended: the daemon, and those that it left to us.
    async fn reap(&mut self) -> Result<()> {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if self.daemon != Some(pid) {
                continue;
            }
            self.daemon = None;
            self.reports.send(Report::DaemonEnded { how: describe_end(status) }).await?;
            if std::mem::take(&mut self.start_again) {
                self.start_daemon()?;
            }
        }
        Ok(())
    }
}

async fn forward_lines(lines: OwnedFd, reports: mpsc::Sender<Report>) -> Result<()> {
    let mut lines = BufReader::new(pipe::Receiver::from_owned_fd(lines)?).lines();
    while let Some(text) = lines.next_line().await? {
        reports.send(Report::Line { text }).await?;
    }
    Ok(())
}

/// Kills a daemon with all its roles, as a machine that dies does: none may see another one go and act on it, so the
/// supervisor is halted first.
fn kill_all(supervisor: Pid) {
    // Any of them may have ended since.
    let _ = kill_process(supervisor, Signal::STOP);
    for role in ["vrrp", "proxy"] {
        signal_role(role, Signal::KILL);
    }
    let _ = kill_process(supervisor, Signal::KILL);
}

/// Signals every process of this role on this host: `/proc` shows no other host's.
fn signal_role(role: &str, signal: Signal) {
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        if let Some(pid) = pid
            && has_role(&arguments, role)
        {
            // It may have ended since.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Whether these arguments, as `/proc` has them, are those of a role's process.
fn has_role(arguments: &[u8], role: &str) -> bool {
    let arguments: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
    arguments.windows(2).any(|pair| pair == [b"--role", role.as_bytes()])
}

fn describe_end(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => "exit 0".to_owned(),
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "in an unknown way".to_owned(),
    }
}

/// The address's entry in the kernel's ARP table, as `/proc/net/arp` prints it; `None` while it is being asked for.
fn read_neighbour(table: &str) -> Option<Mac> {
    let address = VIP.to_string();
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(&address))?;
    let mut figures = row.split_whitespace().nth(3)?.split(':').map(|figure| u8::from_str_radix(figure, 16));
    let mut mac = Mac::default();
    for byte in &mut mac.0 {
        *byte = figures.next()?.ok()?;
    }
    (mac != Mac::default()).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arp_table_says_where_the_address_is() {
        let head = "IP address       HW type     Flags       HW address            Mask     Device\n";
        for (row, mac) in [
            ("10.0.0.100       0x1         0x2         02:00:00:00:00:0a     *        eth0\n", Some(Host::Lb01.mac())),
            ("10.0.0.100       0x1         0x0         00:00:00:00:00:00     *        eth0\n", None),
            ("10.0.0.10        0x1         0x2         02:00:00:00:00:0a     *        eth0\n", None),
            ("10.0.0.100 0x1 0x2 02:00\n", None),
            ("", None),
        ] {
            assert_eq!(read_neighbour(&format!("{head}{row}")), mac, "{row}");
        }
    }

    #[test]
    fn a_process_is_known_by_its_role() {
        let arguments = b"evenkeel\0--role\0proxy\0--parent\x007\0";
        assert!(has_role(arguments, "proxy"));
        assert!(!has_role(arguments, "vrrp"));
        assert!(!has_role(b"evenkeel\0run\0--nginx\0/etc/nginx/nginx.conf\0", "proxy"));
    }
}
