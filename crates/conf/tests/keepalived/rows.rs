use crate::expect;
use evenkeel_conf::keepalived::{Block, Directive, Tier, directives, directives_markdown};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_keyword_of_keepalived_has_one_row() {
    let theirs: Vec<&Directive> = directives().iter().filter(|row| row.tier != Tier::Ours).collect();
    assert_eq!(theirs.len(), 417);
    let names: BTreeSet<_> = theirs.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), 363, "distinct names");
}

#[test]
fn no_keyword_has_two_rows_in_a_block() {
    let mut seen = BTreeSet::new();
    for row in directives() {
        for context in row.contexts {
            assert!(seen.insert((context.title(), row.name)), "{} in {}", row.name, context.title());
        }
    }
}

#[test]
fn every_row_can_be_documented() {
    for row in directives() {
        assert!(row.doc.ends_with('.') && !row.doc.contains('\n'), "{}: {}", row.name, row.doc);
        assert!(
            row.doc.trim_end_matches('.').len() + 1 == row.doc.len() && row.doc.len() > 4,
            "{}: {}",
            row.name,
            row.doc
        );
        assert!(row.arity.0 <= row.arity.1, "{}", row.name);
        assert!(
            !row.contexts.is_empty() && (row.contexts[0] != Block::Root || row.contexts.len() == 1),
            "{}",
            row.name
        );
    }
}

#[test]
fn the_document_is_what_the_rows_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/directives.md");
    expect(&path, &directives_markdown());
}
