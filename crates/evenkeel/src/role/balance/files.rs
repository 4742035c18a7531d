//! The numbers in tracked files, read when the files change.

use crate::readiness::Readiness;
use evenkeel_balance::Event;
use evenkeel_balance::config::{Config, FileId};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A number has no more digits than this, with sign and white space.
const LONGEST: usize = 64;

/// Files whose number checks follow.
pub(super) struct TrackedFiles {
    paths: Vec<String>,
    watch: Option<(OwnedFd, Readiness)>,
}

impl TrackedFiles {
    /// Watches the directories of the files: a file that is replaced by another is another inode.
    pub(super) fn new(config: &Config) -> io::Result<Self> {
        let paths: Vec<String> = config.files.iter().map(|file| file.path.clone()).collect();
        if paths.is_empty() {
            return Ok(TrackedFiles { paths, watch: None });
        }
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let directories: BTreeSet<_> = paths.iter().map(|path| directory(path)).collect();
        for directory in directories {
            let events = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
            if let Err(error) = inotify::add_watch(&watch, directory, events) {
                tracing::warn!(target: "balance", "watch {}: {error}", directory.display());
            }
        }
        let readiness = Readiness::of(&watch)?;
        Ok(TrackedFiles { paths, watch: Some((watch, readiness)) })
    }

    /// All numbers now.
    pub(super) fn read_all(&self) -> Vec<Event> {
        (0..).map(FileId).zip(&self.paths).map(|(file, path)| Event::File { file, value: read(path) }).collect()
    }

    /// All numbers, once something in one of the directories has changed. Never, when no file is tracked.
    pub(super) async fn changed(&self) -> io::Result<Vec<Event>> {
        let Some((watch, readiness)) = &self.watch else { return std::future::pending().await };
        readiness.readable().await?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        // Which file it was does not matter: reading them all is little, and the balancer looks at differences only.
        while rustix::io::read(watch, &mut buffer).is_ok_and(|(read, _)| !read.is_empty()) {}
        readiness.drained();
        Ok(self.read_all())
    }
}

fn directory(path: &str) -> &Path {
    match Path::new(path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The number at the start of the file; `None` when there is no file or no number.
fn read(path: &str) -> Option<i32> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(LONGEST as u64).read_to_string(&mut text).ok()?;
    let number = text.split_whitespace().next()?.parse::<i64>().ok()?;
    // keepalived's limits for files of checkers: those of 32 bits.
    Some(i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX }))
}
