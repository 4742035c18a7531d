//! `evenkeel run`.

use super::DaemonArgs;
use crate::supervisor::{self, Plan};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// keepalived.conf, unless the command line says otherwise.
const KEEPALIVED_CONF: &str = "/etc/keepalived/keepalived.conf";

#[derive(Debug, Args)]
pub struct RunArgs {
    /// keepalived.conf [default: /etc/keepalived/keepalived.conf, unless only --nginx is given].
    #[arg(short = 'f', long = "use-file", value_name = "FILE")]
    keepalived: Option<PathBuf>,
    /// nginx.conf: run the proxy as well.
    #[arg(long, value_name = "FILE")]
    nginx: Option<PathBuf>,
    /// Write every event of the virtual routers to this file, for `cargo xtask replay`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Id that `@id` lines of keepalived.conf are compared with [default: the host name].
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// Runs the daemon until it is told to stop.
pub fn main(args: RunArgs) -> ExitCode {
    let plan = plan(args);
    crate::log::init(plan.log);
    match supervisor::compile(&plan) {
        Ok(compiled)
            if compiled.vrrp.instances.is_empty() && compiled.balance.pools.is_empty() && compiled.site.is_none() =>
        {
            eprintln!(
                "evenkeel: nothing to run: no vrrp_instance and no virtual_server in {}, and no --nginx",
                compiled.files.join(", ")
            );
            ExitCode::from(2)
        }
        Ok(compiled) => supervisor::run(plan, compiled, Box::new(|| {})),
        Err(refused) => {
            refused.diagnostics.iter().for_each(|text| eprintln!("{}", text.trim_end()));
            eprintln!("evenkeel: not started; `evenkeel check` shows the same without starting anything");
            ExitCode::from(2)
        }
    }
}

fn plan(args: RunArgs) -> Plan {
    let mut plan = Plan::new("evenkeel");
    plan.keepalived = match (args.keepalived, &args.nginx) {
        (Some(path), _) => Some(absolute(&path)),
        (None, Some(_)) => None,
        (None, None) => Some(KEEPALIVED_CONF.into()),
    };
    plan.nginx = args.nginx.as_deref().map(absolute);
    plan.record = args.record.as_deref().map(absolute);
    plan.config_id = args.config_id;
    plan.runtime_directory = supervisor::runtime_directory(args.daemon.runtime_dir);
    plan
}

/// The same file whatever directory a process works in.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
