//! Text to directives, with `include`d files in their place.

use super::lexer::{Lexer, Token, Word};
use crate::{Diagnostic, FileId, Files, ReadError, Severity, SourceMap, Span};
use std::path::{Path, PathBuf};

/// Files that include one another deeper than this are a loop.
const DEEPEST: usize = 32;
/// Blocks inside blocks.
const DEEPEST_BLOCK: usize = 64;
/// Reads of files for one configuration: a bound on files that include each other in many ways.
const MOST_READS: usize = 10_000;

/// A directive with its words, and its block when it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The first word.
    pub name: Word,
    /// The others.
    pub args: Vec<Word>,
    /// What stands between `{` and `}`; `None` when it ends with `;`.
    pub block: Option<Vec<Directive>>,
}

pub(super) struct Reader<'f> {
    files: &'f dyn Files,
    /// Relative includes are relative to the directory of the main file.
    directory: PathBuf,
    n_reads: usize,
    pub(super) sources: SourceMap,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// How a list of directives ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    EndOfFile,
    Brace,
}

#[derive(Clone, Copy)]
struct Depth {
    files: usize,
    blocks: usize,
}

impl<'f> Reader<'f> {
    pub(super) fn new(files: &'f dyn Files, main: &Path) -> Reader<'f> {
        let directory = main.parent().unwrap_or(Path::new("")).to_owned();
        Reader { files, directory, n_reads: 0, sources: SourceMap::default(), diagnostics: Vec::new() }
    }

    pub(super) fn error(&mut self, rule: &'static str, span: Option<Span>, message: String) {
        self.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            rule,
            span,
            message,
            consequence: None,
            fix: None,
        });
    }

    /// The directives of text that is no file (`-g`).
    pub(super) fn text(&mut self, name: &Path, text: &str) -> Vec<Directive> {
        let file = self.sources.add(name, text.as_bytes().to_vec());
        self.parse(file, text.as_bytes(), Depth { files: 0, blocks: 0 })
    }

    /// The directives of a file and of all it includes.
    pub(super) fn file(&mut self, path: &Path) -> Vec<Directive> {
        self.read(path, None, Depth { files: 0, blocks: 0 })
    }

    fn read(&mut self, path: &Path, from: Option<Span>, depth: Depth) -> Vec<Directive> {
        if depth.files > DEEPEST || self.n_reads >= MOST_READS {
            let message = format!("\"{}\" is included too often or too deep", path.display());
            self.error("include-loop", from, message);
            return Vec::new();
        }
        self.n_reads += 1;
        match self.files.read(path) {
            Ok(bytes) => {
                let file = self.keep(path, &bytes);
                self.parse(file, &bytes, depth)
            }
            Err(error) => {
                self.error("unreadable-file", from, unreadable(path, &error));
                Vec::new()
            }
        }
    }

    /// `-T` shows each file once.
    fn keep(&mut self, path: &Path, bytes: &[u8]) -> FileId {
        let known = self.sources.paths().position(|known| known == path).map(u32::try_from);
        match known {
            Some(Ok(known)) => FileId(known),
            _ => self.sources.add(path, bytes.to_vec()),
        }
    }

    fn parse(&mut self, file: FileId, text: &[u8], depth: Depth) -> Vec<Directive> {
        self.directives(&mut Lexer::new(file, text), Until::EndOfFile, depth)
    }

    fn directives(&mut self, lexer: &mut Lexer<'_>, until: Until, depth: Depth) -> Vec<Directive> {
        let mut found = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        loop {
            match lexer.next() {
                Token::Word(word) => words.push(word),
                Token::End(span) if words.is_empty() => {
                    self.error("syntax", Some(span), "unexpected \";\"".to_owned());
                }
                Token::End(_) => self.finish(std::mem::take(&mut words), None, depth, &mut found),
                Token::Open(span) if words.is_empty() => {
                    self.error("syntax", Some(span), "unexpected \"{\"".to_owned());
                    self.block(lexer, span, depth);
                }
                Token::Open(span) => {
                    let block = self.block(lexer, span, depth);
                    self.finish(std::mem::take(&mut words), Some(block), depth, &mut found);
                }
                Token::Close(span) => {
                    if !words.is_empty() {
                        self.unterminated(&words, span);
                        words.clear();
                    }
                    match until {
                        Until::Brace => return found,
                        Until::EndOfFile => self.error("syntax", Some(span), "unexpected \"}\"".to_owned()),
                    }
                }
                Token::Error(span, message) => self.error("syntax", Some(span), message),
                Token::EndOfFile(span) => {
                    let message = match (words.is_empty(), until) {
                        (true, Until::EndOfFile) => return found,
                        (true, Until::Brace) => "unexpected end of file, expecting \"}\"",
                        (false, _) => "unexpected end of file, expecting \";\" or \"}\"",
                    };
                    if !std::mem::replace(&mut lexer.end_reported, true) {
                        self.error("syntax", Some(span), message.to_owned());
                    }
                    return found;
                }
            }
        }
    }

    fn block(&mut self, lexer: &mut Lexer<'_>, opened: Span, depth: Depth) -> Vec<Directive> {
        if depth.blocks >= DEEPEST_BLOCK {
            self.error("syntax", Some(opened), "blocks are nested too deep".to_owned());
            skip_block(lexer);
            return Vec::new();
        }
        self.directives(lexer, Until::Brace, Depth { blocks: depth.blocks + 1, ..depth })
    }

    /// nginx stops at the brace; that the semicolon is missing is what the reader needs to know.
    fn unterminated(&mut self, words: &[Word], brace: Span) {
        let fix = words.last().map(|word| format!("write `;` after `{}`", word.text));
        self.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            rule: "syntax",
            span: Some(brace),
            message: "unexpected \"}\"".to_owned(),
            consequence: None,
            fix,
        });
    }

    fn finish(
        &mut self,
        mut words: Vec<Word>,
        block: Option<Vec<Directive>>,
        depth: Depth,
        found: &mut Vec<Directive>,
    ) {
        let name = words.remove(0);
        if name.text == "include" && block.is_none() && words.len() == 1 {
            found.append(&mut self.include(&words[0], depth));
        } else {
            found.push(Directive { name, args: words, block });
        }
    }

    fn include(&mut self, pattern: &Word, depth: Depth) -> Vec<Directive> {
        let path = self.directory.join(&pattern.text);
        let depth = Depth { files: depth.files + 1, ..depth };
        if !pattern.text.contains(['*', '?', '[']) {
            return self.read(&path, Some(pattern.span), depth);
        }
        let paths = self.files.glob(&path.to_string_lossy());
        paths.into_iter().flat_map(|path| self.read(&path, Some(pattern.span), depth)).collect()
    }
}

/// Reads over a block that is too deep to keep, without recursion.
fn skip_block(lexer: &mut Lexer<'_>) {
    let mut open = 1;
    while open > 0 {
        match lexer.next() {
            Token::Open(_) => open += 1,
            Token::Close(_) => open -= 1,
            Token::EndOfFile(_) => return,
            Token::Word(_) | Token::End(_) | Token::Error(..) => {}
        }
    }
}

/// In the form in which nginx gives an errno.
fn unreadable(path: &Path, error: &ReadError) -> String {
    let path = path.display();
    match error {
        ReadError::NotFound => format!("open() \"{path}\" failed (2: No such file or directory)"),
        ReadError::PermissionDenied => format!("open() \"{path}\" failed (13: Permission denied)"),
        ReadError::IsDirectory => format!("pread() \"{path}\" failed (21: Is a directory)"),
        ReadError::TooLarge { .. } | ReadError::Other(_) => format!("open() \"{path}\" failed ({error})"),
    }
}
