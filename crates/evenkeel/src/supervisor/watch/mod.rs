//! What instances track besides scripts: numbers in files, and how many processes run.

mod files;
mod processes;

use super::Happening;
use super::script::Round;
use evenkeel_conf::keepalived::Settings;
use evenkeel_vrrp::Event;
pub use files::initialise;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The watchers that run. Dropping it ends them.
#[derive(Debug, Default)]
pub struct Watchers {
    tasks: Vec<AbortHandle>,
}

impl Watchers {
    /// Watches what `settings` names. What is so now is told first, and then what changes.
    pub fn start(round: Round, settings: &Settings, happenings: &mpsc::Sender<Happening>) -> Self {
        let mut tasks = Vec::new();
        if !settings.files.is_empty() {
            let task = files::watch(settings.files.clone(), Teller { round, happenings: happenings.clone() });
            tasks.push(tokio::spawn(task).abort_handle());
        }
        if !settings.processes.is_empty() {
            let task = processes::watch(settings.processes.clone(), Teller { round, happenings: happenings.clone() });
            tasks.push(tokio::spawn(task).abort_handle());
        }
        Watchers { tasks }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The way to the supervisor.
struct Teller {
    round: Round,
    happenings: mpsc::Sender<Happening>,
}

impl Teller {
    /// False when nobody listens any more.
    async fn tell(&self, source: String, event: Event) -> bool {
        self.happenings.send(Happening::Watched { round: self.round, source, event }).await.is_ok()
    }
}
