//! docs/benchmarks.md: one section for each benchmark, replaced when it runs again.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const FILE: &str = "docs/benchmarks.md";

/// Replaces the section of `name`, or appends it.
pub(super) fn write(name: &str, body: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("read {FILE}"))?;
    let updated = replace_section(&text, name, body);
    fs::write(&path, updated).with_context(|| format!("write {FILE}"))
}

fn replace_section(text: &str, name: &str, body: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let section = format!("{begin}{}\n{end}", body.trim_end());
    match (text.find(&begin), text.find(&end)) {
        (Some(from), Some(to)) if from < to => format!("{}{section}{}", &text[..from], &text[to + end.len()..]),
        _ => format!("{}\n\n{section}\n", text.trim_end()),
    }
}

/// Says what is measured next, for those who wait.
pub(super) fn progress(what: &str) {
    eprintln!("bench: {what}");
}

/// The middle of the values; the lower of the two middles for an even number.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_in_place_and_appended_when_new() {
        let text = "# Figures\n\n<!-- begin a -->\nold\n<!-- end a -->\n\ntail\n";
        assert_eq!(replace_section(text, "a", "new\n"), "# Figures\n\n<!-- begin a -->\nnew\n<!-- end a -->\n\ntail\n");
        assert!(replace_section(text, "b", "new").ends_with("tail\n\n<!-- begin b -->\nnew\n<!-- end b -->\n"));
    }

    #[test]
    fn the_median_of_an_even_number_is_the_lower_middle() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.0);
        assert_eq!(median(vec![5.0, 1.0, 3.0]), 3.0);
    }
}
