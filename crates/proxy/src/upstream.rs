use crate::clock::SlotHandle;
use crate::stream::Stream;
use evenkeel_site::config::{ListenAddress, Upstream};
use evenkeel_site::{Balancer, ServerStatus, UpstreamStatus};
use evenkeel_wire::Instant;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// One upstream as one worker sees it: who is healthy, and the connections at rest.
#[derive(Debug)]
pub(crate) struct UpstreamState {
    pub(crate) config: Upstream,
    pub(crate) balancer: RefCell<Balancer>,
    idle: RefCell<Vec<Idle>>,
    /// Nobody will come for a connection any more, nor sweep it away.
    closed: Cell<bool>,
    pub(crate) servers: Vec<ServerState>,
}

/// A server of an upstream.
#[derive(Debug)]
pub(crate) struct ServerState {
    /// For logs and variables.
    pub(crate) text: String,
    pub(crate) n_requests: Cell<u64>,
    pub(crate) n_fails: Cell<u64>,
    pub(crate) last_error: RefCell<Option<(Duration, String)>>,
}

/// A connection to a server, kept for several requests.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) server: usize,
    /// Requests it has carried.
    pub(crate) n_requests: u32,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Duration,
}

impl UpstreamState {
    pub(crate) fn new(config: &Upstream) -> UpstreamState {
        let servers = config.servers.iter().map(|server| ServerState {
            text: address_text(&server.address),
            n_requests: Cell::new(0),
            n_fails: Cell::new(0),
            last_error: RefCell::new(None),
        });
        UpstreamState {
            balancer: RefCell::new(Balancer::new(config)),
            idle: RefCell::default(),
            closed: Cell::new(false),
            servers: servers.collect(),
            config: config.clone(),
        }
    }

    /// The connection to `server` used last, if one is at rest and the server has not closed it.
    pub(crate) fn take(&self, server: usize) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let index = idle.iter().rposition(|idle| idle.connection.server == server)?;
            let connection = idle.remove(index).connection;
            if connection.stream.is_at_rest() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for later. The one unused longest makes room for it.
    pub(crate) fn put(&self, connection: Connection, now: Duration) {
        if self.closed.get() || self.config.keepalive == 0 || connection.n_requests >= self.config.keepalive_requests {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.config.keepalive {
            idle.remove(0);
        }
        idle.push(Idle { connection, since: now });
    }

    /// Closes connections that have rested too long or that the server has closed.
    pub(crate) fn sweep(&self, now: Duration) {
        self.idle.borrow_mut().retain(|idle| {
            now.saturating_sub(idle.since) < self.config.keepalive_timeout && idle.connection.stream.is_at_rest()
        });
    }

    /// Closes all connections at rest, for good.
    pub(crate) fn close_idle(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
    }

    pub(crate) fn status(&self, now: Duration) -> UpstreamStatus {
        let balancer = self.balancer.borrow();
        let servers = self.servers.iter().zip(&self.config.servers).enumerate().map(|(index, (server, config))| {
            let last_error = server.last_error.borrow();
            ServerStatus {
                address: server.text.clone(),
                alive: balancer.server_alive(Instant::from_origin(now), index),
                backup: config.backup,
                requests: server.n_requests.get(),
                fails: server.n_fails.get(),
                last_error: last_error.as_ref().map(|(_, error)| error.clone()),
                last_error_age: last_error.as_ref().map(|(at, _)| now.saturating_sub(*at)),
            }
        });
        UpstreamStatus { name: self.config.name.clone(), servers: servers.collect() }
    }
}

impl ServerState {
    /// Remembers a failure for `status`.
    pub(crate) fn note_failure(&self, now: Duration, error: &str) {
        self.n_fails.set(self.n_fails.get() + 1);
        *self.last_error.borrow_mut() = Some((now, error.to_owned()));
    }
}

/// Opens a connection, with `limit` as deadline of the client's connection.
pub(crate) async fn connect(address: &ListenAddress, slot: &SlotHandle, limit: Duration) -> io::Result<Stream> {
    match address {
        ListenAddress::Tcp(address) => {
            let mut attempt = pin!(TcpStream::connect(address));
            let stream = slot.within(limit, |cx| attempt.as_mut().poll(cx)).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        ListenAddress::Unix(path) => {
            let mut attempt = pin!(UnixStream::connect(path));
            Ok(Stream::Unix(slot.within(limit, |cx| attempt.as_mut().poll(cx)).await?))
        }
    }
}

/// Whether a server accepts connections.
pub(crate) async fn probe(address: &ListenAddress, slot: &SlotHandle, limit: Duration) -> io::Result<()> {
    let mut stream = connect(address, slot, limit).await?;
    // Closing politely: an abortive close fills the logs of some servers.
    let _ = std::future::poll_fn(|cx| match stream.poll_shutdown(cx) {
        Poll::Ready(outcome) => Poll::Ready(outcome),
        Poll::Pending => Poll::Ready(Ok(())),
    })
    .await;
    Ok(())
}

/// `10.0.0.51:80` or `unix:/run/app.sock`.
pub(crate) fn address_text(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}
