//! IPVS of a real kernel: what we program is what Debian's ipvsadm lists.
#![allow(missing_docs, clippy::unwrap_used)]

use evenkeel_balance::table::{
    Change, Destination, DestinationKey, Entry, Forward, Persistence, Plane, Protocol, Scheduler, Service,
    ServiceFlags, ServiceKey, Table, Tunnel, TunnelChecksum,
};
use evenkeel_guest::{in_fresh_namespace, output, run};
use evenkeel_kernel::ipvs::{Ipvs, SyncDaemon, SyncState, Timeouts};
use evenkeel_wire::Family;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Instant;

fn tcp(address: &str) -> ServiceKey {
    service(Protocol::Tcp, address)
}

fn service(protocol: Protocol, address: &str) -> ServiceKey {
    let address: SocketAddr = address.parse().unwrap();
    ServiceKey::Address { protocol, address: address.ip(), port: address.port() }
}

fn mark(family: Family, mark: u32) -> ServiceKey {
    ServiceKey::Mark { family, mark: NonZeroU32::new(mark).unwrap() }
}

fn server(address: &str) -> DestinationKey {
    let address: SocketAddr = address.parse().unwrap();
    DestinationKey { address: address.ip(), port: address.port() }
}

fn plain(scheduler: Scheduler) -> Service {
    Service { scheduler, flags: ServiceFlags::default(), persistence: None }
}

fn persistent(timeout: u32, prefix: u8, engine: Option<&str>) -> Option<Persistence> {
    Some(Persistence { timeout: NonZeroU32::new(timeout).unwrap(), prefix, engine: engine.map(str::to_owned) })
}

fn by(forward: Forward) -> Destination {
    Destination { weight: 1, forward, upper_threshold: 0, lower_threshold: 0 }
}

fn entry<const N: usize>(service: Service, destinations: [(DestinationKey, Destination); N]) -> Entry {
    Entry { service, destinations: BTreeMap::from(destinations) }
}

/// All that makes the table out of nothing.
fn additions(table: &Table) -> Vec<Change> {
    let mut changes = Vec::new();
    for (key, entry) in table {
        changes.push(Change::AddService(*key, entry.service.clone()));
        for (server, destination) in &entry.destinations {
            changes.push(Change::AddDestination(*key, *server, destination.clone()));
        }
    }
    changes
}

/// Programs the table and compares the kernel's, and ipvsadm's view of it, line by line in its saving format.
fn check(table: &Table, saved: &[&str]) {
    in_fresh_namespace(|| {
        let mut ipvs = Ipvs::open().unwrap();
        let failures = ipvs.apply(&additions(table));
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(&ipvs.dump().unwrap(), table);
        assert_eq!(output("ipvsadm -Sn").lines().collect::<Vec<_>>(), saved);
    });
}

#[test]
fn the_kernel_says_its_version() {
    in_fresh_namespace(|| {
        let info = Ipvs::open().unwrap().info().unwrap();
        assert_eq!((info.version, info.table_size), (0x01_02_01, 4096));
        assert!(output("ipvsadm -Ln").starts_with("IP Virtual Server version 1.2.1 (size=4096)\n"));
    });
}

#[test]
fn every_scheduler_of_this_kernel_spreads_by_every_method() {
    let methods = [
        (Forward::Masquerade, "-m", ""),
        (Forward::Direct, "-g", ""),
        (Forward::Tunnel(Tunnel::Ipip), "-i", " --tun-type ipip"),
    ];
    let (mut table, mut saved) = (Table::new(), Vec::new());
    // Debian's kernel is built without twos.
    let schedulers = Scheduler::ALL.into_iter().filter(|scheduler| *scheduler != Scheduler::Twos);
    for (number, scheduler) in (1..).zip(schedulers) {
        let destinations =
            methods.iter().zip(1..).map(|((forward, ..), host)| (server(&format!("10.1.0.{host}:80")), by(*forward)));
        let entry = Entry { service: plain(scheduler), destinations: destinations.collect() };
        table.insert(tcp(&format!("10.0.0.{number}:80")), entry);
        saved.push(format!("-A -t 10.0.0.{number}:80 -s {}", scheduler.name()));
        for ((_, letter, more), host) in methods.iter().zip(1..) {
            saved.push(format!("-a -t 10.0.0.{number}:80 -r 10.1.0.{host}:80 {letter} -w 1{more}"));
        }
    }
    check(&table, &saved.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn every_kind_of_tunnel_is_told_to_the_kernel() {
    let tunnel = |tunnel| by(Forward::Tunnel(tunnel));
    let gue = |checksum| tunnel(Tunnel::Gue { port: 6080, checksum });
    let gre = |checksum| tunnel(Tunnel::Gre { checksum });
    let destinations = [
        (server("10.1.0.1:80"), tunnel(Tunnel::Ipip)),
        (server("10.1.0.2:80"), gue(TunnelChecksum::Absent)),
        (server("10.1.0.3:80"), gue(TunnelChecksum::Present)),
        (server("10.1.0.4:80"), gue(TunnelChecksum::Remote)),
        (server("10.1.0.5:80"), gre(TunnelChecksum::Absent)),
        (server("10.1.0.6:80"), gre(TunnelChecksum::Present)),
    ];
    check(
        &Table::from([(tcp("10.0.0.1:80"), entry(plain(Scheduler::Wlc), destinations))]),
        &[
            "-A -t 10.0.0.1:80 -s wlc",
            "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -i -w 1 --tun-type ipip",
            "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
            "-a -t 10.0.0.1:80 -r 10.1.0.3:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum",
            "-a -t 10.0.0.1:80 -r 10.1.0.4:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
            "-a -t 10.0.0.1:80 -r 10.1.0.5:80 -i -w 1 --tun-type gre --tun-nocsum",
            "-a -t 10.0.0.1:80 -r 10.1.0.6:80 -i -w 1 --tun-type gre --tun-csum",
        ],
    );
}

#[test]
fn flags_persistence_marks_and_both_families_are_told_to_the_kernel() {
    let flags = |scheduler, flags| Service { flags, ..plain(scheduler) };
    let fallback = ServiceFlags { scheduler_1: true, ..ServiceFlags::default() };
    let port = ServiceFlags { scheduler_2: true, ..ServiceFlags::default() };
    let all = ServiceFlags { scheduler_1: true, scheduler_2: true, scheduler_3: true, one_packet: false };
    let one_packet = ServiceFlags { one_packet: true, ..ServiceFlags::default() };
    let sticky = |persistence| Service { persistence, ..plain(Scheduler::Wrr) };
    let masquerade = || by(Forward::Masquerade);
    let table = Table::from([
        (tcp("10.0.0.1:80"), entry(flags(Scheduler::Sh, port), [])),
        (tcp("10.0.0.2:80"), entry(flags(Scheduler::Mh, fallback), [])),
        (tcp("10.0.0.3:80"), entry(flags(Scheduler::Rr, all), [])),
        (tcp("10.0.0.4:0"), entry(sticky(persistent(360, 32, None)), [])),
        (tcp("10.0.0.5:80"), entry(sticky(persistent(60, 24, None)), [])),
        (service(Protocol::Udp, "10.0.0.1:53"), entry(flags(Scheduler::Rr, one_packet), [])),
        (service(Protocol::Udp, "10.0.0.1:5060"), entry(sticky(persistent(50, 32, Some("sip"))), [])),
        (service(Protocol::Sctp, "10.0.0.1:99"), entry(plain(Scheduler::Rr), [])),
        (tcp("[fd00::1]:80"), entry(sticky(persistent(300, 64, None)), [(server("[fd00::2]:8080"), masquerade())])),
        (
            mark(Family::V4, 7),
            entry(
                plain(Scheduler::Lc),
                [(server("10.1.0.1:0"), by(Forward::Direct)), (server("10.1.0.2:99"), masquerade())],
            ),
        ),
        (mark(Family::V6, 8), entry(plain(Scheduler::Lc), [(server("[fd00::3]:0"), by(Forward::Direct))])),
        (mark(Family::V4, 3_000_000_000), entry(plain(Scheduler::Lc), [])),
    ]);
    in_fresh_namespace(|| {
        let mut ipvs = Ipvs::open().unwrap();
        let failures = ipvs.apply(&additions(&table));
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(ipvs.dump().unwrap(), table);
        let saved = output("ipvsadm -Sn");
        for line in [
            "-A -t 10.0.0.1:80 -s sh -b sh-port",
            "-A -t 10.0.0.2:80 -s mh -b mh-fallback",
            "-A -t 10.0.0.3:80 -s rr -b flag-1,flag-2,flag-3",
            "-A -t 10.0.0.4:0 -s wrr -p 360",
            "-A -t 10.0.0.5:80 -s wrr -p 60 -M 255.255.255.0",
            "-A -u 10.0.0.1:53 -s rr -o",
            "-A -u 10.0.0.1:5060 -s wrr -p 50 --pe sip",
            "-A --sctp-service 10.0.0.1:99 -s rr",
            "-A -t [fd00::1]:80 -s wrr -p 300 -M 64",
            "-a -t [fd00::1]:80 -r [fd00::2]:8080 -m -w 1",
            "-A -f 7 -s lc",
            "-a -f 7 -r 10.1.0.1:0 -g -w 1",
            "-a -f 7 -r 10.1.0.2:99 -m -w 1",
            "-A -f 8 -6 -s lc",
            "-a -f 8 -6 -r [fd00::3]:0 -g -w 1",
        ] {
            assert!(saved.lines().any(|saved| saved.trim_end() == line), "{line} is not in\n{saved}");
        }
    });
}

#[test]
fn weights_and_thresholds_are_told_to_the_kernel_and_changed_there() {
    let key = tcp("10.0.0.1:80");
    let destination = |weight, upper_threshold, lower_threshold| Destination {
        weight,
        forward: Forward::Masquerade,
        upper_threshold,
        lower_threshold,
    };
    in_fresh_namespace(|| {
        let mut ipvs = Ipvs::open().unwrap();
        let changes = [
            Change::AddService(key, plain(Scheduler::Rr)),
            Change::AddDestination(key, server("10.1.0.1:80"), destination(0, 0, 0)),
            Change::AddDestination(key, server("10.1.0.2:80"), destination(2_147_483_647, 1000, 10)),
            Change::EditService(key, plain(Scheduler::Wlc)),
            Change::EditDestination(key, server("10.1.0.1:80"), destination(5, 70_000, 60_000)),
        ];
        assert!(ipvs.apply(&changes).is_empty());
        assert_eq!(
            ipvs.dump().unwrap()[&key],
            entry(
                plain(Scheduler::Wlc),
                [
                    (server("10.1.0.1:80"), destination(5, 70_000, 60_000)),
                    (server("10.1.0.2:80"), destination(2_147_483_647, 1000, 10)),
                ]
            )
        );
        let listed = output("ipvsadm -Ln --thresholds");
        assert!(listed.contains("10.1.0.1:80                  70000      60000"), "{listed}");
    });
}

#[test]
fn what_is_there_is_changed_and_what_is_gone_is_gone() {
    let (key, other) = (tcp("10.0.0.1:80"), tcp("10.0.0.2:80"));
    in_fresh_namespace(|| {
        let mut ipvs = Ipvs::open().unwrap();
        output("ipvsadm -A -t 10.0.0.1:80 -s rr");
        output("ipvsadm -a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 3");
        let changes = [
            // Is there, with another scheduler and weight.
            Change::AddService(key, plain(Scheduler::Wrr)),
            Change::AddDestination(key, server("10.1.0.1:80"), by(Forward::Masquerade)),
            // Are not there.
            Change::EditDestination(key, server("10.1.0.2:80"), by(Forward::Masquerade)),
            Change::EditService(other, plain(Scheduler::Rr)),
            Change::RemoveDestination(key, server("10.1.0.3:80")),
            Change::RemoveDestination(tcp("10.0.0.3:80"), server("10.1.0.3:80")),
            Change::RemoveService(tcp("10.0.0.3:80")),
        ];
        assert!(ipvs.apply(&changes).is_empty());
        let masquerade = || by(Forward::Masquerade);
        let expected = Table::from([
            (
                key,
                entry(
                    plain(Scheduler::Wrr),
                    [(server("10.1.0.1:80"), masquerade()), (server("10.1.0.2:80"), masquerade())],
                ),
            ),
            (other, entry(plain(Scheduler::Rr), [])),
        ]);
        assert_eq!(ipvs.dump().unwrap(), expected);
        assert!(ipvs.apply(&[Change::RemoveService(key), Change::RemoveService(other)]).is_empty());
        assert_eq!(ipvs.dump().unwrap(), Table::new());
    });
}

#[test]
fn a_change_that_fails_is_named_and_keeps_no_other_from_being_made() {
    let key = tcp("10.0.0.1:80");
    in_fresh_namespace(|| {
        let mut ipvs = Ipvs::open().unwrap();
        let changes = [
            Change::AddService(tcp("10.0.0.2:80"), plain(Scheduler::Twos)),
            Change::AddDestination(tcp("10.0.0.2:80"), server("10.1.0.1:80"), by(Forward::Direct)),
            Change::AddService(key, plain(Scheduler::Rr)),
            Change::AddDestination(key, server("224.0.0.1:80"), by(Forward::Direct)),
            Change::AddDestination(key, server("10.1.0.1:80"), by(Forward::Direct)),
        ];
        let failures = ipvs.apply(&changes);
        let texts: Vec<String> = failures.iter().map(|(index, error)| format!("{index}: {error}")).collect();
        assert_eq!(
            texts,
            [
                "0: add service TCP 10.0.0.2:80: this kernel has no scheduler twos",
                "1: add destination 10.1.0.1:80 to service TCP 10.0.0.2:80: there is no such service",
                "3: add destination 224.0.0.1:80 to service TCP 10.0.0.1:80: invalid argument",
            ]
        );
        assert_eq!(output("ipvsadm -Sn"), "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1\n");
    });
}

#[test]
fn timeouts_are_read_and_set_and_a_zero_leaves_one_as_it_is() {
    in_fresh_namespace(|| {
        let mut ipvs = Ipvs::open().unwrap();
        assert_eq!(ipvs.timeouts().unwrap(), Timeouts { tcp: 900, tcp_fin: 120, udp: 300 });
        ipvs.set_timeouts(&Timeouts { tcp: 3600, tcp_fin: 0, udp: 30 }).unwrap();
        assert_eq!(output("ipvsadm -L --timeout"), "Timeout (tcp tcpfin udp): 3600 120 30\n");
        output("ipvsadm --set 1 2 3");
        assert_eq!(ipvs.timeouts().unwrap(), Timeouts { tcp: 1, tcp_fin: 2, udp: 3 });
    });
}

#[test]
fn sync_daemons_start_as_told_are_listed_and_stop() {
    in_fresh_namespace(|| {
        output("ip link add d0 type dummy");
        output("ip address add 10.9.0.1/24 dev d0");
        output("ip link set d0 up");
        let mut ipvs = Ipvs::open().unwrap();
        let master = SyncDaemon {
            state: SyncState::Master,
            interface: "d0".to_owned(),
            sync_id: 51,
            max_length: 1000,
            group: Some([224, 0, 0, 99].into()),
            port: 9999,
            ttl: 3,
        };
        ipvs.start_sync_daemon(&master).unwrap();
        let plain =
            SyncDaemon { state: SyncState::Backup, max_length: 0, group: None, port: 0, ttl: 0, ..master.clone() };
        ipvs.start_sync_daemon(&plain).unwrap();
        let listed = ipvs.sync_daemons().unwrap();
        assert_eq!(listed[0], master);
        assert_eq!(
            (listed[1].state, listed[1].port, listed[1].group),
            (SyncState::Backup, 8848, Some([224, 0, 0, 81].into()))
        );
        let said = output("ipvsadm -L --daemon");
        assert_eq!(
            said.lines().next().unwrap_or_default().trim_end(),
            "master sync daemon (mcast=d0, syncid=51, maxlen=1000, group=224.0.0.99, port=9999, ttl=3)"
        );
        let twice = ipvs.start_sync_daemon(&master).unwrap_err();
        assert_eq!(twice.to_string(), "start the master sync daemon: file exists");
        ipvs.stop_sync_daemon(SyncState::Master).unwrap();
        ipvs.stop_sync_daemon(SyncState::Backup).unwrap();
        assert_eq!(ipvs.sync_daemons().unwrap(), []);
        assert!(ipvs.stop_sync_daemon(SyncState::Backup).is_err());
    });
}

#[test]
fn one_service_is_read_zeroed_and_all_are_flushed() {
    in_fresh_namespace(|| {
        let mut ipvs = Ipvs::open().unwrap();
        let key = tcp("10.0.0.1:80");
        ipvs.apply(&[Change::AddService(key, plain(Scheduler::Rr))]);
        assert_eq!(ipvs.service(&key).unwrap().scheduler, "rr");
        ipvs.zero(Some(&key)).unwrap();
        ipvs.zero(None).unwrap();
        assert_eq!(
            ipvs.service(&tcp("10.0.0.9:80")).unwrap_err().to_string(),
            "read service TCP 10.0.0.9:80: no such process"
        );
        ipvs.flush().unwrap();
        assert_eq!(ipvs.services().unwrap(), []);
    });
}

#[test]
fn a_namespace_sees_its_own_services_only() {
    in_fresh_namespace(|| {
        let mut outer = Ipvs::open().unwrap();
        outer.apply(&[Change::AddService(tcp("10.0.0.1:80"), plain(Scheduler::Rr))]);
        in_fresh_namespace(|| assert_eq!(Ipvs::open().unwrap().dump().unwrap(), Table::new()));
        assert_eq!(outer.dump().unwrap().len(), 1);
    });
}

#[test]
fn a_thousand_services_with_ten_thousand_destinations_are_programmed_and_listed() {
    let mut table = Table::new();
    for service in 0..1000 {
        let destinations = (1..=10).map(|host| (server(&format!("10.1.{host}.1:80")), by(Forward::Masquerade)));
        let entry = Entry { service: plain(Scheduler::Wlc), destinations: destinations.collect() };
        table.insert(tcp(&format!("10.0.{}.{}:80", service / 250, service % 250 + 1)), entry);
    }
    in_fresh_namespace(|| {
        let mut ipvs = Ipvs::open().unwrap();
        let changes = additions(&table);
        let start = Instant::now();
        assert!(ipvs.apply(&changes).is_empty());
        let applied = start.elapsed();
        let start = Instant::now();
        assert_eq!(ipvs.dump().unwrap(), table);
        println!("1,000 services, 10,000 destinations: applied in {applied:?}, read in {:?}", start.elapsed());
        assert_eq!(run("ipvsadm -Sn").stdout.lines().count(), 11_000);
    });
}
