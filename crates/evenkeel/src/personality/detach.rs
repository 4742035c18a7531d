//! Going into the background, as daemons of that age do.
//!
//! The binary starts itself again in a session of its own and waits until that process says it is ready or ends. So the
//! exit status of the start is the truth, every error reaches the terminal, and nothing is forked behind a runtime's back.

use crate::log;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Holds the process id of whoever started the detached process.
pub const DETACHED: &str = "EVENKEEL_DETACHED";

/// Whether this process is the detached one.
pub fn is_detached() -> bool {
    std::env::var(DETACHED).is_ok_and(|parent| parent == std::os::unix::process::parent_id().to_string())
}

/// Starts this program again, detached; returns when it is ready or has failed.
pub fn detach(name: &str, words: &[OsString]) -> ExitCode {
    let child = Command::new("/proc/self/exe")
        .arg0(name)
        .args(words)
        .env(DETACHED, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{name}: cannot go into the background: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Its end closes the pipe, unless it has said the word before.
    let mut said = [0; READY.len()];
    if child.stdout.take().is_some_and(|mut stdout| stdout.read_exact(&mut said).is_ok()) && said == READY {
        return ExitCode::SUCCESS;
    }
    let code = child.wait().ok().and_then(|status| status.code());
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

const READY: [u8; 5] = *b"ready";

/// Leaves the session of the terminal. Call it first in the detached process.
pub fn leave_session() {
    // Only a group leader is refused, which a child is not.
    let _ = rustix::process::setsid();
}

/// Tells the waiting parent, and lets go of what was inherited from it. Standard error goes to `log`, or stays where it is
/// when there is no other log and it is a file.
pub fn ready(log: Option<&File>, keep_stderr: bool) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(&READY).and_then(|()| stdout.flush());
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdout(&null);
    let is_file = rustix::fs::fstat(std::io::stderr().as_fd())
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file());
    match log {
        Some(file) => drop(log::redirect_stderr(file)),
        None if keep_stderr && is_file => {}
        None => drop(log::redirect_stderr(&null)),
    }
}
