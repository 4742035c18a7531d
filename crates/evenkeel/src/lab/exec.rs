//! `lab exec`: a command inside a host.

use super::door;
use super::root::PROGRAMS;
use super::topology::Host;
use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

/// Runs `command` as root of `host`, and returns its exit status.
pub(super) fn run(host: Host, command: &[OsString]) -> Result<ExitCode> {
    let answer = door::ask(host.name())?;
    let pid = answer.host.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).context("the host does not run")?;
    let process = pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("find {host}"))?;
    let mut spaces = ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION;
    if answer.user_namespace {
        spaces |= ThreadNameSpaceType::USER;
    }
    move_into_thread_name_spaces(process.as_fd(), spaces).with_context(|| format!("enter {host}"))?;
    let (program, arguments) = command.split_first().context("no command")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let status = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{PROGRAMS}:{path}:{system}"))
        .status()
        .with_context(|| format!("run {} on {host}", program.display()))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
