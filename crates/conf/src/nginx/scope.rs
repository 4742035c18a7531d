//! Values that blocks inherit: what a block says goes over what the block around it says, wherever it stands in the block.

use super::lower::{Lowering, is_on};
use super::tree::Directive;
use super::value::Grain;
use evenkeel_site::config::answer::{Otherwise, TryFiles};
use evenkeel_site::config::{AccessLog, HttpVersion, NextUpstream, Scope};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

impl Lowering<'_> {
    /// The values in force inside a block.
    pub(super) fn scope(&mut self, around: &Scope, directives: &[Directive]) -> Scope {
        let mut scope = around.clone();
        // Of a block alone: nested locations do not look for the files of the one around.
        scope.try_files = None;
        for directive in directives.iter().filter(|directive| directive.block.is_none()) {
            self.scope_directive(&mut scope, directive);
        }
        if let Some(log) = self.first_error_log(directives) {
            scope.error_log = log;
        }
        // Lists are replaced as a whole by a block that has any of its own.
        if let Some(logs) = self.access_logs(directives) {
            scope.access_logs = logs;
        }
        if let Some(headers) = self.proxy_headers(directives) {
            scope.proxy_headers = headers;
        }
        if let Some(types) = types(directives) {
            scope.types = Arc::new(types);
        }
        if let Some(pages) = self.error_pages(directives) {
            scope.error_pages = pages;
        }
        if let Some(names) = names(directives, "proxy_hide_header") {
            scope.proxy_hide_headers = names;
        }
        if let Some(names) = names(directives, "proxy_pass_header") {
            scope.proxy_pass_headers = names;
        }
        if let Some(rules) = self.access(directives) {
            scope.access = rules;
        }
        if let Some(headers) = self.add_headers(directives) {
            scope.add_headers = headers;
        }
        let named = |name| directives.iter().filter(move |directive| directive.name.text == name);
        if named("index").next().is_some() {
            scope.index = self.index(named("index"));
        }
        scope
    }

    fn scope_directive(&mut self, scope: &mut Scope, directive: &Directive) {
        let Some(first) = directive.args.first() else { return };
        let time = |lowering: &mut Self, field: &mut Duration| {
            if let Some(time) = lowering.time(directive, Grain::Milliseconds) {
                *field = time;
            }
        };
        match directive.name.text.as_str() {
            "absolute_redirect" => scope.absolute_redirect = is_on(directive),
            "client_body_timeout" => time(self, &mut scope.client_body_timeout),
            "client_max_body_size" => {
                if let Some(size) = self.size(directive, first) {
                    scope.client_max_body_size = size;
                }
            }
            "default_type" => scope.default_type.clone_from(&first.text),
            "keepalive_requests" => {
                if let Some(requests) = self.number(directive) {
                    scope.keepalive_requests = u32::try_from(requests).unwrap_or(u32::MAX);
                }
            }
            "keepalive_timeout" => time(self, &mut scope.keepalive_timeout),
            "port_in_redirect" => scope.port_in_redirect = is_on(directive),
            "proxy_connect_timeout" => time(self, &mut scope.proxy_connect_timeout),
            "proxy_intercept_errors" => scope.proxy_intercept_errors = is_on(directive),
            "recursive_error_pages" => scope.recursive_error_pages = is_on(directive),
            "proxy_http_version" => match first.text.as_str() {
                "1.0" => scope.proxy_http_version = HttpVersion::Http10,
                "1.1" => scope.proxy_http_version = HttpVersion::Http11,
                "2" => self.unsupported(directive, first),
                other => self.error("invalid-value", first.span, format!("invalid value \"{other}\"")),
            },
            "proxy_next_upstream" => scope.proxy_next_upstream = self.next_upstream(directive, scope),
            "proxy_next_upstream_timeout" => time(self, &mut scope.proxy_next_upstream.timeout_total),
            "proxy_next_upstream_tries" => {
                if let Some(tries) = self.number(directive) {
                    scope.proxy_next_upstream.tries = u32::try_from(tries).unwrap_or(u32::MAX);
                }
            }
            "proxy_read_timeout" => time(self, &mut scope.proxy_read_timeout),
            "proxy_redirect" => match (first.text.as_str(), directive.args.len()) {
                ("off", 1) => scope.proxy_redirect = false,
                ("default", 1) => scope.proxy_redirect = true,
                _ => self.unsupported(directive, first),
            },
            "proxy_send_timeout" => time(self, &mut scope.proxy_send_timeout),
            "root" => {
                self.check_template(first);
                // `root /` and `root /www/` mean the same as without the slash: the path brings its own.
                let path = if first.text.starts_with('$') { first.text.clone().into() } else { self.path(first) };
                scope.root = path.to_string_lossy().trim_end_matches('/').into();
                scope.alias = None;
            }
            "send_timeout" => time(self, &mut scope.send_timeout),
            "server_name_in_redirect" => scope.server_name_in_redirect = is_on(directive),
            "server_tokens" => match first.text.as_str() {
                "on" | "build" => scope.server_tokens = true,
                "off" => scope.server_tokens = false,
                other => self.error("invalid-value", first.span, format!("invalid value \"{other}\"")),
            },
            "try_files" => scope.try_files = self.try_files(directive),
            _ => {}
        }
    }

    fn next_upstream(&mut self, directive: &Directive, scope: &Scope) -> NextUpstream {
        let mut rules = NextUpstream {
            error: false,
            timeout: false,
            tries: scope.proxy_next_upstream.tries,
            timeout_total: scope.proxy_next_upstream.timeout_total,
            ..NextUpstream::default()
        };
        for word in &directive.args {
            match word.text.as_str() {
                "error" => rules.error = true,
                "timeout" => rules.timeout = true,
                "invalid_header" => rules.invalid_header = true,
                "http_500" => rules.http_500 = true,
                "http_502" => rules.http_502 = true,
                "http_503" => rules.http_503 = true,
                "http_504" => rules.http_504 = true,
                "http_403" => rules.http_403 = true,
                "http_404" => rules.http_404 = true,
                "http_429" => rules.http_429 = true,
                "non_idempotent" => rules.non_idempotent = true,
                "off" => {}
                other => self.error("invalid-value", word.span, format!("invalid value \"{other}\"")),
            }
        }
        if directive.args.iter().any(|word| word.text == "off") {
            return NextUpstream { tries: rules.tries, timeout_total: rules.timeout_total, ..off() };
        }
        rules
    }

    fn access_logs(&mut self, directives: &[Directive]) -> Option<Vec<AccessLog>> {
        let own: Vec<_> = directives.iter().filter(|directive| directive.name.text == "access_log").collect();
        (!own.is_empty()).then(|| own.into_iter().filter_map(|directive| self.access_log(directive)).collect())
    }

    fn access_log(&mut self, directive: &Directive) -> Option<AccessLog> {
        let [path, rest @ ..] = directive.args.as_slice() else { return None };
        if path.text == "off" {
            if let Some(more) = rest.first() {
                self.error("invalid-value", more.span, format!("invalid parameter \"{}\"", more.text));
            }
            return None;
        }
        if path.text.starts_with("syslog:") || path.text.contains('$') {
            self.unsupported(directive, path);
            return None;
        }
        let (format, parameters) = match rest {
            [name, parameters @ ..] => (name.text.as_str(), parameters),
            [] => ("combined", rest),
        };
        for word in parameters {
            match word.text.split_once('=').map_or(word.text.as_str(), |(name, _)| name) {
                // Lines reach the file sooner than asked for.
                "buffer" | "flush" => {}
                "gzip" | "if" => self.unsupported(directive, word),
                _ => self.error("invalid-value", word.span, format!("invalid parameter \"{}\"", word.text)),
            }
        }
        let Some(format) = self.config.log_formats.iter().position(|known| known.name == format) else {
            let span = rest.first().map_or(path.span, |word| word.span);
            self.error("unknown-log-format", span, format!("unknown log format \"{format}\""));
            return None;
        };
        Some(AccessLog { path: self.path(path), format })
    }

    fn proxy_headers(&mut self, directives: &[Directive]) -> Option<Vec<(String, String)>> {
        let own: Vec<_> = directives.iter().filter(|directive| directive.name.text == "proxy_set_header").collect();
        if own.is_empty() {
            return None;
        }
        let mut headers = Vec::new();
        for directive in own {
            let [name, value] = directive.args.as_slice() else { continue };
            self.check_template(value);
            headers.push((name.text.clone(), value.text.clone()));
        }
        // The defaults stay unless this very list replaces them.
        for (name, value) in Scope::default().proxy_headers {
            if !headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(&name)) {
                headers.push((name, value));
            }
        }
        Some(headers)
    }

    fn index<'d>(&mut self, own: impl Iterator<Item = &'d Directive>) -> Vec<String> {
        let mut names = Vec::new();
        for directive in own {
            for word in &directive.args {
                if word.text.contains('$') || word.text.starts_with('/') {
                    self.unsupported(directive, word);
                } else if word.text.is_empty() {
                    self.error("invalid-value", word.span, "index \"\" in \"index\" directive is invalid".to_owned());
                } else {
                    names.push(word.text.clone());
                }
            }
        }
        names
    }

    fn try_files(&mut self, directive: &Directive) -> Option<TryFiles> {
        let (last, paths) = directive.args.split_last()?;
        directive.args.iter().for_each(|word| self.check_template(word));
        let otherwise = match last.text.strip_prefix('=') {
            Some(status) => match super::value::number(status).and_then(|status| u16::try_from(status).ok()) {
                Some(status) if status <= 999 => Otherwise::Status(status),
                _ => {
                    self.error("invalid-value", last.span, format!("invalid code \"{status}\""));
                    return None;
                }
            },
            None if last.text.starts_with('@') => Otherwise::Named(last.text.clone()),
            None => Otherwise::Path(last.text.clone()),
        };
        Some(TryFiles { paths: paths.iter().map(|word| word.text.clone()).collect(), otherwise })
    }
}

fn off() -> NextUpstream {
    NextUpstream { error: false, timeout: false, ..NextUpstream::default() }
}

/// The words of all directives of a name, in lower case; `None` when there are none, and those around are in force.
fn names(directives: &[Directive], name: &str) -> Option<Vec<String>> {
    let own: Vec<_> = directives.iter().filter(|directive| directive.name.text == name).collect();
    let words = own.iter().flat_map(|directive| &directive.args).map(|word| word.text.to_ascii_lowercase());
    (!own.is_empty()).then(|| words.collect())
}

fn types(directives: &[Directive]) -> Option<BTreeMap<String, String>> {
    let blocks: Vec<_> = directives.iter().filter(|directive| directive.name.text == "types").collect();
    if blocks.is_empty() {
        return None;
    }
    let mut types = BTreeMap::new();
    for entry in blocks.iter().flat_map(|directive| directive.block.as_deref().unwrap_or_default()) {
        for extension in &entry.args {
            types.insert(extension.text.to_ascii_lowercase(), entry.name.text.clone());
        }
    }
    Some(types)
}
