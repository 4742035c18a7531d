//! The network of the lab: a bridge in a namespace of its own, and a cable from it to each host. Nothing has a name in
//! the file system, and nothing is put where the machine's own network is.

use super::topology::{Host, INTERFACE, PREFIX_LENGTH};
use evenkeel_kernel::addresses::{Address, Change, Held};
use evenkeel_kernel::netlink::Netlink;
use evenkeel_kernel::netns::NetNs;
use evenkeel_kernel::{Error, firewall};
use evenkeel_wire::Prefix;
use std::collections::BTreeMap;

const BRIDGE: &str = "br0";
/// VRRP's number among the protocols over IP.
const VRRP: u8 = 112;

/// All namespaces. When it is dropped, so are they, once nobody lives in them.
pub(super) struct Network {
    switch: NetNs,
    hosts: BTreeMap<Host, NetNs>,
}

impl Network {
    /// Builds it, with every cable plugged and every address set.
    pub(super) fn build() -> Result<Self, Error> {
        let switch = NetNs::create()?;
        switch.run(|| -> Result<(), Error> {
            let mut netlink = Netlink::open()?;
            netlink.add_bridge(BRIDGE)?;
            let bridge = netlink.interface(BRIDGE)?;
            netlink.set_up(bridge.index, true)
        })??;
        let mut network = Network { switch, hosts: BTreeMap::new() };
        for host in Host::ALL {
            network.add(host)?;
        }
        Ok(network)
    }

    fn add(&mut self, host: Host) -> Result<(), Error> {
        let namespace = NetNs::create()?;
        self.switch.run(|| -> Result<(), Error> {
            let mut netlink = Netlink::open()?;
            netlink.add_veth(host.name(), INTERFACE)?;
            let card = netlink.interface(INTERFACE)?;
            netlink.set_mac(card.index, host.mac())?;
            netlink.set_netns(card.index, &namespace)?;
            let bridge = netlink.interface(BRIDGE)?;
            let port = netlink.interface(host.name())?;
            netlink.set_master(port.index, Some(bridge.index))?;
            netlink.set_up(port.index, true)
        })??;
        namespace.run(|| -> Result<(), Error> {
            let mut netlink = Netlink::open()?;
            let card = netlink.interface(INTERFACE)?;
            let prefix = Prefix::new(host.address().into(), PREFIX_LENGTH).expect("24 is a length");
            // Not marked as a VRRP daemon's: such addresses are what the daemon cleans up after a crash.
            let own = Held { protocol: 0, ..Held::new(card.index, Address::new(prefix)) };
            for result in netlink.apply(&[Change::Add(own)]) {
                result?;
            }
            netlink.set_up(card.index, true)
        })??;
        self.hosts.insert(host, namespace);
        Ok(())
    }

    /// The namespace of a host.
    pub(super) fn of(&self, host: Host) -> &NetNs {
        &self.hosts[&host]
    }

    /// Pulls a host's cable at the switch, or puts it back. The host sees its card lose the carrier.
    pub(super) fn plug(&self, host: Host, plugged: bool) -> Result<(), Error> {
        self.switch.run(|| -> Result<(), Error> {
            let mut netlink = Netlink::open()?;
            let port = netlink.interface(host.name())?;
            netlink.set_up(port.index, plugged)
        })?
    }

    /// Has a host drop VRRP, coming and going.
    pub(super) fn drop_vrrp(&self, host: Host) -> Result<(), Error> {
        self.of(host).run(|| firewall::drop_protocol(VRRP))?
    }

    /// Has a host let it pass again.
    pub(super) fn accept_vrrp(&self, host: Host) -> Result<(), Error> {
        self.of(host).run(firewall::clear)?
    }
}
