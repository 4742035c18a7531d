//! Every scenario of `tests/scenarios`, on Debian's keepalived, on evenkeel, and with one on each side of a pair.
//!
//! `UNDER_TEST=evenkeel|keepalived|mixed` runs only that, `SCENARIO=NAME` only those whose names contain NAME, and `UPDATE_EXPECT=1`
//! writes down what is seen instead of comparing.
#![allow(clippy::unwrap_used)]

use evenkeel_e2e::able_to_run;
use evenkeel_e2e::scenario::{Program, Programs, Scenario, run};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most of a scenario is waiting.
const AT_ONCE: usize = 6;

/// One test after the other, so that there are no more at once.
static TURN: Mutex<()> = Mutex::new(());

fn scenarios() -> Vec<Scenario> {
    Scenario::load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap()
}

fn run_all(under_test: &str, programs: Programs) {
    if !able_to_run(&["keepalived", "tcpdump"]) {
        return;
    }
    if std::env::var("UNDER_TEST").is_ok_and(|wanted| wanted != under_test) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = std::env::var("SCENARIO").unwrap_or_default();
    let is_mixed = programs.first != programs.others;
    let uses_keepalived = [programs.first, programs.others].contains(&Program::Keepalived);
    let mut scenarios = scenarios();
    scenarios.retain(|scenario| {
        let can_be_mixed = scenario.nodes.iter().filter(|(_, conf)| conf.is_some()).count() > 1;
        scenario.name().contains(&wanted) && (!is_mixed || can_be_mixed) && !(scenario.only_evenkeel && uses_keepalived)
    });
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // What machines are made of panics when it fails, which is no reason not to run the others.
                    let failure = match catch_unwind(AssertUnwindSafe(|| run(scenario, programs))) {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => format!("{error:#}"),
                        Err(_) => format!("{}: panicked, as said above", scenario.path.display()),
                    };
                    failures.lock().unwrap().push(format!("{}\n{failure}", scenario.sentence));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} scenarios\n\n{}", failures.len(), scenarios.len(), failures.join("\n\n"));
    println!("{} scenarios with {programs:?}", scenarios.len());
}

#[test]
fn scenarios_on_keepalived() {
    run_all("keepalived", Programs { first: Program::Keepalived, others: Program::Keepalived });
}

#[test]
fn scenarios_on_evenkeel() {
    run_all("evenkeel", Programs { first: Program::Evenkeel, others: Program::Evenkeel });
}

#[test]
fn scenarios_with_evenkeel_first_and_keepalived_after() {
    run_all("mixed", Programs { first: Program::Evenkeel, others: Program::Keepalived });
}

#[test]
fn scenarios_with_keepalived_first_and_evenkeel_after() {
    run_all("mixed", Programs { first: Program::Keepalived, others: Program::Evenkeel });
}

/// A difference that is not written down is none that may be.
#[test]
fn every_difference_is_explained_to_users() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/upstream-behavior.md")).unwrap();
    for scenario in scenarios() {
        for reason in scenario.reasons() {
            assert!(
                text.contains(reason),
                "{}: docs/upstream-behavior.md does not say: {reason}",
                scenario.path.display()
            );
        }
    }
}
