use evenkeel_bus::Explanation;
use std::collections::VecDeque;

/// The last decisions, oldest first.
#[derive(Debug, Default)]
pub struct History {
    entries: VecDeque<Explanation>,
}

impl History {
    /// So many are kept; the oldest goes when one more comes.
    pub const KEPT: usize = 1000;

    /// Keeps one.
    pub fn push(&mut self, explanation: Explanation) {
        if self.entries.len() == Self::KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(explanation);
    }

    /// The newest `limit` of `instance`, or of all; oldest first.
    pub fn last(&self, instance: Option<&str>, limit: usize) -> Vec<Explanation> {
        let matching = self.entries.iter().rev().filter(|e| instance.is_none_or(|name| e.instance == name));
        let mut newest: Vec<_> = matching.take(limit).cloned().collect();
        newest.reverse();
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_bus::WallTime;
    use evenkeel_vrrp::StateName;

    fn explanation(instance: &str, trigger: usize) -> Explanation {
        Explanation {
            instance: instance.to_owned(),
            at: WallTime::now(),
            from: Some(StateName::Backup),
            to: Some(StateName::Master),
            trigger: trigger.to_string(),
            rule: String::new(),
            decision: String::new(),
            waited_seconds: 0.0,
            effects: Vec::new(),
        }
    }

    #[test]
    fn the_newest_thousand_are_kept_in_order() {
        let mut history = History::default();
        for n in 0..History::KEPT + 5 {
            history.push(explanation(if n % 2 == 0 { "A" } else { "B" }, n));
        }
        let all = history.last(None, usize::MAX);
        assert_eq!((all.len(), all[0].trigger.as_str()), (History::KEPT, "5"));
        let last_two: Vec<_> = history.last(Some("A"), 2).into_iter().map(|e| e.trigger).collect();
        assert_eq!(last_two, ["1002", "1004"]);
    }
}
