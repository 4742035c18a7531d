//! The fifth article: a check that restarts the proxy, and a standby behind it.

use evenkeel_e2e::probe::{await_page, get, on};
use evenkeel_e2e::seeds::Programs;
use evenkeel_e2e::{Lan, Machine, Service, able_to_run};
use std::time::Duration;

const VIP: &str = "192.168.159.110";
const PAGE: &str = "192.168.159.110:80";
const TAKEOVER: Duration = Duration::from_secs(12);

fn balancer(lan: &Lan, name: &str, address: &str, state: &str, priority: &str) -> Machine {
    let lb = Programs::Evenkeel.install(lan.machine(name, "ens33", &format!("{address}/24")));
    let conf = include_str!("../files/004/keepalived.conf");
    let conf = conf.replace("@STATE@", state).replace("@ADDRESS@", address).replace("@PRIORITY@", priority);
    lb.write("/etc/keepalived/keepalived.conf", &conf);
    lb.install("/etc/keepalived/nginx_check.sh", include_str!("../files/004/nginx_check.sh"));
    lb.install("/usr/local/nginx/sbin/nginx", "#!/bin/sh\nexec /usr/sbin/nginx\n");
    lb.write("/etc/nginx/conf.d/testproxy.conf", include_str!("../files/004/testproxy.conf"));
    for port in ["8080", "8081"] {
        lb.write(&format!("/etc/tomcat/{port}.conf"), &tomcat(port));
        lb.shell(&format!("/usr/sbin/nginx -c /etc/tomcat/{port}.conf"));
    }
    lb.start_service(Service::Nginx);
    lb
}

/// Stands in for one Tomcat: says who it is.
fn tomcat(port: &str) -> String {
    format!(
        "pid /run/tomcat-{port}.pid;\nevents {{}}\nhttp {{ access_log off; server {{ listen 127.0.0.1:{port}; return 200 \"tomcat {port}\"; }} }}\n"
    )
}

#[test]
fn the_backup_server_answers_only_while_the_main_one_is_down() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "192.168.159.1/24");
    let lb = balancer(&lan, "lb01", "192.168.159.129", "MASTER", "100");
    let page = "192.168.159.129:80";
    let ask = || on(&client, || get(page, "localhost", "/", Duration::from_secs(3)).expect("an answer"));
    for _ in 0..4 {
        assert_eq!(ask(), (200, "tomcat 8080".to_owned()));
    }
    lb.shell("kill $(cat /run/tomcat-8080.pid)");
    await_page(&client, page, "tomcat 8081", TAKEOVER);
    for _ in 0..4 {
        assert_eq!(ask(), (200, "tomcat 8081".to_owned()), "no request fails while the standby is there");
    }
    lb.shell("/usr/sbin/nginx -c /etc/tomcat/8080.conf");
    // The main server is tried again when its fail_timeout of 10 s is over.
    await_page(&client, page, "tomcat 8080", Duration::from_secs(20));
}

#[test]
fn a_server_that_does_not_answer_in_a_second_is_left_for_the_standby() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "192.168.159.1/24");
    let lb = balancer(&lan, "lb01", "192.168.159.129", "MASTER", "100");
    let pids = lb.shell("pgrep -f tomcat/8080.conf || ps -C nginx -o pid=,args=; cat /run/tomcat-8080.pid");
    // Every process of the main server stands still: it accepts, and never answers.
    lb.shell("p=$(cat /run/tomcat-8080.pid); kill -STOP $p $(cat /proc/$p/task/*/children)");
    let answer = on(&client, || get("192.168.159.129:80", "localhost", "/", Duration::from_secs(5)));
    assert_eq!(answer.expect("an answer"), (200, "tomcat 8081".to_owned()), "processes: {pids}");
    lb.shell("p=$(cat /run/tomcat-8080.pid); kill -CONT $p $(cat /proc/$p/task/*/children)");
}

#[test]
fn the_script_restarts_the_proxy_and_the_weight_moves_the_address_when_it_cannot() {
    if !able_to_run(&["nginx", "killall"]) {
        return;
    }
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "192.168.159.1/24");
    let lb01 = balancer(&lan, "lb01", "192.168.159.129", "MASTER", "100");
    let lb02 = balancer(&lan, "lb02", "192.168.159.130", "BACKUP", "90");
    for lb in [&lb01, &lb02] {
        lb.start_service(Service::Keepalived);
    }
    lb01.await_holding(VIP, TAKEOVER);
    await_page(&client, PAGE, "tomcat", TAKEOVER);

    // Other nginx processes (the servers behind) would make the script believe that all is well: in the article
    // they are Tomcats.
    lb01.shell("for f in /run/tomcat-*.pid; do kill $(cat $f); done");
    lb01.stop_service(Service::Nginx);
    await_listener(&lb01);

    lb01.write("/etc/nginx/conf.d/testproxy.conf", "upstream testproxy {");
    lb01.stop_service(Service::Nginx);
    lb02.await_holding(VIP, Duration::from_secs(20));
    lb01.await_release(VIP, TAKEOVER);
    await_page(&client, PAGE, "tomcat", TAKEOVER);
}

/// The script found the proxy gone and started it.
fn await_listener(lb: &Machine) {
    let listening = evenkeel_e2e::wait_until(TAKEOVER, || {
        lb.run(&["sh", "-c", "ss -Hltn sport = :80 | grep -q LISTEN"]).status.success()
    });
    assert!(listening, "nobody listens on port 80\n{}", lb.logs());
}
