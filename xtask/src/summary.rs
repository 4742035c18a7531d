//! What the test binaries said, added up.

use std::fmt;

/// Tests of all binaries together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) failed: usize,
    /// Passed, as the runner sees it: those that printed `skipped: WHY` among them.
    ok: usize,
    ignored: usize,
    pub(crate) failures: Vec<String>,
    pub(crate) reasons: Vec<String>,
    shown_output: bool,
}

/// Whether a line is for the reader's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Yes,
    No,
}

impl Summary {
    /// Counts a test that could not be run.
    pub(crate) fn skip(&mut self, reason: &str) {
        println!("skipped: {reason}");
        self.ok += 1;
        self.reasons.push(reason.to_owned());
    }

    /// Takes in one line of a test binary that runs with `--show-output`. The output of tests that passed serves only
    /// to find skipped ones and is not shown.
    pub(crate) fn read(&mut self, line: &str) -> Show {
        if let Some(reason) = line.trim_start().strip_prefix("skipped: ") {
            self.reasons.push(reason.to_owned());
            return Show::Yes;
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.shown_output = false;
            self.ok += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.ignored += count(counts, "ignored");
            return Show::Yes;
        }
        match line {
            "successes:" => self.shown_output = true,
            "failures:" => self.shown_output = false,
            _ => {}
        }
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        if self.shown_output { Show::No } else { Show::Yes }
    }
}

/// The number before `what`: `ok. 3 passed; 0 failed; 1 ignored; ...`.
fn count(counts: &str, what: &str) -> usize {
    let mut before = None;
    for word in counts.split([' ', ';', '.']).filter(|word| !word.is_empty()) {
        if word == what {
            return before.and_then(|number: &str| number.parse().ok()).unwrap_or(0);
        }
        before = Some(word);
    }
    0
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.reasons.len();
        let passed = self.ok.saturating_sub(skipped);
        write!(f, "{passed} passed, {} failed, {} skipped", self.failed, self.ignored + skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added_up() {
        let mut summary = Summary::default();
        for line in [
            "running 2 tests",
            "test a ... ok",
            "test b ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 30 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            assert_eq!(summary.read(line), Show::Yes);
        }
        assert_eq!(summary.to_string(), "31 passed, 1 failed, 2 skipped");
        assert_eq!(summary.failures, ["b"]);
    }

    #[test]
    fn a_test_that_says_so_counts_as_skipped() {
        let mut summary = Summary::default();
        let shown: Vec<_> = [
            "test a ... ok",
            "successes:",
            "---- a stdout ----",
            "skipped: needs root",
            "chatter",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ]
        .iter()
        .map(|line| summary.read(line))
        .collect();
        assert_eq!(shown, [Show::Yes, Show::No, Show::No, Show::Yes, Show::No, Show::Yes]);
        assert_eq!(summary.to_string(), "0 passed, 0 failed, 1 skipped");
        assert_eq!(summary.reasons, ["needs root"]);
    }
}
