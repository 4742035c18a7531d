//! The clock that deadlines are measured on.

use evenkeel_wire::Instant;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Now, on `CLOCK_MONOTONIC`: counted from boot, the same in every process, never set back, and not running while the
/// machine sleeps.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    // Both fields are never negative on this clock, and the nanoseconds are below 10^9.
    Instant::from_origin(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The wall clock, `CLOCK_REALTIME`, as the time since 1970 in UTC. It may be set back.
pub fn utc() -> Duration {
    let time = clock_gettime(ClockId::Realtime);
    // A clock before 1970 is one that nobody has set.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), time.tv_nsec as u32)
}

/// A point of time on the calendar of this machine's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// With the century.
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 60.
    pub second: u32,
    /// Days since Sunday.
    pub weekday: u32,
}

/// What the wall shows at so many seconds since 1970; `None` beyond all calendars.
pub fn local(unix: i64) -> Option<LocalTime> {
    // SAFETY: all zeros is a value of this struct of integers and one pointer.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to what lives on this frame.
    let done = unsafe { libc::localtime_r(&raw const unix, &raw mut parts) };
    let part = |number: i32| u32::try_from(number).unwrap_or_default();
    (!done.is_null()).then(|| LocalTime {
        year: parts.tm_year.saturating_add(1900),
        month: part(parts.tm_mon) + 1,
        day: part(parts.tm_mday),
        hour: part(parts.tm_hour),
        minute: part(parts.tm_min),
        second: part(parts.tm_sec),
        weekday: part(parts.tm_wday),
    })
}

/// The seconds since 1970 when the wall shows this; a day or an hour too many runs over into the next.
pub fn from_local(time: &LocalTime) -> Option<i64> {
    // SAFETY: all zeros is a value of this struct of integers and one pointer.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    let part = |number: u32| i32::try_from(number).ok();
    parts.tm_year = time.year.checked_sub(1900)?;
    parts.tm_mon = part(time.month)?.checked_sub(1)?;
    parts.tm_mday = part(time.day)?;
    parts.tm_hour = part(time.hour)?;
    parts.tm_min = part(time.minute)?;
    parts.tm_sec = part(time.second)?;
    // Whether summer time is in force then is for the C library to know.
    parts.tm_isdst = -1;
    // SAFETY: it points to what lives on this frame.
    let unix = unsafe { libc::mktime(&raw mut parts) };
    (unix != -1).then_some(unix)
}

#[cfg(test)]
mod tests {
    use super::{from_local, local, now};

    #[test]
    fn local_time_and_back_is_the_same_second() {
        for unix in [0, 86_399, 1_796_062_769, 4_102_444_800] {
            let there = local(unix).unwrap();
            assert_eq!(from_local(&there), Some(unix), "{there:?}");
            assert!((1..=12).contains(&there.month) && there.weekday < 7);
        }
    }

    #[test]
    fn time_does_not_run_back() {
        let first = now();
        assert!(now() >= first);
        assert!(first.since_origin() > std::time::Duration::ZERO);
    }
}
