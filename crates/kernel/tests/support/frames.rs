//! Frames for the data plane, built and checked without its help.

use evenkeel_wire::checksum::internet;
use std::net::IpAddr;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;
pub(crate) const FIN: u8 = 1;

pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0xc1, 1];
pub(crate) const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0xdd, 1];

/// A packet to be.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) flags: u8,
    pub(crate) ttl: u8,
    /// Bytes of IPv4 options, a multiple of four.
    pub(crate) options: usize,
    pub(crate) payload: Vec<u8>,
    pub(crate) source_mac: [u8; 6],
}

impl Packet {
    pub(crate) fn tcp(source: (&str, u16), destination: (&str, u16), flags: u8) -> Self {
        Packet {
            source: source.0.parse().unwrap(),
            destination: destination.0.parse().unwrap(),
            protocol: TCP,
            source_port: source.1,
            destination_port: destination.1,
            flags,
            ttl: 64,
            options: 0,
            payload: b"hello, server".to_vec(),
            source_mac: CLIENT_MAC,
        }
    }

    pub(crate) fn udp(source: (&str, u16), destination: (&str, u16)) -> Self {
        Packet { protocol: UDP, ..Packet::tcp(source, destination, 0) }
    }

    /// Header and payload of layer 4, with the right checksum.
    pub(crate) fn segment(&self) -> Vec<u8> {
        let mut segment = [self.source_port.to_be_bytes(), self.destination_port.to_be_bytes()].concat();
        let at = if self.protocol == TCP {
            segment.extend([0, 0, 0, 1, 0, 0, 0, 2, 5 << 4, self.flags, 4, 0, 0, 0, 0, 0]);
            16
        } else {
            segment.extend((8 + self.payload.len() as u16).to_be_bytes());
            segment.extend([0, 0]);
            6
        };
        segment.extend(&self.payload);
        let sum = internet(&[&pseudo(self.source, self.destination, self.protocol, segment.len()), &segment]);
        let sum = if sum == 0 && self.protocol == UDP { 0xffff } else { sum };
        segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        segment
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        self.around(&self.segment(), 0)
    }

    /// The frame with `payload` behind the IP header, whose fragment field says `fragment`.
    pub(crate) fn around(&self, payload: &[u8], fragment: u16) -> Vec<u8> {
        let ip = ip(self.source, self.destination, self.protocol, self.ttl, self.options, fragment, payload);
        ethernet(self.source_mac, &ip)
    }

    /// The two fragments that it is sent in, of which the first has `first` bytes of the segment.
    pub(crate) fn fragments(&self, first: usize) -> [Vec<u8>; 2] {
        let segment = self.segment();
        let (head, tail) = segment.split_at(first);
        let offset = (first / 8) as u16;
        if self.source.is_ipv4() {
            return [self.around(head, 0x2000), self.around(tail, offset)];
        }
        [(head, 1u16), (tail, offset << 3)].map(|(part, field)| {
            let mut extension = vec![self.protocol, 0];
            extension.extend(field.to_be_bytes());
            extension.extend([0, 0, 0, 77]);
            extension.extend(part);
            let ip = ip(self.source, self.destination, 44, self.ttl, 0, 0, &extension);
            ethernet(self.source_mac, &ip)
        })
    }
}

/// An ICMP error of `reporter` that cannot deliver what `quoted` (an IP packet) is.
pub(crate) fn unreachable(reporter: IpAddr, destination: IpAddr, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![if reporter.is_ipv4() { 3 } else { 1 }, 4, 0, 0, 0, 0, 0, 0];
    message.extend(quoted);
    let protocol = if reporter.is_ipv4() { 1 } else { 58 };
    let header = if reporter.is_ipv4() { Vec::new() } else { pseudo(reporter, destination, 58, message.len()) };
    let sum = internet(&[&header, &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ethernet(CLIENT_MAC, &ip(reporter, destination, protocol, 64, 0, 0, &message))
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut header = [bytes(source), bytes(destination)].concat();
    header.extend((length as u32).to_be_bytes());
    header.extend([0, 0, 0, protocol]);
    header
}

fn ethernet(source: [u8; 6], ip: &[u8]) -> Vec<u8> {
    let kind: [u8; 2] = if ip[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [&OUR_MAC[..], &source, &kind, ip].concat()
}

#[allow(clippy::too_many_arguments)]
fn ip(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ttl: u8,
    options: usize,
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    if source.is_ipv6() {
        let mut header = vec![0x60, 0, 0, 0];
        header.extend((payload.len() as u16).to_be_bytes());
        header.extend([protocol, ttl]);
        return [header, bytes(source), bytes(destination), payload.to_vec()].concat();
    }
    let length = 20 + options;
    let mut header = vec![0x40 | (length / 4) as u8, 0];
    header.extend(((length + payload.len()) as u16).to_be_bytes());
    header.extend([0, 77]);
    header.extend(fragment.to_be_bytes());
    header.extend([ttl, protocol, 0, 0]);
    header.extend([bytes(source), bytes(destination)].concat());
    // No operation, so often.
    header.extend(vec![1; options]);
    let sum = internet(&[&header]).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    header.extend(payload);
    header
}

/// What a frame says, for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) mac: [u8; 6],
    pub(crate) source_mac: [u8; 6],
    pub(crate) ip: Ip,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    pub(crate) is_fragment: bool,
    /// Behind the header and the extensions.
    pub(crate) payload: Vec<u8>,
}

impl Ip {
    pub(crate) fn ports(&self) -> (u16, u16) {
        let port = |at: usize| u16::from_be_bytes([self.payload[at], self.payload[at + 1]]);
        (port(0), port(2))
    }

    /// The packet within, behind `skip` bytes of a tunnel's header.
    pub(crate) fn inner(&self, skip: usize) -> Ip {
        read_ip(&self.payload[skip..])
    }
}

/// Reads a frame, and fails the test if a length or checksum in it is wrong.
pub(crate) fn read(frame: &[u8]) -> Seen {
    let version = match frame[12..14] {
        [8, 0] => 4,
        [0x86, 0xdd] => 6,
        _ => panic!("not IP: {frame:02x?}"),
    };
    assert_eq!(frame[14] >> 4, version, "type and version: {frame:02x?}");
    let ip = read_ip(&frame[14..]);
    Seen { mac: frame[..6].try_into().unwrap(), source_mac: frame[6..12].try_into().unwrap(), ip }
}

fn read_ip(bytes: &[u8]) -> Ip {
    let u16_at = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let ip = if bytes[0] >> 4 == 4 {
        let header = usize::from(bytes[0] & 15) * 4;
        assert_eq!(internet(&[&bytes[..header]]), 0, "sum of the IPv4 header: {bytes:02x?}");
        let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
        Ip {
            source: address(12),
            destination: address(16),
            protocol: bytes[9],
            ttl: bytes[8],
            is_fragment: u16_at(6) & 0x3fff != 0,
            payload: bytes[header..u16_at(2)].to_vec(),
        }
    } else {
        let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap());
        let is_fragment = bytes[6] == 44;
        let (start, protocol) = if is_fragment { (48, bytes[40]) } else { (40, bytes[6]) };
        Ip {
            source: address(8),
            destination: address(24),
            protocol,
            ttl: bytes[7],
            is_fragment,
            payload: bytes[start..40 + u16_at(4)].to_vec(),
        }
    };
    if !ip.is_fragment {
        check_payload(&ip);
    }
    ip
}

/// The checksum of what is in the packet.
fn check_payload(ip: &Ip) {
    let pseudo = pseudo(ip.source, ip.destination, ip.protocol, ip.payload.len());
    match ip.protocol {
        UDP if ip.payload[6..8] == [0, 0] => {
            let length = usize::from(u16::from_be_bytes([ip.payload[4], ip.payload[5]]));
            assert_eq!(length, ip.payload.len(), "length of UDP");
        }
        TCP | UDP | 58 => assert_eq!(internet(&[&pseudo, &ip.payload]), 0, "checksum: {ip:02x?}"),
        1 => assert_eq!(internet(&[&ip.payload]), 0, "checksum of ICMP: {ip:02x?}"),
        _ => {}
    }
}
