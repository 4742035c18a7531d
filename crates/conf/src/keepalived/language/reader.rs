use super::definitions::{Definition, Definitions, Surroundings, definition};
use super::text::{Text, is_blank};
use super::tree::{Builder, Node};
use super::{loops, words};
use crate::keepalived::Options;
use crate::source::expand_braces;
use crate::{Diagnostic, FileId, Files, ReadError, Severity, SourceMap, Span};
use std::path::{Path, PathBuf};

/// What [`read`] makes of a file.
pub(in crate::keepalived) struct Source {
    pub(in crate::keepalived) sources: SourceMap,
    pub(in crate::keepalived) diagnostics: Vec<Diagnostic>,
    pub(in crate::keepalived) nodes: Vec<Node>,
}

/// Reads `path` and all it includes into one tree.
pub(in crate::keepalived) fn read(files: &dyn Files, path: &Path, options: &Options) -> Source {
    let mut reader = Reader {
        files,
        options,
        sources: SourceMap::default(),
        diagnostics: Vec::new(),
        definitions: Definitions::new(options.seed),
        unfinished: None,
        tree: Builder::default(),
        checks: if options.all_checks { Checks::ALL } else { Checks::default() },
        directory: PathBuf::new(),
        depth: 0,
        n_lines: 0,
        n_bytes: 0,
        halted: false,
        said_something: false,
    };
    reader.top(path);
    reader.finish()
}

/// Include files inside include files.
const DEEPEST_INCLUDE: usize = 64;
/// Definitions inside definitions and loops inside loops, through all include files: bounds recursion.
const DEEPEST_EXPANSION: usize = 128;
/// What a file may expand to.
const MOST_LINES: usize = 1_000_000;
/// What substitution may write in all.
const MOST_BYTES: usize = 128 << 20;
/// One line after substitution.
const LONGEST_EXPANSION: usize = 64 << 10;
/// keepalived's line buffer holds this and the end of the line.
const LONGEST_LINE: usize = 1023;

struct Reader<'a> {
    files: &'a dyn Files,
    options: &'a Options<'a>,
    sources: SourceMap,
    diagnostics: Vec<Diagnostic>,
    definitions: Definitions,
    /// A multi-line definition whose last line ended in a backslash.
    unfinished: Option<(String, Vec<Text>)>,
    tree: Builder,
    /// In force for the file that is being read.
    checks: Checks,
    /// Directory of the file that is being read.
    directory: PathBuf,
    depth: usize,
    n_lines: usize,
    n_bytes: usize,
    /// A limit was reached: nothing more is read.
    halted: bool,
    /// Some line had words.
    said_something: bool,
}

/// Which failures to include something are errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Checks {
    readable: bool,
    matches: bool,
    wildcard: bool,
    brace: bool,
}

impl Checks {
    const ALL: Checks = Checks { readable: true, matches: true, wildcard: true, brace: true };
}

impl Reader<'_> {
    fn top(&mut self, path: &Path) {
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(error) => return self.unreadable(path, &error),
        };
        if self.files.executable(path) {
            self.whole_file(
                Severity::Error,
                "executable-file",
                format!("{}: is executable", path.display()),
                "a configuration with an execute bit is taken for a script: chmod a-x",
            );
            return;
        }
        self.directory = path.parent().map(Path::to_owned).unwrap_or_default();
        let n_diagnostics = self.diagnostics.len();
        self.file(path, bytes, 0);
        if !self.said_something && self.diagnostics.len() == n_diagnostics {
            self.whole_file(
                Severity::Error,
                "empty-file",
                format!("{}: says nothing", path.display()),
                "write at least one vrrp_instance",
            );
        }
    }

    fn unreadable(&mut self, path: &Path, error: &ReadError) {
        let fix = match error {
            ReadError::NotFound => "create it, or name another file with -f",
            ReadError::PermissionDenied => "start as root, or let this user read it",
            ReadError::IsDirectory => "name the file in it",
            ReadError::TooLarge { .. } | ReadError::Other(_) => "name a configuration file",
        };
        self.whole_file(Severity::Error, "unreadable-file", format!("read {}: {error}", path.display()), fix);
    }

    fn whole_file(&mut self, severity: Severity, rule: &'static str, message: String, fix: &str) {
        self.diagnostics.push(Diagnostic::new(severity, rule, None, message).fix(fix));
    }

    fn finish(mut self) -> Source {
        if let Some((name, lines)) = self.unfinished.take()
            && let Some(span) = lines.first().and_then(|line| line.span(0..line.len()))
        {
            self.diagnostics.push(
                Diagnostic::warning("unfinished-definition", span, format!("the definition of `${name}` does not end"))
                    .so("the file ends after a line with a trailing `\\`"),
            );
        }
        if self.halted {
            // Half of what was meant: what it lacks would be reported as missing.
            return Source { sources: self.sources, diagnostics: self.diagnostics, nodes: Vec::new() };
        }
        let (nodes, unclosed) = self.tree.finish();
        for (keyword, span) in unclosed {
            self.diagnostics.push(
                Diagnostic::warning("missing-brace", span, format!("the block of `{keyword}` is not closed"))
                    .so("the file ends inside it; it is read as if it were closed there")
                    .fix("add `}`"),
            );
        }
        Source { sources: self.sources, diagnostics: self.diagnostics, nodes }
    }

    fn file(&mut self, path: &Path, bytes: Vec<u8>, depth: usize) {
        let file = self.sources.add(path, bytes);
        let bytes = self.sources.bytes(file).to_vec();
        if let Some(problem) = no_text(&bytes) {
            let diagnostic =
                Diagnostic::new(Severity::Error, "not-text", None, format!("{}: {problem}", path.display()));
            self.diagnostics.push(diagnostic.fix("name a text file"));
            return;
        }
        for (n, line) in bytes.split(|b| *b == b'\n').enumerate() {
            if self.halted {
                return;
            }
            self.physical_line(file, u32::try_from(n + 1).unwrap_or(u32::MAX), line, depth);
        }
    }

    fn physical_line(&mut self, file: FileId, number: u32, line: &[u8], depth: usize) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > LONGEST_LINE {
            let span = Span { file, line: number, start: 0, end: 1 };
            self.diagnostics.push(
                Diagnostic::warning("line-too-long", span, format!("the line has {} bytes", line.len()))
                    .so(format!("lines of more than {LONGEST_LINE} bytes are dropped, by keepalived too"))
                    .fix("split it"),
            );
            return;
        }
        if self.plain_line(file, number, line, depth) {
            return;
        }
        let text = self.without_comment(&Text::of_line(file, number, line)).trimmed();
        if let Some((name, mut lines)) = self.unfinished.take() {
            self.continue_definition(name, &mut lines, &text);
            return;
        }
        self.logical_line(text, depth);
    }

    /// Takes a line in which there is nothing to cut off or to expand straight to the tree; false for any other.
    fn plain_line(&mut self, file: FileId, number: u32, line: &[u8], depth: usize) -> bool {
        if self.unfinished.is_some() || self.n_lines >= MOST_LINES || depth > DEEPEST_EXPANSION {
            return false;
        }
        let Some((words, brace)) = words::plain(file, number, line) else { return false };
        self.n_lines += 1;
        self.said_something = true;
        self.before_the_tree(&words);
        self.tree.line(words);
        if let Some((kind, span)) = brace {
            let diagnostic = if kind == b'{' { self.tree.open(span) } else { self.tree.close(span) };
            self.diagnostics.extend(diagnostic);
        }
        true
    }

    /// `#` and `!` begin a comment anywhere, also inside a word; only double quotes and a backslash protect them.
    fn without_comment(&mut self, line: &Text) -> Text {
        let bytes = line.bytes();
        let mut kept = Text::default();
        let mut copied = 0;
        let mut quote: Option<usize> = None;
        let mut end = bytes.len();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'"' => quote = if quote.is_some() { None } else { Some(at) },
                b'\\' if quote.is_none() && matches!(bytes.get(at + 1), Some(b'#' | b'!')) => {
                    kept.push(&line.slice(copied..at));
                    copied = at + 1;
                    at += 1;
                }
                b'#' | b'!' if quote.is_none() => {
                    end = at;
                    break;
                }
                _ => {}
            }
            at += 1;
        }
        kept.push(&line.slice(copied..end));
        if let Some(open) = quote
            && !words::takes_a_command(bytes)
            && let Some(span) = line.span(open..open + 1)
        {
            self.diagnostics.push(
                Diagnostic::warning("unmatched-quote", span, "a quote that nothing closes on this line")
                    .so("the word goes on to the end of the line, comment included")
                    .fix("close it"),
            );
        }
        self.comment_inside_a_word(line, end);
        kept
    }

    /// A password or a name that is cut short by its own `!` or `#` is worth a word; `121# comment` is not.
    fn comment_inside_a_word(&mut self, line: &Text, comment: usize) {
        let bytes = line.bytes();
        let secret = bytes.trim_ascii_start().starts_with(b"auth_pass");
        let inside = comment > 0 && bytes.get(comment - 1).is_some_and(|b| !is_blank(*b) && !b"{}#!".contains(b));
        let goes_on = bytes.get(comment + 1).is_some_and(|b| b.is_ascii_alphanumeric());
        let suspicious = bytes.get(comment) == Some(&b'!') || secret;
        if inside
            && goes_on
            && suspicious
            && let Some(span) = line.span(comment..comment + 1)
        {
            self.diagnostics.push(
                Diagnostic::warning("comment-inside-word", span, "a comment begins in the middle of this word")
                    .so("the word ends before this character")
                    .fix("put the word into double quotes, or a blank before the comment"),
            );
        }
    }

    /// Conditions, definitions, loops and names, repeated until plain words are left.
    fn logical_line(&mut self, text: Text, depth: usize) {
        let mut text = text.trimmed();
        if text.is_empty() || self.halted {
            return;
        }
        self.n_lines += 1;
        if self.n_lines > MOST_LINES {
            return self.halt(&text, format!("the configuration expands to more than {MOST_LINES} lines"));
        }
        if depth > DEEPEST_EXPANSION {
            return self.halt(&text, "definitions or loops are nested too deeply, or refer to themselves".to_owned());
        }
        let mut n_substitutions = 0;
        loop {
            if text.bytes().first() == Some(&b'@') {
                match self.condition(&text) {
                    Some(rest) => text = rest,
                    None => return,
                }
                continue;
            }
            if let Some((name, value)) = definition(&text) {
                let value = text.slice(value).trimmed();
                return self.continue_definition(name, &mut Vec::new(), &value);
            }
            if let Some(head) = loops::head(&text) {
                return self.run_loop(&text, head, depth);
            }
            if let Some(body) = self.definitions.whole_line(&text) {
                let lines = body.lines.clone();
                let Some(span) = text.span(0..text.len()) else { return };
                for line in lines {
                    self.logical_line(line.moved_to(span), depth + 1);
                    self.n_bytes += line.len();
                }
                return;
            }
            let Some(replaced) = self.substitute(&text) else {
                match self.words_and_braces(&text, depth) {
                    Some(rest) => text = rest,
                    None => return,
                }
                n_substitutions = 0;
                continue;
            };
            n_substitutions += 1;
            self.n_bytes += replaced.len();
            if n_substitutions > DEEPEST_EXPANSION {
                return self.halt(&text, "a definition refers to itself".to_owned());
            }
            if replaced.len() > LONGEST_EXPANSION || self.n_bytes > MOST_BYTES {
                return self.halt(&text, "the definitions on this line expand without end".to_owned());
            }
            text = replaced.trimmed();
            if text.is_empty() {
                return;
            }
        }
    }

    fn substitute(&mut self, text: &Text) -> Option<Text> {
        if !text.bytes().contains(&b'$') {
            return None;
        }
        let directory = self.directory.to_string_lossy();
        let around = Surroundings {
            directory: &directory,
            config_id: self.options.config_id.unwrap_or_default(),
            env: self.options.env,
        };
        self.definitions.substitute(text, &around)
    }

    fn halt(&mut self, text: &Text, message: String) {
        self.halted = true;
        if let Some(span) = text.span(0..text.len()) {
            self.diagnostics
                .push(Diagnostic::error("expansion-limit", span, message).so("nothing after this line was read"));
        }
    }

    /// What follows `@id` or `@^id`, when the condition holds.
    fn condition(&mut self, text: &Text) -> Option<Text> {
        let bytes = text.bytes();
        let end = bytes.iter().position(|b| is_blank(*b)).unwrap_or(bytes.len());
        let negated = bytes.get(1) == Some(&b'^');
        let id = &bytes[if negated { 2 } else { 1 }.min(end)..end];
        let rest = text.slice(end..text.len()).trimmed();
        if id.is_empty() || rest.is_empty() {
            if let Some(span) = text.span(0..end) {
                self.diagnostics.push(
                    Diagnostic::warning("empty-condition", span, "`@` needs an id and something after it")
                        .so("the line is ignored")
                        .fix("write `@id directive ...` or `@^id directive ...`"),
                );
            }
            return None;
        }
        let same = id == self.options.config_id.unwrap_or_default().as_bytes();
        (same != negated).then_some(rest)
    }

    /// Adds `value` to the definition; a trailing backslash keeps it open.
    fn continue_definition(&mut self, name: String, lines: &mut Vec<Text>, value: &Text) {
        let open = value.bytes().last() == Some(&b'\\');
        let first = lines.is_empty();
        lines.push(if open { value.slice(0..value.len() - 1).trimmed() } else { value.clone() });
        let mut lines = std::mem::take(lines);
        self.n_lines += 1;
        if open && self.n_lines <= MOST_LINES {
            self.unfinished = Some((name, lines));
            return;
        }
        let multi_line = !first;
        if multi_line {
            lines.retain(|line| !line.is_empty());
        }
        self.definitions.define(&name, Definition { lines, multi_line });
    }

    fn run_loop(&mut self, text: &Text, head: Result<loops::Head, &'static str>, depth: usize) {
        let parsed = head.and_then(|(kind, arguments, rest)| {
            let mut arguments = text.slice(arguments);
            for _ in 0..DEEPEST_EXPANSION {
                let Some(replaced) = self.substitute(&arguments) else { break };
                if replaced.len() > LONGEST_EXPANSION {
                    return Err("the definitions in the loop expand without end");
                }
                arguments = replaced;
            }
            Ok((loops::parse(kind, &arguments.string(0..arguments.len()))?, rest))
        });
        let (each, rest) = match parsed {
            Ok((each, rest)) => (each, text.slice(rest..text.len()).trimmed()),
            Err(problem) => {
                if let Some(span) = text.span(0..text.len()) {
                    self.diagnostics.push(Diagnostic::warning("bad-loop", span, problem).so("the line is ignored"));
                }
                return;
            }
        };
        let Some(span) = text.span(0..text.len() - rest.len()) else { return };
        let mut before: Vec<_> = Vec::new();
        let mut n = 0;
        while let Some(values) = each.rounds.values(n) {
            for (at, (variable, value)) in each.variables.iter().zip(&values).enumerate() {
                let lines = vec![Text::at(span, value.as_bytes())];
                let old = self.definitions.define(variable, Definition { lines, multi_line: false });
                if n == 0 {
                    before.insert(at, old);
                }
            }
            // An empty text would go round for nothing, and uncounted.
            if rest.is_empty() || self.halted {
                break;
            }
            self.logical_line(rest.clone(), depth + 1);
            n += 1;
        }
        for (variable, old) in each.variables.iter().zip(before) {
            self.definitions.restore(variable, old);
        }
    }

    /// Hands words to the tree up to the first brace; what follows the brace is a line of its own.
    fn words_and_braces(&mut self, text: &Text, depth: usize) -> Option<Text> {
        self.said_something = true;
        let first = words::split(text);
        if let Some(word) = first.first().filter(|word| !word.quoted)
            && let Some(checks) = self.include_checks(&word.text)
        {
            self.include(&first, checks, depth);
            return None;
        }
        let brace = self.first_brace(text);
        let Some(brace) = brace else {
            self.before_the_tree(&first);
            self.tree.line(first);
            return None;
        };
        let before = words::split(&text.slice(0..brace));
        self.before_the_tree(&before);
        self.tree.line(before);
        if let Some(span) = text.span(brace..brace + 1) {
            let diagnostic = if text.bytes()[brace] == b'{' { self.tree.open(span) } else { self.tree.close(span) };
            self.diagnostics.extend(diagnostic);
        }
        let rest = text.slice(brace + 1..text.len()).trimmed();
        (!rest.is_empty()).then_some(rest)
    }

    /// The first brace outside double quotes. `${NAME}` is there only when nothing defines it, and is no block.
    fn first_brace(&mut self, text: &Text) -> Option<usize> {
        let bytes = text.bytes();
        let mut quoted = false;
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'"' => quoted = !quoted,
                b'$' if bytes.get(at + 1) == Some(&b'{') => {
                    let length = bytes[at..].iter().position(|b| *b == b'}').unwrap_or(1);
                    self.undefined(text, at..at + length + 1);
                    at += length;
                }
                b'{' | b'}' if !quoted => return Some(at),
                _ => {}
            }
            at += 1;
        }
        None
    }

    fn undefined(&mut self, text: &Text, name: std::ops::Range<usize>) {
        let Some(span) = text.span(name.clone()) else { return };
        let message = format!("nothing defines `{}` up to here", text.string(name));
        self.diagnostics.push(
            Diagnostic::warning("undefined-name", span, message)
                .so("it stays in the text as it is")
                .fix("define it above: `$NAME=value`"),
        );
    }

    /// Two keywords of global_defs change how the text itself is read.
    fn before_the_tree(&mut self, line: &[words::Word]) {
        let [keyword, arguments @ ..] = line else { return };
        match keyword.text.as_str() {
            "random_seed" => {
                if let Some(seed) = arguments.first().and_then(|word| word.text.parse().ok()) {
                    self.definitions.seed(seed);
                }
            }
            "include_check" if arguments.is_empty() => self.checks = Checks::ALL,
            "include_check" => {
                for word in arguments {
                    let (name, on) = match word.text.as_bytes() {
                        [b'-', name @ ..] => (name, false),
                        [b'+', name @ ..] => (name, true),
                        name => (name, true),
                    };
                    match name {
                        b"readable" => self.checks.readable = on,
                        b"match" => self.checks.matches = on,
                        b"wildcard_match" => self.checks.wildcard = on,
                        b"brace_match" => self.checks.brace = on,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// What a keyword of the include family checks; `None` for any other word.
    fn include_checks(&self, keyword: &str) -> Option<Checks> {
        let now = self.checks;
        Some(match keyword {
            "include" => now,
            "includer" => Checks { readable: true, ..now },
            "includem" => Checks { readable: true, matches: true, ..now },
            "includew" => Checks { readable: true, matches: true, wildcard: true, ..now },
            "includeb" => Checks { readable: true, brace: true, ..now },
            "includea" => Checks::ALL,
            _ => return None,
        })
    }

    fn include(&mut self, line: &[words::Word], checks: Checks, depth: usize) {
        let keyword = &line[0];
        let Some(pattern) = line.get(1) else {
            let message = format!("`{}` needs the name of a file", keyword.text);
            self.diagnostics.push(Diagnostic::error("missing-argument", keyword.span, message));
            return;
        };
        // Unquoted braces do not split words, blanks inside a brace pattern do: that is keepalived's limit too.
        let alternatives = expand_braces(&pattern.text);
        let mut paths = Vec::new();
        for alternative in &alternatives {
            let found = self.files.glob(&self.directory.join(alternative).to_string_lossy());
            if found.is_empty() {
                let wild = alternative.contains(['*', '?', '[']);
                let brace = alternatives.len() > 1;
                let error = if brace && checks.brace {
                    true
                } else if wild {
                    checks.wildcard
                } else {
                    checks.matches
                };
                let severity = if error { Severity::Error } else { Severity::Note };
                let message = format!("no file matches `{alternative}`");
                self.diagnostics.push(Diagnostic::new(severity, "include-no-match", Some(pattern.span), message));
            }
            paths.extend(found);
        }
        for path in paths {
            self.include_file(&path, pattern.span, checks, depth);
        }
    }

    fn include_file(&mut self, path: &Path, at: Span, checks: Checks, depth: usize) {
        if self.halted {
            return;
        }
        if self.depth >= DEEPEST_INCLUDE {
            self.halted = true;
            let message = format!("files include one another more than {DEEPEST_INCLUDE} deep");
            self.diagnostics
                .push(Diagnostic::error("include-too-deep", at, message).so("a file that includes itself never ends"));
            return;
        }
        let severity = if checks.readable { Severity::Error } else { Severity::Warning };
        let refuse = |message: String| Diagnostic::new(severity, "include-unreadable", Some(at), message);
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.diagnostics.push(refuse(format!("include {}: {error}", path.display())));
                return;
            }
        };
        if self.files.executable(path) {
            self.diagnostics.push(
                refuse(format!("include {}: is executable", path.display()))
                    .so("it is not read: a script included by mistake looks like this")
                    .fix(format!("chmod a-x {}", path.display())),
            );
            return;
        }
        // `include_check` holds for the file it is in.
        let checks_here = self.checks;
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        let directory = std::mem::replace(&mut self.directory, directory);
        self.depth += 1;
        self.file(path, bytes, depth + 1);
        self.depth -= 1;
        self.directory = directory;
        self.checks = checks_here;
    }
}

/// Why these bytes are no text.
fn no_text(bytes: &[u8]) -> Option<String> {
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count();
        return Some(format!("is not text: a NUL byte on line {line}"));
    }
    // Comments in any encoding pass; noise has a control character in every eighth byte.
    let n_controls = bytes.iter().filter(|b| b.is_ascii_control() && !b.is_ascii_whitespace()).count();
    (n_controls * 32 > bytes.len()).then(|| "is not text: it is full of control characters".to_owned())
}
