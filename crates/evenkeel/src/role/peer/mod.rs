//! The peer role: gives every privilege away, then exchanges hellos with the other nodes. What they mean is decided in
//! `evenkeel_peer`, what follows from it by the supervisor.

mod link;

use crate::wire::Wire;
use anyhow::Context;
use evenkeel_bus::{Channel, ChannelError, Explanation, FromPeer, PeerNodeView, ToPeer, WallTime};
use evenkeel_peer::packet::Life;
use evenkeel_peer::{Action, Change, Config, Event, Facts, PeerId, Peers, Weight};
use evenkeel_wire::Instant;
use link::{Arrived, Link};
use tokio::sync::mpsc;

/// Datagrams that may wait to be looked at; more wait in the kernel, which drops what it has no room for.
const MOST_WAITING: usize = 64;

/// Runs until the supervisor closes its end.
pub fn run(channel: Channel, parent: u32) -> anyhow::Result<()> {
    super::give_all_away(parent)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the event loop")?;
    runtime.block_on(serve(channel))
}

/// What a hello of this process is told from those of others by.
fn life() -> anyhow::Result<Life> {
    let mut life = Life::default();
    let n_bytes =
        rustix::rand::getrandom(&mut life.0, rustix::rand::GetRandomFlags::empty()).context("draw a number")?;
    anyhow::ensure!(n_bytes == life.0.len(), "the kernel gave {n_bytes} random bytes only");
    Ok(life)
}

async fn serve(channel: Channel) -> anyhow::Result<()> {
    let mut wire = Wire::new(channel)?;
    let (arrivals, mut arrived) = mpsc::channel(MOST_WAITING);
    let mut shell: Option<Shell> = None;
    loop {
        let wants_write = wire.wants_write();
        let deadline = shell.as_ref().and_then(Shell::deadline);
        tokio::select! {
            ready = wire.readable() => {
                ready?;
                match wire.receive() {
                    Ok(Some(received)) => obey(&mut shell, received.message, &arrivals, &mut wire)?,
                    Ok(None) => {}
                    Err(ChannelError::Closed) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
            ready = wire.writable(), if wants_write => {
                ready?;
                wire.flush()?;
            }
            Some(Arrived { from, bytes }) = arrived.recv() => {
                if let Some(shell) = &mut shell {
                    shell.handle(Event::Datagram { from, bytes }, &mut wire)?;
                }
            }
            () = until(deadline), if deadline.is_some() => {
                if let Some(shell) = &mut shell {
                    shell.handle(Event::Deadline, &mut wire)?;
                }
            }
        }
    }
}

async fn until(deadline: Option<std::time::Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}

fn obey(
    shell: &mut Option<Shell>,
    message: ToPeer,
    arrivals: &mpsc::Sender<Arrived>,
    wire: &mut Wire,
) -> anyhow::Result<()> {
    match (message, shell) {
        (ToPeer::Configure { config, facts }, Some(shell)) => {
            shell.reconfigure(config);
            shell.handle(Event::Facts(facts), wire)?;
        }
        (ToPeer::Configure { config, facts }, shell @ None) => {
            *shell = Some(Shell::new(config, *facts, arrivals.clone())?);
            wire.send(&FromPeer::Ready, Vec::new())?;
        }
        (ToPeer::Facts(facts), Some(shell)) => shell.handle(Event::Facts(facts), wire)?,
        (ToPeer::Status { id }, Some(shell)) => {
            wire.send(&FromPeer::Status { id, peers: shell.status() }, Vec::new())?;
        }
        // Before there is anything to say.
        (ToPeer::Facts(_) | ToPeer::Status { .. }, None) => {}
    }
    Ok(())
}

struct Shell {
    core: Peers,
    config: Config,
    /// One for each peer of `config`.
    links: Vec<Link>,
    arrivals: mpsc::Sender<Arrived>,
    started_at: std::time::Instant,
}

impl Shell {
    fn new(config: Config, facts: Facts, arrivals: mpsc::Sender<Arrived>) -> anyhow::Result<Self> {
        let links = config.peers.iter().map(|peer| Link::new(peer.clone())).collect();
        let core = Peers::new(config.clone(), life()?, facts);
        Ok(Shell { core, config, links, arrivals, started_at: std::time::Instant::now() })
    }

    fn now(&self) -> Instant {
        Instant::from_origin(self.started_at.elapsed())
    }

    fn deadline(&self) -> Option<std::time::Instant> {
        self.core.deadline().map(|deadline| self.started_at + deadline.since_origin())
    }

    fn reconfigure(&mut self, config: Config) {
        let mut old = std::mem::take(&mut self.links);
        for peer in &config.peers {
            let link = match old.iter().position(|link| link.leads_to(peer)) {
                Some(at) => old.swap_remove(at),
                None => Link::new(peer.clone()),
            };
            self.links.push(link);
        }
        let now = self.now();
        self.core.reconfigure(now, config.clone(), &mut Vec::new());
        self.config = config;
    }

    fn handle(&mut self, event: Event, wire: &mut Wire) -> anyhow::Result<()> {
        let mut actions = Vec::new();
        let now = self.now();
        self.core.handle(now, event, &mut actions);
        for action in actions {
            match action {
                Action::Send { peer, datagram } => self.send(peer, &datagram),
                Action::Learned { peer, facts } => {
                    wire.send(&FromPeer::Learned { name: self.name(peer), facts }, Vec::new())?;
                }
                Action::Explain(change) => {
                    let name = self.name(change.peer);
                    log(&name, &change);
                    let explanation = Explanation::of_peer(change, &name, WallTime::now());
                    wire.send(&FromPeer::Explained(explanation), Vec::new())?;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, peer: PeerId, datagram: &[u8]) {
        let Some(link) = self.links.get_mut(peer.0 as usize) else { return };
        if !link.send(datagram, &self.arrivals) {
            let now = self.now();
            self.core.handle(now, Event::NotSent { peer }, &mut Vec::new());
        }
    }

    fn name(&self, peer: PeerId) -> String {
        self.config.peers.get(peer.0 as usize).map(|peer| peer.name.clone()).unwrap_or_default()
    }

    fn status(&self) -> Vec<PeerNodeView> {
        let (status, now) = (self.core.status(self.now()), WallTime::now());
        let peers = self.config.peers.iter().zip(&self.links).zip(&status.peers);
        peers.map(|((peer, link), status)| PeerNodeView::new(peer, status, link.trouble(), now)).collect()
    }
}

fn log(name: &str, change: &Change) {
    let Change { trigger, decision, .. } = change;
    match change.weight {
        Weight::Note => tracing::info!(target: "peer", "({name}) {trigger}: {decision}"),
        Weight::Warning => tracing::warn!(target: "peer", "({name}) {trigger}: {decision}"),
    }
}
