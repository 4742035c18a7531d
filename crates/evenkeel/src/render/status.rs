use super::{span, took};
use evenkeel_bus::{GroupView, InstanceView, LatenessView, NodeStatus, ProxyView, RoleState, RoleView, UpstreamView};
use evenkeel_vrrp::StateName;
use std::fmt::Write as _;

/// One node, for people.
pub fn status(node: &NodeStatus) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}  evenkeel {}, up {}", node.node, node.version, span(node.uptime_seconds));
    for role in &node.roles {
        let _ = writeln!(out, "  {:<8}  {}", role.name, role_line(role));
    }
    if let Some(view) = node.lateness.filter(|view| view.over_10_ms > 0) {
        let _ = writeln!(out, "  LATE      {}", lateness(view));
    }
    if let Some(view) = &node.maintenance {
        let _ = writeln!(out, "  MAINTENANCE  {}", super::maintenance(view));
    }
    if let Some(error) = &node.reload_error {
        let first = error.lines().next().unwrap_or_default();
        let _ = writeln!(out, "  RELOAD    the last one was refused: {first}");
    }
    match &node.instances {
        None => out.push_str("\nvirtual routers: unknown, the vrrp role does not answer\n"),
        Some(instances) => instances.iter().for_each(|view| instance(&mut out, view)),
    }
    for view in node.groups.iter().flatten() {
        group(&mut out, view);
    }
    for view in node.bfd.iter().flatten() {
        super::session::session(&mut out, view);
    }
    match &node.peers {
        Some(views) => views.iter().for_each(|view| super::peers::peer(&mut out, view)),
        None if node.roles.iter().any(|role| role.name == "peer") => {
            out.push_str("\nother nodes: unknown, the peer role does not answer\n");
        }
        None => {}
    }
    match &node.balance {
        Some(view) => super::balance::balance(&mut out, view),
        None if node.roles.iter().any(|role| role.name == "balance") => {
            out.push_str("\nvirtual servers: unknown, the balance role does not answer\n");
        }
        None => {}
    }
    if let Some(view) = &node.proxy {
        proxy(&mut out, view);
    }
    out
}

fn role_line(role: &RoleView) -> String {
    let mut line = match (role.state, role.pid) {
        (RoleState::Starting, _) => "starting".to_owned(),
        (RoleState::Running, Some(pid)) => format!("running as process {pid}"),
        (RoleState::Running, None) => "running".to_owned(),
        (RoleState::Waiting, _) => "dead, to be started again".to_owned(),
        (RoleState::Stopping, _) => "stopping".to_owned(),
        (RoleState::Stopped, _) => "stopped".to_owned(),
    };
    let _ = write!(line, " for {}", span(role.since_seconds));
    if role.restarts > 0 {
        let _ = write!(line, ", started again {} times", role.restarts);
    }
    if let Some(how) = &role.last_exit {
        let _ = write!(line, ", last {how}");
    }
    line
}

fn lateness(view: LatenessView) -> String {
    format!(
        "{} of {} deadlines of the vrrp role were served more than 10 ms late, {} more than 100 ms; the latest by {}, the last by {}",
        view.over_10_ms,
        view.served,
        view.over_100_ms,
        took(view.greatest_seconds),
        took(view.last_seconds)
    )
}

fn instance(out: &mut String, view: &InstanceView) {
    let _ = writeln!(
        out,
        "\n{}  {} for {}  ({}, vrid {}, VRRPv{})",
        view.name,
        state(view.state),
        span(view.since_seconds),
        view.interface,
        view.vrid,
        view.version
    );
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "  {label:<8}  {text}");
    };
    let addresses = view.addresses.join(", ");
    match &view.owner {
        Some(owner) => line("owner", &format!("{owner} holds {addresses}")),
        None => line("owner", &format!("unknown for {addresses}")),
    }
    if !view.reason.is_empty() {
        line("why", &view.reason);
    }
    match view.effective_priority == view.priority {
        true => line("priority", &view.priority.to_string()),
        false => line("priority", &format!("{} (configured {})", view.effective_priority, view.priority)),
    }
    match &view.peer {
        Some(peer) => line(
            "peer",
            &format!("{} with priority {}, heard {} ago", peer.address, peer.priority, span(peer.age_seconds)),
        ),
        None => line("peer", "none heard yet"),
    }
    for tracker in &view.trackers {
        let health = match tracker.healthy {
            Some(true) => "well",
            Some(false) => "FAILED",
            None => "not known yet",
        };
        let detail = if tracker.detail.is_empty() { String::new() } else { format!(": {}", tracker.detail) };
        let weight = if tracker.weight == 0 { String::new() } else { format!(", weight {:+}", tracker.weight) };
        line("track", &format!("{} is {health}{detail}{weight}", tracker.name));
    }
    if let Some(conflict) = &view.conflict {
        line(
            "CONFLICT",
            &format!(
                "{} also answers for {}, for {} (last seen {} ago)",
                conflict.mac,
                conflict.address,
                span(conflict.since_seconds),
                span(conflict.age_seconds)
            ),
        );
    }
}

fn group(out: &mut String, view: &GroupView) {
    let _ = writeln!(out, "\ngroup {}  {} for {}", view.name, state(view.state), span(view.since_seconds));
    let _ = writeln!(out, "  members   {}", view.members.join(", "));
}

fn proxy(out: &mut String, view: &ProxyView) {
    let health = if view.health.healthy { "serves" } else { "DOES NOT SERVE" };
    let _ = writeln!(out, "\nproxy  {health} for {}: {}", span(view.health.since_seconds), view.health.reason);
    match (view.requests, view.connections, view.workers_alive, view.workers) {
        (Some(requests), Some(connections), Some(alive), Some(workers)) => {
            let _ = writeln!(
                out,
                "  requests  {requests} answered, {connections} connections open, {alive} of {workers} workers answer"
            );
        }
        _ => out.push_str("  requests  unknown, the proxy role does not answer\n"),
    }
    view.upstreams.iter().for_each(|view| upstream(out, view));
}

fn upstream(out: &mut String, view: &UpstreamView) {
    let n_alive = view.servers.iter().filter(|server| server.alive).count();
    let _ = writeln!(out, "  upstream  {}: {n_alive} of {} servers live", view.name, view.servers.len());
    for server in &view.servers {
        let alive = if server.alive { "live" } else { "DOWN" };
        let backup = if server.backup { ", backup" } else { "" };
        let error = match (&server.last_error, server.last_error_age_seconds) {
            (Some(error), Some(age)) => format!("; {error} {} ago", span(age)),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "            {} {alive}{backup}, {} requests, {} failures{error}",
            server.address, server.requests, server.fails
        );
    }
}

/// The state as keepalived's users know it.
pub fn state(state: StateName) -> &'static str {
    match state {
        StateName::Init => "INIT",
        StateName::Backup => "BACKUP",
        StateName::Master => "MASTER",
        StateName::Leaving => "LEAVING",
        StateName::Fault => "FAULT",
        StateName::Stopped => "STOPPED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_bus::{ConflictView, PeerView, ProxyHealth, ServerView, TrackerView};
    use evenkeel_vrrp::AdvertCounters;

    fn node() -> NodeStatus {
        NodeStatus {
            node: "lb01".to_owned(),
            version: "0.1.0".to_owned(),
            at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            pid: 10,
            uptime_seconds: 125.0,
            files: vec![],
            configured_at: "2026-01-02T03:02:00.000Z".parse().unwrap(),
            reload_error: None,
            maintenance: None,
            roles: vec![RoleView {
                name: "vrrp".to_owned(),
                state: RoleState::Running,
                pid: Some(11),
                since_seconds: 125.0,
                restarts: 0,
                last_exit: None,
            }],
            lateness: None,
            instances: None,
            groups: None,
            bfd: None,
            peers: Some(vec![]),
            proxy: None,
            balance: None,
        }
    }

    #[test]
    fn a_silent_role_is_unknown_and_never_master() {
        let expected = "\
lb01  evenkeel 0.1.0, up 2 min 5 s
  vrrp      running as process 11 for 2 min 5 s

virtual routers: unknown, the vrrp role does not answer
";
        assert_eq!(status(&node()), expected);
    }

    #[test]
    fn lateness_is_a_line_only_where_something_was_late() {
        let on_time =
            LatenessView { served: 70, last_seconds: 0.000_08, greatest_seconds: 0.009, over_10_ms: 0, over_100_ms: 0 };
        let mut node = node();
        node.lateness = Some(on_time);
        assert!(!status(&node).contains("LATE"));
        node.lateness = Some(LatenessView { greatest_seconds: 0.253, over_10_ms: 3, over_100_ms: 1, ..on_time });
        let expected = "
  LATE      3 of 70 deadlines of the vrrp role were served more than 10 ms late, 1 more than 100 ms; the latest by 253.0 ms, the last by 80 us
";
        assert!(status(&node).contains(expected), "{}", status(&node));
    }

    #[test]
    fn every_fact_comes_with_its_age() {
        let mut node = node();
        node.instances = Some(vec![InstanceView {
            name: "VI_1".to_owned(),
            interface: "eth0".to_owned(),
            vrid: 50,
            version: 2,
            state: StateName::Master,
            since: node.at,
            since_seconds: 61.0,
            reason: "no advert from 10.0.0.11 for 3.41 s".to_owned(),
            priority: 150,
            effective_priority: 130,
            addresses: vec!["10.0.0.100/32".to_owned()],
            holding: true,
            owner: Some("this node".to_owned()),
            peer: Some(PeerView { address: "10.0.0.11".to_owned(), priority: 100, age_seconds: 0.4 }),
            conflict: Some(ConflictView {
                address: "10.0.0.100".to_owned(),
                mac: "02:00:00:00:00:0b".to_owned(),
                since_seconds: 30.0,
                age_seconds: 1.0,
            }),
            trackers: vec![TrackerView {
                name: "script chk_nginx".to_owned(),
                healthy: Some(false),
                weight: -20,
                detail: "exited with status 1".to_owned(),
            }],
            counters: AdvertCounters::default(),
        }]);
        node.groups = Some(vec![GroupView {
            name: "G1".to_owned(),
            state: StateName::Master,
            since: node.at,
            since_seconds: 61.0,
            members: vec!["VI_1".to_owned(), "VI_2".to_owned()],
        }]);
        node.proxy = Some(ProxyView {
            health: ProxyHealth {
                healthy: false,
                reason: "upstream kd has no live server".to_owned(),
                since_seconds: 3.0,
            },
            workers_alive: Some(2),
            workers: Some(2),
            connections: Some(4),
            requests: Some(1200),
            responses: Some([0; 5]),
            bad_requests: Some(0),
            upstreams: vec![UpstreamView {
                name: "kd".to_owned(),
                servers: vec![ServerView {
                    address: "10.0.0.51:80".to_owned(),
                    alive: false,
                    backup: true,
                    requests: 7,
                    fails: 1,
                    last_error: Some("connection refused".to_owned()),
                    last_error_age_seconds: Some(2.0),
                }],
            }],
        });
        let expected = "\
lb01  evenkeel 0.1.0, up 2 min 5 s
  vrrp      running as process 11 for 2 min 5 s

VI_1  MASTER for 1 min 1 s  (eth0, vrid 50, VRRPv2)
  owner     this node holds 10.0.0.100/32
  why       no advert from 10.0.0.11 for 3.41 s
  priority  130 (configured 150)
  peer      10.0.0.11 with priority 100, heard 0.4 s ago
  track     script chk_nginx is FAILED: exited with status 1, weight -20
  CONFLICT  02:00:00:00:00:0b also answers for 10.0.0.100, for 30 s (last seen 1.0 s ago)

group G1  MASTER for 1 min 1 s
  members   VI_1, VI_2

proxy  DOES NOT SERVE for 3.0 s: upstream kd has no live server
  requests  1200 answered, 4 connections open, 2 of 2 workers answer
  upstream  kd: 0 of 1 servers live
            10.0.0.51:80 DOWN, backup, 7 requests, 1 failures; connection refused 2.0 s ago
";
        assert_eq!(status(&node), expected);
    }
}
