use crate::config::NextUpstream;

/// How an attempt at an upstream server failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The connection could not be made, or broke.
    Error,
    /// Connecting, sending or reading took too long.
    Timeout,
    /// The answer was empty or no HTTP.
    InvalidHeader,
    /// The server answered with this status.
    Status(u16),
}

impl Failure {
    /// Whether `max_fails` counts it. nginx goes on after 403 and 404 when told to, without holding them against the server.
    pub fn counts(self) -> bool {
        !matches!(self, Failure::Status(403 | 404))
    }

    /// What the client is told when no server is left.
    pub fn status(self) -> u16 {
        match self {
            Failure::Error | Failure::InvalidHeader => 502,
            Failure::Timeout => 504,
            Failure::Status(status) => status,
        }
    }
}

impl NextUpstream {
    /// Whether the request goes to another server after `failure`. Not when a part of the answer has been sent on, and
    /// a method that is not idempotent (POST, LOCK, PATCH) not once the request was sent, unless the configuration says so.
    /// Limits of number and time (`tries`, `timeout_total`) are the caller's to count.
    pub fn retries(&self, failure: Failure, idempotent: bool, request_sent: bool, answer_started: bool) -> bool {
        if answer_started || (request_sent && !idempotent && !self.non_idempotent) {
            return false;
        }
        match failure {
            Failure::Error => self.error,
            Failure::Timeout => self.timeout,
            Failure::InvalidHeader => self.invalid_header,
            Failure::Status(500) => self.http_500,
            Failure::Status(502) => self.http_502,
            Failure::Status(503) => self.http_503,
            Failure::Status(504) => self.http_504,
            Failure::Status(403) => self.http_403,
            Failure::Status(404) => self.http_404,
            Failure::Status(429) => self.http_429,
            Failure::Status(_) => false,
        }
    }

    /// Whether an answer with this status is a failure at all, rather than what the client gets.
    pub fn rejects(&self, status: u16) -> bool {
        self.retries(Failure::Status(status), true, false, false)
    }
}

/// Methods after which nginx tries another server although the request was sent.
pub fn is_idempotent(method: &str) -> bool {
    !matches!(method, "POST" | "LOCK" | "PATCH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_server_is_tried_when_nginx_would() {
        let default = NextUpstream::default();
        let generous = NextUpstream { http_502: true, http_404: true, non_idempotent: true, ..default };
        let off = NextUpstream { error: false, timeout: false, ..default };
        // (rules, failure, idempotent, request sent, answer started) -> retried
        for (rules, failure, idempotent, sent, started, retried) in [
            (default, Failure::Error, true, false, false, true),
            (default, Failure::Timeout, true, true, false, true),
            (default, Failure::InvalidHeader, true, true, false, false),
            (default, Failure::Error, false, false, false, true),
            (default, Failure::Error, false, true, false, false),
            (default, Failure::Error, true, true, true, false),
            (default, Failure::Status(502), true, true, false, false),
            (generous, Failure::Status(502), true, true, false, true),
            (generous, Failure::Status(503), true, true, false, false),
            (generous, Failure::Status(404), true, true, false, true),
            (generous, Failure::Error, false, true, false, true),
            (off, Failure::Error, true, false, false, false),
        ] {
            assert_eq!(
                rules.retries(failure, idempotent, sent, started),
                retried,
                "{failure:?} idempotent={idempotent} sent={sent} started={started}"
            );
        }
        assert!(!is_idempotent("POST") && is_idempotent("PUT") && is_idempotent("DELETE"));
        assert!(!Failure::Status(404).counts() && Failure::Status(500).counts());
    }
}
