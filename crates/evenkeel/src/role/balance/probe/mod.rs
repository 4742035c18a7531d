//! Health probes: each is an async function that reads as the story of one check, from the socket to the verdict.
//!
//! What servers answer is parsed in `parse`, without I/O. Nothing is believed and everything is bounded:
//! each probe by its timeout, each answer in bytes. A probe opens one socket for each question it asks and keeps none.
//!
//! Absent: pauses, retries and what a result means for a server. That is the core's.

mod agent;
mod dns;
pub mod http;
pub mod parse;
mod ping;
mod smtp;
mod socket;
#[cfg(test)]
mod tests;
mod udp;

use evenkeel_balance::config::{Check, ClientTls, Config, HttpProbe, Probe, Target};
use evenkeel_balance::{ProbeResult, Says};
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What the probes of one configuration share: compiled patterns and TLS configurations.
#[derive(Debug)]
pub struct Prober {
    patterns: http::Patterns,
    tls: Option<http::Tls>,
}

/// Why a configuration's probes cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A pattern that PCRE2 does not take, or an option that cannot be had.
    #[error("regex {pattern:?}: {reason}")]
    Regex {
        /// As configured.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the SSL block.
    #[error("{file}: {reason}")]
    ClientTls {
        /// Which.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a probe found: an answer as it should be, or the reason of the failure in a few words.
type Verdict = Result<Pass, String>;

/// An answer as it should be.
#[derive(Debug)]
struct Pass {
    detail: String,
    says: Option<Says>,
}

impl Pass {
    fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), says: None }
    }
}

impl Prober {
    /// Compiles patterns and reads the certificate of the SSL block. Blocks for as long as reading those files takes.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let servers = config.pools.iter().flat_map(|pool| &pool.servers);
        Self::of_checks(&config.tls, servers.flat_map(|server| &server.checks))
    }

    /// The same for checks of no configuration.
    pub fn of_checks<'c>(
        tls: &ClientTls,
        checks: impl Iterator<Item = &'c Check> + Clone,
    ) -> Result<Self, ConfigError> {
        let mut http = checks.filter_map(|check| match &check.probe {
            Probe::Http(probe) => Some(probe),
            _ => None,
        });
        let urls = http.clone().flat_map(|probe| &probe.urls);
        let patterns = http::Patterns::new(urls.filter_map(|url| url.regex.as_ref()))?;
        let tls = http.any(|probe| probe.tls.is_some()).then(|| http::Tls::new(tls)).transpose()?;
        Ok(Self { patterns, tls })
    }

    /// Asks once, an HTTP check's urls from `from_url` to the last without a pause between them. `None` for checks that ask
    /// nobody over the network: MISC_CHECK, FILE_CHECK and BFD_CHECK.
    ///
    /// Takes at most the check's timeout, for HTTP at most that for each url. Dropping the future cancels the probe.
    pub async fn probe(&self, check: &Check, from_url: u32) -> Option<ProbeResult> {
        let target = check.target.as_ref()?;
        let limit = Limit::new(check.timing.timeout);
        let verdict = match &check.probe {
            Probe::Tcp => tcp(target, limit).await,
            // The stories with more than one chapter are boxed: ten thousand TCP checks do not pay for their size.
            Probe::Http(probe) => return Some(Box::pin(self.http(probe, target, check, from_url)).await),
            Probe::Smtp { helo } => Box::pin(smtp::probe(target, helo, limit)).await,
            Probe::Dns { query_type, name } => Box::pin(dns::probe(target, *query_type, name, limit)).await,
            Probe::Udp(probe) => Box::pin(udp::probe(target, probe, limit)).await,
            Probe::Ping => Box::pin(ping::probe(target, limit)).await,
            Probe::Agent { send } => Box::pin(agent::probe(target, send.as_deref(), limit)).await,
            Probe::Misc { .. } | Probe::File { .. } | Probe::Bfd { .. } => return None,
        };
        Some(result(verdict))
    }

    async fn http(&self, probe: &HttpProbe, target: &Target, check: &Check, from_url: u32) -> ProbeResult {
        let mut passed = Pass::new("no url left to ask");
        for (at, url) in (0_u32..).zip(&probe.urls).skip(from_url as usize) {
            let limit = Limit::new(check.timing.timeout);
            match http::probe(target, probe, url, &self.patterns, self.tls.as_ref(), limit).await {
                Ok(pass) => passed = pass,
                Err(reason) => return ProbeResult::FailedAt { url: at, reason },
            }
        }
        result(Ok(passed))
    }
}

fn result(verdict: Verdict) -> ProbeResult {
    match verdict {
        Ok(pass) => ProbeResult::Passed { detail: pass.detail, says: pass.says },
        Err(reason) => ProbeResult::Failed { reason },
    }
}

/// TCP_CHECK: connects, and resets the connection. A FIN would leave each of ten thousand checks a second in TIME_WAIT here
/// for a minute; HAProxy ends its checks in the same way.
async fn tcp(target: &Target, limit: Limit) -> Verdict {
    let opened = socket::tcp(target).map_err(|error| format!("TCP connection failed: {error}"))?;
    // Where it cannot be set, the connection ends with a FIN.
    let _ = opened.set_zero_linger();
    match limit.of(opened.connect(socket::address(target))).await {
        Some(Ok(_stream)) => Ok(Pass::new("connected")),
        Some(Err(error)) => Err(format!("TCP connection failed: {}", socket::text(&error))),
        None => Err(format!("TCP connection timeout after {limit}")),
    }
}

/// By when a probe is over.
#[derive(Clone, Copy, Debug)]
struct Limit {
    end_at: Instant,
    timeout: Duration,
}

impl Limit {
    fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        // A timeout beyond what a clock can say is as good as a day.
        let end_at = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400));
        Self { end_at, timeout }
    }

    /// What `future` gives, or nothing when the time is over before.
    async fn of<F: Future>(self, future: F) -> Option<F::Output> {
        timeout_at(self.end_at, future).await.ok()
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.timeout)
    }
}

/// Largest datagram and largest piece of a stream that is read at once.
const SCRATCH: usize = 65_536;

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Lends the thread's buffer for the time of one read: a waiting probe holds no buffer of its own.
fn with_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    SHARED.with_borrow_mut(|buffer| use_it(buffer))
}
