use super::server;
use super::{PATIENT, SHORT, check, failed, passed, run};
use evenkeel_balance::ProbeResult;
use evenkeel_balance::config::{Probe, UdpProbe};
use std::sync::mpsc;

/// The reply to a query, changed.
fn reply(query: &[u8], change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = query.to_vec();
    bytes[2] |= 0x80;
    change(&mut bytes);
    bytes
}

#[test]
fn dns_takes_the_reply_to_its_question_and_no_other() {
    let address = server::udp(|query| {
        vec![
            reply(query, |bytes| bytes[0] ^= 1),
            reply(query, |bytes| bytes[14] ^= 1),
            query.to_vec(),
            b"short".to_vec(),
            reply(query, |_| {}),
        ]
    });
    assert_eq!(passed(&check(dns(), address, PATIENT)).0, "DNS reply without error");
}

#[test]
fn dns_fails_for_a_reason_that_names_what() {
    let refused = server::udp(|query| vec![reply(query, |bytes| bytes[3] = 5)]);
    assert_eq!(failed(&check(dns(), refused, PATIENT)), "read error occurred. (rcode = 5, REFUSED)");
    let forged = server::udp(|query| vec![reply(query, |bytes| bytes[1] ^= 1), reply(query, |bytes| bytes[13] ^= 1)]);
    assert_eq!(
        failed(&check(dns(), forged, SHORT)),
        "read timeout from socket after 200ms: 2 datagrams with another id or question"
    );
    let silent = server::udp(|_| Vec::new());
    assert_eq!(failed(&check(dns(), silent, SHORT)), "read timeout from socket after 200ms");
    assert_eq!(failed(&check(dns(), server::closed_port(), PATIENT)), "failed to read socket: connection refused");
}

#[test]
fn dns_ids_are_not_the_same() {
    let (tell, told) = mpsc::channel();
    let address = server::udp(move |query| {
        let _ = tell.send([query[0], query[1]]);
        vec![reply(query, |_| {})]
    });
    let check = check(dns(), address, PATIENT);
    for _ in 0..4 {
        passed(&check);
    }
    let ids: Vec<[u8; 2]> = told.try_iter().collect();
    assert!(ids.iter().any(|id| *id != ids[0]), "{ids:?}");
}

#[test]
fn udp_passes_unless_an_icmp_error_comes() {
    let silent = server::udp(|_| Vec::new());
    assert_eq!(passed(&check(Probe::Udp(UdpProbe::default()), silent, SHORT)).0, "no ICMP error");
    let echo = server::udp(|bytes| vec![bytes.to_vec()]);
    assert_eq!(passed(&check(Probe::Udp(UdpProbe::default()), echo, PATIENT)).0, "reply of 32 bytes");
    let closed = check(Probe::Udp(UdpProbe::default()), server::closed_port(), PATIENT);
    assert_eq!(failed(&closed), "UDP connection failed: connection refused");
}

#[test]
fn udp_compares_the_reply_that_is_required() {
    let echo = || server::udp(|bytes| vec![bytes.to_vec()]);
    let probe = |payload: &[u8]| {
        Probe::Udp(UdpProbe {
            payload: Some(payload.to_vec()),
            require_reply: true,
            reply: Some(vec![(0x10, 0xf0), (0x22, 0xff)]),
            min_length: 2,
            max_length: 4,
        })
    };
    passed(&check(probe(&[0x1f, 0x22, 0x33]), echo(), PATIENT));
    let mismatch = failed(&check(probe(&[0x1f, 0x23]), echo(), PATIENT));
    assert_eq!(mismatch, r##"UDP reply data mismatch at byte 1: "\x1f#""##);
    let long = failed(&check(probe(&[0x1f, 0x22, 0, 0, 0]), echo(), PATIENT));
    assert_eq!(long, "UDP reply of 5 bytes is not between 2 and 4");
    let silent = failed(&check(probe(&[1]), server::udp(|_| Vec::new()), SHORT));
    assert_eq!(silent, "UDP connection failed: no reply within 200ms");
}

#[test]
fn ping_is_answered_by_this_machine_or_says_what_is_missing() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let check = check(Probe::Ping, address.parse().unwrap(), PATIENT);
        match run(&check) {
            ProbeResult::Passed { detail, .. } => assert_eq!(detail, "echo reply"),
            ProbeResult::Failed { reason } | ProbeResult::FailedAt { reason, .. } => {
                assert!(reason.contains("set net.ipv4.ping_group_range"), "{reason}");
            }
        }
    }
}

fn dns() -> Probe {
    Probe::Dns { query_type: 1, name: "www.test".to_owned() }
}
