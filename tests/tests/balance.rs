//! Layer 4: the third article's pair, health, quorum, drain, and connections that outlive their balancer.

use evenkeel_e2e::probe::{Parrot, Talkers, await_page, get, on};
use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longer than any wait that the configurations here ask for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A web server of the third article, made a real server by the article's script.
fn web(lan: &Lan, name: &str, address: &str) -> Machine {
    let web = lan.machine(name, "ens32", &format!("{address}/24"));
    web.install("/root/lvs_real.sh", include_str!("../files/002/lvs_real.sh"));
    web.write(
        "/etc/nginx/conf.d/web.conf",
        &format!("server {{ listen 80; location / {{ default_type text/plain; return 200 \"{name}\\n\"; }} }}\n"),
    );
    web.start_service(Service::Nginx);
    assert!(web.shell("/root/lvs_real.sh start").contains("RealServer Start OK"));
    web
}

/// A balancer of the third article. Its adverts come every five seconds; here they come each second.
fn balancer(lan: &Lan, name: &str, address: &str, state: &str, priority: &str) -> Machine {
    let lb = lan.machine(name, "ens32", &format!("{address}/24")).with_evenkeel();
    let conf = include_str!("../files/002/keepalived.conf");
    let conf = conf.replace("@STATE@", state).replace("@PRIORITY@", priority).replace("@ADVERT@", "1");
    lb.write("/etc/keepalived/keepalived.conf", &conf);
    lb.start_service(Service::Keepalived);
    lb
}

/// Who answered how many of `count` requests, each on a connection of its own.
fn answers(client: &Machine, page: &str, count: usize) -> BTreeMap<String, usize> {
    on(client, || {
        let mut answers = BTreeMap::new();
        for _ in 0..count {
            let who = match get(page, "web", "/", Duration::from_secs(3)) {
                Ok((200, body)) => body.trim().to_owned(),
                other => format!("{other:?}"),
            };
            *answers.entry(who).or_default() += 1;
        }
        answers
    })
}

/// The state of a server in one word.
fn server_state(lb: &Machine, server: &str) -> Option<String> {
    let status = lb.status()?;
    let pools = status["balance"]["pools"].as_array()?.clone();
    let servers = pools.iter().flat_map(|pool| pool["servers"].as_array().cloned().unwrap_or_default());
    let found = servers.into_iter().find(|view| view["name"] == server)?;
    found["state"].as_str().map(str::to_owned)
}

fn await_state(lb: &Machine, server: &str, state: &str) {
    let reached = wait_until(PATIENCE, || server_state(lb, server).as_deref() == Some(state));
    assert!(reached, "{server} is {:?} and not {state}\n{}", server_state(lb, server), lb.logs());
}

#[test]
fn the_third_articles_pair_spreads_requests_and_outlives_server_and_balancer() {
    if !able_to_run(&["nginx", "ifconfig"]) {
        return;
    }
    const PAGE: &str = "192.168.20.140:80";
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "192.168.20.1/24");
    let web143 = web(&lan, "web143", "192.168.20.143");
    let _web144 = web(&lan, "web144", "192.168.20.144");
    let mut lb01 = balancer(&lan, "lb01", "192.168.20.141", "MASTER", "180");
    let lb02 = balancer(&lan, "lb02", "192.168.20.142", "BACKUP", "80");
    lb01.await_holding("192.168.20.140", PATIENCE);
    await_page(&client, PAGE, "web14", PATIENCE);

    let seen = answers(&client, PAGE, 40);
    assert_eq!(seen, BTreeMap::from([("web143".to_owned(), 20), ("web144".to_owned(), 20)]), "{}", lb01.logs());

    web143.stop_service(Service::Nginx);
    await_state(&lb01, "192.168.20.143:80", "down");
    assert_eq!(answers(&client, PAGE, 20), BTreeMap::from([("web144".to_owned(), 20)]), "no request is lost any more");
    web143.start_service(Service::Nginx);
    await_state(&lb01, "192.168.20.143:80", "up");
    assert_eq!(answers(&client, PAGE, 20).len(), 2);

    lb01.power_off();
    lb02.await_holding("192.168.20.140", PATIENCE);
    await_page(&client, PAGE, "web14", PATIENCE);
    assert_eq!(answers(&client, PAGE, 20), BTreeMap::from([("web143".to_owned(), 10), ("web144".to_owned(), 10)]));
}

/// `global_defs` and one instance that holds 10.0.0.100.
fn instance(priority: u8, globals: &str) -> String {
    format!(
        "global_defs {{\n    lb_plane xdp\n    {globals}\n}}\nvrrp_instance VI {{\n    state BACKUP\n    interface eth0\n    \
         virtual_router_id 51\n    priority {priority}\n    advert_int 1\n    virtual_ipaddress {{\n        \
         10.0.0.100\n    }}\n}}\n"
    )
}

/// A virtual server with real servers 10.0.0.51, .52, ... that are asked each half second.
fn virtual_server(port: u16, words: &str, servers: usize) -> String {
    let mut text = format!("virtual_server 10.0.0.100 {port} {{\n    protocol TCP\n    delay_loop 0.5\n    {words}\n");
    for n in 1..=servers {
        text += &format!(
            "    real_server 10.0.0.{} {port} {{\n        weight 1\n        TCP_CHECK {{\n            connect_timeout 1\n            \
             retry 0\n            warmup 0\n        }}\n    }}\n",
            50 + n
        );
    }
    text + "}\n"
}

fn start(lb: &Machine, conf: &str) {
    lb.write("/etc/keepalived/keepalived.conf", conf);
    lb.start_service(Service::Keepalived);
}

#[test]
fn a_thousand_connections_outlive_their_balancer() {
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let servers: Vec<_> = (1..=4).map(|n| lan.real_server(n)).collect();
    let _parrots: Vec<_> = servers.iter().map(|server| Parrot::start(server, 7000)).collect();
    let mut lb01 = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    let lb02 = lan.machine("lb02", "eth0", "10.0.0.11/24").with_evenkeel();
    let pool = virtual_server(7000, "lb_algo mh\n    mh-port\n    lb_kind DR", 4);
    start(&lb01, &(instance(150, "") + &pool));
    start(&lb02, &(instance(100, "") + &pool));
    lb01.await_holding("10.0.0.100", PATIENCE);
    for server in 51..=54 {
        await_state(&lb01, &format!("10.0.0.{server}:7000"), "up");
        await_state(&lb02, &format!("10.0.0.{server}:7000"), "up");
    }

    let talkers = Talkers::start(&client, "10.0.0.100:7000".parse().expect("an address"), 1000);
    std::thread::sleep(Duration::from_secs(1));
    lb01.power_off();
    lb02.await_holding("10.0.0.100", PATIENCE);
    std::thread::sleep(Duration::from_secs(3));
    let talk = talkers.finish();
    assert_eq!((talk.opened, talk.broken), (1000, vec![]), "{}", lb02.logs());
    let spoken: BTreeSet<_> = talk.servers.iter().collect();
    assert_eq!(spoken.len(), 4, "all four servers have some of the connections: {spoken:?}");
}

#[test]
fn a_server_that_leaves_takes_its_own_connections_and_no_others() {
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let servers: Vec<_> = (1..=8).map(|n| lan.real_server(n)).collect();
    let mut parrots: Vec<_> = servers.iter().map(|server| Parrot::start(server, 7000)).collect();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    start(&lb, &(instance(150, "") + &virtual_server(7000, "lb_algo mh\n    mh-port\n    lb_kind DR", 8)));
    lb.await_holding("10.0.0.100", PATIENCE);
    await_state(&lb, "10.0.0.58:7000", "up");

    let talkers = Talkers::start(&client, "10.0.0.100:7000".parse().expect("an address"), 400);
    drop(parrots.remove(0));
    await_state(&lb, "10.0.0.51:7000", "down");
    std::thread::sleep(Duration::from_secs(1));
    let talk = talkers.finish();
    assert_eq!(talk.opened, 400);
    assert!(talk.servers.iter().any(|name| name == "rs1"), "the dead server had connections");
    let of_the_dead = |index: &&usize| talk.servers[**index] == "rs1";
    let others: Vec<_> = talk.broken.iter().filter(|index| !of_the_dead(index)).collect();
    assert_eq!(others, Vec::<&usize>::new(), "only connections of rs1 break");
    assert_eq!(talk.broken.len(), talk.servers.iter().filter(|name| *name == "rs1").count());
}

#[test]
fn the_sorry_server_answers_while_too_few_are_up() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let machines: Vec<_> = (1..=3)
        .map(|n| {
            let machine = lan.real_server(n);
            let name = machine.name().to_owned();
            machine.write("/etc/nginx/conf.d/web.conf", &format!("server {{ listen 80; return 200 \"{name}\"; }}\n"));
            machine.start_service(Service::Nginx);
            machine
        })
        .collect();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    lb.install("/root/quorum.sh", "#!/bin/sh\necho \"$1\" >>/root/quorum.log\n");
    lb.install(
        "/root/reader.sh",
        "#!/bin/sh\nwhile read -r line; do echo \"$line $1\" >>/root/fifo.log; done <\"$2\"\n",
    );
    let words = "lb_algo rr\n    lb_kind DR\n    quorum 2\n    sorry_server 10.0.0.53 80\n    \
                 quorum_up \"/root/quorum.sh up\"\n    quorum_down \"/root/quorum.sh down\"";
    start(
        &lb,
        &(instance(
            150,
            "script_user root\n    lvs_notify_fifo /run/lvs.fifo\n    lvs_notify_fifo_script \"/root/reader.sh to\"",
        ) + &virtual_server(80, words, 2)),
    );
    lb.await_holding("10.0.0.100", PATIENCE);
    await_state(&lb, "10.0.0.51:80", "up");
    assert_eq!(answers(&client, "10.0.0.100:80", 10), BTreeMap::from([("rs1".to_owned(), 5), ("rs2".to_owned(), 5)]));

    machines[1].stop_service(Service::Nginx);
    await_page(&client, "10.0.0.100:80", "rs3", PATIENCE);
    assert_eq!(answers(&client, "10.0.0.100:80", 10), BTreeMap::from([("rs3".to_owned(), 10)]));
    machines[1].start_service(Service::Nginx);
    await_state(&lb, "10.0.0.52:80", "up");
    assert_eq!(answers(&client, "10.0.0.100:80", 10), BTreeMap::from([("rs1".to_owned(), 5), ("rs2".to_owned(), 5)]));
    let told = wait_until(PATIENCE, || lb.read("/root/quorum.log") == "down\nup\n");
    assert!(told, "{:?}", lb.read("/root/quorum.log"));
    let lines = || lb.read("/root/fifo.log");
    let expected = [
        "RS [10.0.0.52]:tcp:80 [10.0.0.100]:tcp:80 DOWN",
        "VS [10.0.0.100]:tcp:80 DOWN",
        "RS [10.0.0.52]:tcp:80 [10.0.0.100]:tcp:80 UP",
        "VS [10.0.0.100]:tcp:80 UP",
    ];
    let expected = expected.map(|line| format!("{line} to\n")).concat();
    assert!(wait_until(PATIENCE, || lines() == expected), "{}", lines());
}

#[test]
fn a_drained_server_keeps_its_connections_over_reload_crash_and_restart() {
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let servers: Vec<_> = (1..=2).map(|n| lan.real_server(n)).collect();
    let _parrots: Vec<_> = servers.iter().map(|server| Parrot::start(server, 7000)).collect();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    start(&lb, &(instance(150, "") + &virtual_server(7000, "lb_algo rr\n    lb_kind DR", 2)));
    lb.await_holding("10.0.0.100", PATIENCE);
    await_state(&lb, "10.0.0.52:7000", "up");
    let target = "10.0.0.100:7000".parse().expect("an address");

    let talkers = Talkers::start(&client, target, 20);
    let said = lb.shell("evenkeel server drain 10.0.0.100:7000/10.0.0.51");
    assert!(said.contains("10.0.0.51:7000"), "{said}");
    let fresh_go_to = |name: &str| {
        let fresh = Talkers::start(&client, target, 6).finish();
        assert_eq!(fresh.servers, vec![name.to_owned(); 6], "{}", lb.logs());
    };
    await_state(&lb, "10.0.0.51:7000", "drained");
    fresh_go_to("rs2");

    lb.shell("evenkeel reload");
    await_state(&lb, "10.0.0.51:7000", "drained");
    fresh_go_to("rs2");

    let before = lb.shell("pgrep -f '[-]-role balance'");
    lb.shell("kill -9 $(pgrep -f '[-]-role balance')");
    let restarted = wait_until(PATIENCE, || {
        let now = lb.run(&["pgrep", "-f", "[-]-role balance"]);
        now.status.success() && now.stdout != before.as_bytes()
    });
    assert!(restarted, "{}", lb.logs());
    await_state(&lb, "10.0.0.51:7000", "drained");
    fresh_go_to("rs2");
    let talk = talkers.finish();
    assert_eq!((talk.opened, talk.broken), (20, vec![]), "{}", lb.logs());
    assert!(talk.servers.contains(&"rs1".to_owned()));

    lb.stop_service(Service::Keepalived);
    lb.start_service(Service::Keepalived);
    lb.await_holding("10.0.0.100", PATIENCE);
    await_state(&lb, "10.0.0.51:7000", "drained");
    lb.shell("evenkeel server enable 10.0.0.100:7000/10.0.0.51:7000");
    await_state(&lb, "10.0.0.51:7000", "up");
}

#[test]
fn two_boxes_are_balancers_and_real_servers_at_once_without_loops() {
    let lan = Lan::new();
    let client = lan.machine("client", "eth0", "10.0.0.1/24");
    let boxes: Vec<_> = [("box1", 51, 150), ("box2", 52, 100)]
        .into_iter()
        .map(|(name, host, priority)| {
            let machine = lan.machine(name, "eth0", &format!("10.0.0.{host}/24")).with_evenkeel();
            // Each takes packets for the address also while the other one has it.
            machine.shell(
                "ip address add 10.0.0.100/32 dev lo; echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore; \
                 echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce",
            );
            (machine, priority)
        })
        .collect();
    let _parrots: Vec<_> = boxes.iter().map(|(machine, _)| Parrot::start(machine, 7000)).collect();
    for (machine, priority) in &boxes {
        start(
            machine,
            &(instance(*priority, "") + &virtual_server(7000, "lb_algo mh\n    mh-port\n    lb_kind DR", 2)),
        );
    }
    let (owner, other) = (&boxes[0].0, &boxes[1].0);
    let owns = |machine: &Machine| machine.shell("ip -o address show dev eth0").contains("10.0.0.100/");
    assert!(wait_until(PATIENCE, || owns(owner)), "{}", owner.logs());
    for machine in [owner, other] {
        await_state(machine, "10.0.0.51:7000", "up");
        await_state(machine, "10.0.0.52:7000", "up");
    }
    let target = "10.0.0.100:7000".parse().expect("an address");
    let spread = |who: &Machine| {
        let talk = Talkers::start(&client, target, 60).finish();
        assert_eq!((talk.opened, talk.broken), (60, vec![]), "{}", who.logs());
        let names: BTreeSet<_> = talk.servers.into_iter().collect();
        assert_eq!(names, BTreeSet::from(["box1".to_owned(), "box2".to_owned()]));
    };
    spread(owner);
    owner.shell("evenkeel failover VI");
    assert!(wait_until(PATIENCE, || owns(other)), "{}", other.logs());
    spread(other);
}

#[test]
fn a_check_via_the_data_path_sees_a_server_without_the_virtual_address() {
    let lan = Lan::new();
    let servers: Vec<_> = (1..=2).map(|n| lan.real_server(n)).collect();
    let _parrots: Vec<_> = servers.iter().map(|server| Parrot::start(server, 7000)).collect();
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    let pool = virtual_server(7000, "lb_algo rr\n    lb_kind DR", 2);
    start(
        &lb,
        &(instance(150, "") + &pool.replace("connect_timeout 1", "connect_timeout 1\n            via dataplane")),
    );
    // The answers have a source that is this balancer's own address.
    lb.await_holding("10.0.0.100", PATIENCE);
    await_state(&lb, "10.0.0.51:7000", "up");
    assert_eq!(server_state(&lb, "10.0.0.52:7000").as_deref(), Some("up"));
    servers[0].shell("ip address del 10.0.0.100/32 dev lo");
    await_state(&lb, "10.0.0.51:7000", "down");
    let why = lb.shell("evenkeel status");
    assert!(why.contains("10.0.0.100:7000 does not answer there within 1s"), "{why}");
    servers[0].shell("ip address add 10.0.0.100/32 dev lo");
    await_state(&lb, "10.0.0.51:7000", "up");
    assert_eq!(server_state(&lb, "10.0.0.52:7000").as_deref(), Some("up"));
}
