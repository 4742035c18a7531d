use super::text::{Text, is_blank};
use crate::Span;
use std::collections::HashMap;
use std::ops::Range;

/// `$NAME=value` as it stands at one moment.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// One line, or the lines of a multi-line body.
    pub(super) lines: Vec<Text>,
    pub(super) multi_line: bool,
}

/// All definitions, and what `${_NAME}` stands for.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    by_name: HashMap<String, Definition>,
    random: u64,
}

/// What the predefined names depend on.
pub(super) struct Surroundings<'a> {
    /// `${_PWD}`
    pub(super) directory: &'a str,
    /// `${_INSTANCE}`
    pub(super) config_id: &'a str,
    /// `${_ENV NAME}`
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

impl Definitions {
    pub(super) fn new(seed: u64) -> Self {
        Definitions { by_name: HashMap::new(), random: seed }
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.random = seed;
    }

    /// Defines or redefines, and returns what the name meant before.
    pub(super) fn define(&mut self, name: &str, definition: Definition) -> Option<Definition> {
        self.by_name.insert(name.to_owned(), definition)
    }

    /// Puts back what [`Definitions::define`] returned.
    pub(super) fn restore(&mut self, name: &str, before: Option<Definition>) {
        match before {
            Some(definition) => self.by_name.insert(name.to_owned(), definition),
            None => self.by_name.remove(name),
        };
    }

    /// The body, when `line` is nothing but the name of a multi-line definition.
    pub(super) fn whole_line(&self, line: &Text) -> Option<&Definition> {
        let (range, name) = next_use(line.bytes(), 0)?;
        let Name::Defined(name) = name else { return None };
        self.by_name.get(name).filter(|d| d.multi_line && range == (0..line.len()))
    }

    /// `line` with each name replaced once; `None` when there was nothing to replace.
    pub(super) fn substitute(&mut self, line: &Text, around: &Surroundings) -> Option<Text> {
        let mut out = Text::default();
        let mut copied = 0;
        let mut from = 0;
        while let Some((range, name)) = next_use(line.bytes(), from) {
            from = range.end;
            let Some(span) = line.span(range.clone()) else { continue };
            let Some(value) = self.value(&name, span, around) else { continue };
            out.push(&line.slice(copied..range.start));
            out.push(&value);
            copied = range.end;
        }
        if copied == 0 {
            return None;
        }
        out.push(&line.slice(copied..line.len()));
        Some(out)
    }

    fn value(&mut self, name: &Name, at: Span, around: &Surroundings) -> Option<Text> {
        let text = |value: &str| Some(Text::at(at, value.as_bytes()));
        match *name {
            Name::Defined(name) => match self.by_name.get(name)?.lines.as_slice() {
                [line] => Some(line.moved_to(at)),
                // Several lines stand for themselves only where nothing else is on the line.
                _ => None,
            },
            Name::Predefined("_PWD") => text(around.directory),
            Name::Predefined("_INSTANCE") => text(around.config_id),
            Name::Predefined("_HASH") => text("#"),
            Name::Predefined("_BANG") => text("!"),
            Name::Predefined(other) => {
                let mut words = other.split_ascii_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (Some("_ENV"), Some(variable), None) => text(&(around.env)(variable).unwrap_or_default()),
                    (Some("_RANDOM"), low, high) => {
                        let low = low.map_or(Some(0), |n| n.parse().ok())?;
                        let high = high.map_or(Some(32767), |n| n.parse().ok())?;
                        text(&self.random_between(low, high).to_string())
                    }
                    _ => None,
                }
            }
        }
    }

    /// splitmix64: a handful of lines, and the same numbers for the same seed everywhere.
    fn random_between(&mut self, low: u32, high: u32) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let width = u64::from(high.saturating_sub(low)) + 1;
        low + u32::try_from((z ^ (z >> 31)) % width).unwrap_or(0)
    }
}

/// A name as it is used.
enum Name<'a> {
    Defined(&'a str),
    /// What is between the braces of `${_...}`.
    Predefined(&'a str),
}

/// The next `$NAME` (before a blank, `)`, `,` or the end) or `${NAME}` at or after `from`.
fn next_use(bytes: &[u8], mut from: usize) -> Option<(Range<usize>, Name<'_>)> {
    loop {
        let start = from + bytes.get(from..)?.iter().position(|b| *b == b'$')?;
        from = start + 1;
        if bytes.get(from) == Some(&b'{') {
            let Some(length) = bytes[from..].iter().position(|b| *b == b'}') else { continue };
            let Ok(inside) = std::str::from_utf8(&bytes[from + 1..from + length]) else { continue };
            let range = start..from + length + 1;
            if inside.starts_with('_') && is_predefined(inside) {
                return Some((range, Name::Predefined(inside)));
            }
            if is_name(inside) {
                return Some((range, Name::Defined(inside)));
            }
            continue;
        }
        let length = name_length(&bytes[from..]);
        let ends = bytes.get(from + length).is_none_or(|b| is_blank(*b) || *b == b')' || *b == b',');
        if length > 0 && ends {
            let name = std::str::from_utf8(&bytes[from..from + length]).ok()?;
            return Some((start..from + length, Name::Defined(name)));
        }
    }
}

fn is_predefined(inside: &str) -> bool {
    let first = inside.split_ascii_whitespace().next().unwrap_or_default();
    ["_PWD", "_INSTANCE", "_RANDOM", "_ENV", "_HASH", "_BANG"].contains(&first)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && name_length(text.as_bytes()) == text.len()
}

/// How many bytes at the start form a name.
pub(super) fn name_length(bytes: &[u8]) -> usize {
    if bytes.first().is_none_or(u8::is_ascii_digit) {
        return 0;
    }
    bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
}

/// The name and the place of the value, when the line is `$NAME=value`.
pub(super) fn definition(line: &Text) -> Option<(String, Range<usize>)> {
    let bytes = line.bytes().strip_prefix(b"$")?;
    let length = name_length(bytes);
    if length == 0 || bytes.get(length) != Some(&b'=') {
        return None;
    }
    Some((line.string(1..length + 1), length + 2..line.len()))
}
