//! What global_defs says about layer 4.

use super::super::Lower;
use crate::keepalived::language::Node;
use evenkeel_balance::config::{FlushAtStop, PlaneChoice};
use std::num::NonZeroU32;

/// `auto`, `ipvs` or `xdp`
pub(in crate::keepalived) fn lb_plane(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    lower.drafts.balance.globals.plane = match word.text.as_str() {
        "auto" => PlaneChoice::Auto,
        "ipvs" => PlaneChoice::Ipvs,
        "xdp" => PlaneChoice::Xdp,
        other => return lower.refuse(word, format!("`{other}` is none of auto, ipvs, xdp")),
    };
}

/// Names of interfaces
pub(in crate::keepalived) fn lb_interface(lower: &mut Lower, node: &Node) {
    for word in &node.words[1..] {
        let interfaces = &mut lower.drafts.balance.globals.interfaces;
        if !interfaces.contains(&word.text) {
            interfaces.push(word.text.clone());
        }
    }
}

/// `[NAME]`, as `ip netns` has it; without a name the namespace that the machine started in. The first one is kept.
pub(in crate::keepalived) fn net_namespace_ipvs(lower: &mut Lower, node: &Node) {
    if lower.drafts.balance.globals.ipvs_namespace.is_some() {
        return lower.repeated(node);
    }
    let path = match node.argument(1) {
        Some(name) if name.text.contains('/') => {
            return lower.refuse(name, format!("`{}` is no name of a network namespace", name.text));
        }
        Some(name) => format!("/run/netns/{}", name.text),
        None => "/proc/1/ns/net".to_owned(),
    };
    lower.drafts.balance.globals.ipvs_namespace = Some(path);
}

/// The kernel takes 31 days at most.
const LONGEST_TIMEOUT: u32 = 31 * 86_400;

/// `[tcp S] [tcpfin S] [udp S]`; 0 leaves a time as the kernel has it.
pub(in crate::keepalived) fn lvs_timeouts(lower: &mut Lower, node: &Node) {
    let mut words = node.words[1..].iter();
    while let Some(word) = words.next() {
        let known = matches!(word.text.as_str(), "tcp" | "tcpfin" | "udp");
        let Some(number) = words.next().filter(|_| known) else {
            return lower.refuse(word, format!("`{}` is not `tcp S`, `tcpfin S` or `udp S`", word.text));
        };
        let Some(seconds) = lower.count(number, 0, LONGEST_TIMEOUT) else { continue };
        let timeouts = &mut lower.drafts.balance.globals.timeouts;
        let field = match word.text.as_str() {
            "tcp" => &mut timeouts.tcp,
            "tcpfin" => &mut timeouts.tcp_fin,
            _ => &mut timeouts.udp,
        };
        *field = NonZeroU32::new(seconds);
    }
}

pub(in crate::keepalived) fn lvs_flush(lower: &mut Lower, _: &Node) {
    lower.drafts.balance.globals.flush_at_start = true;
}

pub(in crate::keepalived) fn lvs_flush_on_stop(lower: &mut Lower, node: &Node) {
    lower.drafts.balance.globals.flush_at_stop = match node.argument(1).map(|word| (word, word.text.as_str())) {
        None => FlushAtStop::Everything,
        Some((_, "VS")) => FlushAtStop::Services,
        Some((word, other)) => return lower.refuse(word, format!("`{other}` is not `VS`")),
    };
}

pub(in crate::keepalived) fn lvs_flush_onstop(lower: &mut Lower, node: &Node) {
    lower.formerly(node, "lvs_flush_on_stop", "it means the same");
    lvs_flush_on_stop(lower, node);
}

pub(in crate::keepalived) fn rs_init_notifies(lower: &mut Lower, node: &Node) {
    if let Some(notices) = lower.boolean(node.argument(1)) {
        lower.drafts.balance.globals.notices_at_start = notices;
    }
}

pub(in crate::keepalived) fn checker_log_all_failures(lower: &mut Lower, node: &Node) {
    if let Some(log) = lower.boolean(node.argument(1)) {
        lower.drafts.balance.globals.log_all_failures = log;
    }
}

pub(in crate::keepalived) fn smtp_alert_checker(lower: &mut Lower, node: &Node) {
    if let Some(mail) = lower.boolean(node.argument(1)) {
        lower.drafts.balance.globals.mail = Some(mail);
    }
}
