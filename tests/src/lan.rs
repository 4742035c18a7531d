use crate::machine::Machine;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A bridge that machines are plugged into.
pub struct Lan {
    namespace: String,
}

impl Lan {
    /// An empty LAN in a namespace of its own.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep();
        let namespace = format!("ek-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &namespace]);
        let lan = Lan { namespace };
        lan.ip(&["link", "add", "br0", "type", "bridge", "mcast_snooping", "0"]);
        lan.ip(&["link", "set", "br0", "up"]);
        lan
    }

    /// A running machine called `name` whose interface `interface` has `address` (with prefix length).
    pub fn machine(&self, name: &str, interface: &str, address: &str) -> Machine {
        let namespace = format!("{}-{name}", self.namespace);
        ip(&["netns", "add", &namespace]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        self.connect(name, &namespace, interface, address);
        Machine::start(name, &namespace, interface)
    }

    /// The `n`th real server, 10.0.0.51 and on: it has 10.0.0.100 on its loopback and answers no ARP for it.
    pub fn real_server(&self, n: usize) -> Machine {
        let machine = self.machine(&format!("rs{n}"), "eth0", &format!("10.0.0.{}/24", 50 + n));
        machine.shell(
            "ip address add 10.0.0.100/32 dev lo; echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore; \
             echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce",
        );
        machine
    }

    /// Gives a machine of another LAN an interface on this one too.
    pub fn plug_in(&self, machine: &Machine, interface: &str, address: &str) {
        self.connect(machine.name(), machine.namespace(), interface, address);
    }

    fn connect(&self, name: &str, namespace: &str, interface: &str, address: &str) {
        self.ip(&["link", "add", name, "type", "veth", "peer", "name", interface, "netns", namespace]);
        self.ip(&["link", "set", name, "master", "br0", "up"]);
        ip(&["-n", namespace, "addr", "add", address, "dev", interface]);
        ip(&["-n", namespace, "link", "set", interface, "up"]);
    }

    /// Gives a machine that stands on another LAN a second interface, on this one.
    pub fn attach(&self, machine: &Machine, interface: &str, address: &str) {
        let (name, namespace) = (machine.name(), machine.namespace());
        self.ip(&["link", "add", name, "type", "veth", "peer", "name", interface, "netns", namespace]);
        self.ip(&["link", "set", name, "master", "br0", "up"]);
        ip(&["-n", namespace, "addr", "add", address, "dev", interface]);
        ip(&["-n", namespace, "link", "set", interface, "up"]);
    }

    /// Pulls the cable of a machine, or puts it back.
    pub fn cable(&self, machine: &str, plugged: bool) {
        self.ip(&["link", "set", machine, if plugged { "up" } else { "down" }]);
    }

    /// Starts to write what passes the bridge to `file` in pcap format.
    pub fn capture(&self, file: &std::path::Path, filter: &str) -> std::process::Child {
        let mut capture = Command::new("ip");
        capture
            .args(["netns", "exec", &self.namespace, "tcpdump", "--immediate-mode", "-U", "-n", "-i", "br0", "-w"])
            .arg(file)
            .arg(filter);
        // It outlives a test that fails, and must then not hold the pipe that the test runner reads.
        let null = std::process::Stdio::null;
        let child = capture.stdin(null()).stdout(null()).stderr(null()).spawn().expect("tcpdump starts");
        let started =
            crate::wait_until(std::time::Duration::from_secs(10), || file.metadata().is_ok_and(|m| m.len() >= 24));
        assert!(started, "tcpdump wrote no file header");
        child
    }

    fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.namespace], words].concat());
    }
}

impl Default for Lan {
    fn default() -> Self {
        Lan::new()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
    }
}

/// Removes the namespaces of tests that were killed before they could.
fn sweep() {
    let names = Command::new("ip").args(["netns", "list"]).output().expect("ip runs").stdout;
    for line in String::from_utf8_lossy(&names).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let Some(owner) = name.strip_prefix("ek-").and_then(|rest| rest.split('-').next()) else { continue };
        if !std::path::Path::new("/proc").join(owner).exists() {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

pub(crate) fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("ip runs");
    assert!(output.status.success(), "ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
}
