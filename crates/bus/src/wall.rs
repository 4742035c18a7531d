use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point on the wall clock. In JSON and on the screen it is RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(u64);

impl WallTime {
    /// The present, by this machine's clock.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// `age` before this point.
    pub fn before(self, age: Duration) -> Self {
        WallTime(self.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to here; zero when the clock went back.
    pub fn since(self, earlier: WallTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The point so many milliseconds after 1970 began.
    pub fn from_unix_millis(millis: u64) -> Self {
        WallTime(millis.min(LAST))
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(self) -> u64 {
        self.0
    }

    /// As a mail's header has it (RFC 5322, section 3.3), in UTC: `Fri, 02 Jan 2026 03:04:05 +0000`.
    pub fn mail_date(self) -> String {
        const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let days = self.0.min(LAST) / DAY;
        let (year, month, day) = civil(days);
        let weekday = WEEKDAYS[(days % 7) as usize];
        let month = MONTHS[(month as usize + 11) % 12];
        format!("{weekday}, {day:02} {month} {year:04} {} +0000", &self.to_string()[11..19])
    }

    /// The time of day alone: `03:04:05.678`, UTC.
    pub fn time_of_day(self) -> String {
        self.to_string()[11..23].to_owned()
    }
}

impl From<SystemTime> for WallTime {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(u64::try_from(since.as_millis()).unwrap_or(LAST).min(LAST))
    }
}

/// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write.
const LAST: u64 = 253_402_300_799_999;
const DAY: u64 = 86_400_000;

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.min(LAST);
        let (year, month, day) = civil(millis / DAY);
        let rest = millis % DAY;
        let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
    }
}

/// Days since 1970 to year, month and day, in eras of 400 years that begin on 1 March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    (era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year).checked_sub(719_468)
}

/// The text is not of the form that [`WallTime`] prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-01-02T03:04:05.678Z")]
pub struct ParseWallTimeError;

impl FromStr for WallTime {
    type Err = ParseWallTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.as_bytes()).ok_or(ParseWallTimeError)
    }
}

fn parse(text: &[u8]) -> Option<WallTime> {
    let [.., b'Z'] = text else { return None };
    if text.len() != 24 {
        return None;
    }
    for (at, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.')] {
        if text[at] != mark {
            return None;
        }
    }
    let number = |from: usize, to: usize| {
        text[from..to].iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, millis) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let time = WallTime(days(year, month, day)? * DAY + hour * 3_600_000 + minute * 60_000 + second * 1000 + millis);
    // A day that its month does not have would come out as another day.
    (civil(time.0 / DAY) == (year, month, day)).then_some(time)
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mail_has_its_date_in_the_form_of_rfc_5322() {
        for (time, date) in [
            ("2026-01-02T03:04:05.678Z", "Fri, 02 Jan 2026 03:04:05 +0000"),
            ("1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 +0000"),
            ("2024-02-29T23:59:59.999Z", "Thu, 29 Feb 2024 23:59:59 +0000"),
            ("2023-12-31T12:00:00.000Z", "Sun, 31 Dec 2023 12:00:00 +0000"),
        ] {
            assert_eq!(time.parse::<WallTime>().map(WallTime::mail_date), Ok(date.to_owned()));
        }
    }

    #[test]
    fn known_instants_print_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(WallTime(millis).to_string(), text);
        }
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for text in ["2025-02-29T00:00:00.000Z", "2025-13-01T00:00:00.000Z", "2025-01-01 00:00:00.000Z", "", "Z"] {
            assert_eq!(text.parse::<WallTime>(), Err(ParseWallTimeError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(millis in 0..=LAST) {
            prop_assert_eq!(WallTime(millis).to_string().parse(), Ok(WallTime(millis)));
        }
    }
}
