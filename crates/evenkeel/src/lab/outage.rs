//! Measuring what clients notice: failed requests, and the longest time without a good answer. Pure.

use super::message::{Outcome, Sample};
use super::topology::Host;
use evenkeel_wire::Instant;
use std::time::Duration;

/// What clients noticed since a point in time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    began: Instant,
    last_good: Instant,
    longest_gap: Duration,
    /// Requests that ended in this window.
    pub n_requests: u64,
    /// Those of them that got no page, but for those that were cut off.
    pub n_failed: u64,
    /// Those that were under way and broken off.
    pub n_cut_off: u64,
    /// Pages from each web server, in the order of [`Host::SERVERS`].
    pub n_pages: [u64; 2],
    /// Since when every answer has been good; `None` while the last one was not.
    good_since: Option<Instant>,
}

impl Window {
    /// A window that opens at `began`. A gap that reaches back before it is counted from there: what happened
    /// earlier is not this window's.
    pub(super) fn open(began: Instant) -> Self {
        Window {
            began,
            last_good: began,
            longest_gap: Duration::ZERO,
            n_requests: 0,
            n_failed: 0,
            n_cut_off: 0,
            n_pages: [0; 2],
            good_since: None,
        }
    }

    /// When it was opened.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Counts a request. Samples come in the order in which they ended, more or less: a good answer older than the
    /// newest one closes no gap.
    pub(super) fn add(&mut self, sample: &Sample) {
        if sample.ended < self.began {
            return;
        }
        self.n_requests += 1;
        if let Outcome::Page(server) = sample.outcome {
            self.n_pages[usize::from(server == Host::SERVERS[1])] += 1;
        }
        if sample.outcome.is_good() {
            self.longest_gap = self.longest_gap.max(sample.ended.since(self.last_good));
            self.last_good = self.last_good.max(sample.ended);
            self.good_since.get_or_insert(sample.ended);
        } else {
            match sample.outcome {
                Outcome::CutOff => self.n_cut_off += 1,
                _ => self.n_failed += 1,
            }
            self.good_since = None;
        }
    }

    /// The longest time without a good answer, the present one included.
    pub(super) fn outage(&self, now: Instant) -> Duration {
        self.longest_gap.max(now.since(self.last_good))
    }

    /// For how long every answer has been good.
    pub(super) fn good_for(&self, now: Instant) -> Duration {
        self.good_since.map_or(Duration::ZERO, |since| now.since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(millis))
    }

    fn window(samples: &[(u64, u64, Outcome)]) -> Window {
        let mut window = Window::open(at(1000));
        for &(began, ended, outcome) in samples {
            window.add(&Sample { began: at(began), ended: at(ended), outcome });
        }
        window
    }

    const GOOD: Outcome = Outcome::Page(Host::Web01);

    #[test]
    fn an_outage_lasts_from_the_last_good_answer_to_the_next() {
        let window = window(&[
            (1000, 1002, GOOD),
            (1005, 2005, Outcome::TimedOut),
            (1500, 1501, Outcome::Refused),
            (2100, 2102, GOOD),
            (2110, 2111, GOOD),
        ]);
        assert_eq!(window.outage(at(2112)), Duration::from_millis(1100));
        assert_eq!((window.n_requests, window.n_failed), (5, 2));
    }

    #[test]
    fn an_outage_that_goes_on_counts_until_now() {
        assert_eq!(window(&[(1000, 1002, GOOD)]).outage(at(1500)), Duration::from_millis(498));
        assert_eq!(window(&[]).outage(at(1500)), Duration::from_millis(500));
    }

    #[test]
    fn what_ended_before_the_window_is_not_counted() {
        let window = window(&[(900, 999, Outcome::TimedOut), (990, 1001, GOOD)]);
        assert_eq!((window.n_requests, window.n_failed), (1, 0));
    }

    #[test]
    fn a_late_good_answer_closes_no_gap() {
        let window = window(&[(1000, 1500, GOOD), (1000, 1400, GOOD), (1900, 1900, GOOD)]);
        assert_eq!(window.outage(at(1900)), Duration::from_millis(500));
    }

    #[test]
    fn one_failure_starts_the_good_time_anew() {
        let mut window = window(&[(1000, 1002, GOOD), (1005, 1100, Outcome::Refused)]);
        assert_eq!(window.good_for(at(1200)), Duration::ZERO);
        window.add(&Sample { began: at(1200), ended: at(1210), outcome: GOOD });
        assert_eq!(window.good_for(at(1300)), Duration::from_millis(90));
    }
}
