//! Which notify scripts run when. Pure: the caller starts what it is handed and says when it is over.

use super::fifo::Fifo;
use evenkeel_conf::keepalived::{CommandLine, NotifyCommands};
use evenkeel_vrrp::{Report, StateName, Status};
use std::collections::BTreeMap;

/// What to run for one state of one instance, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Name of the instance, or the virtual or real server as keepalived's FIFO spells it.
    pub instance: String,
    /// What the scripts are told.
    pub state: &'static str,
    /// The commands, with all their arguments.
    pub commands: Vec<CommandLine>,
}

/// For each instance one job runs at a time, and at most one waits: a newer state replaces a waiting older one, for
/// nobody needs to hear of a state that is over.
#[derive(Debug, Default)]
pub struct Queue {
    instances: BTreeMap<String, Option<Job>>,
}

impl Queue {
    /// Hands the job back when it is to start now; else it waits, and what waited before is dropped.
    pub fn push(&mut self, job: Job) -> Option<Job> {
        match self.instances.get_mut(&job.instance) {
            Some(waiting) => {
                *waiting = Some(job);
                None
            }
            None => {
                self.instances.insert(job.instance.clone(), None);
                Some(job)
            }
        }
    }

    /// The running job of `instance` is over: the next one to start.
    pub fn ended(&mut self, instance: &str) -> Option<Job> {
        let next = self.instances.get_mut(instance)?.take();
        if next.is_none() {
            self.instances.remove(instance);
        }
        next
    }

    /// Nothing runs and nothing waits.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }
}

/// The FIFOs that are told of virtual routers.
#[derive(Debug, Default)]
pub struct Fifos {
    /// `notify_fifo`, which is told of servers as well.
    pub all: Fifo,
    /// `vrrp_notify_fifo`
    pub vrrp: Fifo,
}

impl Fifos {
    /// `INSTANCE "VI_1" MASTER 150`
    pub fn tell(&mut self, kind: &str, name: &str, state: Report, priority: u8) {
        let line = format!("{kind} \"{name}\" {} {priority}", word(state));
        self.all.write(&line);
        self.vrrp.write(&line);
    }

    /// The state that each instance and each group has.
    pub fn tell_states(&mut self, status: &Status) {
        for instance in &status.instances {
            if let Some(state) = report(instance.state) {
                self.tell("INSTANCE", &instance.name, state, instance.effective_priority);
            }
        }
        for group in &status.groups {
            if let Some(state) = report(group.state) {
                self.tell("GROUP", &group.name, state, 0);
            }
        }
    }
}

/// What was told of a state on arrival; nothing before the start.
fn report(state: StateName) -> Option<Report> {
    match state {
        StateName::Init => None,
        StateName::Backup => Some(Report::Backup),
        StateName::Master | StateName::Leaving => Some(Report::Master),
        StateName::Fault => Some(Report::Fault),
        StateName::Stopped => Some(Report::Stop),
    }
}

/// The job for a state; `None` when no script wants to hear of it.
///
/// The script of the state gets no arguments of ours; `notify` gets `INSTANCE name STATE priority`, as keepalived does.
pub fn job(instance: &str, commands: &NotifyCommands, state: Report, priority: u8) -> Option<Job> {
    let commands = commands_for(["INSTANCE", instance], commands, state, priority)?;
    let instance = match state {
        // No state: it may not replace one that waits.
        Report::MasterRxLowerPri => format!("{instance} {}", word(state)),
        _ => instance.to_owned(),
    };
    Some(Job { instance, state: word(state), commands })
}

/// The job for a state of a sync group: `notify` gets `GROUP name STATE 0`.
pub fn group_job(group: &str, commands: &NotifyCommands, state: Report) -> Option<Job> {
    let commands = commands_for(["GROUP", group], commands, state, 0)?;
    Some(Job { instance: format!("GROUP {group}"), state: word(state), commands })
}

fn commands_for(
    subject: [&str; 2],
    commands: &NotifyCommands,
    state: Report,
    priority: u8,
) -> Option<Vec<CommandLine>> {
    let specific = match state {
        Report::Master => &commands.master,
        Report::Backup => &commands.backup,
        Report::Fault => &commands.fault,
        Report::Stop => &commands.stop,
        Report::Deleted => &commands.deleted,
        Report::MasterRxLowerPri => &commands.master_rx_lower_pri,
        // For FIFOs only.
        Report::MasterPriority | Report::BackupPriority => return None,
    };
    let any = commands.any.clone().filter(|_| state != Report::MasterRxLowerPri).map(|mut command| {
        command.words.extend(subject.into_iter().chain([word(state)]).map(str::to_owned));
        command.words.push(priority.to_string());
        command
    });
    let commands: Vec<_> = specific.iter().cloned().chain(any).collect();
    (!commands.is_empty()).then_some(commands)
}

/// The state as scripts and logs spell it.
pub fn word(state: Report) -> &'static str {
    match state {
        Report::Master => "MASTER",
        Report::Backup => "BACKUP",
        Report::Fault => "FAULT",
        Report::Stop => "STOP",
        Report::Deleted => "DELETED",
        Report::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
        Report::MasterPriority => "MASTER_PRIORITY",
        Report::BackupPriority => "BACKUP_PRIORITY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> CommandLine {
        CommandLine { words: words.iter().map(|w| (*w).to_owned()).collect(), user: None }
    }

    fn waiting(instance: &str, state: Report) -> Job {
        Job { instance: instance.to_owned(), state: word(state), commands: vec![command(&["x"])] }
    }

    #[test]
    fn notify_gets_keepaliveds_arguments_and_the_state_script_none() {
        let commands = NotifyCommands {
            master: Some(command(&["/m", "own"])),
            any: Some(command(&["/n", "own"])),
            ..NotifyCommands::default()
        };
        let words = |state| -> Vec<_> {
            job("VI_1", &commands, state, 150).into_iter().flat_map(|j| j.commands).map(|c| c.words.join(" ")).collect()
        };
        assert_eq!(words(Report::Master), ["/m own", "/n own INSTANCE VI_1 MASTER 150"]);
        assert_eq!(words(Report::Fault), ["/n own INSTANCE VI_1 FAULT 150"]);
        assert_eq!(job("VI_1", &NotifyCommands::default(), Report::Master, 150), None);
        let of_group = group_job("G1", &commands, Report::Master).unwrap();
        assert_eq!(of_group.commands[1], command(&["/n", "own", "GROUP", "G1", "MASTER", "0"]));
        assert_eq!(words(Report::MasterPriority), [""; 0], "for FIFOs only");
        let commands = NotifyCommands { master_rx_lower_pri: Some(command(&["/l"])), ..commands };
        let job = job("VI_1", &commands, Report::MasterRxLowerPri, 150).unwrap();
        assert_eq!(job.commands, [command(&["/l"])]);
        assert_ne!(job.instance, "VI_1", "it replaces no state that waits");
    }

    #[test]
    fn a_newer_state_replaces_a_waiting_one_and_instances_do_not_wait_for_each_other() {
        let mut queue = Queue::default();
        assert!(queue.push(waiting("A", Report::Master)).is_some());
        assert!(queue.push(waiting("B", Report::Master)).is_some());
        assert_eq!(queue.push(waiting("A", Report::Backup)), None);
        assert_eq!(queue.push(waiting("A", Report::Fault)), None);
        assert_eq!(queue.ended("A").map(|j| j.state), Some("FAULT"));
        assert_eq!(queue.ended("A"), None);
        assert!(!queue.is_empty());
        assert_eq!(queue.ended("B"), None);
        assert!(queue.is_empty());
        assert_eq!(queue.ended("B"), None);
    }
}
