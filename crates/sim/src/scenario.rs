//! What one seed stands for: the nodes, how bad the LAN is, what goes wrong and when, and what stays wrong.

use crate::daemon::Program;
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
    },
    /// A reload with another priority.
    Reprioritise {
        node: usize,
        priority: u8,
    },
}

/// How the master is made to go after settling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    Shutdown,
    Failover,
}

/// Primary address of a node, from which its adverts come.
pub(crate) fn primary(node: usize, family: Family) -> IpAddr {
    on_link(10 + node as u8, family)
}

/// An address of the LAN.
fn on_link(last: u8, family: Family) -> IpAddr {
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
        let chaos = advert * (20 + random.below(60) as u32);
        let down_interval = advert * 5;
        let programs: &[Program] =
            if random.percent(50) { &[Program::Evenkeel] } else { &[Program::Evenkeel, Program::Keepalived] };
        let mut plan = |config| {
            let program = random.pick(programs);
            NodePlan {
                program,
                config: fit(program, config),
                clock_offset: random.span(Duration::ZERO, Duration::from_secs(1_000_000)),
                starts_at: random.span(Duration::ZERO, advert * 2),
                first_index: 1 + random.below(9) as u32,
            }
        };
        let nodes = configs.into_iter().map(&mut plan).collect();
        let delay = random.span(Duration::from_micros(20), (advert / 20).min(Duration::from_millis(5)));
        let good_lan = Quality { loss_percent: 0, duplicate_percent: 0, delay, jitter: Duration::ZERO };
        let bad_lan = Quality {
            loss_percent: random.pick(&[0, 0, 1, 5, 20, 40]),
            duplicate_percent: random.pick(&[0, 0, 2, 20]),
            delay,
            jitter: random.pick(&[Duration::ZERO, advert / 100, advert / 4, advert]),
        };
        Scenario {
            nodes,
            bad_lan,
            good_lan,
            faults: faults(random, n_nodes, advert, chaos),
            heals_at: chaos,
            lasting: lasting(random, n_nodes),
            down_interval,
            // In version 2 it is a second at most, and so is the interval at least; in version 3 it is one interval.
            longest_skew: advert + delay * 2 + Duration::from_millis(5),
            settles_for: down_interval * 6 + preempt_delay * 2 + script_interval * 6 + Duration::from_millis(200),
            handover: random.pick(&[Handover::Shutdown, Handover::Failover]),
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
    tracks
}

/// A list of mishaps, most of them with the cure some time later.
fn faults(random: &mut Random, n_nodes: usize, advert: Duration, chaos: Duration) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    for _ in 0..random.below(9) {
        let at = random.span(advert, chaos);
        let mut cured_at = at + random.span(advert / 4, advert * 12);
        let node = random.below(n_nodes);
        let instance = random.below(2);
        let (fault, cure) = match random.below(13) {
            0 => (Fault::PowerOff(node), Some(Fault::Start(node))),
            1 => {
                // A supervisor starts its role again at once, most of the time.
                if random.below(2) == 0 {
                    cured_at = at + random.span(advert / 100, advert * 2);
                }
                (Fault::Kill(node), Some(Fault::Start(node)))
            }
            2 => (Fault::Link { node, name: LINK, up: false }, Some(Fault::Link { node, name: LINK, up: true })),
            3 => {
                let link = |up| Fault::Link { node, name: OTHER_LINK, up };
                (link(false), Some(link(true)))
            }
            4 | 5 => (Fault::Script { node, works: false }, Some(Fault::Script { node, works: true })),
            6 => (Fault::Proxy { node, healthy: false }, Some(Fault::Proxy { node, healthy: true })),
            7 => (partition(random, n_nodes), Some(Fault::Reconnect)),
            8 => {
                let to = (node + 1 + random.below(n_nodes - 1)) % n_nodes;
                (Fault::OneWay { from: node, to }, Some(Fault::Reconnect))
            }
            9 => (Fault::Shutdown(node), Some(Fault::Start(node))),
            10 => (Fault::Failover { node, instance }, Some(Fault::Failback { node, instance })),
            11 => (Fault::RemoveAddress { node, instance }, None),
            _ => (Fault::Reprioritise { node, priority: 1 + random.below(254) as u8 }, None),
        };
        faults.push((at, fault));
        // Some cures come only with the general healing.
        if let Some(cure) = cure
            && random.percent(70)
        {
            faults.push((cured_at, cure));
        }
    }
    faults
}

fn partition(random: &mut Random, n_nodes: usize) -> Fault {
    Fault::Partition((0..n_nodes).map(|_| random.below(2) as u8).collect())
}

/// What is still wrong when the nodes must have agreed: they have to live with it.
fn lasting(random: &mut Random, n_nodes: usize) -> Vec<Fault> {
    let mut lasting = Vec::new();
    if random.percent(20) {
        lasting.push(partition(random, n_nodes));
    }
    for node in 0..n_nodes {
        if random.percent(10) {
            lasting.push(match random.below(6) {
                0 => Fault::PowerOff(node),
                1 => Fault::Kill(node),
                2 => Fault::Link { node, name: LINK, up: false },
                3 => Fault::Link { node, name: OTHER_LINK, up: false },
                4 => Fault::Script { node, works: false },
                _ => Fault::Proxy { node, healthy: false },
            });
        }
    }
    lasting
}
