//! keepalived.conf: `text -> lines -> tree -> typed values`, with diagnostics.
//!
//! [`load`] reads a file with everything it includes and lowers it to [`Settings`], an [`evenkeel_vrrp::Config`],
//! an [`evenkeel_bfd::Config`], an [`evenkeel_balance::Config`](evenkeel_balance::config::Config) and an
//! [`evenkeel_peer::Config`].
//! It never fails halfway: all problems come back together, and [`Loaded::has_errors`] says whether the result may run.
//! [`lint`] looks for what is well formed and still will not do what was meant.

mod language;
mod lint;
mod lower;
mod markdown;
mod process;
mod rows;
mod settings;
mod walk;

pub use lint::{Host, NoHost, ScriptFile, lint, lint_pair};
pub use markdown::directives_markdown;
pub use process::{Defaults, Dumps, Hook, ProcessNames, Processes, Reload};
pub use rows::{Block, Body, Directive, Support, Tier, directives};
pub use settings::{
    CommandLine, Dbus, GroupSettings, InstanceSettings, Mail, NotifyCommands, NotifyFifo, Parameters, Scheduling,
    ScriptCommand, Settings, TrackedFile, TrackedProcess,
};

use crate::{Diagnostic, Files, Severity, SourceMap};
use std::path::Path;

/// What a configuration may depend on besides its text.
pub struct Options<'a> {
    /// `-i`: the id that `@id` lines are compared with. The caller passes the host name up to its first dot when no
    /// option was given.
    pub config_id: Option<&'a str>,
    /// `${_ENV NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// `-e`: every `include` is checked as strictly as `includea`.
    pub all_checks: bool,
    /// Seed of `${_RANDOM}`.
    pub seed: u64,
}

/// A configuration as far as it could be understood.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every file that was read.
    pub sources: SourceMap,
    /// All problems, in source order.
    pub diagnostics: Vec<Diagnostic>,
    /// What the supervisor is told.
    pub settings: Settings,
    /// What the virtual routers are told.
    pub vrrp: evenkeel_vrrp::Config,
    /// What the BFD sessions are told.
    pub bfd: evenkeel_bfd::Config,
    /// What the balancer is told.
    pub balance: evenkeel_balance::config::Config,
    /// The other nodes.
    pub peer: evenkeel_peer::Config,
    /// The blocks with the places of their words, for the lints.
    drafts: lower::Drafts,
    _remains: Remains,
}

/// What a configuration was made of. Nobody needs it any more; but to throw away a million words takes a while, and whoever
/// has them may choose when.
#[derive(Default)]
struct Remains {
    _nodes: Vec<language::Node>,
}

impl std::fmt::Debug for Remains {
    /// There are keys and passwords among the words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remains")
    }
}

impl Loaded {
    /// Whether the configuration must not run.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// Reads `path` and what it includes, and lowers it. Never panics; what cannot be understood becomes a diagnostic.
pub fn load(files: &dyn Files, path: &Path, options: &Options) -> Loaded {
    let language::Source { sources, diagnostics, nodes } = language::read(files, path, options);
    let mut lower = lower::Lower::new(diagnostics);
    walk::walk(&nodes, &mut lower);
    let vrrp = lower::finish(&mut lower, files);
    let bfd = lower::bfd::finish(&mut lower);
    let balance = lower::balance::finish(&mut lower);
    let peer = lower::peer::finish(&mut lower, files);
    let mut diagnostics = lower.diagnostics;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.map(|span| (span.file, span.line, span.start)));
    if let (n_unsaid, Some(worst)) = lower.unsaid {
        // What is not shown must not turn a broken configuration into one that runs.
        let message = format!("{n_unsaid} more problems are not shown");
        diagnostics.push(Diagnostic::new(worst, "too-many-problems", None, message));
    }
    Loaded {
        sources,
        diagnostics,
        settings: lower.settings,
        vrrp,
        bfd,
        balance,
        peer,
        drafts: lower.drafts,
        _remains: Remains { _nodes: nodes },
    }
}
