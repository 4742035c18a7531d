//! What keepalived writes on USR1, USR2 and its JSON signal, in its own files and formats: tools parse them.
//!
//! Where a value does not exist here (numbers of descriptors, sysctls that are not touched) its line is left out.

mod bfd;
mod checker;
mod global;
mod json;
mod routing;
mod stats;
mod text;
mod tracks;
mod vrrp;

use super::{Happening, Supervisor, load};
use evenkeel_bus::BalanceView;
use evenkeel_conf::keepalived::Settings;
use evenkeel_kernel::netlink::{Interface, Netlink};
use evenkeel_vrrp::{AdvertCounters, Status};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use text::Text;

pub use stats::text as statistics;

/// What a dump is written from.
pub struct Facts {
    settings: Settings,
    vrrp: evenkeel_vrrp::Config,
    bfd: evenkeel_bfd::Config,
    balance: evenkeel_balance::Config,
    host: String,
    interfaces: Vec<Interface>,
    /// Of the virtual routers, when their process answered.
    status: Status,
    /// Of the BFD sessions, when the same process did.
    sessions: evenkeel_bfd::Status,
    /// Of the balancer.
    view: Option<BalanceView>,
    has_vrrp: bool,
    at: SystemTime,
    /// `YYYY-MM-DD HH:MM:SS`, of the next reload by `reload_time_file`.
    next_reload: Option<String>,
    reload_file: Option<PathBuf>,
    /// Priority of the vrrp process under SCHED_RR; 0 is none.
    realtime: u8,
}

/// What the files of a data dump hold; none for a process that has nothing to do.
pub struct Dumps {
    /// The settings of the whole program.
    pub parent: String,
    /// The virtual routers.
    pub vrrp: Option<String>,
    /// The virtual servers.
    pub checker: Option<String>,
    /// The BFD sessions.
    pub bfd: Option<String>,
}

/// The configuration in the form of the data dump.
pub fn configuration(compiled: &load::Compiled) -> String {
    let mut out = Text::default();
    let facts = Facts {
        settings: compiled.settings.clone(),
        vrrp: compiled.vrrp.clone(),
        bfd: compiled.bfd.clone(),
        balance: compiled.balance.clone(),
        host: load::host_name(),
        interfaces: Vec::new(),
        status: Status::default(),
        sessions: evenkeel_bfd::Status::default(),
        view: None,
        has_vrrp: !compiled.vrrp.instances.is_empty(),
        at: SystemTime::now(),
        next_reload: None,
        reload_file: None,
        realtime: compiled.settings.vrrp_scheduling.realtime.unwrap_or(0),
    };
    global::write(&mut out, &facts);
    if facts.has_vrrp {
        vrrp::write(&mut out, &facts);
    }
    if facts.has_balance() {
        checker::write(&mut out, &facts, None);
    }
    out.0
}

/// Counters as they were when somebody asked for them to be cleared, by instance.
pub type Cleared = BTreeMap<String, AdvertCounters>;

impl Supervisor {
    /// SIGUSR1: the configuration and the state of every process.
    pub(super) fn write_data(&mut self) {
        let dumps = self.dumps();
        let settings = self.compiled.settings.process.dumps.clone();
        let names = Names { template: settings.state_file, infix: self.dump_infix() };
        tokio::spawn(async move {
            let dumps = dumps.await;
            store(&names.path("_parent"), &dumps.parent);
            let parts = [("", dumps.vrrp), ("_check", dumps.checker), ("_bfd", dumps.bfd)];
            for (process, text) in parts {
                if let Some(text) = text {
                    store(&names.path(process), &text);
                }
            }
        });
    }

    /// The texts of a data dump. The roles are asked before this returns.
    pub(super) fn dumps(&mut self) -> impl Future<Output = Dumps> + use<> {
        let facts = self.facts();
        async move {
            let facts = facts.await;
            let mut globals = Text::default();
            global::write(&mut globals, &facts);
            let part = |is_wanted: bool, write: &dyn Fn(&mut Text)| {
                is_wanted.then(|| {
                    let mut out = Text(globals.0.clone());
                    write(&mut out);
                    out.0
                })
            };
            let vrrp = part(facts.has_vrrp, &|out| vrrp::write(out, &facts));
            let checker = part(facts.has_balance(), &|out| checker::write(out, &facts, facts.view.as_ref()));
            let bfd = part(!facts.bfd.sessions.is_empty(), &|out| bfd::write(out, &facts));
            Dumps { parent: globals.0, vrrp, checker, bfd }
        }
    }

    /// SIGUSR2, and with `clear` the signal that starts the counters anew.
    pub(super) fn write_stats(&mut self, clear: Clear) {
        let (facts, cleared, happenings) = (self.facts(), self.cleared.clone(), self.happenings.clone());
        tokio::spawn(async move {
            let facts = facts.await;
            let counters = facts.status.instances.iter().map(|status| {
                let counters = stats::since(status, cleared.get(&status.name));
                (status.name.as_str(), counters)
            });
            let counters: Vec<_> = counters.collect();
            store(&directory().join("keepalived.stats"), &statistics(counters.iter().map(|(name, c)| (*name, c))));
            if clear == Clear::Yes {
                let now = facts.status.instances.iter().map(|status| (status.name.clone(), status.counters));
                let _ = happenings.send(Happening::Cleared(now.collect())).await;
            }
        });
    }

    /// SIGRTMIN+2.
    pub(super) fn write_json(&mut self) {
        let (facts, cleared) = (self.facts(), self.cleared.clone());
        tokio::spawn(async move {
            store(&directory().join("keepalived.json"), &json::text(&facts.await, &cleared));
        });
    }

    /// `data_use_instance`: what tells the dumps of this daemon from those of another.
    fn dump_infix(&self) -> String {
        let process = &self.compiled.settings.process;
        if !process.dumps.use_instance {
            return String::new();
        }
        let namespace = self.plan.namespace.as_ref().or(self.compiled.settings.net_namespace.as_ref());
        let parts = namespace.into_iter().chain(&process.instance);
        parts.map(|part| format!(".{part}")).collect()
    }

    /// Everything that is dumped. The future does not borrow, so that the main loop goes on meanwhile.
    fn facts(&mut self) -> impl Future<Output = Facts> + use<> {
        let vrrp = self.questions.ask_vrrp(&self.vrrp);
        let balance = self.questions.ask_balance(&self.balance);
        let mut facts = Facts {
            settings: self.compiled.settings.clone(),
            vrrp: self.compiled.vrrp.clone(),
            bfd: self.compiled.bfd.clone(),
            balance: self.compiled.balance.clone(),
            host: load::host_name(),
            interfaces: Netlink::open().and_then(|mut netlink| netlink.interfaces()).unwrap_or_default(),
            status: Status::default(),
            sessions: evenkeel_bfd::Status::default(),
            view: None,
            has_vrrp: !self.plan.without_vrrp && !self.compiled.vrrp.instances.is_empty(),
            at: SystemTime::now(),
            next_reload: self.calendar.next().map(|appointment| appointment.to_string()),
            reload_file: self.reload_file(),
            realtime: self.raised.or(self.compiled.settings.vrrp_scheduling.realtime).unwrap_or(0),
        };
        if self.plan.without_bfd {
            facts.bfd.sessions.clear();
        }
        if !self.wants_balance() {
            facts.balance.pools.clear();
        }
        async move {
            let limit = super::status::LIMIT;
            let (vrrp, balance) = tokio::join!(tokio::time::timeout(limit, vrrp), tokio::time::timeout(limit, balance));
            if let Ok(Ok(told)) = vrrp {
                (facts.status, facts.sessions) = (told.routers, told.bfd);
            }
            facts.view = balance.ok().and_then(Result::ok);
            facts.at = SystemTime::now();
            facts
        }
    }
}

impl Facts {
    fn has_balance(&self) -> bool {
        !self.balance.pools.is_empty()
    }
}

/// Whether the counters start anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// They do.
    Yes,
    /// They go on.
    No,
}

/// How the files of a data dump are called.
struct Names {
    /// `state_dump_file`; a folder when it ends in a slash.
    template: Option<String>,
    /// `.INSTANCE`, or nothing.
    infix: String,
}

impl Names {
    /// The file of a process: `keepalived_parent.data` for `_parent`.
    fn path(&self, process: &str) -> PathBuf {
        let (folder, name) = match &self.template {
            None => (directory(), "keepalived.data"),
            Some(template) => match template.rsplit_once('/') {
                Some((folder, "")) => (PathBuf::from(format!("{folder}/")), "keepalived.data"),
                Some((folder, name)) => (PathBuf::from(format!("{folder}/")), name),
                None => (directory(), template.as_str()),
            },
        };
        let infix = &self.infix;
        folder.join(match name.rsplit_once('.') {
            Some((stem, end)) => format!("{stem}{process}{infix}.{end}"),
            None => format!("{name}{process}{infix}"),
        })
    }
}

/// `$TMPDIR`, or /tmp.
fn directory() -> PathBuf {
    std::env::temp_dir()
}

pub(super) fn store(path: &Path, text: &str) {
    match replace(path, text) {
        Ok(()) => tracing::info!(target: "supervisor", "wrote {}", path.display()),
        Err(error) => tracing::error!(target: "supervisor", "write {}: {error}", path.display()),
    }
}

/// Puts a file in the place of another, whole, readable by root only. The folder may be one where others write: no link is
/// followed, for a name that is taken is not opened but replaced.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let _ = std::fs::remove_file(&temporary);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_called_after_process_and_instance() {
        let names = |template: Option<&str>, infix: &str| {
            let names = Names { template: template.map(str::to_owned), infix: infix.to_owned() };
            ["", "_parent", "_check"].map(|process| names.path(process).display().to_string())
        };
        let tmp = directory().display().to_string();
        let expected = ["keepalived.data", "keepalived_parent.data", "keepalived_check.data"];
        assert_eq!(names(None, ""), expected.map(|name| format!("{}/{name}", tmp.trim_end_matches('/'))));
        assert_eq!(
            names(Some("/d/"), ".Inst1"),
            ["/d/keepalived.Inst1.data", "/d/keepalived_parent.Inst1.data", "/d/keepalived_check.Inst1.data"]
        );
        assert_eq!(names(Some("/d/x"), ""), ["/d/x", "/d/x_parent", "/d/x_check"]);
    }

    #[test]
    fn a_link_in_the_place_of_a_dump_is_replaced_and_not_followed() {
        let folder = std::env::temp_dir().join(format!("evenkeel-dump-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (victim, path) = (folder.join("victim"), folder.join("keepalived.data"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        replace(&path, "dump").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "dump");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
