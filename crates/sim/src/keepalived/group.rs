//! Sync groups, as keepalived has them.

use super::Keepalived;
use evenkeel_vrrp::{Action, StateName};
use evenkeel_wire::Instant;

impl Keepalived {
    /// The members of the group of `i`, `i` first; `i` alone when it is in no group.
    pub(super) fn with_companions(&self, i: usize) -> Vec<usize> {
        let group = self.groups.iter().find(|group| group.members.iter().any(|member| member.0 as usize == i));
        let others = group.into_iter().flat_map(|group| &group.members).map(|member| member.0 as usize);
        std::iter::once(i).chain(others.filter(|other| *other != i)).collect()
    }

    /// Each member is master, or waits to be.
    pub(super) fn is_group_ready(&self, i: usize) -> bool {
        let would_be = |c: &usize| self.routers[*c].state == StateName::Master || self.routers[*c].wants_master;
        self.with_companions(i).iter().all(would_be)
    }

    /// The others of the group go with one that is no master any more: without priority 0.
    pub(super) fn pull_to_backup(&mut self, i: usize, now: Instant, actions: &mut Vec<Action>) {
        for member in self.with_companions(i) {
            let router = &mut self.routers[member];
            if member != i && router.state == StateName::Master {
                router.leave(0, actions);
                router.timer = Some(now + router.master_down());
                router.enter(StateName::Backup, "another member of its group is backup", actions);
            }
        }
    }
}
