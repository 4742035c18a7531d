//! vrrp_sync_group.

use super::{At, Drafts, GroupDraft, InstanceDraft, Kind, Lower, TrackDraft, TrackName, bfd, track};
use crate::Diagnostic;
use crate::keepalived::language::Node;
use crate::keepalived::settings::GroupSettings;
use evenkeel_vrrp::InstanceId;
use evenkeel_vrrp::config::{Group, Instance, Priority};

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1) else { return };
    let duplicate = !lower.claim(Kind::Group, &name.text);
    if duplicate {
        lower.say(
            Diagnostic::warning("repeated", name.span, format!("there is already a vrrp_sync_group `{}`", name.text))
                .so("this one is ignored")
                .fix("give it another name"),
        );
    }
    lower.drafts.groups.push(GroupDraft {
        name: At::of(name, name.text.clone()),
        members: Vec::new(),
        tracks: Vec::new(),
        notify: Default::default(),
        smtp_alert: None,
        notify_priority_changes: None,
        shares_trackers: false,
        keeps_weights: false,
        duplicate,
    });
}

pub(in crate::keepalived) fn members(lower: &mut Lower, node: &Node) {
    let Some(group) = lower.drafts.groups.last_mut() else { return };
    let members = node.children.iter().flat_map(|line| &line.words).map(|word| At::of(word, word.text.clone()));
    group.members.extend(members);
}

pub(in crate::keepalived) fn global_tracking(lower: &mut Lower, _: &Node) {
    let Some(group) = lower.drafts.groups.last_mut() else { return };
    group.shares_trackers = true;
}

pub(in crate::keepalived) fn sync_group_tracking_weight(lower: &mut Lower, _: &Node) {
    let Some(group) = lower.drafts.groups.last_mut() else { return };
    group.keeps_weights = true;
}

pub(in crate::keepalived) fn smtp_alert(lower: &mut Lower, node: &Node) {
    let value = lower.boolean(node.argument(1));
    let Some(group) = lower.drafts.groups.last_mut() else { return };
    group.smtp_alert = value.or(group.smtp_alert);
}

pub(in crate::keepalived) fn notify_priority_changes(lower: &mut Lower, node: &Node) {
    let value = lower.boolean(node.argument(1));
    let Some(group) = lower.drafts.groups.last_mut() else { return };
    group.notify_priority_changes = value.or(group.notify_priority_changes);
}

/// A keyword that sets one command of the draft.
macro_rules! commands {
    ($($name:ident => $field:ident;)*) => {$(
        pub(in crate::keepalived) fn $name(lower: &mut Lower, node: &Node) {
            let before = lower.drafts.groups.last().and_then(|draft| draft.notify.$field.clone());
            let value = lower.command(node, before);
            let Some(draft) = lower.drafts.groups.last_mut() else { return };
            draft.notify.$field = value;
        }
    )*};
}

commands! {
    notify_master => master;
    notify_backup => backup;
    notify_fault => fault;
    notify_stop => stop;
    notify => any;
}

/// A block of trackers.
macro_rules! trackers {
    ($($name:ident => $kind:ident;)*) => {$(
        pub(in crate::keepalived) fn $name(lower: &mut Lower, node: &Node) {
            let tracks = track::lines(lower, node, TrackName::$kind);
            let Some(draft) = lower.drafts.groups.last_mut() else { return };
            draft.tracks.extend(tracks);
        }
    )*};
}

trackers! {
    track_interface => Interface;
    track_script => Script;
    track_file => File;
    track_process => Process;
}

pub(in crate::keepalived) fn track_bfd(lower: &mut Lower, node: &Node) {
    let tracks = bfd::tracks(lower, node);
    let Some(draft) = lower.drafts.groups.last_mut() else { return };
    draft.tracks.extend(tracks);
}

/// The group of an instance: the first that names it.
pub(super) fn of<'a>(draft: &InstanceDraft, drafts: &'a Drafts) -> Option<&'a GroupDraft> {
    drafts.groups.iter().filter(|group| !group.duplicate).find(|group| group.names(draft))
}

impl GroupDraft {
    fn names(&self, draft: &InstanceDraft) -> bool {
        self.members.iter().any(|member| member.value == draft.name.value)
    }
}

/// What an instance tracks in the end: its own things, and those of its group.
///
/// As in keepalived a group changes state as one, so that a weight of one member would tear it apart: without
/// `sync_group_tracking_weight` an interface loses it, and anything else that has one is not tracked. What the group
/// itself tracks counts for each member with its weight, but a member's own weight 0 stays.
pub(super) fn tracks(draft: &InstanceDraft, drafts: &Drafts, lower: &mut Lower) -> Vec<TrackDraft> {
    let Some(group) = of(draft, drafts) else { return draft.tracks.clone() };
    let mut tracks = Vec::new();
    for track in &draft.tracks {
        tracks.extend(of_member(track, draft, group, drafts, lower));
    }
    let mut shared: Vec<TrackDraft> = group.tracks.clone();
    if group.shares_trackers {
        let others = drafts.instances.iter().filter(|other| group.names(other) && other.name != draft.name);
        for other in others {
            let known = std::mem::take(&mut lower.diagnostics);
            let theirs = other.tracks.iter().filter_map(|track| of_member(track, other, group, drafts, lower));
            shared.extend(theirs.collect::<Vec<_>>());
            // What is to be said of them is said where they are members.
            lower.diagnostics = known;
        }
    }
    for track in shared {
        match tracks.iter_mut().find(|own| own.target.value == track.target.value) {
            Some(own) if weight_of(own, drafts) == 0 => {}
            Some(own) => *own = track,
            None => tracks.push(track),
        }
    }
    tracks
}

fn of_member(
    track: &TrackDraft,
    draft: &InstanceDraft,
    group: &GroupDraft,
    drafts: &Drafts,
    lower: &mut Lower,
) -> Option<TrackDraft> {
    if group.keeps_weights || weight_of(track, drafts) == 0 {
        return Some(track.clone());
    }
    let message = format!("`{}` is a member of the group `{}`", draft.name.value, group.name.value);
    let fix = "track it in the group, or write `sync_group_tracking_weight` there";
    if let TrackName::Interface(_) = track.target.value {
        let so = "a weight of one member counts as 0, as in keepalived: the interface down means FAULT";
        lower.say(Diagnostic::warning("weight-in-sync-group", track.target.span, message).so(so).fix(fix));
        return Some(TrackDraft { weight: Some(0), ..track.clone() });
    }
    let so = "what it alone tracks with a weight is ignored, as in keepalived";
    lower.say(Diagnostic::warning("weight-in-sync-group", track.target.span, message).so(so).fix(fix));
    None
}

fn weight_of(track: &TrackDraft, drafts: &Drafts) -> i16 {
    track.weight.or_else(|| default_weight(&track.target.value, drafts)).unwrap_or(0)
}

fn default_weight(name: &TrackName, drafts: &Drafts) -> Option<i16> {
    match name {
        TrackName::Script(name) => {
            let script = drafts.scripts.iter().find(|script| script.name.value == *name && !script.duplicate);
            script?.weight.as_ref().map(|weight| weight.value.0)
        }
        TrackName::File(name) => drafts.balance.file(name).and_then(|file| i16::try_from(file.weight.0).ok()),
        TrackName::Process(name) => {
            drafts.processes.iter().find(|process| process.name.value == *name).map(|process| process.weight.0)
        }
        // A session's own weight was taken where it is named.
        TrackName::Interface(_) | TrackName::Bfd(_) | TrackName::Proxy => None,
    }
}

/// The groups of the instances that run, and what the supervisor does for each.
pub(super) fn finish(drafts: &Drafts, instances: &[Instance], lower: &mut Lower) -> Vec<Group> {
    let global_mail = lower.settings.mail.alert_vrrp.or(lower.settings.mail.alert);
    let mut groups = Vec::new();
    for group in drafts.groups.iter().filter(|group| !group.duplicate) {
        unknown_members(group, drafts, lower);
        twice(group, drafts, lower);
        count(group, lower);
        let is_member = |(_, instance): &(InstanceId, &Instance)| {
            let draft = drafts.instances.iter().find(|draft| draft.name.value == instance.name && !draft.duplicate);
            draft.and_then(|draft| of(draft, drafts)).is_some_and(|of| of.name == group.name)
        };
        let numbered = || (0..).map(InstanceId).zip(instances).filter(is_member);
        let order = |name: &String| group.members.iter().position(|member| member.value == *name);
        let mut members: Vec<_> = numbered().collect();
        members.sort_by_key(|(_, instance)| order(&instance.name));
        if members.is_empty() {
            continue;
        }
        mixed_owners(group, &members, lower);
        lower.settings.groups.push(GroupSettings {
            name: group.name.value.clone(),
            notify: group.notify.clone(),
            mail_alert: group.smtp_alert.or(global_mail).unwrap_or(false),
            keeps_weights: group.keeps_weights,
        });
        let members = members.into_iter().map(|(id, _)| id).collect();
        groups.push(Group { name: group.name.value.clone(), members });
    }
    groups
}

fn unknown_members(group: &GroupDraft, drafts: &Drafts, lower: &mut Lower) {
    let name = &group.name.value;
    for member in &group.members {
        if !drafts.instances.iter().any(|instance| instance.name.value == member.value) {
            lower.say(
                Diagnostic::warning(
                    "unknown-member",
                    member.span,
                    format!("there is no vrrp_instance `{}`", member.value),
                )
                .so(format!("it is left out of the group `{name}`"))
                .fix("name an instance of this configuration"),
            );
        }
    }
}

/// An instance can be in one group only.
fn twice(group: &GroupDraft, drafts: &Drafts, lower: &mut Lower) {
    for member in &group.members {
        let Some(draft) = drafts.instances.iter().find(|instance| instance.name.value == member.value) else {
            continue;
        };
        let Some(first) = of(draft, drafts).filter(|first| first.name != group.name) else { continue };
        let message = format!("`{}` is in the group `{}` already", member.value, first.name.value);
        lower.say(
            Diagnostic::warning("in-two-groups", member.span, message)
                .so(format!("it is left out of the group `{}`", group.name.value))
                .fix("make one group of both"),
        );
    }
}

fn count(group: &GroupDraft, lower: &mut Lower) {
    let name = &group.name.value;
    match group.members.len() {
        0 => lower.say(
            Diagnostic::warning(
                "sync-group-of-none",
                group.name.span,
                format!("vrrp_sync_group `{name}` has no members"),
            )
            .so("it is ignored")
            .fix("write `group { INSTANCE ... }` into it"),
        ),
        1 => lower.say(
            Diagnostic::warning(
                "sync-group-of-one",
                group.name.span,
                format!("vrrp_sync_group `{name}` has one member"),
            )
            .so("there is nothing to move together with it; its trackers and scripts count")
            .fix("remove the group, or add the instances that belong together"),
        ),
        _ => {}
    }
}

fn mixed_owners(group: &GroupDraft, members: &[(InstanceId, &Instance)], lower: &mut Lower) {
    let is_owner = |(_, instance): &&(InstanceId, &Instance)| instance.priority == Priority::OWNER;
    let n_owners = members.iter().filter(is_owner).count();
    if n_owners != 0 && n_owners != members.len() {
        let message =
            format!("some members of `{}` own their addresses (priority 255), others do not", group.name.value);
        lower.say(
            Diagnostic::warning("mixed-owners", group.name.span, message)
                .so("the owners wait for the others before they are master")
                .fix("give all members 255, or none"),
        );
    }
}
