//! keepalived.conf from text to values: the language, the files people have, the mistakes they make.

mod authentication;
mod balance;
mod bfd;
mod checks;
mod fifo;
mod flavour;
mod groups;
mod language;
mod links;
mod lints;
mod mail;
mod management;
mod mistakes;
mod network;
mod noise;
mod peer;
mod rows;
mod samples;
mod scheduling;
mod seeds;
mod sync;
mod transport;

use evenkeel_conf::keepalived::{Loaded, Options, load};
use evenkeel_conf::{DiskFiles, MemoryFiles, Severity, render};
use std::path::{Path, PathBuf};

/// Loads a fixture.
fn fixture(name: &str) -> Loaded {
    let path = fixtures().join(name);
    load(&DiskFiles, &path, &options(Some("lb01")))
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keepalived")
}

/// Loads a text as `/etc/keepalived/keepalived.conf`.
fn text(text: &str) -> Loaded {
    files(&[("keepalived.conf", text)])
}

/// Loads the first of several files in `/etc/keepalived`.
fn files(files: &[(&str, &str)]) -> Loaded {
    let memory =
        files.iter().map(|(name, text)| (Path::new("/etc/keepalived").join(name), text.as_bytes().to_vec())).collect();
    load(&MemoryFiles(memory), &Path::new("/etc/keepalived").join(files[0].0), &options(Some("lb01")))
}

fn options(config_id: Option<&str>) -> Options<'_> {
    let env = &|name: &str| (name == "HOME").then(|| "/root".to_owned());
    Options { config_id, env, all_checks: false, seed: 7 }
}

/// `rule at line` of each diagnostic that is no note.
fn rules(loaded: &Loaded) -> Vec<String> {
    let lines = loaded.diagnostics.iter().filter(|d| d.severity > Severity::Note);
    lines.map(|d| format!("{}:{}", d.rule, d.span.map_or(0, |span| span.line))).collect()
}

/// Everything that was said, as a person reads it.
fn said(loaded: &Loaded) -> String {
    let base = format!("{}/", fixtures().display());
    loaded.diagnostics.iter().map(|d| render(d, &loaded.sources, None).replace(&base, "")).collect()
}

/// Compares with a file beside the fixtures; `UPDATE_EXPECT=1` writes it.
fn expect(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, actual).expect("write the expected file");
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(expected == actual, "{} differs; UPDATE_EXPECT=1 writes it. Now:\n{actual}", path.display());
}
