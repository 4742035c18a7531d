//! `nginx`: its options, texts and exit status, on our supervisor.

use super::detach;
use crate::log::Target;
use crate::supervisor::{self, NginxOptions, PidFile, Plan, errno};
use evenkeel_conf::{Severity, nginx as conf};
use evenkeel_site::config::ErrorLogTarget;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const CONFIGURATION: &str = "/etc/nginx/nginx.conf";
const PREFIX: &str = "/usr/share/nginx/";
const PID_FILE: &str = "/run/nginx.pid";
/// Beside the directory of the failover daemon, which may run on the same machine.
const RUNTIME_DIRECTORY: &str = "/run/evenkeel-nginx";

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct CommandLine {
    action: Action,
    quiet: bool,
    prefix: Option<String>,
    file: Option<String>,
    error_log: Option<String>,
    globals: Option<String>,
    /// `-e` once it could be opened.
    early_log: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Action {
    #[default]
    Run,
    Help,
    Version,
    VersionAndOptions,
    Test,
    TestAndDump,
    Tell(Told),
}

/// `-s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Stop,
    Quit,
    Reload,
    Reopen,
}

/// Runs as nginx with `words` after its name.
pub fn main(words: &[OsString]) -> ExitCode {
    let texts: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut line = match parse(&texts) {
        Ok(line) => line,
        Err(message) => {
            eprintln!("nginx: {message}");
            return ExitCode::FAILURE;
        }
    };
    line.open_error_log();
    match line.action {
        Action::Help => {
            eprint!("{}\n{HELP}", version());
            ExitCode::SUCCESS
        }
        Action::Version => {
            eprint!("{}", version());
            ExitCode::SUCCESS
        }
        Action::VersionAndOptions => {
            eprint!("{}{OPTIONS}", version());
            ExitCode::SUCCESS
        }
        Action::Test | Action::TestAndDump => test(&line),
        Action::Tell(what) => tell(&line, what),
        Action::Run => run(&line, words),
    }
}

/// nginx's own way: letters may be bundled, values are glued on or the next word.
fn parse(words: &[String]) -> Result<CommandLine, String> {
    let mut line = CommandLine::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-') else { return Err(format!("invalid option: \"{word}\"")) };
        for (at, letter) in letters.char_indices() {
            let mut value = |what: &str| -> Result<String, String> {
                let glued = &letters[at + letter.len_utf8()..];
                let text = if glued.is_empty() { words.next().cloned() } else { Some(glued.to_owned()) };
                text.filter(|text| !text.is_empty()).ok_or_else(|| format!("option \"-{letter}\" requires {what}"))
            };
            match letter {
                '?' | 'h' => line.action = Action::Help,
                'v' => line.action = Action::Version,
                'V' => line.action = Action::VersionAndOptions,
                't' => line.action = Action::Test,
                'T' => line.action = Action::TestAndDump,
                'q' => line.quiet = true,
                'p' => line.prefix = Some(value("directory name")?),
                'e' => line.error_log = Some(value("file name")?),
                'c' => line.file = Some(value("file name")?),
                'g' => line.globals = Some(value("parameter")?),
                's' => {
                    let name = value("parameter")?;
                    line.action = Action::Tell(match name.as_str() {
                        "stop" => Told::Stop,
                        "quit" => Told::Quit,
                        "reload" => Told::Reload,
                        "reopen" => Told::Reopen,
                        _ => return Err(format!("invalid option: \"-s {name}\"")),
                    });
                }
                letter => return Err(format!("invalid option: \"{letter}\"")),
            }
            if matches!(letter, 'p' | 'e' | 'c' | 'g' | 's') {
                break;
            }
        }
    }
    Ok(line)
}

impl CommandLine {
    fn prefix(&self) -> PathBuf {
        let given = self.prefix.as_deref().unwrap_or(PREFIX);
        std::path::absolute(given).unwrap_or_else(|_| given.into())
    }

    /// The configuration file; a relative path is relative to the prefix.
    fn file(&self) -> PathBuf {
        self.prefix().join(self.file.as_deref().unwrap_or(CONFIGURATION))
    }

    fn options(&self) -> NginxOptions {
        let error_log = match self.error_log.as_deref() {
            None => None,
            Some("stderr") => Some(ErrorLogTarget::Stderr),
            Some(path) => Some(ErrorLogTarget::File(self.prefix().join(path))),
        };
        NginxOptions { prefix: self.prefix(), globals: self.globals.clone(), error_log }
    }

    /// `-e` is open before the configuration is read. One that cannot be opened stops nothing: only a configuration that
    /// names no other log fails because of it.
    fn open_error_log(&mut self) {
        let is_used = match self.action {
            Action::Run | Action::Test | Action::TestAndDump | Action::Tell(_) => true,
            Action::Help | Action::Version | Action::VersionAndOptions => false,
        };
        // The process in the foreground has said so already.
        if let (true, false, Some(ErrorLogTarget::File(path))) =
            (is_used, detach::is_detached(), self.options().error_log)
        {
            match supervisor::open_log(&path) {
                Ok(_) => self.early_log = Some(path),
                Err(error) => eprintln!("nginx: [alert] could not open error log file: {error}"),
            }
        }
    }

    /// To standard error, and to the log that is open before the configuration's own.
    fn say(&self, level: &str, text: &str) {
        eprintln!("nginx: [{level}] {text}");
        self.note(level, text);
    }

    /// To that log alone.
    fn note(&self, level: &str, text: &str) {
        if let Some(path) = &self.early_log {
            supervisor::append(path, &crate::log::nginx_line(level, text));
        }
    }

    fn pid_file(&self, site: &evenkeel_site::Config) -> PathBuf {
        self.prefix().join(site.pid.clone().unwrap_or_else(|| PID_FILE.into()))
    }
}

fn load(line: &CommandLine) -> conf::Loaded {
    supervisor::load_nginx(&line.file(), &line.options(), conf::Shape::Whole)
}

/// The diagnostics that nginx would print: every warning, and the first error, where it stops.
fn report(line: &CommandLine, loaded: &conf::Loaded) -> bool {
    for diagnostic in &loaded.diagnostics {
        match diagnostic.severity {
            // What is only ours to say does not belong into another program's output.
            Severity::Note => continue,
            Severity::Warning | Severity::Error => {
                let text = supervisor::nginx_line(diagnostic, &loaded.sources);
                let (level, text) = text.trim_start_matches('[').split_once("] ").unwrap_or(("emerg", &text));
                line.say(level, text);
            }
        }
        if diagnostic.severity == Severity::Error {
            return false;
        }
    }
    true
}

fn test(line: &CommandLine) -> ExitCode {
    let loaded = load(line);
    let path = line.file();
    let fine = report(line, &loaded);
    if fine && !line.quiet {
        eprintln!("nginx: the configuration file {} syntax is ok", path.display());
    }
    let logs = supervisor::log_paths(&loaded.site);
    let opened =
        fine && logs.iter().all(|log| supervisor::open_log(log).inspect_err(|error| line.say("emerg", error)).is_ok());
    if !opened {
        eprintln!("nginx: configuration file {} test failed", path.display());
        return ExitCode::FAILURE;
    }
    if !line.quiet {
        eprintln!("nginx: configuration file {} test is successful", path.display());
    }
    if line.action == Action::TestAndDump {
        dump(&loaded);
    }
    ExitCode::SUCCESS
}

/// Each file once, as it was read.
fn dump(loaded: &conf::Loaded) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for (n, path) in loaded.sources.paths().enumerate() {
        if path == Path::new(conf::COMMAND_LINE) {
            continue;
        }
        let file = evenkeel_conf::FileId(u32::try_from(n).unwrap_or(u32::MAX));
        let _ = writeln!(out, "# configuration file {}:", path.display());
        let _ = out.write_all(loaded.sources.bytes(file));
        let _ = out.write_all(b"\n");
    }
}

fn tell(line: &CommandLine, what: Told) -> ExitCode {
    let loaded = load(line);
    if !report(line, &loaded) {
        return ExitCode::FAILURE;
    }
    line.note("notice", "signal process started");
    let path = line.pid_file(&loaded.site);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            line.say("error", &format!("open() \"{}\" failed ({})", path.display(), errno(&error)));
            return ExitCode::FAILURE;
        }
    };
    let number = text.trim();
    let Some(pid) = number.parse().ok().and_then(Pid::from_raw) else {
        line.say("error", &format!("invalid PID number \"{number}\" in \"{}\"", path.display()));
        return ExitCode::FAILURE;
    };
    let signal = match what {
        Told::Stop => Signal::TERM,
        Told::Quit => Signal::QUIT,
        Told::Reload => Signal::HUP,
        Told::Reopen => Signal::USR1,
    };
    match kill_process(pid, signal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (signal, error) = (signal.as_raw(), errno(&error.into()));
            line.say("alert", &format!("kill({number}, {signal}) failed ({error})"));
            ExitCode::FAILURE
        }
    }
}

fn run(line: &CommandLine, words: &[OsString]) -> ExitCode {
    let loaded = load(line);
    if !report(line, &loaded) {
        return ExitCode::FAILURE;
    }
    let in_background = loaded.site.daemon.unwrap_or(true);
    let detached = detach::is_detached();
    if in_background && !detached {
        return detach::detach("nginx", words);
    }
    if detached {
        detach::leave_session();
    }
    let mut plan = Plan::new("nginx");
    plan.nginx = Some(line.file());
    plan.nginx_options = line.options();
    plan.nginx_style = true;
    plan.pid_file = Some(line.pid_file(&loaded.site));
    plan.control_is_optional = true;
    if std::env::var_os("EVENKEEL_RUNTIME_DIR").is_none() {
        plan.runtime_directory = RUNTIME_DIRECTORY.into();
    }
    plan.log = Target::Nginx;
    let compiled = match supervisor::compile(&plan) {
        Ok(compiled) => compiled,
        // It was read a moment ago: somebody writes it just now.
        Err(refused) => {
            refused.diagnostics.iter().for_each(|text| eprintln!("nginx: {text}"));
            return ExitCode::FAILURE;
        }
    };
    let running = PidFile::living(&line.pid_file(&compiled.site.clone().unwrap_or_default()));
    if let Some(pid) = running.filter(|pid| *pid != std::process::id()) {
        // nginx finds out by its ports being taken; with none in common both may run. We only say so.
        tracing::debug!(target: "supervisor", "the pid file names the living process {pid}");
    }
    let log = match &loaded.site.error_log.target {
        ErrorLogTarget::File(path) => supervisor::open_log(path).ok(),
        ErrorLogTarget::Stderr => None,
    };
    let on_ready: supervisor::OnReady = Box::new(move || match (detached, &log) {
        (true, log) => detach::ready(log.as_ref(), true),
        (false, Some(file)) => drop(crate::log::redirect_stderr(file)),
        (false, None) => {}
    });
    supervisor::run(plan, compiled, on_ready)
}

fn version() -> String {
    format!("nginx version: nginx/1.31.0 (evenkeel {})\n", env!("CARGO_PKG_VERSION"))
}

const OPTIONS: &str = "\
built with rustc
configure arguments: --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf --pid-path=/run/nginx.pid \
--without-http_charset_module --without-http_gzip_module --without-http_ssi_module --without-http_userid_module \
--without-http_auth_basic_module --without-http_mirror_module --without-http_autoindex_module \
--without-http_referer_module --without-http_fastcgi_module \
--without-http_uwsgi_module --without-http_scgi_module --without-http_grpc_module --without-http_memcached_module \
--without-http_limit_conn_module --without-http_limit_req_module --without-http_empty_gif_module \
--without-http_browser_module --without-http-cache
";

const HELP: &str = "\
Usage: nginx [-?hvVtTq] [-s signal] [-p prefix]
             [-e filename] [-c filename] [-g directives]

Options:
  -?,-h         : this help
  -v            : show version and exit
  -V            : show version and configure options then exit
  -t            : test configuration and exit
  -T            : test configuration, dump it and exit
  -q            : suppress non-error messages during configuration testing
  -s signal     : send signal to a master process: stop, quit, reopen, reload
  -p prefix     : set prefix path (default: /usr/share/nginx/)
  -e filename   : set error log file (default: stderr)
  -c filename   : set configuration file (default: /etc/nginx/nginx.conf)
  -g directives : set global directives out of configuration file

";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Result<CommandLine, String> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_as_nginx_reads_them() {
        let parsed = line(&["-c", "n.conf", "-p/srv/", "-g", "daemon off;"]).unwrap();
        assert_eq!(parsed.file(), Path::new("/srv/n.conf"));
        assert_eq!(parsed.globals.as_deref(), Some("daemon off;"));
        assert_eq!(
            line(&["-tq"]).unwrap(),
            CommandLine { action: Action::Test, quiet: true, ..CommandLine::default() }
        );
        assert_eq!(line(&["-s", "reload"]).unwrap().action, Action::Tell(Told::Reload));
        assert_eq!(line(&["-squit"]).unwrap().action, Action::Tell(Told::Quit));
    }

    #[test]
    fn mistakes_are_told_in_nginxs_words() {
        assert_eq!(line(&["-x"]), Err("invalid option: \"x\"".to_owned()));
        assert_eq!(line(&["start"]), Err("invalid option: \"start\"".to_owned()));
        assert_eq!(line(&["-s", "foo"]), Err("invalid option: \"-s foo\"".to_owned()));
        assert_eq!(line(&["-c"]), Err("option \"-c\" requires file name".to_owned()));
    }
}
