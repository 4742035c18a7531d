//! Scripts, groups and trackers around the instances.

use super::{Directive, MANY, does, moot, rows};
use crate::keepalived::lower::balance::probes;
use crate::keepalived::lower::{group, links, network, pacing, process, script};

rows! {
    in [Root] {
        "track_group" "NAME { ... }" 1..1 T3 TrackGroup does(network::begin_group) "Instances that depend on static addresses, routes and rules.";
    }
    in [TrackGroup] {
        "group" "{ INSTANCE ... }" 0..0 T3 values does(network::members) "Member instances: FAULT while something of the group is lost and cannot be put back.";
    }
    in [Root] {
        "static_ipaddress" "{ ADDRESS ... }" 0..0 T3 values does(network::static_ipaddress) "Addresses that are there from start to exit, whoever is master.";
        "static_routes" "{ ROUTE ... }" 0..0 T3 values does(network::static_routes) "Routes that are there from start to exit.";
        "static_rules" "{ RULE ... }" 0..0 T3 values does(network::static_rules) "Policy rules that are there from start to exit.";
        "vrrp_sync_group" "NAME { ... }" 1..1 T2 SyncGroup does(group::begin) "Instances that change state together.";
    }
    in [SyncGroup] {
        "group" "{ INSTANCE ... }" 0..0 T2 values does(group::members) "Its member instances.";
        "track_interface" "{ IF [weight W [reverse]] ... }" 0..0 T2 values does(group::track_interface) "Tracked interfaces applied to every member.";
        "track_script" "{ NAME [weight W [reverse|noreverse]] ... }" 0..0 T2 values does(group::track_script) "Scripts applied to every member.";
        "track_file" "{ NAME [weight W ...] ... }" 0..0 T3 values does(group::track_file) "Files applied to every member.";
        "track_process" "{ NAME [weight W ...] ... }" 0..0 T3 values does(group::track_process) "Processes applied to every member.";
        "track_bfd" "{ NAME [weight W ...] ... }" 0..0 T3 values does(group::track_bfd) "BFD sessions applied to every member.";
        "notify_master" "\"CMD\" [user [:][group]]" 1..4 T2 line does(group::notify_master) "Script on MASTER.";
        "notify_backup" "\"CMD\" [user [:][group]]" 1..4 T2 line does(group::notify_backup) "Script on BACKUP.";
        "notify_fault" "\"CMD\" [user [:][group]]" 1..4 T2 line does(group::notify_fault) "Script on FAULT.";
        "notify_stop" "\"CMD\" [user [:][group]]" 1..4 T3 line does(group::notify_stop) "Script at shutdown.";
        "notify" "\"CMD\" [user [:][group]]" 1..4 T2 line does(group::notify) "Script on every change with GROUP NAME STATE 0 appended (the group priority argument is always 0).";
        "smtp_alert" "[BOOL]" 0..1 T3 line does(group::smtp_alert) "Mail on group transitions.";
        "global_tracking" "" 0..0 T4 line does(group::global_tracking) "Deprecated: propagate member trackers to all members.";
        "sync_group_tracking_weight" "" 0..0 T3 line does(group::sync_group_tracking_weight) "Keep weights of what members track (otherwise only those of the group count).";
        "notify_priority_changes" "[BOOL]" 0..1 T3 line does(group::notify_priority_changes) "Write priority changes of the members to the FIFOs.";
    }
    in [Root] {
        "garp_group" "{ ... }" 0..0 T3 GarpGroup does(pacing::begin) "Rate limit shared by a set of interfaces.";
    }
    in [GarpGroup] {
        "garp_interval" "decimal s" 1..1 T3 line does(pacing::garp_interval) "Gap between gratuitous ARPs.";
        "gna_interval" "decimal s" 1..1 T3 line does(pacing::gna_interval) "Gap between unsolicited NAs.";
        "interface" "IF" 1..1 T3 line does(pacing::interface) "The only member.";
        "interfaces" "{ IF ... }" 0..0 T3 values does(pacing::interfaces) "Members aggregated behind one limit (use this or \"interface\").";
    }
    in [Root] {
        "linkbeat_interfaces" "{ IF [MII|ETHTOOL|IOCTL] ... }" 0..0 T3 values does(links::linkbeat_interfaces) "Interfaces whose link state is polled, once a second.";
        "interface_up_down_delays" "{ IF DOWN [UP] ... } 0..255 s" 0..0 T3 values does(links::interface_up_down_delays) "A change counts once it has lasted for so long.";
        "vrrp_script" "NAME { ... }" 1..1 T1 Script does(script::begin) "A command run periodically whose exit status instances can track.";
    }
    in [Script] {
        "script" "\"CMD\" (quoted form) | </path" 1..MANY T1 line does(script::script) "The command; \"</path\" asks whether the file can be read.";
        "interval" "decimal s (ms resolution)" 1..1 T1 line does(script::interval) "Time from one run to the next.";
        "timeout" "decimal s" 1..1 T2 line does(script::timeout) "A run longer than this is ended and counts as failed.";
        "weight" "-253..253 [reverse]" 1..2 T1 line does(script::weight) "What it adds to the priority while well (positive) or takes from it while failed (negative); 0: failure is FAULT.";
        "rise" ">= 1" 1..1 T2 line does(script::rise) "Successes in a row that make it well.";
        "fall" ">= 1" 1..1 T2 line does(script::fall) "Failures in a row that make it fail.";
        "user" "USER [[:]GROUP]" 1..3 T2 line does(script::user) "User and group it runs as.";
        "init_fail" "" 0..0 T3 line moot("an instance that tracks the script overrides it, in keepalived too") "Start as failed.";
    }
    in [Root] {
        "vrrp_track_process" "NAME { ... }" 1..1 T3 TrackProcess does(process::begin) "Counts processes by name.";
    }
    in [TrackProcess] {
        "process" "CMD [PARAM ...]" 1..MANY T3 line does(process::process) "Exact match (no regex) against comm.";
        "param_match" "[initial|partial]" 0..1 T3 line does(process::param_match) "How listed parameters are compared.";
        "weight" "-254..254 [reverse]" 1..2 T3 line does(process::weight) "Default weight.";
        "quorum" "1..65535" 1..1 T3 line does(process::quorum) "Minimum count.";
        "quorum_max" "0..65535" 1..1 T3 line does(process::quorum_max) "Maximum count (0 = must not run).";
        "delay" "decimal s <= 3600" 1..1 T3 line does(process::delay) "Sets both delays below.";
        "terminate_delay" "decimal s" 1..1 T3 line does(process::terminate_delay) "Wait before declaring quorum lost after an exit.";
        "fork_delay" "decimal s" 1..1 T3 line does(process::fork_delay) "Wait before declaring quorum gained after a fork.";
        "full_command" "" 0..0 T3 line does(process::full_command) "Compare with /proc/PID/cmdline.";
    }
    in [Root] {
        "track_file" "NAME { ... }" 1..1 T2 TrackFile does(probes::track_file) "Integer read from a file, watched with inotify.";
    }
    in [TrackFile] {
        "file" "\"PATH\"" 1..1 T2 line does(probes::track_file_path) "The file; its directory must exist.";
        "weight" "-254..254 [reverse]" 1..2 T2 line does(probes::track_file_weight) "Default multiplier.";
        "init_file" "[VALUE] [overwrite]" 0..2 T3 line does(probes::track_file_init) "Create (or overwrite) at startup.";
    }
    in [Root] {
        "vrrp_track_file" "NAME { ... }" 1..1 T4 LegacyTrackFile does(probes::legacy_track_file) "Old spelling of track_file.";
    }
    in [LegacyTrackFile] {
        "file" "\"PATH\"" 1..1 T4 line does(probes::track_file_path) "The file; its directory must exist.";
        "weight" "-254..254 [reverse]" 1..2 T4 line does(probes::track_file_weight) "Default multiplier.";
        "init_file" "[VALUE] [overwrite]" 0..2 T4 line does(probes::track_file_init) "Create (or overwrite) at startup.";
    }
}
