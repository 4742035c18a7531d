//! The first seeds, on every run of the tests. More of them: `cargo xtask sim --seeds 1000000`.

use evenkeel_sim::Summary;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 10_000;

/// Beyond the first ones, seeds that broke a law once.
const ONCE_BROKEN: [u64; 1] = [303_237];

#[test]
fn seeds_that_broke_a_law_once_do_not_any_more() {
    for seed in ONCE_BROKEN {
        if let Err(violation) = evenkeel_sim::run(seed) {
            panic!("{violation}");
        }
    }
}

#[test]
fn ten_thousand_seeds_break_no_law() {
    let next = AtomicU64::new(0);
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let run = || {
        let mut failures = Vec::new();
        let mut summary = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return (summary, failures);
            }
            match evenkeel_sim::run(seed) {
                Ok(one) => summary = summary.plus(one),
                Err(violation) => failures.push(violation),
            }
        }
    };
    let (mut summary, mut failures) = (Summary::default(), Vec::new());
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
    // A world in which nothing happens breaks no law either, and one without keepalived none of those with it.
    assert!(
        summary.n_transitions > 10 * SEEDS && summary.n_peer_transitions > 2 * SEEDS && summary.n_handovers > SEEDS / 2,
        "{summary:?}"
    );
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in 0..20 {
        assert_eq!(evenkeel_sim::trace(seed), evenkeel_sim::trace(seed));
    }
}
