//! What is tracked, and by whom: sync groups, scripts, files, processes, BFD sessions.

use super::Facts;
use super::text::{Text, ids, words, yes};
use super::vrrp::{list, reversed, scripts, state};
use evenkeel_conf::keepalived::{Parameters, ScriptCommand, Settings, TrackedFile, TrackedProcess};
use evenkeel_vrrp::config::{Instance, Track, TrackTarget};
use evenkeel_vrrp::{Config, GroupStatus, ScriptId, ScriptStatus, StateName};
use std::time::Duration;

/// Writes the sections.
pub fn write(out: &mut Text, facts: &Facts) {
    let (settings, config) = (&facts.settings, &facts.vrrp);
    if !facts.status.groups.is_empty() {
        out.section("VRRP Sync groups");
        for group in &facts.status.groups {
            sync_group(out, group, facts);
        }
    }
    if !config.scripts.is_empty() {
        out.section("VRRP Scripts");
        for (id, script) in (0..).map(ScriptId).zip(&settings.scripts) {
            let status = facts.status.scripts.get(id.0 as usize);
            check_script(out, id, script, status, config, settings);
        }
    }
    if !settings.files.is_empty() {
        out.section("VRRP Track files");
        settings.files.iter().for_each(|each| file(out, each, facts));
    }
    if !settings.processes.is_empty() {
        out.section("VRRP Track processes");
        settings.processes.iter().for_each(|each| process(out, each, facts));
    }
    if !facts.bfd.sessions.is_empty() {
        out.section("VRRP Track BFDs");
        for session in facts.bfd.sessions.iter().filter(|session| session.tells_vrrp) {
            let is_up = facts.sessions.sessions.iter().any(|now| now.name == session.name && now.reported_up);
            out.field(1, "VRRP Track BFD", &session.name);
            let weight = settings.session_weights.get(&session.name).copied().unwrap_or_default();
            out.field(3, "Weight", format!("{}{}", weight.0, reversed(weight.1)));
            out.line(3, if is_up { "Bfd is up" } else { "Bfd is down" });
            out.line(3, "Tracking VRRP instances :");
            tracking(out, config, &TrackTarget::Bfd(session.name.clone()));
        }
    }
}

/// Who tracks it, with the weight that it has there.
fn tracking(out: &mut Text, config: &Config, target: &TrackTarget) {
    out.line(3, "Tracking instances :");
    for instance in &config.instances {
        if let Some(track) = instance.tracks.iter().find(|track| track.target == *target) {
            out.line(5, &format!("{}, weight {}{}", instance.name, track.weight, reversed(track.reverse)));
        }
    }
}

fn sync_group(out: &mut Text, group: &GroupStatus, facts: &Facts) {
    out.line(1, &format!("VRRP Sync Group = {}, {}", group.name, state(group.state)));
    let members = || facts.status.instances.iter().filter(|instance| group.members.contains(&instance.name));
    let n_in = |state| members().filter(|instance| instance.state == state).count();
    out.line(3, &format!("Num member fault {}, num member init {}", n_in(StateName::Fault), n_in(StateName::Init)));
    list(out, "VRRP member instances :", group.members.clone());
    let Some(extras) = facts.settings.groups.iter().find(|extras| extras.name == group.name) else { return };
    if extras.keeps_weights {
        out.line(3, "sync group tracking weight set");
    }
    out.field(3, "Using smtp notification", yes(extras.mail_alert));
    tracked(out, &of_group(&group.members, &facts.vrrp), &facts.vrrp, "Tracked process :");
    scripts(out, &extras.notify, &facts.settings);
}

/// What the group of these members tracks: it stands in each of them.
pub fn of_group(members: &[String], config: &Config) -> Vec<Track> {
    let members: Vec<&Instance> = config.instances.iter().filter(|instance| members.contains(&instance.name)).collect();
    let Some((first, rest)) = members.split_first() else { return Vec::new() };
    let in_all = |track: &&Track| rest.iter().all(|member| member.tracks.contains(track));
    first.tracks.iter().filter(in_all).cloned().collect()
}

/// What an instance, or a group, tracks.
pub fn tracked(out: &mut Text, tracks: &[Track], config: &Config, processes: &str) {
    let lines = |line: &dyn Fn(&TrackTarget, String) -> Option<String>| -> Vec<String> {
        let spelled =
            |track: &Track| line(&track.target, format!("weight {}{}", track.weight, reversed(track.reverse)));
        tracks.iter().filter_map(spelled).collect()
    };
    list(
        out,
        "Tracked interfaces :",
        lines(&|target, weight| match target {
            TrackTarget::Interface(name) => Some(format!("{name} {weight}")),
            _ => None,
        }),
    );
    list(
        out,
        "Tracked scripts :",
        lines(&|target, weight| match target {
            TrackTarget::Script(id) => Some(format!("{} {weight}", config.scripts.get(id.0 as usize)?.name)),
            _ => None,
        }),
    );
    list(
        out,
        "Tracked files :",
        lines(&|target, weight| match target {
            TrackTarget::File(name) => Some(format!("{name}, {weight}")),
            _ => None,
        }),
    );
    list(
        out,
        processes,
        lines(&|target, weight| match target {
            TrackTarget::Processes(name) => Some(format!("{name}, {weight}")),
            _ => None,
        }),
    );
    list(
        out,
        "Tracked BFDs :",
        lines(&|target, weight| match target {
            TrackTarget::Bfd(name) => Some(format!("{name}: {weight}")),
            _ => None,
        }),
    );
}

fn check_script(
    out: &mut Text,
    id: ScriptId,
    script: &ScriptCommand,
    status: Option<&ScriptStatus>,
    config: &Config,
    settings: &Settings,
) {
    let judged = config.scripts.get(id.0 as usize);
    let own_user = script.command.user.clone().or(script.user.clone());
    out.field(1, "VRRP Script", &script.name);
    out.field(3, "Command", words(&script.command.words));
    out.field(3, "Interval", format!("{} sec", script.interval.as_secs_f64()));
    // Without a timeout of its own it is the interval, which keepalived writes as 0.
    let timeout = if script.timeout == script.interval { Duration::ZERO } else { script.timeout };
    out.field(3, "Timeout", format!("{} sec", timeout.as_secs_f64()));
    out.field(3, "Weight", script.weight);
    out.field(3, "Rise", judged.map_or(1, |script| script.rise));
    out.field(3, "Fall", judged.map_or(1, |script| script.fall));
    out.field(3, "Result", status.and_then(|status| status.count).unwrap_or(0));
    out.field(3, "Insecure", "no");
    out.field(3, "Init state", "unknown");
    out.field(
        3,
        "Status",
        match status.and_then(|status| status.healthy) {
            None => "INIT",
            Some(true) => "GOOD",
            Some(false) => "BAD",
        },
    );
    out.field(3, "Script uid:gid", ids(&own_user.or(settings.script_user.clone())));
    out.line(3, "VRRP instances :");
    tracking(out, config, &TrackTarget::Script(id));
}

/// What the virtual routers were told of a tracker, in their words.
fn told<'f>(facts: &'f Facts, tracker: &str) -> Option<&'f evenkeel_vrrp::TrackerStatus> {
    facts.status.instances.iter().flat_map(|instance| &instance.trackers).find(|status| status.name == tracker)
}

/// The first number in words such as `3 running`.
fn number(words: &str) -> i64 {
    words.split(|c: char| !(c.is_ascii_digit() || c == '-')).find_map(|word| word.parse().ok()).unwrap_or(0)
}

fn file(out: &mut Text, file: &TrackedFile, facts: &Facts) {
    out.field(1, "Track file", &file.name);
    out.field(3, "File", file.path.display());
    let status = told(facts, &format!("file {}", file.name));
    out.field(3, "Status", status.map_or(0, |status| number(&status.detail)));
    out.field(3, "Weight", format!("{}{}", file.weight.0, reversed(file.weight.1)));
    tracking(out, &facts.vrrp, &TrackTarget::File(file.name.clone()));
}

/// How many run, and whether these are as many as there should; nothing before the first count.
pub fn count(process: &TrackedProcess, facts: &Facts) -> (i64, bool) {
    let status = told(facts, &format!("process {}", process.name));
    let n_running = status.map_or(0, |status| number(&status.detail));
    (n_running, status.and_then(|status| status.healthy).unwrap_or(false))
}

fn process(out: &mut Text, process: &TrackedProcess, facts: &Facts) {
    let (n_running, has_quorum) = count(process, facts);
    out.field(1, "VRRP Track process", &process.name);
    out.field(3, "Process", &process.command);
    let (parameters, matched) = match &process.parameters {
        Parameters::Any => (None, None),
        Parameters::Exact(words) => (Some(words), Some("exact")),
        Parameters::Initial(words) => (Some(words), Some("initial")),
        Parameters::Partial(words) => (Some(words), Some("partial")),
    };
    if let Some(parameters) = parameters.filter(|words| !words.is_empty()) {
        out.field(3, "Parameters", parameters.join(" "));
    }
    if let Some(matched) = matched {
        out.field(3, "Param match", matched);
    }
    out.field(3, "Min processes", process.quorum);
    if let Some(most) = process.quorum_max {
        out.field(3, "Max processes", most);
    }
    out.field(3, "Current processes", n_running);
    out.field(3, "Have quorum", has_quorum);
    out.field(3, "Weight", format!("{}{}", process.weight.0, reversed(process.weight.1)));
    out.field(3, "Terminate delay", format!("{:.6}s", process.lost_after.as_secs_f64()));
    out.field(3, "Fork delay", format!("{:.6}s", process.gained_after.as_secs_f64()));
    out.line(3, "Fork delay timer not running");
    out.line(3, "Terminate delay timer not running");
    out.field(3, "Full command", process.by_command_line);
    tracking(out, &facts.vrrp, &TrackTarget::Processes(process.name.clone()));
}
