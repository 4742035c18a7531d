//! Times and targets of checks, when everything around them is known.

use super::super::Lower;
use super::{CheckDraft, ProbeDraft, TargetDraft, TimingDraft};
use crate::{Diagnostic, Span};
use evenkeel_balance::config::{Target, Timing};
use std::net::IpAddr;
use std::time::Duration;

/// The real server that a check is of.
#[derive(Clone, Copy)]
pub(super) struct Checked {
    pub(super) address: IpAddr,
    /// As written: keepalived checks this port also where the method makes it forward to another.
    pub(super) port: u16,
    /// The virtual server's port, when it has one.
    pub(super) virtual_port: u16,
    /// There is a virtual address that packets could be sent to.
    pub(super) has_virtual_address: bool,
}

/// Times by keepalived's order: check, real server, virtual server, the check's own default.
pub(super) fn timing(probe: &ProbeDraft, timing: TimingDraft) -> Timing {
    let second = Duration::from_secs(1);
    let interval = timing.interval.unwrap_or(second * 60);
    let (retries, retry_delay) = match probe {
        ProbeDraft::Http(_) => (1, second * 3),
        ProbeDraft::Tcp
        | ProbeDraft::Ping
        | ProbeDraft::Smtp { .. }
        | ProbeDraft::Udp(_)
        | ProbeDraft::Agent { .. } => (1, second),
        ProbeDraft::Dns { .. } => (3, interval),
        ProbeDraft::Misc(_) | ProbeDraft::File { .. } | ProbeDraft::Bfd { .. } => (0, interval),
    };
    let timeout = match probe {
        ProbeDraft::Misc(misc) => misc.timeout.unwrap_or(interval),
        _ => timing.timeout.unwrap_or(second * 5),
    };
    Timing {
        interval,
        timeout,
        retries: timing.retries.unwrap_or(retries),
        retry_delay: timing.retry_delay.unwrap_or(retry_delay),
        warmup: timing.warmup.unwrap_or(interval),
    }
}

/// Where a check goes, or `None` after saying that it has no port.
pub(super) fn target(draft: &TargetDraft, check: &CheckDraft, of: Checked, lower: &mut Lower) -> Option<Target> {
    let address = draft.address.unwrap_or(of.address);
    let port = match check.probe {
        ProbeDraft::Ping => 0,
        // An agent listens beside the service.
        ProbeDraft::Agent { .. } => draft.port.or_else(|| no_port(check.span, lower))?,
        _ => {
            let ports = [draft.port.unwrap_or(0), of.port, of.virtual_port];
            ports.into_iter().find(|port| *port != 0).or_else(|| no_port(check.span, lower))?
        }
    };
    let source = draft.source.as_ref().filter(|source| {
        let fits = source.value.is_ipv4() == address.is_ipv4();
        if !fits {
            lower.say(
                Diagnostic::warning(
                    "mixed-families",
                    source.span,
                    format!("the check of {address} cannot come from {}", source.value),
                )
                .so("the source is left to the kernel, as in keepalived")
                .fix("name an address of the same family"),
            );
        }
        fits
    });
    if draft.via_dataplane && !of.has_virtual_address {
        lower.say(
            Diagnostic::warning(
                "via-without-address",
                check.span,
                "`via dataplane` in a virtual_server without an address",
            )
            .so("nothing can be sent to it: the check goes to the real server directly")
            .fix("remove it, or balance an address"),
        );
    }
    let is_tcp = matches!(check.probe, ProbeDraft::Tcp);
    if draft.via_dataplane && !is_tcp {
        lower.say(
            Diagnostic::warning("via-not-tcp", check.span, "`via dataplane` in a check other than TCP_CHECK")
                .so("only the opening of a connection goes that way: this check goes to the real server directly")
                .fix("put `via dataplane` into a TCP_CHECK beside this one"),
        );
    }
    Some(Target {
        address,
        port,
        source: source.map(|source| source.value),
        source_port: draft.source_port,
        interface: draft.interface.clone(),
        mark: draft.mark,
        via_dataplane: draft.via_dataplane && of.has_virtual_address && is_tcp,
    })
}

fn no_port(span: Span, lower: &mut Lower) -> Option<u16> {
    lower.say(
        Diagnostic::error("check-without-port", span, "this check has no port to connect to")
            .so("it can never succeed: the server would always be down")
            .fix("write `connect_port N` into it"),
    );
    None
}
