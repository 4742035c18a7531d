//! The core's decisions, carried out in their order.

use super::phrases::{log_transition, phrase};
use super::{QUIET, VrrpRole, kernel};
use evenkeel_bus::{Effect, Explanation, FromVrrp, WallTime};
use evenkeel_kernel::clock;
use evenkeel_kernel::routes::Desired;
use evenkeel_vrrp::{Action, InstanceId};

impl VrrpRole {
    /// Performs what the core has decided.
    pub(super) fn perform_decided(&mut self) -> anyhow::Result<()> {
        if !self.actions.is_empty() {
            let actions = std::mem::take(&mut self.actions);
            self.actions = self.perform(actions, &|_| None)?;
        }
        Ok(())
    }

    /// Performs the actions in order; hands the emptied list back for the next time.
    ///
    /// What was done belongs to the decision of the same instance in the same batch: the last one before it, or else the
    /// first one after it.
    pub(super) fn perform(
        &mut self,
        mut actions: Vec<Action>,
        departed: &dyn Fn(InstanceId) -> Option<String>,
    ) -> anyhow::Result<Vec<Action>> {
        let mut explained: Vec<(InstanceId, Explanation)> = Vec::new();
        let mut early: Vec<(InstanceId, Effect)> = Vec::new();
        let explains = actions.iter().any(|action| matches!(action, Action::Explain(_)));
        if explains {
            self.quiet_at = Some(clock::now() + QUIET);
        }
        for action in actions.drain(..) {
            let began_at = clock::now();
            let (instance, what) = match action {
                Action::SendAdvert { instance, interface, source, destination, ttl, packet } => {
                    let interface = self.kernel.speaks_on(instance, &self.config, interface);
                    let sent = self.kernel.sockets.send_advert(interface, (source, destination), ttl, &packet);
                    (instance, explains.then(|| kernel::tell_advert(&packet, destination, sent)))
                }
                Action::Hold { instance, addresses, routes, rules } => {
                    let mut done = Vec::new();
                    let routing = Desired { routes, rules };
                    self.kernel.hold(instance, &self.config, &addresses, routing, &mut done);
                    (instance, Some(done.join(", ")).filter(|done| !done.is_empty()))
                }
                Action::Announce { instance, addresses, count } => {
                    (instance, Some(self.kernel.announce(instance, &self.config, &addresses, count)))
                }
                Action::Probe { interface, source, address } => {
                    self.kernel.probe(interface, source, address);
                    continue;
                }
                Action::Unclaimed { interface, vrid } => {
                    if self.log_unknown_vrids {
                        let (vrid, interface) = (vrid.get(), self.kernel.name(interface));
                        tracing::warn!(target: "vrrp", "Unknown VRID({vrid}) received on interface({interface}). ignoring...");
                    }
                    continue;
                }
                Action::Notify { instance, state, priority } => {
                    let name = self.name(instance, departed);
                    self.tell(&FromVrrp::Notify { instance: name, state, priority })?;
                    continue;
                }
                Action::NotifyGroup { group, state } => {
                    if let Some(group) = self.config.groups.get(group.0 as usize) {
                        let group = group.name.clone();
                        tracing::info!(target: "vrrp", "VRRP_Group({group}) {}", phrase(state));
                        self.tell(&FromVrrp::NotifyGroup { group, state })?;
                    }
                    continue;
                }
                Action::Explain(transition) => {
                    let id = transition.instance;
                    let name = self.name(id, departed);
                    log_transition(&name, &transition);
                    explained.push((id, Explanation::new(transition, &name, WallTime::now())));
                    continue;
                }
                Action::Compare => {
                    self.is_comparison_due = true;
                    continue;
                }
                Action::Stopped => {
                    self.stopped = true;
                    continue;
                }
            };
            let Some(what) = what else { continue };
            let effect = Effect::new(what, clock::now().since(began_at));
            match explained.iter_mut().rev().find(|(id, _)| *id == instance) {
                Some((_, explanation)) => explanation.effects.push(effect),
                None if explains => early.push((instance, effect)),
                None => {}
            }
        }
        for (id, effect) in early.into_iter().rev() {
            if let Some((_, explanation)) = explained.iter_mut().find(|(explained, _)| *explained == id) {
                explanation.effects.insert(0, effect);
            }
        }
        for (_, explanation) in explained {
            self.tell(&FromVrrp::Explained(explanation))?;
        }
        Ok(actions)
    }

    fn name(&self, id: InstanceId, departed: &dyn Fn(InstanceId) -> Option<String>) -> String {
        let present = self.config.instances.get(id.0 as usize).map(|instance| instance.name.clone());
        present.or_else(|| departed(id)).unwrap_or_else(|| format!("instance {}", id.0))
    }
}
