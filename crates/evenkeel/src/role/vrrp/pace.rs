//! When adverts are read: each as it comes, or, while they come thick, several at a time.
//!
//! An advert that comes alone costs a wake-up, and with many virtual routers that is most of what a backup does. So, while
//! adverts come thick, the loop looks away from the sockets of the interfaces for a short span and then reads what has
//! gathered.
//!
//! ```text
//! adverts    | |  ||  | |   |||   | ||
//! read at        ^       ^       ^     ^      a span apart, sooner when something else wakes the loop
//! ```
//!
//! That is harmless:
//!
//! - A span is at most a fiftieth of the shortest advertisement interval and at most 2 ms. A backup takes over after three
//!   silent intervals and a skew, and counts them from when an advert was read.
//! - A deadline, a change of the network or the supervisor wakes the loop at once. Adverts that have gathered are then read
//!   first, so a master is never declared dead beside its unread advert.
//! - A priority of 0, or a better one, is acted on at most a span later, and so is the ARP of a successor: until then its
//!   predecessor answers. And this only where adverts come thick: with fewer than two for each span (a thousand a second),
//!   or after a span in which none came, each is read as it comes.

use evenkeel_wire::Instant;
use std::time::Duration;

/// The longest span.
const LONGEST: Duration = Duration::from_millis(2);

/// What part of the shortest advertisement interval a span may be.
const PART: u32 = 50;

/// Adverts in a span, on average, from which on to gather them is less work.
const THICK: u32 = 2;

/// What the average is taken over: most virtual routers speak at least once in that time.
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Pace {
    counted_from: Instant,
    n_counted: usize,
    /// The span, where the last window found adverts thick enough for one.
    span: Option<Duration>,
    last: Reading,
}

/// What one look at the sockets found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    pub n_packets: usize,
    /// A socket may have more than was taken.
    pub left_some: bool,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Pace { counted_from: now, n_counted: 0, span: None, last: Reading::default() }
    }

    /// How long to let adverts gather before the next reading.
    pub fn span(&self) -> Option<Duration> {
        self.span.filter(|_| self.last.n_packets > 0 && !self.last.left_some)
    }

    /// Takes note of a reading. `shortest` tells the shortest advertisement interval in use; it is asked once for each
    /// window.
    pub fn count(&mut self, now: Instant, reading: Reading, shortest: impl FnOnce() -> Option<Duration>) {
        self.last = reading;
        self.n_counted += reading.n_packets;
        let elapsed = now.since(self.counted_from);
        if elapsed >= WINDOW {
            let is_thick = |span: &Duration| *span * self.n_counted as u32 >= elapsed * THICK;
            self.span = shortest().and_then(span_for).filter(is_thick);
            self.counted_from = now;
            self.n_counted = 0;
        }
    }
}

/// Whole milliseconds, for which every kernel's `epoll_wait` has an argument; so none for intervals below 50 ms.
fn span_for(shortest: Duration) -> Option<Duration> {
    let span = Duration::from_millis((shortest / PART).as_millis() as u64).min(LONGEST);
    Some(span).filter(|span| !span.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The span after two seconds of readings that found `n_packets` each, `apart` from one another.
    fn span_after(n_packets: usize, apart: Duration, shortest: Option<Duration>) -> Option<Duration> {
        let mut now = Instant::ORIGIN;
        let mut pace = Pace::new(now);
        while now < Instant::ORIGIN + 2 * WINDOW {
            now = now + apart;
            pace.count(now, Reading { n_packets, left_some: false }, || shortest);
        }
        pace.span()
    }

    #[test]
    fn adverts_gather_only_where_they_come_thick_and_no_longer_than_harmless() {
        let us = Duration::from_micros;
        let ms = Duration::from_millis;
        // packets in a reading, its distance from the last, shortest interval, span
        let rows = [
            // 250 routers, ten times a second.
            (1, us(400), Some(ms(100)), Some(ms(2))),
            // The same, read as they gather.
            (5, ms(2), Some(ms(100)), Some(ms(2))),
            // 250 routers that all speak at once.
            (32, us(12_800), Some(ms(100)), Some(ms(2))),
            (1, us(400), Some(ms(4000)), Some(ms(2))),
            (1, us(400), Some(ms(99)), Some(ms(1))),
            (1, us(600), Some(ms(50)), None),
            (1, us(100), Some(ms(50)), Some(ms(1))),
            (1, us(10), Some(ms(49)), None),
            (1, us(10), None, None),
            // Just thick enough, and not.
            (1, us(1000), Some(ms(100)), Some(ms(2))),
            (1, us(1010), Some(ms(100)), None),
            // 255 routers, once a second.
            (1, us(3900), Some(ms(1000)), None),
            (1, ms(10), Some(ms(10)), None),
        ];
        for (n_packets, apart, shortest, expected) in rows {
            let span = span_after(n_packets, apart, shortest);
            assert_eq!(span, expected, "{n_packets} each {apart:?}, interval {shortest:?}");
        }
    }

    #[test]
    fn after_a_span_without_adverts_or_with_too_many_the_next_ones_are_not_let_gather() {
        let mut now = Instant::ORIGIN;
        let mut pace = Pace::new(now);
        let mut count = |pace: &mut Pace, n_packets| {
            let reading = Reading { n_packets, left_some: n_packets == 32 };
            now = now + Duration::from_millis(2);
            pace.count(now, reading, || Some(Duration::from_millis(100)));
            pace.span().is_some()
        };
        assert!(!(0..400).any(|_| count(&mut pace, 5)));
        assert!((0..200).map(|_| count(&mut pace, 5)).last().unwrap());
        assert!(!count(&mut pace, 0));
        assert!(count(&mut pace, 1), "they come again");
        assert!(!count(&mut pace, 32), "there may be more");
        assert!(!(0..1000).map(|_| count(&mut pace, 1)).last().unwrap(), "but no longer thick");
    }
}
