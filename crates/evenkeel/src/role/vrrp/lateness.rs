//! How late the loop serves its deadlines: measured, so that a master that speaks too late on a busy machine says so itself.
//!
//! ```text
//! named    due                 served
//!   |-------|- - - lateness - - -|
//! ```
//!
//! Late is the loop, not the core: a deadline that a core names when it is over already, as after a reload with a shorter
//! interval, is due from when it was named.

use evenkeel_bus::LatenessView;
use evenkeel_wire::Instant;
use std::time::Duration;

/// More than a machine with time to spare needs to wake a process.
const NOTED: Duration = Duration::from_millis(10);

/// Worth a warning: where adverts come every 10 ms a backup has taken over by then.
const GRAVE: Duration = Duration::from_millis(100);

/// The log has at most one warning in this time.
const QUIET: Duration = Duration::from_secs(60);

/// From when on the earliest deadline of a core is due.
///
/// A backup's deadline is put off by each advert, and the wake-up at the earlier one finds nothing to do. It is measured
/// like the others: it shows as well as they do how late the loop is.
#[derive(Debug, Default)]
pub struct Due {
    deadline: Option<Instant>,
    due_at: Option<Instant>,
}

impl Due {
    /// What the core's earliest deadline is, after it was told something at `now`.
    pub fn note(&mut self, now: Instant, deadline: Option<Instant>) {
        if deadline != self.deadline {
            self.deadline = deadline;
            self.due_at = deadline.map(|deadline| deadline.max(now));
        }
    }

    /// How late it is, when it is due.
    pub fn lateness(&self, now: Instant) -> Option<Duration> {
        self.due_at.filter(|due_at| *due_at <= now).map(|due_at| now.since(due_at))
    }
}

/// What was measured since the start.
#[derive(Debug, Default)]
pub struct Lateness {
    n_served: u64,
    last: Duration,
    greatest: Duration,
    n_noted: u64,
    n_grave: u64,
    warned_at: Option<Instant>,
    /// Grave ones since the last warning, this one among them.
    n_unsaid: u64,
}

impl Lateness {
    /// Counts a deadline that is served at `now`. Tells how many grave ones to warn of, when it is time to.
    pub fn served(&mut self, now: Instant, late: Duration) -> Option<u64> {
        self.n_served += 1;
        self.last = late;
        self.greatest = self.greatest.max(late);
        self.n_noted += u64::from(late > NOTED);
        if late <= GRAVE {
            return None;
        }
        self.n_grave += 1;
        self.n_unsaid += 1;
        if self.warned_at.is_some_and(|warned_at| now.since(warned_at) < QUIET) {
            return None;
        }
        self.warned_at = Some(now);
        Some(std::mem::take(&mut self.n_unsaid))
    }

    pub fn view(&self) -> LatenessView {
        LatenessView {
            served: self.n_served,
            last_seconds: seconds(self.last),
            greatest_seconds: seconds(self.greatest),
            over_10_ms: self.n_noted,
            over_100_ms: self.n_grave,
        }
    }
}

/// To the microsecond: more digits only look exact.
fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(at: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(at)
    }

    #[test]
    fn a_deadline_is_late_from_when_it_came_or_was_named_whichever_is_later() {
        // named at, the deadline, served at, how late
        let rows = [
            (0, Some(1000), 999, None),
            (0, Some(1000), 1000, Some(0)),
            (0, Some(1000), 1250, Some(250)),
            (1200, Some(1000), 1250, Some(50)),
            (0, None, 1250, None),
        ];
        for (named, deadline, served, late) in rows {
            let mut due = Due::default();
            due.note(ms(named), deadline.map(ms));
            assert_eq!(due.lateness(ms(served)), late.map(Duration::from_millis), "{named} {deadline:?} {served}");
        }
    }

    #[test]
    fn what_is_heard_between_a_deadline_and_its_service_hides_no_lateness() {
        let mut due = Due::default();
        due.note(ms(0), Some(ms(100)));
        due.note(ms(400), Some(ms(100)));
        assert_eq!(due.lateness(ms(500)), Some(Duration::from_millis(400)));
        due.note(ms(500), Some(ms(600)));
        assert_eq!(due.lateness(ms(500)), None);
    }

    #[test]
    fn lateness_is_counted_by_its_size_and_the_greatest_stays() {
        let mut lateness = Lateness::default();
        for late in [0, 10, 11, 100, 101, 40] {
            lateness.served(ms(0), Duration::from_millis(late));
        }
        let expected =
            LatenessView { served: 6, last_seconds: 0.04, greatest_seconds: 0.101, over_10_ms: 4, over_100_ms: 1 };
        assert_eq!(lateness.view(), expected);
    }

    #[test]
    fn a_warning_comes_once_a_minute_and_tells_of_those_between() {
        let mut lateness = Lateness::default();
        // at, how late, how many the warning tells of
        let rows = [
            (0, 100, None),
            (1_000, 101, Some(1)),
            (2_000, 500, None),
            (60_999, 500, None),
            (61_000, 20, None),
            (61_001, 101, Some(3)),
            (61_002, 101, None),
            (200_000, 101, Some(2)),
        ];
        for (at, late, expected) in rows {
            assert_eq!(lateness.served(ms(at), Duration::from_millis(late)), expected, "at {at}");
        }
    }
}
