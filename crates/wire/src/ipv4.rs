//! The IPv4 header (RFC 791).

use crate::checksum;
use std::net::Ipv4Addr;

/// Bytes of a header without options.
pub const MIN_HEADER: usize = 20;

/// What a receiver needs of an IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length that the header states for the whole packet, in bytes.
    pub total_length: u16,
    /// Time to live.
    pub ttl: u8,
    /// Number of the protocol inside.
    pub protocol: u8,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
}

impl Header {
    /// Splits a packet into header and payload (all bytes that follow, whatever `total_length` says).
    ///
    /// `None` when the bytes are no IPv4 header. The header checksum is the kernel's business and is not looked at.
    pub fn parse(packet: &[u8]) -> Option<(Header, &[u8])> {
        let first = *packet.first()?;
        let header_length = usize::from(first & 0x0f) * 4;
        if first >> 4 != 4 || header_length < MIN_HEADER || packet.len() < header_length {
            return None;
        }
        let ip = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        let header = Header {
            total_length: u16::from_be_bytes([packet[2], packet[3]]),
            ttl: packet[8],
            protocol: packet[9],
            source: ip(12),
            destination: ip(16),
        };
        Some((header, &packet[header_length..]))
    }

    /// The 20 bytes of a header without options, unfragmented, with class selector 6 (network control, 0xC0).
    pub fn build_control(&self, id: u16) -> [u8; MIN_HEADER] {
        let mut bytes = [0; MIN_HEADER];
        bytes[0] = 0x45;
        bytes[1] = 0xc0;
        bytes[2..4].copy_from_slice(&self.total_length.to_be_bytes());
        bytes[4..6].copy_from_slice(&id.to_be_bytes());
        bytes[8] = self.ttl;
        bytes[9] = self.protocol;
        bytes[12..16].copy_from_slice(&self.source.octets());
        bytes[16..20].copy_from_slice(&self.destination.octets());
        let sum = checksum::internet(&[&bytes]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// Gives a packet whose header has no options another identification, and the header checksum that goes with it.
///
/// Packets shorter than a header are left alone.
pub fn renumber(packet: &mut [u8], id: u16) {
    let Some(header) = packet.get_mut(..MIN_HEADER) else { return };
    header[4..6].copy_from_slice(&id.to_be_bytes());
    header[10..12].fill(0);
    let sum = checksum::internet(&[header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_and_parse_are_inverse() {
        let header = Header {
            total_length: 40,
            ttl: 255,
            protocol: 112,
            source: Ipv4Addr::new(10, 0, 0, 10),
            destination: Ipv4Addr::new(224, 0, 0, 18),
        };
        let bytes = header.build_control(7);
        assert_eq!(checksum::internet(&[&bytes]), 0);
        assert_eq!(Header::parse(&bytes), Some((header, &[][..])));
    }

    #[test]
    fn a_renumbered_packet_is_the_one_built_with_that_number() {
        let header = Header {
            total_length: 20,
            ttl: 255,
            protocol: 112,
            source: Ipv4Addr::new(10, 0, 0, 10),
            destination: Ipv4Addr::new(224, 0, 0, 18),
        };
        let mut bytes = header.build_control(7);
        renumber(&mut bytes, 40_000);
        assert_eq!(bytes, header.build_control(40_000));
        renumber(&mut bytes[..19], 1);
        assert_eq!(bytes, header.build_control(40_000));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert_eq!(Header::parse(&[]), None);
        assert_eq!(Header::parse(&[0x45; 19]), None);
        assert_eq!(Header::parse(&[0x44; 20]), None);
        assert_eq!(Header::parse(&[0x65; 20]), None);
    }
}
