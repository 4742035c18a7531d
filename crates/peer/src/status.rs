use crate::drift::Drift;
use crate::event::PeerId;
use crate::facts::Facts;
use crate::packet::Reject;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// All peers now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// In configuration order.
    pub peers: Vec<PeerStatus>,
    /// Datagrams that belong to none of them.
    pub unclaimed: Unclaimed,
}

/// One peer now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which.
    pub id: PeerId,
    /// It is heard.
    pub heard: bool,
    /// How long that has been so.
    pub since: Duration,
    /// Age of its last hello.
    pub age: Option<Duration>,
    /// The last that it said of itself.
    pub facts: Option<Facts>,
    /// Where it differs from this node; empty while it is not heard.
    pub drifts: Vec<Drift>,
    /// Since the start.
    pub counters: Counters,
}

/// Of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Datagrams sent.
    pub sent: u64,
    /// Those among them that the kernel refused.
    pub not_sent: u64,
    /// Datagrams taken.
    pub received: u64,
    /// Too short, too long, or not as long as they say.
    pub length_err: u64,
    /// Of another version of the protocol.
    pub version_err: u64,
    /// Signed with another key, or changed on their way.
    pub mac_err: u64,
    /// Signed, and not understood.
    pub fields_err: u64,
    /// Older than one that was taken: out of order, or recorded and sent again.
    pub replayed: u64,
    /// Of a life that has yet to answer our challenge: the first hello of a peer, or one that was recorded before.
    pub unproven: u64,
    /// Our own, come back.
    pub reflected: u64,
    /// Times that all it says of itself was received.
    pub facts_received: u64,
    /// Times that this was not understood.
    pub facts_err: u64,
}

impl Counters {
    pub(crate) fn count(&mut self, reject: Reject) {
        *match reject {
            Reject::Length => &mut self.length_err,
            Reject::Version => &mut self.version_err,
            Reject::Mac => &mut self.mac_err,
            Reject::Fields => &mut self.fields_err,
        } += 1;
    }

    /// Datagrams that changed nothing.
    pub fn refused(&self) -> u64 {
        self.length_err
            + self.version_err
            + self.mac_err
            + self.fields_err
            + self.replayed
            + self.unproven
            + self.reflected
    }
}

/// Of nobody that is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclaimed {
    /// From an address that no peer has.
    pub unknown: u64,
}
