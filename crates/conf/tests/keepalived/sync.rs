//! vrrp_sync_group: members, and whose trackers count with which weight.

use crate::{rules, said, text};
use evenkeel_conf::keepalived::{Loaded, Parameters};
use evenkeel_vrrp::InstanceId;
use evenkeel_vrrp::config::{Preempt, Priority, TrackTarget};
use std::time::Duration;

/// Two instances with these lines, and a group of both with these.
fn pair(in_group: &str, in_first: &str, in_second: &str) -> Loaded {
    let instance = |n: u8, lines: &str| {
        format!(
            "vrrp_instance VI_{n} {{\ninterface eth{n}\nvirtual_router_id {n}\nvirtual_ipaddress {{ 10.{n}.0.1 }}\n{lines}\n}}\n"
        )
    };
    let script = "vrrp_script chk {\nscript \"/bin/true\"\nweight 20\n}\n";
    text(&format!(
        "{script}vrrp_sync_group G1 {{\ngroup {{\nVI_2\nVI_1\n}}\n{in_group}\n}}\n{}{}",
        instance(1, in_first),
        instance(2, in_second)
    ))
}

/// `script 20, interface eth9 0` of each instance.
fn tracks(loaded: &Loaded) -> Vec<String> {
    let words = |track: &evenkeel_vrrp::config::Track| match &track.target {
        TrackTarget::Script(_) => format!("script {}", track.weight),
        TrackTarget::Interface(name) => format!("{name} {}", track.weight),
        other => format!("{other:?} {}", track.weight),
    };
    loaded.vrrp.instances.iter().map(|i| i.tracks.iter().map(words).collect::<Vec<_>>().join(", ")).collect()
}

#[test]
fn a_group_names_its_members_in_its_own_order() {
    let loaded = pair("track_script { chk }", "", "");
    assert_eq!(rules(&loaded), [""; 0], "{}", said(&loaded));
    assert_eq!(loaded.vrrp.groups[0].name, "G1");
    assert_eq!(loaded.vrrp.groups[0].members, [InstanceId(1), InstanceId(0)]);
}

#[test]
fn what_the_group_tracks_counts_for_each_member_and_weights_of_one_member_do_not() {
    let own = "track_script { chk }\ntrack_interface {\neth8\neth9 weight -10\n}";
    let rows = [
        ("track_script { chk weight -5 }", "", ["script -5", "script -5"]),
        ("", own, ["eth8 0, eth9 0", ""]),
        ("sync_group_tracking_weight", own, ["script 20, eth8 0, eth9 -10", ""]),
        // The member's own 0 stays.
        ("track_interface { eth9 weight 7 }", "track_interface { eth9 }", ["eth9 0", "eth9 7"]),
        ("global_tracking", own, ["eth8 0, eth9 0", "eth8 0, eth9 0"]),
        (
            "global_tracking\nsync_group_tracking_weight",
            own,
            ["script 20, eth8 0, eth9 -10", "script 20, eth8 0, eth9 -10"],
        ),
    ];
    for (in_group, in_first, expected) in rows {
        let loaded = pair(in_group, in_first, "");
        assert_eq!(tracks(&loaded), expected, "{in_group}: {}", said(&loaded));
    }
    let loaded = pair("", own, "");
    let said = rules(&loaded).into_iter().filter(|rule| rule.starts_with("weight-in-sync-group")).count();
    assert_eq!(said, 2, "the script and the interface");
}

#[test]
fn scripts_mail_and_priority_changes_of_a_group() {
    let loaded = pair(
        "notify \"/usr/bin/n x\"\nnotify_fault /usr/bin/f\nsmtp_alert\nnotify_priority_changes",
        "",
        "notify_priority_changes off",
    );
    let group = &loaded.settings.groups[0];
    assert_eq!(group.notify.any.as_ref().unwrap().words, ["/usr/bin/n", "x"]);
    assert_eq!(group.notify.fault.as_ref().unwrap().words, ["/usr/bin/f"]);
    assert!(group.mail_alert);
    let changes: Vec<_> = loaded.vrrp.instances.iter().map(|instance| instance.notify_priority_changes).collect();
    assert_eq!(changes, [true, false], "an instance's own word wins");
}

#[test]
fn groups_that_cannot_be_as_written_are_said() {
    let with = |more: &str| {
        text(&format!(
            "{more}vrrp_instance VI_1 {{\ninterface eth1\nvirtual_router_id 1\nvirtual_ipaddress {{ 10.1.0.1 }}\n}}\nvrrp_instance VI_2 {{\ninterface eth1\nvirtual_router_id 2\npriority 255\nvirtual_ipaddress {{ 10.1.0.2 }}\n}}\n"
        ))
    };
    let rows = [
        ("vrrp_sync_group G {\ngroup { VI_1 VI_2 }\n}\n", "mixed-owners:1", 1),
        ("vrrp_sync_group G {\ngroup { VI_1 }\n}\n", "sync-group-of-one:1", 1),
        ("vrrp_sync_group G {\n}\n", "sync-group-of-none:1", 0),
        ("vrrp_sync_group G {\ngroup { VI_1 VI_9 }\n}\n", "unknown-member:2", 1),
        ("vrrp_sync_group G {\ngroup { VI_1 }\n}\nvrrp_sync_group H {\ngroup { VI_1 VI_2 }\n}\n", "in-two-groups:5", 2),
        ("vrrp_sync_group G {\ngroup { VI_1 }\n}\nvrrp_sync_group G {\ngroup { VI_2 }\n}\n", "repeated:4", 1),
    ];
    for (text, rule, n_groups) in rows {
        let loaded = with(text);
        assert!(rules(&loaded).contains(&rule.to_owned()), "{rule}: {}", said(&loaded));
        assert_eq!(loaded.vrrp.groups.len(), n_groups, "{text}");
    }
}

const WATCHED: &str = "track_file load {\nfile \"/run/load\"\nweight 2 reverse\ninit_file 7 overwrite\n}\nvrrp_track_file old {\nfile /run/old\n}\nvrrp_track_process web {\nprocess nginx -g daemon\nparam_match initial\nweight -10\nquorum 2\nquorum_max 4\ndelay 3\nterminate_delay 0.5\n}\nvrrp_track_process none {\nprocess nobody\nquorum_max 0\n}\n";

#[test]
fn files_and_processes_are_watched_when_an_instance_tracks_them() {
    let instance = "vrrp_instance VI_1 {\ninterface eth1\nvirtual_router_id 1\nvirtual_ipaddress { 10.1.0.1 }\ntrack_file {\nload\nold weight 0\nnew\n}\ntrack_process {\nweb\nweb2\n}\n}\n";
    let loaded = text(&format!("{WATCHED}{instance}"));
    let unknown = rules(&loaded).into_iter().filter(|rule| rule.starts_with("unknown-tracker")).count();
    assert_eq!(unknown, 2, "{}", said(&loaded));
    let tracks: Vec<_> =
        loaded.vrrp.instances[0].tracks.iter().map(|t| (t.target.clone(), t.weight, t.reverse)).collect();
    let file = |name: &str| TrackTarget::File(name.to_owned());
    assert_eq!(
        tracks,
        [(file("load"), 2, true), (file("old"), 0, false), (TrackTarget::Processes("web".to_owned()), -10, false)]
    );
    let settings = &loaded.settings;
    assert_eq!(settings.files[0].init, Some((7, true)));
    assert_eq!((settings.files[1].name.as_str(), settings.files[1].init), ("old", None));
    let [web] = settings.processes.as_slice() else { panic!("only what is tracked: {:?}", settings.processes) };
    assert_eq!((web.command.as_str(), web.by_command_line, web.quorum, web.quorum_max), ("nginx", true, 2, Some(4)));
    assert_eq!(web.parameters, Parameters::Initial(vec!["-g".to_owned(), "daemon".to_owned()]));
    assert_eq!((web.gained_after, web.lost_after), (Duration::from_secs(3), Duration::from_millis(500)));
}

#[test]
fn a_file_that_one_member_tracks_with_a_weight_does_not_count() {
    let in_first = "track_file { load }";
    let with = |in_group: &str| {
        let loaded = text(&format!(
            "{WATCHED}vrrp_sync_group G1 {{\ngroup {{ VI_1 }}\n{in_group}\n}}\nvrrp_instance VI_1 {{\ninterface eth1\nvirtual_router_id 1\nvirtual_ipaddress {{ 10.1.0.1 }}\n{in_first}\n}}\n"
        ));
        loaded.vrrp.instances[0].tracks.len()
    };
    assert_eq!(with(""), 0);
    assert_eq!(with("sync_group_tracking_weight"), 1);
    assert_eq!(with("track_file { load }"), 1);
}

#[test]
fn strict_mode_takes_back_what_the_standard_does_not_know() {
    let with = |lines: &str| {
        text(&format!(
            "global_defs {{\nvrrp_strict\n}}\nvrrp_instance VI_1 {{\ninterface eth1\nvirtual_router_id 1\nvirtual_ipaddress {{ 10.1.0.1 }}\n{lines}\n}}\n"
        ))
    };
    let rows = [
        ("preempt_delay 5", 1),
        ("down_timer_adverts 5", 1),
        ("down_timer_adverts 3", 0),
        ("garp_lower_prio_repeat 3", 1),
        ("garp_lower_prio_delay 3", 1),
        ("lower_prio_no_advert off", 1),
        ("lower_prio_no_advert on", 0),
        ("higher_prio_send_advert", 1),
        ("accept", 1),
        ("version 3\naccept", 0),
        ("state MASTER\npriority 150", 1),
        ("state MASTER\npriority 255", 0),
    ];
    for (lines, n_resets) in rows {
        let loaded = with(lines);
        let resets = rules(&loaded).into_iter().filter(|rule| rule.starts_with("strict-reset")).count();
        assert_eq!(resets, n_resets, "{lines}: {}", said(&loaded));
        let instance = &loaded.vrrp.instances[0];
        assert_eq!(instance.garp.lower_prio_repeat, 0);
        assert!(instance.lower_prio_no_advert && !instance.higher_prio_send_advert && instance.owner_ignores_adverts);
        assert_eq!(instance.down_adverts.get(), 3);
    }
    // What is no `state MASTER` any more may hold back.
    let loaded = with("state MASTER\npriority 150\nnopreempt");
    assert_eq!(loaded.vrrp.instances[0].preempt, Preempt::Never);
}

#[test]
fn what_the_state_machine_is_told_besides() {
    let with = |lines: &str| {
        text(&format!(
            "global_defs {{\nvrrp_startup_delay 2.5\nvrrp_delay_after_boot 60\n}}\nvrrp_instance VI_1 {{\ninterface eth1\nvirtual_router_id 1\nvirtual_ipaddress {{ 10.1.0.1 }}\n{lines}\n}}\n"
        ))
    };
    let loaded = with("track_src_ip\nmcast_src_ip 10.1.0.9\ntimer_expired_backup\nnopreempt");
    let instance = &loaded.vrrp.instances[0];
    assert!(instance.track_source);
    assert_eq!(instance.expired_priority, Priority::new(254));
    assert_eq!(loaded.settings.startup_delay, Duration::from_millis(2500));
    assert_eq!(loaded.settings.delay_after_boot, Duration::from_secs(60));
    for (lines, is_fault) in [
        ("unicast_fault_no_peer", false),
        ("unicast_fault_no_peer\nunicast_src_ip 10.1.0.9", true),
        ("unicast_fault_no_peer\nunicast_src_ip 10.1.0.9\nunicast_peer { 10.1.0.8 }", false),
        ("unicast_src_ip 10.1.0.9", false),
    ] {
        assert_eq!(with(lines).vrrp.instances[0].obstacle.is_some(), is_fault, "{lines}");
    }
    for (lines, ignores) in [
        ("owner_ignore_adverts", true),
        ("owner_ignore_adverts off", false),
        ("priority 255\nowner_ignore_adverts off", true),
        ("priority 255", false),
    ] {
        assert_eq!(with(lines).vrrp.instances[0].owner_ignores_adverts, ignores, "{lines}");
    }
}
