//! Reload: all of it or nothing.

use super::{Happening, Supervisor, load, service};
use crate::role::Role;
use evenkeel_bus::{Reply, RoleState, ToProxy, ToVrrp, WallTime};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A role says within this that it has taken the configuration.
const LIMIT: Duration = Duration::from_secs(10);

/// A reload that roles have yet to confirm.
#[derive(Debug)]
pub struct Pending {
    answer: Option<oneshot::Sender<Reply>>,
    waiting: Vec<Role>,
    failures: Vec<String>,
    began_at: Instant,
    /// A signal asked for another one meanwhile: the files may have changed since they were read.
    again: bool,
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
        let compiled = match load::compile(&self.plan) {
            Ok(compiled) => compiled,
            Err(refused) => return self.refuse(answer, join(&refused.diagnostics)),
        };
        if compiled.settings.net_namespace != self.compiled.settings.net_namespace {
            return self.refuse(answer, "net_namespace cannot change at a reload: restart for that".to_owned());
        }
        if let Some(reason) = load::too_large(&compiled) {
            return self.refuse(answer, reason);
        }
        // The last step that can fail, before anything has changed.
        let site = compiled.site.clone().unwrap_or_default();
        let listeners = match self.listeners.bind(&site).await {
            Ok(listeners) => listeners,
            Err(error) => return self.refuse(answer, error.to_string()),
        };
        for path in super::log_paths(&site) {
            if let Err(error) = super::open_log(&path) {
                return self.refuse(answer, error);
            }
        }
        for remark in &compiled.remarks {
            remark.lines().for_each(|line| tracing::warn!(target: "supervisor", "{line}"));
        }
        self.compiled = compiled;
        self.configured_at = WallTime::now();
        self.reload_error = None;
        self.listeners.replace(listeners);
        self.outcomes.clear();
        let (waiting, failures) = (Vec::new(), Vec::new());
        self.reloading = Some(Pending { answer, waiting, failures, began_at: Instant::now(), again: false });
        self.pass_on_vrrp();
        self.pass_on_proxy();
        self.start_checks();
        self.tell_health();
        self.finish_reload();
        if self.reloading.is_some() {
            let happenings = self.happenings.clone();
            tokio::spawn(async move {
                tokio::time::sleep(LIMIT).await;
                let _ = happenings.send(Happening::ReloadOverdue).await;
            });
        }
    }

    fn pass_on_vrrp(&mut self) {
        let is_wanted = !self.plan.without_vrrp && !self.compiled.vrrp.instances.is_empty();
        match &self.vrrp.process {
            // Also with no instance left: the role releases what it holds.
            Some(process) => {
                process.send(self.vrrp_configuration());
                self.await_role(Role::Vrrp);
            }
            // One that waits for its restart may owe its death to what was just mended.
            None if is_wanted => {
                self.await_role(Role::Vrrp);
                self.start_vrrp();
            }
            None => self.vrrp.enter(RoleState::Stopped),
        }
    }

    fn pass_on_proxy(&mut self) {
        let is_wanted = self.compiled.site.is_some();
        match (&self.proxy.process, is_wanted) {
            // It drains and takes nothing new: another one takes its place.
            (Some(_), true) if self.proxy.state == RoleState::Stopping => {
                self.await_role(Role::Proxy);
                self.start_proxy();
            }
            (Some(process), true) => match self.proxy_configuration() {
                Ok((message, descriptors)) => {
                    process.send_with(message, descriptors);
                    self.await_role(Role::Proxy);
                }
                Err(error) => self.reload_failed(error),
            },
            (Some(process), false) => {
                process.send(ToProxy::Drain);
                self.proxy.enter(RoleState::Stopping);
            }
            (None, true) => {
                self.await_role(Role::Proxy);
                self.start_proxy();
            }
            (None, false) => self.proxy.enter(RoleState::Stopped),
        }
        if !is_wanted && let Some(process) = &self.vrrp.process {
            process.send(ToVrrp::Proxy { healthy: false, reason: "no proxy is configured".to_owned() });
        }
    }

    fn await_role(&mut self, role: Role) {
        if let Some(pending) = &mut self.reloading {
            pending.waiting.push(role);
        }
    }

    fn reload_failed(&mut self, error: String) {
        if let Some(pending) = &mut self.reloading {
            pending.failures.push(error);
        }
    }

    /// A role has taken the configuration, or has not.
    pub(super) fn reloaded(&mut self, role: Role, failure: Option<String>) {
        let Some(pending) = &mut self.reloading else { return };
        let before = pending.waiting.len();
        pending.waiting.retain(|waiting| *waiting != role);
        if before == pending.waiting.len() {
            return;
        }
        pending.failures.extend(failure.map(|failure| format!("the {} role: {failure}", role.name())));
        self.finish_reload();
    }

    pub(super) fn reload_overdue(&mut self) {
        let Some(pending) = &mut self.reloading else { return };
        if pending.began_at.elapsed() < LIMIT {
            // The time of an earlier reload, which is long finished.
            return;
        }
        let silent: Vec<_> = pending.waiting.drain(..).map(Role::name).collect();
        if !silent.is_empty() {
            pending.failures.push(format!("no confirmation within {LIMIT:?} from: {}", silent.join(", ")));
        }
        self.finish_reload();
    }

    fn finish_reload(&mut self) {
        if self.reloading.as_ref().is_none_or(|pending| !pending.waiting.is_empty()) {
            return;
        }
        let Some(pending) = self.reloading.take() else { return };
        if pending.again {
            let happenings = self.happenings.clone();
            tokio::spawn(async move { happenings.send(Happening::ReloadAgain).await });
        }
        if !pending.failures.is_empty() {
            // What compiled is expected to apply; a role that still cannot is told again when it is restarted.
            let reason = format!("the new configuration is in force only in part:\n{}", pending.failures.join("\n"));
            return self.report_failure(pending.answer, "Reload incomplete", reason);
        }
        service::tell(service::Doing::Ready);
        tracing::info!(target: "supervisor", "Reload finished: the new configuration is in force");
        let message = match self.compiled.remarks.len() {
            0 => "the new configuration is in force".to_owned(),
            n => format!("the new configuration is in force; {n} remarks: see `evenkeel check`"),
        };
        if let Some(answer) = pending.answer {
            let _ = answer.send(Reply::Done { message });
        }
    }

    fn refuse(&mut self, answer: Option<oneshot::Sender<Reply>>, reason: String) {
        self.report_failure(answer, "Reload refused; what ran before goes on", reason);
    }

    fn report_failure(&mut self, answer: Option<oneshot::Sender<Reply>>, headline: &str, reason: String) {
        service::tell(service::Doing::Ready);
        match self.plan.nginx_style {
            true => reason.lines().for_each(|line| {
                let text = line.split_once("] ").map_or(line, |(_, text)| text);
                tracing::error!(target: "supervisor", "{text}");
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
