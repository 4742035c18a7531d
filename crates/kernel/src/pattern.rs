//! Patterns in the language of PCRE2, with every option that the language has: the safe interface to the library knows
//! some of them.
//!
//! Nothing is compiled to machine code: a text every few seconds does not repay memory that is writable and executable.

use pcre2_sys as pcre2;
use std::fmt;
use std::ptr::{self, NonNull};

/// Options of a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options(u32);

impl Options {
    /// Adds the option of this name, in keepalived's spelling: that of PCRE2 without its prefix, in small letters. False when
    /// there is none.
    pub fn add(&mut self, name: &str) -> bool {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        self.0 |= found.map_or(0, |(_, bit)| *bit);
        found.is_some()
    }
}

const NAMES: [(&str, u32); 24] = [
    ("allow_empty_class", pcre2::PCRE2_ALLOW_EMPTY_CLASS),
    ("alt_bsux", pcre2::PCRE2_ALT_BSUX),
    ("alt_circumflex", pcre2::PCRE2_ALT_CIRCUMFLEX),
    ("alt_verbnames", pcre2::PCRE2_ALT_VERBNAMES),
    ("auto_callout", pcre2::PCRE2_AUTO_CALLOUT),
    ("caseless", pcre2::PCRE2_CASELESS),
    ("dollar_endonly", pcre2::PCRE2_DOLLAR_ENDONLY),
    ("dotall", pcre2::PCRE2_DOTALL),
    ("dupnames", pcre2::PCRE2_DUPNAMES),
    ("extended", pcre2::PCRE2_EXTENDED),
    ("firstline", pcre2::PCRE2_FIRSTLINE),
    ("match_unset_backref", pcre2::PCRE2_MATCH_UNSET_BACKREF),
    ("multiline", pcre2::PCRE2_MULTILINE),
    ("never_backslash_c", pcre2::PCRE2_NEVER_BACKSLASH_C),
    ("never_ucp", pcre2::PCRE2_NEVER_UCP),
    ("never_utf", pcre2::PCRE2_NEVER_UTF),
    ("no_auto_capture", pcre2::PCRE2_NO_AUTO_CAPTURE),
    ("no_auto_possess", pcre2::PCRE2_NO_AUTO_POSSESS),
    ("no_dotstar_anchor", pcre2::PCRE2_NO_DOTSTAR_ANCHOR),
    ("no_start_optimize", pcre2::PCRE2_NO_START_OPTIMIZE),
    ("ucp", pcre2::PCRE2_UCP),
    ("ungreedy", pcre2::PCRE2_UNGREEDY),
    ("use_offset_limit", pcre2::PCRE2_USE_OFFSET_LIMIT),
    // A text that is not UTF-8 is searched all the same, around what is none of it.
    ("utf", pcre2::PCRE2_UTF | pcre2::PCRE2_MATCH_INVALID_UTF),
];

/// A compiled pattern.
pub struct Pattern(NonNull<pcre2::pcre2_code_8>);

// SAFETY: pcre2api(3), "Multithreading": compiled code is not changed by matching, so threads may share it. The one call
// that would change it, of the compiler to machine code, is not made.
unsafe impl Send for Pattern {}
// SAFETY: as above.
unsafe impl Sync for Pattern {}

impl Pattern {
    /// Compiles a pattern. The error says what is wrong and after how many bytes.
    pub fn compile(pattern: &str, options: Options) -> Result<Self, String> {
        let (mut number, mut offset) = (0, 0);
        // SAFETY: the pattern is as long as is said, and the library keeps no pointer to it; without a context its
        // defaults hold.
        let code = unsafe {
            pcre2::pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                options.0,
                &raw mut number,
                &raw mut offset,
                ptr::null_mut(),
            )
        };
        NonNull::new(code).map(Pattern).ok_or_else(|| format!("{} after {offset} bytes", message(number)))
    }

    /// Where the first match at or after `from` begins. An error when the library gives up: it counts its steps, so that no
    /// text can hold it for long.
    ///
    /// # Panics
    ///
    /// When `from` lies behind the end of the text.
    pub fn find_at(&self, text: &[u8], from: usize) -> Result<Option<usize>, String> {
        assert!(from <= text.len(), "a search begins within its text");
        let matched = Match::new()?;
        // SAFETY: the code is a compiled pattern until it is dropped; the text is as long as is said; the match data is
        // ours alone.
        let result = unsafe {
            pcre2::pcre2_match_8(
                self.0.as_ptr(),
                text.as_ptr(),
                text.len(),
                from,
                0,
                matched.0.as_ptr(),
                ptr::null_mut(),
            )
        };
        match result {
            pcre2::PCRE2_ERROR_NOMATCH => Ok(None),
            // 0 says that there was no room for groups, which are not wanted.
            0.. => Ok(Some(matched.start())),
            error => Err(message(error)),
        }
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: it came from `pcre2_compile`, and is freed once.
        unsafe { pcre2::pcre2_code_free_8(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pattern")
    }
}

/// Where the library writes what it found.
struct Match(NonNull<pcre2::pcre2_match_data_8>);

impl Match {
    fn new() -> Result<Self, String> {
        // SAFETY: it takes no pointer but that of a context, which may be null.
        let data = unsafe { pcre2::pcre2_match_data_create_8(1, ptr::null_mut()) };
        NonNull::new(data).map(Match).ok_or_else(|| "out of memory".to_owned())
    }

    /// After a match.
    fn start(&self) -> usize {
        // SAFETY: the data was made with room for one pair of offsets, and after a match the first of them is set.
        unsafe { *pcre2::pcre2_get_ovector_pointer_8(self.0.as_ptr()) }
    }
}

impl Drop for Match {
    fn drop(&mut self) {
        // SAFETY: it came from `pcre2_match_data_create`, and is freed once.
        unsafe { pcre2::pcre2_match_data_free_8(self.0.as_ptr()) }
    }
}

/// The library's words for one of its numbers.
fn message(number: i32) -> String {
    let mut text = [0; 256];
    // SAFETY: the buffer is as long as is said; the library writes no more than that.
    let length = unsafe { pcre2::pcre2_get_error_message_8(number, text.as_mut_ptr(), text.len()) };
    let length = usize::try_from(length).unwrap_or_default();
    String::from_utf8_lossy(&text[..length]).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn find(pattern: &str, options: &[&str], text: &str, from: usize) -> Result<Option<usize>, String> {
        let mut all = Options::default();
        assert!(options.iter().all(|name| all.add(name)), "{options:?}");
        Pattern::compile(pattern, all)?.find_at(text.as_bytes(), from)
    }

    /// Each option in a pair of which one matches only with it, or only without it.
    #[test]
    fn options_change_the_language() {
        for (pattern, option, text, without, with) in [
            ("a[]b", "allow_empty_class", "ab", Err(()), Ok(None)),
            (r"\u0041", "alt_bsux", "A", Err(()), Ok(Some(0))),
            (r"\Ub", "alt_bsux", "Ub", Err(()), Ok(Some(0))),
            ("(?m)^$", "alt_circumflex", "a\n", Ok(None), Ok(Some(2))),
            ("a$", "dollar_endonly", "a\n", Ok(Some(0)), Ok(None)),
            (r"(a)?b\1", "match_unset_backref", "b", Ok(None), Ok(Some(0))),
            ("B", "caseless", "ab", Ok(None), Ok(Some(1))),
            ("a.b", "dotall", "a\nb", Ok(None), Ok(Some(0))),
            ("^b", "multiline", "a\nb", Ok(None), Ok(Some(2))),
            ("a  b", "extended", "ab", Ok(None), Ok(Some(0))),
            ("(?<n>a)|(?<n>b)", "dupnames", "b", Err(()), Ok(Some(0))),
            ("c", "firstline", "ab\nc", Ok(Some(3)), Ok(None)),
            (r"\C", "never_backslash_c", "a", Ok(Some(0)), Err(())),
            ("(*UTF)a", "never_utf", "a", Ok(Some(0)), Err(())),
            ("(*UCP)a", "never_ucp", "a", Ok(Some(0)), Err(())),
            ("^.$", "utf", "\u{e9}", Ok(None), Ok(Some(0))),
            (r"^\w$", "ucp", "\u{e9}", Ok(None), Ok(None)),
        ] {
            let outcome = |options: &[&str]| find(pattern, options, text, 0).map_err(drop);
            assert_eq!((outcome(&[]), outcome(&[option])), (without, with), "{pattern} with {option}");
        }
        assert_eq!(find(r"^\w$", &["ucp", "utf"], "\u{e9}", 0), Ok(Some(0)));
        assert!(!Options::default().add("anchored"));
    }

    #[test]
    fn a_search_begins_where_it_is_told_to() {
        for (from, expected) in [(0, Some(0)), (1, Some(3)), (3, Some(3)), (4, None)] {
            assert_eq!(find("a", &[], "abca", from), Ok(expected), "{from}");
        }
        let utf = |from| find("a", &["utf"], "\u{e9}a", from);
        assert_eq!([utf(0), utf(1), utf(2)], [Ok(Some(2)), Ok(Some(2)), Ok(Some(2))], "also from within a letter");
    }

    #[test]
    fn what_is_no_pattern_is_named_with_its_place() {
        assert_eq!(find("a(", &[], "", 0), Err("missing closing parenthesis after 2 bytes".to_owned()));
    }

    #[test]
    fn a_pattern_that_explodes_is_given_up() {
        let text = format!("{}b", "a".repeat(60));
        assert_eq!(find("(a+)+$", &[], &text, 0), Err("match limit exceeded".to_owned()));
    }
}
