//! Rules about the text of single files.

use super::File;

/// Longer files hold more than one noun.
const MAX_LINES: usize = 700;

/// Documents that a test in `crates/conf` writes from the tables of directives and compares.
const GENERATED: &[&str] = &["docs/directives.md", "docs/nginx-directives.md"];

/// The only place that `Cargo.lock` may get crates from.
const INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Words that must not be committed, each in two halves so that this file may be, and why.
const WORDS: &[([&str; 2], &str)] = &[
    (["TO", "DO"], "finish it, or open an issue"),
    (["FIX", "ME"], "finish it, or open an issue"),
    (["#[ign", "ore"], "a test runs or does not exist"),
    (["/wo", "rk/"], "a path of one machine"),
    (["/ro", "ot/."], "a path of one machine"),
];

pub(super) fn problems(file: &File) -> Vec<String> {
    let mut problems = words(file);
    if file.path.ends_with("Cargo.lock") {
        problems.extend(sources(file));
    }
    if file.path.ends_with(".rs") {
        problems.extend(length(file));
        problems.extend(unsafety(file));
        problems.extend(roles(file));
    }
    problems
}

/// The generated documents are there, and somebody compares them.
pub(super) fn generated(files: &[File]) -> Vec<String> {
    let there = |name: &str| files.iter().any(|file| file.path == name);
    let tested = |name: &str| {
        let base = name.trim_start_matches("docs/");
        let in_conf = |file: &&File| file.path.starts_with("crates/conf/") && file.path.ends_with(".rs");
        files.iter().filter(in_conf).any(|file| file.text.contains(base))
    };
    let mut problems = Vec::new();
    for name in GENERATED {
        if !there(name) {
            problems.push(format!("{name}: is not there; its test in crates/conf writes it"));
        }
        if !tested(name) {
            problems.push(format!("{name}: no test in crates/conf compares it with the tables"));
        }
    }
    problems
}

fn words(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    for (halves, why) in WORDS {
        let word = halves.concat();
        for (index, line) in file.text.lines().enumerate() {
            if contains_word(line, &word) {
                problems.push(format!("{}:{}: `{word}`: {why}", file.path, index + 1));
            }
        }
    }
    problems
}

/// Whether `word` stands in the line by itself, where it begins and ends with letters.
fn contains_word(line: &str, word: &str) -> bool {
    let letters = |text: &str| text.chars().all(|c| c.is_ascii_uppercase());
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !letters(word) || ![before, after].into_iter().flatten().any(|c| c.is_alphanumeric() || c == '_')
    })
}

fn sources(file: &File) -> Vec<String> {
    let source = |line: &str| line.strip_prefix("source = \"").map(str::to_owned);
    let foreign = file.text.lines().filter_map(source).filter(|source| source.trim_end_matches('"') != INDEX);
    foreign.map(|source| format!("{}: a crate comes from {source}", file.path)).collect()
}

/// Tests and tables are as long as they are; code is not.
fn length(file: &File) -> Vec<String> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let in_tests = file.path.contains("tests/") || name == "tests.rs";
    let is_table =
        ["directives", "keywords", "table"].iter().any(|word| name.contains(word) || file.path.contains(word));
    let n_lines = file.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if in_tests || is_table || n_lines <= MAX_LINES {
        return Vec::new();
    }
    vec![format!("{}: {n_lines} lines of code; split it by noun (at most {MAX_LINES})", file.path)]
}

/// `unsafe` lives in the kernel crate.
fn unsafety(file: &File) -> Vec<String> {
    if file.path.starts_with("crates/kernel/") {
        return Vec::new();
    }
    let forms = ["{", "fn", "impl", "extern"].map(|what| ["unsafe", what].join(" "));
    let allow = ["allow(unsafe", "_code"].concat();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let lines = file.text.lines().filter(is_code);
    let unsafe_lines = lines.filter(|line| line.contains(&allow) || forms.iter().any(|form| line.contains(form)));
    unsafe_lines.map(|line| format!("{}: unsafe outside crates/kernel: {}", file.path, line.trim())).collect()
}

/// Role modules do not import one another: roles are processes, and talk over the bus.
fn roles(file: &File) -> Vec<String> {
    const ROLES: &[&str] = &["supervisor", "vrrp", "balance", "proxy", "web"];
    let Some(inside) = file.path.strip_prefix("crates/evenkeel/src/role/") else {
        return Vec::new();
    };
    let own = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if own == "mod" {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for other in ROLES.iter().filter(|role| **role != own) {
        let mut paths = vec![format!("role::{other}::")];
        if !inside.contains('/') {
            paths.push(format!("super::{other}::"));
        }
        if paths.iter().any(|path| file.text.contains(path)) {
            problems.push(format!("{}: a role imports the role {other}", file.path));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> Vec<String> {
        problems(&File { path: path.to_owned(), text: text.to_owned() })
    }

    #[test]
    fn what_is_left_to_do_is_found_where_it_stands_by_itself() {
        let word = WORDS[0].0.concat();
        assert_eq!(check("a.rs", &format!("x\n// {word}: later\n")).len(), 1);
        assert_eq!(check("a.rs", &format!("const {word}S: u8 = 1;")), [""; 0]);
    }

    #[test]
    fn code_is_counted_without_its_tests() {
        let code = "x\n".repeat(MAX_LINES);
        assert_eq!(check("crates/a/src/b.rs", &format!("{code}#[cfg(test)]\n{code}")), [""; 0]);
        assert_eq!(check("crates/a/src/b.rs", &format!("{code}x\n")).len(), 1);
        assert_eq!(check("crates/a/tests/b.rs", &format!("{code}x\n")), [""; 0]);
    }

    #[test]
    fn unsafe_code_is_found_outside_the_kernel_crate() {
        let code = ["let x = unsafe", "{ y };"].join(" ");
        assert_eq!(check("crates/kernel/src/a.rs", &code), [""; 0]);
        assert_eq!(check("crates/proxy/src/a.rs", &code).len(), 1);
    }

    #[test]
    fn a_role_that_imports_another_is_found() {
        assert_eq!(check("crates/evenkeel/src/role/vrrp.rs", "use crate::role::proxy::Thing;").len(), 1);
        assert_eq!(check("crates/evenkeel/src/role/vrrp.rs", "use crate::role::vrrp::Thing;"), [""; 0]);
    }

    #[test]
    fn a_crate_from_elsewhere_is_found() {
        assert_eq!(check("Cargo.lock", &format!("source = \"{INDEX}\"\n")), [""; 0]);
        assert_eq!(check("Cargo.lock", "source = \"git+https://example.com/x\"\n").len(), 1);
    }
}
