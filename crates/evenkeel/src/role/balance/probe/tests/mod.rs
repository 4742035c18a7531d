//! Probes against small servers on loopback that behave in every way a server can. Each row says what the server does and
//! how the check must end. Where a probe has to run into its timeout, the timeout is short; nothing else is timed.

mod datagram;
mod http;
mod server;
mod stream;
mod tls;

use super::Prober;
use evenkeel_balance::config::{Check, ClientTls, HttpProbe, HttpVersion, Probe, Target, Timing, TlsProbe, UrlProbe};
use evenkeel_balance::{ProbeResult, Says};
use std::net::SocketAddr;
use std::time::Duration;

/// For probes that end by themselves.
const PATIENT: Duration = Duration::from_secs(20);
/// For those that must run into it.
const SHORT: Duration = Duration::from_millis(200);

/// Runs one probe on a runtime of the role's kind.
fn run(check: &Check) -> ProbeResult {
    run_from(check, 0)
}

fn run_from(check: &Check, url: u32) -> ProbeResult {
    run_with(&ClientTls::default(), check, url)
}

fn run_with(tls: &ClientTls, check: &Check, url: u32) -> ProbeResult {
    let prober = Prober::of_checks(tls, std::iter::once(check)).expect("the configuration is good");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(prober.probe(check, url)).expect("the check asks somebody")
}

/// What it said when it passed.
#[track_caller]
fn passed(check: &Check) -> (String, Option<Says>) {
    match run(check) {
        ProbeResult::Passed { detail, says } => (detail, says),
        ProbeResult::Failed { reason } | ProbeResult::FailedAt { reason, .. } => panic!("failed: {reason}"),
    }
}

/// Why it failed.
#[track_caller]
fn failed(check: &Check) -> String {
    match run(check) {
        ProbeResult::Passed { detail, .. } => panic!("passed: {detail}"),
        ProbeResult::Failed { reason } | ProbeResult::FailedAt { reason, .. } => reason,
    }
}

fn check(probe: Probe, address: SocketAddr, timeout: Duration) -> Check {
    let target = Target {
        address: address.ip(),
        port: address.port(),
        source: None,
        source_port: None,
        interface: None,
        mark: None,
        via_dataplane: false,
    };
    let timing = Timing {
        interval: Duration::from_secs(60),
        timeout,
        retries: 0,
        retry_delay: Duration::from_secs(1),
        warmup: Duration::ZERO,
    };
    Check { probe, target: Some(target), timing, alpha: false, log_all_failures: false }
}

fn url(path: &str) -> UrlProbe {
    UrlProbe {
        path: path.to_owned(),
        virtualhost: None,
        sni: None,
        statuses: Vec::new(),
        digest: None,
        regex: None,
        tls_compliant: false,
    }
}

fn http(urls: Vec<UrlProbe>, tls: Option<TlsProbe>) -> Probe {
    Probe::Http(HttpProbe { tls, version: HttpVersion::V10, urls, fast_recovery: false })
}
