//! Maglev hashing: a table whose entries name servers, so that a packet's hash names its server without any state.
//!
//! "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4. Every server has a permutation
//! of the table that follows from its address and port alone; the servers take turns, and in its turn a server takes the
//! first entry of its permutation that is still free. Turns come in the order of the addresses, and weights decide how
//! often a server has one. Nothing else goes in: two balancers that know the same servers with the same weights have the
//! same table, whatever the order in their configurations.
//!
//! When one of `n` equal servers leaves, all its entries get new servers, and of the others' about one in a hundred
//! (65537 entries, eight servers) because turns shift; a test holds this below 3 %. The paper's section 5.3 has the curve.

use crate::table::DestinationKey;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// Entries of a table unless somebody wants another number: a prime, and more than a hundred times the servers of most pools.
pub const DEFAULT_SIZE: usize = 65537;

/// What stands in an entry when no server has a weight.
pub const NOBODY: u16 = u16::MAX;

/// A table of `size` entries, each the index in `servers` of the server that it leads to.
///
/// A server with weight 0 is in no entry; every other has at least one while there are entries. Shares match weights to
/// within a few percent when `size` is a hundred times the number of servers. Should be called with a prime: then each
/// permutation is as good as any. Servers beyond the first 65535 are ignored, since an entry cannot name them.
pub fn fill(servers: &[(DestinationKey, u32)], size: usize) -> Vec<u16> {
    let mut table = vec![NOBODY; size];
    let mut walkers = walkers(servers, size);
    let Some(heaviest) = walkers.iter().map(|walker| walker.weight).max() else {
        return table;
    };
    // Keyed by the round of the next turn, then by the order of the addresses. A server of the greatest weight has a turn
    // in every round; one of a tenth of it, in every tenth. All have one in round 0.
    let mut turns: BinaryHeap<Reverse<(u64, usize)>> = (0..walkers.len()).map(|place| Reverse((0, place))).collect();
    for _ in 0..size {
        let Some(mut turn) = turns.peek_mut() else { break };
        let walker = &mut walkers[turn.0.1];
        while table[walker.at] != NOBODY {
            walker.step(size);
        }
        table[walker.at] = walker.index;
        walker.n_turns += 1;
        turn.0.0 = (walker.n_turns * heaviest).div_ceil(walker.weight);
        // Dropping the guard moves the turn to its new place in the heap.
        drop(turn);
    }
    table
}

/// One server on its way through its permutation.
struct Walker {
    /// What its entries say.
    index: u16,
    weight: u64,
    n_turns: u64,
    at: usize,
    skip: usize,
}

impl Walker {
    fn step(&mut self, size: usize) {
        self.at += self.skip;
        if self.at >= size {
            self.at -= size;
        }
    }
}

/// Those that get entries, in the order of their addresses.
fn walkers(servers: &[(DestinationKey, u32)], size: usize) -> Vec<Walker> {
    let mut able: Vec<(DestinationKey, u32, u16)> = (0..NOBODY)
        .zip(servers)
        .filter(|(_, (_, weight))| *weight > 0)
        .map(|(index, (key, weight))| (*key, *weight, index))
        .collect();
    able.sort_unstable();
    able.into_iter()
        .map(|(key, weight, index)| Walker {
            index,
            weight: u64::from(weight),
            n_turns: 0,
            at: below(hash(key, 0x9ae1_6a3b_2f90_404f), size),
            skip: skip(hash(key, 0xc949_d7c7_509e_6557), size),
        })
        .collect()
}

/// A step that comes to every entry: one without a divisor in common with the size. With a prime, the first is one.
fn skip(hash: u64, size: usize) -> usize {
    let first = below(hash, size.saturating_sub(1)) + 1;
    (first..size).chain(1..first).find(|skip| divisor(*skip, size) == 1).unwrap_or(1)
}

fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// A number below `limit`, or 0 when that is 0, by the upper half of a product: no modulo and no bias worth a name.
fn below(hash: u64, limit: usize) -> usize {
    let wide = u128::from(hash) * limit as u128;
    (wide >> 64) as usize
}

/// A hash that never changes, on no machine and in no version: balancers of different versions stand side by side
/// (FNV-1a over family, address and port, then the finalizer of SplitMix64).
fn hash(key: DestinationKey, seed: u64) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325 ^ seed;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    match key.address {
        IpAddr::V4(address) => {
            eat(&[4]);
            eat(&address.octets());
        }
        IpAddr::V6(address) => {
            eat(&[6]);
            eat(&address.octets());
        }
    }
    eat(&key.port.to_be_bytes());
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn server(n: u16, weight: u32) -> (DestinationKey, u32) {
        let [high, low] = n.to_be_bytes();
        (DestinationKey { address: Ipv4Addr::new(10, 1, high, low).into(), port: 80 }, weight)
    }

    fn count(table: &[u16], index: u16) -> usize {
        table.iter().filter(|entry| **entry == index).count()
    }

    #[test]
    fn shares_follow_weights() {
        for weights in [vec![1, 1, 1, 1, 1, 1, 1, 1], vec![1, 2, 3, 4], vec![100, 1, 50], vec![1, 1000], vec![7]] {
            let servers: Vec<_> = (0..).zip(&weights).map(|(n, weight)| server(n, *weight)).collect();
            let table = fill(&servers, DEFAULT_SIZE);
            let sum: u32 = weights.iter().sum();
            for (index, weight) in (0..).zip(&weights) {
                let share = count(&table, index) as f64 / DEFAULT_SIZE as f64;
                let wanted = f64::from(*weight) / f64::from(sum);
                assert!((share - wanted).abs() <= 0.02 * wanted, "{weights:?}: {index} has {share}, not {wanted}");
            }
        }
    }

    #[test]
    fn a_weight_of_zero_is_in_no_entry_and_the_smallest_weight_in_one() {
        let table = fill(&[server(0, 0), server(1, i32::MAX as u32), server(2, 1)], 251);
        assert_eq!(count(&table, 0), 0);
        assert_eq!(count(&table, 2), 1);
        assert_eq!(count(&table, 1), 250);
    }

    #[test]
    fn the_order_of_the_servers_does_not_matter() {
        let servers: Vec<_> = (0..40).map(|n| server(n, u32::from(n % 5))).collect();
        let mut turned = servers.clone();
        turned.rotate_left(13);
        turned.swap(2, 30);
        let named = |servers: &[(DestinationKey, u32)]| -> Vec<DestinationKey> {
            fill(servers, 4099).into_iter().map(|index| servers[usize::from(index)].0).collect()
        };
        assert_eq!(named(&servers), named(&turned));
    }

    #[test]
    fn few_entries_move_when_one_of_several_servers_leaves() {
        for n in [2, 3, 8, 50] {
            let mut servers: Vec<_> = (0..n).map(|n| server(n, 10)).collect();
            let before = fill(&servers, DEFAULT_SIZE);
            for gone in [0, n / 2, n - 1] {
                servers[usize::from(gone)].1 = 0;
                let after = fill(&servers, DEFAULT_SIZE);
                servers[usize::from(gone)].1 = 10;
                let moved = before.iter().zip(&after).filter(|(old, new)| **old != gone && old != new).count();
                assert!(moved * 100 < DEFAULT_SIZE * 3, "{moved} of the others moved when {gone} of {n} left");
                assert_eq!(count(&after, gone), 0);
            }
        }
    }

    #[test]
    fn there_may_be_nobody_nothing_or_too_many() {
        assert_eq!(fill(&[], 3), [NOBODY; 3]);
        assert_eq!(fill(&[server(0, 0)], 3), [NOBODY; 3]);
        assert!(fill(&[server(0, 1)], 0).is_empty());
        assert_eq!(fill(&[server(0, 1)], 1), [0]);
        let crowd: Vec<_> = (0..100).map(|n| server(n, 1)).collect();
        assert!(!fill(&crowd, 7).contains(&NOBODY));
    }

    #[test]
    fn sizes_that_are_no_primes_are_filled_too() {
        for size in 2..200 {
            assert!(!fill(&[server(0, 3), server(1, 2), server(2, 1)], size).contains(&NOBODY), "size {size}");
        }
    }

    #[test]
    fn the_table_is_the_same_in_every_version() {
        let servers = [server(1, 1), server(2, 2), server(3, 3)];
        assert_eq!(fill(&servers, 13), [1, 2, 1, 2, 2, 2, 1, 0, 2, 0, 2, 0, 1]);
    }
}
