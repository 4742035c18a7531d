//! peer: the other nodes that run evenkeel.

use super::key::{self, Source};
use super::number::{Garbage, Grain};
use super::{At, Lower};
use crate::keepalived::language::{Node, Word};
use crate::source::looks_like_a_path;
use crate::{Diagnostic, Files, Span};
use evenkeel_peer::config::{Config, PORT, Peer, Secret};
use std::net::IpAddr;
use std::time::Duration;

/// A peer.
#[derive(Debug)]
pub(in crate::keepalived) struct PeerDraft {
    pub(in crate::keepalived) place: Span,
    name: Option<String>,
    pub(in crate::keepalived) address: Option<At<IpAddr>>,
    port: u16,
    pub(in crate::keepalived) source: Option<At<IpAddr>>,
    interface: Option<String>,
    key: Option<At<Source>>,
    interval: Duration,
}

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(place) = node.span() else { return };
    lower.drafts.peers.push(PeerDraft {
        place,
        name: node.argument(1).map(|name| name.text.clone()),
        address: None,
        port: PORT,
        source: None,
        interface: None,
        key: None,
        interval: Peer::INTERVAL,
    });
}

pub(in crate::keepalived) fn address(lower: &mut Lower, node: &Node) {
    let Some(address) = node.argument(1).and_then(|word| ip(lower, word)) else { return };
    // The role has no right to the ports below.
    let port = node.argument(2).and_then(|word| lower.integer(word, 1024..=65535, Garbage::Refused));
    let Some(draft) = lower.drafts.peers.last_mut() else { return };
    let before = draft.address.replace(address.clone());
    draft.port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(draft.port);
    lower.replaced(node, before.map(|before| before.value).as_ref(), &address.value);
}

pub(in crate::keepalived) fn source(lower: &mut Lower, node: &Node) {
    let Some(source) = node.argument(1).and_then(|word| ip(lower, word)) else { return };
    if let Some(draft) = lower.drafts.peers.last_mut() {
        draft.source = Some(source);
    }
}

fn ip(lower: &mut Lower, word: &Word) -> Option<At<IpAddr>> {
    let address = word.text.parse();
    if address.is_err() {
        lower.refuse(word, format!("`{}` is no address", word.text));
    }
    Some(At::of(word, address.ok()?))
}

pub(in crate::keepalived) fn interface(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    // The kernel's names end before their sixteenth byte.
    if word.text.len() > 15 {
        return lower.refuse(word, format!("`{}` is too long for the name of an interface", word.text));
    }
    if let Some(draft) = lower.drafts.peers.last_mut() {
        draft.interface = Some(word.text.clone());
    }
}

pub(in crate::keepalived) fn key(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    // Which would also be cited.
    if !word.text.starts_with("file:") && looks_like_a_path(&word.text) {
        return lower.refuse(word, format!("`{0}` looks like the path of a file: write `file:{0}`", word.text));
    }
    if let Some(draft) = lower.drafts.peers.last_mut() {
        draft.key = Some(Source::of(word));
    }
}

pub(in crate::keepalived) fn interval(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(interval) = lower.seconds(word, Peer::SHORTEST..=Peer::LONGEST, Grain::Millisecond) else { return };
    if let Some(draft) = lower.drafts.peers.last_mut() {
        draft.interval = interval;
    }
}

/// The peers that can be talked to. One that cannot is left out with a warning: the virtual routers need none.
pub(in crate::keepalived) fn finish(lower: &mut Lower, files: &dyn Files) -> Config {
    let drafts = std::mem::take(&mut lower.drafts.peers);
    let mut peers: Vec<Peer> = Vec::new();
    for draft in &drafts {
        if let Some(peer) = peer(draft, &peers, files, lower) {
            peers.push(peer);
        }
    }
    lower.drafts.peers = drafts;
    Config { peers }
}

fn peer(draft: &PeerDraft, before: &[Peer], files: &dyn Files, lower: &mut Lower) -> Option<Peer> {
    let mut off = |place, message: &str, fix: &str| {
        let so = "nothing is sent to it, and nothing of it is known";
        lower.say(Diagnostic::warning("peer-off", place, message).so(so).fix(fix));
    };
    let Some(address) = &draft.address else {
        off(draft.place, "the peer has no address", "write `address` and where the other node is");
        return None;
    };
    if before.iter().any(|other| other.address == address.value) {
        off(address.span, "another peer has this address already", "write one block for each node");
        return None;
    }
    if let Some(source) = draft.source.as_ref().filter(|source| source.value.is_ipv4() != address.value.is_ipv4()) {
        off(source.span, "`source` and `address` are not of the same family", "write two IPv4 or two IPv6 addresses");
        return None;
    }
    if let Some(source) = draft.source.as_ref().filter(|source| source.value == address.value) {
        off(source.span, "`source` and `address` are the same", "write this node's address as `source`");
        return None;
    }
    let Some(source) = &draft.key else {
        off(
            draft.place,
            "the peer has no key: what it says could be said by anybody",
            "write `key file:PATH`, and into the file `hex:` and what `openssl rand -hex 32` prints",
        );
        return None;
    };
    let bytes = key::bytes(source, "speak for either node", files, lower)?;
    let n_bytes = bytes.len();
    let Some(key) = Secret::new(bytes) else {
        key::wrong_length(source, n_bytes, Secret::SHORTEST..=Secret::LONGEST, lower);
        return None;
    };
    Some(Peer {
        name: draft.name.clone().unwrap_or_else(|| address.value.to_string()),
        address: address.value,
        port: draft.port,
        source: draft.source.as_ref().map(|source| source.value),
        interface: draft.interface.clone(),
        key,
        interval: draft.interval,
    })
}
