//! What check scripts do.

use super::{Host, ScriptFile};
use crate::keepalived::Loaded;
use crate::keepalived::lower::ScriptDraft;
use crate::{Diagnostic, Span};
use std::path::Path;
use std::time::Duration;

pub(super) fn script(draft: &ScriptDraft, loaded: &Loaded, host: &dyn Host, found: &mut Vec<Diagnostic>) {
    let Some(command) = &draft.command else { return };
    let (words, span) = (command.value.as_slice(), command.span);
    let interval = draft.interval.as_ref().map_or(Duration::from_secs(1), |interval| interval.value);
    timeout(draft, interval, found);
    let consequence = "the check cannot run, and keepalived takes a command that cannot be run for a success";
    let text = file_of(words, span, consequence, loaded, host, found);
    content(&text, interval, span, found);
}

/// Rules about the file of any command. Returns the text of the script, or the words of the command.
pub(super) fn file_of(
    words: &[String],
    span: Span,
    consequence: &str,
    loaded: &Loaded,
    host: &dyn Host,
    found: &mut Vec<Diagnostic>,
) -> String {
    let path = script_path(words);
    let file = path.and_then(|path| host.script(path));
    let direct = |path: &Path| words.first().is_some_and(|program| *program == *path.to_string_lossy());
    match (path, &file) {
        (Some(path), Some(file)) => permissions(path, file, direct(path), loaded, span, found),
        (Some(path), None) => found.push(
            Diagnostic::error("script-missing", span, format!("there is no file {}", path.display()))
                .so(consequence)
                .fix("create it, or correct the path"),
        ),
        (None, _) => {}
    }
    file.and_then(|file| file.text).unwrap_or_else(|| words.join(" "))
}

/// The file that the command runs: itself, or what it hands to a shell.
fn script_path(words: &[String]) -> Option<&Path> {
    let first = words.first()?;
    let name = first.rsplit('/').next().unwrap_or_default();
    let candidate = match (name, words.get(1)) {
        ("sh" | "bash" | "dash" | "python" | "python3" | "perl", Some(script)) => script,
        _ => first,
    };
    candidate.starts_with('/').then(|| Path::new(candidate))
}

/// Rule `script-timeout`.
fn timeout(draft: &ScriptDraft, interval: Duration, found: &mut Vec<Diagnostic>) {
    let Some(timeout) = &draft.timeout else { return };
    if timeout.value > interval {
        found.push(
            Diagnostic::warning(
                "script-timeout",
                timeout.span,
                format!("the timeout is longer than the interval of {} s", interval.as_secs_f64()),
            )
            .so("a hanging check delays the next one: failure is noticed late")
            .fix("make the timeout shorter than the interval"),
        );
    }
}

/// Rules `script-not-executable` and `script-writable`.
fn permissions(path: &Path, file: &ScriptFile, direct: bool, loaded: &Loaded, span: Span, found: &mut Vec<Diagnostic>) {
    if direct && !file.executable {
        found.push(
            Diagnostic::error("script-not-executable", span, format!("{} is not executable", path.display()))
                .so("it cannot run")
                .fix(format!("chmod +x {}", path.display())),
        );
    }
    if let Some(element) = &file.writable_element {
        let secure = loaded.settings.script_security;
        let consequence = if secure {
            "enable_script_security refuses to run it as root"
        } else {
            "who can write there becomes root on this node"
        };
        found.push(
            Diagnostic::warning(
                "script-writable",
                span,
                format!("{} can be written by others than root", element.display()),
            )
            .so(consequence)
            .fix(format!("chown root {0} && chmod go-w {0}", element.display())),
        );
    }
}

/// What the lines of a script say.
pub(super) fn content(text: &str, interval: Duration, span: Span, found: &mut Vec<Diagnostic>) {
    let lines: Vec<Vec<&str>> = text.lines().filter_map(words_of).collect();
    if let Some(line) = lines.iter().find(|words| stops_the_daemon(words)) {
        found.push(
            Diagnostic::warning("script-stops-failover", span, format!("the check runs `{}`", line.join(" ")))
                .so("this node then has no failover until somebody starts it again, and the check cannot bring it back")
                .fix("let it exit with status 1: failure moves the address"),
        );
    }
    if let Some(line) = lines.iter().find(|words| starts_a_service(words)) {
        found.push(
            Diagnostic::warning("script-restarts-service", span, format!("the check runs `{}`", line.join(" ")))
                .so("a service that dies again and again looks healthy, and clients meet it each time")
                .fix("leave restarting to the service manager (Restart=on-failure), and only look"),
        );
    }
    let slept: f64 = lines.iter().filter_map(|words| sleep_seconds(words)).sum();
    if slept >= interval.as_secs_f64() {
        found.push(
            Diagnostic::warning(
                "script-sleeps",
                span,
                format!("the check sleeps {slept} s, its interval is {} s", interval.as_secs_f64()),
            )
            .so("it is killed before it ends, which counts as a failure")
            .fix("make the interval longer than all its sleeps, or remove them"),
        );
    }
    let process = lines.iter().find(|words| looks_at_a_process(words));
    let listener = lines.iter().any(|words| looks_at_a_listener(words));
    if let Some(line) = process.filter(|_| !listener) {
        found.push(
            Diagnostic::note(
                "script-looks-at-process",
                span,
                format!("the check looks at a process: `{}`", line.join(" ")),
            )
            .so("a process that hangs or does not listen counts as well")
            .fix("ask the listener, for example with curl; or use `track_proxy`"),
        );
    }
}

/// The words of a line without comments; shell punctuation separates.
fn words_of(line: &str) -> Option<Vec<&str>> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let separators = |c: char| c.is_whitespace() || ";|&()`$<>\"'{}[]".contains(c);
    let words: Vec<_> = line.split(separators).filter(|word| !word.is_empty()).collect();
    (!words.is_empty()).then_some(words)
}

fn name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

const DAEMONS: [&str; 4] = ["keepalived", "keepalived.service", "evenkeel", "evenkeel.service"];

fn stops_the_daemon(words: &[&str]) -> bool {
    let Some(daemon) = words.iter().position(|word| DAEMONS.contains(&name(word))) else { return false };
    let before = &words[..daemon];
    let stops = before.iter().any(|word| matches!(*word, "stop" | "kill" | "restart"))
        || words[daemon + 1..].first().is_some_and(|word| matches!(*word, "stop" | "restart"));
    let manages =
        before.iter().any(|word| matches!(name(word), "systemctl" | "service")) || words[daemon].contains("init.d");
    let kills = before.iter().any(|word| matches!(name(word), "killall" | "pkill" | "kill"));
    // Signal 0 only asks.
    let asks = words.contains(&"-0");
    stops && manages || kills && !asks
}

fn starts_a_service(words: &[&str]) -> bool {
    let verb = |word: &&str| matches!(*word, "start" | "restart");
    let daemon = words.iter().any(|word| DAEMONS.contains(&name(word)));
    let managed = words.iter().any(|word| matches!(name(word), "systemctl" | "service") || word.contains("init.d"));
    // A line that is nothing but the path of a server starts it.
    let bare = matches!(words, [only] if only.starts_with('/') && matches!(name(only), "nginx" | "haproxy" | "httpd" | "apache2" | "apachectl"));
    !daemon && (managed && words.iter().any(verb) || bare)
}

fn sleep_seconds(words: &[&str]) -> Option<f64> {
    let at = words.iter().position(|word| name(word) == "sleep")?;
    let (number, factor) = match words.get(at + 1)?.strip_suffix('m') {
        Some(minutes) => (minutes, 60.0),
        None => (words[at + 1].trim_end_matches('s'), 1.0),
    };
    number.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0).map(|seconds| seconds * factor)
}

fn looks_at_a_process(words: &[&str]) -> bool {
    words.iter().any(|word| matches!(name(word), "pidof" | "pgrep" | "ps"))
        || words.iter().any(|word| name(word) == "killall") && words.contains(&"-0")
}

fn looks_at_a_listener(words: &[&str]) -> bool {
    words.iter().any(|word| {
        matches!(name(word), "curl" | "wget" | "nc" | "ncat" | "ss" | "netstat" | "nmap" | "telnet" | "socat")
    })
}
