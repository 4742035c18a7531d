//! The steps between tables.

use evenkeel_balance::table::{
    Destination, DestinationKey, Entry, Forward, Protocol, Scheduler, Service, ServiceFlags, ServiceKey, diff,
};
use evenkeel_balance::{Change, Table};
use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

fn key(n: u8) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: IpAddr::from([10, 0, 0, n]), port: 80 }
}

fn server(n: u8) -> DestinationKey {
    DestinationKey { address: IpAddr::from([10, 0, 1, n]), port: 80 }
}

fn destination(weight: u32) -> Destination {
    Destination { weight, forward: Forward::Direct, upper_threshold: 0, lower_threshold: 0 }
}

fn spread(scheduler: Scheduler) -> Service {
    Service { scheduler, flags: ServiceFlags::default(), persistence: None }
}

fn entry(servers: &[(u8, u32)]) -> Entry {
    let destinations = servers.iter().map(|(n, weight)| (server(*n), destination(*weight))).collect();
    Entry { service: spread(Scheduler::Rr), destinations }
}

fn tables() -> impl Strategy<Value = Table> {
    let destinations = prop::collection::btree_map(0..6u8, (0..3u32, any::<bool>()), 0..6);
    prop::collection::btree_map(0..4u8, (0..3usize, destinations), 0..4).prop_map(|services| {
        let entry = |(scheduler, servers): (usize, BTreeMap<u8, (u32, bool)>)| {
            let destinations = servers.into_iter().map(|(n, (weight, direct))| {
                let forward = if direct { Forward::Direct } else { Forward::Masquerade };
                (server(n), Destination { forward, ..destination(weight) })
            });
            Entry { service: spread(Scheduler::ALL[scheduler]), destinations: destinations.collect() }
        };
        services.into_iter().map(|(n, service)| (key(n), entry(service))).collect()
    })
}

fn n_usable(table: &Table, key: &ServiceKey) -> usize {
    table.get(key).map_or(0, |entry| entry.destinations.values().filter(|to| to.weight > 0).count())
}

proptest! {
    #[test]
    fn a_difference_that_is_applied_makes_the_desired_table(current in tables(), desired in tables()) {
        let owned: BTreeSet<_> = current.keys().copied().collect();
        let mut table = current.clone();
        for change in diff(&current, &desired, &owned) {
            change.apply_to(&mut table);
        }
        prop_assert_eq!(&table, &desired);
        prop_assert!(diff(&table, &desired, &owned).is_empty());
    }

    #[test]
    fn on_the_way_no_service_has_fewer_usable_servers_than_before_and_after(current in tables(), desired in tables()) {
        let owned: BTreeSet<_> = current.keys().copied().collect();
        let mut table = current.clone();
        for change in diff(&current, &desired, &owned) {
            change.apply_to(&mut table);
            for key in current.keys().chain(desired.keys()) {
                let least = n_usable(&current, key).min(n_usable(&desired, key));
                prop_assert!(n_usable(&table, key) >= least, "{:?} after {:?}", key, change);
            }
        }
    }

    #[test]
    fn what_is_not_owned_and_not_desired_is_left_alone(current in tables(), desired in tables(), ours in 0..4u8) {
        let owned: BTreeSet<_> = (0..ours).map(key).collect();
        for change in diff(&current, &desired, &owned) {
            prop_assert!(owned.contains(&change.service()) || desired.contains_key(&change.service()));
        }
    }
}

#[test]
fn the_sorry_server_is_in_before_the_others_are_out() {
    let current = Table::from([(key(1), entry(&[(1, 1), (2, 1)]))]);
    let desired = Table::from([(key(1), entry(&[(9, 1)]))]);
    let expected = [
        Change::AddDestination(key(1), server(9), destination(1)),
        Change::RemoveDestination(key(1), server(1)),
        Change::RemoveDestination(key(1), server(2)),
    ];
    assert_eq!(diff(&current, &desired, &BTreeSet::new()), expected);
}

#[test]
fn a_service_comes_before_its_servers() {
    let desired = Table::from([(key(1), entry(&[(1, 1)]))]);
    let expected =
        [Change::AddService(key(1), spread(Scheduler::Rr)), Change::AddDestination(key(1), server(1), destination(1))];
    assert_eq!(diff(&Table::new(), &desired, &BTreeSet::new()), expected);
}

#[test]
fn a_destination_that_the_kernel_calls_local_is_as_desired() {
    let desired = Table::from([(key(1), entry(&[(1, 1)]))]);
    let mut current = desired.clone();
    for destination in current.values_mut().flat_map(|entry| entry.destinations.values_mut()) {
        destination.forward = Forward::Local;
    }
    assert_eq!(diff(&current, &desired, &BTreeSet::new()), []);
}
