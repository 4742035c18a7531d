//! Reload: all of it or nothing.
//!
//! Everything is compiled and opened first. Then the proxy, which may still refuse, is asked to take its part, while the
//! rest goes on as before; only when it has done so is the new configuration that of the supervisor, and vrrp's.

use super::appointment::Calendar;
use super::health::Health;
use super::listeners::Listeners;
use super::load::Compiled;
use super::{Happening, Supervisor, load, service};
use crate::role::Role;
use crate::role::balance::probe::Prober;
use evenkeel_bus::{Reply, RoleState, ToProxy, ToVrrp, WallTime};
use evenkeel_conf::keepalived::Settings;
use std::time::Duration;
use tokio::sync::oneshot;

/// A role says within this that it has taken the configuration.
const LIMIT: Duration = Duration::from_secs(10);

/// A reload that roles have yet to confirm.
#[derive(Debug)]
pub struct Pending {
    answer: Option<oneshot::Sender<Reply>>,
    /// What is to come into force, until the proxy has taken its part.
    candidate: Option<Candidate>,
    /// Who has yet to confirm which number.
    waiting: Vec<(Role, u64)>,
    failures: Vec<String>,
    /// A signal asked for another one meanwhile: the files may have changed since they were read.
    again: bool,
    /// A signal asked to open the logs anew meanwhile.
    pub(super) reopen: bool,
}

#[derive(Debug)]
struct Candidate {
    compiled: Compiled,
    listeners: Listeners,
}

impl Supervisor {
    /// Loads everything anew. `answer` gets the outcome; it is logged as well.
    pub(super) async fn reload(&mut self, answer: Option<oneshot::Sender<Reply>>) {
        if self.end.is_some() {
            return decline(answer, "the daemon is stopping");
        }
        if let Some(pending) = &mut self.reloading {
            // As keepalived: one more is kept in mind.
            pending.again |= answer.is_none();
            return decline(answer, "a reload is under way already: try again when it is over");
        }
        tracing::info!(target: "supervisor", "Reloading");
        service::tell(service::Doing::Reloading);
        let candidate = match self.candidate().await {
            Ok(candidate) => candidate,
            Err(reason) => return self.refuse(answer, reason),
        };
        self.n_reloads += 1;
        self.save_text(&candidate.compiled.text);
        self.save_state("pre");
        let number = self.next_number();
        let part = self.proxy_configuration(number, &candidate.compiled, &candidate.listeners);
        let is_wanted = candidate.compiled.site.is_some();
        let (waiting, failures) = (Vec::new(), Vec::new());
        let candidate = Some(candidate);
        self.reloading = Some(Pending { answer, candidate, waiting, failures, again: false, reopen: false });
        match &self.proxy.process {
            _ if !is_wanted => {}
            // One that drains takes nothing new: another one takes its place.
            Some(process) if self.proxy.state != RoleState::Stopping => match part {
                Ok((message, descriptors)) => {
                    process.send_with(message, descriptors);
                    self.await_role(Role::Proxy, number);
                }
                Err(error) => self.fail_reload(error),
            },
            // One that waits for its restart may owe its death to what was just mended.
            Some(_) | None => {
                self.await_role(Role::Proxy, number);
                self.launch_proxy(part);
            }
        }
        self.go_on_reloading();
    }

    /// Everything that can be found out without asking a role. Nothing has changed afterwards.
    async fn candidate(&self) -> Result<Candidate, String> {
        let compiled = {
            let _reading = self.read_begins();
            load::compile(&self.plan)
        };
        let mut compiled = compiled.map_err(|refused| join(&refused.diagnostics))?;
        if compiled.settings.net_namespace != self.compiled.settings.net_namespace {
            return Err("net_namespace cannot change at a reload: restart for that".to_owned());
        }
        if compiled.settings.process.instance != self.compiled.settings.process.instance {
            return Err("instance cannot change at a reload: restart for that".to_owned());
        }
        let directories = |settings: &Settings| {
            let reload = &settings.process.reload;
            (reload.save_directory.clone(), reload.tmp_directory.clone())
        };
        if directories(&compiled.settings) != directories(&self.compiled.settings) {
            let reason = "config_save_dir and tmp_config_directory cannot change at a reload: restart for that";
            return Err(reason.to_owned());
        }
        if compiled.balance.ipvs_namespace != self.compiled.balance.ipvs_namespace && self.balance.process.is_some() {
            return Err("net_namespace_ipvs cannot change at a reload: restart for that".to_owned());
        }
        if compiled.balance.plane != self.compiled.balance.plane && self.balance.process.is_some() {
            return Err("lb_plane cannot change at a reload: restart for that".to_owned());
        }
        if let Some(reason) = load::too_large(&mut compiled, Some(&self.compiled)) {
            return Err(reason);
        }
        self.can_probe(&compiled)?;
        let site = compiled.site.clone().unwrap_or_default();
        let listeners = self.listeners.bind(&site).await.map_err(|error| error.to_string())?;
        for path in super::log_paths(&site) {
            if let Err(error) = super::open_log(&path) {
                listeners.abandon();
                return Err(error);
            }
        }
        Ok(Candidate { compiled, listeners })
    }

    /// Patterns and certificates that the balance role could not use are better found before anything changes.
    pub(super) fn can_probe(&self, compiled: &Compiled) -> Result<(), String> {
        if self.plan.without_checkers {
            return Ok(());
        }
        Prober::new(&compiled.balance).map(drop).map_err(|error| format!("health checks: {error}"))
    }

    /// The proxy has its part: now the rest.
    fn commit(&mut self, candidate: Candidate) {
        let Candidate { compiled, listeners } = candidate;
        if self.compiled.site.is_none() {
            self.health = Health::default();
        }
        for remark in &compiled.remarks {
            remark.lines().for_each(|line| tracing::warn!(target: "supervisor", "{line}"));
        }
        if let Some(site) = &compiled.site {
            crate::log::keep_from(site.error_log.level);
        }
        let before = std::mem::replace(&mut self.compiled, compiled);
        self.departed = before.settings.instances.clone();
        self.configured_at = WallTime::now();
        self.reload_error = None;
        self.listeners.replace(listeners);
        self.outcomes.clear();
        self.watched.clear();
        self.mastership.forget_the_dead();
        self.reschedule(&before.settings);
        self.follow_fifos();
        self.sessions.retain(|name, _| self.compiled.bfd.sessions.iter().any(|session| session.name == *name));
        self.pass_on_vrrp();
        self.follow_dbus();
        self.follow_peers();
        self.pass_on_balance(&before.balance);
        self.readdress_mail();
        if self.compiled.site.is_none() {
            self.retire_needless_proxy();
        }
        self.start_checks();
        self.follow_time_file();
        self.tell_health();
        load::throw_away(before);
    }

    /// Also anew after each reload: the directory may be there now.
    pub(super) fn follow_time_file(&mut self) {
        let reload = &self.compiled.settings.process.reload;
        self.calendar = match &reload.time_file {
            Some(file) => Calendar::follow(file.clone(), reload.repeat, self.happenings.clone()),
            None => Calendar::default(),
        };
    }

    fn pass_on_vrrp(&mut self) {
        let is_wanted = self.wants_vrrp();
        let number = self.next_number();
        match &self.vrrp.process {
            // Also with no instance left: the role releases what it holds.
            Some(process) => {
                process.send(self.vrrp_configuration(number, Vec::new()));
                self.await_role(Role::Vrrp, number);
                self.name_vrrp_process();
            }
            // One that waits for its restart may owe its death to what was just mended.
            None if is_wanted => {
                self.await_role(Role::Vrrp, number);
                self.launch_vrrp(number);
            }
            None => self.vrrp.enter(RoleState::Stopped),
        }
    }

    fn pass_on_balance(&mut self, before: &evenkeel_balance::Config) {
        let number = self.next_number();
        match &self.balance.process {
            // Also with no virtual server left: the role takes out what is ours.
            Some(_) => {
                let Some(message) = self.balance_change(number, before) else { return };
                if let Some(process) = &self.balance.process {
                    process.send(message);
                }
                self.await_role(Role::Balance, number);
            }
            None if self.wants_balance() => {
                self.await_role(Role::Balance, number);
                self.launch_balance(number);
            }
            None => self.balance.enter(RoleState::Stopped),
        }
    }

    fn retire_needless_proxy(&mut self) {
        match &self.proxy.process {
            Some(process) => {
                process.send(ToProxy::Drain);
                self.proxy.enter(RoleState::Stopping);
            }
            None => self.proxy.enter(RoleState::Stopped),
        }
        if let Some(process) = &self.vrrp.process {
            process.send(ToVrrp::Event(evenkeel_vrrp::Event::Proxy {
                healthy: false,
                reason: "no proxy is configured".to_owned(),
            }));
        }
    }

    fn await_role(&mut self, role: Role, number: u64) {
        let Some(pending) = &mut self.reloading else { return };
        pending.waiting.push((role, number));
        let happenings = self.happenings.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LIMIT).await;
            let _ = happenings.send(Happening::ReloadOverdue(number)).await;
        });
    }

    fn fail_reload(&mut self, error: String) {
        if let Some(pending) = &mut self.reloading {
            pending.failures.push(error);
        }
    }

    /// A role has taken the configuration `number`, or has not. Without a number it is dead, and confirms nothing more.
    pub(super) fn reloaded(&mut self, role: Role, number: Option<u64>, failure: Option<String>) {
        let Some(pending) = &mut self.reloading else { return };
        let before = pending.waiting.len();
        pending
            .waiting
            .retain(|(waiting, awaited)| *waiting != role || number.is_some_and(|number| number != *awaited));
        if before == pending.waiting.len() {
            // An answer to an earlier configuration, or to none.
            return;
        }
        pending.failures.extend(failure.map(|failure| format!("the {} role: {failure}", role.name())));
        self.go_on_reloading();
    }

    pub(super) fn reload_overdue(&mut self, number: u64) {
        let Some(pending) = &mut self.reloading else { return };
        let Some(at) = pending.waiting.iter().position(|(_, awaited)| *awaited == number) else { return };
        let (role, _) = pending.waiting.remove(at);
        pending.failures.push(format!("the {} role: no confirmation within {LIMIT:?}", role.name()));
        if role == Role::Proxy {
            self.put_proxy_back();
        }
        self.go_on_reloading();
    }

    /// A proxy that is only late may yet take the new configuration: then it takes the old one again right after it.
    fn put_proxy_back(&mut self) {
        let number = self.next_number();
        let old = self.proxy_configuration(number, &self.compiled, &self.listeners);
        let Some(process) = &self.proxy.process else { return };
        match old {
            Ok((message, descriptors)) if self.proxy.is_running() => process.send_with(message, descriptors),
            // It never served anything else, or cannot be told: its successor starts with the old configuration.
            Ok(_) | Err(_) => process.kill(),
        }
    }

    fn go_on_reloading(&mut self) {
        let Some(pending) = &mut self.reloading else { return };
        if !pending.waiting.is_empty() {
            return;
        }
        match pending.candidate.take() {
            Some(candidate) if pending.failures.is_empty() => {
                self.commit(candidate);
                self.go_on_reloading();
            }
            Some(candidate) => {
                candidate.listeners.abandon();
                let Some(pending) = self.end_reload() else { return };
                self.refuse(pending.answer, pending.failures.join("\n"));
            }
            None => self.finish_reload(),
        }
    }

    fn finish_reload(&mut self) {
        let Some(pending) = self.end_reload() else { return };
        self.save_state("post");
        if !pending.failures.is_empty() {
            // What compiled is expected to apply; a role that still cannot is told again when it is restarted.
            let reason = format!("the new configuration is in force only in part:\n{}", pending.failures.join("\n"));
            return self.report_failure(pending.answer, "Reload incomplete", reason);
        }
        self.tell_fifos_states();
        service::tell(service::Doing::Ready);
        tracing::info!(target: "supervisor", "Reload finished: the new configuration is in force");
        self.dbus_signal(evenkeel_bus::DbusSignal::Reloaded);
        let message = match self.compiled.remarks.len() {
            0 => "the new configuration is in force".to_owned(),
            n => format!("the new configuration is in force; {n} remarks: see `evenkeel check`"),
        };
        if let Some(answer) = pending.answer {
            let _ = answer.send(Reply::Done { message });
        }
    }

    /// `fifo_write_vrrp_states_on_reload`.
    fn tell_fifos_states(&mut self) {
        if !self.compiled.settings.fifo_states_at_reload {
            return;
        }
        let (answer, happenings) = (self.questions.ask_vrrp(&self.vrrp), self.happenings.clone());
        tokio::spawn(async move {
            if let Ok(Ok(status)) = tokio::time::timeout(super::status::LIMIT, answer).await {
                let _ = happenings.send(Happening::States(status.routers)).await;
            }
        });
    }

    /// Nothing is awaited any more; what was put off until now is done.
    fn end_reload(&mut self) -> Option<Pending> {
        let pending = self.reloading.take()?;
        if pending.reopen {
            self.reopen_logs();
        }
        if pending.again {
            let happenings = self.happenings.clone();
            tokio::spawn(async move { happenings.send(Happening::ReloadDue).await });
        }
        Some(pending)
    }

    /// The daemon stops before the roles have answered.
    pub(super) fn give_up_reload(&mut self) {
        let Some(pending) = self.reloading.take() else { return };
        if let Some(candidate) = pending.candidate {
            candidate.listeners.abandon();
        }
        decline(pending.answer, "the daemon is stopping");
    }

    fn refuse(&mut self, answer: Option<oneshot::Sender<Reply>>, reason: String) {
        self.report_failure(answer, "Reload refused; what ran before goes on", reason);
    }

    fn report_failure(&mut self, answer: Option<oneshot::Sender<Reply>>, headline: &str, reason: String) {
        service::tell(service::Doing::Ready);
        match self.plan.nginx_style {
            true => reason.lines().for_each(|line| match line.strip_prefix("[warn] ") {
                Some(text) => tracing::warn!(target: "supervisor", "{text}"),
                None => {
                    let text = line.strip_prefix("[emerg] ").unwrap_or(line);
                    tracing::error!(target: crate::log::EMERG, "{text}");
                }
            }),
            false => {
                tracing::error!(target: "supervisor", "{headline}");
                reason.lines().for_each(|line| tracing::error!(target: "supervisor", "{line}"));
            }
        }
        self.reload_error = Some(reason.clone());
        if let Some(answer) = answer {
            let _ = answer.send(Reply::Failed { message: reason });
        }
    }
}

/// Nothing was tried, so nothing about the last reload changes.
fn decline(answer: Option<oneshot::Sender<Reply>>, reason: &str) {
    tracing::info!(target: "supervisor", "No reload now: {reason}");
    if let Some(answer) = answer {
        let _ = answer.send(Reply::Failed { message: reason.to_owned() });
    }
}

fn join(diagnostics: &[String]) -> String {
    diagnostics.iter().map(|text| text.trim_end()).collect::<Vec<_>>().join("\n")
}
