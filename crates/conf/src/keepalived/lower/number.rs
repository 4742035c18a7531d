use super::Lower;
use crate::Diagnostic;
use crate::keepalived::language::Word;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What keepalived's handler of a keyword does with `7x`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Garbage {
    /// Takes the 7 when it runs, and refuses it under `-t`.
    Tolerated,
    /// Refuses it and keeps the default.
    Refused,
}

impl Lower {
    /// A number within `range`, or `None` after saying why the default stays.
    pub(super) fn integer(&mut self, word: &Word, range: RangeInclusive<i64>, garbage: Garbage) -> Option<i64> {
        let (number, rest) = leading_integer(&word.text);
        let Some(number) = number else {
            self.refuse(word, format!("`{}` is not a number", word.text));
            return None;
        };
        if !range.contains(&number) {
            self.refuse(word, format!("`{}` is not between {} and {}", word.text, range.start(), range.end()));
            return None;
        }
        if rest.is_empty() {
            return Some(number);
        }
        if garbage == Garbage::Refused {
            self.refuse(word, format!("`{}` is not a number", word.text));
            return None;
        }
        self.say(
            Diagnostic::warning("number-with-text", word.span, format!("`{rest}` after the number {number}"))
                .so("it is ignored; keepalived takes the number when it runs and refuses the file under -t")
                .fix(format!("write `{number}`")),
        );
        Some(number)
    }

    /// Seconds with decimals, down to `grain`.
    ///
    /// keepalived scales the text before it looks at a unit, so that `preempt_delay 3s` waits 3 us there. Here a unit
    /// means what it says, with a warning.
    pub(super) fn seconds(&mut self, word: &Word, range: RangeInclusive<Duration>, grain: Grain) -> Option<Duration> {
        let Some((micros, suffix)) = leading_seconds(&word.text) else {
            self.refuse(word, format!("`{}` is no number of seconds", word.text));
            return None;
        };
        let unit = match suffix {
            "" => None,
            "s" | "sec" | "secs" | "second" | "seconds" => Some(("s", 1_000_000)),
            "ms" | "msec" => Some(("ms", 1_000)),
            "us" | "usec" => Some(("us", 1)),
            "m" | "min" => Some(("min", 60_000_000)),
            _ => Some(("", 1_000_000)),
        };
        let micros = match unit {
            None => micros,
            Some((_, factor)) => u64::try_from(u128::from(micros) * factor / 1_000_000).unwrap_or(u64::MAX),
        };
        let value = grain.round(micros);
        if unit.is_some() {
            let seconds = value.as_secs_f64();
            self.say(
                Diagnostic::warning("number-with-text", word.span, format!("`{}` is a number with a unit", word.text))
                    .so(format!("it is taken as {seconds} s; keepalived refuses it or waits a millionth of it"))
                    .fix(format!("write `{seconds}`")),
            );
        } else if value != Duration::from_micros(micros) {
            self.say(
                Diagnostic::warning("rounded", word.span, format!("`{}` has too many decimals", word.text))
                    .so(format!("it is rounded to {} s", value.as_secs_f64())),
            );
        }
        if !range.contains(&value) {
            let (least, most) = (range.start().as_secs_f64(), range.end().as_secs_f64());
            self.refuse(word, format!("`{}` is not between {least} and {most} seconds", word.text));
            return None;
        }
        Some(value)
    }

    /// Bare, or one of exactly six words.
    pub(super) fn boolean(&mut self, word: Option<&Word>) -> Option<bool> {
        match word.map(|word| word.text.as_str()) {
            None | Some("on" | "true" | "yes") => return Some(true),
            Some("off" | "false" | "no") => return Some(false),
            Some(_) => {}
        }
        if let Some(word) = word {
            self.refuse(word, format!("`{}` is none of on, off, true, false, yes, no", word.text));
        }
        None
    }

    /// Says that a value is not taken.
    pub(super) fn refuse(&mut self, word: &Word, message: String) {
        let mut diagnostic =
            Diagnostic::warning("bad-value", word.span, message).so("the line is ignored: the default stays");
        if word.text.chars().any(|c| ('\u{ff01}'..='\u{ff5e}').contains(&c)) {
            diagnostic = diagnostic.fix("type it in ASCII: these are full-width characters");
        }
        self.say(diagnostic);
    }
}

/// How finely a time is kept.
#[derive(Clone, Copy)]
pub(super) enum Grain {
    Millisecond,
    Microsecond,
}

impl Grain {
    fn round(self, micros: u64) -> Duration {
        match self {
            Grain::Microsecond => Duration::from_micros(micros),
            Grain::Millisecond => Duration::from_millis(micros.saturating_add(500) / 1000),
        }
    }
}

fn leading_integer(text: &str) -> (Option<i64>, &str) {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = text.len() - unsigned.len();
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let number = if digits == 0 { None } else { text[..sign + digits].parse().ok() };
    (number, &text[sign + digits..])
}

/// Microseconds (rounded), and what follows the number.
fn leading_seconds(text: &str) -> Option<(u64, &str)> {
    let whole = text.bytes().take_while(u8::is_ascii_digit).count();
    let fraction = match text[whole..].strip_prefix('.') {
        Some(rest) => 1 + rest.bytes().take_while(u8::is_ascii_digit).count(),
        None => 0,
    };
    if whole == 0 && fraction < 2 {
        return None;
    }
    let (number, suffix) = text.split_at(whole + fraction);
    let seconds: f64 = if fraction == 1 { number.trim_end_matches('.').parse().ok()? } else { number.parse().ok()? };
    // Beyond any time here, far below where f64 loses microseconds.
    (seconds <= 1e9).then_some(((seconds * 1e6).round() as u64, suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_decimals() {
        for (text, expected) in [
            ("1", Some((1_000_000, ""))),
            ("0.01", Some((10_000, ""))),
            (".5", Some((500_000, ""))),
            ("3.", Some((3_000_000, ""))),
            ("3s", Some((3_000_000, "s"))),
            ("x", None),
            (".", None),
            ("-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(leading_seconds(text), expected, "{text}");
        }
    }
}
