//! Addresses as desired state: compute what should be there, compare, change.
//!
//! A caller that owns some addresses asks for exactly these of them to be there; everybody else's are not touched.
//! [`diff`] is pure, and applying its result twice is harmless.

use crate::Error;
use crate::netlink::Netlink;
use evenkeel_wire::Prefix;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The mark (`IFA_PROTO`, Linux 5.18) on addresses that a VRRP daemon put there; keepalived's number, 18.
pub const PROTOCOL: u8 = 18;

/// An address with its properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address and its length; with a peer, the length is that of the peer's network.
    pub prefix: Prefix,
    /// Broadcast address; `None` does not mind.
    pub broadcast: Option<Ipv4Addr>,
    /// Label; `None` does not mind (the kernel then labels it with the interface's name).
    pub label: Option<String>,
    /// Scope as rtnetlink numbers it: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// `IFA_F_*`: of these [`FLAGS`] are told apart.
    pub flags: u32,
    /// Seconds for which it may be chosen as a source; forever when absent.
    pub preferred: Option<u32>,
}

/// The flags that somebody asks for: NODAD, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE, MCAUTOJOIN.
pub const FLAGS: u32 = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;

impl Address {
    /// A global address with no extras.
    pub fn new(prefix: Prefix) -> Self {
        Address { prefix, broadcast: None, label: None, scope: 0, peer: None, flags: 0, preferred: None }
    }
}

/// An address on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Index of the interface.
    pub index: u32,
    /// The address.
    pub address: Address,
    /// Who put it there: [`PROTOCOL`], or 0 where nobody said or the kernel is too old to tell.
    pub protocol: u8,
}

impl Held {
    /// One of ours.
    pub fn new(index: u32, address: Address) -> Self {
        Held { index, address, protocol: PROTOCOL }
    }

    fn key(&self) -> (u32, Prefix) {
        (self.index, self.address.prefix)
    }
}

/// One step from what is to what should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Put it there.
    Add(Held),
    /// Take it away.
    Delete {
        /// From this interface.
        index: u32,
        /// This address.
        prefix: Prefix,
        /// With this other end.
        peer: Option<IpAddr>,
    },
}

/// The changes that turn `present` into `desired`: first what has to go, then what has to come. An address of which a
/// property differs goes and comes. `present` is what the caller answers for, and nothing else.
pub fn diff(desired: &[Held], present: &[Held]) -> Vec<Change> {
    let wanted: BTreeMap<_, _> = desired.iter().map(|held| (held.key(), held)).collect();
    let there: BTreeMap<_, _> = present.iter().map(|held| (held.key(), held)).collect();
    let fits = |wanted: &Held, there: &Held| serves(&wanted.address, &there.address);
    let gone = there.iter().filter(|(key, there)| !wanted.get(key).is_some_and(|wanted| fits(wanted, there)));
    let gone = gone.map(|(&(index, prefix), there)| Change::Delete { index, prefix, peer: there.address.peer });
    let new = wanted.iter().filter(|(key, wanted)| !there.get(key).is_some_and(|there| fits(wanted, there)));
    gone.chain(new.map(|(_, &held)| Change::Add(held.clone()))).collect()
}

/// What [`reconcile`] or [`make`] did.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// The changes that were made, in order.
    pub made: Vec<Change>,
    /// What the kernel refused.
    pub refused: Vec<(Change, Error)>,
}

/// Makes the kernel hold exactly `desired` of the addresses that are `ours`; whatever is desired is ours as well.
///
/// Taking away a primary address can take away others of its network (unless `promote_secondaries` is set), so the
/// kernel is looked at again after changes, a few times.
pub fn reconcile(netlink: &mut Netlink, desired: &[Held], ours: impl Fn(&Held) -> bool) -> Result<Reconciled, Error> {
    let mut result = Reconciled::default();
    let mut n_pauses = PAUSES;
    for _ in 0..ROUNDS {
        let mut present = netlink.addresses()?;
        present.retain(|held| ours(held) || desired.iter().any(|wanted| wanted.key() == held.key()));
        let changes = diff(desired, &present);
        if changes.is_empty() {
            break;
        }
        let before = result.refused.len();
        make_all(netlink, changes, &mut n_pauses, &mut result);
        if result.refused.len() > before {
            break;
        }
    }
    Ok(result)
}

/// Makes these changes, without a look at what else there is.
pub fn make(netlink: &mut Netlink, changes: Vec<Change>) -> Reconciled {
    let mut result = Reconciled::default();
    make_all(netlink, changes, &mut { PAUSES }, &mut result);
    result
}

fn make_all(netlink: &mut Netlink, changes: Vec<Change>, n_pauses: &mut u32, result: &mut Reconciled) {
    let outcomes = netlink.apply(&changes);
    for (change, outcome) in changes.into_iter().zip(outcomes) {
        match outcome {
            Ok(()) => {
                if let Change::Add(held) = &change {
                    until_received(netlink, held, n_pauses);
                }
                result.made.push(change);
            }
            Err(error) => result.refused.push((change, error)),
        }
    }
}

/// The kernel makes an IPv6 address its own a moment after it said that it has it (on a work queue, when it is not to ask
/// whether somebody else has it). Who announces it before loses what comes at once. A busy machine takes milliseconds; one
/// that takes longer is not waited for: `n_pauses` are left.
fn until_received(netlink: &mut Netlink, held: &Held, n_pauses: &mut u32) {
    while *n_pauses > 0 && !netlink.receives(held.index, held.address.prefix.address()) {
        *n_pauses -= 1;
        std::thread::sleep(PAUSE);
    }
}

/// Pauses of one reconciliation, 20 ms in all.
const PAUSES: u32 = 200;
const PAUSE: Duration = Duration::from_micros(100);

/// One to change, one to repair what the change took along, one to see that all is well.
const ROUNDS: usize = 3;

/// Whether `there` is as `wanted` says, where it says anything.
fn serves(wanted: &Address, there: &Address) -> bool {
    // The kernel works out the scope of an IPv6 address itself.
    (wanted.scope == there.scope || wanted.prefix.address().is_ipv6())
        && (wanted.broadcast.is_none() || wanted.broadcast == there.broadcast)
        && (wanted.label.is_none() || wanted.label == there.label)
        && wanted.peer == there.peer
        && wanted.flags & FLAGS == there.flags & FLAGS
        // It counts down; whether it has run out is what counts.
        && (wanted.preferred == Some(0)) == (there.preferred == Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held() -> impl Strategy<Value = Held> {
        let broadcast = proptest::option::of(Just(Ipv4Addr::new(10, 0, 0, 255)));
        let label = proptest::option::of(Just("eth0:vip".to_owned()));
        (1..4u32, 0..6u8, 31..33u8, broadcast, label, prop_oneof![Just(0u8), Just(253)]).prop_map(
            |(index, last, length, broadcast, label, scope)| {
                let prefix = Prefix::new(Ipv4Addr::new(10, 0, 0, last).into(), length).unwrap();
                Held::new(index, Address { broadcast, label, scope, ..Address::new(prefix) })
            },
        )
    }

    /// The kernel's side: one address for each key, as it was added.
    fn apply(table: &mut BTreeMap<(u32, Prefix), Held>, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Add(held) => {
                    table.entry(held.key()).or_insert_with(|| held.clone());
                }
                Change::Delete { index, prefix, .. } => {
                    table.remove(&(*index, *prefix));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_what_is_desired(
            desired in proptest::collection::vec(held(), 0..12),
            present in proptest::collection::vec(held(), 0..12),
        ) {
            let mut table: BTreeMap<_, _> = present.iter().map(|held| (held.key(), held.clone())).collect();
            let changes = diff(&desired, &present);
            apply(&mut table, &changes);
            let wanted: BTreeMap<_, _> = desired.iter().map(|held| (held.key(), held)).collect();
            prop_assert_eq!(table.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
            for (key, wanted) in &wanted {
                prop_assert!(serves(&wanted.address, &table[key].address));
            }
            let now: Vec<_> = table.values().cloned().collect();
            prop_assert_eq!(diff(&desired, &now), []);
            let once = table.clone();
            apply(&mut table, &changes);
            prop_assert_eq!(table, once);
        }
    }

    #[test]
    fn what_has_to_go_goes_first() {
        let old = Held::new(1, Address::new("10.0.0.100/24".parse().unwrap()));
        let new = Held::new(1, Address::new("10.0.0.100/32".parse().unwrap()));
        let changes = diff(std::slice::from_ref(&new), std::slice::from_ref(&old));
        assert_eq!(changes, [Change::Delete { index: 1, prefix: old.address.prefix, peer: None }, Change::Add(new)]);
    }
}
