//! The BFD sessions: `BFD Topology`.

use super::Facts;
use super::text::{Text, instant};
use evenkeel_bfd::config::Session;
use evenkeel_bfd::packet::Diagnostic;
use evenkeel_bfd::{RemoteStatus, SessionStatus, StateName};
use std::time::Duration;

/// Writes the section. Numbers of descriptors and timers, which keepalived has in between, do not exist here.
pub fn write(out: &mut Text, facts: &Facts) {
    out.section("BFD Topology");
    for session in &facts.bfd.sessions {
        let status = facts.sessions.sessions.iter().find(|status| status.name == session.name);
        configured(out, session);
        if let Some(status) = status {
            present(out, session, status, facts);
        }
    }
}

fn micros(span: Duration) -> String {
    format!("{} us", span.as_micros())
}

fn yes(is: bool) -> &'static str {
    if is { "Yes" } else { "No" }
}

fn configured(out: &mut Text, session: &Session) {
    out.field(1, "BFD Instance", &session.name);
    out.field(3, "Neighbor IP", session.neighbour);
    if let Some(source) = session.source {
        out.field(3, "Source IP", source);
    }
    out.field(3, "Required min RX interval", micros(session.min_rx));
    out.field(3, "Desired min TX interval", micros(session.min_tx));
    out.field(3, "Desired idle TX interval", micros(session.idle_tx));
    out.field(3, "Detection multiplier", session.multiplier);
    let label = if session.neighbour.is_ipv4() { "TTL" } else { "hoplimit" };
    out.field(3, label, session.ttl);
    // keepalived writes -1 for what is not looked at.
    out.field(3, "max_hops", session.max_hops.map_or(-1, i32::from));
    out.field(3, "passive", session.passive);
    out.field(3, "send event to VRRP process", yes(session.tells_vrrp));
    out.field(3, "send event to checker process", yes(session.tells_checker));
}

fn present(out: &mut Text, session: &Session, status: &SessionStatus, facts: &Facts) {
    let remote = status.remote.as_ref();
    let said = |of: fn(&RemoteStatus) -> Duration| micros(remote.map(of).unwrap_or_default());
    out.field(3, "send error", status.state == StateName::AdminDown);
    out.field(3, "local state", status.state.words());
    out.field(3, "remote state", remote.map_or(StateName::Down, |remote| remote.state).words());
    out.field(3, "local discriminator", format!("{:#x}", status.discriminator));
    out.field(3, "remote discriminator", format!("{:#x}", remote.map_or(0, |remote| remote.discriminator)));
    out.field(3, "local diag", status.diagnostic.words());
    out.field(3, "remote diag", remote.map_or(Diagnostic::None, |remote| remote.diagnostic).words());
    out.field(3, "remote min tx intv", said(|remote| remote.min_tx));
    out.field(3, "remote min rx intv", said(|remote| remote.min_rx));
    out.field(3, "local demand", 0);
    out.field(3, "remote demand", u8::from(remote.is_some_and(|remote| remote.demand)));
    out.field(3, "remote detect multiplier", remote.map_or(0, |remote| remote.multiplier));
    out.line(3, if status.polling { "poll, !final" } else { "!poll, !final" });
    out.field(3, "local tx intv", micros(status.tx_interval));
    out.field(3, "remote tx intv", micros(remote.map(|remote| remote.min_tx.max(session.min_rx)).unwrap_or_default()));
    out.field(3, "local detection time", micros(status.detection.unwrap_or_default()));
    out.field(3, "remote detection time", micros(remote.map_or(Duration::ZERO, |_| theirs(session, status))));
    match remote.and_then(|remote| facts.at.checked_sub(remote.heard)) {
        Some(heard) => out.field(3, "last_seen", instant(heard)),
        None => out.field(3, "last_seen", "[never]"),
    }
}

/// How long the peer waits for us.
fn theirs(session: &Session, status: &SessionStatus) -> Duration {
    status.tx_interval * u32::from(session.multiplier.get())
}
