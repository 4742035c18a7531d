//! A seeded clock, LAN and kernel for the pure cores.
//!
//! [`run`] makes a scenario of a seed: two to five routers with some configuration on a LAN that loses, delays,
//! duplicates and reorders, on machines that crash, restart, lose links and are handed over. On every other LAN some of
//! them run a model of keepalived (`keepalived.rs`). Then everything heals (but for faults that last), the nodes get a
//! bounded time to agree, and the master of the first virtual router is made to go in good order. The laws that must hold
//! meanwhile stand in `laws.rs`, which says too what they do not demand of a keepalived.
//!
//! Nothing here reads a clock or any randomness but the seed: the same seed gives the same run, so a seed that breaks a
//! law is a regression test.

pub mod balance;
mod bfd;
mod daemon;
mod faults;
mod guest;
mod handover;
mod keepalived;
mod lan;
mod laws;
mod mishaps;
mod node;
mod random;
pub mod recording;
mod scenario;
mod words;
mod world;

use scenario::Scenario;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use world::World;

/// What happened in a run that broke no law.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events that routers were told.
    pub n_events: u64,
    /// Adverts that routers sent.
    pub n_adverts: u64,
    /// Changes of state.
    pub n_transitions: u64,
    /// Those of them that the model of keepalived made.
    pub n_peer_transitions: u64,
    /// Times that a BFD session which is tracked came up or went down.
    pub n_session_changes: u64,
    /// Mishaps that took effect.
    pub n_faults: u64,
    /// Planned handovers that were watched for a gap.
    pub n_handovers: u64,
}

impl Summary {
    /// The sums of both.
    pub fn plus(self, other: Summary) -> Summary {
        Summary {
            n_events: self.n_events + other.n_events,
            n_adverts: self.n_adverts + other.n_adverts,
            n_transitions: self.n_transitions + other.n_transitions,
            n_peer_transitions: self.n_peer_transitions + other.n_peer_transitions,
            n_session_changes: self.n_session_changes + other.n_session_changes,
            n_faults: self.n_faults + other.n_faults,
            n_handovers: self.n_handovers + other.n_handovers,
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
        const SHOWN: usize = 60;
        let from = self.trace.len().saturating_sub(SHOWN);
        if from > 0 {
            writeln!(f, "  ... {from} lines before")?;
        }
        for line in &self.trace[from..] {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "seed {}: after {:.6} s: {}", self.seed, self.at.as_secs_f64(), self.law)?;
        write!(f, "replay: cargo xtask sim --seed {}", self.seed)
    }
}

impl std::error::Error for Violation {}

/// Runs one seed. A violation carries its whole trace.
pub fn run(seed: u64) -> Result<Summary, Box<Violation>> {
    match attempt(seed, Trace::Off).0 {
        Ok(summary) => Ok(summary),
        // Writing the trace costs more than the run, so it is written only for those who will read it.
        Err(_) => match trace(seed) {
            (Err(violation), _) => Err(violation),
            (Ok(_), trace) => Err(Box::new(Violation {
                seed,
                at: Duration::ZERO,
                law: "a seed gives the same run each time".to_owned(),
                trace,
            })),
        },
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

/// Whether a run writes down what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    Off,
    On,
}

fn attempt(seed: u64, trace: Trace) -> (Result<Summary, Box<Violation>>, Vec<String>) {
    let mut random = random::Random::new(seed);
    let scenario = Scenario::new(&mut random);
    let mut world = World::new(scenario, random, trace);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()))
        .unwrap_or_else(|panic| Err(format!("a router does not panic: {}", words::panic(panic.as_ref()))));
    let (at, summary, lines) = world.end();
    let result = match outcome {
        Ok(()) => Ok(summary),
        Err(law) => Err(Box::new(Violation { seed, at, law, trace: Vec::new() })),
    };
    (result, lines)
}
