//! What people plan: the master goes and comes back, in each of the ways that there are, and its addresses are answered for
//! at every instant.

use crate::daemon::Program;
use crate::guest::Whose;
use crate::laws::Watch;
use crate::scenario::{Edit, Fault, Handover};
use crate::world::{Broken, World};
use evenkeel_vrrp::config::{Track, TrackTarget};
use evenkeel_vrrp::{Command, Event, InstanceId, StateName};
use std::collections::BTreeMap;
use std::time::Duration;

impl World {
    /// Makes the master of the first virtual router go, and come back if it is the preferred one.
    pub(crate) fn hand_over(&mut self) -> Result<(), Broken> {
        let Some(master) = self.nodes.iter().position(|node| node.runs() && node.states[0] == StateName::Master) else {
            return Ok(());
        };
        let component = self.component(master);
        if component.iter().all(|n| *n == master || !self.nodes[*n].is_eligible()) {
            return Ok(());
        }
        let way = self.way(master);
        // Whoever may not be without its neighbour cannot take over from it.
        let needs_next = |track: &Track| track.weight == 0 && matches!(track.target, TrackTarget::Bfd(_));
        if way == Handover::Shutdown && self.nodes[master].config.instances[0].tracks.iter().any(needs_next) {
            return Ok(());
        }
        self.summary.n_handovers += 1;
        match way {
            Handover::Shutdown => self.stop_and_start(master, component),
            Handover::Failover => self.failover_and_back(master, component),
            Handover::Reload => {
                self.watch(master, component, Duration::ZERO);
                self.go_and_see(Fault::Reload { node: master, edit: Edit::Priority(1) })?;
                self.go_and_see(Fault::Reload { node: master, edit: Edit::Original })
            }
            Handover::Weight => {
                self.watch(master, component, Duration::ZERO);
                self.go_and_see(Fault::Script { node: master, works: false })?;
                self.go_and_see(Fault::Script { node: master, works: true })
            }
        }
    }

    /// The way that the scenario says, where there is that.
    fn way(&self, master: usize) -> Handover {
        let node = &self.nodes[master];
        let has_weight = node.config.instances[0]
            .tracks
            .iter()
            .any(|track| track.weight != 0 && matches!(track.target, TrackTarget::Script(_)));
        match (self.scenario.handover, node.program) {
            (Handover::Weight, _) if !has_weight || !node.script_works => Handover::Shutdown,
            // It has no such command.
            (Handover::Failover, Program::Keepalived) => Handover::Shutdown,
            (way @ (Handover::Shutdown | Handover::Failover | Handover::Reload | Handover::Weight), _) => way,
        }
    }

    fn stop_and_start(&mut self, master: usize, component: Vec<usize>) -> Result<(), Broken> {
        let gap = if self.nodes[master].is_ours() { Duration::ZERO } else { self.scenario.longest_skew };
        self.watch(master, component, gap);
        let left = self.mastered(master);
        self.befall(Fault::Shutdown(master))?;
        self.run_until(self.now + self.scenario.down_interval * 3 + self.scenario.sessions_settle_for)?;
        self.check_handed_over(master, &left)?;
        self.go_and_see(Fault::Start(master))
    }

    fn failover_and_back(&mut self, master: usize, component: Vec<usize>) -> Result<(), Broken> {
        self.watch(master, component, Duration::ZERO);
        let left = if self.nodes[master].config.groups.is_empty() { vec![0] } else { self.mastered(master) };
        self.befall(Fault::Failover { node: master, instance: 0 })?;
        self.run_until(self.now + self.scenario.down_interval * 3 + self.scenario.sessions_settle_for)?;
        self.check_handed_over(master, &left)?;
        self.tell(master, Event::Command(Command::Failback(InstanceId(0))))?;
        self.run_until(self.now + self.scenario.settles_for)?;
        self.watch = None;
        self.check_settled()
    }

    /// Something that moves the addresses or does not; afterwards everybody agrees again.
    fn go_and_see(&mut self, fault: Fault) -> Result<(), Broken> {
        self.befall(fault)?;
        self.run_until(self.now + self.scenario.settles_for)?;
        self.check_settled()
    }

    fn mastered(&self, node: usize) -> Vec<usize> {
        let states = self.nodes[node].states.iter().enumerate();
        states.filter(|(_, state)| **state == StateName::Master).map(|(instance, _)| instance).collect()
    }

    /// From now on, but for a gap that nobody can help, each address of the master is answered for, and where clients send
    /// it. That much is demanded of addresses that clients find now.
    fn watch(&mut self, master: usize, component: Vec<usize>, gap: Duration) {
        let mastered = self.mastered(master);
        let addresses = mastered.iter().flat_map(|instance| self.nodes[master].instance_addresses(*instance));
        let addresses = addresses.filter(|address| self.client.get(address) == Some(&Whose::Node(master))).collect();
        self.watch = Some(Watch { addresses, component, from: self.now + gap, astray: BTreeMap::new() });
    }
}
