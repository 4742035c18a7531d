//! Whole machines on one kernel, for end-to-end tests and benchmarks.
//!
//! A [`Lan`] is a bridge in a network namespace of its own. A [`Machine`] on it has its own network, process,
//! mount and host-name namespaces, and an overlay of this system's files as its root: it may write anywhere,
//! `killall` what it likes and stop its services, and nobody else notices. That is what lets the scripts of the
//! articles run as they stand. Everything goes away when the value is dropped.

pub mod case;
mod lan;
mod machine;
mod pair;
pub mod probe;
pub mod scenario;
pub mod seeds;
mod wait;

pub use lan::Lan;
pub use machine::{Machine, Service};
pub use pair::{Capture, Node, Pair};
pub use wait::{wait_for, wait_until};

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Names the program that machines get from now on; no effect once [`evenkeel`] was asked.
pub fn set_evenkeel(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// The `evenkeel` program under test: `$EVENKEEL`, or the one beside this test's own build directory, which is
/// brought up to date first.
pub fn evenkeel() -> PathBuf {
    PROGRAM
        .get_or_init(|| {
            if let Some(program) = std::env::var_os("EVENKEEL") {
                return PathBuf::from(program);
            }
            let mut directory = std::env::current_exe().expect("a test knows its own path");
            directory.pop();
            if directory.ends_with("deps") {
                directory.pop();
            }
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--package", "evenkeel"]);
            if directory.ends_with("release") {
                build.arg("--release");
            }
            if let Some(target) = directory.parent() {
                build.env("CARGO_TARGET_DIR", target);
            }
            let status = build.status().expect("cargo runs");
            assert!(status.success(), "cargo build --package evenkeel failed");
            directory.join("evenkeel")
        })
        .clone()
}

/// Whether this machine can run tests that need root and `programs`. Under `CI=true` a lack is a failure; elsewhere
/// it prints a line that starts with `skipped:`, which the test runner counts.
pub fn able_to_run(programs: &[&str]) -> bool {
    let mut missing: Vec<String> =
        programs.iter().filter(|program| !is_installed(program)).map(|p| (*p).to_owned()).collect();
    if !rustix::process::getuid().is_root() {
        missing.push("root".to_owned());
    }
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test needs {missing}");
    println!("skipped: needs {missing} (cargo xtask setup installs programs)");
    false
}

fn is_installed(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|directory| PathBuf::from(directory).join(program).exists())
}
