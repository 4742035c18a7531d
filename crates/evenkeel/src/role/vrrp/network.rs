//! What the kernel reports of interfaces, addresses, routes and rules, told to the core.

use super::watch::ROUTING;
use super::{VrrpRole, kernel};
use evenkeel_kernel::netlink::{Change, RoutingMonitor};
use evenkeel_vrrp::Event;

/// Changes that are looked at together.
const MANY: usize = 4096;

impl VrrpRole {
    /// A virtual router without its interface does nothing, and its log would be empty.
    pub(super) fn report_absent(&self) {
        let is_absent = |interface: &str| !interface.is_empty() && !self.kernel.has(interface);
        for instance in self.config.instances.iter().filter(|instance| is_absent(&instance.interface)) {
            let (name, interface) = (&instance.name, &instance.interface);
            tracing::warn!(target: "vrrp", "({name}) interface {interface} does not exist; waiting for it");
        }
    }

    /// Every interface as it is now.
    pub(super) fn report_interfaces(&mut self) -> anyhow::Result<()> {
        let mut changes = self.kernel.resync()?;
        let made = self.kernel.ensure_own_links(&self.config);
        if !made.is_empty() {
            changes.extend(self.kernel.resync()?);
        }
        // First, for an owner of its addresses speaks as soon as it hears of its interface.
        self.kernel.open_sockets(&self.config, &self.watch);
        for change in changes {
            match change {
                kernel::Fact::Gone(index) => self.handle(Event::InterfaceGone { index })?,
                kernel::Fact::Interface(interface) => self.handle(Event::Interface(interface))?,
                kernel::Fact::Vanished { interface, address } => {
                    self.handle(Event::AddressVanished { interface, address })?;
                }
            }
        }
        // What was held on an interface that somebody deleted is held on the new one.
        for (instance, what) in made {
            self.handle(Event::RouteVanished { instance, what })?;
        }
        Ok(())
    }

    pub(super) fn read_monitor(&mut self) -> anyhow::Result<()> {
        let mut needs_report = false;
        loop {
            // What went with our own changes, and does not come back by itself, is nobody else's doing.
            self.kernel.settle();
            let mut changes = Vec::new();
            while changes.len() < MANY
                && let Some(change) = self.monitor.receive()?
            {
                changes.push(change);
            }
            let is_all = changes.len() < MANY;
            // One look for all of them, younger than each.
            let mut look = None;
            for change in changes {
                needs_report |= self.take_in(&change, &mut look)?;
            }
            if is_all {
                break;
            }
        }
        if needs_report {
            self.report_interfaces()?;
            self.mend_statics()?;
        }
        Ok(())
    }

    /// Whether everything has to be looked at because of this.
    fn take_in(&mut self, change: &Change, look: &mut Option<kernel::Look>) -> anyhow::Result<bool> {
        if self.tells_addresses {
            self.tell_address(change);
        }
        let is_news = self.kernel.note_change(change);
        let Change::AddressRemoved { index, prefix } = *change else { return Ok(is_news) };
        let Some(address) = self.kernel.was_taken_away((index, prefix), look) else { return Ok(is_news) };
        let name = self.kernel.name(index);
        tracing::warn!(target: "vrrp", "{address} was removed from {name} by somebody else");
        if self.kernel.is_static(index, address) {
            self.mend_statics()?;
            return Ok(false);
        }
        let interface = self.kernel.below(index);
        self.handle(Event::AddressVanished { interface, address })?;
        Ok(false)
    }

    /// Every few seconds: addresses are what they are to be, whether or not anybody reported that they are not.
    pub(super) fn compare(&mut self) -> anyhow::Result<()> {
        let missing = match self.kernel.compare() {
            Ok(missing) => missing,
            Err(error) => {
                tracing::error!(target: "vrrp", "compare addresses: {error}");
                return Ok(());
            }
        };
        let mut lacks_static = false;
        for (index, address) in missing {
            tracing::warn!(target: "vrrp", "{address} is missing from {}", self.kernel.name(index));
            if self.kernel.is_static(index, address) {
                lacks_static = true;
                continue;
            }
            let interface = self.kernel.below(index);
            self.handle(Event::AddressVanished { interface, address })?;
        }
        if lacks_static {
            self.mend_statics()?;
        }
        Ok(())
    }

    /// A socket that hears of routes, while the configuration has some.
    pub(super) fn watch_routing(&mut self) -> anyhow::Result<()> {
        match (self.kernel.routing_protocols(), &self.routing) {
            (Some(_), None) => {
                let monitor = RoutingMonitor::open()?;
                self.watch.add_urgent(&monitor, ROUTING)?;
                self.routing = Some(monitor);
            }
            (None, Some(_)) => self.routing = None,
            (Some(_), Some(_)) | (None, None) => {}
        }
        Ok(())
    }

    /// Routes and rules that somebody took away are put back.
    pub(super) fn read_routing(&mut self) -> anyhow::Result<()> {
        let Some(monitor) = &mut self.routing else { return Ok(()) };
        let protocols = self.kernel.routing_protocols().unwrap_or_default();
        if monitor.receive(&protocols)?.is_none() {
            return Ok(());
        }
        for (instance, what) in self.kernel.lost_routing()? {
            tracing::warn!(target: "vrrp", "{what} was removed by somebody else");
            self.handle(Event::RouteVanished { instance, what })?;
        }
        self.mend_statics()
    }

    pub(super) fn mend_statics(&mut self) -> anyhow::Result<()> {
        for event in self.kernel.mend_statics(&self.config)? {
            self.handle(event)?;
        }
        // An address of ours may be one that a session waits for.
        let words = self.bfd.handle(evenkeel_bfd::Event::NetworkChanged, &self.watch);
        self.pass_on(words)?;
        Ok(())
    }

    /// keepalived's `-a`.
    fn tell_address(&self, change: &Change) {
        let (index, prefix, what) = match change {
            Change::AddressAdded { index, prefix } => (index, prefix, "added to"),
            Change::AddressRemoved { index, prefix } => (index, prefix, "removed from"),
            Change::Link(_) | Change::LinkGone { .. } | Change::Overrun => return,
        };
        tracing::info!(target: "vrrp", "Netlink reports {prefix} {what} {}", self.kernel.name(*index));
    }
}
