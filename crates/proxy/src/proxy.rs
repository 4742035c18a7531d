use crate::log::LogFiles;
use crate::worker::{self, Command, Generation, Report, Shared, Worker};
use evenkeel_site::{CompileError, Config, Site, Status};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;

/// Commands that wait for a worker. One that is that far behind is not answering.
const COMMANDS: usize = 16;

/// What the proxy does beyond its configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Connect to each server of each upstream this often, and send no requests to one that does not accept.
    pub probe_upstreams: Option<Duration>,
}

/// What only a privileged process can open.
#[derive(Debug, Default)]
pub struct Resources {
    /// Bound and listening sockets, parallel to `Config::sockets`.
    pub listeners: Vec<OwnedFd>,
    /// Every log of the configuration, opened for appending.
    pub logs: Vec<(PathBuf, OwnedFd)>,
}

/// Why a configuration was not put to work.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("compile the configuration: {0}")]
    Compile(#[from] CompileError),
    /// Not one socket for each listen that has its own.
    #[error("{listens} listening sockets are configured, {sockets} were handed over")]
    Listeners {
        /// In the configuration, those that share another's socket left out.
        listens: usize,
        /// In the resources.
        sockets: usize,
    },
    /// The system refused something.
    #[error("{what}: {error}")]
    System {
        /// The operation.
        what: &'static str,
        /// Its error.
        error: io::Error,
    },
    /// A worker thread has died or hangs.
    #[error("worker {0} does not answer")]
    Worker(usize),
}

impl StartError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
        move |error| StartError::System { what, error }
    }
}

/// A running proxy: one thread for each worker. Dropping it stops them.
#[derive(Debug)]
pub struct Proxy {
    workers: Vec<Handle>,
}

#[derive(Debug)]
struct Handle {
    commands: mpsc::Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// How long a worker may take to begin its work.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long all workers together may take to make ready for another configuration. The supervisor waits longer.
const PREPARE: Duration = Duration::from_secs(5);

impl Proxy {
    /// Starts to serve. When this returns an error nothing has been started.
    pub fn start(config: Config, resources: Resources, options: Options) -> Result<Proxy, StartError> {
        let n_workers = match config.workers {
            Some(workers) => usize::from(workers.max(1)),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let generations = generations(config, resources, options, n_workers)?;
        let shared = Arc::new(Shared { n_connections: AtomicU64::new(0), hostname: hostname() });
        let mut proxy = Proxy { workers: Vec::with_capacity(n_workers) };
        for (index, generation) in generations.into_iter().enumerate() {
            let (commands, inbox) = mpsc::channel(COMMANDS);
            let (started, outcome) = sync_channel(1);
            let shared = Arc::clone(&shared);
            let run = move || {
                // A local runtime queues its tasks itself; a `LocalSet` would be a second scheduler within the first.
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .event_interval(128)
                    .build_local(LocalOptions::default());
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let worker = Rc::new(Worker::new(shared, Arc::clone(&generation.logs), index));
                runtime.block_on(worker::run(worker, generation, inbox, started));
            };
            let thread = std::thread::Builder::new()
                .name(format!("proxy-{index}"))
                .spawn(run)
                .map_err(StartError::system("start a worker thread"))?;
            proxy.workers.push(Handle { commands, thread: Some(thread) });
            outcome
                .recv_timeout(PATIENCE)
                .map_err(|_| StartError::Worker(index))?
                .map_err(StartError::system("start a worker"))?;
        }
        tracing::info!(workers = n_workers, "proxy started");
        Ok(proxy)
    }

    /// Puts another configuration to work, or leaves everything as it is. Connections that exist finish their request
    /// under the old configuration; listeners that the new one does not have are closed. The number of workers stays.
    ///
    /// All workers make ready at once, and none begins before each has said that it can.
    pub fn reconfigure(&self, config: Config, resources: Resources, options: Options) -> Result<(), StartError> {
        let generations = generations(config, resources, options, self.workers.len())?;
        if let Err(error) = self.prepare(generations) {
            // In order behind what was asked: a worker that was only late forgets it too.
            for index in 0..self.workers.len() {
                let _ = self.tell(index, Command::Abandon);
            }
            return Err(error);
        }
        let (done, begun) = sync_channel(self.workers.len());
        let asked = (0..self.workers.len()).filter(|&index| self.tell(index, Command::Commit(done.clone())).is_ok());
        // A worker that could a moment ago and does not begin now is dead or hangs: that shows in the status.
        for _ in 0..asked.count() {
            let _ = begun.recv_timeout(PREPARE);
        }
        tracing::info!("configuration replaced");
        Ok(())
    }

    fn prepare(&self, generations: Vec<Generation>) -> Result<(), StartError> {
        let deadline = Instant::now() + PREPARE;
        let mut asked = Vec::with_capacity(generations.len());
        for (index, generation) in generations.into_iter().enumerate() {
            let (done, outcome) = sync_channel(1);
            self.tell(index, Command::Prepare(generation, done))?;
            asked.push(outcome);
        }
        for (index, outcome) in asked.into_iter().enumerate() {
            outcome
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .map_err(|_| StartError::Worker(index))?
                .map_err(StartError::system("take over the listeners"))?;
        }
        Ok(())
    }

    /// Goes on with these log files: after a rotation.
    pub fn reopen_logs(&self, logs: Vec<(PathBuf, OwnedFd)>) {
        let files = log_files(logs);
        for index in 0..self.workers.len() {
            let _ = self.tell(index, Command::Reopen(Arc::clone(&files)));
        }
    }

    /// Accepts no more, closes connections between two requests at once and lets the others finish their request.
    pub fn drain(&self) {
        for index in 0..self.workers.len() {
            let _ = self.tell(index, Command::Drain);
        }
    }

    /// Whether no client is connected any more. A worker that does not answer has none.
    pub fn is_drained(&self) -> bool {
        self.ask(Duration::from_secs(1)).iter().flatten().all(|report| report.connections == 0)
    }

    /// What the workers say about themselves within `limit`.
    pub fn status(&self, limit: Duration) -> Status {
        let reports = self.ask(limit);
        let mut status = Status { workers: reports.len() as u32, ..Status::default() };
        for report in reports.into_iter().flatten() {
            status.workers_alive += 1;
            add(&mut status, report);
        }
        status
    }

    fn ask(&self, limit: Duration) -> Vec<Option<Report>> {
        let deadline = Instant::now() + limit;
        let asked: Vec<_> = (0..self.workers.len())
            .map(|index| {
                let (reply, report) = sync_channel(1);
                self.tell(index, Command::Status(reply)).ok().map(|()| report)
            })
            .collect();
        asked
            .into_iter()
            .map(|report| report?.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok())
            .collect()
    }

    fn tell(&self, index: usize, command: Command) -> Result<(), StartError> {
        self.workers[index].commands.try_send(command).map_err(|_| StartError::Worker(index))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for worker in &self.workers {
            let _ = worker.commands.try_send(Command::Stop);
        }
        for worker in &mut self.workers {
            // A closed channel stops a worker whose inbox was full.
            let (closed, _) = mpsc::channel(1);
            worker.commands = closed;
            if let Some(thread) = worker.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

fn add(status: &mut Status, report: Report) {
    status.connections += report.connections;
    status.requests += report.requests;
    status.bad_requests += report.bad_requests;
    for (sum, n) in status.responses.iter_mut().zip(report.responses) {
        *sum += n;
    }
    if status.upstreams.is_empty() {
        status.upstreams = report.upstreams;
        return;
    }
    for (sum, upstream) in status.upstreams.iter_mut().zip(report.upstreams) {
        for (sum, server) in sum.servers.iter_mut().zip(upstream.servers) {
            sum.alive |= server.alive;
            sum.requests += server.requests;
            sum.fails += server.fails;
            // `None` is older than any age.
            if server.last_error_age.is_some_and(|age| sum.last_error_age.is_none_or(|known| age < known)) {
                sum.last_error = server.last_error;
                sum.last_error_age = server.last_error_age;
            }
        }
    }
}

/// Compiles the configuration once and gives each worker its own descriptors for the listeners.
fn generations(
    config: Config,
    resources: Resources,
    options: Options,
    n: usize,
) -> Result<Vec<Generation>, StartError> {
    let n_sockets = config.sockets().len();
    if n_sockets != resources.listeners.len() {
        return Err(StartError::Listeners { listens: n_sockets, sockets: resources.listeners.len() });
    }
    let site = Arc::new(Site::new(config)?);
    let logs = log_files(resources.logs);
    let sockets: Vec<socket2::Socket> = resources.listeners.into_iter().map(socket2::Socket::from).collect();
    (0..n)
        .map(|_| {
            let listeners = sockets.iter().map(socket2::Socket::try_clone).collect::<Result<Vec<_>, _>>();
            Ok(Generation {
                site: Arc::clone(&site),
                listeners: listeners.map_err(StartError::system("duplicate a listening socket"))?,
                logs: Arc::clone(&logs),
                probe: options.probe_upstreams,
            })
        })
        .collect()
}

fn log_files(logs: Vec<(PathBuf, OwnedFd)>) -> LogFiles {
    Arc::new(logs.into_iter().map(|(path, fd)| (path, File::from(fd))).collect())
}

fn hostname() -> Vec<u8> {
    std::fs::read("/proc/sys/kernel/hostname").map(|name| name.trim_ascii().to_vec()).unwrap_or_default()
}
