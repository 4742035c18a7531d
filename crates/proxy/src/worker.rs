use crate::buffer::Buffers;
use crate::client;
use crate::clock::{Clock, TICK};
use crate::http1::ResponseHead;
use crate::log::{LogFiles, Logs};
use crate::record::Identity;
use crate::stream::{Listener, Stream};
use crate::upstream::{UpstreamState, probe};
use evenkeel_site::config::LogLevel;
use evenkeel_site::{Site, UpstreamStatus};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_local};

/// What all workers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The last `$connection`.
    pub(crate) n_connections: AtomicU64,
    pub(crate) hostname: Vec<u8>,
}

/// A configuration with all that belongs to it, ready to be used.
pub(crate) struct Generation {
    pub(crate) site: Arc<Site>,
    pub(crate) listeners: Vec<socket2::Socket>,
    pub(crate) logs: LogFiles,
    pub(crate) probe: Option<Duration>,
}

/// What a worker is told.
pub(crate) enum Command {
    /// Make ready to serve this, and say whether it would work. Nothing changes before [`Command::Commit`].
    Prepare(Generation, SyncSender<std::io::Result<()>>),
    /// Serve what was prepared, and say so.
    Commit(SyncSender<()>),
    /// Forget what was prepared.
    Abandon,
    Reopen(LogFiles),
    Drain,
    Status(SyncSender<Report>),
    Stop,
}

/// What a worker knows about itself.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) responses: [u64; 5],
    pub(crate) bad_requests: u64,
    pub(crate) upstreams: Vec<UpstreamStatus>,
}

/// One thread's worth of proxy. Nothing in it is shared with other threads but the configuration and log files.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Rc<Clock>,
    pub(crate) buffers: Buffers,
    pub(crate) logs: Logs,
    pub(crate) draining: Cell<bool>,
    pub(crate) n_clients: Cell<u64>,
    pub(crate) n_requests: Cell<u64>,
    pub(crate) n_bad_requests: Cell<u64>,
    pub(crate) responses: [Cell<u64>; 5],
    /// Heads at rest, for their lists of fields.
    response_heads: RefCell<Vec<ResponseHead>>,
}

/// The configuration that a connection was accepted under and keeps to its end.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) site: Arc<Site>,
    pub(crate) upstreams: Vec<UpstreamState>,
    /// Another configuration has taken over: connections close after the request under way.
    pub(crate) retired: Cell<bool>,
}

/// A generation at work: its acceptors and probes run until this is dropped.
struct Serving {
    snapshot: Rc<Snapshot>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.snapshot.retired.set(true);
        for task in &self.tasks {
            task.abort();
        }
        for upstream in &self.snapshot.upstreams {
            upstream.close_idle();
        }
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, logs: LogFiles, index: usize) -> Worker {
        Worker {
            shared,
            clock: Rc::new(Clock::new()),
            buffers: Buffers::default(),
            logs: Logs::new(logs, index),
            draining: Cell::new(false),
            n_clients: Cell::new(0),
            n_requests: Cell::new(0),
            n_bad_requests: Cell::new(0),
            responses: Default::default(),
            response_heads: RefCell::default(),
        }
    }

    /// Counts an answer.
    pub(crate) fn count(&self, status: u16) {
        self.n_requests.set(self.n_requests.get() + 1);
        if let Some(class) = self.responses.get(usize::from(status / 100).wrapping_sub(1)) {
            class.set(class.get() + 1);
        }
    }

    pub(crate) fn take_response_head(&self) -> ResponseHead {
        self.response_heads.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn put_response_head(&self, head: ResponseHead) {
        let mut heads = self.response_heads.borrow_mut();
        if heads.len() < 16 {
            heads.push(head);
        }
    }

    fn report(&self, snapshot: &Snapshot) -> Report {
        let now = self.clock.now();
        Report {
            connections: self.n_clients.get(),
            requests: self.n_requests.get(),
            responses: self.responses.each_ref().map(Cell::get),
            bad_requests: self.n_bad_requests.get(),
            upstreams: snapshot.upstreams.iter().map(|upstream| upstream.status(now)).collect(),
        }
    }
}

/// Runs a worker until it is told to stop. `started` hears whether the first generation works.
pub(crate) async fn run(
    worker: Rc<Worker>,
    first: Generation,
    mut commands: tokio::sync::mpsc::Receiver<Command>,
    started: SyncSender<std::io::Result<()>>,
) {
    let mut serving = match Prepared::new(first) {
        Ok(first) => first.serve(&worker),
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(()));
    let ticking = spawn_local(tick(Rc::clone(&worker), Rc::clone(&serving.snapshot)));
    let mut ticking = AbortOnDrop(ticking);
    let mut prepared: Option<Prepared> = None;
    while let Some(command) = commands.recv().await {
        match command {
            Command::Prepare(generation, done) => {
                let outcome = Prepared::new(generation).map(|ready| prepared = Some(ready));
                let _ = done.send(outcome);
            }
            Command::Commit(done) => {
                if let Some(next) = prepared.take() {
                    worker.logs.replace(Arc::clone(&next.logs));
                    serving = next.serve(&worker);
                    worker.clock.close_idle();
                    worker.draining.set(false);
                    ticking = AbortOnDrop(spawn_local(tick(Rc::clone(&worker), Rc::clone(&serving.snapshot))));
                }
                let _ = done.send(());
            }
            Command::Abandon => prepared = None,
            Command::Reopen(files) => worker.logs.replace(files),
            Command::Drain => {
                worker.draining.set(true);
                for task in serving.tasks.drain(..) {
                    task.abort();
                }
                worker.clock.close_idle();
                for upstream in &serving.snapshot.upstreams {
                    upstream.close_idle();
                }
            }
            Command::Status(reply) => {
                let _ = reply.send(worker.report(&serving.snapshot));
            }
            Command::Stop => break,
        }
    }
    drop(ticking);
    worker.logs.flush();
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A generation of which nothing can fail any more: its listeners are known to this thread's runtime.
struct Prepared {
    site: Arc<Site>,
    listeners: Vec<Listener>,
    logs: LogFiles,
    probe: Option<Duration>,
}

impl Prepared {
    /// All listeners or none.
    fn new(generation: Generation) -> std::io::Result<Prepared> {
        let Generation { site, listeners, logs, probe } = generation;
        let listeners = listeners.into_iter().map(Listener::new).collect::<Result<Vec<_>, _>>()?;
        Ok(Prepared { site, listeners, logs, probe })
    }

    /// Starts to accept.
    fn serve(self, worker: &Rc<Worker>) -> Serving {
        let upstreams = self.site.config().upstreams.iter().map(UpstreamState::new).collect();
        let snapshot = Rc::new(Snapshot { site: self.site, upstreams, retired: Cell::new(false) });
        let mut tasks = Vec::new();
        let sockets = snapshot.site.config().sockets();
        for (listen, listener) in sockets.into_iter().zip(self.listeners) {
            tasks.push(spawn_local(accept(Rc::clone(worker), Rc::clone(&snapshot), listen, listener)));
        }
        if let Some(interval) = self.probe {
            for upstream in 0..snapshot.upstreams.len() {
                for server in 0..snapshot.upstreams[upstream].servers.len() {
                    let snapshot = Rc::clone(&snapshot);
                    tasks.push(spawn_local(keep_probing(Rc::clone(worker), snapshot, upstream, server, interval)));
                }
            }
        }
        Serving { snapshot, tasks }
    }
}

/// Moves the clock, writes logs and closes upstream connections nobody wants.
async fn tick(worker: Rc<Worker>, snapshot: Rc<Snapshot>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for n in 0u64.. {
        interval.tick().await;
        worker.clock.tick();
        worker.logs.flush();
        if n % 10 == 0 {
            for upstream in &snapshot.upstreams {
                upstream.sweep(worker.clock.now());
            }
        }
    }
}

async fn accept(worker: Rc<Worker>, snapshot: Rc<Snapshot>, listen: usize, listener: Listener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(&worker, &snapshot, listen, stream, peer),
            Err(error) if is_about_one_client(&error) => {}
            // No descriptors or memory left. Waiting for a client to go away is all there is to do.
            Err(error) => {
                let level = LogLevel::Crit;
                let text = format!("accept() failed ({})", error_text(&error));
                worker.logs.error(&snapshot.site.config().error_log, level, None, &text);
                worker.clock.shed_one();
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

/// Errors of `accept` that concern the connection that was about to be accepted (accept(2)).
fn is_about_one_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted | ErrorKind::WouldBlock
    )
}

/// Starts to serve a client, unless there are too many. An idle one makes room for a new one.
fn admit(worker: &Rc<Worker>, snapshot: &Rc<Snapshot>, listen: usize, stream: Stream, peer: Option<SocketAddr>) {
    let limit = u64::from(snapshot.site.config().worker_connections).max(1);
    if worker.n_clients.get() >= limit && !worker.clock.shed_one() {
        let config = &snapshot.site.config().error_log;
        worker.logs.error(config, LogLevel::Alert, None, &format!("{limit} worker_connections are not enough"));
        client::turn_away(stream);
        return;
    }
    let local = stream.local_address();
    let listen = local.map_or(listen, |local| snapshot.site.config().listen_at(listen, local));
    let number = worker.shared.n_connections.fetch_add(1, Ordering::Relaxed) + 1;
    let identity = Identity {
        number,
        listen,
        peer,
        peer_text: peer.map_or_else(|| "unix:".to_owned(), |peer| peer.ip().to_canonical().to_string()),
        local,
        opened_at: worker.clock.now(),
    };
    let guard = OpenClient::new(worker);
    let (worker, snapshot) = (Rc::clone(worker), Rc::clone(snapshot));
    spawn_local(async move {
        client::serve(worker, snapshot, identity, stream).await;
        drop(guard);
    });
}

/// Counts a client for as long as its task lives, however it ends.
struct OpenClient(Rc<Worker>);

impl OpenClient {
    fn new(worker: &Rc<Worker>) -> OpenClient {
        worker.n_clients.set(worker.n_clients.get() + 1);
        OpenClient(Rc::clone(worker))
    }
}

impl Drop for OpenClient {
    fn drop(&mut self) {
        self.0.n_clients.set(self.0.n_clients.get() - 1);
    }
}

async fn keep_probing(worker: Rc<Worker>, snapshot: Rc<Snapshot>, upstream: usize, server: usize, interval: Duration) {
    let upstream = &snapshot.upstreams[upstream];
    let address = &upstream.config.servers[server].address;
    let slot = worker.clock.slot();
    loop {
        let outcome = probe(address, &slot, interval).await;
        upstream.balancer.borrow_mut().set_probe(server, outcome.is_ok());
        if let Err(error) = outcome {
            let text = format!("probe failed ({})", error_text(&error));
            upstream.servers[server].note_failure(worker.clock.now(), &text);
        }
        tokio::time::sleep(interval).await;
    }
}

/// `111: Connection refused`, as nginx writes errors of the system.
pub(crate) fn error_text(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
        return "110: Connection timed out".to_owned();
    }
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let words = text.split(" (os error").next().unwrap_or_default();
            format!("{code}: {words}")
        }
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_one_connection_ends_only_that_one() {
        let shared = Arc::new(Shared { n_connections: AtomicU64::new(0), hostname: Vec::new() });
        let worker = Rc::new(Worker::new(shared, LogFiles::default(), 0));
        let tasks = tokio::task::LocalSet::new();
        let connection = |breaks: bool| {
            let worker = Rc::clone(&worker);
            tasks.spawn_local(async move {
                let _guard = OpenClient::new(&worker);
                let slot = worker.clock.slot();
                tokio::task::yield_now().await;
                assert!(!breaks, "this connection is meant to panic");
                slot.arm(Duration::ZERO);
            })
        };
        let (broken, sound) = (connection(true), connection(false));
        let (broken, sound) = tasks.run_until(async { (broken.await, sound.await) }).await;
        assert!(broken.is_err_and(|error| error.is_panic()) && sound.is_ok());
        assert_eq!(worker.n_clients.get(), 0);
    }
}
