//! `evenkeel COMMAND`.

mod check;
mod client;
mod genhash;
pub mod host;
mod maintenance;
mod node;
mod realserver;
mod run;
mod server;
mod table;

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Keeps a service and its address up: VRRP and layer-7 proxying in one program, from keepalived.conf and nginx.conf.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground; a service manager keeps it.
    Run(run::RunArgs),
    /// Read configuration files and say everything that is wrong or odd in them (exit 0 clean, 1 warnings, 2 errors).
    Check(check::CheckArgs),
    /// Who owns what, why, since when; the peer; the proxy. Each fact with its age.
    Status(node::StatusArgs),
    /// The last decisions in plain language: trigger, rule, decision, effects.
    Why(node::WhyArgs),
    /// What the kernel balances, as `ipvsadm -L` prints it.
    Table(table::TableArgs),
    /// Load the configuration again: all of it, or nothing.
    Reload(DaemonArgs),
    /// Hand the addresses of an instance to its peer without loss.
    Failover(node::InstanceArgs),
    /// End the effect of `failover`.
    Failback(node::InstanceArgs),
    /// Leave the addresses of this node to others, until it ends or somebody ends it: kept over restart.
    Maintenance(maintenance::MaintenanceArgs),
    /// The MD5 digest of a page, for `digest` in HTTP_GET; takes keepalived's genhash options.
    Genhash(genhash::GenhashArgs),
    /// Drain, disable or enable a real server, or give it another weight: kept over reload, restart and failover.
    Server(server::ServerArgs),
    /// Make this host a real server behind direct routing or tunnels.
    Realserver(realserver::RealserverArgs),
    /// The whole architecture on this machine: two balancers, two web servers, a client.
    Lab(crate::lab::Args),
}

/// Which daemon.
#[derive(Clone, Debug, Args)]
pub struct DaemonArgs {
    /// Directory of the daemon's control socket [default: $EVENKEEL_RUNTIME_DIR or /run/evenkeel].
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
}

/// Runs a command.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.command {
        Command::Run(args) => return run::main(args),
        Command::Check(args) => return check::main(&args),
        Command::Status(args) => node::status(&args),
        Command::Why(args) => node::why(&args),
        Command::Table(args) => table::main(&args),
        Command::Reload(args) => node::reload(&args),
        Command::Failover(args) => node::failover(args),
        Command::Failback(args) => node::failback(args),
        Command::Maintenance(args) => maintenance::main(&args),
        Command::Genhash(args) => return genhash::main(&args),
        Command::Server(args) => server::main(&args),
        Command::Realserver(args) => realserver::main(args),
        Command::Lab(args) => crate::lab::main(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("evenkeel: {error:#}");
        ExitCode::FAILURE
    })
}

/// Writes to standard output; a reader that has gone away (`| head`) is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_table_of_commands_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_manual_are_understood() {
        for line in [
            "evenkeel run -f k.conf --nginx n.conf --runtime-dir /tmp/x --record r.jsonl",
            "evenkeel run --nginx n.conf",
            "evenkeel check a b --json",
            "evenkeel status --json",
            "evenkeel status --watch",
            "evenkeel why VI_1 -n 3 --json",
            "evenkeel table -n --stats --exact",
            "evenkeel table --json",
            "evenkeel reload",
            "evenkeel failover VI_1 --runtime-dir /tmp/x",
            "evenkeel failback VI_1",
            "evenkeel maintenance",
            "evenkeel maintenance on --for 1h30m --strict",
            "evenkeel maintenance off",
            "evenkeel maintenance status --json",
            "evenkeel genhash -s 192.0.2.1 -p 80 -u /index.html",
            "evenkeel genhash -h",
            "evenkeel server drain 10.0.0.1:80/10.0.0.2 --wait 60",
            "evenkeel server weight web/10.0.0.2:80 5",
            "evenkeel server enable web/10.0.0.2:80",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn mistakes_are_answered_with_the_nearest_word() {
        let error = parse("evenkeel stauts").unwrap_err().to_string();
        assert!(error.contains("'status'"), "{error}");
        assert!(parse("evenkeel failover").unwrap_err().to_string().contains("INSTANCE"));
        assert!(parse("evenkeel status --json --watch").is_err());
        assert!(parse("evenkeel maintenance on --for soon").unwrap_err().to_string().contains("30m"));
    }
}
