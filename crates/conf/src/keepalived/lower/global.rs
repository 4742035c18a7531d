//! global_defs, and what stands outside every block.

use super::garp::Zero;
use super::number::{Garbage, Grain};
use super::{At, Lower, value};
use crate::keepalived::language::Node;
use evenkeel_vrrp::config::Version;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

pub(in crate::keepalived) fn net_namespace(lower: &mut Lower, node: &Node) {
    if lower.settings.net_namespace.is_some() {
        return lower.repeated(node);
    }
    lower.settings.net_namespace = node.argument(1).map(|word| word.text.clone());
}

pub(in crate::keepalived) fn router_id(lower: &mut Lower, node: &Node) {
    lower.settings.router_id = node.argument(1).map(|word| word.text.clone());
}

pub(in crate::keepalived) fn script_user(lower: &mut Lower, node: &Node) {
    lower.settings.script_user = value::user(&node.words[1..]);
}

pub(in crate::keepalived) fn enable_script_security(lower: &mut Lower, _: &Node) {
    lower.settings.script_security = true;
}

pub(in crate::keepalived) fn nftables(lower: &mut Lower, node: &Node) {
    let Some(table) = node.argument(1) else { return };
    if table.text.len() > 255 {
        return lower.refuse(table, format!("`{}` is too long for the name of a table", table.text));
    }
    lower.drafts.globals.firewall.table.clone_from(&table.text);
}

pub(in crate::keepalived) fn nftables_priority(lower: &mut Lower, node: &Node) {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    let priority = node.argument(1).and_then(|word| lower.integer(word, range, Garbage::Tolerated));
    if let Some(priority) = priority.and_then(|priority| i32::try_from(priority).ok()) {
        lower.drafts.globals.firewall.priority = priority;
    }
}

pub(in crate::keepalived) fn nftables_counters(lower: &mut Lower, _: &Node) {
    lower.drafts.globals.firewall.counters = true;
}

pub(in crate::keepalived) fn default_interface(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.interface = node.argument(1).map(|word| word.text.clone());
}

pub(in crate::keepalived) fn nginx_conf(lower: &mut Lower, node: &Node) {
    lower.settings.nginx_conf = node.argument(1).map(|word| PathBuf::from(&word.text));
}

pub(in crate::keepalived) fn vrrp_version(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.version = lower.version(node).map(|version| version.value);
}

impl Lower {
    /// `2` or `3`.
    pub(super) fn version(&mut self, node: &Node) -> Option<At<Version>> {
        let word = node.argument(1)?;
        let version = match self.integer(word, 2..=3, Garbage::Refused)? {
            2 => Version::V2,
            _ => Version::V3,
        };
        Some(At::of(word, version))
    }

    /// 1 to 100.
    pub(super) fn down_adverts(&mut self, node: &Node) -> Option<NonZeroU8> {
        let number = self.integer(node.argument(1)?, 1..=100, Garbage::Tolerated)?;
        NonZeroU8::new(u8::try_from(number).ok()?)
    }

    /// An address that adverts can be sent to for all to hear.
    pub(super) fn multicast_group(&mut self, node: &Node) -> Option<At<IpAddr>> {
        let word = node.argument(1)?;
        let group = self.address(word)?;
        if !group.is_multicast() {
            self.refuse(word, format!("{group} is no multicast group"));
            return None;
        }
        Some(At::of(word, group))
    }
}

pub(in crate::keepalived) fn vrrp_mcast_group4(lower: &mut Lower, node: &Node) {
    match (lower.multicast_group(node), node.argument(1)) {
        (Some(At { value: IpAddr::V4(group), .. }), _) => lower.drafts.globals.group_v4 = Some(group),
        (Some(At { value: IpAddr::V6(group), .. }), Some(word)) => lower.refuse(word, format!("{group} is IPv6")),
        (Some(_) | None, _) => {}
    }
}

pub(in crate::keepalived) fn vrrp_mcast_group6(lower: &mut Lower, node: &Node) {
    match (lower.multicast_group(node), node.argument(1)) {
        (Some(At { value: IpAddr::V6(group), .. }), _) => lower.drafts.globals.group_v6 = Some(group),
        (Some(At { value: IpAddr::V4(group), .. }), Some(word)) => lower.refuse(word, format!("{group} is IPv4")),
        (Some(_) | None, _) => {}
    }
}

pub(in crate::keepalived) fn vrrp_garp_master_delay(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.garp.delay = lower.garp_seconds(node);
}

pub(in crate::keepalived) fn vrrp_garp_master_repeat(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.garp.repeat = lower.garp_count(node, Zero::IsOne);
}

pub(in crate::keepalived) fn vrrp_garp_master_refresh(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.garp.refresh = lower.garp_seconds(node);
}

pub(in crate::keepalived) fn vrrp_garp_master_refresh_repeat(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.garp.refresh_repeat = lower.garp_count(node, Zero::IsOne);
}

pub(in crate::keepalived) fn vrrp_garp_lower_prio_delay(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.garp.lower_prio_delay = lower.garp_seconds(node);
}

pub(in crate::keepalived) fn vrrp_garp_lower_prio_repeat(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.garp.lower_prio_repeat = lower.garp_count(node, Zero::IsNone);
}

pub(in crate::keepalived) fn vrrp_min_garp(lower: &mut Lower, node: &Node) {
    if lower.boolean(node.argument(1)) == Some(true) {
        lower.drafts.globals.garp.minimize();
    }
}

pub(in crate::keepalived) fn vrrp_down_timer_adverts(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.down_adverts = lower.down_adverts(node);
}

pub(in crate::keepalived) fn vrrp_lower_prio_no_advert(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.lower_prio_no_advert = lower.boolean(node.argument(1)).unwrap_or_default();
}

pub(in crate::keepalived) fn vrrp_higher_prio_send_advert(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.higher_prio_send_advert = lower.boolean(node.argument(1)).unwrap_or_default();
}

pub(in crate::keepalived) fn vrrp_notify_priority_changes(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.notify_priority_changes = lower.boolean(node.argument(1)).unwrap_or_default();
}

pub(in crate::keepalived) fn vrrp_skip_check_adv_addr(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.skip_check_adv_addr = lower.boolean(node.argument(1)).unwrap_or_default();
}

/// The global keyword ignores an argument, so that `false` turns it on too: the walk warns of the argument.
pub(in crate::keepalived) fn v3_checksum_as_v2(lower: &mut Lower, _: &Node) {
    lower.drafts.globals.v3_checksum_as_v2 = true;
}

pub(in crate::keepalived) fn vrrp_check_unicast_src(lower: &mut Lower, _: &Node) {
    lower.drafts.globals.check_unicast_src = true;
}

pub(in crate::keepalived) fn log_unknown_vrids(lower: &mut Lower, _: &Node) {
    lower.settings.log_unknown_vrids = true;
}

pub(in crate::keepalived) fn vrrp_owner_ignore_adverts(lower: &mut Lower, node: &Node) {
    lower.drafts.globals.owner_ignores_adverts = lower.boolean(node.argument(1));
}

pub(in crate::keepalived) fn vrrp_startup_delay(lower: &mut Lower, node: &Node) {
    lower.settings.startup_delay = lower.delay(node).unwrap_or_default();
}

pub(in crate::keepalived) fn vrrp_delay_after_boot(lower: &mut Lower, node: &Node) {
    lower.settings.delay_after_boot = lower.delay(node).unwrap_or_default();
}

impl Lower {
    fn delay(&mut self, node: &Node) -> Option<Duration> {
        self.seconds(node.argument(1)?, Duration::ZERO..=Duration::from_secs(4_000_000), Grain::Millisecond)
    }
}

pub(in crate::keepalived) fn vrrp_strict(lower: &mut Lower, node: &Node) {
    let Some(keyword) = node.words.first() else { return };
    lower.drafts.globals.strict = lower.boolean(node.argument(1)).map(|strict| At::of(keyword, strict));
}

pub(in crate::keepalived) fn enable_dbus(lower: &mut Lower, _: &Node) {
    lower.settings.dbus.enabled = true;
}

pub(in crate::keepalived) fn dbus_service_name(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    if !is_bus_name(&word.text) {
        return lower.refuse(word, format!("`{}` is no name on a message bus, such as org.example.Vrrp1", word.text));
    }
    lower.settings.dbus.service = Some(word.text.clone());
}

pub(in crate::keepalived) fn dbus_no_interface_name(lower: &mut Lower, node: &Node) {
    lower.settings.dbus.no_interface = node.argument(1).map(|word| word.text.clone());
}

/// Well-known names of the DBus specification: elements between dots, two at least, none of which begins with a digit.
fn is_bus_name(name: &str) -> bool {
    let is_element = |element: &str| {
        element.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && element.chars().next().is_some_and(|first| !first.is_ascii_digit())
    };
    name.len() <= 255 && name.contains('.') && name.split('.').all(is_element)
}
