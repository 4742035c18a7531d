use super::{span, took};
use evenkeel_bfd::StateName;
use evenkeel_bus::SessionView;
use std::fmt::Write as _;

/// One BFD session, for people.
pub fn session(out: &mut String, view: &SessionView) {
    let state = match view.state {
        StateName::AdminDown => "ADMINDOWN",
        StateName::Down => "DOWN",
        StateName::Init => "INIT",
        StateName::Up => "UP",
    };
    let source = view.source.as_ref().map(|source| format!(" from {source}")).unwrap_or_default();
    let hops = if view.multihop { "BFD over several hops" } else { "BFD" };
    let _ = writeln!(
        out,
        "\n{}  {state} for {}  ({hops} to {}{source})",
        view.name,
        span(view.since_seconds),
        view.neighbour
    );
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "  {label:<8}  {text}");
    };
    line("why", &view.reason);
    if view.reported_up != (view.state == StateName::Up) {
        let told = if view.reported_up { "up" } else { "down" };
        line("followers", &format!("take it to be {told}: its administrator ended it, and that is no failure"));
    }
    let polling = if view.polling { ", to be confirmed" } else { "" };
    line(
        "sends",
        &format!(
            "every {} x {}, takes every {}{polling}; discriminator {:#010x}, diagnostic: {}",
            took(view.tx_interval_seconds),
            view.multiplier,
            took(view.min_rx_seconds),
            view.local_discriminator,
            view.local_diagnostic.words()
        ),
    );
    match (&view.remote, view.detection_seconds) {
        (Some(remote), Some(detection)) => {
            let demand = if remote.demand { ", in demand mode" } else { "" };
            line(
                "peer",
                &format!(
                    "{}{demand}, sends every {} x {}, takes every {}; discriminator {:#010x}, diagnostic: {}",
                    remote.state.words(),
                    took(remote.min_tx_seconds),
                    remote.multiplier,
                    took(remote.min_rx_seconds),
                    remote.discriminator,
                    remote.diagnostic.words()
                ),
            );
            line("heard", &format!("{} ago, gone after {}", took(remote.age_seconds), took(detection)));
        }
        _ => line("peer", "not heard"),
    }
    let counters = &view.counters;
    line(
        "packets",
        &format!(
            "{} sent ({} more could not be), {} received, {} refused; {} times up, {} times lost",
            counters.sent,
            counters.not_sent,
            counters.received,
            counters.refused(),
            counters.ups,
            counters.downs
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_bfd::Counters;
    use evenkeel_bfd::packet::Diagnostic;
    use evenkeel_bus::RemoteView;

    #[test]
    fn a_session_says_who_was_heard_when_and_how_long_silence_may_be() {
        let mut view = SessionView {
            name: "peer".to_owned(),
            neighbour: "10.0.0.2".to_owned(),
            source: Some("10.0.0.1".to_owned()),
            multihop: false,
            state: StateName::Up,
            since: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            since_seconds: 61.0,
            reason: "10.0.0.2 is Up".to_owned(),
            reported_up: true,
            local_discriminator: 0x1234,
            local_diagnostic: Diagnostic::None,
            tx_interval_seconds: 0.1,
            min_rx_seconds: 0.05,
            multiplier: 5,
            detection_seconds: Some(0.15),
            polling: false,
            remote: Some(RemoteView {
                discriminator: 0xabcd_ef01,
                state: StateName::Up,
                diagnostic: Diagnostic::Expired,
                demand: false,
                min_tx_seconds: 0.04,
                min_rx_seconds: 0.08,
                multiplier: 3,
                age_seconds: 0.02,
            }),
            counters: Counters { sent: 700, received: 690, bad_ttl: 2, ups: 2, downs: 1, ..Counters::default() },
        };
        let render = |view: &SessionView| {
            let mut out = String::new();
            session(&mut out, view);
            out
        };
        let expected = "
peer  UP for 1 min 1 s  (BFD to 10.0.0.2 from 10.0.0.1)
  why       10.0.0.2 is Up
  sends     every 100.0 ms x 5, takes every 50.0 ms; discriminator 0x00001234, diagnostic: No Diagnostic
  peer      Up, sends every 40.0 ms x 3, takes every 80.0 ms; discriminator 0xabcdef01, diagnostic: Control Detection Time Expired
  heard     20.0 ms ago, gone after 150.0 ms
  packets   700 sent (0 more could not be), 690 received, 2 refused; 2 times up, 1 times lost
";
        assert_eq!(render(&view), expected);
        (view.state, view.remote, view.detection_seconds) = (StateName::Down, None, None);
        let text = render(&view);
        assert!(text.contains("\npeer  DOWN for ") && text.contains("\n  peer      not heard\n"), "{text}");
        assert!(text.contains("  followers  take it to be up: its administrator ended it"), "{text}");
    }
}
