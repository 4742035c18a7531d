//! The proxy role: gives every privilege away, then serves with the sockets and files that it was handed.

use anyhow::Context;
use evenkeel_bus::{Channel, ChannelError, FromProxy, ProxyOptions, Received, ToProxy};
use evenkeel_kernel::{privilege, sandbox};
use evenkeel_proxy::{Options, Proxy, Resources};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Period of the probes of upstream servers.
const PROBE: Duration = Duration::from_secs(1);
/// A worker answers a question for its status within this, or counts as silent. Less than what the supervisor waits.
const ANSWER: Duration = Duration::from_millis(700);
/// How often a draining proxy looks whether it is done.
const LOOK: Duration = Duration::from_millis(20);
/// Who serves when the configuration does not say.
const USER: &str = "nobody";

/// Runs until told to quit, or until the bus closes.
pub fn run(mut bus: Channel, parent: u32) -> anyhow::Result<()> {
    let mut proxy: Option<Proxy> = None;
    let mut is_draining = false;
    loop {
        let limit = if is_draining { LOOK } else { Duration::from_secs(3600) };
        let received = match bus.receive_blocking::<ToProxy>(limit) {
            Ok(received) => received,
            Err(ChannelError::TimedOut(_)) => {
                if is_draining && proxy.as_ref().is_none_or(Proxy::is_drained) {
                    tell(&mut bus, &FromProxy::Drained);
                    return Ok(());
                }
                continue;
            }
            Err(ChannelError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Received { message, descriptors } = received;
        match message {
            ToProxy::Configure { number, config, logs, options } => {
                crate::log::keep_from(config.error_log.level);
                let resources = resources(config.sockets().len(), logs, descriptors);
                let probe_upstreams = options.probe_upstreams.then_some(PROBE);
                let outcome = match &proxy {
                    Some(proxy) => {
                        proxy.reconfigure(*config, resources, Options { probe_upstreams }).map_err(anyhow::Error::from)
                    }
                    None => start(*config, resources, &options, parent).map(|started| proxy = Some(started)),
                };
                match outcome {
                    Ok(()) => tell(&mut bus, &FromProxy::Ready { number }),
                    Err(error) => {
                        let reason = format!("{error:#}");
                        tell(&mut bus, &FromProxy::ConfigureFailed { number, reason });
                        if proxy.is_none() {
                            return Err(error);
                        }
                    }
                }
            }
            ToProxy::ReopenLogs { logs } => {
                if let Some(proxy) = &proxy {
                    proxy.reopen_logs(logs.into_iter().zip(descriptors).collect());
                }
            }
            ToProxy::Status { id } => {
                let asked_at = Instant::now();
                let status = proxy.as_ref().map(|proxy| proxy.status(ANSWER)).unwrap_or_default();
                tracing::trace!(target: "proxy", "status took {:?}", asked_at.elapsed());
                tell(&mut bus, &FromProxy::Status { id, status });
            }
            ToProxy::Drain => {
                if let Some(proxy) = &proxy {
                    proxy.drain();
                }
                is_draining = true;
            }
            ToProxy::Quit => return Ok(()),
        }
    }
}

/// Descriptors come in the order of the message: listeners, then logs.
fn resources(n_listeners: usize, logs: Vec<PathBuf>, mut descriptors: Vec<OwnedFd>) -> Resources {
    let log_files = descriptors.split_off(n_listeners.min(descriptors.len()));
    Resources { listeners: descriptors, logs: logs.into_iter().zip(log_files).collect() }
}

fn start(
    config: evenkeel_site::Config,
    resources: Resources,
    options: &ProxyOptions,
    parent: u32,
) -> anyhow::Result<Proxy> {
    // Each connection may need a second one to an upstream, and there are files and epoll sets.
    let wanted = u64::from(config.worker_connections.max(512)) * 2 + 256;
    match privilege::raise_file_limit(wanted) {
        Ok(allowed) if allowed < wanted => {
            tracing::warn!(target: "proxy", "{wanted} open files are wanted, {allowed} allowed");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(target: "proxy", "{error}"),
    }
    lock_up(options, parent)?;
    let probe_upstreams = options.probe_upstreams.then_some(PROBE);
    Ok(Proxy::start(config, resources, Options { probe_upstreams })?)
}

/// From here on this process can open no privileged socket, change no address and become nobody else. Before any thread is
/// started: those would keep what they have.
fn lock_up(options: &ProxyOptions, parent: u32) -> anyhow::Result<()> {
    match user_to_become(options)? {
        Some(user) => {
            privilege::become_user_keeping(&user, &[])?;
            // The kernel forgets it when the user changes.
            if !privilege::die_with_parent(parent)? {
                anyhow::bail!("the supervisor is gone");
            }
        }
        // Nothing to give up, or, in a user namespace, what it has there.
        None => privilege::drop_all_capabilities()?,
    }
    privilege::no_new_privileges()?;
    sandbox::proxy()?;
    Ok(())
}

/// Who is to serve; `None` when this process can become nobody else.
fn user_to_become(options: &ProxyOptions) -> anyhow::Result<Option<privilege::User>> {
    if !rustix::process::geteuid().is_root() {
        if let Some((name, _)) = &options.user {
            tracing::warn!(target: "proxy", "the user {name} is not taken: only root can change its user");
        }
        return Ok(None);
    }
    let (name, group) = options.user.clone().unwrap_or_else(|| (USER.to_owned(), None));
    let mut user = privilege::lookup_user(&name)?.with_context(|| format!("user {name} does not exist"))?;
    if let Some(group) = group {
        user.gid = crate::supervisor::group_id(&group).with_context(|| format!("group {group} does not exist"))?;
    }
    if !privilege::is_known_here(&user) {
        tracing::info!(target: "proxy", "the user {name} is not taken: this user namespace does not know it");
        return Ok(None);
    }
    Ok(Some(user))
}

fn tell(bus: &mut Channel, message: &FromProxy) {
    // A supervisor that is gone shows at the next read.
    if let Err(error) = bus.send_blocking(message, Duration::from_secs(1)) {
        tracing::debug!(target: "proxy", "tell the supervisor: {error}");
    }
}
