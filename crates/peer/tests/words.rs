//! What people asked of servers ends up the same everywhere.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use evenkeel_peer::{Asked, Stamp, Word, Words};
use proptest::prelude::*;

fn word(server: &str, asked: Asked, at_ms: u64, node: u64) -> Word {
    Word { pool: "P".to_owned(), server: server.to_owned(), asked, stamp: Stamp { at_ms, node } }
}

fn asked(words: &Words, server: &str) -> Option<Asked> {
    words.all().find(|word| word.server == server).map(|word| word.asked)
}

#[test]
fn a_change_that_knows_of_another_one_is_the_later_whatever_the_clocks_say() {
    let (mut a, mut b) = (Words::default(), Words::default());
    // The clock of A is an hour fast.
    let drained = a.ask(3_600_000, 1, "P", "s", Asked::Drained).unwrap();
    assert_eq!(b.merge([drained.clone()]), [drained]);
    let enabled = b.ask(1000, 2, "P", "s", Asked::Enabled).unwrap();
    assert_eq!(enabled.stamp, Stamp { at_ms: 3_600_001, node: 2 });
    a.merge([enabled]);
    assert_eq!((asked(&a, "s"), asked(&b, "s")), (Some(Asked::Enabled), Some(Asked::Enabled)));
}

#[test]
fn of_two_that_knew_nothing_of_each_other_the_later_wins_and_then_the_greater_node() {
    for (one, other, winner) in [
        (word("s", Asked::Drained, 5, 2), word("s", Asked::Enabled, 6, 1), Asked::Enabled),
        (word("s", Asked::Drained, 5, 2), word("s", Asked::Enabled, 5, 1), Asked::Drained),
        (word("s", Asked::Weight(3), 5, 2), word("s", Asked::Weight(4), 5, 3), Asked::Weight(4)),
    ] {
        for words in [[one.clone(), other.clone()], [other, one]] {
            assert_eq!(asked(&Words::new(words), "s"), Some(winner));
        }
    }
}

#[test]
fn what_was_taken_back_is_still_known_to_be() {
    let mut a = Words::default();
    a.ask(1, 1, "P", "s", Asked::Drained).unwrap();
    let away = a.clone();
    a.ask(2, 1, "P", "s", Asked::Enabled).unwrap();
    assert_eq!(a.merge(away.all()), [], "a node that was away does not bring the old word back");
    let mut away = away;
    assert_eq!(away.merge(a.all()).len(), 1);
    assert_eq!(away, a);
}

#[test]
fn the_number_of_servers_is_bounded_and_standing_words_are_not_forgotten() {
    let mut words = Words::default();
    for n in 0..Words::MOST as u64 {
        let asked = if n == 7 { Asked::Enabled } else { Asked::Drained };
        words.ask(n, 1, "P", &n.to_string(), asked).unwrap();
    }
    words.ask(0, 1, "P", "one more", Asked::Drained).unwrap();
    assert_eq!((words.all().count(), asked(&words, "7")), (Words::MOST, None));
    assert_eq!(words.ask(0, 1, "P", "too many", Asked::Drained), None);
    assert!(words.ask(0, 1, "P", "8", Asked::Enabled).is_some(), "a known server may still change");
}

prop_compose! {
    fn any_word()(server in 0..4u8, kind in 0..4u8, at_ms in 0..6u64, node in 0..3u64) -> Word {
        // One node changes one server once in a millisecond.
        let asked = match (kind + at_ms as u8 + node as u8) % 4 { 0 => Asked::Enabled, 1 => Asked::Drained, 2 => Asked::Disabled, _ => Asked::Weight(1) };
        word(&server.to_string(), asked, at_ms * 4 + u64::from(kind), node)
    }
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_matter(words in prop::collection::vec(any_word(), 0..20), split in 0..20usize) {
        let whole = Words::new(words.clone());
        let mut reversed: Vec<_> = words.clone();
        reversed.reverse();
        prop_assert_eq!(&Words::new(reversed), &whole);
        let split = split.min(words.len());
        let (mut left, right) = (Words::new(words[..split].to_vec()), Words::new(words[split..].to_vec()));
        left.merge(right.all());
        left.merge(right.all());
        prop_assert_eq!(&left, &whole);
        prop_assert_eq!(left.merge(whole.all()), vec![]);
    }

    #[test]
    fn the_last_word_of_a_person_holds_on_every_node_that_hears_of_it(
        known in prop::collection::vec(any_word(), 0..10), now_ms in 0..30u64, node in 0..3u64,
    ) {
        let mut here = Words::new(known.clone());
        let mut there = Words::new(known);
        let said = here.ask(now_ms, node, "P", "1", Asked::Drained).unwrap();
        there.merge([said]);
        prop_assert_eq!(asked(&here, "1"), Some(Asked::Drained));
        prop_assert_eq!(here, there);
    }
}
