use super::took;
use evenkeel_bus::Explanation;
use std::fmt::Write as _;

/// Decisions, oldest first, each from its trigger to what was done.
pub fn why(explanations: &[Explanation]) -> String {
    if explanations.is_empty() {
        return "nothing has been decided yet\n".to_owned();
    }
    explanations.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(e: &Explanation) -> String {
    let mut out = String::new();
    use super::status::state;
    let states = match (e.from, e.to) {
        (Some(from), Some(to)) if e.changed_state() => format!("  {} -> {}", state(from), state(to)),
        (_, Some(to)) => format!("  stays {}", state(to)),
        (_, None) => String::new(),
    };
    let _ = writeln!(out, "{}  {}{states}", e.at, e.instance);
    let _ = writeln!(out, "  trigger   {}", e.trigger);
    if !e.rule.is_empty() {
        let _ = writeln!(out, "  rule      {}", e.rule);
    }
    let waited = if e.waited_seconds > 0.0 { format!(" (waited {})", took(e.waited_seconds)) } else { String::new() };
    let _ = writeln!(out, "  decision  {}{waited}", e.decision);
    for (n, effect) in e.effects.iter().enumerate() {
        let label = if n == 0 { "effects" } else { "" };
        let _ = writeln!(out, "  {label:<8}  {} in {}", effect.what, took(effect.took_seconds));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_bus::Effect;
    use evenkeel_vrrp::StateName;
    use std::time::Duration;

    #[test]
    fn a_takeover_reads_from_its_cause_to_its_effects() {
        let explanation = Explanation {
            instance: "VI_1".to_owned(),
            at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            from: Some(StateName::Backup),
            to: Some(StateName::Master),
            trigger: "no advert from 10.0.0.10 for 3.61 s".to_owned(),
            rule: "master down interval = 3 x 1 s + skew 609 ms = 3.61 s (RFC 3768 6.1)".to_owned(),
            decision: "take over 10.0.0.100".to_owned(),
            waited_seconds: 3.609,
            effects: vec![
                Effect::new("added 10.0.0.100/32 to eth0", Duration::from_micros(312)),
                Effect::new("sent 5 gratuitous ARPs for 10.0.0.100", Duration::from_micros(80)),
            ],
        };
        let expected = "\
2026-01-02T03:04:05.678Z  VI_1  BACKUP -> MASTER
  trigger   no advert from 10.0.0.10 for 3.61 s
  rule      master down interval = 3 x 1 s + skew 609 ms = 3.61 s (RFC 3768 6.1)
  decision  take over 10.0.0.100 (waited 3.61 s)
  effects   added 10.0.0.100/32 to eth0 in 312 us
            sent 5 gratuitous ARPs for 10.0.0.100 in 80 us
";
        assert_eq!(why(&[explanation]), expected);
        assert_eq!(why(&[]), "nothing has been decided yet\n");
    }
}
