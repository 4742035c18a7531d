//! The data plane with real connections: hosts on a bridge, of which some balance and some serve.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use evenkeel_balance::table::{
    Change, Destination, DestinationKey, Forward, Plane, Protocol, Scheduler, Service, ServiceFlags, ServiceKey, Tunnel,
};
use evenkeel_kernel::netns::NetNs;
use evenkeel_kernel::xdp::{Mode, Options, XdpPlane, prepare_pins};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use support::Host;

const VIP: &str = "10.0.0.100";
/// Only so that a broken test ends.
const LIMIT: Duration = Duration::from_secs(20);

/// 10.0.0.1 is the client, .2 and .3 balance, the others serve and are numbered from 1.
struct World {
    hosts: Vec<Host>,
}

impl World {
    fn new(n_servers: u8) -> Self {
        let hosts = support::hosts_on_a_bridge(3 + n_servers);
        for host in &hosts {
            // On a wire packets are whole and their checksums computed; between namespaces only if one insists.
            sh(&host.namespace, "ethtool -K eth0 tx off tso off gso off gro off");
        }
        World { hosts }
    }

    fn client(&self) -> &NetNs {
        &self.hosts[0].namespace
    }

    fn balancer(&self, n: usize) -> &NetNs {
        &self.hosts[n].namespace
    }

    fn server(&self, n: usize) -> &NetNs {
        &self.hosts[2 + n].namespace
    }

    /// A plane on a balancer, which also holds the virtual address when it is `active`.
    fn plane(&self, n: usize, pins: Option<PathBuf>, active: bool) -> XdpPlane {
        let options = Options { flows: 4096, pins, ..Options::new(["eth0"]) };
        let plane = self.balancer(n).run(|| XdpPlane::open(options)).unwrap().unwrap();
        assert_eq!(plane.attachments()[0].mode, Mode::Generic);
        if active {
            self.activate(n);
        }
        plane
    }

    fn activate(&self, n: usize) {
        sh(self.balancer(n), &format!("ip addr add {VIP}/32 dev eth0"));
        self.announce(n);
    }

    /// As a gratuitous ARP would.
    fn announce(&self, n: usize) {
        let mac = self.hosts[n].eth0.mac;
        sh(self.client(), &format!("ip neigh replace {VIP} lladdr {mac} dev eth0"));
    }

    fn deactivate(&self, n: usize) {
        sh(self.balancer(n), &format!("ip addr del {VIP}/32 dev eth0"));
    }

    /// A server that has the virtual address and keeps quiet about it.
    fn serve_directly(&self, namespace: &NetNs, name: u8) {
        namespace.set_sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
        namespace.set_sysctl("net/ipv4/conf/all/arp_announce", "2").unwrap();
        sh(namespace, &format!("ip addr add {VIP}/32 dev lo"));
        serve(namespace, &format!("{VIP}:80"), name);
    }

    fn connect(&self) -> Connection {
        let stream = self.client().run(|| TcpStream::connect_timeout(&format!("{VIP}:80").parse().unwrap(), LIMIT));
        let stream = stream.unwrap().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut connection = Connection { reader: BufReader::new(stream), server: 0 };
        connection.server = connection.ask().unwrap();
        connection
    }

    fn connections(&self, n: usize) -> Vec<Connection> {
        (0..n).map(|_| self.connect()).collect()
    }
}

/// An open connection, and who is at its other end.
struct Connection {
    reader: BufReader<TcpStream>,
    server: u8,
}

impl Connection {
    /// Sends a line and reads one, which is the name of the server.
    fn ask(&mut self) -> std::io::Result<u8> {
        self.reader.get_mut().write_all(b"who?\n")?;
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        line.trim().parse().map_err(std::io::Error::other)
    }

    fn still_there(&mut self) -> bool {
        let server = self.server;
        self.ask().is_ok_and(|answer| answer == server)
    }
}

/// Answers every line with the server's name, on threads that end with their connections.
fn serve(namespace: &NetNs, address: &str, name: u8) {
    let listener = namespace.run(|| TcpListener::bind(address)).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
                    line.clear();
                    if reader.get_mut().write_all(format!("{name}\n").as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn sh(namespace: &NetNs, line: &str) {
    let output = namespace.run(|| Command::new("sh").args(["-c", line]).output()).unwrap().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn service() -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: VIP.parse().unwrap(), port: 80 }
}

fn key(n: u8, port: u16) -> DestinationKey {
    DestinationKey { address: IpAddr::from([10, 0, 0, n]), port }
}

/// The `n`th of those that serve.
fn server(n: u8) -> DestinationKey {
    key(3 + n, 80)
}

fn by(forward: Forward, weight: u32) -> Destination {
    Destination { weight, forward, upper_threshold: 0, lower_threshold: 0 }
}

fn maglev() -> Service {
    let flags = ServiceFlags { scheduler_2: true, ..ServiceFlags::default() };
    Service { scheduler: Scheduler::Mh, flags, persistence: None }
}

fn apply(plane: &mut XdpPlane, changes: &[Change]) {
    let failures = plane.apply(changes);
    assert!(failures.is_empty(), "{failures:?}");
}

/// Fills in the service, and waits until every server's hardware address is known.
fn balance(plane: &mut XdpPlane, servers: impl IntoIterator<Item = (DestinationKey, Forward)>) {
    let mut changes = vec![Change::AddService(service(), maglev())];
    changes.extend(servers.into_iter().map(|(key, forward)| Change::AddDestination(service(), key, by(forward, 1))));
    apply(plane, &changes);
    settle(plane);
}

fn settle(plane: &mut XdpPlane) {
    let since = Instant::now();
    loop {
        let unreachable = plane.refresh().unwrap();
        if unreachable.is_empty() {
            return;
        }
        assert!(since.elapsed() < LIMIT, "{unreachable:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn direct(n_servers: u8) -> impl Iterator<Item = (DestinationKey, Forward)> {
    (1..=n_servers).map(|n| (server(n), Forward::Direct))
}

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
            sh(world.server(n), "ip route add 10.0.0.1/32 via 10.0.0.2");
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
fn a_tunnel_carries_connections() {
    support::in_fresh_namespace(|| {
        let world = World::new(3);
        for n in 1..=3 {
            let namespace = world.server(n);
            let output = namespace.run(|| Command::new("ip").args(["link", "set", "tunl0", "up"]).output());
            let added = namespace.run(|| Command::new("ip").args(["link", "add", "t0", "type", "ipip"]).status());
            if !added.unwrap().unwrap().success() && !output.unwrap().unwrap().status.success() {
                // The guest's has them, where the same test runs.
                println!("skipped: this kernel has no IP in IP devices");
                return;
            }
            sh(namespace, "ip link set tunl0 up");
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
