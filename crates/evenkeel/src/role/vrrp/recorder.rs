//! `--record FILE`: everything the core is told, as JSON lines, for `cargo xtask replay FILE`.
//!
//! ```text
//! {"config":{"instances":[...],"scripts":[...]},"seed":42}
//! {"at":0.000125,"event":{"Interface":{...}}}
//! {"at":17.25,"config":{...}}
//! ```
//!
//! `at` counts seconds on the clock of the core. The file is begun anew with each start of the role. Keys and the
//! password of AH are not in it: stand-ins are, and packets are signed with those ([`disguise`]).

use evenkeel_vrrp::auth::disguise;
use evenkeel_vrrp::packet::Datagram;
use evenkeel_vrrp::{Config, Event};
use evenkeel_wire::Instant;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// A recording grows no longer than this, in bytes.
const LONGEST: usize = 1 << 30;

#[derive(Debug)]
pub struct Recorder {
    file: File,
    written: usize,
}

#[derive(Serialize)]
struct Header<'a> {
    config: &'a Config,
    seed: u64,
}

#[derive(Serialize)]
struct EventLine<'a> {
    at: f64,
    event: &'a Event,
}

#[derive(Serialize)]
struct ConfigLine<'a> {
    at: f64,
    config: &'a Config,
}

impl Recorder {
    /// `None`, and a line in the log, when the file cannot be written.
    pub fn start(path: &Path, config: &Config, seed: u64) -> Option<Self> {
        let file = File::create(path)
            .inspect_err(|error| tracing::warn!(target: "vrrp", "no recording: {}: {error}", path.display()));
        let mut recorder = Recorder { file: file.ok()?, written: 0 };
        recorder.write(&Header { config: &disguise::config(config), seed });
        Some(recorder)
    }

    pub fn event(&mut self, now: Instant, event: &Event) {
        self.write(&EventLine { at: now.since_origin().as_secs_f64(), event });
    }

    /// A packet that a router of this configuration receives.
    pub fn packet(&mut self, now: Instant, interface: u32, config: &Config, datagram: Datagram) {
        let bytes = disguise::packet(config, datagram).into_owned();
        let event = match datagram {
            Datagram::V4(_) => Event::Packet { interface, bytes },
            Datagram::V6 { source, destination, hop_limit, .. } => {
                Event::Packet6 { interface, source, destination, hop_limit, bytes }
            }
        };
        self.event(now, &event);
    }

    pub fn reconfigure(&mut self, now: Instant, config: &Config) {
        let config = &disguise::config(config);
        self.write(&ConfigLine { at: now.since_origin().as_secs_f64(), config });
    }

    fn write(&mut self, line: &impl Serialize) {
        let Ok(mut bytes) = serde_json::to_vec(line) else { return };
        bytes.push(b'\n');
        if self.written + bytes.len() <= LONGEST && self.file.write_all(&bytes).is_ok() {
            self.written += bytes.len();
        }
    }
}
