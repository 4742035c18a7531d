//! What USR1, USR2 and the JSON signal write, beside what keepalived writes for the same configuration.

use evenkeel_e2e::{Lan, Machine, able_to_run, wait_for};
use serde_json::Value;
use std::process::Child;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

const CONF: &str = "global_defs {
    router_id R1
    script_user root
    enable_script_security
    vrrp_garp_master_refresh 60
    vrrp_higher_prio_send_advert
    notification_email {
        a@example.org
    }
    smtp_server 127.0.0.1
    smtp_alert_vrrp off
    smtp_helo_name lb.example.org
    notification_email_from lb@example.org
}
vrrp_script chk {
    script \"/usr/bin/test -d /usr\"
    interval 1
    timeout 5
    weight 5
    rise 2
    fall 3
}
vrrp_script chk_bad {
    script \"/usr/bin/test -d /nowhere\"
    interval 1
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 150
    preempt_delay 10.5
    smtp_alert
    authentication {
        auth_type PASS
        auth_pass secret12
    }
    virtual_ipaddress {
        10.0.0.100/24 brd 10.0.0.255
        10.0.0.101 dev lo scope link
    }
    virtual_ipaddress_excluded {
        10.0.0.102/24
    }
    track_script {
        chk
    }
    track_interface {
        lo
    }
    notify_master \"/usr/bin/true master\"
    notify_backup \"/usr/bin/true backup\"
    notify_fault \"/usr/bin/true fault\"
    notify_stop \"/usr/bin/true stop\"
    notify \"/usr/bin/true any\"
}
vrrp_instance VI_2 {
    interface eth0
    virtual_router_id 52
    priority 100
    nopreempt
    version 3
    advert_int 0.5
    unicast_src_ip 10.0.0.10
    unicast_peer {
        10.0.0.2
    }
    virtual_ipaddress {
        10.0.0.110
    }
}
vrrp_instance VI_3 {
    interface eth0
    virtual_router_id 53
    dont_track_primary
    lower_prio_no_advert
    track_script {
        chk_bad
    }
    virtual_ipaddress {
        10.0.0.111
    }
}
";

/// The real program and ours, each on a LAN of its own so that both become master.
struct Twins {
    machines: [Machine; 2],
    daemons: [Child; 2],
    _lans: [Lan; 2],
}

impl Twins {
    fn start() -> Self {
        Twins::start_with(CONF, &["10.0.0.100", "10.0.0.110"], "chk_bad) failed")
    }

    fn start_with(conf: &str, addresses: &[&str], last: &str) -> Self {
        let lans = [Lan::new(), Lan::new()];
        let real = lans[0].machine("host", "eth0", "10.0.0.10/24");
        let ours = lans[1].machine("host", "eth0", "10.0.0.10/24").with_evenkeel();
        let machines = [real, ours];
        let daemons = machines.each_ref().map(|machine| {
            machine.write("/etc/keepalived/keepalived.conf", conf);
            machine.spawn("keepalived.log", &["keepalived", "-n", "-l", "-D"])
        });
        for machine in &machines {
            addresses.iter().for_each(|address| machine.await_holding(address, PATIENCE));
            assert!(wait_for(PATIENCE, || machine.read("/tmp/keepalived.log").contains(last).then_some(())).is_some());
        }
        Twins { machines, daemons, _lans: lans }
    }

    /// The text that both write to a file on a signal, once it has what it ends with.
    fn written(&self, signal: &str, file: &str, last: &str) -> [String; 2] {
        self.machines.each_ref().map(|machine| {
            machine.shell(&format!("kill -{signal} $(cat /run/keepalived.pid)"));
            let text = wait_for(PATIENCE, || Some(machine.read(file)).filter(|text| text.contains(last)));
            text.unwrap_or_else(|| panic!("{}: {file}: {}", machine.name(), machine.logs()))
        })
    }
}

impl Drop for Twins {
    fn drop(&mut self) {
        for (machine, daemon) in self.machines.iter().zip(&mut self.daemons) {
            machine.run(&["sh", "-c", "kill $(cat /run/keepalived.pid)"]);
            let _ = daemon.wait();
        }
    }
}

/// What differs from run to run, or is hidden here.
const VOLATILE: [&str; 9] = [
    "Last transition",
    "Read timeout",
    "Password",
    "index",
    "MAC",
    "IPv6 address",
    // Seconds of an own score, not of the clock: the number of runs so far.
    "Result",
    // keepalived rounds the skew by its own arithmetic.
    "Master down timer",
    "local discriminator",
];

/// `   Label = value`: what precedes the equals sign, blanks and all, and what follows.
fn halves(line: &str) -> (&str, &str) {
    line.split_once(" = ").unwrap_or((line, ""))
}

/// Each line of ours is one of theirs, in their order.
fn is_part_of(ours: &str, theirs: &str) {
    let mut rest = theirs.lines();
    for line in ours.lines() {
        let (label, value) = halves(line);
        let mut skipped = Vec::new();
        loop {
            let Some(candidate) = rest.next() else {
                panic!("`{line}` is not in keepalived's dump after {skipped:#?}")
            };
            let (other, expected) = halves(candidate);
            if label == other {
                // Of an IPv6 address that a machine gave itself only that it is one.
                let is_own = |text: &str| text.starts_with("fe80::");
                let is_volatile = VOLATILE.contains(&label.trim()) || (is_own(value) && is_own(expected));
                assert!(is_volatile || value == expected, "ours: `{line}`, keepalived's: `{candidate}`");
                break;
            }
            skipped.push(candidate);
        }
    }
}

fn part<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let rest = &text[text.find(from).unwrap_or_else(|| panic!("{from} in {text}"))..];
    &rest[..rest.find(to).unwrap_or(rest.len())]
}

#[test]
fn the_dumps_have_keepaliveds_lines_in_its_order_with_its_values() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let twins = Twins::start();
    let [theirs, ours] = twins.written("USR1", "/tmp/keepalived.data", "Tracking VRRP instances :");
    for (from, to) in [
        ("------< Global definitions", "------< VRRP Topology"),
        ("------< VRRP Topology", "------< VRRP S"),
        ("------< VRRP Scripts", "------< Interfaces"),
    ] {
        is_part_of(part(&ours, from, to), part(&theirs, from, to));
    }
    // The other way round for what tools look for: nothing of it may be missing.
    let topology = |text: &str| -> Vec<String> {
        let text = part(text, "------< VRRP Topology", "------< VRRP S");
        let absent = ["   fd_in", "   Notify deleted"];
        let lines = text.lines().filter(|line| !absent.iter().any(|label| line.starts_with(label)));
        lines.map(|line| halves(line).0.to_owned()).collect()
    };
    assert_eq!(topology(&ours), topology(&theirs));
    for machine in &twins.machines {
        let listing = machine.shell("stat -c '%n %a' /tmp/keepalived*.data");
        assert_eq!(listing, "/tmp/keepalived.data 600\n/tmp/keepalived_parent.data 600\n", "{}", machine.name());
    }
    assert!(!ours.contains("secret12"), "{ours}");
}

/// Much of what may stand in a configuration.
const MUCH: &str = include_str!("../files/much.conf");

/// Lines that keepalived has of what does not exist here: sockets, sysctls, its own libraries and buffers, and of what is
/// accepted without effect.
const ABSENT: &[&str] = &["fd_in", "libnftnl version", "Kernel rx buffer size", "State = idle", "Debug level"];

#[test]
fn much_of_what_may_be_configured_has_keepaliveds_lines() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let twins = Twins::start_with(
        MUCH,
        &["10.0.0.100", "10.0.0.110", "10.0.0.111", "2001:db8::1"],
        "VRRP_Script(chk) succeeded",
    );
    let [theirs, ours] = twins.written("USR1", "/tmp/keepalived.data", "------< Interfaces");
    // Of a route that it has put in it says so as long as it has not heard of it.
    let theirs = theirs.replace(" [installed ifindex 0]", "");
    is_part_of(
        part(&ours, "------< Global definitions", "------< Static"),
        part(&theirs, "------< Global", "------< Static"),
    );
    let sections = [
        ("------< Static Addresses", "------< VRRP Topology"),
        ("------< VRRP Topology", "------< VRRP S"),
        ("------< VRRP Sync groups", "------< VRRP Scripts"),
        ("------< VRRP Scripts", "------< Interfaces"),
    ];
    for (from, to) in sections {
        is_part_of(part(&ours, from, to), part(&theirs, from, to));
        let labels = |text: &str| -> Vec<String> {
            let lines = part(text, from, to).lines();
            let lines = lines.filter(|line| !ABSENT.iter().any(|label| line.trim_start().starts_with(label)));
            lines.map(|line| halves(line).0.to_owned()).collect()
        };
        assert_eq!(labels(&ours), labels(&theirs));
    }
    let [theirs, ours] = twins.written("USR1", "/tmp/keepalived_bfd.data", "last_seen");
    let bfd = |text: &str| part(text, "------< BFD Topology", "------< never").to_owned();
    is_part_of(&bfd(&ours), &bfd(&theirs));
    let timers = ["fd_out", "thread_", "sands_"];
    let labels = |text: &str| -> Vec<String> {
        let text = bfd(text);
        let lines = text.lines().filter(|line| !timers.iter().any(|label| line.trim_start().starts_with(label)));
        lines.map(|line| halves(line).0.to_owned()).collect()
    };
    assert_eq!(labels(&ours), labels(&theirs));
    let [theirs, ours] = twins.written("36", "/tmp/keepalived.json", "]");
    let [theirs, ours] = [theirs, ours].map(|text| serde_json::from_str::<Value>(&text).expect("it is JSON"));
    for (theirs, ours) in theirs.as_array().expect("a list").iter().zip(ours.as_array().expect("a list")) {
        for (name, value) in theirs["data"].as_object().expect("members") {
            let is_volatile = ["last_transition", "auth_data", "garp_delay"].contains(&name.as_str());
            assert!(is_volatile || ours["data"][name] == *value, "{name}: {} {value}", ours["data"][name]);
        }
    }
    // keepalived has it since 2.4. What the group tracks is among it here.
    assert_eq!(ours[0]["data"]["track_process"], serde_json::json!(["no such", "init"]));
}

/// Lines that keepalived has since 2.4, and Debian's has not.
fn is_new(line: &str) -> bool {
    let new =
        ["Authentication Extension Errors", "Missing", "Malformed", "Unknown Key", "Invalid HMAC", "Stale", "Replay"];
    new.iter().any(|label| line.trim_start().starts_with(&format!("{label}:")))
}

#[test]
fn statistics_have_keepaliveds_form() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let twins = Twins::start();
    let texts = twins.written("USR2", "/tmp/keepalived.stats", "VRRP Instance: VI_3");
    let labels = |text: &String| -> Vec<String> {
        text.lines()
            .filter(|line| !is_new(line))
            .map(|line| line.rsplit_once(' ').map_or(line, |(label, _)| label).to_owned())
            .collect()
    };
    assert_eq!(labels(&texts[1]), labels(&texts[0]));
    let cleared = twins.written("63", "/tmp/keepalived.stats", "VRRP Instance: VI_3");
    assert!(cleared[1].contains("Became master: 1"), "what is cleared is written once more: {}", cleared[1]);
    let ours = &twins.machines[1];
    let anew = wait_for(PATIENCE, || {
        ours.shell("kill -USR2 $(cat /run/keepalived.pid)");
        Some(ours.read("/tmp/keepalived.stats")).filter(|text| !text.contains("Became master: 1"))
    });
    assert!(anew.is_some_and(|text| text.contains("Became master: 0")));
}

#[test]
fn the_json_has_keepaliveds_members_and_values() {
    if !able_to_run(&["keepalived"]) {
        return;
    }
    let twins = Twins::start();
    let texts = twins.written("36", "/tmp/keepalived.json", "]");
    let [theirs, ours] = texts.each_ref().map(|text| serde_json::from_str::<Value>(text).expect("it is JSON"));
    let (theirs, ours) = (theirs.as_array().expect("a list"), ours.as_array().expect("a list"));
    assert_eq!(ours.len(), theirs.len());
    for (theirs, ours) in theirs.iter().zip(ours) {
        for half in ["data", "stats"] {
            let (theirs, ours) = (theirs[half].as_object().unwrap(), ours[half].as_object().unwrap());
            let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            let known = |names: Vec<String>| {
                names.into_iter().filter(|name| !name.starts_with("auth_ext_")).collect::<Vec<_>>()
            };
            assert_eq!(known(names(ours)), names(theirs));
            let same = |name: &&String| !["last_transition", "auth_data"].contains(&name.as_str()) && half == "data";
            for name in theirs.keys().filter(same) {
                assert_eq!(ours[name], theirs[name], "{name}");
            }
        }
    }
    assert_eq!(ours[0]["data"]["auth_data"], "********");
    assert_eq!(members(&texts[1]), members(&texts[0]));
}

/// Names in the order of the text, but for those of the scripts, whose order changed from release to release.
fn members(text: &str) -> Vec<&str> {
    text.split('"')
        .filter(|word| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .filter(|word| !word.starts_with("script_") && !word.starts_with("auth_ext_"))
        .collect()
}

#[test]
fn names_and_layouts_of_the_dumps_follow_the_configuration() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let host = lan.machine("host", "eth0", "10.0.0.10/24").with_evenkeel();
    let own =
        "instance One\nglobal_defs {\n    data_use_instance\n    json_version 2\n    state_dump_file /var/dumps/\n}\n";
    let process = "vrrp_track_process p {\n    process no-such-process a b\n    param_match initial\n    quorum 2\n    \
                   quorum_max 9\n    weight 3 reverse\n    terminate_delay 1.5\n    fork_delay 2\n}\n";
    let conf =
        CONF.replacen("    track_interface {", "    track_process {\n        p\n    }\n    track_interface {", 1);
    host.write("/etc/keepalived/keepalived.conf", &format!("{own}{process}{conf}"));
    host.shell("mkdir /var/dumps; keepalived");
    host.await_holding("10.0.0.100", PATIENCE);
    host.shell("kill -USR1 $(cat /run/keepalived.pid /run/keepalived/keepalived_One.pid 2>/dev/null)");
    let dump = wait_for(PATIENCE, || Some(host.read("/var/dumps/keepalived.One.data")).filter(|text| !text.is_empty()));
    assert!(dump.is_some_and(|text| text.contains("VRRP Instance = VI_1")), "{}", host.logs());
    assert!(host.read("/var/dumps/keepalived_parent.One.data").contains("Instance name = One"));
    host.shell(
        "kill -$(keepalived --signum=JSON) $(cat /run/keepalived.pid /run/keepalived/keepalived_One.pid 2>/dev/null)",
    );
    let json = wait_for(PATIENCE, || serde_json::from_str::<Value>(&host.read("/tmp/keepalived.json")).ok());
    let json = json.expect("it is JSON");
    assert_eq!(json["vrrp"][0]["data"]["iname"], "VI_1");
    let processes = serde_json::json!([{
        "process": "no-such-process", "parameters": "a b", "param_match": "initial", "min_processes": 2,
        "max_processes": 9, "current_processes": 0, "have_quorum": false, "weight": -3, "terminate_delay": 1.5,
        "fork_delay": 2, "fork_delay_timer_running": false, "terminate_delay_timer_running": false, "full_command": true
    }]);
    assert_eq!(json["track_process"], processes);
}
