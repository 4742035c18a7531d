//! When checks run and what their results mean.

mod node;

use evenkeel_balance::config::{BfdId, FileId, HttpProbe, HttpVersion, Probe, TrackFile, UrlProbe};
use evenkeel_balance::{Action, AdminState, CheckId, Event, ProbeResult, Says};
use node::{Node, bad, bad_url, check, config, good, id, misc, pool, says, seconds, server, sorry, tcp};
use std::time::Duration;

/// A row: who starts how, what its probes say, and after each the table and the pause until the next probe, in seconds.
struct Row {
    name: &'static str,
    alpha: bool,
    retries: u32,
    steps: &'static [(Say, &'static str, u64)],
}

#[derive(Clone, Copy)]
enum Say {
    Good,
    Bad,
}

const IN: &str = "10.0.1.1*1";
const OUT: &str = "";

/// Every standing of a check and what a result makes of it.
const ROWS: &[Row] = &[
    Row {
        name: "not alpha: the first failure takes it out, whatever the retries",
        alpha: false,
        retries: 2,
        steps: &[(Say::Bad, OUT, 10)],
    },
    Row { name: "not alpha: a success keeps it in", alpha: false, retries: 2, steps: &[(Say::Good, IN, 10)] },
    Row {
        name: "after a success the retries count",
        alpha: false,
        retries: 2,
        steps: &[(Say::Good, IN, 10), (Say::Bad, IN, 2), (Say::Bad, IN, 2), (Say::Bad, OUT, 10)],
    },
    Row {
        name: "a success among the retries starts the count again",
        alpha: false,
        retries: 1,
        steps: &[(Say::Good, IN, 10), (Say::Bad, IN, 2), (Say::Good, IN, 10), (Say::Bad, IN, 2), (Say::Bad, OUT, 10)],
    },
    Row {
        name: "without retries one failure is enough",
        alpha: false,
        retries: 0,
        steps: &[(Say::Good, IN, 10), (Say::Bad, OUT, 10)],
    },
    Row {
        name: "when it is down it is asked each interval, and one success brings it back",
        alpha: false,
        retries: 2,
        steps: &[(Say::Bad, OUT, 10), (Say::Bad, OUT, 10), (Say::Good, IN, 10), (Say::Bad, IN, 2)],
    },
    Row {
        name: "alpha: out until a success",
        alpha: true,
        retries: 2,
        steps: &[(Say::Bad, OUT, 10), (Say::Good, IN, 10), (Say::Bad, IN, 2)],
    },
    Row {
        name: "alpha: one success brings it in",
        alpha: true,
        retries: 0,
        steps: &[(Say::Good, IN, 10), (Say::Bad, OUT, 10)],
    },
];

#[test]
fn each_result_has_its_consequence_in_each_standing() {
    for row in ROWS {
        let mut one = server(1, tcp());
        one.alpha = row.alpha;
        one.checks[0].timing.retries = row.retries;
        let mut node = Node::new(config(vec![pool(vec![one])]));
        assert_eq!(node.table(), if row.alpha { OUT } else { IN }, "{}: at the start", row.name);
        let mut expected_pause = 1;
        for (step, (say, table, pause)) in row.steps.iter().enumerate() {
            let before = node.table();
            let waited = node.answer(match say {
                Say::Good => good(),
                Say::Bad => bad(),
            });
            assert_eq!(waited, seconds(expected_pause), "{}: pause before step {step}", row.name);
            assert_eq!(node.table(), *table, "{}: step {step}", row.name);
            assert_eq!(node.reconciles(), usize::from(before != *table), "{}: step {step}", row.name);
            expected_pause = *pause;
        }
    }
}

#[test]
fn the_first_run_is_after_a_second_and_a_random_part_of_the_warm_up() {
    let servers = (0..100)
        .map(|n| {
            let mut checks = tcp();
            checks[0].timing.warmup = seconds(60);
            // Nobody answers here.
            checks[0].timing.timeout = seconds(600);
            server(n, checks)
        })
        .collect();
    let mut node = Node::new(config(vec![pool(servers)]));
    let start = node.now;
    let mut spans: Vec<Duration> = Vec::new();
    while node.running.len() < 100 {
        node.wait();
        spans.push(node.now.since(start));
    }
    assert!(spans[0] >= seconds(1) && spans[0] < seconds(5), "{:?}", spans[0]);
    assert!(spans[99] > seconds(55) && spans[99] < seconds(61), "{:?}", spans[99]);
}

#[test]
fn the_interval_counts_from_the_end_and_for_scripts_from_the_start() {
    for (probe, pause) in [(Probe::Tcp, 10), (misc(false).probe, 6)] {
        let mut node = Node::new(config(vec![pool(vec![server(1, vec![check(probe)])])]));
        node.wait();
        node.pass(seconds(4));
        node.answer(good());
        assert_eq!(node.wait(), seconds(pause));
    }
}

#[test]
fn a_script_that_takes_longer_than_its_interval_runs_again_at_once() {
    let mut node = Node::new(config(vec![pool(vec![server(1, vec![misc(false)])])]));
    node.wait();
    node.pass(seconds(25));
    assert_eq!(node.running.len(), 1);
    node.answer(good());
    assert_eq!(node.wait(), Duration::ZERO);
}

#[test]
fn a_result_without_a_question_is_ignored() {
    let mut node = Node::new(config(vec![pool(vec![server(1, tcp())])]));
    node.wait();
    let (asked, run, _) = node.running[0];
    for (check, run) in [
        (asked, run + 1),
        (CheckId { check: 9, ..asked }, run),
        (CheckId { server: id(0, 7), check: 0 }, run),
        (CheckId { server: id(8, 0), check: 0 }, run),
    ] {
        assert_eq!(node.tell(Event::Probed { check, run, result: bad(), took: Duration::ZERO }), []);
    }
    node.answer(bad());
    assert_eq!(node.tell(Event::Probed { check: asked, run, result: good(), took: Duration::ZERO }), []);
    assert_eq!(node.table(), OUT);
}

#[test]
fn a_server_is_up_while_no_check_fails() {
    let mut node = Node::new(config(vec![pool(vec![server(1, vec![check(Probe::Tcp), check(Probe::Ping)])])]));
    node.wait();
    assert_eq!(node.running.len(), 2);
    node.answer_of(id(0, 0), 0, bad());
    assert_eq!(node.notices(), ["down 0/0", "quorum lost 0"]);
    node.answer_of(id(0, 0), 1, bad());
    assert!(node.notices().is_empty());
    node.wait();
    node.answer_of(id(0, 0), 0, good());
    assert_eq!(node.table(), OUT);
    node.answer_of(id(0, 0), 1, good());
    assert_eq!(node.table(), IN);
    assert_eq!(node.notices(), ["up 0/0", "quorum gained 0"]);
}

#[test]
fn alpha_waits_for_all_checks() {
    let mut one = server(1, vec![check(Probe::Tcp), check(Probe::Ping)]);
    one.alpha = true;
    let mut node = Node::new(config(vec![pool(vec![one])]));
    node.wait();
    node.answer_of(id(0, 0), 0, good());
    assert_eq!(node.table(), OUT);
    node.answer_of(id(0, 0), 1, good());
    assert_eq!(node.table(), IN);
}

#[test]
fn a_server_without_checks_is_up_even_with_alpha() {
    let mut one = server(1, Vec::new());
    one.alpha = true;
    assert_eq!(Node::new(config(vec![pool(vec![one])])).table(), IN);
}

#[test]
fn dynamic_scripts_set_the_weight_and_several_add_up() {
    let mut one = server(1, vec![misc(true), misc(true)]);
    one.weight = 10;
    let mut node = Node::new(config(vec![pool(vec![one])]));
    for (first, second, weight) in [
        (Some(52), None, 50),
        (Some(52), Some(22), 60),
        (None, Some(2), 0),
        (Some(2), Some(2), 0),
        (None, None, 10),
        (Some(255), Some(255), 496),
    ] {
        while node.running.len() < 2 {
            node.wait();
        }
        for (check, status) in [(0, first), (1, second)] {
            let result = status.map_or_else(good, |status| says(Says::ExitStatus(status)));
            node.answer_of(id(0, 0), check, result);
        }
        assert_eq!(node.table(), format!("10.0.1.1*{weight}"), "{first:?} {second:?}");
    }
}

#[test]
fn a_weight_that_falls_to_nothing_loses_the_quorum() {
    let mut with_sorry = pool(vec![server(1, vec![misc(true)])]);
    with_sorry.sorry = sorry();
    let mut node = Node::new(config(vec![with_sorry]));
    node.answer(says(Says::ExitStatus(2)));
    assert_eq!(node.table(), "10.0.9.9*1");
    assert_eq!(node.notices(), ["quorum lost 0"]);
    node.answer(says(Says::ExitStatus(3)));
    assert_eq!(node.table(), IN);
}

#[test]
fn an_exit_status_of_a_script_that_is_not_dynamic_sets_nothing() {
    let mut node = Node::new(config(vec![pool(vec![server(1, vec![misc(false)])])]));
    node.answer(says(Says::ExitStatus(9)));
    assert_eq!(node.table(), IN);
}

#[test]
fn an_agent_says_share_and_state_until_it_says_otherwise() {
    let mut one = server(1, vec![check(Probe::Agent { send: None })]);
    one.weight = 10;
    let mut node = Node::new(config(vec![pool(vec![one])]));
    for (said, table) in [
        (Some(Says::Percent(50)), "10.0.1.1*5"),
        (None, "10.0.1.1*5"),
        (Some(Says::Percent(1)), "10.0.1.1*1"),
        (Some(Says::Percent(0)), "10.0.1.1*0"),
        (Some(Says::Percent(200)), "10.0.1.1*20"),
        (Some(Says::Drain), "10.0.1.1*0"),
        (None, "10.0.1.1*0"),
        (Some(Says::Maintenance), ""),
        (Some(Says::Percent(100)), ""),
        (Some(Says::Ready), "10.0.1.1*10"),
    ] {
        node.answer(said.map_or_else(good, says));
        assert_eq!(node.table(), table, "{said:?}");
    }
}

#[test]
fn numbers_in_files_move_the_weight_or_fail() {
    for (weight, reverse, rows) in [
        (
            2,
            false,
            &[
                (Some(5), "10.0.1.1*20"),
                (Some(-5), "10.0.1.1*0"),
                (Some(-99), "10.0.1.1*0"),
                (None, "10.0.1.1*10"),
                (Some(i32::MIN), ""),
                (Some(i32::MAX), "10.0.1.1*2147483647"),
            ],
        ),
        (
            0,
            false,
            &[
                (Some(1), ""),
                (Some(0), "10.0.1.1*10"),
                (Some(-1), ""),
                (None, "10.0.1.1*10"),
                (Some(7), ""),
                (Some(0), "10.0.1.1*10"),
            ],
        ),
        (
            0,
            true,
            &[
                (Some(1), "10.0.1.1*10"),
                (Some(0), ""),
                (Some(-1), "10.0.1.1*10"),
                (None, ""),
                (Some(7), "10.0.1.1*10"),
                (Some(0), ""),
            ],
        ),
    ] {
        let mut one = server(1, vec![check(Probe::File { file: FileId(0), weight, reverse })]);
        one.weight = 10;
        let mut config = config(vec![pool(vec![one])]);
        config.files = vec![TrackFile { name: "load".to_owned(), path: "/run/load".to_owned() }];
        let mut node = Node::new(config);
        for (value, table) in rows {
            node.tell(Event::File { file: FileId(0), value: *value });
            assert_eq!(node.table(), *table, "weight {weight} {reverse}: {value:?}");
        }
        assert_eq!(node.balancer.deadline(), None, "nothing is asked");
        assert_eq!(node.tell(Event::File { file: FileId(3), value: Some(1) }), []);
    }
}

#[test]
fn a_bfd_session_decides_at_once() {
    let mut config = config(vec![pool(vec![server(1, vec![check(Probe::Bfd { session: BfdId(0) })])])]);
    config.bfd_sessions = vec!["peer".to_owned()];
    let mut node = Node::new(config);
    node.tell(Event::Bfd { session: BfdId(0), up: false });
    assert_eq!(node.table(), OUT);
    assert_eq!(node.explanations()[0].trigger, "BFD_CHECK failed: session down");
    node.tell(Event::Bfd { session: BfdId(0), up: true });
    assert_eq!(node.table(), IN);
    assert_eq!(node.tell(Event::Bfd { session: BfdId(1), up: false }), []);
}

fn http(n_urls: usize, fast_recovery: bool) -> Probe {
    let url = UrlProbe {
        path: "/".to_owned(),
        virtualhost: None,
        sni: None,
        statuses: vec![(200, 299)],
        digest: None,
        regex: None,
        tls_compliant: false,
    };
    Probe::Http(HttpProbe { tls: None, version: HttpVersion::V10, urls: vec![url; n_urls], fast_recovery })
}

/// A step: the url that the run begins with, the result, the table after it, and the pause until the next.
type UrlStep = (u32, ProbeResult, &'static str, Duration);

#[test]
fn a_failed_url_is_asked_again_and_all_must_pass_to_recover() {
    let instant = Duration::from_millis(1);
    let steps: Vec<(bool, Vec<UrlStep>)> = vec![
        // Up: the retry begins where the last run ended, and what is left is enough.
        (
            false,
            vec![
                (0, good(), IN, seconds(10)),
                (0, bad_url(1), IN, seconds(2)),
                (1, good(), IN, seconds(10)),
                (0, good(), IN, seconds(10)),
            ],
        ),
        // Down: the failed url first; when it answers, all of them.
        (
            false,
            vec![
                (0, bad_url(1), OUT, seconds(10)),
                (1, bad_url(1), OUT, seconds(10)),
                (1, good(), OUT, seconds(10)),
                (0, good(), IN, seconds(10)),
            ],
        ),
        (true, vec![(0, bad_url(1), OUT, seconds(10)), (1, good(), OUT, instant), (0, good(), IN, seconds(10))]),
        // Another url fails on the way.
        (
            true,
            vec![
                (0, bad_url(1), OUT, seconds(10)),
                (1, bad_url(2), OUT, seconds(10)),
                (2, good(), OUT, instant),
                (0, bad_url(0), OUT, seconds(10)),
                (0, good(), IN, seconds(10)),
            ],
        ),
        // An index that there is not.
        (false, vec![(0, bad_url(77), OUT, seconds(10)), (2, good(), OUT, seconds(10)), (0, good(), IN, seconds(10))]),
    ];
    for (fast, steps) in steps {
        let mut node = Node::new(config(vec![pool(vec![server(1, vec![check(http(3, fast))])])]));
        let mut expected = seconds(1);
        for (step, (url, result, table, pause)) in steps.into_iter().enumerate() {
            assert_eq!(node.wait(), expected, "step {step}");
            assert_eq!(node.running[0].2, url, "step {step}");
            node.answer(result);
            assert_eq!(node.table(), table, "step {step}");
            expected = pause;
        }
    }
}

#[test]
fn a_dead_web_server_is_asked_no_sooner_than_a_retry_would_be() {
    let mut slow = check(http(1, false));
    slow.timing.retry_delay = seconds(30);
    let mut node = Node::new(config(vec![pool(vec![server(1, vec![slow])])]));
    node.answer(bad_url(0));
    assert_eq!(node.wait(), seconds(30));
}

#[test]
fn every_failure_is_told_only_when_it_is_asked_for() {
    for log in [false, true] {
        let mut checks = tcp();
        checks[0].log_all_failures = log;
        let mut node = Node::new(config(vec![pool(vec![server(1, checks)])]));
        node.answer(good());
        node.answer(bad());
        assert_eq!(node.explanations().len(), usize::from(log));
        if log {
            assert_eq!(node.explanations()[0].rule, "failure 1 of 3");
        }
    }
}

#[test]
fn a_delay_of_nothing_does_not_make_it_spin() {
    let mut checks = tcp();
    checks[0].timing.interval = Duration::ZERO;
    let mut node = Node::new(config(vec![pool(vec![server(1, checks)])]));
    node.answer(good());
    assert!(node.wait() > Duration::ZERO);
}

#[test]
fn checks_rest_while_the_address_is_elsewhere() {
    let mut suspended = pool(vec![server(1, tcp())]);
    suspended.ha_suspend = true;
    let mut node = Node::new(config(vec![suspended]));
    assert_eq!(node.balancer.deadline(), None);
    let address = "10.0.0.1".parse().unwrap();
    node.tell(Event::LocalAddress { address: "10.0.0.2".parse().unwrap(), present: true });
    assert_eq!(node.balancer.deadline(), None);
    node.tell(Event::LocalAddress { address, present: true });
    assert_eq!(node.answer(good()), seconds(1));
    node.wait();
    let (_, run, _) = node.running[0];
    node.tell(Event::LocalAddress { address, present: false });
    assert!(node.actions.contains(&Action::Cancel { check: CheckId { server: id(0, 0), check: 0 }, run }));
    assert_eq!(node.balancer.deadline(), None);
    assert_eq!(node.table(), IN, "it stays as it was last seen");
    node.tell(Event::LocalAddress { address, present: true });
    assert!(node.wait() < seconds(1), "what was seen last is old, so it is asked at once");
}

#[test]
fn weights_rise_slowly_after_a_return_and_not_at_the_start() {
    let mut one = server(1, tcp());
    (one.weight, one.slow_start) = (100, Some(seconds(10)));
    let mut node = Node::new(config(vec![pool(vec![one])]));
    assert_eq!(node.table(), "10.0.1.1*100");
    node.answer(bad());
    node.answer(good());
    assert_eq!(node.table(), "10.0.1.1*1");
    let status = node.balancer.status(node.now);
    assert!(status.pools[0].servers[0].starting);
    assert_eq!(status.pools[0].weight_sum, 100, "for the quorum it is whole");
    for weight in [10, 20, 30, 40, 50, 60, 70, 80, 90] {
        assert_eq!(node.wait(), seconds(1));
        assert_eq!((node.table(), node.reconciles()), (format!("10.0.1.1*{weight}"), 1));
        assert!(node.explanations().is_empty());
    }
    node.wait();
    assert_eq!(node.table(), "10.0.1.1*100");
    assert!(!node.balancer.status(node.now).pools[0].servers[0].starting);
}

#[test]
fn a_return_from_drain_rises_too_and_a_fall_ends_it() {
    let mut one = server(1, tcp());
    (one.weight, one.slow_start) = (100, Some(seconds(10)));
    let mut node = Node::new(config(vec![pool(vec![one])]));
    node.answer(good());
    node.command(id(0, 0), AdminState::Drained);
    assert_eq!(node.table(), "10.0.1.1*0");
    node.command(id(0, 0), AdminState::Enabled);
    assert_eq!(node.table(), "10.0.1.1*1");
    node.pass(seconds(3));
    assert_eq!(node.table(), "10.0.1.1*30");
    node.command(id(0, 0), AdminState::Disabled);
    node.pass(seconds(3));
    assert_eq!(node.table(), "");
}

/// A row: what is asked, and after how many seconds a probe that says nothing is given up.
#[test]
fn a_probe_that_never_reports_is_a_failure_and_is_asked_for_again() {
    let url = UrlProbe {
        path: "/".to_owned(),
        virtualhost: None,
        sni: None,
        statuses: Vec::new(),
        digest: None,
        regex: None,
        tls_compliant: false,
    };
    let http = HttpProbe { tls: None, version: HttpVersion::V10, urls: vec![url.clone(), url], fast_recovery: false };
    let mut data_path = check(Probe::Tcp);
    data_path.target.as_mut().expect("it has one").via_dataplane = true;
    // The timeout is 5 s, that of programs an hour.
    for (mut check, overdue) in [
        (check(Probe::Tcp), 35),
        (check(Probe::Ping), 35),
        (data_path, 40),
        (check(Probe::Http(http)), 40),
        (misc(false), 3630),
    ] {
        check.timing.retries = 0;
        let name = format!("{:?}", check.probe);
        let mut node = Node::new(config(vec![pool(vec![server(1, vec![check])])]));
        node.wait();
        let (_, lost, _) = node.running[0];
        assert_eq!(node.wait(), seconds(overdue), "{name}");
        assert_eq!(node.table(), OUT, "{name}");
        assert!(node.running.iter().all(|(_, run, _)| *run != lost), "{name}: the lost one is cancelled");
        let status = node.balancer.status(node.now);
        let last = status.pools[0].servers[0].checks[0].last.as_ref().map(|last| last.text.clone());
        assert_eq!(last, Some(format!("the probe has not reported within {overdue} s")), "{name}");
        let check = CheckId { server: id(0, 0), check: 0 };
        node.tell(Event::Probed { check, run: lost, result: good(), took: seconds(1) });
        assert_eq!(node.table(), OUT, "{name}: a word that comes too late counts for nothing");
        node.answer(good());
        assert_eq!(node.table(), IN, "{name}: the next one is asked for and believed");
    }
}

#[test]
fn a_probe_that_never_reports_is_one_failure_among_the_retries() {
    let mut node = Node::new(config(vec![pool(vec![server(1, tcp())])]));
    node.answer(good());
    for _ in 0..2 {
        node.wait();
        node.wait();
        assert_eq!(node.table(), IN);
    }
    node.wait();
    node.wait();
    assert_eq!(node.table(), OUT);
}

#[test]
fn a_reload_goes_on_waiting_for_a_probe_and_no_longer_than_before() {
    let mut node = Node::new(config(vec![pool(vec![server(1, tcp())])]));
    node.wait();
    node.pass(seconds(20));
    let mut other = pool(vec![server(2, tcp()), server(1, tcp())]);
    other.servers[0].checks[0].timing.warmup = seconds(0);
    node.reload(config(vec![other]));
    node.pass(seconds(15));
    let text = node.balancer.status(node.now).pools[0].servers[1].checks[0].last.as_ref().map(|last| last.text.clone());
    assert_eq!(text.as_deref(), Some("the probe has not reported within 35 s"));
}
