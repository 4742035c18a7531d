//! keepalived's objects, as its own build of DBus has them.

use evenkeel_bus::{DbusCall, DbusInstance};
use evenkeel_vrrp::Report;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use zbus::fdo;
use zbus::object_server::SignalEmitter;

/// The object of the whole daemon.
#[derive(Debug)]
pub struct Daemon {
    calls: mpsc::Sender<DbusCall>,
}

#[zbus::interface(name = "org.keepalived.Vrrp1.Vrrp")]
impl Daemon {
    fn print_data(&self) -> fdo::Result<()> {
        ask(&self.calls, DbusCall::PrintData)
    }

    fn print_stats(&self) -> fdo::Result<()> {
        ask(&self.calls, DbusCall::PrintStats)
    }

    fn print_stats_clear(&self) -> fdo::Result<()> {
        ask(&self.calls, DbusCall::PrintStatsClear)
    }

    fn reload_config(&self) -> fdo::Result<()> {
        ask(&self.calls, DbusCall::Reload)
    }

    #[zbus(signal)]
    pub async fn vrrp_started(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    pub async fn vrrp_reloaded(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    pub async fn vrrp_stopped(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;
}

/// The object of an instance.
#[derive(Debug)]
struct Instance {
    name: String,
    state: Option<Report>,
    calls: mpsc::Sender<DbusCall>,
}

#[zbus::interface(name = "org.keepalived.Vrrp1.Instance")]
impl Instance {
    fn send_garp(&self) -> fdo::Result<()> {
        ask(&self.calls, DbusCall::Announce { instance: self.name.clone() })
    }

    /// A structure of one string, as keepalived sends it (observed); it announces a string.
    #[zbus(property)]
    fn name(&self) -> (String,) {
        (self.name.clone(),)
    }

    #[zbus(property)]
    fn state(&self) -> (u32, String) {
        let (number, name) = of(self.state);
        (number, name.to_owned())
    }

    #[zbus(signal)]
    async fn vrrp_status_change(emitter: &SignalEmitter<'_>, status: u32) -> zbus::Result<()>;
}

/// keepalived's number and word for a state (observed).
fn of(state: Option<Report>) -> (u32, &'static str) {
    match state {
        Some(Report::Backup) => (1, "Backup"),
        Some(Report::Master) => (2, "Master"),
        Some(Report::Fault) => (3, "Fault"),
        Some(Report::Stop) => (98, "Stop"),
        // The others are no states, and are not sent here.
        None | Some(Report::Deleted | Report::MasterRxLowerPri | Report::MasterPriority | Report::BackupPriority) => {
            (0, "Init")
        }
    }
}

fn ask(calls: &mpsc::Sender<DbusCall>, call: DbusCall) -> fdo::Result<()> {
    calls.try_send(call).map_err(|_| fdo::Error::LimitsExceeded("too many calls wait for the daemon".to_owned()))
}

/// What is served on a connection.
pub struct Objects {
    connection: zbus::Connection,
    calls: mpsc::Sender<DbusCall>,
    daemon: Option<String>,
    /// Names of instances by their paths.
    instances: BTreeMap<String, String>,
}

impl Objects {
    /// Nothing yet.
    pub fn new(connection: zbus::Connection, calls: mpsc::Sender<DbusCall>) -> Self {
        Objects { connection, calls, daemon: None, instances: BTreeMap::new() }
    }

    /// Serves these and no others. What is there already stays as it is.
    pub async fn replace(&mut self, daemon: &str, instances: Vec<DbusInstance>) -> anyhow::Result<()> {
        let server = self.connection.object_server();
        if self.daemon.as_deref() != Some(daemon) {
            if let Some(old) = self.daemon.take() {
                server.remove::<Daemon, _>(old).await?;
            }
            server.at(daemon, Daemon { calls: self.calls.clone() }).await?;
            self.daemon = Some(daemon.to_owned());
        }
        let mut wanted: BTreeMap<String, DbusInstance> = BTreeMap::new();
        for instance in instances {
            // One virtual router's address family on one interface is one object, whoever else is configured for it.
            wanted.entry(instance.path.clone()).or_insert(instance);
        }
        let is_wanted = |path: &String, name: &String| wanted.get(path).is_some_and(|instance| instance.name == *name);
        let gone: Vec<String> =
            self.instances.extract_if(.., |path, name| !is_wanted(path, name)).map(|(path, _)| path).collect();
        for path in gone {
            server.remove::<Instance, _>(path).await?;
        }
        for (path, DbusInstance { name, state, .. }) in wanted {
            if !self.instances.contains_key(&path) {
                server.at(path.as_str(), Instance { name: name.clone(), state, calls: self.calls.clone() }).await?;
                self.instances.insert(path, name);
            }
        }
        Ok(())
    }

    /// Shows and tells the state of an instance.
    pub async fn set_state(&self, path: &str, state: Option<Report>) -> anyhow::Result<()> {
        if !self.instances.contains_key(path) {
            return Ok(());
        }
        let instance = self.connection.object_server().interface::<_, Instance>(path).await?;
        let emitter = instance.signal_emitter();
        instance.get_mut().await.state = state;
        Instance::vrrp_status_change(emitter, of(state).0).await?;
        // keepalived announces this signal and never sends it, so that who keeps properties by it keeps old ones.
        instance.get().await.state_changed(emitter).await?;
        Ok(())
    }

    /// Where signals of the whole daemon come from.
    pub fn daemon(&self) -> anyhow::Result<Option<SignalEmitter<'static>>> {
        let Some(path) = &self.daemon else { return Ok(None) };
        Ok(Some(SignalEmitter::new(&self.connection, path.clone())?))
    }
}
