//! A proxy to measure: `bench_proxy LISTEN UPSTREAM [WORKERS]` passes everything to one upstream with keep-alive.

use evenkeel_proxy::{Options, Proxy, Resources};
use evenkeel_site::Config;
use evenkeel_site::config::{
    Handler, HttpVersion, Listen, ListenAddress, Location, LocationMatch, LogFormat, ProxyPass, Scope, Server,
    Upstream, UpstreamServer,
};
use std::error::Error;
use std::net::{SocketAddr, TcpListener};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "bench_proxy LISTEN UPSTREAM [WORKERS]";
    let listen: SocketAddr = arguments.next().ok_or(usage)?.parse()?;
    let upstream: SocketAddr = arguments.next().ok_or(usage)?.parse()?;
    let workers = arguments.next().map_or(Ok(1), |workers| workers.parse())?;

    let scope = Scope {
        keepalive_requests: u32::MAX,
        proxy_headers: vec![("Host".to_owned(), "$host".to_owned())],
        proxy_http_version: HttpVersion::Http11,
        ..Scope::default()
    };
    let pass = ProxyPass { upstream: 0, host: "origin".to_owned(), uri: None, port: 80 };
    let location = Location {
        rewrite: Vec::new(),
        internal: false,
        matches: LocationMatch::Prefix("/".to_owned()),
        scope: scope.clone(),
        handler: Handler::Proxy(pass),
        nested: Vec::new(),
    };
    let server = Server { locations: vec![location], fallback: scope, ..Server::default() };
    let origin = Upstream {
        keepalive: 128,
        keepalive_requests: u32::MAX,
        ..Upstream::new("origin", vec![UpstreamServer::new(ListenAddress::Tcp(upstream))])
    };
    let config = Config {
        workers: Some(workers),
        worker_connections: 4096,
        servers: vec![server],
        listens: vec![Listen {
            address: ListenAddress::Tcp(listen),
            backlog: None,
            reuseport: false,
            servers: vec![0],
        }],
        upstreams: vec![origin],
        log_formats: vec![LogFormat::combined()],
        ..Config::default()
    };
    let listener = TcpListener::bind(listen)?;
    let resources = Resources { listeners: vec![listener.into()], logs: Vec::new() };
    let _proxy = Proxy::start(config, resources, Options::default())?;
    loop {
        std::thread::park();
    }
}
