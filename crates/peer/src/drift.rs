//! Where two nodes differ that should agree.

use crate::facts::{Facts, Router};
use evenkeel_wire::Prefix;
use std::fmt;

/// One difference between this node and a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Versions of evenkeel.
    Version {
        /// Here.
        here: String,
        /// There.
        there: String,
    },
    /// A virtual router has other addresses: whoever is backup discards the master's adverts, or clients lose some.
    Addresses {
        /// Which.
        router: String,
        /// Only on this node.
        here: Vec<Prefix>,
        /// Only on the peer.
        there: Vec<Prefix>,
    },
    /// A virtual router has another version or interval.
    Protocol {
        /// Which.
        router: String,
        /// What it is here.
        here: String,
        /// And there.
        there: String,
    },
    /// A virtual router that the other node does not have: nobody stands in for it.
    Alone {
        /// Which.
        router: String,
        /// It is this node that has it.
        here: bool,
    },
    /// Another part of the configuration.
    Part(String),
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Drift::Version { here, there } => write!(f, "evenkeel {here} here, {there} there"),
            Drift::Addresses { router, here, there } => {
                write!(f, "addresses of {router}:")?;
                let list = |addresses: &[Prefix]| {
                    const LISTED: usize = 8;
                    let names: Vec<_> = addresses.iter().take(LISTED).map(Prefix::to_string).collect();
                    let more = addresses.len().saturating_sub(LISTED);
                    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                    names.join(", ") + &more
                };
                if !here.is_empty() {
                    write!(f, " {} only here", list(here))?;
                }
                if !here.is_empty() && !there.is_empty() {
                    f.write_str(",")?;
                }
                if !there.is_empty() {
                    write!(f, " {} only there", list(there))?;
                }
                Ok(())
            }
            Drift::Protocol { router, here, there } => write!(f, "{router}: {here} here, {there} there"),
            Drift::Alone { router, here: true } => write!(f, "{router} is only here"),
            Drift::Alone { router, here: false } => write!(f, "{router} is only there"),
            Drift::Part(name) => write!(f, "the configuration of {name} differs"),
        }
    }
}

/// All differences.
///
/// Virtual routers are the same when they have the same identifier and family, and where a node has several of those
/// (on several networks) the same name. Digests are compared between equal versions only: another version may write the
/// same configuration down otherwise.
pub fn drifts(here: &Facts, there: &Facts) -> Vec<Drift> {
    let mut drifts = Vec::new();
    let same_version = here.version == there.version;
    if !same_version {
        drifts.push(Drift::Version { here: here.version.clone(), there: there.version.clone() });
    }
    let with_addresses = !here.without_addresses && !there.without_addresses;
    let mut met = vec![false; there.routers.len()];
    for router in &here.routers {
        match find(router, here, there) {
            Some(at) => {
                met[at] = true;
                drifts.extend(of_router(router, &there.routers[at], with_addresses));
            }
            None => drifts.push(Drift::Alone { router: router.title(), here: true }),
        }
    }
    let unmet = there.routers.iter().zip(&met).filter(|(_, met)| !**met);
    drifts.extend(unmet.map(|(router, _)| Drift::Alone { router: router.title(), here: false }));
    if same_version {
        for (name, digest) in &here.parts {
            let theirs = there.parts.iter().find(|(theirs, _)| theirs == name);
            if theirs.is_none_or(|(_, theirs)| theirs != digest) {
                drifts.push(Drift::Part(name.clone()));
            }
        }
        let only_there = there.parts.iter().filter(|(name, _)| here.parts.iter().all(|(ours, _)| ours != name));
        drifts.extend(only_there.map(|(name, _)| Drift::Part(name.clone())));
    }
    drifts
}

/// Which of `there` is the same virtual router as `router`, which is one of `here`.
fn find(router: &Router, here: &Facts, there: &Facts) -> Option<usize> {
    let is_same = |other: &&Router| (other.vrid, other.is_ipv6) == (router.vrid, router.is_ipv6);
    let is_only = |facts: &Facts| facts.routers.iter().filter(is_same).count() <= 1;
    let by_name = !is_only(here) || !is_only(there);
    there.routers.iter().position(|other| is_same(&other) && (!by_name || other.name == router.name))
}

fn of_router(here: &Router, there: &Router, with_addresses: bool) -> Vec<Drift> {
    let mut drifts = Vec::new();
    let only = |these: &Router, others: &Router| -> Vec<Prefix> {
        let others: std::collections::HashSet<_> = others.addresses.iter().collect();
        these.addresses.iter().filter(|address| !others.contains(address)).copied().collect()
    };
    let (only_here, only_there) = (only(here, there), only(there, here));
    if with_addresses && (!only_here.is_empty() || !only_there.is_empty()) {
        drifts.push(Drift::Addresses { router: here.title(), here: only_here, there: only_there });
    }
    let protocol = |router: &Router| format!("VRRPv{} every {:?}", router.version, router.interval);
    if (here.version, here.interval) != (there.version, there.interval) {
        drifts.push(Drift::Protocol { router: here.title(), here: protocol(here), there: protocol(there) });
    }
    drifts
}
