//! Routes and rules of instances, and what is in the kernel from start to end.

mod route;
mod rule;
mod words;

pub(in crate::keepalived) use route::RouteDraft;
pub(in crate::keepalived) use rule::RuleDraft;

use super::address::{self, AddressDraft};
use super::{At, Lower};
use crate::Diagnostic;
use crate::keepalived::language::Node;
use evenkeel_vrrp::config::{Instance, Network, StaticGroup, Track, TrackTarget};

/// What the blocks outside of instances say.
#[derive(Debug, Default)]
pub(in crate::keepalived) struct Drafts {
    /// The next one gets a lower priority.
    pub(super) n_rules_without_priority: u32,
    addresses: Vec<At<AddressDraft>>,
    routes: Vec<At<RouteDraft>>,
    rules: Vec<At<RuleDraft>>,
    groups: Vec<GroupDraft>,
}

/// A track_group.
#[derive(Debug)]
struct GroupDraft {
    name: At<String>,
    members: Vec<At<String>>,
}

pub(in crate::keepalived) fn virtual_routes(lower: &mut Lower, node: &Node) {
    let routes = route::lines(lower, node);
    for group in routes.iter().filter_map(|route| route.value.group.as_ref()) {
        group_of_instance(lower, group);
    }
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.routes.extend(routes);
}

pub(in crate::keepalived) fn virtual_rules(lower: &mut Lower, node: &Node) {
    let rules = rule::lines(lower, node);
    for group in rules.iter().filter_map(|rule| rule.value.group.as_ref()) {
        group_of_instance(lower, group);
    }
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    draft.rules.extend(rules);
}

fn group_of_instance(lower: &mut Lower, group: &At<String>) {
    lower.say(
        Diagnostic::warning("extra-text", group.span, "`track_group` is for static routes and rules")
            .so("it is ignored")
            .fix("remove it"),
    );
}

pub(in crate::keepalived) fn static_ipaddress(lower: &mut Lower, node: &Node) {
    let addresses = address::lines(lower, node);
    for own_mac in addresses.iter().filter_map(|address| address.value.own_mac) {
        lower.say(
            Diagnostic::warning("extra-text", own_mac, "`use_vmac` says nothing about an address of no virtual router")
                .so("it is ignored")
                .fix("remove it"),
        );
    }
    lower.drafts.network.addresses.extend(addresses);
}

pub(in crate::keepalived) fn static_routes(lower: &mut Lower, node: &Node) {
    let routes = route::lines(lower, node);
    lower.drafts.network.routes.extend(routes);
}

pub(in crate::keepalived) fn static_rules(lower: &mut Lower, node: &Node) {
    let rules = rule::lines(lower, node);
    lower.drafts.network.rules.extend(rules);
}

pub(in crate::keepalived) fn begin_group(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1) else { return };
    lower.drafts.network.groups.push(GroupDraft { name: At::of(name, name.text.clone()), members: Vec::new() });
}

pub(in crate::keepalived) fn members(lower: &mut Lower, node: &Node) {
    let members = node.children.iter().flat_map(|line| &line.words).map(|word| At::of(word, word.text.clone()));
    let Some(group) = lower.drafts.network.groups.last_mut() else { return };
    group.members.extend(members);
}

/// Makes of the drafts what the role is told; instances depend on the groups that they are members of.
pub(super) fn finish(drafts: &super::Drafts, instances: &mut [Instance], lower: &mut Lower) -> Network {
    let own = &drafts.network;
    let default = drafts.globals.default_interface();
    let mut network = Network { firewall: drafts.globals.firewall.clone(), ..Network::default() };
    for draft in &own.addresses {
        let mut address = draft.value.address.clone();
        address.device.get_or_insert_with(|| default.to_owned());
        network.addresses.push(address);
    }
    network.routes = own.routes.iter().map(|draft| draft.value.route.clone()).collect();
    network.rules = own.rules.iter().map(|draft| draft.value.rule.clone()).collect();
    unknown_groups(own, lower);
    for group in &own.groups {
        let name = &group.name.value;
        let is_in = |of: &Option<At<String>>| of.as_ref().is_some_and(|of| of.value == *name);
        let all = StaticGroup {
            name: name.clone(),
            addresses: indexes(&own.addresses, |draft| is_in(&draft.group)),
            routes: indexes(&own.routes, |draft| is_in(&draft.group)),
            rules: indexes(&own.rules, |draft| is_in(&draft.group)),
        };
        network.groups.push(all);
        for member in &group.members {
            match instances.iter_mut().find(|instance| instance.name == member.value) {
                Some(instance) => {
                    let target = TrackTarget::Static(name.clone());
                    instance.tracks.push(Track { target, weight: 0, reverse: false });
                }
                None => lower.say(
                    Diagnostic::warning(
                        "unknown-member",
                        member.span,
                        format!("there is no vrrp_instance `{}`", member.value),
                    )
                    .so(format!("it is left out of the track_group `{name}`"))
                    .fix("name an instance of this configuration"),
                ),
            }
        }
    }
    network
}

fn indexes<T>(list: &[At<T>], is_in: impl Fn(&T) -> bool) -> Vec<usize> {
    list.iter().enumerate().filter(|(_, draft)| is_in(&draft.value)).map(|(at, _)| at).collect()
}

fn unknown_groups(own: &Drafts, lower: &mut Lower) {
    let of_addresses = own.addresses.iter().filter_map(|draft| draft.value.group.as_ref());
    let of_routes = own.routes.iter().filter_map(|draft| draft.value.group.as_ref());
    let of_rules = own.rules.iter().filter_map(|draft| draft.value.group.as_ref());
    for named in of_addresses.chain(of_routes).chain(of_rules) {
        if !own.groups.iter().any(|group| group.name.value == named.value) {
            lower.say(
                Diagnostic::warning("unknown-group", named.span, format!("there is no track_group `{}`", named.value))
                    .so("no instance depends on this line")
                    .fix(format!("define it: `track_group {} {{ group {{ INSTANCE }} }}`", named.value)),
            );
        }
    }
}
