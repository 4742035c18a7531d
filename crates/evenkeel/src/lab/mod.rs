//! `evenkeel lab`: two balancers, two web servers and a client on this machine, on real kernel networking, and things to
//! do to them.
//!
//! ```text
//!  client   lb01   lb02   web01   web02     each: a network, mounts, processes and a name of its own
//!     |      |      |       |       |
//!   ==+======+======+=======+=======+==     a bridge, in a network namespace of its own
//! ```
//!
//! The lab holds everything by descriptors and by the lives of its processes; nothing is in the file system or in the
//! machine's own network, so that nothing can be left behind.
//!
//! | file | holds |
//! |------|-------|
//! | `topology`, `files/` | the hosts and their configuration |
//! | `network`, `world` | the namespaces and the processes in them |
//! | `host`, `root`, `probe`, `watch`, `message` | the first process of a host, and what it reports |
//! | `act`, `trial`, `outage`, `model` | what is done, expected, measured and known; pure |
//! | `screen`, `live`, `script` | showing it |
//! | `door`, `exec` | reaching a lab that runs |

mod act;
mod door;
mod exec;
mod host;
mod live;
mod message;
mod model;
mod network;
mod outage;
mod probe;
mod root;
mod screen;
mod script;
mod topology;
mod trial;
mod watch;
mod world;

use anyhow::{Context, Result};
use clap::Subcommand;
use evenkeel_kernel::netns;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::mpsc;
use topology::Host;
use world::World;

/// News that may wait to be read. The hosts wait when it is full.
const QUEUE: usize = 4096;

/// The whole architecture on this machine: two balancers, two web servers, a client.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Do everything once, unattended, and compare what is seen with what is expected.
    #[arg(long)]
    script: bool,
    /// Be the first process of this host.
    #[arg(long, hide = true, value_name = "HOST")]
    host_init: Option<Host>,
    #[command(subcommand)]
    command: Option<LabCommand>,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Run a command on a host of the lab that runs.
    Exec {
        /// Which host.
        host: Host,
        /// The command and its arguments.
        #[arg(required = true, last = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// End the lab that runs.
    Down,
}

/// Runs the lab, or one of its commands.
pub fn main(args: Args) -> Result<ExitCode> {
    match args {
        Args { host_init: Some(host), .. } => host::main(host),
        Args { command: Some(LabCommand::Exec { host, command }), .. } => exec::run(host, &command),
        Args { command: Some(LabCommand::Down), .. } => {
            let pid = door::down()?;
            println!("the lab (pid {pid}) is down");
            Ok(ExitCode::SUCCESS)
        }
        Args { script, .. } => run(script),
    }
}

fn run(script: bool) -> Result<ExitCode> {
    let door = door::Door::open()?;
    // No thread may exist yet when the process moves into a user namespace.
    let user_namespace = !rustix::process::geteuid().is_root();
    if user_namespace {
        netns::unshare_user().context(
            "make a user namespace (as root the lab needs none; sysctl user.max_user_namespaces or \
             kernel.apparmor_restrict_unprivileged_userns may forbid it)",
        )?;
    }
    let attended = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if !script && !attended {
        eprintln!("evenkeel: this is no terminal, so the lab runs as with --script");
    }
    let (sender, news) = mpsc::sync_channel(QUEUE);
    let mut world = World::build(&sender)?;
    let pids = Host::ALL.iter().map(|host| (*host, world.pid(*host))).collect();
    door.serve(pids, user_namespace, sender.clone())?;
    let result = if script || !attended {
        drop(sender);
        script::run(&mut world, &news, &mut std::io::stdout().lock())
    } else {
        live::run(&mut world, &news, sender)
    };
    // The hosts must not wait for somebody to read their last words.
    drop(news);
    drop(world);
    result
}
