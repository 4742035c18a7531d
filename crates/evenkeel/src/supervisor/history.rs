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

    /// The newest `limit` of these instances, or of all when none is named; oldest first.
    pub fn last(&self, instances: &[String], limit: usize) -> Vec<Explanation> {
        let is_meant = |e: &&Explanation| instances.is_empty() || instances.contains(&e.instance);
        let matching = self.entries.iter().rev().filter(is_meant);
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
        let all = history.last(&[], usize::MAX);
        assert_eq!((all.len(), all[0].trigger.as_str()), (History::KEPT, "5"));
        let last_two: Vec<_> = history.last(&["A".to_owned()], 2).into_iter().map(|e| e.trigger).collect();
        assert_eq!(last_two, ["1002", "1004"]);
    }
}
