//! What the table should hold.

use crate::balancer::{Balancer, Phase};
use crate::event::{PoolId, ServerId};
use crate::state::{Health, PoolState, Quorum};
use crate::table::{Destination, DestinationKey, Entry, ServiceKey, Table};
use evenkeel_wire::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl Balancer {
    /// The services of a pool, all with the same destinations. Nothing after shutdown, and of a pool that there is not.
    pub fn desired(&self, pool: PoolId) -> impl Iterator<Item = (ServiceKey, Entry)> + '_ {
        self.entry(pool).into_iter().flat_map(move |entry| {
            let services = &self.config.pools[pool.0 as usize].services;
            services.iter().map(move |key| (*key, entry.clone()))
        })
    }

    /// Everything, for a comparison with all that the plane holds. Where two pools name one service, the first has it.
    pub fn desired_table(&self) -> Table {
        let mut table = Table::new();
        for (key, entry) in self.pool_ids().flat_map(|pool| self.desired(pool)) {
            table.entry(key).or_insert(entry);
        }
        table
    }

    /// The services that are ours to remove: those of the configuration, and of the one before the last reload.
    pub fn owned(&self) -> BTreeSet<ServiceKey> {
        let services = self.config.pools.iter().flat_map(|pool| &pool.services);
        services.chain(&self.former).copied().collect()
    }

    pub(crate) fn entry(&self, id: PoolId) -> Option<Entry> {
        if self.phase == Phase::Left {
            return None;
        }
        let config = self.config.pools.get(id.0 as usize)?;
        let state = self.pools.get(id.0 as usize)?;
        let mut destinations = BTreeMap::new();
        for (config, server) in config.servers.iter().zip(&state.servers) {
            let Some(weight) = server.placed else { continue };
            let key = DestinationKey { address: config.address, port: config.port };
            let destination = Destination {
                weight,
                forward: config.forward,
                upper_threshold: config.upper_threshold,
                lower_threshold: config.lower_threshold,
            };
            destinations.insert(key, destination);
        }
        if let Some(sorry) = &config.sorry {
            let key = DestinationKey { address: sorry.address, port: sorry.port };
            let with = |weight| Destination { weight, forward: sorry.forward, upper_threshold: 0, lower_threshold: 0 };
            if state.quorum == Quorum::Lost {
                destinations.insert(key, with(1));
            } else if sorry.inhibit {
                // The sorry server may be one of the servers; then its own weight stands.
                destinations.entry(key).or_insert_with(|| with(0));
            }
        }
        Some(Entry { service: config.service.clone(), destinations })
    }

    /// The weight of a server in the table; `None` when it is not to be there.
    ///
    /// Without a quorum the sorry server takes over, if there is one. Servers that are up then leave the table; but one that
    /// is drained stays, for the connections that it was to keep.
    pub(crate) fn placement(&self, now: Instant, id: ServerId) -> Option<u32> {
        let (pool, config) = self.configured(id)?;
        let server = self.server(id);
        let sorry = pool.sorry.is_some() && self.pools[id.pool.0 as usize].quorum == Quorum::Lost;
        let inhibited = config.inhibit_on_failure.then_some(0);
        match server.health {
            _ if server.is_out() => None,
            Health::Down => inhibited,
            Health::Up if server.is_drained() => Some(0),
            Health::Up if sorry => inhibited,
            Health::Up => {
                let full = server.target(config.weight);
                let ramp = server.ramp.zip(config.slow_start);
                Some(ramp.map_or(full, |(ramp, span)| part(full, now.since(ramp.since), span)))
            }
        }
    }
}

impl PoolState {
    /// The server of last resort answers.
    pub(crate) fn is_sorry(&self, has_sorry: bool) -> bool {
        has_sorry && self.quorum == Quorum::Lost
    }
}

/// A rising weight: from 1 to the full one.
fn part(full: u32, elapsed: Duration, span: Duration) -> u32 {
    let risen = u128::from(full) * elapsed.as_nanos() / span.as_nanos().max(1);
    u32::try_from(risen).unwrap_or(full).clamp(1.min(full), full)
}
