use anyhow::{Context, Result, bail};
use evenkeel_sim::{Summary, Violation};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How many violations are printed in full.
const SHOWN: usize = 3;

pub(crate) fn run(options: &[&str]) -> Result<()> {
    let mut seeds = 10_000;
    let mut from = 0;
    let mut words = options.iter();
    while let Some(option) = words.next() {
        let value = words.next().with_context(|| format!("{option} wants a number"))?;
        let number: u64 = value.replace('_', "").parse().with_context(|| format!("{option} {value}: no number"))?;
        match *option {
            "--seed" => return one(number),
            "--seeds" => seeds = number,
            "--from" => from = number,
            _ => bail!("unknown option {option}: there are --seeds, --from and --seed"),
        }
    }
    many(from, seeds)
}

fn one(seed: u64) -> Result<()> {
    let (result, trace) = evenkeel_sim::trace(seed);
    for line in trace {
        println!("{line}");
    }
    match result {
        Ok(summary) => {
            println!("seed {seed}: {summary:?}");
            Ok(())
        }
        Err(violation) => bail!("seed {seed}: after {:.6} s: {}", violation.at.as_secs_f64(), violation.law),
    }
}

fn many(from: u64, seeds: u64) -> Result<()> {
    let started = Instant::now();
    let next = AtomicU64::new(from);
    let end = from.saturating_add(seeds);
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (summary, mut violations) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(|| work(&next, end))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).fold(
            (Summary::default(), Vec::new()),
            |(sum, mut all), (summary, violations)| {
                all.extend(violations);
                (sum.plus(summary), all)
            },
        )
    });
    violations.sort_by_key(|violation| violation.seed);
    for violation in violations.iter().take(SHOWN) {
        println!("{violation}\n");
    }
    let took = started.elapsed().as_secs_f64();
    println!("{seeds} seeds from {from} in {took:.1} s ({:.0} a second): {summary:?}", seeds as f64 / took);
    if violations.is_empty() {
        return Ok(());
    }
    println!("by law:");
    for (n, law, example) in by_law(&violations) {
        println!("{n:>8}  {law}  (seed {example})");
    }
    bail!("{} of {seeds} seeds break a law", violations.len())
}

fn work(next: &AtomicU64, end: u64) -> (Summary, Vec<Violation>) {
    let mut summary = Summary::default();
    let mut violations = Vec::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return (summary, violations);
        }
        match evenkeel_sim::run(seed) {
            Ok(one) => summary = summary.plus(one),
            // A core that is wrong everywhere would fill the memory with traces.
            Err(mut violation) => {
                if violations.len() >= 100 {
                    violation.trace.clear();
                }
                violations.push(*violation);
            }
        }
    }
}

/// How often each law was broken, most often first, with the first seed that did. The law is what stands before the
/// colon; the rest is what was seen.
fn by_law(violations: &[Violation]) -> Vec<(usize, &str, u64)> {
    let mut laws: Vec<(usize, &str, u64)> = Vec::new();
    for violation in violations {
        let law = violation.law.split(':').next().unwrap_or_default();
        match laws.iter_mut().find(|(_, known, _)| *known == law) {
            Some((n, ..)) => *n += 1,
            None => laws.push((1, law, violation.seed)),
        }
    }
    laws.sort_by_key(|(n, ..)| std::cmp::Reverse(*n));
    laws
}
