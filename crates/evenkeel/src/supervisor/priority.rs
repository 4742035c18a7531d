//! `max_auto_priority`: a vrrp role that served a deadline late gets a higher priority, one step each time.

use super::Supervisor;
use super::process::schedule;
use crate::role::Role;
use evenkeel_conf::keepalived::Scheduling;
use std::time::Duration;

impl Supervisor {
    /// The vrrp role was so late as `min_auto_priority_delay` says.
    pub(super) fn vrrp_is_late(&mut self, by: Duration) {
        let configured = &self.compiled.settings.vrrp_scheduling;
        let now = self.raised.or(configured.realtime);
        let most = self.compiled.settings.process.auto_priority.most;
        let (Some(next), Some(process)) = (next_step(now, most), &self.vrrp.process) else { return };
        tracing::warn!(target: "supervisor", "the vrrp role was {} ms late: its priority is raised", by.as_millis());
        let with = |realtime| Scheduling { realtime, ..configured.clone() };
        schedule(Role::Vrrp, process.pid, &with(Some(next)), &with(now));
        self.raised = Some(next);
    }
}

/// The priority under SCHED_RR after `now`; `None` when there is none higher.
fn next_step(now: Option<u8>, most: u8) -> Option<u8> {
    let next = now.unwrap_or(0).checked_add(1)?;
    (next <= most).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::next_step;

    #[test]
    fn a_priority_rises_one_step_at_a_time_and_not_beyond_the_last() {
        for (now, most, next) in
            [(None, 0, None), (None, 1, Some(1)), (Some(1), 1, None), (Some(4), 50, Some(5)), (Some(60), 50, None)]
        {
            assert_eq!(next_step(now, most), next, "{now:?} of {most}");
        }
    }
}
