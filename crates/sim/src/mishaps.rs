//! What befalls machines and LAN. A mishap that makes no sense any more (killing the dead) does nothing.

use crate::scenario::{Fault, LINK};
use crate::world::{Broken, World};
use evenkeel_vrrp::config::Priority;
use evenkeel_vrrp::{Command, Event, InstanceId};

impl World {
    pub(crate) fn befall(&mut self, fault: Fault) -> Result<(), Broken> {
        self.note(|| format!("-- {fault:?}"));
        self.summary.n_faults += 1;
        match fault {
            Fault::PowerOff(node) => {
                self.nodes[node].power_off(self.now);
                Ok(())
            }
            Fault::Kill(node) => {
                self.nodes[node].kill(self.now);
                Ok(())
            }
            Fault::Start(node) => {
                // A process that was told to stop finishes first; one that runs stays.
                if self.nodes[node].runs() { Ok(()) } else { self.start(node) }
            }
            Fault::Link { node, name, up } => {
                if self.nodes[node].set_link(name, up) {
                    self.report_link(node, name);
                }
                Ok(())
            }
            Fault::Script { node, works } => {
                self.nodes[node].script_works = works;
                Ok(())
            }
            Fault::Proxy { node, healthy } => {
                self.nodes[node].proxy_healthy = healthy;
                self.report_proxy(node);
                Ok(())
            }
            Fault::Partition(groups) => {
                self.lan.partition(&groups);
                Ok(())
            }
            Fault::OneWay { from, to } => {
                self.lan.cut_one_way(from, to);
                Ok(())
            }
            Fault::Reconnect => {
                self.lan.reconnect();
                Ok(())
            }
            Fault::Shutdown(node) => self.shut_down(node),
            Fault::Failover { node, instance } => self.command(node, instance, Command::Failover),
            Fault::Failback { node, instance } => self.command(node, instance, Command::Failback),
            Fault::RemoveAddress { node, instance } => {
                self.remove_address(node, instance);
                Ok(())
            }
            Fault::Reprioritise { node, priority } => self.reprioritise(node, priority),
        }
    }

    fn shut_down(&mut self, n: usize) -> Result<(), Broken> {
        if !self.nodes[n].runs() || self.nodes[n].shutdown_at.is_some() {
            return Ok(());
        }
        self.nodes[n].shutdown_at = Some(self.now);
        self.tell(n, Event::Shutdown)
    }

    fn command(&mut self, n: usize, instance: usize, command: fn(InstanceId) -> Command) -> Result<(), Broken> {
        if !self.nodes[n].runs() || !self.nodes[n].is_ours() || instance >= self.nodes[n].config.instances.len() {
            return Ok(());
        }
        self.tell(n, Event::Command(command(InstanceId(instance as u32))))
    }

    fn remove_address(&mut self, n: usize, instance: usize) {
        let node = &mut self.nodes[n];
        if instance >= node.config.instances.len() {
            return;
        }
        let Some(address) = node.instance_addresses(instance).into_iter().find(|a| node.addresses.contains(a)) else {
            return;
        };
        node.addresses.remove(&address);
        if node.router.is_some() {
            node.removed.insert(address, self.now);
            self.report_vanished(n, address);
        }
    }

    fn reprioritise(&mut self, n: usize, priority: u8) -> Result<(), Broken> {
        let Some(priority) = Priority::new(priority) else {
            return Ok(());
        };
        let node = &mut self.nodes[n];
        for instance in &mut node.config.instances {
            instance.priority = priority;
        }
        let (clock, config) = (node.clock(self.now), node.config.clone());
        debug_assert!(config.instances.iter().all(|instance| instance.interface == LINK));
        // A file is edited whether or not somebody runs who would read it; one that leaves reads nothing any more.
        let Some(router) = node.router.as_mut().filter(|_| node.shutdown_at.is_none()) else {
            return Ok(());
        };
        let mut actions = Vec::new();
        router.reconfigure(clock, config, &mut actions);
        self.perform(n, actions)
    }
}
