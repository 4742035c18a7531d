//! BFD with BIRD, with Debian's keepalived and with evenkeel at the other end, and what follows a session.

use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_for, wait_until};
use serde_json::Value;
use std::process::Child;
use std::time::Duration;

const VIP: &str = "10.0.0.100";

/// Longer than anything here takes, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What both ends of most sessions here send at, and the multiplier of the end that is watched.
const INTERVAL_MS: u32 = 50;
const MULTIPLIER: u32 = 3;

/// A bfd_instance to this neighbour, with more lines.
fn session(name: &str, neighbour: &str, lines: &str) -> String {
    format!(
        "bfd_instance {name} {{\n    neighbor_ip {neighbour}\n    min_rx {INTERVAL_MS}\n    min_tx {INTERVAL_MS}\n    \
         multiplier {MULTIPLIER}\n    {lines}\n}}\n"
    )
}

/// A vrrp_instance with the address, and more lines.
fn instance(priority: u8, lines: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n    interface eth0\n    virtual_router_id 51\n    priority {priority}\n    advert_int 1\n    \
         virtual_ipaddress {{\n        {VIP}\n    }}\n    {lines}\n}}\n"
    )
}

fn evenkeel(lan: &Lan, name: &str, address: &str, conf: &str) -> Machine {
    let machine = lan.machine(name, "eth0", address).with_evenkeel();
    machine.write("/etc/keepalived/keepalived.conf", conf);
    machine
}

/// BIRD on a machine, killed like a program that crashes.
struct Bird<'a> {
    machine: &'a Machine,
    process: Option<Child>,
}

impl<'a> Bird<'a> {
    /// With sessions to these neighbours: `10.0.0.10 dev "eth0"`, `10.0.0.10 local 10.0.0.2 multihop yes`.
    fn start(machine: &'a Machine, neighbours: &[&str]) -> Self {
        let neighbours: String = neighbours.iter().map(|neighbour| format!("    neighbor {neighbour};\n")).collect();
        let pace =
            format!("min rx interval {INTERVAL_MS} ms; min tx interval {INTERVAL_MS} ms; multiplier {MULTIPLIER};");
        machine.write(
            "/tmp/bird.conf",
            &format!(
                "router id 10.0.0.2;\nlog stderr all;\nprotocol device {{ }}\nprotocol bfd {{\n    interface \"*\" {{ {pace} \
                 }};\n    multihop {{ {pace} }};\n{neighbours}}}\n"
            ),
        );
        let mut bird = Bird { machine, process: None };
        bird.go_on();
        bird
    }

    fn go_on(&mut self) {
        let words = ["bird", "-f", "-c", "/tmp/bird.conf", "-s", "/tmp/bird.ctl", "-P", "/tmp/bird.pid"];
        self.process = Some(self.machine.spawn("bird.log", &words));
    }

    /// The process that the test started is `nsenter`; BIRD is its child.
    fn crash(&mut self) {
        let there = wait_until(PATIENCE, || !self.machine.read("/tmp/bird.pid").trim().is_empty());
        assert!(there, "{}", self.machine.logs());
        self.machine.shell("kill -9 \"$(cat /tmp/bird.pid)\"; rm -f /tmp/bird.pid");
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
    }

    /// Waits until this many of its sessions are in a state.
    fn await_sessions(&self, state: &str, count: usize) {
        let show = || {
            String::from_utf8_lossy(
                &self.machine.run(&["birdc", "-s", "/tmp/bird.ctl", "show", "bfd", "sessions"]).stdout,
            )
            .into_owned()
        };
        let seen = |text: &str| text.lines().filter(|line| line.split_whitespace().nth(2) == Some(state)).count();
        assert!(
            wait_until(PATIENCE, || seen(&show()) == count),
            "not {count} in {state}: {}\n{}",
            show(),
            self.machine.logs()
        );
    }
}

impl Drop for Bird<'_> {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The daemon's view of a session.
fn view(machine: &Machine, name: &str) -> Option<Value> {
    let status = machine.status()?;
    status["bfd"].as_array()?.iter().find(|view| view["name"] == name).cloned()
}

fn await_state(machine: &Machine, name: &str, state: &str) -> Value {
    let found = wait_for(PATIENCE, || view(machine, name).filter(|view| view["state"] == state));
    found.unwrap_or_else(|| panic!("{name} is not {state}: {:?}\n{}", view(machine, name), machine.logs()))
}

/// What the daemon says of the last decision about this subject whose trigger has these words.
fn why(machine: &Machine, subject: &str, words: &str) -> Option<Value> {
    let text = machine.shell(&format!("evenkeel why {subject} -n 50 --json"));
    let all: Vec<Value> = serde_json::from_str(&text).expect("a list of explanations");
    all.into_iter().rev().find(|one| one["trigger"].as_str().is_some_and(|trigger| trigger.contains(words)))
}

#[test]
fn bird_and_evenkeel_see_each_other_come_and_go_over_one_hop_and_several_in_both_families() {
    if !able_to_run(&["bird"]) {
        return;
    }
    let lan = Lan::new();
    let peer = lan.machine("peer", "eth0", "10.0.0.2/24");
    let conf = [
        "global_defs {\n    vrrp_rt_priority 20\n}\n".to_owned(),
        session("near", "10.0.0.2", "source_ip 10.0.0.10"),
        // BIRD sends those with 64, whatever may be in between.
        session("far", "10.0.0.2", "source_ip 10.0.0.10\n    multihop\n    max_hops 191"),
        session("six", "2001:db8::2", "hoplimit 255"),
    ];
    let node = evenkeel(&lan, "node", "10.0.0.10/24", &conf.concat());
    for (machine, address) in [(&peer, "2001:db8::2"), (&node, "2001:db8::10")] {
        machine.shell(&format!("ip address add {address}/64 dev eth0 nodad"));
    }
    let neighbours = ["10.0.0.10 dev \"eth0\"", "10.0.0.10 local 10.0.0.2 multihop yes", "2001:db8::10 dev \"eth0\""];
    let names = ["near", "far", "six"];
    let mut bird = Bird::start(&peer, &neighbours);
    node.start_service(Service::Keepalived);
    for name in names {
        await_state(&node, name, "Up");
    }
    bird.await_sessions("Up", 3);

    // We go, and come back.
    node.stop_service(Service::Keepalived);
    bird.await_sessions("Down", 3);
    node.start_service(Service::Keepalived);
    bird.await_sessions("Up", 3);

    // It dies, as often as it takes to see that silence is noticed in time. The times are the role's own: from when it had
    // read the last packet to when it declared the session down. So no delay of this test counts, nor of BIRD, nor of the
    // supervisor; only one of the role's own wake-up could, on a machine that has no time for a process under SCHED_RR (or does
    // not grant that). Therefore the best of several deaths counts. The worst is bounded by the table of the pure core, whose
    // deadline is the detection time exactly.
    let limit = f64::from(MULTIPLIER * INTERVAL_MS) / 1000.0 + 0.002;
    let mut silences = Vec::new();
    let is_in_time = wait_until(PATIENCE * 4, || {
        for name in names {
            await_state(&node, name, "Up");
        }
        bird.crash();
        for name in names {
            let lost = await_state(&node, name, "Down");
            assert_eq!(lost["local_diagnostic"], "expired", "{lost}");
            let explained = wait_for(PATIENCE, || why(&node, name, "no packet from")).expect("an explanation");
            silences.push(explained["waited_seconds"].as_f64().expect("a number"));
        }
        bird.go_on();
        silences.chunks(names.len()).any(|death| death.iter().all(|silence| *silence <= limit))
    });
    assert!(is_in_time, "a silence of {limit} s is too long: {silences:?}");
    assert!(silences.iter().all(|silence| *silence >= limit - 0.002), "and a shorter one is none: {silences:?}");

    let view = await_state(&node, "near", "Up");
    assert_eq!((&view["neighbour"], &view["source"]), (&"10.0.0.2".into(), &"10.0.0.10".into()));
    assert!(view["counters"]["downs"].as_u64() >= Some(1), "{view}");
    let text = node.shell("evenkeel status");
    assert!(text.contains("near  UP for") && text.contains("six  UP for"), "{text}");
    assert!(text.contains("far  UP for") && text.contains("BFD over several hops to 10.0.0.2"), "{text}");
    let log = node.read("/tmp/keepalived.log") + &node.logs();
    assert!(log.contains("(near) Entering Up state"), "{log}");
    assert!(log.contains("(near) Expired after 150 ms ("), "{log}");
    assert!(
        log.contains(
            "(near) Entering Down state (Local diagnostic - Control Detection Time Expired, Remote diagnostic -"
        ),
        "{log}"
    );
}

#[test]
fn an_address_and_a_real_server_follow_sessions() {
    if !able_to_run(&["bird"]) {
        return;
    }
    let lan = Lan::new();
    let gateway = lan.machine("gateway", "eth0", "10.0.0.1/24");
    let server = lan.machine("server", "eth0", "10.0.0.51/24");
    let conf = [
        "global_defs {\n    lb_plane xdp\n}\n".to_owned(),
        session("gateway", "10.0.0.1", "vrrp"),
        session("server", "10.0.0.51", "checker"),
        instance(150, "track_bfd {\n        gateway\n    }"),
        format!(
            "virtual_server {VIP} 80 {{\n    protocol TCP\n    lb_kind DR\n    delay_loop 1\n    \
             real_server 10.0.0.51 80 {{\n        weight 1\n        BFD_CHECK {{\n            name server\n        }}\n    }}\n}}\n"
        ),
    ];
    let high = evenkeel(&lan, "high", "10.0.0.10/24", &conf.concat());
    let low = evenkeel(&lan, "low", "10.0.0.11/24", &instance(100, ""));
    high.start_service(Service::Keepalived);
    low.start_service(Service::Keepalived);
    low.await_holding(VIP, PATIENCE);
    assert!(!high.holds(VIP), "without its gateway a node is in FAULT from the start");
    await_server(&high, "down");

    let neighbour = ["10.0.0.10 dev \"eth0\""];
    let mut gateway = Bird::start(&gateway, &neighbour);
    high.await_holding(VIP, PATIENCE);
    low.await_release(VIP, PATIENCE);
    let mut server = Bird::start(&server, &neighbour);
    await_server(&high, "up");

    gateway.crash();
    low.await_holding(VIP, PATIENCE);
    high.await_release(VIP, PATIENCE);
    let fault = wait_for(PATIENCE, || why(&high, "VI_1", "bfd gateway: ")).expect("an explanation");
    assert!(
        fault["trigger"].as_str().is_some_and(|trigger| trigger.contains("no packet from 10.0.0.1 for")),
        "{fault}"
    );
    assert_eq!(fault["to"], "fault");
    await_server(&high, "up");

    server.crash();
    await_server(&high, "down");
    server.go_on();
    await_server(&high, "up");
    // A balance role that is started again is told what it cannot have heard.
    let roles = high.status().expect("a status")["roles"].clone();
    let balance = roles.as_array().and_then(|roles| roles.iter().find(|role| role["name"] == "balance").cloned());
    high.shell(&format!("kill -9 {}", balance.expect("the balance role")["pid"]));
    server.crash();
    await_server(&high, "down");

    gateway.go_on();
    high.await_holding(VIP, PATIENCE);
    let log = high.read("/tmp/keepalived.log") + &high.logs();
    for line in [
        "Received BFD event: instance gateway is in state Down",
        "VRRP_Instance(VI_1) Tracked BFD instance gateway is UP",
    ] {
        assert!(log.contains(line), "{line} is not in {log}");
    }
}

/// Waits for a state of the one real server.
fn await_server(machine: &Machine, state: &str) {
    let seen = || machine.status().map(|status| status["balance"]["pools"][0]["servers"][0]["state"].clone());
    assert!(wait_until(PATIENCE, || seen() == Some(state.into())), "not {state}: {:?}\n{}", seen(), machine.logs());
}

#[test]
fn sessions_between_two_evenkeels_stay_up_over_a_reload_and_end_with_either() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let first = evenkeel(&lan, "first", "10.0.0.10/24", &session("other", "10.0.0.11", "passive"));
    let mut second = evenkeel(&lan, "second", "10.0.0.11/24", &session("other", "10.0.0.10", "source_ip 10.0.0.11"));
    first.start_service(Service::Keepalived);
    assert_eq!(await_state(&first, "other", "Down")["counters"]["sent"], 0, "it is passive");
    second.start_service(Service::Keepalived);
    let before = [&first, &second].map(|machine| await_state(machine, "other", "Up"));

    // One end gets another session and other intervals.
    let slower = session("other", "10.0.0.11", "passive\n    min_tx 80") + &session("none", "10.0.0.77", "");
    first.write("/etc/keepalived/keepalived.conf", &slower);
    first.shell("evenkeel reload");
    let agreed = wait_for(PATIENCE, || {
        let views = [view(&first, "other")?, view(&second, "other")?];
        let done = views[0]["polling"] == false && views[1]["remote"]["min_tx_seconds"] == 0.08;
        done.then_some(views)
    });
    let after = agreed.unwrap_or_else(|| panic!("{:?}\n{}", view(&first, "other"), first.logs()));
    for (before, after) in before.iter().zip(&after) {
        for member in ["state", "local_discriminator"] {
            assert_eq!(before[member], after[member], "{member}");
        }
        assert_eq!((&after["counters"]["ups"], &after["counters"]["downs"]), (&1.into(), &0.into()));
    }
    assert_eq!(view(&first, "none").expect("the new session")["state"], "Down");

    second.power_off();
    let lost = await_state(&first, "other", "Down");
    assert_eq!((&lost["remote"], &lost["local_diagnostic"]), (&Value::Null, &"expired".into()));
    assert_ne!(lost["local_discriminator"], after[0]["local_discriminator"], "the next life has another number");
}

#[test]
fn a_session_that_cannot_have_its_address_comes_up_once_the_address_is_there() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let conf = [
        session("other", "10.0.0.11", "source_ip 10.0.0.20"),
        "bfd_instance nowhere {\n    min_rx 50\n}\n".to_owned(),
        instance(100, "track_bfd {\n        nowhere\n    }"),
    ];
    let first = evenkeel(&lan, "first", "10.0.0.10/24", &conf.concat());
    let second = evenkeel(&lan, "second", "10.0.0.11/24", &session("other", "10.0.0.20", ""));
    first.start_service(Service::Keepalived);
    second.start_service(Service::Keepalived);
    let view = await_state(&first, "other", "AdminDown");
    assert!(view["reason"].as_str().is_some_and(|reason| reason.contains("cannot assign requested address")), "{view}");
    // A session without neighbour never comes up, for what tracks it either.
    let state = || first.status().map(|status| status["instances"][0]["state"].clone());
    assert!(wait_until(PATIENCE, || state() == Some("fault".into())), "{:?}", state());
    first.shell("ip address add 10.0.0.20/24 dev eth0");
    // keepalived asks again each minute only.
    await_state(&first, "other", "Up");
    await_state(&second, "other", "Up");
}

#[test]
fn debians_keepalived_and_evenkeel_see_each_other_come_and_go() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let lan = Lan::new();
    let node = evenkeel(&lan, "node", "10.0.0.10/24", &session("other", "10.0.0.11", "source_ip 10.0.0.10"));
    let peer = lan.machine("peer", "eth0", "10.0.0.11/24");
    peer.write("/etc/keepalived/keepalived.conf", &session("other", "10.0.0.10", "source_ip 10.0.0.11"));
    node.start_service(Service::Keepalived);
    let start =
        || peer.spawn("keepalived.log", &["keepalived", "-n", "-l", "-D", "-p", "/tmp/k.pid", "-b", "/tmp/b.pid"]);
    let mut keepalived = start();
    await_state(&node, "other", "Up");
    let said = |line: &str| wait_until(PATIENCE, || peer.read("/tmp/keepalived.log").contains(line));
    assert!(said("(other) Entering Up state"), "{}", peer.logs());

    node.stop_service(Service::Keepalived);
    let expired = "(other) Entering Down state (Local diagnostic - Control Detection Time Expired";
    assert!(said(expired), "{}", peer.logs());
    node.start_service(Service::Keepalived);
    await_state(&node, "other", "Up");

    let crash = || peer.shell("kill -9 $(cat /tmp/k.pid /tmp/b.pid)");
    crash();
    let _ = keepalived.wait();
    let lost = await_state(&node, "other", "Down");
    assert_eq!(lost["local_diagnostic"], "expired");
    keepalived = start();
    await_state(&node, "other", "Up");
    crash();
    let _ = keepalived.wait();
}

#[test]
fn a_vrrp_process_that_dies_takes_its_sessions_along_until_it_has_begun_anew() {
    if !able_to_run(&["bird"]) {
        return;
    }
    let lan = Lan::new();
    let peer = lan.machine("peer", "eth0", "10.0.0.2/24");
    let conf = session("near", "10.0.0.2", "source_ip 10.0.0.10") + &instance(150, "track_bfd {\n        near\n    }");
    let node = evenkeel(&lan, "node", "10.0.0.10/24", &conf);
    let bird = Bird::start(&peer, &["10.0.0.10 dev \"eth0\""]);
    node.start_service(Service::Keepalived);
    let before = await_state(&node, "near", "Up");
    bird.await_sessions("Up", 1);
    node.await_holding(VIP, PATIENCE);

    let vrrp = |node: &Machine| {
        let roles = node.status()?["roles"].as_array()?.clone();
        roles.into_iter().find(|role| role["name"] == "vrrp" && role["state"] == "running")
    };
    let first = vrrp(&node).expect("it runs")["pid"].clone();
    node.shell(&format!("kill -9 {first}"));
    let second = wait_for(PATIENCE, || vrrp(&node).filter(|role| role["pid"] != first));
    assert_eq!(second.unwrap_or_else(|| panic!("{}", node.logs()))["restarts"], 1);
    // The peer knows the session that is gone by its number, and gives it up for the new one's.
    let after = await_state(&node, "near", "Up");
    assert_ne!(after["local_discriminator"], before["local_discriminator"]);
    bird.await_sessions("Up", 1);
    // A session that is not up is one that is down: what tracks it waits for the new one.
    node.await_holding(VIP, PATIENCE);
    let fault = wait_for(PATIENCE, || why(&node, "VI_1", "bfd near")).expect("an explanation");
    assert!(fault["trigger"].as_str().is_some_and(|trigger| trigger.contains("bfd near")), "{fault}");
}

#[test]
fn a_session_of_the_shortest_intervals_comes_up_beside_bird_and_notices_its_death() {
    if !able_to_run(&["bird"]) {
        return;
    }
    let lan = Lan::new();
    let peer = lan.machine("peer", "eth0", "10.0.0.2/24");
    // 10 ms are the least that keepalived takes, and its default.
    let conf = "global_defs {\n    vrrp_rt_priority 20\n}\n\
                bfd_instance near {\n    neighbor_ip 10.0.0.2\n    source_ip 10.0.0.10\n    multiplier 20\n}\n";
    let node = evenkeel(&lan, "node", "10.0.0.10/24", conf);
    peer.write(
        "/tmp/bird.conf",
        "router id 10.0.0.2;\nlog stderr all;\nprotocol device { }\nprotocol bfd {\n    interface \"*\" { min rx interval \
         10 ms; min tx interval 10 ms; multiplier 20; };\n    neighbor 10.0.0.10 dev \"eth0\";\n}\n",
    );
    let mut bird = Bird { machine: &peer, process: None };
    bird.go_on();
    node.start_service(Service::Keepalived);
    let agreed = wait_for(PATIENCE, || {
        view(&node, "near").filter(|view| {
            let is_fast = view["tx_interval_seconds"] == 0.01 && view["remote"]["min_tx_seconds"] == 0.01;
            view["state"] == "Up" && is_fast && view["counters"]["received"].as_u64() > Some(200)
        })
    });
    let agreed = agreed.unwrap_or_else(|| panic!("{:?}\n{}", view(&node, "near"), node.logs()));
    assert_eq!(agreed["detection_seconds"], 0.2, "{agreed}");
    bird.crash();
    let lost = await_state(&node, "near", "Down");
    assert_eq!(lost["local_diagnostic"], "expired", "{lost}");
    let explained = wait_for(PATIENCE, || why(&node, "near", "no packet from")).expect("an explanation");
    assert!(explained["waited_seconds"].as_f64() >= Some(0.2), "{explained}");
}
