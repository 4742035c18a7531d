//! Starting the roles, hearing them, and starting them again.

use super::backoff::Backoff;
use super::listeners::{Listeners, log_paths, open_log};
use super::load::Compiled;
use super::notify;
use super::pidfile::PidFile;
use super::process::{Generation, Heard, Names, Process, schedule};
use super::{End, Happening, Supervisor, status};
use crate::role::Role;
use evenkeel_bus::{Explanation, FromProxy, FromVrrp, ProxyOptions, RoleState, ToProxy, ToVrrp, VrrpOptions, WallTime};
use evenkeel_conf::keepalived::Settings;
use evenkeel_vrrp::config::TrackTarget;
use evenkeel_vrrp::{Event, StateName};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A role, alive or not.
#[derive(Debug)]
pub struct RoleSlot<To> {
    /// The process, while it lives.
    pub process: Option<Process<To>>,
    /// The life that counts.
    pub generation: Generation,
    /// What it is doing.
    pub state: RoleState,
    /// Since when.
    pub since: Instant,
    /// How often it was started again.
    pub restarts: u64,
    /// How it ended the last time.
    pub last_exit: Option<String>,
    /// The vrrp role said that everything is released, or the proxy that it is drained.
    pub is_done: bool,
    /// It was at work once in the life of this daemon.
    was_ready: bool,
    /// It was killed, for this reason, and its end is on the way.
    doomed: Option<String>,
    backoff: Backoff,
}

impl<To> Default for RoleSlot<To> {
    fn default() -> Self {
        RoleSlot {
            process: None,
            generation: Generation::default(),
            state: RoleState::Stopped,
            since: Instant::now(),
            restarts: 0,
            last_exit: None,
            is_done: false,
            was_ready: false,
            doomed: None,
            backoff: Backoff::default(),
        }
    }
}

impl<To> RoleSlot<To> {
    /// Ready for work.
    pub fn is_running(&self) -> bool {
        self.state == RoleState::Running
    }

    /// How long to wait before it is started again, after a life of `lived`.
    pub(super) fn wait_after(&mut self, lived: Duration) -> Duration {
        self.backoff.after(lived)
    }

    pub(super) fn enter(&mut self, state: RoleState) {
        self.state = state;
        self.since = Instant::now();
    }
}

/// What the records of `why` call the proxy's process.
pub const PROXY: &str = "proxy";

/// A configuration for the proxy, with the descriptors that go beside it.
pub type ProxyPart = (ToProxy, Vec<OwnedFd>);

impl Supervisor {
    /// Whether the configuration has anything for the vrrp role to do.
    pub(super) fn wants_vrrp(&self) -> bool {
        self.has_routers() || self.has_sessions() || (self.plan.all_roles && !self.plan.without_vrrp)
    }

    pub(super) fn has_routers(&self) -> bool {
        !self.plan.without_vrrp && !self.compiled.vrrp.instances.is_empty()
    }

    fn has_sessions(&self) -> bool {
        !self.plan.without_bfd && !self.compiled.bfd.sessions.is_empty()
    }

    pub(super) fn start_vrrp(&mut self) {
        let number = self.next_number();
        self.launch_vrrp(number);
    }

    /// Starts the role on the configuration in force, as `number`.
    pub(super) fn launch_vrrp(&mut self, number: u64) {
        self.vrrp.generation.0 += 1;
        self.vrrp.is_done = false;
        self.raised = None;
        let names = Names {
            title: &format!("{}: vrrp", self.plan.name),
            comm: self.compiled.settings.process.names.vrrp(self.plan.name),
            scheduling: Some(&self.compiled.settings.vrrp_scheduling),
        };
        let started = Process::start(
            Role::Vrrp,
            names,
            self.plan.log,
            self.vrrp.generation,
            self.happenings.clone(),
            Happening::Vrrp,
        );
        match started {
            Ok(process) => {
                tracing::info!(target: "supervisor", "Starting VRRP child process, pid={}", process.pid);
                process.send(self.vrrp_configuration(number, self.known()));
                self.vrrp.process = Some(process);
                self.name_vrrp_process();
                self.vrrp.enter(RoleState::Starting);
                self.tell_health();
            }
            Err(error) => self.retire_vrrp(format!("could not be started: {error}")),
        }
    }

    /// The pid files of virtual routers and of BFD, which are of one process here. As in keepalived there is one for what is
    /// configured.
    pub(super) fn name_vrrp_process(&mut self) {
        let Some(pid) = self.vrrp.process.as_ref().map(|process| process.pid) else { return };
        let routers = self.plan.vrrp_pid_file.clone().map(|path| (path, self.has_routers()));
        let sessions = self.plan.bfd_pid_file.clone().map(|path| (path, self.has_sessions()));
        for (path, is_wanted) in routers.into_iter().chain(sessions) {
            match is_wanted || self.plan.all_roles {
                true => self.write_pid_file(&path, pid),
                false => self.remove_pid_file(&path),
            }
        }
    }

    fn remove_pid_file(&mut self, path: &Path) {
        self.pid_files.retain(|file| !file.is_at(path));
    }

    /// The pid file of a role, in place of its predecessor's.
    pub(super) fn write_pid_file(&mut self, path: &Path, pid: u32) {
        self.remove_pid_file(path);
        match PidFile::write(path, pid) {
            Ok(file) => self.pid_files.push(file),
            Err(error) => tracing::warn!(target: "supervisor", "{error:#}"),
        }
    }

    /// Ties an answer to the configuration that it answers.
    pub(super) fn next_number(&mut self) -> u64 {
        self.n_configurations += 1;
        self.n_configurations
    }

    /// What a vrrp role in place of one that was master has to know to go on; nothing when it starts like any other.
    fn known(&self) -> Vec<Event> {
        let mut known = self.maintenance.event().into_iter().collect::<Vec<_>>();
        known.extend(self.mastership.resumptions(Instant::now(), &self.compiled.vrrp.instances));
        let delay = self.startup_delay();
        if !delay.is_zero() {
            known.push(Event::Delay(delay));
        }
        if !known.iter().any(|event| matches!(event, Event::Resume { .. })) {
            return known;
        }
        known.extend(self.watched.values().cloned());
        known.extend(self.outcomes.iter().map(|(&script, &outcome)| Event::ScriptEnded { script, outcome }));
        if let (Some(_), Some((healthy, reason))) = (&self.compiled.site, self.health.judgement()) {
            known.push(Event::Proxy { healthy, reason });
        }
        known
    }

    /// How much is left of `vrrp_startup_delay` or of `vrrp_delay_after_boot`, whichever ends later.
    fn startup_delay(&self) -> Duration {
        let settings = &self.compiled.settings;
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime = uptime.split_whitespace().next().and_then(|seconds| seconds.parse::<f64>().ok());
        let uptime = uptime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(Duration::MAX);
        let after_start = settings.startup_delay.saturating_sub(self.started_at.elapsed());
        after_start.max(settings.delay_after_boot.saturating_sub(uptime))
    }

    pub(super) fn vrrp_configuration(&self, number: u64, known: Vec<Event>) -> ToVrrp {
        let options = VrrpOptions {
            tells_addresses: self.plan.tells_addresses,
            record: self.plan.record.clone(),
            keep_addresses: self.plan.keep_addresses,
            log_unknown_vrids: self.compiled.settings.log_unknown_vrids,
            late_after: self.late_after(),
        };
        // The role also runs for BFD alone.
        let config = if self.has_routers() { self.compiled.vrrp.clone() } else { evenkeel_vrrp::Config::default() };
        let bfd = if self.has_sessions() { self.compiled.bfd.clone() } else { evenkeel_bfd::Config::default() };
        ToVrrp::Configure { number, config, bfd, options, known }
    }

    /// How late a deadline has to be served for the role to say so: while `max_auto_priority` has steps to offer.
    fn late_after(&self) -> Option<Duration> {
        let auto = self.compiled.settings.process.auto_priority;
        (auto.most > 0).then_some(auto.delay)
    }

    pub(super) fn start_proxy(&mut self) {
        let number = self.next_number();
        let part = self.proxy_configuration(number, &self.compiled, &self.listeners);
        self.launch_proxy(part);
    }

    /// Starts the role on `part`.
    pub(super) fn launch_proxy(&mut self, part: Result<ProxyPart, String>) {
        self.proxy.generation.0 += 1;
        self.proxy.is_done = false;
        let title = format!("{}: worker process", self.plan.name);
        let names = Names { title: &title, comm: self.plan.name, scheduling: None };
        let started = Process::start(
            Role::Proxy,
            names,
            self.plan.log,
            self.proxy.generation,
            self.happenings.clone(),
            Happening::Proxy,
        );
        let configured = started.map_err(|error| error.to_string()).and_then(|process| {
            let (message, descriptors) = part?;
            process.send_with(message, descriptors);
            Ok(process)
        });
        match configured {
            Ok(process) => {
                tracing::info!(target: "supervisor", "Starting proxy process, pid={}", process.pid);
                self.proxy.process = Some(process);
                self.proxy.enter(RoleState::Starting);
            }
            Err(error) => self.retire_proxy(format!("could not be started: {error}")),
        }
    }

    /// What the proxy is told of `compiled`.
    pub(super) fn proxy_configuration(
        &self,
        number: u64,
        compiled: &Compiled,
        listeners: &Listeners,
    ) -> Result<ProxyPart, String> {
        let site = compiled.site.clone().unwrap_or_default();
        let mut descriptors = listeners.descriptors(&site).map_err(|error| error.to_string())?;
        let (logs, files) = open_logs(&site)?;
        descriptors.extend(files);
        let is_tracked = |instance: &evenkeel_vrrp::config::Instance| {
            instance.tracks.iter().any(|track| track.target == TrackTarget::Proxy)
        };
        let options = ProxyOptions {
            probe_upstreams: compiled.vrrp.instances.iter().any(is_tracked),
            user: site.user.clone(),
            process_name: self.plan.name.to_owned(),
        };
        Ok((ToProxy::Configure { number, config: Box::new(site), logs, options }, descriptors))
    }

    pub(super) fn reopen_logs(&mut self) {
        if let Some(pending) = &mut self.reloading {
            // Which files those are is being decided.
            pending.reopen = true;
            return;
        }
        let (Some(site), Some(process)) = (&self.compiled.site, &self.proxy.process) else { return };
        match open_logs(site) {
            Ok((logs, descriptors)) => process.send_with(ToProxy::ReopenLogs { logs }, descriptors),
            Err(error) => tracing::error!(target: "supervisor", "{error}; the logs stay as they are"),
        }
    }

    pub(super) fn hear_vrrp(&mut self, heard: Heard<FromVrrp>) {
        match heard {
            Heard::Message(FromVrrp::Ready { number }) => {
                self.vrrp.was_ready = true;
                if self.vrrp.state == RoleState::Starting {
                    self.vrrp.enter(RoleState::Running);
                }
                self.reloaded(Role::Vrrp, Some(number), None);
            }
            Heard::Message(FromVrrp::ConfigureFailed { number, reason }) => {
                tracing::error!(target: "supervisor", "the vrrp role cannot do what is configured: {reason}");
                // As keepalived: what cannot begin is not tried again and again, and whoever started the daemon sees it.
                if !self.vrrp.was_ready && self.reloading.is_none() {
                    self.end = Some(End::RoleDied);
                }
                self.reloaded(Role::Vrrp, Some(number), Some(reason));
            }
            Heard::Message(FromVrrp::Notify { instance, state, priority }) => {
                self.mail_of_instance(&instance, state);
                self.dbus_state(&instance, state);
                self.fifos.tell("INSTANCE", &instance, state, priority);
                let known = self.compiled.settings.instances.iter().chain(&self.departed);
                let settings = known.into_iter().find(|settings| settings.name == instance);
                let job = settings.and_then(|s| notify::job(&instance, &s.notify, state, priority));
                if let Some(job) = job.and_then(|job| self.notify.push(job)) {
                    self.run_notify(job);
                }
            }
            Heard::Message(FromVrrp::NotifyGroup { group, state }) => {
                self.mail_of_group(&group, state);
                self.fifos.tell("GROUP", &group, state, 0);
                let settings = self.compiled.settings.groups.iter().find(|settings| settings.name == group);
                let job = settings.and_then(|settings| notify::group_job(&group, &settings.notify, state));
                if let Some(job) = job.and_then(|job| self.notify.push(job)) {
                    self.run_notify(job);
                }
            }
            Heard::Message(FromVrrp::Explained(explanation)) => {
                self.mastership.note(&explanation);
                self.tell_master();
                self.keep(explanation);
                self.describe();
            }
            Heard::Message(FromVrrp::Bfd { session, up }) => {
                self.tell_session(&session, up);
                self.sessions.insert(session, up);
            }
            Heard::Message(FromVrrp::Status { id, status, bfd, lateness }) => {
                self.questions.vrrp_answered(id, status::OfVrrp { routers: status, bfd, lateness });
            }
            Heard::Message(FromVrrp::Late { by }) => self.vrrp_is_late(by),
            Heard::Message(FromVrrp::Stopped) => self.vrrp.is_done = true,
            Heard::Gone(how) => self.retire_vrrp(how),
        }
    }

    fn retire_vrrp(&mut self, how: String) {
        let lived = self.vrrp.process.take().map(|process| process.started_at.elapsed()).unwrap_or_default();
        self.mastership.role_died(Instant::now());
        self.reloaded(Role::Vrrp, None, Some(how.clone()));
        if self.vrrp.state == RoleState::Stopping {
            self.vrrp.is_done = true;
            self.vrrp.enter(RoleState::Stopped);
        } else {
            self.dbus_knows_nothing();
            let wait = self.vrrp.wait_after(lived);
            tracing::error!(target: "supervisor", "the vrrp role {how}; it is started again in {wait:?}");
            self.vrrp.enter(RoleState::Waiting);
            self.respawn_after(Role::Vrrp, wait);
        }
        self.vrrp.last_exit = Some(how);
    }

    pub(super) fn hear_proxy(&mut self, heard: Heard<FromProxy>) {
        match heard {
            Heard::Message(FromProxy::Ready { number }) => {
                self.proxy.was_ready = true;
                if self.proxy.state == RoleState::Starting {
                    self.proxy.enter(RoleState::Running);
                    self.check_proxy();
                }
                self.reloaded(Role::Proxy, Some(number), None);
            }
            Heard::Message(FromProxy::ConfigureFailed { number, reason }) => {
                tracing::error!(target: "supervisor", "the proxy cannot do what is configured: {reason}");
                // nginx ends; beside virtual routers the node lives on, and the address goes elsewhere.
                if self.plan.nginx_style && !self.proxy.was_ready {
                    self.end = Some(End::RoleDied);
                }
                self.reloaded(Role::Proxy, Some(number), Some(reason));
            }
            Heard::Message(FromProxy::Status { id, status }) => self.questions.proxy_answered(id, status),
            Heard::Message(FromProxy::Drained) => self.proxy.is_done = true,
            Heard::Gone(how) => self.retire_proxy(how),
        }
    }

    /// Ends a proxy that cannot be talked to; it is started again as after any other end.
    pub(super) fn kill_proxy(&mut self, how: String) {
        let Some(process) = self.proxy.process.as_ref().filter(|_| self.proxy.doomed.is_none()) else { return };
        tracing::error!(target: "supervisor", pid = process.pid, "the proxy role {how}");
        process.kill();
        self.proxy.doomed = Some(how);
    }

    fn retire_proxy(&mut self, how: String) {
        let how = self.proxy.doomed.take().unwrap_or(how);
        let lived = self.proxy.process.take().map(|process| process.started_at.elapsed()).unwrap_or_default();
        self.reloaded(Role::Proxy, None, Some(how.clone()));
        if self.proxy.state == RoleState::Stopping || self.compiled.site.is_none() {
            self.proxy.is_done = true;
            self.proxy.enter(RoleState::Stopped);
        } else {
            let wait = self.proxy.wait_after(lived);
            tracing::error!(target: "supervisor", "the proxy role {how}; it is started again in {wait:?}");
            self.proxy.enter(RoleState::Waiting);
            self.explain_end_of_proxy(&how, lived, wait);
            if self.health.gone(format!("the proxy {how}")) {
                self.health_changed();
            }
            self.respawn_after(Role::Proxy, wait);
        }
        self.proxy.last_exit = Some(how);
    }

    fn explain_end_of_proxy(&mut self, how: &str, lived: Duration, wait: Duration) {
        let decision = match wait.is_zero() {
            true => "start it again".to_owned(),
            false => format!("start it again in {wait:?}"),
        };
        self.keep(Explanation {
            instance: PROXY.to_owned(),
            at: WallTime::now(),
            from: Some(StateName::Fault),
            to: Some(StateName::Init),
            trigger: format!("the proxy {how}, {:.1} s after its start", lived.as_secs_f64()),
            rule: "at once after a life of a minute, else after 1, 2, 4 ... 60 s".to_owned(),
            decision,
            waited_seconds: 0.0,
            effects: Vec::new(),
        });
    }

    /// Roles that run are scheduled as the configuration says now; `before` is what it said until now.
    pub(super) fn reschedule(&mut self, before: &Settings) {
        let now = &self.compiled.settings;
        if now.vrrp_scheduling.realtime != before.vrrp_scheduling.realtime {
            self.raised = None;
        }
        if let Some(process) = &self.vrrp.process {
            schedule(Role::Vrrp, process.pid, &now.vrrp_scheduling, &before.vrrp_scheduling);
        }
        if let Some(process) = &self.balance.process {
            schedule(Role::Balance, process.pid, &now.checker_scheduling, &before.checker_scheduling);
        }
    }

    pub(super) fn respawn_after(&mut self, role: Role, wait: Duration) {
        if self.plan.without_respawn {
            self.end = Some(End::RoleDied);
            return;
        }
        let happenings = self.happenings.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = happenings.send(Happening::Respawn(role)).await;
        });
    }

    pub(super) fn respawn(&mut self, role: Role) {
        match role {
            Role::Vrrp if self.vrrp.state == RoleState::Waiting => {
                self.vrrp.restarts += 1;
                self.start_vrrp();
                // A new router has heard of no script yet.
                self.start_checks();
            }
            Role::Balance if self.balance.state == RoleState::Waiting => {
                self.balance.restarts += 1;
                self.start_balance();
            }
            Role::Proxy if self.proxy.state == RoleState::Waiting => {
                self.proxy.restarts += 1;
                self.start_proxy();
            }
            Role::Mail => self.respawn_mail(),
            Role::Dbus => self.respawn_dbus(),
            Role::Peer => self.respawn_peers(),
            // Stopped meanwhile.
            Role::Vrrp | Role::Balance | Role::Proxy => {}
        }
    }
}

fn open_logs(site: &evenkeel_site::Config) -> Result<(Vec<PathBuf>, Vec<OwnedFd>), String> {
    let paths = log_paths(site);
    let files = paths.iter().map(|path| open_log(path).map(OwnedFd::from)).collect::<Result<_, _>>()?;
    Ok((paths, files))
}
