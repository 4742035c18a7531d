//! The reasons for what happens, in words. Written only when something changes.

use crate::balancer::{Balancer, thresholds};
use crate::event::{AdminState, CheckId, Explanation, PoolId, ServerId};
use crate::state::{Asks, Health, Quorum};
use std::time::Duration;

/// What made a server be looked at again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    Start,
    Reload,
    /// The result of a check, by its index.
    Check(u32),
    /// A person.
    Command,
    /// Its weight rises.
    Ramp,
}

impl Balancer {
    /// The trigger: what happened.
    pub(crate) fn cause_text(&self, id: ServerId, cause: Cause) -> String {
        match cause {
            Cause::Start => "start".to_owned(),
            Cause::Reload => "new configuration".to_owned(),
            Cause::Command => format!("an administrator said {}", admin_words(self.server(id).admin)),
            Cause::Ramp => "slow start".to_owned(),
            Cause::Check(index) => {
                let keyword = self
                    .configured_check(CheckId { server: id, check: index })
                    .map_or("check", |config| config.probe.keyword());
                match self.server(id).checks.get(index as usize).and_then(|check| check.last.as_ref()) {
                    Some(last) => format!("{keyword} {}: {}", if last.passed { "passed" } else { "failed" }, last.text),
                    None => keyword.to_owned(),
                }
            }
        }
    }

    pub(crate) fn explain_health(&self, id: ServerId, cause: Cause) -> Explanation {
        let server = self.server(id);
        let (rule, decision) = match server.health {
            Health::Up => ("no check of the server fails".to_owned(), "up"),
            Health::Down => (self.rule_of_failure(id, cause), "down"),
        };
        let inhibited = self.configured(id).is_some_and(|(_, config)| config.inhibit_on_failure);
        let placed = match server.health {
            Health::Up => String::new(),
            Health::Down if inhibited => ": it stays in the table with weight 0 (inhibit_on_failure)".to_owned(),
            Health::Down => ": it leaves the table".to_owned(),
        };
        self.explanation(id, cause, rule, format!("{} is {decision}{placed}", self.server_words(id)))
    }

    fn rule_of_failure(&self, id: ServerId, cause: Cause) -> String {
        let Cause::Check(index) = cause else { return "a check has yet to succeed".to_owned() };
        let config = self.configured_check(CheckId { server: id, check: index });
        let state = self.server(id).checks.get(index as usize);
        match config.zip(state) {
            Some((config, _)) if crate::state::is_followed(&config.probe) => "it decides at once".to_owned(),
            Some((_, state)) if state.n_passed == 0 => {
                "the first probe after the start decides without retries".to_owned()
            }
            Some((config, _)) => {
                format!("{} failures in a row with retry {}", config.timing.retries + 1, config.timing.retries)
            }
            None => String::new(),
        }
    }

    pub(crate) fn explain_weight(&self, id: ServerId, cause: Cause) -> Explanation {
        let configured = self.configured(id).map_or(0, |(_, config)| config.weight);
        let rule = format!("configured weight {configured}, and what checks and administrators make of it");
        let decision = format!("{} counts for {}", self.server_words(id), self.server(id).counted);
        self.explanation(id, cause, rule, decision)
    }

    pub(crate) fn explain_command(&self, id: ServerId) -> Explanation {
        let server = self.server(id);
        let decision = match server.admin {
            AdminState::Enabled => "takes part as its checks say",
            AdminState::Drained => "keeps its connections and gets no new ones",
            AdminState::Disabled => "leaves the table",
            AdminState::Weight(_) => "has the weight that was said",
        };
        let rule = match server.asks() {
            Asks::Nothing => "a person's word stands before configuration and checks".to_owned(),
            Asks::Drain => "its agent asks to drain it".to_owned(),
            Asks::Maintenance => "its agent has it in maintenance".to_owned(),
        };
        self.explanation(id, Cause::Command, rule, format!("{} {decision}", self.server_words(id)))
    }

    pub(crate) fn explain_retry(&self, id: CheckId, n_failures: u32, pause: Duration) -> Explanation {
        let retries = self.configured_check(id).map_or(0, |config| config.timing.retries);
        let decision = format!("{} stays up, and is asked again in {pause:?}", self.server_words(id.server));
        self.explanation(
            id.server,
            Cause::Check(id.check),
            format!("failure {n_failures} of {}", retries + 1),
            decision,
        )
    }

    pub(crate) fn explain_still_down(&self, id: CheckId, pause: Duration) -> Explanation {
        let decision = format!("{} is asked again in {pause:?}", self.server_words(id.server));
        self.explanation(id.server, Cause::Check(id.check), "the check fails already".to_owned(), decision)
    }

    /// Why the quorum is about to be `quorum`.
    pub(crate) fn explain_quorum(&self, id: PoolId, quorum: Quorum, cause: Cause) -> Explanation {
        let config = &self.config.pools[id.0 as usize];
        let sum = self.pools[id.0 as usize].weight_sum;
        let (gain, keep) = thresholds(config);
        let sorry = config.sorry.as_ref().map(|sorry| std::net::SocketAddr::new(sorry.address, sorry.port));
        let (rule, decision) = match quorum {
            Quorum::Gained => (
                format!(
                    "weights of usable servers are {sum}, at least {gain} (quorum {} and hysteresis)",
                    config.quorum
                ),
                match sorry {
                    Some(sorry) => format!("quorum gained: servers replace the sorry server {sorry}"),
                    None => "quorum gained".to_owned(),
                },
            ),
            Quorum::Lost => (
                format!(
                    "weights of usable servers are {sum}, less than {keep} (quorum {} less hysteresis)",
                    config.quorum
                ),
                match sorry {
                    Some(sorry) => format!("quorum lost: the sorry server {sorry} answers"),
                    None => "quorum lost: there is no sorry server, so those that are up stay".to_owned(),
                },
            ),
        };
        let trigger = match cause {
            Cause::Start => "start",
            Cause::Reload => "new configuration",
            Cause::Check(_) => "a check changed what a server counts for",
            Cause::Command => "an administrator changed what a server counts for",
            Cause::Ramp => "slow start",
        };
        Explanation { pool: id, server: None, trigger: trigger.to_owned(), rule, decision }
    }

    pub(crate) fn explain_suspension(&self, id: PoolId) -> Explanation {
        let suspended = self.pools[id.0 as usize].suspended;
        let (trigger, decision) = if suspended {
            ("the virtual address left this host", "checks rest; servers stay as they were last seen")
        } else {
            ("the virtual address came to this host", "checks resume")
        };
        Explanation {
            pool: id,
            server: None,
            trigger: trigger.to_owned(),
            rule: "ha_suspend".to_owned(),
            decision: decision.to_owned(),
        }
    }

    fn explanation(&self, id: ServerId, cause: Cause, rule: String, decision: String) -> Explanation {
        Explanation { pool: id.pool, server: Some(id), trigger: self.cause_text(id, cause), rule, decision }
    }

    fn server_words(&self, id: ServerId) -> String {
        match self.configured(id) {
            Some((pool, server)) => format!("{} of {}", server.name(), pool.name),
            None => "a server".to_owned(),
        }
    }
}

fn admin_words(state: AdminState) -> String {
    match state {
        AdminState::Enabled => "enabled".to_owned(),
        AdminState::Drained => "drained".to_owned(),
        AdminState::Disabled => "disabled".to_owned(),
        AdminState::Weight(weight) => format!("weight {weight}"),
    }
}
