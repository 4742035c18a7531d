//! The first seeds of the balancer, on every run of the tests. More of them: `cargo xtask sim balance --seeds 100000`.

use evenkeel_sim::balance;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 2_000;

#[test]
fn two_thousand_scenarios_of_pools_break_no_law() {
    let next = AtomicU64::new(0);
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let run = || {
        let mut failures = Vec::new();
        let mut summary = balance::Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return (summary, failures);
            }
            match balance::run(seed) {
                Ok(one) => summary = summary.plus(one),
                Err(violation) => failures.push(violation),
            }
        }
    };
    let (mut summary, mut failures) = (balance::Summary::default(), Vec::new());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(run)).collect();
        for (one, more) in threads.into_iter().map(|thread| thread.join().unwrap()) {
            summary = summary.plus(one);
            failures.extend(more);
        }
    });
    failures.sort_by_key(|violation| violation.seed);
    if let Some(first) = failures.first() {
        let seeds: Vec<_> = failures.iter().take(20).map(|violation| violation.seed).collect();
        panic!("{} of {SEEDS} seeds break a law, the first of them {seeds:?}\n{first}", failures.len());
    }
    // A world in which nothing happens breaks no law either.
    assert!(
        summary.n_notices > 10 * SEEDS && summary.n_changes > 10 * SEEDS && summary.n_reloads > SEEDS,
        "{summary:?}"
    );
}

#[test]
fn a_seed_of_the_balancer_gives_the_same_run_each_time() {
    for seed in 0..5 {
        assert_eq!(balance::trace(seed), balance::trace(seed));
    }
}
