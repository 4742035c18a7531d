//! Files and processes that are tracked: beside Debian's keepalived, which is asked the same.

use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use std::time::Duration;

const VIP: &str = "10.0.0.100";
const TAKEOVER: Duration = Duration::from_secs(10);

const CONF: &str = "\
track_file load {
    file \"/tmp/watched/load\"
    weight 2
    init_file 5
}
vrrp_track_process worker {
    process worker
    weight 30
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 100
    track_file {
        load
    }
    track_process {
        worker
    }
    virtual_ipaddress {
        10.0.0.100/24
    }
}
";

fn node(lan: &Lan, name: &str, address: &str) -> Machine {
    let machine = lan.machine(name, "eth0", address);
    machine.write("/etc/keepalived/keepalived.conf", CONF);
    machine.shell("mkdir /tmp/watched; cp /bin/sleep /usr/bin/worker");
    machine
}

fn await_priority(machine: &Machine, priority: u64) {
    let seen = || machine.status().map(|status| status["instances"][0]["effective_priority"].clone());
    let reached = wait_until(TAKEOVER, || seen() == Some(priority.into()));
    assert!(reached, "not {priority} but {:?}\n{}", seen(), machine.logs());
}

#[test]
fn numbers_in_files_and_processes_move_the_priority() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let node = node(&lan, "lb01", "10.0.0.10/24").with_evenkeel();
    node.start_service(Service::Keepalived);
    node.await_holding(VIP, TAKEOVER);
    assert_eq!(node.read("/tmp/watched/load"), "5\n", "init_file made it");
    await_priority(&node, 110);

    let mut worker = node.spawn("worker.out", &["/usr/bin/worker", "1000"]);
    await_priority(&node, 140);
    node.shell("echo 0x10 > /tmp/watched/load");
    await_priority(&node, 162);
    // Replaced by another file, as careful writers do.
    node.shell("echo -20 > /tmp/watched/new; mv /tmp/watched/new /tmp/watched/load");
    await_priority(&node, 90);
    node.shell("pkill -x worker");
    await_priority(&node, 60);
    let _ = worker.wait();
    node.shell("rm /tmp/watched/load");
    await_priority(&node, 100);

    node.shell("echo -127 > /tmp/watched/load");
    node.await_release(VIP, TAKEOVER);
    assert_eq!(node.status().expect("a status")["instances"][0]["state"], "fault");
    node.shell("echo text > /tmp/watched/load");
    node.await_holding(VIP, TAKEOVER);
}

#[test]
fn keepalived_reads_the_same_numbers_out_of_files() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let lan = Lan::new();
    let node = node(&lan, "lb01", "10.0.0.10/24");
    // Its process connector is not there in a network namespace.
    let conf = CONF.replace("    track_process {\n        worker\n    }\n", "");
    let logged = conf.replace(
        "vrrp_instance",
        "global_defs {\n    vrrp_notify_fifo /tmp/fifo\n    vrrp_notify_priority_changes\n}\nvrrp_instance",
    );
    node.write("/etc/keepalived/keepalived.conf", &logged);
    node.shell("mkfifo /tmp/fifo");
    let mut reader = node.spawn("told.out", &["cat", "/tmp/fifo"]);
    node.start_service(Service::Keepalived);
    node.await_holding(VIP, TAKEOVER);
    for (text, priority) in [("0x10", 132), ("-20", 60), ("010", 116), ("text", 100)] {
        node.shell(&format!("echo {text} > /tmp/watched/load"));
        let line = format!("MASTER_PRIORITY {priority}");
        let told = || node.read("/tmp/told.out").lines().next_back().is_some_and(|last| last.ends_with(&line));
        assert!(wait_until(TAKEOVER, told), "{line}: {}", node.read("/tmp/told.out"));
    }
    node.shell("echo -127 > /tmp/watched/load");
    node.await_release(VIP, TAKEOVER);
    let _ = reader.kill();
    let _ = reader.wait();
}
