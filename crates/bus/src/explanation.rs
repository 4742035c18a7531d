use crate::WallTime;
use evenkeel_vrrp::{StateName, Transition};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One decision with everything that belongs to it: what happened, the rule, the decision, and what was then done.
///
/// `evenkeel why` prints these; in JSON they are the contract. Spans are seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Name of the instance, BFD session, peer, pool or, as `POOL/SERVER`, server; `maintenance` where that of this node is meant; `proxy` where the proxy's process is meant, which goes from `fault` to `init` when it is
    /// started again.
    pub instance: String,
    /// When the decision was made.
    pub at: WallTime,
    /// State of the instance before; `null` for sessions, pools and servers.
    pub from: Option<StateName>,
    /// State after; equal to `from` for what changes no state (a repaired address, a conflict).
    pub to: Option<StateName>,
    /// What happened, with its figures.
    pub trigger: String,
    /// The rule that applied, with its source.
    pub rule: String,
    /// What was decided.
    pub decision: String,
    /// From the cause to the decision, where the two lie apart.
    pub waited_seconds: f64,
    /// What was done about it, in order.
    pub effects: Vec<Effect>,
}

/// One thing done: `added 10.0.0.100/32 to eth0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// In words for people.
    pub what: String,
    /// How long it took.
    pub took_seconds: f64,
}

impl Explanation {
    /// A transition of the instance `name`, decided `at`, before anything has been done about it.
    pub fn new(transition: Transition, name: &str, at: WallTime) -> Self {
        let Transition { instance: _, from, to, trigger, rule, decision, waited } = transition;
        Explanation {
            instance: name.to_owned(),
            at,
            from: Some(from),
            to: Some(to),
            trigger,
            rule,
            decision,
            waited_seconds: waited.as_secs_f64(),
            effects: Vec::new(),
        }
    }

    /// A transition of the BFD session `name`, decided `at` this time, with what was done about it.
    pub fn of_session(transition: evenkeel_bfd::Transition, name: &str, at: WallTime, effects: Vec<Effect>) -> Self {
        let evenkeel_bfd::Transition { from, to, trigger, rule, decision, waited, .. } = transition;
        let decision = format!("{} -> {}: {decision}", from.words(), to.words());
        let waited_seconds = waited.as_secs_f64();
        Explanation {
            instance: name.to_owned(),
            at,
            from: None,
            to: None,
            trigger,
            rule,
            decision,
            waited_seconds,
            effects,
        }
    }

    /// What became of the peer `name`, at this time.
    pub fn of_peer(change: evenkeel_peer::Change, name: &str, at: WallTime) -> Self {
        let evenkeel_peer::Change { trigger, rule, decision, waited, .. } = change;
        let waited_seconds = waited.as_secs_f64();
        let (instance, effects) = (name.to_owned(), Vec::new());
        Explanation { instance, at, from: None, to: None, trigger, rule, decision, waited_seconds, effects }
    }

    /// What the balancer decided `at` this time about a pool of `config`, and what was done about it.
    pub fn of_pool(
        explanation: evenkeel_balance::Explanation,
        config: &evenkeel_balance::Config,
        at: WallTime,
        effects: Vec<Effect>,
    ) -> Self {
        let evenkeel_balance::Explanation { pool, server, trigger, rule, decision } = explanation;
        let pool = config.pools.get(pool.0 as usize);
        let server = server.and_then(|id| pool?.servers.get(id.server as usize));
        let name = pool.map_or("", |pool| pool.name.as_str());
        let instance = match server {
            Some(server) => format!("{name}/{}", server.name()),
            None => name.to_owned(),
        };
        Explanation { instance, at, from: None, to: None, trigger, rule, decision, waited_seconds: 0.0, effects }
    }

    /// Whether the state changed.
    pub fn changed_state(&self) -> bool {
        self.from != self.to
    }
}

impl Effect {
    /// `what` was done and took this long.
    pub fn new(what: impl Into<String>, took: Duration) -> Self {
        Effect { what: what.into(), took_seconds: took.as_secs_f64() }
    }
}
