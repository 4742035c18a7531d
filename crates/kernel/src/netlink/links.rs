//! Making and wiring links: what the lab and the tests build their network from.

use super::message::Message;
use super::socket::{ACK, REQUEST};
use super::{Netlink, wire};
use crate::Error;
use evenkeel_wire::{Mac, Prefix};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_ISOLATED: u16 = 33;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

impl Netlink {
    /// Makes a bridge. It is down.
    pub fn add_bridge(&mut self, name: &str) -> Result<(), Error> {
        let request = new_link(name).nest(IFLA_LINKINFO, |m| m.text(IFLA_INFO_KIND, "bridge"));
        self.order(&request, |_| format!("add bridge {name}"))
    }

    /// Makes two links that are each other's wire. Both are down.
    pub fn add_veth(&mut self, name: &str, peer: &str) -> Result<(), Error> {
        let request = new_link(name).nest(IFLA_LINKINFO, |m| {
            m.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |m| {
                m.nest(VETH_INFO_PEER, |m| m.raw(&wire::link_header(0, 0, 0)).text(IFLA_IFNAME, peer))
            })
        });
        self.order(&request, |_| format!("add veth {name} - {peer}"))
    }

    /// Plugs a link into a bridge, or pulls it out of the one it is in.
    pub fn set_master(&mut self, index: u32, bridge: Option<u32>) -> Result<(), Error> {
        let request = change_link(index).attribute(IFLA_MASTER, &bridge.unwrap_or(0).to_ne_bytes());
        self.order(&request, |netlink| match bridge {
            Some(bridge) => format!("plug {} into {}", netlink.name_of(index), netlink.name_of(bridge)),
            None => format!("pull {} out of its bridge", netlink.name_of(index)),
        })
    }

    /// Sets a link administratively up or down. Down takes routes through it away, but leaves IPv4 addresses.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<(), Error> {
        let flags = if up { wire::IFF_UP } else { 0 };
        let request = Message::new(wire::NEW_LINK, REQUEST | ACK, &wire::link_header(index, flags, wire::IFF_UP));
        self.order(&request, |netlink| format!("set {} {}", netlink.name_of(index), if up { "up" } else { "down" }))
    }

    /// Moves a link into another network namespace. It arrives down and without addresses; its index may change.
    pub fn set_netns(&mut self, index: u32, namespace: impl AsFd) -> Result<(), Error> {
        let fd = namespace.as_fd().as_raw_fd();
        let request = change_link(index).attribute(IFLA_NET_NS_FD, &fd.to_ne_bytes());
        self.order(&request, |netlink| format!("move {} to another network namespace", netlink.name_of(index)))
    }

    /// Renames a link.
    pub fn rename(&mut self, index: u32, name: &str) -> Result<(), Error> {
        let request = change_link(index).text(IFLA_IFNAME, name);
        self.order(&request, |netlink| format!("rename {} to {name}", netlink.name_of(index)))
    }

    /// Sets a link's Ethernet address.
    pub fn set_mac(&mut self, index: u32, mac: Mac) -> Result<(), Error> {
        let request = change_link(index).attribute(IFLA_ADDRESS, &mac.0);
        self.order(&request, |netlink| format!("set the address of {} to {mac}", netlink.name_of(index)))
    }

    /// Deletes a link, and its other end if it is a veth.
    pub fn delete_link(&mut self, index: u32) -> Result<(), Error> {
        let request = Message::new(wire::DELETE_LINK, REQUEST | ACK, &wire::link_header(index, 0, 0));
        self.order(&request, |netlink| format!("delete {}", netlink.name_of(index)))
    }

    /// Isolates a bridge port or ends that: isolated ports do not hear one another, only ports that are not isolated.
    pub fn set_isolated(&mut self, index: u32, isolated: bool) -> Result<(), Error> {
        // A port's own properties are set by a message of the family of bridges.
        let mut header = wire::link_header(index, 0, 0);
        header[0] = libc::AF_BRIDGE as u8;
        let request = Message::new(SET_LINK, REQUEST | ACK, &header)
            .nest(IFLA_PROTINFO, |m| m.attribute(IFLA_BRPORT_ISOLATED, &[u8::from(isolated)]));
        self.order(&request, |netlink| {
            format!("{} bridge port {}", if isolated { "isolate" } else { "stop isolating" }, netlink.name_of(index))
        })
    }

    /// Adds a route to `destination` (`None`: the default route) through `gateway`.
    pub fn add_route(&mut self, destination: Option<Prefix>, gateway: Ipv4Addr, index: u32) -> Result<(), Error> {
        let destination = destination.and_then(|prefix| Some((prefix.ipv4()?, prefix.length())));
        let length = destination.map_or(0, |(_, length)| length);
        // struct rtmsg: family, destination and source length, TOS, table, protocol (boot), scope, type (unicast), flags.
        let fixed = [libc::AF_INET as u8, length, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_BOOT, 0, 1, 0, 0, 0, 0];
        let mut request = Message::new(wire::NEW_ROUTE, REQUEST | ACK | wire::CREATE, &fixed);
        if let Some((network, _)) = destination {
            request = request.attribute(RTA_DST, &network.octets());
        }
        request = request.attribute(RTA_GATEWAY, &gateway.octets()).attribute(RTA_OIF, &index.to_ne_bytes());
        self.order(&request, |netlink| {
            let to = destination.map_or("default".to_owned(), |(network, length)| format!("{network}/{length}"));
            format!("add route {to} via {gateway} on {}", netlink.name_of(index))
        })
    }
}

/// `RTM_SETLINK`.
const SET_LINK: u16 = 19;

fn new_link(name: &str) -> Message {
    let header = wire::link_header(0, 0, 0);
    Message::new(wire::NEW_LINK, REQUEST | ACK | wire::CREATE, &header).text(IFLA_IFNAME, name)
}

fn change_link(index: u32) -> Message {
    Message::new(wire::NEW_LINK, REQUEST | ACK, &wire::link_header(index, 0, 0))
}
