//! Commands that ask the daemon of this node.

use super::client::Client;
use super::{DaemonArgs, print};
use crate::render;
use anyhow::bail;
use clap::Args;
use evenkeel_bus::{Reply, Request};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// As JSON: the names in it stay.
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    /// Again every second, until interrupted.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Of this instance, BFD session or peer only, of the process `proxy`, or of `maintenance`.
    instance: Option<String>,
    /// So many decisions, the newest.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    last: usize,
    /// As JSON: a list, oldest first.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
pub struct InstanceArgs {
    /// Name of the vrrp_instance.
    instance: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(&args.daemon)?;
    loop {
        let status = match client.ask(&Request::Status)? {
            Reply::Status(status) => status,
            other => return unexpected(other),
        };
        if args.json {
            print(&(serde_json::to_string_pretty(&status)? + "\n"))?;
        } else if args.watch {
            // Home, then each line to its end, then what an earlier, longer answer left below.
            let text = render::status(&status).replace('\n', "\x1b[K\n");
            print(&format!("\x1b[H{text}\x1b[J"))?;
        } else {
            print(&render::status(&status))?;
        }
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

pub fn why(args: &WhyArgs) -> anyhow::Result<ExitCode> {
    let request = Request::Why { instance: args.instance.clone(), limit: args.last };
    match Client::connect(&args.daemon)?.ask(&request)? {
        Reply::Why(explanations) if args.json => {
            print(&(serde_json::to_string_pretty(&explanations)? + "\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Reply::Why(explanations) => {
            print(&render::why(&explanations))?;
            Ok(ExitCode::SUCCESS)
        }
        other => unexpected(other),
    }
}

pub fn reload(daemon: &DaemonArgs) -> anyhow::Result<ExitCode> {
    do_it(daemon, &Request::Reload)
}

pub fn failover(args: InstanceArgs) -> anyhow::Result<ExitCode> {
    do_it(&args.daemon, &Request::Failover { instance: args.instance })
}

pub fn failback(args: InstanceArgs) -> anyhow::Result<ExitCode> {
    do_it(&args.daemon, &Request::Failback { instance: args.instance })
}

pub fn do_it(daemon: &DaemonArgs, request: &Request) -> anyhow::Result<ExitCode> {
    match Client::connect(daemon)?.ask(request)? {
        Reply::Done { message } => {
            print(&format!("{message}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Reply::Failed { message } if *request == Request::Reload => {
            eprintln!("{message}\nevenkeel: reload refused; what ran before goes on unchanged");
            Ok(ExitCode::FAILURE)
        }
        other => unexpected(other),
    }
}

/// An error that says what the daemon answered instead.
pub fn unexpected(reply: Reply) -> anyhow::Result<ExitCode> {
    match reply {
        Reply::Failed { message } => bail!(message),
        _ => bail!("the daemon answered something else than was asked: is it of another version?"),
    }
}
