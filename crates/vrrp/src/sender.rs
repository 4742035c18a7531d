//! Adverts ready to send: built once for each priority, numbered anew each time.

use crate::config::Instance;
use crate::packet::{self, Advert, Checksum, TTL};
use evenkeel_wire::ipv4;
use std::net::IpAddr;

#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// What the packets say, but for priority and destination; `None` without a source address.
    advert: Option<Advert>,
    checksum: Checksum,
    destinations: Vec<IpAddr>,
    /// The packets for `priority`, in the order of `destinations`.
    packets: Vec<Outgoing>,
    priority: u8,
    /// Identification of the last IPv4 packet. Counts from 1 and is never 0, as keepalived's.
    id: u16,
}

/// An advert as it leaves.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) packet: Vec<u8>,
}

impl Sender {
    pub(crate) fn new() -> Self {
        Sender {
            advert: None,
            checksum: Checksum::WithPseudoHeader,
            destinations: Vec::new(),
            packets: Vec::new(),
            priority: 0,
            id: 0,
        }
    }

    /// Prepares for a configuration and a source address.
    pub(crate) fn prepare(&mut self, config: &Instance, source: IpAddr, has_old_checksum: bool) {
        let unicast = config.is_unicast();
        self.destinations =
            if unicast { config.peers.iter().map(|peer| peer.address).collect() } else { vec![config.group] };
        self.checksum = packet::checksum_of(config, has_old_checksum);
        self.packets.clear();
        self.advert = Some(Advert {
            source,
            destination: config.group,
            ttl: if unicast { config.unicast_ttl } else { TTL },
            version: config.version,
            vrid: config.vrid,
            priority: 0,
            interval: config.advert_interval,
            addresses: config.addresses.iter().map(|address| address.prefix.address()).collect(),
            password: config.password(),
        });
    }

    /// One packet for each destination.
    pub(crate) fn adverts(&mut self, priority: u8) -> impl Iterator<Item = Outgoing> {
        if self.packets.is_empty() || self.priority != priority {
            self.rebuild(priority);
        }
        let Sender { packets, id, .. } = self;
        packets.iter().map(move |ready| {
            let mut outgoing = ready.clone();
            if outgoing.source.is_ipv4() {
                *id = if *id == u16::MAX { 1 } else { *id + 1 };
                ipv4::renumber(&mut outgoing.packet, *id);
            }
            outgoing
        })
    }

    fn rebuild(&mut self, priority: u8) {
        self.priority = priority;
        self.packets.clear();
        let Some(advert) = &mut self.advert else { return };
        advert.priority = priority;
        for &destination in &self.destinations {
            advert.destination = destination;
            let packet = advert.build(self.checksum, 0);
            self.packets.push(Outgoing { source: advert.source, destination, ttl: advert.ttl, packet });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{UnicastPeer, VirtualAddress, Vrid};

    #[test]
    fn each_packet_has_its_number_and_each_peer_its_packet() {
        let mut config = Instance::new("VI_1", "eth0", Vrid::new(51).unwrap());
        config.addresses = vec![VirtualAddress::new("192.0.2.100/32".parse().unwrap())];
        config.peers = ["10.0.0.2", "10.0.0.3"].map(|peer| UnicastPeer::new(peer.parse().unwrap())).to_vec();
        config.unicast_ttl = 9;
        let mut sender = Sender::new();
        assert_eq!(sender.adverts(100).count(), 0, "without a source address there is nothing to send");
        sender.prepare(&config, "10.0.0.1".parse().unwrap(), false);
        let mut ids = Vec::new();
        for priority in [100, 100, 0] {
            for (Outgoing { destination, packet, .. }, peer) in sender.adverts(priority).zip(&config.peers) {
                let (header, message) = ipv4::Header::parse(&packet).unwrap();
                assert_eq!((destination, header.ttl), (peer.address, 9));
                assert_eq!(IpAddr::V4(header.destination), peer.address);
                assert_eq!(evenkeel_wire::checksum::internet(&[&packet[..20]]), 0);
                assert_eq!(message[2], priority);
                ids.push(u16::from_be_bytes([packet[4], packet[5]]));
            }
        }
        assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
        sender.id = u16::MAX;
        let Outgoing { packet, .. } = sender.adverts(100).next().unwrap();
        assert_eq!(&packet[4..6], [0, 1], "the number is never 0");
    }
}
