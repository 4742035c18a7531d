//! Where log lines go and how they look. Every process of a node sets this up first, the roles as the supervisor says.

use evenkeel_bus::WallTime;
use evenkeel_site::config::LogLevel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// Carries the name of the [`Target`] to the roles.
const TARGET_VARIABLE: &str = "EVENKEEL_LOG_TO";
/// Carries facility and suffix of [`Naming`] to the roles: `24:_INSTANCE`.
const NAMING_VARIABLE: &str = "EVENKEEL_LOG_NAMING";
/// Carries the path of a log file to the roles.
const FILE_VARIABLE: &str = "EVENKEEL_LOG_FILE";
/// Least severe level that is written: `error`, `warn`, `info` (the default), `debug`, `trace`.
const LEVEL_VARIABLE: &str = "EVENKEEL_LOG";

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error, with a time.
    Stderr,
    /// Standard error with syslog's priority in front, which is how journald reads it; no time.
    Journal,
    /// `/dev/log`, as `Keepalived[PID]` and so on.
    Syslog,
    /// Standard error in the form of nginx's error log.
    Nginx,
    /// Nowhere.
    Nowhere,
}

impl Target {
    const ALL: [(Target, &'static str); 5] = [
        (Target::Stderr, "stderr"),
        (Target::Journal, "journal"),
        (Target::Syslog, "syslog"),
        (Target::Nginx, "nginx"),
        (Target::Nowhere, "nowhere"),
    ];

    /// The journal when standard error leads there, else standard error.
    pub fn console() -> Target {
        if std::env::var_os("JOURNAL_STREAM").is_some() { Target::Journal } else { Target::Stderr }
    }

    /// What the supervisor put into the environment.
    pub fn inherited() -> Target {
        let name = std::env::var(TARGET_VARIABLE).unwrap_or_default();
        Target::ALL.iter().find(|(_, n)| *n == name).map_or_else(Target::console, |(target, _)| *target)
    }

    /// The environment variable that makes a child log to the same place.
    pub fn variable(self) -> (&'static str, &'static str) {
        let name = Target::ALL.iter().find(|(target, _)| *target == self).map_or("stderr", |(_, name)| name);
        (TARGET_VARIABLE, name)
    }
}

/// How this daemon's lines in syslog are told from those of others. Set once, before the first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// Facility, times eight.
    pub facility: u8,
    /// What follows `Keepalived` and so on in the name: `_NETNS_INSTANCE`.
    pub suffix: String,
    /// Lines go to this file as well; a role's to one with its name before the dot.
    pub file: Option<PathBuf>,
}

/// Facility daemon.
pub const DAEMON: u8 = 3 << 3;

static NAMING: OnceLock<Naming> = OnceLock::new();

impl Naming {
    /// Sets it for this process. The first call counts.
    pub fn set(self) {
        let _ = NAMING.set(self);
    }

    /// What is set, or what the supervisor put into the environment.
    fn current() -> &'static Naming {
        NAMING.get_or_init(|| {
            let text = std::env::var(NAMING_VARIABLE).unwrap_or_default();
            let (facility, suffix) = text.split_once(':').unwrap_or_default();
            Naming {
                facility: facility.parse().unwrap_or(DAEMON),
                suffix: suffix.to_owned(),
                file: std::env::var_os(FILE_VARIABLE).map(PathBuf::from),
            }
        })
    }

    /// The variables that make a role log under the same name.
    pub fn variables() -> Vec<(&'static str, OsString)> {
        let Naming { facility, suffix, file } = Naming::current();
        let mut variables = vec![(NAMING_VARIABLE, OsString::from(format!("{facility}:{suffix}")))];
        variables.extend(file.as_ref().map(|file| (FILE_VARIABLE, file.clone().into_os_string())));
        variables
    }
}

/// keepalived's names of facilities: `0` to `7` and `local0` to `local7`, `user`, `daemon`.
pub fn facility(text: &str) -> Option<u8> {
    let number = match text {
        "user" => 1,
        "daemon" => return Some(DAEMON),
        text => match text.strip_prefix("local").unwrap_or(text).parse::<u8>() {
            Ok(local @ 0..=7) => 16 + local,
            _ => return None,
        },
    };
    Some(number << 3)
}

/// The file of a role beside the supervisor's: `keepalived_vrrp.log`.
fn file_of(path: &Path, role: &str) -> PathBuf {
    let part = match role {
        "vrrp" => "_vrrp",
        "balance" => "_healthcheckers",
        "proxy" => "_proxy",
        "mail" => "_mail",
        "dbus" => "_dbus",
        _ => return path.to_owned(),
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let end = path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}{part}{end}"))
}

/// Messages that nginx would write at the level `emerg` have this target: no `error_log` is without them.
pub const EMERG: &str = "emerg";

/// What an `error_log` says of the least level; all of them until it is known.
static LEAST: AtomicU8 = AtomicU8::new(0);

/// From now on a log in nginx's form has only what is at least this severe, as `error_log` asks. What somebody asks for by
/// name, in the environment, is written all the same.
pub fn keep_from(level: LogLevel) {
    let is_asked_for = std::env::var_os(LEVEL_VARIABLE).is_some();
    LEAST.store(if is_asked_for { 0 } else { level as u8 }, Ordering::Relaxed);
}

/// A line of nginx's error log.
pub fn nginx_line(level: &str, text: &str) -> String {
    let time = WallTime::now().to_string();
    let (date, clock) = (time[..10].replace('-', "/"), &time[11..19]);
    let pid = std::process::id();
    format!("{date} {clock} [{level}] {pid}#{pid}: {text}")
}

/// Sets up logging for this process. Later calls change nothing.
pub fn init(target: Target) {
    init_for(target, "supervisor");
}

/// Sets up logging for the process of `role`.
pub fn init_for(target: Target, role: &str) {
    let level = std::env::var(LEVEL_VARIABLE).ok().and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
    let lines = |target: Target| -> Box<dyn Layer<Registry> + Send + Sync> {
        let layer = tracing_subscriber::fmt::layer().event_format(Lines { target });
        match target {
            Target::Stderr | Target::Journal | Target::Nginx => layer.with_writer(|| Quiet(io::stderr())).boxed(),
            Target::Syslog => layer.with_writer(|| SyslogWriter).boxed(),
            Target::Nowhere => layer.with_writer(io::sink).boxed(),
        }
    };
    let file = Naming::current().file.as_ref().and_then(|path| open_file(&file_of(path, role)));
    let file = file.map(|file| {
        tracing_subscriber::fmt::layer().event_format(Lines { target: Target::Stderr }).with_writer(file).boxed()
    });
    let layers: Vec<_> = std::iter::once(lines(target)).chain(file).collect();
    let result = Registry::default().with(layers).with(LevelFilter::from_level(level)).try_init();
    // It is set up already: the first call counts.
    drop(result);
}

/// Opened to append, by root only: what it says of scripts and peers is not for everybody.
fn open_file(path: &Path) -> Option<Mutex<File>> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let opened = File::options().append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    match opened {
        Ok(file) => Some(Mutex::new(file)),
        Err(error) => {
            eprintln!("open the log file {}: {error}", path.display());
            None
        }
    }
}

/// One line for each event: `TIME role: message key=value`.
struct Lines {
    target: Target,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        let role = event.metadata().target().split("::").next().unwrap_or_default();
        let role = role.strip_prefix("evenkeel_").unwrap_or(role);
        match self.target {
            Target::Journal => write!(out, "<{}>{role}: ", severity(level))?,
            Target::Syslog => {
                let Naming { facility, suffix, .. } = Naming::current();
                let (priority, pid) = (facility + severity(level), std::process::id());
                write!(out, "<{priority}>{}{suffix}[{pid}]: ", ident(role))?;
            }
            Target::Nginx => {
                let (word, rank) = if role == EMERG { ("emerg", LogLevel::Emerg) } else { nginx_level(level) };
                if (rank as u8) < LEAST.load(Ordering::Relaxed) {
                    return Ok(());
                }
                out.write_str(&nginx_line(word, ""))?;
            }
            Target::Stderr | Target::Nowhere => {
                write!(out, "{} {role}: {}", WallTime::now(), prefix(level))?;
            }
        }
        let mut fields = Fields { out, n: 0 };
        event.record(&mut fields);
        fields.out.write_char('\n')
    }
}

fn prefix(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error: ",
        Level::WARN => "warning: ",
        _ => "",
    }
}

/// syslog's severity.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn nginx_level(level: Level) -> (&'static str, LogLevel) {
    match level {
        Level::ERROR => ("error", LogLevel::Error),
        Level::WARN => ("warn", LogLevel::Warn),
        Level::INFO => ("notice", LogLevel::Notice),
        _ => ("debug", LogLevel::Debug),
    }
}

/// The names that people filter keepalived's messages by.
fn ident(role: &str) -> &'static str {
    match role {
        "vrrp" => "Keepalived_vrrp",
        "balance" => "Keepalived_healthcheckers",
        "proxy" => "Keepalived_proxy",
        _ => "Keepalived",
    }
}

/// The message first, then what belongs to it as `key=value`. Control characters are escaped, so that one event stays
/// one line whatever a peer or a script put into it.
struct Fields<'w> {
    out: Writer<'w>,
    n: usize,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, text: &str) {
        if self.n > 0 {
            let _ = self.out.write_char(' ');
        }
        self.n += 1;
        let is_message = field.name() == "message";
        if !is_message {
            let _ = write!(self.out, "{}=", field.name());
        }
        let quoted = !is_message && (text.is_empty() || text.contains([' ', '"', '=']));
        if quoted {
            let _ = self.out.write_char('"');
        }
        for c in text.chars() {
            let _ = match c {
                '"' if quoted => self.out.write_str("\\\""),
                c if c.is_control() => write!(self.out, "{}", c.escape_default()),
                c => self.out.write_char(c),
            };
        }
        if quoted {
            let _ = self.out.write_char('"');
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

/// A log that cannot be written (its reader is gone) is no reason to stop, and one that is not read (a pipe that is full)
/// must not hold up an advert: what does not fit is lost, and said so once there is room again.
struct Quiet<W>(W);

static N_LOST: AtomicU64 = AtomicU64::new(0);

impl<W: Write + AsFd> Write for Quiet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !takes_a_line(&self.0) {
            N_LOST.fetch_add(1, Ordering::Relaxed);
            return Ok(bytes.len());
        }
        let n_lost = N_LOST.swap(0, Ordering::Relaxed);
        if n_lost > 0 {
            let _ = writeln!(self.0, "{n_lost} lines of the log were lost here: nobody read them");
        }
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a write of a page or less returns at once. An error is for the write to meet.
fn takes_a_line(out: &impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(out, PollFlags::OUT)], Some(&now)) != Ok(0)
}

struct SyslogWriter;

impl Write for SyslogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static SOCKET: OnceLock<Option<UnixDatagram>> = OnceLock::new();
        let socket = SOCKET.get_or_init(|| {
            let socket = UnixDatagram::unbound().ok()?;
            // A log that is full must not hold up an advert.
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        });
        if let Some(socket) = socket {
            let _ = socket.send_to(bytes.trim_ascii_end(), "/dev/log");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes `file` the standard error of this process and of those it starts.
pub fn redirect_stderr(file: &File) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(file)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn facilities_and_log_files_have_keepaliveds_names() {
        for (text, expected) in [
            ("0", Some(128)),
            ("7", Some(184)),
            ("local3", Some(152)),
            ("user", Some(8)),
            ("daemon", Some(24)),
            ("8", None),
            ("localx", None),
        ] {
            assert_eq!(facility(text), expected, "{text}");
        }
        assert_eq!(file_of(Path::new("/l/ka.log"), "vrrp"), Path::new("/l/ka_vrrp.log"));
        assert_eq!(file_of(Path::new("/l/ka"), "balance"), Path::new("/l/ka_healthcheckers"));
        assert_eq!(file_of(Path::new("/l/ka.log"), "supervisor"), Path::new("/l/ka.log"));
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nothing_up_and_says_later_what_was_lost() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut log = Quiet(writer);
        let line = [b'x'; 4096];
        for _ in 0..64 {
            log.write_all(&line).unwrap();
        }
        let mut first = [0; 4096];
        reader.read_exact(&mut first).unwrap();
        log.write_all(b"last\n").unwrap();
        drop(log);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with(" lines of the log were lost here: nobody read them\nlast\n"), "{rest}");
    }
}
