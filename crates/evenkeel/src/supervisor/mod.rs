//! The supervisor: compiles the configuration, opens what needs rights, starts the roles and keeps them alive, runs every
//! script, and answers on the control socket. It reads nothing from the network.

mod admin;
mod backoff;
mod balance;
mod control;
mod dbus;
mod dump;
mod fifo;
mod health;
mod history;
mod hook;
mod listeners;
mod load;
mod mail;
mod mastership;
mod notify;
mod pidfile;
mod plan;
mod process;
mod reload;
mod roles;
mod script;
mod service;
mod status;
mod stop;
mod trust;
mod watch;

pub use control::SOCKET;
pub use dump::configuration as dump_configuration;
pub use listeners::{append, errno, log_paths, open_log};
pub use load::{Compiled, NginxOptions, compile, judge_scripts, load_keepalived, load_nginx, nginx_line, render_all};
pub use pidfile::PidFile;
pub use plan::{Plan, runtime_directory};
pub use script::group_id;
pub use trust::weakness;

use anyhow::Context;
use control::RuntimeDirectory;
use evenkeel_bus::{
    Explanation, FromBalance, FromDbus, FromMail, FromProxy, FromVrrp, Reply, Request, RoleState, ScriptEnd, ToBalance,
    ToMail, ToProxy, ToVrrp, WallTime,
};
use evenkeel_kernel::privilege;
use evenkeel_site::config::{ErrorLog, ErrorLogTarget};
use evenkeel_vrrp::{Command, InstanceId, ScriptId, ScriptOutcome};
use health::{Findings, Health};
use history::History;
use listeners::Listeners;
use mastership::Mastership;

use process::{Generation, Heard};
use roles::RoleSlot;
use script::{Checks, Round};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// Happenings that may wait for the supervisor; who reports more waits itself.
const MAX_WAITING: usize = 1024;

/// Everything that can happen to the supervisor.
#[derive(Debug)]
pub enum Happening {
    /// From the vrrp role.
    Vrrp(Generation, Heard<FromVrrp>),
    /// From the proxy role.
    Proxy(Generation, Heard<FromProxy>),
    /// From the balance role.
    Balance(Generation, Heard<FromBalance>),
    /// From the mail role.
    Mail(Generation, Heard<FromMail>),
    /// From the dbus role.
    Dbus(Generation, Heard<FromDbus>),
    /// A mail that could not be sent before is to be tried again.
    MailDue,
    /// The wait before a role is started again is over.
    Respawn(crate::role::Role),
    /// One run of a check script.
    ScriptEnded {
        /// For which configuration: after a reload another script may have the number.
        round: Round,
        /// Which.
        id: ScriptId,
        /// How.
        outcome: ScriptOutcome,
    },
    /// What is tracked besides scripts reported, for which configuration.
    Watched {
        /// For which start of the watchers.
        round: Round,
        /// What to tell.
        message: ToVrrp,
    },
    /// The program of a MISC_CHECK.
    MiscEnded {
        /// Of which life of the balance role.
        generation: Generation,
        /// The number it was asked for with.
        run: u64,
        /// How.
        outcome: ScriptEnd,
    },
    /// The notify scripts of one state have ended.
    NotifyEnded(String),
    /// A check of the proxy.
    Checked(Generation, Findings),
    /// A client asks.
    Asked {
        /// What.
        request: Request,
        /// Where the answer goes.
        answer: oneshot::Sender<Reply>,
    },
    /// A role had its time to take the configuration of this number.
    ReloadOverdue(u64),
    /// A signal asked for a reload while one was under way.
    ReloadAgain,
    /// The states of the virtual routers after a reload, for the FIFOs.
    States(evenkeel_vrrp::Status),
    /// The counters of the dumps start anew from these.
    Cleared(dump::Cleared),
}

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
    end: Option<End>,
}

/// Called once everything that can fail at start has succeeded.
pub type OnReady = Box<dyn FnOnce()>;

/// Runs the daemon to its end.
pub fn run(plan: Plan, compiled: Compiled, on_ready: OnReady) -> ExitCode {
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
    if let Err(error) = enter_namespace(&plan, &compiled) {
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

fn enter_namespace(plan: &Plan, compiled: &Compiled) -> anyhow::Result<()> {
    let Some(name) = plan.namespace.as_ref().or(compiled.settings.net_namespace.as_ref()) else { return Ok(()) };
    let path = format!("/run/netns/{name}");
    let file = std::fs::File::open(&path).with_context(|| format!("open the network namespace {path}"))?;
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))
        .with_context(|| format!("enter the network namespace {name}"))
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
                _ = health.tick() => self.check_proxy(),
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
            // A process that is already replaced.
            Happening::Vrrp(..) | Happening::Proxy(..) | Happening::Balance(..) => {}
            Happening::Mail(..) | Happening::Dbus(..) => {}
            Happening::MailDue => self.post(),
            Happening::Respawn(role) => self.respawn(role),
            Happening::ScriptEnded { round, id, outcome } if round == self.checks.round => {
                self.script_ended(id, outcome);
            }
            Happening::Watched { round, message } => {
                if round == self.checks.round {
                    self.watched_changed(message);
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
            Happening::ReloadAgain => self.reload(None).await,
            Happening::States(status) => self.fifos.tell_states(&status),
            Happening::Cleared(counters) => self.cleared = counters,
        }
    }

    async fn answer(&mut self, request: Request, answer: oneshot::Sender<Reply>) {
        let reply = match request {
            Request::Status => return self.answer_status(answer),
            Request::Stats => return self.answer_stats(answer),
            Request::Why { instance, limit } => match self.unknown_subject(instance.as_deref()) {
                Some(message) => Reply::Failed { message },
                None => Reply::Why(self.history.last(&self.meant_by(instance), limit.min(History::KEPT))),
            },
            Request::Reload => return self.reload(Some(answer)).await,
            Request::Failover { instance } => self.command(&instance, Command::Failover, "hands over to its peer"),
            Request::Failback { instance } => self.command(&instance, Command::Failback, "may be master again"),
            Request::Server { server, state } => self.administer(&server, state),
            Request::Stop => {
                self.end = Some(End::Stop);
                Reply::Done { message: "stopping".to_owned() }
            }
        };
        // A client that is gone needs no answer.
        let _ = answer.send(reply);
    }

    fn command(&self, name: &str, command: fn(InstanceId) -> Command, what: &str) -> Reply {
        if let Some(message) = self.unknown_instance(Some(name)) {
            return Reply::Failed { message };
        }
        // Of a group any member: they go together.
        let member = self.group(name).and_then(|group| Some(group.members.first()?.0 as usize));
        let named = self.compiled.vrrp.instances.iter().position(|instance| instance.name == name);
        let at = named.or(member);
        let (Some(at), Some(process)) = (at, &self.vrrp.process) else {
            return Reply::Failed { message: "the vrrp role does not run now: see `evenkeel status`".to_owned() };
        };
        process.send(ToVrrp::Command(command(InstanceId(u32::try_from(at).unwrap_or(u32::MAX)))));
        Reply::Done { message: format!("{name} {what}") }
    }

    /// What to tell somebody who asks for reasons of something that is not there.
    fn unknown_subject(&self, name: Option<&str>) -> Option<String> {
        let is_session = |name| self.compiled.bfd.sessions.iter().any(|session| session.name == name);
        if name.is_some_and(is_session) { None } else { self.unknown_instance(name) }
    }

    /// What to tell somebody who named an instance that is not there.
    fn unknown_instance(&self, name: Option<&str>) -> Option<String> {
        let name = name?;
        let names: Vec<&str> = self.compiled.vrrp.instances.iter().map(|instance| instance.name.as_str()).collect();
        let is_group = self.group(name).is_some();
        if is_group || names.contains(&name) || (name == roles::PROXY && self.compiled.site.is_some()) {
            return None;
        }
        Some(match names.as_slice() {
            [] => format!("no instance `{name}`: this node has no virtual router"),
            names => format!("no instance `{name}`; there is {}", names.join(", ")),
        })
    }

    fn group(&self, name: &str) -> Option<&evenkeel_vrrp::config::Group> {
        self.compiled.vrrp.groups.iter().find(|group| group.name == name)
    }

    /// The instances that a name stands for: itself, or the members of the group; none stands for all.
    fn meant_by(&self, name: Option<String>) -> Vec<String> {
        let Some(name) = name else { return Vec::new() };
        let instances = &self.compiled.vrrp.instances;
        match self.group(&name).filter(|_| instances.iter().all(|instance| instance.name != name)) {
            Some(group) => {
                let members = group.members.iter().filter_map(|id| instances.get(id.0 as usize));
                members.map(|instance| instance.name.clone()).collect()
            }
            None => vec![name],
        }
    }

    fn keep(&mut self, explanation: Explanation) {
        self.history.push(explanation);
    }

    fn start_checks(&mut self) {
        let tracked: std::collections::BTreeSet<ScriptId> = self
            .compiled
            .vrrp
            .instances
            .iter()
            .flat_map(|instance| &instance.tracks)
            .filter_map(|track| match track.target {
                evenkeel_vrrp::config::TrackTarget::Script(id) => Some(id),
                _ => None,
            })
            .collect();
        let tracked: Vec<_> = tracked.into_iter().collect();
        let settings = &self.compiled.settings;
        self.checks = match self.vrrp.process {
            Some(_) => {
                let round = self.checks.round.next();
                Checks::start(round, &settings.scripts, &tracked, &settings.script_user, &self.happenings)
            }
            None => self.checks.stopped(),
        };
        self.watchers = match self.vrrp.process {
            Some(_) => watch::Watchers::start(self.checks.round, settings, &self.happenings),
            None => watch::Watchers::default(),
        };
    }

    fn watched_changed(&mut self, message: ToVrrp) {
        let event = match &message {
            ToVrrp::File { name, value } => {
                Some((format!("file {name}"), evenkeel_vrrp::Event::File { name: name.clone(), value: *value }))
            }
            ToVrrp::Processes { name, well, detail } => {
                let (name, well, detail) = (name.clone(), *well, detail.clone());
                Some((format!("process {name}"), evenkeel_vrrp::Event::Processes { name, well, detail }))
            }
            _ => None,
        };
        self.watched.extend(event);
        if let Some(process) = &self.vrrp.process {
            process.send(message);
        }
    }

    fn script_ended(&mut self, id: ScriptId, outcome: ScriptOutcome) {
        let is_well = |outcome| outcome == ScriptOutcome::Success;
        let well = is_well(outcome);
        if self.outcomes.insert(id, outcome).map(is_well) != Some(well) {
            let name = self.compiled.settings.scripts.get(id.0 as usize).map_or("", |script| script.name.as_str());
            match well {
                true => tracing::info!(target: "script", "VRRP_Script({name}) succeeded"),
                false => tracing::warn!(target: "script", "VRRP_Script({name}) failed ({})", script::words(outcome)),
            }
        }
        if let Some(process) = &self.vrrp.process {
            process.send(ToVrrp::ScriptEnded { script: id, outcome });
        }
    }

    fn run_notify(&self, job: notify::Job) {
        let happenings = self.happenings.clone();
        let user = self.compiled.settings.script_user.clone();
        tokio::spawn(async move {
            let notify::Job { instance, state, commands } = job;
            let run = tokio::spawn(script::notify(instance.clone(), commands, user));
            if tokio::time::timeout(NOTIFY_PATIENCE, run).await.is_err() {
                tracing::warn!(target: "script", "({instance}) a notify script for {state} runs for {NOTIFY_PATIENCE:?}; the next state does not wait for it");
            }
            let _ = happenings.send(Happening::NotifyEnded(instance)).await;
        });
    }

    /// The judgement over the proxy is another one.
    fn health_changed(&mut self) {
        let Health { healthy, reason, .. } = &self.health;
        match healthy {
            true => tracing::info!(target: "supervisor", "the proxy serves: {reason}"),
            false => tracing::warn!(target: "supervisor", "the proxy does not serve: {reason}"),
        }
        self.health_since = Instant::now();
        self.tell_health();
    }

    fn tell_health(&self) {
        let Some((healthy, reason)) = self.health.judgement() else { return };
        if let (Some(process), Some(_)) = (&self.vrrp.process, &self.compiled.site) {
            process.send(ToVrrp::Proxy { healthy, reason });
        }
    }

    fn proxy_checked(&mut self, findings: &Findings) {
        let now = Instant::now();
        if self.health.judge(now, findings) {
            self.health_changed();
        }
        if self.health.silent_for(now) >= health::PATIENCE_TO_KILL {
            self.kill_proxy(format!(
                "was killed: it had not answered its supervisor for {:?}",
                health::PATIENCE_TO_KILL
            ));
        }
    }

    fn check_proxy(&mut self) {
        if self.proxy.state == RoleState::Starting && self.proxy.since.elapsed() >= health::PATIENCE_TO_KILL {
            self.kill_proxy(format!("was killed: it was not ready {:?} after its start", health::PATIENCE_TO_KILL));
        }
        if !self.proxy.is_running() {
            return;
        }
        let answer = self.questions.ask_proxy(&self.proxy);
        let addresses: Vec<_> = self.listeners.addresses().cloned().collect();
        let (happenings, generation) = (self.happenings.clone(), self.proxy.generation);
        tokio::spawn(async move {
            let (status, failed) =
                tokio::join!(tokio::time::timeout(health::LIMIT, answer), health::connect_all(addresses));
            let findings = Findings { status: status.ok().and_then(Result::ok), failed };
            let _ = happenings.send(Happening::Checked(generation, findings)).await;
        });
    }

    /// SIGUSR1: nginx reopens its logs, keepalived writes its data.
    fn on_user_signal(&mut self) {
        self.reopen_logs();
        if !self.plan.nginx_style {
            self.write_data();
        }
    }
}

/// keepalived's SIGRTMIN+2, as `--signum` prints it. Exporters send it at every scrape, and what is not handled ends the
/// daemon.
pub const SIGNAL_JSON: i32 = 36;
/// keepalived's SIGRTMAX-1: the counters are written, and the dumps count anew.
pub const SIGNAL_STATS_CLEAR: i32 = 63;

/// The signals that the daemon acts on.
struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    json: Signal,
    stats_clear: Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Stop,
    Interrupt,
    Quit,
    Reload,
    Reopen,
    Stats,
    StatsClear,
    Json,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            json: signal(SignalKind::from_raw(SIGNAL_JSON))?,
            stats_clear: signal(SignalKind::from_raw(SIGNAL_STATS_CLEAR))?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.term.recv() => Told::Stop,
            _ = self.int.recv() => Told::Interrupt,
            _ = self.quit.recv() => Told::Quit,
            _ = self.hup.recv() => Told::Reload,
            _ = self.usr1.recv() => Told::Reopen,
            _ = self.usr2.recv() => Told::Stats,
            _ = self.json.recv() => Told::Json,
            _ = self.stats_clear.recv() => Told::StatsClear,
        }
    }
}

/// A notify script that runs longer (one that never ends, say) does not keep the next state from being told.
const NOTIFY_PATIENCE: Duration = Duration::from_secs(30);

/// How long a stop waits for scripts and roles, unless `child_wait_time` says otherwise.
const CHILD_WAIT: Duration = Duration::from_secs(5);
