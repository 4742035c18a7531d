use super::load::NginxOptions;
use crate::log::Target;
use evenkeel_conf::keepalived::Settings;
use std::path::{Path, PathBuf};

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
    /// keepalived's `-b`.
    pub bfd_pid_file: Option<PathBuf>,
    /// Where pid files are unless they are given, and what goes with them.
    pub pid_directory: PathBuf,
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
    /// keepalived's `-B`: no BFD.
    pub without_bfd: bool,
    /// keepalived's `--all`: every role runs, whether it has something to do or not.
    pub all_roles: bool,
    /// keepalived's `-R`: end when a role dies.
    pub without_respawn: bool,
    /// keepalived's `-V`.
    pub keep_addresses: bool,
    /// keepalived's `-I`: services and servers stay in the table at the end.
    pub keep_services: bool,
    /// keepalived's `-e`: every include is checked strictly.
    pub all_checks: bool,
    /// keepalived's `-a`: every address that comes and goes is logged.
    pub tells_addresses: bool,
    /// The command line gave an umask, which counts before that of the configuration.
    pub has_umask: bool,
    /// keepalived's `--ignore-sigint`.
    pub ignore_interrupts: bool,
    /// Pid files where keepalived has them, under the names that the configuration asks for, unless they are given.
    pub keepalived_pid_files: bool,
    /// Record the events of the vrrp role.
    pub record: Option<PathBuf>,
    /// Where log lines go.
    pub log: Target,
}

impl Plan {
    /// Where the control socket is unless the command line or the environment says otherwise.
    pub const RUNTIME_DIRECTORY: &str = "/run/evenkeel";

    /// Where keepalived has pid files once there may be several daemons.
    pub const PID_DIRECTORY: &str = "/run/keepalived";

    /// Fills in where pid files are, now that the configuration is known.
    pub fn place_pid_files(&mut self, settings: &Settings) {
        if !self.keepalived_pid_files {
            return;
        }
        let process = &settings.process;
        let namespace = self.namespace.as_ref().or(settings.net_namespace.as_ref());
        let has_directory = process.use_pid_dir || process.instance.is_some() || namespace.is_some();
        let mut directory = PathBuf::from("/run");
        if has_directory {
            directory = PathBuf::from(Plan::PID_DIRECTORY);
            // This folder is going to be mounted over the one above.
            directory.extend(namespace);
        }
        let infix = process.instance.as_ref().map(|instance| format!("_{instance}")).unwrap_or_default();
        let place = |name: &str| directory.join(format!("{name}{infix}.pid"));
        self.pid_file.get_or_insert_with(|| place("keepalived"));
        self.vrrp_pid_file.get_or_insert_with(|| place("vrrp"));
        self.checkers_pid_file.get_or_insert_with(|| place("checkers"));
        self.bfd_pid_file.get_or_insert_with(|| place("bfd"));
        self.pid_directory = directory;
    }

    /// From now on what is in `folder` is seen in [`Plan::PID_DIRECTORY`].
    pub fn enter_pid_directory(&mut self, folder: &Path) {
        let files = [&mut self.pid_file, &mut self.vrrp_pid_file, &mut self.checkers_pid_file, &mut self.bfd_pid_file];
        let paths = files.into_iter().flatten().chain([&mut self.pid_directory]);
        for path in paths {
            if let Ok(rest) = path.strip_prefix(folder) {
                *path = Path::new(Plan::PID_DIRECTORY).join(rest);
            }
        }
    }

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
            bfd_pid_file: None,
            pid_directory: PathBuf::from("/run"),
            state_directory: state_directory(),
            config_id: None,
            namespace: None,
            without_vrrp: false,
            without_checkers: false,
            without_bfd: false,
            all_roles: false,
            without_respawn: false,
            keep_addresses: false,
            keep_services: false,
            all_checks: false,
            tells_addresses: false,
            has_umask: false,
            ignore_interrupts: false,
            keepalived_pid_files: false,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files_are_where_keepalived_has_them() {
        let place = |instance: Option<&str>, namespace: Option<&str>, use_pid_dir: bool| {
            let mut plan = Plan::new("keepalived");
            plan.keepalived_pid_files = true;
            plan.namespace = namespace.map(str::to_owned);
            let mut settings = Settings::default();
            settings.process.instance = instance.map(str::to_owned);
            settings.process.use_pid_dir = use_pid_dir;
            plan.place_pid_files(&settings);
            let paths = [plan.pid_file, plan.vrrp_pid_file, plan.checkers_pid_file, plan.bfd_pid_file];
            paths.map(|path| path.unwrap().display().to_string())
        };
        assert_eq!(
            place(None, None, false),
            ["/run/keepalived.pid", "/run/vrrp.pid", "/run/checkers.pid", "/run/bfd.pid"]
        );
        assert_eq!(place(None, None, true)[0], "/run/keepalived/keepalived.pid");
        assert_eq!(place(Some("I1"), None, false)[1], "/run/keepalived/vrrp_I1.pid");
        assert_eq!(place(Some("I1"), Some("ns"), false)[0], "/run/keepalived/ns/keepalived_I1.pid");
    }

    #[test]
    fn in_a_namespace_the_folder_of_its_own_is_seen_as_the_common_one() {
        let mut plan = Plan::new("keepalived");
        plan.keepalived_pid_files = true;
        plan.namespace = Some("ns".to_owned());
        plan.vrrp_pid_file = Some("/p".into());
        plan.place_pid_files(&Settings::default());
        plan.enter_pid_directory(Path::new("/run/keepalived/ns"));
        assert_eq!(plan.pid_file, Some("/run/keepalived/keepalived.pid".into()));
        assert_eq!((plan.vrrp_pid_file, plan.pid_directory), (Some("/p".into()), "/run/keepalived".into()));
    }

    #[test]
    fn a_pid_file_that_is_given_stays() {
        let mut plan = Plan::new("keepalived");
        plan.keepalived_pid_files = true;
        plan.pid_file = Some("/p".into());
        plan.place_pid_files(&Settings::default());
        assert_eq!((plan.pid_file, plan.vrrp_pid_file), (Some("/p".into()), Some("/run/vrrp.pid".into())));
    }
}
