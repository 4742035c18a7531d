//! `evenkeel server`: a person's word about a real server.

use super::client::Client;
use super::node::unexpected;
use super::{DaemonArgs, print};
use anyhow::bail;
use clap::{Args, Subcommand};
use evenkeel_balance::AdminState;
use evenkeel_bus::{Administered, NodeStatus, Reply, Request};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often a wait looks.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct ServerArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// It keeps its connections and gets no new ones.
    Drain {
        #[command(flatten)]
        target: Target,
        /// Return only when it has no connection any more, or after so many seconds with exit status 1.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "3600")]
        wait: Option<u64>,
    },
    /// It leaves the table at once.
    Disable(Target),
    /// It takes part as its checks say.
    Enable(Target),
    /// It has this weight instead of the configured one.
    Weight {
        #[command(flatten)]
        target: Target,
        /// The weight; 0 drains it.
        #[arg(value_parser = clap::value_parser!(u32).range(0..=i64::from(i32::MAX)))]
        weight: u32,
    },
}

#[derive(Debug, Args)]
struct Target {
    /// The server, as POOL/SERVER: `10.0.0.100:80/10.0.0.51:80`. A pool may also be spelled `tcp:10.0.0.100:80`,
    /// `[10.0.0.100]:tcp:80`, by its group's name or its snmp_name.
    server: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub fn main(args: &ServerArgs) -> anyhow::Result<ExitCode> {
    let (target, state) = match &args.action {
        Action::Drain { target, .. } => (target, AdminState::Drained),
        Action::Disable(target) => (target, AdminState::Disabled),
        Action::Enable(target) => (target, AdminState::Enabled),
        Action::Weight { target, weight } => (target, AdminState::Weight(*weight)),
    };
    let request = Request::Server { server: target.server.clone(), state };
    let meant = match Client::connect(&target.daemon)?.ask(&request)? {
        Reply::Server { meant, message } => {
            print(&format!("{message}\n"))?;
            meant
        }
        other => return unexpected(other),
    };
    match &args.action {
        Action::Drain { target, wait: Some(seconds) } => until_idle(target, &meant, Duration::from_secs(*seconds)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Until the server has no connection.
fn until_idle(target: &Target, meant: &Administered, limit: Duration) -> anyhow::Result<ExitCode> {
    let end_at = Instant::now() + limit;
    loop {
        let status = match Client::connect(&target.daemon)?.ask(&Request::Status)? {
            Reply::Status(status) => status,
            other => return unexpected(other),
        };
        match connections(&status, meant) {
            Some(0) => return Ok(ExitCode::SUCCESS),
            Some(n) if Instant::now() >= end_at => {
                eprintln!("evenkeel: {n} connections are still open after {limit:?}; the server stays drained");
                return Ok(ExitCode::FAILURE);
            }
            Some(_) => {}
            None => bail!("the plane does not say how many connections the server has"),
        }
        std::thread::sleep(LOOK);
    }
}

fn connections(status: &NodeStatus, meant: &Administered) -> Option<u64> {
    let pool = status.balance.as_ref()?.pools.iter().find(|pool| pool.name == meant.pool)?;
    let traffic = pool.servers.iter().find(|server| server.name == meant.server)?.traffic?;
    Some(u64::from(traffic.active) + u64::from(traffic.inactive))
}
