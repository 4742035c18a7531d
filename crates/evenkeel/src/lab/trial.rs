//! One act, from the moment it was done until it has settled: expectation, measurement, finding. Pure.

use super::act::{Act, Conflict, Expectation, UNDER_WAY, name_all};
use super::model::View;
use super::outage::Window;
use super::topology::Host;
use evenkeel_wire::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

/// The lab must have been as expected, and every answer good, for so long before it is over. Longer than a request may take, so that no request
/// that was sent into the outage is still to fail.
const QUIET: Duration = Duration::from_millis(1200);
/// No act is over before this, as its effect may not have begun.
const SHORTEST: Duration = Duration::from_secs(2);
/// What has not settled by then will not.
const LONGEST: Duration = Duration::from_secs(20);

/// An act under way.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// What was done.
    pub act: Act,
    /// What must come of it.
    pub expectation: Expectation,
    /// What clients notice.
    pub window: Window,
    /// Who held the address before.
    held_before: BTreeSet<Host>,
    /// How long after the act the last one to take the address did.
    taken_after: Option<Duration>,
    /// Both balancers said that there is a conflict, this long after it was seen that both hold the address.
    conflict_seen: Option<Duration>,
    both_since: Option<Instant>,
    /// Since when the lab has been as expected.
    settled_at: Option<Instant>,
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    /// What was done.
    pub act: Act,
    /// What was expected, in words.
    pub expected: String,
    /// What was seen, in words.
    pub seen: String,
    /// Whether the two agree.
    pub ok: bool,
}

impl Trial {
    /// `act` was done at `now`, while `broken` was broken and the address was on these hosts.
    pub(super) fn begin(now: Instant, act: Act, broken: &BTreeSet<Act>, held_before: BTreeSet<Host>) -> Self {
        Trial {
            act,
            expectation: act.expectation(broken),
            window: Window::open(now),
            held_before,
            taken_after: None,
            conflict_seen: None,
            both_since: None,
            settled_at: None,
        }
    }

    /// Looks at the lab. `Some` when the act has settled, or has had its time.
    pub(super) fn judge(&mut self, now: Instant, view: &View) -> Option<Finding> {
        let began = self.window.began();
        let taken = view.master_since.iter().filter(|(host, _)| !self.held_before.contains(host));
        self.taken_after = taken.map(|(_, since)| since.since(began)).max().or(self.taken_after);
        if self.expectation.conflict == Conflict::Said && view.holders.len() > 1 {
            let since = *self.both_since.get_or_insert(now);
            if view.n_conflicts > 1 {
                self.conflict_seen.get_or_insert(now.since(since));
            }
        }
        let elapsed = now.since(began);
        self.settled_at = self.is_as_expected(view).then(|| self.settled_at.unwrap_or(now));
        let settled_for = self.settled_at.map_or(Duration::ZERO, |at| now.since(at));
        if elapsed >= SHORTEST && settled_for >= QUIET && self.window.good_for(now) >= QUIET {
            return Some(self.conclude(now, view));
        }
        (elapsed >= LONGEST).then(|| self.clone().give_up(now, view, "not settled after 20 s"))
    }

    fn is_as_expected(&self, view: &View) -> bool {
        view.holders == self.expectation.holders
            && view.client_uses.is_some_and(|host| view.holders.contains(&host))
            && match self.expectation.conflict {
                Conflict::Said => self.conflict_seen.is_some(),
                Conflict::None => view.n_conflicts == 0,
                Conflict::Possible => true,
            }
    }

    fn conclude(&self, now: Instant, view: &View) -> Finding {
        let outage = self.window.outage(now);
        let within = self.act == Act::Start
            || outage <= self.expectation.outage
                && self
                    .expectation
                    .n_failed
                    .is_none_or(|allowed| self.window.n_failed <= allowed && self.window.n_cut_off <= UNDER_WAY);
        let shared = self.act != Act::Watch || self.is_shared();
        let in_time = self.conflict_seen.is_none_or(|after| after <= Duration::from_secs(2));
        Finding {
            act: self.act,
            expected: self.expected(),
            seen: self.seen(now, view),
            ok: within && shared && in_time,
        }
    }

    /// Ends it unsettled.
    pub(super) fn give_up(self, now: Instant, view: &View, why: &str) -> Finding {
        let seen = format!("{why}: {}", self.seen(now, view));
        Finding { act: self.act, expected: self.expected(), seen, ok: false }
    }

    fn expected(&self) -> String {
        let split = if self.expectation.conflict == Conflict::Said { ", both say so within 2000 ms" } else { "" };
        let shared = if self.act == Act::Watch { ", web01 and web02 in turn" } else { "" };
        format!("{}{split}{shared}", self.expectation.describe())
    }

    /// Whether both servers got half of the requests, but for a few.
    fn is_shared(&self) -> bool {
        let [a, b] = self.window.n_pages;
        a.abs_diff(b) * 20 <= a + b
    }

    fn seen(&self, now: Instant, view: &View) -> String {
        let holders = name_all(&view.holders);
        let moved = match self.taken_after {
            Some(after) => format!("{holders} after {} ms", after.as_millis()),
            None => holders,
        };
        let outage = self.window.outage(now).as_millis();
        let Window { n_requests, n_failed, n_cut_off, n_pages: [one, two], .. } = self.window;
        let cut_off = if n_cut_off > 0 { format!(", {n_cut_off} cut off") } else { String::new() };
        let loss = match self.act {
            Act::Start => String::new(),
            Act::Watch => format!(", web01 {one}, web02 {two}, {n_failed} of {n_requests} requests failed{cut_off}"),
            _ => format!(", out {outage} ms, {n_failed} of {n_requests} requests failed{cut_off}"),
        };
        let conflict =
            self.conflict_seen.map_or(String::new(), |after| format!(", both say so after {} ms", after.as_millis()));
        format!("{moved}{loss}{conflict}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Outcome, Sample};
    use super::*;
    use std::collections::BTreeMap;

    fn at(millis: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(millis))
    }

    fn held_by(hosts: &[Host], since: u64, n_conflicts: usize) -> View {
        View {
            holders: hosts.iter().copied().collect(),
            client_uses: hosts.first().copied(),
            n_conflicts,
            master_since: hosts.iter().map(|host| (*host, at(since))).collect::<BTreeMap<_, _>>(),
        }
    }

    fn begin(act: Act) -> Trial {
        Trial::begin(at(0), act, &BTreeSet::new(), BTreeSet::from([Host::Lb01]))
    }

    /// Judges twice, so that the lab has looked like this for a while at `now`.
    fn judge(trial: &mut Trial, now: u64, view: &View) -> Option<Finding> {
        assert_eq!(trial.judge(at(now - 1200), view), None);
        trial.judge(at(now), view)
    }

    /// A request every 10 ms from 0 to `until`; those that end within `out` fail.
    fn traffic(trial: &mut Trial, until: u64, out: std::ops::Range<u64>) {
        for n in (0..until).step_by(10) {
            let server = Host::SERVERS[usize::from(n % 20 == 0)];
            let outcome = if out.contains(&n) { Outcome::TimedOut } else { Outcome::Page(server) };
            trial.window.add(&Sample { began: at(n), ended: at(n), outcome });
        }
    }

    #[test]
    fn a_handover_without_loss_is_as_expected() {
        let mut trial = begin(Act::StopDaemon);
        traffic(&mut trial, 2010, 0..0);
        assert_eq!(trial.judge(at(500), &held_by(&[Host::Lb01], 0, 0)), None);
        let finding = judge(&mut trial, 2010, &held_by(&[Host::Lb02], 613, 0)).unwrap();
        assert_eq!(finding.expected, "address on lb02, 0 errors");
        assert_eq!(finding.seen, "lb02 after 613 ms, out 10 ms, 0 of 201 requests failed");
        assert!(finding.ok);
    }

    #[test]
    fn one_lost_request_in_a_planned_handover_is_a_difference() {
        let mut trial = begin(Act::StopDaemon);
        traffic(&mut trial, 2010, 600..610);
        let finding = judge(&mut trial, 2010, &held_by(&[Host::Lb02], 613, 0)).unwrap();
        assert_eq!((finding.ok, finding.seen.ends_with("1 of 201 requests failed")), (false, true));
    }

    #[test]
    fn requests_that_are_cut_off_are_counted_apart_and_must_be_few() {
        for (n, ok) in [(1, true), (4, false)] {
            let mut trial = begin(Act::StopDaemon);
            for n in 0..n {
                trial.window.add(&Sample { began: at(600), ended: at(601 + n), outcome: Outcome::CutOff });
            }
            traffic(&mut trial, 2010, 0..0);
            let finding = judge(&mut trial, 2010, &held_by(&[Host::Lb02], 613, 0)).unwrap();
            assert_eq!(finding.ok, ok, "{n}");
            assert!(
                finding.seen.ends_with(&format!("0 of {} requests failed, {n} cut off", 201 + n)),
                "{}",
                finding.seen
            );
        }
    }

    #[test]
    fn the_address_of_a_killed_daemon_may_still_answer() {
        let mut trial = begin(Act::KillDaemon);
        traffic(&mut trial, 6000, 0..3600);
        assert!(judge(&mut trial, 6000, &held_by(&[Host::Lb02], 3600, 1)).unwrap().ok);
    }

    #[test]
    fn an_outage_beyond_the_protocols_bound_is_a_difference() {
        for (out, ok) in [(3600, true), (3900, false)] {
            let mut trial = begin(Act::KillDaemon);
            traffic(&mut trial, 6000, 0..out);
            assert_eq!(judge(&mut trial, 6000, &held_by(&[Host::Lb02], out, 0)).unwrap().ok, ok, "{out}");
        }
    }

    #[test]
    fn it_is_not_over_while_requests_may_still_fail() {
        let mut trial = begin(Act::KillDaemon);
        traffic(&mut trial, 4000, 0..3600);
        assert_eq!(trial.judge(at(4000), &held_by(&[Host::Lb02], 3600, 0)), None);
    }

    #[test]
    fn a_split_brain_must_be_said_by_both() {
        let both = [Host::Lb01, Host::Lb02];
        let mut trial = begin(Act::CutPeers);
        traffic(&mut trial, 6000, 0..0);
        assert_eq!(trial.judge(at(4000), &held_by(&both, 3610, 1)), None);
        assert_eq!(trial.judge(at(4500), &held_by(&both, 3610, 2)), None);
        let finding = trial.judge(at(5800), &held_by(&both, 3610, 2)).unwrap();
        assert!(finding.ok);
        assert!(finding.seen.ends_with("both say so after 500 ms"), "{}", finding.seen);
    }

    #[test]
    fn what_fails_just_after_the_address_moved_is_counted() {
        let mut trial = begin(Act::StopDaemon);
        traffic(&mut trial, 3000, 0..0);
        assert_eq!(trial.judge(at(3000), &held_by(&[Host::Lb02], 2990, 0)), None);
        trial.window.add(&Sample { began: at(2995), ended: at(3995), outcome: Outcome::TimedOut });
        trial.window.add(&Sample { began: at(4000), ended: at(4000), outcome: Outcome::Page(Host::Web01) });
        assert_eq!(trial.judge(at(4300), &held_by(&[Host::Lb02], 2990, 0)), None);
        assert!(!trial.judge(at(5200), &held_by(&[Host::Lb02], 2990, 0)).unwrap().ok);
    }

    #[test]
    fn what_never_settles_is_a_difference() {
        let mut trial = begin(Act::CutLink);
        let finding = judge(&mut trial, 20_000, &held_by(&[Host::Lb01], 0, 0)).unwrap();
        assert_eq!(
            (finding.ok, finding.seen.as_str()),
            (false, "not settled after 20 s: lb01, out 20000 ms, 0 of 0 requests failed")
        );
    }

    #[test]
    fn unequal_shares_are_a_difference() {
        for (step, ok) in [(20, true), (30, false)] {
            let mut trial = begin(Act::Watch);
            for n in (0..3000).step_by(10) {
                let server = Host::SERVERS[usize::from(n % step == 0)];
                trial.window.add(&Sample { began: at(n), ended: at(n), outcome: Outcome::Page(server) });
            }
            assert_eq!(judge(&mut trial, 3000, &held_by(&[Host::Lb01], 0, 0)).unwrap().ok, ok, "{step}");
        }
    }
}
