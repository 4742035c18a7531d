//! Just enough of TCP (RFC 9293) to ask whether a port is open, in whole IPv4 packets.

use crate::checksum;
use crate::ipv4::{Header, MIN_HEADER};
use std::net::SocketAddrV4;

/// IP protocol number of TCP.
pub const PROTOCOL: u8 = 6;

/// IP protocol number of IPv4 within IPv4 (RFC 2003).
pub const IPIP: u8 = 4;

const TCP_HEADER: usize = 20;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A SYN and a RST: header without options, segment without data.
pub const SEGMENT: usize = MIN_HEADER + TCP_HEADER;

/// One attempt to open a connection, from SYN to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who asks.
    pub source: SocketAddrV4,
    /// Who is asked.
    pub destination: SocketAddrV4,
    /// Sequence number of the SYN.
    pub sequence: u32,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// SYN and ACK: somebody listens.
    Open,
    /// RST: nobody does.
    Refused,
}

impl Attempt {
    /// The packet that asks.
    pub fn syn(&self) -> [u8; SEGMENT] {
        self.segment(SYN, self.sequence)
    }

    /// The packet that ends what an open answer began.
    pub fn reset(&self) -> [u8; SEGMENT] {
        self.segment(RST, self.sequence.wrapping_add(1))
    }

    /// What a packet says to this attempt; `None` when it is about something else.
    pub fn answer(&self, packet: &[u8]) -> Option<Answer> {
        let (header, segment) = Header::parse(packet)?;
        let segment = segment.get(..TCP_HEADER)?;
        let port = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
        let is_ours = header.protocol == PROTOCOL
            && (header.source, port(0)) == (*self.destination.ip(), self.destination.port())
            && (header.destination, port(2)) == (*self.source.ip(), self.source.port());
        let acknowledged = u32::from_be_bytes([segment[8], segment[9], segment[10], segment[11]]);
        let flags = segment[13];
        if !is_ours || flags & ACK == 0 || acknowledged != self.sequence.wrapping_add(1) {
            return None;
        }
        match flags & (SYN | RST) {
            SYN => Some(Answer::Open),
            RST => Some(Answer::Refused),
            _ => None,
        }
    }

    fn segment(&self, flags: u8, sequence: u32) -> [u8; SEGMENT] {
        let mut packet = [0; SEGMENT];
        let header = Header {
            total_length: SEGMENT as u16,
            ttl: 64,
            protocol: PROTOCOL,
            source: *self.source.ip(),
            destination: *self.destination.ip(),
        };
        let (head, segment) = packet.split_at_mut(MIN_HEADER);
        head.copy_from_slice(&header.build_control(0));
        segment[0..2].copy_from_slice(&self.source.port().to_be_bytes());
        segment[2..4].copy_from_slice(&self.destination.port().to_be_bytes());
        segment[4..8].copy_from_slice(&sequence.to_be_bytes());
        segment[12] = (TCP_HEADER as u8 / 4) << 4;
        segment[13] = flags;
        segment[14..16].copy_from_slice(&1024_u16.to_be_bytes());
        let length = (TCP_HEADER as u16).to_be_bytes();
        let pseudo = [0, PROTOCOL, length[0], length[1]];
        let (source, destination) = (self.source.ip().octets(), self.destination.ip().octets());
        let sum = checksum::internet(&[&source, &destination, &pseudo, segment]);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        packet
    }
}

/// A packet of at most 65,515 bytes within an IPv4 packet.
pub fn encapsulate(inner: &[u8], source: std::net::Ipv4Addr, destination: std::net::Ipv4Addr) -> Vec<u8> {
    let total_length = u16::try_from(MIN_HEADER + inner.len()).unwrap_or(u16::MAX);
    let header = Header { total_length, ttl: 64, protocol: IPIP, source, destination };
    [&header.build_control(0)[..], inner].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: Attempt = Attempt {
        source: SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 10), 40_000),
        destination: SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 100), 80),
        sequence: u32::MAX,
    };

    fn reply(flags: u8, acknowledged: u32) -> [u8; SEGMENT] {
        let mut packet =
            Attempt { source: ATTEMPT.destination, destination: ATTEMPT.source, sequence: 7 }.segment(flags, 7);
        packet[28..32].copy_from_slice(&acknowledged.to_be_bytes());
        packet
    }

    #[test]
    fn segments_have_right_checksums() {
        for packet in [ATTEMPT.syn(), ATTEMPT.reset()] {
            assert_eq!(checksum::internet(&[&packet[..MIN_HEADER]]), 0);
            let pseudo = [0, PROTOCOL, 0, 20];
            assert_eq!(checksum::internet(&[&packet[12..20], &pseudo, &packet[MIN_HEADER..]]), 0);
        }
        assert_eq!((ATTEMPT.syn()[33], ATTEMPT.reset()[33]), (SYN, RST));
        assert_eq!(ATTEMPT.reset()[24..28], [0; 4]);
    }

    #[test]
    fn only_what_acknowledges_the_syn_is_an_answer() {
        let rows = [
            (reply(SYN | ACK, 0), Some(Answer::Open)),
            (reply(RST | ACK, 0), Some(Answer::Refused)),
            (reply(SYN | ACK, 1), None),
            (reply(ACK, 0), None),
            (reply(SYN, 0), None),
            (ATTEMPT.syn(), None),
        ];
        for (packet, expected) in rows {
            assert_eq!(ATTEMPT.answer(&packet), expected, "{packet:?}");
        }
        let packet = reply(SYN | ACK, 0);
        for length in 0..packet.len() {
            assert_eq!(ATTEMPT.answer(&packet[..length]), None);
        }
    }

    #[test]
    fn a_packet_in_a_packet_is_the_same_packet() {
        let outer = encapsulate(&ATTEMPT.syn(), [10, 0, 0, 10].into(), [10, 0, 0, 51].into());
        let (header, inner) = Header::parse(&outer).unwrap();
        assert_eq!((header.protocol, usize::from(header.total_length), inner), (IPIP, outer.len(), &ATTEMPT.syn()[..]));
    }
}
