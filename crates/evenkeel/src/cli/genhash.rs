//! `evenkeel genhash`: the personality under our own name, with an exit status that tells failure.

use crate::personality::genhash;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;

/// Words of the command line.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct GenhashArgs {
    /// As genhash takes them: -s ADDRESS -p PORT -u URL [-S] [-I] [-V HOST] [-P 1.0|1.0c|1.1] [-t SECONDS] [-m MARK] [-v].
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    words: Vec<OsString>,
}

/// Prints the digest.
pub(super) fn main(args: &GenhashArgs) -> ExitCode {
    genhash::run(&args.words, genhash::Failure::IsAnError)
}
