//! Quorum, sorry server, administrators, start and end.

mod node;

use evenkeel_balance::config::{Config, Pool, ScriptId, Server};
use evenkeel_balance::status::ServerWord;
use evenkeel_balance::{Action, AdminState, Event, Notice, PoolId, Table};
use node::{Node, bad, config, good, id, misc, notices, pool, seconds, server, service, sorry, tcp};
use std::num::NonZeroU32;

/// Servers 1 to `n` with these weights and a TCP check each.
fn weighted(weights: &[u32]) -> Vec<Server> {
    (1..).zip(weights).map(|(n, weight)| Server { weight: *weight, ..server(n, tcp()) }).collect()
}

fn with_quorum(weights: &[u32], quorum: u32, hysteresis: u32) -> Pool {
    let quorum = NonZeroU32::new(quorum).expect("a quorum");
    Pool { quorum, hysteresis, sorry: sorry(), ..pool(weighted(weights)) }
}

#[test]
fn the_quorum_is_lost_below_the_lower_threshold_and_gained_at_the_upper_one() {
    // (weights, quorum, hysteresis, how many servers must fail to lose it, how many must be up to gain it again)
    for (weights, quorum, hysteresis, fail, up) in [
        (vec![1, 1, 1, 1], 1, 0, 4, 1),
        (vec![1, 1, 1, 1], 2, 0, 3, 2),
        (vec![1, 1, 1, 1], 2, 1, 4, 3),
        (vec![1, 1, 1, 1], 3, 1, 3, 4),
        (vec![5, 5], 10, 0, 1, 2),
        // More than there is: clamped to the sum, and the hysteresis below the quorum.
        (vec![1, 1], 99, 0, 1, 2),
        (vec![1, 1, 1], 1, 50, 3, 1),
    ] {
        let mut node = Node::new(config(vec![with_quorum(&weights, quorum, hysteresis)]));
        let n_servers = weights.len() as u32;
        node.wait();
        let case = format!("{weights:?} quorum {quorum} hysteresis {hysteresis}");
        for n in 0..n_servers {
            node.answer_of(id(0, n), 0, bad());
            let lost = node.notices().contains(&"quorum lost 0".to_owned());
            assert_eq!(lost, n + 1 == fail, "{case}: {} failed", n + 1);
            assert_eq!(node.table().contains("10.0.9.9*1"), n + 1 >= fail, "{case}");
        }
        assert_eq!(node.table(), "10.0.9.9*1", "{case}");
        node.wait();
        for n in 0..n_servers {
            node.answer_of(id(0, n), 0, good());
            let gained = node.notices().contains(&"quorum gained 0".to_owned());
            assert_eq!(gained, n + 1 == up, "{case}: {} up again", n + 1);
            assert_eq!(node.table().contains("10.0.9.9"), n + 1 < up, "{case}");
        }
    }
}

#[test]
fn without_a_sorry_server_those_that_are_up_stay_when_the_quorum_is_lost() {
    let mut node = Node::new(config(vec![Pool { sorry: None, ..with_quorum(&[1, 1], 2, 0) }]));
    node.wait();
    node.answer_of(id(0, 0), 0, bad());
    assert_eq!(node.notices(), ["down 0/0", "quorum lost 0"]);
    assert_eq!(node.table(), "10.0.1.2*1");
}

#[test]
fn inhibited_servers_stay_with_weight_0() {
    let mut inhibiting = with_quorum(&[1, 1], 2, 0);
    for server in &mut inhibiting.servers {
        server.inhibit_on_failure = true;
    }
    if let Some(sorry) = &mut inhibiting.sorry {
        sorry.inhibit = true;
    }
    let mut node = Node::new(config(vec![inhibiting]));
    assert_eq!(node.table(), "10.0.1.1*1 10.0.1.2*1 10.0.9.9*0");
    node.wait();
    node.answer_of(id(0, 0), 0, bad());
    assert_eq!(node.table(), "10.0.1.1*0 10.0.1.2*0 10.0.9.9*1");
    assert_eq!(node.balancer.status(node.now).pools[0].servers[1].state, ServerWord::Waiting);
}

#[test]
fn a_sorry_server_that_is_one_of_the_servers_has_its_own_weight_until_it_is_needed() {
    let mut pool = with_quorum(&[7, 7], 14, 0);
    if let Some(sorry) = &mut pool.sorry {
        (sorry.address, sorry.inhibit) = ([10, 0, 1, 2].into(), true);
    }
    let mut node = Node::new(config(vec![pool]));
    assert_eq!(node.table(), "10.0.1.1*7 10.0.1.2*7");
    node.wait();
    node.answer_of(id(0, 0), 0, bad());
    assert_eq!(node.table(), "10.0.1.2*1");
}

#[test]
fn an_alpha_pool_begins_without_quorum_and_without_a_word() {
    let mut node = Node::new(config(vec![Pool { alpha: true, ..with_quorum(&[1], 1, 0) }]));
    assert_eq!((node.table(), node.notices()), ("10.0.9.9*1".to_owned(), Vec::new()));
    node.answer(good());
    assert_eq!(
        (node.table().as_str(), node.notices()),
        ("10.0.1.1*1", vec!["up 0/0".to_owned(), "quorum gained 0".to_owned()])
    );
}

#[test]
fn a_pool_whose_servers_all_are_alpha_loses_its_quorum_at_the_start() {
    let mut alphas = with_quorum(&[1], 1, 0);
    alphas.servers[0].alpha = true;
    let node = Node::new(config(vec![alphas]));
    assert_eq!((node.table().as_str(), node.notices()), ("10.0.9.9*1", vec!["quorum lost 0".to_owned()]));
}

#[test]
fn servers_are_announced_at_the_start_when_that_is_configured() {
    let mut alphas = weighted(&[1, 1]);
    alphas[1].alpha = true;
    let node = Node::new(Config { notices_at_start: true, ..config(vec![pool(alphas)]) });
    assert_eq!(node.notices(), ["up 0/0"]);
}

#[test]
fn the_table_changes_before_anybody_is_told() {
    let mut pool = with_quorum(&[1], 1, 0);
    (pool.quorum_down, pool.mail) = (Some(ScriptId(4)), true);
    (pool.servers[0].notify_down, pool.servers[0].notify_up) = (Some(ScriptId(2)), Some(ScriptId(3)));
    let mut node = Node::new(config(vec![pool]));
    node.answer(bad());
    let [Action::Explain(server), Action::Explain(quorum), rest @ ..] = node.actions.as_slice() else {
        panic!("{:?}", node.actions)
    };
    assert_eq!(
        (server.trigger.as_str(), server.rule.as_str(), server.decision.as_str()),
        (
            "TCP_CHECK failed: connection refused",
            "the first probe after the start decides without retries",
            "10.0.1.1:80 of [10.0.0.1]:tcp:80 is down: it leaves the table"
        )
    );
    assert_eq!(quorum.decision, "quorum lost: the sorry server 10.0.9.9:80 answers");
    let reason = "TCP_CHECK failed: connection refused".to_owned();
    let expected = [
        Action::Reconcile(PoolId(0)),
        Action::Notify(Notice::Server { server: id(0, 0), up: false, script: Some(ScriptId(2)), mail: false, reason }),
        Action::Notify(Notice::Quorum { pool: PoolId(0), gained: false, script: Some(ScriptId(4)), mail: true }),
    ];
    assert_eq!(rest, expected);
}

#[test]
fn every_administrative_state_has_its_place_whatever_the_health() {
    for (state, up, down, word) in [
        (AdminState::Enabled, "10.0.1.1*5 10.0.1.2*5", "10.0.1.2*5", ServerWord::Up),
        (AdminState::Drained, "10.0.1.1*0 10.0.1.2*5", "10.0.1.2*5", ServerWord::Drained),
        (AdminState::Disabled, "10.0.1.2*5", "10.0.1.2*5", ServerWord::Disabled),
        (AdminState::Weight(9), "10.0.1.1*9 10.0.1.2*5", "10.0.1.2*5", ServerWord::Up),
        (AdminState::Weight(u32::MAX), "10.0.1.1*2147483647 10.0.1.2*5", "10.0.1.2*5", ServerWord::Up),
    ] {
        let mut node = Node::new(config(vec![pool(weighted(&[5, 5]))]));
        node.command(id(0, 0), state);
        assert_eq!(node.table(), up, "{state:?}");
        assert_eq!(node.balancer.status(node.now).pools[0].servers[0].state, word);
        assert!(node.notices().is_empty(), "{state:?}: health is as before");
        node.wait();
        node.answer_of(id(0, 0), 0, bad());
        assert_eq!(node.table(), down, "{state:?} and down");
        assert_eq!(node.notices(), ["down 0/0"]);
        node.command(id(0, 0), AdminState::Enabled);
        assert_eq!(node.table(), "10.0.1.2*5");
    }
}

#[test]
fn a_command_for_a_server_that_there_is_not_does_nothing() {
    let mut node = Node::new(config(vec![pool(weighted(&[1]))]));
    for server in [id(0, 1), id(1, 0)] {
        assert_eq!(node.command(server, AdminState::Drained), []);
    }
}

#[test]
fn a_server_that_is_drained_keeps_its_connections_when_that_costs_the_quorum() {
    let mut node = Node::new(config(vec![with_quorum(&[1], 1, 0)]));
    node.command(id(0, 0), AdminState::Drained);
    assert_eq!(node.table(), "10.0.1.1*0 10.0.9.9*1");
    assert_eq!(node.notices(), ["quorum lost 0"]);
}

#[test]
fn what_administrators_said_before_the_start_holds() {
    let key = ("[10.0.0.1]:tcp:80".to_owned(), "10.0.1.1:80".to_owned());
    let mut node = Node::with_admin(config(vec![pool(weighted(&[5, 5]))]), &[(key, AdminState::Drained)]);
    assert_eq!(node.table(), "10.0.1.1*0 10.0.1.2*5");
    node.command(id(0, 0), AdminState::Enabled);
    assert_eq!(node.table(), "10.0.1.1*5 10.0.1.2*5");
}

#[test]
fn a_pool_of_several_services_has_the_same_servers_in_each() {
    let mut wide = pool(weighted(&[3]));
    wide.services = vec![service("10.0.0.1", 80), service("10.0.0.1", 443), service("10.0.0.2", 80)];
    let mut node = Node::new(config(vec![wide]));
    let table: Table = node.balancer.desired_table();
    assert_eq!(table.len(), 3);
    assert!(table.values().all(|entry| entry.destinations.len() == 1));
    assert_eq!(node.balancer.owned().len(), 3);
    node.answer(bad());
    assert_eq!(node.reconciles(), 1);
    assert!(node.balancer.desired_table().values().all(|entry| entry.destinations.is_empty()));
}

#[test]
fn the_end_takes_everything_out_and_says_so_with_omega_only() {
    for omega in [false, true] {
        let mut node = Node::new(config(vec![Pool { omega, ..pool(weighted(&[1, 1])) }]));
        node.wait();
        node.answer_of(id(0, 1), 0, bad());
        node.tell(Event::Shutdown);
        assert!(node.running.is_empty(), "probes are cancelled");
        assert_eq!(node.table(), "no service");
        assert!(node.balancer.desired_table().is_empty());
        assert_eq!(node.balancer.owned().len(), 1);
        assert_eq!(node.notices(), if omega { vec!["down 0/0", "quorum lost 0"] } else { Vec::new() });
        assert_eq!(node.reconciles(), 1);
        assert_eq!(node.actions.last(), Some(&Action::Done));
        assert_eq!(node.balancer.deadline(), None);
        assert_eq!(node.tell(Event::Deadline), []);
        assert_eq!(node.reload(Config::default()), []);
    }
}

#[test]
fn steps_that_are_due_together_reconcile_a_pool_once() {
    let servers = (1..=3)
        .map(|n| Server { slow_start: Some(seconds(10)), weight: 100, ..server(n, vec![misc(false)]) })
        .collect();
    let mut node = Node::new(config(vec![pool(servers)]));
    for result in [bad(), good()] {
        node.wait();
        node.answer_all(&result);
    }
    node.wait();
    assert_eq!((node.table().as_str(), node.reconciles()), ("10.0.1.1*10 10.0.1.2*10 10.0.1.3*10", 1));
    assert!(notices(&node.actions).is_empty());
}

#[test]
fn status_says_what_is_known_and_how_old_it_is() {
    let mut node = Node::new(config(vec![with_quorum(&[5, 5], 6, 1)]));
    let status = &node.balancer.status(node.now).pools[0];
    assert_eq!((status.quorum, status.weight_sum, status.gained_at, status.lost_below), (true, 10, 7, 5));
    let check = &status.servers[0].checks[0];
    assert_eq!((check.ok, check.n_failures, &check.last, check.next_in), (Some(true), 0, &None, Some(seconds(1))));
    node.wait();
    node.answer_of(id(0, 0), 0, bad());
    node.pass(seconds(4));
    let status = node.balancer.pool_status(node.now, PoolId(0)).unwrap();
    assert_eq!((status.quorum, status.sorry_in_use, status.servers[0].state), (true, false, ServerWord::Down));
    let server = &status.servers[0];
    assert_eq!((server.since, server.weight, server.full_weight, server.n_downs), (seconds(4), None, 5, 1));
    assert_eq!(server.why, "TCP_CHECK failed: connection refused");
    let check = &server.checks[0];
    let last = check.last.as_ref().unwrap();
    assert_eq!((last.passed, last.text.as_str(), last.age), (false, "connection refused", seconds(4)));
    assert_eq!((check.ok, check.next_in, check.running_for), (Some(false), Some(seconds(6)), None));
    assert_eq!((check.n_passed, check.n_failed, check.keyword.as_str()), (0, 1, "TCP_CHECK"));
    assert_eq!(status.servers[1].checks[0].running_for, Some(seconds(4)));
    assert_eq!(node.balancer.pool_status(node.now, PoolId(1)), None);
}
