//! How the processes of the daemon run: nice values, priorities and processors as configured, and what they are kept from.

use evenkeel_e2e::{Lan, Machine, Service, wait_for};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn configuration(globals: &str) -> String {
    format!(
        "global_defs {{\n{globals}\nlb_plane xdp\n}}\n\
         vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 51\npriority 150\n\
         virtual_ipaddress {{\n10.0.0.100/24\n}}\n}}\n\
         virtual_server 10.0.0.100 80 {{\nprotocol TCP\nlb_algo rr\nlb_kind DR\ndelay_loop 60\n\
         real_server 10.0.0.51 80 {{\nTCP_CHECK {{\n}}\n}}\n}}\n"
    )
}

/// The process of a role, once it is at work.
fn process(lb: &Machine, role: &str) -> String {
    let pid = wait_for(PATIENCE, || {
        let status = lb.status()?;
        let roles = status["roles"].as_array()?.clone();
        let found = roles.into_iter().find(|process| process["name"] == role && process["state"] == "running")?;
        found["pid"].as_u64()
    });
    pid.unwrap_or_else(|| panic!("{:?}\n{}", lb.status(), lb.logs())).to_string()
}

/// Nice value, class, real-time priority and processors.
fn scheduled(lb: &Machine, pid: &str) -> String {
    let values = lb.shell(&format!("ps -o ni=,cls=,rtprio= -p {pid}"));
    let values = values.split_whitespace().collect::<Vec<_>>().join(" ");
    let processors = lb.shell(&format!("grep Cpus_allowed_list /proc/{pid}/status"));
    format!("{values} {}", processors.split_whitespace().last().unwrap_or_default())
}

#[test]
fn roles_run_as_configured_also_after_a_reload_and_the_balance_role_in_its_sandbox() {
    let lan = Lan::new();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    let globals = "checker_priority -7\nchecker_cpu_affinity 0\nchecker_no_swap\nchecker_rt_priority 4\n\
                   checker_rlimit_rttime 9000000\nvrrp_priority -3\nvrrp_cpu_affinity 0";
    lb.write("/etc/keepalived/keepalived.conf", &configuration(globals));
    lb.start_service(Service::Keepalived);
    let checker = process(&lb, "balance");
    let vrrp = process(&lb, "vrrp");
    assert_eq!(scheduled(&lb, &checker), "- RR 4 0");
    assert_eq!(scheduled(&lb, &vrrp), "-3 TS - 0");
    let limits = lb.shell(&format!("grep 'realtime timeout' /proc/{checker}/limits"));
    assert_eq!(limits.split_whitespace().collect::<Vec<_>>()[3..5], ["4500000", "9000000"], "{limits}");
    let status = lb.shell(&format!("cat /proc/{checker}/status"));
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(!status.contains("VmLck:\t       0 kB"), "{status}");
    let status = lb.shell(&format!("cat /proc/{vrrp}/status"));
    assert!(status.contains("VmLck:\t       0 kB"), "{status}");

    lb.write("/etc/keepalived/keepalived.conf", &configuration("checker_priority 2\nvrrp_rt_priority 5"));
    lb.shell("evenkeel reload");
    let supervisor = lb.status().map(|status| status["pid"].to_string()).unwrap_or_default();
    let all = scheduled(&lb, &supervisor).split(' ').next_back().unwrap_or_default().to_owned();
    assert_eq!(scheduled(&lb, &checker), format!("2 TS - {all}"));
    assert_eq!(scheduled(&lb, &vrrp), format!("- RR 5 {all}"));
    assert_eq!(process(&lb, "balance"), checker, "it is the same process");
}

#[test]
fn a_vrrp_process_that_was_held_up_says_how_late_it_was() {
    const VIP: &str = "10.0.0.100";
    let lan = Lan::new();
    let node = |name: &str, address: &str, priority: u8| {
        let machine = lan.machine(name, "eth0", address).with_evenkeel();
        let conf = configuration("").replace("priority 150", &format!("priority {priority}"));
        let (routers, _) = conf.split_once("virtual_server").expect("there is one");
        machine.write("/etc/keepalived/keepalived.conf", routers);
        let daemon = machine.spawn("keepalived.log", &["keepalived", "-n", "-l", "-D"]);
        (machine, daemon)
    };
    let (high, mut high_daemon) = node("high", "10.0.0.10/24", 150);
    high.await_holding(VIP, PATIENCE);
    let (low, mut low_daemon) = node("low", "10.0.0.11/24", 100);
    let hears = || low.status().filter(|status| status["instances"][0]["peer"].is_object());
    let Some(status) = wait_for(PATIENCE, hears) else { panic!("{}", low.logs()) };
    assert!(status["lateness"]["served"].is_u64(), "it is there also when nothing was late: {status}");

    // Longer than the three silent intervals after which the other takes over.
    let vrrp = process(&high, "vrrp");
    high.shell(&format!("kill -STOP {vrrp}"));
    low.await_holding(VIP, PATIENCE);
    high.shell(&format!("kill -CONT {vrrp}"));
    let late = wait_for(PATIENCE, || {
        high.status().map(|status| status["lateness"].clone()).filter(|lateness| lateness["over_100_ms"] != 0)
    });
    let late = late.unwrap_or_else(|| panic!("{:?}\n{}", high.status(), high.logs()));
    assert!(late["greatest_seconds"].as_f64() > Some(1.0), "an advert a second was due: {late}");
    assert!(late["over_10_ms"].as_u64() >= late["over_100_ms"].as_u64(), "{late}");
    let text = high.shell("evenkeel status");
    assert_eq!(text.lines().filter(|line| line.starts_with("  LATE ")).count(), 1, "{text}");
    let log = high.read("/tmp/keepalived.log");
    assert_eq!(log.matches("a deadline was served ").count(), 1, "{log}");

    for (machine, daemon) in [(&high, &mut high_daemon), (&low, &mut low_daemon)] {
        machine.shell("kill $(cat /run/keepalived.pid)");
        daemon.wait().expect("it ends");
    }
}

#[test]
fn a_vrrp_process_that_was_late_gets_a_higher_priority_step_by_step() {
    let lan = Lan::new();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    let conf = configuration("max_auto_priority 2\nmin_auto_priority_delay 500000");
    let (routers, _) = conf.split_once("virtual_server").expect("there is one");
    lb.write("/etc/keepalived/keepalived.conf", routers);
    lb.start_service(Service::Keepalived);
    lb.await_holding("10.0.0.100", PATIENCE);
    let vrrp = process(&lb, "vrrp");
    let await_priority = |expected: &str| {
        // An advert was due a second after it stopped.
        lb.shell(&format!("kill -STOP {vrrp}; sleep 1.8; kill -CONT {vrrp}"));
        let is_so = || scheduled(&lb, &vrrp).starts_with(expected).then_some(());
        assert!(wait_for(PATIENCE, is_so).is_some(), "{expected}: {}\n{}", scheduled(&lb, &vrrp), lb.logs());
    };
    assert!(scheduled(&lb, &vrrp).starts_with("0 TS -"));
    await_priority("- RR 1");
    await_priority("- RR 2");
    await_priority("- RR 2");
    let data = wait_for(PATIENCE, || {
        lb.shell("kill -USR1 $(cat /run/keepalived.pid)");
        Some(lb.read("/tmp/keepalived.data")).filter(|data| data.contains(" current realtime priority = 2\n"))
    });
    assert!(data.is_some(), "{}", lb.read("/tmp/keepalived.data"));
    assert_eq!(process(&lb, "vrrp"), vrrp, "it is the same process");
}
