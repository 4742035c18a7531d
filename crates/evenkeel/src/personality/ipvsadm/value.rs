//! Values of options.

use super::Failure;
use evenkeel_balance::table::Protocol;
use evenkeel_kernel::ipvs::Mask;
use evenkeel_wire::Family;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// Longest timeout in seconds: 31 days.
const LONGEST_TIMEOUT: u32 = 86400 * 31;

/// A decimal number within limits, as `strtol` reads it: blanks and a sign may stand before it, nothing after.
pub fn number(text: &str, least: u32, most: u32) -> Option<u32> {
    let number = text.trim_start().parse::<i64>().ok().filter(|_| !text.is_empty())?;
    u32::try_from(number).ok().filter(|number| (least..=most).contains(number))
}

/// A number of seconds.
pub fn timeout(text: &str, least: u32) -> Result<u32, Failure> {
    number(text, least, LONGEST_TIMEOUT)
        .ok_or_else(|| Failure::Wrong(format!("invalid timeout value `{text}' specified")))
}

/// `host`, `host:port`, `[address]:port`; the port is a number or a name. `None` for what cannot be, and for names that
/// nobody knows.
pub fn host_port(text: &str, protocol: Option<Protocol>) -> Option<(IpAddr, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port_text) = rest.split_once("]:")?;
        return Some((address.parse::<Ipv6Addr>().ok()?.into(), Some(port(port_text, protocol)?)));
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some((address.into(), None));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, text)) => (name, Some(port(text, protocol)?)),
        None => (text, None),
    };
    Some((host(name)?.into(), port))
}

fn host(name: &str) -> Option<Ipv4Addr> {
    let resolved = |name: &str| {
        let addresses = (name, 0).to_socket_addrs().ok()?;
        addresses.into_iter().find_map(|address| match address.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    };
    inet_aton(name).or_else(|| resolved(name))
}

fn port(text: &str, protocol: Option<Protocol>) -> Option<u16> {
    if let Some(number) = number(text, 0, 65535) {
        return u16::try_from(number).ok();
    }
    let protocol = match protocol {
        Some(Protocol::Udp) => "udp",
        Some(Protocol::Sctp) => "sctp",
        _ => "tcp",
    };
    let services = std::fs::read_to_string("/etc/services").ok()?;
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let name = words.next()?;
        let (port, of) = words.next()?.split_once('/')?;
        (of == protocol && (name == text || words.any(|alias| alias == text))).then(|| port.parse().ok())?
    })
}

/// `255.255.255.0`; also `16`, which is 0.0.0.16, as the C library reads addresses.
pub fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let part = |text: &str| match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
        None if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse().ok(),
        None => None,
    };
    let parts: Vec<u32> = text.split('.').map(part).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) {
        return None;
    }
    // The last part fills what the others leave.
    let free = 32 - 8 * first.len() as u32;
    if free < 32 && *last >= 1 << free {
        return None;
    }
    let high = first.iter().zip([24u32, 16, 8]).fold(0, |sum, (part, shift)| sum | part << shift);
    Some(Ipv4Addr::from_bits(high | last))
}

/// `-M`.
pub fn mask(text: &str, family: Family) -> Result<Mask, Failure> {
    match family {
        Family::V4 => inet_aton(text)
            .map(Mask::V4)
            .ok_or_else(|| Failure::wrong("illegal virtual server persistent mask specified")),
        Family::V6 => {
            number(text, 1, 128).map(Mask::V6).ok_or_else(|| Failure::wrong("illegal ipv6 netmask specified"))
        }
    }
}

/// `--mcast-group`.
pub fn group(text: &str) -> Result<IpAddr, Failure> {
    if text.contains(':') {
        let address = text.parse::<Ipv6Addr>().ok().filter(Ipv6Addr::is_multicast);
        return address.map(IpAddr::V6).ok_or_else(|| Failure::Wrong(format!("invalid IPv6 mcast-group `{text}'")));
    }
    let address = text.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_multicast);
    address.map(IpAddr::V4).ok_or_else(|| Failure::Wrong(format!("invalid IPv4 mcast-group `{text}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_and_within_limits() {
        for (text, expected) in [
            ("5", Some(5)),
            (" 5", Some(5)),
            ("010", Some(10)),
            ("+5", Some(5)),
            ("5 ", None),
            ("", None),
            ("0x5", None),
            ("-1", None),
            ("11", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(number(text, 0, 10), expected, "{text:?}");
        }
    }

    #[test]
    fn places_are_read_in_every_form() {
        let read = |text| host_port(text, Some(Protocol::Tcp)).map(|(host, port)| (host.to_string(), port));
        let place = |host: &str, port| Some((host.to_owned(), port));
        for (text, expected) in [
            ("10.0.0.1:80", place("10.0.0.1", Some(80))),
            ("10.0.0.1", place("10.0.0.1", None)),
            ("[fd00::1]:80", place("fd00::1", Some(80))),
            ("fd00::1", place("fd00::1", None)),
            ("fd00::7:80", place("fd00::7:80", None)),
            ("[fd00::1]", None),
            ("[fd00::1", None),
            ("10.0.0.1:0x50", None),
            ("10.0.0.1:65536", None),
            ("10.0.0.1:", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn masks_of_ipv4_are_read_as_addresses() {
        for (text, expected) in [
            ("255.255.255.0", Some([255, 255, 255, 0])),
            ("16", Some([0, 0, 0, 16])),
            ("10.1", Some([10, 0, 0, 1])),
            ("0x10.010.1", Some([16, 8, 0, 1])),
            ("256.1", None),
            ("1.2.3.256", None),
            ("1.2.3.4.5", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(inet_aton(text), expected.map(Ipv4Addr::from), "{text}");
        }
    }
}
