//! The forms in which nginx writes an instant. Pure: seconds since 1970 and the offset of the zone come from outside.

use std::io::Write as _;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// `$time_local`: `22/Nov/2026:18:27:35 +0000`. `offset` is in seconds east of Greenwich.
pub fn local(unix: i64, offset: i32, out: &mut Vec<u8>) {
    let t = Civil::new(unix.saturating_add(i64::from(offset)));
    let (sign, hours, minutes) = zone(offset);
    let _ = write!(
        out,
        "{:02}/{}/{}:{:02}:{:02}:{:02} {sign}{hours:02}{minutes:02}",
        t.day, MONTHS[t.month], t.year, t.hour, t.minute, t.second
    );
}

/// `$time_iso8601`: `2026-11-22T18:27:35+00:00`.
pub fn iso8601(unix: i64, offset: i32, out: &mut Vec<u8>) {
    let t = Civil::new(unix.saturating_add(i64::from(offset)));
    let (sign, hours, minutes) = zone(offset);
    let _ = write!(
        out,
        "{}-{:02}-{:02}T{:02}:{:02}:{:02}{sign}{hours:02}:{minutes:02}",
        t.year,
        t.month + 1,
        t.day,
        t.hour,
        t.minute,
        t.second
    );
}

/// The form of `error_log`: `2026/11/22 18:27:35`.
pub fn error_log(unix: i64, offset: i32, out: &mut Vec<u8>) {
    let t = Civil::new(unix.saturating_add(i64::from(offset)));
    let _ = write!(out, "{}/{:02}/{:02} {:02}:{:02}:{:02}", t.year, t.month + 1, t.day, t.hour, t.minute, t.second);
}

/// The form of the `Date` and `Last-Modified` headers: `Sun, 22 Nov 2026 18:27:35 GMT`.
pub fn http(unix: i64, out: &mut Vec<u8>) {
    let t = Civil::new(unix);
    let _ = write!(
        out,
        "{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
        DAYS[t.weekday], t.day, MONTHS[t.month], t.year, t.hour, t.minute, t.second
    );
}

fn zone(offset: i32) -> (char, u32, u32) {
    let minutes = offset.unsigned_abs() / 60;
    (if offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

struct Civil {
    year: i64,
    /// From 0.
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    /// From Thursday, the first day of 1970.
    weekday: usize,
}

impl Civil {
    /// Days are counted from 1 March of year 0, so that a leap day is the last of its year.
    fn new(unix: i64) -> Civil {
        let days = unix.div_euclid(86_400);
        let in_day = unix.rem_euclid(86_400);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = (march_month + 2) % 12;
        Civil {
            year: era * 400 + year_of_era + i64::from(month < 2),
            month: month.unsigned_abs() as usize,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            hour: in_day / 3_600,
            minute: in_day / 60 % 60,
            second: in_day % 60,
            weekday: days.rem_euclid(7).unsigned_abs() as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn instants_are_written_as_nginx_writes_them() {
        // `date -u -d @N` was the witness.
        for (unix, http_form, iso) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00+00:00"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29T00:00:00+00:00"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT", "2024-02-29T23:59:59+00:00"),
            (1_795_372_055, "Sun, 22 Nov 2026 18:27:35 GMT", "2026-11-22T18:27:35+00:00"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT", "2100-03-01T00:00:00+00:00"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT", "1969-12-31T23:59:59+00:00"),
        ] {
            assert_eq!(text(|out| http(unix, out)), http_form);
            assert_eq!(text(|out| iso8601(unix, 0, out)), iso);
        }
        assert_eq!(text(|out| local(1_795_372_055, -(3 * 3600 + 30 * 60), out)), "22/Nov/2026:14:57:35 -0330");
        assert_eq!(text(|out| local(1_795_372_055, 8 * 3600, out)), "23/Nov/2026:02:27:35 +0800");
        assert_eq!(text(|out| error_log(1_795_372_055, 0, out)), "2026/11/22 18:27:35");
    }
}
