//! The data plane with real connections.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use evenkeel_balance::table::{Change, Forward, Plane, Protocol, ServiceKey};
use evenkeel_kernel::xdp::prepare_pins;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use support::world::{Connection, VIP, World, apply, balance, by, direct, key, maglev, run, serve, server, service};

#[test]
fn only_the_connections_of_a_removed_server_break() {
    support::in_fresh_namespace(|| {
        let world = World::new(8);
        (1..=8).for_each(|n| world.serve_directly(world.server(n), n as u8));
        let mut plane = world.plane(1, None, true);
        balance(&mut plane, direct(8));
        let mut connections = world.connections(80);
        let servers: BTreeSet<u8> = connections.iter().map(|connection| connection.server).collect();
        assert_eq!(servers.len(), 8);

        // Drained, it keeps what it has.
        apply(&mut plane, &[Change::EditDestination(service(), server(3), by(Forward::Direct, 0))]);
        assert!(connections.iter_mut().all(Connection::still_there));
        assert!(world.connections(40).iter().all(|connection| connection.server != 3));

        apply(&mut plane, &[Change::RemoveDestination(service(), server(3))]);
        for connection in &mut connections {
            assert_eq!(connection.still_there(), connection.server != 3, "a connection of {}", connection.server);
        }
    });
}

#[test]
fn translation_carries_connections_both_ways() {
    support::in_fresh_namespace(|| {
        let world = World::new(3);
        for n in 1..=3 {
            // The way back leads through the balancer.
            run(world.server(n), "ip route add 10.0.0.1/32 via 10.0.0.2");
            serve(world.server(n), &format!("10.0.0.{}:8080", 3 + n), n as u8);
        }
        let mut plane = world.plane(1, None, true);
        balance(&mut plane, (1..=3).map(|n| (key(3 + n, 8080), Forward::Masquerade)));
        let mut connections = world.connections(30);
        assert!(connections.iter_mut().all(Connection::still_there));
        let servers: BTreeSet<u8> = connections.iter().map(|connection| connection.server).collect();
        assert_eq!(servers.len(), 3);
        let traffic = plane.statistics().unwrap()[&service()].traffic;
        assert_eq!(traffic.connections, 30);
        assert!(traffic.packets_out >= 90, "{traffic:?}");
    });
}

#[test]
fn every_connection_outlives_its_balancer() {
    support::in_fresh_namespace(|| {
        let world = World::new(4);
        (1..=4).for_each(|n| world.serve_directly(world.server(n), n as u8));
        let mut first = world.plane(1, None, true);
        let mut second = world.plane(2, None, false);
        balance(&mut first, direct(4));
        balance(&mut second, direct(4));
        let mut connections = world.connections(100);
        drop(first);
        world.deactivate(1);
        world.activate(2);
        let broken = connections.iter_mut().filter_map(|connection| (!connection.still_there()).then_some(())).count();
        assert_eq!(broken, 0);
        // The new one knows them now: they stay when its pool changes.
        apply(&mut second, &[Change::RemoveDestination(service(), server(2))]);
        for connection in &mut connections {
            assert_eq!(connection.still_there(), connection.server != 2);
        }
    });
}

#[test]
fn two_directors_that_serve_themselves_send_nothing_round_and_round() {
    support::in_fresh_namespace(|| {
        let world = World::new(0);
        // Both have the address on lo, where it stays quiet; the active one has it on its interface too.
        [1, 2].iter().for_each(|n| world.serve_directly(world.balancer(*n), *n as u8));
        let mut planes = [world.plane(1, None, false), world.plane(2, None, false)];
        for (plane, other) in planes.iter_mut().zip([3, 2]) {
            balance(plane, [(key(2, 80), Forward::Direct), (key(3, 80), Forward::Direct)]);
            plane.set_directors(&[IpAddr::from([10, 0, 0, other])]).unwrap();
        }
        for active in [1, 2] {
            world.announce(active);
            let mut connections = world.connections(40);
            assert!(connections.iter_mut().all(Connection::still_there));
            let servers: BTreeSet<u8> = connections.iter().map(|connection| connection.server).collect();
            assert_eq!(servers, BTreeSet::from([1, 2]));
        }
        let events = planes[1].events().unwrap();
        assert!(events["from another director"] > 0, "{events:?}");
        assert_eq!(events["hop limit"], 0, "{events:?}");
    });
}

/// A BPF file system of the test's own.
struct Pins(PathBuf);

impl Pins {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("evenkeel-pins-{}-{number}", std::process::id()));
        prepare_pins(&path).unwrap();
        prepare_pins(&path).unwrap();
        Pins(path)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn packets_flow_while_the_process_is_away_and_the_next_one_adopts_what_it_finds() {
    support::in_fresh_namespace(|| {
        let pins = Pins::new();
        let world = World::new(3);
        (1..=3).for_each(|n| world.serve_directly(world.server(n), n as u8));
        let mut plane = world.plane(1, Some(pins.0.clone()), true);
        assert!(!plane.is_adopted());
        balance(&mut plane, direct(3));
        let table = plane.dump().unwrap();
        let mut connections = world.connections(30);
        drop(plane);
        assert!(connections.iter_mut().all(Connection::still_there));
        connections.extend(world.connections(10));

        let mut plane = world.plane(1, Some(pins.0.clone()), false);
        assert!(plane.is_adopted());
        assert_eq!(plane.dump().unwrap(), table);
        assert_eq!(plane.repair().unwrap(), []);
        assert_eq!(plane.statistics().unwrap()[&service()].traffic.connections, 40);
        apply(&mut plane, &[Change::RemoveDestination(service(), server(2))]);
        for connection in &mut connections {
            assert_eq!(connection.still_there(), connection.server != 2);
        }

        // Closed, it is gone, and begins with nothing.
        plane.close().unwrap();
        let mut plane = world.plane(1, Some(pins.0.clone()), false);
        assert!(plane.dump().unwrap().is_empty());
        plane.close().unwrap();
    });
}

#[test]
fn what_somebody_else_changes_is_found_and_made_good() {
    support::in_fresh_namespace(|| {
        let pins = Pins::new();
        let world = World::new(2);
        (1..=2).for_each(|n| world.serve_directly(world.server(n), n as u8));
        let mut plane = world.plane(1, Some(pins.0.clone()), true);
        balance(&mut plane, direct(2));
        // Somebody with the same maps.
        let mut other = world.plane(1, Some(pins.0.clone()), false);
        let foreign = ServiceKey::Address { protocol: Protocol::Udp, address: VIP.parse().unwrap(), port: 53 };
        apply(
            &mut other,
            &[
                Change::RemoveDestination(service(), server(1)),
                Change::EditDestination(service(), server(2), by(Forward::Direct, 7)),
                Change::AddService(foreign, maglev()),
            ],
        );
        let repairs = plane.repair().unwrap();
        let whats: Vec<&str> = repairs.iter().map(|repair| repair.what.as_str()).collect();
        assert_eq!(whats.len(), 4, "{whats:?}");
        assert_eq!(
            whats[..3],
            [
                "its servers were replaced",
                "the entry of server 10.0.0.4 was changed",
                "the entry of server 10.0.0.5 was changed"
            ]
        );
        assert_eq!(repairs[3].service, Some(foreign));
        assert_eq!(plane.repair().unwrap(), []);
        let servers: BTreeSet<u8> = world.connections(20).iter().map(|connection| connection.server).collect();
        assert_eq!(servers.len(), 2);
        plane.close().unwrap();
    });
}
