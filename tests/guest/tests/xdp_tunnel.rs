//! The data plane with real connections through IP in IP, for which many kernels have no devices: Debian's has.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../../crates/kernel/tests/support/mod.rs"]
mod support;

use evenkeel_balance::table::{Forward, Tunnel};
use std::collections::BTreeSet;
use std::process::Command;
use support::world::{Connection, World, balance, server};

#[test]
fn a_tunnel_carries_connections() {
    support::in_fresh_namespace(|| {
        let world = World::new(3);
        for n in 1..=3 {
            let namespace = world.server(n);
            let ip = |words: &[&str]| namespace.run(|| Command::new("ip").args(words).output()).unwrap().unwrap();
            // The first one of its kind loads the module, which brings `tunl0`; so this may well fail.
            ip(&["link", "add", "t0", "type", "ipip"]);
            assert!(ip(&["link", "set", "tunl0", "up"]).status.success());
            for interface in ["all", "tunl0", "eth0"] {
                namespace.set_sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "0").unwrap();
            }
            world.serve_directly(namespace, n as u8);
        }
        let mut plane = world.plane(1, None, true);
        balance(&mut plane, (1..=3).map(|n| (server(n), Forward::Tunnel(Tunnel::Ipip))));
        let mut connections = world.connections(30);
        assert!(connections.iter_mut().all(Connection::still_there));
        let servers: BTreeSet<u8> = connections.iter().map(|connection| connection.server).collect();
        assert_eq!(servers.len(), 3);
    });
}
