//! Every case of `tests/nginx`, on Debian's nginx and on evenkeel in its place: the same answers, the same lines in the
//! access log, the same requests to the servers behind.
//!
//! `CASES=NAME` runs only files whose names contain NAME, `CASE=WORDS` only cases whose titles contain the words, and `SHOW=1` shows
//! everything that was seen of a case that fails.
#![allow(clippy::unwrap_used)]

use evenkeel_e2e::able_to_run;
use evenkeel_e2e::case::{File, run};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Programs at once: starting them is waiting, mostly.
const AT_ONCE: usize = 4;

fn files() -> Vec<File> {
    File::load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx")).unwrap()
}

#[test]
fn cases_are_answered_as_nginx_answers_them() {
    if !able_to_run(&["nginx"]) {
        return;
    }
    let (name, title) = (std::env::var("CASES").unwrap_or_default(), std::env::var("CASE").unwrap_or_default());
    let files: Vec<File> = files().into_iter().filter(|file| file.name().contains(&name)).collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let (n_cases, n_known) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for place in 0..AT_ONCE {
            let (files, next, failures, title) = (&files, &next, &failures, &title);
            let (n_cases, n_known) = (&n_cases, &n_known);
            scope.spawn(move || {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Origins listen until the process ends: each file has its own address.
                    let place = u8::try_from(files.iter().position(|f| f.path == file.path).unwrap_or(place)).unwrap();
                    match run(file, place, title) {
                        Ok(outcome) => {
                            n_cases.fetch_add(outcome.n_cases, Ordering::Relaxed);
                            n_known.fetch_add(outcome.n_known, Ordering::Relaxed);
                            failures.lock().unwrap().extend(outcome.failures);
                        }
                        Err(error) => failures.lock().unwrap().push(format!("{}: {error:#}", file.path.display())),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let (n_cases, n_known) = (n_cases.into_inner(), n_known.into_inner());
    assert!(failures.is_empty(), "{} of {n_cases} cases\n\n{}", failures.len(), failures.join("\n"));
    println!("{n_cases} cases, {n_known} with a difference that is written down");
}

/// A difference that is not written down is none that may be.
#[test]
fn every_difference_is_explained_to_users() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/upstream-behavior.md")).unwrap();
    for file in files() {
        for reason in file.cases.iter().filter_map(|case| case.because.as_deref()) {
            assert!(text.contains(reason), "{}: docs/upstream-behavior.md does not say: {reason}", file.path.display());
        }
    }
}
