//! One router under test: events in, a short text of its actions out. Time is whatever the test says.
#![allow(dead_code, reason = "each test file uses its own part")]

use evenkeel_vrrp::config::{
    Centis, GROUP_V4, Instance, Password, Priority, Track, TrackTarget, Version, VirtualAddress, Vrid,
};
use evenkeel_vrrp::packet::{Advert, Checksum};
use evenkeel_vrrp::{Action, Command, Config, Event, InstanceId, InstanceStatus, Interface, Report, Router};
use evenkeel_wire::arp::Arp;
use evenkeel_wire::{Instant, Mac};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub(crate) const ETH0: u32 = 2;
pub(crate) const VIP_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
pub(crate) const VIP: IpAddr = IpAddr::V4(VIP_V4);
pub(crate) const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 10));
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 20));
pub(crate) const OUR_MAC: Mac = Mac([2, 0, 0, 0, 0, 10]);
pub(crate) const PEER_MAC: Mac = Mac([2, 0, 0, 0, 0, 20]);

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) router: Router,
    pub(crate) now: Instant,
    pub(crate) actions: Vec<Action>,
}

/// Version 2, virtual router 51, priority 100, one address on eth0.
pub(crate) fn instance() -> Instance {
    let mut instance = Instance::new("VI_1", "eth0", Vrid::new(51).unwrap());
    instance.addresses = vec![VirtualAddress::new("10.0.0.100/32".parse().unwrap())];
    instance
}

pub(crate) fn with_priority(priority: u8) -> Instance {
    let mut instance = instance();
    instance.priority = Priority::new(priority).unwrap();
    instance
}

pub(crate) fn tracking(mut instance: Instance, target: TrackTarget, weight: i16) -> Instance {
    instance.tracks.push(Track { target, weight, reverse: false });
    instance
}

pub(crate) fn config(instance: Instance) -> Config {
    Config { instances: vec![instance], ..Config::default() }
}

pub(crate) fn eth0(up: bool) -> Event {
    let addresses = vec![VIP, OURS];
    Event::Interface(Interface { index: ETH0, name: "eth0".to_owned(), up, mac: OUR_MAC, addresses })
}

pub(crate) fn advert(source: IpAddr, priority: u8) -> Advert {
    Advert {
        source,
        destination: GROUP_V4.into(),
        ttl: 255,
        version: Version::V2,
        vrid: Vrid::new(51).unwrap(),
        priority,
        interval: Centis(100),
        addresses: vec![VIP],
        password: None::<Password>,
    }
}

pub(crate) fn packet(advert: &Advert) -> Event {
    Event::Packet { interface: ETH0, bytes: advert.build(Checksum::WithPseudoHeader, 1) }
}

pub(crate) fn heard(source: IpAddr, priority: u8) -> Event {
    packet(&advert(source, priority))
}

pub(crate) fn claim(mac: Mac) -> Event {
    Event::Arp { interface: ETH0, arp: Arp::gratuitous(mac, VIP_V4) }
}

/// An answer to our probe.
pub(crate) fn answer(mac: Mac) -> Event {
    let operation = evenkeel_wire::arp::Operation::Reply;
    let arp =
        Arp { operation, sender_mac: mac, sender_ip: VIP_V4, target_mac: OUR_MAC, target_ip: Ipv4Addr::UNSPECIFIED };
    Event::Arp { interface: ETH0, arp }
}

pub(crate) fn vanished() -> Event {
    Event::AddressVanished { interface: ETH0, address: VIP }
}

pub(crate) fn proxy(healthy: bool) -> Event {
    Event::Proxy { healthy, reason: if healthy { "answers".to_owned() } else { "does not answer".to_owned() } }
}

pub(crate) fn failover() -> Event {
    Event::Command(Command::Failover(InstanceId(0)))
}

pub(crate) fn failback() -> Event {
    Event::Command(Command::Failback(InstanceId(0)))
}

pub(crate) fn announce() -> Event {
    Event::Command(Command::Announce(InstanceId(0)))
}

/// The process before this one died as master.
pub(crate) fn resume(seconds: f64) -> Event {
    Event::Resume { instance: InstanceId(0), within: Duration::from_secs_f64(seconds) }
}

impl Node {
    pub(crate) fn new(config: Config) -> Self {
        Node { router: Router::new(config, 0), now: Instant::ORIGIN + Duration::from_secs(1000), actions: Vec::new() }
    }

    /// Its interface is up and it waits for a master.
    pub(crate) fn backup(instance: Instance) -> Self {
        let mut node = Node::new(config(instance));
        node.on(eth0(true));
        assert_eq!(node.state(), "backup");
        node
    }

    /// Nobody was there, so it is master, and has been for ten seconds.
    pub(crate) fn master(instance: Instance) -> Self {
        let mut node = Node::new(config(instance));
        node.on(eth0(true));
        node.run(14.0);
        assert_eq!(node.state(), "master");
        node
    }

    /// Hands an event over; what was done, in short.
    pub(crate) fn on(&mut self, event: Event) -> String {
        self.actions.clear();
        self.router.handle(self.now, event, &mut self.actions);
        self.done()
    }

    /// Lets seconds pass with every deadline met; what was done, in short.
    pub(crate) fn run(&mut self, seconds: f64) -> String {
        self.actions.clear();
        let until = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.router.deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.router.handle(self.now, Event::Deadline, &mut self.actions);
        }
        self.now = until;
        self.done()
    }

    pub(crate) fn reconfigure(&mut self, config: Config) -> String {
        self.actions.clear();
        self.router.reconfigure(self.now, config, &mut self.actions);
        self.done()
    }

    pub(crate) fn done(&self) -> String {
        render(&self.actions)
    }

    /// The explanations of the last step: trigger | rule | decision.
    pub(crate) fn why(&self) -> String {
        let explained = self.actions.iter().filter_map(|action| match action {
            Action::Explain(why) => Some(format!("{} | {} | {}", why.trigger, why.rule, why.decision)),
            _ => None,
        });
        explained.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn status(&self) -> InstanceStatus {
        self.router.status(self.now).instances.remove(0)
    }

    pub(crate) fn state(&self) -> String {
        format!("{:?}", self.status().state).to_lowercase()
    }

    /// The next deadline at which something happens. The router may name an earlier one, and then puts that right.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let mut router = self.router.clone();
        loop {
            let named = router.deadline()?;
            let before = router.status(named);
            let mut actions = Vec::new();
            router.handle(named, Event::Deadline, &mut actions);
            actions.retain(|action| *action != Action::Compare);
            if !actions.is_empty() || router.deadline() == Some(named) || router.status(named) != before {
                return Some(named);
            }
        }
    }

    /// Seconds to the next deadline.
    pub(crate) fn due_in(&self) -> Option<f64> {
        self.due_at().map(|at| at.since(self.now).as_secs_f64())
    }
}

/// `hold 1`, `garp 5`, `advert 100`, `MASTER 100`, `backup>master`, ... The instance is named when it is not the first.
pub(crate) fn render(actions: &[Action]) -> String {
    // That comes with whatever deadline there is; it has a test of its own.
    let text = actions.iter().filter(|action| **action != Action::Compare).map(|action| {
        let (id, text) = match action {
            Action::SendAdvert { instance, source, packet, .. } => {
                (instance.0, format!("advert {}", packet[if source.is_ipv4() { 22 } else { 2 }]))
            }
            Action::Hold { instance, addresses, routes, rules } => {
                let others = match (routes.len(), rules.len()) {
                    (0, 0) => String::new(),
                    (routes, rules) => format!(" {routes}r {rules}u"),
                };
                (instance.0, format!("hold {}{others}", addresses.len()))
            }
            Action::Announce { instance, addresses, count } => {
                (instance.0, format!("garp {}x{count}", addresses.len()))
            }
            Action::Probe { .. } => (0, "probe".to_owned()),
            Action::Unclaimed { vrid, .. } => (0, format!("unclaimed {}", vrid.get())),
            Action::Notify { instance, state, priority } => {
                let state = match state {
                    Report::Master => "MASTER",
                    Report::Backup => "BACKUP",
                    Report::Fault => "FAULT",
                    Report::Stop => "STOP",
                    Report::Deleted => "DELETED",
                    Report::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
                    Report::MasterPriority => "MASTER_PRIORITY",
                    Report::BackupPriority => "BACKUP_PRIORITY",
                };
                (instance.0, format!("{state} {priority}"))
            }
            Action::NotifyGroup { state, .. } => (0, format!("GROUP {state:?}")),
            Action::Explain(why) => (why.instance.0, format!("{:?}>{:?}", why.from, why.to).to_lowercase()),
            Action::Stopped => (0, "stopped".to_owned()),
            Action::Compare => (0, "compare".to_owned()),
        };
        if id == 0 { text } else { format!("#{id} {text}") }
    });
    text.collect::<Vec<_>>().join(", ")
}
