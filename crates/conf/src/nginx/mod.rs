//! nginx.conf: text to directives, directives against their rows, and what remains to an [`evenkeel_site::Config`].
//!
//! Messages are in nginx's own wording, so that its `-t` can be imitated; beyond it, all problems are found at once.
//! Regular expressions are those of the `regex` crate: look-around and back-references are refused with an error.

mod check;
mod geo;
mod lexer;
mod listen;
mod lower;
mod map;
mod pages;
mod reference;
mod rewrite;
mod row;
mod rows;
mod rows_other;
mod scope;
mod server;
mod tree;
mod upstream;
mod value;

pub use lexer::Word;
pub use reference::reference;
pub use row::{Arity, Row, Support, context};
pub use rows::{all as rows, find as row};
pub use tree::Directive;

use crate::{Diagnostic, Files, Severity, SourceMap};
use evenkeel_site::Config;
use evenkeel_site::config::ErrorLogTarget;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What besides the file decides its meaning.
pub struct Options<'o> {
    /// What relative paths are relative to, except those of `include` (the directory of the main file).
    pub prefix: PathBuf,
    /// `-g`: directives of the main context that come before the file.
    pub globals: Option<String>,
    /// `-e`: the log of errors where the file names none.
    pub error_log: Option<ErrorLogTarget>,
    /// Addresses of a host name in `listen`, `upstream` and `proxy_pass`.
    pub resolve: &'o dyn Fn(&str, u16) -> Vec<SocketAddr>,
    /// Where the file's directives stand.
    pub shape: Shape,
}

impl Options<'_> {
    /// Where logs go that the file does not name: `logs` below the prefix, or, for the prefix of Debian's package,
    /// where that package was built to put them.
    fn logs(&self) -> PathBuf {
        if self.prefix == Path::new("/usr/share/nginx") { "/var/log/nginx".into() } else { self.prefix.join("logs") }
    }
}

/// Where the directives of a file stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// A whole nginx.conf.
    #[default]
    Whole,
    /// What an nginx.conf includes from its `http` block: `upstream`s and `server`s (`conf.d/*.conf`).
    HttpFragment,
}

/// What a configuration came to.
#[derive(Debug)]
pub struct Loaded {
    /// Every file in the order it was read, each once; `-g` as a file named [`COMMAND_LINE`].
    pub sources: SourceMap,
    /// What there is to say, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The configuration, as far as it was understood; not to be run when there are errors.
    pub site: Config,
}

/// Path under which `-g` stands in [`Loaded::sources`].
pub const COMMAND_LINE: &str = "command line";

impl Loaded {
    /// Whether the configuration must not be run.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Reads a configuration with all it includes, and reports everything that is wrong with it.
pub fn load(files: &dyn Files, path: &Path, options: &Options<'_>) -> Loaded {
    let path = options.prefix.join(path);
    let mut reader = tree::Reader::new(files, &path);
    let mut main = Vec::new();
    if let Some(globals) = &options.globals {
        main = reader.text(Path::new(COMMAND_LINE), globals);
    }
    let from_file = reader.file(&path);
    let mut diagnostics = reader.diagnostics;
    let n_broken = diagnostics.len();
    let mut http_fragment = None;
    match options.shape {
        Shape::Whole => main.extend(from_file),
        Shape::HttpFragment => http_fragment = Some(check::check(from_file, context::HTTP, &mut diagnostics)),
    }
    let main = check::check(main, context::MAIN, &mut diagnostics);
    let mut lowering = lower::Lowering::new(options, diagnostics);
    match http_fragment {
        Some(http) => {
            lowering.main(&main);
            lowering.http(&http);
        }
        None => {
            lowering.main(&main);
            // A file that could not be read, or whose braces do not match, has trouble enough.
            if n_broken == 0 && !main.iter().any(|directive| directive.name.text == "events") {
                lowering.missing_events();
            }
        }
    }
    let (site, mut diagnostics) = lowering.finish();
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.map(|span| (span.file, span.line, span.start)));
    Loaded { sources: reader.sources, diagnostics, site }
}
