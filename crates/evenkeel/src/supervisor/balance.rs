//! The balance role from the supervisor's side: its life, the programs it asks for, what it wants told.

use super::admin::Admin;
use super::fifo::Fifo;
use super::process::{Heard, Names, Process};
use super::script::{self, Once};
use super::{Happening, Plan, Supervisor, notify};
use crate::role::Role;
use evenkeel_balance::config::{ClientTls, Config, LONGEST_SCRIPT, Script, ScriptId};
use evenkeel_balance::{AdminState, names};
use evenkeel_bus::{Administered, FromBalance, Kept, Reply, RoleState, ScriptEnd, ServerNotice, ToBalance};
use evenkeel_conf::keepalived::CommandLine;

/// What the supervisor keeps for the balance role.
#[derive(Debug, Default)]
pub struct Balance {
    /// What people asked of servers.
    pub admin: Admin,
    /// Readers of notices about servers and quorums.
    pub fifo: Fifo,
    /// Programs of the configuration in force and the one before, by number: words of the role may be about either.
    books: Vec<(u64, Vec<Script>)>,
    /// Number of the configuration that the role was sent last, and the interfaces in it.
    sent: Option<(u64, Vec<String>)>,
    /// Number of the last one that it took.
    taken: Option<u64>,
}

impl Balance {
    /// With what people asked of servers before.
    pub fn open(plan: &Plan) -> Self {
        Balance { admin: Admin::open(plan.state_directory.join("servers.json")), ..Balance::default() }
    }

    fn open_book(&mut self, number: u64, scripts: &[Script]) {
        self.books.push((number, scripts.to_vec()));
        if self.books.len() > 2 {
            self.books.remove(0);
        }
    }

    /// Whether the role has what it was sent last.
    fn is_settled(&self) -> bool {
        self.taken.is_some() && self.taken == self.sent.as_ref().map(|(number, _)| *number)
    }

    fn script(&self, number: u64, id: ScriptId) -> Option<&Script> {
        let (_, scripts) = self.books.iter().find(|(known, _)| *known == number)?;
        scripts.get(id.0 as usize)
    }
}

impl Supervisor {
    /// Whether the configuration has anything for the role to do.
    pub(super) fn wants_balance(&self) -> bool {
        !self.plan.without_checkers && (self.plan.all_roles || !self.compiled.balance.pools.is_empty())
    }

    /// Opens what is told of events, and starts its readers.
    pub(super) fn follow_fifos(&mut self) {
        let settings = &self.compiled.settings;
        let fifo = settings.lvs_fifo.as_ref().filter(|_| self.wants_balance());
        self.layer4.fifo.follow(fifo, &settings.script_user);
        self.fifos.all.follow(settings.fifo.as_ref(), &settings.script_user);
        let vrrp = settings.vrrp_fifo.as_ref().filter(|_| !self.plan.without_vrrp);
        self.fifos.vrrp.follow(vrrp, &settings.script_user);
    }

    pub(super) fn start_balance(&mut self) {
        let number = self.next_number();
        self.launch_balance(number);
    }

    /// Starts the role on the configuration in force, as `number`.
    pub(super) fn launch_balance(&mut self, number: u64) {
        self.balance.generation.0 += 1;
        self.balance.is_done = false;
        let names = Names {
            title: &format!("{}: healthchecker", self.plan.name),
            comm: self.compiled.settings.process.names.checker(self.plan.name),
            scheduling: Some(&self.compiled.settings.checker_scheduling),
        };
        let started = Process::start(
            Role::Balance,
            names,
            self.plan.log,
            self.balance.generation,
            self.happenings.clone(),
            Happening::Balance,
        );
        match started {
            Ok(process) => {
                tracing::info!(target: "supervisor", "Starting Healthcheck child process, pid={}", process.pid);
                self.layer4.taken = None;
                process.send(self.balance_configuration(number, None));
                if let Some(path) = self.plan.checkers_pid_file.clone() {
                    self.write_pid_file(&path, process.pid);
                }
                self.balance.process = Some(process);
                self.balance.enter(RoleState::Starting);
            }
            Err(error) => self.retire_balance(format!("could not be started: {error}")),
        }
    }

    /// What the role is to be told, unless it has just that. `before` is what was in force until now.
    pub(super) fn balance_change(&mut self, number: u64, before: &Config) -> Option<ToBalance> {
        let settled = self.layer4.is_settled();
        let is_same_at = |interfaces| self.layer4.sent.as_ref().is_some_and(|(_, sent)| *sent == interfaces);
        let config = &self.compiled.balance;
        // Certificates may have changed in their files.
        let reads_files = config.tls != ClientTls::default();
        if settled && !reads_files && is_same_at(self.balance_interfaces()) && config == before {
            return None;
        }
        Some(self.balance_configuration(number, settled.then_some(before)))
    }

    /// The configuration in force, for a role that has `base` or nothing.
    fn balance_configuration(&mut self, number: u64, base: Option<&Config>) -> ToBalance {
        let kept = base.map(|base| Kept::between(&self.compiled.balance, base)).unwrap_or_default();
        // What is kept need not be copied either.
        let pools = std::mem::take(&mut self.compiled.balance.pools);
        let config = Config { pools: kept.rest(&pools).to_vec(), ..self.compiled.balance.clone() };
        self.compiled.balance.pools = pools;
        self.layer4.open_book(number, &config.scripts);
        let interfaces = self.balance_interfaces();
        self.layer4.sent = Some((number, interfaces.clone()));
        let (admin, directory) = (self.layer4.admin.all(), self.plan.runtime_directory.clone());
        ToBalance::Configure { number, config: Box::new(config), kept, admin, interfaces, directory }
    }

    fn balance_interfaces(&self) -> Vec<String> {
        match &self.compiled.balance.interfaces {
            none if none.is_empty() => {
                self.compiled.vrrp.instances.iter().map(|instance| instance.interface.clone()).collect()
            }
            interfaces => interfaces.clone(),
        }
    }

    pub(super) fn hear_balance(&mut self, heard: Heard<FromBalance>) {
        match heard {
            Heard::Message(FromBalance::Ready { number }) => {
                self.layer4.taken = Some(number);
                if self.balance.state == RoleState::Starting {
                    self.balance.enter(RoleState::Running);
                    self.tell_master();
                }
                self.tell_sessions();
                self.reloaded(Role::Balance, Some(number), None);
            }
            Heard::Message(FromBalance::ConfigureFailed { number, reason }) => {
                tracing::error!(target: "supervisor", "the balance role cannot do what is configured: {reason}");
                self.reloaded(Role::Balance, Some(number), Some(reason));
            }
            Heard::Message(FromBalance::RunScript { number, run, script }) => self.run_misc(number, run, script),
            Heard::Message(FromBalance::Notify(notice)) => self.tell_of_server(&notice),
            Heard::Message(FromBalance::Explained(explanation)) => {
                tracing::info!(target: "balance", "{}: {}", explanation.decision, explanation.trigger);
                self.keep(explanation);
                self.describe();
            }
            Heard::Message(FromBalance::Status { id, status }) => self.questions.balance_answered(id, *status),
            Heard::Message(FromBalance::Stopped) => self.balance.is_done = true,
            Heard::Gone(how) => self.retire_balance(how),
        }
    }

    fn retire_balance(&mut self, how: String) {
        let lived = self.balance.process.take().map(|process| process.started_at.elapsed()).unwrap_or_default();
        self.reloaded(Role::Balance, None, Some(how.clone()));
        if self.balance.state == RoleState::Stopping {
            self.balance.is_done = true;
            self.balance.enter(RoleState::Stopped);
        } else {
            let wait = self.balance.wait_after(lived);
            tracing::error!(
                target: "supervisor",
                "the balance role {how}; it is started again in {wait:?}, packets go on meanwhile"
            );
            self.balance.enter(RoleState::Waiting);
            self.respawn_after(Role::Balance, wait);
        }
        self.balance.last_exit = Some(how);
    }

    /// What BFD_CHECK is to know: a role that has a new configuration may follow sessions that it did not before.
    fn tell_sessions(&self) {
        for (session, up) in &self.sessions {
            self.tell_session(session, *up);
        }
    }

    pub(super) fn tell_session(&self, session: &str, up: bool) {
        let is_followed = self.compiled.balance.bfd_sessions.iter().any(|followed| followed == session);
        if let (Some(process), true) = (&self.balance.process, is_followed) {
            process.send(ToBalance::Bfd { session: session.to_owned(), up });
        }
    }

    /// Whether the instance that the sync daemon follows is master.
    pub(super) fn tell_master(&self) {
        let daemon = self.compiled.balance.sync_daemon.as_ref();
        let Some(name) = daemon.and_then(|daemon| daemon.instance.clone()) else { return };
        if let Some(process) = &self.balance.process {
            let master = self.mastership.is_master(&name);
            process.send(ToBalance::Instance { name, master });
        }
    }

    fn run_misc(&mut self, number: u64, run: u64, id: ScriptId) {
        let generation = self.balance.generation;
        let happenings = self.happenings.clone();
        let Some(script) = self.layer4.script(number, id).cloned() else {
            if let Some(process) = &self.balance.process {
                process.send(ToBalance::ScriptEnded { run, outcome: ScriptEnd::NotStarted });
            }
            return;
        };
        let user = script.user.clone().or(self.compiled.settings.script_user.clone());
        let limit = script.timeout.unwrap_or(LONGEST_SCRIPT);
        tokio::spawn(async move {
            let command = CommandLine { words: script.argv, user: None };
            let outcome = match script::once(&command, &user, limit).await {
                Once::Exited(status) => ScriptEnd::Exited(status),
                Once::Killed(signal) => ScriptEnd::Killed(signal),
                Once::TimedOut => ScriptEnd::TimedOut,
                Once::NotStarted(reason) => {
                    tracing::warn!(target: "script", script = command.words.join(" "), "cannot run it: {reason}");
                    ScriptEnd::NotStarted
                }
            };
            let _ = happenings.send(Happening::MiscEnded { generation, run, outcome }).await;
        });
    }

    fn tell_of_server(&mut self, notice: &ServerNotice) {
        self.mail_of_server(notice);
        let (instance, state) = (notice.subject(), notice.state());
        self.layer4.fifo.write(&format!("{instance} {state}"));
        self.fifos.all.write(&format!("{instance} {state}"));
        let script = notice.script.and_then(|id| self.layer4.script(notice.number, id));
        let Some(script) = script.cloned() else { return };
        let command = CommandLine { words: script.argv, user: script.user };
        let job = notify::Job { instance, state, commands: vec![command] };
        if let Some(job) = self.notify.push(job) {
            self.run_notify(job);
        }
    }

    /// A person's word about a server, which is kept.
    pub(super) fn administer(&mut self, target: &str, state: AdminState) -> Reply {
        if !self.wants_balance() {
            return Reply::Failed { message: "this node has no virtual server".to_owned() };
        }
        let (pool, server) = match names::find_server(&self.compiled.balance, target) {
            Ok(id) => {
                let pool = &self.compiled.balance.pools[id.pool.0 as usize];
                (pool.name.clone(), pool.servers[id.server as usize].name())
            }
            Err(error) => return Reply::Failed { message: error.to_string() },
        };
        let word = Administered { pool, server, state };
        let name = format!("{} of {}", word.server, word.pool);
        if let Err(error) = self.layer4.admin.keep(&word) {
            return Reply::Failed { message: error };
        }
        if let Some(process) = &self.balance.process {
            process.send(ToBalance::Administer(word.clone()));
        }
        self.tell_peers();
        let what = said_of(state);
        Reply::Server { meant: word, message: format!("{name} {what}") }
    }
}

/// What a person's word means for the server that it is about.
pub(super) fn said_of(state: AdminState) -> String {
    match state {
        AdminState::Enabled => "takes part as its checks say".to_owned(),
        AdminState::Drained => "keeps its connections and gets no new ones".to_owned(),
        AdminState::Disabled => "is out of the table".to_owned(),
        AdminState::Weight(weight) => format!("has weight {weight}"),
    }
}
