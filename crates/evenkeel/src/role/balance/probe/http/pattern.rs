//! Patterns for bodies: PCRE2, as in keepalived.

use super::super::ConfigError;
use super::super::parse::http::MAX_SEARCHED;
use evenkeel_balance::config::BodyRegex;
use evenkeel_kernel::pattern::{self, Options};
use std::collections::HashMap;

/// The compiled patterns of a configuration.
#[derive(Debug, Default)]
pub(in super::super) struct Patterns {
    /// By text, then by options: most texts have one set of them.
    by_text: HashMap<String, Vec<(Vec<String>, Pattern)>>,
}

impl Patterns {
    /// Compiles each pattern once.
    pub(in super::super) fn new<'c>(all: impl Iterator<Item = &'c BodyRegex>) -> Result<Self, ConfigError> {
        let mut patterns = Self::default();
        for regex in all {
            if patterns.of(regex).is_err() {
                let compiled = Pattern::compile(regex)
                    .map_err(|reason| ConfigError::Regex { pattern: regex.pattern.clone(), reason })?;
                let same_text = patterns.by_text.entry(regex.pattern.clone()).or_default();
                same_text.push((regex.options.clone(), compiled));
            }
        }
        Ok(patterns)
    }

    /// The compiled form of a pattern of the configuration.
    pub(super) fn of(&self, regex: &BodyRegex) -> Result<&Pattern, String> {
        let same_text = self.by_text.get(&regex.pattern).map(Vec::as_slice).unwrap_or_default();
        let found = same_text.iter().find(|(options, _)| *options == regex.options);
        found
            .map(|(_, pattern)| pattern)
            .ok_or_else(|| format!("regex {:?} is not of this configuration", regex.pattern))
    }
}

/// One compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern(pattern::Pattern);

impl Pattern {
    fn compile(regex: &BodyRegex) -> Result<Self, String> {
        let mut options = Options::default();
        match regex.options.iter().find(|word| !options.add(word)) {
            Some(word) => Err(format!("there is no option {word}")),
            None => pattern::Pattern::compile(&regex.pattern, options).map(Self),
        }
    }

    /// Whether there is a match within the offsets. keepalived searches a body of any length, piece by piece; here its
    /// first [`MAX_SEARCHED`] bytes are searched.
    pub(super) fn finds(&self, body: &[u8], regex: &BodyRegex) -> Result<bool, String> {
        debug_assert!(body.len() <= MAX_SEARCHED);
        if regex.min_offset > body.len() {
            return Ok(false);
        }
        // PCRE2 counts its steps and gives up, so that a body made for it cannot hold the loop.
        let found = self.0.find_at(body, regex.min_offset).map_err(|error| format!("Regex match failed: {error}"))?;
        // What is found is the first match: if that begins too late, all do.
        Ok(found.is_some_and(|start| regex.max_offset.is_none_or(|latest| start <= latest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str, options: &[&str], min_offset: usize, max_offset: Option<usize>) -> BodyRegex {
        let options = options.iter().map(|word| (*word).to_owned()).collect();
        BodyRegex { pattern: pattern.to_owned(), no_match: false, options, min_offset, max_offset }
    }

    #[test]
    fn options_and_offsets_decide_what_matches() {
        for (pattern, options, min, max, body, expected) in [
            ("b+", &[][..], 0, None, "abbc", true),
            ("B+", &[], 0, None, "abbc", false),
            ("B+", &["caseless"], 0, None, "abbc", true),
            ("a.b", &[], 0, None, "a\nb", false),
            ("a.b", &["dotall"], 0, None, "a\nb", true),
            ("^b", &["multiline"], 0, None, "a\nb", true),
            ("a  b", &["extended"], 0, None, "ab", true),
            ("(?<n>a)|(?<n>b)", &["dupnames"], 0, None, "b", true),
            ("(?=a)a(?<!b)", &["no_auto_possess", "ungreedy"], 0, None, "a", true),
            ("a", &[], 1, None, "abc", false),
            ("a", &[], 1, None, "abca", true),
            ("a", &[], 4, None, "abca", false),
            ("a", &[], 9, None, "abca", false),
            ("c", &[], 0, Some(1), "abca", false),
            ("c", &[], 0, Some(2), "abca", true),
            ("", &[], 0, None, "", true),
            ("b", &["firstline"], 0, None, "ab\ncb", true),
            ("c", &["firstline"], 0, None, "ab\ncb", false),
            ("\n", &["firstline"], 0, None, "ab\ncb", true),
            ("c", &["firstline"], 3, None, "ab\ncb", true),
            ("c", &["firstline"], 0, None, "abc", true),
            ("a$", &[], 0, None, "a\n", true),
            ("a$", &["dollar_endonly"], 0, None, "a\n", false),
        ] {
            let regex = regex(pattern, options, min, max);
            let patterns = Patterns::new([&regex].into_iter()).unwrap();
            let found = patterns.of(&regex).unwrap().finds(body.as_bytes(), &regex);
            assert_eq!(found, Ok(expected), "{pattern} {options:?} {min} {max:?} in {body:?}");
        }
    }

    #[test]
    fn what_cannot_be_compiled_is_named() {
        let refused = |regex: BodyRegex| Patterns::new([&regex].into_iter()).unwrap_err().to_string();
        assert!(refused(regex("a(", &[], 0, None)).starts_with("regex \"a(\": "));
        assert_eq!(refused(regex("a", &["anchored"], 0, None)), "regex \"a\": there is no option anchored");
    }

    #[test]
    fn a_pattern_that_explodes_ends_with_an_error() {
        let regex = regex("(a+)+$", &[], 0, None);
        let patterns = Patterns::new([&regex].into_iter()).unwrap();
        let body = format!("{}b", "a".repeat(60));
        let found = patterns.of(&regex).unwrap().finds(body.as_bytes(), &regex);
        assert!(found.unwrap_err().starts_with("Regex match failed"));
    }
}
