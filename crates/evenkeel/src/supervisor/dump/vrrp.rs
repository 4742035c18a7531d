//! The virtual routers: `VRRP Topology`, `VRRP Scripts`, `Interfaces`.

use super::Facts;
use super::text::{Text, address, command, enabled, ids, instant, words, yes};
use evenkeel_conf::keepalived::{InstanceSettings, NotifyCommands, ScriptCommand, Settings};
use evenkeel_kernel::netlink;
use evenkeel_vrrp::config::{Instance, Preempt, TrackTarget, Version};
use evenkeel_vrrp::{Config, GroupStatus, InstanceStatus, ScriptId, ScriptStatus, StateName};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Writes all sections about virtual routers.
pub fn write(out: &mut Text, facts: &Facts) {
    let (settings, config) = (&facts.settings, &facts.vrrp);
    out.section("VRRP Topology");
    for (id, instance) in config.instances.iter().enumerate() {
        let extras = settings.instances.get(id).cloned().unwrap_or_default();
        let status = facts.status.instances.iter().find(|status| status.id.0 as usize == id);
        one(out, instance, &extras, status, facts);
    }
    if !facts.status.groups.is_empty() {
        out.section("VRRP Sync groups");
        for group in &facts.status.groups {
            sync_group(out, group, settings);
        }
    }
    if !config.scripts.is_empty() {
        out.section("VRRP Scripts");
        for (id, script) in (0..).map(ScriptId).zip(&settings.scripts) {
            let status = facts.status.scripts.get(id.0 as usize);
            check_script(out, id, script, status, config, settings);
        }
    }
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
    match (instance.peers.is_empty(), instance.dont_track_primary) {
        (true, false) => out.line(3, "Flags: none"),
        // It has a line of its own below.
        (true, true) => out.line(3, "Flags:"),
        (false, _) => {
            out.line(3, "Flags:");
            out.line(5, "Using unicast");
        }
    }
    out.field(3, "Wantstate", state(now));
    out.field(3, "Number of config faults", 0);
    out.field(3, "Number of interface and track script faults", status.map_or(0, |status| status.n_faults));
    out.field(3, "Number of track scripts init", status.map_or(0, |status| status.n_awaited));
    timing(out, status, facts.at);
    out.field(3, "Interface", &instance.interface);
    if instance.dont_track_primary {
        out.line(3, "VRRP interface tracking disabled");
    }
    let configured = if instance.source.is_some() { " (from configuration)" } else { "" };
    if let Some(source) = status.and_then(|status| status.source) {
        out.field(3, "Using src_ip", format!("{source}{configured}"));
    }
    if instance.peers.is_empty() {
        out.line(3, "Multicast address 224.0.0.18");
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
    out.field(3, "Accept", "enabled");
    out.field(3, "Preempt", enabled(instance.preempt != Preempt::Never));
    if let Preempt::After(delay) = instance.preempt {
        out.field(3, "Preempt delay", format!("{} secs", delay.as_secs_f64()));
    }
    out.field(3, "Promote_secondaries", "disabled");
    if !is_v3 {
        let has = instance.password().is_some();
        out.field(3, "Authentication type", if has { "SIMPLE_PASSWORD" } else { "none" });
        if has {
            out.field(3, "Password", "********");
        }
    }
    addresses(out, instance, status.is_some_and(|status| status.holding));
    peers(out, instance);
    tracked(out, instance, &facts.vrrp);
    notices(out, extras, instance.notify_deleted, &facts.settings);
    out.field(3, "Notify priority changes", instance.notify_priority_changes);
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
        out.line(5, &address(each, &instance.interface, is_set));
    }
    if !instance.excluded.is_empty() {
        out.line(3, "Virtual IP Excluded :");
        for each in &instance.excluded {
            out.line(5, &address(each, &instance.interface, is_set));
        }
    }
}

fn peers(out: &mut Text, instance: &Instance) {
    if instance.peers.is_empty() {
        return;
    }
    out.field(3, "Unicast TTL", instance.unicast_ttl);
    out.line(3, "Check unicast src : no");
    out.line(3, "Unicast Peer :");
    for peer in &instance.peers {
        out.line(5, &format!("{} min_ttl 0 max_ttl 255", peer.address));
    }
    out.field(3, "Unicast checksum compatibility", "no");
}

fn tracked(out: &mut Text, instance: &Instance, config: &Config) {
    let reverse = |reverse: bool| if reverse { " reverse" } else { "" };
    let interfaces = instance.tracks.iter().filter_map(|track| match &track.target {
        TrackTarget::Interface(name) => Some(format!("{name} weight {}{}", track.weight, reverse(track.reverse))),
        _ => None,
    });
    list(out, "Tracked interfaces :", interfaces.collect());
    let scripts = instance.tracks.iter().filter_map(|track| match &track.target {
        TrackTarget::Script(id) => {
            let name = &config.scripts.get(id.0 as usize)?.name;
            Some(format!("{name} weight {}{}", track.weight, reverse(track.reverse)))
        }
        _ => None,
    });
    list(out, "Tracked scripts :", scripts.collect());
}

fn list(out: &mut Text, title: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    out.line(3, title);
    lines.iter().for_each(|line| out.line(5, line));
}

fn sync_group(out: &mut Text, group: &GroupStatus, settings: &Settings) {
    out.line(1, &format!("VRRP Sync Group = {}, {}", group.name, state(group.state)));
    list(out, "VRRP member instances :", group.members.clone());
    if let Some(extras) = settings.groups.iter().find(|extras| extras.name == group.name) {
        out.field(3, "Using smtp notification", yes(extras.mail_alert));
        scripts(out, &extras.notify, settings);
    }
}

fn notices(out: &mut Text, extras: &InstanceSettings, is_told: bool, settings: &Settings) {
    out.field(3, "Using smtp notification", yes(extras.mail_alert));
    out.field(3, "Notify deleted", if is_told { "Deleted" } else { "Fault" });
    scripts(out, &extras.notify, settings);
}

fn scripts(out: &mut Text, commands: &NotifyCommands, settings: &Settings) {
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

fn check_script(
    out: &mut Text,
    id: ScriptId,
    script: &ScriptCommand,
    status: Option<&ScriptStatus>,
    config: &Config,
    settings: &Settings,
) {
    let tracking = || {
        config.instances.iter().filter_map(|instance| {
            let track = instance.tracks.iter().find(|track| track.target == TrackTarget::Script(id))?;
            Some((&instance.name, track.weight))
        })
    };
    let judged = config.scripts.get(id.0 as usize);
    let own_user = script.command.user.clone().or(script.user.clone());
    out.field(1, "VRRP Script", &script.name);
    out.field(3, "Command", words(&script.command.words));
    out.field(3, "Interval", format!("{} sec", script.interval.as_secs_f64()));
    // Without a timeout of its own it is the interval, which keepalived writes as 0.
    let timeout = if script.timeout == script.interval { Duration::ZERO } else { script.timeout };
    out.field(3, "Timeout", format!("{} sec", timeout.as_secs_f64()));
    out.field(3, "Weight", script.weight);
    out.field(3, "Rise", judged.map_or(1, |script| script.rise));
    out.field(3, "Fall", judged.map_or(1, |script| script.fall));
    out.field(3, "Result", status.and_then(|status| status.count).unwrap_or(0));
    out.field(3, "Insecure", "no");
    out.field(3, "Init state", "unknown");
    out.field(
        3,
        "Status",
        match status.and_then(|status| status.healthy) {
            None => "INIT",
            Some(true) => "GOOD",
            Some(false) => "BAD",
        },
    );
    out.field(3, "Script uid:gid", ids(&own_user.or(settings.script_user.clone())));
    out.line(3, "VRRP instances :");
    out.line(3, "Tracking instances :");
    for (name, weight) in tracking() {
        out.line(5, &format!("{name}, weight {weight}"));
    }
}

fn interfaces(out: &mut Text, config: &Config, interfaces: &[netlink::Interface]) {
    out.section("Interfaces");
    for interface in interfaces {
        out.field(1, "Name", &interface.name);
        out.field(3, "index", interface.index);
        let first = |wanted: fn(&IpAddr) -> bool| {
            let found = interface.addresses.iter().map(|prefix| prefix.address()).find(wanted);
            found.map_or_else(|| "(none)".to_owned(), |address| address.to_string())
        };
        out.field(3, "IPv4 address", first(IpAddr::is_ipv4));
        out.field(3, "IPv6 address", first(IpAddr::is_ipv6));
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
    let weight = match track {
        _ if instance.interface == interface.name && !instance.dont_track_primary => 0,
        Some(track) => track.weight,
        None => return None,
    };
    Some(format!("{}, weight {weight}", instance.name))
}
