//! keepalived's service on DBus. The supervisor knows how the virtual routers are and does what clients ask for; the dbus
//! role, which has no rights at all, talks to the message bus. A role that hangs is stopped by its queue, one that dies is
//! started again: nothing here waits for either.

mod path;

use super::process::{Heard, Names, Process};
use super::roles::RoleSlot;
use super::{Happening, Supervisor, dump};
use crate::role::Role;
use evenkeel_bus::{DbusCall, DbusInstance, DbusSignal, FromDbus, Reply, RoleState, ToDbus};
use evenkeel_vrrp::{Command, Report};
use path::Root;
use std::collections::BTreeMap;

/// The name to own, unless `dbus_service_name` says otherwise.
const SERVICE: &str = "org.keepalived.Vrrp1";

/// The role, and what it is to show.
#[derive(Debug, Default)]
pub struct Dbus {
    pub(super) slot: RoleSlot<ToDbus>,
    /// The name that the role was started for.
    service: Option<String>,
    /// What the scripts of each instance were told last, by its name.
    states: BTreeMap<String, Report>,
    /// Clients were told that the daemon has started.
    is_announced: bool,
}

impl Supervisor {
    /// Sees to it that the role is there, or not, and shows what the configuration has.
    pub(super) fn follow_dbus(&mut self) {
        let instances = &self.compiled.vrrp.instances;
        self.dbus.states.retain(|name, _| instances.iter().any(|instance| instance.name == *name));
        let wanted = self.dbus_service();
        if self.dbus.service != wanted {
            self.let_dbus_go();
            self.dbus.service = wanted;
        }
        if self.dbus.service.is_none() || self.dbus.slot.state == RoleState::Waiting {
            return;
        }
        match &self.dbus.slot.process {
            Some(process) => process.send(self.dbus_scene()),
            None => self.start_dbus(),
        }
    }

    fn start_dbus(&mut self) {
        self.dbus.slot.generation.0 += 1;
        let names = Names { title: &format!("{}: dbus", self.plan.name), comm: self.plan.name, scheduling: None };
        let generation = self.dbus.slot.generation;
        let happenings = self.happenings.clone();
        match Process::start(Role::Dbus, names, self.plan.log, generation, happenings, Happening::Dbus) {
            Ok(process) => {
                tracing::info!(target: "supervisor", "Starting DBus process, pid={}", process.pid);
                process.send(self.dbus_scene());
                self.dbus.slot.process = Some(process);
                self.dbus.slot.enter(RoleState::Starting);
            }
            Err(error) => self.retire_dbus(format!("could not be started: {error}")),
        }
    }

    pub(super) async fn hear_dbus(&mut self, heard: Heard<FromDbus>) {
        match heard {
            Heard::Message(FromDbus::Ready) => {
                if self.dbus.slot.state == RoleState::Starting {
                    self.dbus.slot.enter(RoleState::Running);
                }
                if !std::mem::replace(&mut self.dbus.is_announced, true) {
                    self.dbus_signal(DbusSignal::Started);
                }
                // As keepalived does at its start. Clients have missed what happened while the message bus was away.
                let states: Vec<_> = self.dbus.states.iter().map(|(name, state)| (name.clone(), *state)).collect();
                for (name, state) in states {
                    self.tell_dbus(&name, Some(state));
                }
            }
            Heard::Message(FromDbus::Asked(call)) => self.obey_dbus(call).await,
            Heard::Gone(how) => self.retire_dbus(how),
        }
    }

    async fn obey_dbus(&mut self, call: DbusCall) {
        match call {
            DbusCall::PrintData => {
                tracing::info!(target: "supervisor", "Printing VRRP data on DBus request");
                self.write_data();
            }
            DbusCall::PrintStats => {
                tracing::info!(target: "supervisor", "Printing VRRP stats on DBus request");
                self.write_stats(dump::Clear::No);
            }
            DbusCall::PrintStatsClear => {
                tracing::info!(target: "supervisor", "Printing and clearing VRRP stats on DBus request");
                self.write_stats(dump::Clear::Yes);
            }
            DbusCall::Reload => {
                tracing::info!(target: "supervisor", "Reloading on DBus request");
                self.reload(None).await;
            }
            DbusCall::Announce { instance } => {
                tracing::info!(target: "supervisor", "Sending garps on {instance} on DBus request");
                if let Reply::Failed { message } = self.command(&instance, Command::Announce, "announces its addresses")
                {
                    tracing::warn!(target: "supervisor", "{message}");
                }
            }
        }
    }

    /// The scripts of an instance are told this.
    pub(super) fn dbus_state(&mut self, name: &str, state: Report) {
        match state {
            Report::Master | Report::Backup | Report::Fault | Report::Stop => {}
            Report::Deleted | Report::MasterRxLowerPri | Report::MasterPriority | Report::BackupPriority => return,
        }
        if self.dbus.states.insert(name.to_owned(), state) != Some(state) {
            self.tell_dbus(name, Some(state));
        }
    }

    /// Nobody knows how the instances are until the vrrp role has been started again.
    pub(super) fn dbus_knows_nothing(&mut self) {
        for name in std::mem::take(&mut self.dbus.states).into_keys() {
            self.tell_dbus(&name, None);
        }
    }

    fn tell_dbus(&self, name: &str, state: Option<Report>) {
        // One that starts gets all states when it is ready.
        let Some(process) = self.dbus.slot.process.as_ref().filter(|_| self.dbus.slot.is_running()) else { return };
        if let Some(instance) = self.compiled.vrrp.instances.iter().find(|instance| instance.name == name) {
            process.send(ToDbus::State { path: self.dbus_root().instance(instance), state });
        }
    }

    pub(super) fn dbus_signal(&self, signal: DbusSignal) {
        if let Some(process) = self.dbus.slot.process.as_ref().filter(|_| self.dbus.slot.is_running()) {
            process.send(ToDbus::Signal(signal));
        }
    }

    fn retire_dbus(&mut self, how: String) {
        let slot = &mut self.dbus.slot;
        let lived = slot.process.take().map(|process| process.started_at.elapsed()).unwrap_or_default();
        if slot.state == RoleState::Stopping {
            slot.enter(RoleState::Stopped);
        } else {
            let wait = slot.wait_after(lived);
            tracing::error!(target: "supervisor", "the dbus role {how}; it is started again in {wait:?}");
            slot.enter(RoleState::Waiting);
            let happenings = self.happenings.clone();
            // Not as the roles that keepalived has: -R does not end the daemon because of a message bus.
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = happenings.send(Happening::Respawn(Role::Dbus)).await;
            });
        }
        self.dbus.slot.last_exit = Some(how);
    }

    /// The wait after its death is over.
    pub(super) fn respawn_dbus(&mut self) {
        if self.dbus.slot.state == RoleState::Waiting {
            self.dbus.slot.restarts += 1;
            self.dbus.slot.enter(RoleState::Stopped);
            self.follow_dbus();
        }
    }

    /// Lets the role end, which says farewell to the message bus.
    pub(super) fn let_dbus_go(&mut self) {
        self.dbus.service = None;
        let is_gone = self.dbus.slot.process.take().is_none();
        self.dbus.slot.enter(if is_gone { RoleState::Stopped } else { RoleState::Stopping });
    }

    /// keepalived's vrrp process has the service, so that there is none without virtual routers.
    fn dbus_service(&self) -> Option<String> {
        let settings = &self.compiled.settings.dbus;
        let is_wanted = settings.enabled && self.has_routers();
        is_wanted.then(|| settings.service.clone().unwrap_or_else(|| SERVICE.to_owned()))
    }

    fn dbus_root(&self) -> Root {
        let settings = &self.compiled.settings;
        let namespace = self.plan.namespace.as_deref().or(settings.net_namespace.as_deref());
        Root::new(namespace, settings.process.instance.as_deref(), settings.dbus.no_interface.as_deref())
    }

    fn dbus_scene(&self) -> ToDbus {
        let root = self.dbus_root();
        let shown = self.compiled.vrrp.instances.iter().map(|instance| DbusInstance {
            path: root.instance(instance),
            name: instance.name.clone(),
            state: self.dbus.states.get(&instance.name).copied(),
        });
        let service = self.dbus.service.clone().unwrap_or_default();
        ToDbus::Serve { service, daemon: root.daemon(), instances: shown.collect() }
    }
}
