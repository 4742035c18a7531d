use crate::{Lan, Machine, Service};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

/// Two nodes and a client on one LAN, with addresses of both families.
pub struct Pair {
    /// What they are on.
    pub lan: Lan,
    /// 10.0.0.1 and 2001:db8::1.
    pub client: Machine,
    /// Priority 150, `.10`.
    pub high: Machine,
    /// Priority 100, `.11`.
    pub low: Machine,
}

/// What the configuration of a node of a [`Pair`] depends on.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Its priority.
    pub priority: u8,
    /// The last part of its own addresses.
    pub own: u8,
    /// The last part of the other's.
    pub other: u8,
}

impl Pair {
    /// evenkeel runs on the named nodes, Debian's keepalived on the others.
    pub fn new(evenkeel_on: &[&str], conf: impl Fn(Node) -> String) -> Self {
        let lan = Lan::new();
        let machine = |name: &str, last: u8| {
            let machine = lan.machine(name, "eth0", &format!("10.0.0.{last}/24"));
            machine.shell(&format!("ip addr add 2001:db8::{last}/64 dev eth0 nodad"));
            machine
        };
        let client = machine("client", 1);
        let node = |name: &str, node: Node| {
            let machine = machine(name, node.own);
            let machine = if evenkeel_on.contains(&name) { machine.with_evenkeel() } else { machine };
            machine.write("/etc/keepalived/keepalived.conf", &conf(node));
            machine
        };
        let high = node("high", Node { priority: 150, own: 10, other: 11 });
        let low = node("low", Node { priority: 100, own: 11, other: 10 });
        Pair { lan, client, high, low }
    }

    /// The better node hands over when it is stopped, takes the address back, and loses its power. `see` looks at the node
    /// that has the address: at the better one first, then at the other one.
    pub fn hand_over_return_and_die(&mut self, address: &str, limit: Duration, mut see: impl FnMut(&Machine)) {
        self.high.start_service(Service::Keepalived);
        self.high.await_holding(address, limit);
        see(&self.high);
        self.low.start_service(Service::Keepalived);

        self.high.stop_service(Service::Keepalived);
        self.low.await_holding(address, limit);
        see(&self.low);
        self.high.start_service(Service::Keepalived);
        self.high.await_holding(address, limit);
        self.low.await_release(address, limit);

        self.high.power_off();
        self.low.await_holding(address, limit);
    }
}

/// What passed a LAN, for tshark to read. The file goes with it.
pub struct Capture {
    file: PathBuf,
    tcpdump: Option<Child>,
}

impl Capture {
    /// Writes down what the filter of tcpdump lets through; `name` is one that no other capture has at the time.
    pub fn start(lan: &Lan, name: &str, filter: &str) -> Self {
        let file = std::env::temp_dir().join(format!("ek-{}-{name}.pcap", std::process::id()));
        let tcpdump = Some(lan.capture(&file, filter));
        Capture { file, tcpdump }
    }

    /// Nothing more is written.
    pub fn end(&mut self) {
        if let Some(mut tcpdump) = self.tcpdump.take() {
            let _ = tcpdump.kill();
            let _ = tcpdump.wait();
        }
    }

    /// What tshark's filter lets through, a line for each packet.
    pub fn shown(&self, filter: &str) -> String {
        let output = Command::new("tshark").args(["-n", "-r"]).arg(&self.file).args(["-Y", filter]).output();
        let output = output.expect("tshark runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_file(&self.file);
    }
}
