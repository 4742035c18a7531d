use crate::{expect, fixture, fixtures, said};

/// One file with every kind of mistake: all are found at once.
#[test]
fn every_mistake_is_reported_at_once() {
    let loaded = fixture("mistakes.conf");
    assert!(loaded.has_errors());
    expect(&fixtures().join("mistakes.expected"), &said(&loaded));
}
