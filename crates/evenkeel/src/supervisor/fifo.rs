//! Named pipes that other programs read notices from.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// A pipe, or none. Nobody who does not read holds anything up: what does not fit is dropped, as keepalived does it.
#[derive(Debug, Default)]
pub struct Fifo {
    path: Option<String>,
    pipe: Option<OwnedFd>,
    /// A line was dropped, and that was told.
    is_full: bool,
}

impl Fifo {
    /// Writes to the pipe at `path` from now on. A new path, or the same after trouble, is opened anew.
    pub fn follow(&mut self, path: Option<&str>) {
        if self.path.as_deref() == path && (path.is_none() || self.pipe.is_some()) {
            return;
        }
        self.path = path.map(str::to_owned);
        self.pipe = path.and_then(|path| match open(path) {
            Ok(pipe) => Some(pipe),
            Err(reason) => {
                tracing::error!(target: "supervisor", "notify FIFO {path}: {reason}");
                None
            }
        });
    }

    /// Writes a line, whole or not at all.
    pub fn write(&mut self, line: &str) {
        let Some(pipe) = &self.pipe else { return };
        let outcome = rustix::io::write(pipe, format!("{line}\n").as_bytes());
        let path = self.path.as_deref().unwrap_or_default();
        match outcome {
            Ok(_) => self.is_full = false,
            Err(Errno::AGAIN) if self.is_full => {}
            Err(Errno::AGAIN) => {
                self.is_full = true;
                tracing::warn!(target: "supervisor", "nobody reads the notify FIFO {path}: lines are dropped");
            }
            Err(error) => tracing::warn!(target: "supervisor", "write to the notify FIFO {path}: {error}"),
        }
    }
}

/// Opens the pipe for both ways, so that it does not matter whether somebody reads yet; makes it when it is not there.
fn open(path: &str) -> Result<OwnedFd, String> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let pipe = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).map_err(|error| error.to_string())?;
            rustix::fs::open(path, flags, Mode::empty())
        }
        opened => opened,
    };
    let pipe = pipe.map_err(|error| error.to_string())?;
    let about = rustix::fs::fstat(&pipe).map_err(|error| error.to_string())?;
    if FileType::from_raw_mode(about.st_mode) != FileType::Fifo {
        return Err("it is there and no FIFO".to_owned());
    }
    Ok(pipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_arrive_whole_and_a_full_pipe_holds_nobody_up() {
        let path = std::env::temp_dir().join(format!("evenkeel-fifo-{}", std::process::id()));
        let path = path.to_str().unwrap();
        let mut fifo = Fifo::default();
        fifo.write("to nobody");
        fifo.follow(Some(path));
        fifo.write("VS [10.0.0.1]:tcp:80 UP");
        let mut read = [0; 64];
        let n_read = rustix::io::read(fifo.pipe.as_ref().unwrap(), &mut read).unwrap();
        assert_eq!(&read[..n_read], b"VS [10.0.0.1]:tcp:80 UP\n");
        for _ in 0..100_000 {
            fifo.write("RS [10.0.0.2]:tcp:80 [10.0.0.1]:tcp:80 DOWN");
        }
        assert!(fifo.is_full);
        fifo.follow(None);
        assert!(fifo.pipe.is_none());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_pipe_is_left_alone() {
        let path = std::env::temp_dir().join(format!("evenkeel-no-fifo-{}", std::process::id()));
        std::fs::write(&path, "text").unwrap();
        assert_eq!(open(path.to_str().unwrap()).unwrap_err(), "it is there and no FIFO");
        std::fs::remove_file(path).unwrap();
    }
}
