//! An instance under a new configuration, and one that is no longer in it.

use crate::config::VirtualAddress;
use crate::event::{Action, InstanceId};
use crate::explain::Why;
use crate::instance::Instance;
use crate::state::State;
use evenkeel_wire::Instant;

impl Instance {
    /// Takes over identifier, configuration and facts of `fresh`; state, counters and history stay.
    ///
    /// Addresses that are new are announced; the next advert, when it is due, lists them.
    pub(crate) fn become_configured(&mut self, now: Instant, fresh: Instance, actions: &mut Vec<Action>) {
        let old_down = self.master_down();
        let old = std::mem::replace(&mut self.config, fresh.config);
        let same_timing = (old.version, old.advert_interval) == (self.config.version, self.config.advert_interval);
        if !same_timing {
            self.master_interval = self.own_interval();
        }
        self.id = fresh.id;
        self.trackers = fresh.trackers;
        self.duplicate_of = fresh.duplicate_of;
        self.bond = fresh.bond;
        self.guard.reconfigure(&self.config);
        self.set_link(fresh.link);

        let (down, interval) = (self.master_down(), self.own_interval());
        match &mut self.state {
            State::Backup(backup) => backup.master_down_at = backup.master_down_at + down - old_down,
            State::Master(master) => {
                master.advert_at = master.advert_at.min(now + interval);
            }
            State::Init(_) | State::Leaving(_) | State::Fault | State::Stopped => {}
        }
        self.push_hold(actions);
        if self.state.is_holding() {
            let is_new =
                |address: &&VirtualAddress| !old.addresses.contains(address) && !old.excluded.contains(address);
            let new = self.addresses().filter(is_new).cloned().collect();
            self.announce_some(now, new, self.config.garp.repeat, actions);
        }
    }

    /// Says goodbye under a last identifier: priority 0 from a master, the addresses released at once.
    pub(crate) fn depart(&mut self, now: Instant, id: InstanceId, actions: &mut Vec<Action>) {
        self.id = id;
        self.departed = true;
        let decision =
            if self.state.is_holding() { format!("release {}", self.address_names()) } else { "forget it".to_owned() };
        let why = Why::new("it is no longer in the configuration", "reload", decision);
        self.enter(now, State::Stopped, why, actions);
    }
}
