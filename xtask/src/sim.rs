use anyhow::{Context, Result, bail};
use evenkeel_sim::{Summary, Violation, balance};
use std::fmt::{Debug, Display};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many violations are printed in full.
const SHOWN: usize = 3;

/// What is simulated.
trait Subject {
    type Summary: Debug + Default + Copy + Send;
    type Violation: Display + Send;

    fn run(seed: u64) -> Outcome<Self>;
    fn trace(seed: u64) -> (Outcome<Self>, Vec<String>);
    fn plus(a: Self::Summary, b: Self::Summary) -> Self::Summary;
    /// Its seed, when it was, and the law.
    fn parts(violation: &Self::Violation) -> (u64, Duration, &str);
    fn forget_trace(violation: &mut Self::Violation);
}

type Outcome<S> = Result<<S as Subject>::Summary, Box<<S as Subject>::Violation>>;

/// Virtual routers on a LAN.
struct Routers;

impl Subject for Routers {
    type Summary = Summary;
    type Violation = Violation;

    fn run(seed: u64) -> Result<Summary, Box<Violation>> {
        evenkeel_sim::run(seed)
    }

    fn trace(seed: u64) -> (Result<Summary, Box<Violation>>, Vec<String>) {
        evenkeel_sim::trace(seed)
    }

    fn plus(a: Summary, b: Summary) -> Summary {
        a.plus(b)
    }

    fn parts(violation: &Violation) -> (u64, Duration, &str) {
        (violation.seed, violation.at, &violation.law)
    }

    fn forget_trace(violation: &mut Violation) {
        violation.trace.clear();
    }
}

/// Pools of the balancer.
struct Pools;

impl Subject for Pools {
    type Summary = balance::Summary;
    type Violation = balance::Violation;

    fn run(seed: u64) -> Result<balance::Summary, Box<balance::Violation>> {
        balance::run(seed)
    }

    fn trace(seed: u64) -> (Result<balance::Summary, Box<balance::Violation>>, Vec<String>) {
        balance::trace(seed)
    }

    fn plus(a: balance::Summary, b: balance::Summary) -> balance::Summary {
        a.plus(b)
    }

    fn parts(violation: &balance::Violation) -> (u64, Duration, &str) {
        (violation.seed, violation.at, &violation.law)
    }

    fn forget_trace(violation: &mut balance::Violation) {
        violation.trace.clear();
    }
}

pub(crate) fn run(options: &[&str]) -> Result<()> {
    match options {
        ["balance", options @ ..] => simulate::<Pools>(options),
        options => simulate::<Routers>(options),
    }
}

fn simulate<S: Subject>(options: &[&str]) -> Result<()> {
    let mut seeds = 10_000;
    let mut from = 0;
    let mut words = options.iter();
    while let Some(option) = words.next() {
        let value = words.next().with_context(|| format!("{option} wants a number"))?;
        let number: u64 = value.replace('_', "").parse().with_context(|| format!("{option} {value}: no number"))?;
        match *option {
            "--seed" => return one::<S>(number),
            "--seeds" => seeds = number,
            "--from" => from = number,
            _ => bail!("unknown option {option}: there are --seeds, --from and --seed"),
        }
    }
    many::<S>(from, seeds)
}

fn one<S: Subject>(seed: u64) -> Result<()> {
    let (result, trace) = S::trace(seed);
    for line in trace {
        println!("{line}");
    }
    match result {
        Ok(summary) => {
            println!("seed {seed}: {summary:?}");
            Ok(())
        }
        Err(violation) => {
            let (_, at, law) = S::parts(&violation);
            bail!("seed {seed}: after {:.6} s: {law}", at.as_secs_f64())
        }
    }
}

fn many<S: Subject>(from: u64, seeds: u64) -> Result<()> {
    let started = Instant::now();
    let next = AtomicU64::new(from);
    let end = from.saturating_add(seeds);
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (summary, mut violations) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(|| work::<S>(&next, end))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).fold(
            (S::Summary::default(), Vec::new()),
            |(sum, mut all), (summary, violations)| {
                all.extend(violations);
                (S::plus(sum, summary), all)
            },
        )
    });
    violations.sort_by_key(|violation| S::parts(violation).0);
    for violation in violations.iter().take(SHOWN) {
        println!("{violation}\n");
    }
    let took = started.elapsed().as_secs_f64();
    println!("{seeds} seeds from {from} in {took:.1} s ({:.0} a second): {summary:?}", seeds as f64 / took);
    if violations.is_empty() {
        return Ok(());
    }
    println!("by law:");
    for (n, law, example) in by_law::<S>(&violations) {
        println!("{n:>8}  {law}  (seed {example})");
    }
    bail!("{} of {seeds} seeds break a law", violations.len())
}

fn work<S: Subject>(next: &AtomicU64, end: u64) -> (S::Summary, Vec<S::Violation>) {
    let mut summary = S::Summary::default();
    let mut violations = Vec::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return (summary, violations);
        }
        match S::run(seed) {
            Ok(one) => summary = S::plus(summary, one),
            // A core that is wrong everywhere would fill the memory with traces.
            Err(mut violation) => {
                if violations.len() >= 100 {
                    S::forget_trace(&mut violation);
                }
                violations.push(*violation);
            }
        }
    }
}

/// How often each law was broken, most often first, with the first seed that did. The law is what stands before the
/// colon; the rest is what was seen.
fn by_law<S: Subject>(violations: &[S::Violation]) -> Vec<(usize, &str, u64)> {
    let mut laws: Vec<(usize, &str, u64)> = Vec::new();
    for violation in violations {
        let (seed, _, law) = S::parts(violation);
        let law = law.split(':').next().unwrap_or_default();
        match laws.iter_mut().find(|(_, known, _)| *known == law) {
            Some((n, ..)) => *n += 1,
            None => laws.push((1, law, seed)),
        }
    }
    laws.sort_by_key(|(n, ..)| std::cmp::Reverse(*n));
    laws
}
