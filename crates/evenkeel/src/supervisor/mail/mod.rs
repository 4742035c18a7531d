//! Mail about changes of state. The supervisor writes the letters and keeps them until they are delivered; the mail role,
//! which has no rights at all, talks to the server.

mod queue;
mod text;

use super::process::{Heard, Names, Process};
use super::{Happening, Supervisor, load};
use crate::role::Role;
use evenkeel_bus::{FromMail, Letter, Relay, RoleState, ServerNotice, ToMail};
use evenkeel_vrrp::Report;
pub use queue::Queue;
use queue::{Fate, Try};
use std::time::{Duration, Instant};

/// keepalived's, unless `smtp_connect_timeout` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Supervisor {
    /// Writes about the new state of an instance, when its `smtp_alert` wants that.
    pub(super) fn mail_of_instance(&mut self, name: &str, state: Report) {
        let settings = &self.compiled.settings;
        let is_wanted = settings.instances.iter().any(|instance| instance.name == name && instance.mail_alert);
        if is_wanted
            && !(state == Report::Fault && settings.mail.without_faults)
            && let Some(letter) = text::instance(&self.node_name(), name, state)
        {
            self.mail(letter);
        }
    }

    /// Writes about the new state of a sync group, when its `smtp_alert` wants that.
    pub(super) fn mail_of_group(&mut self, name: &str, state: Report) {
        let settings = &self.compiled.settings;
        let is_wanted = settings.groups.iter().any(|group| group.name == name && group.mail_alert);
        if is_wanted
            && !(state == Report::Fault && settings.mail.without_faults)
            && let Some(letter) = text::group(&self.node_name(), name, state)
        {
            self.mail(letter);
        }
    }

    /// Writes about a server or a quorum, when its `smtp_alert` wants that.
    pub(super) fn mail_of_server(&mut self, notice: &ServerNotice) {
        if notice.mail {
            let pool = self.compiled.balance.pools.iter().find(|pool| pool.name == notice.pool);
            self.mail(text::server(&self.node_name(), notice, pool.map(AsRef::as_ref)));
        }
    }

    fn mail(&mut self, letter: Letter) {
        if self.relay().is_none() {
            return;
        }
        if let Some(n) = self.letters.push(Instant::now(), letter)
            && n.is_power_of_two()
        {
            tracing::warn!(target: "mail", "too many mails wait for their server: the oldest is dropped, {n} so far");
        }
        self.post();
    }

    /// Hands the next letter to the role, which is started when there is none.
    pub(super) fn post(&mut self) {
        let Some(relay) = self.relay() else { return };
        // Until it is started again.
        if self.mailer.state == RoleState::Waiting {
            return;
        }
        let now = Instant::now();
        let Some(next) = self.letters.next(now, &self.compiled.settings.mail.to) else {
            if let Some(at) = self.letters.deadline() {
                let happenings = self.happenings.clone();
                tokio::spawn(async move {
                    tokio::time::sleep_until(at.into()).await;
                    let _ = happenings.send(Happening::MailDue).await;
                });
            }
            return;
        };
        if self.mailer.process.is_none() {
            self.start_mail();
        }
        match &self.mailer.process {
            Some(process) => {
                let Try { number, to, letter } = next;
                process.send(ToMail::Deliver { number, relay, to, letter });
            }
            None => self.letters.interrupted(),
        }
    }

    fn start_mail(&mut self) {
        self.mailer.generation.0 += 1;
        let names = Names { title: &format!("{}: mail", self.plan.name), comm: self.plan.name, scheduling: None };
        let generation = self.mailer.generation;
        let happenings = self.happenings.clone();
        match Process::start(Role::Mail, names, self.plan.log, generation, happenings, Happening::Mail) {
            Ok(process) => {
                tracing::info!(target: "supervisor", "Starting mail process, pid={}", process.pid);
                self.mailer.process = Some(process);
                self.mailer.enter(RoleState::Starting);
            }
            Err(error) => self.retire_mail(format!("could not be started: {error}")),
        }
    }

    pub(super) fn hear_mail(&mut self, heard: Heard<FromMail>) {
        match heard {
            Heard::Message(FromMail::Ready) => {
                if self.mailer.state == RoleState::Starting {
                    self.mailer.enter(RoleState::Running);
                }
            }
            Heard::Message(FromMail::Tried { number, settled, trouble }) => {
                let recipients = &self.compiled.settings.mail.to;
                let fate = self.letters.tried(Instant::now(), number, settled, recipients);
                let trouble = trouble.unwrap_or_default();
                match fate {
                    Fate::Over if trouble.is_empty() => {}
                    Fate::Over => tracing::warn!(target: "mail", "a mail was not taken for everybody: {trouble}"),
                    Fate::Again(wait) => tracing::warn!(target: "mail", "{trouble}; tried again in {wait:?}"),
                    Fate::GivenUp(subject) => tracing::error!(target: "mail", "given up: {subject}: {trouble}"),
                    Fate::Unknown => {}
                }
                self.post();
            }
            Heard::Gone(how) => self.retire_mail(how),
        }
    }

    fn retire_mail(&mut self, how: String) {
        let lived = self.mailer.process.take().map(|process| process.started_at.elapsed()).unwrap_or_default();
        self.letters.interrupted();
        if self.mailer.state == RoleState::Stopping {
            self.mailer.enter(RoleState::Stopped);
        } else {
            let wait = self.mailer.wait_after(lived);
            tracing::error!(target: "supervisor", "the mail role {how}; it is started again in {wait:?}");
            self.mailer.enter(RoleState::Waiting);
            let happenings = self.happenings.clone();
            // Not as the roles that keepalived has: -R does not end the daemon because of a mail.
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = happenings.send(Happening::Respawn(Role::Mail)).await;
            });
        }
        self.mailer.last_exit = Some(how);
    }

    /// The wait after its death is over: it is started if something is to be sent.
    pub(super) fn respawn_mail(&mut self) {
        if self.mailer.state == RoleState::Waiting {
            self.mailer.restarts += 1;
            self.mailer.enter(RoleState::Stopped);
            self.post();
        }
    }

    /// Server and recipients may be others now; what waits goes to them.
    pub(super) fn readdress_mail(&mut self) {
        if self.relay().is_some() {
            self.letters.hurry(Instant::now());
            return self.post();
        }
        self.forget_mail("no mail is configured any more");
        self.let_mail_go();
    }

    /// Lets the role end. What it answers from here on comes too late.
    pub(super) fn let_mail_go(&mut self) {
        if self.mailer.process.take().is_some() {
            self.mailer.enter(RoleState::Stopping);
        }
    }

    /// Gives up what waits.
    pub(super) fn forget_mail(&mut self, why: &str) {
        let n = self.letters.clear();
        if n > 0 {
            tracing::warn!(target: "mail", "{n} mails are not sent: {why}");
        }
    }

    /// Through whom mail goes; `None` when none is to be sent.
    fn relay(&self) -> Option<Relay> {
        let mail = &self.compiled.settings.mail;
        let (host, port) = mail.server.clone()?;
        if mail.to.is_empty() {
            return None;
        }
        let name = load::host_name();
        Some(Relay {
            host,
            port,
            helo: mail.helo.clone().unwrap_or_else(|| name.clone()),
            from: mail.from.clone().unwrap_or_else(|| format!("{}@{name}", self.plan.name)),
            timeout: mail.timeout.unwrap_or(TIMEOUT),
        })
    }

    fn node_name(&self) -> String {
        self.compiled.settings.router_id.clone().unwrap_or_else(load::host_name)
    }
}
