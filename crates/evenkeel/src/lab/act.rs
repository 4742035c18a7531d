//! What can be done to the lab, and what must come of it. Pure.

use super::message::Order;
use super::topology::Host;
use std::collections::BTreeSet;
use std::time::Duration;

/// Something done to the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// Everything was started.
    Start,
    /// Nothing is done: what clients notice on a quiet day.
    Watch,
    /// lb01's proxy hangs: its process is there, and nobody answers.
    FreezeProxy,
    /// `kill -9` of lb01's whole daemon.
    KillDaemon,
    /// lb01's cable is pulled.
    CutLink,
    /// lb01 and lb02 no longer hear each other's adverts.
    CutPeers,
    /// lb01's daemon is stopped as a service manager does.
    StopDaemon,
    /// All of the above is put right.
    Restore,
}

/// One step of doing it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    /// A host is told something.
    Tell(Host, Order),
    /// A host's cable is pulled at the switch.
    PullCable(Host),
    /// It is put back.
    PlugCable(Host),
    /// A host drops VRRP (protocol 112), as a firewall that nobody told about it does.
    DropVrrp(Host),
    /// It lets it pass again.
    AcceptVrrp(Host),
}

/// What must be seen after an act.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expectation {
    /// Who holds the address in the end.
    pub holders: BTreeSet<Host>,
    /// The longest time without a good answer that is allowed.
    pub outage: Duration,
    /// How many requests may fail, where that is bounded. Beside them, a few may be cut off: see [`UNDER_WAY`].
    pub n_failed: Option<u64>,
    /// Whether the balancers see that both hold the address.
    pub conflict: Conflict,
}

/// What the balancers say about the address being held twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// It is, and both say so in time.
    Said,
    /// It is not.
    None,
    /// It may be: a killed daemon's address stays on its card.
    Possible,
}

/// Requests that may be under way at one moment. When the address moves, its new holder does not know their connections
/// and breaks them off, however smoothly it moves.
pub(super) const UNDER_WAY: u64 = 3;

/// `advert_int` 1 and priority 100: the backup waits three intervals and its skew, 156/256 s.
const MASTER_DOWN: Duration = Duration::from_millis(3610);
/// The supervisor asks its proxy every second for a sign of life, waits a second for it, and forgives one silence.
const HANG: Duration = Duration::from_secs(3);
/// Taking the address, announcing it, and the scheduling of a busy machine.
const SLACK: Duration = Duration::from_millis(250);

impl Act {
    /// What a key does.
    pub(super) const KEYS: [(char, Act); 6] = [
        ('1', Act::FreezeProxy),
        ('2', Act::KillDaemon),
        ('3', Act::CutLink),
        ('4', Act::CutPeers),
        ('5', Act::StopDaemon),
        ('r', Act::Restore),
    ];

    /// All that `lab --script` does, in order.
    pub(super) const SCRIPT: [Act; 12] = [
        Act::Start,
        Act::Watch,
        Act::FreezeProxy,
        Act::Restore,
        Act::KillDaemon,
        Act::Restore,
        Act::CutLink,
        Act::Restore,
        Act::CutPeers,
        Act::Restore,
        Act::StopDaemon,
        Act::Restore,
    ];

    /// A few words for the keys and the list of what was done.
    pub(super) fn title(self) -> &'static str {
        match self {
            Act::Start => "start everything",
            Act::Watch => "leave everything alone",
            Act::FreezeProxy => "hang lb01's proxy",
            Act::KillDaemon => "kill -9 lb01's daemon",
            Act::CutLink => "pull lb01's cable",
            Act::CutPeers => "cut the peers apart",
            Act::StopDaemon => "stop lb01 (planned)",
            Act::Restore => "bring it back",
        }
    }

    /// How to do it, while `broken` is what was done and not put right.
    pub(super) fn tasks(self, broken: &BTreeSet<Act>) -> Vec<Task> {
        match self {
            Act::Start | Act::Watch => Vec::new(),
            Act::FreezeProxy => vec![Task::Tell(Host::Lb01, Order::FreezeProxy)],
            Act::KillDaemon => vec![Task::Tell(Host::Lb01, Order::KillDaemon)],
            Act::StopDaemon => vec![Task::Tell(Host::Lb01, Order::StopDaemon)],
            Act::CutLink => vec![Task::PullCable(Host::Lb01)],
            Act::CutPeers => Host::BALANCERS.map(Task::DropVrrp).into(),
            Act::Restore => broken.iter().flat_map(|act| act.undo()).collect(),
        }
    }

    fn undo(self) -> Vec<Task> {
        match self {
            Act::Start | Act::Watch | Act::Restore => Vec::new(),
            Act::FreezeProxy => vec![Task::Tell(Host::Lb01, Order::ThawProxy)],
            Act::KillDaemon | Act::StopDaemon => vec![Task::Tell(Host::Lb01, Order::StartDaemon)],
            Act::CutLink => vec![Task::PlugCable(Host::Lb01)],
            Act::CutPeers => Host::BALANCERS.map(Task::AcceptVrrp).into(),
        }
    }

    /// What is broken once it is done.
    pub(super) fn breaks(self, broken: &BTreeSet<Act>) -> BTreeSet<Act> {
        match self {
            Act::Start | Act::Restore => BTreeSet::new(),
            Act::Watch => broken.clone(),
            act => broken.iter().copied().chain([act]).collect(),
        }
    }

    /// What must come of it, while `before` is broken.
    pub(super) fn expectation(self, before: &BTreeSet<Act>) -> Expectation {
        let (outage, n_failed) = match self {
            Act::Start => (Duration::MAX, None),
            Act::Watch => (SLACK, Some(0)),
            Act::FreezeProxy => (HANG + MASTER_DOWN + SLACK, None),
            Act::KillDaemon | Act::CutLink => (MASTER_DOWN + SLACK, None),
            // While the peers are apart both serve, so that nothing is lost either.
            Act::CutPeers | Act::StopDaemon | Act::Restore => (SLACK, Some(0)),
        };
        let broken = self.breaks(before);
        let holders = holders(&broken);
        let conflict = match holders.len() {
            2.. => Conflict::Said,
            _ if broken.contains(&Act::KillDaemon) => Conflict::Possible,
            _ => Conflict::None,
        };
        Expectation { holders, outage, n_failed, conflict }
    }
}

/// Who must hold the address while these things are broken.
fn holders(broken: &BTreeSet<Act>) -> BTreeSet<Host> {
    let lb01_is_off = [Act::KillDaemon, Act::StopDaemon, Act::CutLink].iter().any(|act| broken.contains(act));
    if lb01_is_off {
        BTreeSet::from([Host::Lb02])
    } else if broken.contains(&Act::CutPeers) {
        BTreeSet::from(Host::BALANCERS)
    } else if broken.contains(&Act::FreezeProxy) {
        BTreeSet::from([Host::Lb02])
    } else {
        BTreeSet::from([Host::Lb01])
    }
}

impl Expectation {
    /// In words: `address on lb02, at most 3.86 s without an answer`.
    pub(super) fn describe(&self) -> String {
        let holders = name_all(&self.holders);
        let loss = match self.n_failed {
            Some(0) => "0 errors".to_owned(),
            Some(n) => format!("at most {n} errors"),
            None if self.outage == Duration::MAX => return format!("address on {holders}"),
            None => format!("out at most {} ms", self.outage.as_millis()),
        };
        format!("address on {holders}, {loss}")
    }
}

/// `lb01`, `lb01 and lb02`, `nobody`.
pub(super) fn name_all(hosts: &BTreeSet<Host>) -> String {
    match hosts.len() {
        0 => "nobody".to_owned(),
        _ => hosts.iter().map(|host| host.name()).collect::<Vec<_>>().join(" and "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_does_everything_that_has_a_key_and_ends_whole() {
        for (key, act) in Act::KEYS {
            assert!(Act::SCRIPT.contains(&act), "{key}");
        }
        let broken = Act::SCRIPT.iter().fold(BTreeSet::new(), |broken, act| act.breaks(&broken));
        assert_eq!(broken, BTreeSet::new());
    }

    #[test]
    fn restoring_undoes_all_that_is_broken_and_nothing_else() {
        assert_eq!(Act::Restore.tasks(&BTreeSet::new()), []);
        let broken = BTreeSet::from([Act::CutLink, Act::FreezeProxy]);
        assert_eq!(
            Act::Restore.tasks(&broken),
            [Task::Tell(Host::Lb01, Order::ThawProxy), Task::PlugCable(Host::Lb01)]
        );
        assert_eq!(Act::Restore.breaks(&broken), BTreeSet::new());
    }

    #[test]
    fn the_expected_holder_follows_from_all_that_is_broken() {
        for (broken, expected) in [
            (vec![], "lb01"),
            (vec![Act::FreezeProxy], "lb02"),
            (vec![Act::KillDaemon], "lb02"),
            (vec![Act::CutLink], "lb02"),
            (vec![Act::StopDaemon, Act::CutPeers], "lb02"),
            (vec![Act::CutPeers], "lb01 and lb02"),
            (vec![Act::CutPeers, Act::FreezeProxy], "lb01 and lb02"),
        ] {
            assert_eq!(name_all(&holders(&broken.iter().copied().collect())), expected, "{broken:?}");
        }
    }

    #[test]
    fn expectations_read_as_a_sentence() {
        let whole = BTreeSet::new();
        assert_eq!(Act::StopDaemon.expectation(&whole).describe(), "address on lb02, 0 errors");
        assert_eq!(Act::KillDaemon.expectation(&whole).describe(), "address on lb02, out at most 3860 ms");
        assert_eq!(Act::Start.expectation(&whole).describe(), "address on lb01");
    }
}
