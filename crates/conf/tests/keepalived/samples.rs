use crate::{expect, fixture, fixtures, said};

/// Our own file for each kind of sample that comes with keepalived: none may have an error, and what is said about
/// each stands beside it.
#[test]
fn every_kind_of_sample_loads() {
    let mut names: Vec<String> = std::fs::read_dir(fixtures().join("samples"))
        .expect("the samples")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".conf"))
        .collect();
    names.sort();
    assert!(names.len() >= 27, "{names:?}");
    let mut all = String::new();
    for name in names {
        let loaded = fixture(&format!("samples/{name}"));
        assert!(!loaded.has_errors(), "{name}: {}", said(&loaded));
        let unknown = loaded.diagnostics.iter().find(|d| d.rule == "unknown-keyword" || d.rule == "extra-text");
        assert_eq!(unknown, None, "{name}");
        all.push_str(&format!("=== {name}\n{}", said(&loaded)));
    }
    expect(&fixtures().join("samples/said.expected"), &all);
}
