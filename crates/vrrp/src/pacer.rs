//! Announcements that wait for their turn: `vrrp_garp_interval`, `vrrp_gna_interval` and `garp_group`.

use crate::config::{Instance, Pacing, VirtualAddress};
use crate::event::{Action, InstanceId};
use crate::instance;
use evenkeel_wire::{Family, Instant, Prefix};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// Lets announcements through, one at a time where the configuration wants a gap between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pacer {
    pacing: Pacing,
    /// Made when the first announcement comes for them.
    lanes: BTreeMap<LaneId, Lane>,
}

/// What shares a gap: the interfaces of a group, or one alone. ARP and neighbour discovery each have their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LaneId {
    Group(usize, Family),
    Interface(String, Family),
}

#[derive(Clone, Debug)]
enum Lane {
    /// Nothing waits; the next one may go from this instant on.
    Free { from: Instant },
    /// The first of these goes at this instant.
    Busy { next_at: Instant, waiting: Queue },
}

/// What waits, each address once. What joining and leaving cost does not depend on how many there are.
#[derive(Clone, Debug, Default)]
struct Queue {
    /// Whose turn it is. Some may be gone already.
    order: VecDeque<Key>,
    waiting: HashMap<Key, Waiting>,
}

/// An address of an instance, on the interface that it names.
type Key = (InstanceId, Prefix, Option<String>);

#[derive(Clone, Debug)]
struct Waiting {
    instance: InstanceId,
    address: VirtualAddress,
    /// Messages that are left.
    count: u8,
}

impl Queue {
    /// One that waits already asks for no more messages than the larger of both, so that as many wait as there are
    /// addresses, whatever happens.
    fn join(&mut self, new: Waiting) {
        match self.waiting.entry(key(new.instance, &new.address)) {
            Entry::Occupied(mut old) => old.get_mut().count = old.get().count.max(new.count),
            Entry::Vacant(free) => {
                self.order.push_back(free.key().clone());
                free.insert(new);
            }
        }
    }

    /// The next one, which goes to the end of the queue while it has messages left: each address is known a little sooner
    /// when all are told of once, and then all again.
    fn next(&mut self) -> Option<(InstanceId, VirtualAddress)> {
        loop {
            let key = self.order.pop_front()?;
            let Entry::Occupied(mut entry) = self.waiting.entry(key) else { continue };
            if entry.get().count > 1 {
                entry.get_mut().count -= 1;
                self.order.push_back(entry.key().clone());
                return Some((entry.get().instance, entry.get().address.clone()));
            }
            let Waiting { instance, address, .. } = entry.remove();
            return Some((instance, address));
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn key(instance: InstanceId, address: &VirtualAddress) -> Key {
    (instance, address.prefix, address.device.clone())
}

impl Pacer {
    pub(crate) fn new(pacing: Pacing) -> Self {
        Pacer { pacing, lanes: BTreeMap::new() }
    }

    /// Takes another configuration. What waits goes on waiting, for instances that are left and by their new number.
    pub(crate) fn reconfigure(
        &mut self,
        now: Instant,
        pacing: Pacing,
        numbers: &HashMap<InstanceId, InstanceId>,
        instances: &[instance::Instance],
    ) {
        let old = std::mem::replace(self, Pacer::new(pacing));
        for lane in old.lanes.into_values() {
            let Lane::Busy { next_at, waiting: Queue { order, mut waiting } } = lane else { continue };
            for Waiting { instance, address, count } in order.iter().filter_map(|key| waiting.remove(key)) {
                let Some(id) = numbers.get(&instance) else { continue };
                let config = &instances[id.0 as usize].config;
                // Where there is no gap any more it has nothing to wait for.
                let from = if self.is_paced(config, &address) { next_at } else { now };
                self.enqueue(from, config, Waiting { instance: *id, address, count });
            }
        }
    }

    /// When [`Pacer::serve`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let next_at = |lane: &Lane| match lane {
            Lane::Free { .. } => None,
            Lane::Busy { next_at, .. } => Some(*next_at),
        };
        self.lanes.values().filter_map(next_at).min()
    }

    /// Puts announcements among the actions from `from` on in their lanes, in the order in which they would be sent, and
    /// leaves those there that may go now. What is no longer held is not announced any more.
    pub(crate) fn admit<'a>(
        &mut self,
        now: Instant,
        from: usize,
        actions: &mut Vec<Action>,
        config: impl Fn(InstanceId) -> Option<&'a Instance>,
    ) {
        if self.pacing.is_none() && self.lanes.is_empty() {
            return;
        }
        for action in actions.split_off(from) {
            match action {
                Action::Announce { instance, addresses, count } => {
                    let Some(config) = config(instance) else { continue };
                    let (paced, free): (Vec<_>, Vec<_>) =
                        addresses.into_iter().partition(|address| self.is_paced(config, address));
                    if !free.is_empty() {
                        actions.push(Action::Announce { instance, addresses: free, count });
                    }
                    for address in paced {
                        self.enqueue(now, config, Waiting { instance, address, count });
                    }
                    self.serve(now, actions);
                }
                Action::Hold { instance, ref addresses, .. } => {
                    self.keep(instance, addresses);
                    actions.push(action);
                }
                action => actions.push(action),
            }
        }
    }

    /// Lets those go whose turn it is.
    pub(crate) fn serve(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let pacing = &self.pacing;
        for (id, lane) in &mut self.lanes {
            let Lane::Busy { next_at, waiting } = lane else { continue };
            let gap = id.gap(pacing);
            while *next_at <= now {
                let Some((instance, address)) = waiting.next() else { break };
                actions.push(Action::Announce { instance, addresses: vec![address], count: 1 });
                *next_at = now + gap;
            }
            if waiting.is_empty() {
                *lane = Lane::Free { from: *next_at };
            }
        }
    }

    /// The lane, when it is new, is free from `earliest` on.
    fn enqueue(&mut self, earliest: Instant, config: &Instance, new: Waiting) {
        let id = self.lane_of(config, &new.address);
        let lane = self.lanes.entry(id).or_insert(Lane::Free { from: earliest });
        if let Lane::Free { from } = lane {
            *lane = Lane::Busy { next_at: (*from).max(earliest), waiting: Queue::default() };
        }
        if let Lane::Busy { waiting, .. } = lane {
            waiting.join(new);
        }
    }

    /// Nothing else of an instance is announced.
    fn keep(&mut self, instance: InstanceId, held: &[VirtualAddress]) {
        if self.deadline().is_none() {
            return;
        }
        let held: HashSet<Key> = held.iter().map(|address| key(instance, address)).collect();
        for lane in self.lanes.values_mut() {
            let Lane::Busy { next_at, waiting } = lane else { continue };
            waiting.waiting.retain(|key, waiting| waiting.instance != instance || held.contains(key));
            if waiting.is_empty() {
                *lane = Lane::Free { from: *next_at };
            }
        }
    }

    fn is_paced(&self, config: &Instance, address: &VirtualAddress) -> bool {
        !self.lane_of(config, address).gap(&self.pacing).is_zero()
    }

    fn lane_of(&self, config: &Instance, address: &VirtualAddress) -> LaneId {
        let (interface, family) = (config.announces_on(address), Family::of(address.prefix.address()));
        let has = |name: &String| name == interface;
        match self.pacing.groups.iter().position(|group| group.interfaces.iter().any(has)) {
            Some(group) => LaneId::Group(group, family),
            None => LaneId::Interface(interface.to_owned(), family),
        }
    }
}

impl LaneId {
    fn gap(&self, pacing: &Pacing) -> Duration {
        match self {
            LaneId::Group(group, family) => pacing.groups.get(*group).map_or(Duration::ZERO, |it| it.gap.of(*family)),
            LaneId::Interface(_, family) => pacing.each.of(*family),
        }
    }
}
