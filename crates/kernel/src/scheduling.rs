//! How the kernel schedules a process: its nice value, real-time priority and processors.
//!
//! A parent sets this for its children, which then need no privilege for it, and may change it while they run. Nice values and
//! processors are those of all threads of a process, the real-time priority is that of its first one.

use crate::Error;
use crate::error::During;
use rustix::process::{Pid, Resource, Rlimit};
use rustix::thread::CpuSet;
use std::fs;
use std::io;
use std::time::Duration;

/// How a process is scheduled. What is not said stays as its parent's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Nice value, -20 to 19.
    pub nice: Option<i8>,
    /// Priority under SCHED_RR, 1 to 99.
    pub realtime: Option<u8>,
    /// Numbers of the processors that it may run on; all when empty.
    pub processors: Vec<u16>,
    /// So long may it run under SCHED_RR without waiting for anything: at half of it it gets SIGXCPU, at the end it is killed.
    pub longest_run: Option<Duration>,
}

impl Scheduling {
    /// Schedules the process like this; it was scheduled as `before` says. Returns what failed, and does the rest.
    pub fn apply(&self, before: &Scheduling, pid: u32) -> Vec<Error> {
        let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Vec::new() };
        let mut outcomes = Vec::new();
        if self.nice != before.nice {
            outcomes.push(set_nice(process, self.nice));
        }
        if self.longest_run != before.longest_run {
            outcomes.push(limit_runs(process, self.longest_run));
        }
        if self.realtime != before.realtime {
            outcomes.push(set_realtime(process, self.realtime));
        }
        if self.processors != before.processors {
            outcomes.push(set_processors(process, &self.processors));
        }
        outcomes.into_iter().filter_map(Result::err).collect()
    }
}

/// One that has ended meanwhile has no threads.
fn threads(process: Pid) -> Vec<Pid> {
    let entries = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn set_nice(process: Pid, nice: Option<i8>) -> Result<(), Error> {
    let during = || format!("ask for nice value {}", nice.map_or("of the parent".to_owned(), |nice| nice.to_string()));
    let nice = match nice {
        Some(nice) => i32::from(nice),
        None => rustix::process::getpriority_process(None).map_err(io::Error::from).during(during)?,
    };
    for thread in threads(process) {
        rustix::process::setpriority_process(Some(thread), nice).map_err(io::Error::from).during(during)?;
    }
    Ok(())
}

fn set_realtime(process: Pid, priority: Option<u8>) -> Result<(), Error> {
    let parameters = libc::sched_param { sched_priority: i32::from(priority.unwrap_or(0)) };
    // Children of the process start without.
    let policy = if priority.is_some() { libc::SCHED_RR | libc::SCHED_RESET_ON_FORK } else { libc::SCHED_OTHER };
    // SAFETY: takes integers, and the parameters are read only during the call.
    let result = unsafe { libc::sched_setscheduler(process.as_raw_nonzero().get(), policy, &raw const parameters) };
    let outcome = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    outcome.during(|| match priority {
        Some(priority) => format!("ask for SCHED_RR priority {priority}"),
        None => "leave SCHED_RR".to_owned(),
    })
}

fn set_processors(process: Pid, processors: &[u16]) -> Result<(), Error> {
    let during = || format!("run on the processors {processors:?}");
    let mut set = CpuSet::new();
    match processors {
        [] => set = rustix::thread::sched_getaffinity(None).map_err(io::Error::from).during(during)?,
        some => some.iter().map(|&n| usize::from(n)).filter(|n| *n < CpuSet::MAX_CPU).for_each(|n| set.set(n)),
    }
    for thread in threads(process) {
        rustix::thread::sched_setaffinity(Some(thread), &set).map_err(io::Error::from).during(during)?;
    }
    Ok(())
}

fn limit_runs(process: Pid, longest: Option<Duration>) -> Result<(), Error> {
    let microseconds = longest.map(|longest| u64::try_from(longest.as_micros()).unwrap_or(u64::MAX));
    let limit = Rlimit { current: microseconds.map(|hard| hard.div_ceil(2)), maximum: microseconds };
    rustix::process::prlimit(Some(process), Resource::Rttime, limit)
        .map(drop)
        .map_err(io::Error::from)
        .during(|| format!("limit runs to {longest:?}"))
}
