//! The processes that the supervisor starts: this binary again, as `--role NAME`, with the bus as standard input.
//!
//! Standard input needs no descriptor number to be agreed on and no unsafe code to be taken over; a role reads nothing
//! else from it.

pub mod balance;
pub mod dbus;
pub mod mail;
pub mod peer;
pub mod proxy;
pub mod vrrp;

use crate::log;
use anyhow::Context;
use evenkeel_bus::Channel;
use evenkeel_kernel::{privilege, sandbox, signal};
use rustix::process::Signal;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// Which role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The virtual routers.
    Vrrp,
    /// Layer 4: health checks and the table of virtual servers.
    Balance,
    /// The layer-7 proxy.
    Proxy,
    /// Conversations with the mail server.
    Mail,
    /// keepalived's service on the message bus.
    Dbus,
    /// What the other nodes are told, and tell.
    Peer,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Vrrp => "vrrp",
            Role::Balance => "balance",
            Role::Proxy => "proxy",
            Role::Mail => "mail",
            Role::Dbus => "dbus",
            Role::Peer => "peer",
        }
    }
}

/// Signals that are the supervisor's to act on. systemd sends them to every process of a unit, `killall keepalived` to every
/// process of that name: a role that ended of them would leave its addresses behind and its clients unserved, before the
/// supervisor could hand over. Roles end by the bus, or by KILL.
const SUPERVISORS: [i32; 8] = [
    Signal::TERM.as_raw(),
    Signal::INT.as_raw(),
    Signal::QUIT.as_raw(),
    Signal::HUP.as_raw(),
    Signal::USR1.as_raw(),
    Signal::USR2.as_raw(),
    crate::supervisor::SIGNAL_JSON,
    crate::supervisor::SIGNAL_STATS_CLEAR,
];

/// The word for a role whose memory is to stay in memory.
pub const NO_SWAP: &str = "--no-swap";

/// What the supervisor writes after `--role`. Not for people, so a few words in fixed order do.
struct Words {
    role: Role,
    parent: u32,
    comm: String,
    /// All of its memory stays in memory.
    is_locked: bool,
}

fn parse(words: &[String]) -> Option<Words> {
    let [role, parent_key, parent, comm_key, comm, rest @ ..] = words else { return None };
    if parent_key != "--parent"
        || comm_key != "--comm"
        || !matches!(rest, [] | [_] if rest.iter().all(|word| word == NO_SWAP))
    {
        return None;
    }
    let roles = [Role::Vrrp, Role::Balance, Role::Proxy, Role::Mail, Role::Dbus, Role::Peer];
    let role = roles.into_iter().find(|known| known.name() == role)?;
    Some(Words { role, parent: parent.parse().ok()?, comm: comm.clone(), is_locked: !rest.is_empty() })
}

/// Runs as a role: `words` is what stands after `--role`.
pub fn main(words: &[String]) -> ExitCode {
    let Some(Words { role, parent, comm, is_locked }) = parse(words) else {
        eprintln!("evenkeel: --role is for evenkeel's own use: its supervisor starts the roles");
        return ExitCode::from(64);
    };
    log::init_for(log::Target::inherited(), role.name());
    let _ = privilege::name_process(&comm);
    if let Err(error) = signal::leave_unheard(&SUPERVISORS) {
        tracing::warn!(target: "supervisor", "{error}");
    }
    // While it has the right to.
    if is_locked && let Err(error) = privilege::lock_memory() {
        tracing::warn!(target: "supervisor", "the {} role: {error}", role.name());
    }
    // The vrrp role is not killed with its supervisor: it sees the bus close, says that it leaves and lets go of its
    // addresses, which a killed one would leave behind.
    if matches!(role, Role::Proxy | Role::Mail | Role::Dbus | Role::Peer) {
        match privilege::die_with_parent(parent) {
            Ok(true) => {}
            // The supervisor died before we asked: nobody is there to serve.
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => tracing::warn!(target: "supervisor", "{error}"),
        }
    }
    let channel = match bus() {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("evenkeel: standard input is no bus: {error}");
            return ExitCode::from(64);
        }
    };
    let result = match role {
        Role::Vrrp => vrrp::run(channel),
        Role::Balance => balance::run(channel),
        Role::Proxy => proxy::run(channel, parent),
        Role::Mail => mail::run(channel, parent),
        Role::Dbus => dbus::run(channel, parent),
        Role::Peer => peer::run(channel, parent),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match role {
                Role::Vrrp => tracing::error!(target: "vrrp", "{error:#}"),
                Role::Balance => tracing::error!(target: "balance", "{error:#}"),
                Role::Proxy => tracing::error!(target: "proxy", "{error:#}"),
                Role::Mail => tracing::error!(target: "mail", "{error:#}"),
                Role::Dbus => tracing::error!(target: "dbus", "{error:#}"),
                Role::Peer => tracing::error!(target: "peer", "{error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// Who the roles without any right are.
const NOBODY: &str = "nobody";

/// For a role without any right: from here on this process can change nothing on this machine.
fn give_all_away(parent: u32) -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        let user = privilege::lookup_user(NOBODY)?.with_context(|| format!("user {NOBODY} does not exist"))?;
        match privilege::is_known_here(&user) {
            true => privilege::become_user(&user)?,
            // In a user namespace of a single user.
            false => privilege::drop_all_capabilities()?,
        }
        // The kernel forgets it when the user changes.
        if !privilege::die_with_parent(parent)? {
            anyhow::bail!("the supervisor is gone");
        }
    } else {
        privilege::drop_all_capabilities()?;
    }
    privilege::no_new_privileges()?;
    // What the proxy never does is never done here either.
    sandbox::proxy()?;
    Ok(())
}

fn bus() -> std::io::Result<Channel> {
    let descriptor = std::io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let stream = UnixStream::from(descriptor);
    stream.peer_addr()?;
    Channel::new(stream)
}
