//! `evenkeel check FILES`.

use super::host::ThisHost;
use super::print;
use crate::role::balance::probe::Prober;
use crate::supervisor::{NginxOptions, load_keepalived, load_nginx};
use clap::Args;
use evenkeel_balance::config::ClientTls;
use evenkeel_conf::{Diagnostic, DiskFiles, Files, Severity, SourceMap, keepalived, nginx, render};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USUAL: [&str; 2] = ["/etc/keepalived/keepalived.conf", "/etc/nginx/nginx.conf"];

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// keepalived.conf and nginx.conf files, in any order; of two keepalived.confs the second is taken for the peer's
    /// [default: those in /etc that exist].
    files: Vec<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Keepalived,
    Nginx,
    /// What an nginx.conf includes inside `http`.
    NginxPart,
}

/// One thing to say, as JSON has it.
#[derive(Debug, Serialize)]
struct Finding {
    severity: &'static str,
    rule: &'static str,
    file: String,
    line: Option<u32>,
    column: Option<u32>,
    message: String,
    consequence: Option<String>,
    fix: Option<String>,
    /// As people read it.
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct Report {
    files: Vec<String>,
    findings: Vec<Finding>,
    errors: usize,
    warnings: usize,
}

/// Checks, prints, and ends with 0 (clean), 1 (warnings) or 2 (errors).
pub fn main(args: &CheckArgs) -> ExitCode {
    let files = match args.files.is_empty() {
        true => USUAL.iter().map(PathBuf::from).filter(|path| path.exists()).collect(),
        false => args.files.clone(),
    };
    if files.is_empty() {
        eprintln!("evenkeel: no file is named, and there is neither {} nor {}", USUAL[0], USUAL[1]);
        return ExitCode::from(2);
    }
    let report = check(&files);
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
        false => {
            let mut text: String = report.findings.iter().map(|finding| finding.text.as_str()).collect();
            text.push_str(&summary(&report));
            text
        }
    };
    if let Err(error) = print(&text) {
        eprintln!("evenkeel: {error}");
    }
    ExitCode::from(match (report.errors, report.warnings) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => 2,
    })
}

fn summary(report: &Report) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let files = count(report.files.len(), "file");
    match (report.errors, report.warnings) {
        (0, 0) => format!("evenkeel: {files}: clean\n"),
        (errors, warnings) => {
            format!("evenkeel: {files}: {}, {}\n", count(errors, "error"), count(warnings, "warning"))
        }
    }
}

fn check(paths: &[PathBuf]) -> Report {
    let mut report = Report { files: Vec::new(), findings: Vec::new(), errors: 0, warnings: 0 };
    let mut nodes: Vec<keepalived::Loaded> = Vec::new();
    for path in paths {
        report.files.push(path.display().to_string());
        let kind = match readable(path) {
            Ok(text) => kind(path, &text),
            Err(message) => {
                report.add_plain(path, "unreadable", message);
                continue;
            }
        };
        match kind {
            Kind::Keepalived => {
                let mut loaded = load_keepalived(path, None, false);
                let lints = keepalived::lint(&loaded, &ThisHost);
                loaded.diagnostics.extend(lints);
                report.add_all(&loaded.diagnostics, &loaded.sources);
                let servers = loaded.balance.pools.iter().flat_map(|pool| &pool.servers);
                let checks = servers.flat_map(|server| &server.checks);
                // Keys may be readable to the daemon alone, so they are left out here.
                if let Err(error) = Prober::of_checks(&ClientTls::default(), checks) {
                    report.add_plain(path, "unusable-check", format!("health checks: {error}"));
                }
                nodes.push(loaded);
            }
            Kind::Nginx | Kind::NginxPart => {
                let shape = if kind == Kind::Nginx { nginx::Shape::Whole } else { nginx::Shape::HttpFragment };
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let loaded = load_nginx(&path, &NginxOptions::default(), shape);
                report.add_all(&loaded.diagnostics, &loaded.sources);
            }
        }
    }
    if let [mine, peer] = nodes.as_slice() {
        report.add_all(&keepalived::lint_pair(mine, peer), &mine.sources);
    }
    report
}

impl Report {
    fn count(&mut self, severity: Severity) {
        match severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
            Severity::Note => {}
        }
    }

    fn add_all(&mut self, diagnostics: &[Diagnostic], sources: &SourceMap) {
        for diagnostic in diagnostics {
            self.count(diagnostic.severity);
            let file = diagnostic.span.map(|span| sources.path(span.file)).or_else(|| sources.paths().next());
            self.findings.push(Finding {
                severity: match diagnostic.severity {
                    Severity::Note => "note",
                    Severity::Warning => "warning",
                    Severity::Error => "error",
                },
                rule: diagnostic.rule,
                file: file.map(|path| path.display().to_string()).unwrap_or_default(),
                line: diagnostic.span.map(|span| span.line),
                column: diagnostic.span.map(|span| span.start + 1),
                message: diagnostic.message.clone(),
                consequence: diagnostic.consequence.clone(),
                fix: diagnostic.fix.clone(),
                text: render(diagnostic, sources, Some("evenkeel")),
            });
        }
    }

    /// A file that is no configuration at all.
    fn add_plain(&mut self, path: &Path, rule: &'static str, message: String) {
        self.count(Severity::Error);
        self.findings.push(Finding {
            severity: "error",
            rule,
            file: path.display().to_string(),
            line: None,
            column: None,
            text: format!("evenkeel: {}: error: {message} [{rule}]\n", path.display()),
            message,
            consequence: None,
            fix: None,
        });
    }
}

/// The text of a file, or why it cannot be a configuration: one clear error instead of a thousand.
fn readable(path: &Path) -> Result<String, String> {
    let bytes = DiskFiles.read(path).map_err(|error| error.to_string())?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("is empty".to_owned());
    }
    let n_odd = bytes.iter().filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()).count();
    // A stray byte gets its line and column from the parser; noise is told as such.
    if bytes.contains(&0) || n_odd * 20 > bytes.len() {
        return Err("is not text".to_owned());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Told by the first words of lines, since both languages have blocks in braces; by the name when that says nothing.
fn kind(path: &Path, text: &str) -> Kind {
    const KEEPALIVED: [&str; 12] = [
        "global_defs",
        "vrrp_instance",
        "vrrp_script",
        "vrrp_sync_group",
        "virtual_server",
        "static_ipaddress",
        "static_routes",
        "track_file",
        "vrrp_track_process",
        "virtual_server_group",
        "net_namespace",
        "bfd_instance",
    ];
    const NGINX: [&str; 7] = ["events", "http", "stream", "worker_processes", "error_log", "load_module", "pid"];
    const PART: [&str; 5] = ["upstream", "server", "map", "log_format", "proxy_cache_path"];
    let first_words = text.lines().filter_map(|line| {
        line.trim_start().split(|c: char| c.is_whitespace() || c == '{' || c == ';').next().filter(|w| !w.is_empty())
    });
    for word in first_words {
        if KEEPALIVED.contains(&word) {
            return Kind::Keepalived;
        }
        if NGINX.contains(&word) {
            return Kind::Nginx;
        }
        if PART.contains(&word) {
            return Kind::NginxPart;
        }
    }
    let name = path.to_string_lossy();
    if name.contains("nginx") && !name.contains("keepalived") { Kind::Nginx } else { Kind::Keepalived }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_languages_are_told_apart_by_their_words() {
        for (name, text, expected) in [
            ("x", "! comment\nglobal_defs {\n}\n", Kind::Keepalived),
            ("x", "vrrp_instance VI_1 {", Kind::Keepalived),
            ("nginx.conf", "vrrp_script chk {", Kind::Keepalived),
            ("x", "user nginx;\nworker_processes auto;\n", Kind::Nginx),
            ("x", "events{}\nhttp{}", Kind::Nginx),
            ("kd.conf", "upstream kd {\n  server 10.0.0.51;\n}\n", Kind::NginxPart),
            ("/etc/nginx/nginx.conf", "# nothing\n", Kind::Nginx),
            ("k", "# nothing\n", Kind::Keepalived),
        ] {
            assert_eq!(kind(Path::new(name), text), expected, "{name} {text:?}");
        }
    }
}
