//! Two nodes that know of each other: drift, drained servers, maintenance; and keepalived, which knows of nothing.

use evenkeel_e2e::probe::{DatagramProbe, Echo, Parrot, Talkers};
use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use serde_json::Value;
use std::time::Duration;

/// Longer than any wait that the configurations here ask for.
const PATIENCE: Duration = Duration::from_secs(30);
const VIP: &str = "10.0.0.100";
const KEY: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn instance(priority: u8, addresses: &str) -> String {
    format!(
        "vrrp_instance VI {{\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority {priority}\n    \
         advert_int 1\n    virtual_ipaddress {{\n        {addresses}\n    }}\n}}\n"
    )
}

/// The other node is `name` at `10.0.0.HOST`; the key is in a file for root alone.
fn peer(name: &str, host: u8) -> String {
    format!("peer {name} {{\n    address 10.0.0.{host}\n    key file:/etc/keepalived/peer.key\n}}\n")
}

fn node(lan: &Lan, name: &str, host: u8) -> Machine {
    let machine = lan.machine(name, "eth0", &format!("10.0.0.{host}/24")).with_evenkeel();
    machine.write("/etc/keepalived/peer.key", &format!("{KEY}\n"));
    machine.shell("chmod 600 /etc/keepalived/peer.key");
    machine
}

fn start(node: &Machine, conf: &str) {
    node.write("/etc/keepalived/keepalived.conf", conf);
    node.start_service(Service::Keepalived);
}

/// `lb01` with priority 150 and `lb02` with 100, both running and heard by each other.
fn pair(lan: &Lan, more: &str) -> (Machine, Machine) {
    let (lb01, lb02) = (node(lan, "lb01", 10), node(lan, "lb02", 11));
    start(&lb01, &(instance(150, VIP) + &peer("lb02", 11) + more));
    lb01.await_holding(VIP, PATIENCE);
    start(&lb02, &(instance(100, VIP) + &peer("lb01", 10) + more));
    for node in [&lb01, &lb02] {
        await_peer(node, "it is heard", |peer| peer["heard"] == true && peer["node"].is_string());
    }
    (lb01, lb02)
}

fn peer_of(node: &Machine) -> Option<Value> {
    node.status()?["peers"].get(0).cloned()
}

#[track_caller]
fn await_peer(node: &Machine, what: &str, is_so: impl Fn(&Value) -> bool) {
    let reached = wait_until(PATIENCE, || peer_of(node).is_some_and(|peer| is_so(&peer)));
    assert!(reached, "{what}: not of {:#?}\n{}", peer_of(node), node.logs());
}

/// The state of a server in one word.
fn server_state(node: &Machine, server: &str) -> Option<String> {
    let status = node.status()?;
    let pools = status["balance"]["pools"].as_array()?.clone();
    let servers = pools.iter().flat_map(|pool| pool["servers"].as_array().cloned().unwrap_or_default());
    let found = servers.into_iter().find(|view| view["name"] == server)?;
    found["state"].as_str().map(str::to_owned)
}

#[track_caller]
fn await_state(node: &Machine, server: &str, state: &str) {
    let reached = wait_until(PATIENCE, || server_state(node, server).as_deref() == Some(state));
    assert!(reached, "{server} is {:?} and not {state}\n{}", server_state(node, server), node.logs());
}

#[test]
fn drift_is_a_warning_at_once_on_both_nodes_and_ends_with_the_drift() {
    let lan = Lan::new();
    let (lb01, lb02) = pair(&lan, "");
    await_peer(&lb01, "they agree", |peer| peer["drift"] == Value::Array(vec![]));
    let role = lb01.shell("grep -E '^(Uid|CapEff|Seccomp):' /proc/$(pgrep -f '[-]-role peer')/status");
    let nobody = lb01.shell("id -u nobody");
    let expected = format!("Uid:\t{0}\t{0}\t{0}\t{0}\nCapEff:\t0000000000000000\nSeccomp:\t2\n", nobody.trim());
    assert_eq!(role, expected, "the role has no right");

    lb02.write(
        "/etc/keepalived/keepalived.conf",
        &(instance(100, "10.0.0.100\n        10.0.0.101") + &peer("lb01", 10)),
    );
    lb02.shell("evenkeel reload");
    let drift = "addresses of VI (vrid 51, IPv4): 10.0.0.101/32 only there";
    await_peer(&lb01, "drift", |peer| peer["drift"][0] == drift);
    await_peer(&lb02, "drift", |peer| peer["drift"][0] == drift.replace("there", "here"));
    assert!(lb01.shell("evenkeel status").contains(&format!("  DRIFT     {drift}\n")));
    let why = lb01.shell("evenkeel why lb02");
    assert!(why.contains(&format!("trigger   DRIFT from lb02: {drift}")), "{why}");
    assert!(lb01.logs().contains(&format!("(lb02) DRIFT from lb02: {drift}")), "{}", lb01.logs());

    lb02.write("/etc/keepalived/keepalived.conf", &(instance(100, VIP) + &peer("lb01", 10)));
    lb02.shell("evenkeel reload");
    await_peer(&lb01, "no drift", |peer| peer["drift"] == Value::Array(vec![]));
    let why = lb01.shell("evenkeel why lb02 -n 1");
    assert!(why.contains("no longer so with lb02") && why.contains("both nodes agree"), "{why}");

    // The role dies: another one takes its place and has to prove itself anew.
    lb02.shell("kill -9 $(pgrep -f '[-]-role peer')");
    let again = wait_until(PATIENCE, || {
        lb01.shell("evenkeel why lb02 -n 3").contains("began a new life")
            && peer_of(&lb01).is_some_and(|peer| peer["heard"] == true)
    });
    assert!(again, "{}", lb01.logs());
    // The machine dies: silence is told, and what it said is shown with its age.
    let mut lb02 = lb02;
    lb02.power_off();
    await_peer(&lb01, "silence", |peer| peer["heard"] == false && peer["age_seconds"].as_f64() > Some(2.9));
    let status = lb01.shell("evenkeel status");
    assert!(status.contains("peer lb02  SILENT, last heard"), "{status}");
}

#[test]
fn another_key_proves_nothing() {
    let lan = Lan::new();
    let (lb01, lb02) = (node(&lan, "lb01", 10), node(&lan, "lb02", 11));
    lb02.write("/etc/keepalived/peer.key", &KEY.replace("0001", "ff01"));
    start(&lb01, &(instance(150, VIP) + &peer("lb02", 11)));
    start(&lb02, &(instance(100, VIP) + &peer("lb01", 10)));
    await_peer(&lb01, "signatures are refused", |peer| peer["counters"]["mac_err"].as_u64() > Some(2));
    let peer = peer_of(&lb01).unwrap_or_default();
    assert_eq!((&peer["heard"], &peer["node"]), (&Value::Bool(false), &Value::Null));
    lb01.await_holding(VIP, PATIENCE);
}

/// A virtual server with real servers 10.0.0.51 and .52 that are asked each half second.
fn virtual_server() -> String {
    let server = |host: u8| {
        format!(
            "    real_server 10.0.0.{host} 7000 {{\n        weight 1\n        TCP_CHECK {{\n            connect_timeout 1\n            \
             retry 0\n            warmup 0\n        }}\n    }}\n"
        )
    };
    format!(
        "global_defs {{\n    lb_plane xdp\n}}\nvirtual_server 10.0.0.100 7000 {{\n    protocol TCP\n    delay_loop 0.5\n    \
         lb_algo rr\n    lb_kind DR\n{}{}}}\n",
        server(51),
        server(52)
    )
}

#[test]
fn a_drained_server_is_drained_on_the_other_node_over_reload_restart_and_failover() {
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let servers: Vec<_> = (1..=2).map(|n| lan.real_server(n)).collect();
    let _parrots: Vec<_> = servers.iter().map(|server| Parrot::start(server, 7000)).collect();
    let (mut lb01, lb02) = pair(&lan, &virtual_server());
    for node in [&lb01, &lb02] {
        await_state(node, "10.0.0.51:7000", "up");
        await_state(node, "10.0.0.52:7000", "up");
    }
    lb01.shell("evenkeel server drain 10.0.0.100:7000/10.0.0.51");
    await_state(&lb02, "10.0.0.51:7000", "drained");
    assert_eq!(server_state(&lb02, "10.0.0.52:7000").as_deref(), Some("up"));
    let why = lb02.shell("evenkeel why -n 50");
    assert!(why.contains("somebody said so on lb01"), "{why}");
    lb02.shell("evenkeel reload");
    await_state(&lb02, "10.0.0.51:7000", "drained");

    // One node is away while the other is told something else: it learns that when it is back.
    lb01.stop_service(Service::Keepalived);
    lb02.await_holding(VIP, PATIENCE);
    lb02.shell("evenkeel server enable 10.0.0.100:7000/10.0.0.51");
    lb02.shell("evenkeel server drain 10.0.0.100:7000/10.0.0.52");
    lb01.start_service(Service::Keepalived);
    lb01.await_holding(VIP, PATIENCE);
    await_state(&lb01, "10.0.0.52:7000", "drained");
    await_state(&lb01, "10.0.0.51:7000", "up");

    // Back to the first server alone being drained, from the other side, and the balancer dies.
    lb02.shell("evenkeel server drain 10.0.0.100:7000/10.0.0.51; evenkeel server enable 10.0.0.100:7000/10.0.0.52");
    await_state(&lb01, "10.0.0.51:7000", "drained");
    await_state(&lb01, "10.0.0.52:7000", "up");
    lb01.shell("evenkeel server drain 10.0.0.100:7000/10.0.0.51");
    lb01.power_off();
    lb02.await_holding(VIP, PATIENCE);
    let fresh_go_to = |name: &str| {
        let fresh = Talkers::start(&client, "10.0.0.100:7000".parse().expect("an address"), 6).finish();
        assert_eq!(fresh.servers, vec![name.to_owned(); 6], "{}", lb02.logs());
    };
    fresh_go_to("rs2");
    lb02.stop_service(Service::Keepalived);
    lb02.start_service(Service::Keepalived);
    lb02.await_holding(VIP, PATIENCE);
    await_state(&lb02, "10.0.0.52:7000", "up");
    await_state(&lb02, "10.0.0.51:7000", "drained");
    fresh_go_to("rs2");
}

#[test]
fn maintenance_hands_over_without_loss_is_seen_by_the_peer_and_outlives_the_program() {
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let (lb01, lb02) = pair(&lan, "");
    let _echoes = [Echo::start(&lb01, 7), Echo::start(&lb02, 7)];
    let probe = DatagramProbe::start(&client, format!("{VIP}:7").parse().expect("an address"));
    let said = lb01.shell("evenkeel maintenance on --for 1h");
    assert!(said.starts_with("in maintenance until 2"), "{said}");
    lb02.await_holding(VIP, PATIENCE);
    lb01.await_release(VIP, PATIENCE);
    await_peer(&lb02, "maintenance", |peer| peer["maintenance"]["remaining_seconds"].as_f64() > Some(3000.0));
    let status = lb02.shell("evenkeel status");
    assert!(status.contains("  state     in maintenance for another 59 min"), "{status}");
    assert!(lb02.logs().contains("(lb01) lb01 says that it is in maintenance"), "{}", lb02.logs());
    let status = lb01.shell("evenkeel status; evenkeel maintenance; evenkeel why maintenance");
    assert!(status.contains("  MAINTENANCE  in maintenance for another 59 min"), "{status}");
    assert!(status.contains("this node is in maintenance") && status.contains("evenkeel maintenance on"), "{status}");

    // It outlives the program; and what nobody else serves is served.
    lb01.stop_service(Service::Keepalived);
    lb01.start_service(Service::Keepalived);
    await_peer(&lb01, "it is heard again", |peer| peer["heard"] == true);
    let is_yielding = |node: &Machine| {
        node.status().is_some_and(|status| {
            let instance = &status["instances"][0];
            !status["maintenance"].is_null() && instance["state"] == "backup" && instance["effective_priority"] == 1
        })
    };
    assert!(wait_until(PATIENCE, || is_yielding(&lb01)), "{}", lb01.logs());
    assert!(lb02.holds(VIP));
    lb02.stop_service(Service::Keepalived);
    lb01.await_holding(VIP, PATIENCE);
    lb02.start_service(Service::Keepalived);
    lb02.await_holding(VIP, PATIENCE);
    lb01.await_release(VIP, PATIENCE);

    lb01.shell("evenkeel maintenance off");
    lb01.await_holding(VIP, PATIENCE);
    lb02.await_release(VIP, PATIENCE);
    await_peer(&lb02, "no maintenance", |peer| peer["maintenance"].is_null());
    // It ends by itself, too.
    lb01.shell("evenkeel maintenance on --for 3s");
    lb02.await_holding(VIP, PATIENCE);
    lb01.await_release(VIP, PATIENCE);
    lb01.await_holding(VIP, PATIENCE);
    lb02.await_release(VIP, PATIENCE);
    let loss = probe.finish();
    assert!(loss.sent > 5000, "the probe ran through it all: {loss:?}");
    assert_eq!(loss.lost, 0, "{loss:?}\n{}\n{}", lb01.logs(), lb02.logs());
    assert!(lb01.shell("evenkeel why maintenance").contains("its time is over"), "{}", lb01.logs());
}

#[test]
fn strict_maintenance_takes_no_address_whoever_answers() {
    let lan = Lan::new();
    let lb01 = node(&lan, "lb01", 10);
    start(&lb01, &instance(150, VIP));
    lb01.await_holding(VIP, PATIENCE);
    lb01.shell("evenkeel maintenance on --strict");
    lb01.await_release(VIP, PATIENCE);
    let told = wait_until(PATIENCE, || lb01.shell("evenkeel why VI -n 1").contains("leave 10.0.0.100 unserved"));
    assert!(told && !lb01.holds(VIP), "{}", lb01.logs());
    lb01.shell("evenkeel maintenance off");
    lb01.await_holding(VIP, PATIENCE);
    assert!(!lb01.run(&["evenkeel", "maintenance", "status"]).status.success());
}

#[test]
fn keepalived_relieves_a_node_in_maintenance_and_is_no_peer() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let lb01 = node(&lan, "lb01", 10);
    let lb02 = lan.machine("lb02", "eth0", "10.0.0.11/24");
    let _echoes = [Echo::start(&lb01, 7), Echo::start(&lb02, 7)];
    start(&lb01, &(instance(150, VIP) + &peer("lb02", 11)));
    lb01.await_holding(VIP, PATIENCE);
    start(&lb02, &instance(100, VIP));
    let probe = DatagramProbe::start(&client, format!("{VIP}:7").parse().expect("an address"));
    lb01.shell("evenkeel maintenance on");
    lb02.await_holding(VIP, PATIENCE);
    lb01.await_release(VIP, PATIENCE);
    lb01.shell("evenkeel maintenance off");
    lb01.await_holding(VIP, PATIENCE);
    lb02.await_release(VIP, PATIENCE);
    let loss = probe.finish();
    assert_eq!(loss.lost, 0, "{loss:?}\n{}", lb01.logs());
    let peer = peer_of(&lb01).unwrap_or_default();
    assert_eq!((&peer["heard"], &peer["counters"]["received"]), (&Value::Bool(false), &Value::from(0)));
    assert!(lb01.shell("evenkeel status").contains("peer lb02  not heard for"));
}
