//! What `nginx.conf` says, after inheritance: every location carries the values in force there.

pub mod answer;
pub mod rewrite;

use answer::{AccessRule, AddHeader, Alias, ErrorPage, TryFiles};
use rewrite::{Computed, Step};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A whole nginx configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `worker_processes`; `None` is `auto`: one for each core.
    pub workers: Option<u16>,
    /// `worker_connections`: clients and upstreams together, for each worker.
    pub worker_connections: u32,
    /// `worker_shutdown_timeout`.
    pub shutdown_timeout: Option<Duration>,
    /// `user`, and its group when one is named.
    pub user: Option<(String, Option<String>)>,
    /// `pid`.
    pub pid: Option<PathBuf>,
    /// `daemon on|off`; `None` when the file does not say.
    pub daemon: Option<bool>,
    /// `error_log` at the top level.
    pub error_log: ErrorLog,
    /// `server` blocks of `http`, in file order. [`Listen::servers`] and others use the index.
    pub servers: Vec<Server>,
    /// Sockets to bind, each once however many servers share it.
    pub listens: Vec<Listen>,
    /// `upstream` blocks, and one implicit upstream for each `proxy_pass` that names a server directly.
    pub upstreams: Vec<Upstream>,
    /// `log_format`s by index; index 0 is `combined`.
    pub log_formats: Vec<LogFormat>,
    /// Variables that follow from others: `map`s and their like.
    pub computed: Vec<Computed>,
}

impl Config {
    /// Listens that need a socket of their own, by index. One whose port a wildcard listen has as well
    /// (`10.0.0.1:80` beside `*:80`) shares its socket, as in nginx: [`Config::listen_at`] tells them apart.
    pub fn sockets(&self) -> Vec<usize> {
        (0..self.listens.len())
            .filter(|listen| !self.listens.iter().any(|w| w.covers(&self.listens[*listen])))
            .collect()
    }

    /// The listen of a connection that a socket accepted, from the address that the client came to.
    pub fn listen_at(&self, socket: usize, local: SocketAddr) -> usize {
        let address = ListenAddress::Tcp(local);
        self.listens.iter().position(|listen| listen.address == address).unwrap_or(socket)
    }
}

impl Listen {
    fn covers(&self, other: &Listen) -> bool {
        let (ListenAddress::Tcp(all), ListenAddress::Tcp(one)) = (&self.address, &other.address) else { return false };
        all.port() == one.port()
            && all.is_ipv4() == one.is_ipv4()
            && all.ip().is_unspecified()
            && !one.ip().is_unspecified()
    }
}

/// One socket to listen on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listen {
    /// Where.
    pub address: ListenAddress,
    /// `backlog`.
    pub backlog: Option<u32>,
    /// `reuseport`.
    pub reuseport: bool,
    /// Servers that listen here, by index; the first is the default server.
    pub servers: Vec<usize>,
}

/// Address of a listening socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ListenAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// A `server` block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// In file order. Never empty: a server without `server_name` has the empty name.
    pub names: Vec<ServerName>,
    /// `location`s in file order, nested ones inside.
    pub locations: Vec<Location>,
    /// Values for a request that no location matches.
    pub fallback: Scope,
    /// What comes before any location is looked for.
    pub rewrite: Vec<Step>,
    /// `client_header_timeout`.
    pub client_header_timeout: Duration,
    /// `large_client_header_buffers`: the longest request head, in bytes.
    pub max_head: usize,
    /// `merge_slashes`: `//` in a path counts as `/`.
    pub merge_slashes: bool,
}

impl Default for Server {
    /// A server with the empty name and nothing else said.
    fn default() -> Self {
        Server {
            names: vec![ServerName::Exact(String::new())],
            locations: Vec::new(),
            fallback: Scope::default(),
            rewrite: Vec::new(),
            client_header_timeout: Duration::from_secs(60),
            max_head: 4 * 8192,
            merge_slashes: true,
        }
    }
}

/// One word after `server_name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerName {
    /// `example.com`, `_`, or empty; lower case.
    Exact(String),
    /// `*.example.com`: holds `.example.com`, lower case.
    Suffix(String),
    /// `.example.com`: the name itself and everything below it; holds `example.com`.
    SuffixOrSelf(String),
    /// `www.*`: holds `www.`.
    Prefix(String),
    /// `~regex`, without the tilde.
    Regex(String),
}

/// A `location` block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// What it matches.
    pub matches: LocationMatch,
    /// Values in force.
    pub scope: Scope,
    /// What comes before that.
    pub rewrite: Vec<Step>,
    /// `internal`: clients may not ask for it.
    pub internal: bool,
    /// What it does.
    pub handler: Handler,
    /// Locations inside it.
    pub nested: Vec<Location>,
}

/// The head of a `location`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocationMatch {
    /// `/path`.
    Prefix(String),
    /// `^~ /path`.
    PrefixNoRegex(String),
    /// `= /path`.
    Exact(String),
    /// `~ regex` or `~* regex`.
    Regex {
        /// The pattern.
        pattern: String,
        /// `~*`.
        ignore_case: bool,
    },
    /// `@name`.
    Named(String),
}

/// What answers a request in a location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Handler {
    /// `proxy_pass`.
    Proxy(ProxyPass),
    /// Files below `root`.
    Static,
    /// `return`.
    Return(Return),
}

/// `return CODE [TEXT]` or `return URL`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Status code; 444 closes the connection without an answer.
    pub status: u16,
    /// Body or, for 301, 302, 303, 307 and 308, the target. May hold variables.
    pub text: Option<String>,
}

/// Target of `proxy_pass`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyPass {
    /// Index in [`Config::upstreams`].
    pub upstream: usize,
    /// What stands after `http://`, up to the path: `$proxy_host`.
    pub host: String,
    /// The path, when `proxy_pass` has one: it replaces the part of the URI that the location matched.
    pub uri: Option<String>,
    /// `$proxy_port`.
    pub port: u16,
}

/// Values that blocks inherit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// `root`.
    pub root: PathBuf,
    /// `index`.
    pub index: Vec<String>,
    /// `types`: extension to media type.
    pub types: std::sync::Arc<std::collections::BTreeMap<String, String>>,
    /// `default_type`.
    pub default_type: String,
    /// `access_log`s; empty is `off`.
    pub access_logs: Vec<AccessLog>,
    /// `error_log`.
    pub error_log: ErrorLog,
    /// `keepalive_timeout`; zero closes after each answer.
    pub keepalive_timeout: Duration,
    /// `keepalive_requests`.
    pub keepalive_requests: u32,
    /// `client_max_body_size` in bytes; 0 is unlimited.
    pub client_max_body_size: u64,
    /// `client_body_timeout`.
    pub client_body_timeout: Duration,
    /// `send_timeout`.
    pub send_timeout: Duration,
    /// `server_tokens`.
    pub server_tokens: bool,
    /// `absolute_redirect`: redirects that nginx itself issues carry scheme and host.
    pub absolute_redirect: bool,
    /// `port_in_redirect`: and the port.
    pub port_in_redirect: bool,
    /// `server_name_in_redirect`: and the first `server_name` instead of the host that the client named.
    pub server_name_in_redirect: bool,
    /// `proxy_set_header`s in force: name and a value that may hold variables. nginx's defaults
    /// (`Host $proxy_host`, `Connection close`) are in the list unless replaced; an empty value drops the header.
    pub proxy_headers: Vec<(String, String)>,
    /// `proxy_http_version`.
    pub proxy_http_version: HttpVersion,
    /// `proxy_connect_timeout`.
    pub proxy_connect_timeout: Duration,
    /// `proxy_send_timeout`.
    pub proxy_send_timeout: Duration,
    /// `proxy_read_timeout`.
    pub proxy_read_timeout: Duration,
    /// `proxy_next_upstream`.
    pub proxy_next_upstream: NextUpstream,
    /// `proxy_redirect default`: redirects of an upstream are put in the client's terms; `off` leaves them.
    pub proxy_redirect: bool,
    /// `error_page`s.
    pub error_pages: Vec<ErrorPage>,
    /// `recursive_error_pages`.
    pub recursive_error_pages: bool,
    /// `proxy_intercept_errors`: error pages for an upstream's errors, too.
    pub proxy_intercept_errors: bool,
    /// `add_header`s.
    pub add_headers: Vec<AddHeader>,
    /// `proxy_hide_header`s: of an upstream's answer, not passed on. Lower case.
    pub proxy_hide_headers: Vec<String>,
    /// `proxy_pass_header`s: passed on although nginx keeps them to itself. Lower case.
    pub proxy_pass_headers: Vec<String>,
    /// `allow` and `deny`, in order.
    pub access: Vec<AccessRule>,
    /// `try_files`.
    pub try_files: Option<TryFiles>,
    /// `alias` instead of `root`: the part of the path that the location names is left out.
    pub alias: Option<Alias>,
}

impl Default for Scope {
    /// nginx's defaults.
    fn default() -> Self {
        Scope {
            root: PathBuf::from("html"),
            index: vec!["index.html".to_owned()],
            types: std::sync::Arc::default(),
            default_type: "text/plain".to_owned(),
            access_logs: Vec::new(),
            error_log: ErrorLog::default(),
            keepalive_timeout: Duration::from_secs(75),
            keepalive_requests: 1000,
            client_max_body_size: 1 << 20,
            client_body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            server_tokens: true,
            absolute_redirect: true,
            port_in_redirect: true,
            server_name_in_redirect: false,
            proxy_headers: vec![
                ("Host".to_owned(), "$proxy_host".to_owned()),
                ("Connection".to_owned(), "close".to_owned()),
            ],
            proxy_http_version: HttpVersion::Http10,
            proxy_connect_timeout: Duration::from_secs(60),
            proxy_send_timeout: Duration::from_secs(60),
            proxy_read_timeout: Duration::from_secs(60),
            proxy_next_upstream: NextUpstream::default(),
            proxy_redirect: true,
            error_pages: Vec::new(),
            recursive_error_pages: false,
            proxy_intercept_errors: false,
            add_headers: Vec::new(),
            proxy_hide_headers: Vec::new(),
            proxy_pass_headers: Vec::new(),
            access: Vec::new(),
            try_files: None,
            alias: None,
        }
    }
}

/// Version that requests to an upstream carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// 1.0, nginx's default before 1.29.7.
    Http10,
    /// 1.1.
    Http11,
}

/// `proxy_next_upstream`: after what a request goes to the next server. Never after a part of the answer was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is a word of the directive")]
pub struct NextUpstream {
    pub error: bool,
    pub timeout: bool,
    pub invalid_header: bool,
    pub http_500: bool,
    pub http_502: bool,
    pub http_503: bool,
    pub http_504: bool,
    pub http_403: bool,
    pub http_404: bool,
    pub http_429: bool,
    /// Also POST, LOCK and PATCH, once the request has been sent.
    pub non_idempotent: bool,
    /// `proxy_next_upstream_tries`; 0 is as many as there are servers.
    pub tries: u32,
    /// `proxy_next_upstream_timeout`; zero is unlimited.
    pub timeout_total: Duration,
}

impl Default for NextUpstream {
    fn default() -> Self {
        NextUpstream {
            error: true,
            timeout: true,
            invalid_header: false,
            http_500: false,
            http_502: false,
            http_503: false,
            http_504: false,
            http_403: false,
            http_404: false,
            http_429: false,
            non_idempotent: false,
            tries: 0,
            timeout_total: Duration::ZERO,
        }
    }
}

impl Upstream {
    /// An upstream with nginx's defaults.
    pub fn new(name: impl Into<String>, servers: Vec<UpstreamServer>) -> Upstream {
        Upstream {
            name: name.into(),
            servers,
            method: Method::RoundRobin,
            keepalive: 0,
            keepalive_timeout: Duration::from_secs(60),
            keepalive_requests: 1000,
        }
    }
}

/// An `upstream` block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its name; `host:port` for an implicit one.
    pub name: String,
    /// Servers in file order; a name that resolves to several addresses gives several.
    pub servers: Vec<UpstreamServer>,
    /// How a server is chosen.
    pub method: Method,
    /// `keepalive N`: idle connections kept, for each worker.
    pub keepalive: usize,
    /// `keepalive_timeout` in the upstream.
    pub keepalive_timeout: Duration,
    /// `keepalive_requests` in the upstream.
    pub keepalive_requests: u32,
}

/// How an upstream chooses a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// In turn, by weight.
    RoundRobin,
    /// `least_conn`.
    LeastConn,
    /// `ip_hash`.
    IpHash,
    /// `hash`.
    Hash {
        /// May hold variables.
        key: String,
        /// `consistent`: few keys move when a server comes or goes.
        consistent: bool,
    },
}

/// A `server` line of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamServer {
    /// As written; a consistent hash goes by it.
    pub name: String,
    /// Where.
    pub address: ListenAddress,
    /// `weight`.
    pub weight: u32,
    /// `max_fails`; 0 never counts a failure.
    pub max_fails: u32,
    /// `fail_timeout`.
    pub fail_timeout: Duration,
    /// `backup`.
    pub backup: bool,
    /// `down`.
    pub down: bool,
    /// `max_conns`: requests with it at once, for each worker; 0 is unlimited.
    pub max_conns: u32,
}

impl UpstreamServer {
    /// A server with nginx's defaults.
    pub fn new(address: ListenAddress) -> UpstreamServer {
        let name = match &address {
            ListenAddress::Tcp(address) => address.to_string(),
            ListenAddress::Unix(path) => format!("unix:{}", path.display()),
        };
        UpstreamServer {
            name,
            address,
            weight: 1,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            backup: false,
            down: false,
            max_conns: 0,
        }
    }
}

/// `access_log PATH [format]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLog {
    /// File to append to.
    pub path: PathBuf,
    /// Index in [`Config::log_formats`].
    pub format: usize,
}

/// `log_format NAME TEXT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFormat {
    /// Its name.
    pub name: String,
    /// Text with variables.
    pub text: String,
    /// `escape=`.
    pub escape: LogEscape,
}

impl LogFormat {
    /// The format that nginx has without being told.
    pub fn combined() -> LogFormat {
        LogFormat {
            name: "combined".to_owned(),
            text: "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\""
                .to_owned(),
            escape: LogEscape::Default,
        }
    }
}

/// `log_format NAME escape=...`: how values of variables are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogEscape {
    /// `"`, `\`, and what is not printable ASCII, as `\xXX`; an absent value as `-`.
    #[default]
    Default,
    /// As inside a JSON string; an absent value as nothing.
    Json,
    /// As they are; an absent value as nothing.
    None,
}

/// `error_log PATH [level]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorLog {
    /// Where to.
    pub target: ErrorLogTarget,
    /// Least severe level that is written.
    pub level: LogLevel,
}

impl Default for ErrorLog {
    fn default() -> Self {
        ErrorLog { target: ErrorLogTarget::Stderr, level: LogLevel::Error }
    }
}

/// Where error messages go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorLogTarget {
    /// `stderr`.
    Stderr,
    /// A file to append to.
    File(PathBuf),
}

/// nginx's levels, most severe last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "nginx's words")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warn,
    Error,
    Crit,
    Alert,
    Emerg,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_below_a_wildcard_share_its_socket() {
        let tcp = |text: &str| ListenAddress::Tcp(text.parse().expect("an address"));
        let listen = |address| Listen { address, backlog: None, reuseport: false, servers: vec![0] };
        let addresses = ["10.0.0.1:80", "0.0.0.0:80", "10.0.0.1:81", "[::1]:80", "[::]:81"].map(tcp);
        let config = Config { listens: addresses.map(listen).into(), ..Config::default() };
        assert_eq!(config.sockets(), [1, 2, 3, 4]);
        let at = |socket, local: &str| config.listen_at(socket, local.parse().expect("an address"));
        assert_eq!(at(1, "10.0.0.1:80"), 0);
        assert_eq!(at(1, "10.0.0.2:80"), 1);
        assert_eq!(at(2, "10.0.0.1:81"), 2);
    }
}
