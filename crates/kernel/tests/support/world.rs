//! Hosts on a bridge, of which some balance and some serve real connections.

use super::{Host, hosts_on_a_bridge};
use evenkeel_balance::table::{
    Change, Destination, DestinationKey, Forward, Plane, Protocol, Scheduler, Service, ServiceFlags, ServiceKey,
};
use evenkeel_kernel::netns::NetNs;
use evenkeel_kernel::xdp::{Mode, Options, XdpPlane};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) const VIP: &str = "10.0.0.100";
/// Only so that a broken test ends.
const LIMIT: Duration = Duration::from_secs(20);

/// 10.0.0.1 is the client, .2 and .3 balance, the others serve and are numbered from 1.
pub(crate) struct World {
    hosts: Vec<Host>,
}

impl World {
    pub(crate) fn new(n_servers: u8) -> Self {
        let hosts = hosts_on_a_bridge(3 + n_servers);
        for host in &hosts {
            // On a wire packets are whole and their checksums computed; between namespaces only if one insists.
            run(&host.namespace, "ethtool -K eth0 tx off tso off gso off gro off");
        }
        World { hosts }
    }

    pub(crate) fn client(&self) -> &NetNs {
        &self.hosts[0].namespace
    }

    pub(crate) fn balancer(&self, n: usize) -> &NetNs {
        &self.hosts[n].namespace
    }

    pub(crate) fn server(&self, n: usize) -> &NetNs {
        &self.hosts[2 + n].namespace
    }

    /// A plane on a balancer, which also holds the virtual address when it is `active`.
    pub(crate) fn plane(&self, n: usize, pins: Option<PathBuf>, active: bool) -> XdpPlane {
        let options = Options { flows: 4096, pins, ..Options::new(["eth0"]) };
        let plane = self.balancer(n).run(|| XdpPlane::open(options)).unwrap().unwrap();
        assert_eq!(plane.attachments()[0].mode, Mode::Generic);
        if active {
            self.activate(n);
        }
        plane
    }

    pub(crate) fn activate(&self, n: usize) {
        run(self.balancer(n), &format!("ip addr add {VIP}/32 dev eth0"));
        self.announce(n);
    }

    /// As a gratuitous ARP would.
    pub(crate) fn announce(&self, n: usize) {
        let mac = self.hosts[n].eth0.mac;
        run(self.client(), &format!("ip neigh replace {VIP} lladdr {mac} dev eth0"));
    }

    pub(crate) fn deactivate(&self, n: usize) {
        run(self.balancer(n), &format!("ip addr del {VIP}/32 dev eth0"));
    }

    /// A server that has the virtual address and keeps quiet about it.
    pub(crate) fn serve_directly(&self, namespace: &NetNs, name: u8) {
        namespace.set_sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
        namespace.set_sysctl("net/ipv4/conf/all/arp_announce", "2").unwrap();
        run(namespace, &format!("ip addr add {VIP}/32 dev lo"));
        serve(namespace, &format!("{VIP}:80"), name);
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = self.client().run(|| TcpStream::connect_timeout(&format!("{VIP}:80").parse().unwrap(), LIMIT));
        let stream = stream.unwrap().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut connection = Connection { reader: BufReader::new(stream), server: 0 };
        connection.server = connection.ask().unwrap();
        connection
    }

    pub(crate) fn connections(&self, n: usize) -> Vec<Connection> {
        (0..n).map(|_| self.connect()).collect()
    }
}

/// An open connection, and who is at its other end.
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
    pub(crate) server: u8,
}

impl Connection {
    /// Sends a line and reads one, which is the name of the server.
    pub(crate) fn ask(&mut self) -> std::io::Result<u8> {
        self.reader.get_mut().write_all(b"who?\n")?;
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        line.trim().parse().map_err(std::io::Error::other)
    }

    pub(crate) fn still_there(&mut self) -> bool {
        let server = self.server;
        self.ask().is_ok_and(|answer| answer == server)
    }
}

/// Answers every line with the server's name, on threads that end with their connections.
pub(crate) fn serve(namespace: &NetNs, address: &str, name: u8) {
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

pub(crate) fn run(namespace: &NetNs, line: &str) {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let output = namespace.run(|| command.args(words).output()).unwrap().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn service() -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: VIP.parse().unwrap(), port: 80 }
}

pub(crate) fn key(n: u8, port: u16) -> DestinationKey {
    DestinationKey { address: IpAddr::from([10, 0, 0, n]), port }
}

/// The `n`th of those that serve.
pub(crate) fn server(n: u8) -> DestinationKey {
    key(3 + n, 80)
}

pub(crate) fn by(forward: Forward, weight: u32) -> Destination {
    Destination { weight, forward, upper_threshold: 0, lower_threshold: 0 }
}

pub(crate) fn maglev() -> Service {
    let flags = ServiceFlags { scheduler_2: true, ..ServiceFlags::default() };
    Service { scheduler: Scheduler::Mh, flags, persistence: None }
}

pub(crate) fn apply(plane: &mut XdpPlane, changes: &[Change]) {
    let failures = plane.apply(changes);
    assert!(failures.is_empty(), "{failures:?}");
}

/// Fills in the service, and waits until every server's hardware address is known.
pub(crate) fn balance(plane: &mut XdpPlane, servers: impl IntoIterator<Item = (DestinationKey, Forward)>) {
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

pub(crate) fn direct(n_servers: u8) -> impl Iterator<Item = (DestinationKey, Forward)> {
    (1..=n_servers).map(|n| (server(n), Forward::Direct))
}
