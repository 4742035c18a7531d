//! Role processes: this binary again, with the bus as its standard input.

use super::Happening;
use crate::log;
use crate::role::{NO_SWAP, Role};
use crate::wire::Wire;
use evenkeel_bus::{Channel, ChannelError};
use evenkeel_conf::keepalived::Scheduling;
use evenkeel_kernel::scheduling;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};
use std::time::Instant;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Messages that may wait for a role's socket task. A role that reads nothing for so long is stopped.
const MAX_WAITING: usize = 4096;

/// Which life of a role a message is from: late words of a dead process are told apart by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(pub u64);

/// What a role process said, or how it ended.
#[derive(Debug)]
pub enum Heard<From> {
    /// A message.
    Message(From),
    /// It is gone, in words: `killed by signal 9`.
    Gone(String),
}

/// A running role process.
#[derive(Debug)]
pub struct Process<To> {
    /// Its process id.
    pub pid: u32,
    /// When it was started.
    pub started_at: Instant,
    outgoing: mpsc::Sender<(To, Vec<OwnedFd>)>,
}

impl<To: Serialize + Send + 'static> Process<To> {
    /// Starts `role`. What it says comes out of `happenings`, wrapped by `wrap`.
    pub fn start<From: DeserializeOwned + Send + 'static>(
        role: Role,
        names: Names<'_>,
        target: log::Target,
        generation: Generation,
        happenings: mpsc::Sender<Happening>,
        wrap: fn(Generation, Heard<From>) -> Happening,
    ) -> std::io::Result<Self> {
        let (channel, theirs) = Channel::pair()?;
        let channel = Wire::new(channel)?;
        let (key, value) = target.variable();
        let mut command = std::process::Command::new("/proc/self/exe");
        command
            .arg0(names.title)
            .args(["--role", role.name(), "--parent", &std::process::id().to_string(), "--comm", names.comm])
            .env(key, value)
            .envs(log::Naming::variables())
            .env_remove(crate::personality::DETACHED)
            .env_remove(super::service::VARIABLE)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // A signal to the supervisor's group (Ctrl-C at a terminal) is the supervisor's to act on.
            .process_group(0)
            .current_dir("/");
        if names.scheduling.is_some_and(|scheduling| scheduling.no_swap) {
            command.arg(NO_SWAP);
        }
        let child = Command::from(command).spawn()?;
        let pid = child.id().unwrap_or_default();
        if let Some(scheduling) = names.scheduling {
            schedule(role, pid, scheduling, &Scheduling::default());
        }
        let (outgoing, messages) = mpsc::channel(MAX_WAITING);
        tokio::spawn(attend(channel, child, messages, generation, happenings, wrap));
        Ok(Process { pid, started_at: Instant::now(), outgoing })
    }

    /// Sends a message; a role that cannot take it is stopped by its socket task.
    pub fn send(&self, message: To) {
        self.send_with(message, Vec::new());
    }

    /// Sends a message with descriptors.
    pub fn send_with(&self, message: To, descriptors: Vec<OwnedFd>) {
        if self.outgoing.try_send((message, descriptors)).is_err() {
            // Full: the process hangs. Gone: its end is on the way to us.
            tracing::warn!(target: "supervisor", pid = self.pid, "a role does not take its messages");
        }
    }

    /// Ends the process at once.
    pub fn kill(&self) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// What a role process is called, and how it runs.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The command line that `ps` shows.
    pub title: &'a str,
    /// The name that `ps -C` and `killall` go by.
    pub comm: &'a str,
    /// How it runs; `None` for one that runs as its supervisor does.
    pub scheduling: Option<&'a Scheduling>,
}

/// Schedules a role's process, which was scheduled as `before` says. What the kernel refuses is said, and does not keep the role
/// from its work.
pub fn schedule(role: Role, pid: u32, scheduling: &Scheduling, before: &Scheduling) {
    let kernels = |scheduling: &Scheduling| {
        let Scheduling { nice, realtime, processors, longest_run, no_swap: _ } = scheduling.clone();
        scheduling::Scheduling { nice, realtime, processors, longest_run }
    };
    let errors = kernels(scheduling).apply(&kernels(before), pid);
    if let (Some(priority), true) = (scheduling.realtime, errors.is_empty() && scheduling.realtime != before.realtime) {
        tracing::info!(target: "supervisor", "the {} role runs under SCHED_RR priority {priority}", role.name());
    }
    for error in errors {
        tracing::warn!(target: "supervisor", "the {} role: {error}: it may be late under load", role.name());
    }
}

async fn attend<To: Serialize, From: DeserializeOwned>(
    mut channel: Wire,
    mut child: Child,
    mut messages: mpsc::Receiver<(To, Vec<OwnedFd>)>,
    generation: Generation,
    happenings: mpsc::Sender<Happening>,
    wrap: fn(Generation, Heard<From>) -> Happening,
) {
    let trouble = loop {
        let wants_write = channel.wants_write();
        tokio::select! {
            ready = channel.readable() => {
                if let Err(error) = ready {
                    break Some(error.into());
                }
                match channel.receive::<From>() {
                    Ok(Some(received)) => {
                        if happenings.send(wrap(generation, Heard::Message(received.message))).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => {}
                    Err(ChannelError::Closed) => break None,
                    Err(error) => break Some(error),
                }
            }
            ready = channel.writable(), if wants_write => {
                match ready.map_err(ChannelError::from).and_then(|()| channel.flush()) {
                    // Its end shows at a read, after its last words.
                    Ok(()) | Err(ChannelError::Closed) => {}
                    Err(error) => break Some(error),
                }
            }
            message = messages.recv() => {
                // The supervisor let go of the process: it is to end, and closing the bus tells it so.
                let Some((message, descriptors)) = message else { break None };
                match channel.send(&message, descriptors) {
                    Ok(()) | Err(ChannelError::Closed) => {}
                    Err(error) => break Some(error),
                }
            }
        }
    };
    drop(channel);
    if trouble.is_some() {
        let _ = child.start_kill();
    }
    let ended = match tokio::time::timeout(std::time::Duration::from_secs(2), child.wait()).await {
        Ok(status) => status,
        // It closed the bus and lives on; nobody can talk to it any more.
        Err(_) => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    let how = match (trouble, ended) {
        (Some(trouble), _) => format!("stopped because of its messages: {trouble}"),
        (None, Ok(status)) => describe(status),
        (None, Err(error)) => format!("unknown end: {error}"),
    };
    let _ = happenings.send(wrap(generation, Heard::Gone(how))).await;
}

/// `exited with status 1`, `killed by signal 9 (SIGKILL)`.
pub fn describe(status: ExitStatus) -> String {
    if let Some(code) = status.code() {
        return format!("exited with status {code}");
    }
    let signal = status.signal().unwrap_or_default();
    let name = match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        31 => " (SIGSYS)",
        _ => "",
    };
    format!("killed by signal {signal}{name}")
}
