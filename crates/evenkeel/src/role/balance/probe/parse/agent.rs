//! The line of an agent for HAProxy: words separated by spaces, tabs or commas; what follows `#` is a description.

use super::excerpt;
use evenkeel_balance::Says;

/// What an agent's line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The server works, and perhaps wants something.
    Up(Option<Says>),
    /// It does not: the word, and the description if there is one.
    Down(String),
    /// No word of it is known.
    Unknown,
}

/// The meaning of a line. Where several words ask for something, the one that takes more traffic away wins; a word that is
/// not known, `maxconn:30` for one, is passed over, as in HAProxy.
pub fn parse(line: &[u8]) -> Line {
    let (words, description) = match line.iter().position(|byte| *byte == b'#') {
        Some(at) => (&line[..at], line[at + 1..].trim_ascii()),
        None => (line, &[][..]),
    };
    let mut known = false;
    let mut says = None;
    let mut down = None;
    for word in words.split(|byte| byte.is_ascii_whitespace() || *byte == b',').filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        let asked = match lower.as_slice() {
            b"up" => None,
            b"down" | b"fail" | b"stopped" => {
                down = Some(String::from_utf8_lossy(&lower).into_owned());
                None
            }
            b"ready" => Some(Says::Ready),
            b"drain" => Some(Says::Drain),
            b"maint" => Some(Says::Maintenance),
            other => match percent(other) {
                Some(percent) => Some(Says::Percent(percent)),
                None => continue,
            },
        };
        known = true;
        if asked.is_some_and(|asked| says.is_none_or(|before| severity(asked) > severity(before))) {
            says = asked;
        }
    }
    match down {
        Some(word) if description.is_empty() => Line::Down(word),
        Some(word) => Line::Down(format!("{word}: {}", excerpt(description))),
        None if known => Line::Up(says),
        None => Line::Unknown,
    }
}

/// `75%`. More than all of the weight is possible: HAProxy allows an agent to raise it.
fn percent(word: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(word.strip_suffix(b"%")?).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn severity(says: Says) -> u8 {
    match says {
        Says::Ready => 0,
        Says::Percent(_) | Says::ExitStatus(_) => 1,
        Says::Drain => 2,
        Says::Maintenance => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_they_mean_to_haproxy() {
        let down = |text: &str| Line::Down(text.to_owned());
        for (line, expected) in [
            ("up", Line::Up(None)),
            ("UP 75%", Line::Up(Some(Says::Percent(75)))),
            ("75%", Line::Up(Some(Says::Percent(75)))),
            ("200%,ready\tup", Line::Up(Some(Says::Percent(200)))),
            ("ready", Line::Up(Some(Says::Ready))),
            ("ready up # all is well", Line::Up(Some(Says::Ready))),
            ("drain 50%", Line::Up(Some(Says::Drain))),
            ("50% drain", Line::Up(Some(Says::Drain))),
            ("maint", Line::Up(Some(Says::Maintenance))),
            ("up maxconn:30", Line::Up(None)),
            ("down", down("down")),
            ("stopped", down("stopped")),
            ("fail # disk full", down("fail: disk full")),
            ("up down", down("down")),
            ("# up", Line::Unknown),
            ("", Line::Unknown),
            ("hello", Line::Unknown),
            ("%", Line::Unknown),
            ("-5%", Line::Unknown),
            ("99999999%", Line::Unknown),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }
}
