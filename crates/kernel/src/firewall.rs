//! A table of nftables that drops packets in the calling thread's network namespace: how the lab cuts two nodes apart.
//!
//! The table is called `evenkeel_lab` and belongs to nobody else; other tables are not looked at.

use crate::Error;
use crate::error::During;
use crate::netlink::message::Message;
use crate::netlink::socket::{ACK, NETFILTER, REQUEST, Socket};
use std::net::Ipv4Addr;

const TABLE: &str = "evenkeel_lab";

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
    socket.transaction(&batch(&[add_table(), delete_table()])).during(|| "clear the firewall")
}

/// Drops what `incoming` and `outgoing` match; makes table and chains if need be. One transaction.
fn add_rules(
    incoming: impl FnOnce(Message) -> Message,
    outgoing: impl FnOnce(Message) -> Message,
) -> std::io::Result<()> {
    let messages = [
        add_table(),
        add_chain("input", HOOK_LOCAL_IN),
        add_chain("output", HOOK_LOCAL_OUT),
        add_rule("input", 0, incoming),
        add_rule("output", ACK, outgoing),
    ];
    Socket::open(NETFILTER)?.transaction(&batch(&messages))
}

const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const HOOK_LOCAL_IN: u32 = 1;
const HOOK_LOCAL_OUT: u32 = 3;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;

const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const BASE_NETWORK: u32 = 1;
/// Offsets in the IPv4 header.
const IPV4_PROTOCOL: u32 = 9;
const IPV4_SOURCE: u32 = 12;
const IPV4_DESTINATION: u32 = 16;
const CMP_SREG: u16 = 1;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const CMP_EQUAL: u32 = 0;
const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_DROP: u32 = 0;
const REG_VERDICT: u32 = 0;
const REG_1: u32 = 1;

/// The fixed part of nftables' messages: family (here the one for IPv4), version 0, resource.
const FAMILY_IPV4: [u8; 4] = [2, 0, 0, 0];

/// A transaction: all of it happens or nothing. Only its last message asks for an acknowledgement.
fn batch(messages: &[Message]) -> Vec<Message> {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    let bound = |kind, flags| Message::new(kind, REQUEST | flags, &[0, 0, high, low]);
    let mut batch = vec![bound(BATCH_BEGIN, 0)];
    batch.extend_from_slice(messages);
    batch.push(bound(BATCH_END, 0));
    batch
}

fn add_table() -> Message {
    Message::new(NEW_TABLE, REQUEST | CREATE, &FAMILY_IPV4).text(TABLE_NAME, TABLE)
}

fn delete_table() -> Message {
    Message::new(DELETE_TABLE, REQUEST | ACK, &FAMILY_IPV4).text(TABLE_NAME, TABLE)
}

fn add_chain(name: &str, hook: u32) -> Message {
    Message::new(NEW_CHAIN, REQUEST | CREATE, &FAMILY_IPV4)
        .text(CHAIN_TABLE, TABLE)
        .text(CHAIN_NAME, name)
        .nest(CHAIN_HOOK, |m| number(number(m, HOOK_NUMBER, hook), HOOK_PRIORITY, 0))
        .text(CHAIN_TYPE, "filter")
}

/// A rule that drops what all expressions of `matching` match.
fn add_rule(chain: &str, flags: u16, matching: impl FnOnce(Message) -> Message) -> Message {
    Message::new(NEW_RULE, REQUEST | CREATE | APPEND | flags, &FAMILY_IPV4)
        .text(RULE_TABLE, TABLE)
        .text(RULE_CHAIN, chain)
        .nest(RULE_EXPRESSIONS, |m| verdict(matching(m), VERDICT_DROP))
}

/// Goes on only when the bytes at `offset` of the IPv4 header are `value`.
fn compare(rule: Message, offset: u32, value: &[u8]) -> Message {
    let length = u32::try_from(value.len()).expect("fields of a header are a few bytes");
    let rule = expression(rule, "payload", |m| {
        let m = number(number(m, PAYLOAD_DREG, REG_1), PAYLOAD_BASE, BASE_NETWORK);
        number(number(m, PAYLOAD_OFFSET, offset), PAYLOAD_LENGTH, length)
    });
    expression(rule, "cmp", |m| {
        number(number(m, CMP_SREG, REG_1), CMP_OP, CMP_EQUAL).nest(CMP_DATA, |m| m.attribute(DATA_VALUE, value))
    })
}

fn verdict(rule: Message, code: u32) -> Message {
    expression(rule, "immediate", |m| {
        number(m, IMMEDIATE_DREG, REG_VERDICT)
            .nest(IMMEDIATE_DATA, |m| m.nest(DATA_VERDICT, |m| number(m, VERDICT_CODE, code)))
    })
}

fn expression(rule: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    rule.nest(LIST_ELEMENT, |m| m.text(EXPRESSION_NAME, name).nest(EXPRESSION_DATA, data))
}

/// nftables' numbers travel in network order.
fn number(message: Message, kind: u16, value: u32) -> Message {
    message.attribute(kind, &value.to_be_bytes())
}
