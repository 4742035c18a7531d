//! What a new configuration keeps.

mod node;

use evenkeel_balance::config::{BfdId, Config, Pool, Probe, ScriptId, Server};
use evenkeel_balance::{Action, AdminState, CheckId, Event, PoolId};
use node::{
    Node, bad, check, config, first, good, id, misc, notices, pool, script, seconds, server, service, sorry, tcp,
};

fn two() -> Config {
    config(vec![pool(vec![server(1, tcp()), server(2, tcp())])])
}

/// Two servers, the first of them down.
fn half_down() -> Node {
    let mut node = Node::new(two());
    node.wait();
    node.answer_of(id(0, 0), 0, bad());
    node.answer_of(id(0, 1), 0, good());
    node
}

/// The actions before and after [`Action::Reconfigured`].
fn halves(node: &Node) -> (&[Action], &[Action]) {
    let place = node.actions.iter().position(|action| *action == Action::Reconfigured).expect("a new configuration");
    (&node.actions[..place], &node.actions[place + 1..])
}

#[test]
fn the_same_configuration_changes_nothing() {
    let mut node = half_down();
    let (deadline, before) = (node.balancer.deadline(), node.balancer.status(node.now));
    assert_eq!(node.reload(two()), [Action::Reconfigured]);
    assert_eq!(node.balancer.status(node.now), before);
    assert_eq!(node.balancer.deadline(), deadline);
}

#[test]
fn health_schedule_and_counters_move_with_servers_and_pools() {
    let mut node = half_down();
    let mut new = two();
    first(&mut new).servers.reverse();
    let other = Pool {
        name: "[10.0.0.7]:tcp:80".to_owned(),
        services: vec![service("10.0.0.7", 80)],
        ..pool(vec![server(1, Vec::new())])
    };
    new.pools.insert(0, other.into());
    node.reload(new);
    assert_eq!(node.actions, [Action::Reconfigured, Action::Reconcile(PoolId(0))], "the moved pool is as it was");
    assert_eq!(node.table_of(PoolId(1)), "10.0.1.2*1");
    let status = &node.balancer.status(node.now).pools[1].servers[1];
    assert_eq!((status.up, status.n_downs, status.checks[0].n_failed), (false, 1, 1));
    assert_eq!(node.wait(), seconds(10));
    node.answer_of(id(1, 1), 0, good());
    assert_eq!(node.notices(), ["up 1/1"]);
}

#[test]
fn a_probe_that_is_under_way_counts_under_its_old_number() {
    let mut node = Node::new(two());
    node.wait();
    let (old, run, _) = node.running[0];
    let mut new = two();
    first(&mut new).servers.reverse();
    for _ in 0..2 {
        node.reload(new.clone());
        assert!(!node.actions.iter().any(|action| matches!(action, Action::Cancel { .. })));
    }
    node.tell(Event::Probed { check: old, run, result: bad(), took: seconds(1) });
    assert_eq!((node.table().as_str(), node.notices()), ("10.0.1.2*1", vec!["down 0/1".to_owned()]));
    assert_eq!(node.tell(Event::Probed { check: old, run, result: good(), took: seconds(1) }), []);
}

#[test]
fn removed_servers_go_with_a_word_under_their_old_number() {
    let mut node = Node::new(config(vec![pool(vec![server(1, tcp()), server(2, tcp()), server(3, tcp())])]));
    node.wait();
    node.answer_of(id(0, 1), 0, bad());
    let (gone, run, _) = node.running[0];
    let mut new = two();
    first(&mut new).servers.remove(0);
    node.reload(new);
    let (old, fresh) = halves(&node);
    assert_eq!(notices(old), ["down 0/0", "down 0/2"].map(str::to_owned));
    assert!(old.contains(&Action::Cancel { check: gone, run }));
    assert!(notices(fresh).contains(&"quorum lost 0".to_owned()), "only the one that is down remains");
    assert!(fresh.contains(&Action::Reconcile(PoolId(0))));
    assert_eq!(node.table(), "");
}

#[test]
fn a_removed_pool_is_withdrawn_and_a_moved_service_is_not() {
    let mut old = two();
    first(&mut old).services.push(service("10.0.0.1", 443));
    let mut node = Node::new(old);
    let mut new = two();
    first(&mut new).name = "[10.0.0.1]:tcp:443".to_owned();
    first(&mut new).services = vec![service("10.0.0.1", 443)];
    node.reload(new);
    let (before, after) = halves(&node);
    assert_eq!(notices(before), ["down 0/0", "down 0/1", "quorum lost 0"]);
    assert_eq!(after, [Action::Withdraw(service("10.0.0.1", 80)), Action::Reconcile(PoolId(0))]);
    assert_eq!(node.balancer.owned().len(), 2, "what was ours just before still is");
    assert_eq!(node.balancer.desired_table().len(), 1);
}

#[test]
fn a_pool_of_the_same_services_under_another_name_is_the_same() {
    let mut node = half_down();
    let mut new = two();
    first(&mut new).name = "[web]".to_owned();
    assert_eq!(node.reload(new), [Action::Reconfigured]);
    assert_eq!(node.table(), "10.0.1.2*1");
}

#[test]
fn new_servers_begin_as_at_the_start() {
    let mut node = half_down();
    let mut new = two();
    first(&mut new).servers.push(server(3, tcp()));
    first(&mut new).servers.push(Server { alpha: true, ..server(4, tcp()) });
    node.reload(new);
    assert_eq!(node.table(), "10.0.1.2*1 10.0.1.3*1");
    assert_eq!(node.wait(), seconds(1));
    assert_eq!(node.running.len(), 2);
    node.answer_of(id(0, 2), 0, bad());
    node.answer_of(id(0, 3), 0, good());
    assert_eq!(node.table(), "10.0.1.2*1 10.0.1.4*1");
}

#[test]
fn a_new_server_with_a_slow_start_rises() {
    let mut node = half_down();
    let mut new = two();
    first(&mut new).servers.push(Server { slow_start: Some(seconds(10)), weight: 100, ..server(3, tcp()) });
    node.reload(new);
    assert_eq!(node.table(), "10.0.1.2*1 10.0.1.3*1");
    node.wait();
    assert_eq!(node.table(), "10.0.1.2*1 10.0.1.3*10");
}

#[test]
fn a_check_that_was_changed_neither_kills_nor_revives_its_server() {
    let mut node = half_down();
    let mut new = two();
    for server in &mut first(&mut new).servers {
        server.alpha = true;
        server.checks[0].timing.interval = seconds(20);
    }
    node.reload(new);
    assert_eq!((node.table().as_str(), node.notices()), ("10.0.1.2*1", Vec::new()));
    node.wait();
    node.answer_of(id(0, 0), 0, good());
    node.answer_of(id(0, 1), 0, bad());
    assert_eq!(node.table(), "10.0.1.1*1");
}

#[test]
fn a_server_whose_failing_check_is_gone_is_up() {
    let mut node = half_down();
    let mut new = two();
    first(&mut new).servers[0].checks.clear();
    node.reload(new);
    assert_eq!((node.table().as_str(), node.notices()), ("10.0.1.1*1 10.0.1.2*1", vec!["up 0/0".to_owned()]));
}

#[test]
fn scripts_are_the_same_by_their_words_and_not_by_their_index() {
    let mut old = config(vec![pool(vec![server(1, vec![misc(false)])])]);
    old.scripts = vec![script("/bin/a"), script("/bin/b")];
    for (scripts, index, kept) in [
        (vec![script("/bin/b"), script("/bin/a")], 1, true),
        (vec![script("/bin/b"), script("/bin/a")], 0, false),
        (vec![script("/bin/a")], 0, true),
    ] {
        let mut node = Node::new(old.clone());
        node.answer(good());
        let mut new = old.clone();
        new.scripts = scripts;
        first(&mut new).servers[0].checks[0].probe = Probe::Misc { script: ScriptId(index), dynamic: false };
        node.reload(new);
        assert_eq!(node.balancer.status(node.now).pools[0].servers[0].checks[0].n_passed, u64::from(kept));
    }
}

#[test]
fn administrative_states_stay_and_wait_for_servers_that_come_back() {
    let mut node = half_down();
    node.command(id(0, 1), AdminState::Drained);
    let mut without = two();
    first(&mut without).servers.pop();
    node.reload(without);
    let mut back = two();
    first(&mut back).servers.reverse();
    node.reload(back);
    assert_eq!(node.table(), "10.0.1.2*0");
}

#[test]
fn new_numbers_for_weight_quorum_and_sorry_server_take_effect_at_once() {
    let mut node = half_down();
    let mut new = two();
    first(&mut new).servers[1].weight = 9;
    node.reload(new.clone());
    assert_eq!((node.table().as_str(), node.reconciles()), ("10.0.1.2*9", 1));
    first(&mut new).quorum = 10.try_into().unwrap();
    first(&mut new).sorry = sorry();
    node.reload(new);
    assert_eq!((node.table().as_str(), node.notices()), ("10.0.9.9*1", vec!["quorum lost 0".to_owned()]));
}

#[test]
fn a_session_that_is_known_decides_about_new_checks() {
    let mut old = config(vec![pool(vec![server(1, vec![check(Probe::Bfd { session: BfdId(0) })])])]);
    old.bfd_sessions = vec!["one".to_owned()];
    let mut node = Node::new(old.clone());
    node.tell(Event::Bfd { session: BfdId(0), up: false });
    let mut new = old;
    new.bfd_sessions.insert(0, "zero".to_owned());
    for server in &mut first(&mut new).servers {
        server.checks[0].probe = Probe::Bfd { session: BfdId(1) };
    }
    first(&mut new).servers.push(server(2, vec![check(Probe::Bfd { session: BfdId(1) })]));
    node.reload(new);
    assert_eq!(node.table(), "");
    node.tell(Event::Bfd { session: BfdId(1), up: true });
    assert_eq!(node.table(), "10.0.1.1*1 10.0.1.2*1");
}

#[test]
fn a_pool_that_follows_an_address_from_now_on_rests() {
    let mut node = half_down();
    let mut new = two();
    first(&mut new).ha_suspend = true;
    node.reload(new);
    assert_eq!(node.balancer.deadline(), None);
    node.reload(two());
    assert!(node.wait() <= seconds(1));
}

#[test]
fn before_the_start_the_last_configuration_counts() {
    let mut actions = Vec::new();
    let mut balancer = evenkeel_balance::Balancer::new(two(), &[], 1);
    balancer.reconfigure(evenkeel_wire::Instant::ORIGIN, config(vec![pool(vec![server(9, tcp())])]), &mut actions);
    balancer.handle(evenkeel_wire::Instant::ORIGIN, Event::Deadline, &mut actions);
    assert_eq!(actions, [Action::Reconfigured, Action::Reconcile(PoolId(0))]);
    assert_eq!(balancer.status(evenkeel_wire::Instant::ORIGIN).pools[0].servers[0].name, "10.0.1.9:80");
}

#[test]
fn checks_that_are_gone_are_cancelled() {
    let mut node = Node::new(config(vec![pool(vec![server(1, vec![check(Probe::Tcp), check(Probe::Ping)])])]));
    node.wait();
    let (ping, run, _) = node.running[1];
    assert_eq!(ping, CheckId { server: id(0, 0), check: 1 });
    node.reload(config(vec![pool(vec![server(1, tcp())])]));
    assert_eq!(halves(&node).0, [Action::Cancel { check: ping, run }]);
}
