use super::process::Processes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What keepalived.conf says to the supervisor; what it says to the virtual routers is an [`evenkeel_vrrp::Config`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `router_id`; the host name when absent.
    pub router_id: Option<String>,
    /// `script_user USER [GROUP]`.
    pub script_user: Option<(String, Option<String>)>,
    /// `enable_script_security`.
    pub script_security: bool,
    /// Commands of the check scripts, in the order of `vrrp::Config::scripts`.
    pub scripts: Vec<ScriptCommand>,
    /// Extras of the instances, in the order of `vrrp::Config::instances`.
    pub instances: Vec<InstanceSettings>,
    /// `weight` of the BFD sessions that have one, where an instance names none, and whether it is reversed.
    pub session_weights: BTreeMap<String, (i16, bool)>,
    /// Extras of the sync groups, in the order of `vrrp::Config::groups`.
    pub groups: Vec<GroupSettings>,
    /// Files that instances track.
    pub files: Vec<TrackedFile>,
    /// Processes that instances track.
    pub processes: Vec<TrackedProcess>,
    /// `vrrp_startup_delay`: the virtual routers do nothing so long after the start of the daemon.
    pub startup_delay: Duration,
    /// `vrrp_delay_after_boot`: the same, after that of the machine.
    pub delay_after_boot: Duration,
    /// `net_namespace`.
    pub net_namespace: Option<String>,
    /// How the vrrp role is scheduled.
    pub vrrp_scheduling: Scheduling,
    /// How the balance role is.
    pub checker_scheduling: Scheduling,
    /// `notify_fifo`: told of everything.
    pub fifo: Option<NotifyFifo>,
    /// `vrrp_notify_fifo`: told of virtual routers.
    pub vrrp_fifo: Option<NotifyFifo>,
    /// `fifo_write_vrrp_states_on_reload`.
    pub fifo_states_at_reload: bool,
    /// `lvs_notify_fifo`: told of servers and quorums.
    pub lvs_fifo: Option<NotifyFifo>,
    /// Names, files, scheduling, dumps, reloads.
    pub process: Processes,
    /// `log_unknown_vrids`.
    pub log_unknown_vrids: bool,
    /// `notification_email` and its companions.
    pub mail: Mail,
    /// `enable_dbus` and `dbus_service_name`.
    pub dbus: Dbus,
    /// `nginx_conf PATH` in global_defs (ours): the proxy's configuration, when the command line names none.
    pub nginx_conf: Option<PathBuf>,
}

/// How to run one check script.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptCommand {
    /// The name after `vrrp_script`.
    pub name: String,
    /// What to run.
    pub command: CommandLine,
    /// `interval`.
    pub interval: Duration,
    /// `timeout`; equal to the interval unless given.
    pub timeout: Duration,
    /// `weight`, where an instance names none.
    pub weight: i16,
    /// `user USER [GROUP]`.
    pub user: Option<(String, Option<String>)>,
}

/// A command: words, never a shell line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Program and arguments. Never empty.
    pub words: Vec<String>,
    /// User and group named after the command.
    pub user: Option<(String, Option<String>)>,
}

/// What is offered on the message bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dbus {
    /// `enable_dbus`.
    pub enabled: bool,
    /// `dbus_service_name`; without it keepalived's own.
    pub service: Option<String>,
    /// `dbus_no_interface_name`: what stands in paths for the interface that an instance has not.
    pub no_interface: Option<String>,
}

/// How a role's process is scheduled: `vrrp_priority`, `checker_priority` and their companions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// `*_priority`: nice value.
    pub nice: Option<i8>,
    /// `*_rt_priority`: priority under SCHED_RR.
    pub realtime: Option<u8>,
    /// `*_cpu_affinity`; any when empty.
    pub processors: Vec<u16>,
    /// `*_rlimit_rttime`.
    pub longest_run: Option<Duration>,
    /// `*_no_swap`.
    pub no_swap: bool,
}

/// A FIFO that is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyFifo {
    /// Where it is.
    pub path: String,
    /// Whose it is; without it that of `script_user`, else root's.
    pub owner: Option<(String, Option<String>)>,
    /// A program that is started to read it, with its path as last argument.
    pub reader: Option<CommandLine>,
}

/// What the supervisor does for one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstanceSettings {
    /// The name after `vrrp_instance`.
    pub name: String,
    /// Scripts to tell about changes of state.
    pub notify: NotifyCommands,
    /// `smtp_alert`.
    pub mail_alert: bool,
    /// `skip_check_adv_addr`, for the dumps.
    pub skip_check_adv_addr: bool,
    /// `strict_mode`, or `vrrp_strict`.
    pub strict: bool,
    /// `unicast_fault_no_peer`, for the dumps.
    pub faults_without_peer: bool,
    /// `promote_secondaries`, for the dumps.
    pub promote_secondaries: bool,
}

/// A `track_file` that an instance tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedFile {
    /// The name after `track_file`.
    pub name: String,
    /// `file`.
    pub path: PathBuf,
    /// `weight`, where an instance names none, and whether it is reversed.
    pub weight: (i32, bool),
    /// `init_file`: the number to write at the start of the daemon, and whether over a file that is there.
    pub init: Option<(i32, bool)>,
}

/// A `vrrp_track_process` that an instance tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedProcess {
    /// The name after `vrrp_track_process`.
    pub name: String,
    /// `weight`, where an instance names none, and whether it is reversed.
    pub weight: (i16, bool),
    /// What is compared: with the kernel's name of the process, or with the first word of its command line.
    pub command: String,
    /// The other words of its command line.
    pub parameters: Parameters,
    /// It is the command line that is compared.
    pub by_command_line: bool,
    /// So many are to run at least.
    pub quorum: u32,
    /// So many at most.
    pub quorum_max: Option<u32>,
    /// `fork_delay`: from when enough run to when that counts.
    pub gained_after: Duration,
    /// `terminate_delay`: from when too few run to when that counts.
    pub lost_after: Duration,
}

/// `param_match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// They do not matter.
    Any,
    /// Exactly these.
    Exact(Vec<String>),
    /// These, and maybe more after them.
    Initial(Vec<String>),
    /// As `Initial`, and the last one need only begin like this.
    Partial(Vec<String>),
}

/// What the supervisor does for one sync group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupSettings {
    /// The name after `vrrp_sync_group`.
    pub name: String,
    /// Scripts to tell about changes of state.
    pub notify: NotifyCommands,
    /// `smtp_alert`.
    pub mail_alert: bool,
    /// `sync_group_tracking_weight`, for the dumps.
    pub keeps_weights: bool,
}

/// Who gets mail about changes of state, and through which server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// `notification_email`.
    pub to: Vec<String>,
    /// `notification_email_from`.
    pub from: Option<String>,
    /// `smtp_server HOST [PORT]`; port 25 unless given.
    pub server: Option<(String, u16)>,
    /// `smtp_helo_name`.
    pub helo: Option<String>,
    /// `smtp_connect_timeout`.
    pub timeout: Option<Duration>,
    /// `smtp_alert` in global_defs.
    pub alert: Option<bool>,
    /// `smtp_alert_vrrp`.
    pub alert_vrrp: Option<bool>,
    /// `no_email_faults`.
    pub without_faults: bool,
}

/// `notify*` of an instance.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is the keyword of that name")]
pub struct NotifyCommands {
    pub master: Option<CommandLine>,
    pub backup: Option<CommandLine>,
    pub fault: Option<CommandLine>,
    pub stop: Option<CommandLine>,
    pub deleted: Option<CommandLine>,
    pub master_rx_lower_pri: Option<CommandLine>,
    /// Gets `INSTANCE NAME STATE PRIORITY` appended.
    pub any: Option<CommandLine>,
}
