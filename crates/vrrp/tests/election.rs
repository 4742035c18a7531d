//! Who becomes master, when, and why: timers, priorities, preemption, trackers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod node;

use evenkeel_vrrp::config::{Centis, Initial, Instance, Preempt, Priority, Script, TrackTarget, UnicastPeer, Version};
use evenkeel_vrrp::packet::{Advert, Datagram};
use evenkeel_vrrp::{Action, Config, Event, Interface, ScriptId, ScriptOutcome};
use evenkeel_wire::Mac;
use node::*;
use std::net::IpAddr;
use std::time::Duration;

const BECOMES_MASTER: &str = "hold 1, garp 1x5, advert 100, MASTER 100, backup>master";

#[test]
fn leftovers_are_cleaned_before_anything_else() {
    let mut node = Node::new(config(instance()));
    assert_eq!(node.on(eth0(true)), "hold 0, BACKUP 100, init>backup");
}

#[test]
fn a_node_alone_takes_over_after_the_master_down_interval_whatever_state_master_says() {
    for initial in [Initial::Backup, Initial::Master] {
        let mut node = Node::backup(Instance { initial, ..instance() });
        assert_eq!(node.run(3.6), "");
        assert_eq!(node.run(0.01), BECOMES_MASTER);
        assert_eq!(
            node.why(),
            "no advert from anybody for 3.61 s | master down interval = 3 x 1 s + skew 609 ms = 3.61 s (RFC 3768 6.1) \
             | take over 10.0.0.100"
        );
    }
}

#[test]
fn the_owner_is_master_at_once() {
    let mut node = Node::new(config(with_priority(255)));
    assert_eq!(node.on(eth0(true)), "hold 1, garp 1x5, advert 255, MASTER 255, init>master");
}

#[test]
fn a_master_that_falls_silent_is_replaced_and_the_words_say_so() {
    let mut node = Node::backup(instance());
    node.run(2.0);
    node.on(heard(PEER, 150));
    assert_eq!(node.run(3.6), "");
    assert_eq!(node.run(0.1), BECOMES_MASTER);
    assert!(node.why().starts_with("no advert from 10.0.0.20 for 3.61 s | "), "{}", node.why());
    let Some(Action::Explain(why)) = node.actions.last() else { panic!("no explanation") };
    assert_eq!(why.waited, Duration::from_nanos(3_609_375_000));
}

#[test]
fn a_master_adverts_each_interval_and_announces_a_second_time() {
    let mut node = Node::backup(instance());
    node.run(3.61);
    assert_eq!(node.run(1.0), "advert 100");
    assert_eq!(node.run(3.0), "probe, advert 100, probe, advert 100, probe, advert 100");
    assert_eq!(node.run(1.0), "probe, advert 100, garp 1x5");
    assert_eq!(node.run(5.0).matches("garp").count(), 0);
}

#[test]
fn the_announcement_is_refreshed_when_asked_for() {
    let mut refreshed = instance();
    refreshed.garp.delay = Duration::ZERO;
    refreshed.garp.refresh = Duration::from_secs(4);
    refreshed.garp.refresh_repeat = 2;
    let mut node = Node::backup(refreshed);
    node.run(3.61);
    assert_eq!(node.run(12.5).matches("garp 1x2").count(), 3);
}

#[test]
fn priority_0_shortens_the_wait_to_the_skew() {
    let mut node = Node::backup(instance());
    node.on(heard(PEER, 150));
    node.run(0.5);
    node.on(heard(PEER, 0));
    assert_eq!(node.run(0.6), "");
    assert_eq!(node.run(0.01), BECOMES_MASTER);
    assert_eq!(
        node.why(),
        "10.0.0.20 sent priority 0: it leaves | skew = (256 - 100)/256 x 1 s = 609 ms (RFC 3768 6.1) | take over 10.0.0.100"
    );
}

#[test]
fn adverts_of_lower_priority_do_not_restart_the_timer() {
    let mut node = Node::backup(instance());
    for _ in 0..3 {
        node.run(1.0);
        assert_eq!(node.on(heard(PEER, 50)), "");
    }
    assert_eq!(node.run(0.61), BECOMES_MASTER);
    assert!(node.why().starts_with("10.0.0.20 is master with priority 50, lower than 100 here | preempt: "));
}

#[test]
fn nopreempt_accepts_a_lower_master_until_it_falls_silent() {
    let mut node = Node::backup(Instance { preempt: Preempt::Never, ..instance() });
    for _ in 0..20 {
        assert_eq!(node.run(1.0), "");
        node.on(heard(PEER, 50));
    }
    assert_eq!(node.run(3.6), "");
    assert_eq!(node.run(0.01), BECOMES_MASTER);
}

#[test]
fn preempt_delay_runs_each_time_a_lower_master_is_heard() {
    let mut node = Node::backup(Instance { preempt: Preempt::After(Duration::from_secs(10)), ..instance() });
    for _round in 0..2 {
        // A better master ends the delay, so that the next lower one starts it anew.
        node.on(heard(PEER, 150));
        for _ in 0..11 {
            node.run(0.999);
            assert_eq!(node.on(heard(PEER, 50)), "");
        }
        // The eleventh, 9.99 s after the first, was the last to be accepted.
        node.run(0.9);
        node.on(heard(PEER, 50));
        assert!(node.due_in().unwrap() < 2.72, "{:?}", node.due_in());
    }
    assert_eq!(node.run(2.72), BECOMES_MASTER);
}

#[test]
fn version_3_learns_the_masters_interval_and_scales_the_skew_by_it() {
    let mut v3 = Instance { version: Version::V3, advert_interval: Centis(10), ..instance() };
    let mut node = Node::backup(v3.clone());
    assert_eq!(node.due_in(), Some(0.360_937_500));
    node.on(packet(&Advert { version: Version::V3, interval: Centis(300), ..advert(PEER, 150) }));
    assert_eq!(node.due_in(), Some(10.828_125));
    node.on(packet(&Advert { version: Version::V3, interval: Centis(300), ..advert(PEER, 0) }));
    assert_eq!(node.due_in(), Some(1.828_125));
    // An interval of 0 would make every timer 0.
    node.on(packet(&Advert { version: Version::V3, ..advert(PEER, 150) }));
    assert_eq!(node.due_in(), Some(3.609_375));
    // A lower advert is not learned from.
    node.on(packet(&Advert { version: Version::V3, interval: Centis(300), ..advert(PEER, 50) }));
    assert_eq!(node.due_in(), Some(3.609_375));
    v3.advert_interval = Centis(1);
    assert_eq!(Node::backup(v3).due_in(), Some(0.036_093_750));
}

#[test]
fn what_was_learned_is_forgotten_in_fault() {
    let mut node = Node::backup(Instance { version: Version::V3, ..instance() });
    node.on(packet(&Advert { version: Version::V3, interval: Centis(300), ..advert(PEER, 150) }));
    node.on(eth0(false));
    node.on(eth0(true));
    assert_eq!(node.due_in(), Some(3.609_375));
}

#[test]
fn equal_priorities_are_decided_by_the_address() {
    let mut node = Node::master(instance());
    assert_eq!(
        node.on(heard([10, 0, 0, 9].into(), 100)),
        "advert 100, garp 1x5, MASTER_RX_LOWER_PRI 100, master>master"
    );
    assert_eq!(node.on(heard([10, 0, 0, 11].into(), 100)), "master>leaving");
}

#[test]
fn a_lower_master_is_answered_as_configured() {
    let rows = [(false, 5, "advert 100, garp 1x5"), (true, 5, "garp 1x5"), (false, 0, "advert 100")];
    for (no_advert, repeat, want) in rows {
        let mut quiet = Instance { lower_prio_no_advert: no_advert, ..instance() };
        quiet.garp.lower_prio_repeat = repeat;
        let mut node = Node::master(quiet);
        assert_eq!(node.on(heard(PEER, 50)), format!("{want}, MASTER_RX_LOWER_PRI 100, master>master"));
        // It is said once, while it goes on.
        node.run(1.0);
        assert_eq!(node.on(heard(PEER, 50)), format!("{want}, MASTER_RX_LOWER_PRI 100"));
        let later = node.run(6.0);
        assert_eq!(later.matches("garp 1x5").count(), usize::from(repeat > 0), "the later burst: {later}");
        assert_eq!(later.matches("garp 1x1").count(), 2 * usize::from(repeat > 0), "a second and three after: {later}");
    }
}

#[test]
fn a_change_of_priority_is_reported_when_asked_for() {
    for (notify_priority_changes, master, backup) in [
        (true, "master>master, MASTER_PRIORITY 70", "backup>backup, BACKUP_PRIORITY 70"),
        (false, "master>master", "backup>backup"),
    ] {
        let quiet = Instance { notify_priority_changes, ..tracking(instance(), TrackTarget::Proxy, -30) };
        let mut node = Node::master(quiet.clone());
        assert_eq!(node.on(proxy(false)), master);
        let mut node = Node::backup(quiet);
        assert_eq!(node.on(proxy(false)), backup);
        assert_eq!(node.on(proxy(false)), "", "nothing changed");
    }
}

#[test]
fn one_last_advert_goes_to_a_better_master_when_asked_for() {
    let mut node = Node::master(Instance { higher_prio_send_advert: true, ..instance() });
    assert_eq!(node.on(heard(PEER, 150)), "advert 100, master>leaving");
}

#[test]
fn unicast_sends_to_each_peer() {
    let peers = [PEER, [10, 0, 0, 30].into()];
    let mut node = Node::backup(Instance { peers: peers.map(UnicastPeer::new).to_vec(), ..instance() });
    node.run(3.61);
    let destinations = node.actions.iter().filter_map(|action| match action {
        Action::SendAdvert { destination, interface: ETH0, .. } => Some(*destination),
        _ => None,
    });
    assert_eq!(destinations.collect::<Vec<_>>(), peers);
    assert_eq!(node.status().counters.advert_sent, 2);
}

#[test]
fn adverts_come_from_the_configured_or_the_first_real_address() {
    let configured = IpAddr::from([10, 0, 0, 77]);
    for (source, want) in [(None, OURS), (Some(configured), configured)] {
        let mut node = Node::backup(Instance { source, ..instance() });
        node.run(3.61);
        let sent = node.actions.iter().find_map(|action| match action {
            Action::SendAdvert { source, packet, .. } => Some((*source, Datagram::V4(packet).open().unwrap().source)),
            _ => None,
        });
        assert_eq!(sent, Some((want, want)));
    }
}

#[test]
fn a_node_without_a_source_address_is_in_fault_until_one_comes() {
    let bare = |addresses| {
        let name = "eth0".to_owned();
        Event::Interface(Interface { index: ETH0, name, up: true, mac: OUR_MAC, addresses })
    };
    let mut node = Node::new(config(instance()));
    assert_eq!(node.on(bare(vec![VIP])), "hold 0, FAULT 100, init>fault");
    assert_eq!(node.status().reason, "interface eth0 has no IPv4 address to send from");
    assert_eq!(node.on(bare(vec![VIP, OURS])), "BACKUP 100, fault>backup");
    node.run(4.0);
    assert_eq!(node.on(bare(vec![VIP])), "advert 0, hold 0, FAULT 100, master>fault");
}

#[test]
fn a_link_that_is_down_means_fault_unless_it_is_not_tracked() {
    let mut node = Node::master(instance());
    assert_eq!(node.on(eth0(false)), "hold 0, FAULT 100, master>fault");
    assert_eq!(node.status().reason, "interface eth0 is down");
    assert_eq!(node.on(eth0(true)), "BACKUP 100, fault>backup");
    assert_eq!(node.due_in(), Some(3.609_375));

    let mut node = Node::master(Instance { dont_track_primary: true, ..instance() });
    assert_eq!(node.on(eth0(false)), "");
    assert_eq!(node.on(Event::InterfaceGone { index: ETH0 }), "hold 0, FAULT 100, master>fault");
}

#[test]
fn an_interface_that_comes_back_under_another_index_was_gone() {
    let mut node = Node::master(instance());
    let addresses = vec![OURS];
    let renumbered = Interface { index: 7, name: "eth0".to_owned(), up: true, mac: OUR_MAC, addresses };
    assert_eq!(node.on(Event::Interface(renumbered)), "hold 0, FAULT 100, master>fault, BACKUP 100, fault>backup");
}

#[test]
fn a_new_mac_is_announced() {
    let mut node = Node::master(instance());
    let mac = Mac([2, 0, 0, 0, 0, 99]);
    let addresses = vec![OURS, VIP];
    let event = Event::Interface(Interface { index: ETH0, name: "eth0".to_owned(), up: true, mac, addresses });
    assert_eq!(node.on(event), "garp 1x5, master>master");
}

fn ended(success: bool) -> Event {
    let outcome = if success { ScriptOutcome::Success } else { ScriptOutcome::Failure { status: 1 } };
    Event::ScriptEnded { script: ScriptId(0), outcome }
}

fn with_script(weight: i16, rise: u32, fall: u32) -> Config {
    let tracked = tracking(instance(), TrackTarget::Script(ScriptId(0)), weight);
    Config {
        instances: vec![tracked],
        scripts: vec![Script { name: "chk".to_owned(), rise, fall }],
        ..Config::default()
    }
}

#[test]
fn an_unweighted_script_holds_the_start_until_its_first_result_decides() {
    for (first, want) in [(true, "BACKUP 100, init>backup"), (false, "FAULT 100, init>fault")] {
        let mut node = Node::new(with_script(0, 3, 3));
        assert_eq!(node.on(eth0(true)), "hold 0", "no FAULT is reported");
        assert_eq!(node.state(), "init");
        assert_eq!(node.status().reason, "script chk has not reported yet");
        assert_eq!(node.on(ended(first)), want);
    }
}

#[test]
fn an_unweighted_script_that_fails_is_a_fault_and_its_recovery_a_new_start() {
    let mut node = Node::new(with_script(0, 2, 2));
    node.on(eth0(true));
    node.on(ended(true));
    node.run(4.0);
    assert_eq!(node.on(ended(false)), "");
    assert_eq!(node.on(ended(false)), "advert 0, hold 0, FAULT 100, master>fault");
    assert_eq!(node.status().reason, "script chk: exit status 1");
    assert_eq!(node.on(ended(true)), "");
    assert_eq!(node.on(ended(true)), "BACKUP 100, fault>backup");
}

#[test]
fn a_weighted_script_moves_the_priority_and_the_running_timer() {
    let mut node = Node::new(with_script(-20, 1, 1));
    node.on(eth0(true));
    assert_eq!(node.state(), "backup", "a weighted script is not waited for");
    node.run(1.0);
    assert_eq!(node.on(ended(false)), "backup>backup");
    assert_eq!(
        node.why(),
        "script chk has failed: exit status 1 | priority 100 -20 (script chk) | effective priority 100 -> 80"
    );
    assert_eq!(node.due_in(), Some(2.6875), "skew 176/256 s instead of 156/256 s");
    node.run(5.0);
    assert_eq!(node.on(ended(true)), "master>master");
    assert_eq!(node.run(1.0).matches("advert 100").count(), 1);
    assert_eq!(node.status().effective_priority, 100);
}

#[test]
fn a_tracked_interface_counts_by_weight_and_reverse() {
    let eth1 = |up| {
        let name = "eth1".to_owned();
        Event::Interface(Interface { index: 3, name, up, mac: Mac([2, 0, 0, 0, 1, 1]), addresses: vec![] })
    };
    // weight, reverse, priority while up, priority while down; 0 means FAULT
    for (weight, reverse, up, down) in [
        (10, false, 110, 100),
        (-10, false, 100, 90),
        (10, true, 90, 100),
        (-10, true, 100, 110),
        (0, false, 100, 0),
        (0, true, 0, 100),
    ] {
        let mut tracked = tracking(instance(), TrackTarget::Interface("eth1".to_owned()), weight);
        tracked.tracks[0].reverse = reverse;
        let mut node = Node::new(config(tracked));
        node.on(eth0(true));
        for (event, want) in
            [(eth1(true), up), (eth1(false), down), (eth1(true), up), (Event::InterfaceGone { index: 3 }, down)]
        {
            node.on(event);
            let status = node.status();
            let seen = if node.state() == "fault" { 0 } else { status.effective_priority };
            assert_eq!(seen, want, "weight {weight} reverse {reverse}");
        }
    }
}

#[test]
fn an_interface_that_is_reported_later_holds_the_start() {
    let mut node = Node::new(config(tracking(instance(), TrackTarget::Interface("eth1".to_owned()), 0)));
    assert_eq!(node.on(eth0(true)), "hold 0");
    assert_eq!(node.state(), "init");
}

#[test]
fn a_sick_proxy_gives_the_address_up_or_lowers_the_priority() {
    let mut node = Node::new(config(tracking(instance(), TrackTarget::Proxy, -30)));
    node.on(eth0(true));
    node.on(proxy(true));
    node.run(4.0);
    assert_eq!(node.on(proxy(false)), "master>master");
    assert_eq!(node.status().effective_priority, 70);
    assert_eq!(node.status().trackers[0].detail, "does not answer");
    assert_eq!(node.on(heard(PEER, 90)), "master>leaving");
}

#[test]
fn a_bfd_session_that_goes_down_means_fault_or_a_lower_priority() {
    let peer = || TrackTarget::Bfd("peer".to_owned());
    // weight, reverse; after the session came up, then down
    let rows = [
        (0, false, "master 100", "fault 100"),
        (0, true, "fault 100", "master 100"),
        (-20, false, "master 100", "master 80"),
        (20, false, "master 120", "master 100"),
        (20, true, "master 80", "master 100"),
    ];
    for (weight, reverse, up, down) in rows {
        let mut tracked = tracking(instance(), peer(), weight);
        tracked.tracks[0].reverse = reverse;
        let mut node = Node::new(config(tracked));
        let told = |up| Event::Bfd { session: "peer".to_owned(), up, reason: "so".to_owned() };
        // keepalived begins with every session down (observed), whatever the peer is.
        node.on(told(false));
        node.on(eth0(true));
        node.run(4.0);
        for (is_up, expected) in [(true, up), (false, down)] {
            node.on(told(is_up));
            node.run(4.0);
            let found = format!("{} {}", node.state(), node.status().effective_priority);
            assert_eq!(found, expected, "weight {weight}, reverse {reverse}, up {is_up}");
        }
        assert_eq!(node.status().trackers[0].name, "bfd peer");
        node.on(Event::Bfd { session: "other".to_owned(), up: true, reason: String::new() });
        assert_eq!(node.status().trackers[0].healthy, Some(false), "another session says nothing about this one");
    }
}

#[test]
fn weights_do_not_touch_an_owner() {
    let mut node = Node::new(config(tracking(with_priority(255), TrackTarget::Proxy, -30)));
    node.on(eth0(true));
    node.on(proxy(false));
    assert_eq!(node.status().effective_priority, 255);
}

#[test]
fn the_second_of_two_equal_virtual_routers_is_in_fault() {
    let mut twin = instance();
    twin.name = "VI_2".to_owned();
    let mut node = Node::new(Config { instances: vec![instance(), twin], ..Config::default() });
    node.on(eth0(true));
    let second = node.router.status(node.now).instances.remove(1);
    assert_eq!(second.reason, "virtual router 51 on eth0 is already that of VI_1");
    assert_eq!(node.state(), "backup");
}

#[test]
fn a_stalled_master_does_not_send_what_it_missed() {
    let mut node = Node::master(instance());
    node.now = node.now + Duration::from_secs(60);
    assert_eq!(node.on(Event::Deadline), "advert 100, probe");
}

#[test]
fn a_higher_base_priority_is_no_longer_a_priority_of_a_backup() {
    let mut node = Node::backup(Instance { priority: Priority::new(200).unwrap(), ..instance() });
    assert_eq!(node.due_in(), Some(3.218_75));
    node.on(heard(PEER, 150));
    assert_eq!(node.run(3.3), "hold 1, garp 1x5, advert 200, MASTER 200, backup>master");
}

#[test]
fn nothing_is_done_before_the_startup_delay_is_over() {
    let mut node = Node::new(config(instance()));
    node.on(Event::Delay(Duration::from_secs(5)));
    node.on(eth0(false));
    assert_eq!(node.state(), "init", "not even a fault is told");
    node.on(eth0(true));
    node.run(3.0);
    assert_eq!(node.on(heard(PEER, 150)), "");
    assert_eq!(node.run(1.999), "");
    assert_eq!(node.run(0.001), "BACKUP 100, init>backup");
    assert_eq!(node.due_in(), Some(3.609_375), "the whole master down interval");
    let mut owner = Node::new(config(with_priority(255)));
    owner.on(Event::Delay(Duration::from_secs(5)));
    owner.on(eth0(true));
    assert_eq!(owner.state(), "init");
    owner.run(5.0);
    assert_eq!(owner.state(), "master");
}

#[test]
fn a_tracked_source_that_is_not_there_is_a_fault() {
    let elsewhere = Instance { source: Some("10.0.0.9".parse().unwrap()), ..instance() };
    for (track_source, state) in [(false, "backup"), (true, "fault")] {
        let mut node = Node::new(config(Instance { track_source, ..elsewhere.clone() }));
        node.on(eth0(true));
        assert_eq!(node.state(), state);
    }
    let mut node = Node::new(config(Instance { track_source: true, source: Some(OURS), ..instance() }));
    node.on(eth0(true));
    assert_eq!(node.state(), "backup");
}

#[test]
fn an_instance_that_cannot_be_as_configured_is_in_fault() {
    let mut node = Node::new(config(Instance { obstacle: Some("no peer".to_owned()), ..instance() }));
    node.on(eth0(true));
    assert_eq!((node.state().as_str(), node.status().reason.as_str()), ("fault", "no peer"));
}

#[test]
fn an_owner_ignores_adverts_when_told_to() {
    let owner = |owner_ignores_adverts| Instance { owner_ignores_adverts, ..with_priority(255) };
    let mut node = Node::new(config(owner(true)));
    node.on(eth0(true));
    assert_eq!(node.on(heard(PEER, 255)), "", "not even another owner of a higher address");
    let mut node = Node::new(config(owner(false)));
    node.on(eth0(true));
    assert_eq!(node.on(heard(PEER, 255)), "master>leaving");
    let mut node = Node::master(Instance { owner_ignores_adverts: true, ..instance() });
    assert_eq!(node.on(heard(PEER, 150)), "master>leaving", "it is no owner");
}

#[test]
fn a_master_that_slept_too_long_leaves_it_to_the_peer() {
    let patient = |preempt, priority: Option<u8>| Instance {
        preempt,
        expired_priority: priority.and_then(Priority::new),
        ..instance()
    };
    // Its last advert is one second old when the next is due; a peer of 254 takes over 3.008 s after it.
    let rows = [
        (Preempt::Never, Some(254), 2.1, "backup"),
        (Preempt::Never, Some(254), 1.9, "master"),
        (Preempt::Never, Some(1), 2.1, "master"),
        (Preempt::Never, Some(1), 3.1, "backup"),
        (Preempt::Never, None, 60.0, "master"),
        (Preempt::Always, Some(254), 60.0, "master"),
    ];
    for (preempt, priority, late, state) in rows {
        let mut node = Node::master(patient(preempt, priority));
        let due_at = node.now + Duration::from_secs_f64(node.due_in().unwrap());
        let advert_at = (0..).map(|n| due_at + Duration::from_millis(n)).find(|at| {
            let mut router = node.router.clone();
            let mut actions = Vec::new();
            router.handle(*at, Event::Deadline, &mut actions);
            render(&actions).contains("advert")
        });
        node.now = advert_at.unwrap() + Duration::from_secs_f64(late);
        // The peer's advert waits in the socket, and may be read first.
        for first in [Event::Deadline, heard(PEER, 50)] {
            let mut node = node.clone();
            let done = node.on(first);
            assert_eq!(node.state(), state, "{preempt:?} {priority:?} {late}: {done}");
            assert_eq!(done.contains("advert"), state == "master", "it goes without a word: {done}");
        }
    }
}
