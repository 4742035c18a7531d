//! Counters of the maps, summed over processors, and how fast they grow.

use super::plane::XdpPlane;
use crate::Error;
use crate::error::During;
use evenkeel_balance::table::{DestinationStatistics, ServiceStatistics, Statistics, Traffic};
use evenkeel_xdp::abi;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// What was counted when it was last asked, by the numbers of services and servers.
#[derive(Debug, Default)]
pub(super) struct Rates {
    last: HashMap<u32, (Instant, Traffic)>,
}

impl Rates {
    /// Fills in the rates since the last time, one that is less than a tenth of a second ago aside.
    fn rate(&mut self, id: u32, now: Instant, mut traffic: Traffic) -> Traffic {
        let Some((at, before)) = self.last.get(&id) else {
            self.last.insert(id, (now, traffic));
            return traffic;
        };
        let seconds = now.duration_since(*at).as_secs_f64();
        if seconds >= 0.1 {
            let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round() as u64;
            traffic.connections_rate = rate(traffic.connections, before.connections);
            traffic.packets_in_rate = rate(traffic.packets_in, before.packets_in);
            traffic.packets_out_rate = rate(traffic.packets_out, before.packets_out);
            traffic.bytes_in_rate = rate(traffic.bytes_in, before.bytes_in);
            traffic.bytes_out_rate = rate(traffic.bytes_out, before.bytes_out);
            self.last.insert(id, (now, traffic));
            return traffic;
        }
        let (counted, last) = (traffic, before);
        Traffic {
            connections: counted.connections,
            packets_in: counted.packets_in,
            packets_out: counted.packets_out,
            bytes_in: counted.bytes_in,
            bytes_out: counted.bytes_out,
            ..*last
        }
    }
}

impl XdpPlane {
    pub(super) fn read_statistics(&mut self) -> Result<Statistics, Error> {
        let operation = || "read the counters of the data plane";
        let now = Instant::now();
        let mut statistics = Statistics::new();
        let mut rates = std::mem::take(&mut self.rates);
        for (key, held) in &self.held {
            let mut counts: Vec<_> = self.maps.retired_counts.get(&held.id).during(operation)?.into_iter().collect();
            let mut destinations = BTreeMap::new();
            for (server_key, server) in &held.servers {
                let of_server = self.maps.server_counts.get_each(&server.id, self.n_processors).during(operation)?;
                let load = self.maps.loads.get(&server.id).during(operation)?.unwrap_or_default();
                let traffic = rates.rate(server.id, now, sum(&of_server));
                counts.extend(of_server);
                destinations.insert(
                    *server_key,
                    DestinationStatistics { traffic, active: load.active, inactive: load.inactive, persistent: 0 },
                );
            }
            let traffic = rates.rate(held.id, now, sum(&counts));
            statistics.insert(*key, ServiceStatistics { traffic, destinations });
        }
        // Numbers are never used again, so what is gone need not be remembered.
        rates.last.retain(|_, (at, _)| now.duration_since(*at).as_secs() < 3600);
        self.rates = rates;
        Ok(statistics)
    }

    /// How often something happened to a packet that is worth knowing, by what it was.
    pub fn events(&self) -> Result<BTreeMap<&'static str, u64>, Error> {
        let mut events = BTreeMap::new();
        for (number, name) in (0..).zip(abi::EVENTS) {
            let counts = self.maps.events.get_each(&number, self.n_processors);
            events.insert(name, counts.during(|| "read the events of the data plane")?.iter().sum());
        }
        Ok(events)
    }
}

fn sum(counts: &[abi::Counts]) -> Traffic {
    let abi::Counts { connections, packets_in, bytes_in, packets_out, bytes_out } =
        counts.iter().fold(abi::Counts::default(), |sum, counts| sum + *counts);
    Traffic { connections, packets_in, packets_out, bytes_in, bytes_out, ..Traffic::default() }
}
