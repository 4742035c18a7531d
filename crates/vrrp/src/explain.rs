//! The words of a decision: trigger, rule and decision, with their figures.

use crate::config::{Instance, Version, VirtualAddress};
use std::time::Duration;

/// Everything of a [`Transition`](crate::Transition) but the states.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Why {
    pub(crate) trigger: String,
    pub(crate) rule: String,
    pub(crate) decision: String,
    pub(crate) waited: Duration,
}

impl Why {
    pub(crate) fn new(trigger: impl Into<String>, rule: impl Into<String>, decision: impl Into<String>) -> Self {
        Why { trigger: trigger.into(), rule: rule.into(), decision: decision.into(), waited: Duration::ZERO }
    }

    pub(crate) fn after(self, waited: Duration) -> Self {
        Why { waited, ..self }
    }
}

/// `3.61 s`, `1 s`, `609 ms`.
pub(crate) fn span(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return format!("{} ms", (duration.as_micros() + 500) / 1000);
    }
    let text = format!("{:.2}", duration.as_secs_f64());
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `10.0.0.100 and 10.0.0.101`, or `the virtual router` when there is no address.
pub(crate) fn addresses<'a>(list: impl IntoIterator<Item = &'a VirtualAddress>) -> String {
    let names: Vec<String> = list.into_iter().map(|address| address.prefix.address().to_string()).collect();
    match names.as_slice() {
        [] => "the virtual router".to_owned(),
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// `master down interval = 3 x 1 s + skew 609 ms = 3.61 s (RFC 3768 6.1)`.
pub(crate) fn master_down_rule(config: &Instance, master_interval: Duration, skew: Duration) -> String {
    let adverts = config.down_adverts.get();
    let total = master_interval * u32::from(adverts) + skew;
    let (interval, skew, total) = (span(master_interval), span(skew), span(total));
    format!("master down interval = {adverts} x {interval} + skew {skew} = {total} ({})", rfc(config.version))
}

/// `skew = (256 - 100)/256 x 1 s = 609 ms (RFC 3768 6.1)`.
pub(crate) fn skew_rule(config: &Instance, priority: u8, master_interval: Duration, skew: Duration) -> String {
    let unit = match config.version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => master_interval,
    };
    format!("skew = (256 - {priority})/256 x {} = {} ({})", span(unit), span(skew), rfc(config.version))
}

fn rfc(version: Version) -> &'static str {
    match version {
        Version::V2 => "RFC 3768 6.1",
        Version::V3 => "RFC 9568 6.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        let rows = [
            (0, "0 ms"),
            (36_093, "36 ms"),
            (609_375, "609 ms"),
            (1_000_000, "1 s"),
            (1_500_000, "1.5 s"),
            (3_609_375, "3.61 s"),
            (123_009_960, "123.01 s"),
            (100_000_000, "100 s"),
        ];
        for (micros, want) in rows {
            assert_eq!(span(Duration::from_micros(micros)), want);
        }
    }
}
