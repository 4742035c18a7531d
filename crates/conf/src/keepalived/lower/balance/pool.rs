//! virtual_server.

use super::super::number::{Garbage, Grain};
use super::super::{At, Lower};
use super::{Common, PoolDraft, SorryDraft, Virtual};
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};
use evenkeel_balance::table::{Protocol, Scheduler, ServiceFlags};
use evenkeel_wire::Family;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// `virtual_server ADDR [PORT] | fwmark N [inet|inet6] | group NAME`
pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(first) = node.argument(1) else { return };
    let mut family = None;
    let of = match (first.text.as_str(), node.argument(2)) {
        ("group", Some(name)) => At::of(name, Virtual::Group(name.text.clone())),
        ("fwmark", Some(number)) => {
            family = node.argument(3).and_then(|word| lower.family(word));
            let mark = lower.mark(number).map_or(Virtual::Unknown, Virtual::Mark);
            At::of(number, mark)
        }
        (_, port) => {
            let address = lower.address(first);
            let port = port.map_or(Some(0), |word| lower.port(word));
            let of = address.zip(port).map(|(address, port)| Virtual::Address { address, port });
            At::of(first, of.unwrap_or(Virtual::Unknown))
        }
    };
    if matches!(of.value, Virtual::Unknown) {
        lower.say(
            Diagnostic::warning("virtual-server-ignored", of.span, "this virtual_server cannot be read")
                .so("it is left out with its real servers: nobody balances its connections")
                .fix("write `virtual_server ADDRESS PORT {`, `virtual_server fwmark N {` or `virtual_server group NAME {`"),
        );
    }
    lower.drafts.balance.pools.push(PoolDraft {
        of,
        family,
        protocol: None,
        scheduler: None,
        forward: None,
        flags: ServiceFlags::default(),
        one_packet: None,
        persistence: None,
        granularity: None,
        engine: None,
        weight: None,
        common: Common::default(),
        quorum: None,
        hysteresis: None,
        omega: false,
        ha_suspend: None,
        quorum_up: None,
        quorum_down: None,
        sorry: None,
        servers: Vec::with_capacity(1),
    });
}

impl Lower {
    /// `inet` or `inet6`.
    pub(super) fn family(&mut self, word: &Word) -> Option<Family> {
        match word.text.as_str() {
            "inet" => Some(Family::V4),
            "inet6" => Some(Family::V6),
            other => {
                self.refuse(word, format!("`{other}` is neither inet nor inet6"));
                None
            }
        }
    }

    /// 1 to 65535.
    pub(super) fn port(&mut self, word: &Word) -> Option<u16> {
        u16::try_from(self.integer(word, 1..=65535, Garbage::Refused)?).ok()
    }

    /// A mark of the firewall.
    pub(super) fn mark(&mut self, word: &Word) -> Option<NonZeroU32> {
        let mark = self.integer(word, 1..=i64::from(u32::MAX), Garbage::Refused)?;
        NonZeroU32::new(u32::try_from(mark).ok()?)
    }

    /// A number that is never negative.
    pub(super) fn count(&mut self, word: &Word, least: u32, most: u32) -> Option<u32> {
        let number = self.integer(word, i64::from(least)..=i64::from(most), Garbage::Refused)?;
        u32::try_from(number).ok()
    }

    /// Seconds of a check: keepalived counts microseconds in 32 bits.
    pub(super) fn check_seconds(&mut self, word: &Word, least: Duration) -> Option<Duration> {
        self.seconds(word, least..=Duration::from_secs(4294), Grain::Microsecond)
    }

    /// Seconds of a keyword of ours, where a unit `s` is no surprise.
    pub(super) fn own_seconds(&mut self, word: &Word) -> Option<Duration> {
        let bare = word.text.strip_suffix('s').unwrap_or(&word.text).to_owned();
        let word = Word { text: bare, ..word.clone() };
        self.seconds(&word, Duration::ZERO..=Duration::from_secs(86_400), Grain::Millisecond)
    }
}

/// The least time that is not none.
pub(super) const TICK: Duration = Duration::from_micros(1);

/// Functions that set one field from a line. `None` leaves the field as it was, and the last of several lines wins.
macro_rules! fields {
    ($scope:ident { $($name:ident => $($field:ident).+ |$lower:ident, $word:ident| $value:expr;)* }) => {$(
        pub(in crate::keepalived) fn $name($lower: &mut Lower, node: &Node) {
            let $word: Option<&Word> = node.argument(1);
            #[allow(clippy::redundant_closure_call, reason = "for the question marks in it")]
            let value = (|| $value)();
            let Some(draft) = $lower.$scope() else { return };
            if value.is_some() {
                draft.$($field).+ = value;
            }
        }
    )*};
}
pub(super) use fields;

/// Functions for keywords that a virtual_server and a real_server have in common.
macro_rules! common_fields {
    ($scope:ident) => {
        $crate::keepalived::lower::balance::pool::fields! { $scope {
            delay_loop => common.timing.interval |lower, word| lower.check_seconds(word?, TICK);
            connect_timeout => common.timing.timeout |lower, word| lower.check_seconds(word?, TICK);
            retry => common.timing.retries |lower, word| lower.count(word?, 1, u32::MAX);
            delay_before_retry => common.timing.retry_delay |lower, word| lower.check_seconds(word?, Duration::ZERO);
            warmup => common.timing.warmup |lower, word| lower.check_seconds(word?, Duration::ZERO);
            smtp_alert => common.mail |lower, word| lower.boolean(word);
            virtualhost => common.virtualhost |_lower, word| Some(word?.text.clone());
            snmp_name => common.label |_lower, word| Some(word?.text.clone());
            slow_start => common.slow_start |lower, word| lower.own_seconds(word?);
        }}
    };
}
pub(super) use common_fields;

common_fields!(pool);

// These take no argument here, and keepalived looks at none: the walk warns of one.
fields! { pool {
    inhibit_on_failure => common.inhibit |_lower, _word| Some(true);
    alpha => common.alpha |_lower, _word| Some(true);
    ip_family => family |lower, word| lower.family(word?);
    protocol => protocol |lower, word| lower.protocol(word?);
    lvs_sched => scheduler |lower, word| lower.scheduler(word?);
    weight => weight |lower, word| lower.count(word?, 1, i32::MAX.unsigned_abs());
    persistence_engine => engine |_lower, word| Some(At::of(word?, word?.text.clone()));
    hysteresis => hysteresis |lower, word| Some(At::of(word?, lower.count(word?, 0, u32::MAX)?));
    quorum => quorum |lower, word| {
        let quorum = NonZeroU32::new(lower.count(word?, 1, u32::MAX)?)?;
        Some(At::of(word?, quorum))
    };
    persistence_timeout => persistence |lower, word| match word {
        None => Some(PERSISTENCE),
        Some(word) => NonZeroU32::new(lower.count(word, 1, 31 * 86_400)?),
    };
    persistence_granularity => granularity |lower, word| Some(At::of(word?, lower.granularity(word?)?));
}}

/// What keepalived and ipvsadm take when no time is written.
pub(super) const PERSISTENCE: NonZeroU32 = NonZeroU32::new(360).expect("360 is not 0");

impl Lower {
    fn protocol(&mut self, word: &Word) -> Option<Protocol> {
        match word.text.to_ascii_uppercase().as_str() {
            "TCP" => Some(Protocol::Tcp),
            "UDP" => Some(Protocol::Udp),
            "SCTP" => Some(Protocol::Sctp),
            _ => {
                self.refuse(word, format!("`{}` is none of TCP, UDP, SCTP", word.text));
                None
            }
        }
    }

    fn scheduler(&mut self, word: &Word) -> Option<Scheduler> {
        let scheduler = Scheduler::parse(&word.text);
        if scheduler.is_none() {
            let names = Scheduler::ALL.map(Scheduler::name).join(", ");
            self.refuse(word, format!("`{}` is none of {names}", word.text));
        }
        scheduler
    }

    /// A netmask, or the length of a prefix.
    fn granularity(&mut self, word: &Word) -> Option<u8> {
        if let Ok(IpAddr::V4(mask)) = word.text.parse() {
            let (mask, ones) = (u32::from(mask), u32::from(mask).leading_ones());
            if ones == 0 || mask.count_ones() != ones {
                self.refuse(word, format!("`{}` is no netmask without gaps", word.text));
                return None;
            }
            return u8::try_from(ones).ok();
        }
        u8::try_from(self.integer(word, 1..=128, Garbage::Refused)?).ok()
    }
}

pub(in crate::keepalived) fn ops(lower: &mut Lower, node: &Node) {
    let Some(pool) = lower.pool() else { return };
    pool.one_packet = node.span();
}

pub(in crate::keepalived) fn omega(lower: &mut Lower, _: &Node) {
    let Some(pool) = lower.pool() else { return };
    pool.omega = true;
}

pub(in crate::keepalived) fn ha_suspend(lower: &mut Lower, node: &Node) {
    let Some(pool) = lower.pool() else { return };
    pool.ha_suspend = node.span();
}

pub(in crate::keepalived) fn flag_1(lower: &mut Lower, _: &Node) {
    let Some(pool) = lower.pool() else { return };
    pool.flags.scheduler_1 = true;
}

pub(in crate::keepalived) fn flag_2(lower: &mut Lower, _: &Node) {
    let Some(pool) = lower.pool() else { return };
    pool.flags.scheduler_2 = true;
}

pub(in crate::keepalived) fn flag_3(lower: &mut Lower, _: &Node) {
    let Some(pool) = lower.pool() else { return };
    pool.flags.scheduler_3 = true;
}

/// keepalived takes these only after the scheduler they belong to.
fn scheduler_flag(lower: &mut Lower, node: &Node, scheduler: Scheduler) -> bool {
    let Some(pool) = lower.pool() else { return false };
    let fits = pool.scheduler == Some(scheduler);
    if !fits && let Some(span) = node.span() {
        let name = scheduler.name();
        lower.say(
            Diagnostic::warning(
                "flag-without-scheduler",
                span,
                format!("`{}` without `lvs_sched {name}` before it", node.keyword()),
            )
            .so("it is ignored, as in keepalived")
            .fix(format!("write it below `lvs_sched {name}`, or remove it")),
        );
    }
    fits
}

pub(in crate::keepalived) fn sh_port(lower: &mut Lower, node: &Node) {
    if scheduler_flag(lower, node, Scheduler::Sh) {
        flag_2(lower, node);
    }
}

pub(in crate::keepalived) fn sh_fallback(lower: &mut Lower, node: &Node) {
    if scheduler_flag(lower, node, Scheduler::Sh) {
        flag_1(lower, node);
    }
}

pub(in crate::keepalived) fn mh_port(lower: &mut Lower, node: &Node) {
    if scheduler_flag(lower, node, Scheduler::Mh) {
        flag_2(lower, node);
    }
}

pub(in crate::keepalived) fn mh_fallback(lower: &mut Lower, node: &Node) {
    if scheduler_flag(lower, node, Scheduler::Mh) {
        flag_1(lower, node);
    }
}

pub(in crate::keepalived) fn lvs_method(lower: &mut Lower, node: &Node) {
    let Some(method) = lower.method(&node.words[1..]) else { return };
    let Some(pool) = lower.pool() else { return };
    pool.forward = Some(method);
}

pub(in crate::keepalived) fn quorum_up(lower: &mut Lower, node: &Node) {
    let before = lower.pool().and_then(|pool| pool.quorum_up.take());
    let command = lower.notice(node, before);
    let Some(pool) = lower.pool() else { return };
    pool.quorum_up = command;
}

pub(in crate::keepalived) fn quorum_down(lower: &mut Lower, node: &Node) {
    let before = lower.pool().and_then(|pool| pool.quorum_down.take());
    let command = lower.notice(node, before);
    let Some(pool) = lower.pool() else { return };
    pool.quorum_down = command;
}

/// `sorry_server ADDR [PORT]`
pub(in crate::keepalived) fn sorry_server(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(address) = lower.address(word) else { return };
    let port = match node.argument(2).map(|word| lower.port(word)) {
        Some(None) => return,
        Some(Some(port)) => port,
        None => 0,
    };
    let Some(pool) = lower.pool() else { return };
    pool.sorry = Some(SorryDraft { address: At::of(word, address), port, forward: None, inhibit: false });
}

/// keepalived takes what says more about the sorry server only after it.
fn sorry<'a>(lower: &'a mut Lower, node: &Node) -> Option<&'a mut SorryDraft> {
    if lower.pool().is_some_and(|pool| pool.sorry.is_none())
        && let Some(span) = node.span()
    {
        lower.say(
            Diagnostic::warning(
                "no-sorry-server",
                span,
                format!("`{}` without `sorry_server` before it", node.keyword()),
            )
            .so("it is ignored, as in keepalived")
            .fix("write it below `sorry_server`"),
        );
    }
    lower.pool()?.sorry.as_mut()
}

pub(in crate::keepalived) fn sorry_server_inhibit(lower: &mut Lower, node: &Node) {
    let Some(sorry) = sorry(lower, node) else { return };
    sorry.inhibit = true;
}

pub(in crate::keepalived) fn sorry_server_lvs_method(lower: &mut Lower, node: &Node) {
    let Some(method) = lower.method(&node.words[1..]) else { return };
    let Some(sorry) = sorry(lower, node) else { return };
    sorry.forward = Some(method);
}
