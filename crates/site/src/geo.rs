//! `geo`: a value by the network of an address.

use crate::config::rewrite::Geo;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// A `geo`, compiled: a table for each length of prefix, longest first.
#[derive(Clone, Debug)]
pub(crate) struct CompiledGeo {
    v4: Vec<(u8, HashMap<u32, String>)>,
    v6: Vec<(u8, HashMap<u128, String>)>,
    ranges: Vec<(Ipv4Addr, Ipv4Addr, String)>,
    default: String,
}

impl CompiledGeo {
    pub(crate) fn new(geo: &Geo) -> CompiledGeo {
        let mut ranges = geo.ranges.clone();
        ranges.sort();
        let mut compiled = CompiledGeo { v4: Vec::new(), v6: Vec::new(), ranges, default: geo.default.clone() };
        for (network, value) in &geo.networks {
            let length = network.length();
            match network.address() {
                IpAddr::V4(address) => {
                    let key = bits_of_v4(address.to_bits(), length);
                    table(&mut compiled.v4, length).insert(key, value.clone());
                }
                IpAddr::V6(address) => {
                    let key = bits_of_v6(address.to_bits(), length);
                    table(&mut compiled.v6, length).insert(key, value.clone());
                }
            }
        }
        compiled.v4.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        compiled.v6.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        compiled
    }

    /// The value for an address in text; what is none is counted as 255.255.255.255, as nginx counts it.
    pub(crate) fn find(&self, address: &[u8]) -> &str {
        let address = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok());
        let found = match address.unwrap_or(IpAddr::V4(Ipv4Addr::BROADCAST)) {
            IpAddr::V4(address) => self.find_v4(address),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => self.find_v4(address),
                None => {
                    let bits = address.to_bits();
                    self.v6.iter().find_map(|(length, table)| table.get(&bits_of_v6(bits, *length)))
                }
            },
        };
        found.unwrap_or(&self.default)
    }

    fn find_v4(&self, address: Ipv4Addr) -> Option<&String> {
        let after = self.ranges.partition_point(|(from, _, _)| *from <= address);
        let range = after.checked_sub(1).map(|at| &self.ranges[at]).filter(|(_, to, _)| address <= *to);
        let bits = address.to_bits();
        let network = || self.v4.iter().find_map(|(length, table)| table.get(&bits_of_v4(bits, *length)));
        range.map(|(_, _, value)| value).or_else(network)
    }
}

fn table<K>(tables: &mut Vec<(u8, HashMap<K, String>)>, length: u8) -> &mut HashMap<K, String> {
    let at = tables.iter().position(|(known, _)| *known == length).unwrap_or_else(|| {
        tables.push((length, HashMap::new()));
        tables.len() - 1
    });
    &mut tables[at].1
}

fn bits_of_v4(bits: u32, length: u8) -> u32 {
    bits & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn bits_of_v6(bits: u128, length: u8) -> u128 {
    bits & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_network_has_an_address() {
        let network = |text: &str, value: &str| (text.parse().expect("a network"), value.to_owned());
        let geo = CompiledGeo::new(&Geo {
            default: "none".to_owned(),
            networks: vec![
                network("10.0.0.0/8", "ten"),
                network("10.1.0.0/16", "one"),
                network("10.1.2.3/32", "host"),
                network("2001:db8::/32", "six"),
            ],
            ranges: Vec::new(),
        });
        for (address, value) in [
            ("10.2.0.1", "ten"),
            ("10.1.0.1", "one"),
            ("10.1.2.3", "host"),
            ("::ffff:10.1.2.3", "host"),
            ("2001:db8::1", "six"),
            ("2001:db9::1", "none"),
            ("unix:", "none"),
        ] {
            assert_eq!(geo.find(address.as_bytes()), value, "{address}");
        }
    }
}
