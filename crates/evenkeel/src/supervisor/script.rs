//! Running other people's programs: check scripts on their interval, notify scripts when told to.

use super::Happening;
use evenkeel_conf::keepalived::{CommandLine, ScriptCommand};
use evenkeel_kernel::{netns, privilege};
use evenkeel_vrrp::{ScriptId, ScriptOutcome};
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

/// From TERM to KILL.
const GRACE: Duration = Duration::from_secs(2);
/// How often a group that is to end is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// User and group, as the configuration names them.
pub(super) type Identity = Option<(String, Option<String>)>;

/// Which start of the check scripts: late outcomes of an earlier one are told apart by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round(u64);

impl Round {
    /// The one after this.
    pub fn next(self) -> Self {
        Round(self.0 + 1)
    }
}

/// The check scripts that run. Dropping it ends them.
#[derive(Debug, Default)]
pub struct Checks {
    /// Their outcomes carry it.
    pub round: Round,
    tasks: Vec<AbortHandle>,
}

impl Checks {
    /// Starts each of `tracked` on its interval, beginning now.
    pub fn start(
        round: Round,
        scripts: &[ScriptCommand],
        tracked: &[ScriptId],
        script_user: &Identity,
        happenings: &mpsc::Sender<Happening>,
    ) -> Self {
        let tasks = tracked.iter().filter_map(|&id| {
            let script = scripts.get(id.0 as usize)?.clone();
            let user = script.command.user.clone().or(script.user.clone()).or(script_user.clone());
            Some(tokio::spawn(check((round, id), script, user, happenings.clone())).abort_handle())
        });
        Checks { round, tasks: tasks.collect() }
    }

    /// None, and nobody hears of those that ran any more.
    pub fn stopped(&self) -> Self {
        Checks { round: self.round.next(), tasks: Vec::new() }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// One script for ever. Runs never overlap: a run that lasts longer than the interval delays the next one.
async fn check(
    (round, id): (Round, ScriptId),
    script: ScriptCommand,
    user: Identity,
    happenings: mpsc::Sender<Happening>,
) {
    let mut interval = tokio::time::interval(script.interval.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        let outcome = run_check(&script, &user).await;
        if happenings.send(Happening::ScriptEnded { round, id, outcome }).await.is_err() {
            return;
        }
    }
}

async fn run_check(script: &ScriptCommand, user: &Identity) -> ScriptOutcome {
    // keepalived's `< /file`: well when the file can be read.
    if let Some(path) = script.command.words[0].strip_prefix('<') {
        let path = if path.is_empty() { script.command.words.get(1).map_or("", String::as_str) } else { path };
        return if File::open(path).is_ok() { ScriptOutcome::Success } else { ScriptOutcome::Failure { status: 1 } };
    }
    match once(&script.command, user, script.timeout).await {
        Once::Exited(0) => ScriptOutcome::Success,
        Once::Exited(status) => ScriptOutcome::Failure { status },
        Once::Killed(signal) => ScriptOutcome::Failure { status: 128 + signal },
        Once::TimedOut => ScriptOutcome::TimedOut,
        Once::NotStarted(reason) => {
            tracing::warn!(target: "script", script = script.name, "cannot run it: {reason}");
            // What a shell says of a command that it cannot run.
            ScriptOutcome::Failure { status: 127 }
        }
    }
}

/// How one run of a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// After `limit`, with TERM and, two seconds later, KILL.
    TimedOut,
    /// It could not be started, for this reason.
    NotStarted(String),
}

/// Runs a program to its end. Dropping the future kills it.
pub async fn once(command: &CommandLine, user: &Identity, limit: Duration) -> Once {
    let mut running = match Running::start(command, user) {
        Ok(running) => running,
        Err(reason) => return Once::NotStarted(reason),
    };
    match tokio::time::timeout(limit, running.child.wait()).await {
        Ok(Ok(status)) => match (status.code(), status.signal()) {
            (Some(status), _) => Once::Exited(status),
            (None, signal) => Once::Killed(signal.unwrap_or_default()),
        },
        Ok(Err(error)) => Once::NotStarted(error.to_string()),
        Err(_) => {
            running.end().await;
            Once::TimedOut
        }
    }
}

/// Runs a program to its end, or until it is to `stop`: then it gets TERM and, two seconds later, KILL. `None` when it was
/// stopped; else how it ended.
pub async fn until(command: &CommandLine, user: &Identity, stop: &mut oneshot::Receiver<()>) -> Option<String> {
    let mut running = match Running::start(command, user) {
        Ok(running) => running,
        Err(reason) => return Some(format!("could not be started: {reason}")),
    };
    tokio::select! {
        ended = running.child.wait() => Some(match ended {
            Ok(status) => super::process::describe(status),
            Err(error) => error.to_string(),
        }),
        // Whoever could say so is gone: that says the same.
        _ = stop => {
            running.end().await;
            None
        }
    }
}

/// Waits for the last process of a group that was told to end, and kills what is left after the grace.
async fn end_group(group: Option<rustix::process::Pid>) {
    let Some(group) = group else { return };
    let mut ending = Ending(Some(group));
    let until = Instant::now() + GRACE;
    // Looked at often, so that a group that is gone is not mistaken for a later one of its number.
    while Instant::now() < until {
        if rustix::process::test_kill_process_group(group).is_err() {
            ending.0 = None;
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A group that is killed when nobody waits for its end any more: its time is over, or the daemon's.
struct Ending(Option<rustix::process::Pid>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Runs the commands of one notification at once, and waits for all of them.
pub async fn notify(instance: String, commands: Vec<CommandLine>, user: Identity) {
    let mut running = Vec::new();
    for command in commands {
        let user = command.user.clone().or(user.clone());
        match Running::start(&command, &user) {
            Ok(child) => running.push((command, child)),
            Err(reason) => {
                tracing::error!(target: "script", instance, script = command.words.join(" "), "cannot run it: {reason}");
            }
        }
    }
    for (command, mut running) in running {
        let ended = running.child.wait().await;
        running.over = true;
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => {
                let how = super::process::describe(status);
                tracing::warn!(target: "script", instance, script = command.words.join(" "), "notify script {how}");
            }
            Err(error) => tracing::warn!(target: "script", instance, "notify script: {error}"),
        }
    }
}

/// A program in a process group of its own.
struct Running {
    child: Child,
    group: Option<rustix::process::Pid>,
    /// Nothing is left to stop.
    over: bool,
}

impl Running {
    fn start(command: &CommandLine, user: &Identity) -> Result<Self, String> {
        let mut program = std::process::Command::new(&command.words[0]);
        program
            .args(&command.words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .current_dir("/");
        // What could change which code a script runs; the rest of the environment is the administrator's.
        for name in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "LD_AUDIT",
            "IFS",
            "BASH_ENV",
            "ENV",
            "EVENKEEL_LOG_TO",
            "EVENKEEL_LOG_NAMING",
            "EVENKEEL_LOG_FILE",
            crate::personality::DETACHED,
            super::service::VARIABLE,
        ] {
            program.env_remove(name);
        }
        if let Some((name, group)) = user {
            let found = identity(name, group.as_deref())?;
            let is_other =
                rustix::process::geteuid().as_raw() != found.uid || rustix::process::getegid().as_raw() != found.gid;
            if is_other || found.groups.len() > 1 {
                privilege::run_as(&mut program, &found, &found.groups);
            }
        }
        netns::die_with_parent(&mut program);
        let child = Command::from(program).spawn().map_err(|error| format!("{}: {error}", command.words[0]))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        Ok(Running { child, group, over: false })
    }

    /// Ends it with all that it started.
    async fn end(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        // What it started may ignore that, whatever the program itself does.
        let rest = tokio::spawn(end_group(self.group));
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            let _ = rest.await;
            let _ = self.child.wait().await;
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    /// A check that is given up (reload, stop) is stopped with all it started.
    fn drop(&mut self) {
        if !self.over && matches!(self.child.try_wait(), Ok(None)) {
            self.signal(rustix::process::Signal::KILL);
        }
    }
}

/// Who runs a script. Of the user's groups it has only its own one, and all of them when there is a colon before the group.
pub(super) fn identity(name: &str, group: Option<&str>) -> Result<privilege::User, String> {
    let user = privilege::lookup_user(name).map_err(|error| error.to_string())?;
    let mut user = user.ok_or_else(|| format!("user {name} does not exist"))?;
    let (wants_all, group) = match group {
        None => (false, None),
        Some(group) => match group.strip_prefix(ALL_GROUPS) {
            Some(group) => (true, Some(group).filter(|group| !group.is_empty())),
            None => (false, Some(group)),
        },
    };
    if let Some(group) = group {
        user.gid = group_id(group).ok_or_else(|| format!("group {group} does not exist"))?;
    }
    if wants_all {
        user.groups.retain(|id| *id != user.gid);
        user.groups.insert(0, user.gid);
    } else {
        user.groups = vec![user.gid];
    }
    Ok(user)
}

/// Before a group: the user's other groups as well.
pub(super) const ALL_GROUPS: char = ':';

/// The id of a group, by name or number.
pub fn group_id(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    found.or_else(|| name.parse().ok())
}

/// `exited with status 1`, `timed out`, in keepalived's words.
pub fn words(outcome: ScriptOutcome) -> String {
    match outcome {
        ScriptOutcome::Success => "exited with status 0".to_owned(),
        ScriptOutcome::Failure { status } if status > 128 => format!("terminated by signal {}", status - 128),
        ScriptOutcome::Failure { status } => format!("exited with status {status}"),
        ScriptOutcome::TimedOut => "timed out".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_grandchild_that_ignores_the_end_of_its_script_is_killed() {
        let note = std::env::temp_dir().join(format!("evenkeel-grandchild-{}", std::process::id()));
        // The script obeys TERM, what it started does not.
        let line = format!("(trap '' TERM; exec sleep 600) & echo $! > {}; wait", note.display());
        let script = ScriptCommand {
            name: "chk".to_owned(),
            command: CommandLine { words: vec!["/bin/sh".to_owned(), "-c".to_owned(), line], user: None },
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            weight: 0,
            user: None,
        };
        assert_eq!(run_check(&script, &None).await, ScriptOutcome::TimedOut);
        let pid = std::fs::read_to_string(&note).unwrap().trim().to_owned();
        std::fs::remove_file(note).unwrap();
        // A killed process that nobody has waited for yet is a zombie.
        let lives = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            status.contains("(sleep)") && !status.contains(") Z ")
        };
        assert!(lives(), "it ignores TERM");
        while lives() {
            tokio::time::sleep(LOOK).await;
        }
    }
}
