use std::time::Duration;

/// A role that lived this long starts again at once.
const STEADY: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60);

/// How long to wait before a dead role is started again: not at all after a steady life, else 1, 2, 4 ... 60 s, as
/// keepalived does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    n_early: u32,
}

impl Backoff {
    /// The wait after a life of `lived`.
    pub fn after(&mut self, lived: Duration) -> Duration {
        if lived >= STEADY {
            self.n_early = 0;
            return Duration::ZERO;
        }
        let wait = Duration::from_secs(1 << self.n_early.min(6)).min(LONGEST);
        self.n_early = self.n_early.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_deaths_double_the_wait_and_a_steady_life_resets_it() {
        let mut backoff = Backoff::default();
        let mut after = |lived| backoff.after(Duration::from_secs(lived)).as_secs();
        assert_eq!([0, 1, 59, 0, 0, 0, 0, 0].map(&mut after), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!([60, 0, 3600, 5].map(&mut after), [0, 1, 0, 1]);
    }
}
