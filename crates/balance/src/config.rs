//! What a balancer is told to be. The configuration language is lowered to these values, with keepalived's coercions done.

use crate::table::{Forward, Protocol, Service, ServiceKey};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Everything the balance role needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The virtual servers. [`PoolId`](crate::PoolId) is the index in this list. A configuration shares with the one before
    /// it those that are the same: of ten thousand a reload may change one.
    pub pools: Vec<Arc<Pool>>,
    /// The programs of MISC_CHECK and of notices, run by the supervisor. [`ScriptId`] is the index in this list.
    pub scripts: Vec<Script>,
    /// Files whose number FILE_CHECK follows. [`FileId`] is the index in this list.
    pub files: Vec<TrackFile>,
    /// Names of the BFD sessions that BFD_CHECK follows. [`BfdId`] is the index in this list.
    pub bfd_sessions: Vec<String>,
    /// Client certificate and authorities of SSL_GET.
    pub tls: ClientTls,
    /// What moves the packets.
    pub plane: PlaneChoice,
    /// `lb_interface`: where clients' packets come in, for the XDP program; those of the virtual routers when empty.
    pub interfaces: Vec<String>,
    /// `net_namespace_ipvs`: path of the network namespace whose IPVS is used; this one's without.
    pub ipvs_namespace: Option<String>,
    /// `lvs_timeouts`, in seconds.
    pub timeouts: Timeouts,
    /// `lvs_flush`: the kernel's table is emptied at the start.
    pub flush_at_start: bool,
    /// `lvs_flush_on_stop`.
    pub flush_at_stop: FlushAtStop,
    /// `lvs_sync_daemon`.
    pub sync_daemon: Option<SyncDaemon>,
    /// `rs_init_notifies`: notices are sent for servers that are up from the start.
    pub notices_at_start: bool,
}

impl Config {
    /// Gives back what lists have room for and do not hold. One that grew by itself has room for four where there is one,
    /// which for checks is more than all the rest of a server.
    pub fn shrink(&mut self) {
        for pool in self.pools.iter_mut().filter_map(Arc::get_mut) {
            pool.services.shrink_to_fit();
            pool.servers.shrink_to_fit();
            for server in &mut pool.servers {
                server.checks.shrink_to_fit();
                for check in &mut server.checks {
                    if let Probe::Http(http) = &mut check.probe {
                        http.urls.shrink_to_fit();
                        http.urls.iter_mut().for_each(|url| url.statuses.shrink_to_fit());
                    }
                }
            }
        }
    }
}

/// A program of a check that names no time limit is ended after this.
pub const LONGEST_SCRIPT: Duration = Duration::from_secs(3600);

/// Index in [`Config::scripts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScriptId(pub u32);

/// Index in [`Config::files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// Index in [`Config::bfd_sessions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BfdId(pub u32);

/// A program and who runs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// User and group, when not `script_user`'s.
    pub user: Option<(String, Option<String>)>,
    /// After so long it gets TERM, and KILL two seconds later.
    pub timeout: Option<Duration>,
}

/// A file with a number in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackFile {
    /// The name after `track_file`.
    pub name: String,
    /// Its path.
    pub path: String,
}

/// Files for SSL_GET. keepalived verifies no certificate, whatever stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the keywords of the SSL block")]
pub struct ClientTls {
    pub password: Option<String>,
    pub ca: Option<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
}

/// `lb_plane`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaneChoice {
    /// IPVS where the kernel has it, the XDP program otherwise.
    #[default]
    Auto,
    /// IPVS or an error.
    Ipvs,
    /// The XDP program.
    Xdp,
}

/// Seconds of idleness; what is absent stays as the kernel has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words of lvs_timeouts")]
pub struct Timeouts {
    pub tcp: Option<NonZeroU32>,
    pub tcp_fin: Option<NonZeroU32>,
    pub udp: Option<NonZeroU32>,
}

/// What is removed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlushAtStop {
    /// Each server, then each service of ours.
    #[default]
    Each,
    /// Each service of ours, at once with its servers (`lvs_flush_on_stop VS`).
    Services,
    /// The kernel's whole table (`lvs_flush_on_stop`).
    Everything,
}

/// `lvs_sync_daemon`: tells the other balancer's kernel of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemon {
    /// Interface it speaks on.
    pub interface: String,
    /// The instance whose state decides between master and backup; without, both run.
    pub instance: Option<String>,
    /// Told from other pairs by this; the VRID of the instance, or 0.
    pub id: u8,
    /// Longest message.
    pub max_length: Option<u16>,
    /// UDP port, 8848 when absent.
    pub port: Option<u16>,
    /// TTL of its datagrams.
    pub ttl: Option<u8>,
    /// Multicast group, 224.0.0.81 when absent.
    pub group: Option<IpAddr>,
}

/// A virtual server: services that share servers and health.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// As keepalived's log spells it: `[10.0.0.1]:tcp:80`, `FWM 7`, or the name of the group.
    pub name: String,
    /// `snmp_name`: what people call it.
    pub label: Option<String>,
    /// The services, groups and ranges spread out, in order and without duplicates.
    pub services: Vec<ServiceKey>,
    /// The protocol that stands in the configuration; `None` for marks only.
    pub protocol: Option<Protocol>,
    /// How connections are spread.
    pub service: Service,
    /// The servers. [`ServerId`](crate::ServerId) holds the index in this list.
    pub servers: Vec<Server>,
    /// The server of last resort.
    pub sorry: Option<Sorry>,
    /// Sum of weights that must be up.
    pub quorum: NonZeroU32,
    /// By how much the sum must pass the quorum to change its state.
    pub hysteresis: u32,
    /// Servers are down until proved up; so is the quorum.
    pub alpha: bool,
    /// Down notices are sent at exit.
    pub omega: bool,
    /// No checks while the virtual address is not on this host.
    pub ha_suspend: bool,
    /// Run when the quorum is gained.
    pub quorum_up: Option<ScriptId>,
    /// Run when it is lost.
    pub quorum_down: Option<ScriptId>,
    /// Mail about the quorum.
    pub mail: bool,
}

/// A real server of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// Its port, after the coercions; 0 for services by mark that do not translate.
    pub port: u16,
    /// `snmp_name`: what people call it.
    pub label: Option<String>,
    /// Its configured share.
    pub weight: u32,
    /// How packets get there.
    pub forward: Forward,
    /// Connections beyond which it gets no new ones; 0 for no limit.
    pub upper_threshold: u32,
    /// Below this it gets new ones again.
    pub lower_threshold: u32,
    /// When down it stays in the table with weight 0.
    pub inhibit_on_failure: bool,
    /// It is down until all its checks have succeeded.
    pub alpha: bool,
    /// Over so long the weight rises to its full value after the server came up (`slow_start`; ours).
    pub slow_start: Option<Duration>,
    /// Run when it comes up.
    pub notify_up: Option<ScriptId>,
    /// Run when it goes down.
    pub notify_down: Option<ScriptId>,
    /// Mail when it goes up or down.
    pub mail: bool,
    /// What decides about it; without any it is always up. [`CheckId`](crate::CheckId) holds the index in this list.
    pub checks: Vec<Check>,
}

impl Server {
    /// Its name within the pool, by which administrative states are kept: `10.0.0.2:80`, `[fd00::2]:80`.
    pub fn name(&self) -> String {
        SocketAddr::new(self.address, self.port).to_string()
    }
}

/// The server of last resort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sorry {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// How packets get there.
    pub forward: Forward,
    /// It stays in the table with weight 0 while it is not needed.
    pub inhibit: bool,
}

/// One check of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is done.
    pub probe: Probe,
    /// To whom. Absent for what asks nobody over the network.
    pub target: Option<Target>,
    /// How often, and how patiently.
    pub timing: Timing,
    /// The server is down until this check has succeeded.
    pub alpha: bool,
    /// Every failure goes to the log, not only the one that counts.
    pub log_all_failures: bool,
}

/// Where a probe goes and where from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `connect_ip`, or the server's address.
    pub address: IpAddr,
    /// `connect_port`, or the server's port.
    pub port: u16,
    /// `bindto`.
    pub source: Option<IpAddr>,
    /// `bind_port`.
    pub source_port: Option<u16>,
    /// `bind_if`.
    pub interface: Option<String>,
    /// `fwmark` of the packets.
    pub mark: Option<NonZeroU32>,
    /// Through the data path: to the virtual address, as this server would get a client's packets (`via dataplane`; ours).
    pub via_dataplane: bool,
}

/// When a check runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// `delay_loop`: from the end of a run to the next (for MISC_CHECK from start to start).
    pub interval: Duration,
    /// `connect_timeout`, or `misc_timeout`: a probe that takes longer has failed.
    pub timeout: Duration,
    /// Failures after the first before the server counts as down.
    pub retries: u32,
    /// `delay_before_retry`.
    pub retry_delay: Duration,
    /// The first run is after one second and a random part of this.
    pub warmup: Duration,
}

/// What a check does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Probe {
    /// TCP_CHECK: connects.
    Tcp,
    /// HTTP_GET, and SSL_GET with `tls`.
    Http(HttpProbe),
    /// SMTP_CHECK.
    Smtp {
        /// Argument of HELO.
        helo: String,
    },
    /// DNS_CHECK.
    Dns {
        /// Type of the query: its number.
        query_type: u16,
        /// Name asked for; `.` for the root.
        name: String,
    },
    /// UDP_CHECK.
    Udp(UdpProbe),
    /// PING_CHECK: one echo.
    Ping,
    /// MISC_CHECK: a program.
    Misc {
        /// Which.
        script: ScriptId,
        /// Exit statuses 2 to 255 set the weight.
        dynamic: bool,
    },
    /// FILE_CHECK: the number in a file.
    File {
        /// Which.
        file: FileId,
        /// What the number is multiplied by; 0 makes a number other than 0 a failure.
        weight: i32,
        /// The sign is turned.
        reverse: bool,
    },
    /// BFD_CHECK: a session is up.
    Bfd {
        /// Which.
        session: BfdId,
    },
    /// AGENT_CHECK: a line of text in HAProxy's format sets weight and state (ours).
    Agent {
        /// Sent first, when the agent expects something.
        send: Option<String>,
    },
}

impl Probe {
    /// Its keyword.
    pub fn keyword(&self) -> &'static str {
        match self {
            Probe::Tcp => "TCP_CHECK",
            Probe::Http(HttpProbe { tls: None, .. }) => "HTTP_GET",
            Probe::Http(HttpProbe { tls: Some(_), .. }) => "SSL_GET",
            Probe::Smtp { .. } => "SMTP_CHECK",
            Probe::Dns { .. } => "DNS_CHECK",
            Probe::Udp(_) => "UDP_CHECK",
            Probe::Ping => "PING_CHECK",
            Probe::Misc { .. } => "MISC_CHECK",
            Probe::File { .. } => "FILE_CHECK",
            Probe::Bfd { .. } => "BFD_CHECK",
            Probe::Agent { .. } => "AGENT_CHECK",
        }
    }
}

/// An HTTP check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// Over TLS, without a look at the certificate.
    pub tls: Option<TlsProbe>,
    /// Version in the request line and the header that goes with it.
    pub version: HttpVersion,
    /// The requests, in order.
    pub urls: Vec<UrlProbe>,
    /// No pause between urls when recovering.
    pub fast_recovery: bool,
}

/// TLS of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsProbe {
    /// `enable_sni`: a name is sent.
    pub sni: bool,
    /// `sni_name`: this one, instead of that of the url or the server.
    pub sni_name: Option<String>,
    /// The connection is ended by close_notify.
    pub compliant: bool,
}

/// `http_protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// `1.0`
    #[default]
    V10,
    /// `1.0C`: with `Connection: close`.
    V10Close,
    /// `1.1`
    V11,
}

/// One request of an HTTP check and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlProbe {
    /// The request's path.
    pub path: String,
    /// Host header, when one was configured for url, check, server or virtual server.
    pub virtualhost: Option<String>,
    /// Server name in TLS, with its own order: url, check, virtual server.
    pub sni: Option<String>,
    /// Statuses that are right, as inclusive ranges.
    pub statuses: Vec<(u16, u16)>,
    /// MD5 of the body.
    pub digest: Option<[u8; 16]>,
    /// The body must match, or must not.
    pub regex: Option<BodyRegex>,
    /// The connection is ended by close_notify.
    pub tls_compliant: bool,
}

/// A pattern for a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRegex {
    /// In PCRE's language.
    pub pattern: String,
    /// `regex_no_match`: a match is a failure.
    pub no_match: bool,
    /// `regex_options`, keepalived's words.
    pub options: Vec<String>,
    /// Bytes of the body before the search.
    pub min_offset: usize,
    /// Offset by which a match must have begun.
    pub max_offset: Option<usize>,
}

/// A UDP check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpProbe {
    /// What is sent; random bytes when absent.
    pub payload: Option<Vec<u8>>,
    /// A reply is needed.
    pub require_reply: bool,
    /// And looks like this: value and mask of each byte, compared over the shorter of the two.
    pub reply: Option<Vec<(u8, u8)>>,
    /// Shortest reply.
    pub min_length: u16,
    /// Longest reply.
    pub max_length: u16,
}
