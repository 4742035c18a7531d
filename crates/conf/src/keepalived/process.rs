//! What keepalived.conf says of the daemon as processes: their names and files, scripts at start and end, scheduling,
//! dumps, and how a reload comes about.

use super::settings::CommandLine;
use evenkeel_vrrp::config::{GROUP_V4, GROUP_V6, Garp, Version};
use std::net::{Ipv4Addr, Ipv6Addr};
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
    /// `max_auto_priority` and its companion.
    pub auto_priority: AutoPriority,
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
    /// `bfd_process_name`: for the dumps.
    pub bfd: Option<String>,
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

/// A process that is late gets a higher priority, one step each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoPriority {
    /// `max_auto_priority`: the last step, under SCHED_RR; 0 is none at all.
    pub most: u8,
    /// `min_auto_priority_delay`: so late a deadline has to be served.
    pub delay: Duration,
}

impl AutoPriority {
    /// The highest priority under SCHED_RR.
    pub const HIGHEST: u8 = 99;
}

impl Default for AutoPriority {
    fn default() -> Self {
        AutoPriority { most: 0, delay: Duration::from_secs(1) }
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
#[derive(Clone, Debug, PartialEq)]
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
    /// `vrrp_notify_priority_changes`.
    pub notify_priority_changes: bool,
    /// `vrrp_check_unicast_src`.
    pub check_unicast_source: bool,
    /// `vrrp_skip_check_adv_addr`.
    pub skip_check_adv_addr: bool,
    /// `vrrp_mcast_group4`.
    pub group_v4: Ipv4Addr,
    /// `vrrp_mcast_group6`.
    pub group_v6: Ipv6Addr,
    /// `default_interface`.
    pub interface: Option<String>,
    /// `smtp_alert_checker`.
    pub smtp_alert_checker: Option<bool>,
}

impl Default for Defaults {
    fn default() -> Self {
        Defaults {
            version: None,
            garp: Garp::default(),
            down_adverts: None,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            strict: false,
            notify_priority_changes: false,
            check_unicast_source: false,
            skip_check_adv_addr: false,
            group_v4: GROUP_V4,
            group_v6: GROUP_V6,
            interface: None,
            smtp_alert_checker: None,
        }
    }
}
