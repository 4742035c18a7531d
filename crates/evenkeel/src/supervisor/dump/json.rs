//! keepalived's JSON of the virtual routers, with its members in its order.

use super::text::{address, words};
use super::{Facts, routing, stats, tracks};
use evenkeel_conf::keepalived::{CommandLine, InstanceSettings, Parameters, TrackedProcess};
use evenkeel_vrrp::config::{Authentication, Instance, Preempt, TrackTarget, Version};
use evenkeel_vrrp::{AdvertCounters, InstanceStatus, StateName};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

/// The text of the file: a list of instances, or with `json_version 2` an object that has it.
pub fn text(facts: &Facts, cleared: &BTreeMap<String, AdvertCounters>) -> String {
    let of = |id: usize| facts.status.instances.iter().find(|status| status.id.0 as usize == id);
    let instances = facts.vrrp.instances.iter().enumerate().filter_map(|(id, instance)| {
        let status = of(id)?;
        let extras = facts.settings.instances.get(id).cloned().unwrap_or_default();
        let counters = stats::since(status, cleared.get(&status.name));
        Some(Entry { data: data(instance, &extras, status, facts), stats: counters.into() })
    });
    let instances: Vec<_> = instances.collect();
    let written = match facts.settings.process.dumps.json_version_2 {
        true => {
            let process = |process| TrackProcess::of(process, facts);
            let track_process = facts.settings.processes.iter().map(process).collect();
            serde_json::to_string(&Version2 { vrrp: instances, track_process })
        }
        false => serde_json::to_string(&instances),
    };
    written.unwrap_or_default()
}

#[derive(Serialize)]
struct Version2 {
    vrrp: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_process: Vec<TrackProcess>,
}

#[derive(Serialize)]
struct TrackProcess {
    process: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<String>,
    param_match: &'static str,
    min_processes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_processes: Option<u32>,
    current_processes: i64,
    have_quorum: bool,
    weight: i16,
    terminate_delay: Seconds,
    fork_delay: Seconds,
    fork_delay_timer_running: bool,
    terminate_delay_timer_running: bool,
    full_command: bool,
}

impl TrackProcess {
    fn of(process: &TrackedProcess, facts: &Facts) -> Self {
        let (current_processes, have_quorum) = tracks::count(process, facts);
        let (param_match, parameters) = match &process.parameters {
            Parameters::Any => ("none", None),
            Parameters::Exact(words) => ("exact", Some(words)),
            Parameters::Initial(words) => ("initial", Some(words)),
            Parameters::Partial(words) => ("partial", Some(words)),
        };
        let (weight, reverse) = process.weight;
        TrackProcess {
            process: process.command.clone(),
            parameters: parameters.filter(|words| !words.is_empty()).map(|words| words.join(" ")),
            param_match,
            min_processes: process.quorum,
            max_processes: process.quorum_max,
            current_processes,
            have_quorum,
            weight: if reverse { -weight } else { weight },
            terminate_delay: Seconds(process.lost_after.as_secs_f64()),
            fork_delay: Seconds(process.gained_after.as_secs_f64()),
            // Whether a delay runs is known to what counts, and not told.
            fork_delay_timer_running: false,
            terminate_delay_timer_running: false,
            full_command: process.by_command_line,
        }
    }
}

#[derive(Serialize)]
struct Entry {
    data: Data,
    stats: Stats,
}

/// Flags are 0 and 1 here, true and false there, as keepalived has them.
#[derive(Serialize)]
struct Data {
    iname: String,
    dont_track_primary: u8,
    skip_check_adv_addr: u8,
    strict_mode: u8,
    vmac_ifname: String,
    ifp_ifname: String,
    master_priority: u8,
    last_transition: f64,
    garp_delay: u64,
    garp_refresh: u64,
    garp_rep: u8,
    garp_refresh_rep: u8,
    garp_lower_prio_delay: u64,
    garp_lower_prio_rep: u8,
    lower_prio_no_advert: u8,
    higher_prio_send_advert: u8,
    vrid: u8,
    base_priority: u8,
    effective_priority: u8,
    vipset: bool,
    promote_secondaries: bool,
    adver_int: Seconds,
    master_adver_int: Seconds,
    accept: u8,
    nopreempt: bool,
    preempt_delay: u64,
    state: u8,
    wantstate: u8,
    version: u8,
    smtp_alert: bool,
    notify_deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_deleted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master_rx_lower_pri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vroutes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vrules: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_ifp: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_script: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_process: Vec<String>,
    auth_type: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<&'static str>,
}

/// Whole seconds have no decimals.
struct Seconds(f64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.fract() == 0.0 && (0.0..1e9).contains(&self.0) {
            true => serializer.serialize_u64(self.0 as u64),
            false => serializer.serialize_f64(self.0),
        }
    }
}

fn data(instance: &Instance, extras: &InstanceSettings, status: &InstanceStatus, facts: &Facts) -> Data {
    let command = |command: &Option<CommandLine>| command.as_ref().map(|command| words(&command.words));
    let lines = |list: &[evenkeel_vrrp::config::VirtualAddress]| -> Vec<String> {
        list.iter().map(|each| address(each, instance, status.holding)).collect()
    };
    let state = match status.state {
        StateName::Init | StateName::Stopped => 0,
        StateName::Backup => 1,
        StateName::Master | StateName::Leaving => 2,
        StateName::Fault => 3,
    };
    let is_v2 = instance.version == Version::V2;
    let auth_type = match instance.authentication {
        Authentication::Password(_) => 1,
        Authentication::Header(_) => 2,
        Authentication::None | Authentication::Hmac(_) => 0,
    };
    let since = facts.at.checked_sub(status.since).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Data {
        iname: instance.name.clone(),
        dont_track_primary: u8::from(instance.dont_track_primary),
        skip_check_adv_addr: u8::from(extras.skip_check_adv_addr),
        strict_mode: u8::from(extras.strict),
        vmac_ifname: instance.own_link.as_ref().map(|link| link.name.clone()).unwrap_or_default(),
        ifp_ifname: instance.device().to_owned(),
        master_priority: match (status.state, &status.peer) {
            (StateName::Backup, Some(peer)) => peer.priority,
            _ => 0,
        },
        last_transition: since.unwrap_or_default().as_micros() as f64 / 1e6,
        garp_delay: instance.garp.delay.as_secs(),
        garp_refresh: instance.garp.refresh.as_secs(),
        garp_rep: instance.garp.repeat,
        garp_refresh_rep: instance.garp.refresh_repeat,
        garp_lower_prio_delay: instance.garp.lower_prio_delay.as_secs(),
        garp_lower_prio_rep: instance.garp.lower_prio_repeat,
        lower_prio_no_advert: u8::from(instance.lower_prio_no_advert),
        higher_prio_send_advert: u8::from(instance.higher_prio_send_advert),
        vrid: instance.vrid.get(),
        base_priority: instance.priority.get(),
        effective_priority: status.effective_priority,
        vipset: status.holding,
        promote_secondaries: extras.promote_secondaries,
        adver_int: Seconds(instance.advert_interval.duration().as_secs_f64()),
        master_adver_int: Seconds(status.master_interval.as_secs_f64()),
        accept: u8::from(!instance.refuses),
        nopreempt: instance.preempt == Preempt::Never,
        preempt_delay: match instance.preempt {
            Preempt::After(delay) => delay.as_secs(),
            Preempt::Always | Preempt::Never => 0,
        },
        state,
        wantstate: state,
        version: if is_v2 { 2 } else { 3 },
        smtp_alert: extras.mail_alert,
        notify_deleted: instance.notify_deleted,
        script_master: command(&extras.notify.master),
        script_backup: command(&extras.notify.backup),
        script_fault: command(&extras.notify.fault),
        script_stop: command(&extras.notify.stop),
        script_deleted: command(&extras.notify.deleted),
        script_master_rx_lower_pri: command(&extras.notify.master_rx_lower_pri),
        script: command(&extras.notify.any),
        vips: lines(&instance.addresses),
        evips: lines(&instance.excluded),
        vroutes: instance.routes.iter().map(routing::route).collect(),
        vrules: instance.rules.iter().map(routing::rule).collect(),
        track_ifp: tracked(instance, |target| match target {
            TrackTarget::Interface(name) => Some(name.clone()),
            _ => None,
        }),
        track_script: tracked(instance, |target| match target {
            TrackTarget::Script(id) => Some(words(&facts.settings.scripts.get(id.0 as usize)?.command.words)),
            _ => None,
        }),
        track_process: tracked(instance, |target| match target {
            TrackTarget::Processes(name) => facts
                .settings
                .processes
                .iter()
                .find(|process| process.name == *name)
                .map(|process| process.command.clone()),
            _ => None,
        }),
        auth_type,
        auth_data: (auth_type > 0).then_some("********"),
    }
}

fn tracked(instance: &Instance, name: impl Fn(&TrackTarget) -> Option<String>) -> Vec<String> {
    instance.tracks.iter().filter_map(|track| name(&track.target)).collect()
}

#[derive(Serialize)]
struct Stats {
    advert_rcvd: u64,
    advert_sent: u64,
    become_master: u64,
    release_master: u64,
    packet_len_err: u64,
    advert_interval_err: u64,
    ip_ttl_err: u64,
    invalid_type_rcvd: u64,
    addr_list_err: u64,
    invalid_authtype: u64,
    authtype_mismatch: u64,
    auth_failure: u64,
    auth_ext_missing: u64,
    auth_ext_malformed: u64,
    auth_ext_unknown_key: u64,
    auth_ext_invalid_hmac: u64,
    auth_ext_stale: u64,
    auth_ext_replay: u64,
    pri_zero_rcvd: u64,
    pri_zero_sent: u64,
}

impl From<AdvertCounters> for Stats {
    fn from(counters: AdvertCounters) -> Self {
        Stats {
            advert_rcvd: counters.advert_rcvd,
            advert_sent: counters.advert_sent,
            become_master: counters.become_master,
            release_master: counters.release_master,
            packet_len_err: counters.packet_len_err,
            advert_interval_err: counters.advert_interval_err,
            ip_ttl_err: counters.ip_ttl_err,
            invalid_type_rcvd: counters.invalid_type_rcvd,
            addr_list_err: counters.addr_list_err,
            invalid_authtype: counters.invalid_authtype,
            authtype_mismatch: counters.authtype_mismatch,
            auth_failure: counters.auth_failure,
            auth_ext_missing: counters.auth_ext_missing,
            auth_ext_malformed: counters.auth_ext_malformed,
            auth_ext_unknown_key: counters.auth_ext_unknown_key,
            auth_ext_invalid_hmac: counters.auth_ext_invalid_hmac,
            auth_ext_stale: counters.auth_ext_stale,
            auth_ext_replay: counters.auth_ext_replay,
            pri_zero_rcvd: counters.pri_zero_rcvd,
            pri_zero_sent: counters.pri_zero_sent,
        }
    }
}
