//! Between the supervisor, which knows what this node is, and the peer role, which tells the other nodes; and their part of
//! what `evenkeel status --json` prints.

use crate::node::seconds;
use crate::{Explanation, WallTime};
use evenkeel_peer::facts::{Maintenance, Proxy, RouterState};
use evenkeel_peer::{Counters, Facts, PeerStatus, config::Peer};
use serde::{Deserialize, Serialize};

/// From the supervisor to the peer role. Closing the bus ends the role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToPeer {
    /// Talk to these, in place of all that were before. Comes first.
    Configure {
        /// The peers.
        config: evenkeel_peer::Config,
        /// What this node says of itself.
        facts: Box<Facts>,
    },
    /// What this node says of itself now.
    Facts(Box<Facts>),
    /// Asks for [`FromPeer::Status`] with the same number.
    Status {
        /// Ties the answer to the question.
        id: u64,
    },
}

/// From the peer role to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromPeer {
    /// It talks to the peers.
    Ready,
    /// What a peer says of itself now.
    Learned {
        /// Its name in the configuration.
        name: String,
        /// All of it.
        facts: Box<Facts>,
    },
    /// Something changed: for `why`.
    Explained(Explanation),
    /// Answer to [`ToPeer::Status`].
    Status {
        /// The number of the question.
        id: u64,
        /// The peers now.
        peers: Vec<PeerNodeView>,
    },
}

/// Another node that runs evenkeel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerNodeView {
    /// What the configuration calls it.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// The UDP port on both nodes.
    pub port: u16,
    /// It is heard. What follows is what it said last, with `age_seconds`, when it is not.
    pub heard: bool,
    /// How long it has been heard, or has not.
    pub since_seconds: f64,
    /// Age of its last hello.
    pub age_seconds: Option<f64>,
    /// Why nothing can be sent to it, when that is so.
    pub trouble: Option<String>,
    /// Where the two nodes differ though they should agree, in words; empty while it is not heard.
    pub drift: Vec<String>,
    /// What it calls itself.
    pub node: Option<String>,
    /// Its version of evenkeel.
    pub version: Option<String>,
    /// It leaves its addresses to others.
    pub maintenance: Option<MaintenanceView>,
    /// Its virtual routers.
    pub routers: Vec<PeerRouterView>,
    /// Its proxy; `null` without one.
    pub proxy: Option<Proxy>,
    /// Its virtual servers.
    pub pools: Vec<PeerPoolView>,
    /// Datagrams, since the role started.
    pub counters: Counters,
}

/// A virtual router of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRouterView {
    /// Its name there.
    pub name: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// How it is there.
    pub state: RouterState,
    /// Its priority there.
    pub priority: u8,
    /// Its addresses there.
    pub addresses: Vec<String>,
}

/// A virtual server of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerPoolView {
    /// As keepalived's log spells it.
    pub name: String,
    /// Enough servers are up.
    pub quorum: bool,
    /// Servers that are up.
    pub up: u32,
    /// Servers.
    pub servers: u32,
}

/// A node that leaves its addresses to others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaintenanceView {
    /// It takes no address even when nobody else answers.
    pub strict: bool,
    /// When it ends; `null` when somebody has to end it.
    pub until: Option<WallTime>,
    /// How long until then.
    pub remaining_seconds: Option<f64>,
}

impl MaintenanceView {
    /// As it is at `now`.
    pub fn new(maintenance: Maintenance, now: WallTime) -> Self {
        let until = maintenance.until_ms.map(WallTime::from_unix_millis);
        MaintenanceView {
            strict: maintenance.strict,
            until,
            remaining_seconds: until.map(|until| seconds(until.since(now))),
        }
    }
}

impl PeerNodeView {
    /// The view of one peer at `now`.
    pub fn new(peer: &Peer, status: &PeerStatus, trouble: Option<String>, now: WallTime) -> Self {
        let facts = status.facts.as_ref();
        let routers = facts.into_iter().flat_map(|facts| &facts.routers).map(|router| PeerRouterView {
            name: router.name.clone(),
            vrid: router.vrid,
            state: router.state,
            priority: router.priority,
            addresses: router.addresses.iter().map(ToString::to_string).collect(),
        });
        let pools = facts.into_iter().flat_map(|facts| &facts.pools).map(|pool| PeerPoolView {
            name: pool.name.clone(),
            quorum: pool.quorum,
            up: pool.up,
            servers: pool.servers,
        });
        PeerNodeView {
            name: peer.name.clone(),
            address: peer.address.to_string(),
            port: peer.port,
            heard: status.heard,
            since_seconds: seconds(status.since),
            age_seconds: status.age.map(seconds),
            trouble,
            drift: status.drifts.iter().map(ToString::to_string).collect(),
            node: facts.map(|facts| facts.node.clone()),
            version: facts.map(|facts| facts.version.clone()),
            maintenance: facts.and_then(|facts| facts.maintenance).map(|it| MaintenanceView::new(it, now)),
            routers: routers.collect(),
            proxy: facts.and_then(|facts| facts.proxy.clone()),
            pools: pools.collect(),
            counters: status.counters,
        }
    }
}
