//! The spans of RFC 3768 and RFC 9568, as keepalived computes them.
//!
//! Nothing is rounded to hundredths on the way: a skew is exact to the nanosecond.

use crate::config::{Centis, Version};
use std::time::Duration;

/// How long after an advert that shows a successor its gratuitous ARP may still be missing before the
/// addresses are released all the same. keepalived sends it within milliseconds.
pub const SUCCESSOR_GRACE: Duration = Duration::from_millis(150);

/// How long before its first advert a successor may have announced the addresses for the two to belong together.
pub const ANNOUNCED_BEFORE: Duration = Duration::from_millis(500);

/// For how long after a takeover ARP from somebody else means the old master on its way out.
pub const TAKEOVER_GRACE: Duration = Duration::from_secs(1);

/// How long a claim to a held address may stay unexplained before it is a conflict: an advert of higher
/// priority that follows it in that time makes it a handover.
pub const CLAIM_GRACE: Duration = Duration::from_millis(200);

/// A conflict without new evidence for this long is over.
pub const CONFLICT_QUIET: Duration = Duration::from_secs(3);

/// From a conflict to the first announcement after it; each further pause is twice as long.
pub const FIRST_REMINDER: Duration = Duration::from_secs(1);

/// How long a message may be under way on one link.
pub const UNDER_WAY: Duration = Duration::from_millis(20);

/// From an announcement of the old master that came after the new one's to the answer.
pub const CONTRADICTED: Duration = Duration::from_millis(50);

/// For how long after a conflict its winner announces the addresses again.
pub const REMINDERS_FOR: Duration = Duration::from_secs(60);

/// How often the addresses in the kernel are compared with those that are to be held, unless there are so many that
/// listing them takes a while ([`COMPARE_EACH`]).
pub const COMPARE_INTERVAL: Duration = Duration::from_secs(5);

/// Beyond a thousand addresses each of them makes the comparison that much rarer.
pub const COMPARE_EACH: Duration = Duration::from_millis(5);

/// Period of the ARP probes of a master.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Time between adverts. Version 2 has whole seconds on the wire, and at least one (keepalived rounds).
pub fn advert_interval(version: Version, configured: Centis) -> Duration {
    match version {
        Version::V2 => Duration::from_secs(u64::from(wire_seconds(configured))),
        Version::V3 => wire_centis(configured).duration(),
    }
}

/// The interval as version 2 writes it.
pub fn wire_seconds(configured: Centis) -> u8 {
    u8::try_from((u32::from(configured.0) + 50) / 100).unwrap_or(u8::MAX).max(1)
}

/// The interval as version 3 writes it, in 12 bits.
pub fn wire_centis(configured: Centis) -> Centis {
    Centis(configured.0.clamp(1, 0x0fff))
}

/// How much longer a backup of this priority waits than one of priority 256 would.
///
/// Version 2: (256 - priority) / 256 seconds, whatever the interval (RFC 3768 6.1).
/// Version 3: (256 - priority) x master interval / 256 (RFC 9568 6.1).
pub fn skew(version: Version, priority: u8, master_interval: Duration) -> Duration {
    let unit = match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => master_interval,
    };
    unit * (256 - u32::from(priority)) / 256
}

/// Silence after which a master counts as dead (RFC 9568 6.1; keepalived's `down_timer_adverts` instead of the 3).
pub fn master_down(version: Version, priority: u8, master_interval: Duration, adverts: u8) -> Duration {
    master_interval * u32::from(adverts) + skew(version, priority, master_interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn skew_and_master_down_interval_follow_the_rfcs() {
        // version, priority, master interval in ms, adverts, skew in us, master down in us
        let rows = [
            (Version::V2, 100, 1000, 3, 609_375, 3_609_375),
            (Version::V2, 254, 1000, 3, 7_812, 3_007_812),
            (Version::V2, 255, 1000, 3, 3_906, 3_003_906),
            (Version::V2, 1, 1000, 3, 996_093, 3_996_093),
            // In version 2 the interval does not stretch the skew.
            (Version::V2, 100, 5000, 3, 609_375, 15_609_375),
            (Version::V3, 100, 1000, 3, 609_375, 3_609_375),
            (Version::V3, 100, 10, 3, 6_093, 36_093),
            (Version::V3, 200, 3000, 3, 656_250, 9_656_250),
            (Version::V3, 255, 40_950, 3, 159_960, 123_009_960),
            (Version::V3, 100, 1000, 1, 609_375, 1_609_375),
        ];
        for (version, priority, interval, adverts, want_skew, want_down) in rows {
            let interval = Duration::from_millis(interval);
            let row = format!("{version:?} priority {priority} interval {interval:?}");
            assert_eq!(skew(version, priority, interval).as_micros(), want_skew, "{row}");
            assert_eq!(master_down(version, priority, interval, adverts).as_micros(), want_down, "{row}");
        }
    }

    #[test]
    fn version_2_has_whole_seconds_and_at_least_one() {
        for (centis, seconds) in [(1, 1), (49, 1), (100, 1), (149, 1), (150, 2), (300, 3), (25_500, 255), (65_535, 255)]
        {
            assert_eq!(wire_seconds(Centis(centis)), seconds, "{centis}");
            assert_eq!(advert_interval(Version::V2, Centis(centis)), SECOND * u32::from(seconds));
        }
    }

    #[test]
    fn version_3_has_twelve_bits_of_hundredths() {
        for (centis, millis) in [(0, 10), (1, 10), (100, 1000), (4095, 40_950), (5000, 40_950)] {
            assert_eq!(advert_interval(Version::V3, Centis(centis)), Duration::from_millis(millis));
        }
    }
}
