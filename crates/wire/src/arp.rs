//! ARP for IPv4 over Ethernet (RFC 826), as the payload of an Ethernet frame of type 0x0806.
//!
//! ```text
//!  0       2       4  5  6       8             14        18            24       28
//!  | htype | ptype |hl|pl|  op   | sender MAC  | sender IP | target MAC | target IP |
//! ```

use crate::Mac;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Bytes of an ARP message.
pub const LENGTH: usize = 28;

/// Request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// 1: who has the target address?
    Request,
    /// 2: the sender has it.
    Reply,
}

/// One ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arp {
    /// Request or reply.
    pub operation: Operation,
    /// Hardware address of whoever speaks.
    pub sender_mac: Mac,
    /// Its IP address; 0.0.0.0 in a probe (RFC 5227 2.1.1).
    pub sender_ip: Ipv4Addr,
    /// Hardware address of whom is spoken to.
    pub target_mac: Mac,
    /// The address in question.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// "`address` is at `mac`", told to everybody: a request whose sender and target are `address`,
    /// which is the form keepalived sends.
    pub fn gratuitous(mac: Mac, address: Ipv4Addr) -> Self {
        Arp {
            operation: Operation::Request,
            sender_mac: mac,
            sender_ip: address,
            target_mac: Mac::BROADCAST,
            target_ip: address,
        }
    }

    /// "Does anybody have `address`?", asked without claiming one (RFC 5227 2.1.1).
    pub fn probe(mac: Mac, address: Ipv4Addr) -> Self {
        Arp {
            operation: Operation::Request,
            sender_mac: mac,
            sender_ip: Ipv4Addr::UNSPECIFIED,
            target_mac: Mac::default(),
            target_ip: address,
        }
    }

    /// Reads a message, or `None` for anything but IPv4 over Ethernet. Trailing bytes are padding.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.get(..LENGTH)?.try_into().ok()?;
        if bytes[..6] != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        let operation = match u16::from_be_bytes([bytes[6], bytes[7]]) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return None,
        };
        let mac =
            |at: usize| Mac([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4], bytes[at + 5]]);
        let ip = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        Some(Arp { operation, sender_mac: mac(8), sender_ip: ip(14), target_mac: mac(18), target_ip: ip(24) })
    }

    /// The message's bytes, without an Ethernet header.
    pub fn build(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        bytes[7] = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        bytes[8..14].copy_from_slice(&self.sender_mac.0);
        bytes[14..18].copy_from_slice(&self.sender_ip.octets());
        bytes[18..24].copy_from_slice(&self.target_mac.0);
        bytes[24..28].copy_from_slice(&self.target_ip.octets());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_and_parse_are_inverse() {
        let arp = Arp::gratuitous(Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 100));
        assert_eq!(Arp::parse(&arp.build()), Some(arp));
    }

    #[test]
    fn other_hardware_and_short_messages_are_refused() {
        let mut bytes = Arp::probe(Mac::default(), Ipv4Addr::LOCALHOST).build();
        assert_eq!(Arp::parse(&bytes[..27]), None);
        bytes[1] = 6;
        assert_eq!(Arp::parse(&bytes), None);
    }
}
