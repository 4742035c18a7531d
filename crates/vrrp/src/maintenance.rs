//! A node in maintenance leaves the addresses to others: it hands over, and has the lowest priority until the maintenance
//! is over.
//!
//! Priority 1, not silence: an address that nobody else answers for is better served than not, and a peer that knows
//! nothing of maintenance (keepalived) understands a priority. Who asks for [`Maintenance::Strict`] wants silence all
//! the same, for a machine that must not be touched by clients.

use crate::event::{Action, Maintenance};
use crate::explain::Why;
use crate::instance::Instance;
use crate::router::Router;
use crate::state::{Backup, DownTimer, Leave, State};
use evenkeel_wire::Instant;

impl Router {
    /// Begins, changes or ends it. Begun again by a master that nobody relieved, it is one more handover.
    pub(crate) fn maintain(&mut self, now: Instant, maintenance: Maintenance, actions: &mut Vec<Action>) {
        self.maintenance = maintenance;
        let all: Vec<usize> = (0..self.instances.len()).collect();
        for instance in &mut self.instances {
            instance.set_maintenance(maintenance);
        }
        if maintenance.is_on() {
            for i in &all {
                self.drive_alone(*i, now, crate::machine::Input::Retire, actions);
            }
            self.tell_groups(&all, now, actions);
        }
        let trigger = if maintenance.is_on() { "maintenance began" } else { "maintenance is over" };
        self.drive_facts(all, now, trigger, actions);
    }
}

impl Instance {
    pub(crate) fn set_maintenance(&mut self, maintenance: Maintenance) {
        self.maintenance = maintenance;
        self.guard.heeds_all = maintenance.is_on();
    }

    pub(crate) fn retire(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.leave(now, Leave::Failover, "maintenance was asked for", actions);
    }

    /// Nobody is master, and this node is not to be: the timer starts anew, and that is told once.
    pub(crate) fn stand_aside(&mut self, now: Instant, backup: Backup, trigger: String, actions: &mut Vec<Action>) {
        let (started_at, master_down_at) = (now, now + self.master_down());
        let timer = DownTimer::MasterDown;
        let was_told = true;
        self.state = State::Backup(Backup { started_at, master_down_at, timer, was_told, is_held: false, ..backup });
        if !backup.was_told {
            let rule = "in strict maintenance a node takes no address";
            let decision = format!("leave {} unserved", self.address_names());
            self.explain(Why::new(trigger, rule, decision), actions);
        }
    }
}
