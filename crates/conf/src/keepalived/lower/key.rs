//! Keys: text, hexadecimal digits, or a file of its own with either in it.

use super::{At, Lower};
use crate::keepalived::language::Word;
use crate::{Diagnostic, Files, ReadError, Span};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Where a key is.
#[derive(Clone)]
pub(super) enum Source {
    /// `hex:...` or text, as it stands in the configuration.
    Text(String),
    File(PathBuf),
}

impl Source {
    /// `hex:... | TEXT | file:PATH`
    pub(super) fn of(word: &Word) -> At<Self> {
        let source = match word.text.strip_prefix("file:") {
            Some(path) => Source::File(PathBuf::from(path)),
            None => Source::Text(word.text.clone()),
        };
        At::of(word, source)
    }

    fn what(&self) -> &'static str {
        match self {
            Source::Text(_) => "the key",
            Source::File(_) => "the key in the file",
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Text(_) => f.write_str("********"),
            Source::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The bytes of a key, with which somebody can `harm`; `None` after saying why they cannot be had.
pub(super) fn bytes(source: &At<Source>, harm: &str, files: &dyn Files, lower: &mut Lower) -> Option<Vec<u8>> {
    let place = source.span;
    let content = match &source.value {
        Source::Text(text) => text.clone().into_bytes(),
        Source::File(path) => match read(path, files) {
            Ok(content) => {
                look_at_rights(path, place, harm, files, lower);
                content
            }
            Err(error) => {
                lower.say(unusable(
                    place,
                    format!("read {}: {error}", path.display()),
                    "write a file that root can read, with `hex:` and 64 to 128 hexadecimal digits in it",
                ));
                return None;
            }
        },
    };
    let Some(digits) = content.strip_prefix(b"hex:") else { return Some(content) };
    let bytes = unhex(digits);
    if bytes.is_none() {
        let what = source.value.what();
        lower.say(unusable(
            place,
            format!("{what} is no even number of hexadecimal digits"),
            "write `hex:` and 64 to 128 hexadecimal digits, as `openssl rand -hex 32` prints them",
        ));
    }
    bytes
}

/// Says that a key of so many bytes is none.
pub(super) fn wrong_length(source: &At<Source>, n_bytes: usize, range: RangeInclusive<usize>, lower: &mut Lower) {
    let (short, long, what) = (range.start(), range.end(), source.value.what());
    let how = if n_bytes < *short { "too short" } else { "too long" };
    lower.say(unusable(
        source.span,
        format!("{what} is {how}: {n_bytes} bytes, not {short} to {long}"),
        "write `hex:` and 64 hexadecimal digits, as `openssl rand -hex 32` prints them",
    ));
}

fn unusable(place: Span, message: String, fix: &str) -> Diagnostic {
    Diagnostic::warning("key-unusable", place, message).so("the key is left out").fix(fix)
}

fn look_at_rights(path: &Path, place: Span, harm: &str, files: &dyn Files, lower: &mut Lower) {
    let name = path.display();
    let mut warn = |rule, message: String, who: &str, fix: String| {
        let consequence = format!("security: whoever {who} it can {harm}");
        lower.say(Diagnostic::warning(rule, place, message).so(consequence).fix(fix));
    };
    if files.readable_by_others(path) {
        let message = format!("{name} can be read by others than its owner");
        warn("key-readable", message, "reads", format!("run `chmod 600 {name}`"));
    }
    if let Some(owner) = files.owner(path).filter(|owner| *owner != 0) {
        let message = format!("{name} belongs to user {owner}, not to root");
        warn("key-owner", message, "reads or writes", format!("run `chown root {name}`"));
    }
}

/// The content of a key's file without the newline at its end.
fn read(path: &Path, files: &dyn Files) -> Result<Vec<u8>, ReadError> {
    let mut content = files.read(path)?;
    if content.last() == Some(&b'\n') {
        content.pop();
    }
    Ok(content)
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(value(high)? << 4 | value(low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}
