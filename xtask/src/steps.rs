//! The steps of `test` and `ci`. Every step runs, whatever the ones before it said, so that one look shows all that is
//! wrong; the last line is the sum over all tests.

use crate::summary::{Show, Summary};
use crate::{bpf, guest, root, setup, tidy};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Seconds for each fuzz target in `ci`.
const FUZZ_SECONDS: &str = "60";

/// Everything that must hold for a commit.
pub(crate) fn test() -> Result<()> {
    let mut run = Run::default();
    run.commit();
    run.end()
}

/// Everything, and what takes a tool or the time that not everybody has.
pub(crate) fn ci() -> Result<()> {
    let mut run = Run::default();
    run.commit();
    run.fuzz();
    if has_subcommand("deny") {
        run.step("cargo deny", cargo(&["deny", "--log-level", "warn", "check", "licenses", "bans", "sources"]));
    }
    run.end()
}

/// Only the tests whose names contain the filter; options of the test runner may follow `--`.
pub(crate) fn test_only(filter: &[&str]) -> Result<()> {
    let mut run = Run::default();
    run.step("build", cargo(&["build", "--package", "evenkeel"]));
    let (filter, options) = match filter.iter().position(|word| *word == "--") {
        Some(at) => (&filter[..at], &filter[at + 1..]),
        None => (filter, &[][..]),
    };
    let mut words = vec!["test", "--workspace", "--no-fail-fast"];
    words.extend(filter.iter().take(1));
    words.extend(["--", "--show-output"]);
    words.extend(filter.iter().skip(1));
    words.extend(options);
    let mut tests = cargo(&words);
    tests.env("EVENKEEL", target().join("debug/evenkeel"));
    run.tests("tests", tests);
    run.end()
}

#[derive(Default)]
struct Run {
    steps: Vec<(&'static str, bool)>,
    summary: Summary,
}

impl Run {
    fn commit(&mut self) {
        self.outcome("setup", setup::run());
        self.step("formatting", cargo(&["fmt", "--all", "--check"]));
        self.step("lints", cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]));
        let inside = ["clippy", "--quiet", "--package", "evenkeel-guest", "--all-targets", "--features", "inside"];
        self.step("lints of the guest's tests", cargo(&[&inside[..], &["--", "-D", "warnings"]].concat()));
        self.outcome("program for XDP", bpf::check());
        // The end-to-end tests run the program itself.
        self.step("build", cargo(&["build", "--quiet", "--package", "evenkeel"]));
        let mut tests = cargo(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
        tests.env("EVENKEEL", target().join("debug/evenkeel"));
        self.tests("tests", tests);
        self.guest();
        let mut fuzz_smoke = cargo(&["test", "--manifest-path", "fuzz/Cargo.toml", "--", "--show-output"]);
        fuzz_smoke.env("CARGO_TARGET_DIR", target());
        self.tests("fuzz targets, briefly", fuzz_smoke);
        let mut documentation = cargo(&["doc", "--quiet", "--workspace", "--no-deps"]);
        documentation.env("RUSTDOCFLAGS", "-D warnings");
        self.step("documentation", documentation);
        self.outcome("tidiness", tidy::run());
    }

    /// A minute for each target with libFuzzer, where nightly and cargo-fuzz are. The same targets run over mutated
    /// samples in any case, as part of the tests.
    fn fuzz(&mut self) {
        if !has_subcommand("fuzz") || !has_nightly() {
            println!("== fuzzing: left out, needs a nightly toolchain and cargo-fuzz");
            return;
        }
        let Ok(targets) = fuzz_targets() else {
            self.steps.push(("fuzzing", false));
            return;
        };
        for target in targets {
            let mut command = Command::new("cargo");
            command.current_dir(root()).stdin(Stdio::null());
            command.args(["+nightly", "fuzz", "run", "--features", "libfuzzer", &target, "--"]);
            command.arg(format!("-max_total_time={FUZZ_SECONDS}"));
            self.step("fuzzing", command);
        }
    }

    fn step(&mut self, name: &'static str, mut command: Command) {
        println!("== {name}");
        let outcome = command
            .status()
            .context("start")
            .and_then(|status| if status.success() { Ok(()) } else { bail!("{status}") });
        self.outcome(name, outcome);
    }

    fn outcome(&mut self, name: &'static str, outcome: Result<()>) {
        if let Err(error) = &outcome {
            println!("{name}: {error:#}");
        }
        self.steps.push((name, outcome.is_ok()));
    }

    /// Runs test binaries and reads what they say. A binary that fails without naming a test (it did not compile, or
    /// died) counts as one failure.
    fn tests(&mut self, name: &'static str, mut command: Command) {
        println!("== {name}");
        let failed_before = self.summary.failed;
        let outcome = command.stdout(Stdio::piped()).spawn().context("start").and_then(|mut child| {
            let output = child.stdout.take().context("standard output is piped")?;
            let mut lines = BufReader::new(output);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line)? > 0 {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches('\n');
                if self.summary.read(text) == Show::Yes {
                    println!("{text}");
                }
                line.clear();
            }
            let status = child.wait()?;
            if status.success() { Ok(()) } else { bail!("{status}") }
        });
        if outcome.is_err() && self.summary.failed == failed_before {
            self.summary.failed += 1;
            self.summary.failures.push(format!("{name}: a test binary did not finish"));
        }
        self.outcome(name, outcome);
    }

    /// The tests inside the guest, counted as the others are. Where the guest cannot run that is one skipped test, and
    /// under CI=true one failed.
    fn guest(&mut self) {
        const NAME: &str = "tests in the guest";
        println!("== {NAME}");
        let failed_before = self.summary.failed;
        let outcome = match guest::missing() {
            Some(missing) if std::env::var("CI").as_deref() == Ok("true") => {
                Err(anyhow::anyhow!("the guest needs {missing}"))
            }
            Some(missing) => {
                self.summary.skip(&format!("tests in the guest: needs {missing}"));
                Ok(())
            }
            None => {
                let summary = &mut self.summary;
                guest::boot(&guest::Inside::Tests(&[]), &guest::Hardware::Plain, |line| {
                    if summary.read(line) == Show::Yes {
                        println!("{line}");
                    }
                })
            }
        };
        if let Err(error) = &outcome
            && self.summary.failed == failed_before
        {
            self.summary.failed += 1;
            self.summary.failures.push(format!("{NAME}: {error:#}"));
        }
        self.outcome(NAME, outcome);
    }

    fn end(self) -> Result<()> {
        println!("== results");
        for (name, ok) in &self.steps {
            println!("{name}: {}", if *ok { "ok" } else { "FAILED" });
        }
        for reason in &self.summary.reasons {
            println!("skipped: {reason}");
        }
        for failure in &self.summary.failures {
            println!("failed: {failure}");
        }
        println!("{}", self.summary);
        let n_failed = self.steps.iter().filter(|(_, ok)| !ok).count();
        if n_failed > 0 {
            bail!("{n_failed} of {} steps failed", self.steps.len());
        }
        Ok(())
    }
}

pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root()).stdin(Stdio::null());
    command
}

/// One directory for the products of both workspaces, so that they share what they have in common.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn has_subcommand(name: &str) -> bool {
    let output = Command::new("cargo").arg("--list").stdin(Stdio::null()).output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).lines().any(|line| line.trim_start().starts_with(name))
    })
}

fn has_nightly() -> bool {
    let status =
        Command::new("rustc").arg("+nightly").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn fuzz_targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let name = entry?.file_name();
        names.extend(name.to_string_lossy().strip_suffix(".rs").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}
