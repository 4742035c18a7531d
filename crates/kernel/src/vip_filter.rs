//! The table of nftables around virtual addresses: packets to and from those that are not to be accepted are dropped, and
//! what hosts on a virtual MAC would tell switches about groups leaves by the interface below.
//!
//! The table is replaced as a whole, in one transaction: applying it twice is harmless, and what a killed process left goes
//! with the first change. In a table that stands, addresses are added to its sets and taken out of them. Table, chains and
//! sets are named as keepalived names them, so what people look for is there.
//!
//! ```text
//!  table ip keepalived                       table ip6 keepalived: the same, and
//!    set vips { addresses }                    set vips_link_local { address . interface }
//!    map vmac_map { own link : link below }    set neighbor-discovery, always let through
//!    chain in   daddr @vips drop               chains in_link_local and out_link_local
//!    chain out  saddr @vips drop
//! ```

use crate::Error;
use crate::error::During;
use crate::netlink::message::Message;
use crate::netlink::socket::{ACK, NETFILTER, REQUEST, Socket};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What should be filtered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VipFilter {
    /// Addresses that are not accepted, with the index of their interface.
    pub addresses: BTreeSet<(IpAddr, u32)>,
    /// Links with a virtual MAC that speak IPv4, and the links below them.
    pub vmacs4: BTreeMap<u32, u32>,
    /// The same for IPv6.
    pub vmacs6: BTreeMap<u32, u32>,
}

/// How the table looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// Its name.
    pub table: String,
    /// Priority of its chains.
    pub priority: i32,
    /// Count what rules match.
    pub counters: bool,
}

/// Makes the tables of both families hold exactly this; a family with nothing to filter has none.
pub fn apply(style: &Style, filter: &VipFilter) -> Result<(), Error> {
    let during = || format!("replace the tables {} of nftables", style.table);
    let mut socket = Socket::open(NETFILTER).during(during)?;
    for family in [V4, V6] {
        let addresses: Vec<(IpAddr, u32)> = filter.addresses.iter().filter(|it| is_of(family, it)).copied().collect();
        let vmacs = if family == V4 { &filter.vmacs4 } else { &filter.vmacs6 };
        let outcome = socket.transaction(&replace(style, family, &addresses, vmacs));
        match outcome {
            // What redirects reports of groups is a convenience for switches, and a kernel may lack it.
            Err(_) if !vmacs.is_empty() => {
                socket.transaction(&replace(style, family, &addresses, &BTreeMap::new())).during(during)?;
            }
            // A kernel without nftables has no table to remove.
            Err(_) if addresses.is_empty() => {}
            outcome => outcome.during(during)?,
        }
    }
    Ok(())
}

/// Takes addresses into a filter that stands, and others out of it. What that costs depends on these alone, unless a family
/// gets its first or loses its last one: then the tables are replaced, as they are when they do not stand as `filter` says.
pub fn change(
    style: &Style,
    filter: &mut VipFilter,
    new: &[(IpAddr, u32)],
    gone: &[(IpAddr, u32)],
) -> Result<(), Error> {
    let has_family = |filter: &VipFilter| [V4, V6].map(|family| filter.addresses.iter().any(|it| is_of(family, it)));
    let before = has_family(filter);
    let mut elements = Vec::new();
    for entry in new {
        if filter.addresses.insert(*entry) {
            elements.extend(element(style, filter, NEW_ELEMENT, CREATE, entry));
        }
    }
    for entry in gone {
        if filter.addresses.remove(entry) {
            elements.extend(element(style, filter, DELETE_ELEMENT, 0, entry));
        }
    }
    let Some((family, _)) = elements.last() else { return Ok(()) };
    // Adding a table that is there changes nothing, and asks for the acknowledgement.
    let last = Message::new(NEW_TABLE, REQUEST | CREATE | ACK, &[*family, 0, 0, 0]).text(1, &style.table);
    if has_family(filter) == before {
        let during = || format!("change the tables {} of nftables", style.table);
        let mut socket = Socket::open(NETFILTER).during(during)?;
        let messages = elements.into_iter().map(|(_, message)| message).chain([last]).collect();
        if socket.transaction(&batch(messages)).is_ok() {
            return Ok(());
        }
    }
    apply(style, filter)
}

/// The message about one address; none for one that is in the set by another interface too.
fn element(
    style: &Style,
    filter: &VipFilter,
    kind: u16,
    flags: u16,
    entry: &(IpAddr, u32),
) -> Option<(Family, Message)> {
    let (address, index) = *entry;
    let family = if address.is_ipv4() { V4 } else { V6 };
    let (set, key) = match is_link_local(&address) {
        true => ("vips_link_local", [octets(address), index.to_ne_bytes().to_vec()].concat()),
        false => {
            let others = filter.addresses.range((address, 0)..=(address, u32::MAX)).filter(|(_, it)| *it != index);
            if others.count() > 0 {
                return None;
            }
            ("vips", octets(address))
        }
    };
    let message = Message::new(kind, REQUEST | flags, &[family, 0, 0, 0]).text(1, &style.table).text(2, set);
    let fill = |m: Message| m.nest(LIST_ELEMENT, |m| m.nest(1, |m| m.attribute(DATA_VALUE, &key)));
    Some((family, message.nest(3, fill)))
}

fn is_of(family: Family, (address, _): &(IpAddr, u32)) -> bool {
    address.is_ipv4() == (family == V4)
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

type Family = u8;
const V4: Family = 2;
const V6: Family = 10;

fn replace(style: &Style, family: Family, addresses: &[(IpAddr, u32)], vmacs: &BTreeMap<u32, u32>) -> Vec<Message> {
    let mut table = Table { family, style, messages: Vec::new() };
    // Adding first makes the removal succeed in any case.
    table.push(NEW_TABLE, CREATE, |m| m.text(1, &style.table));
    if addresses.is_empty() && vmacs.is_empty() {
        table.push(DELETE_TABLE, ACK, |m| m.text(1, &style.table));
        return batch(table.messages);
    }
    table.push(DELETE_TABLE, 0, |m| m.text(1, &style.table));
    table.push(NEW_TABLE, CREATE, |m| m.text(1, &style.table));
    table.fill(addresses, vmacs);
    // The last message asks for the acknowledgement: adding the table again changes nothing.
    table.push(NEW_TABLE, CREATE | ACK, |m| m.text(1, &style.table));
    batch(table.messages)
}

struct Table<'a> {
    family: Family,
    style: &'a Style,
    messages: Vec<Message>,
}

impl Table<'_> {
    fn fill(&mut self, addresses: &[(IpAddr, u32)], vmacs: &BTreeMap<u32, u32>) {
        if !vmacs.is_empty() {
            let elements =
                vmacs.iter().map(|(own, below)| (own.to_ne_bytes().to_vec(), Some(below.to_ne_bytes().to_vec())));
            self.set("vmac_map", (IFINDEX, 4), Some((IFINDEX, 4)), 0, elements.collect());
            if self.family == V6 {
                let own = vmacs.keys().map(|own| (own.to_ne_bytes().to_vec(), None)).collect();
                self.set("vmac_set", (IFINDEX, 4), None, 0, own);
            }
        }
        if !addresses.is_empty() {
            let (kind, length) = if self.family == V4 { (IPV4_ADDRESS, 4) } else { (IPV6_ADDRESS, 16) };
            let plain = addresses.iter().filter(|(address, _)| !is_link_local(address));
            let plain: BTreeMap<_, _> = plain.map(|(address, _)| (octets(*address), None)).collect();
            self.set("vips", (kind, length), None, 0, plain.into_iter().collect());
        }
        if !addresses.is_empty() && self.family == V6 {
            let discovery = [135u8, 136].map(|kind| (vec![kind], None)).to_vec();
            self.set("neighbor-discovery", (ICMPV6_TYPE, 1), None, CONSTANT, discovery);
            let local = addresses.iter().filter(|(address, _)| is_link_local(address));
            let local = local.map(|(address, index)| ([octets(*address), index.to_ne_bytes().to_vec()].concat(), None));
            self.set("vips_link_local", (IPV6_ADDRESS << 6 | IFINDEX, 20), None, 0, local.collect());
        }
        self.chain("out", Some(HOOK_LOCAL_OUT));
        if !addresses.is_empty() {
            self.chain("in", Some(HOOK_LOCAL_IN));
            if self.family == V6 {
                self.chain("in_link_local", None);
                self.chain("out_link_local", None);
            }
        }
        if !vmacs.is_empty() {
            self.redirect_reports();
        }
        if addresses.is_empty() {
            return;
        }
        if self.family == V4 {
            self.rule("out", |m| lookup(payload(m, NETWORK, 12, 4, REG_1), "vips"), DROP, None);
            self.rule("in", |m| lookup(payload(m, NETWORK, 16, 4, REG_1), "vips"), DROP, None);
            return;
        }
        for (chain, local, offset, interface) in
            [("out", "out_link_local", 8, META_OIF), ("in", "in_link_local", 24, META_IIF)]
        {
            self.rule(chain, |m| lookup(icmpv6_type(m), "neighbor-discovery"), ACCEPT, None);
            let is_link_local = |m| {
                let mask = [&[0xff, 0xc0][..], &[0; 14]].concat();
                let value = [&[0xfe, 0x80][..], &[0; 14]].concat();
                equals(bitwise(payload(m, NETWORK, offset, 16, REG_1), &mask), &value)
            };
            self.rule(chain, is_link_local, GOTO, Some(local));
            self.rule(chain, |m| lookup(payload(m, NETWORK, offset, 16, REG_1), "vips"), DROP, None);
            // The index goes behind the 16 bytes of the address: registers of four bytes are numbered from 8.
            let with_interface =
                |m| lookup(meta(payload(m, NETWORK, offset, 16, REG_1), interface, 12), "vips_link_local");
            self.rule(local, with_interface, DROP, None);
        }
    }

    /// Reports of groups that a link with a virtual MAC would send leave by the link below; a switch would otherwise learn
    /// the virtual MAC from a backup. Router solicitations are not sent at all.
    fn redirect_reports(&mut self) {
        let to_below = |m: Message, offset, length| {
            let m = meta(payload(m, NETWORK, offset, length, REG_1), META_OIF, REG_2);
            let m = expression(m, "lookup", |m| number(number(m.text(1, "vmac_map"), 2, REG_2), 3, REG_2));
            expression(m, "dup", |m| number(number(m, 1, REG_1), 2, REG_2))
        };
        if self.family == V4 {
            let igmp = |m| to_below(is_macvlan(equals(payload(m, NETWORK, 9, 1, REG_1), &[2])), 16, 4);
            self.rule("out", igmp, DROP, None);
            return;
        }
        let mld = |m| to_below(is_macvlan(equals(icmpv6_type(m), &[143])), 24, 16);
        self.rule("out", mld, DROP, None);
        let solicitation = |m| lookup(meta(is_macvlan(equals(icmpv6_type(m), &[133])), META_OIF, REG_1), "vmac_set");
        self.rule("out", solicitation, DROP, None);
    }

    fn push(&mut self, kind: u16, flags: u16, fill: impl FnOnce(Message) -> Message) {
        self.messages.push(fill(Message::new(kind, REQUEST | flags, &[self.family, 0, 0, 0])));
    }

    fn set(
        &mut self,
        name: &str,
        key: (u32, u32),
        data: Option<(u32, u32)>,
        flags: u32,
        elements: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ) {
        let table = self.style.table.clone();
        let id = u32::try_from(self.messages.len()).expect("a table has a few sets");
        let flags = flags | if data.is_some() { MAP } else { 0 };
        self.push(NEW_SET, CREATE, |m| {
            let m = m.text(1, &table).text(2, name);
            let m = number(number(number(m, 3, flags), 4, key.0), 5, key.1);
            let m = match data {
                Some((kind, length)) => number(number(m, 6, kind), 7, length),
                None => m,
            };
            let m = number(m, 10, id);
            // Only for `nft list`: these keys, and the data if there is any, are in the machine's order.
            if key.0 == IFINDEX { m.attribute(USERDATA, &IN_MACHINES_ORDER) } else { m }
        });
        for some in elements.chunks(ELEMENTS_OF_ONE) {
            self.push(NEW_ELEMENT, CREATE, |m| {
                number(m.text(1, &table).text(2, name), 4, id).nest(3, |m| {
                    some.iter().fold(m, |m, (key, data)| {
                        m.nest(LIST_ELEMENT, |m| {
                            let m = m.nest(1, |m| m.attribute(DATA_VALUE, key));
                            match data {
                                Some(data) => m.nest(2, |m| m.attribute(DATA_VALUE, data)),
                                None => m,
                            }
                        })
                    })
                })
            });
        }
    }

    fn chain(&mut self, name: &str, hook: Option<u32>) {
        let (table, priority) = (self.style.table.clone(), self.style.priority);
        self.push(NEW_CHAIN, CREATE, |m| {
            let m = m.text(1, &table).text(3, name);
            match hook {
                Some(hook) => m.nest(4, |m| number(m, 1, hook).attribute(2, &priority.to_be_bytes())).text(7, "filter"),
                None => m,
            }
        });
    }

    fn rule(&mut self, chain: &str, matching: impl FnOnce(Message) -> Message, code: u32, target: Option<&str>) {
        let (table, counters) = (self.style.table.clone(), self.style.counters);
        self.push(NEW_RULE, CREATE | APPEND, |m| {
            m.text(1, &table).text(2, chain).nest(4, |m| {
                let m = matching(m);
                let m = if counters { expression(m, "counter", |m| m) } else { m };
                expression(m, "immediate", |m| {
                    number(m, 1, 0).nest(2, |m| {
                        m.nest(2, |m| {
                            let m = number(m, 1, code);
                            match target {
                                Some(target) => m.text(2, target),
                                None => m,
                            }
                        })
                    })
                })
            })
        });
    }
}

fn payload(m: Message, base: u32, offset: u32, length: u32, register: u32) -> Message {
    expression(m, "payload", |m| number(number(number(number(m, 1, register), 2, base), 3, offset), 4, length))
}

fn meta(m: Message, key: u32, register: u32) -> Message {
    expression(m, "meta", |m| number(number(m, 1, register), 2, key))
}

fn equals(m: Message, value: &[u8]) -> Message {
    expression(m, "cmp", |m| number(number(m, 1, REG_1), 2, 0).nest(3, |m| m.attribute(DATA_VALUE, value)))
}

fn bitwise(m: Message, mask: &[u8]) -> Message {
    let length = u32::try_from(mask.len()).expect("a mask is a few bytes");
    let nothing = vec![0; mask.len()];
    expression(m, "bitwise", |m| {
        number(number(number(m, 1, REG_1), 2, REG_1), 3, length)
            .nest(4, |m| m.attribute(DATA_VALUE, mask))
            .nest(5, |m| m.attribute(DATA_VALUE, &nothing))
    })
}

fn lookup(m: Message, set: &str) -> Message {
    expression(m, "lookup", |m| number(m.text(1, set), 2, REG_1))
}

fn icmpv6_type(m: Message) -> Message {
    payload(equals(meta(m, META_L4PROTO, REG_1), &[58]), TRANSPORT, 0, 1, REG_1)
}

fn is_macvlan(m: Message) -> Message {
    let mut kind = [0; 16];
    kind[..7].copy_from_slice(b"macvlan");
    equals(meta(m, META_OIFKIND, REG_1), &kind)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(ip) => Ipv4Addr::octets(&ip).to_vec(),
        IpAddr::V6(ip) => Ipv6Addr::octets(&ip).to_vec(),
    }
}

fn expression(m: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    m.nest(LIST_ELEMENT, |m| m.text(1, name).nest(2, data))
}

/// nftables' numbers travel in network order.
fn number(message: Message, kind: u16, value: u32) -> Message {
    message.attribute(kind, &value.to_be_bytes())
}

/// A transaction: all of it happens or nothing.
fn batch(messages: Vec<Message>) -> Vec<Message> {
    let bound = |kind| Message::new(kind, REQUEST, &[0, 0, 0, SUBSYSTEM as u8]);
    [vec![bound(BATCH_BEGIN)], messages, vec![bound(BATCH_END)]].concat()
}

/// Elements of a set in one message: an attribute is shorter than 64 kB, and one of these takes up to 36 bytes.
const ELEMENTS_OF_ONE: usize = 1000;

const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENT: u16 = SUBSYSTEM << 8 | 14;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;
const USERDATA: u16 = 13;
/// Two notes of `nft`'s own, each of kind, length and number: the order of keys (0) and of data (1) is the host's (1).
const IN_MACHINES_ORDER: [u8; 12] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d, 1, 4, a, b, c, d]
};
const CONSTANT: u32 = 2;
const MAP: u32 = 8;

const HOOK_LOCAL_IN: u32 = 1;
const HOOK_LOCAL_OUT: u32 = 3;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const REG_1: u32 = 1;
const REG_2: u32 = 2;
const META_IIF: u32 = 4;
const META_OIF: u32 = 5;
const META_L4PROTO: u32 = 16;
const META_OIFKIND: u32 = 27;

/// Numbers by which `nft` knows what the elements of a set are.
const IPV4_ADDRESS: u32 = 7;
const IPV6_ADDRESS: u32 = 8;
const IFINDEX: u32 = 20;
const ICMPV6_TYPE: u32 = 29;

const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// `NFT_GOTO`, -4.
const GOTO: u32 = u32::MAX - 3;
