//! evenkeel: keeps a service and its address up.
//!
//! One binary, four ways in: under its own name it has commands ([`cli`]); linked as `keepalived`, `nginx` or `ipvsadm` it takes that
//! program's options ([`personality`]); and its supervisor starts it again as a role ([`role`]).

#![allow(unreachable_pub, reason = "in a binary, `pub` says what a module offers to its siblings")]

mod cli;
mod lab;
mod log;
mod personality;
mod readiness;
mod render;
mod role;
mod supervisor;
mod wire;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "--role") {
        let rest: Vec<String> = words[2..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
        return role::main(&rest);
    }
    let name = words.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    match name.to_str() {
        Some("keepalived") => personality::keepalived::main(&words[1..]),
        Some("ipvsadm") => personality::ipvsadm::main(&words[1..]),
        Some("nginx") => personality::nginx::main(&words[1..]),
        Some("genhash") => personality::genhash::main(&words[1..]),
        _ => cli::main(words),
    }
}
