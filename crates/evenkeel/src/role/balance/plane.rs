//! Which plane moves the packets: IPVS where the kernel has it, our own XDP program where it does not.

use super::keeper::AUDIT_SHARE;
use evenkeel_balance::config::{Config, FlushAtStop, PlaneChoice, SyncDaemon, Timeouts};
use evenkeel_balance::table::{Change, Forward, Plane, ServiceKey, Statistics, Table};
use evenkeel_kernel::Error;
use evenkeel_kernel::ipvs::{self, Ipvs, SyncState};
use evenkeel_kernel::netns::NetNs;
use evenkeel_kernel::xdp::{self, XdpPlane};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// The plane that was chosen, and what belongs to it beside the table.
pub(super) enum Planes {
    /// The kernel's.
    Ipvs(Kernel),
    /// Ours.
    Xdp(Program),
}

/// IPVS and its settings for the whole namespace.
pub(super) struct Kernel {
    ipvs: Ipvs,
    /// What was set before us, to be restored.
    timeouts_before: Option<ipvs::Timeouts>,
    /// What we started.
    daemons: Vec<ipvs::SyncDaemon>,
}

/// The XDP program, where clients' packets come in.
pub(super) struct Program {
    /// `None` once it is gone for good.
    plane: Option<Box<XdpPlane>>,
    interfaces: Vec<String>,
    /// When flows that have ended are looked for again.
    sweep_at: Instant,
    /// When the maps are compared again with what was put there: every entry of ten thousand services each time would be
    /// most of what the role does.
    repair_at: Instant,
    /// Servers that no way leads to, as it was told last.
    unreachable: Vec<String>,
}

/// How often flows that have ended are forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// IPVS of this namespace, or of the one that is configured. A socket stays in the namespace that it was opened in.
fn open_ipvs(config: &Config) -> Result<Ipvs, Error> {
    match &config.ipvs_namespace {
        None => Ipvs::open(),
        Some(path) => NetNs::open(Path::new(path))?.run(Ipvs::open)?,
    }
}

impl Planes {
    /// Opens the plane that the configuration names.
    pub(super) fn open(config: &Config, interfaces: &[String], pins: &Path) -> anyhow::Result<Self> {
        let ipvs = match config.plane {
            PlaneChoice::Xdp => None,
            PlaneChoice::Ipvs => Some(open_ipvs(config)?),
            // Our program is where the packets of this namespace come in.
            PlaneChoice::Auto if config.ipvs_namespace.is_some() => Some(open_ipvs(config)?),
            PlaneChoice::Auto => match open_ipvs(config) {
                Ok(ipvs) => Some(ipvs),
                Err(error) => {
                    tracing::info!(target: "balance", "{error}: the XDP program takes its place");
                    None
                }
            },
        };
        let Some(ipvs) = ipvs else { return Ok(Planes::Xdp(Program::open(config, interfaces, pins)?)) };
        let mut kernel = Kernel { ipvs, timeouts_before: None, daemons: Vec::new() };
        if config.flush_at_start {
            kernel.ipvs.flush()?;
        }
        kernel.set_timeouts(config.timeouts)?;
        Ok(Planes::Ipvs(kernel))
    }

    /// What can be changed while packets move; a plane cannot be exchanged for another.
    pub(super) fn reconfigure(&mut self, config: &Config, interfaces: &[String]) -> anyhow::Result<()> {
        match (self, config.plane) {
            (Planes::Ipvs(kernel), PlaneChoice::Auto | PlaneChoice::Ipvs) => Ok(kernel.set_timeouts(config.timeouts)?),
            (Planes::Xdp(program), PlaneChoice::Auto | PlaneChoice::Xdp) if program.interfaces == interfaces => {
                Ok(program.set_directors(config)?)
            }
            (Planes::Xdp(_), PlaneChoice::Auto | PlaneChoice::Xdp) => {
                anyhow::bail!("the interfaces of the XDP program cannot change at a reload: restart for that")
            }
            (Planes::Ipvs(_), PlaneChoice::Xdp) | (Planes::Xdp(_), PlaneChoice::Ipvs) => {
                anyhow::bail!("lb_plane cannot change at a reload: restart for that")
            }
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Planes::Ipvs(_) => "ipvs",
            Planes::Xdp(_) => "xdp",
        }
    }

    pub(super) fn detail(&mut self) -> String {
        match self {
            Planes::Ipvs(kernel) => match kernel.ipvs.info() {
                Ok(info) => {
                    let [_, major, minor, patch] = info.version.to_be_bytes();
                    format!("IPVS {major}.{minor}.{patch} of the kernel")
                }
                Err(error) => error.to_string(),
            },
            Planes::Xdp(program) => program.detail(),
        }
    }

    pub(super) fn dump(&mut self) -> Result<Table, Error> {
        match self {
            Planes::Ipvs(kernel) => kernel.ipvs.dump(),
            Planes::Xdp(program) => program.plane()?.dump(),
        }
    }

    pub(super) fn apply(&mut self, changes: &[Change]) -> Vec<(usize, Error)> {
        match self {
            Planes::Ipvs(kernel) => kernel.ipvs.apply(changes),
            Planes::Xdp(program) => match program.plane() {
                Ok(plane) => plane.apply(changes),
                Err(error) => vec![(0, error)],
            },
        }
    }

    pub(super) fn statistics(&mut self) -> Result<Statistics, Error> {
        match self {
            Planes::Ipvs(kernel) => kernel.ipvs.statistics(),
            Planes::Xdp(program) => program.plane()?.statistics(),
        }
    }

    /// What has to be done now and then beside keeping the table. Says what somebody else had changed, and of which service.
    pub(super) fn attend(&mut self) -> Result<Vec<(Option<ServiceKey>, String)>, Error> {
        match self {
            Planes::Ipvs(_) => Ok(Vec::new()),
            Planes::Xdp(program) => program.attend(),
        }
    }

    /// Makes the kernel run the sync daemons that the configuration asks for: both when it names no instance, else master or
    /// backup as the instance is. Those that run as they should are left alone, over a reload too.
    pub(super) fn follow_masters(&mut self, config: &Config, masters: &BTreeMap<String, bool>) {
        let kernel = match self {
            Planes::Ipvs(kernel) => kernel,
            // Servers are chosen by address alone, so there is nothing to tell the other balancer.
            Planes::Xdp(_) => return,
        };
        let wanted = config.sync_daemon.iter().flat_map(|daemon| wanted_daemons(daemon, masters)).collect();
        if let Err(error) = kernel.run_daemons(wanted) {
            tracing::error!(target: "balance", "{error}");
        }
    }

    /// The last step of a stop, after the services of ours are out.
    pub(super) fn leave(&mut self, config: &Config) {
        let outcome = match self {
            Planes::Ipvs(kernel) => kernel.leave(config),
            Planes::Xdp(program) => program.plane.take().map_or(Ok(()), |plane| plane.close()),
        };
        if let Err(error) = outcome {
            tracing::error!(target: "balance", "{error}");
        }
    }
}

impl Program {
    fn open(config: &Config, interfaces: &[String], pins: &Path) -> anyhow::Result<Self> {
        if interfaces.is_empty() {
            anyhow::bail!(
                "the XDP program is not told where clients' packets come in: there is no vrrp_instance and no lb_interface"
            );
        }
        let mut options = xdp::Options::new(interfaces);
        match xdp::prepare_pins(pins) {
            Ok(()) => options.pins = Some(pins.to_owned()),
            Err(error) => tracing::warn!(target: "balance", "{error}: a crash of this role will end connections"),
        }
        let plane = Some(Box::new(XdpPlane::open(options)?));
        let now = Instant::now();
        let interfaces = interfaces.to_vec();
        let mut program = Program { plane, interfaces, sweep_at: now + SWEEP, repair_at: now, unreachable: Vec::new() };
        program.set_directors(config)?;
        tracing::info!(target: "balance", "{}", program.detail());
        Ok(program)
    }

    fn plane(&mut self) -> Result<&mut XdpPlane, Error> {
        self.plane.as_deref_mut().ok_or_else(|| Error::new("use the XDP program", io::Error::other("it is detached")))
    }

    /// A real server may be a balancer too: what it sends to a virtual address it has balanced already. Real servers that
    /// are none never send there, for they have the address themselves.
    fn set_directors(&mut self, config: &Config) -> Result<(), Error> {
        let servers = config.pools.iter().flat_map(|pool| &pool.servers);
        let servers = servers.filter(|server| matches!(server.forward, Forward::Direct));
        let directors: BTreeSet<_> = servers.map(|server| server.address).collect();
        self.plane()?.set_directors(&directors.into_iter().collect::<Vec<_>>())
    }

    fn detail(&self) -> String {
        let Some(plane) = &self.plane else { return "the XDP program, detached".to_owned() };
        let places = plane.attachments().iter().map(|at| format!("{} ({})", at.interface, at.mode.name()));
        let mut detail = format!("the XDP program on {}", places.collect::<Vec<_>>().join(", "));
        for note in plane.notes().iter().chain(&self.unreachable) {
            detail += "; ";
            detail += note;
        }
        detail
    }

    fn attend(&mut self) -> Result<Vec<(Option<ServiceKey>, String)>, Error> {
        let now = Instant::now();
        let unreachable = self.plane()?.refresh()?;
        let mut repairs = Vec::new();
        if now >= self.repair_at {
            let began_at = Instant::now();
            repairs = self.plane()?.repair()?;
            self.repair_at = now + began_at.elapsed() * AUDIT_SHARE;
        }
        if now >= self.sweep_at {
            self.plane()?.sweep()?;
            self.sweep_at = Instant::now() + SWEEP;
        }
        let words =
            |(service, server, why): &(_, _, xdp::Unreachable)| format!("no way to {server} of {service}: {why}");
        self.unreachable = unreachable.iter().map(words).collect();
        let words = |repair: xdp::Repair| match repair.service {
            Some(service) => format!("{service}: {}", repair.what),
            None => repair.what,
        };
        Ok(repairs.into_iter().map(|repair| (repair.service, words(repair))).collect())
    }
}

impl Kernel {
    /// Changes what the configuration names, and puts back what it no longer does.
    fn set_timeouts(&mut self, wanted: Timeouts) -> Result<(), Error> {
        if wanted == Timeouts::default() && self.timeouts_before.is_none() {
            return Ok(());
        }
        let before = match self.timeouts_before {
            Some(before) => before,
            None => self.ipvs.timeouts()?,
        };
        self.timeouts_before = Some(before);
        self.ipvs.set_timeouts(&ipvs::Timeouts {
            tcp: wanted.tcp.map_or(before.tcp, u32::from),
            tcp_fin: wanted.tcp_fin.map_or(before.tcp_fin, u32::from),
            udp: wanted.udp.map_or(before.udp, u32::from),
        })
    }

    fn run_daemons(&mut self, wanted: Vec<ipvs::SyncDaemon>) -> Result<(), Error> {
        if wanted == self.daemons {
            return Ok(());
        }
        // Stopped first: the kernel lets two of one direction not run.
        for daemon in std::mem::take(&mut self.daemons) {
            match wanted.contains(&daemon) {
                true => self.daemons.push(daemon),
                false => self.ipvs.stop_sync_daemon(daemon.state)?,
            }
        }
        let running = self.ipvs.sync_daemons()?;
        for daemon in wanted {
            if self.daemons.contains(&daemon) {
                continue;
            }
            // Of an earlier process of ours, or somebody else's, which we need to replace.
            match running.iter().find(|other| other.state == daemon.state) {
                Some(other) if is_same(other, &daemon) => {}
                Some(_) => {
                    self.ipvs.stop_sync_daemon(daemon.state)?;
                    self.ipvs.start_sync_daemon(&daemon)?;
                }
                None => self.ipvs.start_sync_daemon(&daemon)?,
            }
            self.daemons.push(daemon);
        }
        Ok(())
    }

    fn leave(&mut self, config: &Config) -> Result<(), Error> {
        for daemon in std::mem::take(&mut self.daemons) {
            self.ipvs.stop_sync_daemon(daemon.state)?;
        }
        if let Some(before) = self.timeouts_before {
            self.ipvs.set_timeouts(&before)?;
        }
        match config.flush_at_stop {
            FlushAtStop::Everything => self.ipvs.flush(),
            FlushAtStop::Each | FlushAtStop::Services => Ok(()),
        }
    }
}

/// What the kernel chose where we left it the choice is as good as what we asked for.
fn is_same(running: &ipvs::SyncDaemon, wanted: &ipvs::SyncDaemon) -> bool {
    running.interface == wanted.interface
        && running.sync_id == wanted.sync_id
        && (wanted.max_length == 0 || running.max_length == wanted.max_length)
        && (wanted.port == 0 || running.port == wanted.port)
        && (wanted.ttl == 0 || running.ttl == wanted.ttl)
        && (wanted.group.is_none() || running.group == wanted.group)
}

fn wanted_daemons(daemon: &SyncDaemon, masters: &BTreeMap<String, bool>) -> Vec<ipvs::SyncDaemon> {
    let states = match &daemon.instance {
        None => vec![SyncState::Master, SyncState::Backup],
        Some(instance) => match masters.get(instance) {
            Some(true) => vec![SyncState::Master],
            // As keepalived: a backup until it is known to be master.
            Some(false) | None => vec![SyncState::Backup],
        },
    };
    let describe = |state| ipvs::SyncDaemon {
        state,
        interface: daemon.interface.clone(),
        sync_id: daemon.id.into(),
        max_length: daemon.max_length.unwrap_or_default(),
        group: daemon.group,
        port: daemon.port.unwrap_or_default(),
        ttl: daemon.ttl.unwrap_or_default(),
    };
    states.into_iter().map(describe).collect()
}
