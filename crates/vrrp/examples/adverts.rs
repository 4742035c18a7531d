//! What a backup does for each advert: hears adverts for many virtual routers, ten times a second each, without
//! anything else. To be run under callgrind, once with few rounds and once with more:
//!
//! ```text
//! valgrind --tool=callgrind target/release/examples/adverts 250 100
//! ```

use evenkeel_vrrp::config::{Centis, Instance, Priority, Version, VirtualAddress, Vrid};
use evenkeel_vrrp::packet::{Advert, Checksum, Datagram};
use evenkeel_vrrp::{Config, Event, Interface, Router};
use evenkeel_wire::{Instant, Mac, Prefix};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const VRIDS: usize = 250;

/// Time between two rounds of adverts.
const INTERVAL: Duration = Duration::from_millis(100);

fn main() {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<usize>().expect("a number"));
    let n_routers = numbers.next().unwrap_or(250);
    let n_rounds = numbers.next().unwrap_or(100);

    let instances: Vec<_> = (0..n_routers).map(instance).collect();
    let packets: Vec<_> = instances.iter().map(packet).collect();
    let mut router = Router::new(Config { instances, ..Config::default() }, 0);
    let mut actions = Vec::new();
    for index in 0..n_routers.div_ceil(VRIDS) {
        let addresses = vec![Ipv4Addr::new(10, 0, 0, 20).into()];
        let name = format!("eth{index}");
        let interface = Interface { index: index as u32, name, up: true, mac: Mac::default(), addresses };
        router.handle(Instant::ORIGIN, Event::Interface(interface), &mut actions);
    }
    actions.clear();
    let mut now = Instant::ORIGIN;
    for _ in 0..n_rounds {
        for (at, packet) in packets.iter().enumerate() {
            now = now + INTERVAL / n_routers as u32;
            let interface = (at / VRIDS) as u32;
            router.receive(now, interface, Datagram::V4(packet), &mut actions);
            if router.deadline().is_some_and(|deadline| deadline <= now) {
                router.handle(now, Event::Deadline, &mut actions);
            }
        }
    }
    let status = router.status(now);
    let n_received: u64 = status.instances.iter().map(|instance| instance.counters.advert_rcvd).sum();
    assert!(actions.is_empty(), "no backup has a reason to act");
    println!("{n_received} adverts for {n_routers} virtual routers");
}

fn instance(at: usize) -> Instance {
    let vrid = Vrid::new((at % VRIDS) as u8 + 1).expect("below 256, and not 0");
    let mut instance = Instance::new(&format!("VI_{at}"), &format!("eth{}", at / VRIDS), vrid);
    let [.., high, low] = at.to_be_bytes();
    let address = Prefix::host(IpAddr::V4(Ipv4Addr::new(10, 1, high, low)));
    instance.addresses = vec![VirtualAddress::new(address)];
    instance.version = Version::V3;
    instance.advert_interval = Centis(10);
    instance.priority = Priority::DEFAULT;
    instance
}

fn packet(instance: &Instance) -> Vec<u8> {
    let advert = Advert {
        source: Ipv4Addr::new(10, 0, 0, 10).into(),
        destination: instance.group,
        ttl: 255,
        version: instance.version,
        vrid: instance.vrid,
        priority: 150,
        interval: instance.advert_interval,
        addresses: instance.addresses.iter().map(|address| address.prefix.address()).collect(),
        password: None,
    };
    advert.build(Checksum::WithPseudoHeader, 1)
}
