//! The other nodes that run evenkeel. The supervisor knows what this node is and does what follows from what they say; the
//! peer role, which has no rights at all, talks to them. Nothing here waits for either.

mod parts;

use super::process::{Heard, Names, Process};
use super::roles::RoleSlot;
use super::{Happening, Supervisor, load};
use crate::role::Role;
use evenkeel_balance::status::ServerWord;
use evenkeel_bus::{Administered, Explanation, FromPeer, NodeStatus, RoleState, ToBalance, ToPeer, WallTime};
use evenkeel_peer::Facts;
use evenkeel_peer::facts::{Pool, Proxy, Router, RouterState};
use evenkeel_vrrp::StateName;
use evenkeel_vrrp::config::Version;
use evenkeel_wire::Family;
use std::time::{Duration, Instant};

/// What no event tells (a server that came up, say) the peers know no later than after so long.
const LONGEST: Duration = Duration::from_secs(5);

/// The role, and what it tells.
#[derive(Debug, Default)]
pub struct PeerNodes {
    pub(super) slot: RoleSlot<ToPeer>,
    /// Digests of the configuration in force.
    parts: Vec<(String, [u8; 16])>,
    /// How this node was when it was last asked, and when.
    status: Option<(Instant, NodeStatus)>,
    /// It is being asked now.
    is_asking: bool,
    /// Something happened meanwhile.
    again: bool,
    /// What the peers were told last.
    told: Option<Facts>,
}

impl Supervisor {
    /// Sees to it that the role is there, or not, and talks to whom the configuration names.
    pub(super) fn follow_peers(&mut self) {
        if self.compiled.peer.peers.is_empty() {
            return self.let_peers_go();
        }
        self.peers.parts = parts::of(&self.compiled);
        if self.peers.slot.state == RoleState::Waiting {
            return;
        }
        match self.peers.slot.process {
            Some(_) => self.configure_peers(),
            None => self.start_peers(),
        }
        self.describe();
    }

    fn configure_peers(&mut self) {
        let facts = self.own_facts();
        let config = self.compiled.peer.clone();
        if let Some(process) = &self.peers.slot.process {
            process.send(ToPeer::Configure { config, facts: Box::new(facts.clone()) });
        }
        self.peers.told = Some(facts);
    }

    fn start_peers(&mut self) {
        self.peers.slot.generation.0 += 1;
        let names = Names { title: &format!("{}: peer", self.plan.name), comm: self.plan.name, scheduling: None };
        let generation = self.peers.slot.generation;
        let happenings = self.happenings.clone();
        match Process::start(Role::Peer, names, self.plan.log, generation, happenings, Happening::Peer) {
            Ok(process) => {
                tracing::info!(target: "supervisor", "Starting peer process, pid={}", process.pid);
                self.peers.slot.process = Some(process);
                self.peers.slot.enter(RoleState::Starting);
                self.configure_peers();
            }
            Err(error) => self.retire_peers(format!("could not be started: {error}")),
        }
    }

    pub(super) fn hear_peers(&mut self, heard: Heard<FromPeer>) {
        match heard {
            Heard::Message(FromPeer::Ready) => {
                if self.peers.slot.state == RoleState::Starting {
                    self.peers.slot.enter(RoleState::Running);
                }
            }
            Heard::Message(FromPeer::Learned { name, facts }) => self.learn(&name, *facts),
            Heard::Message(FromPeer::Explained(explanation)) => self.keep(explanation),
            Heard::Message(FromPeer::Status { id, peers }) => self.questions.peers_answered(id, peers),
            Heard::Gone(how) => self.retire_peers(how),
        }
    }

    fn retire_peers(&mut self, how: String) {
        let slot = &mut self.peers.slot;
        let lived = slot.process.take().map(|process| process.started_at.elapsed()).unwrap_or_default();
        if slot.state == RoleState::Stopping {
            slot.enter(RoleState::Stopped);
        } else {
            let wait = slot.wait_after(lived);
            tracing::error!(target: "supervisor", "the peer role {how}; it is started again in {wait:?}");
            slot.enter(RoleState::Waiting);
            let happenings = self.happenings.clone();
            // Not as the roles that keepalived has: -R does not end the daemon because nobody is told of it.
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = happenings.send(Happening::Respawn(Role::Peer)).await;
            });
        }
        self.peers.slot.last_exit = Some(how);
    }

    /// The wait after its death is over.
    pub(super) fn respawn_peers(&mut self) {
        if self.peers.slot.state == RoleState::Waiting {
            self.peers.slot.restarts += 1;
            self.peers.slot.enter(RoleState::Stopped);
            self.follow_peers();
        }
    }

    /// Lets the role end.
    pub(super) fn let_peers_go(&mut self) {
        let is_gone = self.peers.slot.process.take().is_none();
        let state = if is_gone { RoleState::Stopped } else { RoleState::Stopping };
        if self.peers.slot.state != state {
            self.peers.slot.enter(state);
        }
        self.peers.told = None;
    }

    // ----- what they say -----

    fn learn(&mut self, name: &str, facts: Facts) {
        if self.could_relieve(&facts) {
            self.yield_again();
        }
        let news = self.layer4.admin.merge(facts.words);
        for word in &news {
            let Administered { pool, server, state } = word;
            let decision = super::balance::said_of(*state);
            tracing::info!(target: "peer", "({name}) says that {server} of {pool} {decision}");
            self.keep(Explanation {
                instance: format!("{pool}/{server}"),
                at: WallTime::now(),
                from: None,
                to: None,
                trigger: format!("somebody said so on {name}, later than anything that was known here"),
                rule: "the latest word about a server counts on every node".to_owned(),
                decision: format!("it {decision}"),
                waited_seconds: 0.0,
                effects: Vec::new(),
            });
            if let Some(process) = &self.balance.process {
                process.send(ToBalance::Administer(word.clone()));
            }
        }
        if !news.is_empty() {
            self.tell_peers();
        }
    }

    /// Whether a peer stands by for an address that this node answers for: one that does not preempt waits to be asked.
    fn could_relieve(&self, facts: &Facts) -> bool {
        let stands_by = |instance: &evenkeel_vrrp::config::Instance| {
            let is_same = |router: &&Router| {
                let is_ipv6 = instance.family() == Family::V6;
                (router.vrid, router.is_ipv6) == (instance.vrid.get(), is_ipv6)
            };
            let theirs = facts.routers.iter().find(is_same);
            self.mastership.is_master(&instance.name)
                && theirs.is_some_and(|router| router.state == RouterState::Backup)
        };
        facts.maintenance.is_none() && self.compiled.vrrp.instances.iter().any(stands_by)
    }

    // ----- what they are told -----

    /// Something about this node is another thing now: ask the roles how they are, and tell the peers.
    pub(super) fn describe(&mut self) {
        if self.peers.slot.process.is_none() {
            return;
        }
        if std::mem::replace(&mut self.peers.is_asking, true) {
            self.peers.again = true;
            return;
        }
        let (status, happenings) = (self.status(), self.happenings.clone());
        tokio::spawn(async move {
            let _ = happenings.send(Happening::Described(Box::new(status.await))).await;
        });
    }

    /// Once a second: what no event tells is looked for now and then.
    pub(super) fn describe_now_and_then(&mut self) {
        if self.peers.status.as_ref().is_none_or(|(at, _)| at.elapsed() >= LONGEST) {
            self.describe();
        }
    }

    pub(super) fn described(&mut self, status: NodeStatus) {
        self.peers.is_asking = false;
        self.peers.status = Some((Instant::now(), status));
        self.tell_peers();
        if std::mem::take(&mut self.peers.again) {
            self.describe();
        }
    }

    /// What is known already goes out at once.
    pub(super) fn tell_peers(&mut self) {
        if self.peers.slot.process.is_none() {
            return;
        }
        let facts = self.own_facts();
        if self.peers.told.as_ref() == Some(&facts) {
            return;
        }
        if let Some(process) = &self.peers.slot.process {
            process.send(ToPeer::Facts(Box::new(facts.clone())));
        }
        self.peers.told = Some(facts);
    }

    fn own_facts(&self) -> Facts {
        let status = self.peers.status.as_ref().map(|(_, status)| status);
        let instances = &self.compiled.vrrp.instances;
        let instances = if self.has_routers() { instances.as_slice() } else { &[] };
        Facts {
            node: self.compiled.settings.router_id.clone().unwrap_or_else(load::host_name),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            parts: self.peers.parts.clone(),
            routers: instances.iter().map(|instance| router(instance, status)).collect(),
            proxy: self
                .compiled
                .site
                .as_ref()
                .map(|_| Proxy { healthy: self.health.healthy, reason: self.health.reason.clone() }),
            pools: status.and_then(|status| status.balance.as_ref()).map(pools).unwrap_or_default(),
            maintenance: self.maintenance.fact(),
            words: self.layer4.admin.words(),
            without_addresses: false,
        }
    }
}

fn router(instance: &evenkeel_vrrp::config::Instance, status: Option<&NodeStatus>) -> Router {
    let views = status.and_then(|status| status.instances.as_ref());
    let view = views.and_then(|views| views.iter().find(|view| view.name == instance.name));
    let state = match view.map(|view| view.state) {
        None => RouterState::Unknown,
        Some(StateName::Init) => RouterState::Init,
        Some(StateName::Backup) => RouterState::Backup,
        Some(StateName::Master) => RouterState::Master,
        Some(StateName::Leaving) => RouterState::Leaving,
        Some(StateName::Fault) => RouterState::Fault,
        Some(StateName::Stopped) => RouterState::Stopped,
    };
    Router {
        name: instance.name.clone(),
        vrid: instance.vrid.get(),
        is_ipv6: instance.family() == Family::V6,
        version: match instance.version {
            Version::V2 => 2,
            Version::V3 => 3,
        },
        interval: instance.advert_interval.duration(),
        addresses: instance.addresses.iter().chain(&instance.excluded).map(|address| address.prefix).collect(),
        state,
        priority: view.map_or(instance.priority.get(), |view| view.effective_priority),
    }
}

fn pools(view: &evenkeel_bus::BalanceView) -> Vec<Pool> {
    let pool = |pool: &evenkeel_bus::PoolView| Pool {
        name: pool.name.clone(),
        quorum: pool.quorum,
        up: pool.servers.iter().filter(|server| server.state == ServerWord::Up).count() as u32,
        servers: pool.servers.len() as u32,
    };
    view.pools.iter().map(pool).collect()
}
