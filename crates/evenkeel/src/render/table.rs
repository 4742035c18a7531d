//! Services and destinations of IPVS, as `ipvsadm` prints and saves them. The columns were read off its output.

use evenkeel_balance::table::{DestinationKey, Forward, Protocol, ServiceKey, Tunnel, TunnelChecksum};
use evenkeel_kernel::ipvs::{DestinationRecord, Info, Mask, ServiceRecord, SyncDaemon, SyncState, Timeouts};
use evenkeel_wire::Family;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;

/// A service with its destinations.
pub type Listed = (ServiceRecord, Vec<DestinationRecord>);

/// What is shown of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Forwarding method, weight and connections.
    #[default]
    Weights,
    /// The same and the kind of tunnel.
    Tunnels,
    /// Counters.
    Statistics,
    /// Counters of a second.
    Rates,
    /// Thresholds.
    Thresholds,
    /// Connections held by persistence.
    Persistent,
}

/// How numbers and addresses are written.
pub struct Style<'a> {
    /// What is shown.
    pub view: View,
    /// Large counters in full.
    pub exact: bool,
    /// Names or numbers.
    pub names: &'a Names,
}

/// Names of addresses and ports.
pub enum Names {
    /// None: numbers.
    Numeric,
    /// Those of the system, ports by number and protocol.
    Known(HashMap<(u16, String), String>),
}

impl Names {
    /// The system's names. Without a list of services ports are numbers.
    pub fn of_system() -> Self {
        Names::Known(services(&std::fs::read_to_string("/etc/services").unwrap_or_default()))
    }

    /// `10.0.0.1:80`, `[fd00::1]:http`. Ports of services by mark have no protocol, hence no name.
    pub fn host_port(&self, address: IpAddr, port: u16, protocol: Option<Protocol>) -> String {
        let host = match self {
            Names::Numeric => None,
            Names::Known(_) => evenkeel_kernel::names::host_name(address),
        };
        let host = host.unwrap_or_else(|| address.to_string());
        let port = self.port(port, protocol).unwrap_or_else(|| port.to_string());
        match address {
            IpAddr::V4(_) => format!("{host}:{port}"),
            IpAddr::V6(_) => format!("[{host}]:{port}"),
        }
    }

    fn port(&self, port: u16, protocol: Option<Protocol>) -> Option<String> {
        let (Names::Known(services), Some(protocol)) = (self, protocol) else {
            return None;
        };
        services.get(&(port, protocol_name(protocol).to_ascii_lowercase())).cloned()
    }
}

/// `http 80/tcp www # comment`: the first name of a port counts.
fn services(text: &str) -> HashMap<(u16, String), String> {
    let mut services = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let (Some(name), Some(what)) = (words.next(), words.next()) else {
            continue;
        };
        if let Some((port, protocol)) = what.split_once('/')
            && let Ok(port) = port.parse()
        {
            services.entry((port, protocol.to_owned())).or_insert_with(|| name.to_owned());
        }
    }
    services
}

/// `IP Virtual Server version 1.2.1 (size=4096)`.
pub fn version(info: &Info) -> String {
    let [_, major, minor, patch] = info.version.to_be_bytes();
    format!("IP Virtual Server version {major}.{minor}.{patch} (size={})\n", info.table_size)
}

/// The names of the columns.
pub fn header(view: View) -> String {
    let columns = |names: [&str; 5]| {
        let [a, b, c, d, e] = names;
        format!("{:<33} {a:>8} {b:>8} {c:>8} {d:>8} {e:>8}\n  -> RemoteAddress:Port\n", "Prot LocalAddress:Port")
    };
    let first = "Prot LocalAddress:Port Scheduler Flags\n";
    match view {
        View::Weights => format!("{first}  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"),
        View::Tunnels => {
            format!("{first}  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n")
        }
        View::Statistics => columns(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
        View::Rates => columns(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        View::Thresholds => format!(
            "{:<33} {:<10} {:<10} {:<10} {:<10}\n  -> RemoteAddress:Port\n",
            "Prot LocalAddress:Port", "Uthreshold", "Lthreshold", "ActiveConn", "InActConn"
        ),
        View::Persistent => format!(
            "{:<33} {:<9} {:<11} {:<10} {:<10}\n  -> RemoteAddress:Port\n",
            "Prot LocalAddress:Port", "Weight", "PersistConn", "ActiveConn", "InActConn"
        ),
    }
}

/// A service and its destinations, a line each.
pub fn service((record, destinations): &Listed, style: &Style<'_>) -> String {
    let name = match record.key {
        ServiceKey::Address { protocol, address, port } => {
            let place = style.names.host_port(address, port, Some(protocol));
            format!("{:<4} {place}", protocol_name(protocol))
        }
        ServiceKey::Mark { family: Family::V4, mark } => format!("FWM  {mark}"),
        ServiceKey::Mark { family: Family::V6, mark } => format!("FWM  {mark} IPv6"),
    };
    let traffic = &record.traffic;
    let mut text = match style.view {
        View::Statistics => {
            let numbers =
                [traffic.connections, traffic.packets_in, traffic.packets_out, traffic.bytes_in, traffic.bytes_out];
            format!("{name:<33}{}\n", large_numbers(&numbers, style.exact))
        }
        View::Rates => {
            let numbers = [
                traffic.connections_rate,
                traffic.packets_in_rate,
                traffic.packets_out_rate,
                traffic.bytes_in_rate,
                traffic.bytes_out_rate,
            ];
            format!("{name:<33}{}\n", large_numbers(&numbers, style.exact))
        }
        View::Weights | View::Tunnels | View::Thresholds | View::Persistent => {
            format!("{name} {}{}\n", record.scheduler, flags_of(record))
        }
    };
    for destination in destinations {
        text += &destination_line(destination, protocol_of(&record.key), style);
    }
    text
}

/// ` (sh-port) persistent 60 mask 255.255.255.0 pe sip ops`.
fn flags_of(record: &ServiceRecord) -> String {
    let mut text = String::new();
    let flags = scheduler_flags(record);
    if !flags.is_empty() {
        let _ = write!(text, " ({flags})");
    }
    if let Some(persistence) = &record.persistence {
        let _ = write!(text, " persistent {}", persistence.timeout);
        if let Some(mask) = mask(persistence.mask) {
            let _ = write!(text, " mask {mask}");
        }
        if let Some(engine) = &record.engine {
            let _ = write!(text, " pe {engine}");
        }
    }
    if record.flags.one_packet {
        text += " ops";
    }
    text
}

fn destination_line(record: &DestinationRecord, protocol: Option<Protocol>, style: &Style<'_>) -> String {
    let name = style.names.host_port(record.key.address, record.key.port, protocol);
    let (destination, counted) = (&record.destination, &record.statistics);
    let traffic = &counted.traffic;
    let (active, inactive, weight) = (counted.active, counted.inactive, destination.weight);
    let method = match destination.forward {
        Forward::Masquerade => "Masq",
        Forward::Direct => "Route",
        Forward::Tunnel(_) => "Tunnel",
        Forward::Local => "Local",
    };
    match style.view {
        View::Weights => {
            format!("  -> {name:<28} {method:<7} {weight:<6} {active:<10} {inactive:<10}\n")
        }
        View::Tunnels => {
            let tunnel = tunnel_info(destination.forward);
            format!("  -> {name:<28} {method:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}\n")
        }
        View::Statistics => {
            let numbers =
                [traffic.connections, traffic.packets_in, traffic.packets_out, traffic.bytes_in, traffic.bytes_out];
            format!("  -> {name:<28}{}\n", large_numbers(&numbers, style.exact))
        }
        View::Rates => format!(
            "  -> {name:<28} {:>8} {:>8} {:>8}{}\n",
            traffic.connections_rate,
            traffic.packets_in_rate,
            traffic.packets_out_rate,
            large_numbers(&[traffic.bytes_in_rate, traffic.bytes_out_rate], style.exact)
        ),
        View::Thresholds => format!(
            "  -> {name:<28} {:<10} {:<10} {active:<10} {inactive:<10}\n",
            destination.upper_threshold, destination.lower_threshold
        ),
        View::Persistent => {
            format!("  -> {name:<28} {weight:<9} {:<11} {active:<10} {inactive:<10}\n", counted.persistent)
        }
    }
}

/// `n/a`, `ipip`, `gue:6080:+c`, `gre:-c`.
fn tunnel_info(forward: Forward) -> String {
    let short = |checksum| match checksum {
        TunnelChecksum::Absent => "-c",
        TunnelChecksum::Present => "+c",
        TunnelChecksum::Remote => "r+c",
    };
    match forward {
        Forward::Tunnel(Tunnel::Ipip) => "ipip".to_owned(),
        Forward::Tunnel(Tunnel::Gue { port, checksum }) => format!("gue:{port}:{}", short(checksum)),
        Forward::Tunnel(Tunnel::Gre { checksum }) => format!("gre:{}", short(checksum)),
        Forward::Masquerade | Forward::Direct | Forward::Local => "n/a".to_owned(),
    }
}

/// Columns of nine. Numbers of more than eight digits are cut to thousands, millions and so on.
fn large_numbers(numbers: &[u64], exact: bool) -> String {
    let mut text = String::new();
    for &number in numbers {
        let _ = match number {
            0..100_000_000 => write!(text, "{number:>9}"),
            100_000_000.. if exact => write!(text, " {number}"),
            100_000_000..100_000_000_000 => write!(text, "{:>8}K", number / 1000),
            100_000_000_000..100_000_000_000_000 => write!(text, "{:>8}M", number / 1_000_000),
            100_000_000_000_000..100_000_000_000_000_000 => write!(text, "{:>8}G", number / 1_000_000_000),
            _ => write!(text, "{:>8}T", number / 1_000_000_000_000),
        };
    }
    text
}

/// A service and its destinations as options that make them.
pub fn saved((record, destinations): &Listed, names: &Names) -> String {
    let place = match record.key {
        ServiceKey::Address { protocol, address, port } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", names.host_port(address, port, Some(protocol)))
        }
        ServiceKey::Mark { family: Family::V4, mark } => format!("-f {mark}"),
        ServiceKey::Mark { family: Family::V6, mark } => format!("-f {mark} -6"),
    };
    let mut text = format!("-A {place} -s {}", record.scheduler);
    if let Some(persistence) = &record.persistence {
        let _ = write!(text, " -p {}", persistence.timeout);
        if let Some(mask) = mask(persistence.mask) {
            let _ = write!(text, " -M {mask}");
        }
    }
    if let Some(engine) = &record.engine {
        let _ = write!(text, " --pe {engine}");
    }
    if record.flags.one_packet {
        text += " -o";
    }
    let flags = scheduler_flags(record);
    if !flags.is_empty() {
        let _ = write!(text, " -b {flags}");
    }
    text.push('\n');
    for destination in destinations {
        let DestinationKey { address, port } = destination.key;
        let server = names.host_port(address, port, protocol_of(&record.key));
        let (method, more) = saved_method(destination.destination.forward);
        let _ = writeln!(text, "-a {place} -r {server} {method} -w {}{more}", destination.destination.weight);
    }
    text
}

fn saved_method(forward: Forward) -> (&'static str, String) {
    let long = |checksum| match checksum {
        TunnelChecksum::Absent => "--tun-nocsum",
        TunnelChecksum::Present => "--tun-csum",
        TunnelChecksum::Remote => "--tun-remcsum",
    };
    match forward {
        Forward::Masquerade => ("-m", String::new()),
        // A local server has no option: whatever it is added with, the kernel finds out again.
        Forward::Direct | Forward::Local => ("-g", String::new()),
        Forward::Tunnel(Tunnel::Ipip) => ("-i", " --tun-type ipip".to_owned()),
        Forward::Tunnel(Tunnel::Gue { port, checksum }) => {
            ("-i", format!(" --tun-type gue --tun-port {port} {}", long(checksum)))
        }
        Forward::Tunnel(Tunnel::Gre { checksum }) => ("-i", format!(" --tun-type gre {}", long(checksum))),
    }
}

/// Names of the scheduler's flags. The two schedulers that use them have two, and no word for the third.
fn scheduler_flags(record: &ServiceRecord) -> String {
    let names = match record.scheduler.as_str() {
        "sh" => ["sh-fallback", "sh-port", ""],
        "mh" => ["mh-fallback", "mh-port", ""],
        _ => ["flag-1", "flag-2", "flag-3"],
    };
    let flags = [record.flags.scheduler_1, record.flags.scheduler_2, record.flags.scheduler_3];
    let set = names.into_iter().zip(flags).filter(|(name, on)| *on && !name.is_empty());
    set.map(|(name, _)| name).collect::<Vec<_>>().join(",")
}

/// A mask that is not simply one client.
fn mask(mask: Mask) -> Option<String> {
    match mask {
        Mask::V4(mask) => (!mask.is_broadcast()).then(|| mask.to_string()),
        Mask::V6(length) => (length != 128).then(|| length.to_string()),
    }
}

/// `TCP`.
pub fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

fn protocol_of(key: &ServiceKey) -> Option<Protocol> {
    match key {
        ServiceKey::Address { protocol, .. } => Some(*protocol),
        ServiceKey::Mark { .. } => None,
    }
}

/// `Timeout (tcp tcpfin udp): 900 120 300`.
pub fn timeouts(timeouts: &Timeouts) -> String {
    format!("Timeout (tcp tcpfin udp): {} {} {}\n", timeouts.tcp, timeouts.tcp_fin, timeouts.udp)
}

/// A line for each sync daemon.
pub fn sync_daemons(daemons: &[SyncDaemon]) -> String {
    let mut text = String::new();
    for daemon in daemons {
        let state = match daemon.state {
            SyncState::Master => "master",
            SyncState::Backup => "backup",
        };
        let _ = write!(text, "{state} sync daemon (mcast={}, syncid={}", daemon.interface, daemon.sync_id);
        if daemon.max_length > 0 {
            let _ = write!(text, ", maxlen={}", daemon.max_length);
        }
        if let Some(group) = daemon.group {
            let _ = write!(text, ", group={group}");
        }
        if daemon.port > 0 {
            let _ = write!(text, ", port={}", daemon.port);
        }
        if daemon.ttl > 0 {
            let _ = write!(text, ", ttl={}", daemon.ttl);
        }
        text += ")\n";
    }
    text
}

/// Sorts as `ipvsadm` does, which compares the parts of addresses by the sign of their difference in 32 bits: what is more
/// than half of all addresses away comes before. With this "order" the outcome depends on the way of sorting, so that is
/// its own, too: halves are sorted and merged, the first half first where equal.
pub fn sort(listed: &mut Vec<Listed>) {
    let services = merge_sort(std::mem::take(listed), &|(a, _), (b, _)| compare(&service_words(a), &service_words(b)));
    *listed = services;
    for (_, destinations) in listed {
        *destinations = merge_sort(std::mem::take(destinations), &|a, b| {
            compare(&place_words(a.key.address, a.key.port), &place_words(b.key.address, b.key.port))
        });
    }
}

/// Mark, family, protocol, address, port.
fn service_words(record: &ServiceRecord) -> Vec<u32> {
    let (mark, protocol, address, port) = match record.key {
        ServiceKey::Mark { mark, .. } => (mark.get(), 0, IpAddr::from([0; 4]), 0),
        ServiceKey::Address { protocol, address, port } => (0, u32::from(protocol.number()), address, port),
    };
    let mut words = vec![mark, u32::from(record.key.family() == Family::V6), protocol];
    words.extend(place_words(address, port));
    words
}

fn place_words(address: IpAddr, port: u16) -> [u32; 5] {
    let [a, b, c, d] = match address {
        IpAddr::V4(address) => [address.to_bits(), 0, 0, 0],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
        }
    };
    [a, b, c, d, u32::from(port)]
}

fn compare(a: &[u32], b: &[u32]) -> i32 {
    let differences = a.iter().zip(b).map(|(a, b)| a.wrapping_sub(*b) as i32);
    differences.into_iter().find(|difference| *difference != 0).unwrap_or(0)
}

fn merge_sort<T>(mut first: Vec<T>, compare: &impl Fn(&T, &T) -> i32) -> Vec<T> {
    if first.len() < 2 {
        return first;
    }
    let second = first.split_off(first.len() / 2);
    let mut first = merge_sort(first, compare).into_iter().peekable();
    let mut second = merge_sort(second, compare).into_iter().peekable();
    let mut sorted = Vec::with_capacity(first.len() + second.len());
    loop {
        let from_first = match (first.peek(), second.peek()) {
            (Some(a), Some(b)) => compare(a, b) <= 0,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return sorted,
        };
        sorted.extend(if from_first { first.next() } else { second.next() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_keep_their_columns_unless_they_must_be_exact() {
        for (number, short, exact) in [
            (0, "        0", "        0"),
            (99_999_999, " 99999999", " 99999999"),
            (100_000_000, "  100000K", " 100000000"),
            (99_999_999_999, "99999999K", " 99999999999"),
            (100_000_000_000, "  100000M", " 100000000000"),
            (u64::MAX, "18446744T", " 18446744073709551615"),
        ] {
            assert_eq!(large_numbers(&[number], false), short);
            assert_eq!(large_numbers(&[number], true), exact);
        }
    }

    #[test]
    fn ports_have_the_first_name_that_stands_for_them() {
        let services =
            services("http 80/tcp www # WorldWideWeb\nhttp-again 80/tcp\n# x 1/tcp\nsip 5060/udp\nbad x/tcp\n");
        let name = |port, protocol: &str| services.get(&(port, protocol.to_owned())).map(String::as_str);
        assert_eq!(
            [name(80, "tcp"), name(80, "udp"), name(5060, "udp"), name(1, "tcp")],
            [Some("http"), None, Some("sip"), None]
        );
    }

    #[test]
    fn addresses_more_than_half_of_all_apart_come_in_the_other_order() {
        let words = |text: &str| place_words(text.parse().unwrap(), 80);
        assert!(compare(&words("9.0.0.1"), &words("10.0.0.1")) < 0);
        assert!(compare(&words("200.0.0.1"), &words("9.0.0.1")) < 0);
        assert!(compare(&words("fe00::1"), &words("1::9")) < 0);
        let sorted = merge_sort(vec![3u32, 1, 2, 1], &|a, b| compare(&[*a], &[*b]));
        assert_eq!(sorted, [1, 1, 2, 3]);
    }
}
