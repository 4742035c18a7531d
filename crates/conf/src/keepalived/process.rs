//! What keepalived.conf says of the daemon as processes: their names and files, scripts at start and end, scheduling,
//! dumps, and how a reload comes about.

use super::settings::CommandLine;
use evenkeel_vrrp::config::{Garp, Version};
use std::path::PathBuf;
use std::time::Duration;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Processes {
    /// `instance NAME`: tells this daemon from others on the machine.
    pub instance: Option<String>,
    /// `use_pid_dir`; `instance` and `net_namespace` imply it.
    pub use_pid_dir: bool,
    /// `child_wait_time`: how long processes get to end before they are killed.
    pub child_wait: Option<Duration>,
    /// `process_names` and its companions.
    pub names: ProcessNames,
    /// `startup_script`.
    pub startup: Hook,
    /// `shutdown_script`.
    pub shutdown: Hook,
    /// `use_symlink_paths`.
    pub use_symlink_paths: bool,
    /// `set_supplementary_groups`.
    pub supplementary_groups: bool,
    /// `umask`.
    pub umask: Option<u32>,
    /// How the dumps are written.
    pub dumps: Dumps,
    /// How a reload comes about and what goes with it.
    pub reload: Reload,
    /// What global_defs says of every instance.
    pub defaults: Defaults,
}

/// What `ps -C` and `killall` know the processes by; the name of the program where none is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessNames {
    /// `process_names`: those of keepalived for the children.
    pub usual: bool,
    /// `process_name`.
    pub parent: Option<String>,
    /// `vrrp_process_name`.
    pub vrrp: Option<String>,
    /// `checker_process_name`.
    pub checker: Option<String>,
}

impl ProcessNames {
    /// Of the process of the virtual routers, which otherwise has `program`'s.
    pub fn vrrp<'a>(&'a self, program: &'a str) -> &'a str {
        self.vrrp.as_deref().unwrap_or(if self.usual { "keepalived_vrrp" } else { program })
    }

    /// Of the process of the health checks.
    pub fn checker<'a>(&'a self, program: &'a str) -> &'a str {
        self.checker.as_deref().unwrap_or(if self.usual { "keepalived_lvs" } else { program })
    }
}

/// A script at the start or at the end of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    /// What runs.
    pub command: Option<CommandLine>,
    /// For how long at most.
    pub timeout: Option<Duration>,
}

impl Hook {
    /// For how long it may run: ten seconds unless the file says otherwise.
    pub fn limit(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(10))
    }
}

/// How the dumps are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dumps {
    /// `data_use_instance`.
    pub use_instance: bool,
    /// `json_version 2`.
    pub json_version_2: bool,
    /// `state_dump_file`; a folder when it ends in a slash.
    pub state_file: Option<String>,
}

/// How a reload comes about and what goes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// `reload_time_file`.
    pub time_file: Option<PathBuf>,
    /// `reload_repeat`.
    pub repeat: bool,
    /// `reload_file`: bare, or with a path.
    pub file: Option<Option<PathBuf>>,
    /// `reload_check_config`, and where what it says goes.
    pub check: Option<Option<PathBuf>>,
    /// `config_save_dir`.
    pub save_directory: Option<PathBuf>,
    /// `tmp_config_directory`.
    pub tmp_directory: Option<PathBuf>,
}

/// What global_defs says of every instance, for the dumps; the instances have it already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// `vrrp_version`.
    pub version: Option<Version>,
    /// `vrrp_garp_*`.
    pub garp: Garp,
    /// `vrrp_down_timer_adverts`.
    pub down_adverts: Option<u8>,
    /// `vrrp_lower_prio_no_advert`.
    pub lower_prio_no_advert: bool,
    /// `vrrp_higher_prio_send_advert`.
    pub higher_prio_send_advert: bool,
    /// `vrrp_strict`.
    pub strict: bool,
}
