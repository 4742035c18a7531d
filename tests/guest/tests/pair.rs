//! Pairs of nodes: a thousand connections through tunnels outlive the balancer they came through, two that serve themselves
//! send nothing round and round, and virtual routers live on an ipvlan and in a VRF.
#![allow(missing_docs, clippy::unwrap_used)]

use evenkeel_guest::{in_fresh_namespace, output};
use evenkeel_kernel::netlink::Netlink;
use evenkeel_kernel::netns::{self, NetNs};
use evenkeel_kernel::privilege;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Emulated processors are slow, and a broken path must fail a test, not hang it.
const PATIENCE: Duration = Duration::from_secs(90);

const VIRTUAL: &str = "10.0.0.100:80";

/// Machines on one wire.
struct Wire {
    bridge: u32,
    netlink: Netlink,
    n_hosts: u32,
}

impl Wire {
    fn new() -> Self {
        let mut netlink = Netlink::open().unwrap();
        netlink.add_bridge("br0").unwrap();
        let bridge = netlink.interface("br0").unwrap().index;
        netlink.set_up(bridge, true).unwrap();
        Wire { bridge, netlink, n_hosts: 0 }
    }

    /// A machine `10.0.0.LAST`, whose cable is `portLAST`.
    fn host(&mut self, last: u8) -> Host {
        self.n_hosts += 1;
        let (port, end) = (format!("port{last}"), format!("end{last}"));
        self.netlink.add_veth(&port, &end).unwrap();
        let index = self.netlink.interface(&port).unwrap().index;
        self.netlink.set_master(index, Some(self.bridge)).unwrap();
        self.netlink.set_up(index, true).unwrap();
        let namespace = NetNs::create().unwrap();
        let end = self.netlink.interface(&end).unwrap().index;
        self.netlink.rename(end, "eth0").unwrap();
        self.netlink.set_netns(end, &namespace).unwrap();
        let host = Host { namespace, last };
        host.shell(&format!("ip address add 10.0.0.{last}/24 dev eth0"));
        host.shell("ip link set eth0 up");
        host
    }

    fn pull_the_cable(&mut self, host: &Host) {
        let index = self.netlink.interface(&format!("port{}", host.last)).unwrap().index;
        self.netlink.set_up(index, false).unwrap();
    }
}

struct Host {
    namespace: NetNs,
    last: u8,
}

impl Host {
    fn shell(&self, line: &str) -> String {
        self.namespace.run(|| output(line)).unwrap()
    }

    fn holds(&self, address: &str) -> bool {
        self.holds_on("eth0", address)
    }

    fn holds_on(&self, interface: &str, address: &str) -> bool {
        let shown = self.namespace.run(|| evenkeel_guest::run(&format!("ip -o address show dev {interface}"))).unwrap();
        shown.stdout.contains(&format!("inet {address}/"))
    }

    fn hardware_address(&self) -> String {
        let text = self.shell("ip -o link show dev eth0");
        let mut words = text.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).unwrap().to_owned()
    }

    /// Has the virtual address without a word about it.
    fn has_the_address(&self) {
        self.namespace.set_sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
        self.namespace.set_sysctl("net/ipv4/conf/all/arp_announce", "2").unwrap();
        self.shell("ip address add 10.0.0.100/32 dev lo");
    }

    /// Greets each connection with a byte, the last part of its address, and sends back what it gets.
    fn serve(&self) {
        let listener = self.namespace.run(|| TcpListener::bind("0.0.0.0:80").unwrap()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let name = self.last;
        std::thread::spawn(move || {
            let mut streams: Vec<TcpStream> = Vec::new();
            let mut buffer = [0; 64];
            loop {
                while let Ok((mut stream, _)) = listener.accept() {
                    if stream.write_all(&[name]).is_ok() && stream.set_nonblocking(true).is_ok() {
                        streams.push(stream);
                    }
                }
                streams.retain_mut(|stream| match stream.read(&mut buffer) {
                    Ok(0) => false,
                    Ok(length) => stream.write_all(&buffer[..length]).is_ok(),
                    Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                });
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }

    fn connect(&self) -> Connection {
        let address: SocketAddr = VIRTUAL.parse().unwrap();
        let mut stream = self.namespace.run(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut name = [0];
        stream.read_exact(&mut name).unwrap();
        Connection { stream, server: name[0] }
    }
}

struct Connection {
    stream: TcpStream,
    server: u8,
}

/// How many of the connections get no answer.
fn n_broken(connections: &mut [Connection]) -> usize {
    for connection in connections.iter_mut() {
        // What cannot be said shows when nothing is answered.
        let _ = connection.stream.write_all(b"line\n");
    }
    let answered = |connection: &mut &mut Connection| connection.stream.read_exact(&mut [0; 5]).is_ok();
    connections.len()
        - connections.iter_mut().filter_map(|mut connection| answered(&mut connection).then_some(())).count()
}

fn by_server(connections: &[Connection]) -> BTreeMap<u8, usize> {
    let mut servers = BTreeMap::new();
    connections.iter().for_each(|connection| *servers.entry(connection.server).or_default() += 1);
    servers
}

/// A daemon on a machine; killed with all its roles when it goes.
struct Daemon {
    child: Child,
    directory: String,
}

impl Daemon {
    fn start(host: &Host, conf: &str) -> Self {
        let directory = format!("/tmp/pair{}", host.last);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(format!("{directory}/conf"), conf).unwrap();
        let log = std::fs::File::create(format!("{directory}/log")).unwrap();
        let mut command = Command::new("evenkeel");
        command
            .args(["run", "-f", &format!("{directory}/conf"), "--runtime-dir", &format!("{directory}/run")])
            .env("EVENKEEL_STATE_DIR", format!("{directory}/state"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        netns::in_namespace(&mut command, &host.namespace).unwrap();
        Daemon { child: command.spawn().unwrap(), directory }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(format!("{}/log", self.directory)).unwrap_or_default()
    }

    fn status(&self) -> String {
        evenkeel_guest::run(&format!("evenkeel status --json --runtime-dir {}/run", self.directory)).stdout
    }

    /// Until all servers are up.
    fn await_up(&self, n: usize) {
        let n_up = || self.status().matches("\"state\": \"up\"").count();
        until(|| n_up() >= n, || format!("{} servers are up: {}\n{}", n_up(), self.status(), self.log()));
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn until(mut condition: impl FnMut() -> bool, words: impl FnOnce() -> String) {
    let end_at = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end_at, "{}", words());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn router(plane: &str, priority: u8) -> String {
    format!(
        "global_defs {{\n lb_plane {plane}\n}}\nvrrp_instance VI {{\n interface eth0\n virtual_router_id 51\n priority {priority}\n \
         virtual_ipaddress {{\n  10.0.0.100/32\n }}\n}}\n"
    )
}

fn pool(service: &str, words: &str, servers: &[u8]) -> String {
    let server = |last: &u8| {
        format!("real_server 10.0.0.{last} 80 {{\n TCP_CHECK {{\n  connect_timeout 3\n  retry 3\n  warmup 0\n }}\n}}\n")
    };
    let servers: String = servers.iter().map(server).collect();
    format!("virtual_server {service} {{\n protocol TCP\n delay_loop 2\n {words}\n{servers}}}\n")
}

#[test]
fn a_thousand_connections_through_tunnels_outlive_their_balancer() {
    in_fresh_namespace(|| {
        privilege::raise_file_limit(10_000).unwrap();
        let mut wire = Wire::new();
        let client = wire.host(1);
        let servers = [51, 52, 53, 54].map(|last| wire.host(last));
        for server in &servers {
            // The first one of its kind loads the module, which brings `tunl0`; so this may well fail.
            server.namespace.run(|| evenkeel_guest::run("ip link add t0 type ipip")).unwrap();
            server.shell("ip link set tunl0 up");
            for interface in ["all", "tunl0", "eth0"] {
                server.namespace.set_sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "0").unwrap();
            }
            server.has_the_address();
            server.serve();
        }
        let [first, second] = [10, 11].map(|last| wire.host(last));
        let pool = pool("10.0.0.100 80", "lb_algo mh\n mh-port\n lb_kind TUN", &[51, 52, 53, 54]);
        let mut active = Daemon::start(&first, &(router("xdp", 150) + &pool));
        let standby = Daemon::start(&second, &(router("xdp", 100) + &pool));
        until(|| first.holds("10.0.0.100"), || active.log());
        active.await_up(4);
        standby.await_up(4);

        let mut connections: Vec<_> = (0..1000).map(|_| client.connect()).collect();
        assert_eq!(by_server(&connections).len(), 4, "each server has some of them");
        assert_eq!(n_broken(&mut connections), 0);
        wire.pull_the_cable(&first);
        active.kill();
        until(|| second.holds("10.0.0.100"), || standby.log());
        assert_eq!(n_broken(&mut connections), 0, "{}", standby.log());
    });
}

/// Two directors that are each other's real servers. What the other one sent here must not be balanced again; IPVS cannot
/// tell, the firewall can: only what comes from elsewhere gets the mark that makes it the service's.
#[test]
fn two_directors_with_ipvs_that_serve_themselves_send_nothing_round_and_round() {
    in_fresh_namespace(|| {
        let mut wire = Wire::new();
        let client = wire.host(1);
        let directors = [10, 11].map(|last| wire.host(last));
        let hardware = directors.each_ref().map(|host| host.hardware_address());
        for (host, other) in directors.iter().zip([&hardware[1], &hardware[0]]) {
            host.has_the_address();
            host.serve();
            host.shell("nft add table ip director");
            host.shell("nft add chain ip director divide { type filter hook prerouting priority -150 ; }");
            host.shell(&format!(
                "nft add rule ip director divide ip daddr 10.0.0.100 tcp dport 80 ether saddr != {other} meta mark set 7 counter"
            ));
            host.shell(&format!("nft add rule ip director divide ip daddr 10.0.0.100 ether saddr {other} counter"));
        }
        let pool = pool("fwmark 7", "lb_algo rr\n lb_kind DR", &[10, 11]);
        let mut daemons = [
            Daemon::start(&directors[0], &(router("ipvs", 150) + &pool)),
            Daemon::start(&directors[1], &(router("ipvs", 100) + &pool)),
        ];
        until(|| directors[0].holds("10.0.0.100"), || daemons[0].log());
        daemons.iter().for_each(|daemon| daemon.await_up(2));
        let mut connections: Vec<_> = (0..40).map(|_| client.connect()).collect();
        assert_eq!(by_server(&connections), BTreeMap::from([(10, 20), (11, 20)]));
        assert_eq!(n_broken(&mut connections), 0);
        let back = directors[0].shell("nft list chain ip director divide");
        assert!(back.lines().any(|line| line.contains("packets 0 bytes 0")), "nothing comes back to the first: {back}");

        wire.pull_the_cable(&directors[0]);
        daemons[0].kill();
        until(|| directors[1].holds("10.0.0.100"), || daemons[1].log());
        // The one that is left serves alone, once its checks have told it so.
        until(|| daemons[1].status().matches("\"state\": \"up\"").count() < 2, || daemons[1].status());
        let alone: Vec<_> = (0..10).map(|_| client.connect()).collect();
        assert_eq!(by_server(&alone), BTreeMap::from([(11, 10)]));
    });
}

/// An ipvlan of the kernel at hand, its address as the source of adverts, and the address that moves from one to the other.
#[test]
fn a_virtual_router_on_an_ipvlan_moves_with_its_address() {
    in_fresh_namespace(|| {
        let mut wire = Wire::new();
        let client = wire.host(1);
        let hosts = [10, 11].map(|last| wire.host(last));
        let conf = |own: u8, priority: u8| {
            format!(
                "vrrp_instance VI {{\n interface eth0\n virtual_router_id 51\n priority {priority}\n use_ipvlan ipv0 10.0.0.{own}/24\n \
                 virtual_ipaddress {{\n  10.0.0.100/24\n }}\n}}\n"
            )
        };
        let capture = Capture::start(&client, "proto 112");
        let mut first = Daemon::start(&hosts[0], &conf(20, 150));
        until(|| hosts[0].holds_on("ipv0", "10.0.0.100"), || first.log());
        let shown = hosts[0].shell("ip -d -o link show dev ipv0");
        assert!(shown.contains("ipvlan") && shown.contains("mode l2 bridge"), "{shown}");
        hosts[0].serve();
        let second = Daemon::start(&hosts[1], &conf(21, 100));
        until(|| second.log().contains("Entering BACKUP STATE"), || second.log());
        hosts[1].serve();
        assert_eq!(client.connect().server, 10);
        until(|| capture.text().contains("IP 10.0.0.20 > 224.0.0.18"), || capture.text());
        assert!(!capture.text().contains("IP 10.0.0.10 >"), "{}", capture.text());

        wire.pull_the_cable(&hosts[0]);
        first.kill();
        until(|| hosts[1].holds_on("ipv0", "10.0.0.100"), || second.log());
        assert_eq!(client.connect().server, 11);
    });
}

/// Peers that reach each other by a VRF alone: the main table of the machine knows no way.
#[test]
fn a_virtual_router_without_an_interface_lives_in_a_vrf() {
    in_fresh_namespace(|| {
        let mut wire = Wire::new();
        let client = wire.host(1);
        let hosts = [10, 11].map(|last| wire.host(last));
        for host in &hosts {
            host.shell("ip link add blue type vrf table 7");
            host.shell("ip link set blue up");
            host.shell("ip link set eth0 master blue");
            // What serves is bound to no VRF.
            host.namespace.set_sysctl("net/ipv4/tcp_l3mdev_accept", "1").unwrap();
            assert_eq!(host.shell("ip route show"), "", "the main table is empty");
            host.serve();
        }
        let conf = |own: u8, peer: u8, priority: u8| {
            format!(
                "vrrp_instance VI {{\n vrf blue\n virtual_router_id 51\n priority {priority}\n unicast_src_ip 10.0.0.{own}\n \
                 unicast_peer {{\n  10.0.0.{peer}\n }}\n virtual_ipaddress {{\n  10.0.0.100/24 dev eth0\n }}\n}}\n"
            )
        };
        let mut first = Daemon::start(&hosts[0], &conf(10, 11, 150));
        until(|| hosts[0].holds("10.0.0.100"), || first.log());
        let second = Daemon::start(&hosts[1], &conf(11, 10, 100));
        until(|| second.log().contains("Entering BACKUP STATE"), || second.log());
        let heard = || second.status().contains("\"address\": \"10.0.0.10\"");
        until(heard, || second.status());
        assert_eq!(client.connect().server, 10);

        wire.pull_the_cable(&hosts[0]);
        first.kill();
        until(|| hosts[1].holds("10.0.0.100"), || second.log());
        assert_eq!(client.connect().server, 11);
    });
}

/// What a host sees on its wire.
struct Capture {
    child: Child,
    file: String,
}

impl Capture {
    fn start(host: &Host, what: &str) -> Self {
        let file = format!("/tmp/capture{}", host.last);
        let mut command = Command::new("tcpdump");
        command
            .args(["-n", "-l", "-Z", "root", "-i", "eth0", what])
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&file).unwrap())
            .stderr(std::fs::File::create(format!("{file}.err")).unwrap());
        netns::in_namespace(&mut command, &host.namespace).unwrap();
        let capture = Capture { child: command.spawn().unwrap(), file };
        let says = || std::fs::read_to_string(format!("{}.err", capture.file)).unwrap_or_default();
        until(|| says().contains("listening on"), says);
        capture
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
