//! A proxy in this process, scripted upstreams and clients that see every byte.
#![allow(unreachable_pub, reason = "shared by the test files")]
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use evenkeel_proxy::{Options, Proxy, Resources};
use evenkeel_site::config::{
    Handler, HttpVersion, Listen, ListenAddress, Location, LocationMatch, LogFormat, ProxyPass, Return, Scope, Server,
    Upstream, UpstreamServer,
};
use evenkeel_site::{Config, Status};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Long enough for a loaded machine; nothing waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Values as most tests want them: HTTP/1.1 and keep-alive to the upstream.
pub fn scope() -> Scope {
    Scope {
        proxy_http_version: HttpVersion::Http11,
        proxy_headers: vec![("Host".to_owned(), "$host".to_owned())],
        ..Scope::default()
    }
}

pub fn location(prefix: &str, scope: Scope, handler: Handler) -> Location {
    Location {
        matches: LocationMatch::Prefix(prefix.to_owned()),
        scope,
        rewrite: Vec::new(),
        internal: false,
        handler,
        nested: Vec::new(),
    }
}

pub fn returns(status: u16, text: &str) -> Handler {
    Handler::Return(Return { status, text: Some(text.to_owned()) })
}

/// A configuration with one listener whose every request goes to one upstream.
pub fn proxying(scope: Scope, upstream: Upstream) -> Config {
    let pass = ProxyPass { upstream: 0, host: "backend".to_owned(), uri: None, port: 80 };
    let mut config = serving(scope.clone(), vec![location("/", scope, Handler::Proxy(pass))]);
    config.upstreams = vec![upstream];
    config
}

/// A configuration with one listener and these locations.
pub fn serving(scope: Scope, locations: Vec<Location>) -> Config {
    Config {
        workers: Some(1),
        worker_connections: 512,
        servers: vec![Server { locations, fallback: scope, ..Server::default() }],
        listens: vec![Listen {
            address: ListenAddress::Tcp(([127, 0, 0, 1], 0).into()),
            backlog: None,
            reuseport: false,
            servers: vec![0],
        }],
        log_formats: vec![LogFormat::combined()],
        ..Config::default()
    }
}

pub fn upstream(servers: &[SocketAddr]) -> Upstream {
    let servers = servers.iter().map(|address| UpstreamServer::new(ListenAddress::Tcp(*address))).collect();
    Upstream { keepalive: 8, ..Upstream::new("backend", servers) }
}

/// An address where nobody listens.
pub fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A running proxy and where it listens.
pub struct Running {
    pub proxy: Proxy,
    pub address: SocketAddr,
}

pub fn start(config: Config) -> Running {
    start_with(config, Options::default())
}

pub fn start_with(config: Config, options: Options) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let resources = Resources { listeners: vec![listener.into()], logs: open_logs(&config) };
    Running { proxy: Proxy::start(config, resources, options).unwrap(), address }
}

pub fn open_logs(config: &Config) -> Vec<(std::path::PathBuf, std::os::fd::OwnedFd)> {
    let paths = config.servers.iter().flat_map(|server| &server.fallback.access_logs).map(|log| log.path.clone());
    paths
        .map(|path| {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            (path, file.into())
        })
        .collect()
}

impl Running {
    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, rest: Vec::new() }
    }

    pub fn get(&self, path: &str) -> Response {
        self.client().ask(&format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n"))
    }

    pub fn status(&self) -> Status {
        self.proxy.status(PATIENCE)
    }

    /// Waits for a state that is reached soon after an event.
    pub fn until(&self, what: &str, reached: impl Fn(&Status) -> bool) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !reached(&self.status()) {
            assert!(std::time::Instant::now() < deadline, "never: {what}; {:?}", self.status());
            std::thread::yield_now();
        }
    }
}

/// One connection of a client.
pub struct Client {
    pub stream: TcpStream,
    rest: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

impl Client {
    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).unwrap();
    }

    pub fn ask(&mut self, text: &str) -> Response {
        self.send(text);
        self.response(text.starts_with("HEAD"))
    }

    /// Reads one response.
    pub fn response(&mut self, to_head: bool) -> Response {
        let head = self.head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = match (header(&head, "content-length"), header(&head, "transfer-encoding")) {
            _ if to_head || status < 200 || status == 204 || status == 304 => Vec::new(),
            (Some(length), _) => self.exactly(length.parse().unwrap()),
            (None, Some(_)) => self.chunks(),
            (None, None) => self.read_to_end(),
        };
        Response { status, head, body }
    }

    pub fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = self.rest.split_off(end + 4);
                return String::from_utf8(std::mem::replace(&mut self.rest, rest)).unwrap();
            }
            assert!(self.more() > 0, "closed inside a head: {:?}", String::from_utf8_lossy(&self.rest));
        }
    }

    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.rest.len() < n {
            assert!(self.more() > 0, "closed {} bytes before the end", n - self.rest.len());
        }
        let rest = self.rest.split_off(n);
        std::mem::replace(&mut self.rest, rest)
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.rest.windows(2).position(|window| window == b"\r\n") {
                    break end;
                }
                assert!(self.more() > 0);
            };
            let line = self.exactly(end + 2);
            let size = usize::from_str_radix(std::str::from_utf8(&line[..end]).unwrap(), 16).unwrap();
            body.extend(self.exactly(size));
            assert_eq!(self.exactly(2), b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    /// Everything up to the end of the connection.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.more() > 0 {}
        std::mem::take(&mut self.rest)
    }

    fn more(&mut self) -> usize {
        let mut chunk = vec![0; 65536];
        match self.stream.read(&mut chunk) {
            Ok(n) => {
                self.rest.extend_from_slice(&chunk[..n]);
                n
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("read: {error}"),
        }
    }
}

/// An upstream that serves each connection with `script`, which gets a number and the connection.
pub struct Origin {
    pub address: SocketAddr,
    pub n_connections: Arc<AtomicUsize>,
}

pub fn origin(script: impl Fn(usize, &mut Client) + Send + Sync + 'static) -> Origin {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let n_connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&n_connections);
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let script = Arc::clone(&script);
            std::thread::spawn(move || {
                let mut client = Client { stream: stream.unwrap(), rest: Vec::new() };
                script(number, &mut client);
            });
        }
    });
    Origin { address, n_connections }
}

impl Client {
    /// As an upstream: the next request head, or `None` when the proxy has closed.
    pub fn request(&mut self) -> Option<String> {
        while !self.rest.windows(4).any(|window| window == b"\r\n\r\n") {
            if self.more() == 0 {
                return None;
            }
        }
        Some(self.head())
    }

    pub fn request_body(&mut self, head: &str) -> Vec<u8> {
        match (header(head, "content-length"), header(head, "transfer-encoding")) {
            (Some(length), _) => self.exactly(length.parse().unwrap()),
            (None, Some(_)) => self.chunks(),
            (None, None) => Vec::new(),
        }
    }
}

/// An upstream that answers every request with the head it got and `name`.
pub fn echoing(name: &'static str) -> Origin {
    origin(move |_, client| {
        while let Some(head) = client.request() {
            let body = client.request_body(&head);
            let text = format!("{name}\n{head}{}", String::from_utf8_lossy(&body));
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        }
    })
}

/// An upstream that sends the same bytes for every request.
pub fn constant(answer: &'static str) -> Origin {
    origin(move |_, client| {
        while let Some(head) = client.request() {
            client.request_body(&head);
            client.send(answer);
        }
    })
}
