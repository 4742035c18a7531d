//! ARCHITECTURE.md names every crate and folder that is there, and none that is not.

use super::File;
use std::collections::BTreeSet;

const MAP: &str = "ARCHITECTURE.md";

pub(super) fn problems(files: &[File]) -> Vec<String> {
    let Some(map) = files.iter().find(|file| file.path == MAP) else {
        return vec![format!("{MAP}: is not there")];
    };
    let places = places(files);
    let named = named(&map.text);
    let missing = places.iter().filter(|place| !named.contains(place.as_str()));
    let missing = missing.map(|place| format!("{MAP}: does not name `{place}`"));
    let exists = |name: &str| {
        let folder = format!("{}/", name.trim_end_matches('/'));
        files.iter().any(|file| file.path == name || file.path.starts_with(&folder))
    };
    let invented = named.iter().filter(|name| is_path(name, &places) && !exists(name));
    let invented = invented.map(|name| format!("{MAP}: names `{name}`, which is not there"));
    missing.chain(invented).collect()
}

/// Folders at the top, and crates.
fn places(files: &[File]) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    for file in files {
        let mut parts = file.path.split('/');
        let (Some(first), Some(second)) = (parts.next(), parts.next()) else {
            continue;
        };
        places.insert(first.to_owned());
        if first == "crates" && parts.next().is_some() {
            places.insert(format!("crates/{second}"));
        }
    }
    places
}

/// Whatever stands between backquotes, a slash at its end aside.
fn named(text: &str) -> BTreeSet<&str> {
    // The parts between backquotes are those with odd numbers. Fences are three backquotes, which keeps the count odd.
    text.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/')).collect()
}

/// A name that begins with one of the folders at the top is meant as a path.
fn is_path(name: &str, places: &BTreeSet<String>) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    plain && name.split_once('/').is_some_and(|(first, _)| places.contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(map: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        problems(&[file("ARCHITECTURE.md", map), file("README.md", ""), file("crates/wire/src/mac.rs", "")])
    }

    #[test]
    fn a_map_that_names_what_is_there_is_right() {
        assert_eq!(check("`crates/` has `crates/wire`, with `crates/wire/src/mac.rs` in it"), [""; 0]);
    }

    #[test]
    fn a_crate_that_the_map_leaves_out_is_found() {
        assert_eq!(check("`crates`"), ["ARCHITECTURE.md: does not name `crates/wire`"]);
    }

    #[test]
    fn a_file_that_is_gone_is_found() {
        let map = "`crates` `crates/wire` `crates/wire/src/gone.rs`";
        assert_eq!(check(map), ["ARCHITECTURE.md: names `crates/wire/src/gone.rs`, which is not there"]);
    }
}
