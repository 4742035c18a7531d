//! Numbers in files, read when the files change.

use super::Teller;
use crate::readiness::Readiness;
use evenkeel_conf::keepalived::TrackedFile;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// A number has no more characters than this, with white space before it.
const LONGEST: u64 = 64;
/// Where a directory cannot be watched, it is looked at so often.
const PERIOD: Duration = Duration::from_secs(1);

/// Writes what `init_file` asks for: once, at the start of the daemon.
pub fn initialise(files: &[TrackedFile]) {
    for file in files {
        let Some((value, overwrite)) = file.init else { continue };
        let mut options = std::fs::OpenOptions::new();
        options.write(true);
        match overwrite {
            true => options.create(true).truncate(true),
            false => options.create_new(true),
        };
        let path = file.path.display();
        match options.open(&file.path).and_then(|mut opened| writeln!(opened, "{value}")) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => tracing::warn!(target: "script", "track_file {}: write {path}: {error}", file.name),
        }
    }
}

/// Tells each number now and whenever it is another one. For ever.
pub(super) async fn watch(files: Vec<TrackedFile>, teller: Teller) {
    let mut known: Vec<Option<i32>> = vec![None; files.len()];
    let watched = directories(&files);
    if let Err(error) = &watched {
        tracing::warn!(target: "script", "tracked files are read every second: {error}");
    }
    loop {
        for (file, known) in files.iter().zip(&mut known) {
            let value = read(&file.path);
            if *known == Some(value) {
                continue;
            }
            if known.replace(value).is_some() {
                tracing::info!(target: "script", "track_file {} holds {value}", file.name);
            }
            let name = file.name.clone();
            if !teller.tell(format!("file {name}"), evenkeel_vrrp::Event::File { name, value }).await {
                return;
            }
        }
        match &watched {
            Ok((watch, readiness)) => {
                if readiness.readable().await.is_err() {
                    return;
                }
                // Which file it was does not matter: reading them all is little.
                let mut buffer = [MaybeUninit::uninit(); 4096];
                while rustix::io::read(watch, &mut buffer).is_ok_and(|(read, _)| !read.is_empty()) {}
                readiness.drained();
            }
            Err(_) => tokio::time::sleep(PERIOD).await,
        }
    }
}

/// The directories of the files: one that is replaced by another is another inode.
fn directories(files: &[TrackedFile]) -> io::Result<(OwnedFd, Readiness)> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let directories: BTreeSet<&Path> = files.iter().filter_map(|file| file.path.parent()).collect();
    for directory in directories {
        let events = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
        inotify::add_watch(&watch, directory, events)
            .map_err(|error| io::Error::other(format!("watch {}: {error}", directory.display())))?;
    }
    let readiness = Readiness::of(&watch)?;
    Ok((watch, readiness))
}

fn read(path: &Path) -> i32 {
    let mut text = Vec::new();
    match std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut text)) {
        Ok(_) => number(&String::from_utf8_lossy(&text)),
        Err(_) => 0,
    }
}

/// As `strtol` with base 0 reads it: decimal, `0x` hexadecimal, `0` octal; 0 when there is none.
fn number(text: &str) -> i32 {
    let text = text.trim_start();
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (radix, digits) = match hexadecimal.filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit())) {
        Some(rest) => (16, rest),
        None if digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    let value = digits
        .chars()
        .map_while(|c| c.to_digit(radix))
        .fold(0_i64, |sum, digit| sum.saturating_mul(i64::from(radix)).saturating_add(i64::from(digit)));
    i32::try_from(sign * value).unwrap_or(if sign < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_strtol_does() {
        for (text, expected) in [
            ("5", 5),
            (" -12\n", -12),
            ("+3", 3),
            ("0x20", 32),
            ("-0X1f rest", -31),
            ("010", 8),
            ("09", 0),
            ("0x", 0),
            ("12abc", 12),
            ("text", 0),
            ("", 0),
            ("-", 0),
            ("99999999999999999999", i32::MAX),
            ("-99999999999999999999", i32::MIN),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn a_file_is_made_once_and_overwritten_only_when_asked_for() {
        let path = std::env::temp_dir().join(format!("evenkeel-track-file-{}", std::process::id()));
        let file = |init| [TrackedFile { name: "f".to_owned(), path: path.clone(), weight: (1, false), init }];
        initialise(&file(None));
        assert!(!path.exists());
        for (init, expected) in [((7, false), 7), ((8, false), 7), ((9, true), 9)] {
            initialise(&file(Some(init)));
            assert_eq!(read(&path), expected);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&path), 0, "no file is 0");
    }
}
