//! `Global definitions`: what global_defs says, in keepalived's order.

use super::Facts;
use super::text::{Text, command, ids};
use evenkeel_balance::config::{Config as BalanceConfig, FlushAtStop};
use evenkeel_conf::keepalived::{ProcessNames, Reload, Settings};
use evenkeel_vrrp::config::Version;
use std::path::Path;

/// Writes the section.
pub fn write(out: &mut Text, facts: &Facts) {
    let Facts { settings, balance, host, .. } = facts;
    let process = &settings.process;
    out.section("Global definitions");
    if let Some(directory) = &process.reload.save_directory {
        out.field(1, "Config save dir", directory.display());
    }
    out.field(1, "Network namespace", settings.net_namespace.as_deref().unwrap_or("(default)"));
    out.field(1, "Network namespace ipvs", settings.net_namespace.as_deref().unwrap_or("(main namespace)"));
    if let Some(instance) = &process.instance {
        out.field(1, "Instance name", instance);
    }
    names(out, &process.names);
    out.field(1, "Router ID", settings.router_id.as_deref().unwrap_or(host));
    mail(out, settings, balance, host);
    reload(out, &process.reload, facts);
    for (label, hook) in [("Startup", &process.startup), ("Shutdown", &process.shutdown)] {
        if let Some(script) = &hook.command {
            let text = format!("{}, timeout {}", command(script, settings), hook.limit().as_secs());
            out.field(1, &format!("{label} script"), text);
        }
    }
    if process.dumps.use_instance {
        out.line(1, "Use instance name in data dumps");
    }
    if settings.mail.without_faults {
        out.line(1, "Send emails for fault transitions = off");
    }
    if let Some(interface) = &process.defaults.interface {
        out.field(1, "Default interface", interface);
    }
    out.field(1, "LVS flush", balance.flush_at_start);
    let flush = match balance.flush_at_stop {
        FlushAtStop::Each => "disabled",
        FlushAtStop::Services => "VS",
        FlushAtStop::Everything => "enabled",
    };
    out.field(1, "LVS flush on stop", flush);
    for (label, fifo) in [("Global", &settings.fifo), ("VRRP", &settings.vrrp_fifo), ("LVS", &settings.lvs_fifo)] {
        let Some(fifo) = fifo else { continue };
        let owner = fifo.owner.clone().or(settings.script_user.clone());
        out.field(1, &format!("{label} notify fifo"), format!("{}, uid:gid {}", fifo.path, ids(&owner)));
        if let Some(reader) = &fifo.reader {
            let mut reader = reader.clone();
            reader.words.push(fifo.path.clone());
            out.field(1, &format!("{label} notify fifo script"), command(&reader, settings));
        }
    }
    out.field(1, "FIFO write vrrp states on reload", settings.fifo_states_at_reload);
    out.field(1, "VRRP notify priority changes", process.defaults.notify_priority_changes);
    instances(out, settings, facts);
    out.line(1, if settings.script_security { "Script security enabled" } else { "Script security disabled" });
    out.line(1, &format!("Default script uid:gid {}", ids(&settings.script_user)));
    out.field(1, "rs_init_notifies", u8::from(balance.notices_at_start));
    out.field(1, "no_checker_emails", 0);
    out.field(1, "umask", format!("0{:o}", process.umask.unwrap_or(0o177)));
    if !settings.startup_delay.is_zero() {
        out.field(1, "vrrp_startup_delay", settings.startup_delay.as_secs_f64());
    }
    if settings.log_unknown_vrids {
        out.line(1, "log_unknown_vrids");
    }
    if facts.realtime > 0 {
        out.field(1, "current realtime priority", facts.realtime);
        let limit = settings.vrrp_scheduling.longest_run.map_or(10_000, |limit| limit.as_micros());
        out.field(1, "current realtime time limit", limit);
    }
}

fn reload(out: &mut Text, reload: &Reload, facts: &Facts) {
    match &reload.check {
        None => out.line(1, "No test config before reload"),
        Some(log) => {
            let log = log.as_deref().unwrap_or(Path::new("/dev/null")).display();
            out.line(1, &format!("Test config before reload, log to {log}"));
        }
    }
    if let Some(file) = &reload.time_file {
        let repeat = if reload.repeat { " (repeat)" } else { "" };
        out.field(1, "Reload time file", format!("{}{repeat}", file.display()));
        match &facts.next_reload {
            Some(at) => out.line(1, &format!("Reload scheduled for {at}")),
            None => out.line(1, "No reload scheduled"),
        }
    }
    if let Some(file) = &facts.reload_file {
        out.field(1, "Reload_file", file.display());
    }
    if let Some(directory) = &reload.tmp_directory {
        out.field(1, "config save directory", directory.display());
    }
}

fn mail(out: &mut Text, settings: &Settings, balance: &BalanceConfig, host: &str) {
    let mail = &settings.mail;
    if let Some((server, port)) = &mail.server {
        out.field(1, "Smtp server", server);
        out.field(1, "Smtp server port", port);
        out.field(1, "Smtp HELO name", mail.helo.as_deref().unwrap_or(host));
        out.field(1, "Smtp server connection timeout", mail.timeout.map_or(30, |timeout| timeout.as_secs()));
    }
    if !mail.to.is_empty() {
        out.field(1, "Email notification from", mail.from.clone().unwrap_or_else(|| format!("root@{host}")));
        out.line(1, "Email notification to:");
        for to in &mail.to {
            out.line(3, to);
        }
    }
    let wish = |wish: Option<bool>| wish.map_or("unset", |on| if on { "on" } else { "off" });
    out.field(1, "Default smtp_alert", wish(mail.alert));
    out.field(1, "Default smtp_alert_vrrp", wish(mail.alert_vrrp));
    out.field(1, "Default smtp_alert_checker", wish(settings.process.defaults.smtp_alert_checker));
    let logs_all = balance.pools.iter().flat_map(|pool| &pool.servers).flat_map(|server| &server.checks);
    out.field(1, "Checkers log all failures", logs_all.into_iter().any(|check| check.log_all_failures));
}

fn names(out: &mut Text, names: &ProcessNames) {
    if let Some(parent) = &names.parent {
        out.field(1, "Parent process name", parent);
    }
    if names.usual || names.vrrp.is_some() {
        out.field(1, "VRRP process name", names.vrrp(""));
    }
    if names.usual || names.checker.is_some() {
        out.field(1, "LVS process name", names.checker(""));
    }
    if names.usual || names.bfd.is_some() {
        out.field(1, "BFD process name", names.bfd.as_deref().unwrap_or("keepalived_bfd"));
    }
}

fn instances(out: &mut Text, settings: &Settings, facts: &Facts) {
    let defaults = &settings.process.defaults;
    let garp = &defaults.garp;
    out.field(1, "VRRP IPv4 mcast group", defaults.group_v4);
    out.field(1, "VRRP IPv6 mcast group", defaults.group_v6);
    out.field(1, "Gratuitous ARP delay", garp.delay.as_secs());
    out.field(1, "Gratuitous ARP repeat", garp.repeat);
    out.field(1, "Gratuitous ARP refresh timer", garp.refresh.as_secs());
    out.field(1, "Gratuitous ARP refresh repeat", garp.refresh_repeat);
    out.field(1, "Gratuitous ARP lower priority delay", garp.lower_prio_delay.as_secs());
    out.field(1, "Gratuitous ARP lower priority repeat", garp.lower_prio_repeat);
    out.field(1, "Num adverts before down", defaults.down_adverts.unwrap_or(3));
    out.field(1, "Send advert after receive lower priority advert", !defaults.lower_prio_no_advert);
    out.field(1, "Send advert after receive higher priority advert", defaults.higher_prio_send_advert);
    let version = match defaults.version.unwrap_or(Version::V2) {
        Version::V2 => 2,
        Version::V3 => 3,
    };
    out.field(1, "VRRP default protocol version", version);
    let firewall = &facts.vrrp.network.firewall;
    if facts.vrrp.instances.iter().any(|instance| instance.refuses || instance.own_link.is_some()) {
        out.field(1, "nftables table name", &firewall.table);
        out.field(1, "nftables base chain priority", firewall.priority);
        out.line(1, "nftables force use ifindex for link local IPv6");
    }
    out.line(1, if firewall.counters { "nftables with counters" } else { "nftables without counters" });
    out.field(1, "VRRP check unicast_src", defaults.check_unicast_source);
    out.field(1, "VRRP skip check advert addresses", defaults.skip_check_adv_addr);
    out.field(1, "VRRP strict mode", defaults.strict);
    let auto = &settings.process.auto_priority;
    out.field(1, "Max auto priority", auto.most);
    out.field(1, "Min auto priority delay", format!("{} usecs", auto.delay.as_micros()));
    // BFD is scheduled with the virtual routers: it shares their process.
    let roles = [
        ("VRRP", &settings.vrrp_scheduling),
        ("Checker", &settings.checker_scheduling),
        ("BFD", &settings.vrrp_scheduling),
    ];
    for (role, scheduling) in roles {
        out.field(1, &format!("{role} process priority"), scheduling.nice.unwrap_or(0));
        out.field(1, &format!("{role} don't swap"), scheduling.no_swap);
        out.field(1, &format!("{role} realtime priority"), scheduling.realtime.unwrap_or(0));
        if !scheduling.processors.is_empty() {
            let list: Vec<_> = scheduling.processors.iter().map(u16::to_string).collect();
            out.field(1, &format!("{role} CPU Affinity"), list.join(" "));
        }
        let limit = scheduling.longest_run.map_or(10_000, |limit| limit.as_micros());
        out.field(1, &format!("{role} realtime limit"), limit);
    }
    for what in ["vrrp", "checker", "RFCv2", "RFCv3", "traps"] {
        out.line(1, &format!("SNMP {what} disabled"));
    }
    out.line(1, if settings.dbus.enabled { "DBus enabled" } else { "DBus disabled" });
    out.field(1, "DBus service name", settings.dbus.service.as_deref().unwrap_or_default());
}
