//! What one seed stands for: the nodes, how bad the LAN is, what goes wrong and when, and what stays wrong.

use crate::bfd;
use crate::daemon::Program;
use crate::faults::{faults, lasting};
use crate::node::Node;
use crate::random::Random;
use evenkeel_vrrp::config::{
    Authentication, Centis, GROUP_V6, Garp, Group, Initial, Instance, Password, Preempt, Priority, Script, Track,
    TrackTarget, UnicastPeer, Version, VirtualAddress, Vrid,
};
use evenkeel_vrrp::{Config, InstanceId, ScriptId};
use evenkeel_wire::{Family, Prefix};
use std::net::IpAddr;
use std::time::Duration;

/// The interface that adverts travel on.
pub(crate) const LINK: &str = "eth0";
/// An interface that may be tracked.
pub(crate) const OTHER_LINK: &str = "eth1";

/// A file that may be tracked.
pub(crate) const FILE: &str = "load";
/// Processes that may be tracked.
pub(crate) const PROCESSES: &str = "nginx";

/// A BFD session that may be tracked.
pub(crate) const BFD: &str = "next";

/// Everything that a seed determines before the clock starts.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) nodes: Vec<NodePlan>,
    /// The LAN until it heals.
    pub(crate) bad_lan: Quality,
    /// The LAN afterwards.
    pub(crate) good_lan: Quality,
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// When everything but `lasting` is put right.
    pub(crate) heals_at: Duration,
    pub(crate) lasting: Vec<Fault>,
    /// Upper bound of the master-down interval of any node.
    pub(crate) down_interval: Duration,
    /// Upper bound of the time from a priority 0 to an answer by its hearers.
    pub(crate) longest_skew: Duration,
    /// How long after healing the nodes have to agree.
    pub(crate) settles_for: Duration,
    /// That, of BFD sessions.
    pub(crate) sessions_settle_for: Duration,
    pub(crate) handover: Handover,
    pub(crate) script_interval: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct NodePlan {
    pub(crate) program: Program,
    pub(crate) config: Config,
    /// What its clock shows when the simulation starts.
    pub(crate) clock_offset: Duration,
    pub(crate) starts_at: Duration,
    pub(crate) bfd: Option<evenkeel_bfd::Config>,
    /// `vrrp_startup_delay`.
    pub(crate) startup_delay: Option<Duration>,
    /// Index of its first interface: nodes must not take theirs for somebody else's.
    pub(crate) first_index: u32,
}

/// How a LAN treats each message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    pub(crate) loss_percent: u8,
    pub(crate) duplicate_percent: u8,
    pub(crate) delay: Duration,
    /// Added to the delay of each message by chance; messages overtake one another when it is not zero.
    pub(crate) jitter: Duration,
}

/// Something that happens to a node or to the LAN.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The machine loses power: process and kernel state are gone.
    PowerOff(usize),
    /// The process is killed: its addresses stay in the kernel.
    Kill(usize),
    Start(usize),
    Link {
        node: usize,
        name: &'static str,
        up: bool,
    },
    Script {
        node: usize,
        works: bool,
    },
    Proxy {
        node: usize,
        healthy: bool,
    },
    /// Nodes hear only those with the same number.
    Partition(Vec<u8>),
    /// `to` does not hear `from`.
    OneWay {
        from: usize,
        to: usize,
    },
    Reconnect,
    Shutdown(usize),
    Failover {
        node: usize,
        instance: usize,
    },
    Failback {
        node: usize,
        instance: usize,
    },
    /// Somebody types `ip address del`.
    RemoveAddress {
        node: usize,
        instance: usize,
        report: Report,
    },
    /// Somebody types `ip address add` on a machine that is not to have it.
    AddAddress {
        node: usize,
        instance: usize,
    },
    /// A reload of an edited file.
    Reload {
        node: usize,
        edit: Edit,
    },
    /// Another number in the tracked file.
    File {
        node: usize,
        value: i32,
    },
    /// As many processes run as there should, or not.
    Processes {
        node: usize,
        well: bool,
    },
    /// The process gets no time for so long, and then finds all that came meanwhile.
    Pause {
        node: usize,
        lasts: Duration,
        clock: Clock,
    },
    /// Somebody sets the wall clock.
    WallClock(usize),
    /// A foreign machine has an address of an instance, and with a priority it is a master of it.
    Guest {
        instance: usize,
        priority: Option<u8>,
    },
    GuestLeaves,
}

/// Whether netlink tells of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Comes,
    Lost,
}

/// What becomes of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// This priority in all instances.
    Priority(u8),
    /// The last instance is not in it.
    WithoutLast,
    /// It is what it was at the start.
    Original,
    /// All instances are there, whatever their priorities.
    Restored,
}

/// The monotonic clock of a machine that pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The process was stopped.
    Runs,
    /// The machine was suspended.
    Stands,
}

/// How the master is made to go after settling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// It stops, and is started again.
    Shutdown,
    /// `failover`, and then `failback`.
    Failover,
    /// A reload gives it the lowest priority, and another one its own again.
    Reload,
    /// What it tracks with a weight fails, and is well again.
    Weight,
}

/// Primary address of a node, from which its adverts come.
pub(crate) fn primary(node: usize, family: Family) -> IpAddr {
    on_link(10 + node as u8, family)
}

/// An address of the LAN.
pub(crate) fn on_link(last: u8, family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([10, 0, 0, last]),
        Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(last)]),
    }
}

impl Scenario {
    pub(crate) fn new(random: &mut Random) -> Self {
        let n_nodes = random.pick(&[2, 2, 2, 3, 3, 4, 5]);
        let version = random.pick(&[Version::V2, Version::V3]);
        let interval = match version {
            // Version 2 has whole seconds on the wire.
            Version::V2 => Centis(random.pick(&[100, 100, 200])),
            Version::V3 => Centis(random.pick(&[1, 2, 5, 10, 33, 100, 200])),
        };
        let advert = interval.duration();
        let script_interval = (advert * (1 + random.below(3) as u32)).max(Duration::from_millis(20));
        let (configs, preempt_delay) = configs(random, n_nodes, version, interval);
        let chaos = advert * (20 + random.below(40) as u32);
        let down_interval = advert * 5;
        let programs: &[Program] =
            if random.percent(50) { &[Program::Evenkeel] } else { &[Program::Evenkeel, Program::Keepalived] };
        let startup_delay = random.percent(15).then(|| advert * (1 + random.below(8) as u32));
        let has_bfd = random.percent(15);
        let bfd_interval = (advert / 2).max(Duration::from_millis(50));
        let bfd_weight = random.pick(&[0, -40, 20]);
        let mut plan = |(n, mut config): (usize, Config)| {
            if has_bfd {
                track_bfd(&mut config, bfd_weight);
            }
            let program = random.pick(programs);
            NodePlan {
                program,
                config: fit(program, config),
                clock_offset: random.span(Duration::ZERO, Duration::from_secs(1_000_000)),
                starts_at: random.span(Duration::ZERO, advert * 2),
                bfd: has_bfd.then(|| bfd::config(n, n_nodes, bfd_interval)),
                startup_delay,
                first_index: 1 + random.below(9) as u32,
            }
        };
        let nodes = configs.into_iter().enumerate().map(&mut plan).collect();
        let delay = random.span(Duration::from_micros(20), (advert / 20).min(Duration::from_millis(5)));
        let good_lan = Quality { loss_percent: 0, duplicate_percent: 0, delay, jitter: Duration::ZERO };
        let bad_lan = Quality {
            loss_percent: random.pick(&[0, 0, 1, 5, 20, 40]),
            duplicate_percent: random.pick(&[0, 0, 2, 20]),
            delay,
            jitter: random.pick(&[Duration::ZERO, advert / 100, advert / 4, advert]),
        };
        let faults = faults(random, n_nodes, advert, chaos);
        // Claims are followed for seconds, and so is what nobody reported, however fast adverts are.
        let is_slow = |fault: &Fault| {
            matches!(fault, Fault::RemoveAddress { .. } | Fault::AddAddress { .. } | Fault::Guest { .. })
        };
        let slow =
            if faults.iter().any(|(_, fault)| is_slow(fault)) { Node::UNREPORTED_REPAIR_TIME } else { Duration::ZERO };
        // A session that is down speaks once a second.
        let sessions_settle_for = if has_bfd { bfd_interval * 6 + Duration::from_secs(4) } else { Duration::ZERO };
        let settles_for = down_interval * 4
            + preempt_delay * 2
            + script_interval * 6
            + startup_delay.unwrap_or_default()
            + slow
            + sessions_settle_for
            + Duration::from_millis(200);
        Scenario {
            nodes,
            bad_lan,
            good_lan,
            faults,
            heals_at: chaos,
            lasting: lasting(random, n_nodes),
            down_interval,
            // In version 2 it is a second at most, and so is the interval at least; in version 3 it is one interval.
            longest_skew: advert + delay * 2 + Duration::from_millis(5),
            settles_for,
            sessions_settle_for,
            handover: random.pick(&[Handover::Shutdown, Handover::Failover, Handover::Reload, Handover::Weight]),
            script_interval,
        }
    }
}

/// Configurations that belong together, and the longest `preempt_delay` in them.
fn configs(random: &mut Random, n_nodes: usize, version: Version, interval: Centis) -> (Vec<Config>, Duration) {
    let n_instances = random.pick(&[1, 1, 1, 2, 2, 3]);
    let [first, second, third, excluded_family] = [0; 4].map(|_| random.pick(&[Family::V4, Family::V4, Family::V6]));
    let families = [first, second, third];
    let advert = interval.duration();
    let preempt_delay = advert * (1 + random.below(10) as u32);
    let preempts = match random.below(5) {
        0 => vec![Preempt::Never],
        1 => vec![Preempt::After(preempt_delay)],
        2 => vec![Preempt::Always, Preempt::Never, Preempt::After(preempt_delay)],
        _ => vec![Preempt::Always],
    };
    let password = (version == Version::V2 && random.percent(50)).then(|| Password::new("42secret"));
    let unicast = random.percent(30);
    let equal_priorities = random.percent(20);
    let owner = random.percent(8).then(|| random.below(n_nodes));
    let n_addresses = random.pick(&[1, 1, 1, 2, 4]);
    let excluded = random.percent(20);
    let tracks = tracks(random);
    let script = Script { name: "chk".to_owned(), rise: 1 + random.below(3) as u32, fall: 1 + random.below(3) as u32 };
    let garp = Garp {
        delay: advert * random.below(6) as u32,
        refresh: random.pick(&[Duration::ZERO, advert * 3]),
        lower_prio_delay: advert * random.below(6) as u32,
        ..Garp::default()
    };
    let lower_prio_no_advert = random.percent(20);
    let higher_prio_send_advert = random.percent(20);
    let is_group = n_instances > 1 && random.percent(50);
    let configs = (0..n_nodes).map(|node| {
        let preempt_of_group = random.pick(&preempts);
        let instances = (0..n_instances).map(|k| {
            let vrid = Vrid::new(51 + k as u8).expect("51 and more are not 0");
            let mut instance = Instance::new(&format!("VI_{}", k + 1), LINK, vrid);
            instance.version = version;
            // In version 3 a backup learns its master's interval, so that neighbours may differ.
            instance.advert_interval = match version {
                Version::V3 if random.percent(10) => Centis((interval.0 / 2).max(1)),
                Version::V2 | Version::V3 => interval,
            };
            // Members with different favourites would leave it to chance where their group is.
            let rank = if is_group { node } else { (node + k) % n_nodes };
            let priority = match (equal_priorities, owner == Some(node)) {
                (_, true) => 255,
                (true, false) => 100,
                (false, false) => 150 - 20 * rank as u8,
            };
            instance.priority = Priority::new(priority).expect("priorities above are not 0");
            instance.initial = random.pick(&[Initial::Master, Initial::Backup]);
            instance.preempt = if is_group { preempt_of_group } else { random.pick(&preempts) };
            let family = families[k];
            if family == Family::V6 {
                instance.group = GROUP_V6.into();
            }
            instance.addresses = (0..n_addresses).map(|a| address(100 + 20 * k as u8 + a, family)).collect();
            instance.excluded = excluded.then(|| address(110 + 20 * k as u8, excluded_family)).into_iter().collect();
            instance.authentication = password.map_or(Authentication::None, Authentication::Password);
            if unicast {
                let others = (0..n_nodes).filter(|other| *other != node);
                instance.peers = others.map(|other| UnicastPeer::new(primary(other, family))).collect();
            }
            instance.garp = garp;
            instance.lower_prio_no_advert = lower_prio_no_advert;
            instance.higher_prio_send_advert = higher_prio_send_advert;
            instance.tracks = tracks.clone();
            instance
        });
        let instances: Vec<_> = instances.collect();
        let members = (0..n_instances as u32).map(InstanceId).collect();
        let group = Group { name: "G1".to_owned(), members };
        let groups = is_group.then_some(group).into_iter().collect();
        Config { instances, scripts: vec![script.clone()], groups, ..Config::default() }
    });
    (configs.collect(), preempt_delay)
}

fn track_bfd(config: &mut Config, weight: i16) {
    for instance in &mut config.instances {
        instance.tracks.push(Track { target: TrackTarget::Bfd(BFD.to_owned()), weight, reverse: false });
    }
}

/// A keepalived has no proxy of ours to track.
fn fit(program: Program, mut config: Config) -> Config {
    if program == Program::Keepalived {
        for instance in &mut config.instances {
            instance.tracks.retain(|track| track.target != TrackTarget::Proxy);
        }
    }
    config
}

fn address(last: u8, family: Family) -> VirtualAddress {
    VirtualAddress::new(Prefix::host(on_link(last, family)))
}

fn tracks(random: &mut Random) -> Vec<Track> {
    let targets = [TrackTarget::Script(ScriptId(0)), TrackTarget::Proxy, TrackTarget::Interface(OTHER_LINK.to_owned())];
    let mut tracks = Vec::new();
    for target in targets {
        if random.percent(35) {
            let weight = random.pick(&[0, 0, 30, -30, 10, -60, 253]);
            tracks.push(Track { target, weight, reverse: weight != 0 && random.percent(10) });
        }
    }
    if random.percent(20) {
        let weight = random.pick(&[0, 1, -1, 3, -3]);
        let target = TrackTarget::File(FILE.to_owned());
        tracks.push(Track { target, weight, reverse: weight != 0 && random.percent(10) });
    }
    if random.percent(20) {
        let weight = random.pick(&[0, 20, -20]);
        let target = TrackTarget::Processes(PROCESSES.to_owned());
        tracks.push(Track { target, weight, reverse: weight != 0 && random.percent(10) });
    }
    tracks
}
