//! Checked directives to a configuration: the `main` and `http` levels.

use super::lexer::Word;
use super::tree::Directive;
use super::value::{self, Grain};
use super::{Options, geo, map, server, upstream};
use crate::{Diagnostic, Severity, Span};
use evenkeel_site::config::{
    AccessLog, Config, ErrorLog, ErrorLogTarget, LogEscape, LogFormat, LogLevel, Scope, Server,
};
use evenkeel_site::{Template, Variable, Variables};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Lowering<'o> {
    pub(super) options: &'o Options<'o>,
    pub(super) config: Config,
    diagnostics: Vec<Diagnostic>,
    /// Variables that the configuration defines, anywhere in the file.
    pub(super) own: Variables,
    /// `upstream` blocks; a `proxy_pass` may stand before the block it names.
    pub(super) blocks: BTreeMap<String, usize>,
    /// By listen: whether one of its servers said `default_server`.
    pub(super) has_default: Vec<bool>,
    /// By server: where it begins.
    pub(super) server_spans: Vec<Span>,
}

impl<'o> Lowering<'o> {
    pub(super) fn new(options: &'o Options<'o>, diagnostics: Vec<Diagnostic>) -> Lowering<'o> {
        let usual = || ErrorLogTarget::File(options.logs().join("error.log"));
        let target = options.error_log.clone().unwrap_or_else(usual);
        let error_log = ErrorLog { target, level: LogLevel::Error };
        let config = Config {
            workers: Some(1),
            worker_connections: 512,
            error_log,
            log_formats: vec![LogFormat::combined()],
            ..Config::default()
        };
        Lowering {
            options,
            config,
            diagnostics,
            own: Variables::default(),
            blocks: BTreeMap::new(),
            has_default: Vec::new(),
            server_spans: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> (Config, Vec<Diagnostic>) {
        (self.config, self.diagnostics)
    }

    pub(super) fn missing_events(&mut self) {
        self.push(Severity::Error, "no-events", None, "no \"events\" section in configuration".to_owned());
    }

    pub(super) fn main(&mut self, directives: &[Directive]) {
        // `http` inherits `error_log`, wherever that stands.
        for directive in directives.iter().filter(|directive| directive.block.is_none()) {
            self.main_directive(directive);
        }
        if let Some(log) = self.first_error_log(directives) {
            self.config.error_log = log;
        }
        for directive in directives {
            let block = directive.block.as_deref().unwrap_or_default();
            match directive.name.text.as_str() {
                "events" => self.events(block),
                "http" => self.http(block),
                _ => {}
            }
        }
    }

    fn main_directive(&mut self, directive: &Directive) {
        let Some(first) = directive.args.first() else { return };
        match directive.name.text.as_str() {
            "daemon" => self.config.daemon = Some(is_on(directive)),
            "pid" => self.config.pid = Some(self.path(first)),
            "user" => {
                let group = directive.args.get(1).map(|word| word.text.clone());
                self.config.user = Some((first.text.clone(), group));
            }
            "worker_processes" if first.text == "auto" => self.config.workers = None,
            "worker_processes" => match first.text.parse::<u16>() {
                Ok(workers) if workers > 0 => self.config.workers = Some(workers),
                _ => self.invalid(directive, first, "invalid value"),
            },
            "worker_shutdown_timeout" => {
                self.config.shutdown_timeout =
                    self.time(directive, Grain::Milliseconds).filter(|timeout| !timeout.is_zero());
            }
            _ => {}
        }
    }

    fn events(&mut self, directives: &[Directive]) {
        for directive in directives.iter().filter(|directive| directive.name.text == "worker_connections") {
            if let Some(connections) = self.number(directive) {
                self.config.worker_connections = u32::try_from(connections).unwrap_or(u32::MAX);
            }
        }
    }

    pub(super) fn http(&mut self, directives: &[Directive]) {
        self.collect_names(directives);
        for directive in directives.iter().filter(|directive| directive.name.text == "log_format") {
            self.log_format(directive);
        }
        for directive in directives {
            match directive.name.text.as_str() {
                "map" => map::lower(self, directive),
                "geo" => geo::lower_geo(self, directive),
                "split_clients" => geo::lower_split(self, directive),
                _ => {}
            }
        }
        upstream::declare(self, directives);
        let scope = self.http_scope(directives);
        let defaults = server::values(self, &Server::default(), directives);
        for directive in directives.iter().filter(|directive| directive.name.text == "server") {
            server::lower(self, directive, &defaults, &scope);
        }
        server::report_conflicts(self);
    }

    fn http_scope(&mut self, directives: &[Directive]) -> Scope {
        let types = [("html", "text/html"), ("gif", "image/gif"), ("jpg", "image/jpeg")];
        let default = Scope {
            root: self.options.prefix.join("html"),
            types: Arc::new(types.map(|(extension, kind)| (extension.to_owned(), kind.to_owned())).into()),
            access_logs: vec![AccessLog { path: self.options.logs().join("access.log"), format: 0 }],
            error_log: self.config.error_log.clone(),
            ..Scope::default()
        };
        self.scope(&default, directives)
    }

    fn log_format(&mut self, directive: &Directive) {
        let [name, words @ ..] = directive.args.as_slice() else { return };
        if self.config.log_formats.iter().any(|format| format.name == name.text) {
            self.error("duplicate", name.span, format!("duplicate \"log_format\" name \"{}\"", name.text));
            return;
        }
        let (escape, words) = match words {
            [first, rest @ ..] if first.text.starts_with("escape=") => {
                let escape = match first.text.as_str() {
                    "escape=default" => LogEscape::Default,
                    "escape=json" => LogEscape::Json,
                    "escape=none" => LogEscape::None,
                    _ => {
                        let message = format!("unknown log format escaping \"{}\"", &first.text["escape=".len()..]);
                        return self.error("invalid-value", first.span, message);
                    }
                };
                (escape, rest)
            }
            _ => (LogEscape::Default, words),
        };
        for word in words {
            self.check_template(word);
        }
        let text = words.iter().map(|word| word.text.as_str()).collect();
        self.config.log_formats.push(LogFormat { name: name.text.clone(), text, escape });
    }

    /// Names of groups in all expressions: the variables that templates may use.
    fn collect_names(&mut self, directives: &[Directive]) {
        for directive in directives {
            let patterns: Vec<(&str, Span)> = match (directive.name.text.as_str(), directive.args.as_slice()) {
                ("server_name", names) => {
                    names.iter().filter_map(|word| Some((word.text.strip_prefix('~')?, word.span))).collect()
                }
                ("location", [modifier, pattern]) if modifier.text.starts_with('~') => {
                    vec![(pattern.text.as_str(), pattern.span)]
                }
                ("rewrite", [pattern, ..]) => vec![(pattern.text.as_str(), pattern.span)],
                ("if", [.., operator, last]) if operator.text.trim_start_matches('!').starts_with('~') => {
                    // The parenthesis after it is no part of the expression, whether it stands apart or not.
                    vec![(last.text.strip_suffix(')').unwrap_or(&last.text), last.span)]
                }
                ("if", [.., operator, pattern, _]) if operator.text.trim_start_matches('!').starts_with('~') => {
                    vec![(pattern.text.as_str(), pattern.span)]
                }
                ("set", [name, _]) => {
                    self.own.add_set(&name.text.trim_start_matches('$').to_ascii_lowercase());
                    Vec::new()
                }
                ("geo" | "split_clients", [.., name]) => {
                    self.own.add_computed(name.text.trim_start_matches('$'));
                    Vec::new()
                }
                ("map", [_, name]) => {
                    self.own.add_computed(name.text.trim_start_matches('$'));
                    map::patterns(directive)
                }
                ("location", [word]) if word.text.starts_with('~') => {
                    vec![(word.text.trim_start_matches(['~', '*']), word.span)]
                }
                _ => Vec::new(),
            };
            for (pattern, span) in patterns {
                self.collect_pattern(pattern, span);
            }
            if !matches!(directive.name.text.as_str(), "map" | "geo" | "split_clients") {
                self.collect_names(directive.block.as_deref().unwrap_or_default());
            }
        }
    }

    fn collect_pattern(&mut self, text: &str, span: Span) {
        match self.own.add_groups(text) {
            Ok(()) => {}
            Err((_, error)) => {
                let pcre_only = "look-around and back-references, which PCRE has, are not understood";
                let consequence = error.to_string().contains("not supported").then(|| pcre_only.to_owned());
                self.diagnostics.push(Diagnostic {
                    severity: Severity::Error,
                    rule: "bad-regex",
                    span: Some(span),
                    message: format!("regular expression \"{text}\" is not valid: {error}"),
                    consequence,
                    fix: None,
                });
            }
        }
    }

    pub(super) fn check_template(&mut self, word: &Word) {
        if let Err(error) = Template::parse(&word.text, &self.own) {
            self.error("unknown-variable", word.span, error.to_string());
        }
    }

    pub(super) fn check_variable(&mut self, name: &str, span: Span) {
        if let Err(error) = Variable::parse(name, &self.own) {
            self.error("unknown-variable", span, error.to_string());
        }
    }

    /// The first of a block's `error_log`s.
    pub(super) fn first_error_log(&mut self, directives: &[Directive]) -> Option<ErrorLog> {
        let mut logs = directives.iter().filter(|directive| directive.name.text == "error_log");
        let first = logs.next().and_then(|directive| self.error_log(directive));
        for more in logs {
            let message = "only the first \"error_log\" of a block is written".to_owned();
            self.push(Severity::Warning, "not-acted-on", Some(more.name.span), message);
        }
        first
    }

    fn error_log(&mut self, directive: &Directive) -> Option<ErrorLog> {
        let target = directive.args.first()?;
        let level = match directive.args.get(1) {
            None => LogLevel::Error,
            Some(word) => match word.text.as_str() {
                "debug" | "debug_core" | "debug_alloc" | "debug_mutex" | "debug_event" | "debug_http" => {
                    LogLevel::Debug
                }
                "info" => LogLevel::Info,
                "notice" => LogLevel::Notice,
                "warn" => LogLevel::Warn,
                "error" => LogLevel::Error,
                "crit" => LogLevel::Crit,
                "alert" => LogLevel::Alert,
                "emerg" => LogLevel::Emerg,
                other => {
                    let message = format!("invalid log level \"{other}\"");
                    self.error("invalid-value", word.span, message);
                    return None;
                }
            },
        };
        let target = match target.text.as_str() {
            "stderr" => ErrorLogTarget::Stderr,
            text if text.starts_with("syslog:") || text.starts_with("memory:") => {
                self.unsupported(directive, target);
                return None;
            }
            _ => ErrorLogTarget::File(self.path(target)),
        };
        Some(ErrorLog { target, level })
    }

    /// A path, relative to the prefix.
    pub(super) fn path(&self, word: &Word) -> PathBuf {
        self.options.prefix.join(&word.text)
    }

    pub(super) fn time(&mut self, directive: &Directive, grain: Grain) -> Option<Duration> {
        let word = directive.args.first()?;
        let time = value::time(&word.text, grain);
        if time.is_none() {
            self.invalid(directive, word, "invalid value");
        }
        time
    }

    pub(super) fn size(&mut self, directive: &Directive, word: &Word) -> Option<u64> {
        let size = value::size(&word.text);
        if size.is_none() {
            self.invalid(directive, word, "invalid value");
        }
        size
    }

    pub(super) fn number(&mut self, directive: &Directive) -> Option<u64> {
        let word = directive.args.first()?;
        let number = value::number(&word.text);
        if number.is_none() {
            self.invalid(directive, word, "invalid number");
        }
        number
    }

    /// `"NAME" directive invalid value`.
    pub(super) fn invalid(&mut self, directive: &Directive, word: &Word, what: &str) {
        let message = format!("\"{}\" directive {what}", directive.name.text);
        self.error("invalid-value", word.span, message);
    }

    /// A word of a directive that nginx knows and we do not act on yet.
    pub(super) fn unsupported(&mut self, directive: &Directive, word: &Word) {
        let message = format!("\"{}\" in \"{}\" directive is not supported yet", word.text, directive.name.text);
        self.error("not-supported", word.span, message);
    }

    pub(super) fn error(&mut self, rule: &'static str, span: Span, message: String) {
        self.push(Severity::Error, rule, Some(span), message);
    }

    pub(super) fn warning(&mut self, rule: &'static str, span: Span, message: String) {
        self.push(Severity::Warning, rule, Some(span), message);
    }

    fn push(&mut self, severity: Severity, rule: &'static str, span: Option<Span>, message: String) {
        self.diagnostics.push(Diagnostic { severity, rule, span, message, consequence: None, fix: None });
    }
}

pub(super) fn is_on(directive: &Directive) -> bool {
    directive.args.first().is_some_and(|word| word.text.eq_ignore_ascii_case("on"))
}
