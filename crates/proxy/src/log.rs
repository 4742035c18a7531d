use crate::clock::unix_time;
use evenkeel_site::config::{ErrorLog, ErrorLogTarget, LogLevel};
use evenkeel_site::time;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a log kept back until the next tick.
const PENDING: usize = 32 * 1024;

/// Log files as the supervisor opened them, shared by the workers. Each line goes out in one `write`, so lines of
/// several workers do not mix.
pub(crate) type LogFiles = Arc<Vec<(PathBuf, File)>>;

/// The logs of one worker.
#[derive(Debug)]
pub(crate) struct Logs {
    files: RefCell<LogFiles>,
    /// By index in `files`. What a file does not take is dropped: a full disk must not stop the proxy.
    pending: RefCell<Vec<Vec<u8>>>,
    worker: usize,
    n_dropped: Cell<u64>,
}

impl Logs {
    pub(crate) fn new(files: LogFiles, worker: usize) -> Logs {
        let pending = RefCell::new(vec![Vec::new(); files.len()]);
        Logs { files: RefCell::new(files), pending, worker, n_dropped: Cell::new(0) }
    }

    /// Writes what is pending and goes on with these files.
    pub(crate) fn replace(&self, files: LogFiles) {
        self.flush();
        *self.pending.borrow_mut() = vec![Vec::new(); files.len()];
        *self.files.borrow_mut() = files;
    }

    /// Adds a line to the log at `path`, without its line end. Logs that nobody opened are silent.
    pub(crate) fn append(&self, path: &Path, render: impl FnOnce(&mut Vec<u8>)) {
        let Some(index) = self.index_of(path) else { return };
        let mut pending = self.pending.borrow_mut();
        render(&mut pending[index]);
        pending[index].push(b'\n');
        let full = pending[index].len() > PENDING;
        drop(pending);
        if full {
            self.flush();
        }
    }

    fn index_of(&self, path: &Path) -> Option<usize> {
        let path = path.as_os_str();
        self.files.borrow().iter().position(|(known, _)| known.as_os_str() == path)
    }

    /// Adds a message in nginx's form: `2026/11/22 18:27:35 [error] 12#0: *7 text`.
    pub(crate) fn error(&self, log: &ErrorLog, level: LogLevel, connection: Option<u64>, text: &str) {
        if level < log.level {
            return;
        }
        let render = |out: &mut Vec<u8>| {
            time::error_log(unix_time().as_secs() as i64, 0, out);
            let _ = write!(out, " [{}] {}#{}: ", level_name(level), std::process::id(), self.worker);
            if let Some(connection) = connection {
                let _ = write!(out, "*{connection} ");
            }
            // What clients sent may be in the text: one message is one line.
            out.extend(text.bytes().map(|byte| if byte < b' ' { b' ' } else { byte }));
        };
        match &log.target {
            ErrorLogTarget::File(path) => self.append(path, render),
            ErrorLogTarget::Stderr => {
                let mut line = Vec::with_capacity(256);
                render(&mut line);
                line.push(b'\n');
                let _ = std::io::stderr().write_all(&line);
            }
        }
    }

    /// Writes what is pending.
    pub(crate) fn flush(&self) {
        let files = self.files.borrow();
        for (pending, (_, file)) in self.pending.borrow_mut().iter_mut().zip(files.iter()) {
            if pending.is_empty() {
                continue;
            }
            if let Err(error) = (&*file).write_all(pending)
                && self.n_dropped.replace(self.n_dropped.get() + 1) == 0
            {
                tracing::error!(%error, "cannot write to a log; its lines are dropped");
            }
            pending.clear();
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.flush();
    }
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Notice => "notice",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
        LogLevel::Crit => "crit",
        LogLevel::Alert => "alert",
        LogLevel::Emerg => "emerg",
    }
}
