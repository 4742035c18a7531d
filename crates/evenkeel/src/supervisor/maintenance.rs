//! Maintenance of this node: kept in a file, so that it outlives the process; ended by a person or by its time.

use super::admin::write;
use super::{Happening, Plan, Supervisor};
use evenkeel_bus::{Explanation, MaintenanceView, Reply, ToVrrp, WallTime};
use evenkeel_peer::facts::Maintenance;
use evenkeel_vrrp::Event;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What the records of `why` are about.
pub const SUBJECT: &str = "maintenance";

/// The wall clock may be set meanwhile: it is looked at so often.
const LOOK: Duration = Duration::from_secs(30);

/// What is kept of it.
#[derive(Debug)]
pub struct Upkeep {
    path: PathBuf,
    now: Option<Maintenance>,
    /// Of the alarm that counts.
    number: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    maintenance: Maintenance,
}

impl Upkeep {
    /// As it was when the last process ended.
    pub fn open(plan: &Plan) -> Self {
        let path = plan.state_directory.join("maintenance.json");
        let now = match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice::<Kept>(&text) {
                Ok(kept) => Some(kept.maintenance),
                Err(error) => {
                    tracing::error!(target: "supervisor", "{} is not understood, and there is no maintenance: {error}", path.display());
                    None
                }
            },
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::error!(target: "supervisor", "read {}: {error}", path.display());
                }
                None
            }
        };
        Upkeep { path, now, number: 0 }
    }

    /// As the peers are told.
    pub fn fact(&self) -> Option<Maintenance> {
        self.now
    }

    /// As `status` shows it.
    pub fn view(&self, now: WallTime) -> Option<MaintenanceView> {
        self.now.map(|maintenance| MaintenanceView::new(maintenance, now))
    }

    /// What a new vrrp process has to know; nothing when there is none.
    pub fn event(&self) -> Option<Event> {
        self.now.map(|_| Event::Maintenance(self.kind()))
    }

    fn kind(&self) -> evenkeel_vrrp::Maintenance {
        match self.now {
            None => evenkeel_vrrp::Maintenance::Off,
            Some(Maintenance { strict: false, .. }) => evenkeel_vrrp::Maintenance::Yielding,
            Some(Maintenance { strict: true, .. }) => evenkeel_vrrp::Maintenance::Strict,
        }
    }

    fn keep(&mut self, now: Option<Maintenance>) -> Result<(), String> {
        let written = match now {
            Some(maintenance) => write(&self.path, &Kept { maintenance }),
            None => match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        written.map_err(|error| format!("write {}: {error}", self.path.display()))?;
        self.now = now;
        Ok(())
    }

    fn rest(&self) -> Option<Duration> {
        let until = WallTime::from_unix_millis(self.now?.until_ms?);
        Some(until.since(WallTime::now()))
    }
}

impl Supervisor {
    /// At the start: what was begun before goes on, or is over by now.
    pub(super) fn go_on_maintaining(&mut self) {
        if !self.has_routers() {
            // Another daemon's of this machine, maybe: it is left alone.
            self.maintenance.now = None;
        }
        match self.maintenance.rest() {
            Some(rest) if rest.is_zero() => {
                self.end_maintenance("its time is over");
            }
            Some(_) | None if self.maintenance.now.is_some() => {
                tracing::warn!(target: "supervisor", "this node is in maintenance: `evenkeel maintenance off` ends it");
                self.await_end();
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn begin_maintenance(&mut self, seconds: Option<u64>, strict: bool) -> Reply {
        if !self.has_routers() {
            return Reply::Failed {
                message: "this node has no virtual router that it could leave to others".to_owned(),
            };
        }
        let now = WallTime::now();
        let until_ms = seconds.map(|seconds| now.unix_millis().saturating_add(seconds.saturating_mul(1000)));
        if let Err(message) = self.maintenance.keep(Some(Maintenance { until_ms, strict })) {
            return Reply::Failed { message };
        }
        let end = match until_ms {
            Some(until_ms) => format!("until {}", WallTime::from_unix_millis(until_ms)),
            None => "until `evenkeel maintenance off`".to_owned(),
        };
        let rule = match strict {
            true => "a node in strict maintenance hands over and takes no address, whoever answers",
            false => "a node in maintenance hands over, and takes an address only when nobody else answers",
        };
        self.explain_maintenance("evenkeel maintenance on", rule, &format!("maintenance {end}"));
        self.tell_of_maintenance();
        self.await_end();
        Reply::Done { message: format!("in maintenance {end}: {rule}") }
    }

    pub(super) fn end_maintenance(&mut self, trigger: &str) -> Reply {
        if self.maintenance.now.is_none() {
            return Reply::Done { message: "this node is not in maintenance".to_owned() };
        }
        if let Err(message) = self.maintenance.keep(None) {
            return Reply::Failed { message };
        }
        self.maintenance.number += 1;
        self.explain_maintenance(trigger, "priorities are as configured", "maintenance is over");
        self.tell_of_maintenance();
        Reply::Done { message: "maintenance is over: the virtual routers take part as configured".to_owned() }
    }

    /// Once more, for a master that nobody relieved: somebody is there now who may.
    pub(super) fn yield_again(&self) {
        if self.maintenance.now.is_some() {
            self.tell_routers_of_maintenance();
        }
    }

    /// Its time may be over.
    pub(super) fn maintenance_due(&mut self, number: u64) {
        if number != self.maintenance.number {
            return;
        }
        match self.maintenance.rest() {
            Some(rest) if rest.is_zero() => {
                if let Reply::Failed { message } = self.end_maintenance("its time is over") {
                    tracing::error!(target: "supervisor", "end the maintenance: {message}");
                    self.await_end();
                }
            }
            _ => self.await_end(),
        }
    }

    fn await_end(&mut self) {
        self.maintenance.number += 1;
        let Some(rest) = self.maintenance.rest() else { return };
        // Not at once again when it could not be ended.
        let rest = rest.clamp(Duration::from_millis(100), LOOK);
        let (happenings, number) = (self.happenings.clone(), self.maintenance.number);
        tokio::spawn(async move {
            tokio::time::sleep(rest).await;
            let _ = happenings.send(Happening::MaintenanceDue(number)).await;
        });
    }

    fn tell_of_maintenance(&mut self) {
        self.tell_routers_of_maintenance();
        self.tell_peers();
    }

    fn tell_routers_of_maintenance(&self) {
        if let Some(process) = &self.vrrp.process {
            process.send(ToVrrp::Event(Event::Maintenance(self.maintenance.kind())));
        }
    }

    fn explain_maintenance(&mut self, trigger: &str, rule: &str, decision: &str) {
        tracing::info!(target: "supervisor", "{decision} ({trigger})");
        self.keep(Explanation {
            instance: SUBJECT.to_owned(),
            at: WallTime::now(),
            from: None,
            to: None,
            trigger: trigger.to_owned(),
            rule: rule.to_owned(),
            decision: decision.to_owned(),
            waited_seconds: 0.0,
            effects: Vec::new(),
        });
    }
}
