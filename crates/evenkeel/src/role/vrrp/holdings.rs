//! Which addresses are to be where and which are there, as far as we know: what one instance is to hold is compared with
//! that, so that a takeover costs what its own addresses cost, however many others there are.
//!
//! The kernel is not asked here. Whoever applies the changes says which of them were made; a full look
//! ([`Holdings::was_seen`]) puts right what others did meanwhile.

use evenkeel_kernel::addresses::{Change, Held};
use evenkeel_vrrp::InstanceId;
use evenkeel_wire::Prefix;
use std::collections::{BTreeMap, BTreeSet};

/// An address on an interface: it is there once, however many want it.
pub type Place = (u32, Prefix);

/// Desired and present addresses.
#[derive(Debug, Default)]
pub struct Holdings {
    /// What each instance is to hold, as the core said last; none that is to hold nothing.
    held: BTreeMap<InstanceId, Vec<Held>>,
    /// What is there from start to end.
    statics: Vec<Held>,
    /// How many want each.
    wanted: BTreeMap<Place, usize>,
    /// What the kernel has of it: so that our own removals are told from other people's.
    present: BTreeSet<Place>,
}

impl Holdings {
    /// Takes over what an instance is to hold, and says what has to change: first what has to go, then what has to come.
    pub fn hold(&mut self, id: InstanceId, next: Vec<Held>) -> Vec<Change> {
        let before = self.record(id, next);
        let next = self.held.get(&id).map_or(&[][..], Vec::as_slice);
        let mut changes = Vec::new();
        let mut is_gone = BTreeSet::new();
        for old in &before {
            let place = place(old);
            let is_other = next.iter().any(|new| self::place(new) == place && new != old);
            if (is_other || !self.wanted.contains_key(&place)) && self.present.contains(&place) && is_gone.insert(place)
            {
                changes.push(Change::Delete { index: old.index, prefix: place.1, peer: old.address.peer });
            }
        }
        let mut is_new = BTreeSet::new();
        for new in next {
            let place = place(new);
            if (is_gone.contains(&place) || !self.present.contains(&place)) && is_new.insert(place) {
                changes.push(Change::Add(new.clone()));
            }
        }
        changes
    }

    /// Takes over what an instance is to hold or holds already; nothing has to change for it now.
    pub fn record(&mut self, id: InstanceId, next: Vec<Held>) -> Vec<Held> {
        for held in &next {
            self.want(place(held));
        }
        let before = match next.is_empty() {
            true => self.held.remove(&id),
            false => self.held.insert(id, next),
        };
        let before = before.unwrap_or_default();
        for held in &before {
            self.want_no_longer(place(held));
        }
        before
    }

    /// What an instance is to hold.
    pub fn of(&self, id: InstanceId) -> &[Held] {
        self.held.get(&id).map_or(&[], Vec::as_slice)
    }

    /// What is there from start to end.
    pub fn set_statics(&mut self, statics: Vec<Held>) {
        for held in &statics {
            self.want(place(held));
        }
        for held in std::mem::replace(&mut self.statics, statics) {
            self.want_no_longer(place(&held));
        }
    }

    /// Before a configuration with `n_instances`: what the old ones hold is kept under the identifiers that those that are
    /// gone depart with, until [`forget_departed`](Self::forget_departed).
    pub fn depart_all(&mut self, n_instances: usize) {
        let n_instances = u32::try_from(n_instances).unwrap_or(u32::MAX);
        let held = std::mem::take(&mut self.held).into_iter();
        self.held = held.map(|(id, held)| (InstanceId(id.0.saturating_add(n_instances)), held)).collect();
    }

    /// What nobody of the new configuration holds is to be there no more.
    pub fn forget_departed(&mut self, n_instances: usize) {
        let departed: Vec<_> = self.held.keys().copied().filter(|id| id.departed(n_instances).is_some()).collect();
        for id in departed {
            self.record(id, Vec::new());
        }
    }

    pub fn forget_all(&mut self) {
        self.held.clear();
        self.statics.clear();
        self.wanted.clear();
    }

    /// All that is to be there. Of two that want the same otherwise, the last counts.
    pub fn desired(&self) -> Vec<Held> {
        self.held.values().flatten().chain(&self.statics).cloned().collect()
    }

    /// Whether it is to be there and was, when the kernel was told or seen last.
    pub fn is_in_place(&self, place: Place) -> bool {
        self.wanted.contains_key(&place) && self.present.contains(&place)
    }

    pub fn is_present(&self, place: Place) -> bool {
        self.present.contains(&place)
    }

    /// A change that the kernel made.
    pub fn was_made(&mut self, change: &Change) {
        match change {
            Change::Add(held) => drop(self.present.insert(place(held))),
            Change::Delete { index, prefix, .. } => drop(self.present.remove(&(*index, *prefix))),
        }
    }

    /// Somebody else took it away.
    pub fn vanished(&mut self, place: Place) {
        self.present.remove(&place);
    }

    /// All that is there of what is to be there.
    pub fn was_seen(&mut self, there: impl Fn(&Place) -> bool) {
        self.present = self.wanted.keys().copied().filter(there).collect();
    }

    /// What was there and is not `there` any more; it is not expected again.
    pub fn take_lost(&mut self, there: &BTreeSet<Place>) -> Vec<Place> {
        let lost: Vec<_> = self.present.difference(there).copied().collect();
        for place in &lost {
            self.present.remove(place);
        }
        lost
    }

    fn want(&mut self, place: Place) {
        *self.wanted.entry(place).or_default() += 1;
    }

    fn want_no_longer(&mut self, place: Place) {
        if let Some(n_wanting) = self.wanted.get_mut(&place) {
            *n_wanting -= 1;
            if *n_wanting == 0 {
                self.wanted.remove(&place);
            }
        }
    }
}

pub fn place(held: &Held) -> Place {
    (held.index, held.address.prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_kernel::addresses::{Address, diff};

    fn held(index: u32, address: &str) -> Held {
        Held::new(index, Address::new(address.parse().expect("an address")))
    }

    fn added(index: u32, address: &str) -> Change {
        Change::Add(held(index, address))
    }

    fn removed(index: u32, address: &str) -> Change {
        Change::Delete { index, prefix: address.parse().expect("an address"), peer: None }
    }

    const A: InstanceId = InstanceId(0);
    const B: InstanceId = InstanceId(1);

    /// A kernel that does all it is told.
    fn hold(holdings: &mut Holdings, id: InstanceId, next: Vec<Held>) -> Vec<Change> {
        let changes = holdings.hold(id, next);
        for change in &changes {
            holdings.was_made(change);
        }
        changes
    }

    #[test]
    fn a_takeover_changes_what_is_the_instances_own_however_many_others_there_are() {
        let mut holdings = Holdings::default();
        for n in 1..=250u8 {
            hold(&mut holdings, InstanceId(n.into()), vec![held(1, &format!("10.0.0.{n}/32"))]);
        }
        let mine = || vec![held(1, "10.0.1.1/32"), held(2, "10.0.1.2/32")];
        assert_eq!(hold(&mut holdings, A, mine()), [added(1, "10.0.1.1/32"), added(2, "10.0.1.2/32")]);
        assert_eq!(hold(&mut holdings, A, mine()), [], "said again it changes nothing");
        assert_eq!(hold(&mut holdings, A, vec![]), [removed(1, "10.0.1.1/32"), removed(2, "10.0.1.2/32")]);
        assert_eq!(holdings.desired().len(), 250);
    }

    #[test]
    fn what_two_hold_stays_until_the_second_lets_go() {
        let mut holdings = Holdings::default();
        let both = || vec![held(1, "10.0.0.1/32")];
        assert_eq!(hold(&mut holdings, A, both()).len(), 1);
        assert_eq!(hold(&mut holdings, B, both()), []);
        assert_eq!(hold(&mut holdings, A, vec![]), []);
        holdings.set_statics(both());
        assert_eq!(hold(&mut holdings, B, vec![]), [], "and what is there from start to end stays anyway");
        holdings.set_statics(vec![]);
        assert_eq!(holdings.desired(), []);
    }

    #[test]
    fn an_address_with_another_property_goes_and_comes() {
        let mut holdings = Holdings::default();
        hold(&mut holdings, A, vec![held(1, "10.0.0.1/32"), held(1, "10.0.0.2/32")]);
        let mut other = held(1, "10.0.0.1/32");
        other.address.scope = 253;
        let changes = hold(&mut holdings, A, vec![other.clone(), held(1, "10.0.0.2/32")]);
        assert_eq!(changes, [removed(1, "10.0.0.1/32"), Change::Add(other)]);
    }

    #[test]
    fn what_somebody_took_away_or_the_kernel_refused_comes_with_the_next_word() {
        let mut holdings = Holdings::default();
        let mine = || vec![held(1, "10.0.0.1/32"), held(1, "10.0.0.2/32")];
        // The second was refused.
        let changes = holdings.hold(A, mine());
        holdings.was_made(&changes[0]);
        assert_eq!(hold(&mut holdings, A, mine()), [added(1, "10.0.0.2/32")]);
        assert!(holdings.is_in_place((1, "10.0.0.1/32".parse().expect("an address"))));
        holdings.vanished((1, "10.0.0.1/32".parse().expect("an address")));
        assert_eq!(hold(&mut holdings, A, mine()), [added(1, "10.0.0.1/32")]);
        let there = BTreeSet::from([(1, "10.0.0.2/32".parse().expect("an address"))]);
        assert_eq!(holdings.take_lost(&there), [(1, "10.0.0.1/32".parse().expect("an address"))]);
        assert_eq!(holdings.take_lost(&there), [], "it is lost once");
    }

    /// Three masters; the new configuration has the second as its first, without one of its addresses and with a new one,
    /// the first under another number with what was the third's, and the third not at all.
    #[test]
    fn a_reload_takes_nothing_away_that_somebody_holds_afterwards() {
        let mut holdings = Holdings::default();
        hold(&mut holdings, InstanceId(0), vec![held(1, "10.0.0.1/32")]);
        hold(&mut holdings, InstanceId(1), vec![held(1, "10.0.0.2/32"), held(1, "10.0.0.3/32")]);
        hold(&mut holdings, InstanceId(2), vec![held(1, "10.0.0.4/32"), held(1, "10.0.0.5/32")]);
        let new = [
            (InstanceId(0), vec![held(1, "10.0.0.2/32"), held(1, "10.0.0.6/32")]),
            (InstanceId(1), vec![held(1, "10.0.0.1/32"), held(1, "10.0.0.4/32")]),
        ];
        holdings.depart_all(new.len());
        for (id, next) in new.clone() {
            holdings.record(id, next);
        }
        let departed = InstanceId(2 + 2);
        assert_eq!(hold(&mut holdings, departed, vec![]), [removed(1, "10.0.0.5/32")]);
        let [(first, mine), (second, others)] = new;
        assert_eq!(hold(&mut holdings, first, mine), [added(1, "10.0.0.6/32")]);
        assert_eq!(hold(&mut holdings, second, others), []);
        let there = ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32", "10.0.0.6/32"];
        let there = there.map(|address| held(1, address));
        holdings.forget_departed(2);
        assert_eq!(diff(&holdings.desired(), &there), [removed(1, "10.0.0.3/32")], "left to the look at the end");
    }
}
