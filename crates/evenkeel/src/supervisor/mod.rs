//! The supervisor: compiles the configuration, opens what needs rights, starts the roles and keeps them alive, runs every
//! script, and answers on the control socket. It reads nothing from the network.

mod admin;
mod answer;
mod appointment;
mod archive;
mod backoff;
mod balance;
mod control;
mod dbus;
mod dump;
mod fifo;
mod guard;
mod happening;
mod health;
mod history;
mod hook;
mod listeners;
mod load;
mod mail;
mod maintenance;
mod mastership;
mod notify;
mod peers;
mod pidfile;
mod plan;
mod priority;
mod process;
mod reload;
mod roles;
mod script;
mod service;
mod signals;
mod status;
mod stop;
mod trackers;
mod trust;
mod watch;

pub use control::SOCKET;
pub use dump::configuration as dump_configuration;
pub use happening::Happening;
pub use listeners::{append, errno, log_paths, open_log};
pub use load::{Compiled, NginxOptions, compile, judge_scripts, load_keepalived, load_nginx, nginx_line, render_all};
pub use pidfile::PidFile;
pub use plan::{Plan, runtime_directory};
pub use script::group_id;
pub use signals::{SIGNAL_JSON, SIGNAL_STATS_CLEAR};
pub use trust::weakness;

use anyhow::Context;
use control::RuntimeDirectory;
use evenkeel_bus::{Explanation, ToBalance, ToMail, ToProxy, ToVrrp, WallTime};
use evenkeel_kernel::{memory, privilege};
use evenkeel_site::config::{ErrorLog, ErrorLogTarget};
use evenkeel_vrrp::{ScriptId, ScriptOutcome};
use health::Health;
use history::History;
use listeners::Listeners;
use mastership::Mastership;
use roles::RoleSlot;
use script::Checks;
use signals::{Signals, Told};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Happenings that may wait for the supervisor; who reports more waits itself.
const MAX_WAITING: usize = 1024;

/// Why the main loop ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// SIGTERM, SIGINT or a client.
    Stop,
    /// SIGQUIT: connections finish first.
    Graceful,
    /// `-R` and a role died, or a role cannot even begin.
    RoleDied,
}

struct Supervisor {
    plan: Plan,
    compiled: Compiled,
    configured_at: WallTime,
    reload_error: Option<String>,
    started_at: Instant,
    happenings: mpsc::Sender<Happening>,
    inbox: mpsc::Receiver<Happening>,
    vrrp: RoleSlot<ToVrrp>,
    proxy: RoleSlot<ToProxy>,
    balance: RoleSlot<ToBalance>,
    layer4: balance::Balance,
    mailer: RoleSlot<ToMail>,
    letters: mail::Queue,
    dbus: dbus::Dbus,
    peers: peers::PeerNodes,
    maintenance: maintenance::Upkeep,
    listeners: Listeners,
    health: Health,
    health_since: Instant,
    checks: Checks,
    watchers: watch::Watchers,
    /// What the watchers said last, by name: a new vrrp role in an old one's place starts with it.
    watched: BTreeMap<String, evenkeel_vrrp::Event>,
    /// Last outcome of each script: the log tells changes only, and a new vrrp role in an old one's place starts with it.
    outcomes: BTreeMap<ScriptId, ScriptOutcome>,
    mastership: Mastership,
    /// What BFD sessions said last to BFD_CHECK, by their names.
    sessions: BTreeMap<String, bool>,
    notify: notify::Queue,
    history: History,
    fifos: notify::Fifos,
    /// Of instances that the last reload took away: they have yet to report it.
    departed: Vec<evenkeel_conf::keepalived::InstanceSettings>,
    /// Where the counters of the dumps start.
    cleared: dump::Cleared,
    questions: status::Questions,
    /// Configurations that roles were given; each has its number.
    n_configurations: u64,
    reloading: Option<reload::Pending>,
    pid_files: Vec<PidFile>,
    calendar: appointment::Calendar,
    /// For the names of the copies of `config_save_dir`.
    n_reloads: u32,
    /// What `max_auto_priority` has made of the priority of the vrrp role that runs.
    raised: Option<u8>,
    end: Option<End>,
}

/// Called once everything that can fail at start has succeeded.
pub type OnReady = Box<dyn FnOnce()>;

/// Bytes that reading a configuration took and that are kept for the next time: as many as ten thousand virtual servers take.
/// Most of a reload would be the system's work for them.
const KEPT: i32 = 96 << 20;

/// Runs the daemon to its end.
pub fn run(mut plan: Plan, compiled: Compiled, on_ready: OnReady) -> ExitCode {
    memory::keep_freed(KEPT);
    crate::log::init(plan.log);
    let error_log = compiled.site.as_ref().map(|site| site.error_log.clone());
    if let Some(log) = &error_log {
        crate::log::keep_from(log.level);
    }
    let parent_name = compiled.settings.process.names.parent.as_deref().unwrap_or(plan.name);
    let _ = privilege::name_process(parent_name);
    if let Some(mask) = compiled.settings.process.umask.filter(|_| !plan.has_umask) {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
    }
    if let Err(error) = enter_namespace(&mut plan, &compiled) {
        tracing::error!(target: "supervisor", "{error:#}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(target: "supervisor", "start the event loop: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(daemon(plan.clone(), compiled, on_ready)) {
        Ok(code) => code,
        Err(error) if plan.nginx_style => {
            let text = format!("{error:#}");
            eprintln!("nginx: [emerg] {text}");
            if let Some(ErrorLog { target: ErrorLogTarget::File(path), .. }) = error_log {
                append(&path, &crate::log::nginx_line("emerg", &text));
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            tracing::error!(target: "supervisor", "{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A number that differs from start to start.
pub fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

fn enter_namespace(plan: &mut Plan, compiled: &Compiled) -> anyhow::Result<()> {
    let name = plan.namespace.clone().or(compiled.settings.net_namespace.clone());
    let Some(name) = name else { return Ok(()) };
    let path = format!("/run/netns/{name}");
    let file = std::fs::File::open(&path).with_context(|| format!("open the network namespace {path}"))?;
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))
        .with_context(|| format!("enter the network namespace {name}"))?;
    if plan.keepalived_pid_files {
        show_own_pid_files(plan, &name)?;
    }
    Ok(())
}

/// As keepalived: the daemon and its scripts find their pid files in /run/keepalived, and in it see no other daemon's.
fn show_own_pid_files(plan: &mut Plan, namespace: &str) -> anyhow::Result<()> {
    let own = Path::new(Plan::PID_DIRECTORY).join(namespace);
    std::fs::create_dir_all(&own).with_context(|| format!("make {}", own.display()))?;
    evenkeel_kernel::netns::show_at(&own, Path::new(Plan::PID_DIRECTORY))?;
    plan.enter_pid_directory(&own);
    Ok(())
}

async fn daemon(plan: Plan, compiled: Compiled, on_ready: OnReady) -> anyhow::Result<ExitCode> {
    let directory = match RuntimeDirectory::lock(&plan.runtime_directory) {
        Ok(directory) => Some(directory),
        Err(error) if plan.control_is_optional => {
            tracing::debug!(target: "supervisor", "no control socket: {error}");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let mut signals = Signals::new()?;
    let (happenings, inbox) = mpsc::channel(MAX_WAITING);
    if let Some(directory) = &directory {
        tokio::spawn(control::serve(directory.listen()?, happenings.clone()));
    }
    let mut supervisor = Supervisor {
        configured_at: WallTime::now(),
        reload_error: None,
        started_at: Instant::now(),
        vrrp: RoleSlot::default(),
        proxy: RoleSlot::default(),
        balance: RoleSlot::default(),
        layer4: balance::Balance::open(&plan),
        mailer: RoleSlot::default(),
        letters: mail::Queue::default(),
        dbus: dbus::Dbus::default(),
        peers: peers::PeerNodes::default(),
        maintenance: maintenance::Upkeep::open(&plan),
        listeners: Listeners::default(),
        health: Health::default(),
        health_since: Instant::now(),
        checks: Checks::default(),
        watchers: watch::Watchers::default(),
        watched: BTreeMap::new(),
        outcomes: BTreeMap::new(),
        mastership: Mastership::default(),
        sessions: BTreeMap::new(),
        notify: notify::Queue::default(),
        history: History::default(),
        fifos: notify::Fifos::default(),
        departed: Vec::new(),
        cleared: dump::Cleared::default(),
        questions: status::Questions::default(),
        n_configurations: 0,
        reloading: None,
        pid_files: Vec::new(),
        calendar: appointment::Calendar::default(),
        n_reloads: 0,
        raised: None,
        end: None,
        plan,
        compiled,
        happenings,
        inbox,
    };
    supervisor.start(on_ready).await?;
    let end = supervisor.live(&mut signals).await;
    supervisor.stop(end, &mut signals).await;
    drop(directory);
    Ok(if end == End::RoleDied { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Supervisor {
    async fn start(&mut self, on_ready: OnReady) -> anyhow::Result<()> {
        if !self.plan.nginx_style {
            // nginx has told its remarks in its own way before.
            self.announce_start();
        }
        if let Some(reason) = load::too_large(&mut self.compiled, None) {
            anyhow::bail!(reason);
        }
        self.can_probe(&self.compiled).map_err(anyhow::Error::msg)?;
        if let Some(site) = &self.compiled.site {
            let bound = self.listeners.bind(site).await?;
            self.listeners.replace(bound);
            // Before the process exists, so that a path that cannot be opened stops the start and not the role.
            for path in log_paths(site) {
                open_log(&path).map_err(anyhow::Error::msg)?;
            }
        }
        let pid_path = match &self.compiled.site {
            Some(site) if self.plan.nginx_style => site.pid.clone().or(self.plan.pid_file.clone()),
            _ => self.plan.pid_file.clone(),
        };
        if let Some(path) = pid_path {
            self.pid_files.push(PidFile::write(&path, std::process::id())?);
        }
        self.first_read_is_over();
        self.save_text(&self.compiled.text);
        self.run_hook(hook::End::Startup).await;
        watch::initialise(&self.compiled.settings.files);
        // From here on nothing that was inherited from a terminal is kept open; the roles inherit what is left.
        on_ready();
        if self.plan.nginx_style {
            self.announce_start();
        }
        if self.compiled.site.is_some() {
            self.start_proxy();
        }
        if self.wants_vrrp() {
            self.start_vrrp();
        }
        self.follow_dbus();
        self.follow_fifos();
        if self.wants_balance() {
            self.start_balance();
        }
        self.start_checks();
        self.follow_time_file();
        self.follow_peers();
        self.go_on_maintaining();
        service::tell(service::Doing::Ready);
        Ok(())
    }

    fn announce_start(&self) {
        tracing::info!(target: "supervisor", "Starting {} (evenkeel {})", self.plan.name, env!("CARGO_PKG_VERSION"));
        for remark in &self.compiled.remarks {
            remark.lines().for_each(|line| tracing::warn!(target: "supervisor", "{line}"));
        }
    }

    /// Until something says stop.
    async fn live(&mut self, signals: &mut Signals) -> End {
        let mut health = tokio::time::interval(health::PERIOD);
        health.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.end.is_none() {
            tokio::select! {
                Some(happening) = self.inbox.recv() => self.handle(happening).await,
                _ = health.tick() => {
                    self.check_proxy();
                    self.describe_now_and_then();
                }
                signal = signals.next() => match signal {
                    Told::Interrupt if self.plan.ignore_interrupts => {}
                    Told::Stop | Told::Interrupt => self.end = Some(End::Stop),
                    Told::Quit => self.end = Some(End::Graceful),
                    Told::Reload => self.reload(None).await,
                    Told::Reopen => self.on_user_signal(),
                    Told::Stats => self.write_stats(dump::Clear::No),
                    Told::StatsClear => self.write_stats(dump::Clear::Yes),
                    Told::Json => self.write_json(),
                },
            }
        }
        self.end.unwrap_or(End::Stop)
    }

    async fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Vrrp(generation, heard) if generation == self.vrrp.generation => self.hear_vrrp(heard),
            Happening::Proxy(generation, heard) if generation == self.proxy.generation => self.hear_proxy(heard),
            Happening::Balance(generation, heard) if generation == self.balance.generation => self.hear_balance(heard),
            Happening::Mail(generation, heard) if generation == self.mailer.generation => self.hear_mail(heard),
            Happening::Dbus(generation, heard) if generation == self.dbus.slot.generation => {
                self.hear_dbus(heard).await;
            }
            Happening::Peer(generation, heard) if generation == self.peers.slot.generation => self.hear_peers(heard),
            Happening::Described(status) => self.described(*status),
            Happening::MaintenanceDue(number) => self.maintenance_due(number),
            // A process that is already replaced.
            Happening::Vrrp(..) | Happening::Proxy(..) | Happening::Balance(..) => {}
            Happening::Mail(..) | Happening::Dbus(..) | Happening::Peer(..) => {}
            Happening::MailDue => self.post(),
            Happening::Respawn(role) => self.respawn(role),
            Happening::ScriptEnded { round, id, outcome } if round == self.checks.round => {
                self.script_ended(id, outcome);
            }
            Happening::Watched { round, source, event } => {
                if round == self.checks.round {
                    self.watched_changed(source, event);
                }
            }
            Happening::MiscEnded { generation, run, outcome } => {
                if let (Some(process), true) = (&self.balance.process, generation == self.balance.generation) {
                    process.send(ToBalance::ScriptEnded { run, outcome });
                }
            }
            // Of a configuration that is over.
            Happening::ScriptEnded { .. } => {}
            Happening::NotifyEnded(instance) => {
                if let Some(job) = self.notify.ended(&instance) {
                    self.run_notify(job);
                }
            }
            Happening::Checked(generation, findings) => {
                if generation == self.proxy.generation && self.proxy.is_running() {
                    self.proxy_checked(&findings);
                }
            }
            Happening::Asked { request, answer } => self.answer(request, answer).await,
            Happening::ReloadOverdue(number) => self.reload_overdue(number),
            Happening::ReloadDue => self.reload(None).await,
            Happening::States(status) => self.fifos.tell_states(&status),
            Happening::Cleared(counters) => self.cleared = counters,
        }
    }

    fn keep(&mut self, explanation: Explanation) {
        self.history.push(explanation);
    }

    /// SIGUSR1: nginx reopens its logs, keepalived writes its data.
    fn on_user_signal(&mut self) {
        self.reopen_logs();
        if !self.plan.nginx_style {
            self.write_data();
        }
    }
}

/// How long a stop waits for scripts and roles, unless `child_wait_time` says otherwise.
const CHILD_WAIT: Duration = Duration::from_secs(5);
