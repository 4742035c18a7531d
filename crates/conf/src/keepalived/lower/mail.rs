//! Mails about changes of state.

use super::Lower;
use super::number::Garbage;
use crate::keepalived::language::Node;
use std::time::Duration;

pub(in crate::keepalived) fn notification_email(lower: &mut Lower, node: &Node) {
    let recipients = node.children.iter().flat_map(|line| &line.words).map(|word| word.text.clone());
    lower.settings.mail.to.extend(recipients);
}

pub(in crate::keepalived) fn notification_email_from(lower: &mut Lower, node: &Node) {
    lower.settings.mail.from = node.argument(1).map(|word| word.text.clone());
}

pub(in crate::keepalived) fn smtp_server(lower: &mut Lower, node: &Node) {
    let Some(host) = node.argument(1) else { return };
    let port = node.argument(2).and_then(|word| lower.integer(word, 1..=65535, Garbage::Refused));
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(25);
    lower.settings.mail.server = Some((host.text.clone(), port));
}

pub(in crate::keepalived) fn smtp_helo_name(lower: &mut Lower, node: &Node) {
    lower.settings.mail.helo = node.argument(1).map(|word| word.text.clone());
}

pub(in crate::keepalived) fn smtp_connect_timeout(lower: &mut Lower, node: &Node) {
    let seconds = node.argument(1).and_then(|word| lower.integer(word, 0..=3600, Garbage::Tolerated));
    // 0 means 1 there.
    lower.settings.mail.timeout = seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs().max(1)));
}

pub(in crate::keepalived) fn smtp_alert(lower: &mut Lower, node: &Node) {
    lower.settings.mail.alert = lower.boolean(node.argument(1));
}

pub(in crate::keepalived) fn smtp_alert_vrrp(lower: &mut Lower, node: &Node) {
    lower.settings.mail.alert_vrrp = lower.boolean(node.argument(1));
}

pub(in crate::keepalived) fn no_email_faults(lower: &mut Lower, _: &Node) {
    lower.settings.mail.without_faults = true;
}
