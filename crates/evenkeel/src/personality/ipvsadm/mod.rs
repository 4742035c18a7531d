//! `ipvsadm`: its options, texts and exit status, on our own netlink.

mod carry;
mod command_line;
mod help;
mod option;
mod value;

pub use carry::{Listing, list};

use command_line::CommandLine;
use evenkeel_kernel::ipvs::Ipvs;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::process::ExitCode;

/// Why a command line was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No command, or an option that no command begins with.
    Usage,
    /// A command line that cannot be: status 2, and the end of a list of commands.
    Wrong(String),
    /// A word that is no option, or an option without its value: status 255, and the next of a list of commands goes on.
    Word(String),
    /// The kernel refused, with this status; the next of a list of commands goes on.
    Refused(String, u8),
}

impl Failure {
    fn wrong(text: impl Into<String>) -> Self {
        Failure::Wrong(text.into())
    }

    /// Says why, and returns the exit status.
    fn report(&self) -> u8 {
        match self {
            Failure::Usage => {
                eprintln!("Try `ipvsadm -h' or 'ipvsadm --help' for more information.");
                255
            }
            Failure::Wrong(text) => {
                eprintln!("{text}");
                2
            }
            Failure::Word(text) => {
                eprintln!("{text}");
                255
            }
            Failure::Refused(text, status) => {
                eprintln!("{text}");
                *status
            }
        }
    }
}

/// Runs as ipvsadm with `words` after its name.
pub fn main(words: &[OsString]) -> ExitCode {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(run(&words))
}

fn run(words: &[String]) -> u8 {
    // Help needs no kernel.
    if let Ok(CommandLine { command: command_line::Command::Help(text), .. }) = command_line::parse(words) {
        print!("{text}");
        return 0;
    }
    let mut ipvs = match carry::open() {
        Ok(ipvs) => ipvs,
        Err(text) => {
            eprintln!("{text}");
            return 255;
        }
    };
    match one(&mut ipvs, words) {
        Ok(()) => 0,
        Err(failure) => failure.report(),
    }
}

fn one(ipvs: &mut Ipvs, words: &[String]) -> Result<(), Failure> {
    let line = command_line::parse(words)?;
    if line.command == command_line::Command::Restore {
        return restore(ipvs);
    }
    let text = carry::out(ipvs, &line)?;
    // A reader that has gone away is no error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Carries out what standard input says, a command on a line. What the kernel refuses is reported and passed over.
fn restore(ipvs: &mut Ipvs) -> Result<(), Failure> {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else {
            return Ok(());
        };
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if words.first().is_some_and(|word| word == "ipvsadm") {
            words.remove(0);
        }
        if words.is_empty() {
            continue;
        }
        if words.iter().any(|word| word == "-R" || word == "--restore") {
            return Err(Failure::Usage);
        }
        match one(ipvs, &words) {
            Err(failure @ (Failure::Word(_) | Failure::Refused(..))) => {
                failure.report();
            }
            outcome => outcome?,
        }
    }
    Ok(())
}
