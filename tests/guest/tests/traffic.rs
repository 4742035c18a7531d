//! Connections through IPVS, between machines that are network namespaces inside the guest.
#![allow(missing_docs, clippy::unwrap_used)]

use evenkeel_balance::table::{
    Change, Destination, DestinationKey, Forward, Plane, Protocol, Scheduler, Service, ServiceFlags, ServiceKey,
    ServiceStatistics,
};
use evenkeel_guest::{in_fresh_namespace, output};
use evenkeel_kernel::ipvs::Ipvs;
use evenkeel_kernel::netlink::Netlink;
use evenkeel_kernel::netns::NetNs;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const VIP: &str = "10.2.0.100:80";
/// A broken path must fail a test, not hang it.
const PATIENCE: Duration = Duration::from_secs(30);

const SERVICE: ServiceKey = ServiceKey::Address {
    protocol: Protocol::Tcp,
    address: std::net::IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100)),
    port: 80,
};

/// A client, a director and two servers on one wire. The client is in 10.2.0.0/24, the servers in 10.1.0.0/24, the director
/// in both.
struct Lan {
    client: NetNs,
    director: NetNs,
    servers: [NetNs; 2],
}

impl Lan {
    fn new() -> Self {
        let mut netlink = Netlink::open().unwrap();
        netlink.add_bridge("br0").unwrap();
        let bridge = netlink.interface("br0").unwrap().index;
        netlink.set_up(bridge, true).unwrap();
        let mut number = 0;
        let mut host = |lines: &[&str]| {
            number += 1;
            let (port, end) = (format!("port{number}"), format!("end{number}"));
            netlink.add_veth(&port, &end).unwrap();
            let port = netlink.interface(&port).unwrap().index;
            netlink.set_master(port, Some(bridge)).unwrap();
            netlink.set_up(port, true).unwrap();
            let namespace = NetNs::create().unwrap();
            let end = netlink.interface(&end).unwrap().index;
            netlink.rename(end, "eth0").unwrap();
            netlink.set_netns(end, &namespace).unwrap();
            namespace
                .run(|| {
                    output("ip link set lo up");
                    output("ip link set eth0 up");
                    lines.iter().for_each(|line| drop(output(line)));
                })
                .unwrap();
            namespace
        };
        let client = host(&["ip address add 10.2.0.2/24 dev eth0"]);
        let director = host(&[
            "ip address add 10.2.0.1/24 dev eth0",
            "ip address add 10.1.0.1/24 dev eth0",
            "ip address add 10.2.0.100/32 dev eth0",
        ]);
        director.set_sysctl("net/ipv4/ip_forward", "1").unwrap();
        // Client and servers share a wire here, which the director would tell them.
        director.set_sysctl("net/ipv4/conf/all/send_redirects", "0").unwrap();
        director.set_sysctl("net/ipv4/conf/eth0/send_redirects", "0").unwrap();
        let servers =
            [host(&["ip address add 10.1.0.11/24 dev eth0"]), host(&["ip address add 10.1.0.12/24 dev eth0"])];
        let lan = Lan { client, director, servers };
        for (server, name) in lan.servers.iter().zip(["one", "two"]) {
            let listener = server.run(|| TcpListener::bind("0.0.0.0:80").unwrap()).unwrap();
            std::thread::spawn(move || serve(&listener, name));
        }
        lan
    }

    /// Answers go back through the director.
    fn answers_through_the_director(&self) {
        for server in &self.servers {
            server.run(|| output("ip route add default via 10.1.0.1")).unwrap();
        }
    }

    /// Servers have the address themselves and answer the client at once.
    fn answers_at_once(&self) {
        for server in &self.servers {
            server.set_sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
            server.set_sysctl("net/ipv4/conf/all/arp_announce", "2").unwrap();
            server
                .run(|| {
                    output("ip address add 10.2.0.100/32 dev lo");
                    output("ip route add 10.2.0.0/24 dev eth0");
                })
                .unwrap();
        }
        self.client.run(|| output("ip route add 10.1.0.0/24 dev eth0")).unwrap();
    }

    fn apply(&self, changes: &[Change]) {
        self.director.run(|| assert!(Ipvs::open().unwrap().apply(changes).is_empty())).unwrap();
    }

    /// The counters, once they show so many connections: the kernel adds them up every two seconds.
    fn counted(&self, connections: u64) -> ServiceStatistics {
        let end_at = Instant::now() + PATIENCE;
        loop {
            let mut statistics = self.director.run(|| Ipvs::open().unwrap().statistics().unwrap()).unwrap();
            let of_service = statistics.remove(&SERVICE).unwrap();
            if of_service.traffic.connections == connections {
                return of_service;
            }
            assert!(Instant::now() < end_at, "{connections} connections are not counted: {of_service:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Who answers so many connections.
    fn answers(&self, n: usize) -> BTreeMap<String, usize> {
        let mut answers = BTreeMap::new();
        for _ in 0..n {
            *answers.entry(self.connect().name).or_default() += 1;
        }
        answers
    }

    fn connect(&self) -> Connection {
        let address: SocketAddr = VIP.parse().unwrap();
        let stream = self.client.run(|| TcpStream::connect_timeout(&address, PATIENCE).unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = Connection { lines: BufReader::new(stream), name: String::new() };
        connection.name = connection.ask("who");
        connection
    }
}

/// Says its name to every line.
fn serve(listener: &TcpListener, name: &'static str) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else {
            return;
        };
        std::thread::spawn(move || {
            let Ok(lines) = stream.try_clone() else {
                return;
            };
            for line in BufReader::new(lines).lines() {
                if line.is_err() || writeln!(stream, "{name}").is_err() {
                    return;
                }
            }
        });
    }
}

struct Connection {
    lines: BufReader<TcpStream>,
    name: String,
}

impl Connection {
    fn ask(&mut self, question: &str) -> String {
        writeln!(self.lines.get_mut(), "{question}").unwrap();
        let mut answer = String::new();
        self.lines.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

fn server(host: u8) -> DestinationKey {
    DestinationKey { address: [10, 1, 0, host].into(), port: 80 }
}

fn by(forward: Forward) -> Destination {
    Destination { weight: 1, forward, upper_threshold: 0, lower_threshold: 0 }
}

fn balance(forward: Forward) -> Vec<Change> {
    let service = Service { scheduler: Scheduler::Rr, flags: ServiceFlags::default(), persistence: None };
    vec![
        Change::AddService(SERVICE, service),
        Change::AddDestination(SERVICE, server(11), by(forward)),
        Change::AddDestination(SERVICE, server(12), by(forward)),
    ]
}

fn counted(one: usize, two: usize) -> BTreeMap<String, usize> {
    let both = [("one", one), ("two", two)];
    both.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect()
}

/// Round robin over both, a server that goes and comes back, and connections that stay through all of it.
fn balances(lan: &Lan, forward: Forward) {
    lan.apply(&balance(forward));
    assert_eq!(lan.answers(10), counted(5, 5));
    let mut open = [lan.connect(), lan.connect()];
    let names = open.each_ref().map(|connection| connection.name.clone());
    assert_ne!(names[0], names[1]);

    // What a daemon that was killed and started again does: the same table once more.
    lan.apply(&balance(forward));
    let drained = Destination { weight: 0, ..by(forward) };
    lan.apply(&[Change::EditDestination(SERVICE, server(11), drained)]);
    assert_eq!(lan.answers(4), counted(0, 4));
    for (connection, name) in open.iter_mut().zip(&names) {
        assert_eq!(&connection.ask("again"), name);
    }

    lan.apply(&[Change::RemoveDestination(SERVICE, server(11))]);
    assert_eq!(lan.answers(4), counted(0, 4));
    lan.apply(&[Change::AddDestination(SERVICE, server(11), by(forward))]);
    assert_eq!(lan.answers(4), counted(2, 2));

    let of_service = lan.counted(10 + 2 + 4 + 4 + 4);
    assert!(of_service.traffic.bytes_in > 0);
    assert_eq!(of_service.traffic.bytes_out > 0, forward == Forward::Masquerade);
    let of_servers: u64 = of_service.destinations.values().map(|server| server.traffic.connections).sum();
    assert!(of_servers <= of_service.traffic.connections);
}

#[test]
fn nat_spreads_connections_over_the_servers_that_are_there() {
    in_fresh_namespace(|| {
        let lan = Lan::new();
        lan.answers_through_the_director();
        balances(&lan, Forward::Masquerade);
    });
}

#[test]
fn direct_routing_spreads_connections_over_the_servers_that_are_there() {
    in_fresh_namespace(|| {
        let lan = Lan::new();
        lan.answers_at_once();
        balances(&lan, Forward::Direct);
    });
}

#[test]
fn connections_and_counters_are_listed_as_ipvsadm_lists_them() {
    in_fresh_namespace(|| {
        let lan = Lan::new();
        lan.answers_through_the_director();
        lan.apply(&balance(Forward::Masquerade));
        let _open = [lan.connect(), lan.connect(), lan.connect()];
        let list = |program: &str, options: &str| lan.director.run(|| output(&format!("{program} {options}"))).unwrap();
        // Seconds go by between the two; what is left of the column is compared.
        let connections = |program: &str| {
            let text = list(program, "-Lnc");
            let without_time = |line: &str| {
                let words: Vec<&str> = line.split(' ').collect();
                words
                    .iter()
                    .filter(|word| !word.contains("14:") && !word.contains("15:"))
                    .copied()
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let mut lines: Vec<String> = text.lines().map(without_time).collect();
            lines.sort();
            lines
        };
        let (theirs, ours) = (connections("ipvsadm"), connections("/evenkeel/ipvsadm"));
        assert_eq!(theirs.iter().filter(|line| line.contains("ESTABLISHED")).count(), 3, "{theirs:?}");
        assert_eq!(theirs, ours);
        lan.counted(3);
        for options in ["-Ln", "-Ln --stats", "-Ln --stats --exact", "-Ln --persistent-conn"] {
            assert_eq!(list("ipvsadm", options), list("/evenkeel/ipvsadm", options), "{options}");
        }
    });
}
