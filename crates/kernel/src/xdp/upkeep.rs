//! What needs doing from time to time: flows that have ended, and entries that somebody else changed.

use super::plane::XdpPlane;
use super::server;
use crate::Error;
use crate::error::During;
use evenkeel_balance::table::ServiceKey;
use evenkeel_xdp::abi;
use std::collections::{HashMap, HashSet};

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Connections that are remembered.
    pub flows: u64,
    /// Those that were forgotten, their time being over.
    pub expired: u64,
}

/// An entry that was not as it should be, and is again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Of which service, unless it was an entry of none.
    pub service: Option<ServiceKey>,
    /// What was wrong with it.
    pub what: String,
}

impl XdpPlane {
    /// Forgets flows that are over, and counts each server's again: the table may have dropped some without notice when it
    /// was full. To be called every minute or so; takes time in proportion to the flows (a million a second).
    pub fn sweep(&mut self) -> Result<Sweep, Error> {
        let operation = || "sweep the flows of the data plane";
        let now = monotonic();
        let settings = self.settings;
        let mut loads: HashMap<u32, (u32, u32)> = HashMap::new();
        let (mut over, mut sweep) = (Vec::new(), Sweep::default());
        let each = |key: &abi::FlowKey, flow: &abi::Flow| {
            let is_closing = flow.state == abi::FLOW_CLOSING;
            let timeout = match (key.protocol, is_closing) {
                (6, true) => settings.closing_timeout,
                (6, false) => settings.tcp_timeout,
                _ => settings.udp_timeout,
            };
            if flow.seen.saturating_add(timeout) < now {
                over.push(*key);
                return;
            }
            sweep.flows += 1;
            let load = loads.entry(flow.server).or_default();
            if is_closing { load.1 += 1 } else { load.0 += 1 }
        };
        self.maps.flows.each(each).during(operation)?;
        for key in &over {
            self.maps.flows.remove(key).during(operation)?;
        }
        sweep.expired = over.len() as u64;
        for server in self.held.values().flat_map(|held| held.servers.values()) {
            let (active, inactive) = loads.get(&server.id).copied().unwrap_or_default();
            let Some(load) = self.maps.loads.get(&server.id).during(operation)? else { continue };
            if (load.active, load.inactive) != (active, inactive) {
                let load = abi::Load { active, inactive, ..load };
                self.maps.loads.set(&server.id, &load).during(operation)?;
            }
        }
        let mut over = Vec::new();
        let each = |key: &abi::FlowKey, reply: &abi::Reply| {
            let timeout = if key.protocol == 6 { settings.tcp_timeout } else { settings.udp_timeout };
            if reply.seen.saturating_add(timeout) < now {
                over.push(*key);
            }
        };
        self.maps.replies.each(each).during(operation)?;
        over.iter().try_for_each(|key| self.maps.replies.remove(key)).during(operation)?;
        let mut over = Vec::new();
        let each = |key: &abi::ClientKey, client: &abi::Client| {
            if client.until < now {
                over.push(*key);
            }
        };
        self.maps.clients.each(each).during(operation)?;
        over.iter().try_for_each(|key| self.maps.clients.remove(key)).during(operation)?;
        Ok(sweep)
    }

    /// Compares the maps with what was put there, makes good what differs, and says what that was.
    pub fn repair(&mut self) -> Result<Vec<Repair>, Error> {
        let operation = || "compare the tables of the data plane";
        let mut repairs = Vec::new();
        let keys: Vec<ServiceKey> = self.held.keys().copied().collect();
        let mut ours = HashSet::new();
        for key in keys {
            let Some(held) = self.held.get_mut(&key) else { continue };
            ours.insert(held.id);
            let (mut wrong, mut counted) = (Vec::new(), Vec::new());
            if self.maps.services.get(&held.key).during(operation)? != held.entry {
                held.entry = None;
                wrong.push("the entry of the service was changed".to_owned());
            }
            if self.maps.rings.get(&held.id).during(operation)? != Some(held.ring) {
                wrong.push("its servers were replaced".to_owned());
            }
            for (server_key, server) in &held.servers {
                ours.insert(server.id);
                if self.maps.servers.get(&server.id).during(operation)? != Some(server.entry) {
                    wrong.push(format!("the entry of server {} was changed", server_key.address));
                    counted.push(server.id);
                    self.maps.servers.set(&server.id, &server.entry).during(operation)?;
                }
            }
            counted.into_iter().try_for_each(|id| self.count_server(id)).during(operation)?;
            if !wrong.is_empty()
                && let Some((_, error)) = self.publish(&[key]).pop()
            {
                return Err(error);
            }
            repairs.extend(wrong.into_iter().map(|what| Repair { service: Some(key), what }));
        }
        for (key, entry) in self.maps.services.entries().during(operation)? {
            let name = server::table_key(&key);
            if !name.is_some_and(|name| self.held.contains_key(&name)) {
                self.maps.services.remove(&key).during(operation)?;
                let what = format!("service number {} was added", entry.id);
                repairs.push(Repair { service: name, what });
            }
        }
        for id in self.maps.servers.keys().during(operation)? {
            if !ours.contains(&id) {
                self.drop_server(id).during(operation)?;
                repairs.push(Repair { service: None, what: format!("server number {id} was added") });
            }
        }
        Ok(repairs)
    }
}

/// Nanoseconds of the clock that the program reads.
fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
