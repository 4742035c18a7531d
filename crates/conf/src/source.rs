use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where configuration text comes from.
pub trait Files {
    /// The bytes of a file.
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError>;

    /// Paths that match a shell pattern (`*`, `?`, `[...]`, `{a,b}`), sorted. A pattern without wildcards matches
    /// itself when the file exists.
    fn glob(&self, pattern: &str) -> Vec<PathBuf>;
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

/// Files held in memory, for tests and fuzzing.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(pub BTreeMap<PathBuf, Vec<u8>>);

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        self.0.get(path).cloned().ok_or(ReadError::NotFound)
    }

    /// Understands `*` and `?` in the last component only.
    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        let pattern = Path::new(pattern);
        let name = pattern.file_name().and_then(|n| n.to_str()).unwrap_or_default().as_bytes();
        self.0
            .keys()
            .filter(|path| path.parent() == pattern.parent())
            .filter(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| wild_match(name, n.as_bytes())))
            .cloned()
            .collect()
    }
}

fn wild_match(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| wild_match(rest, &text[skip..])),
        ([b'?', pattern @ ..], [_, text @ ..]) => wild_match(pattern, text),
        ([p, pattern @ ..], [t, text @ ..]) if p == t => wild_match(pattern, text),
        _ => false,
    }
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

    /// Line `line` (from 1), without its line end; bytes that are no UTF-8 are shown as U+FFFD.
    pub fn line(&self, file: FileId, line: u32) -> String {
        let text = self.bytes(file).split(|b| *b == b'\n').nth(line.saturating_sub(1) as usize).unwrap_or_default();
        String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text)).into_owned()
    }

    /// All paths in the order they were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }
}
