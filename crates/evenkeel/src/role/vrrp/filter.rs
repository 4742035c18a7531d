//! Which addresses accept nothing, and the table of nftables that keeps packets from them.

use super::holdings::Holdings;
use super::own_links::OwnLinks;
use evenkeel_kernel::addresses::Held;
use evenkeel_kernel::vip_filter::{self, Style, VipFilter};
use evenkeel_vrrp::{Config, InstanceId};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub struct Filter {
    style: Style,
    /// Instances whose addresses accept nothing.
    refusing: BTreeSet<InstanceId>,
    /// What is filtered; `None` before the first look, when a killed run may have left a table.
    filtered: Option<VipFilter>,
}

impl Filter {
    pub fn new(config: &Config) -> Self {
        let firewall = &config.network.firewall;
        let style = Style { table: firewall.table.clone(), priority: firewall.priority, counters: firewall.counters };
        let mut filter = Filter { style, refusing: BTreeSet::new(), filtered: None };
        filter.configure(config);
        filter
    }

    pub fn configure(&mut self, config: &Config) {
        let ids = (0u32..).map(InstanceId).zip(&config.instances);
        self.refusing = ids.filter(|(_, instance)| instance.refuses).map(|(id, _)| id).collect();
    }

    /// What should be filtered, altogether.
    pub fn desired(&self, holdings: &Holdings, own_links: &OwnLinks) -> VipFilter {
        let held = self.refusing.iter().flat_map(|id| holdings.of(*id));
        let (vmacs4, vmacs6) = own_links.vmacs();
        VipFilter { addresses: held.map(entry).collect(), vmacs4: vmacs4.clone(), vmacs6: vmacs6.clone() }
    }

    /// An address that accepts nothing is not to be there before what keeps packets from it.
    pub fn grows(&self, desired: &VipFilter) -> bool {
        let known = self.filtered.as_ref().map(|filtered| &filtered.addresses);
        desired.addresses.iter().any(|address| known.is_none_or(|known| !known.contains(address)))
    }

    /// Whether nobody knows how the tables are: they have to be made as a whole.
    pub fn is_unknown(&self) -> bool {
        self.filtered.is_none()
    }

    /// Whether links with a virtual MAC came or went since the tables were made.
    pub fn knows(&self, own_links: &OwnLinks) -> bool {
        let (vmacs4, vmacs6) = own_links.vmacs();
        self.filtered.as_ref().is_some_and(|filtered| (&filtered.vmacs4, &filtered.vmacs6) == (vmacs4, vmacs6))
    }

    /// Makes the tables so, as a whole.
    pub fn apply(&mut self, filter: VipFilter, done: &mut Vec<String>) {
        if self.filtered.as_ref() == Some(&filter) {
            return;
        }
        let before = self.n_addresses();
        match vip_filter::apply(&self.style, &filter) {
            Ok(()) => {
                self.filtered = Some(filter);
                self.tell(before, done);
            }
            Err(error) => complain(&error, done),
        }
    }

    /// Before an instance's addresses come: the tables keep packets from them.
    pub fn admit(&mut self, id: InstanceId, held: &[Held], done: &mut Vec<String>) {
        if self.refusing.contains(&id) {
            let new: Vec<_> = held.iter().map(entry).collect();
            self.change(&new, &[], done);
        }
    }

    /// After addresses of an instance are gone.
    pub fn dismiss(&mut self, id: InstanceId, gone: &[Held], holdings: &Holdings, done: &mut Vec<String>) {
        if !self.refusing.contains(&id) || gone.is_empty() {
            return;
        }
        let is_held = |entry: &(IpAddr, u32)| {
            self.refusing.iter().flat_map(|id| holdings.of(*id)).any(|held| self::entry(held) == *entry)
        };
        let gone: Vec<_> = gone.iter().map(entry).filter(|entry| !is_held(entry)).collect();
        self.change(&[], &gone, done);
    }

    fn change(&mut self, new: &[(IpAddr, u32)], gone: &[(IpAddr, u32)], done: &mut Vec<String>) {
        let before = self.n_addresses();
        let Some(filtered) = &mut self.filtered else { return };
        match vip_filter::change(&self.style, filtered, new, gone) {
            Ok(()) => self.tell(before, done),
            Err(error) => {
                // Nobody knows how it stands: the next look makes it anew.
                self.filtered = None;
                complain(&error, done);
            }
        }
    }

    fn n_addresses(&self) -> usize {
        self.filtered.as_ref().map_or(0, |filtered| filtered.addresses.len())
    }

    fn tell(&self, before: usize, done: &mut Vec<String>) {
        let now = self.n_addresses();
        if now != before {
            done.push(format!("{now} addresses are kept from packets"));
        }
    }
}

fn entry(held: &Held) -> (IpAddr, u32) {
    (held.address.prefix.address(), held.index)
}

fn complain(error: &evenkeel_kernel::Error, done: &mut Vec<String>) {
    tracing::error!(target: "vrrp", "{error}");
    done.push(format!("could not {error}"));
}
