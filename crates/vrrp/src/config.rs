//! What a virtual router is told to be. The configuration languages are lowered to these values.

mod authentication;
mod links;
mod pacing;

pub use authentication::{Authentication, Hmac, Key, KeyId, Mode, Password, Replay, Secret};
pub use links::{Beat, LinkDelay, Links, Polled};
pub use pacing::{Gap, PacedGroup, Pacing};

use evenkeel_wire::route::{Route, Rule};
use evenkeel_wire::{Family, Prefix};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::time::Duration;

/// Everything the vrrp role needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The virtual routers. [`InstanceId`](crate::InstanceId) is the index in this list.
    pub instances: Vec<Instance>,
    /// The check scripts that instances may track. [`ScriptId`](crate::ScriptId) is the index in this list.
    pub scripts: Vec<Script>,
    /// The sync groups. [`GroupId`](crate::GroupId) is the index in this list.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// What is in the kernel whoever is master.
    #[serde(default)]
    pub network: Box<Network>,
    /// How fast addresses are announced.
    #[serde(default)]
    pub pacing: Box<Pacing>,
    /// How the state of interfaces is found out, and when it counts.
    #[serde(default)]
    pub links: Box<Links>,
}

/// A `vrrp_sync_group`: instances that change state together. What the group tracks stands in each of its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The name after `vrrp_sync_group`.
    pub name: String,
    /// Its members, in the order of the file.
    pub members: Vec<crate::InstanceId>,
}

/// Addresses, routes and rules that are there from start to end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Each names its interface.
    pub addresses: Vec<VirtualAddress>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Policy rules.
    pub rules: Vec<Rule>,
    /// What instances depend on.
    pub groups: Vec<StaticGroup>,
    /// The table that packets to and from addresses are dropped by.
    #[serde(default)]
    pub firewall: Firewall,
}

/// How the table of nftables looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Its name.
    pub table: String,
    /// Priority of its chains.
    pub priority: i32,
    /// Its rules count what they match.
    pub counters: bool,
}

impl Default for Firewall {
    fn default() -> Self {
        Firewall { table: "keepalived".to_owned(), priority: -1, counters: false }
    }
}

/// A track_group: while something of it cannot be put back, the instances that track it have failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StaticGroup {
    /// Its name.
    pub name: String,
    /// Its addresses: indexes into [`Network::addresses`].
    pub addresses: Vec<usize>,
    /// Its routes: indexes into [`Network::routes`].
    pub routes: Vec<usize>,
    /// Its rules: indexes into [`Network::rules`].
    pub rules: Vec<usize>,
}

/// One virtual router on one interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// The name after `vrrp_instance`.
    pub name: String,
    /// Interface that adverts travel on and, unless an address says otherwise, that holds the addresses. Empty when peers
    /// are reached wherever routes lead: then there is a source, each address has its device, and packets have index 0.
    pub interface: String,
    /// Number of the virtual router on its link.
    pub vrid: Vrid,
    /// Protocol version.
    pub version: Version,
    /// Base priority; 255 owns the addresses.
    pub priority: Priority,
    /// `state MASTER` or `state BACKUP`: of little effect below priority 255 (keepalived, observed).
    pub initial: Initial,
    /// Time between adverts: whole seconds in version 2.
    pub advert_interval: Centis,
    /// What to do when a master of lower priority is heard.
    pub preempt: Preempt,
    /// Adverts that may be missed before a backup takes over; keepalived's `down_timer_adverts`.
    pub down_adverts: NonZeroU8,
    /// Addresses that stand in adverts, in order.
    pub addresses: Vec<VirtualAddress>,
    /// Addresses that are held but not advertised.
    pub excluded: Vec<VirtualAddress>,
    /// `use_vmac`, `use_ipvlan`: the interface on top of `interface` that it has for itself.
    #[serde(default)]
    pub own_link: Option<Box<OwnLink>>,
    /// `use_vmac` of single addresses and `use_vmac_addr`: interfaces that only hold addresses.
    #[serde(default)]
    pub address_links: Vec<AddressLink>,
    /// Packets to and from the addresses are dropped: `no_accept`, and strict mode below priority 255.
    #[serde(default)]
    pub refuses: bool,
    /// Routes that are there while it is master.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Policy rules that are there while it is master.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// How adverts are authenticated.
    pub authentication: Authentication,
    /// Version 3 checksum without pseudo header (RFC 9568 as keepalived's `v3_checksum_as_v2` reads it).
    pub v3_checksum_as_v2: bool,
    /// Source address of adverts; when absent the interface's first address, of IPv6 the first link-local one.
    pub source: Option<IpAddr>,
    /// The multicast group. Its family is that of the virtual router, of its addresses and of its peers.
    pub group: IpAddr,
    /// Adverts go to each of these instead of to `group`, unless there is none.
    pub peers: Vec<UnicastPeer>,
    /// TTL or hop limit of unicast adverts.
    pub unicast_ttl: u8,
    /// How the addresses are announced by gratuitous ARP.
    pub garp: Garp,
    /// Do not answer an advert of lower priority with one of ours.
    pub lower_prio_no_advert: bool,
    /// Send one last advert before yielding to a higher priority.
    pub higher_prio_send_advert: bool,
    /// The link state of `interface` does not matter.
    pub dont_track_primary: bool,
    /// `track_src_ip`: FAULT while the interface has not the configured source.
    pub track_source: bool,
    /// What in the configuration keeps it from ever being master: FAULT for good.
    pub obstacle: Option<String>,
    /// An owner of its addresses drops every advert.
    pub owner_ignores_adverts: bool,
    /// `timer_expired_backup`: with nopreempt, a master that was stopped for so long that a peer of this priority has taken
    /// over is a backup.
    pub expired_priority: Option<Priority>,
    /// With unicast: adverts count only from peers. A peer that limits the TTL asks for it too.
    pub check_unicast_source: bool,
    /// With unicast and version 3 over IPv4: the checksum of keepalived before 1.3.7.
    pub old_checksum: OldChecksum,
    /// Report each change of the effective priority.
    pub notify_priority_changes: bool,
    /// One that a reload takes away reports that, and no fault.
    #[serde(default)]
    pub notify_deleted: bool,
    /// Conditions that move the priority or forbid mastership.
    pub tracks: Vec<Track>,
}

impl Instance {
    /// The interface that holds the addresses which name none.
    pub fn device(&self) -> &str {
        self.own_link.as_ref().map_or(&self.interface, |link| &link.name)
    }

    /// The interface that holds one of the addresses.
    pub fn holds_on<'a>(&'a self, address: &'a VirtualAddress) -> &'a str {
        address.own_link.as_deref().or(address.device.as_deref()).unwrap_or(self.device())
    }

    /// The interface that adverts travel on.
    pub fn speaks_on(&self) -> &str {
        match &self.own_link {
            Some(link) if !link.transmit_below => &link.name,
            Some(_) | None => &self.interface,
        }
    }

    /// An instance with keepalived's defaults, of IPv4.
    pub fn new(name: &str, interface: &str, vrid: Vrid) -> Self {
        Instance {
            name: name.to_owned(),
            interface: interface.to_owned(),
            vrid,
            version: Version::V2,
            priority: Priority::DEFAULT,
            initial: Initial::Backup,
            advert_interval: Centis(100),
            preempt: Preempt::Always,
            down_adverts: NonZeroU8::new(3).expect("3 is not 0"),
            addresses: Vec::new(),
            excluded: Vec::new(),
            own_link: None,
            address_links: Vec::new(),
            refuses: false,
            routes: Vec::new(),
            rules: Vec::new(),
            authentication: Authentication::None,
            v3_checksum_as_v2: false,
            source: None,
            group: GROUP_V4.into(),
            peers: Vec::new(),
            unicast_ttl: 255,
            garp: Garp::default(),
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            dont_track_primary: false,
            track_source: false,
            obstacle: None,
            owner_ignores_adverts: false,
            expired_priority: None,
            check_unicast_source: false,
            old_checksum: OldChecksum::Learned,
            notify_priority_changes: false,
            notify_deleted: false,
            tracks: Vec::new(),
        }
    }

    /// What adverts travel in, and what the addresses in them are.
    pub fn family(&self) -> Family {
        Family::of(self.group)
    }

    /// Whether adverts go to peers, not to the group.
    pub fn is_unicast(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Whether this is one of the peers.
    pub fn has_peer(&self, address: IpAddr) -> bool {
        self.peers.iter().any(|peer| peer.address == address)
    }

    /// The simple password of version 2. Over IPv6 adverts only say that there is one (keepalived, observed).
    pub fn password(&self) -> Option<Password> {
        match (&self.authentication, self.version) {
            (Authentication::Password(password), Version::V2) => Some(*password),
            (
                Authentication::Password(_)
                | Authentication::None
                | Authentication::Header(_)
                | Authentication::Hmac(_),
                _,
            ) => None,
        }
    }
}

/// The group that all virtual routers of IPv4 listen to (RFC 9568 5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// The group that all virtual routers of IPv6 listen to (RFC 9568 5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// Somebody to whom adverts go directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnicastPeer {
    /// Where it is.
    pub address: IpAddr,
    /// The least TTL or hop limit that its adverts may arrive with.
    pub min_ttl: u8,
    /// The greatest.
    pub max_ttl: u8,
}

impl UnicastPeer {
    /// A peer whose adverts may have come from anywhere.
    pub fn new(address: IpAddr) -> Self {
        UnicastPeer { address, min_ttl: 0, max_ttl: u8::MAX }
    }
}

/// An interface that an instance has for itself. It is made and unmade by the shell; to the core the interface below is
/// the instance's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLink {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Adverts travel on the interface below, with its MAC.
    pub transmit_below: bool,
    /// Its group; the one of the interface below when absent.
    pub group: Option<u32>,
    /// `netlink_notify_msg`: whoever listens to netlink hears of the interface below when this one is made. Some drivers
    /// are silent about what that changes.
    #[serde(default)]
    pub tells_below: bool,
}

/// An interface with a virtual MAC on top of another one than the instance's, or of another family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressLink {
    /// Its name: [`VirtualAddress::own_link`].
    pub name: String,
    /// The interface below.
    pub below: String,
    /// Its MAC.
    pub mac: evenkeel_wire::Mac,
    /// Of the addresses on it.
    pub family: Family,
}

/// A kind of [`OwnLink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkKind {
    /// A macvlan with the virtual router's MAC.
    Vmac(evenkeel_wire::Mac),
    /// An ipvlan.
    Ipvlan {
        /// 0 bridge, 1 private, 2 vepa.
        flags: u16,
        /// Its own address.
        address: Option<Prefix>,
    },
}

/// Virtual router identifier, 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vrid(pub NonZeroU8);

impl Vrid {
    /// `None` for 0.
    pub fn new(number: u8) -> Option<Self> {
        NonZeroU8::new(number).map(Vrid)
    }

    /// The number on the wire.
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// Priority, 1 to 255. On the wire 0 means "I leave", which is no priority a router has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(pub NonZeroU8);

impl Priority {
    /// keepalived's and the RFC's default for a backup.
    pub const DEFAULT: Priority = Priority(NonZeroU8::new(100).expect("100 is not 0"));
    /// The router that owns the addresses.
    pub const OWNER: Priority = Priority(NonZeroU8::MAX);

    /// `None` for 0.
    pub fn new(number: u8) -> Option<Self> {
        NonZeroU8::new(number).map(Priority)
    }

    /// The number on the wire.
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// A span in hundredths of a second, the unit of version 3's interval field (12 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Centis(pub u16);

impl Centis {
    /// The same span as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0) * 10)
    }
}

/// Protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// RFC 3768.
    V2,
    /// RFC 5798 and RFC 9568.
    V3,
}

/// Whose destination a unicast checksum of version 3 has in its pseudo header: keepalived before 1.3.7 took the multicast
/// group there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldChecksum {
    /// The right one, until a peer is heard that has the old one; that is then answered alike.
    Learned,
    /// The old one.
    Always,
    /// The right one. An advert with the old one has a wrong checksum.
    Never,
}

/// The `state` keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Initial {
    /// `state MASTER`.
    Master,
    /// `state BACKUP`, the default.
    Backup,
}

/// When a master of lower priority is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preempt {
    /// Take over when the down timer runs out.
    Always,
    /// `preempt_delay`: accept its adverts for this long first.
    After(Duration),
    /// `nopreempt`.
    Never,
}

/// One address that moves with the virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// The address; `/32` unless the file says otherwise.
    pub prefix: Prefix,
    /// `dev`: another interface than the instance's.
    pub device: Option<String>,
    /// `brd`.
    pub broadcast: Option<Ipv4Addr>,
    /// `label`.
    pub label: Option<String>,
    /// `scope`, as rtnetlink numbers it; 0 is global.
    pub scope: u8,
    /// `peer`: the other end of a point-to-point link.
    #[serde(default)]
    pub peer: Option<Prefix>,
    /// `home`, `mngtmpaddr`, `noprefixroute`, `autojoin`, and the absence of `-nodad`: bits as rtnetlink has them.
    #[serde(default)]
    pub flags: u32,
    /// `preferred_lft` of IPv6 in seconds; forever when absent. 0: never chosen as a source.
    #[serde(default)]
    pub preferred: Option<u32>,
    /// `no_track`: its loss is nobody's business.
    #[serde(default)]
    pub untracked: bool,
    /// An interface with the virtual MAC, on top of `device`, that holds it. To the core it is on `device`.
    #[serde(default)]
    pub own_link: Option<String>,
}

impl VirtualAddress {
    /// The address on the instance's own interface with no extras.
    pub fn new(prefix: Prefix) -> Self {
        VirtualAddress {
            prefix,
            device: None,
            broadcast: None,
            label: None,
            scope: 0,
            peer: None,
            flags: 0,
            preferred: None,
            untracked: false,
            own_link: None,
        }
    }
}

/// Gratuitous ARP, as keepalived times it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garp {
    /// From becoming master to the second burst; zero means no second burst.
    pub delay: Duration,
    /// Messages for each address in a burst.
    pub repeat: u8,
    /// Period of the refresh while master; zero means none.
    pub refresh: Duration,
    /// Messages for each address in a refresh.
    pub refresh_repeat: u8,
    /// From a lower-priority advert to the second burst after it.
    pub lower_prio_delay: Duration,
    /// Messages in a burst after a lower-priority advert; 0 means none.
    pub lower_prio_repeat: u8,
    /// One address of each other interface, time and again while master.
    #[serde(default)]
    pub extra: Option<Extra>,
}

/// `garp_extra_if`: adverts keep the instance's own interface in the tables of switches, and nothing does so for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// Its period.
    pub period: Duration,
    /// On all other interfaces, not only on those that addresses have for themselves.
    pub everywhere: bool,
}

impl Default for Garp {
    fn default() -> Self {
        Garp {
            delay: Duration::from_secs(5),
            repeat: 5,
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_prio_delay: Duration::from_secs(5),
            lower_prio_repeat: 5,
            extra: None,
        }
    }
}

/// A condition that an instance watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// What is watched.
    pub target: TrackTarget,
    /// 0: failure means FAULT. Positive: added while it is well. Negative: subtracted while it is not. Of a file: what
    /// its number is multiplied with.
    pub weight: i16,
    /// `reverse`: well and not well change places.
    pub reverse: bool,
}

/// What a [`Track`] watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrackTarget {
    /// Another interface's link state.
    Interface(String),
    /// A script: index into [`Config::scripts`].
    Script(crate::ScriptId),
    /// A BFD session, by its name: it is Up, or was when the peer took it down in an orderly way (AdminDown).
    Bfd(String),
    /// A `track_file`, by its name: the number in it, which is 0 when there is none.
    File(String),
    /// A `vrrp_track_process`, by its name: as many processes run as there should.
    Processes(String),
    /// The local proxy: it runs, answers on its listeners, and each upstream it serves has a live server.
    Proxy,
    /// What is in the kernel from start to end: a group of [`Network::groups`], by name.
    Static(String),
}

/// The judging half of a `vrrp_script`; running it is the supervisor's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The name after `vrrp_script`.
    pub name: String,
    /// Successes in a row that make it well again.
    pub rise: u32,
    /// Failures in a row that make it fail.
    pub fall: u32,
}
