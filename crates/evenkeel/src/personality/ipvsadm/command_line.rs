//! A command line, from words to what is to be done.

use super::option::{Given, Name, OF_TUNNEL, Reader, Word, rule, tunnel_rule};
use super::{Failure, help, value};
use crate::render::connections::Engines;
use crate::render::table::View;
use evenkeel_balance::table::{
    Destination, DestinationKey, Forward, Protocol, ServiceFlags, ServiceKey, Traffic, Tunnel, TunnelChecksum,
};
use evenkeel_kernel::ipvs::{Mask, PersistenceRecord, ServiceRecord, SyncDaemon, SyncState, Timeouts};
use evenkeel_wire::Family;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// Seconds of persistence when nobody says how many.
const DEFAULT_PERSISTENCE: u32 = 360;
/// Weights and thresholds are signed in the kernel.
const MOST: u32 = i32::MAX as u32;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The command with its values.
    pub command: Command,
}

/// A command with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the command of that name")]
pub enum Command {
    AddService(ServiceRecord),
    EditService(ServiceRecord),
    DeleteService(ServiceKey),
    Clear,
    AddServer(ServiceKey, DestinationKey, Destination),
    EditServer(ServiceKey, DestinationKey, Destination),
    DeleteServer(ServiceKey, DestinationKey),
    Restore,
    Save { numeric: bool },
    Zero(Option<ServiceKey>),
    SetTimeouts(Timeouts),
    StartDaemon(SyncDaemon),
    StopDaemon(SyncState),
    List(super::Listing),
    Help(String),
}

/// Reads a command line. No words at all mean a list.
pub fn parse(words: &[String]) -> Result<CommandLine, Failure> {
    let list = ["-L".to_owned()];
    let mut reader = Reader::new(if words.is_empty() { &list } else { words });
    // Whatever is wrong with the first option, the answer is the same.
    let first = reader.next().ok().flatten().ok_or(Failure::Usage)?;
    let command = first.word;
    let mut parts = Parts::default();
    match command {
        Word::Help => {
            return Ok(CommandLine { command: Command::Help(format!("{}{}", help::VERSION, help::HELP)) });
        }
        Word::Version => return Ok(CommandLine { command: Command::Help(help::VERSION.to_owned()) }),
        Word::StartDaemon | Word::StopDaemon => parts.state = Some(state(&first)?),
        Word::AddService
        | Word::EditService
        | Word::DeleteService
        | Word::Clear
        | Word::List
        | Word::AddServer
        | Word::EditServer
        | Word::DeleteServer
        | Word::Restore
        | Word::Save
        | Word::Zero
        | Word::SetTimeouts => {}
        _ => return Err(Failure::Usage),
    }
    while let Some(given) = reader.next()? {
        parts.take(given)?;
    }
    let mut rest = reader.rest.into_iter();
    if command == Word::SetTimeouts {
        parts.timeouts(&mut rest)?;
    }
    if let Some(word) = rest.next() {
        return Err(Failure::Wrong(format!("unexpected argument {word}")));
    }
    parts.has_no_conflict(command)?;
    rule(command).check(&parts.given, "command")?;
    Ok(CommandLine { command: parts.command(command)? })
}

fn state(given: &Given) -> Result<SyncState, Failure> {
    match given.value.as_deref() {
        Some("master") => Ok(SyncState::Master),
        Some("backup") => Ok(SyncState::Backup),
        _ if given.word == Word::StartDaemon => Err(Failure::wrong("illegal start-daemon parameter specified")),
        _ => Err(Failure::wrong("illegal start_daemon specified")),
    }
}

/// What the options said so far.
#[derive(Default)]
struct Parts {
    given: Vec<Name>,
    service: Option<ServiceKey>,
    scheduler: Option<String>,
    persistence: Option<u32>,
    mask: Option<Mask>,
    engine: Option<String>,
    scheduler_flags: String,
    server: Option<(IpAddr, Option<u16>)>,
    method: Option<Word>,
    weight: Option<u32>,
    upper_threshold: u32,
    lower_threshold: u32,
    tunnel: Option<String>,
    tunnel_port: u16,
    state: Option<SyncState>,
    interface: Option<String>,
    sync_id: u32,
    max_length: u16,
    group: Option<IpAddr>,
    port: u16,
    ttl: u8,
    timeouts: Timeouts,
}

impl Parts {
    fn take(&mut self, given: Given) -> Result<(), Failure> {
        let Given { word, value, text } = given;
        let value = value.unwrap_or_default();
        let bounded = |least, most, what: &str| {
            value::number(&value, least, most).ok_or_else(|| Failure::Wrong(format!("illegal {what} specified")))
        };
        match word {
            Word::Tcp => self.service(Protocol::Tcp, &value)?,
            Word::Udp => self.service(Protocol::Udp, &value)?,
            Word::Sctp => self.service(Protocol::Sctp, &value)?,
            Word::Mark => {
                self.once(Name::Service)?;
                let mark = value::number(&value, 1, u32::MAX).and_then(NonZeroU32::new);
                let mark = mark.ok_or_else(|| Failure::Wrong(format!("invalid fwmark value `{value}' specified")))?;
                self.service = Some(ServiceKey::Mark { family: Family::V4, mark });
            }
            Word::Ipv6 => match self.service {
                Some(ServiceKey::Mark { mark, .. }) => {
                    self.service = Some(ServiceKey::Mark { family: Family::V6, mark });
                }
                _ => return Err(Failure::wrong("-6 used before -f\n")),
            },
            Word::Gatewaying | Word::Ipip | Word::Masquerading => {
                self.once(Name::Method)?;
                self.method = Some(word);
            }
            Word::Sort => {}
            Word::Plain(name) => {
                self.once(name)?;
                match name {
                    Name::Scheduler => self.scheduler = Some(value),
                    Name::Persistent if value.is_empty() => self.persistence = Some(DEFAULT_PERSISTENCE),
                    Name::Persistent => self.persistence = Some(value::timeout(&value, 1)?),
                    Name::Netmask => self.mask = Some(value::mask(&value, self.family())?),
                    Name::Engine => self.engine = Some(value),
                    Name::SchedulerFlags => self.scheduler_flags = value,
                    Name::Server => {
                        let protocol = self.service.and_then(|key| protocol(&key));
                        let server = value::host_port(&value, protocol);
                        let wrong = || Failure::wrong("illegal real server address[:port] specified");
                        self.server = Some(server.ok_or_else(wrong)?);
                    }
                    Name::Weight => self.weight = Some(bounded(0, MOST, "weight")?),
                    Name::UpperThreshold => self.upper_threshold = bounded(0, MOST, "u_threshold")?,
                    Name::LowerThreshold => self.lower_threshold = bounded(0, MOST, "l_threshold")?,
                    Name::Interface => self.interface = Some(value.chars().take(15).collect()),
                    Name::SyncId => self.sync_id = bounded(0, 255, "syncid")?,
                    Name::Group => self.group = Some(value::group(&value)?),
                    Name::Port => self.port = bounded(1, 65535, "mcast-port")? as u16,
                    Name::Ttl => self.ttl = bounded(1, 255, "mcast-ttl")? as u8,
                    Name::MaxLength => self.max_length = bounded(1, 65535 - 20 - 8, "sync-maxlen")? as u16,
                    Name::TunnelPort => self.tunnel_port = bounded(1, 65535, "tunnel port")? as u16,
                    Name::TunnelType if ["ipip", "gue", "gre"].contains(&value.as_str()) => self.tunnel = Some(value),
                    Name::TunnelType => return Err(Failure::wrong("illegal tunnel type specified")),
                    _ => {}
                }
            }
            // A second command.
            _ => return Err(Failure::Wrong(format!("invalid option `{text}'"))),
        }
        Ok(())
    }

    fn once(&mut self, name: Name) -> Result<(), Failure> {
        if self.given.contains(&name) {
            return Err(Failure::Wrong(format!("multiple '{}' options specified", name.name())));
        }
        self.given.push(name);
        Ok(())
    }

    fn has(&self, name: Name) -> bool {
        self.given.contains(&name)
    }

    fn service(&mut self, protocol: Protocol, text: &str) -> Result<(), Failure> {
        self.once(Name::Service)?;
        let Some((address, port)) = value::host_port(text, Some(protocol)) else {
            return Err(Failure::wrong("illegal virtual server address[:port] specified"));
        };
        self.service = Some(ServiceKey::Address { protocol, address, port: port.unwrap_or(0) });
        Ok(())
    }

    fn family(&self) -> Family {
        self.service.map_or(Family::V4, |key| key.family())
    }

    fn timeouts(&mut self, words: &mut impl Iterator<Item = String>) -> Result<(), Failure> {
        let texts: Vec<String> = words.take(3).collect();
        let [tcp, tcp_fin, udp] = &texts[..] else {
            return Err(Failure::wrong("--set option requires 3 timeout values"));
        };
        let read = |text: &String| value::timeout(text, 0);
        self.timeouts = Timeouts { tcp: read(tcp)?, tcp_fin: read(tcp_fin)?, udp: read(udp)? };
        Ok(())
    }

    fn has_no_conflict(&self, command: Word) -> Result<(), Failure> {
        let any = |names: &[Name]| names.iter().any(|name| self.has(*name));
        let settings = any(&[Name::Timeout, Name::Daemon]);
        let counters = any(&[Name::Statistics, Name::Rate, Name::Thresholds]);
        // Of connections, the data of persistence engines can be shown.
        let persistent = settings && self.has(Name::PersistentConnections);
        if command == Word::List && ((settings || self.has(Name::Connection)) && counters || persistent) {
            return Err(Failure::wrong("options conflicts in the list command"));
        }
        Ok(())
    }

    fn command(self, word: Word) -> Result<Command, Failure> {
        // The rule of the command saw to it that the service is there where it is needed.
        let key = self.service;
        let needed = || Failure::wrong("You need to supply the 'service-address' option");
        Ok(match word {
            Word::AddService => Command::AddService(self.record(key.ok_or_else(needed)?)?),
            Word::EditService => Command::EditService(self.record(key.ok_or_else(needed)?)?),
            Word::DeleteService => Command::DeleteService(key.ok_or_else(needed)?),
            Word::Clear => Command::Clear,
            Word::AddServer | Word::EditServer => {
                let key = key.ok_or_else(needed)?;
                let (server, destination) = self.server(&key)?;
                match word {
                    Word::AddServer => Command::AddServer(key, server, destination),
                    _ => Command::EditServer(key, server, destination),
                }
            }
            Word::DeleteServer => {
                let key = key.ok_or_else(needed)?;
                Command::DeleteServer(key, self.server_key(&key)?)
            }
            Word::Restore => Command::Restore,
            Word::Save => Command::Save { numeric: self.has(Name::Numeric) },
            Word::Zero => Command::Zero(key),
            Word::SetTimeouts => Command::SetTimeouts(self.timeouts),
            Word::StartDaemon => Command::StartDaemon(self.daemon()),
            Word::StopDaemon => Command::StopDaemon(self.state.unwrap_or(SyncState::Master)),
            _ => Command::List(self.listing()),
        })
    }

    fn record(&self, key: ServiceKey) -> Result<ServiceRecord, Failure> {
        let scheduler = self.scheduler.clone().unwrap_or_else(|| "wlc".to_owned());
        let mut flags = scheduler_flags(&self.scheduler_flags, &scheduler)?;
        if let ServiceKey::Address { protocol, port, .. } = key {
            if port == 0 && self.persistence.is_none() {
                return Err(Failure::wrong("Zero port specified for non-persistent service"));
            }
            if self.has(Name::OnePacket) && protocol != Protocol::Udp {
                return Err(Failure::wrong("One-Packet Scheduling is only for UDP virtual services"));
            }
        }
        flags.one_packet = self.has(Name::OnePacket);
        let mask = self.mask.unwrap_or(Mask::whole(key.family()));
        let persistence = self.persistence.map(|timeout| PersistenceRecord { timeout, mask });
        let engine = self.engine.clone();
        Ok(ServiceRecord { key, scheduler, flags, persistence, engine, traffic: Traffic::default() })
    }

    fn server_key(&self, key: &ServiceKey) -> Result<DestinationKey, Failure> {
        let needed = || Failure::wrong("You need to supply the 'real-server' option");
        let (address, port) = self.server.ok_or_else(needed)?;
        let of_service = match key {
            ServiceKey::Address { port, .. } => *port,
            ServiceKey::Mark { .. } => 0,
        };
        Ok(DestinationKey { address, port: port.unwrap_or(of_service) })
    }

    fn server(&self, key: &ServiceKey) -> Result<(DestinationKey, Destination), Failure> {
        let mut server = self.server_key(key)?;
        let forward = self.forward()?;
        let tunnels = matches!(forward, Forward::Tunnel(_));
        if Family::of(server.address) != key.family() && !tunnels {
            return Err(Failure::wrong("Different address family is allowed only for tunneling servers"));
        }
        // Only NAT can translate ports.
        if let ServiceKey::Address { port, .. } = key
            && forward != Forward::Masquerade
        {
            server.port = *port;
        }
        let destination = Destination {
            weight: self.weight.unwrap_or(1),
            forward,
            upper_threshold: self.upper_threshold,
            lower_threshold: self.lower_threshold,
        };
        Ok((server, destination))
    }

    fn forward(&self) -> Result<Forward, Failure> {
        let about_tunnel: Vec<Name> = OF_TUNNEL.iter().copied().filter(|name| self.has(*name)).collect();
        if self.method != Some(Word::Ipip) {
            if !about_tunnel.is_empty() {
                return Err(Failure::wrong("Tunnel options conflict with forward method"));
            }
            let masquerades = self.method == Some(Word::Masquerading);
            return Ok(if masquerades { Forward::Masquerade } else { Forward::Direct });
        }
        let kind = self.tunnel.as_deref().unwrap_or("ipip");
        let about: Vec<Name> = about_tunnel.into_iter().filter(|name| *name != Name::TunnelType).collect();
        tunnel_rule(kind).check(&about, "tunnel type")?;
        let checksum = match () {
            () if self.has(Name::TunnelRemoteChecksum) => TunnelChecksum::Remote,
            () if self.has(Name::TunnelChecksum) => TunnelChecksum::Present,
            () => TunnelChecksum::Absent,
        };
        Ok(Forward::Tunnel(match kind {
            "gue" => Tunnel::Gue { port: self.tunnel_port, checksum },
            "gre" => Tunnel::Gre { checksum },
            _ => Tunnel::Ipip,
        }))
    }

    fn daemon(&self) -> SyncDaemon {
        SyncDaemon {
            state: self.state.unwrap_or(SyncState::Master),
            interface: self.interface.clone().unwrap_or_else(|| "eth0".to_owned()),
            sync_id: self.sync_id,
            max_length: self.max_length,
            group: self.group,
            port: self.port,
            ttl: self.ttl,
        }
    }

    fn listing(&self) -> super::Listing {
        use super::Listing;
        let numeric = self.has(Name::Numeric);
        if self.has(Name::Connection) {
            let shown = self.has(Name::PersistentConnections);
            return Listing::Connections { numeric, engines: if shown { Engines::Shown } else { Engines::Hidden } };
        }
        if self.has(Name::Timeout) {
            return Listing::Timeouts;
        }
        if self.has(Name::Daemon) {
            return Listing::SyncDaemons;
        }
        let views = [
            (Name::Statistics, View::Statistics),
            (Name::Rate, View::Rates),
            (Name::Thresholds, View::Thresholds),
            (Name::PersistentConnections, View::Persistent),
            (Name::TunnelInfo, View::Tunnels),
        ];
        let view = views.into_iter().find(|(name, _)| self.has(*name)).map_or(View::Weights, |(_, view)| view);
        let (exact, sorted) = (self.has(Name::Exact), !self.has(Name::NoSort));
        Listing::Services { only: self.service, view, exact, numeric, sorted }
    }
}

fn protocol(key: &ServiceKey) -> Option<Protocol> {
    match key {
        ServiceKey::Address { protocol, .. } => Some(*protocol),
        ServiceKey::Mark { .. } => None,
    }
}

fn scheduler_flags(text: &str, scheduler: &str) -> Result<ServiceFlags, Failure> {
    let mut flags = ServiceFlags::default();
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let (field, of) = match name {
            "flag-1" => (&mut flags.scheduler_1, None),
            "flag-2" => (&mut flags.scheduler_2, None),
            "flag-3" => (&mut flags.scheduler_3, None),
            "sh-fallback" => (&mut flags.scheduler_1, Some("sh")),
            "sh-port" => (&mut flags.scheduler_2, Some("sh")),
            "mh-fallback" => (&mut flags.scheduler_1, Some("mh")),
            "mh-port" => (&mut flags.scheduler_2, Some("mh")),
            _ => return Err(Failure::Wrong(format!("invalid scheduler flag `{name}'"))),
        };
        if of.is_some_and(|of| of != scheduler) {
            return Err(Failure::Wrong(format!("incompatible scheduler flag `{name}'")));
        }
        *field = true;
    }
    Ok(flags)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
