use super::span;
use evenkeel_balance::AdminState;
use evenkeel_balance::status::ServerWord;
use evenkeel_bus::{BalanceView, CheckView, PoolView, RealServerView};
use std::fmt::Write as _;

/// Pools and servers, for people.
pub fn balance(out: &mut String, view: &BalanceView) {
    let _ = writeln!(out, "\nlayer 4  {} services in {}", view.plane.services, view.plane.detail);
    if let Some(repair) = &view.plane.last_repair {
        let _ = writeln!(out, "  repairs   {}; {repair}", view.plane.repairs);
    }
    for refusal in &view.plane.refused {
        let _ = writeln!(out, "  REFUSED   {refusal}");
    }
    view.pools.iter().for_each(|view| pool(out, view));
}

fn pool(out: &mut String, view: &PoolView) {
    let label = view.label.as_ref().map(|label| format!("  \"{label}\"")).unwrap_or_default();
    let quorum = if view.quorum { "quorum" } else { "NO QUORUM" };
    let since = span(view.since_seconds);
    let _ = writeln!(out, "\n{}{label}  {quorum} for {since}  ({})", view.name, view.scheduler);
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "  {label:<8}  {text}");
    };
    if view.services.len() > 1 {
        line("services", &view.services.join(", "));
    }
    line("weight", &format!("{} of {} up; lost below {}", view.weight, view.gained_at, view.lost_below));
    if let (Some(sorry), true) = (&view.sorry_server, view.sorry_server_in_use) {
        line("SORRY", &format!("{sorry} answers in place of the servers"));
    }
    if view.suspended {
        line("checks", "rest: the virtual address is not on this host");
    }
    view.servers.iter().for_each(|view| server(out, view));
}

fn server(out: &mut String, view: &RealServerView) {
    let weight = match view.weight {
        Some(weight) if weight == view.configured_weight => format!(", weight {weight}"),
        Some(weight) => format!(", weight {weight} (configured {})", view.configured_weight),
        None => String::new(),
    };
    let admin = match view.admin {
        AdminState::Enabled => "",
        AdminState::Drained => ", drained by a person",
        AdminState::Disabled => ", disabled by a person",
        AdminState::Weight(_) => ", weight by a person",
    };
    let rising = if view.starting { ", rising" } else { "" };
    let traffic =
        view.traffic.map(|t| format!(", {} connections ({} in all)", t.active + t.inactive, t.traffic.connections));
    let _ = writeln!(
        out,
        "  server    {} {} for {}{weight}{rising}{admin}{}: {}",
        view.name,
        word(view.state),
        span(view.since_seconds),
        traffic.unwrap_or_default(),
        view.reason
    );
    view.checks.iter().for_each(|view| check(out, view));
}

fn check(out: &mut String, view: &CheckView) {
    let health = match (view.ok, view.failures) {
        (Some(true), 0) => "well".to_owned(),
        (Some(true), n) => format!("well, but failed {n} times"),
        (Some(false), _) => "FAILED".to_owned(),
        (None, _) => "not proved yet".to_owned(),
    };
    let last = match (&view.last, view.took_seconds, view.age_seconds) {
        (Some(last), Some(took), Some(age)) => format!(": {last} in {}, {} ago", super::took(took), span(age)),
        _ => String::new(),
    };
    let target = view.target.as_ref().map(|target| format!(" {target}")).unwrap_or_default();
    let _ = writeln!(out, "            {}{target} {health}{last}", view.keyword);
}

fn word(word: ServerWord) -> &'static str {
    match word {
        ServerWord::Disabled => "DISABLED",
        ServerWord::Down => "DOWN",
        ServerWord::Unproven => "unproven",
        ServerWord::Drained => "drained",
        ServerWord::Waiting => "waiting",
        ServerWord::Up => "up",
    }
}
