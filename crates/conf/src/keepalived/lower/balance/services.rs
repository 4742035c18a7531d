//! Which services a virtual_server is: groups and ranges spread out.

use super::super::Lower;
use super::{Drafts, Member, PoolDraft, Virtual};
use crate::{Diagnostic, Span};
use evenkeel_balance::table::{Protocol, ServiceKey};
use evenkeel_wire::Family;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

/// More services than this in one group are a mistake in a mask: the kernel takes each of them singly.
const MOST_SERVICES: u128 = 65_536;
/// And more than this in one configuration.
const MOST_SERVICES_IN_ALL: u128 = 4 * MOST_SERVICES;

/// Spreads services out, and gives none to two virtual servers.
#[derive(Default)]
pub(super) struct Services {
    taken: HashSet<ServiceKey>,
    /// How many were asked for, those among them that were taken already.
    n_wanted: u128,
}

impl Services {
    /// The services of a virtual_server, in order; none after saying why.
    pub(super) fn of(
        &mut self,
        draft: &PoolDraft,
        protocol: Protocol,
        drafts: &Drafts,
        lower: &mut Lower,
    ) -> Vec<ServiceKey> {
        let first_server = draft.servers.iter().find_map(|server| server.address.value).map(Family::of);
        let family = draft.family.or(first_server).unwrap_or(Family::V4);
        let members = match &draft.of.value {
            Virtual::Unknown => return Vec::new(),
            Virtual::Address { address, port } => {
                vec![Member::Range { first: *address, last: *address, port: *port, span: draft.of.span }]
            }
            Virtual::Mark(mark) => vec![Member::Mark { mark: *mark, family: Some(family), span: draft.of.span }],
            Virtual::Group(name) => match group(name, draft, drafts, lower) {
                Some(group) => marks_with_family(group, family, lower),
                None => return Vec::new(),
            },
        };
        let wanted = members.iter().map(count).fold(0, u128::saturating_add);
        if wanted > MOST_SERVICES || self.n_wanted + wanted > MOST_SERVICES_IN_ALL {
            too_many(draft.of.span, wanted, lower);
            return Vec::new();
        }
        self.n_wanted += wanted;
        let mut services = Vec::new();
        for member in members {
            match member {
                Member::Mark { mark, family, span } => {
                    let service = ServiceKey::Mark { family: family.unwrap_or(Family::V4), mark };
                    self.take(service, span, &mut services, lower);
                }
                Member::Range { first, last, port, span } => {
                    for address in addresses(first, last) {
                        self.take(ServiceKey::Address { protocol, address, port }, span, &mut services, lower);
                    }
                }
            }
        }
        services
    }

    fn take(&mut self, service: ServiceKey, span: Span, services: &mut Vec<ServiceKey>, lower: &mut Lower) {
        if self.taken.insert(service) {
            return services.push(service);
        }
        let name = name(&service);
        lower.say(
            Diagnostic::warning("repeated-service", span, format!("{name} is there twice"))
                .so("the first one wins: the kernel has one service for it, which keepalived would fill from both")
                .fix("remove one of them"),
        );
    }
}

fn group<'a>(name: &str, draft: &PoolDraft, drafts: &'a Drafts, lower: &mut Lower) -> Option<&'a [Member]> {
    let group = drafts.groups.get(name).map(Vec::as_slice);
    if group.is_none() {
        lower.say(
            Diagnostic::warning("unknown-group", draft.of.span, format!("there is no virtual_server_group `{name}`"))
                .so("the virtual_server is left out: nobody balances its connections")
                .fix(format!("define it: `virtual_server_group {name} {{ ... }}`")),
        );
    }
    group
}

/// Marks that name no family are of that of the addresses beside them, or of the servers.
fn marks_with_family(group: &[Member], servers: Family, lower: &mut Lower) -> Vec<Member> {
    let families: HashSet<Family> = group
        .iter()
        .filter_map(|member| match member {
            Member::Range { first, .. } => Some(Family::of(*first)),
            Member::Mark { .. } => None,
        })
        .collect();
    let mut members = group.to_vec();
    for member in &mut members {
        let Member::Mark { family: family @ None, span, .. } = member else { continue };
        *family = match families.len() {
            1 => families.iter().next().copied(),
            _ => Some(servers),
        };
        if families.len() > 1 {
            lower.say(
                Diagnostic::warning(
                    "mark-without-family",
                    *span,
                    "a mark without family beside IPv4 and IPv6 addresses",
                )
                .so("it is of the family of the first real server; keepalived leaves the whole group out")
                .fix("write `inet` or `inet6` after the number"),
            );
        }
    }
    members
}

fn too_many(span: Span, wanted: u128, lower: &mut Lower) {
    lower.say(
        Diagnostic::error("too-many-services", span, format!("this virtual_server is {wanted} services"))
            .so(format!("a group may have {MOST_SERVICES}, all of them together {MOST_SERVICES_IN_ALL}"))
            .fix("mark the packets by the firewall and balance `fwmark N`"),
    );
}

fn count(member: &Member) -> u128 {
    match member {
        Member::Mark { .. } => 1,
        Member::Range { first, last, .. } => bits(*last).saturating_sub(bits(*first)).saturating_add(1),
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Both ends are of one family: a range is read so.
fn addresses(first: IpAddr, last: IpAddr) -> impl Iterator<Item = IpAddr> {
    (bits(first)..=bits(last)).map(move |bits| match first {
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from(bits).into(),
    })
}

/// As keepalived's log spells a service.
pub(super) fn name(service: &ServiceKey) -> String {
    match service {
        ServiceKey::Address { protocol, address, port } => {
            let protocol = match protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Sctp => "sctp",
            };
            format!("[{address}]:{protocol}:{port}")
        }
        ServiceKey::Mark { mark, .. } => mark_name(*mark),
    }
}

fn mark_name(mark: NonZeroU32) -> String {
    format!("FWM {mark}")
}
