//! Where log lines go and how they look. Every process of a node sets this up first, the roles as the supervisor says.

use evenkeel_bus::WallTime;
use evenkeel_site::config::LogLevel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Carries the name of the [`Target`] to the roles.
const TARGET_VARIABLE: &str = "EVENKEEL_LOG_TO";
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
    let level = std::env::var(LEVEL_VARIABLE).ok().and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
    let builder = tracing_subscriber::fmt().with_max_level(level).event_format(Lines { target });
    let result = match target {
        Target::Stderr | Target::Journal | Target::Nginx => builder.with_writer(|| Quiet(io::stderr())).try_init(),
        Target::Syslog => builder.with_writer(|| SyslogWriter).try_init(),
        Target::Nowhere => builder.with_writer(io::sink).try_init(),
    };
    // It is set up already: the first call counts.
    drop(result);
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
            // Facility daemon is 3.
            Target::Syslog => write!(out, "<{}>{}[{}]: ", 24 + severity(level), ident(role), std::process::id())?,
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
