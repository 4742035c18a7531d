//! That the model does what keepalived was seen to do: the rows of `docs/upstream-behavior.md`, as far as neighbours notice.

use super::*;
use evenkeel_vrrp::config::{Centis, Group, Instance, Track, TrackTarget, Vrid};
use evenkeel_wire::{Mac, Prefix};

const OWN: [u8; 4] = [10, 0, 0, 10];
const PEER: [u8; 4] = [10, 0, 0, 20];

/// One keepalived on one link, and its clock.
struct Machine {
    keepalived: Keepalived,
    now: Instant,
}

fn instance(vrid: u8) -> Instance {
    let mut instance = Instance::new(&format!("VI_{vrid}"), "eth0", Vrid::new(vrid).unwrap());
    instance.addresses = vec![VirtualAddress::new(Prefix::host([10, 0, 0, 100 + vrid].into()))];
    instance.garp.delay = Duration::ZERO;
    instance.garp.lower_prio_delay = Duration::ZERO;
    instance
}

impl Machine {
    fn new(instances: Vec<Instance>, groups: Vec<Group>) -> Self {
        let config = Config { instances, groups, ..Config::default() };
        let mut machine = Machine { keepalived: Keepalived::new(config), now: Instant::from_origin(Duration::ZERO) };
        machine.on(link(true));
        machine
    }

    /// What it does about an event, in words.
    fn on(&mut self, event: Event) -> String {
        let mut actions = Vec::new();
        self.keepalived.handle(self.now, event, &mut actions);
        words(actions)
    }

    /// What it does by itself within so many milliseconds, and when.
    fn run(&mut self, millis: u64) -> String {
        let end = self.now + Duration::from_millis(millis);
        let mut all = Vec::new();
        while let Some(due) = self.keepalived.deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            let done = self.on(Event::Deadline);
            all.push(format!("{} ms: {done}", self.now.since_origin().as_millis()));
        }
        self.now = end;
        all.join("; ")
    }

    fn hears(&mut self, vrid: u8, priority: u8) -> String {
        let advert = Advert {
            source: PEER.into(),
            destination: config::GROUP_V4.into(),
            ttl: TTL,
            version: Version::V2,
            vrid: Vrid::new(vrid).unwrap(),
            priority,
            interval: Centis(100),
            addresses: Vec::new(),
            password: None,
        };
        self.on(Event::Packet { interface: 2, bytes: advert.build(Checksum::WithPseudoHeader, 1) })
    }
}

fn link(up: bool) -> Event {
    let (name, addresses) = ("eth0".to_owned(), vec![OWN.into()]);
    Event::Interface(Interface { index: 2, name, up, mac: Mac([2, 0, 0, 0, 0, 1]), addresses })
}

fn words(actions: Vec<Action>) -> String {
    let word = |action| match action {
        Action::SendAdvert { packet, .. } => format!("advert {}", packet[22]),
        Action::Hold { addresses, .. } => format!("hold {}", addresses.len()),
        Action::Announce { count, .. } => format!("garp {count}"),
        Action::Explain(transition) => format!("{:?}", transition.to).to_lowercase(),
        other => format!("{other:?}").to_lowercase(),
    };
    actions.into_iter().map(word).collect::<Vec<_>>().join(", ")
}

fn master() -> Machine {
    let mut machine = Machine::new(vec![instance(1)], Vec::new());
    assert_eq!(machine.run(3_610), "3609 ms: advert 100, master, hold 1, garp 5", "the advert comes first");
    machine
}

#[test]
fn a_master_lets_go_of_its_addresses_in_the_order_that_was_seen() {
    assert_eq!(master().hears(1, 200), "hold 0, backup", "no word to a better one");
    assert_eq!(master().on(Event::Shutdown), "hold 0, advert 0, stopped, stopped");
    assert_eq!(master().on(link(false)), "hold 0, advert 0, advert 0, fault", "twice in FAULT");
}

#[test]
fn an_address_that_was_removed_costs_the_mastership_for_a_skew() {
    let mut machine = master();
    let vanished = Event::AddressVanished { interface: 2, address: [10, 0, 0, 101].into() };
    assert_eq!(machine.on(vanished), "hold 0, advert 0, backup");
    assert_eq!(machine.run(1_000), "4219 ms: advert 100, master, hold 1, garp 5");
}

#[test]
fn a_master_answers_lower_adverts_and_priority_0() {
    assert_eq!(master().hears(1, 50), "advert 100, garp 5");
    assert_eq!(master().hears(1, 0), "advert 100");
}

#[test]
fn lower_adverts_leave_the_timer_alone_and_others_restart_it() {
    let mut machine = Machine::new(vec![instance(1)], Vec::new());
    for priority in [50, 99, 50] {
        machine.run(1_000);
        machine.hears(1, priority);
    }
    assert_eq!(machine.run(610), "3609 ms: advert 100, master, hold 1, garp 5");

    let mut machine = Machine::new(vec![instance(1)], Vec::new());
    machine.run(3_000);
    machine.hears(1, 150);
    assert_eq!(machine.run(3_600), "");
    machine.hears(1, 0);
    assert_eq!(machine.run(610), "7209 ms: advert 100, master, hold 1, garp 5", "a skew after priority 0");
}

#[test]
fn the_delay_before_preemption_begins_with_each_spell_of_lower_adverts() {
    let mut instance = instance(1);
    instance.preempt = Preempt::After(Duration::from_secs(2));
    let mut machine = Machine::new(vec![instance], Vec::new());
    for priority in [50, 50, 150, 50, 50, 50, 50] {
        assert_eq!(machine.run(1_000), "");
        machine.hears(1, priority);
    }
    // Accepted until two seconds after the fourth second; what was accepted at the fifth began the last timer.
    assert_eq!(machine.run(2_000), "8609 ms: advert 100, master, hold 1, garp 5");
}

#[test]
fn a_reload_keeps_the_state_and_a_master_sends_at_once() {
    let mut machine = master();
    machine.run(500);
    let mut lower = instance(1);
    lower.priority = Priority::new(90).unwrap();
    let mut actions = Vec::new();
    let config = Config { instances: vec![lower], ..Config::default() };
    machine.keepalived.reconfigure(machine.now, config, &mut actions);
    assert_eq!(words(actions), "hold 1");
    assert_eq!(machine.run(0), "4110 ms: advert 90");

    let mut actions = Vec::new();
    machine.keepalived.reconfigure(machine.now, Config::default(), &mut actions);
    assert_eq!(words(actions), "hold 0, advert 0, stopped");
}

#[test]
fn the_number_in_a_file_moves_the_priority_and_the_timer() {
    let mut instance = instance(1);
    instance.tracks = vec![Track { target: TrackTarget::File("load".to_owned()), weight: -2, reverse: false }];
    let mut machine = Machine::new(vec![instance], Vec::new());
    assert_eq!(machine.keepalived.deadline(), None, "it waits for the file");
    machine.on(Event::File { name: "load".to_owned(), value: 0 });
    machine.on(Event::File { name: "load".to_owned(), value: 25 });
    assert_eq!(machine.run(3_805), "3804 ms: advert 50, master, hold 1, garp 5");
    let all_of_it = Event::File { name: "load".to_owned(), value: 127 };
    assert_eq!(machine.on(all_of_it), "hold 0, advert 0, advert 0, fault");
}

#[test]
fn members_of_a_group_become_master_together_and_leave_without_a_word() {
    let group = Group { name: "G1".to_owned(), members: vec![InstanceId(0), InstanceId(1)] };
    let mut machine = Machine::new(vec![instance(1), instance(2)], vec![group]);
    machine.run(1_000);
    machine.hears(2, 150);
    machine.run(2_700);
    // The first waits for the second, which hears a priority 0.
    machine.hears(2, 0);
    let both = "4309 ms: advert 100, master, hold 1, garp 5, advert 100, master, hold 1, garp 5";
    assert_eq!(machine.run(610), both);
    assert_eq!(machine.hears(1, 200), "hold 0, backup, hold 0, backup");
}
