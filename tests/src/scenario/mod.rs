//! Scenarios: what a pair of virtual routers is put through, and what is to be seen, as text that runs on evenkeel, on Debian's
//! keepalived, and with one on each side.
//!
//! ```text
//! The backup takes over when the master is stopped.
//!
//! node a
//!     vrrp_instance V1 {
//!         ...
//!     }
//! node b
//!     ...
//!
//! start a
//! await a: holds 10.0.0.100
//! start b
//! stop a
//! await b: holds 10.0.0.100
//! see a: cat /tmp/notified
//!     | INSTANCE V1 MASTER 150
//!     k| what only keepalived shows
//!     e| what only evenkeel shows
//!     because: words of the entry in docs/upstream-behavior.md that says why
//! ```
//!
//! | step | what it does |
//! |---|---|
//! | `start N`, `stop N`, `reload N` | the daemon, as a service manager would |
//! | `kill N` | all its processes at once |
//! | `off N` | the power goes |
//! | `unplug N`, `plug N` | the cable of the machine's interface, seen from the LAN |
//! | `conf N`, with a block | another keepalived.conf |
//! | `do N: COMMAND` | a shell line that must succeed |
//! | `await N: COMMAND` | a shell line is tried until it succeeds |
//! | `see N: COMMAND`, with a block | what a shell line prints |
//! | `wire N`, with a block | what the machine sent as protocol 112 or 51: each message once, in order of its first |
//!
//! Machines `a`, `b`, `c` and `d` have 10.0.0.10 to 10.0.0.13, and fd00::10 to fd00::13, on `eth0`. On each are `holds ADDRESS` and
//! `lacks ADDRESS`, `addresses` (what `ip` shows beyond the machine's own), and `/usr/local/bin/note`, which writes its
//! arguments as a line of `/tmp/notified`.

mod parse;
mod run;
mod wire;

pub use run::{Programs, run};

use std::fmt::Write as _;
use std::path::PathBuf;

/// A file of scenarios' folder.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where it stands.
    pub path: PathBuf,
    /// What is so, in a sentence.
    pub sentence: String,
    /// Machines in order, with their keepalived.conf; a machine without one runs no daemon.
    pub nodes: Vec<(String, Option<String>)>,
    /// What happens.
    pub steps: Vec<Step>,
    /// It is about something that Debian's keepalived does not have.
    pub only_evenkeel: bool,
}

/// One step, and the line of the file that it stands in, from 0.
#[derive(Clone, Debug)]
pub struct Step {
    line: usize,
    node: String,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    Start,
    Stop,
    Reload,
    Kill,
    Off,
    Unplug,
    Plug,
    Configure(String),
    Do(String),
    Await(String),
    See(String, Expected),
    Wire(Expected),
}

impl Act {
    fn expected(&self) -> Option<&Expected> {
        match self {
            Act::See(_, expected) | Act::Wire(expected) => Some(expected),
            _ => None,
        }
    }
}

/// What is to be seen. The block's lines in the file are these, from `first` on.
#[derive(Clone, Debug, Default)]
struct Expected {
    first: usize,
    n_lines: usize,
    lines: Vec<(Whose, String)>,
    because: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Both,
    Keepalived,
    Evenkeel,
}

/// A program that a machine may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Debian's.
    Keepalived,
    /// Ours.
    Evenkeel,
}

impl Expected {
    fn of(&self, program: Program) -> Vec<&str> {
        let others = match program {
            Program::Keepalived => Whose::Evenkeel,
            Program::Evenkeel => Whose::Keepalived,
        };
        self.lines.iter().filter(|(whose, _)| *whose != others).map(|(_, line)| line.as_str()).collect()
    }

    /// The block for the file, once `program` has shown `seen`.
    fn updated(&self, program: Program, seen: &[String]) -> String {
        let mut block = String::new();
        let mut push = |prefix: &str, lines: &[String]| {
            for line in lines {
                let _ = writeln!(block, "    {}", format!("{prefix}| {line}").trim_end());
            }
        };
        match program {
            Program::Keepalived => push("", seen),
            Program::Evenkeel => {
                let theirs: Vec<String> = self.of(Program::Keepalived).into_iter().map(str::to_owned).collect();
                let n_same = theirs.iter().zip(seen).take_while(|(a, b)| a == b).count();
                let after = theirs[n_same..].iter().rev().zip(seen[n_same..].iter().rev());
                let n_after = after.take_while(|(a, b)| a == b).count();
                push("", &theirs[..n_same]);
                push("k", &theirs[n_same..theirs.len() - n_after]);
                push("e", &seen[n_same..seen.len() - n_after]);
                push("", &theirs[theirs.len() - n_after..]);
                let _ = writeln!(block, "    because: {}", self.because.as_deref().unwrap_or("?"));
            }
        }
        block
    }
}
