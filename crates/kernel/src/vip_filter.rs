//! The table of nftables around virtual addresses: packets to and from those that are not to be accepted are dropped, and
//! what hosts on a virtual MAC would tell switches about groups leaves by the interface below.
//!
//! The table is replaced as a whole, in one transaction, whenever what should be in it changes: applying it twice is
//! harmless, and what a killed process left goes with the first change. Table, chains and sets are named as keepalived
//! names them, so what people look for is there.
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
use crate::netlink::socket::{NETFILTER, Socket};
use crate::nftables::{self, BEHIND_REG_1, Family, Hook, NETWORK, REG_1, REG_2, Set, TRANSPORT, Table, Verdict};
use crate::nftables::{bitwise, duplicate, equals, lookup, meta, payload, translate};
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
    for family in [Family::V4, Family::V6] {
        let addresses: Vec<(IpAddr, u32)> = filter.addresses.iter().filter(|it| is_of(family, it)).copied().collect();
        let vmacs = if family == Family::V4 { &filter.vmacs4 } else { &filter.vmacs6 };
        let outcome = replace(style, family, &addresses, vmacs).commit(&mut socket);
        match outcome {
            // What redirects reports of groups is a convenience for switches, and a kernel may lack it.
            Err(_) if !vmacs.is_empty() => {
                replace(style, family, &addresses, &BTreeMap::new()).commit(&mut socket).during(during)?;
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
    let has_family =
        |filter: &VipFilter| [Family::V4, Family::V6].map(|family| filter.addresses.iter().any(|it| is_of(family, it)));
    let before = has_family(filter);
    let mut tables = [Family::V4, Family::V6].map(|family| Table::new(family, &style.table));
    let table_of = |address: &IpAddr| if address.is_ipv4() { 0 } else { 1 };
    for entry in new {
        if filter.addresses.insert(*entry)
            && let Some((set, key)) = element(filter, entry)
        {
            tables[table_of(&entry.0)].add_element(set, &key);
        }
    }
    for entry in gone {
        if filter.addresses.remove(entry)
            && let Some((set, key)) = element(filter, entry)
        {
            tables[table_of(&entry.0)].delete_element(set, &key);
        }
    }
    if has_family(filter) == before {
        let during = || format!("change the tables {} of nftables", style.table);
        let mut socket = Socket::open(NETFILTER).during(during)?;
        if tables.into_iter().all(|table| table.commit(&mut socket).is_ok()) {
            return Ok(());
        }
    }
    apply(style, filter)
}

/// The set that has an address, and its key there; none for one that is in the set by another interface too.
fn element(filter: &VipFilter, (address, index): &(IpAddr, u32)) -> Option<(&'static str, Vec<u8>)> {
    if is_link_local(address) {
        return Some(("vips_link_local", [octets(*address), index.to_ne_bytes().to_vec()].concat()));
    }
    let mut others = filter.addresses.range((*address, 0)..=(*address, u32::MAX)).filter(|(_, it)| it != index);
    others.next().is_none().then(|| ("vips", octets(*address)))
}

fn is_of(family: Family, (address, _): &(IpAddr, u32)) -> bool {
    address.is_ipv4() == (family == Family::V4)
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn replace<'a>(style: &'a Style, family: Family, addresses: &[(IpAddr, u32)], vmacs: &BTreeMap<u32, u32>) -> Table<'a> {
    let mut table = Table::new(family, &style.table);
    table.add();
    table.delete();
    if addresses.is_empty() && vmacs.is_empty() {
        return table;
    }
    table.add();
    let mut filling = Filling { family, style, table };
    filling.sets(addresses, vmacs);
    filling.chains(addresses);
    if !vmacs.is_empty() {
        filling.redirect_reports();
    }
    if !addresses.is_empty() {
        filling.refuse();
    }
    filling.table
}

struct Filling<'a> {
    family: Family,
    style: &'a Style,
    table: Table<'a>,
}

impl Filling<'_> {
    fn sets(&mut self, addresses: &[(IpAddr, u32)], vmacs: &BTreeMap<u32, u32>) {
        let set = |name, key, elements| Set { name, key, data: None, is_constant: false, elements };
        if !vmacs.is_empty() {
            let elements =
                vmacs.iter().map(|(own, below)| (own.to_ne_bytes().to_vec(), Some(below.to_ne_bytes().to_vec())));
            let map = set("vmac_map", nftables::IFINDEX, elements.collect());
            self.table.set(Set { data: Some(nftables::IFINDEX), ..map });
            if self.family == Family::V6 {
                let own = vmacs.keys().map(|own| (own.to_ne_bytes().to_vec(), None)).collect();
                self.table.set(set("vmac_set", nftables::IFINDEX, own));
            }
        }
        if addresses.is_empty() {
            return;
        }
        let kind = if self.family == Family::V4 { nftables::IPV4_ADDRESS } else { nftables::IPV6_ADDRESS };
        let plain = addresses.iter().filter(|(address, _)| !is_link_local(address));
        let plain: BTreeMap<_, _> = plain.map(|(address, _)| (octets(*address), None)).collect();
        self.table.set(set("vips", kind, plain.into_iter().collect()));
        if self.family == Family::V6 {
            let discovery = [135u8, 136].map(|kind| (vec![kind], None)).to_vec();
            let discovery = set("neighbor-discovery", nftables::ICMPV6_TYPE, discovery);
            self.table.set(Set { is_constant: true, ..discovery });
            let local = addresses.iter().filter(|(address, _)| is_link_local(address));
            let local = local.map(|(address, index)| ([octets(*address), index.to_ne_bytes().to_vec()].concat(), None));
            self.table.set(set("vips_link_local", nftables::IPV6_ADDRESS_AND_IFINDEX, local.collect()));
        }
    }

    fn chains(&mut self, addresses: &[(IpAddr, u32)]) {
        let hook = |number| Some(Hook { number, priority: self.style.priority });
        self.table.chain("out", hook(nftables::LOCAL_OUT));
        if addresses.is_empty() {
            return;
        }
        self.table.chain("in", hook(nftables::LOCAL_IN));
        if self.family == Family::V6 {
            self.table.chain("in_link_local", None);
            self.table.chain("out_link_local", None);
        }
    }

    /// Packets to and from addresses are dropped.
    fn refuse(&mut self) {
        if self.family == Family::V4 {
            self.rule("out", |m| lookup(payload(m, NETWORK, 12, 4, REG_1), "vips"), Verdict::Drop);
            self.rule("in", |m| lookup(payload(m, NETWORK, 16, 4, REG_1), "vips"), Verdict::Drop);
            return;
        }
        for (chain, local, offset, interface) in
            [("out", "out_link_local", 8, nftables::META_OIF), ("in", "in_link_local", 24, nftables::META_IIF)]
        {
            self.rule(chain, |m| lookup(icmpv6_type(m), "neighbor-discovery"), Verdict::Accept);
            let is_link_local = |m| {
                let mask = [&[0xff, 0xc0][..], &[0; 14]].concat();
                let value = [&[0xfe, 0x80][..], &[0; 14]].concat();
                equals(bitwise(payload(m, NETWORK, offset, 16, REG_1), &mask), &value)
            };
            self.rule(chain, is_link_local, Verdict::Goto(local));
            self.rule(chain, |m| lookup(payload(m, NETWORK, offset, 16, REG_1), "vips"), Verdict::Drop);
            let with_interface =
                |m| lookup(meta(payload(m, NETWORK, offset, 16, REG_1), interface, BEHIND_REG_1), "vips_link_local");
            self.rule(local, with_interface, Verdict::Drop);
        }
    }

    /// Reports of groups that a link with a virtual MAC would send leave by the link below; a switch would otherwise learn
    /// the virtual MAC from a backup. Router solicitations are not sent at all.
    fn redirect_reports(&mut self) {
        let to_below = |m: Message, offset, length| {
            let m = meta(payload(m, NETWORK, offset, length, REG_1), nftables::META_OIF, REG_2);
            duplicate(translate(m, "vmac_map", REG_2))
        };
        if self.family == Family::V4 {
            let igmp = |m| to_below(is_macvlan(equals(payload(m, NETWORK, 9, 1, REG_1), &[2])), 16, 4);
            self.rule("out", igmp, Verdict::Drop);
            return;
        }
        let mld = |m| to_below(is_macvlan(equals(icmpv6_type(m), &[143])), 24, 16);
        self.rule("out", mld, Verdict::Drop);
        let is_solicitation = |m| is_macvlan(equals(icmpv6_type(m), &[133]));
        let solicitation = |m| lookup(meta(is_solicitation(m), nftables::META_OIF, REG_1), "vmac_set");
        self.rule("out", solicitation, Verdict::Drop);
    }

    fn rule(&mut self, chain: &str, matching: impl FnOnce(Message) -> Message, verdict: Verdict) {
        let counters = self.style.counters;
        let matching = |m| if counters { nftables::counter(matching(m)) } else { matching(m) };
        self.table.rule(chain, matching, verdict);
    }
}

fn icmpv6_type(m: Message) -> Message {
    payload(equals(meta(m, nftables::META_L4PROTO, REG_1), &[58]), TRANSPORT, 0, 1, REG_1)
}

fn is_macvlan(m: Message) -> Message {
    let mut kind = [0; 16];
    kind[..7].copy_from_slice(b"macvlan");
    equals(meta(m, nftables::META_OIFKIND, REG_1), &kind)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(ip) => Ipv4Addr::octets(&ip).to_vec(),
        IpAddr::V6(ip) => Ipv6Addr::octets(&ip).to_vec(),
    }
}
