use crate::WallTime;
use crate::node::seconds;
use evenkeel_bfd::packet::Diagnostic;
use evenkeel_bfd::{Counters, Reach, SessionStatus, StateName};
use serde::{Deserialize, Serialize};

/// One BFD session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its name.
    pub name: String,
    /// Address of the neighbour.
    pub neighbour: String,
    /// Address of this end, when it is configured.
    pub source: Option<String>,
    /// Whether the neighbour is behind routers.
    pub multihop: bool,
    /// State: `Up`, `Init`, `Down`, or `AdminDown` where there is no socket.
    pub state: StateName,
    /// When it entered that state.
    pub since: WallTime,
    /// How long ago.
    pub since_seconds: f64,
    /// Why.
    pub reason: String,
    /// What those who follow it were told. Other than the state only after the neighbour's administrator ended it.
    pub reported_up: bool,
    /// Our number for it.
    pub local_discriminator: u32,
    /// Why it last went down, as this end sees it.
    pub local_diagnostic: Diagnostic,
    /// How often it now sends, before jitter.
    pub tx_interval_seconds: f64,
    /// How often the neighbour may send.
    pub min_rx_seconds: f64,
    /// So many of our intervals without a packet, and the neighbour gives us up.
    pub multiplier: u8,
    /// How long the neighbour may be silent; `null` while it is not heard.
    pub detection_seconds: Option<f64>,
    /// The intervals are being agreed on.
    pub polling: bool,
    /// What the neighbour said last; `null` when that is too long ago to count.
    pub remote: Option<RemoteView>,
    /// Counters since the vrrp role started.
    pub counters: Counters,
}

/// What a neighbour said last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteView {
    /// Its number for the session.
    pub discriminator: u32,
    /// Its state.
    pub state: StateName,
    /// Why its session last went down.
    pub diagnostic: Diagnostic,
    /// It is in demand mode.
    pub demand: bool,
    /// How often it wants to send.
    pub min_tx_seconds: f64,
    /// How often we may send.
    pub min_rx_seconds: f64,
    /// So many of its intervals without a packet, and it is gone.
    pub multiplier: u8,
    /// How long ago it was heard.
    pub age_seconds: f64,
}

impl SessionView {
    /// The view of one session at `now`.
    pub fn new(status: &SessionStatus, now: WallTime) -> Self {
        let remote = status.remote.as_ref().map(|remote| RemoteView {
            discriminator: remote.discriminator,
            state: remote.state,
            diagnostic: remote.diagnostic,
            demand: remote.demand,
            min_tx_seconds: remote.min_tx.as_secs_f64(),
            min_rx_seconds: remote.min_rx.as_secs_f64(),
            multiplier: remote.multiplier,
            age_seconds: seconds(remote.heard),
        });
        SessionView {
            name: status.name.clone(),
            neighbour: status.neighbour.to_string(),
            source: status.source.map(|source| source.to_string()),
            multihop: status.reach == Reach::Multihop,
            state: status.state,
            since: now.before(status.since),
            since_seconds: seconds(status.since),
            reason: status.reason.clone(),
            reported_up: status.reported_up,
            local_discriminator: status.discriminator,
            local_diagnostic: status.diagnostic,
            tx_interval_seconds: status.tx_interval.as_secs_f64(),
            min_rx_seconds: status.min_rx.as_secs_f64(),
            multiplier: status.multiplier,
            detection_seconds: status.detection.map(|detection| detection.as_secs_f64()),
            polling: status.polling,
            remote,
            counters: status.counters,
        }
    }
}
