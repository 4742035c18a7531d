//! A table of nftables that drops packets in the calling thread's network namespace: how the lab cuts two nodes apart.
//!
//! The table is called `evenkeel_lab` and belongs to nobody else; other tables are not looked at.

use crate::Error;
use crate::error::During;
use crate::netlink::message::Message;
use crate::netlink::socket::{NETFILTER, Socket};
use crate::nftables::{Family, Hook, LOCAL_IN, LOCAL_OUT, NETWORK, REG_1, Table, Verdict, equals, payload};
use std::net::Ipv4Addr;

const TABLE: &str = "evenkeel_lab";

/// Offsets in the IPv4 header.
const IPV4_PROTOCOL: u32 = 9;
const IPV4_SOURCE: u32 = 12;
const IPV4_DESTINATION: u32 = 16;

/// Drops every IPv4 packet of this protocol, in and out (112 is VRRP).
pub fn drop_protocol(protocol: u8) -> Result<(), Error> {
    let of_protocol = |rule: Message| compare(rule, IPV4_PROTOCOL, &[protocol]);
    add_rules(of_protocol, of_protocol).during(|| format!("drop protocol {protocol}"))
}

/// Drops every IPv4 packet that travels between this host's address `here` and `there`, in both directions.
pub fn drop_between(here: Ipv4Addr, there: Ipv4Addr) -> Result<(), Error> {
    let travels = |source: Ipv4Addr, destination: Ipv4Addr| {
        move |rule| compare(compare(rule, IPV4_SOURCE, &source.octets()), IPV4_DESTINATION, &destination.octets())
    };
    add_rules(travels(there, here), travels(here, there)).during(|| format!("drop packets between {here} and {there}"))
}

/// Takes all rules of this module away. Harmless when there are none.
pub fn clear() -> Result<(), Error> {
    let mut socket = Socket::open(NETFILTER).during(|| "open a netlink socket")?;
    let mut table = Table::new(Family::V4, TABLE);
    table.add();
    table.delete();
    table.commit(&mut socket).during(|| "clear the firewall")
}

/// Drops what `incoming` and `outgoing` match; makes table and chains if need be.
fn add_rules(
    incoming: impl FnOnce(Message) -> Message,
    outgoing: impl FnOnce(Message) -> Message,
) -> std::io::Result<()> {
    let mut table = Table::new(Family::V4, TABLE);
    table.add();
    table.chain("input", Some(Hook { number: LOCAL_IN, priority: 0 }));
    table.chain("output", Some(Hook { number: LOCAL_OUT, priority: 0 }));
    table.rule("input", incoming, Verdict::Drop);
    table.rule("output", outgoing, Verdict::Drop);
    table.commit(&mut Socket::open(NETFILTER)?)
}

/// Goes on only when the bytes at `offset` of the IPv4 header are `value`.
fn compare(rule: Message, offset: u32, value: &[u8]) -> Message {
    let length = u32::try_from(value.len()).expect("fields of a header are a few bytes");
    equals(payload(rule, NETWORK, offset, length, REG_1), value)
}
