//! The daemon as a whole: what it holds on to, what it leaves behind, and what it may do.

use evenkeel_e2e::probe::{await_page, get, on};
use evenkeel_e2e::seeds::{PAGE, Pair, Programs, VIP};
use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_for, wait_until};
use std::time::Duration;

const TAKEOVER: Duration = Duration::from_secs(10);

const ALONE: &str = "vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 50
    priority 150
    version 3
    advert_int 0.1
    virtual_ipaddress {
        10.0.0.100
    }
}
";

/// One machine with a node that soon has the address.
fn alone(lan: &Lan) -> Machine {
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    lb.write("/etc/keepalived/keepalived.conf", ALONE);
    lb.start_service(Service::Keepalived);
    lb.await_holding(VIP, TAKEOVER);
    lb
}

#[test]
fn an_address_removed_by_hand_comes_back_within_a_second_and_why_says_so() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let lb = alone(&lan);
    lb.shell("ip addr del 10.0.0.100/32 dev eth0");
    lb.await_holding(VIP, Duration::from_secs(1));
    let why = wait_for(Duration::from_secs(2), || {
        let why = lb.shell("evenkeel why VI_1");
        why.contains("removed").then_some(why)
    });
    assert!(why.is_some_and(|why| why.contains(VIP)), "{}", lb.shell("evenkeel why VI_1"));
    assert!(lb.read("/tmp/keepalived.log").contains(VIP) || lb.logs().contains("removed"), "{}", lb.logs());
}

#[test]
fn an_address_left_over_by_a_killed_run_is_cleaned_at_start() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let lb = alone(&lan);
    // A role that sees its supervisor die lets go, and a supervisor that sees its role die starts another: so the
    // supervisor stands still while the role is killed. (A role that stands still is woken when its parent dies.)
    lb.shell("p=$(cat /run/keepalived.pid); kill -STOP $p; kill -9 $(pgrep -f -- '[-]-role vrrp'); kill -9 $p");
    lb.shell("while pgrep -x keepalived || pgrep -f -- '[-]-role'; do sleep 0.05; done");
    assert!(lb.holds(VIP), "a killed daemon cannot clean up");
    let other = lan.machine("lb02", "eth0", "10.0.0.11/24").with_evenkeel();
    other.write("/etc/keepalived/keepalived.conf", &ALONE.replace("priority 150", "priority 200"));
    other.start_service(Service::Keepalived);
    other.await_holding(VIP, TAKEOVER);
    lb.start_service(Service::Keepalived);
    lb.await_release(VIP, Duration::from_secs(3));
}

#[test]
fn a_stopped_daemon_leaves_nothing_behind() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let pair = Pair::new(Programs::Evenkeel);
    pair.start();
    pair.lb01.await_holding(VIP, TAKEOVER);
    for service in [Service::Keepalived, Service::Nginx] {
        pair.lb01.stop_service(service);
    }
    assert!(!pair.lb01.holds(VIP));
    let left = pair.lb01.shell(
        "find /run -type f -o -type s; ps -e -o args= | grep -E 'evenkeel|keepalived|nginx' | grep -v grep; true",
    );
    assert_eq!(left, "");
}

#[test]
fn a_role_that_dies_is_restarted_and_the_address_answers_again() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let lan = Lan::new();
    let lb = alone(&lan);
    // `[-]` keeps the pattern from matching the shell that it stands in.
    let role = || lb.shell("pgrep -f -- '[-]-role vrrp'").trim().to_owned();
    let first = role();
    lb.shell(&format!("kill -9 {first}"));
    let second = wait_for(TAKEOVER, || {
        let output = lb.run(&["pgrep", "-f", "--", "--rol[e] vrrp"]);
        let pid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && pid != first).then_some(pid)
    });
    assert!(second.is_some(), "the role was not restarted\n{}", lb.logs());
    lb.await_holding(VIP, TAKEOVER);
    let known = wait_until(TAKEOVER, || lb.status().is_some_and(|s| s["instances"][0]["state"] == "master"));
    assert!(known, "{:?}", lb.status());
}

#[test]
fn a_vrrp_role_that_dies_as_master_is_master_again_before_its_peer_can_be() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let lan = Lan::new();
    // An instance that depends on a script waits for it at any other start.
    let script = "vrrp_script chk {\n    script \"/bin/true\"\n    interval 1\n}\n";
    let conf = ALONE.replace("advert_int 0.1", "advert_int 2\n    track_script {\n        chk\n    }");
    let [lb, peer] =
        [("lb01", "10.0.0.10/24", "150"), ("lb02", "10.0.0.11/24", "100")].map(|(name, address, priority)| {
            let lb = lan.machine(name, "eth0", address).with_evenkeel();
            let conf = conf.replace("priority 150", &format!("priority {priority}"));
            lb.write("/etc/keepalived/keepalived.conf", &(script.to_owned() + &conf));
            lb.start_service(Service::Keepalived);
            lb
        });
    lb.await_holding(VIP, 2 * TAKEOVER);
    let instance = |machine: &Machine| machine.status().map_or(serde_json::Value::Null, |s| s["instances"][0].clone());
    assert!(wait_until(TAKEOVER, || instance(&peer)["state"] == "backup" && !instance(&peer)["peer"].is_null()));

    let heard = instance(&peer)["counters"]["advert_rcvd"].as_u64();
    lb.shell("kill -9 $(pgrep -f -- '[-]-role vrrp')");
    let again = wait_until(TAKEOVER, || {
        assert!(lb.holds(VIP), "the address stays where it is\n{}", lb.logs());
        instance(&lb)["state"] == "master"
    });
    assert!(again, "{}\n{}", lb.logs(), lb.shell("evenkeel why"));
    assert!(wait_until(TAKEOVER, || instance(&peer)["counters"]["advert_rcvd"].as_u64() > heard), "{}", peer.logs());
    let seen = instance(&peer);
    assert_eq!((&seen["state"], &seen["counters"]["become_master"]), (&"backup".into(), &0.into()), "{}", peer.logs());
    assert_eq!(instance(&lb)["counters"]["become_master"], 1);
    let why = lb.shell("evenkeel why VI_1");
    assert!(why.contains("died as master and was started again"), "{why}");
}

/// A balancer that runs proxy and virtual router in one daemon, with a tracked proxy.
fn whole(lan: &Lan, name: &str, address: &str, priority: u8) -> Machine {
    let lb = lan.machine(name, "eth0", address).with_evenkeel();
    let conf = ALONE.replace("priority 150", &format!("priority {priority}"));
    let conf =
        conf.replace("    virtual_ipaddress", "    track_proxy {\n        weight -60\n    }\n    virtual_ipaddress");
    lb.write("/etc/keepalived/keepalived.conf", &conf);
    lb.write("/etc/nginx/conf.d/kd.test.conf", include_str!("../files/001/kd.test.conf"));
    lb
}

fn run_whole(lb: &Machine) -> std::process::Child {
    lb.spawn(
        "evenkeel.log",
        &["evenkeel", "run", "-f", "/etc/keepalived/keepalived.conf", "--nginx", "/etc/nginx/nginx.conf"],
    )
}

#[test]
fn the_address_follows_the_proxy_without_a_script() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let pair = Pair::new(Programs::Evenkeel);
    let lan = &pair.lan;
    let one = whole(lan, "one", "10.0.0.20/24", 150);
    let two = whole(lan, "two", "10.0.0.21/24", 100);
    let mut daemons = [run_whole(&one), run_whole(&two)];
    one.await_holding(VIP, TAKEOVER);
    await_page(&pair.client, PAGE, "web0", TAKEOVER);

    assert!(!one.shell("evenkeel why").contains("proxy has failed"), "a start is no failure");

    // The proxy cannot answer: each time it comes back it is stopped again.
    one.shell("for p in $(pgrep -f -- '[-]-role proxy'); do kill -STOP $p; done");
    two.await_holding(VIP, TAKEOVER);
    await_page(&pair.client, PAGE, "web0", TAKEOVER);
    let why = two.shell("evenkeel why");
    assert!(!why.is_empty());

    one.shell("for p in $(pgrep -f -- '[-]-role proxy'); do kill -CONT $p; done");
    one.await_holding(VIP, TAKEOVER);
    await_page(&pair.client, PAGE, "web0", TAKEOVER);

    // No web server left for either: both are equally unwell and the preferred one keeps the address.
    let status = one.status().expect("a status");
    assert!(
        status["proxy"]["upstreams"][0]["servers"].as_array().is_some_and(|servers| servers.len() == 2),
        "{status}"
    );
    for daemon in &mut daemons {
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
}

#[test]
fn a_bad_file_never_disturbs_what_runs_and_a_good_one_is_taken() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let lb = alone(&lan);
    lb.write("/etc/keepalived/keepalived.conf", &ALONE.replace("interface eth0", "interface"));
    let refused = lb.run(&["evenkeel", "reload"]);
    assert!(!refused.status.success(), "a bad file is refused");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(text.contains("keepalived.conf:2:"), "the place is named: {text}");
    assert!(lb.holds(VIP));
    assert_eq!(lb.status().expect("a status")["instances"][0]["state"], "master");

    let second = ALONE.replace("10.0.0.100", "10.0.0.100\n        10.0.0.101");
    lb.write("/etc/keepalived/keepalived.conf", &second);
    lb.shell("evenkeel reload");
    lb.await_holding("10.0.0.101", TAKEOVER);
    assert!(lb.holds(VIP));
    lb.write("/etc/keepalived/keepalived.conf", ALONE);
    lb.shell("kill -HUP $(cat /run/keepalived.pid)");
    lb.await_release("10.0.0.101", TAKEOVER);
    assert!(lb.holds(VIP));
}

#[test]
fn a_configuration_that_the_proxy_refuses_changes_nothing_anywhere() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let lan = Lan::new();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    lb.write("/etc/keepalived/keepalived.conf", ALONE);
    lb.write("/etc/nginx/conf.d/site.conf", "server { listen 8080; return 200 old; }\n");
    let mut daemon = run_whole(&lb);
    lb.await_holding(VIP, TAKEOVER);
    let ask = |port: u16| on(&lb, || get(&format!("127.0.0.1:{port}"), "lab", "/", Duration::from_secs(2)));
    assert!(wait_until(TAKEOVER, || ask(8080).is_ok_and(|answer| answer.1 == "old")), "{}", lb.logs());

    // What compiles, binds and is then too much: copies of twenty sockets for each worker, of which few fit.
    let listens: String = (8080..8100).map(|port| format!("listen {port}; ")).collect();
    lb.write(
        "/etc/nginx/conf.d/site.conf",
        &format!("server {{ {listens} listen unix:/run/new.sock; return 200 new; }}\n"),
    );
    lb.write("/etc/keepalived/keepalived.conf", &ALONE.replace("10.0.0.100", "10.0.0.100\n        10.0.0.101"));
    let role = lb.shell("pgrep -f -- '[-]-role proxy'").trim().to_owned();
    // As the user of the process: root may change another's limits only where it has CAP_SYS_RESOURCE.
    let prlimit = format!(
        "setpriv --reuid $(stat -c %u /proc/{role}) --regid $(stat -c %g /proc/{role}) --clear-groups prlimit --pid {role}"
    );
    let limit = lb.shell(&format!("{prlimit} --nofile --output SOFT --noheadings")).trim().to_owned();
    lb.shell(&format!("{prlimit} --nofile=$(($(ls /proc/{role}/fd | wc -l) + 30)):"));
    let refused = lb.run(&["evenkeel", "reload"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success(), "{text}");
    assert!(text.contains("duplicate a listening socket") && !text.contains("in part"), "{text}");
    let log = lb.read("/tmp/evenkeel.log");
    assert!(log.contains("Reload refused; what ran before goes on"), "{log}");
    // The vrrp role has answered after whatever it was told before.
    assert!(lb.status().expect("a status")["instances"][0]["addresses"].as_array().is_some_and(|list| list.len() == 1));
    assert!(lb.holds(VIP) && !lb.holds("10.0.0.101"));
    assert_eq!(ask(8080).expect("an answer").1, "old");
    assert!(ask(8081).is_err(), "nobody listens there");
    assert!(!lb.path("/run/new.sock").exists());
    assert_eq!(lb.shell("pgrep -f -- '[-]-role proxy'").trim(), role, "the same process serves");

    lb.shell(&format!("{prlimit} --nofile={limit}:"));
    lb.shell("evenkeel reload");
    lb.await_holding("10.0.0.101", TAKEOVER);
    assert_eq!(
        (ask(8080).expect("an answer").1, ask(8099).expect("an answer").1),
        ("new".to_owned(), "new".to_owned())
    );
    let _ = daemon.kill();
    let _ = daemon.wait();
}

#[test]
fn the_proxy_role_has_no_privilege_and_the_vrrp_role_only_two() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let lan = Lan::new();
    let lb = whole(&lan, "one", "10.0.0.20/24", 150);
    let mut daemon = run_whole(&lb);
    lb.await_holding(VIP, TAKEOVER);
    let field = |role: &str, name: &str| {
        let status = lb.shell(&format!("cat /proc/$(pgrep -f -- '[-]-role {role}' | head -n 1)/status"));
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    let capabilities = |role: &str| u64::from_str_radix(&field(role, "CapEff:"), 16).expect("a mask");
    assert!(wait_until(TAKEOVER, || field("proxy", "Seccomp:") == "2"), "a filter is in force");
    assert_eq!(capabilities("proxy"), 0);
    assert_eq!(u64::from_str_radix(&field("proxy", "CapBnd:"), 16), Ok(0));
    assert_eq!(field("proxy", "NoNewPrivs:"), "1");
    assert_ne!(field("proxy", "Uid:"), "0");
    // CAP_NET_ADMIN is 12, CAP_NET_RAW is 13 (capability.h).
    assert_eq!(capabilities("vrrp") & !(1 << 12 | 1 << 13), 0, "{:x}", capabilities("vrrp"));
    assert_eq!(field("vrrp", "NoNewPrivs:"), "1");
    let _ = daemon.kill();
    let _ = daemon.wait();
}

#[test]
fn a_crashed_proxy_comes_back_by_itself() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let pair = Pair::new(Programs::Evenkeel);
    let lb = whole(&pair.lan, "one", "10.0.0.20/24", 150);
    let mut daemon = run_whole(&lb);
    lb.await_holding(VIP, TAKEOVER);
    await_page(&pair.client, PAGE, "web0", TAKEOVER);
    lb.shell("kill -9 $(pgrep -f -- '[-]-role proxy' | head -n 1)");
    await_page(&pair.client, PAGE, "web0", TAKEOVER);
    let log = lb.read("/tmp/evenkeel.log");
    assert!(log.contains("proxy") && log.contains("signal"), "the reason is logged: {log}");
    let answer = on(&pair.client, || get(PAGE, "kd", "/", Duration::from_secs(2)));
    assert_eq!(answer.expect("an answer").0, 200);
    let _ = daemon.kill();
    let _ = daemon.wait();
}

#[test]
fn a_proxy_that_hangs_is_killed_and_started_again() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let pair = Pair::new(Programs::Evenkeel);
    let lb = whole(&pair.lan, "one", "10.0.0.20/24", 150);
    let mut daemon = run_whole(&lb);
    lb.await_holding(VIP, TAKEOVER);
    await_page(&pair.client, PAGE, "web0", TAKEOVER);
    lb.shell("kill -STOP $(pgrep -f -- '[-]-role proxy')");
    let explained = wait_until(3 * TAKEOVER, || lb.shell("evenkeel why").contains("had not answered its supervisor"));
    assert!(explained, "{}\n{}", lb.shell("evenkeel why"), lb.logs());
    await_page(&pair.client, PAGE, "web0", TAKEOVER);
    let log = lb.read("/tmp/evenkeel.log");
    assert!(log.contains("the proxy role was killed: it had not answered its supervisor"), "{log}");
    let role = lb.status().expect("a status")["roles"][1].clone();
    assert_eq!((&role["name"], &role["restarts"]), (&"proxy".into(), &1.into()), "{role}");
    let _ = daemon.kill();
    let _ = daemon.wait();
}

#[test]
fn script_security_keeps_from_root_what_others_can_write() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    lb.install("/opt/open/check.sh", "#!/bin/sh\ntouch /tmp/open-ran\nexit 1\n");
    lb.install("/opt/shut/check.sh", "#!/bin/sh\ntouch /tmp/shut-ran\nexit 0\n");
    lb.install("/opt/open/notify.sh", "#!/bin/sh\ntouch /tmp/notify-ran\n");
    lb.shell("chmod 777 /opt/open; chown -R root:root /opt; chmod 755 /opt /opt/shut");
    let script = |name: &str| format!("vrrp_script {name} {{\n    script /opt/{name}/check.sh\n    interval 1\n}}\n");
    let body = ALONE.replace(
        "    virtual_ip",
        "    notify_master /opt/open/notify.sh\n    track_script {\n        open\n        shut\n    }\n    virtual_ip",
    );
    let globals = "global_defs {\n    enable_script_security\n    script_user root\n}\n";
    lb.write("/etc/keepalived/keepalived.conf", &format!("{globals}{}{}{body}", script("open"), script("shut")));
    let mut daemon = lb.spawn("evenkeel.log", &["evenkeel", "run", "-f", "/etc/keepalived/keepalived.conf"]);
    lb.await_holding(VIP, TAKEOVER);
    assert!(lb.path("/tmp/shut-ran").exists(), "the other script decides");
    let log = lb.read("/tmp/evenkeel.log");
    assert!(
        log.contains("vrrp_script open does not run and is not tracked: /opt/open (owner root, mode 0777)"),
        "{log}"
    );
    assert!(log.contains("chown root:root /opt/open && chmod go-w /opt/open"), "{log}");
    assert!(log.contains("(VI_1) the notify script `/opt/open/notify.sh` does not run"), "{log}");
    assert!(!lb.path("/tmp/open-ran").exists() && !lb.path("/tmp/notify-ran").exists(), "{log}");
    let _ = daemon.kill();
    let _ = daemon.wait();
}

#[test]
fn a_daemon_whose_virtual_routers_cannot_begin_ends() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    lb.write("/etc/keepalived/keepalived.conf", ALONE);
    let words = "setpriv --bounding-set -net_raw timeout 20 evenkeel run -f /etc/keepalived/keepalived.conf";
    let ended = lb.run(&words.split(' ').collect::<Vec<_>>());
    let log = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{log}");
    assert!(log.contains("the vrrp role cannot do what is configured"), "{log}");
    assert!(!log.contains("started again"), "{log}");
}

#[test]
fn files_that_are_no_configuration_get_a_clear_error() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    lb.write("/tmp/empty.conf", "");
    lb.shell(
        "mkdir /tmp/directory.conf; head -c 100000 /dev/urandom > /tmp/noise.conf; truncate -s 100M /tmp/huge.conf",
    );
    for (file, word) in [
        ("/tmp/empty.conf", "empty"),
        ("/tmp/directory.conf", "directory"),
        ("/tmp/noise.conf", "text"),
        ("/tmp/huge.conf", "larger"),
        ("/tmp/absent.conf", "no such file"),
    ] {
        let output = lb.run(&["evenkeel", "check", file]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{file}: {text}");
        assert!(text.contains(file), "{file}: {text}");
        assert!(text.to_lowercase().contains(word), "{file} says {word:?}: {text}");
        assert!(text.lines().count() < 10, "{file}: one clear error, not {} lines", text.lines().count());
    }
}
