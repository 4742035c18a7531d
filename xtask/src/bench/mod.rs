//! `cargo xtask bench NAME`: measurements beside the programs that evenkeel replaces. Results stand in
//! `docs/benchmarks.md`, as ratios.

use anyhow::{Result, bail};

/// One measurement.
struct Benchmark {
    name: &'static str,
    what: &'static str,
    run: fn(&[&str]) -> Result<()>,
}

const BENCHMARKS: &[Benchmark] = &[];

/// Runs the benchmark that the first word names; the rest are its options.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let Some((name, options)) = words.split_first() else {
        bail!("name a benchmark: {}", known());
    };
    match BENCHMARKS.iter().find(|benchmark| benchmark.name == *name) {
        Some(benchmark) => (benchmark.run)(options),
        None => bail!("there is no benchmark `{name}`: {}", known()),
    }
}

fn known() -> String {
    if BENCHMARKS.is_empty() {
        return "there is none yet".to_owned();
    }
    let lines: Vec<_> = BENCHMARKS.iter().map(|b| format!("\n  {:<10} {}", b.name, b.what)).collect();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_an_error_that_says_so() {
        let error = run(&["nonsense"]).unwrap_err().to_string();
        assert!(error.starts_with("there is no benchmark `nonsense`"), "{error}");
    }
}
