//! nftables as netlink speaks it: tables that are changed in one transaction, and what their rules are made of.
//!
//! The names of expressions and the order of their attributes are the kernel's (`linux/netfilter/nf_tables.h`). A rule is a
//! list of expressions: each loads something into a register, compares a register, or decides; the first one that does not
//! match ends the rule.

use crate::netlink::message::Message;
use crate::netlink::socket::{ACK, REQUEST, Socket};
use std::io;

/// Family of a table, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4 = 2,
    V6 = 10,
}

/// Where a chain hears of packets, and at which priority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hook {
    pub(crate) number: u32,
    pub(crate) priority: i32,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict<'a> {
    Drop,
    Accept,
    Goto(&'a str),
}

/// What the elements of a set are: a number that only `nft` knows, and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) number: u32,
    pub(crate) length: u32,
}

/// A set, or with `data` a map.
pub(crate) struct Set<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: Kind,
    pub(crate) data: Option<Kind>,
    /// Its elements never change.
    pub(crate) is_constant: bool,
    pub(crate) elements: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What is to be done about one table.
pub(crate) struct Table<'a> {
    family: Family,
    name: &'a str,
    messages: Vec<Message>,
}

impl<'a> Table<'a> {
    /// Nothing is to be done yet.
    pub(crate) fn new(family: Family, name: &'a str) -> Self {
        Table { family, name, messages: Vec::new() }
    }

    /// Makes the table, where there is none.
    pub(crate) fn add(&mut self) {
        let name = self.name;
        self.push(NEW_TABLE, CREATE, |m| m.text(1, name));
    }

    /// Deletes the table with all that is in it. Adding it first makes that succeed in any case.
    pub(crate) fn delete(&mut self) {
        let name = self.name;
        self.push(DELETE_TABLE, 0, |m| m.text(1, name));
    }

    /// Makes a chain; one without hook is for others to go to.
    pub(crate) fn chain(&mut self, name: &str, hook: Option<Hook>) {
        let table = self.name;
        self.push(NEW_CHAIN, CREATE, |m| {
            let m = m.text(1, table).text(3, name);
            match hook {
                Some(Hook { number: hook, priority }) => {
                    m.nest(4, |m| number(m, 1, hook).attribute(2, &priority.to_be_bytes())).text(7, "filter")
                }
                None => m,
            }
        });
    }

    /// Appends a rule that decides about what all expressions of `matching` match.
    pub(crate) fn rule(&mut self, chain: &str, matching: impl FnOnce(Message) -> Message, verdict: Verdict) {
        let (code, target) = match verdict {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            // `NFT_GOTO`, -4.
            Verdict::Goto(chain) => (u32::MAX - 3, Some(chain)),
        };
        let table = self.name;
        let decide = |m| {
            let m = number(m, 1, code);
            match target {
                Some(target) => m.text(2, target),
                None => m,
            }
        };
        self.push(NEW_RULE, CREATE | APPEND, |m| {
            m.text(1, table)
                .text(2, chain)
                .nest(4, |m| expression(matching(m), "immediate", |m| number(m, 1, 0).nest(2, |m| m.nest(2, decide))))
        });
    }

    /// Makes a set with its elements.
    pub(crate) fn set(&mut self, set: Set) {
        let table = self.name;
        let id = u32::try_from(self.messages.len()).expect("a table has a few sets");
        let flags = if set.is_constant { CONSTANT } else { 0 } | if set.data.is_some() { MAP } else { 0 };
        self.push(NEW_SET, CREATE, |m| {
            let m = m.text(1, table).text(2, set.name);
            let m = number(number(number(m, 3, flags), 4, set.key.number), 5, set.key.length);
            let m = match set.data {
                Some(data) => number(number(m, 6, data.number), 7, data.length),
                None => m,
            };
            let m = number(m, 10, id);
            // Only for `nft list`: these keys, and the data if there is any, are in the machine's order.
            if set.key == IFINDEX { m.attribute(USERDATA, &IN_MACHINES_ORDER) } else { m }
        });
        if set.elements.is_empty() {
            return;
        }
        self.push(NEW_ELEMENT, CREATE, |m| {
            number(m.text(1, table).text(2, set.name), 4, id).nest(3, |m| {
                set.elements.iter().fold(m, |m, (key, data)| {
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

    /// Takes an element into a set.
    pub(crate) fn add_element(&mut self, set: &str, key: &[u8]) {
        self.element(NEW_ELEMENT, CREATE, set, key);
    }

    /// Takes an element out of a set.
    pub(crate) fn delete_element(&mut self, set: &str, key: &[u8]) {
        self.element(DELETE_ELEMENT, 0, set, key);
    }

    fn element(&mut self, kind: u16, flags: u16, set: &str, key: &[u8]) {
        let table = self.name;
        let fill = |m: Message| m.nest(LIST_ELEMENT, |m| m.nest(1, |m| m.attribute(DATA_VALUE, key)));
        self.push(kind, flags, |m| m.text(1, table).text(2, set).nest(3, fill));
    }

    /// All of it happens or nothing.
    pub(crate) fn commit(self, socket: &mut Socket) -> io::Result<()> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let bound = |kind| Message::new(kind, REQUEST, &[0, 0, 0, SUBSYSTEM as u8]);
        let mut messages = self.messages;
        // A transaction is acknowledged once, with its last message.
        let last = messages.pop().map(|last| last.flagged(ACK));
        let batch = std::iter::once(bound(BATCH_BEGIN)).chain(messages).chain(last).chain([bound(BATCH_END)]);
        socket.transaction(&batch.collect::<Vec<_>>())
    }

    fn push(&mut self, kind: u16, flags: u16, fill: impl FnOnce(Message) -> Message) {
        self.messages.push(fill(Message::new(kind, REQUEST | flags, &[self.family as u8, 0, 0, 0])));
    }
}

/// Loads bytes of the packet, counted from `base`.
pub(crate) fn payload(m: Message, base: u32, offset: u32, length: u32, register: u32) -> Message {
    expression(m, "payload", |m| number(number(number(number(m, 1, register), 2, base), 3, offset), 4, length))
}

/// Loads what is known of the packet besides its bytes.
pub(crate) fn meta(m: Message, key: u32, register: u32) -> Message {
    expression(m, "meta", |m| number(number(m, 1, register), 2, key))
}

/// Goes on when register 1 is this.
pub(crate) fn equals(m: Message, value: &[u8]) -> Message {
    expression(m, "cmp", |m| number(number(m, 1, REG_1), 2, 0).nest(3, |m| m.attribute(DATA_VALUE, value)))
}

/// Keeps the bits of `mask` in register 1.
pub(crate) fn bitwise(m: Message, mask: &[u8]) -> Message {
    let length = u32::try_from(mask.len()).expect("a mask is a few bytes");
    let nothing = vec![0; mask.len()];
    expression(m, "bitwise", |m| {
        number(number(number(m, 1, REG_1), 2, REG_1), 3, length)
            .nest(4, |m| m.attribute(DATA_VALUE, mask))
            .nest(5, |m| m.attribute(DATA_VALUE, &nothing))
    })
}

/// Goes on when register 1 is in the set.
pub(crate) fn lookup(m: Message, set: &str) -> Message {
    expression(m, "lookup", |m| number(m.text(1, set), 2, REG_1))
}

/// Loads into a register what the map has for the value of that register.
pub(crate) fn translate(m: Message, map: &str, register: u32) -> Message {
    expression(m, "lookup", |m| number(number(m.text(1, map), 2, register), 3, register))
}

/// Sends another copy to the address of register 1 by the interface of register 2.
pub(crate) fn duplicate(m: Message) -> Message {
    expression(m, "dup", |m| number(number(m, 1, REG_1), 2, REG_2))
}

/// Counts what came so far.
pub(crate) fn counter(m: Message) -> Message {
    expression(m, "counter", |m| m)
}

fn expression(m: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    m.nest(LIST_ELEMENT, |m| m.text(1, name).nest(2, data))
}

/// nftables' numbers travel in network order.
fn number(message: Message, kind: u16, value: u32) -> Message {
    message.attribute(kind, &value.to_be_bytes())
}

/// The payload begins with the header of the network layer, or of what that carries.
pub(crate) const NETWORK: u32 = 1;
pub(crate) const TRANSPORT: u32 = 2;
/// Registers of 16 bytes.
pub(crate) const REG_1: u32 = 1;
pub(crate) const REG_2: u32 = 2;
/// Registers of 4 bytes are numbered from 8: this one is behind the 16 bytes of register 1.
pub(crate) const BEHIND_REG_1: u32 = 12;

pub(crate) const META_IIF: u32 = 4;
pub(crate) const META_OIF: u32 = 5;
pub(crate) const META_L4PROTO: u32 = 16;
pub(crate) const META_OIFKIND: u32 = 27;

pub(crate) const LOCAL_IN: u32 = 1;
pub(crate) const LOCAL_OUT: u32 = 3;

pub(crate) const IPV4_ADDRESS: Kind = Kind { number: 7, length: 4 };
pub(crate) const IPV6_ADDRESS: Kind = Kind { number: 8, length: 16 };
pub(crate) const IFINDEX: Kind = Kind { number: 20, length: 4 };
pub(crate) const ICMPV6_TYPE: Kind = Kind { number: 29, length: 1 };
/// Two kinds in one key, as `nft` writes that.
pub(crate) const IPV6_ADDRESS_AND_IFINDEX: Kind =
    Kind { number: IPV6_ADDRESS.number << 6 | IFINDEX.number, length: IPV6_ADDRESS.length + IFINDEX.length };

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
const CONSTANT: u32 = 2;
const MAP: u32 = 8;
/// Two notes of `nft`'s own, each of kind, length and number: the order of keys (0) and of data (1) is the host's (1).
const IN_MACHINES_ORDER: [u8; 12] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d, 1, 4, a, b, c, d]
};
