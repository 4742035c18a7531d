//! `reload_time_file`: a file that says when to reload.
//!
//! ```text
//! HH:MM:SS   YY-MM-DD HH:MM:SS   YYYY-MM-DD HH:MM:SS      each with an optional Z: UTC
//! ```

use super::Happening;
use crate::readiness::Readiness;
use evenkeel_kernel::clock::{self, LocalTime};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// No line that says a time is longer.
const LONGEST: u64 = 64;

/// The wall clock may be set: at least this often it is looked at.
const LOOK: Duration = Duration::from_secs(30);

/// What watches the file. Dropping it ends that.
#[derive(Debug, Default)]
pub struct Calendar(Option<(AbortHandle, watch::Receiver<Option<Appointment>>)>);

impl Calendar {
    /// Watches `file`. With `repeat` a time without a date counts every day, and the file stays.
    pub fn follow(file: PathBuf, repeat: bool, happenings: mpsc::Sender<Happening>) -> Self {
        let (tell, due) = watch::channel(None);
        let task = tokio::spawn(keep(file, repeat, tell, happenings));
        Calendar(Some((task.abort_handle(), due)))
    }

    /// When the next reload is to be.
    pub fn next(&self) -> Option<Appointment> {
        self.0.as_ref().and_then(|(_, due)| *due.borrow())
    }
}

impl Drop for Calendar {
    fn drop(&mut self) {
        if let Some((task, _)) = &self.0 {
            task.abort();
        }
    }
}

/// When to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appointment {
    /// In seconds since 1970.
    at: i64,
    zone: Zone,
    /// The file names no day.
    daily: bool,
}

impl Appointment {
    /// How long it is until then.
    fn until(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.at).unwrap_or_default()).saturating_sub(clock::utc())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    Local,
    Utc,
}

/// Why a line says no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    Form,
    Value,
    Past,
}

/// Tells when a reload is due, for ever, or until the directory of the file cannot be watched.
async fn keep(
    file: PathBuf,
    repeat: bool,
    tell: watch::Sender<Option<Appointment>>,
    happenings: mpsc::Sender<Happening>,
) {
    let (watch, readiness) = match directory(&file) {
        Ok(watched) => watched,
        Err(error) => {
            // As keepalived: without the directory there is nothing to wait for until the next reload.
            return tracing::warn!(target: "supervisor", "reload_time_file {}: {error}; ignoring", file.display());
        }
    };
    let mut known = None;
    loop {
        let line = first_line(&file);
        if line != known {
            let next = line.as_deref().and_then(judge);
            say(*tell.borrow(), next, line.is_some());
            let _ = tell.send(next);
            known = line;
        }
        let now = now();
        let next = *tell.borrow();
        if let Some(appointment) = next.filter(|appointment| appointment.at <= now) {
            let stays = repeat && appointment.daily;
            if !stays && let Err(error) = std::fs::remove_file(&file) {
                tracing::warn!(target: "supervisor", "remove {}: {error}", file.display());
            }
            tracing::info!(target: "supervisor", "the reload of {appointment} is due");
            let _ = tell.send(None);
            known = if stays { None } else { first_line(&file) };
            if happenings.send(Happening::ReloadDue).await.is_err() {
                return;
            }
            continue;
        }
        let wait = async {
            match next {
                Some(appointment) => tokio::time::sleep(LOOK.min(appointment.until())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = readiness.readable() => {
                if ready.is_err() {
                    return;
                }
                // Which file it was does not matter: reading ours is little.
                let mut buffer = [MaybeUninit::uninit(); 4096];
                while rustix::io::read(&watch, &mut buffer).is_ok_and(|(read, _)| !read.is_empty()) {}
                readiness.drained();
            }
            () = wait => {}
        }
    }
}

fn now() -> i64 {
    i64::try_from(clock::utc().as_secs()).unwrap_or(i64::MAX)
}

fn judge(line: &str) -> Option<Appointment> {
    match parse(line, now()) {
        Ok(appointment) => Some(appointment),
        Err(mistake) => {
            let what = match mistake {
                Mistake::Form => "format is incorrect",
                Mistake::Value => "is not valid",
                Mistake::Past => "is in the past",
            };
            tracing::warn!(target: "supervisor", "Reload time {line} {what} - ignoring");
            None
        }
    }
}

/// keepalived's words.
fn say(before: Option<Appointment>, after: Option<Appointment>, has_line: bool) {
    match (before, after) {
        (None, Some(after)) => tracing::info!(target: "supervisor", "Scheduling reload for {after}"),
        (Some(before), Some(after)) => {
            tracing::info!(target: "supervisor", "Reload time updated from {before} to {after}");
        }
        (Some(before), None) => tracing::info!(target: "supervisor", "Cancelling reload scheduled for {before}"),
        (None, None) if has_line => {}
        (None, None) => tracing::debug!(target: "supervisor", "no reload is scheduled"),
    }
}

/// A file that is replaced by another is another inode: its directory is watched.
fn directory(file: &Path) -> io::Result<(OwnedFd, Readiness)> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let directory = file.parent().unwrap_or(Path::new("/"));
    let events = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
    inotify::add_watch(&watch, directory, events)
        .map_err(|error| io::Error::other(format!("watch {}: {error}", directory.display())))?;
    let readiness = Readiness::of(&watch)?;
    Ok((watch, readiness))
}

fn first_line(file: &Path) -> Option<String> {
    let mut text = Vec::new();
    std::fs::File::open(file).ok()?.take(LONGEST).read_to_end(&mut text).ok()?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Some(String::from_utf8_lossy(line).into_owned())
}

/// The time that a line says, seen from `now`: without a date it is the next one.
fn parse(line: &str, now: i64) -> Result<Appointment, Mistake> {
    let (text, zone) = match line.strip_suffix('Z') {
        Some(text) => (text, Zone::Utc),
        None => (line, Zone::Local),
    };
    let (date, clock) = match text.len() {
        8 => (None, text),
        17 | 19 => {
            let (date, clock) = text.split_once(' ').ok_or(Mistake::Form)?;
            (Some(date), clock)
        }
        _ => return Err(Mistake::Form),
    };
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let day = match date {
        None => calendar(now, zone),
        Some(date) => {
            let [year, month, day] = numbers(date, '-', [date.len().saturating_sub(6), 2, 2])?;
            let century = if date.len() == 8 { 2000 } else { 0 };
            LocalTime { year: century + year.cast_signed(), month, day, hour, minute, second, weekday: 0 }
        }
    };
    if !(1..=12).contains(&day.month) || day.day == 0 || day.day > days_in(day.year, day.month) {
        return Err(Mistake::Value);
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Mistake::Value);
    }
    let time = LocalTime { hour, minute, second, ..day };
    let at = unix(&time, zone).ok_or(Mistake::Value)?;
    match date {
        Some(_) if at <= now => Err(Mistake::Past),
        Some(_) => Ok(Appointment { at, zone, daily: false }),
        None if at > now => Ok(Appointment { at, zone, daily: true }),
        None => {
            let tomorrow = LocalTime { day: time.day + 1, ..time };
            let at = unix(&tomorrow, zone).ok_or(Mistake::Value)?;
            Ok(Appointment { at, zone, daily: true })
        }
    }
}

/// Three numbers of so many digits each.
fn numbers(text: &str, between: char, lengths: [usize; 3]) -> Result<[u32; 3], Mistake> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts.next().filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()));
        *number = part.and_then(|part| part.parse().ok()).ok_or(Mistake::Form)?;
    }
    if parts.next().is_none() { Ok(numbers) } else { Err(Mistake::Form) }
}

fn calendar(at: i64, zone: Zone) -> LocalTime {
    match zone {
        Zone::Utc => clock::in_utc(at),
        Zone::Local => clock::local(at).unwrap_or_else(|| clock::in_utc(at)),
    }
}

fn unix(time: &LocalTime, zone: Zone) -> Option<i64> {
    match zone {
        Zone::Utc => Some(clock::from_utc(time)),
        Zone::Local => clock::from_local(time),
    }
}

fn days_in(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl std::fmt::Display for Appointment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LocalTime { year, month, day, hour, minute, second, .. } = calendar(self.at, self.zone);
        let zone = if self.zone == Zone::Utc { "Z" } else { "" };
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{zone}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-30 21:49:39 UTC.
    const NOW: i64 = 1_796_075_379;

    #[test]
    fn a_line_says_one_time_in_one_of_three_forms() {
        for (line, expected) in [
            ("21:49:40Z", Ok("2026-11-30 21:49:40Z")),
            ("21:49:39Z", Ok("2026-12-01 21:49:39Z")),
            ("00:00:00Z", Ok("2026-12-01 00:00:00Z")),
            ("26-12-31 23:59:59Z", Ok("2026-12-31 23:59:59Z")),
            ("2028-02-29 01:02:03Z", Ok("2028-02-29 01:02:03Z")),
            ("2027-02-29 01:02:03Z", Err(Mistake::Value)),
            ("2027-13-01 01:02:03Z", Err(Mistake::Value)),
            ("24:00:00Z", Err(Mistake::Value)),
            ("26-11-30 21:49:39Z", Err(Mistake::Past)),
            ("garbage", Err(Mistake::Form)),
            ("", Err(Mistake::Form)),
            (" 21:49:40Z", Err(Mistake::Form)),
            ("21:49:40 Z", Err(Mistake::Form)),
            ("21-49-40", Err(Mistake::Form)),
            ("2026-12-31  1:02:03", Err(Mistake::Form)),
            ("026-12-31 01:02:03", Err(Mistake::Form)),
            ("+1:49:40Z", Err(Mistake::Form)),
        ] {
            let parsed = parse(line, NOW).map(|appointment| appointment.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "`{line}`");
        }
    }

    #[test]
    fn without_a_z_the_wall_of_this_machine_counts() {
        let parsed = parse("2030-06-01 12:00:00", NOW).unwrap();
        assert_eq!((parsed.to_string().as_str(), parsed.daily), ("2030-06-01 12:00:00", false));
        let daily = parse("12:00:00", NOW).unwrap();
        assert!(daily.daily && daily.at > NOW && daily.at <= NOW + 25 * 3600);
    }
}
