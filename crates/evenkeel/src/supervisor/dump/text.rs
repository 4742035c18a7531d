//! How keepalived spells things in its dumps.

use super::super::script;
use evenkeel_conf::keepalived::{CommandLine, Settings};
use evenkeel_kernel::clock;
use evenkeel_vrrp::config::{Instance, VirtualAddress};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A dump under way: lines of `label = value`, indented by what they belong to.
#[derive(Debug, Default)]
pub struct Text(pub String);

impl Text {
    /// `------< TITLE >------`
    pub fn section(&mut self, title: &str) {
        self.line(0, &format!("------< {title} >------"));
    }

    /// `label = value`, `depth` blanks in.
    pub fn field(&mut self, depth: usize, label: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{:depth$}{label} = {value}", "");
    }

    /// A whole line, `depth` blanks in.
    pub fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.0, "{:depth$}{text}", "");
    }
}

/// `yes` or `no`.
pub fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// `enabled` or `disabled`.
pub fn enabled(is: bool) -> &'static str {
    if is { "enabled" } else { "disabled" }
}

/// `'/usr/bin/true' 'word'`
pub fn words<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    words.into_iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

/// User and group of a script: `0:0`. What does not exist is said so.
pub fn ids(user: &Option<(String, Option<String>)>) -> String {
    match user {
        None => format!("{}:{}", rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        Some((name, group)) => match script::identity(name, group.as_deref()) {
            Ok(user) => format!("{}:{}", user.uid, user.gid),
            Err(_) => "(none)".to_owned(),
        },
    }
}

/// `'/usr/bin/true' 'word', uid:gid 0:0`
pub fn command(command: &CommandLine, settings: &Settings) -> String {
    let user = command.user.clone().or(settings.script_user.clone());
    format!("{}, uid:gid {}", words(&command.words), ids(&user))
}

/// An address of a virtual router, which is on its interface unless it names another one.
pub fn address(address: &VirtualAddress, instance: &Instance, is_set: bool) -> String {
    let device = match (&address.device, &instance.own_link) {
        (Some(device), _) => device.clone(),
        (None, Some(link)) => format!("{}@{}", link.name, instance.interface),
        (None, None) => instance.interface.clone(),
    };
    // keepalived names the mechanism: the address is in the set of those that are dropped.
    let dropped = if instance.refuses && is_set { " nftable_set" } else { "" };
    spelled(address, &device, is_set) + dropped
}

/// An address that is there whoever is master.
pub fn own_address(address: &VirtualAddress, is_set: bool) -> String {
    spelled(address, address.device.as_deref().unwrap_or_default(), is_set)
}

/// `10.0.0.100/24 brd 10.0.0.255 dev eth0 scope global label eth0:1 set`; a single address has no length.
fn spelled(address: &VirtualAddress, device: &str, is_set: bool) -> String {
    let VirtualAddress { prefix, broadcast, label, scope, preferred, flags, untracked, peer, .. } = address;
    let ip = prefix.address();
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let mut text = match prefix.length() {
        length if length == longest => ip.to_string(),
        length => format!("{ip}/{length}"),
    };
    if let Some(peer) = peer {
        let _ = write!(text, " peer {peer}");
    }
    if let Some(broadcast) = broadcast {
        let _ = write!(text, " brd {broadcast}");
    }
    let scope = match scope {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        other => other.to_string(),
    };
    let _ = write!(text, " dev {device} scope {scope}");
    if let Some(label) = label {
        let _ = write!(text, " label {label}");
    }
    if *untracked {
        text += " no_track";
    }
    match preferred {
        Some(0) => text += " deprecated",
        Some(seconds) => drop(write!(text, " preferred_lft {seconds}")),
        // Of a prefix keepalived says that it is forever, of a single address nothing: that one is deprecated.
        None if ip.is_ipv6() => text += " preferred_lft forever",
        None => {}
    }
    for (bit, word) in [(0x10, "home"), (0x100, "mngtmpaddr"), (0x200, "noprefixroute"), (0x400, "autojoin")] {
        if flags & bit != 0 {
            let _ = write!(text, " {word}");
        }
    }
    if is_set {
        text += " set";
    }
    text
}

/// `1796062769.266798 (Mon Nov 30 18:19:29.266798 2026)`, by the time zone of this machine.
pub fn instant(at: SystemTime) -> String {
    const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (since.as_secs(), since.subsec_micros());
    let there = i64::try_from(seconds).ok().and_then(clock::local);
    let Some(time) = there else { return format!("{seconds}.{micros:06}") };
    format!(
        "{seconds}.{micros:06} ({} {} {:>2} {:02}:{:02}:{:02}.{micros:06} {})",
        WEEKDAYS[time.weekday as usize % 7],
        MONTHS[(time.month as usize + 11) % 12],
        time.day,
        time.hour,
        time.minute,
        time.second,
        time.year
    )
}

/// Six decimals, as C prints a `double`.
pub fn seconds(span: Duration) -> String {
    format!("{:.6}", span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_wire::Prefix;

    #[test]
    fn addresses_are_spelled_as_iproute_does() {
        let plain: Prefix = "10.9.0.110/32".parse().unwrap();
        assert_eq!(spelled(&VirtualAddress::new(plain), "v0", true), "10.9.0.110 dev v0 scope global set");
        let mut labelled = VirtualAddress::new("10.9.0.101/24".parse().unwrap());
        labelled.label = Some("v0:1".to_owned());
        labelled.broadcast = Some("10.9.0.255".parse().unwrap());
        labelled.scope = 253;
        let text = "10.9.0.101/24 brd 10.9.0.255 dev v2 scope link label v0:1";
        labelled.device = Some("v2".to_owned());
        assert_eq!(own_address(&labelled, false), text);
    }

    #[test]
    fn times_have_the_seconds_and_the_calendar() {
        let text = instant(UNIX_EPOCH + Duration::from_micros(1_796_062_769_266_798));
        assert!(text.starts_with("1796062769.266798 (") && text.ends_with(".266798 2026)"), "{text}");
    }
}
