//! The steps from one table to another.

use crate::table::{Change, Destination, DestinationKey, Entry, Forward, ServiceKey, Table};
use std::collections::{BTreeMap, BTreeSet};

/// What makes `current` into `desired`, in an order in which no service ever has fewer usable destinations than the
/// lesser of before and after: a new service comes before its destinations, and within a service first come those that are
/// added or made usable, then those that change, then those whose weight falls to 0, and removals last.
///
/// A service that is not desired is removed when it is in `owned` (the services that the configuration names, or named just
/// before a reload); all others are somebody else's and stay. A destination is removed whether or not it has
/// connections, as keepalived does it: drain it first to keep them.
pub fn diff(current: &Table, desired: &Table, owned: &BTreeSet<ServiceKey>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (key, entry) in desired {
        diff_service(*key, current.get(key), Some(entry), &mut changes);
    }
    for (key, entry) in current {
        if !desired.contains_key(key) && owned.contains(key) {
            diff_service(*key, Some(entry), None, &mut changes);
        }
    }
    changes
}

/// The same for one service of ours; `None` is a service that is not there.
pub fn diff_service(key: ServiceKey, current: Option<&Entry>, desired: Option<&Entry>, changes: &mut Vec<Change>) {
    let nobody = BTreeMap::new();
    let (present, wanted) = match (current, desired) {
        (None, None) => return,
        (Some(_), None) => {
            changes.push(Change::RemoveService(key));
            return;
        }
        (None, Some(desired)) => {
            changes.push(Change::AddService(key, desired.service.clone()));
            (&nobody, &desired.destinations)
        }
        (Some(current), Some(desired)) => {
            if current.service != desired.service {
                changes.push(Change::EditService(key, desired.service.clone()));
            }
            (&current.destinations, &desired.destinations)
        }
    };
    for rank in [Rank::Gain, Rank::Neutral, Rank::Loss] {
        for (server, destination) in wanted {
            if rank_of(present.get(server), destination) == Some(rank) {
                let add_or_edit =
                    if present.contains_key(server) { Change::EditDestination } else { Change::AddDestination };
                changes.push(add_or_edit(key, *server, destination.clone()));
            }
        }
    }
    let gone = present.keys().filter(|server| !wanted.contains_key(server));
    changes.extend(gone.map(|server| Change::RemoveDestination(key, *server)));
}

impl Change {
    /// What a plane does with it, to a table in memory. Adding what is there replaces it, and changing what is not there
    /// adds it, but never a destination to a service that is not there.
    pub fn apply_to(&self, table: &mut Table) {
        match self {
            Change::AddService(key, service) | Change::EditService(key, service) => match table.get_mut(key) {
                Some(entry) => entry.service = service.clone(),
                None => {
                    table.insert(*key, Entry { service: service.clone(), destinations: BTreeMap::new() });
                }
            },
            Change::RemoveService(key) => {
                table.remove(key);
            }
            Change::AddDestination(key, server, destination) | Change::EditDestination(key, server, destination) => {
                if let Some(entry) = table.get_mut(key) {
                    entry.destinations.insert(*server, destination.clone());
                }
            }
            Change::RemoveDestination(key, server) => {
                if let Some(entry) = table.get_mut(key) {
                    entry.destinations.remove(server);
                }
            }
        }
    }

    /// The service that it is about.
    pub fn service(&self) -> ServiceKey {
        match self {
            Change::AddService(key, _)
            | Change::EditService(key, _)
            | Change::RemoveService(key)
            | Change::AddDestination(key, ..)
            | Change::EditDestination(key, ..)
            | Change::RemoveDestination(key, _) => *key,
        }
    }

    /// The server that it is about, when it is about one.
    pub fn destination(&self) -> Option<DestinationKey> {
        match self {
            Change::AddService(..) | Change::EditService(..) | Change::RemoveService(_) => None,
            Change::AddDestination(_, server, _)
            | Change::EditDestination(_, server, _)
            | Change::RemoveDestination(_, server) => Some(*server),
        }
    }
}

/// What a change does to the number of usable destinations, in the order of the steps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    Gain,
    Neutral,
    Loss,
}

/// `None` when there is nothing to do.
fn rank_of(present: Option<&Destination>, wanted: &Destination) -> Option<Rank> {
    let before = present.is_some_and(is_usable);
    match (before, is_usable(wanted)) {
        _ if present.is_some_and(|present| is_same(present, wanted)) => None,
        (false, true) => Some(Rank::Gain),
        (true, false) => Some(Rank::Loss),
        (true, true) | (false, false) => Some(Rank::Neutral),
    }
}

fn is_usable(destination: &Destination) -> bool {
    destination.weight > 0
}

/// The kernel says `Local` of a destination on this host, whatever it was told; telling it again would change nothing.
fn is_same(present: &Destination, wanted: &Destination) -> bool {
    present.weight == wanted.weight
        && present.upper_threshold == wanted.upper_threshold
        && present.lower_threshold == wanted.lower_threshold
        && (present.forward == wanted.forward || present.forward == Forward::Local)
}
