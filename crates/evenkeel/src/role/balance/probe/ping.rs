//! PING_CHECK: one echo request and its reply.
//!
//! By an unprivileged ICMP socket, whose id the kernel chooses and whose replies it sorts; where `ping_group_range` gives none,
//! by a raw socket, which the role's CAP_NET_RAW allows. keepalived widens the range for the whole machine instead.
//!
//! ```text
//! type 8 (v6: 128), code 0 | checksum | id | sequence | 16 random bytes        RFC 792, RFC 4443 section 4.1
//! ```

use super::{Limit, Pass, Verdict, socket};
use evenkeel_balance::config::Target;
use rustix::rand::{GetRandomFlags, getrandom};
use socket2::{Protocol, Type};
use std::io;
use tokio::net::UdpSocket;

const HEADER: usize = 8;
const TOKEN: usize = 16;

pub(super) async fn probe(target: &Target, limit: Limit) -> Verdict {
    let failed = |reason: &str| format!("ICMP connection failed: {reason}");
    let (socket, kind) = open(target).map_err(|reason| failed(&reason))?;
    let mut request = [0; HEADER + TOKEN];
    getrandom(&mut request[4..], GetRandomFlags::empty()).map_err(|error| format!("random id: {error}"))?;
    request[0] = if target.address.is_ipv4() { 8 } else { 128 };
    // Version 6's checksum is the kernel's, in raw sockets too (RFC 3542, section 3.1).
    if target.address.is_ipv4() {
        let sum = checksum(&request);
        request[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    match limit.of(socket.send(&request)).await {
        Some(Ok(_)) => {}
        Some(Err(error)) => return Err(failed(&socket::text(&error))),
        None => return Err(failed(&format!("not sent within {limit}"))),
    }
    loop {
        let v4 = target.address.is_ipv4();
        match limit.of(socket::receive(&socket, |packet| is_reply(packet, &request, v4, kind))).await {
            Some(Ok(true)) => return Ok(Pass::new("echo reply")),
            Some(Ok(false)) => {}
            Some(Err(error)) => return Err(failed(&socket::text(&error))),
            None => return Err(failed(&format!("no echo reply within {limit}"))),
        }
    }
}

fn open(target: &Target) -> Result<(UdpSocket, Type), String> {
    let protocol = if target.address.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
    let denied = match socket::datagrams(target, Type::DGRAM, Some(protocol)) {
        Ok(socket) => return Ok((socket, Type::DGRAM)),
        Err(socket::Unopened::NotCreated(error)) if error.kind() == io::ErrorKind::PermissionDenied => error,
        Err(other) => return Err(other.reason()),
    };
    match socket::datagrams(target, Type::RAW, Some(protocol)) {
        Ok(socket) => Ok((socket, Type::RAW)),
        Err(socket::Unopened::NotCreated(_)) => Err(format!(
            "ICMP socket: {}; set net.ipv4.ping_group_range to a range with this process's group, or give it CAP_NET_RAW",
            socket::text(&denied)
        )),
        Err(other) => Err(other.reason()),
    }
}

/// Whether this is the reply to our request: its random bytes come back. The id need not, the kernel has put its own.
fn is_reply(packet: &[u8], request: &[u8; HEADER + TOKEN], v4: bool, kind: Type) -> bool {
    let icmp = if v4 && kind == Type::RAW {
        // A raw socket of version 4 shows the IP header too.
        let length = packet.first().map_or(0, |byte| usize::from(byte & 0x0f) * 4);
        packet.get(length..).unwrap_or_default()
    } else {
        packet
    };
    let kind_of_reply = if v4 { 0 } else { 129 };
    icmp.len() >= request.len()
        && icmp[..2] == [kind_of_reply, 0]
        && icmp[6..8] == request[6..8]
        && icmp[HEADER..request.len()] == request[HEADER..]
}

/// The Internet checksum, the field itself being 0 or random before: it is not counted.
fn checksum(icmp: &[u8; HEADER + TOKEN]) -> u16 {
    let words = icmp.chunks_exact(2).enumerate().filter(|(at, _)| *at != 1);
    let sum: u32 = words.map(|(_, pair)| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

#[cfg(test)]
mod reply_tests {
    use super::*;

    #[test]
    fn only_our_own_echo_counts() {
        let mut request = [7; HEADER + TOKEN];
        request[..2].copy_from_slice(&[8, 0]);
        let mut reply = request;
        reply[0] = 0;
        assert!(is_reply(&reply, &request, true, Type::DGRAM));
        assert!(!is_reply(&request, &request, true, Type::DGRAM));
        assert!(!is_reply(&reply[..HEADER + TOKEN - 1], &request, true, Type::DGRAM));
        assert!(!is_reply(&[], &request, true, Type::RAW));
        let raw = [&[0x45; 20][..], &reply].concat();
        assert!(is_reply(&raw, &request, true, Type::RAW));
        assert!(!is_reply(&[0x4f; 20], &request, true, Type::RAW));
        reply[HEADER + 3] ^= 1;
        assert!(!is_reply(&reply, &request, true, Type::DGRAM));
        (request[0], reply) = (128, request);
        reply[0] = 129;
        assert!(is_reply(&reply, &request, false, Type::RAW));
    }

    #[test]
    fn the_checksum_makes_the_sum_all_ones() {
        let mut request = [0xa5; HEADER + TOKEN];
        let sum = checksum(&request);
        request[2..4].copy_from_slice(&sum.to_be_bytes());
        let total: u32 = request.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (total & 0xffff) + (total >> 16);
        assert_eq!((folded & 0xffff) + (folded >> 16), 0xffff);
    }
}
