//! Signals, as nginx and keepalived mean them.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// keepalived's SIGRTMIN+2, as `--signum` prints it. Exporters send it at every scrape, and what is not handled ends the
/// daemon.
pub const SIGNAL_JSON: i32 = 36;
/// keepalived's SIGRTMAX-1: the counters are written, and the dumps count anew.
pub const SIGNAL_STATS_CLEAR: i32 = 63;

/// The signals that the daemon acts on.
pub struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    json: Signal,
    stats_clear: Signal,
}

/// What a signal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// SIGTERM.
    Stop,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Reload,
    /// SIGUSR1: nginx reopens its logs, keepalived writes its data.
    Reopen,
    /// SIGUSR2: the counters are written.
    Stats,
    /// The counters are written, and count anew.
    StatsClear,
    /// The state is written as JSON.
    Json,
}

impl Signals {
    pub fn new() -> std::io::Result<Self> {
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

    pub async fn next(&mut self) -> Told {
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
