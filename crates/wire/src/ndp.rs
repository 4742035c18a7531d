//! Neighbour discovery (RFC 4861) as far as it finds and announces Ethernet addresses: what stands behind the IPv6 header.
//!
//! ```text
//!  0       1      2          4                          8                24      25      26           32
//!  | type  | code | checksum | R S O, 29 reserved bits  | target address | type  | len 1 | MAC address |
//! ```
//!
//! The last eight bytes are an option: 1 for the MAC of who asks, 2 for that of the target. The checksum is the kernel's
//! business.

use crate::Mac;
use serde::{Deserialize, Serialize};
use std::net::Ipv6Addr;

/// Bytes of a message with its one option.
pub const LENGTH: usize = 32;

/// The ICMPv6 type of a solicitation.
pub const SOLICITATION: u8 = 135;

/// The ICMPv6 type of an advertisement.
pub const ADVERTISEMENT: u8 = 136;

/// Everybody on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The hop limit without which a message came through a router.
pub const HOP_LIMIT: u8 = 255;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
const WITHOUT_OPTIONS: usize = 24;
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;

/// "The target is at this MAC address."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertisement {
    /// Who speaks forwards packets.
    pub router: bool,
    /// It answers a solicitation; otherwise it speaks of its own accord.
    pub solicited: bool,
    /// What was known before is to be forgotten.
    pub replaces: bool,
    /// The address in question.
    pub target: Ipv6Addr,
    /// Where it is; answers to somebody who must know it may leave it out.
    pub mac: Option<Mac>,
}

impl Advertisement {
    /// "`target` is at `mac`", told to everybody of one's own accord.
    pub fn unsolicited(mac: Mac, target: Ipv6Addr, router: bool) -> Self {
        Advertisement { router, solicited: false, replaces: true, target, mac: Some(mac) }
    }

    /// Reads a message, or `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (fixed, mut options) = bytes.split_at_checked(WITHOUT_OPTIONS)?;
        if fixed[..2] != [ADVERTISEMENT, 0] {
            return None;
        }
        let target = Ipv6Addr::from(<[u8; 16]>::try_from(&fixed[8..]).ok()?);
        let mut mac = None;
        while let [kind, length, ..] = *options {
            // Options are counted in eights of bytes; none has no length (RFC 4861 4.6).
            let (option, rest) = options.split_at_checked(usize::from(length) * 8).filter(|_| length > 0)?;
            if let (TARGET_ADDRESS, &[_, _, a, b, c, d, e, f]) = (kind, option) {
                mac = Some(Mac([a, b, c, d, e, f]));
            }
            options = rest;
        }
        let flags = fixed[4];
        Some(Advertisement {
            router: flags & ROUTER != 0,
            solicited: flags & SOLICITED != 0,
            replaces: flags & OVERRIDE != 0,
            target,
            mac,
        })
    }

    /// The message's bytes, with zeros for its checksum. Without a MAC address the option says all zeros.
    pub fn build(&self) -> [u8; LENGTH] {
        let flag = |bit, set| if set { bit } else { 0 };
        let flags = flag(ROUTER, self.router) | flag(SOLICITED, self.solicited) | flag(OVERRIDE, self.replaces);
        message(ADVERTISEMENT, flags, self.target, TARGET_ADDRESS, self.mac.unwrap_or_default())
    }
}

/// "Does anybody have `target`?", asked by `mac`; with zeros for its checksum.
pub fn solicitation(mac: Mac, target: Ipv6Addr) -> [u8; LENGTH] {
    message(SOLICITATION, 0, target, SOURCE_ADDRESS, mac)
}

/// The group in which whoever has `target` hears who asks for it (RFC 4291 2.7.1).
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

fn message(kind: u8, flags: u8, target: Ipv6Addr, option: u8, mac: Mac) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = kind;
    bytes[4] = flags;
    bytes[8..24].copy_from_slice(&target.octets());
    bytes[24..26].copy_from_slice(&[option, 1]);
    bytes[26..].copy_from_slice(&mac.0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
    const MAC: Mac = Mac([0x66, 0xea, 0x27, 0xdf, 0xab, 0x5e]);

    #[test]
    fn an_announcement_has_the_bytes_that_keepalived_sends() {
        let sent = Advertisement::unsolicited(MAC, TARGET, false).build();
        let hex: String = sent.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "880000002000000020010db8000000000000000000000100020166ea27dfab5e");
        assert_eq!(Advertisement::unsolicited(MAC, TARGET, true).build()[4], 0xa0, "of a router");
    }

    #[test]
    fn a_question_names_who_asks() {
        let hex: String = solicitation(MAC, TARGET).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "870000000000000020010db8000000000000000000000100010166ea27dfab5e");
        assert_eq!(solicited_node(TARGET), "ff02::1:ff00:100".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn what_is_no_advertisement_is_refused() {
        let good = Advertisement::unsolicited(MAC, TARGET, false).build();
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Advertisement::parse(&bytes)
        };
        assert_eq!(with(0, SOLICITATION), None);
        assert_eq!(with(1, 1), None, "no such code");
        assert_eq!(with(25, 0), None, "an option without length");
        assert_eq!(with(25, 2), None, "an option beyond the end");
        assert_eq!(Advertisement::parse(&good[..23]), None);
        assert_eq!(Advertisement::parse(&good[..24]).unwrap().mac, None, "an answer may leave the option out");
        assert_eq!(with(24, SOURCE_ADDRESS).unwrap().mac, None, "another option");
    }

    #[test]
    fn build_and_parse_are_inverse() {
        for flags in 0..8u8 {
            let [router, solicited, replaces] = [flags & 1 != 0, flags & 2 != 0, flags & 4 != 0];
            let advert = Advertisement { router, solicited, replaces, target: TARGET, mac: Some(MAC) };
            assert_eq!(Advertisement::parse(&advert.build()), Some(advert));
        }
    }
}
