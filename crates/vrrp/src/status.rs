use crate::{InstanceId, StateName};
use evenkeel_wire::Mac;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// All instances at one instant. Ages are spans, so the reader needs no clock of ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// In configuration order.
    pub instances: Vec<InstanceStatus>,
    /// The sync groups, in configuration order.
    #[serde(default)]
    pub groups: Vec<GroupStatus>,
    /// The scripts, in configuration order.
    #[serde(default)]
    pub scripts: Vec<ScriptStatus>,
    /// Packets of protocol 112 that belong to no instance.
    #[serde(default)]
    pub unclaimed: Unclaimed,
}

/// One sync group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// State of all members together: fault as soon as one has it, master when all are.
    pub state: StateName,
    /// How long it has been in that state.
    pub since: Duration,
    /// Names of the members.
    pub members: Vec<String>,
}

/// One check script, as it is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptStatus {
    /// Its name.
    pub name: String,
    /// `None` while it has not reported.
    pub healthy: Option<bool>,
    /// keepalived's counter: 0 to rise + fall - 1, well from rise on.
    pub count: Option<u32>,
}

/// Packets that no instance could count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclaimed {
    /// No packet of protocol 112, or too short to name a virtual router, or naming number 0.
    pub malformed: u64,
    /// For a virtual router that is not configured on the interface.
    pub unknown_vrid: u64,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Index in the configuration.
    pub id: InstanceId,
    /// Its name.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Protocol version, 2 or 3.
    pub version: u8,
    /// Present state.
    pub state: StateName,
    /// How long it has been in that state.
    pub since: Duration,
    /// Why it is in that state: the trigger of the last transition.
    pub reason: String,
    /// Base priority.
    pub priority: u8,
    /// Priority after trackers.
    pub effective_priority: u8,
    /// Addresses of the virtual router, with lengths.
    pub addresses: Vec<String>,
    /// Whether this node is to answer for them now.
    pub holding: bool,
    /// After a failover: it leaves a living master alone, whatever its priority, until failback.
    #[serde(default)]
    pub standby: bool,
    /// The last advert heard from somebody else.
    pub peer: Option<PeerStatus>,
    /// Somebody else answers for an address that this node holds.
    pub conflict: Option<ConflictStatus>,
    /// What is tracked.
    pub trackers: Vec<TrackerStatus>,
    /// Source address of its adverts, when there is one.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// Time until it does something by itself.
    #[serde(default)]
    pub deadline_in: Option<Duration>,
    /// Silence after which a master counts as dead.
    #[serde(default)]
    pub master_down: Duration,
    /// Time between the adverts of the present master, as far as it is known.
    #[serde(default)]
    pub master_interval: Duration,
    /// Conditions without weight that fail now.
    #[serde(default)]
    pub n_faults: u32,
    /// Conditions without weight that have yet to report.
    #[serde(default)]
    pub n_awaited: u32,
    /// Counters since start.
    pub counters: AdvertCounters,
}

/// The last advert heard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Who sent it.
    pub address: IpAddr,
    /// With which priority.
    pub priority: u8,
    /// How long ago.
    pub age: Duration,
}

/// Two owners of one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConflictStatus {
    /// Which address.
    pub address: IpAddr,
    /// Who else answers for it.
    pub mac: Mac,
    /// How long it has been known.
    pub since: Duration,
    /// How long ago the last evidence came.
    pub age: Duration,
}

/// One tracker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// `script chk_nginx`, `interface eth1`, `proxy`.
    pub name: String,
    /// `None` while it has not reported yet.
    pub healthy: Option<bool>,
    /// Its weight.
    pub weight: i16,
    /// Its last result in words.
    pub detail: String,
}

/// Adverts of one instance since start. The names are those of keepalived's statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each name says what is counted")]
pub struct AdvertCounters {
    pub advert_rcvd: u64,
    pub advert_sent: u64,
    pub become_master: u64,
    pub release_master: u64,
    pub packet_len_err: u64,
    pub advert_interval_err: u64,
    pub ip_ttl_err: u64,
    pub version_err: u64,
    pub checksum_err: u64,
    pub invalid_type_rcvd: u64,
    pub addr_list_err: u64,
    pub invalid_authtype: u64,
    pub authtype_mismatch: u64,
    pub auth_failure: u64,
    pub pri_zero_rcvd: u64,
    pub pri_zero_sent: u64,
    pub addresses_repaired: u64,
    pub conflicts: u64,
    #[serde(default)]
    pub reminders: u64,
    #[serde(default)]
    pub vrid_err: u64,
    #[serde(default)]
    pub destination_err: u64,
    #[serde(default)]
    pub unicast_src_err: u64,
    #[serde(default)]
    pub advert_ignored: u64,
    #[serde(default)]
    pub auth_ext_missing: u64,
    #[serde(default)]
    pub auth_ext_malformed: u64,
    #[serde(default)]
    pub auth_ext_unknown_key: u64,
    #[serde(default)]
    pub auth_ext_invalid_hmac: u64,
    #[serde(default)]
    pub auth_ext_stale: u64,
    #[serde(default)]
    pub auth_ext_replay: u64,
}
