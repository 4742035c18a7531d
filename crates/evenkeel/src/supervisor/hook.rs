//! The scripts at the two ends of the daemon's life.

use super::Supervisor;
use super::script::{self, Once};

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `startup_script`: before anything else is started.
    Startup,
    /// `shutdown_script`: after everything has ended.
    Shutdown,
}

impl Supervisor {
    /// Runs the script, when there is one, to its end or the end of its time. Whatever becomes of it, the daemon goes on.
    pub(super) async fn run_hook(&self, end: End) {
        let process = &self.compiled.settings.process;
        let (name, hook) = match end {
            End::Startup => ("startup", &process.startup),
            End::Shutdown => ("shutdown", &process.shutdown),
        };
        let Some(command) = &hook.command else { return };
        let user = command.user.clone().or(self.compiled.settings.script_user.clone());
        tracing::info!(target: "supervisor", "Running {name} script {}", command.words[0]);
        match script::once(command, &user, hook.limit()).await {
            Once::Exited(0) => tracing::info!(target: "supervisor", "{name} script succeeded"),
            Once::Exited(status) => {
                tracing::warn!(target: "supervisor", "{name} script failed: exited with status {status}");
            }
            Once::Killed(signal) => tracing::warn!(target: "supervisor", "{name} script was killed by signal {signal}"),
            Once::TimedOut => {
                tracing::warn!(target: "supervisor", "{name} script ran for more than {:?} and was ended", hook.limit());
            }
            Once::NotStarted(reason) => tracing::error!(target: "supervisor", "{name} script cannot run: {reason}"),
        }
    }
}
