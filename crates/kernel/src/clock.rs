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

/// What a calendar in UTC shows at so many seconds since 1970.
pub fn in_utc(unix: i64) -> LocalTime {
    const DAY: i64 = 86_400;
    let (days, second) = (unix.div_euclid(DAY), unix.rem_euclid(DAY));
    // Years that begin in March have their leap day at the end; 400 of them have 146097 days.
    let since_march_0 = days + 719_468;
    let (era, day) = (since_march_0.div_euclid(146_097), since_march_0.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month_from_january) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month_from_january <= 2);
    let part = |number: i64| u32::try_from(number).unwrap_or_default();
    LocalTime {
        year: i32::try_from(year).unwrap_or(i32::MAX),
        month: part(month_from_january),
        day: part(day),
        hour: part(second / 3600),
        minute: part(second / 60 % 60),
        second: part(second % 60),
        weekday: part((days + 4).rem_euclid(7)),
    }
}

/// The seconds since 1970 when a calendar in UTC shows this; a day or an hour too many runs over into the next.
pub fn from_utc(time: &LocalTime) -> i64 {
    let (month, day) = (i64::from(time.month), i64::from(time.day));
    let year = i64::from(time.year) - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    days * 86_400 + i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second)
}

#[cfg(test)]
mod tests {
    use super::{from_local, from_utc, in_utc, local, now};

    #[test]
    fn a_calendar_in_utc_and_back_is_the_same_second() {
        for unix in [0, -1, 86_399, 951_782_400, 951_868_799, 1_796_075_379, 4_107_542_400] {
            assert_eq!(from_utc(&in_utc(unix)), unix);
        }
        let leap = in_utc(951_782_400);
        assert_eq!((leap.year, leap.month, leap.day, leap.weekday), (2000, 2, 29, 2));
        let time = in_utc(1_796_075_379);
        assert_eq!((time.year, time.month, time.day), (2026, 11, 30));
        assert_eq!((time.hour, time.minute, time.second, time.weekday), (21, 49, 39, 1));
    }

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
