//! What befalls machines and LAN. A mishap that makes no sense any more (killing the dead) does nothing.

use crate::node::Node;
use crate::scenario::{Clock, Edit, Fault, Report};
use crate::world::{Broken, Happening, World};
use evenkeel_vrrp::config::Priority;
use evenkeel_vrrp::{Command, Config, Event, InstanceId};
use std::time::Duration;

impl World {
    pub(crate) fn befall(&mut self, fault: Fault) -> Result<(), Broken> {
        self.note(|| format!("-- {fault:?}"));
        let told = match &fault {
            Fault::Shutdown(node) | Fault::WallClock(node) => Some(*node),
            Fault::Failover { node, .. } | Fault::Failback { node, .. } | Fault::Reload { node, .. } => Some(*node),
            _ => None,
        };
        if told.is_some_and(|node| self.nodes[node].is_paused(self.now)) {
            return Ok(());
        }
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
            Fault::RemoveAddress { node, instance, report } => {
                self.remove_address(node, instance, report);
                Ok(())
            }
            Fault::AddAddress { node, instance } => {
                self.add_address(node, instance);
                Ok(())
            }
            Fault::Reload { node, edit } => self.reload(node, edit),
            Fault::File { node, value } => {
                self.nodes[node].file_value = value;
                self.report_trackers(node);
                Ok(())
            }
            Fault::Processes { node, well } => {
                self.nodes[node].processes_well = well;
                self.report_trackers(node);
                Ok(())
            }
            Fault::Pause { node, lasts, clock } => {
                self.pause(node, lasts, clock);
                Ok(())
            }
            Fault::WallClock(node) => {
                let utc = self.random.span(Duration::ZERO, Duration::from_secs(2_000_000_000));
                self.tell(node, Event::Clock { utc })
            }
            Fault::Guest { instance, priority } => {
                self.guest_comes(instance, priority);
                Ok(())
            }
            Fault::GuestLeaves => {
                self.guest = None;
                Ok(())
            }
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

    fn remove_address(&mut self, n: usize, instance: usize, report: Report) {
        let node = &mut self.nodes[n];
        let held = node.instance_addresses(instance).into_iter().find(|a| node.addresses.contains(a));
        let Some(address) = held else {
            return;
        };
        node.addresses.remove(&address);
        if node.added.remove(&address).is_some() || node.router.is_none() {
            return;
        }
        // A keepalived compares nothing, so that there the report always comes.
        let report = if node.is_ours() { report } else { Report::Comes };
        let back_by = self.now
            + match report {
                Report::Comes => Node::REPAIR_TIME,
                Report::Lost => Node::UNREPORTED_REPAIR_TIME,
            };
        node.removed.insert(address, back_by);
        self.look_at(back_by);
        if report == Report::Comes {
            self.report_vanished(n, address);
        }
    }

    fn add_address(&mut self, n: usize, instance: usize) {
        let node = &mut self.nodes[n];
        let missing = node.instance_addresses(instance).into_iter().find(|a| !node.addresses.contains(a));
        let Some(address) = missing.filter(|address| node.router.is_some() && !node.removed.contains_key(address))
        else {
            return;
        };
        let gone_by = self.now + Node::UNREPORTED_REPAIR_TIME + self.scenario.down_interval;
        node.addresses.insert(address);
        node.added.insert(address, gone_by);
        self.look_at(gone_by);
    }

    fn pause(&mut self, n: usize, lasts: Duration, clock: Clock) {
        let node = &mut self.nodes[n];
        if !node.runs() || node.is_paused(self.now) {
            return;
        }
        // All that is wrong is put right in the end.
        let lasts = lasts.min(self.scenario.heals_at.saturating_sub(self.now));
        node.paused_until = self.now + lasts;
        if clock == Clock::Stands {
            node.suspend(lasts);
        }
        let incarnation = node.incarnation;
        self.schedule(self.now + lasts, Happening::Resume { node: n, incarnation });
    }

    /// A file is edited whether or not somebody runs who would read it; one that leaves reads nothing any more.
    fn reload(&mut self, n: usize, edit: Edit) -> Result<(), Broken> {
        let node = &mut self.nodes[n];
        let mut config = node.edited.as_ref().unwrap_or(&node.config).clone();
        match edit {
            Edit::Priority(priority) => {
                let Some(priority) = Priority::new(priority) else { return Ok(()) };
                config.instances.iter_mut().for_each(|instance| instance.priority = priority);
            }
            Edit::WithoutLast => without_last(&mut config),
            Edit::Original => config = node.original.clone(),
            Edit::Restored => {
                // Members with different priorities would leave it to chance where their group is.
                let priority = config.instances.first().map(|instance| instance.priority);
                let of_group = priority.filter(|_| !node.original.groups.is_empty());
                for missing in node.original.instances.iter().skip(config.instances.len()) {
                    config.instances.push(missing.clone());
                    if let (Some(priority), Some(last)) = (of_group, config.instances.last_mut()) {
                        last.priority = priority;
                    }
                }
                config.groups.clone_from(&node.original.groups);
            }
        }
        if !node.runs() || node.shutdown_at.is_some() {
            node.edited = Some(config);
            return Ok(());
        }
        if config == node.config {
            return Ok(());
        }
        let clock = node.clock(self.now);
        node.install(config.clone());
        let mut actions = Vec::new();
        if let Some(router) = &mut node.router {
            router.reconfigure(clock, config, &mut actions);
        }
        self.perform(n, actions)
    }
}

fn without_last(config: &mut Config) {
    if config.instances.len() < 2 {
        return;
    }
    config.instances.pop();
    let n_instances = config.instances.len();
    for group in &mut config.groups {
        group.members.retain(|member| (member.0 as usize) < n_instances);
    }
}
