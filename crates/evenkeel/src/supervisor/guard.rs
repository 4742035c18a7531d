//! Keeps an eye on the proxy: asks it every second, tells the virtual routers, and kills it when it hangs.

use super::health::{self, Findings, Health};
use super::{Happening, Supervisor};
use evenkeel_bus::{RoleState, ToVrrp};
use evenkeel_vrrp::Event;
use std::time::Instant;

impl Supervisor {
    /// The judgement over the proxy is another one.
    pub(super) fn health_changed(&mut self) {
        let Health { healthy, reason, .. } = &self.health;
        match healthy {
            true => tracing::info!(target: "supervisor", "the proxy serves: {reason}"),
            false => tracing::warn!(target: "supervisor", "the proxy does not serve: {reason}"),
        }
        self.health_since = Instant::now();
        self.tell_health();
        self.describe();
    }

    pub(super) fn tell_health(&self) {
        let Some((healthy, reason)) = self.health.judgement() else { return };
        if let (Some(process), Some(_)) = (&self.vrrp.process, &self.compiled.site) {
            process.send(ToVrrp::Event(Event::Proxy { healthy, reason }));
        }
    }

    pub(super) fn proxy_checked(&mut self, findings: &Findings) {
        let now = Instant::now();
        if self.health.judge(now, findings) {
            self.health_changed();
        }
        if self.health.silent_for(now) >= health::PATIENCE_TO_KILL {
            self.kill_proxy(format!(
                "was killed: it had not answered its supervisor for {:?}",
                health::PATIENCE_TO_KILL
            ));
        }
    }

    pub(super) fn check_proxy(&mut self) {
        if self.proxy.state == RoleState::Starting && self.proxy.since.elapsed() >= health::PATIENCE_TO_KILL {
            self.kill_proxy(format!("was killed: it was not ready {:?} after its start", health::PATIENCE_TO_KILL));
        }
        if !self.proxy.is_running() {
            return;
        }
        let answer = self.questions.ask_proxy(&self.proxy);
        let addresses: Vec<_> = self.listeners.addresses().cloned().collect();
        let (happenings, generation) = (self.happenings.clone(), self.proxy.generation);
        tokio::spawn(async move {
            let (status, failed) =
                tokio::join!(tokio::time::timeout(health::LIMIT, answer), health::connect_all(addresses));
            let findings = Findings { status: status.ok().and_then(Result::ok), failed };
            let _ = happenings.send(Happening::Checked(generation, findings)).await;
        });
    }
}
