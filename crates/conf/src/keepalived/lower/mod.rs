//! From keywords to typed values. Each keyword's function notes down what the file says in a draft; when all is read,
//! the drafts become what the roles are told, because defaults, order and protocol version are known only then.

mod address;
mod authentication;
pub(in crate::keepalived) mod balance;
pub(in crate::keepalived) mod bfd;
pub(in crate::keepalived) mod daemon;
pub(in crate::keepalived) mod fifo;
mod finish;
pub(in crate::keepalived) mod flavour;
mod garp;
pub(in crate::keepalived) mod global;
pub(in crate::keepalived) mod group;
pub(in crate::keepalived) mod hmac;
pub(in crate::keepalived) mod instance;
mod key;
pub(in crate::keepalived) mod links;
pub(in crate::keepalived) mod mail;
pub(in crate::keepalived) mod network;
mod number;
pub(in crate::keepalived) mod pacing;
pub(in crate::keepalived) mod peer;
pub(in crate::keepalived) mod process;
pub(in crate::keepalived) mod scheduling;
pub(in crate::keepalived) mod script;
mod strict;
mod track;
mod transport;
mod value;

pub(in crate::keepalived) use finish::finish;
pub(in crate::keepalived) use garp::GarpDraft;
pub(in crate::keepalived) use track::{TrackDraft, TrackName};

use super::language::{Node, Word};
use super::settings::{NotifyCommands, Settings, TrackedProcess};
use crate::{Diagnostic, Severity, Span};
use evenkeel_vrrp::config::{Gap, Initial, OldChecksum, Priority, UnicastPeer, Version, VirtualAddress, Vrid};
use evenkeel_wire::{Family, Prefix};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::time::Duration;

/// What has been read so far.
#[derive(Default)]
pub(in crate::keepalived) struct Lower {
    pub(in crate::keepalived) diagnostics: Vec<Diagnostic>,
    pub(in crate::keepalived) settings: Settings,
    pub(in crate::keepalived) drafts: Drafts,
    /// Names of instances and scripts so far.
    names: HashSet<(Kind, String)>,
    /// Problems beyond [`MOST_DIAGNOSTICS`], and the worst of them.
    pub(in crate::keepalived) unsaid: (usize, Option<Severity>),
}

/// More than this many problems help nobody.
const MOST_DIAGNOSTICS: usize = 1000;

/// What has names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Instance,
    Script,
    Group,
    Process,
    Session,
}

impl Lower {
    /// Goes on from what the reader said.
    pub(in crate::keepalived) fn new(said: Vec<Diagnostic>) -> Self {
        let mut lower = Lower::default();
        for diagnostic in said {
            lower.say(diagnostic);
        }
        lower
    }

    /// Keeps a diagnostic, or counts it when there are too many already.
    pub(in crate::keepalived) fn say(&mut self, diagnostic: Diagnostic) {
        if self.has_said_enough() {
            let worst = self.unsaid.1.max(Some(diagnostic.severity));
            self.unsaid = (self.unsaid.0 + 1, worst);
            return;
        }
        self.diagnostics.push(diagnostic);
    }

    /// Whether what is said from now on is only counted.
    pub(in crate::keepalived) fn has_said_enough(&self) -> bool {
        self.diagnostics.len() >= MOST_DIAGNOSTICS
    }

    /// Whether the name was free.
    fn claim(&mut self, kind: Kind, name: &str) -> bool {
        self.names.insert((kind, name.to_owned()))
    }
}

/// The blocks as they were written, with the places of their words: what the lints look at.
#[derive(Debug, Default)]
pub(in crate::keepalived) struct Drafts {
    pub(in crate::keepalived) globals: Globals,
    pub(in crate::keepalived) scripts: Vec<ScriptDraft>,
    pub(in crate::keepalived) instances: Vec<InstanceDraft>,
    pub(in crate::keepalived) groups: Vec<GroupDraft>,
    pub(in crate::keepalived) processes: Vec<ProcessDraft>,
    pub(in crate::keepalived) fifos: fifo::FifoDrafts,
    pub(in crate::keepalived) bfd: Vec<bfd::SessionDraft>,
    pub(in crate::keepalived) balance: balance::Drafts,
    pub(in crate::keepalived) network: network::Drafts,
    pub(in crate::keepalived) paced: Vec<pacing::PacedDraft>,
    pub(in crate::keepalived) links: links::LinksDraft,
    pub(in crate::keepalived) peers: Vec<peer::PeerDraft>,
}

/// Defaults of the instances, from global_defs.
#[derive(Debug, Default)]
pub(in crate::keepalived) struct Globals {
    pub(in crate::keepalived) version: Option<Version>,
    pub(in crate::keepalived) garp: GarpDraft,
    /// `vrrp_garp_interval` and `vrrp_gna_interval`.
    pub(in crate::keepalived) gap: Gap,
    pub(in crate::keepalived) down_adverts: Option<NonZeroU8>,
    pub(in crate::keepalived) lower_prio_no_advert: bool,
    pub(in crate::keepalived) higher_prio_send_advert: bool,
    pub(in crate::keepalived) notify_priority_changes: bool,
    /// For the dumps.
    pub(in crate::keepalived) skip_check_adv_addr: bool,
    pub(in crate::keepalived) v3_checksum_as_v2: bool,
    pub(in crate::keepalived) strict: Option<At<bool>>,
    pub(in crate::keepalived) vmac_prefix: Option<String>,
    pub(in crate::keepalived) vmac_addr_prefix: Option<String>,
    pub(in crate::keepalived) firewall: evenkeel_vrrp::config::Firewall,
    pub(in crate::keepalived) owner_ignores_adverts: Option<bool>,
    /// `default_interface`.
    pub(in crate::keepalived) interface: Option<String>,
    pub(in crate::keepalived) check_unicast_src: bool,
    /// The multicast groups of instances that name none.
    pub(in crate::keepalived) group_v4: Option<Ipv4Addr>,
    pub(in crate::keepalived) group_v6: Option<Ipv6Addr>,
}

impl Globals {
    /// The interface of addresses that belong to none.
    fn default_interface(&self) -> &str {
        self.interface.as_deref().unwrap_or("eth0")
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::keepalived) struct At<T> {
    pub(in crate::keepalived) value: T,
    pub(in crate::keepalived) span: Span,
}

impl<T> At<T> {
    fn new(value: T, span: Span) -> Self {
        At { value, span }
    }

    fn of(word: &Word, value: T) -> Self {
        At { value, span: word.span }
    }
}

/// A vrrp_script.
#[derive(Debug)]
pub(in crate::keepalived) struct ScriptDraft {
    pub(in crate::keepalived) name: At<String>,
    pub(in crate::keepalived) command: Option<At<Vec<String>>>,
    pub(in crate::keepalived) interval: Option<At<Duration>>,
    pub(in crate::keepalived) timeout: Option<At<Duration>>,
    pub(in crate::keepalived) weight: Option<At<(i16, bool)>>,
    pub(in crate::keepalived) rise: Option<u32>,
    pub(in crate::keepalived) fall: Option<u32>,
    pub(in crate::keepalived) user: Option<(String, Option<String>)>,
    /// Another script of this name came first.
    pub(in crate::keepalived) duplicate: bool,
}

/// A vrrp_instance.
#[derive(Debug)]
pub(in crate::keepalived) struct InstanceDraft {
    pub(in crate::keepalived) name: At<String>,
    pub(in crate::keepalived) state: Option<At<Initial>>,
    pub(in crate::keepalived) interface: Option<At<String>>,
    pub(in crate::keepalived) vrid: Option<At<Vrid>>,
    /// `virtual_router_id` is there, though its value may have been refused.
    pub(in crate::keepalived) vrid_written: bool,
    pub(in crate::keepalived) priority: Option<At<Priority>>,
    pub(in crate::keepalived) advert: Option<At<Duration>>,
    pub(in crate::keepalived) version: Option<At<Version>>,
    pub(in crate::keepalived) nopreempt: Option<Span>,
    pub(in crate::keepalived) preempt_delay: Option<At<Duration>>,
    pub(in crate::keepalived) down_adverts: Option<NonZeroU8>,
    pub(in crate::keepalived) strict: Option<At<bool>>,
    pub(in crate::keepalived) accept: bool,
    pub(in crate::keepalived) no_accept: bool,
    pub(in crate::keepalived) dont_track_primary: bool,
    /// `linkbeat_use_polling`.
    pub(in crate::keepalived) polls_link: bool,
    pub(in crate::keepalived) flavour: Option<At<flavour::FlavourDraft>>,
    pub(in crate::keepalived) xmit_base: bool,
    /// `use_vmac_addr`.
    pub(in crate::keepalived) vmac_addresses: bool,
    /// The addresses with `use_vmac`.
    pub(in crate::keepalived) own_macs: Vec<At<Prefix>>,
    pub(in crate::keepalived) unicast_source: Option<At<IpAddr>>,
    pub(in crate::keepalived) multicast_source: Option<At<IpAddr>>,
    /// `mcast_dst_ip`.
    pub(in crate::keepalived) group: Option<At<IpAddr>>,
    pub(in crate::keepalived) native_ipv6: bool,
    /// The VRF of an instance without an interface.
    pub(in crate::keepalived) vrf: Option<At<String>>,
    pub(in crate::keepalived) peers: Vec<At<UnicastPeer>>,
    /// The place of `unicast_peer`.
    pub(in crate::keepalived) unicast: Option<Span>,
    pub(in crate::keepalived) unicast_ttl: Option<u8>,
    pub(in crate::keepalived) v3_checksum_as_v2: Option<bool>,
    /// For the dumps.
    pub(in crate::keepalived) skip_check_adv_addr: Option<bool>,
    /// For the dumps.
    pub(in crate::keepalived) promote_secondaries: Option<bool>,
    pub(in crate::keepalived) auth_type: Option<At<AuthType>>,
    pub(in crate::keepalived) auth_pass: Option<At<String>>,
    pub(in crate::keepalived) hmac: Option<hmac::HmacDraft>,
    pub(in crate::keepalived) check_unicast_src: bool,
    pub(in crate::keepalived) old_checksum: Option<At<OldChecksum>>,
    pub(in crate::keepalived) owner_ignore_adverts: Option<bool>,
    pub(in crate::keepalived) tracks: Vec<TrackDraft>,
    pub(in crate::keepalived) notify: NotifyCommands,
    pub(in crate::keepalived) smtp_alert: Option<bool>,
    pub(in crate::keepalived) notify_priority_changes: Option<bool>,
    pub(in crate::keepalived) notify_deleted: bool,
    pub(in crate::keepalived) track_src_ip: Option<bool>,
    pub(in crate::keepalived) unicast_fault_no_peer: Option<bool>,
    pub(in crate::keepalived) timer_expired_backup: Option<Priority>,
    pub(in crate::keepalived) garp: GarpDraft,
    pub(in crate::keepalived) lower_prio_no_advert: Option<bool>,
    pub(in crate::keepalived) higher_prio_send_advert: Option<bool>,
    pub(in crate::keepalived) addresses: Vec<At<VirtualAddress>>,
    pub(in crate::keepalived) excluded: Vec<At<VirtualAddress>>,
    pub(in crate::keepalived) routes: Vec<At<network::RouteDraft>>,
    pub(in crate::keepalived) rules: Vec<At<network::RuleDraft>>,
    pub(in crate::keepalived) no_addresses: bool,
    /// Another instance of this name came first.
    pub(in crate::keepalived) duplicate: bool,
}

impl InstanceDraft {
    /// Base priority as keepalived sees it: `state MASTER` without `priority` owns the addresses.
    pub(in crate::keepalived) fn priority(&self) -> Priority {
        match (&self.priority, &self.state) {
            (Some(priority), _) => priority.value,
            (None, Some(At { value: Initial::Master, .. })) => Priority::OWNER,
            (None, _) => Priority::DEFAULT,
        }
    }

    /// `state MASTER`, and AH does not take it back (keepalived, observed).
    pub(in crate::keepalived) fn is_state_master(&self) -> bool {
        let is_ah = self.auth_type.as_ref().is_some_and(|kind| kind.value == AuthType::Ah);
        self.state.as_ref().is_some_and(|state| state.value == Initial::Master) && !is_ah
    }

    /// What the instance speaks: the family of its first address, or else of whatever other address it names.
    pub(in crate::keepalived) fn family(&self) -> Family {
        if self.native_ipv6 {
            return Family::V6;
        }
        let first = self.addresses.first().map(|address| address.value.prefix.address());
        let source = [&self.unicast_source, &self.multicast_source, &self.group];
        let source = source.into_iter().flatten().next().map(|source| source.value);
        let peer = self.peers.first().map(|peer| peer.value.address);
        first.or(source).or(peer).map_or(Family::V4, Family::of)
    }
}

/// `auth_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::keepalived) enum AuthType {
    Pass,
    Ah,
}

/// A vrrp_track_process.
#[derive(Debug)]
pub(in crate::keepalived) struct ProcessDraft {
    pub(in crate::keepalived) name: At<String>,
    pub(in crate::keepalived) weight: (i16, bool),
    pub(in crate::keepalived) command: Option<String>,
    pub(in crate::keepalived) full_command: bool,
    pub(in crate::keepalived) tracked: TrackedProcess,
    /// Another one of this name came first.
    pub(in crate::keepalived) duplicate: bool,
}

/// A vrrp_sync_group.
#[derive(Debug)]
pub(in crate::keepalived) struct GroupDraft {
    pub(in crate::keepalived) name: At<String>,
    pub(in crate::keepalived) members: Vec<At<String>>,
    pub(in crate::keepalived) tracks: Vec<TrackDraft>,
    pub(in crate::keepalived) notify: NotifyCommands,
    pub(in crate::keepalived) smtp_alert: Option<bool>,
    pub(in crate::keepalived) notify_priority_changes: Option<bool>,
    /// `global_tracking`: what one member tracks counts for all.
    pub(in crate::keepalived) shares_trackers: bool,
    /// `sync_group_tracking_weight`.
    pub(in crate::keepalived) keeps_weights: bool,
    /// Another group of this name came first.
    pub(in crate::keepalived) duplicate: bool,
}

/// For keywords that the reader or the walk itself has acted on.
pub(in crate::keepalived) fn nothing(_: &mut Lower, _: &Node) {}
