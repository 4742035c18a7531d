//! Many virtual routers on one machine: what becomes of one touches the addresses of no other.

use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use std::time::Duration;

const CONF: &str = "/etc/keepalived/keepalived.conf";
const PATIENCE: Duration = Duration::from_secs(60);
const ADDRESSES_OF_ONE: usize = 4;

/// A virtual router with four addresses, the fifth where it has `one_more`.
struct Router {
    vrid: usize,
    one_more: bool,
}

fn routers(n_routers: usize) -> Vec<Router> {
    (1..=n_routers).map(|vrid| Router { vrid, one_more: false }).collect()
}

fn conf(routers: &[Router], flavour: &str) -> String {
    let one = |Router { vrid, one_more }: &Router| {
        let n_addresses = ADDRESSES_OF_ONE + usize::from(*one_more);
        let addresses: Vec<_> = (1..=n_addresses).map(|n| format!("10.1.{n}.{vrid}")).collect();
        format!(
            "vrrp_instance V_{vrid} {{\n state BACKUP\n interface eth0\n version 3\n virtual_router_id {vrid}\n priority 150\n advert_int 1\n {flavour}\n virtual_ipaddress {{\n {}\n }}\n}}\n",
            addresses.join("\n ")
        )
    };
    routers.iter().map(one).collect()
}

/// Every change of an address that the kernel reports.
struct Changes<'a> {
    machine: &'a Machine,
    process: std::process::Child,
    n_marks: u8,
    n_read: usize,
}

impl<'a> Changes<'a> {
    fn of(machine: &'a Machine) -> Self {
        let process = machine.spawn("changes", &["ip", "-rcvbuf", "8388608", "-o", "monitor", "address"]);
        let mut changes = Changes { machine, process, n_marks: 0, n_read: 0 };
        let mut is_heard = || {
            machine.shell("ip addr add 192.0.2.255/32 dev lo; ip addr del 192.0.2.255/32 dev lo");
            changes.text().contains("192.0.2.255")
        };
        assert!(wait_until(PATIENCE, &mut is_heard), "ip monitor starts");
        changes.take();
        changes
    }

    fn text(&self) -> String {
        self.machine.read("/tmp/changes")
    }

    /// How many virtual addresses came and went since the last time.
    fn take(&mut self) -> (usize, usize) {
        // The kernel reports in order: with the mark everything before it is there.
        self.n_marks += 1;
        let mark = format!("192.0.2.{}/32", self.n_marks);
        self.machine.shell(&format!("ip addr add {mark} dev lo"));
        assert!(wait_until(PATIENCE, || self.text().contains(&mark)), "{}", self.text());
        let text = self.text();
        let (mut n_come, mut n_gone) = (0, 0);
        for line in text.lines().skip(self.n_read).filter(|line| line.contains(" 10.1.")) {
            if line.contains("Deleted") { n_gone += 1 } else { n_come += 1 }
        }
        self.n_read = text.lines().count();
        (n_come, n_gone)
    }
}

impl Drop for Changes<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn n_held(machine: &Machine) -> usize {
    machine.shell("ip -o -4 addr show dev eth0").lines().filter(|line| line.contains(" 10.1.")).count()
}

/// Addresses in the set of those that packets are kept from.
fn n_refused(machine: &Machine) -> usize {
    machine.shell("nft list ruleset").matches(" 10.1.").count()
}

fn load(machine: &Machine, text: &str) {
    machine.write(CONF, text);
    machine.shell("evenkeel reload");
}

#[test]
fn what_one_of_many_virtual_routers_does_touches_no_other() {
    if !able_to_run(&["ip"]) {
        return;
    }
    const N_ROUTERS: usize = 200;
    const ALL: usize = N_ROUTERS * ADDRESSES_OF_ONE;
    let lan = Lan::new();
    let machine = lan.machine("many", "eth0", "10.0.0.10/16").with_evenkeel();
    let mut changes = Changes::of(&machine);
    let mut routers = routers(N_ROUTERS);
    machine.write(CONF, &conf(&routers, ""));
    machine.start_service(Service::Keepalived);
    assert!(wait_until(PATIENCE, || n_held(&machine) == ALL), "{} held\n{}", n_held(&machine), machine.logs());
    assert_eq!(changes.take(), (ALL, 0), "{}", machine.logs());

    load(&machine, &conf(&routers, ""));
    assert_eq!(changes.take(), (0, 0), "the same again\n{}", machine.logs());

    routers[N_ROUTERS / 2].one_more = true;
    load(&machine, &conf(&routers, ""));
    assert_eq!(changes.take(), (1, 0), "one more\n{}", machine.logs());

    // The first: all others have another place in the file.
    routers.remove(0);
    load(&machine, &conf(&routers, ""));
    assert_eq!(changes.take(), (0, ADDRESSES_OF_ONE), "one router less\n{}", machine.logs());

    let somebody = "ip -o -4 addr show dev eth0 | awk '$4 ~ /^10\\.1\\.2\\./ { print $4 }' | sed 's,^,addr del ,; s,$, dev eth0,' | ip -batch -";
    machine.shell(somebody);
    let left = ALL + 1 - ADDRESSES_OF_ONE;
    assert!(wait_until(PATIENCE, || n_held(&machine) == left), "{}\n{}", n_held(&machine), machine.logs());
    assert_eq!(changes.take(), (N_ROUTERS - 1, N_ROUTERS - 1), "what somebody took came back\n{}", machine.logs());

    machine.stop_service(Service::Keepalived);
    assert!(wait_until(PATIENCE, || n_held(&machine) == 0), "{}\n{}", n_held(&machine), machine.logs());
    assert_eq!(changes.take(), (0, left), "{}", machine.logs());
    let log = machine.read("/tmp/keepalived.log");
    assert!(!log.contains("no confirmation") && !log.contains("killed"), "{log}");
}

#[test]
fn packets_are_kept_from_as_many_addresses_as_are_held() {
    if !able_to_run(&["nft"]) {
        return;
    }
    const N_ROUTERS: usize = 50;
    let lan = Lan::new();
    let machine = lan.machine("many", "eth0", "10.0.0.10/16").with_evenkeel();
    let mut routers = routers(N_ROUTERS);
    machine.write(CONF, &conf(&routers, "no_accept"));
    machine.start_service(Service::Keepalived);
    let holds = |n: usize| {
        let is_so = || (n_held(&machine), n_refused(&machine)) == (n, n);
        assert!(wait_until(PATIENCE, is_so), "{n} {}\n{}", machine.shell("nft list ruleset"), machine.logs());
    };
    holds(N_ROUTERS * ADDRESSES_OF_ONE);
    routers[7].one_more = true;
    routers.remove(0);
    load(&machine, &conf(&routers, "no_accept"));
    holds((N_ROUTERS - 1) * ADDRESSES_OF_ONE + 1);
    // Without the link nothing is held, and nothing kept from packets.
    machine.shell("ip link set eth0 down");
    holds(0);
    machine.shell("ip link set eth0 up");
    holds((N_ROUTERS - 1) * ADDRESSES_OF_ONE + 1);
    machine.stop_service(Service::Keepalived);
    assert!(wait_until(PATIENCE, || n_held(&machine) == 0 && machine.shell("nft list tables").trim().is_empty()));
}
