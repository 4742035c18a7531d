//! Who else is on the LAN: a client, and now and then a foreign machine that has an address of ours.

use crate::node::Node;
use crate::scenario::on_link;
use crate::world::{Happening, World, announcement, arrived};
use evenkeel_vrrp::config::{Instance, Priority};
use evenkeel_vrrp::packet::{Advert, Checksum, TTL};
use evenkeel_wire::Mac;
use std::net::IpAddr;
use std::time::Duration;

/// Where the client sends what is for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Node(usize),
    Guest,
}

/// A foreign machine.
pub(crate) struct Guest {
    instance: Instance,
    pub(crate) address: IpAddr,
    priority: Option<Priority>,
    /// Tells its visits apart.
    visit: u64,
}

impl Guest {
    pub(crate) const MAC: Mac = Mac([2, 0, 0, 0, 0, 0xee]);

    pub(crate) fn visit(&self) -> u64 {
        self.visit
    }
}

impl World {
    /// What the client hears it believes; that much always arrives.
    pub(crate) fn learn(&mut self, address: IpAddr, whose: Whose) {
        let arrives_at = self.now + self.lan.quality.delay;
        self.schedule(arrives_at, Happening::Learn { address, whose });
    }

    /// The client finds that nobody answers where it sends, and asks anew: any of those that have an address may be the one
    /// that it finds.
    pub(crate) fn client_asks_anew(&mut self) {
        let known: Vec<_> = self.client.keys().copied().collect();
        for address in known {
            // What somebody added by hand goes without a word, and one that leaves has a successor that was heard already.
            let holders = self.nodes.iter().filter(|node| node.serves(address) && node.is_master_of(address));
            let holders: Vec<usize> = holders.map(|node| node.number).collect();
            let is_found = matches!(self.client.get(&address), Some(Whose::Node(n)) if holders.contains(n));
            if is_found {
                continue;
            }
            if holders.is_empty() {
                self.client.remove(&address);
            } else {
                let found = holders[self.random.below(holders.len())];
                self.client.insert(address, Whose::Node(found));
            }
        }
    }

    pub(crate) fn guest_comes(&mut self, instance: usize, priority: Option<u8>) {
        let Some(instance) = self.nodes[0].original.instances.get(instance).cloned() else { return };
        let address = instance.addresses[0].prefix.address();
        // Peers would not listen to a stranger.
        let priority = priority.and_then(Priority::new).filter(|_| !instance.is_unicast());
        let visit = self.guest.as_ref().map_or(0, |guest| guest.visit) + 1;
        self.guest = Some(Guest { instance, address, priority, visit });
        self.guest_speaks(visit);
    }

    /// Announces the address, and says that it is master if it is; again and again while it is there.
    pub(crate) fn guest_speaks(&mut self, visit: u64) {
        let Some(guest) = self.guest.as_ref().filter(|guest| guest.visit == visit) else { return };
        let (address, instance, priority) = (guest.address, guest.instance.clone(), guest.priority);
        self.learn(address, Whose::Guest);
        self.guest_says(|node| announcement(node.link_index(), Guest::MAC, address));
        let interval = instance.advert_interval.duration();
        if let Some(priority) = priority {
            let advert = advert(&instance, priority);
            let (source, packet) = (advert.source, advert.build(Checksum::WithPseudoHeader, 1));
            self.guest_says(|node| arrived(node.link_index(), source, instance.group, TTL, packet.clone()));
        }
        let again = self.now + if priority.is_some() { interval } else { interval.max(Duration::from_millis(500)) };
        self.schedule(again, Happening::GuestSpeaks { visit });
    }

    fn guest_says(&mut self, make: impl Fn(&Node) -> evenkeel_vrrp::Event) {
        for node in 0..self.nodes.len() {
            for delay in self.lan.arrivals(&mut self.random) {
                let event = make(&self.nodes[node]);
                self.schedule(self.now + delay, Happening::Arrival { node, event });
            }
        }
    }
}

fn advert(instance: &Instance, priority: Priority) -> Advert {
    Advert {
        source: on_link(66, instance.family()),
        destination: instance.group,
        ttl: TTL,
        version: instance.version,
        vrid: instance.vrid,
        priority: priority.get(),
        interval: instance.advert_interval,
        addresses: instance.addresses.iter().map(|address| address.prefix.address()).collect(),
        password: instance.password(),
    }
}
