//! Makes pools of the drafts, with keepalived's corrections: each is done, and said.

use super::super::{At, Lower};
use super::pool::PERSISTENCE;
use super::services::{self, Services};
use super::targets::Checked;
use super::{Drafts, FileDraft, PoolDraft, ServerDraft, Virtual, sync_daemon};
use crate::keepalived::settings::CommandLine;
use crate::{Diagnostic, Span};
use evenkeel_balance::config::{BfdId, Config, FileId, Pool, Script, ScriptId, Server, Sorry};
use evenkeel_balance::table::{Forward, Persistence, Protocol, Scheduler, Service, ServiceFlags, ServiceKey};
use evenkeel_wire::Family;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Makes of the drafts what the balance role is told.
pub(in crate::keepalived) fn finish(lower: &mut Lower) -> Config {
    let drafts = std::mem::take(&mut lower.drafts.balance);
    let globals = &drafts.globals;
    let mut finish = Finish {
        drafts: &drafts,
        config: Config {
            tls: drafts.tls.clone(),
            plane: globals.plane,
            interfaces: globals.interfaces.clone(),
            ipvs_namespace: globals.ipvs_namespace.clone(),
            timeouts: globals.timeouts,
            flush_at_start: globals.flush_at_start,
            flush_at_stop: globals.flush_at_stop,
            sync_daemon: sync_daemon::finish(lower, &drafts),
            notices_at_start: globals.notices_at_start,
            ..Config::default()
        },
        services: Services::default(),
        files: HashMap::new(),
        sessions: HashMap::new(),
    };
    for file in &drafts.files {
        finish.files.entry(&file.name).or_insert((file, None));
    }
    for draft in &drafts.pools {
        if let Some(pool) = finish.pool(draft, lower) {
            finish.config.pools.push(Arc::new(pool));
        }
    }
    let mut config = finish.config;
    config.shrink();
    lower.drafts.balance = drafts;
    config
}

pub(super) struct Finish<'a> {
    pub(super) drafts: &'a Drafts,
    pub(super) config: Config,
    services: Services,
    /// track_files by name, with their index when a check follows them.
    pub(super) files: HashMap<&'a str, (&'a FileDraft, Option<FileId>)>,
    /// Sessions that a check follows.
    pub(super) sessions: HashMap<String, BfdId>,
}

/// What a pool has decided before its servers are looked at.
pub(super) struct Around<'a> {
    pub(super) draft: &'a PoolDraft,
    name: &'a str,
    services: &'a [ServiceKey],
    forward: Forward,
    /// The one port of all services, when there is one; 0 for marks.
    port: Option<u16>,
    families: BTreeSet<Family>,
    /// Ports of the addresses.
    ports: BTreeSet<u16>,
    /// Some service is an address and no mark.
    has_address: bool,
}

impl<'a> Around<'a> {
    fn new(draft: &'a PoolDraft, name: &'a str, services: &'a [ServiceKey], forward: Forward) -> Self {
        let port = |service: &ServiceKey| match service {
            ServiceKey::Address { port, .. } => Some(*port),
            ServiceKey::Mark { .. } => None,
        };
        let ports: BTreeSet<u16> = services.iter().filter_map(port).collect();
        Around {
            draft,
            name,
            services,
            forward,
            port: one_port(services),
            families: services.iter().map(ServiceKey::family).collect(),
            has_address: !ports.is_empty(),
            ports,
        }
    }

    /// Only a tunnel carries one family in the other.
    fn fits(&self, address: IpAddr, forward: Forward) -> bool {
        matches!(forward, Forward::Tunnel(_)) || self.families.contains(&Family::of(address))
    }
}

impl Finish<'_> {
    /// The pool, or `None` after saying why there is none.
    fn pool(&mut self, draft: &PoolDraft, lower: &mut Lower) -> Option<Pool> {
        if matches!(draft.of.value, Virtual::Unknown) {
            return None;
        }
        let protocol = self.protocol(draft, lower);
        let mut services = self.services.of(draft, protocol.unwrap_or(Protocol::Udp), self.drafts, lower);
        let first = services.first()?;
        let name = match &draft.of.value {
            Virtual::Group(name) => name.clone(),
            _ => services::name(first),
        };
        if !draft.servers.iter().any(|server| server.address.value.is_some()) {
            no_servers(draft, &name, lower);
            return None;
        }
        let scheduler = scheduler(draft, &name, lower);
        let forward = forward(draft, &name, lower);
        services_with_servers(draft, forward, &mut services, lower);
        let around = Around::new(draft, &name, &services, forward);
        let servers = self.servers(&around, lower);
        if services.is_empty() || servers.is_empty() {
            no_servers(draft, &name, lower);
            return None;
        }
        let sorry = sorry(&around, lower);
        let (quorum, hysteresis) = quorum(&around, &servers, lower);
        let one_packet = one_packet(&around, protocol, lower);
        let alpha = draft.common.alpha.unwrap_or(false);
        Some(Pool {
            label: draft.common.label.clone(),
            protocol: protocol.filter(|_| around.has_address),
            service: Service {
                scheduler,
                flags: ServiceFlags { one_packet, ..draft.flags },
                persistence: persistence(&around, lower),
            },
            servers,
            sorry,
            quorum,
            hysteresis,
            alpha,
            omega: draft.omega,
            ha_suspend: ha_suspend(&around, lower),
            quorum_up: self.notice(draft.quorum_up.as_ref()),
            quorum_down: self.notice(draft.quorum_down.as_ref()),
            mail: draft.common.mail.or(self.drafts.globals.mail).or(lower.settings.mail.alert).unwrap_or(false),
            services,
            name,
        })
    }

    /// Marks do without a protocol; addresses get UDP, of all things.
    fn protocol(&self, draft: &PoolDraft, lower: &mut Lower) -> Option<Protocol> {
        let marks_only = match &draft.of.value {
            Virtual::Mark(_) => true,
            Virtual::Group(name) => {
                let group = self.drafts.groups.get(name);
                group.is_none_or(|group| group.iter().all(|member| matches!(member, super::Member::Mark { .. })))
            }
            Virtual::Address { .. } | Virtual::Unknown => false,
        };
        if draft.protocol.is_none() && !marks_only {
            lower.say(
                Diagnostic::warning("no-protocol", draft.of.span, "this virtual_server has no `protocol`")
                    .so("it balances UDP, as in keepalived")
                    .fix("write `protocol TCP`, or `protocol UDP` when that is meant"),
            );
        }
        if draft.protocol.is_some() && marks_only {
            lower.say(
                Diagnostic::note("protocol-of-mark", draft.of.span, "a mark has no `protocol`")
                    .so("the line is ignored: packets of every protocol that carry the mark are balanced"),
            );
        }
        draft.protocol.or((!marks_only).then_some(Protocol::Udp))
    }

    fn servers(&mut self, around: &Around, lower: &mut Lower) -> Vec<Server> {
        let mut written = BTreeSet::new();
        let mut used = BTreeSet::new();
        let mut servers = Vec::with_capacity(around.draft.servers.len());
        for draft in &around.draft.servers {
            let Some(address) = draft.address.value else { continue };
            let place = draft.address.span;
            let forward = draft.forward.unwrap_or(around.forward);
            if !around.fits(address, forward) {
                wrong_family(around, "real_server", address, place, lower);
                continue;
            }
            if !written.insert((address, draft.port)) {
                repeated_server(around, address, draft.port, place, lower);
                continue;
            }
            let port = forwarded_port(around, "real_server", address, draft.port, forward, place, lower);
            if !used.insert((address, port)) {
                repeated_server(around, address, port, place, lower);
                continue;
            }
            servers.push(self.server(around, draft, address, port, lower));
        }
        servers
    }

    fn server(
        &mut self,
        around: &Around,
        draft: &ServerDraft,
        address: IpAddr,
        port: u16,
        lower: &mut Lower,
    ) -> Server {
        let (own, pool) = (&draft.common, &around.draft.common);
        let global_mail = self.drafts.globals.mail.or(lower.settings.mail.alert);
        let checked = Checked {
            address,
            port: draft.port,
            virtual_port: around.port.unwrap_or(0),
            has_virtual_address: around.has_address,
        };
        Server {
            address,
            port,
            label: own.label.clone(),
            weight: draft.weight.or(around.draft.weight).unwrap_or(1),
            forward: draft.forward.unwrap_or(around.forward),
            upper_threshold: draft.upper_threshold,
            lower_threshold: draft.lower_threshold,
            inhibit_on_failure: own.inhibit.or(pool.inhibit).unwrap_or(false),
            alpha: own.alpha.or(pool.alpha).unwrap_or(false),
            slow_start: own.slow_start.or(pool.slow_start).filter(|time| !time.is_zero()),
            notify_up: self.notice(draft.notify_up.as_ref()),
            notify_down: self.notice(draft.notify_down.as_ref()),
            // On unless somebody says otherwise, unlike every other smtp_alert.
            mail: own.mail.or(global_mail).unwrap_or(true),
            checks: draft.checks.iter().flat_map(|check| self.checks(around, draft, check, checked, lower)).collect(),
        }
    }

    /// A command that is run when something has changed.
    fn notice(&mut self, command: Option<&At<CommandLine>>) -> Option<ScriptId> {
        let CommandLine { words, user } = &command?.value;
        Some(self.script(Script { argv: words.clone(), user: user.clone(), timeout: None }))
    }

    pub(super) fn script(&mut self, script: Script) -> ScriptId {
        self.config.scripts.push(script);
        ScriptId(u32::try_from(self.config.scripts.len() - 1).unwrap_or(u32::MAX))
    }
}

fn no_servers(draft: &PoolDraft, name: &str, lower: &mut Lower) {
    lower.say(
        Diagnostic::warning("no-real-servers", draft.of.span, format!("virtual_server {name} has no real server"))
            .so("it is left out, as in keepalived, with its sorry_server")
            .fix("write `real_server ADDRESS PORT { ... }` into it"),
    );
}

fn scheduler(draft: &PoolDraft, name: &str, lower: &mut Lower) -> Scheduler {
    draft.scheduler.unwrap_or_else(|| {
        lower.say(
            Diagnostic::warning("no-scheduler", draft.of.span, format!("virtual_server {name} has no `lvs_sched`"))
                .so("it is wlc, as in keepalived")
                .fix("write `lvs_sched wlc`, or another scheduler"),
        );
        Scheduler::Wlc
    })
}

fn forward(draft: &PoolDraft, name: &str, lower: &mut Lower) -> Forward {
    draft.forward.unwrap_or_else(|| {
        lower.say(
            Diagnostic::warning("no-method", draft.of.span, format!("virtual_server {name} has no `lvs_method`"))
                .so("it is NAT, as in keepalived")
                .fix("write `lvs_method NAT`, or another method"),
        );
        Forward::Masquerade
    })
}

/// The port that all services have; 0 for marks.
fn one_port(services: &[ServiceKey]) -> Option<u16> {
    let mut ports = services.iter().map(|service| match service {
        ServiceKey::Address { port, .. } => *port,
        ServiceKey::Mark { .. } => 0,
    });
    let first = ports.next()?;
    ports.all(|port| port == first).then_some(first)
}

/// A group of both families loses the services that none of its servers can serve.
fn services_with_servers(draft: &PoolDraft, forward: Forward, services: &mut Vec<ServiceKey>, lower: &mut Lower) {
    let families: BTreeSet<Family> = services.iter().map(ServiceKey::family).collect();
    if families.len() < 2 {
        return;
    }
    let served = |family: Family| {
        draft.servers.iter().any(|server| {
            let tunnel = matches!(server.forward.unwrap_or(forward), Forward::Tunnel(_));
            server.address.value.is_some_and(|address| tunnel || Family::of(address) == family)
        })
    };
    for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
        if !served(family) {
            services.retain(|service| service.family() != family);
            lower.say(
                Diagnostic::warning("mixed-families", draft.of.span, format!("no real server is {name}"))
                    .so(format!("the {name} members of the group are left out: only a tunnel crosses families"))
                    .fix(format!("add {name} real servers, or make two groups")),
            );
        }
    }
}

fn wrong_family(around: &Around, what: &str, address: IpAddr, span: Span, lower: &mut Lower) {
    lower.say(
        Diagnostic::warning(
            "mixed-families",
            span,
            format!("{what} {address} is not of the family of virtual_server {}", around.name),
        )
        .so("it is left out: only a tunnel crosses families")
        .fix("name a server of the same family, or use `lvs_method TUN`"),
    );
}

fn repeated_server(around: &Around, address: IpAddr, port: u16, span: Span, lower: &mut Lower) {
    lower.say(
        Diagnostic::warning(
            "repeated-server",
            span,
            format!("real_server {address} port {port} is there twice in virtual_server {}", around.name),
        )
        .so("the first one wins, this one is left out with its weight and its checks")
        .fix("remove one of them; a larger share is a larger `weight`"),
    );
}

/// Only NAT changes a port: every other method forwards to that of the virtual server.
fn forwarded_port(
    around: &Around,
    what: &str,
    address: IpAddr,
    written: u16,
    forward: Forward,
    span: Span,
    lower: &mut Lower,
) -> u16 {
    if matches!(forward, Forward::Masquerade) {
        return written;
    }
    let Some(port) = around.port else {
        port_of_no_service(around, what, address, written, span, lower);
        return written;
    };
    if written != port && written != 0 {
        let message = format!("{what} {address} has port {written}, virtual_server {} has {port}", around.name);
        let diagnostic = match (around.has_address, port) {
            (false, _) => Diagnostic::warning(
                "port-cleared",
                span,
                format!("{what} {address} has port {written} in a virtual_server for a mark"),
            )
            .so("packets keep the port they came to: only NAT changes it")
            .fix("leave the port out, and write `connect_port` into the checks"),
            (true, 0) => Diagnostic::warning("port-changed", span, message)
                .so("packets keep the port they came to: only NAT changes it")
                .fix("leave the port out, and write `connect_port` into the checks"),
            (true, _) => Diagnostic::warning("port-changed", span, message)
                .so(format!("packets go to port {port}: only NAT changes it; the checks ask port {written} unless they say otherwise"))
                .fix(format!("write port {port}, or use `lvs_method NAT`")),
        };
        lower.say(diagnostic);
    }
    port
}

fn port_of_no_service(around: &Around, what: &str, address: IpAddr, written: u16, span: Span, lower: &mut Lower) {
    if written != 0 && !around.ports.contains(&written) {
        lower.say(
            Diagnostic::warning(
                "port-changed",
                span,
                format!("{what} {address} has port {written}, which no service of {} has", around.name),
            )
            .so("packets keep the port they came to: only NAT changes it")
            .fix("leave the port out, and write `connect_port` into the checks"),
        );
    }
}

fn sorry(around: &Around, lower: &mut Lower) -> Option<Sorry> {
    let draft = around.draft.sorry.as_ref()?;
    let forward = draft.forward.unwrap_or(around.forward);
    let (address, span) = (draft.address.value, draft.address.span);
    if !around.fits(address, forward) {
        wrong_family(around, "sorry_server", address, span, lower);
        return None;
    }
    let port = forwarded_port(around, "sorry_server", address, draft.port, forward, span, lower);
    Some(Sorry { address, port, forward, inhibit: draft.inhibit })
}

/// Neither more than there is, nor a band that reaches below one.
fn quorum(around: &Around, servers: &[Server], lower: &mut Lower) -> (NonZeroU32, u32) {
    let total = servers.iter().map(|server| u64::from(server.weight)).sum::<u64>();
    let most = NonZeroU32::new(u32::try_from(total).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
    let mut quorum = NonZeroU32::MIN;
    if let Some(wanted) = &around.draft.quorum {
        quorum = wanted.value.min(most);
        if quorum != wanted.value {
            lower.say(
                Diagnostic::warning(
                    "quorum-too-high",
                    wanted.span,
                    format!("the weights of virtual_server {} are {total} together", around.name),
                )
                .so(format!("the quorum is {quorum}, as in keepalived"))
                .fix("lower the quorum, or add weight"),
            );
        }
    }
    let Some(wanted) = &around.draft.hysteresis else { return (quorum, 0) };
    let hysteresis = wanted.value.min(quorum.get() - 1);
    if hysteresis != wanted.value {
        lower.say(
            Diagnostic::warning("hysteresis-too-high", wanted.span, format!("the quorum is {quorum}"))
                .so(format!("the hysteresis is {hysteresis}: it must be below the quorum, as in keepalived"))
                .fix(format!("write `hysteresis {hysteresis}`")),
        );
    }
    (quorum, hysteresis)
}

/// Datagrams can be scheduled singly; connections cannot.
fn one_packet(around: &Around, protocol: Option<Protocol>, lower: &mut Lower) -> bool {
    let Some(span) = around.draft.one_packet else { return false };
    let possible = !around.has_address || protocol == Some(Protocol::Udp);
    if !possible {
        lower.say(
            Diagnostic::warning(
                "ops-without-udp",
                span,
                format!("`ops` in virtual_server {}, which is not UDP", around.name),
            )
            .so("it is ignored, as in keepalived: packets of a connection belong together")
            .fix("remove it"),
        );
    }
    possible
}

fn persistence(around: &Around, lower: &mut Lower) -> Option<Persistence> {
    let draft = around.draft;
    let every_port = around.services.iter().find(|service| matches!(service, ServiceKey::Address { port: 0, .. }));
    let implied = match (&draft.granularity, &draft.engine) {
        (Some(_), _) => Some(PERSISTENCE),
        (None, Some(engine)) if draft.persistence.is_none() => {
            lower.say(
                Diagnostic::warning(
                    "persistence-added",
                    engine.span,
                    "`persistence_engine` without `persistence_timeout`",
                )
                .so(format!("connections stay with a server for {PERSISTENCE} s"))
                .fix(format!("write `persistence_timeout {PERSISTENCE}`")),
            );
            Some(PERSISTENCE)
        }
        _ => None,
    };
    let mut timeout = draft.persistence.or(implied);
    if let (None, Some(service)) = (timeout, every_port) {
        let name = services::name(service);
        lower.say(
            Diagnostic::warning(
                "persistence-added",
                draft.of.span,
                format!("{name} takes every port and has no `persistence_timeout`"),
            )
            .so(format!(
                "connections stay with a server for {PERSISTENCE} s, as in keepalived: every port needs persistence"
            ))
            .fix(format!("write the port after the address, or `persistence_timeout {PERSISTENCE}`")),
        );
        timeout = Some(PERSISTENCE);
    }
    let whole = match around.services.iter().all(|service| service.family() == Family::V4) {
        true => 32,
        false => 128,
    };
    Some(Persistence {
        timeout: timeout?,
        prefix: granularity(draft, whole, lower),
        engine: draft.engine.as_ref().map(|engine| engine.value.clone()),
    })
}

/// A prefix no longer than an address.
fn granularity(draft: &PoolDraft, whole: u8, lower: &mut Lower) -> u8 {
    let Some(wanted) = &draft.granularity else { return whole };
    if wanted.value > whole {
        lower.say(
            Diagnostic::warning("bad-value", wanted.span, format!("an address of the clients has {whole} bits"))
                .so("each client is a group of its own")
                .fix(format!("write a length up to {whole}")),
        );
    }
    wanted.value.min(whole)
}

fn ha_suspend(around: &Around, lower: &mut Lower) -> bool {
    let Some(span) = around.draft.ha_suspend else { return false };
    let possible = matches!(around.draft.of.value, Virtual::Address { .. });
    if !possible {
        lower.say(
            Diagnostic::warning(
                "suspend-without-address",
                span,
                format!("`ha_suspend` in virtual_server {}", around.name),
            )
            .so("it is ignored, as in keepalived: there is no one address to look for")
            .fix("remove it"),
        );
    }
    possible
}
