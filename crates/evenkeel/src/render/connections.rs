//! Connections of IPVS, from `/proc/net/ip_vs_conn`, as `ipvsadm -L -c` prints them.
//!
//! ```text
//!  Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
//!  TCP 0A000001 D8BC 0A000001 1F90 0A090001 1F91 ESTABLISHED     899
//! ```

use super::table::Names;
use evenkeel_balance::table::Protocol;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the data of persistence engines is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engines {
    /// It is.
    Shown,
    /// It is not.
    Hidden,
}

/// The list; lines that are no connections are left out.
pub fn connections(kernel: &str, names: &Names, engines: Engines) -> String {
    let mut text =
        "IPVS connection entries\npro expire state       source             virtual            destination".to_owned();
    text += match engines {
        Engines::Shown => "        pe name          pe_data\n",
        Engines::Hidden => "\n",
    };
    for line in kernel.lines().skip(1) {
        if let Some(line) = connection(line, names, engines) {
            text += &line;
        }
    }
    text
}

fn connection(line: &str, names: &Names, engines: Engines) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [protocol, client, client_port, service, service_port, server, server_port, state, expires, rest @ ..] =
        &words[..]
    else {
        return None;
    };
    let known = match *protocol {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    };
    let place =
        |host: &str, port: &str| Some(names.host_port(address(host)?, u16::from_str_radix(port, 16).ok()?, known));
    let seconds: u32 = expires.parse().ok()?;
    let expires = format!("{:02}:{:02}", seconds / 60, seconds % 60);
    let (client, service) = (place(client, client_port)?, place(service, service_port)?);
    let server = place(server, server_port)?;
    let mut text = format!("{protocol:<3} {expires:<6} {state:<11} {client:<18} {service:<18} ");
    let _ = match (engines, rest) {
        (Engines::Shown, [name, data, ..]) => writeln!(text, "{server:<18} {name:<16} {data}"),
        _ => writeln!(text, "{server}"),
    };
    Some(text)
}

/// Eight digits, or IPv6 in full with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    }
    u32::from_str_radix(text, 16).ok().map(|bits| Ipv4Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_listed_in_columns_and_what_is_none_is_left_out() {
        let kernel = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0A000001 D8BC 0A000001 1F90 0A090001 1F91 CLOSE_WAIT       59
UDP 0A000001 0000 0A000001 13C4 0A090001 13C4 UDP             360 sip    abc@example
garbage
TCP x 1 y 2 z 3 NONE 4
";
        let head = "IPVS connection entries\npro expire state       source             virtual            destination";
        let tcp = "TCP 00:59  CLOSE_WAIT  10.0.0.1:55484     10.0.0.1:8080      10.9.0.1:8081\n";
        let udp = "UDP 06:00  UDP         10.0.0.1:0         10.0.0.1:5060      10.9.0.1:5060";
        assert_eq!(connections(kernel, &Names::Numeric, Engines::Hidden), format!("{head}\n{tcp}{udp}\n"));
        assert_eq!(
            connections(kernel, &Names::Numeric, Engines::Shown),
            format!("{head}        pe name          pe_data\n{tcp}{udp}      sip              abc@example\n")
        );
    }
}
