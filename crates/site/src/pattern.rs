use crate::variables::Variables;
use std::fmt;

/// A regular expression of the configuration, over bytes as nginx's are.
///
/// The syntax is that of the `regex` crate: look-around and back-references, which PCRE has, are refused when the
/// configuration is compiled. In return a request can never make matching slow.
#[derive(Clone)]
pub struct Pattern {
    regex: regex::bytes::Regex,
    names: Vec<Option<String>>,
    /// By group: where the value of a named one is kept.
    slots: Vec<Option<usize>>,
}

/// A group: where it is kept, when it has a name, and what it matched, when it took part.
pub(crate) type Group<'t> = (Option<usize>, Option<&'t [u8]>);

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

impl Pattern {
    /// Compiles a pattern. PCRE's `(?<name>...)` and `(?P<name>...)` are understood.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Pattern, PatternError> {
        let regex = regex::bytes::RegexBuilder::new(pattern)
            .case_insensitive(ignore_case)
            .unicode(false)
            .size_limit(4 << 20)
            .build()
            .map_err(|error| PatternError(one_line(&error)))?;
        let names: Vec<_> = regex.capture_names().skip(1).map(|name| name.map(str::to_owned)).collect();
        let slots = vec![None; names.len()];
        Ok(Pattern { regex, names, slots })
    }

    /// The same, with the places of its named groups.
    pub(crate) fn with_slots(mut self, own: &Variables) -> Pattern {
        self.slots = self.names.iter().map(|name| own.slot_of(name.as_deref()?)).collect();
        self
    }

    /// Whether it matches anywhere in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// Names of its groups: those that the configuration may use as variables.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().map(String::as_str)
    }

    /// Groups of the first match.
    pub(crate) fn captures<'t>(&self, text: &'t [u8]) -> Option<Vec<Group<'t>>> {
        if self.names.is_empty() {
            return self.regex.is_match(text).then(Vec::new);
        }
        let captures = self.regex.captures(text)?;
        let groups = captures.iter().skip(1).map(|group| group.map(|m| m.as_bytes()));
        Some(self.slots.iter().copied().zip(groups).collect())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.regex.as_str())
    }
}

/// The crate's message draws the pattern with a caret below it; a log line has room for the reason only.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_pcre_has_is_refused_with_a_reason() {
        for pattern in ["(?=a)", "(?<!a)b", r"(a)\1"] {
            let error = Pattern::new(pattern, false).expect_err(pattern).to_string();
            assert!(error.contains("not supported"), "{pattern}: {error}");
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_match_like_any_other() {
        let pattern = Pattern::new("^/(?<rest>.*)$", false).expect("valid");
        assert_eq!(pattern.captures(b"/\xff\xfe"), Some(vec![(None, Some(&b"\xff\xfe"[..]))]));
        assert_eq!(pattern.group_names().collect::<Vec<_>>(), ["rest"]);
    }
}
