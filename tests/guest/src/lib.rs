//! What the tests inside the guest share. `cargo xtask guest` builds and runs them.

pub mod director;
pub mod forwarding;

use evenkeel_kernel::ipvs::Ipvs;
use evenkeel_kernel::netns::NetNs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Once;

/// What a command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a program in the calling thread's network namespace with the words of `line`.
pub fn run(line: &str) -> Said {
    run_with(line, "")
}

/// The same with something on its standard input.
pub fn run_with(line: &str, input: &str) -> Said {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("start {line}: {error}"));
    // A program that does not read has closed it, which is its right.
    let _ = child.stdin.take().expect("standard input is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the program ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { status: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a program that must succeed and say nothing on its standard error; its output.
pub fn output(line: &str) -> String {
    let said = run(line);
    assert!(said.status == 0 && said.stderr.is_empty(), "{line}: {said:?}");
    said.stdout
}

/// Runs a test in a network namespace of its own: IPVS is one for each.
pub fn in_fresh_namespace(test: impl FnOnce() + Send) {
    LOADED.call_once(load);
    NetNs::create().expect("a network namespace").run(test).expect("enter the network namespace");
}

static LOADED: Once = Once::new();

/// Loads IPVS as a balancer would, and then the schedulers before the first namespace ends: Linux 6.1 stands still for good
/// when it loads one of these two, which it does while it holds IPVS's lock, at the moment in which it clears a namespace
/// away, for which it wants that lock.
fn load() {
    Ipvs::open().expect("the kernel loads IPVS when it is asked for the family");
    output("modprobe -a ip_vs_lblc ip_vs_lblcr");
}
