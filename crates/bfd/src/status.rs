use crate::packet::{Diagnostic, Reject};
use crate::{Reach, SessionId, StateName};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// All sessions at one instant. Ages are spans, so the reader needs no clock of ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// In configuration order.
    pub sessions: Vec<SessionStatus>,
    /// Datagrams that belong to no session.
    pub unclaimed: Unclaimed,
}

/// Datagrams that no session could count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclaimed {
    /// No packet at all.
    pub malformed: u64,
    /// A packet for a session that is not there.
    pub unknown: u64,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Index in the configuration.
    pub id: SessionId,
    /// Its name.
    pub name: String,
    /// The other end.
    pub neighbour: IpAddr,
    /// This end, when it is configured.
    pub source: Option<IpAddr>,
    /// How far away the neighbour is.
    pub reach: Reach,
    /// Present state.
    pub state: StateName,
    /// How long it has been in that state.
    pub since: Duration,
    /// Why.
    pub reason: String,
    /// What followers were told.
    pub reported_up: bool,
    /// Our number for it.
    pub discriminator: u32,
    /// Why it last went down.
    pub diagnostic: Diagnostic,
    /// How often it now sends, before jitter.
    pub tx_interval: Duration,
    /// What it tells the peer to be able to take.
    pub min_rx: Duration,
    /// So many of its intervals without a packet, and the peer gives it up.
    pub multiplier: u8,
    /// How long the peer may be silent; `None` while it is not known.
    pub detection: Option<Duration>,
    /// A poll sequence is under way.
    pub polling: bool,
    /// What the peer said last; `None` when that is too long ago.
    pub remote: Option<RemoteStatus>,
    /// What it counted.
    pub counters: Counters,
}

/// What the peer said last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteStatus {
    /// Its number for the session.
    pub discriminator: u32,
    /// Its state.
    pub state: StateName,
    /// Why its session last went down.
    pub diagnostic: Diagnostic,
    /// It needs no packets while both are Up.
    pub demand: bool,
    /// How often it wants to send.
    pub min_tx: Duration,
    /// How often it can take packets.
    pub min_rx: Duration,
    /// So many of its intervals without a packet, and it is gone.
    pub multiplier: u8,
    /// How long ago it was heard.
    pub heard: Duration,
}

/// What a session counts, since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the kinds of packet that are refused are described at `packet::Reject`")]
pub struct Counters {
    /// Packets sent.
    pub sent: u64,
    /// Packets that could not be sent.
    pub not_sent: u64,
    /// Packets taken.
    pub received: u64,
    /// How often it came up.
    pub ups: u64,
    /// How often it went down after it had been up.
    pub downs: u64,
    pub too_short: u64,
    pub length_mismatch: u64,
    pub bad_version: u64,
    pub poll_and_final: u64,
    pub multipoint: u64,
    pub zero_multiplier: u64,
    pub zero_discriminator: u64,
    pub zero_your_discriminator: u64,
    pub bad_diagnostic: u64,
    pub authenticated: u64,
    /// Too much of the time to live was used up.
    pub bad_ttl: u64,
    /// Came while there was no socket to answer from.
    pub while_admin_down: u64,
}

impl Counters {
    /// Counts bytes that are no packet.
    pub(crate) fn count(&mut self, reject: Reject) {
        let counter = match reject {
            Reject::Short => &mut self.too_short,
            Reject::Length => &mut self.length_mismatch,
            Reject::Version => &mut self.bad_version,
            Reject::PollAndFinal => &mut self.poll_and_final,
            Reject::Multipoint => &mut self.multipoint,
            Reject::Multiplier => &mut self.zero_multiplier,
            Reject::MyDiscriminator => &mut self.zero_discriminator,
            Reject::YourDiscriminator => &mut self.zero_your_discriminator,
            Reject::Diagnostic => &mut self.bad_diagnostic,
            Reject::Authenticated => &mut self.authenticated,
        };
        *counter += 1;
    }

    /// Packets of the neighbour that were refused, of all kinds.
    pub fn refused(&self) -> u64 {
        [
            self.too_short,
            self.length_mismatch,
            self.bad_version,
            self.poll_and_final,
            self.multipoint,
            self.zero_multiplier,
            self.zero_discriminator,
            self.zero_your_discriminator,
            self.bad_diagnostic,
            self.authenticated,
            self.bad_ttl,
            self.while_admin_down,
        ]
        .iter()
        .sum()
    }
}
