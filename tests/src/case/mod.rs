//! Cases: a configuration, what clients send, and that Debian's nginx and evenkeel do the same with it.
//!
//! ```text
//! A location is chosen as nginx chooses it.
//!
//! http
//!     map $arg_a $b { default 1; }
//!
//! case the longest prefix has it
//! server
//!     location /a/ { return 200 "short"; }
//!     location /a/b/ { proxy_pass http://ORIGIN_A; }
//! origin a /a/b/c
//!     HTTP/1.1 201 Created
//!     Content-Length: auto
//!
//!     made
//! send
//!     GET /a/b/c
//! differs
//!     n| what only nginx shows
//!     e| what only evenkeel shows
//!     because: words of the entry in docs/upstream-behavior.md that says why
//! ```
//!
//! | block | what it is |
//! |---|---|
//! | `http` | lines of the `http` block, anywhere in the file |
//! | `file PATH` | a file below `DIR`, dated 2024-01-02 03:04:05 |
//! | `case TITLE` | begins a case |
//! | `server` | lines of a server of the case's own, by its name `caseN` |
//! | `origin NAME PATH` | what origin `a`, `b`, `c` or `d` answers at a path instead of its name and the request line |
//! | `send`, `send FROM` | one connection, from 127.0.0.1 or FROM; `N x` before the request line repeats the connection |
//! | `differs` | lines that only one of the two shows, all of them |
//!
//! One program runs all cases of a file, one after the other. A request line without a version is completed: `HTTP/1.1`, the
//! case's `Host` unless there is one, and `Connection: close`; one with a version is sent as it stands, with an empty
//! line after it unless the last is `.`. Lines end in CRLF, the last line of a body excepted; `\xNN` is a byte, `\` at the end of a line joins it with the next.
//! An origin answers `drop` by closing, `hang` by never answering. `CASE` is the case's host name, `ADDR` where the programs listen
//! (port 8080), `ORIGIN_A` an origin's address and port, `DEAD` one where nobody listens, `DIR` the folder of files.

mod compare;
mod origin;
mod parse;
mod run;

pub use run::{Outcome, run};

use std::path::PathBuf;

/// A file of cases.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it stands.
    pub path: PathBuf,
    /// What is so, in a sentence.
    pub sentence: String,
    pub(crate) http: Vec<String>,
    pub(crate) files: Vec<(String, String)>,
    /// In order.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is so.
    pub title: String,
    /// From 1 on.
    pub(crate) line: usize,
    pub(crate) server: Vec<String>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) sends: Vec<Send>,
    pub(crate) only_nginx: Vec<String>,
    pub(crate) only_evenkeel: Vec<String>,
    /// Why they differ.
    pub because: Option<String>,
}

/// What an origin says at a path.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) origin: String,
    pub(crate) path: String,
    pub(crate) text: Vec<u8>,
}

/// What one connection carries.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    pub(crate) from: String,
    pub(crate) times: usize,
    pub(crate) bytes: Vec<u8>,
}

/// The name by which a case's server is asked.
pub(crate) fn host(number: usize) -> String {
    format!("case{number}")
}
