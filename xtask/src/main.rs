//! `cargo xtask ...`: everything a developer or CI runs.

mod bench;
mod bpf;
mod guest;
mod replay;
mod setup;
mod sim;
mod steps;
mod summary;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup           install the programs that the tests compare with
  test [FILTER]   setup, formatting, lints, all tests, documentation, tidiness; with a filter only the tests it names
  ci              test, then a minute of fuzzing for each target and cargo-deny, where they are installed
  guest [FILTER]  the tests that need Debian's kernel, in a virtual machine
  guest sh LINE   a line of shell in it
  bpf [--check]   compile the program for XDP; with --check only prove that the object is what the source gives
  tidy            dependency rules, architecture map, generated documents, stray words
  sim --seeds N [--from S]   simulate N scenarios
  sim --seed X               simulate one, and print all that happens
  sim balance ...            the same of the balancer's pools
  replay FILE     run the virtual router over a recording and print its actions
  bench NAME      measure beside keepalived, nginx and HAProxy";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["setup"] => setup::run(),
        ["test"] => steps::test(),
        ["test", filter @ ..] => steps::test_only(filter),
        ["ci"] => steps::ci(),
        ["guest", "sh", line] => guest::run(&guest::Inside::Shell(line)),
        ["guest", filter @ ..] => guest::run(&guest::Inside::Tests(filter)),
        ["bpf"] => bpf::build(),
        ["bpf", "--check"] => bpf::check(),
        ["tidy"] => tidy::run(),
        ["sim", options @ ..] => sim::run(options),
        ["replay", file] => replay::run(file.as_ref()),
        ["bench", rest @ ..] => bench::run(rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the repository.
fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}
