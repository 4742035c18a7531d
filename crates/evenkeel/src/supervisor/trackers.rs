//! What virtual routers track outside of their process: check scripts, files and processes. Notify scripts start here too.

use super::script::{self, Checks};
use super::{Happening, Supervisor, notify, watch};
use evenkeel_bus::ToVrrp;
use evenkeel_vrrp::{Event, ScriptId, ScriptOutcome};
use std::time::Duration;

/// A notify script that runs longer (one that never ends, say) does not keep the next state from being told.
const NOTIFY_PATIENCE: Duration = Duration::from_secs(30);

impl Supervisor {
    pub(super) fn start_checks(&mut self) {
        let tracked: std::collections::BTreeSet<ScriptId> = self
            .compiled
            .vrrp
            .instances
            .iter()
            .flat_map(|instance| &instance.tracks)
            .filter_map(|track| match track.target {
                evenkeel_vrrp::config::TrackTarget::Script(id) => Some(id),
                _ => None,
            })
            .collect();
        let tracked: Vec<_> = tracked.into_iter().collect();
        let settings = &self.compiled.settings;
        self.checks = match self.vrrp.process {
            Some(_) => {
                let round = self.checks.round.next();
                Checks::start(round, &settings.scripts, &tracked, &settings.script_user, &self.happenings)
            }
            None => self.checks.stopped(),
        };
        self.watchers = match self.vrrp.process {
            Some(_) => watch::Watchers::start(self.checks.round, settings, &self.happenings),
            None => watch::Watchers::default(),
        };
    }

    pub(super) fn watched_changed(&mut self, source: String, event: Event) {
        self.watched.insert(source, event.clone());
        if let Some(process) = &self.vrrp.process {
            process.send(ToVrrp::Event(event));
        }
    }

    pub(super) fn script_ended(&mut self, id: ScriptId, outcome: ScriptOutcome) {
        let is_well = |outcome| outcome == ScriptOutcome::Success;
        let well = is_well(outcome);
        if self.outcomes.insert(id, outcome).map(is_well) != Some(well) {
            let name = self.compiled.settings.scripts.get(id.0 as usize).map_or("", |script| script.name.as_str());
            match well {
                true => tracing::info!(target: "script", "VRRP_Script({name}) succeeded"),
                false => tracing::warn!(target: "script", "VRRP_Script({name}) failed ({})", script::words(outcome)),
            }
        }
        if let Some(process) = &self.vrrp.process {
            process.send(ToVrrp::Event(Event::ScriptEnded { script: id, outcome }));
        }
    }

    pub(super) fn run_notify(&self, job: notify::Job) {
        let happenings = self.happenings.clone();
        let user = self.compiled.settings.script_user.clone();
        tokio::spawn(async move {
            let notify::Job { instance, state, commands } = job;
            let run = tokio::spawn(script::notify(instance.clone(), commands, user));
            if tokio::time::timeout(NOTIFY_PATIENCE, run).await.is_err() {
                tracing::warn!(target: "script", "({instance}) a notify script for {state} runs for {NOTIFY_PATIENCE:?}; the next state does not wait for it");
            }
            let _ = happenings.send(Happening::NotifyEnded(instance)).await;
        });
    }
}
