use super::load::NginxOptions;
use crate::log::Target;
use std::path::PathBuf;

/// What the command line asks for, whichever program it was written for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program that is imitated: also the name of the processes.
    pub name: &'static str,
    /// keepalived.conf.
    pub keepalived: Option<PathBuf>,
    /// nginx.conf; `nginx_conf` in keepalived.conf counts when this is absent.
    pub nginx: Option<PathBuf>,
    /// What nginx's command line adds.
    pub nginx_options: NginxOptions,
    /// Diagnostics and messages in nginx's form.
    pub nginx_style: bool,
    /// Where the control socket is.
    pub runtime_directory: PathBuf,
    /// Run without control socket when another daemon has the directory, or it cannot be made.
    pub control_is_optional: bool,
    /// The supervisor's pid file; for nginx, `pid` in the configuration counts first.
    pub pid_file: Option<PathBuf>,
    /// keepalived's `-r`.
    pub vrrp_pid_file: Option<PathBuf>,
    /// keepalived's `-c`.
    pub checkers_pid_file: Option<PathBuf>,
    /// Where what people asked of servers is kept.
    pub state_directory: PathBuf,
    /// keepalived's `-i`.
    pub config_id: Option<String>,
    /// keepalived's `-s`.
    pub namespace: Option<String>,
    /// keepalived's `-C` alone: no virtual routers.
    pub without_vrrp: bool,
    /// keepalived's `-P` alone: no health checks and no virtual servers.
    pub without_checkers: bool,
    /// keepalived's `-R`: end when a role dies.
    pub without_respawn: bool,
    /// keepalived's `-V`.
    pub keep_addresses: bool,
    /// Record the events of the vrrp role.
    pub record: Option<PathBuf>,
    /// Where log lines go.
    pub log: Target,
}

impl Plan {
    /// Where the control socket is unless the command line or the environment says otherwise.
    pub const RUNTIME_DIRECTORY: &str = "/run/evenkeel";

    /// A plan for `name` with nothing to run yet.
    pub fn new(name: &'static str) -> Self {
        Plan {
            name,
            keepalived: None,
            nginx: None,
            nginx_options: NginxOptions::default(),
            nginx_style: false,
            runtime_directory: runtime_directory(None),
            control_is_optional: false,
            pid_file: None,
            vrrp_pid_file: None,
            checkers_pid_file: None,
            state_directory: state_directory(),
            config_id: None,
            namespace: None,
            without_vrrp: false,
            without_checkers: false,
            without_respawn: false,
            keep_addresses: false,
            record: None,
            log: Target::console(),
        }
    }
}

/// Where state that outlives the daemon is: as the environment (systemd's `StateDirectory=`) says, or the usual place.
fn state_directory() -> PathBuf {
    let from_environment = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    from_environment("EVENKEEL_STATE_DIR")
        .or_else(|| from_environment("STATE_DIRECTORY"))
        .unwrap_or_else(|| "/var/lib/evenkeel".into())
}

/// The runtime directory: as given, as the environment says, or the usual one.
pub fn runtime_directory(given: Option<PathBuf>) -> PathBuf {
    let from_environment = || std::env::var_os("EVENKEEL_RUNTIME_DIR").filter(|path| !path.is_empty());
    given.or_else(|| from_environment().map(PathBuf::from)).unwrap_or_else(|| Plan::RUNTIME_DIRECTORY.into())
}
