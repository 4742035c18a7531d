//! What is said of adverts that are refused, or taken though something about them is odd: a line for each kind, once,
//! until the state changes or another sender's advert is taken. A flood of bad packets is no flood of lines.

use crate::config::{Authentication, Version};
use crate::event::Action;
use crate::explain::{self, Why};
use crate::instance::{Instance, Peer};
use crate::packet::{Heard, Received, Reject};
use evenkeel_wire::Instant;
use std::net::IpAddr;
use std::time::Duration;

/// What was said since then. There are no more of them than kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remark {
    Refused(Reject),
    /// Version 3: another interval than ours.
    Interval,
    /// Another number of addresses.
    Count,
    /// Other addresses.
    List,
    /// Clocks that drift out of the window of `auth_hmac`.
    Skew,
}

impl Instance {
    /// Reads a packet, and remembers what has to be for the next.
    pub(crate) fn read<'a>(&mut self, received: &Received<'a>) -> Result<Heard<'a>, Reject> {
        let had_old_checksum = self.guard.has_old_checksum;
        self.guard.skew = Duration::ZERO;
        let read = Heard::parse(received, &self.config, &mut self.guard, self.utc);
        if self.guard.has_old_checksum != had_old_checksum {
            self.prepare_sender();
        }
        read
    }

    /// Counts a packet that is no advert for this instance. Nothing else changes.
    pub(crate) fn refuse(&mut self, source: IpAddr, reject: Reject, actions: &mut Vec<Action>) {
        self.count_reject(reject);
        // That is as it was meant.
        if reject == Reject::Ignored {
            return;
        }
        self.say_once(Remark::Refused(reject), actions, || (format!("{source}: {reject}"), "refuse the advert"));
    }

    /// Counts a good advert. Another list of addresses is counted but no reason to refuse it (keepalived, observed).
    pub(crate) fn note_advert(&mut self, now: Instant, advert: &Heard, actions: &mut Vec<Action>) {
        self.counters.advert_rcvd += 1;
        if advert.priority == 0 {
            self.counters.pri_zero_rcvd += 1;
        }
        let source = advert.source;
        if self.peer.is_none_or(|peer| peer.address != source) {
            self.remarks.clear();
        }
        self.compare_addresses(advert, actions);
        let ours = crate::timers::wire_centis(self.config.advert_interval).duration();
        let theirs = advert.interval.duration();
        if self.config.version == Version::V3 && theirs != ours {
            let (theirs, ours) = (explain::span(theirs), explain::span(ours));
            let what =
                || (format!("{source}: its interval is {theirs}, ours {ours}"), "take the advert and its interval");
            self.say_once(Remark::Interval, actions, what);
        }
        if let Authentication::Hmac(hmac) = &self.config.authentication {
            let (window, skew) = (Duration::from_secs(hmac.window.get().into()), self.guard.skew);
            if skew * 2 > window {
                let (skew, window) = (explain::span(skew), explain::span(window));
                let what = || {
                    let trigger = format!("{source}: its clock is {skew} from ours, the window is {window}");
                    (trigger, "take the advert, and later ones only while the clocks stay that near")
                };
                self.say_once(Remark::Skew, actions, what);
            }
        }
        self.peer = Some(Peer { address: source, priority: advert.priority, heard_at: now });
    }

    fn compare_addresses(&mut self, advert: &Heard, actions: &mut Vec<Action>) {
        let ours = self.config.addresses.iter().map(|address| address.prefix.address());
        let is_listed = |address| advert.addresses.iter().any(|listed| listed == address);
        let is_same = ours.clone().eq(advert.addresses.iter())
            || ours.len() == advert.addresses.len() && ours.clone().all(is_listed);
        if is_same {
            return;
        }
        self.counters.addr_list_err += 1;
        let (n_ours, n_theirs) = (self.config.addresses.len(), advert.addresses.len());
        let source = advert.source;
        if n_ours == n_theirs {
            let what = || (format!("{source}: it has other addresses than we have"), "take the advert all the same");
            self.say_once(Remark::List, actions, what);
        } else {
            let what =
                || (format!("{source}: it has {n_theirs} addresses, we have {n_ours}"), "take the advert all the same");
            self.say_once(Remark::Count, actions, what);
        }
    }

    fn say_once(&mut self, remark: Remark, actions: &mut Vec<Action>, what: impl FnOnce() -> (String, &'static str)) {
        if self.remarks.contains(&remark) {
            return;
        }
        self.remarks.push(remark);
        let (trigger, decision) = what();
        let rule = "said once, until the state changes or another sender is heard";
        self.explain(Why::new(trigger, rule, decision), actions);
    }
}
