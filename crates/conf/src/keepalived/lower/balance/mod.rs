//! Layer 4: virtual servers, their groups, real servers and checks. The drafts of all of them, and one file for each.

pub(in crate::keepalived) mod check;
mod checks;
mod finish;
pub(in crate::keepalived) mod globals;
pub(in crate::keepalived) mod group;
pub(in crate::keepalived) mod http;
mod method;
pub(in crate::keepalived) mod misc;
pub(in crate::keepalived) mod pool;
pub(in crate::keepalived) mod probes;
mod scripts;
pub(in crate::keepalived) mod server;
mod services;
pub(in crate::keepalived) mod sync_daemon;
mod targets;
pub(in crate::keepalived) mod udp;

pub(in crate::keepalived) use finish::finish;

use super::value::User;
use super::{At, Lower};
use crate::Span;
use crate::keepalived::settings::{CommandLine, TrackedFile};
use evenkeel_balance::config::{BodyRegex, ClientTls, FlushAtStop, HttpVersion, PlaneChoice, Timeouts, UdpProbe};
use evenkeel_balance::table::{Forward, Protocol, Scheduler, ServiceFlags};
use evenkeel_wire::Family;
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Everything of layer 4 as it was written.
#[derive(Debug, Default)]
pub(in crate::keepalived) struct Drafts {
    pub(in crate::keepalived) pools: Vec<PoolDraft>,
    /// By name.
    groups: HashMap<String, Vec<Member>>,
    globals: Globals,
    files: Vec<FileDraft>,
    tls: ClientTls,
}

/// Of global_defs.
#[derive(Debug, Default)]
struct Globals {
    plane: PlaneChoice,
    interfaces: Vec<String>,
    ipvs_namespace: Option<String>,
    timeouts: Timeouts,
    flush_at_start: bool,
    flush_at_stop: FlushAtStop,
    notices_at_start: bool,
    log_all_failures: bool,
    /// `smtp_alert_checker`.
    mail: Option<bool>,
    sync_daemon: Option<SyncDraft>,
}

/// `lvs_sync_daemon`, or `lvs_sync_daemon_interface` of an instance.
#[derive(Debug)]
struct SyncDraft {
    interface: String,
    instance: Option<At<String>>,
    id: Option<u8>,
    max_length: Option<u16>,
    port: Option<u16>,
    ttl: Option<u8>,
    group: Option<IpAddr>,
}

/// A line of a virtual_server_group.
#[derive(Clone, Copy, Debug)]
enum Member {
    /// Addresses from the first to the last; port 0 when none was written.
    Range { first: IpAddr, last: IpAddr, port: u16, span: Span },
    /// What the firewall marked.
    Mark { mark: NonZeroU32, family: Option<Family>, span: Span },
}

/// What a virtual_server is for.
#[derive(Clone, Debug)]
pub(in crate::keepalived) enum Virtual {
    Address {
        address: IpAddr,
        port: u16,
    },
    Mark(NonZeroU32),
    Group(String),
    /// It could not be read, which was said.
    Unknown,
}

/// A virtual_server.
#[derive(Debug)]
pub(in crate::keepalived) struct PoolDraft {
    /// What follows the keyword.
    pub(in crate::keepalived) of: At<Virtual>,
    family: Option<Family>,
    protocol: Option<Protocol>,
    scheduler: Option<Scheduler>,
    pub(in crate::keepalived) forward: Option<Forward>,
    flags: ServiceFlags,
    /// The place of `ops`.
    one_packet: Option<Span>,
    persistence: Option<NonZeroU32>,
    granularity: Option<At<u8>>,
    engine: Option<At<String>>,
    weight: Option<u32>,
    common: Common,
    quorum: Option<At<NonZeroU32>>,
    hysteresis: Option<At<u32>>,
    omega: bool,
    ha_suspend: Option<Span>,
    pub(in crate::keepalived) quorum_up: Option<At<CommandLine>>,
    pub(in crate::keepalived) quorum_down: Option<At<CommandLine>>,
    sorry: Option<SorryDraft>,
    pub(in crate::keepalived) servers: Vec<ServerDraft>,
}

/// What a virtual_server says for all its real servers, and each of them for itself.
#[derive(Debug, Default)]
struct Common {
    timing: TimingDraft,
    alpha: Option<bool>,
    inhibit: Option<bool>,
    mail: Option<bool>,
    virtualhost: Option<String>,
    label: Option<String>,
    slow_start: Option<Duration>,
}

/// Times and counts that go from the virtual_server over the real_server to its checks.
#[derive(Clone, Copy, Debug, Default)]
struct TimingDraft {
    interval: Option<Duration>,
    timeout: Option<Duration>,
    retries: Option<u32>,
    retry_delay: Option<Duration>,
    warmup: Option<Duration>,
}

impl TimingDraft {
    /// What is written here, and what is not from `outer`.
    fn over(self, outer: TimingDraft) -> TimingDraft {
        TimingDraft {
            interval: self.interval.or(outer.interval),
            timeout: self.timeout.or(outer.timeout),
            retries: self.retries.or(outer.retries),
            retry_delay: self.retry_delay.or(outer.retry_delay),
            warmup: self.warmup.or(outer.warmup),
        }
    }
}

/// A sorry_server.
#[derive(Debug)]
struct SorryDraft {
    address: At<IpAddr>,
    port: u16,
    forward: Option<Forward>,
    inhibit: bool,
}

/// A real_server.
#[derive(Debug)]
pub(in crate::keepalived) struct ServerDraft {
    /// Without an address it could not be read, which was said.
    pub(in crate::keepalived) address: At<Option<IpAddr>>,
    /// 0 when none was written.
    port: u16,
    weight: Option<u32>,
    pub(in crate::keepalived) forward: Option<Forward>,
    upper_threshold: u32,
    lower_threshold: u32,
    common: Common,
    pub(in crate::keepalived) notify_up: Option<At<CommandLine>>,
    pub(in crate::keepalived) notify_down: Option<At<CommandLine>>,
    pub(in crate::keepalived) checks: Vec<CheckDraft>,
}

/// A check.
#[derive(Debug)]
pub(in crate::keepalived) struct CheckDraft {
    span: Span,
    pub(in crate::keepalived) probe: ProbeDraft,
    timing: TimingDraft,
    target: TargetDraft,
    alpha: Option<bool>,
    log_all_failures: Option<bool>,
}

/// Where a check goes.
#[derive(Clone, Debug, Default)]
struct TargetDraft {
    address: Option<IpAddr>,
    port: Option<u16>,
    source: Option<At<IpAddr>>,
    source_port: Option<u16>,
    interface: Option<String>,
    mark: Option<NonZeroU32>,
    via_dataplane: bool,
}

/// What a check does.
#[derive(Debug)]
pub(in crate::keepalived) enum ProbeDraft {
    Tcp,
    Ping,
    Http(HttpDraft),
    Smtp {
        helo: Option<String>,
        hosts: Vec<HostDraft>,
    },
    Dns {
        query_type: u16,
        name: String,
    },
    Udp(UdpProbe),
    Misc(MiscDraft),
    File {
        file: Option<At<String>>,
        weight: Option<(i32, Option<bool>)>,
    },
    Bfd {
        session: Option<At<String>>,
        /// Why the session cannot be followed, and what to do about it.
        problem: Option<(String, String)>,
    },
    Agent {
        send: Option<String>,
    },
}

/// A `host` block of SMTP_CHECK.
#[derive(Debug)]
pub(in crate::keepalived) struct HostDraft {
    target: TargetDraft,
    timeout: Option<Duration>,
    /// The lines between its braces.
    lines: Vec<Span>,
}

/// HTTP_GET or SSL_GET.
#[derive(Debug, Default)]
pub(in crate::keepalived) struct HttpDraft {
    tls: bool,
    sni: bool,
    sni_name: Option<String>,
    compliant: bool,
    version: HttpVersion,
    fast_recovery: bool,
    virtualhost: Option<String>,
    urls: Vec<UrlDraft>,
}

/// A url of them.
#[derive(Debug)]
struct UrlDraft {
    span: Span,
    path: Option<String>,
    virtualhost: Option<String>,
    statuses: Vec<(u16, u16)>,
    digest: Option<[u8; 16]>,
    regex: BodyRegex,
    compliant: bool,
}

/// MISC_CHECK.
#[derive(Debug, Default)]
pub(in crate::keepalived) struct MiscDraft {
    pub(in crate::keepalived) command: Option<At<Vec<String>>>,
    user: Option<User>,
    timeout: Option<Duration>,
    dynamic: bool,
}

/// A track_file.
#[derive(Debug)]
pub(super) struct FileDraft {
    pub(super) name: String,
    pub(super) path: Option<String>,
    pub(super) weight: (i32, bool),
    /// `init_file`: what is written at the start, and whether over what is there.
    pub(super) init: Option<(i32, bool)>,
}

impl Drafts {
    /// `smtp_alert_checker`.
    pub(super) fn mail(&self) -> Option<bool> {
        self.globals.mail
    }

    /// The track_files that this holds for.
    pub(super) fn tracked_files(&self, is_tracked: impl Fn(&str) -> bool) -> Vec<TrackedFile> {
        let first = |file: &&FileDraft| self.file(&file.name).is_some_and(|first| std::ptr::eq(first, *file));
        let tracked = self.files.iter().filter(first).filter(|file| is_tracked(&file.name));
        tracked
            .filter_map(|file| {
                let path = file.path.as_ref()?.into();
                Some(TrackedFile { name: file.name.clone(), path, weight: file.weight, init: file.init })
            })
            .collect()
    }

    /// The first track_file of this name.
    pub(super) fn file(&self, name: &str) -> Option<&FileDraft> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl Lower {
    /// The virtual_server that is being read.
    fn pool(&mut self) -> Option<&mut PoolDraft> {
        self.drafts.balance.pools.last_mut()
    }

    /// The real_server that is being read.
    fn server(&mut self) -> Option<&mut ServerDraft> {
        self.pool()?.servers.last_mut()
    }

    /// The check that is being read.
    fn check(&mut self) -> Option<&mut CheckDraft> {
        self.server()?.checks.last_mut()
    }
}
