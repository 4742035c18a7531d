//! `cargo xtask bench NAME`: measurements beside the programs that evenkeel replaces. Results stand in
//! `docs/benchmarks.md`, as ratios.

mod bfd;
mod checks;
mod director;
mod failover;
mod l4;
mod proxy;
mod report;
mod vrrp;

use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::Command;

/// One measurement.
struct Benchmark {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<()>,
}

const BENCHMARKS: &[Benchmark] = &[
    Benchmark { name: "bfd", what: "how late a dead BFD neighbour is noticed, beside keepalived", run: bfd::run },
    Benchmark {
        name: "checks",
        what: "health checks of 10,000 servers, and 10,000 services, beside keepalived",
        run: checks::run,
    },
    Benchmark {
        name: "director",
        what: "instructions for a packet on a machine that only balances, beside IPVS",
        run: director::run,
    },
    Benchmark { name: "failover", what: "how long the address does not answer, beside keepalived", run: failover::run },
    Benchmark { name: "l4", what: "nanoseconds for a packet in the data plane for XDP", run: l4::run },
    Benchmark { name: "proxy", what: "CPU for a proxied request, beside nginx and HAProxy", run: proxy::run },
    Benchmark {
        name: "vrrp",
        what: "CPU and memory of 250 virtual routers, and 2,500, beside keepalived",
        run: vrrp::run,
    },
    Benchmark { name: "vrrp-many", what: "the part of it with 2,500 virtual routers", run: vrrp::run_large },
];

/// Runs the benchmark that the first word names, with a release build, or with the program that `$EVENKEEL` names.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let [name] = words else {
        bail!("name one benchmark: {}", known());
    };
    let Some(benchmark) = BENCHMARKS.iter().find(|benchmark| benchmark.name == *name) else {
        bail!("there is no benchmark `{name}`: {}", known());
    };
    // The data plane runs in the kernel, whoever filled it.
    if !["director", "l4"].contains(&benchmark.name) && std::env::var_os("EVENKEEL").is_none() {
        evenkeel_e2e::set_evenkeel(release_build()?);
    }
    (benchmark.run)()
}

fn release_build() -> Result<std::path::PathBuf> {
    let status = Command::new(env!("CARGO")).args(["build", "--release", "--package", "evenkeel"]).status();
    ensure!(status.context("run cargo")?.success(), "cargo build --release --package evenkeel failed");
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => target.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
    };
    target.join("release/evenkeel").canonicalize().context("find the release build")
}

fn known() -> String {
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
