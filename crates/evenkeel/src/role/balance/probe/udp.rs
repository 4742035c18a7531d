//! UDP_CHECK: a datagram, and no ICMP error until the timeout, or the reply that is required.

use super::parse::excerpt;
use super::{Limit, Pass, Verdict, socket};
use evenkeel_balance::config::{Target, UdpProbe};
use rustix::rand::{GetRandomFlags, getrandom};
use socket2::Type;

/// Bytes that are sent when no payload is configured, as many as keepalived sends.
const DEFAULT_PAYLOAD: usize = 32;

pub(super) async fn probe(target: &Target, probe: &UdpProbe, limit: Limit) -> Verdict {
    let failed = |reason: &str| format!("UDP connection failed: {reason}");
    let socket = socket::datagrams(target, Type::DGRAM, None).map_err(|error| failed(&error.reason()))?;
    let mut random = [0; DEFAULT_PAYLOAD];
    let payload = match &probe.payload {
        Some(payload) => payload.as_slice(),
        None => {
            getrandom(&mut random, GetRandomFlags::empty()).map_err(|error| format!("random payload: {error}"))?;
            random.as_slice()
        }
    };
    match limit.of(socket.send(payload)).await {
        Some(Ok(_)) => {}
        Some(Err(error)) => return Err(format!("UDP send error: {}", socket::text(&error))),
        None => return Err(format!("UDP send timeout after {limit}")),
    }
    match limit.of(socket::receive(&socket, |reply| judge(probe, reply))).await {
        Some(Ok(verdict)) => verdict,
        // The answer of a closed port: ICMP port unreachable.
        Some(Err(error)) => Err(failed(&socket::text(&error))),
        None if probe.require_reply => Err(failed(&format!("no reply within {limit}"))),
        None => Ok(Pass::new("no ICMP error")),
    }
}

fn judge(probe: &UdpProbe, reply: &[u8]) -> Verdict {
    let pass = Pass::new(format!("reply of {} bytes", reply.len()));
    if !probe.require_reply {
        return Ok(pass);
    }
    if !(usize::from(probe.min_length)..=usize::from(probe.max_length)).contains(&reply.len()) {
        let (length, min, max) = (reply.len(), probe.min_length, probe.max_length);
        return Err(format!("UDP reply of {length} bytes is not between {min} and {max}"));
    }
    let wanted = probe.reply.as_deref().unwrap_or_default();
    match wanted.iter().zip(reply).position(|((value, mask), byte)| byte & mask != value & mask) {
        None => Ok(pass),
        Some(at) => Err(format!("UDP reply data mismatch at byte {at}: \"{}\"", excerpt(reply))),
    }
}

#[cfg(test)]
mod judge_tests {
    use super::*;

    #[test]
    fn replies_are_compared_over_the_shorter_of_the_two_and_by_mask() {
        let probe = UdpProbe {
            payload: None,
            require_reply: true,
            reply: Some(vec![(0x61, 0xff), (0x60, 0xf0), (0x63, 0xff)]),
            min_length: 1,
            max_length: 5,
        };
        for (reply, right) in [
            (&b"abc"[..], true),
            (b"aac", true),
            (b"a", true),
            (b"abcde", true),
            (b"abd", false),
            (b"b", false),
            (b"", false),
            (b"abcdef", false),
        ] {
            assert_eq!(judge(&probe, reply).is_ok(), right, "{}", reply.escape_ascii());
        }
        let any = UdpProbe { require_reply: false, ..probe };
        assert!(judge(&any, b"other").is_ok());
    }
}
