use super::span;
use evenkeel_bus::{MaintenanceView, PeerNodeView};
use evenkeel_peer::facts::RouterState;
use std::fmt::Write as _;

/// One of the other nodes, for people.
pub fn peer(out: &mut String, view: &PeerNodeView) {
    let node = match (&view.node, &view.version) {
        (Some(node), Some(version)) => format!("  ({node}, evenkeel {version})"),
        _ => String::new(),
    };
    let heard = match (view.heard, view.age_seconds) {
        (true, _) => format!("heard for {}", span(view.since_seconds)),
        (false, Some(age)) => format!("SILENT, last heard {} ago", span(age)),
        (false, None) => format!("not heard for {}: is it evenkeel, with the same key?", span(view.since_seconds)),
    };
    let _ = writeln!(out, "\npeer {}  {heard}{node}", view.name);
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "  {label:<8}  {text}");
    };
    if let Some(trouble) = &view.trouble {
        line("NOT SENT", trouble);
    }
    for drift in &view.drift {
        line("DRIFT", drift);
    }
    let counters = &view.counters;
    let refused = counters.mac_err + counters.version_err + counters.length_err + counters.fields_err;
    if refused > 0 {
        let why = format!(
            "{} wrongly signed, {} of another version, {} of a wrong length, {} not understood",
            counters.mac_err, counters.version_err, counters.length_err, counters.fields_err
        );
        line("REFUSED", &why);
    }
    if let Some(view) = &view.maintenance {
        line("state", &maintenance(view));
    }
    if !view.routers.is_empty() {
        let router = |router: &evenkeel_bus::PeerRouterView| {
            format!("{} {} with priority {}", router.name, state(router.state), router.priority)
        };
        let said: Vec<_> = view.routers.iter().take(LISTED).map(router).collect();
        line("routers", &(said.join(", ") + &more(view.routers.len())));
    }
    if let Some(proxy) = &view.proxy {
        let health = if proxy.healthy { "serves" } else { "DOES NOT SERVE" };
        line("proxy", &format!("{health}: {}", proxy.reason));
    }
    if !view.pools.is_empty() {
        let pool = |pool: &evenkeel_bus::PeerPoolView| {
            let quorum = if pool.quorum { "" } else { " NO QUORUM" };
            format!("{} {} of {} up{quorum}", pool.name, pool.up, pool.servers)
        };
        let said: Vec<_> = view.pools.iter().take(LISTED).map(pool).collect();
        line("pools", &(said.join(", ") + &more(view.pools.len())));
    }
}

/// Of many routers or pools so many are named; `--json` has all.
const LISTED: usize = 8;

fn more(n: usize) -> String {
    match n.saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// `in maintenance for another 20 min 3 s, strictly`.
pub fn maintenance(view: &MaintenanceView) -> String {
    let strict = if view.strict { ", strictly: it takes no address" } else { "" };
    match view.remaining_seconds {
        Some(rest) => format!("in maintenance for another {}{strict}", span(rest)),
        None => format!("in maintenance until somebody ends it{strict}"),
    }
}

fn state(state: RouterState) -> &'static str {
    match state {
        RouterState::Unknown => "unknown",
        RouterState::Init => "INIT",
        RouterState::Backup => "BACKUP",
        RouterState::Master => "MASTER",
        RouterState::Leaving => "LEAVING",
        RouterState::Fault => "FAULT",
        RouterState::Stopped => "STOPPED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_bus::{PeerPoolView, PeerRouterView};
    use evenkeel_peer::Counters;
    use evenkeel_peer::facts::Proxy;

    fn view() -> PeerNodeView {
        PeerNodeView {
            name: "lb02".to_owned(),
            address: "10.0.0.11".to_owned(),
            port: 11200,
            heard: true,
            since_seconds: 61.0,
            age_seconds: Some(0.4),
            trouble: None,
            drift: vec!["VI_2 (vrid 52, IPv4) is only here".to_owned()],
            node: Some("lb02.test".to_owned()),
            version: Some("0.1.0".to_owned()),
            maintenance: Some(MaintenanceView { strict: false, until: None, remaining_seconds: Some(1203.0) }),
            routers: vec![PeerRouterView {
                name: "VI_1".to_owned(),
                vrid: 51,
                state: RouterState::Backup,
                priority: 1,
                addresses: vec!["10.0.0.100/24".to_owned()],
            }],
            proxy: Some(Proxy { healthy: false, reason: "no live upstream".to_owned() }),
            pools: vec![PeerPoolView { name: "[10.0.0.100]:tcp:80".to_owned(), quorum: false, up: 1, servers: 2 }],
            counters: Counters { mac_err: 3, ..Counters::default() },
        }
    }

    #[test]
    fn a_peer_is_shown_with_what_differs_first() {
        let mut out = String::new();
        peer(&mut out, &view());
        let expected = "
peer lb02  heard for 1 min 1 s  (lb02.test, evenkeel 0.1.0)
  DRIFT     VI_2 (vrid 52, IPv4) is only here
  REFUSED   3 wrongly signed, 0 of another version, 0 of a wrong length, 0 not understood
  state     in maintenance for another 20 min 3 s
  routers   VI_1 BACKUP with priority 1
  proxy     DOES NOT SERVE: no live upstream
  pools     [10.0.0.100]:tcp:80 1 of 2 up NO QUORUM
";
        assert_eq!(out, expected);
    }

    #[test]
    fn what_a_silent_peer_said_comes_with_its_age() {
        let mut out = String::new();
        let silent = PeerNodeView { heard: false, age_seconds: Some(75.0), ..view() };
        peer(&mut out, &silent);
        assert!(out.contains("peer lb02  SILENT, last heard 1 min 15 s ago"), "{out}");
        let mut out = String::new();
        let never = PeerNodeView { heard: false, age_seconds: None, node: None, version: None, ..view() };
        peer(&mut out, &never);
        assert!(out.contains("not heard for 1 min 1 s: is it evenkeel, with the same key?\n"), "{out}");
    }
}
