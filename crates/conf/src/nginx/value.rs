//! Numbers, sizes and times as nginx writes them.

use std::time::Duration;

/// What a time without a unit, and the unit `ms`, mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// `ms` is understood.
    Milliseconds,
    /// It is not.
    Seconds,
}

/// `90`, `1m30s`, `1d 12h`, `500ms`: units in falling order, each once; seconds without a unit.
pub(super) fn time(text: &str, grain: Grain) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] =
        [("y", 31_536_000), ("M", 2_592_000), ("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut total = Duration::ZERO;
    let mut next_unit = 0;
    let mut rest = text.trim_start_matches(' ');
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let value: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let part = if let Some(after) = rest.strip_prefix("ms") {
            if grain == Grain::Seconds {
                return None;
            }
            rest = after;
            next_unit = UNITS.len();
            Duration::from_millis(value)
        } else if rest.is_empty() || rest.starts_with(' ') {
            if next_unit == UNITS.len() {
                return None;
            }
            next_unit = UNITS.len();
            Duration::from_secs(value)
        } else {
            let unit = UNITS.iter().position(|(name, _)| rest.starts_with(name))?;
            if unit < next_unit {
                return None;
            }
            next_unit = unit + 1;
            rest = &rest[1..];
            Duration::from_secs(value.checked_mul(UNITS[unit].1)?)
        };
        total = total.checked_add(part)?;
        rest = rest.trim_start_matches(' ');
    }
    // nginx keeps milliseconds in a machine word of 32 bits on some machines; half of 2^63 is plenty.
    (total.as_secs() < 1 << 40).then_some(total)
}

/// `512`, `8k`, `1m`, `2g`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    number(digits)?.checked_mul(factor).filter(|size| i64::try_from(*size).is_ok())
}

/// Digits only.
pub(super) fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, millis) in [
            ("0", Some(0)),
            ("60", Some(60_000)),
            ("1m30s", Some(90_000)),
            ("1m 30s", Some(90_000)),
            ("1m30", Some(90_000)),
            ("1h", Some(3_600_000)),
            ("500ms", Some(500)),
            ("1s500ms", Some(1_500)),
            ("1d12h", Some(129_600_000)),
            ("1M", Some(2_592_000_000)),
            ("", None),
            ("s", None),
            ("1x", None),
            ("-1", None),
            ("30s1m", None),
            ("1s1s", None),
            ("30 30", None),
            ("1.5s", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(time(text, Grain::Milliseconds), millis.map(Duration::from_millis), "{text}");
        }
        assert_eq!(time("500ms", Grain::Seconds), None);
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("8k", Some(8192)),
            ("1M", Some(1 << 20)),
            ("2g", Some(2 << 30)),
            ("", None),
            ("k", None),
            ("1kb", None),
            ("-1", None),
            ("99999999999g", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}
