//! The configurations of the articles, in their odd shapes, lower to exactly these values.

use crate::{fixture, rules, said};
use evenkeel_balance::config::{self as balance, Check, Pool, Probe, Server, SyncDaemon, Target, Timing};
use evenkeel_balance::table::{Forward, Persistence, Protocol, Scheduler, Service, ServiceFlags, ServiceKey};
use evenkeel_conf::keepalived::{CommandLine, ScriptCommand};
use evenkeel_vrrp::config::{
    Authentication, Centis, Group, Initial, Instance, Password, Preempt, Priority, Script, Track, TrackTarget,
    VirtualAddress, Vrid,
};
use evenkeel_vrrp::{Config, InstanceId, ScriptId};
use std::num::NonZeroU32;
use std::time::Duration;

fn instance(name: &str, interface: &str, vrid: u8, priority: u8, addresses: &[&str]) -> Instance {
    let mut instance = Instance::new(name, interface, Vrid::new(vrid).expect("not 0"));
    instance.priority = Priority::new(priority).expect("not 0");
    instance.addresses = addresses.iter().map(|text| VirtualAddress::new(text.parse().expect("a prefix"))).collect();
    instance
}

fn track(weight: i16) -> Track {
    Track { target: TrackTarget::Script(ScriptId(0)), weight, reverse: false }
}

fn script(name: &str, rise: u32, fall: u32) -> Script {
    Script { name: name.to_owned(), rise, fall }
}

fn command(name: &str, words: &[&str], interval: u64, weight: i16) -> ScriptCommand {
    let interval = Duration::from_secs(interval);
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    ScriptCommand {
        name: name.to_owned(),
        command: CommandLine { words, user: None },
        interval,
        timeout: interval,
        weight,
        user: None,
    }
}

#[track_caller]
fn check(file: &str, expected: Config, said_rules: &[&str]) {
    let loaded = fixture(file);
    assert_eq!(loaded.vrrp, expected, "{file}");
    assert_eq!(rules(&loaded), said_rules, "{}", said(&loaded));
}

#[test]
fn article_000_two_nodes_and_a_check_that_lowers_the_priority() {
    for (file, state, priority, source) in [
        ("seed_000_master.conf", Initial::Master, 101, [192, 168, 1, 5]),
        ("seed_000_slave.conf", Initial::Backup, 99, [192, 168, 1, 7]),
    ] {
        let mut vi = instance("VI_1", "eth0", 51, priority, &["192.168.1.129"]);
        vi.initial = state;
        vi.source = Some(source.into());
        vi.authentication = Authentication::Password(Password::new("1111"));
        vi.tracks = vec![track(-5)];
        check(
            file,
            Config { instances: vec![vi], scripts: vec![script("chk_http_port", 1, 2)], ..Config::default() },
            &[],
        );
        let settings = fixture(file).settings;
        assert_eq!(settings.scripts, [command("chk_http_port", &["/opt/chk_nginx.sh"], 2, -5)]);
        assert_eq!(settings.mail.to, ["ops@example.org", "Night Shift <night@example.org>"]);
        assert_eq!(settings.mail.server, Some(("127.0.0.1".to_owned(), 25)));
    }
}

#[test]
fn article_000_nopreempt_with_the_killall_form() {
    let mut vi = instance("VI_1", "eth0", 51, 100, &["192.168.1.129/24"]);
    vi.preempt = Preempt::Never;
    vi.tracks = vec![track(-20)];
    check(
        "seed_000_nopreempt.conf",
        Config { instances: vec![vi], scripts: vec![script("chk_nginx", 1, 1)], ..Config::default() },
        &[],
    );
    assert_eq!(
        fixture("seed_000_nopreempt.conf").settings.scripts,
        [command("chk_nginx", &["killall", "-0", "nginx"], 2, 20)]
    );
}

#[test]
fn article_000_two_masters_of_one_address_each() {
    for (file, first, second) in [
        ("seed_000_master_master_a.conf", (Initial::Master, 101), (Initial::Backup, 99)),
        ("seed_000_master_master_b.conf", (Initial::Backup, 99), (Initial::Master, 101)),
    ] {
        let vi = |name, vrid, (state, priority), address| {
            let mut vi = instance(name, "eth0", vrid, priority, &[address]);
            vi.initial = state;
            vi.authentication = Authentication::Password(Password::new("1111"));
            vi.tracks = vec![track(-5)];
            vi
        };
        let instances = vec![vi("VI_1", 51, first, "192.168.1.129"), vi("VI_2", 52, second, "192.168.1.130")];
        check(file, Config { instances, scripts: vec![script("chk_nginx", 2, 3)], ..Config::default() }, &[]);
    }
}

#[test]
fn article_001_with_tabs_and_chinese_comments() {
    for (file, name, state, priority) in
        [("seed_001_lb01.conf", "lb01", Initial::Master, 150), ("seed_001_lb02.conf", "lb02", Initial::Backup, 100)]
    {
        let mut vi = instance("VI_1", "eth0", 50, priority, &["10.0.0.100/32"]);
        vi.initial = state;
        vi.authentication = Authentication::Password(Password::new("123456"));
        check(file, Config { instances: vec![vi], ..Config::default() }, &[]);
        assert_eq!(fixture(file).settings.router_id.as_deref(), Some(name));
    }
}

#[test]
fn article_001_with_its_check() {
    let mut vi = instance("VI_1", "eth0", 50, 150, &["10.0.0.100"]);
    vi.initial = Initial::Master;
    vi.authentication = Authentication::Password(Password::new("123456"));
    vi.tracks = vec![track(50)];
    check(
        "seed_001_lb01_check.conf",
        Config { instances: vec![vi], scripts: vec![script("check_web", 1, 1)], ..Config::default() },
        &[],
    );
    let settings = fixture("seed_001_lb01_check.conf").settings;
    assert_eq!(settings.scripts, [command("check_web", &["/server/scripts/check_web.sh"], 10, 50)]);
}

#[test]
fn article_002_with_old_spellings_and_a_layer_4_service() {
    for (file, state, priority) in
        [("seed_002_master.conf", Initial::Master, 180), ("seed_002_backup.conf", Initial::Backup, 80)]
    {
        let mut vi = instance("VIP_HTTP", "ens32", 112, priority, &["192.168.20.140"]);
        vi.initial = state;
        vi.authentication = Authentication::Password(Password::new("1111"));
        vi.advert_interval = Centis(500);
        let rules = ["sync-group-of-one:6", "old-spelling:17", "old-spelling:41", "old-spelling:50"];
        let groups = vec![Group { name: "WEB_HTTP".to_owned(), members: vec![InstanceId(0)] }];
        check(file, Config { instances: vec![vi], groups, ..Config::default() }, &rules);
        let servers = vec![server([192, 168, 20, 143], 100, 3, 5), server([192, 168, 20, 144], 100, 3, 5)];
        let mut pool = pool([192, 168, 20, 140], Scheduler::Wrr, servers);
        pool.service.persistence = None;
        let sync_daemon = SyncDaemon {
            interface: "ens32".to_owned(),
            instance: Some("VIP_HTTP".to_owned()),
            id: 112,
            max_length: None,
            port: None,
            ttl: None,
            group: None,
        };
        let expected =
            balance::Config { pools: vec![pool.into()], sync_daemon: Some(sync_daemon), ..Default::default() };
        assert_eq!(fixture(file).balance, expected);
    }
}

/// A real server of article 002: a TCP_CHECK of port 80 every six seconds.
fn server(address: [u8; 4], weight: u32, timeout: u64, retries: u32) -> Server {
    let check = Check {
        probe: Probe::Tcp,
        target: Some(Target {
            address: address.into(),
            port: 80,
            source: None,
            source_port: None,
            interface: None,
            mark: None,
            via_dataplane: false,
        }),
        timing: Timing {
            interval: Duration::from_secs(6),
            timeout: Duration::from_secs(timeout),
            retries,
            retry_delay: Duration::from_secs(3),
            warmup: Duration::from_secs(6),
        },
        alpha: false,
        log_all_failures: false,
    };
    Server {
        address: address.into(),
        port: 80,
        label: None,
        weight,
        forward: Forward::Direct,
        upper_threshold: 0,
        lower_threshold: 0,
        inhibit_on_failure: false,
        alpha: false,
        slow_start: None,
        notify_up: None,
        notify_down: None,
        mail: true,
        checks: vec![check],
    }
}

/// Its virtual server: TCP port 80, which stays with a server for 50 s.
fn pool(address: [u8; 4], scheduler: Scheduler, servers: Vec<Server>) -> Pool {
    Pool {
        name: format!("[{}]:tcp:80", std::net::Ipv4Addr::from(address)),
        label: None,
        services: vec![ServiceKey::Address { protocol: Protocol::Tcp, address: address.into(), port: 80 }],
        protocol: Some(Protocol::Tcp),
        service: Service {
            scheduler,
            flags: ServiceFlags::default(),
            persistence: NonZeroU32::new(50).map(|timeout| Persistence { timeout, prefix: 32, engine: None }),
        },
        servers,
        sorry: None,
        quorum: NonZeroU32::MIN,
        hysteresis: 0,
        alpha: false,
        omega: false,
        ha_suspend: false,
        quorum_up: None,
        quorum_down: None,
        mail: false,
    }
}

#[test]
fn article_002_commented_and_without_its_last_brace() {
    let mut vi = instance("VI_1", "eth0", 51, 100, &["10.0.0.148"]);
    vi.initial = Initial::Master;
    vi.authentication = Authentication::Password(Password::new("1111"));
    let rules = ["missing-brace:25", "old-spelling:36", "old-spelling:45"];
    check("seed_002_commented.conf", Config { instances: vec![vi], ..Config::default() }, &rules);
    let servers = vec![server([10, 0, 0, 137], 3, 10, 3), server([10, 0, 0, 139], 3, 10, 3)];
    let pools = vec![pool([10, 0, 0, 148], Scheduler::Rr, servers)];
    assert_eq!(
        fixture("seed_002_commented.conf").balance,
        balance::Config { pools: pools.into_iter().map(Into::into).collect(), ..Default::default() }
    );
}

#[test]
fn article_004_with_comments_inside_words() {
    for (file, state, preempt, source) in [
        ("seed_004_main.conf", Initial::Master, Preempt::Always, [192, 168, 159, 129]),
        ("seed_004_backup.conf", Initial::Backup, Preempt::Never, [192, 168, 159, 130]),
    ] {
        let mut vi = instance("VI_1", "ens33", 121, 100, &["192.168.159.110"]);
        vi.initial = state;
        vi.preempt = preempt;
        vi.source = Some(source.into());
        vi.authentication = Authentication::Password(Password::new("1111"));
        vi.tracks = vec![track(-20)];
        check(file, Config { instances: vec![vi], scripts: vec![script("chk_nginx", 1, 1)], ..Config::default() }, &[]);
        assert_eq!(fixture(file).settings.scripts, [command("chk_nginx", &["/etc/keepalived/nginx_check.sh"], 2, -20)]);
    }
}
