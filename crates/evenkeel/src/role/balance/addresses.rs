//! Which addresses this host has, for `ha_suspend`.

use crate::readiness::Readiness;
use evenkeel_balance::{Config, Event};
use evenkeel_kernel::netlink::{Change, Monitor, Netlink};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The host's addresses, as far as they were told.
pub(super) struct LocalAddresses {
    monitor: Monitor,
    readiness: Readiness,
    present: BTreeSet<IpAddr>,
}

impl LocalAddresses {
    pub(super) fn open() -> anyhow::Result<Self> {
        // Before the first listing, so that nothing falls between.
        let monitor = Monitor::open()?;
        Ok(LocalAddresses { readiness: Readiness::of(&monitor)?, monitor, present: BTreeSet::new() })
    }

    /// Every address, when some pool wants to know.
    pub(super) fn read_all(&mut self, config: &Config) -> anyhow::Result<Vec<Event>> {
        if !config.pools.iter().any(|pool| pool.ha_suspend) {
            return Ok(Vec::new());
        }
        let now: BTreeSet<IpAddr> =
            Netlink::open()?.addresses()?.into_iter().map(|held| held.address.prefix.address()).collect();
        let gone = self.present.difference(&now).map(|address| (*address, false));
        let all = gone.chain(now.iter().map(|address| (*address, true)));
        let events = all.map(|(address, present)| Event::LocalAddress { address, present }).collect();
        self.present = now;
        Ok(events)
    }

    /// Until an address came or left.
    pub(super) async fn changed(&mut self) -> anyhow::Result<()> {
        loop {
            self.readiness.readable().await?;
            let mut is_other = false;
            while let Some(change) = self.monitor.receive()? {
                match change {
                    Change::AddressAdded { .. }
                    | Change::AddressRemoved { .. }
                    | Change::LinkGone { .. }
                    | Change::Overrun => is_other = true,
                    Change::Link(_) => {}
                }
            }
            self.readiness.drained();
            if is_other {
                return Ok(());
            }
        }
    }
}
