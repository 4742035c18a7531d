//! Between the supervisor and the balance role.

use crate::{BalanceView, ServerNotice};
use evenkeel_balance::AdminState;
use evenkeel_balance::config::{Config, Pool, ScriptId};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// From the supervisor to the balance role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToBalance {
    /// The first one starts the balancer, later ones change it. Answered by [`FromBalance::Ready`] or
    /// [`FromBalance::ConfigureFailed`] with the same number.
    Configure {
        /// Number of this configuration.
        number: u64,
        /// Pools, servers and checks; without the pools that `kept` speaks of.
        config: Box<Config>,
        /// Pools that are as they were, when the role has another configuration already.
        kept: Kept,
        /// What people asked of servers, in this run of the daemon or before.
        admin: Vec<Administered>,
        /// Interfaces that clients' packets come in by, for the XDP plane.
        interfaces: Vec<String>,
        /// A directory of this daemon alone, where the XDP plane keeps what outlives the role.
        directory: PathBuf,
    },
    /// The program of a MISC_CHECK has ended.
    ScriptEnded {
        /// The number it was asked for with.
        run: u64,
        /// How.
        outcome: ScriptEnd,
    },
    /// An instance became master, or is it no longer: for the sync daemon.
    Instance {
        /// Its name.
        name: String,
        /// Whether it is master.
        master: bool,
    },
    /// A BFD session is up, or is it no longer: for BFD_CHECK.
    Bfd {
        /// Its name.
        session: String,
        /// Whether it is up.
        up: bool,
    },
    /// A person asked for something.
    Administer(Administered),
    /// Asks for [`FromBalance::Status`] with the same number.
    Status {
        /// Ties the answer to the question.
        id: u64,
    },
    /// Take everything out that is ours, say [`FromBalance::Stopped`] and exit.
    Stop,
}

/// Of ten thousand pools a reload may change one. The others are not sent again: so many of the first and so many of the
/// last pools of the configuration that is in force stand before and after those that are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Of the first.
    pub front: usize,
    /// Of the last.
    pub back: usize,
}

impl Kept {
    /// What both have at their ends.
    pub fn between(config: &Config, base: &Config) -> Self {
        let both = config.pools.len().min(base.pools.len());
        let is_same = |(one, other): &(&Arc<Pool>, &Arc<Pool>)| Arc::ptr_eq(one, other) || one == other;
        let front = config.pools.iter().zip(&base.pools).take_while(is_same).count();
        let back =
            config.pools.iter().rev().zip(base.pools.iter().rev()).take(both - front).take_while(is_same).count();
        Kept { front, back }
    }

    /// The pools between those at the ends.
    pub fn rest(self, pools: &[Arc<Pool>]) -> &[Arc<Pool>] {
        &pools[self.front..pools.len() - self.back]
    }

    /// Adds the pools of `base` that were not sent. False when `base` has not so many.
    pub fn put_back(self, config: &mut Config, base: &Config) -> bool {
        let Some(end) = base.pools.len().checked_sub(self.back).filter(|end| self.front <= *end) else { return false };
        let given = std::mem::take(&mut config.pools);
        config.pools = Vec::with_capacity(self.front + given.len() + self.back);
        config.pools.extend_from_slice(&base.pools[..self.front]);
        config.pools.extend(given);
        config.pools.extend_from_slice(&base.pools[end..]);
        true
    }
}

/// What a person asked of a server. It outlives reload and restart: the supervisor keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Administered {
    /// Name of the pool.
    pub pool: String,
    /// The server, as `address:port`.
    pub server: String,
    /// What it is to be.
    pub state: AdminState,
}

/// How the program of a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptEnd {
    /// It left with this status.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// It took too long and was ended.
    TimedOut,
    /// It could not be started.
    NotStarted,
}

/// From the balance role to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromBalance {
    /// The configuration is in force.
    Ready {
        /// Its number.
        number: u64,
    },
    /// The configuration cannot be carried out; the process exits when it was the first, else the one before stays.
    ConfigureFailed {
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// Run the program of a MISC_CHECK once. Answered by [`ToBalance::ScriptEnded`].
    RunScript {
        /// The configuration that `script` is an index of.
        number: u64,
        /// Ties the answer to the question.
        run: u64,
        /// Which.
        script: ScriptId,
    },
    /// Tell scripts, FIFO and mail.
    Notify(ServerNotice),
    /// A decision: for `why`.
    Explained(crate::Explanation),
    /// Answer to [`ToBalance::Status`].
    Status {
        /// The number of the question.
        id: u64,
        /// All pools now.
        status: Box<BalanceView>,
    },
    /// Nothing of ours is left in the table; the process is about to exit.
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_balance::table::{Scheduler, Service, ServiceFlags};
    use std::num::NonZeroU32;

    fn config(names: &str) -> Config {
        let pool = |name: char| Pool {
            name: name.to_string(),
            label: None,
            services: Vec::new(),
            protocol: None,
            service: Service { scheduler: Scheduler::Wlc, flags: ServiceFlags::default(), persistence: None },
            servers: Vec::new(),
            sorry: None,
            quorum: NonZeroU32::MIN,
            hysteresis: 0,
            alpha: false,
            omega: false,
            ha_suspend: false,
            quorum_up: None,
            quorum_down: None,
            mail: false,
        };
        Config { pools: names.chars().map(pool).map(Arc::new).collect(), ..Config::default() }
    }

    #[test]
    fn what_is_not_sent_is_put_back() {
        for (base, new, front, back) in [
            ("abcde", "abxde", 2, 2),
            ("abcde", "abcde", 5, 0),
            ("abcde", "abde", 2, 2),
            ("abcde", "abcxde", 3, 2),
            ("aaa", "aaaa", 3, 0),
            ("aaaa", "aaa", 3, 0),
            ("", "ab", 0, 0),
            ("ab", "", 0, 0),
        ] {
            let (base, whole) = (config(base), config(new));
            let kept = Kept::between(&whole, &base);
            assert_eq!(kept, Kept { front, back }, "{new}");
            let mut sent = Config { pools: kept.rest(&whole.pools).to_vec(), ..Config::default() };
            assert!(kept.put_back(&mut sent, &base));
            assert_eq!(sent, whole);
        }
        assert!(!Kept { front: 2, back: 1 }.put_back(&mut config("x"), &config("ab")));
    }
}
