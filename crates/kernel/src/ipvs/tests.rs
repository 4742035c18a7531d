//! Messages as bytes, by hand from the kernel's header. That a kernel understands them is tested in the guest (`tests/guest`).

use super::*;
use crate::netlink::message::Message;
use evenkeel_balance::table::{
    DestinationStatistics, Forward, Persistence, Scheduler, Service, ServiceFlags, Tunnel, TunnelChecksum,
};
use evenkeel_wire::Family;
use proptest::prelude::*;
use std::num::NonZeroU32;

const TCP_80: ServiceKey = ServiceKey::Address {
    protocol: Protocol::Tcp,
    address: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    port: 80,
};

/// The attributes of a message, without its header.
fn built(fill: impl FnOnce(Message) -> Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    fill(Message::new(0, 0, &[])).write(0, &mut bytes);
    bytes.split_off(16)
}

/// Bytes from words of two hexadecimal digits each; the numbers of this machine's order are little-endian ones.
fn bytes(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|word| u8::from_str_radix(word, 16).unwrap()).collect()
}

#[test]
#[cfg(target_endian = "little")]
fn a_service_is_built_as_the_kernel_wants_it() {
    let service = Service {
        scheduler: Scheduler::Sh,
        flags: ServiceFlags { scheduler_2: true, ..ServiceFlags::default() },
        persistence: Some(Persistence {
            timeout: NonZeroU32::new(300).unwrap(),
            prefix: 24,
            engine: Some("sip".to_owned()),
        }),
    };
    let record = ServiceRecord::new(TCP_80, &service);
    let expected = "
        5c 00 01 80
        06 00 01 00 02 00 00 00
        06 00 02 00 06 00 00 00
        14 00 03 00 0a 00 00 01 00 00 00 00 00 00 00 00 00 00 00 00
        06 00 04 00 00 50 00 00
        07 00 06 00 73 68 00 00
        0c 00 07 00 11 00 00 00 ff ff ff ff
        08 00 08 00 2c 01 00 00
        08 00 09 00 ff ff ff 00
        08 00 0b 00 73 69 70 00";
    assert_eq!(built(|message| service::describe(message, &record)), bytes(expected));
    assert_eq!(record.service(), Some(service));
}

#[test]
#[cfg(target_endian = "little")]
fn a_mark_has_a_family_and_no_address() {
    let key = ServiceKey::Mark { family: Family::V6, mark: NonZeroU32::new(7).unwrap() };
    let expected = "14 00 01 80  06 00 01 00 0a 00 00 00  08 00 05 00 07 00 00 00";
    assert_eq!(built(|message| service::name(message, &key)), bytes(expected));
}

#[test]
#[cfg(target_endian = "little")]
fn a_tunnel_says_its_kind_port_and_checksum() {
    let key = DestinationKey { address: "fd00::2".parse().unwrap(), port: 443 };
    let forward = Forward::Tunnel(Tunnel::Gue { port: 6080, checksum: TunnelChecksum::Remote });
    let destination = Destination { weight: 5, forward, upper_threshold: 9, lower_threshold: 4 };
    let expected = "
        60 00 02 80
        06 00 0b 00 0a 00 00 00
        14 00 01 00 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02
        06 00 02 00 01 bb 00 00
        08 00 03 00 02 00 00 00
        08 00 04 00 05 00 00 00
        08 00 05 00 09 00 00 00
        08 00 06 00 04 00 00 00
        05 00 0d 00 01 00 00 00
        06 00 0e 00 17 c0 00 00
        06 00 0f 00 02 00 00 00";
    assert_eq!(built(|message| destination::describe(message, &key, &destination)), bytes(expected));
}

#[test]
#[cfg(target_endian = "little")]
fn plain_ip_in_ip_is_said_as_old_kernels_understand_it() {
    let key = DestinationKey { address: "10.0.0.2".parse().unwrap(), port: 80 };
    let destination =
        Destination { weight: 1, forward: Forward::Tunnel(Tunnel::Ipip), upper_threshold: 0, lower_threshold: 0 };
    let message = built(|message| destination::describe(message, &key, &destination));
    let attribute_13 = [0x0d, 0x00];
    assert!(!message.chunks(4).any(|words| words[2..] == attribute_13), "{message:x?}");
}

#[test]
#[cfg(target_endian = "little")]
fn a_sync_daemon_leaves_out_what_the_kernel_is_to_choose() {
    let mut daemon = SyncDaemon {
        state: SyncState::Backup,
        interface: "eth0".to_owned(),
        sync_id: 51,
        max_length: 0,
        group: None,
        port: 0,
        ttl: 0,
    };
    let expected = "20 00 03 80  08 00 01 00 02 00 00 00  09 00 02 00 65 74 68 30 00 00 00 00  08 00 03 00 33 00 00 00";
    assert_eq!(built(|message| daemon::describe(message, &daemon)), bytes(expected));
    daemon = SyncDaemon { max_length: 1000, group: Some([224, 0, 0, 9].into()), port: 8849, ttl: 3, ..daemon };
    let described = built(|message| daemon::describe(message, &daemon));
    assert_eq!(daemon::parse(&described), Some(daemon));
}

#[test]
#[cfg(target_endian = "little")]
fn counters_of_64_bits_are_preferred_to_those_of_32() {
    let narrow = "0c 00 0a 80  08 00 01 00 01 00 00 00";
    let wide = "10 00 0c 80  0c 00 01 00 00 00 00 00 01 00 00 00";
    let head = "06 00 01 00 02 00 00 00  08 00 05 00 07 00 00 00  07 00 06 00 72 72 00 00";
    let parse = |parts: &[&str]| {
        let inner = bytes(&parts.concat());
        let message = built(|message| message.attribute(1, &inner));
        service::parse(&message).unwrap().traffic.connections
    };
    assert_eq!(parse(&[head, " ", narrow]), 1);
    assert_eq!(parse(&[head, " ", narrow, " ", wide]), 1 << 32);
    assert_eq!(parse(&[head, " ", wide, " ", narrow]), 1 << 32);
}

#[test]
fn a_scheduler_that_we_have_no_word_for_is_listed_and_not_in_the_table() {
    let service = Service { scheduler: Scheduler::Rr, flags: ServiceFlags::default(), persistence: None };
    let record = ServiceRecord { scheduler: "custom".to_owned(), ..ServiceRecord::new(TCP_80, &service) };
    let parsed = service::parse(&built(|message| service::describe(message, &record))).unwrap();
    assert_eq!(parsed.scheduler, "custom");
    assert_eq!(parsed.service(), None);
}

fn any_key() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let address = (protocol, any::<IpAddr>(), any::<u16>()).prop_map(|(protocol, address, port)| ServiceKey::Address {
        protocol,
        address,
        port,
    });
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    let mark = (family, any::<NonZeroU32>()).prop_map(|(family, mark)| ServiceKey::Mark { family, mark });
    prop_oneof![address, mark]
}

fn any_forward() -> impl Strategy<Value = Forward> {
    let checksum =
        || prop_oneof![Just(TunnelChecksum::Absent), Just(TunnelChecksum::Present), Just(TunnelChecksum::Remote)];
    prop_oneof![
        Just(Forward::Masquerade),
        Just(Forward::Direct),
        Just(Forward::Local),
        Just(Forward::Tunnel(Tunnel::Ipip)),
        (any::<u16>(), checksum()).prop_map(|(port, checksum)| Forward::Tunnel(Tunnel::Gue { port, checksum })),
        checksum().prop_map(|checksum| Forward::Tunnel(Tunnel::Gre { checksum })),
    ]
}

proptest! {
    #[test]
    fn what_was_built_is_read(
        key in any_key(),
        scheduler in 0..Scheduler::ALL.len(),
        flags in any::<[bool; 4]>(),
        persistence in proptest::option::of((any::<NonZeroU32>(), 1..=128u8, proptest::option::of("[a-z]{1,15}"))),
    ) {
        let longest = if key.family() == Family::V4 { 32 } else { 128 };
        let persistence = persistence
            .map(|(timeout, prefix, engine)| Persistence { timeout, prefix: prefix.min(longest), engine });
        let [one_packet, scheduler_1, scheduler_2, scheduler_3] = flags;
        let flags = ServiceFlags { one_packet, scheduler_1, scheduler_2, scheduler_3 };
        let service = Service { scheduler: Scheduler::ALL[scheduler], flags, persistence };
        let record = ServiceRecord::new(key, &service);
        let parsed = service::parse(&built(|message| service::describe(message, &record)));
        prop_assert_eq!(parsed.as_ref(), Some(&record));
        prop_assert_eq!(parsed.and_then(|record| record.service()), Some(service));
    }

    #[test]
    fn a_destination_that_was_built_is_read(
        address in any::<IpAddr>(),
        port in any::<u16>(),
        forward in any_forward(),
        numbers in any::<[u32; 3]>(),
    ) {
        let key = DestinationKey { address, port };
        let [weight, upper_threshold, lower_threshold] = numbers;
        let destination = Destination { weight, forward, upper_threshold, lower_threshold };
        let message = built(|message| destination::describe(message, &key, &destination));
        let record = DestinationRecord { key, destination, statistics: DestinationStatistics::default() };
        prop_assert_eq!(destination::parse(&message, Family::V4), Some(record));
    }

    #[test]
    fn any_answer_can_be_read(fields in proptest::collection::vec((0..16u16, proptest::collection::vec(any::<u8>(), 0..24)), 0..20), kind in 0..7u16) {
        let inner = built(|message| fields.iter().fold(message, |message, (kind, value)| message.attribute(*kind, value)));
        for message in [built(|message| message.attribute(kind, &inner)), inner] {
            let _ = service::parse(&message).map(|record| record.service());
            let _ = destination::parse(&message, Family::V4);
            let _ = daemon::parse(&message);
            let _ = daemon::parse_timeouts(&message);
            let _ = daemon::parse_info(&message);
            let _ = counters::traffic(&message);
        }
    }
}

#[test]
fn a_name_says_what_is_meant() {
    assert_eq!(service_name(&TCP_80), "TCP 10.0.0.1:80");
    let server = DestinationKey { address: "fd00::2".parse().unwrap(), port: 80 };
    assert_eq!(
        destination_operation("add", &TCP_80, &server),
        "add destination [fd00::2]:80 to service TCP 10.0.0.1:80"
    );
}
