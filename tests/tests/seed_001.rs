//! The second article: the address moves when a daemon stops, when a proxy cannot be brought back, and what a
//! firewall between the balancers does.

use evenkeel_e2e::probe::{await_page, get, on};
use evenkeel_e2e::seeds::{PAGE, Pair, Programs, VIP};
use evenkeel_e2e::{Service, able_to_run, wait_until};
use std::time::Duration;

/// Three intervals, the longest skew, and what a busy machine adds.
const TAKEOVER: Duration = Duration::from_secs(10);

#[test]
fn the_address_follows_the_daemon_and_the_web_servers_alternate() {
    if able_to_run(&["nginx"]) {
        follows_the_daemon(Programs::Evenkeel);
    }
}

#[test]
fn the_same_with_the_programs_of_the_article() {
    if able_to_run(&["nginx", "keepalived"]) {
        follows_the_daemon(Programs::Debian);
    }
}

fn follows_the_daemon(programs: Programs) {
    let pair = Pair::new(programs);
    for lb in [&pair.lb01, &pair.lb02] {
        // Each worker has a round robin of its own, so that only one of them alternates strictly.
        lb.shell("sed -i 's/worker_processes auto/worker_processes 1/' /etc/nginx/nginx.conf");
    }
    pair.start();
    pair.lb01.await_holding(VIP, TAKEOVER);
    await_page(&pair.client, PAGE, "web0", TAKEOVER);
    let pages = on(&pair.client, || {
        (0..4).map(|_| get(PAGE, "kd", "/", Duration::from_secs(2)).expect("an answer").1).collect::<Vec<_>>()
    });
    assert_eq!(pages.iter().filter(|page| *page == "web01 web01 web01\n").count(), 2, "{pages:?}");
    assert_ne!(pages[0], pages[1], "requests alternate");
    assert_eq!(pages[0], pages[2]);

    pair.lb01.stop_service(Service::Keepalived);
    pair.lb02.await_holding(VIP, TAKEOVER);
    pair.lb01.await_release(VIP, TAKEOVER);
    await_page(&pair.client, PAGE, "web0", TAKEOVER);

    pair.lb01.start_service(Service::Keepalived);
    pair.lb01.await_holding(VIP, TAKEOVER);
    pair.lb02.await_release(VIP, TAKEOVER);
    await_page(&pair.client, PAGE, "web0", TAKEOVER);
}

#[test]
fn a_proxy_that_cannot_be_restarted_gives_the_address_up() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let pair = Pair::new(Programs::Evenkeel);
    pair.lb01.install("/server/scripts/check_web.sh", include_str!("../files/001/check_web.sh"));
    let with_script = |conf: &str| {
        let script = "vrrp_script check_web {\n    script \"/server/scripts/check_web.sh\"\n    interval 10\n    weight 50\n}\n\n";
        let conf = conf.replace("vrrp_instance VI_1 {", &format!("{script}vrrp_instance VI_1 {{"));
        conf.replace("    virtual_ipaddress {", "    track_script {\n        check_web\n    }\n    virtual_ipaddress {")
    };
    pair.lb01.write("/etc/keepalived/keepalived.conf", &with_script(include_str!("../files/001/lb01.conf")));
    pair.start();
    pair.lb01.await_holding(VIP, TAKEOVER);

    let broken = pair.lb01.read("/etc/nginx/conf.d/kd.test.conf").replacen(';', "", 1);
    pair.lb01.write("/etc/nginx/conf.d/kd.test.conf", &broken);
    pair.lb01.stop_service(Service::Nginx);
    // The script looks every five seconds, tries to start the proxy, and waits five more.
    pair.lb02.await_holding(VIP, Duration::from_secs(40));
    pair.lb01.await_release(VIP, TAKEOVER);
    await_page(&pair.client, PAGE, "web0", TAKEOVER);
}

#[test]
fn a_firewall_between_the_two_is_seen_by_both_and_healing_leaves_one() {
    if !able_to_run(&["nginx", "nft"]) {
        return;
    }
    let pair = Pair::new(Programs::Evenkeel);
    pair.start();
    pair.lb01.await_holding(VIP, TAKEOVER);
    for lb in [&pair.lb01, &pair.lb02] {
        lb.shell("nft 'add table ip fw; add chain ip fw in { type filter hook input priority 0; }; add rule ip fw in ip protocol 112 drop'");
    }
    pair.lb02.await_holding(VIP, TAKEOVER);
    assert!(pair.lb01.holds(VIP), "nobody told lb01 to let go");
    for lb in [&pair.lb01, &pair.lb02] {
        let seen = wait_until(Duration::from_secs(2), || {
            lb.status().is_some_and(|status| !status["instances"][0]["conflict"].is_null())
        });
        assert!(seen, "{} does not report the conflict: {:?}\n{}", lb.name(), lb.status(), lb.logs());
        let why = lb.shell("evenkeel why VI_1");
        assert!(why.contains(VIP) && why.to_lowercase().contains("answer"), "{why}");
    }

    for lb in [&pair.lb01, &pair.lb02] {
        lb.shell("nft delete table ip fw");
    }
    pair.lb02.await_release(VIP, TAKEOVER);
    assert!(pair.lb01.holds(VIP));
    await_page(&pair.client, PAGE, "web0", TAKEOVER);
    let mac = pair.lb01.shell("cat /sys/class/net/eth0/address");
    let neighbour = pair.client.shell(&format!("ip neigh show {VIP}"));
    assert!(neighbour.contains(mac.trim()), "the client talks to {neighbour}, lb01 is {mac}");
    for lb in [&pair.lb01, &pair.lb02] {
        let over = wait_until(TAKEOVER, || lb.status().is_some_and(|s| s["instances"][0]["conflict"].is_null()));
        assert!(over, "{} still reports the conflict", lb.name());
    }
}
