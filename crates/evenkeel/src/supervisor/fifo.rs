//! Named pipes that other programs read notices from, and the programs that are started to read them.

use super::backoff::Backoff;
use super::script::{self, Identity};
use evenkeel_conf::keepalived::{CommandLine, NotifyFifo};
use evenkeel_kernel::privilege::User;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A pipe, or none. Nobody who does not read holds anything up: what does not fit is dropped, as keepalived does it.
#[derive(Debug, Default)]
pub struct Fifo {
    asked: Option<NotifyFifo>,
    pipe: Option<Pipe>,
    reader: Option<Reader>,
    /// A line was dropped, and that was told.
    is_full: bool,
}

#[derive(Debug)]
struct Pipe {
    end: OwnedFd,
    /// It was not there before, and goes with us.
    is_ours: bool,
}

impl Fifo {
    /// Writes to this pipe from now on. Another one, or the same after trouble, is opened anew. Its reader is always
    /// started anew, as keepalived does it at each reload; what is written when the old one has ended waits in the pipe for it.
    pub fn follow(&mut self, asked: Option<&NotifyFifo>, script_user: &Identity) {
        let place = |fifo: &NotifyFifo| (fifo.path.clone(), fifo.owner.clone());
        if self.pipe.is_none() || self.asked.as_ref().map(place) != asked.map(place) {
            self.remove();
            self.pipe = asked.and_then(|asked| open(asked, script_user));
        }
        self.asked = asked.cloned();
        let before = self.reader.take().map(Reader::stop);
        let command = self.asked.as_ref().filter(|_| self.pipe.is_some()).and_then(|asked| {
            let mut command = asked.reader.clone()?;
            command.words.push(asked.path.clone());
            Some(command)
        });
        self.reader = command.map(|command| Reader::start(command, script_user, before));
    }

    /// Writes a line, whole or not at all.
    pub fn write(&mut self, line: &str) {
        let Some(pipe) = &self.pipe else { return };
        let outcome = rustix::io::write(&pipe.end, format!("{line}\n").as_bytes());
        let path = self.path();
        match outcome {
            Ok(_) => self.is_full = false,
            Err(Errno::AGAIN) if self.is_full => {}
            Err(Errno::AGAIN) => {
                tracing::warn!(target: "supervisor", "nobody reads the notify FIFO {path}: lines are dropped");
                self.is_full = true;
            }
            Err(error) => tracing::warn!(target: "supervisor", "write to the notify FIFO {path}: {error}"),
        }
    }

    /// Ends the reader, and removes a pipe that was made here.
    pub async fn close(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.stop().await;
        }
        self.remove();
    }

    fn path(&self) -> &str {
        self.asked.as_ref().map_or("", |asked| asked.path.as_str())
    }

    fn remove(&mut self) {
        let Some(pipe) = self.pipe.take().filter(|pipe| pipe.is_ours) else { return };
        let identity = |about: &rustix::fs::Stat| (about.st_dev, about.st_ino);
        let ours = rustix::fs::fstat(&pipe.end).as_ref().map(identity).ok();
        // Somebody may have put another one there.
        if ours.is_some() && ours == rustix::fs::lstat(self.path()).as_ref().map(identity).ok() {
            let _ = rustix::fs::unlink(self.path());
        }
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A program that reads a pipe. It is started again when it ends, for the events go on.
#[derive(Debug)]
struct Reader {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Starts it, after the end of the one `before`: two would each get a part of the lines.
    fn start(command: CommandLine, script_user: &Identity, before: Option<JoinHandle<()>>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let user = command.user.clone().or_else(|| script_user.clone());
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            attend(&command, &user, stopped).await;
        });
        Reader { stop, task }
    }

    /// Asks it to end; the task ends when it has.
    fn stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.task
    }
}

async fn attend(command: &CommandLine, user: &Identity, mut stop: oneshot::Receiver<()>) {
    let mut backoff = Backoff::default();
    loop {
        let started_at = Instant::now();
        let Some(how) = script::until(command, user, &mut stop).await else { return };
        let wait = backoff.after(started_at.elapsed());
        let script = command.words.join(" ");
        tracing::warn!(target: "script", script, "the reader of a FIFO {how}; it is started again in {wait:?}");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = &mut stop => return,
        }
    }
}

fn open(asked: &NotifyFifo, script_user: &Identity) -> Option<Pipe> {
    let owner = asked.owner.as_ref().or(script_user.as_ref());
    let owner = owner.map(|(user, group)| script::identity(user, group.as_deref())).transpose();
    let opened = owner.and_then(|owner| open_at(&asked.path, owner.as_ref()));
    match opened {
        Ok(pipe) => Some(pipe),
        Err(reason) => {
            tracing::error!(target: "supervisor", "notify FIFO {}: {reason}", asked.path);
            None
        }
    }
}

/// Opens the pipe for both ways, so that it does not matter whether somebody reads yet; makes it when it is not there, with
/// keepalived's rights: its owner's alone.
fn open_at(path: &str, owner: Option<&User>) -> Result<Pipe, String> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let said = |error: Errno| match error {
        Errno::LOOP => "it is a symbolic link".to_owned(),
        error => error.to_string(),
    };
    let (end, is_ours) = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(said)?;
            (rustix::fs::open(path, flags, Mode::empty()).map_err(said)?, true)
        }
        opened => (opened.map_err(said)?, false),
    };
    let about = rustix::fs::fstat(&end).map_err(said)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::Fifo {
        return Err("it is there and no FIFO".to_owned());
    }
    let ours = rustix::process::geteuid().as_raw();
    if ![Some(ours), owner.map(|owner| owner.uid), Some(0)].contains(&Some(about.st_uid)) {
        return Err(format!("it is there and belongs to user {}", about.st_uid));
    }
    if let (true, Some(owner)) = (is_ours, owner) {
        let (user, group) = (rustix::fs::Uid::from_raw(owner.uid), rustix::fs::Gid::from_raw(owner.gid));
        rustix::fs::fchown(&end, Some(user), Some(group)).map_err(said)?;
    }
    Ok(Pipe { end, is_ours })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::{Path, PathBuf};

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("evenkeel-fifo-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn at(path: &Path) -> NotifyFifo {
        NotifyFifo { path: path.to_str().unwrap().to_owned(), owner: None, reader: None }
    }

    fn read(fifo: &Fifo) -> String {
        let mut read = [0; 64];
        let n_read = rustix::io::read(&fifo.pipe.as_ref().unwrap().end, &mut read).unwrap();
        String::from_utf8_lossy(&read[..n_read]).into_owned()
    }

    #[test]
    fn lines_arrive_whole_and_a_full_pipe_holds_nobody_up() {
        let path = scratch("full");
        let mut fifo = Fifo::default();
        fifo.write("to nobody");
        fifo.follow(Some(&at(&path)), &None);
        fifo.write("VS [10.0.0.1]:tcp:80 UP");
        assert_eq!(read(&fifo), "VS [10.0.0.1]:tcp:80 UP\n");
        for _ in 0..100_000 {
            fifo.write("RS [10.0.0.2]:tcp:80 [10.0.0.1]:tcp:80 DOWN");
        }
        assert!(fifo.is_full);
        fifo.follow(None, &None);
        assert!(fifo.pipe.is_none());
        assert!(!path.exists(), "who made it removes it");
    }

    #[test]
    fn a_pipe_is_its_owners_alone_and_one_that_was_there_stays() {
        let path = scratch("owner");
        let mut fifo = Fifo::default();
        fifo.follow(Some(&at(&path)), &Some(("root".to_owned(), Some("2".to_owned()))));
        let about = std::fs::metadata(&path).unwrap();
        assert_eq!(about.permissions().mode() & 0o7777, 0o600);
        if rustix::process::geteuid().is_root() {
            assert_eq!((about.uid(), about.gid()), (0, 2));
            let nobody = NotifyFifo { owner: Some(("nobody".to_owned(), None)), ..at(&path) };
            fifo.follow(Some(&nobody), &None);
            assert_eq!(std::fs::metadata(&path).unwrap().uid(), 65534);
            // Now it is somebody else's for whoever expects another owner.
            let mut other = Fifo::default();
            other.follow(Some(&at(&path)), &None);
            assert!(other.pipe.is_none());
            let mut same = Fifo::default();
            same.follow(Some(&nobody), &None);
            assert!(same.pipe.is_some());
            drop(same);
            assert!(path.exists(), "it was there before");
        }
        drop(fifo);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_pipe_is_left_alone() {
        let (file, link) = (scratch("file"), scratch("link"));
        std::fs::write(&file, "text").unwrap();
        assert_eq!(open_at(file.to_str().unwrap(), None).unwrap_err(), "it is there and no FIFO");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(open_at(link.to_str().unwrap(), None).unwrap_err(), "it is a symbolic link");
        std::fs::remove_file(link).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"text");
        std::fs::remove_file(file).unwrap();
    }

    /// Reads what the readers of a pipe wrote down, until they have written `n` lines.
    async fn notes(path: &Path, n: usize) -> Vec<String> {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            if lines.len() >= n {
                return lines;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_reader_gets_the_path_last_and_is_started_anew_when_its_predecessor_has_ended() {
        let (path, log) = (scratch("read"), scratch("log"));
        let line = format!(
            "echo started $0 >> {log}; trap 'echo ended >> {log}; exit' TERM; \
             while read -r line; do echo $line >> {log}; done < $1",
            log = log.display()
        );
        let words = ["/bin/sh", "-c", &line, "first"].map(str::to_owned).to_vec();
        let asked = NotifyFifo { reader: Some(CommandLine { words, user: None }), ..at(&path) };
        let mut fifo = Fifo::default();
        fifo.follow(Some(&asked), &None);
        fifo.write("one");
        assert_eq!(notes(&log, 2).await, ["started first", "one"]);
        fifo.follow(Some(&asked), &None);
        assert_eq!(notes(&log, 3).await[2], "ended");
        fifo.write("two");
        assert_eq!(notes(&log, 5).await[3..], ["started first", "two"]);
        fifo.close().await;
        assert_eq!(notes(&log, 6).await[5], "ended");
        assert!(!path.exists());
        std::fs::remove_file(log).unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_ends_is_started_again() {
        let (path, log) = (scratch("again"), scratch("again-log"));
        let line = format!("read -r line < $0; echo $line >> {}; exit 3", log.display());
        let words = ["/bin/sh", "-c", &line].map(str::to_owned).to_vec();
        let asked = NotifyFifo { reader: Some(CommandLine { words, user: None }), ..at(&path) };
        let mut fifo = Fifo::default();
        fifo.follow(Some(&asked), &None);
        fifo.write("one");
        notes(&log, 1).await;
        fifo.write("two");
        assert_eq!(notes(&log, 2).await, ["one", "two"]);
        fifo.close().await;
        std::fs::remove_file(log).unwrap();
    }
}
