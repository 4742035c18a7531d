use super::authentication::authentication;
use super::{
    At, Drafts, Globals, InstanceDraft, Lower, ScriptDraft, TrackDraft, TrackName, flavour, group, links, network,
    pacing, strict, transport,
};
use crate::keepalived::settings::{CommandLine, InstanceSettings, ScriptCommand};
use crate::{Diagnostic, Files, Span};
use evenkeel_vrrp::config::{
    Centis, Initial, Instance, OldChecksum, Preempt, Priority, Script, Track, TrackTarget, Version, VirtualAddress,
    Vrid,
};
use evenkeel_vrrp::{Config, ScriptId};
use evenkeel_wire::Family;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

/// Makes of the drafts what the roles are told.
pub(in crate::keepalived) fn finish(lower: &mut Lower, files: &dyn Files) -> Config {
    let drafts = std::mem::take(&mut lower.drafts);
    let scripts = Scripts::new(&drafts, lower);
    let mut instances = Vec::new();
    let global_mail = lower.settings.mail.alert_vrrp.or(lower.settings.mail.alert);
    for draft in drafts.instances.iter().filter(|draft| !draft.duplicate) {
        if let Some(instance) = instance(draft, &drafts, &scripts, files, lower) {
            lower.settings.instances.push(InstanceSettings {
                name: draft.name.value.clone(),
                notify: draft.notify.clone(),
                mail_alert: draft.smtp_alert.or(global_mail).unwrap_or(false),
                skip_check_adv_addr: draft.skip_check_adv_addr.unwrap_or(drafts.globals.skip_check_adv_addr),
                strict: draft.strict.as_ref().or(drafts.globals.strict.as_ref()).is_some_and(|strict| strict.value),
                faults_without_peer: draft.unicast_fault_no_peer.unwrap_or_default(),
                promote_secondaries: draft.promote_secondaries.unwrap_or_default(),
            });
            instances.push(instance);
        }
    }
    flavour::finish(&drafts, &mut instances, lower);
    let network = network::finish(&drafts, &mut instances, lower);
    same_vrid(&drafts, lower);
    let groups = group::finish(&drafts, &instances, lower);
    watched(&drafts, &instances, lower);
    let pacing = Box::new(pacing::finish(&drafts, lower));
    let links = Box::new(links::finish(&drafts, &instances, lower));
    lower.settings.process.defaults = super::daemon::defaults(&drafts);
    lower.drafts = drafts;
    super::fifo::finish(lower);
    Config { instances, scripts: scripts.judged, groups, network: Box::new(network), pacing, links }
}

/// The scripts that some instance tracks: the others never run, in keepalived too.
struct Scripts {
    ids: HashMap<String, ScriptId>,
    judged: Vec<Script>,
}

impl Scripts {
    fn new(drafts: &Drafts, lower: &mut Lower) -> Self {
        let mut scripts = Scripts { ids: HashMap::new(), judged: Vec::new() };
        let of_groups = drafts.groups.iter().flat_map(|group| &group.tracks);
        let tracks = drafts.instances.iter().flat_map(|instance| &instance.tracks).chain(of_groups);
        let tracked: HashSet<&TrackName> = tracks.map(|track| &track.target.value).collect();
        for draft in drafts.scripts.iter().filter(|draft| !draft.duplicate) {
            let Some(command) = command(draft, lower) else { continue };
            if !tracked.contains(&TrackName::Script(draft.name.value.clone())) {
                lower.say(
                    Diagnostic::warning(
                        "script-not-tracked",
                        draft.name.span,
                        format!("no instance tracks the script `{}`", draft.name.value),
                    )
                    .so("it never runs")
                    .fix(format!("add `track_script {{ {} }}` to the vrrp_instance", draft.name.value)),
                );
                continue;
            }
            scripts.ids.insert(draft.name.value.clone(), script_id(scripts.judged.len()));
            let (rise, fall) = (draft.rise.unwrap_or(1), draft.fall.unwrap_or(1));
            scripts.judged.push(Script { name: draft.name.value.clone(), rise, fall });
            lower.settings.scripts.push(command);
        }
        scripts
    }
}

fn script_id(index: usize) -> ScriptId {
    ScriptId(index.try_into().unwrap_or_default())
}

fn command(draft: &ScriptDraft, lower: &mut Lower) -> Option<ScriptCommand> {
    let Some(command) = &draft.command else {
        lower.say(
            Diagnostic::warning(
                "script-without-command",
                draft.name.span,
                format!("vrrp_script `{}` has no `script`", draft.name.value),
            )
            .so("it is ignored, and so is what tracks it")
            .fix("write `script \"COMMAND\"` into it"),
        );
        return None;
    };
    let interval = draft.interval.as_ref().map_or(Duration::from_secs(1), |interval| interval.value);
    Some(ScriptCommand {
        name: draft.name.value.clone(),
        command: CommandLine { words: command.value.clone(), user: None },
        interval,
        timeout: draft.timeout.as_ref().map_or(interval, |timeout| timeout.value),
        weight: draft.weight.as_ref().map_or(0, |weight| weight.value.0),
        user: draft.user.clone(),
    })
}

/// The instance, or `None` after saying why it cannot run.
fn instance(
    draft: &InstanceDraft,
    drafts: &Drafts,
    scripts: &Scripts,
    files: &dyn Files,
    lower: &mut Lower,
) -> Option<Instance> {
    let name = &draft.name.value;
    let (interface, vrid) = (transport::interface(draft, lower), required_vrid(draft, lower));
    let globals = &drafts.globals;
    let strict = strict::is_strict(draft, globals);
    let has_addresses = required_addresses(draft, strict, lower);
    let (interface, vrid) = (interface?, vrid?);
    let family = draft.family();
    let version = version(draft, globals, family);
    if !has_addresses || !transport::is_fit(draft, family, version, strict, lower) {
        return None;
    }
    let priority = priority(draft, lower);
    let three = NonZeroU8::new(3).expect("3 is not 0");
    let mut instance = Instance::new(name, &interface, vrid);
    instance.version = version;
    instance.priority = priority;
    instance.initial = if priority == Priority::OWNER || (draft.is_state_master() && !strict) {
        Initial::Master
    } else {
        Initial::Backup
    };
    instance.advert_interval = advert_interval(draft, version, lower);
    instance.preempt = preempt(draft, priority, strict);
    instance.down_adverts = draft.down_adverts.or(globals.down_adverts).filter(|_| !strict).unwrap_or(three);
    instance.addresses = same_family(&draft.addresses, draft, family, lower);
    instance.excluded = draft.excluded.iter().map(|address| address.value.clone()).collect();
    instance.refuses = priority != Priority::OWNER && (draft.no_accept || strict && !draft.accept);
    instance.routes = draft.routes.iter().map(|route| route.value.route.clone()).collect();
    instance.rules = draft.rules.iter().map(|rule| rule.value.rule.clone()).collect();
    if draft.interface.is_none() {
        transport::settle(&mut instance, globals);
    }
    instance.authentication = authentication(draft, &instance, strict, files, lower);
    instance.v3_checksum_as_v2 = draft.v3_checksum_as_v2.unwrap_or(globals.v3_checksum_as_v2);
    instance.group = transport::group(draft, family, globals, lower);
    transport::fit(&mut instance, draft, lower);
    instance.peers = transport::peers(draft, family, lower);
    instance.source = transport::source(draft, family, &instance.peers, lower);
    instance.unicast_ttl = draft.unicast_ttl.unwrap_or(255);
    instance.garp = draft.garp.over(&globals.garp);
    instance.lower_prio_no_advert = strict || draft.lower_prio_no_advert.unwrap_or(globals.lower_prio_no_advert);
    instance.higher_prio_send_advert =
        !strict && draft.higher_prio_send_advert.unwrap_or(globals.higher_prio_send_advert);
    instance.dont_track_primary = draft.dont_track_primary;
    instance.track_source = draft.track_src_ip == Some(true) && instance.source.is_some();
    let speaks_of_unicast = draft.unicast.is_some() || draft.unicast_source.is_some() || draft.unicast_ttl.is_some();
    if draft.unicast_fault_no_peer == Some(true) && speaks_of_unicast && instance.peers.is_empty() {
        instance.obstacle = Some("unicast is configured, and no peer".to_owned());
    }
    instance.owner_ignores_adverts = strict || owner_ignores_adverts(draft, globals, priority, lower);
    instance.expired_priority = draft.timer_expired_backup;
    if strict {
        strict::resets(draft, globals, &mut instance, lower);
    }
    let of_group = group::of(draft, drafts).and_then(|group| group.notify_priority_changes);
    instance.notify_deleted = draft.notify_deleted;
    instance.notify_priority_changes =
        draft.notify_priority_changes.or(of_group).unwrap_or(globals.notify_priority_changes);
    instance.check_unicast_source = draft.check_unicast_src || globals.check_unicast_src;
    instance.old_checksum = draft.old_checksum.as_ref().map_or(OldChecksum::Learned, |old| old.value);
    instance.tracks = tracks(draft, drafts, scripts, priority, lower);
    if strict && let Some(unicast) = draft.unicast {
        lower.say(
            Diagnostic::warning("strict-unicast", unicast, "strict mode knows no unicast peers")
                .so("keepalived refuses this instance; here it runs")
                .fix("remove vrrp_strict, or the peers"),
        );
    }
    Some(instance)
}

/// keepalived: an owner that is told not to ignore them, by itself, ignores them all the same.
fn owner_ignores_adverts(draft: &InstanceDraft, globals: &Globals, priority: Priority, lower: &mut Lower) -> bool {
    let said = draft.owner_ignore_adverts;
    if said == Some(false) && priority == Priority::OWNER {
        let message = "`owner_ignore_adverts off` is not taken from an owner";
        let so = "it ignores adverts all the same, as in keepalived";
        lower.say(Diagnostic::warning("owner-ignores-adverts", draft.name.span, message).so(so).fix("remove the line"));
        return true;
    }
    said.or(globals.owner_ignores_adverts).unwrap_or(false)
}

fn required_vrid(draft: &InstanceDraft, lower: &mut Lower) -> Option<Vrid> {
    if draft.vrid.is_none() {
        let has = if draft.vrid_written { "no valid" } else { "no" };
        lower.say(
            Diagnostic::error(
                "no-virtual-router-id",
                draft.name.span,
                format!("vrrp_instance `{}` has {has} virtual_router_id", draft.name.value),
            )
            .so("it cannot start")
            .fix("write `virtual_router_id N`, 1 to 255, the same on both nodes"),
        );
    }
    draft.vrid.as_ref().map(|vrid| vrid.value)
}

fn required_addresses(draft: &InstanceDraft, strict: bool, lower: &mut Lower) -> bool {
    let has = !draft.addresses.is_empty() || draft.no_addresses && !strict;
    if !has {
        let message = format!("vrrp_instance `{}` has no address", draft.name.value);
        let diagnostic = Diagnostic::error("no-addresses", draft.name.span, message);
        lower.say(match strict && draft.no_addresses {
            true => diagnostic
                .so("strict mode does not know `no_virtual_ipaddress`")
                .fix("remove vrrp_strict, or write `virtual_ipaddress { ADDRESS }`"),
            false => diagnostic
                .so("there is nothing to take over")
                .fix("write `virtual_ipaddress { ADDRESS }`, or `no_virtual_ipaddress` when that is meant"),
        });
    }
    has
}

/// Unless the instance says otherwise IPv6 has version 3, the only one that an RFC has for it.
fn version(draft: &InstanceDraft, globals: &Globals, family: Family) -> Version {
    let otherwise = match family {
        Family::V4 => globals.version.unwrap_or(Version::V2),
        Family::V6 => Version::V3,
    };
    draft.version.as_ref().map_or(otherwise, |version| version.value)
}

fn priority(draft: &InstanceDraft, lower: &mut Lower) -> Priority {
    if draft.priority.is_none()
        && let Some(state) = draft.state.as_ref().filter(|state| state.value == Initial::Master)
    {
        lower.say(
            Diagnostic::warning(
                "master-without-priority",
                state.span,
                "`state MASTER` without `priority` means priority 255",
            )
            .so("the instance owns its addresses: no weight and no peer can take them, as in keepalived")
            .fix("write `priority N`, higher than the peer's"),
        );
    }
    draft.priority()
}

/// Version 2 has whole seconds, version 3 hundredths up to twelve bits of them.
fn advert_interval(draft: &InstanceDraft, version: Version, lower: &mut Lower) -> Centis {
    let Some(advert) = &draft.advert else { return Centis(100) };
    let wanted = advert.value.as_micros();
    let centis = match version {
        Version::V2 => (wanted + 500_000).div_euclid(1_000_000).clamp(1, 255) * 100,
        Version::V3 => (wanted + 5_000).div_euclid(10_000).clamp(1, 4095),
    };
    if centis * 10_000 != wanted {
        let (unit, fix) = match version {
            Version::V2 => ("version 2 has whole seconds", "write whole seconds, or `version 3` on both nodes"),
            Version::V3 => ("version 3 has hundredths of a second, 40.95 s at most", "write a time within that"),
        };
        let seconds = centis as f64 / 100.0;
        lower.say(
            Diagnostic::warning("rounded", advert.span, format!("adverts go out every {seconds} s"))
                .so(format!("{unit}; a peer of version 2 with another interval is not understood"))
                .fix(fix),
        );
    }
    Centis(u16::try_from(centis).unwrap_or(100))
}

/// `state MASTER` disables both forms of holding back (keepalived, observed), and so does owning the addresses.
fn preempt(draft: &InstanceDraft, priority: Priority, strict: bool) -> Preempt {
    // Strict mode knows no `state MASTER` of one that is no owner.
    if (draft.is_state_master() && !strict) || priority == Priority::OWNER {
        return Preempt::Always;
    }
    if draft.nopreempt.is_some() {
        return Preempt::Never;
    }
    match &draft.preempt_delay {
        Some(delay) if !strict && !delay.value.is_zero() => Preempt::After(delay.value),
        _ => Preempt::Always,
    }
}

/// The addresses of the instance's family.
fn same_family(
    addresses: &[At<VirtualAddress>],
    draft: &InstanceDraft,
    family: Family,
    lower: &mut Lower,
) -> Vec<VirtualAddress> {
    let is_same = |address: &&At<VirtualAddress>| Family::of(address.value.prefix.address()) == family;
    let (same, other): (Vec<_>, Vec<_>) = addresses.iter().partition(is_same);
    for address in other {
        lower.say(
            Diagnostic::warning(
                "mixed-families",
                address.span,
                format!("IPv4 and IPv6 addresses in vrrp_instance `{}`", draft.name.value),
            )
            .so("an advert carries one family: this address is left out")
            .fix("move it to virtual_ipaddress_excluded, or to an instance of its own"),
        );
    }
    same.into_iter().map(|address| address.value.clone()).collect()
}

fn tracks(
    draft: &InstanceDraft,
    drafts: &Drafts,
    scripts: &Scripts,
    priority: Priority,
    lower: &mut Lower,
) -> Vec<Track> {
    let mut tracks = Vec::new();
    for noted in &group::tracks(draft, drafts, lower) {
        let Some(track) = lower_track(noted, draft, drafts, scripts, lower) else { continue };
        if priority == Priority::OWNER && track.weight != 0 {
            lower.say(
                Diagnostic::warning("owner-weight", noted.target.span, "a weight does not move priority 255")
                    .so("what is tracked here is ignored, as in keepalived")
                    .fix("lower the priority to 254, or remove the weight so that failure means FAULT"),
            );
            continue;
        }
        tracks.push(track);
    }
    tracks
}

fn lower_track(
    track: &TrackDraft,
    draft: &InstanceDraft,
    drafts: &Drafts,
    scripts: &Scripts,
    lower: &mut Lower,
) -> Option<Track> {
    let place = track.target.span;
    let (target, default) = match &track.target.value {
        TrackName::Interface(name) => (TrackTarget::Interface(name.clone()), (0, false)),
        TrackName::Bfd(name) => (TrackTarget::Bfd(name.clone()), (0, false)),
        TrackName::Proxy => (TrackTarget::Proxy, (0, false)),
        TrackName::File(name) => {
            let Some(file) = drafts.balance.file(name).filter(|file| file.path.is_some()) else {
                unknown_thing("track_file", name, "file \"PATH\"", place, lower);
                return None;
            };
            let weight = i16::try_from(file.weight.0).unwrap_or_default();
            (TrackTarget::File(name.clone()), (weight, file.weight.1))
        }
        TrackName::Process(name) => {
            let process = drafts.processes.iter().find(|process| process.name.value == *name && !process.duplicate);
            let Some(process) = process.filter(|process| process.command.is_some()) else {
                unknown_thing("vrrp_track_process", name, "process \"COMMAND\"", place, lower);
                return None;
            };
            (TrackTarget::Processes(name.clone()), process.weight)
        }
        TrackName::Script(name) => {
            let script = drafts.scripts.iter().find(|script| script.name.value == *name && !script.duplicate);
            let (Some(id), Some(script)) = (scripts.ids.get(name), script) else {
                if script.is_none() {
                    unknown_script(name, place, drafts, lower);
                }
                return None;
            };
            defined_later(script, draft, place, lower);
            let default = script.weight.as_ref().map_or((0, false), |weight| weight.value);
            (TrackTarget::Script(*id), default)
        }
    };
    let weight = track.weight.unwrap_or(default.0);
    let reverse = track.reverse.unwrap_or(default.1);
    Some(Track { target, weight, reverse })
}

fn unknown_thing(keyword: &str, name: &str, needs: &str, place: Span, lower: &mut Lower) {
    lower.say(
        Diagnostic::warning("unknown-tracker", place, format!("there is no {keyword} `{name}` with `{needs}`"))
            .so("nothing is watched, and the address does not follow it")
            .fix(format!("define it: `{keyword} {name} {{ {needs} }}`")),
    );
}

/// The files and processes that some instance tracks.
fn watched(drafts: &Drafts, instances: &[Instance], lower: &mut Lower) {
    let is_tracked = |target: &TrackTarget| {
        instances.iter().flat_map(|instance| &instance.tracks).any(|track| track.target == *target)
    };
    let files = drafts.balance.tracked_files(|name| is_tracked(&TrackTarget::File(name.to_owned())));
    lower.settings.files = files;
    let processes = drafts.processes.iter().filter(|process| !process.duplicate);
    let tracked = processes.filter(|process| is_tracked(&TrackTarget::Processes(process.name.value.clone())));
    lower.settings.processes = tracked.filter_map(|process| process.tracked()).collect();
}

fn unknown_script(name: &str, place: Span, drafts: &Drafts, lower: &mut Lower) {
    let nearest = drafts
        .scripts
        .iter()
        .map(|script| (strsim::damerau_levenshtein(name, &script.name.value), &script.name.value))
        .min()
        .filter(|(distance, nearest)| *distance <= 1 + nearest.len() / 4);
    let fix = match nearest {
        Some((_, nearest)) => format!("write `{nearest}`"),
        None => format!("define it: `vrrp_script {name} {{ ... }}`"),
    };
    lower.say(
        Diagnostic::warning("unknown-script", place, format!("there is no vrrp_script `{name}`"))
            .so("nothing is checked, and the address does not follow the service")
            .fix(fix),
    );
}

/// keepalived looks a script up where it is named, so a later definition does not exist for it.
fn defined_later(script: &ScriptDraft, draft: &InstanceDraft, place: Span, lower: &mut Lower) {
    let (defined, used) = (script.name.span, draft.name.span);
    if defined.file == used.file && defined.line > used.line {
        lower.say(
            Diagnostic::warning(
                "script-defined-later",
                place,
                format!("vrrp_script `{}` is defined further down", script.name.value),
            )
            .so("here it is tracked; keepalived does not find it and checks nothing")
            .fix("move the vrrp_script above the vrrp_instance"),
        );
    }
}

/// Two virtual routers of one number on one interface hear each other as the same one.
fn same_vrid(drafts: &Drafts, lower: &mut Lower) {
    let mut seen = HashMap::<_, (String, Vec<IpAddr>)>::new();
    for draft in drafts.instances.iter().filter(|draft| !draft.duplicate) {
        let (Some(interface), Some(vrid)) = (&draft.interface, &draft.vrid) else { continue };
        let group = draft.group.as_ref().map(|group| group.value).filter(|_| draft.peers.is_empty());
        let link = (interface.value.clone(), vrid.value, draft.family(), group);
        let unicast: Vec<_> = draft.peers.iter().map(|peer| peer.value.address).collect();
        let Some((first, peers)) = seen.get(&link) else {
            seen.insert(link, (draft.name.value.clone(), unicast));
            continue;
        };
        let disjoint = !unicast.is_empty() && unicast.iter().all(|peer| !peers.contains(peer));
        if !disjoint {
            lower.say(
                Diagnostic::error(
                    "same-virtual-router-id",
                    vrid.span,
                    format!("`{first}` has the same virtual_router_id on {}", interface.value),
                )
                .so("their adverts cannot be told apart")
                .fix("give each instance a number of its own"),
            );
        }
    }
}
