//! Well-formed configuration that will not do what was meant.

mod addresses;
mod balance;
mod election;
mod pair;
mod peer;
mod script;

use super::Loaded;
use super::lower::{InstanceDraft, TrackDraft, TrackName};
use crate::{Diagnostic, Span};
use evenkeel_vrrp::config::{Instance, Track, TrackTarget};
use std::path::Path;

/// What a lint may know about the machine. Tests answer from a table, the program from the disk and the kernel.
pub trait Host {
    /// The file a script is in; `None` when it does not exist.
    fn script(&self, path: &Path) -> Option<ScriptFile>;

    /// Whether an interface of this name exists; `None` when that is not known here.
    fn interface_exists(&self, name: &str) -> Option<bool>;

    /// Whether this machine has the address; `None` when that is not known here.
    fn has_address(&self, address: std::net::IpAddr) -> Option<bool> {
        let _ = address;
        None
    }
}

/// A script as a [`Host`] finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptFile {
    /// Some execute bit is set.
    pub executable: bool,
    /// The first path element (from the root) that somebody other than root may write.
    pub writable_element: Option<std::path::PathBuf>,
    /// The text, when it is text.
    pub text: Option<String>,
}

/// A machine nothing is known about: only what the files themselves show is reported.
pub struct NoHost;

impl Host for NoHost {
    /// Nothing is known: as if every script were in order and had no readable text.
    fn script(&self, _: &Path) -> Option<ScriptFile> {
        Some(ScriptFile { executable: true, writable_element: None, text: None })
    }

    fn interface_exists(&self, _: &str) -> Option<bool> {
        None
    }
}

/// What is likely or surely not meant, in one configuration.
pub fn lint(loaded: &Loaded, host: &dyn Host) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for draft in loaded.drafts.instances.iter().filter(|draft| !draft.duplicate) {
        election::instance(draft, loaded, &mut found);
        addresses::instance(draft, host, &mut found);
    }
    addresses::repeated(loaded, &mut found);
    for draft in loaded.drafts.scripts.iter().filter(|draft| !draft.duplicate) {
        script::script(draft, loaded, host, &mut found);
    }
    peer::peers(loaded, host, &mut found);
    balance::notices([&loaded.drafts.fifos.lvs.reader], loaded, host, &mut found);
    for draft in &loaded.drafts.balance.pools {
        balance::pool(draft, loaded, host, &mut found);
    }
    found.sort_by_key(|diagnostic| diagnostic.span.map(|span| (span.file, span.line, span.start)));
    found
}

/// What does not fit between the configurations of two nodes; the spans are those of `mine`.
pub fn lint_pair(mine: &Loaded, peer: &Loaded) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for draft in mine.drafts.instances.iter().filter(|draft| !draft.duplicate) {
        let (Some(mine_at), Some(vrid)) = (lowered(mine, draft), &draft.vrid) else { continue };
        let same = |other: &&Instance| {
            (other.vrid, other.family(), other.is_unicast()) == (vrid.value, mine_at.family(), mine_at.is_unicast())
        };
        match peer.vrrp.instances.iter().find(same) {
            Some(peer_at) => pair::instance(draft, mine, mine_at, peer_at, &mut found),
            None => found.push(
                Diagnostic::warning(
                    "no-peer",
                    vrid.span,
                    format!("the other node has no instance with virtual_router_id {}", vrid.value.get()),
                )
                .so("nobody takes these addresses over")
                .fix("use the same virtual_router_id on both nodes"),
            ),
        }
    }
    found
}

/// Where an instance names what it tracks.
fn place(track: &Track, draft: &InstanceDraft, loaded: &Loaded) -> Span {
    let is_it = |noted: &&TrackDraft| match (&noted.target.value, &track.target) {
        (TrackName::Interface(name), TrackTarget::Interface(target)) => name == target,
        (TrackName::Script(name), TrackTarget::Script(_)) => Some(name.as_str()) == script_name(&track.target, loaded),
        (TrackName::Bfd(name), TrackTarget::Bfd(target)) => name == target,
        (TrackName::Proxy, TrackTarget::Proxy) => true,
        _ => false,
    };
    draft.tracks.iter().find(is_it).map_or(draft.name.span, |noted| noted.target.span)
}

fn script_name<'a>(target: &TrackTarget, loaded: &'a Loaded) -> Option<&'a str> {
    let TrackTarget::Script(id) = target else { return None };
    let script = loaded.vrrp.scripts.iter().enumerate().find(|(at, _)| id.0 as usize == *at);
    script.map(|(_, script)| script.name.as_str())
}

/// What became of a draft.
fn lowered<'a>(loaded: &'a Loaded, draft: &InstanceDraft) -> Option<&'a Instance> {
    loaded.vrrp.instances.iter().find(|instance| instance.name == draft.name.value)
}
