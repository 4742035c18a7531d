//! real_server.

use super::super::{At, Lower};
use super::pool::{TICK, common_fields, fields};
use super::{Common, ServerDraft};
use crate::keepalived::language::{Node, Word};
use std::time::Duration;

/// `real_server ADDR [PORT]`
pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let address = lower.address(word);
    let port = node.argument(2).map_or(Some(0), |word| lower.port(word));
    let draft = ServerDraft {
        address: At::of(word, address.filter(|_| port.is_some())),
        port: port.unwrap_or(0),
        weight: None,
        forward: None,
        upper_threshold: 0,
        lower_threshold: 0,
        common: Common::default(),
        notify_up: None,
        notify_down: None,
        checks: Vec::with_capacity(1),
    };
    let Some(pool) = lower.pool() else { return };
    pool.servers.push(draft);
}

common_fields!(server);

fields! { server {
    inhibit_on_failure => common.inhibit |lower, word| lower.boolean(word);
    alpha => common.alpha |lower, word| lower.boolean(word);
    weight => weight |lower, word| lower.count(word?, 0, i32::MAX.unsigned_abs());
}}

pub(in crate::keepalived) fn uthreshold(lower: &mut Lower, node: &Node) {
    let Some(count) = node.argument(1).and_then(|word| lower.count(word, 0, u32::MAX)) else { return };
    let Some(server) = lower.server() else { return };
    server.upper_threshold = count;
}

pub(in crate::keepalived) fn lthreshold(lower: &mut Lower, node: &Node) {
    let Some(count) = node.argument(1).and_then(|word| lower.count(word, 0, u32::MAX)) else { return };
    let Some(server) = lower.server() else { return };
    server.lower_threshold = count;
}

pub(in crate::keepalived) fn lvs_method(lower: &mut Lower, node: &Node) {
    let Some(method) = lower.method(&node.words[1..]) else { return };
    let Some(server) = lower.server() else { return };
    server.forward = Some(method);
}

pub(in crate::keepalived) fn notify_up(lower: &mut Lower, node: &Node) {
    let before = lower.server().and_then(|server| server.notify_up.take());
    let command = lower.notice(node, before);
    let Some(server) = lower.server() else { return };
    server.notify_up = command;
}

pub(in crate::keepalived) fn notify_down(lower: &mut Lower, node: &Node) {
    let before = lower.server().and_then(|server| server.notify_down.take());
    let command = lower.notice(node, before);
    let Some(server) = lower.server() else { return };
    server.notify_down = command;
}
