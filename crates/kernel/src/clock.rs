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

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn time_does_not_run_back() {
        let first = now();
        assert!(now() >= first);
        assert!(first.since_origin() > std::time::Duration::ZERO);
    }
}
