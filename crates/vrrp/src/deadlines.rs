use evenkeel_wire::Instant;
use std::collections::BTreeSet;

/// Which instance is due first.
///
/// A backup puts its deadline off with each advert that it hears, many thousand times before it ever comes. So an
/// instance whose deadline moved later keeps its place, and is given its right one only when it has come to the front.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    /// Each waiting instance once, at its deadline or earlier.
    order: BTreeSet<(Instant, usize)>,
    /// Where each instance stands in `order`.
    places: Vec<Option<Instant>>,
}

impl Deadlines {
    /// Nobody waits for anything.
    pub(crate) fn of(n_instances: usize) -> Self {
        Deadlines { order: BTreeSet::new(), places: vec![None; n_instances] }
    }

    /// Takes note of an instance's present deadline.
    pub(crate) fn note(&mut self, i: usize, deadline: Option<Instant>) {
        let place = &mut self.places[i];
        if deadline.is_some_and(|deadline| place.is_some_and(|place| place <= deadline)) {
            return;
        }
        if let Some(place) = *place {
            self.order.remove(&(place, i));
        }
        if let Some(deadline) = deadline {
            self.order.insert((deadline, i));
        }
        *place = deadline;
    }

    /// No deadline is earlier than this; `None` when nobody waits.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.order.first().map(|(place, _)| *place)
    }

    /// The instance whose deadline came first, if one has come. All that stand too early at the front are put right,
    /// those of later instants too: backups that hear one master would otherwise come to the front one by one, each
    /// with a wake-up of its own.
    pub(crate) fn due(&mut self, now: Instant, deadline_of: impl Fn(usize) -> Option<Instant>) -> Option<usize> {
        while let Some((place, i)) = self.order.first().copied() {
            let deadline = deadline_of(i);
            if deadline == Some(place) {
                return (place <= now).then_some(i);
            }
            self.order.pop_first();
            self.places[i] = None;
            self.note(i, deadline);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const N_INSTANCES: usize = 4;

    fn second(at: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(at)
    }

    #[test]
    fn a_deadline_that_is_put_off_costs_nothing_until_it_would_have_come() {
        let mut deadlines = Deadlines::of(2);
        deadlines.note(0, Some(second(3)));
        deadlines.note(1, Some(second(4)));
        for at in 4..100 {
            deadlines.note(0, Some(second(at)));
        }
        let actual = [Some(second(99)), Some(second(4))];
        assert_eq!(deadlines.earliest(), Some(second(3)));
        assert_eq!(deadlines.due(second(3), |i| actual[i]), None);
        assert_eq!(deadlines.earliest(), Some(second(4)), "and was put right then");
        assert_eq!(deadlines.due(second(4), |i| actual[i]), Some(1));
        deadlines.note(1, None);
        assert_eq!(deadlines.earliest(), Some(second(99)));
    }

    proptest! {
        #[test]
        fn who_is_due_is_who_waits_for_the_earliest_deadline(
            moves in prop::collection::vec((0..N_INSTANCES, prop::option::of(0..20u64), 0..20u64), 1..50),
        ) {
            let mut deadlines = Deadlines::of(N_INSTANCES);
            let mut actual = [None; N_INSTANCES];
            for (i, deadline, now) in moves {
                actual[i] = deadline.map(second);
                deadlines.note(i, actual[i]);
                let first = (0..N_INSTANCES).filter_map(|i| Some((actual[i]?, i))).min();
                prop_assert!(deadlines.earliest() <= first.map(|(at, _)| at));
                prop_assert_eq!(deadlines.earliest().is_some(), first.is_some());
                let due = deadlines.due(second(now), |i| actual[i]);
                prop_assert_eq!(due, first.filter(|(at, _)| *at <= second(now)).map(|(_, i)| i));
                prop_assert_eq!(deadlines.earliest(), first.map(|(at, _)| at), "all that stood too early is put right");
            }
        }
    }
}
