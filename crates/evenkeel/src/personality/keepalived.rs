//! `keepalived`: its options and exit status, on our supervisor.

use super::detach;
use super::options::{Mistake, Opt, Value, parse};
use crate::log::{self, Target};
use crate::supervisor::{self, PidFile, Plan, group_id};
use evenkeel_conf::{Severity, keepalived as conf};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// keepalived's exit status.
mod status {
    pub(super) const FATAL: u8 = 1;
    pub(super) const UNUSABLE: u8 = 2;
    pub(super) const NO_PERMISSION: u8 = 4;
    pub(super) const TEST_FAILED: u8 = 5;
    pub(super) const NO_CONFIGURATION: u8 = 6;
    /// Of `-t`.
    pub(super) const INSECURE: u8 = 6;
}

const CONFIGURATION: &str = "/etc/keepalived/keepalived.conf";
/// keepalived's words, and the way out.
const LAX: &str = "SECURITY VIOLATION - scripts are being executed but script_security not enabled. \
                   `enable_script_security` in global_defs keeps scripts that others can change from running as root.";
/// Of `-g` without a path.
const LOG_FILE: &str = "/tmp/keepalived.log";

const fn opt(short: char, long: &'static str, value: Value) -> Opt {
    Opt { short, long, value }
}

/// Every option of keepalived 2.4.
const OPTIONS: &[Opt] = &[
    opt('f', "use-file", Value::Required),
    opt('P', "vrrp", Value::No),
    opt('C', "check", Value::No),
    opt('B', "no_bfd", Value::No),
    opt(' ', "all", Value::No),
    opt('l', "log-console", Value::No),
    opt('D', "log-detail", Value::No),
    opt('S', "log-facility", Value::Required),
    opt('g', "log-file", Value::Optional),
    opt(' ', "flush-log-file", Value::No),
    opt('G', "no-syslog", Value::No),
    opt('u', "umask", Value::Required),
    opt('X', "release-vips", Value::No),
    opt('V', "dont-release-vrrp", Value::No),
    opt('I', "dont-release-ipvs", Value::No),
    opt('R', "dont-respawn", Value::No),
    opt('n', "dont-fork", Value::No),
    opt('d', "dump-conf", Value::No),
    opt('p', "pid", Value::Required),
    opt('r', "vrrp_pid", Value::Required),
    opt('c', "checkers_pid", Value::Required),
    opt('b', "bfd_pid", Value::Required),
    opt('a', "address-monitoring", Value::No),
    opt('x', "snmp", Value::No),
    opt('A', "snmp-agent-socket", Value::Required),
    opt('s', "namespace", Value::Required),
    opt('m', "core-dump", Value::No),
    opt('M', "core-dump-pattern", Value::Optional),
    opt('T', "genhash", Value::No),
    opt('e', "all-config", Value::No),
    opt('i', "config-id", Value::Required),
    opt('t', "config-test", Value::Optional),
    opt(' ', "signum", Value::Required),
    opt(' ', "ignore-sigint", Value::No),
    opt(' ', "no-mem-check", Value::No),
    opt(' ', "openssl-mem-check", Value::No),
    opt(' ', "config-fd", Value::Required),
    opt('L', "", Value::No),
    opt(' ', "perf", Value::Optional),
    opt(' ', "debug", Value::Optional),
    opt('v', "version", Value::No),
    opt('h', "help", Value::No),
    // Ours.
    opt(' ', "nginx", Value::Required),
    opt(' ', "record", Value::Required),
    opt(' ', "runtime-dir", Value::Required),
];

/// An option that is accepted and changes nothing.
#[derive(Debug, PartialEq, Eq)]
struct WithoutEffect {
    /// How it is written.
    option: &'static str,
    /// Who gave it will miss something.
    missed: bool,
    /// Why.
    reason: &'static str,
}

const fn always(option: &'static str, reason: &'static str) -> WithoutEffect {
    WithoutEffect { option, missed: false, reason }
}

const fn lacks(option: &'static str, reason: &'static str) -> WithoutEffect {
    WithoutEffect { option, missed: true, reason }
}

const NO_SNMP: &str = "evenkeel is no SNMP subagent; `evenkeel status --json` tells the same";
const NO_CHECKS_OF_MEMORY: &str = "nothing counts allocations here";

/// By the long form where there is one, else by the short one.
const WITHOUT_EFFECT: &[WithoutEffect] = &[
    always("release-vips", "what an instance that is not master should not have is always taken off its interface"),
    always("flush-log-file", "each line is written at once"),
    always("log-detail", "the log always has the details"),
    always("no-mem-check", NO_CHECKS_OF_MEMORY),
    always("openssl-mem-check", NO_CHECKS_OF_MEMORY),
    always("L", NO_CHECKS_OF_MEMORY),
    lacks("snmp", NO_SNMP),
    lacks("snmp-agent-socket", NO_SNMP),
    lacks("perf", "use `perf record -p` with the process id in the pid file of the vrrp process"),
    lacks("debug", "there are no such switches; `evenkeel why` and `--record` tell what happened and why"),
    lacks("config-fd", "it is keepalived's own, for a check before a reload; here one process reads the configuration"),
];

/// What the command line says.
#[derive(Debug, Default)]
struct CommandLine {
    file: Option<PathBuf>,
    test: Option<Option<PathBuf>>,
    foreground: bool,
    console: bool,
    no_syslog: bool,
    dump: bool,
    only_check: bool,
    only_vrrp: bool,
    no_bfd: bool,
    umask: Option<u32>,
    plan: Vec<(&'static str, String)>,
    no_respawn: bool,
    keep_addresses: bool,
    keep_services: bool,
    all_checks: bool,
    facility: Option<u8>,
    log_file: Option<PathBuf>,
    core_dump: bool,
    core_pattern: Option<String>,
    tells_addresses: bool,
    ignore_interrupts: bool,
    all_roles: bool,
    /// Options that were given and change nothing, with the reason.
    without_effect: Vec<&'static WithoutEffect>,
}

/// Runs as keepalived with `words` after its name.
pub fn main(words: &[OsString]) -> ExitCode {
    if words.first().is_some_and(|word| word == "-T" || word == "--genhash") {
        return super::genhash::main(&words[1..]);
    }
    let texts: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let line = match read(&texts) {
        Ok(line) => line,
        Err(code) => return ExitCode::from(code),
    };
    if let Some(umask) = line.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    }
    let path = line.file.clone().unwrap_or_else(|| CONFIGURATION.into());
    if let Some(log) = &line.test {
        return test(&path, &line, log.as_deref());
    }
    let detached = detach::is_detached();
    if !line.foreground && !detached {
        return detach::detach("keepalived", words);
    }
    if detached {
        detach::leave_session();
    }
    run(path, &line, detached)
}

fn read(words: &[String]) -> Result<CommandLine, u8> {
    let (given, rest) = match parse(OPTIONS, words) {
        Ok(parsed) => parsed,
        Err(Mistake::Unknown(word)) => {
            eprintln!("Unknown option {word}");
            return Err(status::FATAL);
        }
        Err(Mistake::MissingValue(word)) => {
            eprintln!("Missing option argument for {word}");
            return Err(status::FATAL);
        }
    };
    if !rest.is_empty() {
        // As there: said, and no more.
        println!("Unexpected argument(s): {}", rest.join(" "));
    }
    let mut line = CommandLine::default();
    for (opt, value) in given {
        let text = value.clone().unwrap_or_default();
        match (opt.short, opt.long) {
            ('v', _) => {
                eprint!("{}", version());
                return Err(0);
            }
            ('h', _) => {
                eprint!("{HELP}");
                return Err(0);
            }
            (_, "signum") => return Err(signum(&text)),
            ('f', _) => line.file = Some(absolute(&text)),
            ('t', _) => line.test = Some(value.map(PathBuf::from)),
            ('n', _) => line.foreground = true,
            ('l', _) => line.console = true,
            ('G', _) => line.no_syslog = true,
            ('d', _) => line.dump = true,
            ('C', _) => line.only_check = true,
            ('P', _) => line.only_vrrp = true,
            ('B', _) => line.no_bfd = true,
            ('R', _) => line.no_respawn = true,
            ('V', _) => line.keep_addresses = true,
            ('u', _) => line.umask = u32::from_str_radix(&text, 8).ok(),
            ('S', _) => match log::facility(&text) {
                Some(facility) => line.facility = Some(facility),
                // As there: the usual one it is.
                None => eprintln!("Invalid log facility '{text}'"),
            },
            ('g', _) => line.log_file = Some(absolute(&value.unwrap_or_else(|| LOG_FILE.to_owned()))),
            ('I', _) => line.keep_services = true,
            ('e', _) => line.all_checks = true,
            ('m', _) => line.core_dump = true,
            ('M', _) => line.core_pattern = Some(value.unwrap_or_else(|| "core".to_owned())),
            ('a', _) => line.tells_addresses = true,
            (_, "ignore-sigint") => line.ignore_interrupts = true,
            (_, "all") => line.all_roles = true,
            ('p' | 'r' | 'c' | 'b' | 's' | 'i', long) | (_, long @ ("nginx" | "record" | "runtime-dir")) => {
                line.plan.push((long, text));
            }
            (short, long) => {
                let is_it =
                    |row: &&WithoutEffect| row.option == long || (long.is_empty() && row.option.starts_with(short));
                line.without_effect.extend(WITHOUT_EFFECT.iter().find(is_it));
            }
        }
    }
    Ok(line)
}

fn run(path: PathBuf, line: &CommandLine, detached: bool) -> ExitCode {
    let mut plan = Plan::new("keepalived");
    plan.keepalived = Some(path.clone());
    plan.keepalived_pid_files = true;
    plan.control_is_optional = true;
    plan.without_respawn = line.no_respawn;
    plan.all_roles = line.all_roles;
    plan.keep_addresses = line.keep_addresses;
    plan.keep_services = line.keep_services;
    plan.all_checks = line.all_checks;
    plan.has_umask = line.umask.is_some();
    plan.ignore_interrupts = line.ignore_interrupts;
    plan.tells_addresses = line.tells_addresses;
    // With -C alone there is nothing for the virtual routers to do.
    plan.without_vrrp = line.only_check && !line.only_vrrp;
    plan.without_checkers = line.only_vrrp && !line.only_check;
    plan.without_bfd = line.no_bfd;
    for (long, text) in &line.plan {
        match *long {
            "pid" => plan.pid_file = Some(absolute(text)),
            "checkers_pid" => plan.checkers_pid_file = Some(absolute(text)),
            "vrrp_pid" => plan.vrrp_pid_file = Some(absolute(text)),
            "bfd_pid" => plan.bfd_pid_file = Some(absolute(text)),
            "namespace" => plan.namespace = Some(text.clone()),
            "config-id" => plan.config_id = Some(text.clone()),
            "nginx" => plan.nginx = Some(absolute(text)),
            "record" => plan.record = Some(absolute(text)),
            _ => plan.runtime_directory = supervisor::runtime_directory(Some(absolute(text))),
        }
    }
    let has_syslog = has_syslog();
    plan.log = match (line.console, line.no_syslog, has_syslog) {
        (true, _, _) => Target::console(),
        (false, true, _) => Target::Nowhere,
        (false, false, true) => Target::Syslog,
        // Without a syslog the messages had better be somewhere.
        (false, false, false) => Target::console(),
    };
    let compiled = supervisor::compile(&plan);
    let settings = compiled.as_ref().map(|compiled| compiled.settings.clone()).unwrap_or_default();
    let namespace = plan.namespace.as_ref().or(settings.net_namespace.as_ref());
    let naming = log::Naming {
        facility: line.facility.unwrap_or(log::DAEMON),
        suffix: namespace.into_iter().chain(&settings.process.instance).map(|part| format!("_{part}")).collect(),
        file: line.log_file.clone(),
    };
    naming.set();
    log::init(plan.log);
    allow_core_dumps(line);
    plan.place_pid_files(&settings);
    if let Some(pid) = plan.pid_file.as_deref().and_then(PidFile::living).filter(|pid| *pid != std::process::id()) {
        tracing::error!(target: "supervisor", "daemon is already running as process {pid}");
        // As there: what was wanted is the case.
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        tracing::error!(target: "supervisor", "keepalived needs root: it changes addresses and opens raw sockets");
        return ExitCode::from(status::NO_PERMISSION);
    }
    let compiled = match compiled {
        Ok(compiled) => compiled,
        Err(refused) => {
            for text in &refused.diagnostics {
                text.trim_end().lines().for_each(|line| tracing::error!(target: "supervisor", "{line}"));
            }
            return ExitCode::from(if refused.is_missing { status::NO_CONFIGURATION } else { status::UNUSABLE });
        }
    };
    tracing::info!(target: "supervisor", "Configuration file {}", path.display());
    for WithoutEffect { option, missed, reason } in &line.without_effect {
        match missed {
            true => tracing::warn!(target: "supervisor", "the option {option} has no effect: {reason}"),
            false => tracing::debug!(target: "supervisor", "the option {option} changes nothing: {reason}"),
        }
    }
    if line.dump {
        supervisor::dump_configuration(&compiled)
            .lines()
            .for_each(|line| tracing::info!(target: "supervisor", "{line}"));
    }
    let keep_stderr = plan.log == Target::Stderr;
    let on_ready: supervisor::OnReady = match detached {
        true => Box::new(move || detach::ready(None, keep_stderr)),
        false => Box::new(|| {}),
    };
    supervisor::run(plan, compiled, on_ready)
}

/// `-m` and `-M`: a process that crashes leaves an image of itself.
fn allow_core_dumps(line: &CommandLine) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    if let Some(pattern) = &line.core_pattern
        && let Err(error) = std::fs::write("/proc/sys/kernel/core_pattern", pattern)
    {
        tracing::warn!(target: "supervisor", "write the core pattern: {error}");
    }
    if line.core_dump
        && let Err(error) = setrlimit(Resource::Core, Rlimit { current: None, maximum: None })
    {
        tracing::warn!(target: "supervisor", "allow core dumps: {error}");
    }
}

/// `-t`: 0 when all is well, 5 when anything is to be said, as keepalived does.
fn test(path: &Path, line: &CommandLine, log: Option<&Path>) -> ExitCode {
    let id = line.plan.iter().find(|(long, _)| *long == "config-id").map(|(_, text)| text.as_str());
    let loaded = supervisor::load_keepalived(path, id, line.all_checks);
    let mut out: Box<dyn Write> = match log.map(File::create) {
        None => Box::new(std::io::stderr()),
        Some(Ok(file)) => Box::new(file),
        Some(Err(error)) => {
            eprintln!("cannot write the log of the test: {error}");
            return ExitCode::from(status::NO_PERMISSION);
        }
    };
    let mut diagnostics = loaded.diagnostics.clone();
    // Of the lint rules keepalived knows only this one, and does not start.
    let absent = conf::lint(&loaded, &crate::cli::host::ThisHost).into_iter().filter(|d| d.rule == "no-such-interface");
    diagnostics.extend(absent);
    for text in supervisor::render_all(&diagnostics, &loaded.sources) {
        let _ = writeln!(out, "{}", text.trim_end());
    }
    let (remarks, is_lax) = supervisor::judge_scripts(&loaded);
    for remark in &remarks {
        let _ = writeln!(out, "{remark}");
    }
    if is_lax {
        let _ = writeln!(out, "{LAX}");
    }
    if !path.exists() {
        // keepalived says so and ends with 0, which scripts may rely on.
        return ExitCode::SUCCESS;
    }
    let reported = |d: &evenkeel_conf::Diagnostic| d.severity >= Severity::Warning;
    let is_clean = !diagnostics.iter().any(reported) && remarks.is_empty() && users_exist(&loaded.settings);
    match () {
        () if is_lax => ExitCode::from(status::INSECURE),
        () if is_clean => ExitCode::SUCCESS,
        () => ExitCode::from(status::TEST_FAILED),
    }
}

/// A script user that does not exist stops its scripts.
fn users_exist(settings: &conf::Settings) -> bool {
    let users = settings.script_user.iter().chain(settings.scripts.iter().filter_map(|script| script.user.as_ref()));
    users.into_iter().all(|(user, group)| {
        let known = matches!(evenkeel_kernel::privilege::lookup_user(user), Ok(Some(_)));
        let group = group.as_deref().map(|group| group.trim_start_matches(':')).filter(|group| !group.is_empty());
        let known_group = group.is_none_or(|group| group_id(group).is_some());
        if !known || !known_group {
            eprintln!("script user {user} or its group does not exist");
        }
        known && known_group
    })
}

fn has_syslog() -> bool {
    UnixDatagram::unbound().is_ok_and(|socket| socket.connect("/dev/log").is_ok())
}

fn absolute(text: &str) -> PathBuf {
    std::path::absolute(text).unwrap_or_else(|_| PathBuf::from(text))
}

/// glibc's numbers on Linux; real-time signals begin at 34 there.
fn signum(name: &str) -> u8 {
    let number = match name {
        "STOP" => 15,
        "RELOAD" => 1,
        "DATA" => 10,
        "STATS" => 12,
        "STATS_CLEAR" => 63,
        "JSON" => 36,
        _ => {
            eprintln!("Unknown sigfunc {name}");
            return status::FATAL;
        }
    };
    println!("{number}");
    0
}

fn version() -> String {
    let uname = rustix::system::uname();
    format!(
        "Keepalived v2.4.3 (evenkeel {}, a compatible implementation)\n\n\
         Running on {} {} {}\n\n\
         Config options:  VRRP VRRP_AUTH JSON PROXY\n\n\
         System options:  SIGNALFD EPOLL TIMERFD\n",
        env!("CARGO_PKG_VERSION"),
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        uname.version().to_string_lossy(),
    )
}

const HELP: &str = "\
Usage: keepalived [OPTION...]
  -f, --use-file=FILE          Configuration file [/etc/keepalived/keepalived.conf]
  -P, --vrrp                   Only virtual routers
  -C, --check                  Only health checks of virtual servers
  -B, --no_bfd                 No BFD sessions
      --all                    Every process, also without configuration for it
  -n, --dont-fork              Stay in the foreground
  -l, --log-console            Log to standard error
  -S, --log-facility=FACILITY  Facility of syslog: 0-7, local0-7, user, daemon [daemon]
  -g, --log-file[=FILE]        Log to FILE too, each process to its own [/tmp/keepalived.log]
  -G, --no-syslog              Do not log to syslog
  -d, --dump-conf              Log the configuration as it was understood
  -t, --config-test[=FILE]     Check the configuration and end: 0 fine, 5 remarks or errors, 6 script security
  -p, --pid=FILE               Pid file [/run/keepalived.pid]
  -r, --vrrp_pid=FILE          Pid file of the vrrp process [/run/vrrp.pid]
  -c, --checkers_pid=FILE      Pid file of the process of the health checks [/run/checkers.pid]
  -b, --bfd_pid=FILE           Pid file with the process of the BFD sessions, which is the vrrp process [/run/bfd.pid]
  -R, --dont-respawn           End when a child process dies
  -V, --dont-release-vrrp      Leave the addresses where they are at the end
  -I, --dont-release-ipvs      Leave the virtual servers in the table at the end
  -s, --namespace=NAME         Run in this network namespace
  -a, --address-monitoring     Log every address that comes and goes
  -i, --config-id=ID           Id that @id lines are compared with
  -e, --all-config             Check every include strictly
  -u, --umask=MASK             umask for new files
  -m, --core-dump              Leave a core file at a crash
  -M, --core-dump-pattern[=P]  Set the machine's core_pattern [core]
  -T, --genhash ...            Compute the digest of a page
      --ignore-sigint          Do not stop at SIGINT
      --signum=NAME            Print the number of the signal for STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON
  -v, --version                Version
  -h, --help                   This text
Of evenkeel:
      --nginx=FILE             Run the proxy as well, with this nginx.conf
      --record=FILE            Record the events of the virtual routers
      --runtime-dir=DIR        Directory of the control socket
Accepted, for what they ask for always is so:
  -D, --log-detail             The log always has the details
  -X, --release-vips           Addresses that should not be there are always taken off
      --flush-log-file         Each line is written at once
      --no-mem-check, -L, --openssl-mem-check
Accepted, with a warning that they have no effect:
  -x, --snmp, -A, --snmp-agent-socket, --perf, --debug, --config-fd
";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<CommandLine, u8> {
        read(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn unit_files_and_habits_are_understood() {
        let debian = line("--dont-fork --log-console").unwrap();
        assert!(debian.foreground && debian.console);
        let all = line("-D -d -S 0 -n -l -P -f /a -p /b -r /c -c /d -b /e -V -R -X -I -x -i id -s ns -u 022").unwrap();
        assert_eq!(all.file, Some("/a".into()));
        assert_eq!(all.umask, Some(0o22));
        assert!(all.keep_addresses && all.no_respawn && all.dump);
        assert!(all.plan.contains(&("pid", "/b".to_owned())) && all.plan.contains(&("namespace", "ns".to_owned())));
        assert_eq!(line("-t").unwrap().test, Some(None));
        assert_eq!(line("--config-test=/tmp/l").unwrap().test, Some(Some("/tmp/l".into())));
    }

    #[test]
    fn logs_go_where_they_are_asked_to() {
        let logged = line("-S local3 -g/l/ka.log -a -I -m").unwrap();
        assert_eq!((logged.facility, logged.log_file), (Some(152), Some("/l/ka.log".into())));
        assert!(logged.tells_addresses && logged.keep_services && logged.core_dump);
        assert_eq!(line("-g").unwrap().log_file, Some(LOG_FILE.into()));
        assert_eq!(line("-S 9").unwrap().facility, None, "said, and the usual one");
    }

    #[test]
    fn every_option_is_acted_on_or_says_why_not() {
        let given = line(
            "-X -D -x -A s --perf=run --debug --flush-log-file --no-mem-check --openssl-mem-check -L --config-fd 3",
        )
        .unwrap();
        let options: Vec<_> = given.without_effect.iter().map(|row| row.option).collect();
        let expected = [
            "release-vips",
            "log-detail",
            "snmp",
            "snmp-agent-socket",
            "perf",
            "debug",
            "flush-log-file",
            "no-mem-check",
            "openssl-mem-check",
            "L",
            "config-fd",
        ];
        assert_eq!(options, expected);
        assert!(
            line("--all -b /b").is_ok_and(|line| line.all_roles && line.plan.contains(&("bfd_pid", "/b".to_owned())))
        );
        for option in OPTIONS {
            let text = match (option.long, option.value) {
                ("", _) => format!("-{}", option.short),
                ("signum" | "version" | "help" | "genhash", _) => continue,
                (long, Value::Required) => format!("--{long}=1"),
                (long, Value::No | Value::Optional) => format!("--{long}"),
            };
            let read = line(&text).unwrap();
            let is_nothing = format!("{read:?}") == format!("{:?}", CommandLine::default());
            assert!(!is_nothing, "{text} is looked for nowhere");
        }
    }

    #[test]
    fn mistakes_end_with_keepaliveds_status() {
        assert_eq!(line("--bogus").unwrap_err(), 1);
        assert_eq!(line("-f").unwrap_err(), 1);
        assert!(line("word").is_ok(), "it is said and ignored");
        assert_eq!(line("--signum=NOPE").unwrap_err(), 1);
        assert_eq!(line("--signum=JSON").unwrap_err(), 0);
    }
}
