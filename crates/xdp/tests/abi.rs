//! The layouts in Rust are those of the object.
#![allow(missing_docs, clippy::unwrap_used)]

use evenkeel_xdp::abi;
use std::collections::BTreeMap;
use std::mem::offset_of;

/// A structure in the object's type information: its size, and where its members begin.
type Layouts = BTreeMap<String, (usize, BTreeMap<String, usize>)>;

macro_rules! check {
    ($layouts:expr, $name:literal, $kind:ty, $($member:ident),+) => {
        let (size, members) = &$layouts[$name];
        assert_eq!(size_of::<$kind>(), *size, "size of {}", $name);
        let ours: BTreeMap<String, usize> =
            [$((stringify!($member).to_owned(), offset_of!($kind, $member))),+].into_iter().collect();
        assert_eq!(&ours, members, "members of {}", $name);
    };
}

#[test]
fn both_sides_agree_on_every_layout() {
    let layouts = layouts(section(evenkeel_xdp::object(), ".BTF"));
    assert_eq!(size_of::<abi::Address>(), layouts["address"].0);
    check!(layouts, "service_key", abi::ServiceKey, address, port, protocol, family);
    check!(layouts, "service", abi::Service, id, flags, choice, scheduler, prefix, scheduler_flags, persistence);
    check!(
        layouts,
        "server",
        abi::Server,
        service,
        weight,
        upper,
        lower,
        address,
        source,
        ifindex,
        port,
        tunnel_port,
        mac,
        source_mac,
        family,
        method,
        flags,
        pad,
        mtu
    );
    check!(layouts, "load", abi::Load, active, inactive, full, pad);
    check!(
        layouts,
        "flow_key",
        abi::FlowKey,
        source,
        destination,
        source_port,
        destination_port,
        protocol,
        family,
        pad
    );
    check!(layouts, "flow", abi::Flow, seen, server, state);
    check!(layouts, "reply", abi::Reply, seen, address, service, server, ifindex, port, mac, source_mac, pad);
    check!(layouts, "client_key", abi::ClientKey, service, address);
    check!(layouts, "client", abi::Client, until, server, pad);
    check!(layouts, "counts", abi::Counts, connections, packets_in, bytes_in, packets_out, bytes_out);
    check!(
        layouts,
        "settings",
        abi::Settings,
        abi,
        next_id,
        tcp_timeout,
        closing_timeout,
        udp_timeout,
        n_directors,
        pad
    );
    check!(layouts, "mac_key", abi::MacKey, mac, pad);
}

#[test]
fn the_versions_agree() {
    let header = include_str!("../src/bpf/abi.h");
    assert!(header.contains(&format!("#define ABI_VERSION {}\n", abi::VERSION)));
}

#[test]
fn every_event_has_a_name() {
    let header = include_str!("../src/bpf/abi.h");
    let events = header.lines().filter(|line| line.starts_with("\tEVENT_")).count();
    assert_eq!(events, abi::EVENTS.len());
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

fn text_at(bytes: &[u8], at: usize) -> String {
    let end = bytes[at..].iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8(bytes[at..at + end].to_vec()).unwrap()
}

/// A section of a 64-bit ELF file.
fn section<'a>(elf: &'a [u8], name: &str) -> &'a [u8] {
    let (table, entry, n, names) = (u64_at(elf, 40), u16_at(elf, 58), u16_at(elf, 60), u16_at(elf, 62));
    let header = |index: usize| &elf[table + index * entry..];
    let names = &elf[u64_at(header(names), 24)..];
    let found = (0..n).map(header).find(|header| text_at(names, u32_at(header, 0)) == name).unwrap();
    &elf[u64_at(found, 24)..][..u64_at(found, 32)]
}

/// Reads BTF (the kernel's Documentation/bpf/btf.rst), of which only structures matter here.
fn layouts(btf: &[u8]) -> Layouts {
    let header = u32_at(btf, 4);
    let types = &btf[header + u32_at(btf, 8)..][..u32_at(btf, 12)];
    let texts = &btf[header + u32_at(btf, 16)..];
    let mut layouts = Layouts::new();
    let mut at = 0;
    while at < types.len() {
        let (name, info, size) = (u32_at(types, at), u32_at(types, at + 4), u32_at(types, at + 8));
        let (kind, n) = (info >> 24 & 31, info & 0xffff);
        at += 12;
        let members = at;
        at += match kind {
            1 | 14 | 17 => 4,
            3 => 12,
            4 | 5 | 15 => 12 * n,
            6 | 13 => 8 * n,
            19 => 12 * n,
            _ => 0,
        };
        if kind != 4 {
            continue;
        }
        let member = |index: usize| {
            let at = members + 12 * index;
            (text_at(texts, u32_at(types, at)), (u32_at(types, at + 8) & 0xff_ffff) / 8)
        };
        layouts.insert(text_at(texts, name), (size, (0..n).map(member).collect()));
    }
    layouts
}
