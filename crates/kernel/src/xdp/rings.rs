//! The ring of a service: what the program looks into for a server. How it is read is the service's [`Choice`].

use evenkeel_balance::maglev;
use evenkeel_balance::table::{Destination, DestinationKey, Scheduler};
use evenkeel_xdp::abi::Choice;
use std::cmp::Reverse;

/// More than so many turns are scaled down: weights of one to some thousand remain exact enough.
const MAX_TURNS: u64 = 4096;

/// A server that may be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) key: DestinationKey,
    pub(super) id: u32,
    pub(super) destination: &'a Destination,
}

/// How the program chooses for a scheduler. The second value says so when it is not what the scheduler's name promises.
pub(super) fn choice(scheduler: Scheduler) -> (Choice, Option<&'static str>) {
    match scheduler {
        Scheduler::Rr | Scheduler::Wrr => (Choice::Cycle, None),
        Scheduler::Lc => (Choice::Least, None),
        Scheduler::Wlc => (Choice::LeastWeighted, None),
        Scheduler::Sh | Scheduler::Mh => (Choice::Source, None),
        Scheduler::Dh => (Choice::Destination, None),
        Scheduler::Sed => (Choice::ShortestDelay, None),
        Scheduler::Nq => (Choice::NeverQueue, None),
        Scheduler::Fo => (Choice::First, None),
        Scheduler::Ovf => (Choice::Overflow, None),
        Scheduler::Lblc | Scheduler::Lblcr => (Choice::Destination, Some("dh")),
        Scheduler::Twos => (Choice::LeastWeighted, Some("wlc")),
    }
}

/// The entries: numbers of servers. Those with weight 0 are in none.
pub(super) fn ring(scheduler: Scheduler, candidates: &[Candidate<'_>], size: usize) -> Vec<u32> {
    let able: Vec<Candidate<'_>> =
        candidates.iter().filter(|candidate| candidate.destination.weight > 0).copied().collect();
    if able.is_empty() {
        return Vec::new();
    }
    match choice(scheduler).0 {
        Choice::Source | Choice::Destination => hashed(&able, size),
        Choice::Cycle if scheduler == Scheduler::Wrr => turns(&able),
        Choice::First | Choice::Overflow => {
            let mut able = able;
            // Of equals the one whose address comes first, so that every balancer takes the same.
            able.sort_by_key(|candidate| (Reverse(candidate.destination.weight), candidate.key));
            able.iter().map(|candidate| candidate.id).collect()
        }
        Choice::Cycle | Choice::Least | Choice::LeastWeighted | Choice::ShortestDelay | Choice::NeverQueue => {
            able.iter().map(|candidate| candidate.id).collect()
        }
    }
}

/// By Maglev, so that few connections would move when one server comes or goes, and all balancers agree.
fn hashed(able: &[Candidate<'_>], size: usize) -> Vec<u32> {
    let weights: Vec<(DestinationKey, u32)> =
        able.iter().map(|candidate| (candidate.key, candidate.destination.weight)).collect();
    maglev::fill(&weights, size).iter().map(|index| able.get(usize::from(*index)).map_or(0, |c| c.id)).collect()
}

/// Everybody as often as their weight says, spread evenly: at each step all earn their weight, and who has most pays the
/// sum for its turn.
fn turns(able: &[Candidate<'_>]) -> Vec<u32> {
    let weights = shares(able);
    let total: i64 = weights.iter().sum();
    let mut credits = vec![0i64; able.len()];
    let mut ring = Vec::with_capacity(usize::try_from(total).unwrap_or_default());
    for _ in 0..total {
        credits.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += weight);
        // The first of equals.
        let best = (0..credits.len()).max_by_key(|at| (credits[*at], Reverse(*at))).unwrap_or_default();
        credits[best] -= total;
        ring.push(able[best].id);
    }
    ring
}

/// The weights in their lowest terms, scaled down when the ring would be too long; nobody gets less than one turn.
fn shares(able: &[Candidate<'_>]) -> Vec<i64> {
    let weights: Vec<u64> = able.iter().map(|candidate| u64::from(candidate.destination.weight)).collect();
    let divisor = weights.iter().copied().fold(0, divisor).max(1);
    let total: u64 = weights.iter().map(|weight| weight / divisor).sum();
    let share = |weight: &u64| {
        let weight = weight / divisor;
        if total <= MAX_TURNS { weight } else { (weight * MAX_TURNS / total).max(1) }
    };
    weights.iter().map(share).map(|share| i64::try_from(share).unwrap_or(i64::MAX)).collect()
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use evenkeel_balance::table::Forward;
    use std::collections::BTreeMap;

    fn destinations(weights: &[u32]) -> Vec<(DestinationKey, Destination)> {
        let destination =
            |weight| Destination { weight, forward: Forward::Direct, upper_threshold: 0, lower_threshold: 0 };
        let key = |at: usize| DestinationKey { address: [10, 0, 0, at as u8].into(), port: 80 };
        weights.iter().enumerate().map(|(at, weight)| (key(at + 1), destination(*weight))).collect()
    }

    /// Servers have the numbers 1, 2, 3 ...
    fn ring_of(scheduler: Scheduler, weights: &[u32]) -> Vec<u32> {
        let destinations = destinations(weights);
        let candidates: Vec<Candidate<'_>> = destinations
            .iter()
            .zip(1..)
            .map(|((key, destination), id)| Candidate { key: *key, id, destination })
            .collect();
        ring(scheduler, &candidates, 1021)
    }

    #[test]
    fn a_cycle_has_everybody_as_often_as_its_weight_says() {
        let table: &[(Scheduler, &[u32], &[u32])] = &[
            (Scheduler::Rr, &[5, 1, 0, 1], &[1, 2, 4]),
            (Scheduler::Wrr, &[100, 100], &[1, 2]),
            (Scheduler::Wrr, &[3, 1], &[1, 1, 2, 1]),
            (Scheduler::Wrr, &[0, 7], &[2]),
            (Scheduler::Wrr, &[0, 0], &[]),
            (Scheduler::Fo, &[1, 3, 2], &[2, 3, 1]),
            (Scheduler::Wlc, &[2, 0, 1], &[1, 3]),
        ];
        for (scheduler, weights, expected) in table {
            assert_eq!(&ring_of(*scheduler, weights), expected, "{scheduler:?} {weights:?}");
        }
    }

    #[test]
    fn the_heavy_ones_are_spread_among_the_light_ones() {
        let ring = ring_of(Scheduler::Wrr, &[5, 1, 1]);
        assert_eq!(ring.iter().filter(|id| **id == 1).count(), 5);
        assert!(ring.windows(4).all(|four| four.iter().any(|id| *id != 1)), "{ring:?}");
    }

    #[test]
    fn great_weights_make_no_great_ring() {
        let ring = ring_of(Scheduler::Wrr, &[65535, 1, 32768]);
        assert!(ring.len() <= MAX_TURNS as usize + 3, "{}", ring.len());
        assert_eq!([1, 2, 3].map(|id| ring.contains(&id)), [true; 3]);
    }

    #[test]
    fn a_hashed_ring_is_full_and_fair() {
        let mut shares: BTreeMap<u32, usize> = BTreeMap::new();
        ring_of(Scheduler::Mh, &[1, 1, 2, 0]).iter().for_each(|id| *shares.entry(*id).or_default() += 1);
        assert_eq!(shares.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(shares[&3].abs_diff(1021 / 2) < 30, "{shares:?}");
    }
}
