//! Synchronisation of connections between the kernels of two balancers.

use super::super::number::Garbage;
use super::super::{At, Lower};
use super::{Drafts, SyncDraft};
use crate::keepalived::language::{Node, Word};
use crate::{Diagnostic, Span};
use evenkeel_balance::config::SyncDaemon;
use std::net::IpAddr;

/// `IF [INSTANCE [ID]]` of old, or `IF [inst INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDR]`.
pub(in crate::keepalived) fn lvs_sync_daemon(lower: &mut Lower, node: &Node) {
    let Some(interface) = node.argument(1).and_then(|word| lower.interface(word)) else { return };
    if lower.drafts.balance.globals.sync_daemon.is_some() {
        return lower.repeated(node);
    }
    let mut draft =
        SyncDraft { interface, instance: None, id: None, max_length: None, port: None, ttl: None, group: None };
    let mut words = node.words[2..].iter().peekable();
    if let Some(name) = words.next_if(|word| !is_keyword(word)) {
        draft.instance = Some(At::of(name, name.text.clone()));
        if let Some(id) = words.next_if(|word| word.text.parse::<u32>().is_ok()) {
            draft.id = small(lower, id, 0..=255);
        }
    }
    while let Some(word) = words.next() {
        let Some(value) = words.next().filter(|_| is_keyword(word)) else {
            lower.refuse(word, format!("`{}` says nothing about a sync daemon", word.text));
            break;
        };
        match word.text.as_str() {
            "inst" => draft.instance = Some(At::of(value, value.text.clone())),
            "id" => draft.id = small(lower, value, 0..=255),
            "ttl" => draft.ttl = small(lower, value, 1..=255),
            "port" => draft.port = lower.port(value),
            "maxlen" => {
                let length = lower.integer(value, 1..=65507, Garbage::Refused);
                draft.max_length = length.and_then(|length| u16::try_from(length).ok());
            }
            _ => draft.group = group(lower, value),
        }
    }
    lower.drafts.balance.globals.sync_daemon = Some(draft);
}

fn is_keyword(word: &Word) -> bool {
    matches!(word.text.as_str(), "inst" | "id" | "maxlen" | "port" | "ttl" | "group")
}

fn small(lower: &mut Lower, word: &Word, range: std::ops::RangeInclusive<i64>) -> Option<u8> {
    u8::try_from(lower.integer(word, range, Garbage::Refused)?).ok()
}

fn group(lower: &mut Lower, word: &Word) -> Option<IpAddr> {
    let address = lower.address(word)?;
    if !address.is_multicast() {
        lower.refuse(word, format!("{address} is no multicast group"));
        return None;
    }
    Some(address)
}

/// `lvs_sync_daemon_interface IF` in a vrrp_instance, which `lvs_sync_daemon` in global_defs has replaced.
pub(in crate::keepalived) fn of_instance(lower: &mut Lower, node: &Node) {
    let Some(interface) = node.argument(1).and_then(|word| lower.interface(word)) else { return };
    let Some(name) = lower.drafts.instances.last().map(|instance| instance.name.clone()) else { return };
    let Some(span) = node.span() else { return };
    let line = format!("lvs_sync_daemon {interface} {}", name.value);
    if lower.drafts.balance.globals.sync_daemon.is_some() {
        return lower.say(
            Diagnostic::warning("repeated", span, "there is already a sync daemon")
                .so("the first one wins, this one is ignored")
                .fix("remove this line"),
        );
    }
    let present =
        Diagnostic::warning("old-spelling", span, format!("`{}` in an instance is an old form", node.keyword()))
            .so("it means the same; keepalived takes it with a warning as well")
            .fix(format!("write `{line}` into global_defs"));
    // The walk has spoken already about the name that keepalived no longer knows.
    if node.keyword() == "lvs_sync_daemon_interface" {
        lower.say(present);
    }
    lower.drafts.balance.globals.sync_daemon = Some(SyncDraft {
        interface,
        instance: Some(name),
        id: None,
        max_length: None,
        port: None,
        ttl: None,
        group: None,
    });
}

/// The daemon, with the virtual router's number for its id.
pub(super) fn finish(lower: &mut Lower, drafts: &Drafts) -> Option<SyncDaemon> {
    let draft = drafts.globals.sync_daemon.as_ref()?;
    let mut id = draft.id;
    if let Some(name) = &draft.instance {
        let Some(instance) = lower.drafts.instances.iter().find(|instance| instance.name.value == name.value) else {
            unknown_instance(lower, &name.value, name.span);
            return None;
        };
        id = id.or(instance.vrid.as_ref().map(|vrid| vrid.value.get()));
    }
    Some(SyncDaemon {
        interface: draft.interface.clone(),
        instance: draft.instance.as_ref().map(|name| name.value.clone()),
        id: id.unwrap_or(0),
        max_length: draft.max_length,
        port: draft.port,
        ttl: draft.ttl,
        group: draft.group,
    })
}

fn unknown_instance(lower: &mut Lower, name: &str, span: Span) {
    lower.say(
        Diagnostic::warning("unknown-instance", span, format!("there is no vrrp_instance `{name}`"))
            .so("no connections are synchronised")
            .fix("name an instance of this configuration, or none"),
    );
}
