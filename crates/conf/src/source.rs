use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Where configuration text comes from.
pub trait Files {
    /// The bytes of a file.
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError>;

    /// Paths that match a shell pattern (`*`, `?`, `[...]`, `{a,b}`), sorted. A pattern without wildcards matches
    /// itself when the file exists.
    fn glob(&self, pattern: &str) -> Vec<PathBuf>;

    /// Whether any execute bit of the file is set.
    fn executable(&self, path: &Path) -> bool {
        let _ = path;
        false
    }

    /// Whether others than the owner may read the file.
    fn readable_by_others(&self, path: &Path) -> bool {
        let _ = path;
        false
    }

    /// The number of the user that a file belongs to; `None` when that is not known.
    fn owner(&self, path: &Path) -> Option<u32> {
        let _ = path;
        None
    }
}

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ReadError {
    #[error("no such file")]
    NotFound,
    #[error("permission denied")]
    PermissionDenied,
    #[error("is a directory")]
    IsDirectory,
    #[error("is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("{0}")]
    Other(String),
}

/// The files of this machine. The only place of the crate that touches a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

/// No configuration is this large; a file that is was named by mistake.
const LARGEST: u64 = 16 << 20;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        // A device or a pipe has no length to look at, so the reading itself is bounded too.
        let file = std::fs::File::open(path).map_err(|e| read_error(&e))?;
        let metadata = file.metadata().map_err(|e| read_error(&e))?;
        if metadata.is_dir() {
            return Err(ReadError::IsDirectory);
        }
        if metadata.len() > LARGEST {
            return Err(ReadError::TooLarge { limit: LARGEST });
        }
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| read_error(&e))?;
        if bytes.len() as u64 > LARGEST {
            return Err(ReadError::TooLarge { limit: LARGEST });
        }
        Ok(bytes)
    }

    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = expand_braces(pattern)
            .iter()
            .filter_map(|pattern| glob::glob(pattern).ok())
            .flat_map(|paths| paths.filter_map(Result::ok))
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    fn executable(&self, path: &Path) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o111 != 0)
    }

    fn readable_by_others(&self, path: &Path) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o044 != 0)
    }

    fn owner(&self, path: &Path) -> Option<u32> {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(path).ok().map(|metadata| metadata.uid())
    }
}

fn read_error(error: &std::io::Error) -> ReadError {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => ReadError::NotFound,
        ErrorKind::PermissionDenied => ReadError::PermissionDenied,
        ErrorKind::IsADirectory => ReadError::IsDirectory,
        _ => ReadError::Other(error.to_string()),
    }
}

/// The alternatives of a pattern's braces: `a{b,c{d,e}}` is `ab`, `acd`, `ace`. What is no pair of braces with a comma
/// is left as it is. At most 1024 alternatives; the rest of a larger product is not made.
pub(crate) fn expand_braces(pattern: &str) -> Vec<String> {
    const MOST: usize = 1024;
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        if done.len() + open.len() >= MOST {
            break;
        }
        let Some((before, alternatives, after)) = first_brace_pair(&pattern) else {
            done.push(pattern);
            continue;
        };
        open.extend(alternatives.iter().rev().map(|alternative| format!("{before}{alternative}{after}")));
    }
    done
}

/// The text before the first pair of braces, its alternatives, and the text after it.
fn first_brace_pair(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = pattern.find('{')?;
    let mut depth = 0_u32;
    let mut start = open + 1;
    let mut alternatives = Vec::new();
    for (at, c) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                alternatives.push(&pattern[start..at]);
                start = at + 1;
            }
            '}' if depth == 1 => {
                if alternatives.is_empty() {
                    return None;
                }
                alternatives.push(&pattern[start..at]);
                return Some((&pattern[..open], alternatives, &pattern[at + 1..]));
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Files held in memory, for tests and fuzzing.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(pub BTreeMap<PathBuf, Vec<u8>>);

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        self.0.get(path).cloned().ok_or(ReadError::NotFound)
    }

    /// Understands `*` and `?` in the last component only, and braces anywhere.
    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        let patterns = expand_braces(pattern);
        let matches = |path: &Path| patterns.iter().any(|pattern| matches_last_component(Path::new(pattern), path));
        self.0.keys().filter(|path| matches(path)).cloned().collect()
    }
}

fn matches_last_component(pattern: &Path, path: &Path) -> bool {
    let last = |path: &Path| path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
    pattern.parent() == path.parent() && wild_match(&last(pattern), &last(path))
}

/// `*` and `?`, in time proportional to the product of the lengths: only the last star is ever reconsidered.
fn wild_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Which file of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A stretch of one line of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Line, from 1.
    pub line: u32,
    /// Byte offset in the line, from 0.
    pub start: u32,
    /// Byte offset in the line where the stretch ends (exclusive).
    pub end: u32,
}

impl Span {
    /// From the first to the last of `spans`, as far as they are on the first one's line.
    pub(crate) fn around(spans: impl IntoIterator<Item = Span>) -> Option<Span> {
        spans.into_iter().reduce(|first, span| {
            let same_line = first.file == span.file && first.line == span.line;
            if same_line { Span { end: first.end.max(span.end), ..first } } else { first }
        })
    }
}

/// Every file that was read for one configuration, for citing lines.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl SourceMap {
    /// Keeps a file.
    pub fn add(&mut self, path: &Path, bytes: Vec<u8>) -> FileId {
        self.files.push((path.to_owned(), bytes));
        FileId(u32::try_from(self.files.len() - 1).expect("fewer than 2^32 files"))
    }

    /// Path of a file.
    pub fn path(&self, file: FileId) -> &Path {
        &self.files[file.0 as usize].0
    }

    /// Bytes of a file.
    pub fn bytes(&self, file: FileId) -> &[u8] {
        &self.files[file.0 as usize].1
    }

    /// Line `line` (from 1), without its line end; bytes that are no UTF-8 are shown as U+FFFD, and those of a key
    /// as asterisks, because what cites lines may be read by people who must not have it.
    pub fn line(&self, file: FileId, line: u32) -> String {
        let text = self.bytes(file).split(|b| *b == b'\n').nth(line.saturating_sub(1) as usize).unwrap_or_default();
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text));
        match secret_at(&text) {
            Some(at) => {
                let (before, secret) = text.split_at(at);
                before.chars().chain(secret.bytes().map(|_| '*')).collect()
            }
            None => text.into_owned(),
        }
    }

    /// All of them, one after the other, each below a line with its path.
    pub fn concatenated(&self) -> String {
        let texts = self.files.iter().map(|(path, bytes)| {
            let text = String::from_utf8_lossy(bytes);
            format!("# {}\n{}\n", path.display(), text.trim_end())
        });
        texts.collect()
    }

    /// All paths in the order they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }
}

/// Where the secret of `key NUMBER SECRET` or of `key SECRET` begins, to be hidden with all behind it; a file's path is none.
fn secret_at(line: &str) -> Option<usize> {
    let begins = |at: &usize| line[..*at].ends_with([' ', '\t', '{']) || *at == 0;
    line.match_indices("key").map(|(at, _)| at).filter(begins).find_map(|at| {
        let rest = line[at..].strip_prefix("key")?.strip_prefix([' ', '\t'])?.trim_start();
        let unnumbered = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_numbered = unnumbered.len() < rest.len() && unnumbered.starts_with([' ', '\t']);
        let secret = if is_numbered { unnumbered.trim_start() } else { rest };
        let word = secret.split([' ', '\t', '}']).next().unwrap_or_default();
        let is_path = word.starts_with("file:") || (!is_numbered && looks_like_a_path(word));
        (!word.is_empty() && !is_path).then(|| line.len() - secret.len())
    })
}

/// Not what a key is, but where somebody might think that it is: `key` in the block SSL takes a path.
pub(crate) fn looks_like_a_path(word: &str) -> bool {
    let word = word.trim_matches('"');
    word.starts_with(['/', '.']) || [".pem", ".key", ".crt"].iter().any(|end| word.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_cited() {
        for (line, shown) in [
            ("  key 1 hex:00ff # ours", "  key 1 ***************"),
            ("key 255\t\"a b\"", "key 255\t*****"),
            ("key 1 file:/etc/key", "key 1 file:/etc/key"),
            ("key client.pem", "key client.pem"),
            ("key \"/etc/client\"", "key \"/etc/client\""),
            ("key hex:00ff", "key ********"),
            ("peer { key 0123456789abcdef }", "peer { key ******************"),
            ("key file:/etc/key", "key file:/etc/key"),
            ("monkey business", "monkey business"),
            ("auth_type AH", "auth_type AH"),
        ] {
            let mut sources = SourceMap::default();
            let file = sources.add(Path::new("a"), format!("first\n{line}\nlast").into_bytes());
            assert_eq!(sources.line(file, 2), shown);
        }
    }

    #[test]
    fn braces_expand_to_their_alternatives() {
        for (pattern, expected) in [
            ("plain", vec!["plain"]),
            ("a{b,c}d", vec!["abd", "acd"]),
            ("{a,b}{1,2}", vec!["a1", "a2", "b1", "b2"]),
            ("a{b,c{d,e}}", vec!["ab", "acd", "ace"]),
            ("a{b}", vec!["a{b}"]),
            ("a{b,c", vec!["a{b,c"]),
        ] {
            assert_eq!(expand_braces(pattern), expected, "{pattern}");
        }
        assert!(expand_braces(&"{a,b}".repeat(40)).len() <= 1024);
    }

    #[test]
    fn a_directory_and_a_missing_file_are_told_apart() {
        assert_eq!(DiskFiles.read(Path::new("/")), Err(ReadError::IsDirectory));
        assert_eq!(DiskFiles.read(Path::new("/nonexistent/x")), Err(ReadError::NotFound));
        assert!(matches!(DiskFiles.read(Path::new("/dev/zero")), Err(ReadError::TooLarge { .. })));
    }

    #[test]
    fn wildcards_match_names() {
        for (pattern, text, expected) in
            [("*.conf", "a.conf", true), ("*.conf", "a.con", false), ("a?c*", "abc", true), ("a*b*c", "a1b2b3c", true)]
        {
            assert_eq!(wild_match(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
