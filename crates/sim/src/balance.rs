//! Pools whose servers flap, under administrators and new configurations, held to laws after every event.
//!
//! [`run`] makes a configuration and a fate of a seed. Probes take their time and say what the servers then are, with some
//! noise; servers die and return; files, sessions and the virtual address change; people drain and enable; the
//! configuration is replaced. Then everything is left alone, and in the end what the balancer says must be what is.

mod laws;
mod scenario;
mod world;

use crate::random::Random;
use crate::{Trace, words};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use world::World;

/// What happened in a run that broke no law.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events that the balancer was told.
    pub n_events: u64,
    /// Probes that it asked for.
    pub n_probes: u64,
    /// Notices about servers and quorums.
    pub n_notices: u64,
    /// Changes of the table.
    pub n_changes: u64,
    /// New configurations.
    pub n_reloads: u64,
}

impl Summary {
    /// The sums of both.
    pub fn plus(self, other: Summary) -> Summary {
        Summary {
            n_events: self.n_events + other.n_events,
            n_probes: self.n_probes + other.n_probes,
            n_notices: self.n_notices + other.n_notices,
            n_changes: self.n_changes + other.n_changes,
            n_reloads: self.n_reloads + other.n_reloads,
        }
    }
}

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed to run again.
    pub seed: u64,
    /// When, on the simulation's clock.
    pub at: Duration,
    /// Which law, and what was seen.
    pub law: String,
    /// All that happened before, a line each.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    /// The last lines of the trace, the law, and how to see it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 40;
        for line in &self.trace[self.trace.len().saturating_sub(SHOWN)..] {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "seed {}: after {:.6} s: {}", self.seed, self.at.as_secs_f64(), self.law)?;
        write!(f, "replay: cargo xtask sim balance --seed {}", self.seed)
    }
}

impl std::error::Error for Violation {}

/// Runs one seed. A violation carries its whole trace.
pub fn run(seed: u64) -> Result<Summary, Box<Violation>> {
    match attempt(seed, Trace::Off).0 {
        Ok(summary) => Ok(summary),
        Err(silent) => Err(trace(seed).0.err().unwrap_or(silent)),
    }
}

/// Runs one seed and returns everything that happened in it, a line each.
pub fn trace(seed: u64) -> (Result<Summary, Box<Violation>>, Vec<String>) {
    let (result, trace) = attempt(seed, Trace::On);
    let result = result.map_err(|mut violation| {
        violation.trace.clone_from(&trace);
        violation
    });
    (result, trace)
}

fn attempt(seed: u64, trace: Trace) -> (Result<Summary, Box<Violation>>, Vec<String>) {
    let mut world = World::new(Random::new(seed), trace);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()))
        .unwrap_or_else(|panic| Err(format!("a balancer does not panic: {}", words::panic(panic.as_ref()))));
    let (at, summary, lines) = world.end();
    let result = match outcome {
        Ok(()) => Ok(summary),
        Err(law) => Err(Box::new(Violation { seed, at, law, trace: Vec::new() })),
    };
    (result, lines)
}
