//! The virtual routers: `VRRP Topology`, `VRRP Scripts`, `Interfaces`.

use super::Facts;
use super::text::{Text, address, command, enabled, instant, yes};
use super::{routing, tracks};
use evenkeel_conf::keepalived::{InstanceSettings, NotifyCommands, Settings};
use evenkeel_kernel::netlink;
use evenkeel_vrrp::config::{Authentication, Instance, LinkKind, Preempt, TrackTarget, Version};
use evenkeel_vrrp::{Config, InstanceStatus, StateName};
use evenkeel_wire::Family;
use std::net::IpAddr;
use std::time::SystemTime;

/// Writes all sections about virtual routers.
pub fn write(out: &mut Text, facts: &Facts) {
    let (settings, config) = (&facts.settings, &facts.vrrp);
    statics(out, config);
    out.section("VRRP Topology");
    for (id, instance) in config.instances.iter().enumerate() {
        let extras = settings.instances.get(id).cloned().unwrap_or_default();
        let status = facts.status.instances.iter().find(|status| status.id.0 as usize == id);
        one(out, instance, &extras, status, facts);
    }
    tracks::write(out, facts);
    interfaces(out, config, &facts.interfaces);
}

/// keepalived's word for a state.
pub fn state(state: StateName) -> &'static str {
    match state {
        StateName::Init | StateName::Stopped => "INIT",
        StateName::Backup => "BACKUP",
        StateName::Master | StateName::Leaving => "MASTER",
        StateName::Fault => "FAULT",
    }
}

fn one(out: &mut Text, instance: &Instance, extras: &InstanceSettings, status: Option<&InstanceStatus>, facts: &Facts) {
    out.field(1, "VRRP Instance", &instance.name);
    let is_v3 = instance.version == Version::V3;
    out.field(3, "VRRP Version", if is_v3 { 3 } else { 2 });
    if let Some(group) = facts.status.groups.iter().find(|group| group.members.contains(&instance.name)) {
        out.field(3, "Sync group", &group.name);
    }
    if instance.family() == Family::V6 {
        out.line(3, "Using Native IPv6");
    }
    let now = status.map_or(StateName::Init, |status| status.state);
    out.field(3, "State", state(now));
    let master = status.filter(|_| now == StateName::Backup).and_then(|status| status.peer.as_ref());
    let master_interval = status.map(|status| status.master_interval).unwrap_or_default();
    if let Some(master) = master {
        out.field(3, "Master router", master.address);
        out.field(3, "Master priority", master.priority);
        if is_v3 {
            out.field(3, "Master advert int", format!("{:.2} sec", master_interval.as_secs_f64()));
        }
    }
    flags(out, instance, extras);
    out.field(3, "Wantstate", state(now));
    out.field(3, "Number of config faults", 0);
    out.field(3, "Number of interface and track script faults", status.map_or(0, |status| status.n_faults));
    out.field(3, "Number of track scripts init", status.map_or(0, |status| status.n_awaited));
    timing(out, status, facts.at);
    own_interface(out, instance, facts);
    if instance.dont_track_primary {
        out.line(3, "VRRP interface tracking disabled");
    }
    if extras.skip_check_adv_addr {
        out.line(3, "Skip checking advert IP addresses");
    }
    if extras.strict {
        out.line(3, "Enforcing strict VRRP compliance");
    }
    let configured = if instance.source.is_some() { " (from configuration)" } else { "" };
    if let Some(source) = status.and_then(|status| status.source) {
        out.field(3, "Using src_ip", format!("{source}{configured}"));
    }
    if instance.peers.is_empty() {
        match facts.interfaces.iter().find(|interface| interface.name == instance.speaks_on()) {
            Some(interface) if instance.group.is_ipv6() => {
                out.line(3, &format!("Multicast address {}, ifindex {}", instance.group, interface.index));
            }
            Some(_) | None => out.line(3, &format!("Multicast address {}", instance.group)),
        }
    }
    announcements(out, instance);
    out.field(3, "Virtual Router ID", instance.vrid.get());
    out.field(3, "Priority", instance.priority.get());
    let effective = status.map_or(instance.priority.get(), |status| status.effective_priority);
    out.field(3, "Effective priority", effective);
    out.field(3, "Total priority", effective);
    let interval = instance.advert_interval.duration();
    if is_v3 {
        out.field(3, "Advert interval", format!("{} milli-sec", interval.as_millis()));
        if master.is_some() {
            out.field(3, "Master advert interval", format!("{} milli-sec", master_interval.as_millis()));
        }
    } else {
        out.field(3, "Advert interval", format!("{} sec", interval.as_secs()));
    }
    out.field(3, "Accept", enabled(!instance.refuses));
    out.field(3, "Preempt", enabled(instance.preempt != Preempt::Never));
    if let Preempt::After(delay) = instance.preempt {
        out.field(3, "Preempt delay", format!("{} secs", delay.as_secs_f64()));
    }
    out.field(3, "Promote_secondaries", enabled(extras.promote_secondaries));
    if !is_v3 {
        match instance.authentication {
            Authentication::Password(_) => {
                out.field(3, "Authentication type", "SIMPLE_PASSWORD");
                out.field(3, "Password", "********");
            }
            // Debian's keepalived leaves the password of this one out.
            Authentication::Header(_) => out.field(3, "Authentication type", "IPSEC_AH"),
            Authentication::None | Authentication::Hmac(_) => out.field(3, "Authentication type", "none"),
        }
    }
    addresses(out, instance, status.is_some_and(|status| status.holding));
    peers(out, instance);
    list(out, "Virtual Routes :", instance.routes.iter().map(routing::route).collect());
    list(out, "Virtual Rules :", instance.rules.iter().map(routing::rule).collect());
    let group = facts.status.groups.iter().find(|group| group.members.contains(&instance.name));
    let shared = group.map(|group| tracks::of_group(&group.members, &facts.vrrp)).unwrap_or_default();
    let own: Vec<_> = instance.tracks.iter().filter(|track| !shared.contains(track)).cloned().collect();
    tracks::tracked(out, &own, &facts.vrrp, "Tracked processes :");
    notices(out, extras, instance.notify_deleted, &facts.settings);
    out.field(3, "Notify priority changes", instance.notify_priority_changes);
}

fn statics(out: &mut Text, config: &Config) {
    let network = &config.network;
    let addresses = network.addresses.iter().map(|each| super::text::own_address(each, true)).collect();
    let (routes, rules) = routing::statics(config);
    for (title, lines) in [("Addresses", addresses), ("Routes", routes), ("Rules", rules)] {
        if !lines.is_empty() {
            out.section(&format!("Static {title}"));
            lines.iter().for_each(|line: &String| out.line(5, line));
        }
    }
    if network.groups.is_empty() {
        return;
    }
    out.section("Static Track groups");
    for group in &network.groups {
        out.field(1, "Static Track Group", &group.name);
        let target = TrackTarget::Static(group.name.clone());
        let members =
            config.instances.iter().filter(|instance| instance.tracks.iter().any(|track| track.target == target));
        list(out, "VRRP member instances :", members.map(|instance| instance.name.clone()).collect());
    }
}

fn flags(out: &mut Text, instance: &Instance, extras: &InstanceSettings) {
    let mut flags = Vec::new();
    if instance.is_unicast() {
        flags.push("Using unicast");
    }
    if extras.faults_without_peer {
        flags.push("If unicast go to fault state if no peers");
    }
    // What has a line of its own further down is counted among them.
    let has_own_line =
        instance.dont_track_primary || extras.skip_check_adv_addr || extras.strict || instance.own_link.is_some();
    match flags.is_empty() && !has_own_line {
        true => out.line(3, "Flags: none"),
        false => out.line(3, "Flags:"),
    }
    flags.iter().for_each(|flag| out.line(5, flag));
}

/// The interface, and the one of its own that it speaks on.
fn own_interface(out: &mut Text, instance: &Instance, facts: &Facts) {
    let Some(link) = &instance.own_link else { return out.field(3, "Interface", &instance.interface) };
    let is_up = facts.interfaces.iter().any(|interface| interface.name == link.name && interface.up);
    let (kind, short) = match link.kind {
        LinkKind::Vmac(_) => ("VMAC", "vmac"),
        LinkKind::Ipvlan { .. } => ("IPVLAN", "ipvlan"),
    };
    let name = &link.name;
    out.line(3, &format!("Use {kind}, i/f name {name}, is_up = {is_up}, xmit_base = {}", link.transmit_below));
    out.field(3, "Interface", format!("{name}, {short} on {}", instance.interface));
}

fn timing(out: &mut Text, status: Option<&InstanceStatus>, now: SystemTime) {
    let Some(status) = status else { return };
    out.field(3, "Last transition", instant(now.checked_sub(status.since).unwrap_or(now)));
    match status.deadline_in {
        Some(after) => out.field(3, "Read timeout", instant(now + after)),
        None => out.field(3, "Read timeout", "DISABLED"),
    }
    out.field(3, "Master down timer", format!("{} usecs", status.master_down.as_micros()));
}

fn announcements(out: &mut Text, instance: &Instance) {
    let garp = &instance.garp;
    out.field(3, "Gratuitous ARP delay", garp.delay.as_secs());
    out.field(3, "Gratuitous ARP repeat", garp.repeat);
    out.field(3, "Gratuitous ARP refresh", garp.refresh.as_secs());
    out.field(3, "Gratuitous ARP refresh repeat", garp.refresh_repeat);
    out.field(3, "Gratuitous ARP lower priority delay", garp.lower_prio_delay.as_secs());
    out.field(3, "Gratuitous ARP lower priority repeat", garp.lower_prio_repeat);
    out.field(3, "Down timer adverts", instance.down_adverts);
    out.field(3, "Send advert after receive lower priority advert", !instance.lower_prio_no_advert);
    out.field(3, "Send advert after receive higher priority advert", instance.higher_prio_send_advert);
}

fn addresses(out: &mut Text, instance: &Instance, is_set: bool) {
    out.line(3, &format!("Virtual IP ({}):", instance.addresses.len()));
    for each in &instance.addresses {
        out.line(5, &address(each, instance, is_set));
    }
    if !instance.excluded.is_empty() {
        out.line(3, "Virtual IP Excluded :");
        for each in &instance.excluded {
            out.line(5, &address(each, instance, is_set));
        }
    }
}

fn peers(out: &mut Text, instance: &Instance) {
    if instance.peers.is_empty() {
        return;
    }
    out.field(3, "Unicast TTL", instance.unicast_ttl);
    out.line(3, &format!("Check unicast src : {}", yes(instance.check_unicast_source)));
    out.line(3, "Unicast Peer :");
    for peer in &instance.peers {
        out.line(5, &format!("{} min_ttl {} max_ttl {}", peer.address, peer.min_ttl, peer.max_ttl));
    }
    out.field(3, "Unicast checksum compatibility", "no");
}

/// Of a weight.
pub fn reversed(reverse: bool) -> &'static str {
    if reverse { " reverse" } else { "" }
}

pub fn list(out: &mut Text, title: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    out.line(3, title);
    lines.iter().for_each(|line| out.line(5, line));
}

fn notices(out: &mut Text, extras: &InstanceSettings, is_told: bool, settings: &Settings) {
    out.field(3, "Using smtp notification", yes(extras.mail_alert));
    out.field(3, "Notify deleted", if is_told { "Deleted" } else { "Fault" });
    scripts(out, &extras.notify, settings);
}

pub fn scripts(out: &mut Text, commands: &NotifyCommands, settings: &Settings) {
    let NotifyCommands { master, backup, fault, stop, deleted, any, master_rx_lower_pri } = commands;
    for (label, script) in [
        ("Backup", backup),
        ("Master", master),
        ("Fault", fault),
        ("Stop", stop),
        ("Deleted", deleted),
        ("Generic", any),
        ("Master rx lower pri", master_rx_lower_pri),
    ] {
        if let Some(script) = script {
            out.field(3, &format!("{label} state transition script"), command(script, settings));
        }
    }
}

fn interfaces(out: &mut Text, config: &Config, interfaces: &[netlink::Interface]) {
    out.section("Interfaces");
    let addresses = config.instances.iter().flat_map(|instance| instance.addresses.iter().chain(&instance.excluded));
    let held: std::collections::HashSet<IpAddr> = addresses.map(|address| address.prefix.address()).collect();
    let is_virtual = |address: &IpAddr| held.contains(address);
    for interface in interfaces {
        out.field(1, "Name", &interface.name);
        out.field(3, "index", interface.index);
        let first = |wanted: &dyn Fn(&IpAddr) -> bool| {
            let found = interface.addresses.iter().map(|prefix| prefix.address()).find(wanted);
            found.map_or_else(|| "(none)".to_owned(), |address| address.to_string())
        };
        out.field(3, "IPv4 address", first(&|address| address.is_ipv4() && !is_virtual(address)));
        let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        out.field(3, "IPv6 address", first(&|address| is_link_local(address) && !is_virtual(address)));
        if interface.mac != evenkeel_wire::Mac::default() {
            out.field(3, "MAC", interface.mac);
        }
        out.field(3, "State", if interface.up { "UP, RUNNING" } else { "not UP, not RUNNING" });
        out.field(3, "MTU", interface.mtu);
        let users: Vec<_> = config.instances.iter().filter_map(|instance| user(instance, interface)).collect();
        list(out, "Tracking VRRP instances :", users);
    }
}

/// An instance that speaks on the interface or follows it, with the weight that this has.
fn user(instance: &Instance, interface: &netlink::Interface) -> Option<String> {
    let target = TrackTarget::Interface(interface.name.clone());
    let track = instance.tracks.iter().find(|track| track.target == target);
    let is_own = [instance.interface.as_str(), instance.device()].contains(&interface.name.as_str());
    let weight = match track {
        _ if is_own && !instance.dont_track_primary => 0,
        Some(track) => track.weight,
        // keepalived's number for one that does not matter.
        None if is_own => 255,
        None => return None,
    };
    Some(format!("{}, weight {weight}", instance.name))
}
