use crate::{SourceMap, Span};
use std::fmt::Write as _;

/// Something to say about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Short name of the rule, in kebab case: `unknown-keyword`, `master-nopreempt`. Stable: people silence and search by it.
    pub rule: &'static str,
    /// Where; `None` for what concerns a file as a whole.
    pub span: Option<Span>,
    /// What is so: one sentence without a full stop.
    pub message: String,
    /// What follows from it, when the message does not say so.
    pub consequence: Option<String>,
    /// The way out.
    pub fix: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(severity: Severity, rule: &'static str, span: Option<Span>, message: impl Into<String>) -> Self {
        Diagnostic { severity, rule, span, message: message.into(), consequence: None, fix: None }
    }

    pub(crate) fn error(rule: &'static str, span: Span, message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Error, rule, Some(span), message)
    }

    pub(crate) fn warning(rule: &'static str, span: Span, message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Warning, rule, Some(span), message)
    }

    pub(crate) fn note(rule: &'static str, span: Span, message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Note, rule, Some(span), message)
    }

    /// What follows from it.
    pub(crate) fn so(mut self, consequence: impl Into<String>) -> Self {
        self.consequence = Some(consequence.into());
        self
    }

    /// The way out.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; does not change the exit status.
    Note,
    /// Probably a mistake; the configuration still runs.
    Warning,
    /// The configuration does not run.
    Error,
}

/// The diagnostic as a person reads it: `FILE:LINE:COL: warning: message [rule]`, the cited line, a caret, the fix.
/// `program` is printed before the place when given (`evenkeel: `).
pub fn render(diagnostic: &Diagnostic, sources: &SourceMap, program: Option<&str>) -> String {
    let mut out = String::new();
    if let Some(program) = program {
        let _ = write!(out, "{program}: ");
    }
    if let Some(span) = diagnostic.span {
        let _ = write!(out, "{}:{}:{}: ", sources.path(span.file).display(), span.line, span.start + 1);
    }
    let severity = match diagnostic.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let _ = writeln!(out, "{severity}: {} [{}]", diagnostic.message, diagnostic.rule);
    if let Some(span) = diagnostic.span {
        cite(&mut out, span, &sources.line(span.file, span.line));
    }
    if let Some(consequence) = &diagnostic.consequence {
        let _ = writeln!(out, "     = {consequence}");
    }
    if let Some(fix) = &diagnostic.fix {
        let _ = writeln!(out, "     = fix: {fix}");
    }
    out
}

fn cite(out: &mut String, span: Span, line: &str) {
    // Tabs become one blank each, so that the caret stands below its word; very long lines are cut around it.
    const SHOWN: usize = 160;
    let start = line.floor_char_boundary(span.start as usize);
    let end = line.floor_char_boundary((span.end as usize).max(start));
    let from = if end > SHOWN { line.floor_char_boundary(start.saturating_sub(SHOWN / 2)) } else { 0 };
    let to = line.floor_char_boundary((from + SHOWN).min(line.len()));
    let shown: String = line[from..to].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let before = line[from..start].chars().count();
    let width = line[start..end.min(to.max(start))].chars().count().max(1);
    let _ = writeln!(out, "{:4} | {shown}", span.line);
    let _ = writeln!(out, "     | {}{}", " ".repeat(before), "^".repeat(width));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_caret_stands_below_the_cited_word() {
        let mut sources = SourceMap::default();
        let file = sources.add(Path::new("k.conf"), b"a {\n\tstaet MASTER\n}\n".to_vec());
        let diagnostic = Diagnostic {
            severity: Severity::Warning,
            rule: "unknown-keyword",
            span: Some(Span { file, line: 2, start: 1, end: 6 }),
            message: "unknown keyword `staet`".to_owned(),
            consequence: None,
            fix: Some("write `state`".to_owned()),
        };
        assert_eq!(
            render(&diagnostic, &sources, Some("evenkeel")),
            "evenkeel: k.conf:2:2: warning: unknown keyword `staet` [unknown-keyword]\n   2 |  staet MASTER\n     |  ^^^^^\n     = fix: write `state`\n"
        );
    }
}
