//! Checks: when they run, and what their results make of them.

use crate::balancer::{Balancer, Work};
use crate::config::{BfdId, Check, FileId, LONGEST_SCRIPT, Probe};
use crate::event::{Action, CheckId, ProbeResult, Says, ServerId};
use crate::explain::Cause;
use crate::state::{CheckState, Run, Share, Standing};
use crate::timers::Timer;
use evenkeel_wire::Instant;
use std::time::Duration;

/// Every first run waits for so long, and a random part of the warm-up.
const FIRST_RUN: Duration = Duration::from_secs(1);

/// The shortest pause between two runs, whatever was configured: `delay_loop 3us` is a typing error and not a wish.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// A probe keeps its own time; one that is so much later says nothing any more.
const MARGIN: Duration = Duration::from_secs(30);

/// No probe takes longer, whatever its timeout says.
const LONGEST_RUN: Duration = Duration::from_secs(86_400);

impl Balancer {
    /// Gives a time to each check of the server that rests and may run. One that has never run waits for the warm-up; one
    /// that resumes, because the virtual address came here, is asked at once: what it said is old.
    pub(crate) fn schedule_resting(&mut self, now: Instant, id: ServerId) {
        if self.pools[id.pool.0 as usize].suspended {
            return;
        }
        let n_checks = self.server(id).checks.len() as u32;
        for check in (0..n_checks).map(|check| CheckId { server: id, check }) {
            let Some(timing) = self.configured_check(check).map(|config| config.timing.clone()) else { continue };
            let state = &self.server(id).checks[check.check as usize];
            if state.run != Run::Suspended {
                continue;
            }
            let pause = match state.last {
                None => FIRST_RUN + self.random.below(timing.warmup),
                Some(_) => self.random.below(timing.interval.min(FIRST_RUN)),
            };
            self.wait_until(now + pause, check);
        }
    }

    /// Stops the checks of a server, whatever they are doing.
    pub(crate) fn rest(&mut self, id: ServerId, actions: &mut Vec<Action>) {
        let server = self.server_mut(id);
        for (check, state) in (0..).zip(&mut server.checks) {
            match state.run {
                Run::Following | Run::Suspended => continue,
                Run::Waiting(_) => {}
                Run::UnderWay { run, .. } => {
                    actions.push(Action::Cancel { check: CheckId { server: id, check }, run });
                }
            }
            state.run = Run::Suspended;
        }
    }

    pub(crate) fn start_run(&mut self, now: Instant, id: CheckId, actions: &mut Vec<Action>) {
        self.n_runs += 1;
        let run = self.n_runs;
        let longest = self.configured_check(id).map_or(MARGIN, |check| self.longest_run(check));
        let overdue_at = now + longest;
        let Some((_, state)) = self.check_mut(id) else { return };
        let url = state.url;
        state.run = Run::UnderWay { run, since: now, url, overdue_at };
        self.timers.set(overdue_at, Timer::Overdue(id));
        actions.push(Action::Probe { check: id, run, url });
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of Event::Probed")]
    pub(crate) fn take_result(
        &mut self,
        now: Instant,
        check: CheckId,
        run: u64,
        result: ProbeResult,
        took: Duration,
        work: &mut Work,
        actions: &mut Vec<Action>,
    ) {
        let id = self.carried.remove(&run).unwrap_or(check);
        let Some((_, state)) = self.check_mut(id) else { return };
        let Run::UnderWay { run: current, since, url, overdue_at } = state.run else { return };
        if current != run {
            return;
        }
        self.timers.unset(overdue_at, Timer::Overdue(id));
        let pause = match result {
            ProbeResult::Passed { detail, says } => self.pass(now, id, url, detail, says, took),
            ProbeResult::Failed { reason } => self.fail(now, id, url, reason, took, actions),
            ProbeResult::FailedAt { url, reason } => self.fail(now, id, url, reason, took, actions),
        };
        // MISC_CHECK counts from the start of the last run, all others from its end.
        let from = match self.configured_check(id).map(|config| &config.probe) {
            Some(Probe::Misc { .. }) => since,
            _ => now,
        };
        self.wait_until((from + pause).max(now), id);
        self.settle(now, id.server, Cause::Check(id.check), work, actions);
    }

    /// A probe that has not reported by now never will: whatever keeps it is a failure, and it is asked for again. A check
    /// whose last word is for ever its last would leave a dead server in the table.
    pub(crate) fn give_up(&mut self, now: Instant, id: CheckId, work: &mut Work, actions: &mut Vec<Action>) {
        let Some((_, state)) = self.check_mut(id) else { return };
        let Run::UnderWay { run, since, .. } = state.run else { return };
        actions.push(Action::Cancel { check: id, run });
        let took = now.since(since);
        let reason = format!("the probe has not reported within {} s", took.as_secs());
        self.take_result(now, id, run, ProbeResult::Failed { reason }, took, work, actions);
    }

    /// How long a probe may take until it is overdue.
    fn longest_run(&self, check: &Check) -> Duration {
        let timeout = check.timing.timeout;
        let honest = match &check.probe {
            Probe::Misc { script, .. } => {
                self.config.scripts.get(script.0 as usize).and_then(|script| script.timeout).unwrap_or(LONGEST_SCRIPT)
            }
            // Each url has the time for itself.
            Probe::Http(http) => timeout.saturating_mul(http.urls.len().max(1) as u32),
            _ => timeout,
        };
        // The data path is tried first.
        let twice = check.target.as_ref().is_some_and(|target| target.via_dataplane);
        let honest = if twice { honest.saturating_add(timeout) } else { honest };
        honest.min(LONGEST_RUN) + MARGIN
    }

    /// A probe went well. Returns the pause before the next.
    fn pass(
        &mut self,
        now: Instant,
        id: CheckId,
        began_at: u32,
        detail: String,
        says: Option<Says>,
        took: Duration,
    ) -> Duration {
        let Some(config) = self.configured_check(id) else { return FIRST_RUN };
        let interval = config.timing.interval.max(SHORTEST_PAUSE);
        let fast = matches!(&config.probe, Probe::Http(http) if http.fast_recovery);
        let Some((probe, state)) = self.check_mut(id) else { return FIRST_RUN };
        state.take_says(probe, says);
        state.url = 0;
        state.remember(now, true, detail, took);
        match state.standing {
            // The failed url answers again, and those after it; the server is up when all have.
            Standing::Failing | Standing::Unproven if began_at > 0 => {
                if fast {
                    SHORTEST_PAUSE
                } else {
                    interval
                }
            }
            Standing::Failing | Standing::Unproven | Standing::Passing { .. } => {
                state.standing = Standing::Passing { n_failures: 0 };
                interval
            }
        }
    }

    /// A probe went wrong. Returns the pause before the next.
    fn fail(
        &mut self,
        now: Instant,
        id: CheckId,
        url: u32,
        reason: String,
        took: Duration,
        actions: &mut Vec<Action>,
    ) -> Duration {
        let Some(config) = self.configured_check(id) else { return FIRST_RUN };
        let timing = &config.timing;
        let retries = timing.retries;
        let retry_pause = timing.retry_delay.max(SHORTEST_PAUSE);
        let interval = timing.interval.max(SHORTEST_PAUSE);
        let log_all = config.log_all_failures;
        let n_urls = match &config.probe {
            Probe::Http(http) => http.urls.len() as u32,
            _ => 1,
        };
        // Of a server that is down, keepalived asks for the failed url no sooner than a retry would be.
        let pause_when_down = if n_urls > 1 || is_http(config) { interval.max(retry_pause) } else { interval };
        let Some((_, state)) = self.check_mut(id) else { return FIRST_RUN };
        state.remember(now, false, reason, took);
        state.url = url.min(n_urls.saturating_sub(1));
        match state.standing {
            Standing::Passing { n_failures } if n_failures < retries => {
                state.standing = Standing::Passing { n_failures: n_failures + 1 };
                if log_all {
                    actions.push(Action::Explain(self.explain_retry(id, n_failures + 1, retry_pause)));
                }
                retry_pause
            }
            Standing::Passing { .. } | Standing::Unproven => {
                state.standing = Standing::Failing;
                pause_when_down
            }
            Standing::Failing => {
                if log_all {
                    actions.push(Action::Explain(self.explain_still_down(id, pause_when_down)));
                }
                pause_when_down
            }
        }
    }

    /// The number in a file: multiplied by the weight it is added to the server's; without a weight, another number than 0
    /// is a failure. A product below all weights is one as well (keepalived's INT_MIN).
    pub(crate) fn take_file(
        &mut self,
        now: Instant,
        file: FileId,
        value: i32,
        work: &mut Work,
        actions: &mut Vec<Action>,
    ) {
        let Some(followed) = self.followers.files.get_mut(file.0 as usize) else { return };
        followed.value = Some(value);
        for id in followed.checks.clone() {
            self.judge_followed(now, id);
            self.settle(now, id.server, Cause::Check(id.check), work, actions);
        }
    }

    /// A session's state is the server's, at once and without retries.
    pub(crate) fn take_session(
        &mut self,
        now: Instant,
        session: BfdId,
        up: bool,
        work: &mut Work,
        actions: &mut Vec<Action>,
    ) {
        let Some(followed) = self.followers.sessions.get_mut(session.0 as usize) else { return };
        followed.value = Some(up);
        for id in followed.checks.clone() {
            self.judge_followed(now, id);
            self.settle(now, id.server, Cause::Check(id.check), work, actions);
        }
    }

    /// Brings a check of a file or session up to what is known of that.
    pub(crate) fn judge_followed(&mut self, now: Instant, id: CheckId) {
        let Some(probe) = self.configured_check(id).map(|config| config.probe.clone()) else { return };
        match probe {
            Probe::File { file, weight, reverse } => {
                let Some(value) = self.followers.files.get(file.0 as usize).and_then(|file| file.value) else { return };
                let Some((_, state)) = self.check_mut(id) else { return };
                let verdict = judge_number(value, weight, reverse);
                state.share = Share::More(verdict.unwrap_or(0));
                state.take_verdict(now, verdict.is_some(), format!("the number is {value}"));
            }
            Probe::Bfd { session } => {
                let known = self.followers.sessions.get(session.0 as usize).and_then(|session| session.value);
                let Some(up) = known else { return };
                let Some((_, state)) = self.check_mut(id) else { return };
                state.take_verdict(now, up, if up { "session up" } else { "session down" }.to_owned());
            }
            Probe::Tcp
            | Probe::Http(_)
            | Probe::Smtp { .. }
            | Probe::Dns { .. }
            | Probe::Udp(_)
            | Probe::Ping
            | Probe::Misc { .. }
            | Probe::Agent { .. } => {}
        }
    }

    pub(crate) fn configured_check(&self, id: CheckId) -> Option<&Check> {
        self.configured(id.server)?.1.checks.get(id.check as usize)
    }

    /// The one place where a check gets a time to run at.
    fn wait_until(&mut self, at: Instant, id: CheckId) {
        if let Some((_, state)) = self.check_mut(id) {
            state.run = Run::Waiting(at);
            self.timers.set(at, Timer::Run(id));
        }
    }
}

impl CheckState {
    /// For checks that are told: there is nothing to retry.
    fn take_verdict(&mut self, now: Instant, passed: bool, text: String) {
        self.standing = if passed { Standing::Passing { n_failures: 0 } } else { Standing::Failing };
        self.remember(now, passed, text, Duration::ZERO);
    }
}

/// What a number in a file adds to the weight, or `None` when it is a failure.
fn judge_number(value: i32, weight: i32, reverse: bool) -> Option<i64> {
    if weight == 0 {
        return ((value == 0) != reverse).then_some(0);
    }
    let product = i64::from(value) * i64::from(weight) * if reverse { -1 } else { 1 };
    (product > i64::from(i32::MIN)).then_some(product.min(i64::from(i32::MAX)))
}

fn is_http(config: &Check) -> bool {
    matches!(config.probe, Probe::Http(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_files_follow_keepalived() {
        for (value, weight, reverse, expected) in [
            (0, 0, false, Some(0)),
            (1, 0, false, None),
            (-1, 0, false, None),
            (0, 0, true, None),
            (7, 0, true, Some(0)),
            (5, 2, false, Some(10)),
            (-10, 2, false, Some(-20)),
            (5, 2, true, Some(-10)),
            (5, -2, true, Some(10)),
            (i32::MAX, 2, false, Some(i64::from(i32::MAX))),
            (i32::MIN, 1, false, None),
            (i32::MIN + 1, 1, false, Some(i64::from(i32::MIN) + 1)),
            (1 << 30, -2, false, None),
        ] {
            assert_eq!(judge_number(value, weight, reverse), expected, "{value} * {weight}, reverse {reverse}");
        }
    }
}
