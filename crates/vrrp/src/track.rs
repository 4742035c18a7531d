//! Trackers: judging script runs, and what they do to the priority.

use crate::config::{Priority, Script, Track, TrackTarget};
use crate::event::ScriptOutcome;
use crate::status::ScriptStatus;

/// The judge of one script: how many results in a row change its verdict.
///
/// keepalived's counter runs from 0 to rise + fall - 1; from `rise` on the script is well. A success at `rise` - 1
/// goes straight to the top, a failure below `rise` back to 0. The first result decides alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judge {
    pub(crate) script: Script,
    count: Option<u32>,
    detail: String,
}

impl Judge {
    pub(crate) fn new(script: Script) -> Self {
        Judge { script, count: None, detail: "has not reported yet".to_owned() }
    }

    /// Takes one result in.
    pub(crate) fn record(&mut self, outcome: ScriptOutcome) {
        self.detail = match outcome {
            ScriptOutcome::Success => "exit status 0".to_owned(),
            ScriptOutcome::Failure { status } => format!("exit status {status}"),
            ScriptOutcome::TimedOut => "timed out".to_owned(),
        };
        let rise = self.script.rise.max(1);
        let top = rise.saturating_add(self.script.fall.max(1)) - 1;
        self.count = Some(match (outcome, self.count) {
            (ScriptOutcome::Success, None) => top,
            (ScriptOutcome::Success, Some(count)) if count + 1 < rise => count + 1,
            (ScriptOutcome::Success, Some(_)) => top,
            (ScriptOutcome::Failure { .. } | ScriptOutcome::TimedOut, Some(count)) if count > rise => count - 1,
            (ScriptOutcome::Failure { .. } | ScriptOutcome::TimedOut, _) => 0,
        });
    }

    pub(crate) fn status(&self) -> ScriptStatus {
        ScriptStatus { name: self.script.name.clone(), healthy: self.verdict().healthy, count: self.count }
    }

    /// `None` before the first result.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::of(self.count.map(|count| count >= self.script.rise.max(1)), self.detail.clone())
    }
}

/// What is known of a tracked thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// `None` while it has not reported.
    pub(crate) healthy: Option<bool>,
    /// The number in a file; 0 of all else.
    pub(crate) value: i32,
    /// The last result in words.
    pub(crate) detail: String,
}

impl Verdict {
    /// On anything but a file.
    pub(crate) fn of(healthy: Option<bool>, detail: impl Into<String>) -> Self {
        Verdict { healthy, value: 0, detail: detail.into() }
    }

    pub(crate) fn of_file(value: i32) -> Self {
        Verdict { healthy: Some(value == 0), value, detail: value.to_string() }
    }
}

/// One condition of one instance with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tracker {
    pub(crate) track: Track,
    /// `script chk_nginx`, `interface eth1`, `bfd peer`, `proxy`.
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
}

impl Tracker {
    pub(crate) fn new(track: Track, scripts: &[Judge]) -> Self {
        let name = match &track.target {
            TrackTarget::Interface(name) => format!("interface {name}"),
            TrackTarget::Script(id) => match scripts.get(id.0 as usize) {
                Some(judge) => format!("script {}", judge.script.name),
                None => format!("script {}", id.0),
            },
            TrackTarget::Bfd(name) => format!("bfd {name}"),
            TrackTarget::File(name) => format!("file {name}"),
            TrackTarget::Processes(name) => format!("process {name}"),
            TrackTarget::Proxy => "proxy".to_owned(),
            TrackTarget::Static(group) => format!("track_group {group}"),
        };
        let verdict = Verdict::of(None, "has not reported yet");
        Tracker { track, name, verdict }
    }

    /// What it adds to the priority: nothing before it has reported.
    ///
    /// Weight w > 0: +w while well. w < 0: w while not. `reverse` turns the sign.
    pub(crate) fn contribution(&self) -> i32 {
        let weight = i32::from(self.track.weight);
        if let TrackTarget::File(_) = self.track.target {
            // One that forbids mastership leaves the priority alone (keepalived, observed).
            return if self.forbids() { 0 } else { self.file_product().clamp(-253, 253) as i32 };
        }
        let counts = match self.verdict.healthy {
            Some(true) => weight > 0,
            Some(false) => weight < 0,
            None => false,
        };
        match (counts, self.track.reverse) {
            (false, _) => 0,
            (true, false) => weight,
            (true, true) => -weight,
        }
    }

    /// What a file makes of its number: times the weight, the other way round with `reverse`.
    fn file_product(&self) -> i64 {
        let product = i64::from(self.verdict.value) * i64::from(self.track.weight);
        if self.track.reverse { -product } else { product }
    }

    /// Whether it alone forbids mastership: not well (with `reverse`: well) and without weight. A file with weight
    /// does so where it takes away all there is: -254 and less (keepalived, observed).
    pub(crate) fn forbids(&self) -> bool {
        if let (TrackTarget::File(_), 1..) = (&self.track.target, self.track.weight.unsigned_abs()) {
            return self.file_product() <= -254;
        }
        self.track.weight == 0 && self.verdict.healthy == Some(self.track.reverse)
    }

    /// For people: of a file with weight each number is well that is no fault.
    pub(crate) fn is_well(&self) -> Option<bool> {
        match &self.track.target {
            TrackTarget::File(_) => self.verdict.healthy.map(|_| !self.forbids()),
            TrackTarget::Interface(_)
            | TrackTarget::Script(_)
            | TrackTarget::Bfd(_)
            | TrackTarget::Processes(_)
            | TrackTarget::Static(_)
            | TrackTarget::Proxy => self.verdict.healthy,
        }
    }

    /// Whether the instance cannot start before it has reported.
    pub(crate) fn is_awaited(&self) -> bool {
        let may_forbid = self.track.weight == 0 || matches!(self.track.target, TrackTarget::File(_));
        may_forbid && self.verdict.healthy.is_none()
    }
}

/// Priority after trackers: the sum is a plain integer and is brought into 1 to 254 at the end.
/// The owner's 255 is not touched (keepalived reports weighted trackers on an owner and ignores them).
pub(crate) fn effective(base: Priority, trackers: &[Tracker]) -> u8 {
    if base == Priority::OWNER {
        return base.get();
    }
    let total = trackers.iter().map(Tracker::contribution).fold(i32::from(base.get()), i32::saturating_add);
    total.clamp(1, 254) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(weight: i16, reverse: bool, healthy: Option<bool>) -> Tracker {
        let track = Track { target: TrackTarget::Proxy, weight, reverse };
        Tracker { track, name: String::new(), verdict: Verdict::of(healthy, "") }
    }

    #[test]
    fn weight_sign_and_reverse_decide_what_is_added() {
        let rows = [
            (10, false, Some(true), 10),
            (10, false, Some(false), 0),
            (10, true, Some(true), -10),
            (10, true, Some(false), 0),
            (-10, false, Some(true), 0),
            (-10, false, Some(false), -10),
            (-10, true, Some(true), 0),
            (-10, true, Some(false), 10),
            (10, false, None, 0),
            (-10, false, None, 0),
            (0, false, Some(false), 0),
        ];
        for (weight, reverse, healthy, want) in rows {
            assert_eq!(tracker(weight, reverse, healthy).contribution(), want, "{weight} {reverse} {healthy:?}");
        }
    }

    #[test]
    fn a_file_adds_its_number_times_the_weight_and_minus_254_is_a_fault() {
        // value, weight, reverse, contribution, forbids
        let rows = [
            (5, 2, false, 10, false),
            (-10, 2, false, -20, false),
            (5, 2, true, -10, false),
            (-127, 2, false, 0, true),
            (-126, 2, false, -252, false),
            (127, 2, true, 0, true),
            (1000, 1, false, 253, false),
            (i32::MIN, 254, false, 0, true),
            (0, 2, false, 0, false),
            // Without weight any number but 0 is a fault, or with reverse 0 itself.
            (1, 0, false, 0, true),
            (0, 0, false, 0, false),
            (1, 0, true, 0, false),
            (0, 0, true, 0, true),
        ];
        for (value, weight, reverse, contribution, forbids) in rows {
            let track = Track { target: TrackTarget::File("f".to_owned()), weight, reverse };
            let mut tracker = Tracker::new(track, &[]);
            assert!(tracker.is_awaited());
            tracker.verdict = Verdict::of_file(value);
            assert_eq!(
                (tracker.contribution(), tracker.forbids()),
                (contribution, forbids),
                "{value} x {weight} {reverse}"
            );
        }
    }

    #[test]
    fn the_sum_is_clamped_once_at_the_end() {
        type Row<'a> = (u8, &'a [(i16, bool)], u8);
        let rows: [Row; 8] = [
            (100, &[], 100),
            (100, &[(20, true)], 120),
            (100, &[(-20, false)], 80),
            (100, &[(253, true)], 254),
            (100, &[(-253, false)], 1),
            // Clamping after each step would give 1 + 200.
            (100, &[(-253, false), (200, true)], 47),
            (200, &[(100, true), (-60, false)], 240),
            (255, &[(-100, false)], 255),
        ];
        for (base, trackers, want) in rows {
            let trackers: Vec<_> =
                trackers.iter().map(|(weight, healthy)| tracker(*weight, false, Some(*healthy))).collect();
            assert_eq!(effective(Priority::new(base).unwrap(), &trackers), want, "{base} {trackers:?}");
        }
    }

    #[test]
    fn only_an_unweighted_tracker_forbids_or_is_awaited() {
        let rows = [
            (0, false, Some(false), true, false),
            (0, false, Some(true), false, false),
            (0, true, Some(true), true, false),
            (0, true, Some(false), false, false),
            (0, false, None, false, true),
            (-5, false, Some(false), false, false),
            (-5, false, None, false, false),
        ];
        for (weight, reverse, healthy, forbids, awaited) in rows {
            let tracker = tracker(weight, reverse, healthy);
            assert_eq!((tracker.forbids(), tracker.is_awaited()), (forbids, awaited), "{tracker:?}");
        }
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        // rise, fall, results (+ success, - failure, t timeout), verdict after each
        let rows = [
            (1, 1, "+-+", "yny"),
            (3, 2, "+--+++-+--", "yynnnyyyyn"),
            (3, 1, "-++-+++-", "nnnnnnyn"),
            (1, 3, "+---+", "yyyny"),
            (2, 2, "-+-++", "nnnny"),
            (2, 2, "tt++t", "nnnyy"),
        ];
        for (rise, fall, results, want) in rows {
            let mut judge = Judge::new(Script { name: "chk".to_owned(), rise, fall });
            assert_eq!(judge.verdict().healthy, None);
            let seen: String = results
                .chars()
                .map(|result| {
                    judge.record(match result {
                        '+' => ScriptOutcome::Success,
                        '-' => ScriptOutcome::Failure { status: 1 },
                        _ => ScriptOutcome::TimedOut,
                    });
                    if judge.verdict().healthy == Some(true) { 'y' } else { 'n' }
                })
                .collect();
            assert_eq!(seen, want, "rise {rise} fall {fall} {results}");
        }
    }
}
