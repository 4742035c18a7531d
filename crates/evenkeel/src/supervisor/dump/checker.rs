//! The balancer: `LVS Topology` and `Health checkers`.

use super::Facts;
use super::text::{Text, enabled, ids, seconds, words, yes};
use evenkeel_balance::config::{Check, Config, HttpProbe, HttpVersion, Pool, Probe, ScriptId, Server};
use evenkeel_balance::table::{Forward, Protocol, Scheduler, ServiceKey, Tunnel, TunnelChecksum};
use evenkeel_bus::{BalanceView, CheckView, PoolView, RealServerView};
use evenkeel_wire::Family;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Writes both sections.
pub fn write(out: &mut Text, facts: &Facts, view: Option<&BalanceView>) {
    let config = &facts.balance;
    out.section("LVS Topology");
    match view {
        Some(view) => out.line(1, &format!("Data plane: {}", view.plane.detail)),
        None => out.line(1, "The balance role does not answer: states below are those of the configuration"),
    }
    let of = |at: usize| view.and_then(|view| view.pools.get(at));
    for (at, pool) in config.pools.iter().enumerate() {
        out.line(1, "------< Virtual server >------");
        virtual_server(out, pool, of(at), facts);
    }
    out.section("Health checkers");
    for (at, pool) in config.pools.iter().enumerate() {
        for (nth, server) in pool.servers.iter().enumerate() {
            let state = of(at).and_then(|pool| pool.servers.get(nth));
            for (number, check) in server.checks.iter().enumerate() {
                let is_suspended = of(at).is_some_and(|pool| pool.suspended);
                out.line(1, &format!("{} -> {}", pool.name, real_name(server, pool)));
                checker(out, check, state.and_then(|server| server.checks.get(number)), is_suspended, facts);
            }
        }
    }
}

fn virtual_server(out: &mut Text, pool: &Pool, view: Option<&PoolView>, facts: &Facts) {
    match pool.services.as_slice() {
        [ServiceKey::Address { address, port, .. }] => {
            out.line(1, &format!("VS VIP = {address}, VPORT = {port}"));
        }
        [ServiceKey::Mark { mark, .. }] => out.field(1, "VS FWMARK", mark),
        _ => out.field(1, "VS GROUP", &pool.name),
    }
    let family = pool.services.first().map_or(Family::V4, ServiceKey::family);
    out.field(3, "Address family", if family == Family::V4 { "inet" } else { "inet6" });
    let timing = || pool.servers.iter().flat_map(|server| &server.checks).map(|check| &check.timing);
    out.field(3, "connection timeout", seconds(timing().next().map_or(Duration::from_secs(5), |t| t.timeout)));
    out.field(3, "delay_loop", seconds(timing().next().map_or(Duration::from_secs(60), |t| t.interval)));
    let service = &pool.service;
    out.field(3, "lvs_sched", service.scheduler.name());
    out.field(3, "Hashed", "disabled");
    let flags = &service.flags;
    match service.scheduler {
        Scheduler::Sh => {
            out.field(3, "sh-port", enabled(flags.scheduler_2));
            out.field(3, "sh-fallback", enabled(flags.scheduler_1));
        }
        Scheduler::Mh => {
            out.field(3, "mh-port", enabled(flags.scheduler_2));
            out.field(3, "mh-fallback", enabled(flags.scheduler_1));
        }
        _ => {
            out.field(3, "flag-1", enabled(flags.scheduler_1));
            out.field(3, "flag-2", enabled(flags.scheduler_2));
            out.field(3, "flag-3", enabled(flags.scheduler_3));
        }
    }
    out.field(3, "One packet scheduling", enabled(flags.one_packet));
    if let Some(persistence) = &service.persistence {
        out.field(3, "persistence timeout", persistence.timeout);
        if let Some(granularity) = granularity(persistence.prefix, family) {
            out.field(3, "persistence granularity", granularity);
        }
        if let Some(engine) = &persistence.engine {
            out.field(3, "persistence engine", engine);
        }
    }
    out.field(
        3,
        "protocol",
        match pool.protocol {
            Some(Protocol::Tcp) => "TCP",
            Some(Protocol::Udp) => "UDP",
            Some(Protocol::Sctp) => "SCTP",
            None => "none",
        },
    );
    switch(out, "alpha", pool.alpha);
    switch(out, "omega", pool.omega);
    out.line(3, &format!("quorum = {}, hysteresis = {}", pool.quorum, pool.hysteresis));
    if pool.ha_suspend {
        out.line(3, "Using HA suspend");
    }
    for (label, script) in [("up", pool.quorum_up), ("down", pool.quorum_down)] {
        notify(out, 3, &format!("Quorum {label} notify script"), script, facts);
    }
    out.field(3, "Using smtp notification", yes(pool.mail));
    if let Some(server) = pool.servers.first() {
        out.field(3, "default forwarding method", method(server.forward));
    }
    if let Some(sorry) = &pool.sorry {
        out.field(3, "sorry server", format!("[{}]:{}:{}", sorry.address, protocol(pool), sorry.port));
        out.field(5, "forwarding method", method(sorry.forward));
        out.line(5, &format!("Inhibit on failure is {}", on(sorry.inhibit)));
    }
    out.field(3, "alive", 1);
    out.field(3, "quorum_state_up", u8::from(view.is_none_or(|view| view.quorum)));
    for (at, server) in pool.servers.iter().enumerate() {
        out.line(3, "------< Real server >------");
        real_server(out, server, view.and_then(|view| view.servers.get(at)), facts);
    }
}

fn real_server(out: &mut Text, server: &Server, view: Option<&RealServerView>, facts: &Facts) {
    let weight = server.weight;
    let effective = view.and_then(|view| view.weight).unwrap_or(weight);
    let is_up = view.is_none_or(|view| {
        use evenkeel_balance::status::ServerWord;
        !matches!(view.state, ServerWord::Down | ServerWord::Unproven | ServerWord::Disabled)
    });
    let n_failed =
        view.map_or(0, |view| view.checks.iter().map(|check| usize::from(check.ok != Some(true))).sum::<usize>());
    let (address, port) = (server.address, server.port);
    out.line(3, &format!("RIP = {address}, RPORT = {port}, WEIGHT = {weight} EFF WEIGHT = {effective}"));
    out.field(3, "forwarding method", method(server.forward));
    out.line(3, &format!("Alpha is {}", on(server.alpha)));
    out.field(3, "connection limit range", format!("{} -> {}", server.lower_threshold, server.upper_threshold));
    out.line(3, &format!("Inhibit on failure is {}", on(server.inhibit_on_failure)));
    for (label, script) in [("up", server.notify_up), ("down", server.notify_down)] {
        notify(out, 5, &format!("RS {label} notify script"), script, facts);
    }
    out.field(3, "Using smtp notification", yes(server.mail));
    out.field(3, "initial weight", weight);
    out.field(3, "effective weight", effective);
    out.field(3, "alive", u8::from(is_up));
    out.field(3, "num failed checkers", n_failed);
    out.field(3, "RS set", u8::from(view.is_none_or(|view| view.weight.is_some())));
}

fn checker(out: &mut Text, check: &Check, view: Option<&CheckView>, is_suspended: bool, facts: &Facts) {
    let timing = &check.timing;
    out.field(3, "Enabled", yes(!is_suspended));
    out.field(3, "Up", yes(view.map_or(!check.alpha, |view| view.ok == Some(true))));
    out.field(3, "Has run", yes(view.is_some_and(|view| view.passed + view.failed > 0)));
    out.field(3, "Alpha", yes(check.alpha));
    out.field(3, "Delay loop", micros(timing.interval));
    out.field(3, "Warmup", micros(timing.warmup));
    out.field(3, "Retries", timing.retries);
    if timing.retries > 0 {
        out.field(3, "Delay before retry", micros(timing.retry_delay));
        out.field(3, "Retries iterations", view.map_or(0, |view| view.failures));
    }
    out.field(3, "Log all failures", yes(check.log_all_failures));
    if let Some(target) = &check.target {
        out.line(3, "Connection");
        out.field(5, "Dest", format!("[{}]:{}", target.address, target.port));
        if let Some(source) = target.source {
            out.field(5, "Bind to", format!("[{source}]:{}", target.source_port.unwrap_or(0)));
        }
        if let Some(interface) = &target.interface {
            out.field(5, "Bind i/f", interface);
        }
        if let Some(mark) = target.mark {
            out.field(5, "Mark", mark);
        }
        out.field(5, "Timeout", seconds(timing.timeout));
    }
    probe(out, &check.probe, view, &facts.balance, facts);
}

fn probe(out: &mut Text, probe: &Probe, view: Option<&CheckView>, config: &Config, facts: &Facts) {
    let keyword = probe.keyword();
    match probe {
        Probe::Http(http) => return web(out, keyword, http, view),
        Probe::Tcp | Probe::Ping | Probe::Smtp { .. } | Probe::Dns { .. } | Probe::Udp(_) => {}
        Probe::Misc { .. } | Probe::File { .. } | Probe::Bfd { .. } | Probe::Agent { .. } => {}
    }
    out.field(3, "Keepalive method", keyword);
    match probe {
        Probe::Smtp { helo } => out.field(3, "helo", helo),
        Probe::Dns { query_type, name } => {
            out.field(3, "Type", query_type);
            out.field(3, "Name", name);
        }
        Probe::Udp(udp) => {
            out.field(3, "Payload len", udp.payload.as_ref().map_or(0, Vec::len));
            out.field(3, "Require reply", yes(udp.require_reply));
        }
        Probe::Misc { script, dynamic } => {
            if let Some(script) = config.scripts.get(script.0 as usize) {
                out.field(3, "script", words(&script.argv));
                out.field(3, "timeout", script.timeout.map_or(0, |timeout| timeout.as_secs()));
                out.field(3, "dynamic", if *dynamic { "YES" } else { "NO" });
                out.field(3, "uid:gid", ids(&script.user.clone().or(facts.settings.script_user.clone())));
            }
        }
        Probe::File { file, .. } => {
            if let Some(file) = config.files.get(file.0 as usize) {
                out.field(3, "file", &file.path);
            }
        }
        Probe::Bfd { session } => {
            if let Some(name) = config.bfd_sessions.get(session.0 as usize) {
                out.field(3, "Name", name);
            }
        }
        Probe::Tcp | Probe::Ping | Probe::Http(_) | Probe::Agent { .. } => {}
    }
}

fn web(out: &mut Text, keyword: &str, http: &HttpProbe, view: Option<&CheckView>) {
    let version = match http.version {
        HttpVersion::V10 => "1.0",
        HttpVersion::V10Close => "1.0C",
        HttpVersion::V11 => "1.1",
    };
    out.field(3, "Keepalive method", format!("{keyword}, http protocol {version}"));
    out.line(3, &format!("Enable SNI {}", set(http.tls.as_ref().is_some_and(|tls| tls.sni))));
    out.line(3, &format!("Fast recovery {}", set(http.fast_recovery)));
    for url in &http.urls {
        out.field(3, "Checked url", &url.path);
        if let Some(host) = &url.virtualhost {
            out.field(5, "VirtualHost", host);
        }
        if let Some(digest) = &url.digest {
            let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            out.field(5, "digest", text);
        }
        out.line(5, "HTTP Status Code(s)");
        for (first, last) in &url.statuses {
            let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
            out.line(7, &range);
        }
        if let Some(regex) = &url.regex {
            out.field(5, if regex.no_match { "Regex no match" } else { "Regex" }, format!("\"{}\"", regex.pattern));
        }
    }
    if let Some(last) = view.filter(|view| view.ok == Some(false)).and_then(|view| view.last.as_deref()) {
        out.field(3, "Failed", last);
    }
}

fn notify(out: &mut Text, depth: usize, label: &str, script: Option<ScriptId>, facts: &Facts) {
    let Some(script) = script.and_then(|id| facts.balance.scripts.get(id.0 as usize)) else { return };
    let user = script.user.clone().or(facts.settings.script_user.clone());
    out.field(depth, label, format!("{}, uid:gid {}", words(&script.argv), ids(&user)));
}

fn switch(out: &mut Text, label: &str, is: bool) {
    out.line(3, &format!("{label} is {}", on(is)));
}

fn on(is: bool) -> &'static str {
    if is { "ON" } else { "OFF" }
}

fn set(is: bool) -> &'static str {
    if is { "set" } else { "unset" }
}

fn micros(span: Duration) -> String {
    format!("{} us", span.as_micros())
}

fn protocol(pool: &Pool) -> &'static str {
    match pool.protocol {
        Some(Protocol::Tcp) => "tcp",
        Some(Protocol::Udp) => "udp",
        Some(Protocol::Sctp) => "sctp",
        None => "none",
    }
}

fn real_name(server: &Server, pool: &Pool) -> String {
    format!("[{}]:{}:{}", server.address, protocol(pool), server.port)
}

/// The mask of a group of clients; a group of one has none to show.
fn granularity(prefix: u8, family: Family) -> Option<String> {
    match family {
        Family::V4 if prefix < 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Some(Ipv4Addr::from(mask).to_string())
        }
        Family::V6 if prefix < 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Some(Ipv6Addr::from(mask).to_string())
        }
        Family::V4 | Family::V6 => None,
    }
}

fn method(forward: Forward) -> String {
    match forward {
        Forward::Masquerade => "NAT".to_owned(),
        Forward::Direct => "DR".to_owned(),
        Forward::Local => "LOCAL".to_owned(),
        Forward::Tunnel(Tunnel::Ipip) => "TUN, type = IPIP".to_owned(),
        Forward::Tunnel(Tunnel::Gue { port, checksum }) => {
            format!("TUN, type = GUE, port = {port}, {}", checksum_word(checksum))
        }
        Forward::Tunnel(Tunnel::Gre { checksum }) => format!("TUN, type = GRE, {}", checksum_word(checksum)),
    }
}

fn checksum_word(checksum: TunnelChecksum) -> &'static str {
    match checksum {
        TunnelChecksum::Absent => "no checksum",
        TunnelChecksum::Present => "checksum",
        TunnelChecksum::Remote => "remote checksum",
    }
}
