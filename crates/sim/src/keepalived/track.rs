//! What a keepalived tracks, and what it makes of it.

use super::VirtualRouter;
use evenkeel_vrrp::config::{Instance, Priority, Script, Track, TrackTarget};
use evenkeel_vrrp::{ScriptId, ScriptOutcome, StateName, timers};
use std::collections::HashMap;

/// What is known of tracked things; nothing before their first report.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    scripts: Vec<(Script, Option<u32>)>,
    well: HashMap<TrackTarget, bool>,
    files: HashMap<String, i32>,
}

impl Facts {
    pub(super) fn new(scripts: Vec<Script>) -> Self {
        Facts { scripts: scripts.into_iter().map(|script| (script, None)).collect(), ..Facts::default() }
    }

    /// Scripts of the same definition keep their results.
    pub(super) fn configure(&mut self, scripts: Vec<Script>) {
        let old = std::mem::take(&mut self.scripts);
        let known = |script: &Script| old.iter().find(|(known, _)| known == script).and_then(|(_, count)| *count);
        self.scripts = scripts.into_iter().map(|script| (script.clone(), known(&script))).collect();
    }

    pub(super) fn link(&mut self, name: &str, up: bool) {
        self.well.insert(TrackTarget::Interface(name.to_owned()), up);
    }

    pub(super) fn processes(&mut self, name: String, well: bool) {
        self.well.insert(TrackTarget::Processes(name), well);
    }

    pub(super) fn bfd(&mut self, session: String, up: bool) {
        self.well.insert(TrackTarget::Bfd(session), up);
    }

    pub(super) fn file(&mut self, name: String, value: i32) {
        self.files.insert(name, value);
    }

    /// The counter runs from 0 to rise + fall - 1. A success at rise - 1 goes to the top, a failure below rise to 0, and
    /// the first result decides alone.
    pub(super) fn script_ended(&mut self, id: ScriptId, outcome: ScriptOutcome) {
        let Some((script, count)) = self.scripts.get_mut(id.0 as usize) else { return };
        let top = script.rise + script.fall - 1;
        let is_success = outcome == ScriptOutcome::Success;
        *count = Some(match *count {
            None if is_success => top,
            None => 0,
            Some(count) if is_success && count + 1 < script.rise => count + 1,
            Some(_) if is_success => top,
            Some(count) if count > script.rise => count - 1,
            Some(_) => 0,
        });
    }

    fn is_well(&self, target: &TrackTarget) -> Option<bool> {
        match target {
            TrackTarget::Script(id) => {
                let (script, count) = self.scripts.get(id.0 as usize)?;
                count.map(|count| count >= script.rise)
            }
            TrackTarget::File(name) => self.files.get(name).map(|value| *value == 0),
            TrackTarget::Interface(_) | TrackTarget::Bfd(_) | TrackTarget::Processes(_) => {
                self.well.get(target).copied()
            }
            // Ours alone, and no part of a scenario.
            TrackTarget::Proxy | TrackTarget::Static(_) => Some(true),
        }
    }

    /// Number times weight of a tracked file that has a weight.
    fn product(&self, track: &Track) -> Option<i32> {
        let TrackTarget::File(name) = &track.target else { return None };
        let product = self.files.get(name).copied().unwrap_or(0).saturating_mul(i32::from(track.weight));
        (track.weight != 0).then_some(if track.reverse { -product } else { product })
    }

    /// FAULT: without weight because it is not well, and a file's number because it takes away all there is.
    pub(super) fn forbids(&self, track: &Track) -> bool {
        match self.product(track) {
            Some(product) => product <= -254,
            None => track.weight == 0 && self.is_well(&track.target) == Some(track.reverse),
        }
    }

    pub(super) fn is_awaited(&self, track: &Track) -> bool {
        let may_forbid = track.weight == 0 || matches!(track.target, TrackTarget::File(_));
        may_forbid && self.is_well(&track.target).is_none()
    }

    /// The plain sum, brought into 1 to 254 at the end; an owner's does not move.
    pub(super) fn effective(&self, config: &Instance) -> u8 {
        if config.priority == Priority::OWNER {
            return config.priority.get();
        }
        let sum: i32 = config.tracks.iter().map(|track| self.contribution(track)).sum();
        (i32::from(config.priority.get()) + sum).clamp(1, 254) as u8
    }

    fn contribution(&self, track: &Track) -> i32 {
        if let Some(product) = self.product(track) {
            return if product <= -254 { 0 } else { product.min(253) };
        }
        let weight = i32::from(track.weight);
        let counts = match self.is_well(&track.target) {
            Some(true) => weight > 0,
            Some(false) => weight < 0,
            None => false,
        };
        let sign = if track.reverse { -1 } else { 1 };
        if counts { sign * weight } else { 0 }
    }
}

impl VirtualRouter {
    /// A change of the effective priority moves the timer that runs.
    pub(super) fn reckon_anew(&mut self, old_effective: u8) {
        if self.state == StateName::Backup && self.effective != old_effective {
            let skew = |priority| timers::skew(self.config.version, priority, self.master_interval);
            let (old, new) = (skew(old_effective), skew(self.effective));
            self.timer = self.timer.map(|timer| timer + new - old);
        }
    }
}
