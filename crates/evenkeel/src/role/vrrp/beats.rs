//! Interfaces whose carrier is asked for: keepalived's linkbeat.

use evenkeel_kernel::link_beat::{LinkBeat, Way};
use evenkeel_vrrp::config::{Beat, TrackTarget};
use evenkeel_vrrp::{Config, Interface};
use evenkeel_wire::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// As often as keepalived asks.
const PERIOD: Duration = Duration::from_secs(1);

/// Nobody is asked unless the configuration says so.
pub enum Beats {
    Unasked,
    Asked { socket: LinkBeat, next_at: Instant, interfaces: BTreeMap<String, Polled> },
}

pub struct Polled {
    ways: &'static [Way],
    /// What the driver said last; `None` while it says nothing.
    carrier: Option<bool>,
}

impl Beats {
    pub fn new(config: &Config, now: Instant) -> anyhow::Result<Self> {
        let names = polled(config);
        if names.is_empty() {
            return Ok(Beats::Unasked);
        }
        let interfaces = names.into_iter().map(|(name, ways)| (name, Polled { ways, carrier: None })).collect();
        let mut beats = Beats::Asked { socket: LinkBeat::open()?, next_at: now, interfaces };
        beats.ask(now);
        Ok(beats)
    }

    /// Takes another configuration; without a socket nobody is asked, and that is said.
    pub fn configure(&mut self, config: &Config, now: Instant) {
        *self = Beats::new(config, now).unwrap_or_else(|error| {
            tracing::error!(target: "vrrp", "no interface is asked for its carrier: {error}");
            Beats::Unasked
        });
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Beats::Unasked => None,
            Beats::Asked { next_at, .. } => Some(*next_at),
        }
    }

    /// Asks all of them; whether one says something else than before.
    pub fn ask(&mut self, now: Instant) -> bool {
        let Beats::Asked { socket, next_at, interfaces } = self else { return false };
        *next_at = now + PERIOD;
        let mut changed = false;
        for (name, polled) in interfaces {
            // Without an answer netlink is believed: the interface may be gone.
            let carrier = socket.ask(name, polled.ways).ok();
            if carrier != polled.carrier {
                tracing::info!(target: "vrrp", "{name}: the driver says {}", word(carrier));
                polled.carrier = carrier;
                changed = true;
            }
        }
        changed
    }

    /// An interface is up when netlink and driver say so.
    pub fn apply(&self, interface: &mut Interface) {
        if let Beats::Asked { interfaces, .. } = self
            && let Some(Polled { carrier: Some(carrier), .. }) = interfaces.get(&interface.name)
        {
            interface.up &= carrier;
        }
    }
}

fn word(carrier: Option<bool>) -> &'static str {
    match carrier {
        Some(true) => "that there is carrier",
        Some(false) => "that there is no carrier",
        None => "nothing of carrier; what netlink says counts",
    }
}

/// Those that count for some instance and do not stand on another interface, as in keepalived.
fn polled(config: &Config) -> BTreeMap<String, &'static [Way]> {
    let mut names = BTreeSet::new();
    for instance in &config.instances {
        names.insert(&instance.interface);
        names.extend(instance.addresses.iter().chain(&instance.excluded).filter_map(|address| address.device.as_ref()));
        names.extend(instance.tracks.iter().filter_map(|track| match &track.target {
            TrackTarget::Interface(name) => Some(name),
            _ => None,
        }));
    }
    for instance in &config.instances {
        names.retain(|name| instance.own_link.as_ref().is_none_or(|link| link.name != **name));
    }
    let asked = |name: &&String| config.links.polled.iter().find(|polled| polled.interface == **name);
    let chosen = names.into_iter().filter(|name| !name.is_empty());
    let chosen = chosen.filter_map(|name| match asked(&name) {
        Some(polled) => Some((name.clone(), ways(polled.beat))),
        None => config.links.polls_all.then(|| (name.clone(), ways(Beat::default()))),
    });
    chosen.collect()
}

/// The preferred one, and what is tried where a driver does not know it.
fn ways(beat: Beat) -> &'static [Way] {
    match beat {
        Beat::Mii => &[Way::Mii, Way::Ethtool, Way::Flags],
        Beat::Ethtool => &[Way::Ethtool, Way::Mii, Way::Flags],
        Beat::Ioctl => &[Way::Flags],
    }
}
