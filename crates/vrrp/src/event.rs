use crate::config::{VirtualAddress, Vrid};
use evenkeel_wire::Mac;
use evenkeel_wire::arp::Arp;
use evenkeel_wire::ndp::Advertisement;
use evenkeel_wire::route::{Route, Rule};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Index of an instance in [`Config::instances`](crate::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// Among the actions of [`Router::reconfigure`](crate::Router::reconfigure): the index in the old configuration
    /// of an instance that is gone; `None` for one of the new configuration, which has `n_instances`.
    pub fn departed(self, n_instances: usize) -> Option<usize> {
        (self.0 as usize).checked_sub(n_instances)
    }
}

/// Index of a script in [`Config::scripts`](crate::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScriptId(pub u32);

/// Index of a sync group in [`Config::groups`](crate::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u32);

/// All that can happen to a virtual router. The set is closed, so that a new one walks the compiler around the core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The deadline that [`Router::deadline`](crate::Router::deadline) named has come. Harmless when early.
    Deadline,
    /// An interface exists, or something about it changed. The first report of an interface ties its name to its index.
    Interface(Interface),
    /// An interface is gone.
    InterfaceGone {
        /// Kernel index it had.
        index: u32,
    },
    /// A whole IPv4 packet of protocol 112, as a raw socket delivers it.
    Packet {
        /// Index of the interface it came in on.
        interface: u32,
        /// IPv4 header and all that follows.
        bytes: Vec<u8>,
    },
    /// An IPv6 packet of protocol 112, of which a raw socket delivers the inside. The kernel has checked its checksum.
    Packet6 {
        /// Index of the interface it came in on.
        interface: u32,
        /// Who sent it.
        source: Ipv6Addr,
        /// Multicast group, or an address of this node.
        destination: Ipv6Addr,
        /// What the IPv6 header said when it arrived.
        hop_limit: u8,
        /// All that follows the IPv6 header.
        bytes: Vec<u8>,
    },
    /// An ARP message that somebody else sent.
    Arp {
        /// Index of the interface it came in on.
        interface: u32,
        /// The message.
        arp: Arp,
    },
    /// A neighbour advertisement that somebody else sent: what ARP is to IPv4.
    Neighbour {
        /// Index of the interface it came in on.
        interface: u32,
        /// The message.
        advert: Advertisement,
    },
    /// The kernel no longer has this address, though nobody here asked for that.
    AddressVanished {
        /// Index of the interface that had it.
        interface: u32,
        /// The address.
        address: IpAddr,
    },
    /// The kernel no longer has a route or rule of this instance, though nobody here asked for that.
    RouteVanished {
        /// Whose.
        instance: InstanceId,
        /// What, in words: `route 10.0.0.0/8 via 10.0.0.1`.
        what: String,
    },
    /// Whether a group of [`Network::groups`](crate::config::Network::groups) is all there.
    Static {
        /// Its name.
        group: String,
        /// Nothing of it is missing.
        whole: bool,
        /// What is missing, in words for people.
        reason: String,
    },
    /// One run of a check script is over.
    ScriptEnded {
        /// Which script.
        script: ScriptId,
        /// How it ended.
        outcome: ScriptOutcome,
    },
    /// A BFD session came up or went down.
    Bfd {
        /// Its name.
        session: String,
        /// Whether it is up.
        up: bool,
        /// Why, in words for people.
        reason: String,
    },
    /// The number in a tracked file was read.
    File {
        /// Name of the `track_file`.
        name: String,
        /// The number; 0 when there is no file or no number in it.
        value: i32,
    },
    /// The processes of a `vrrp_track_process` were counted.
    Processes {
        /// Its name.
        name: String,
        /// As many run as there should.
        well: bool,
        /// How many, in words.
        detail: String,
    },
    /// The supervisor's view of the local proxy changed.
    Proxy {
        /// It runs, answers, and every upstream has a live server.
        healthy: bool,
        /// Why, in words for people.
        reason: String,
    },
    /// A process that was master for this instance died a moment ago, and this router takes its place. Starting within
    /// this time it goes on as master, unless it hears of a better one first. Told before any interface; afterwards it
    /// changes nothing.
    Resume {
        /// Which instance.
        instance: InstanceId,
        /// For how much longer nobody else can have taken over.
        within: Duration,
    },
    /// The daemon or the machine has just started: nothing is to be done for so long. Told before any interface.
    Delay(Duration),
    /// What the wall clock shows now, which `auth_hmac` needs: told at the start, and whenever it no longer goes as the
    /// clock of the events does. Before the first one it shows the time since that clock's origin.
    Clock {
        /// Since 1970 in UTC.
        utc: Duration,
    },
    /// Maintenance of this node begins, becomes another one, or ends. Told to a new router before any interface when it
    /// goes on.
    Maintenance(Maintenance),
    /// A person asked for something.
    Command(Command),
    /// Hand over every address, then report [`Action::Stopped`].
    Shutdown,
}

/// State of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Kernel index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Administratively up and with carrier.
    pub up: bool,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its addresses that packets can be sent from, primary ones first, including any virtual ones now present. IPv6
    /// addresses are not among them while they are tentative.
    pub addresses: Vec<IpAddr>,
}

/// How a check script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptOutcome {
    /// Exit status 0.
    Success,
    /// Any other exit status, or death by a signal.
    Failure {
        /// The exit status, or 128 + the signal.
        status: i32,
    },
    /// It was stopped because it ran beyond its time.
    TimedOut,
}

/// Whether this node leaves its addresses to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Maintenance {
    /// It does not.
    #[default]
    Off,
    /// It hands over, and takes an address only when nobody else answers for it.
    Yielding,
    /// It hands over, and takes no address.
    Strict,
}

impl Maintenance {
    /// Of either kind.
    pub fn is_on(self) -> bool {
        self != Maintenance::Off
    }
}

/// What a person may ask of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Hand over to a peer without loss, and do not take back before `Failback`.
    Failover(InstanceId),
    /// End the effect of `Failover`.
    Failback(InstanceId),
    /// Announce the addresses once more, if they are here.
    Announce(InstanceId),
}

/// What the shell has to do, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Put this advert on the wire.
    SendAdvert {
        /// Whose advert it is.
        instance: InstanceId,
        /// Index of the interface to send from.
        interface: u32,
        /// Where it comes from.
        source: IpAddr,
        /// Multicast group or unicast peer.
        destination: IpAddr,
        /// Its TTL or hop limit.
        ttl: u8,
        /// IPv4: the whole packet, from its header on. IPv6: what follows the header, with zeros where the kernel puts
        /// the checksum.
        packet: Vec<u8>,
    },
    /// From now on the kernel must have exactly these of the instance's addresses, routes and rules; none when empty.
    Hold {
        /// Whose addresses.
        instance: InstanceId,
        /// What to hold.
        addresses: Vec<VirtualAddress>,
        /// Routes, for when the addresses are there.
        routes: Vec<Route>,
        /// Rules, for when the routes are there.
        rules: Vec<Rule>,
    },
    /// Send `count` gratuitous ARPs, or unsolicited neighbour advertisements, for each of these addresses.
    Announce {
        /// Whose addresses.
        instance: InstanceId,
        /// What to announce.
        addresses: Vec<VirtualAddress>,
        /// Messages for each address.
        count: u8,
    },
    /// Ask by ARP or neighbour solicitation whether anybody else has this address.
    Probe {
        /// Index of the interface to ask on.
        interface: u32,
        /// Who asks, where that has to be said: in IPv6 answers come to it. Of the family of `address`.
        source: IpAddr,
        /// The address.
        address: IpAddr,
    },
    /// Adverts came for a virtual router that is not configured on their interface. Said once for each.
    Unclaimed {
        /// Index of the interface.
        interface: u32,
        /// The virtual router.
        vrid: Vrid,
    },
    /// Tell scripts and FIFOs about a state, or about an event that is none.
    Notify {
        /// Whose state.
        instance: InstanceId,
        /// The state.
        state: Report,
        /// Effective priority.
        priority: u8,
    },
    /// Tell scripts and FIFOs about a state of a sync group: after those of its members.
    NotifyGroup {
        /// Whose state.
        group: GroupId,
        /// The state.
        state: Report,
    },
    /// Compare the addresses in the kernel with those of every [`Action::Hold`]: report those that are missing
    /// ([`Event::AddressVanished`]), and take away what nobody holds.
    Compare,
    /// A decision and its reason, for the log and for `why`.
    Explain(Transition),
    /// After [`Event::Shutdown`]: everything is released.
    Stopped,
}

/// A state as keepalived's notify scripts hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Report {
    /// The addresses are here.
    Master,
    /// Somebody else has, or may have, the addresses.
    Backup,
    /// This node may not have the addresses.
    Fault,
    /// The daemon stops.
    Stop,
    /// A reload took the instance away.
    Deleted,
    /// No state: a master heard an advert of lower priority.
    MasterRxLowerPri,
    /// No state: the effective priority of a master changed.
    MasterPriority,
    /// No state: the effective priority of one that is no master changed.
    BackupPriority,
}

/// Names of the states, as logs and `status` print them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateName {
    /// Not started: the interface has not been reported yet, or a tracker has not run.
    Init,
    /// Listening for a master.
    Backup,
    /// Holding the addresses.
    Master,
    /// Still answering for the addresses until the peer has taken over.
    Leaving,
    /// Something this instance depends on has failed.
    Fault,
    /// Shut down.
    Stopped,
}

/// Why an instance did what it did. Not only changes of state: a repaired address or a conflict is one too
/// (`from` equals `to`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Which instance.
    pub instance: InstanceId,
    /// State before.
    pub from: StateName,
    /// State after.
    pub to: StateName,
    /// What happened, with its figures: `no advert from 10.0.0.10 for 3.61 s`.
    pub trigger: String,
    /// The rule that applied, with its source: `master down interval = 3 x 1 s + skew 0.61 s (RFC 9568 6.1)`.
    pub rule: String,
    /// What was decided: `take over 10.0.0.100`.
    pub decision: String,
    /// From the cause to the decision, where the two lie apart (an advert that stayed out); zero otherwise.
    pub waited: Duration,
}
