//! Links on top of another link: a macvlan with a MAC of its own, an ipvlan with its parent's.

use super::message::{Message, attributes, text, u16_at, u32_at};
use super::socket::{ACK, REQUEST};
use super::{Netlink, wire};
use crate::Error;
use crate::error::During;
use evenkeel_wire::Mac;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_GROUP: u16 = 27;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;

/// `MACVLAN_MODE_PRIVATE`: such links of one parent do not hear each other.
const PRIVATE: u32 = 1;
/// `IPVLAN_MODE_L2`.
const L2: u16 = 0;
/// `IN6_ADDR_GEN_MODE_NONE`: no link-local address comes by itself.
const NO_ADDRESS: u8 = 1;

/// What kind of link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFlavour {
    /// A macvlan in private mode with this MAC.
    Macvlan(Mac),
    /// An ipvlan of layer 2 with these flags: 0 bridge, 1 private, 2 vepa.
    Ipvlan(u16),
}

/// A link on top of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualLink {
    /// Kernel index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Index of the link below.
    pub parent: u32,
    /// What kind.
    pub flavour: LinkFlavour,
}

impl Netlink {
    /// All links of these kinds.
    pub fn virtual_links(&mut self) -> Result<Vec<VirtualLink>, Error> {
        let list =
            self.socket.dump(wire::GET_LINK, &wire::link_header(0, 0, 0), |message| virtual_link(message.payload));
        list.during(|| "list interfaces")
    }

    /// Makes a link on top of `parent`, in its VRF and, unless `group` says otherwise, in its group. It is down.
    pub fn add_virtual_link(
        &mut self,
        name: &str,
        parent: u32,
        flavour: LinkFlavour,
        group: Option<u32>,
    ) -> Result<(), Error> {
        let (master, parents_group) = self.master_and_group(parent)?;
        let mut request = Message::new(wire::NEW_LINK, REQUEST | ACK | wire::CREATE, &wire::link_header(0, 0, 0))
            .text(IFLA_IFNAME, name)
            .attribute(IFLA_LINK, &parent.to_ne_bytes())
            .attribute(IFLA_GROUP, &group.unwrap_or(parents_group).to_ne_bytes());
        if let LinkFlavour::Macvlan(mac) = flavour {
            request = request.attribute(IFLA_ADDRESS, &mac.0);
        }
        if let Some(master) = master {
            request = request.attribute(IFLA_MASTER, &master.to_ne_bytes());
        }
        let request = request.nest(IFLA_LINKINFO, |m| match flavour {
            LinkFlavour::Macvlan(_) => m
                .text(IFLA_INFO_KIND, "macvlan")
                .nest(IFLA_INFO_DATA, |m| m.attribute(IFLA_MACVLAN_MODE, &PRIVATE.to_ne_bytes())),
            LinkFlavour::Ipvlan(flags) => m.text(IFLA_INFO_KIND, "ipvlan").nest(IFLA_INFO_DATA, |m| {
                m.attribute(IFLA_IPVLAN_MODE, &L2.to_ne_bytes()).attribute(IFLA_IPVLAN_FLAGS, &flags.to_ne_bytes())
            }),
        });
        self.order(&request, |netlink| format!("add {name} on top of {}", netlink.name_of(parent)))
    }

    /// No IPv6 address comes to the link by itself. A kernel without IPv6 has nothing to say to that.
    pub fn refuse_own_addresses(&mut self, index: u32) {
        let request = Message::new(wire::NEW_LINK, REQUEST | ACK, &wire::link_header(index, 0, 0))
            .nest(IFLA_AF_SPEC, |m| {
                m.nest(libc::AF_INET6 as u16, |m| m.attribute(IFLA_INET6_ADDR_GEN_MODE, &[NO_ADDRESS]))
            });
        let _ = self.socket.request(&request);
    }

    /// Has the kernel tell everybody of a link again: its group is set to what it is.
    pub fn tell_again(&mut self, index: u32) -> Result<(), Error> {
        let (_, group) = self.master_and_group(index)?;
        let request = Message::new(wire::NEW_LINK, REQUEST | ACK, &wire::link_header(index, 0, 0))
            .attribute(IFLA_GROUP, &group.to_ne_bytes());
        self.order(&request, |netlink| format!("have the kernel tell of {}", netlink.name_of(index)))
    }

    /// The VRF (or bridge) that a link belongs to, and its group. Only a VRF is handed down: a port's ports are none.
    fn master_and_group(&mut self, index: u32) -> Result<(Option<u32>, u32), Error> {
        let list = self.socket.dump(wire::GET_LINK, &wire::link_header(0, 0, 0), |message| {
            let (mut master, mut group, mut kind) = (None, 0, String::new());
            for (attribute, value) in attributes(message.payload, 16) {
                match attribute {
                    IFLA_MASTER => master = u32_at(value, 0),
                    IFLA_GROUP => group = u32_at(value, 0)?,
                    IFLA_LINKINFO => kind = info_kind(value),
                    _ => {}
                }
            }
            Some((u32_at(message.payload, 4)?, master, group, kind))
        });
        let list = list.during(|| "list interfaces")?;
        let Some((_, master, group, _)) = list.iter().find(|link| link.0 == index) else { return Ok((None, 0)) };
        let is_vrf = |master: &u32| list.iter().any(|link| link.0 == *master && link.3 == "vrf");
        Ok((master.filter(is_vrf), *group))
    }
}

fn info_kind(info: &[u8]) -> String {
    attributes(info, 0).find(|(kind, _)| *kind == IFLA_INFO_KIND).map(|(_, value)| text(value)).unwrap_or_default()
}

fn virtual_link(payload: &[u8]) -> Option<VirtualLink> {
    let (mut name, mut parent, mut mac, mut kind, mut data) =
        (String::new(), 0, Mac::default(), String::new(), Vec::new());
    for (attribute, value) in attributes(payload, 16) {
        match attribute {
            IFLA_IFNAME => name = text(value),
            IFLA_LINK => parent = u32_at(value, 0)?,
            IFLA_ADDRESS => mac = value.try_into().map(Mac).unwrap_or_default(),
            IFLA_LINKINFO => {
                kind = info_kind(value);
                let found = attributes(value, 0).find(|(kind, _)| *kind == IFLA_INFO_DATA);
                data = found.map(|(_, value)| value.to_vec()).unwrap_or_default();
            }
            _ => {}
        }
    }
    let of_data = |wanted: u16| attributes(&data, 0).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let flavour = match kind.as_str() {
        "macvlan" if of_data(IFLA_MACVLAN_MODE).and_then(|value| u32_at(value, 0)) == Some(PRIVATE) => {
            LinkFlavour::Macvlan(mac)
        }
        "ipvlan" => LinkFlavour::Ipvlan(of_data(IFLA_IPVLAN_FLAGS).and_then(|value| u16_at(value, 0)).unwrap_or(0)),
        _ => return None,
    };
    Some(VirtualLink { index: u32_at(payload, 4)?, name, parent, flavour })
}
