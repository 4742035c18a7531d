//! bfd_instance, and what of it track_bfd and BFD_CHECK have to know.

use super::number::Garbage;
use super::track::{self, TrackDraft, TrackName};
use super::{At, Kind, Lower};
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};
use evenkeel_bfd::config::{Config, Reach, Session, default_ttl};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

/// keepalived keeps names of so many bytes.
const LONGEST_NAME: usize = 31;

/// What fits the packet's microseconds, in whole milliseconds.
const LONGEST_INTERVAL: Duration = Duration::from_millis(4_294_967);

/// Longer ones are taken, with a warning.
const SENSIBLE_INTERVAL: Duration = Duration::from_secs(10);

/// A bfd_instance.
#[derive(Debug)]
pub(in crate::keepalived) struct SessionDraft {
    name: At<String>,
    /// It has been said why it does not run.
    ignored: bool,
    neighbour: Option<At<IpAddr>>,
    source: Option<At<IpAddr>>,
    min_rx: Option<Duration>,
    min_tx: Option<Duration>,
    idle_tx: Option<Duration>,
    multiplier: Option<NonZeroU8>,
    passive: bool,
    ttl: Option<At<NonZeroU8>>,
    max_hops: Option<At<i64>>,
    multihop: bool,
    weight: (i16, bool),
    vrrp: bool,
    checker: bool,
}

impl SessionDraft {
    /// Neither word means both.
    fn tells_vrrp(&self) -> bool {
        self.vrrp || !self.checker
    }

    fn tells_checker(&self) -> bool {
        self.checker || !self.vrrp
    }

    fn reach(&self) -> Reach {
        if self.multihop { Reach::Multihop } else { Reach::SingleHop }
    }
}

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(name) = node.argument(1) else { return };
    let mut ignored = false;
    if name.text.len() > LONGEST_NAME {
        lower.say(
            Diagnostic::warning("bad-value", name.span, format!("`{}` is longer than {LONGEST_NAME} bytes", name.text))
                .so("the bfd_instance is ignored, as in keepalived")
                .fix("give it a shorter name"),
        );
        ignored = true;
    } else if !lower.claim(Kind::Session, &name.text) {
        lower.say(
            Diagnostic::warning("repeated", name.span, format!("there is already a bfd_instance `{}`", name.text))
                .so("this one is ignored")
                .fix("give it another name"),
        );
        ignored = true;
    }
    lower.drafts.bfd.push(SessionDraft {
        name: At::of(name, name.text.clone()),
        ignored,
        neighbour: None,
        source: None,
        min_rx: None,
        min_tx: None,
        idle_tx: None,
        multiplier: None,
        passive: false,
        ttl: None,
        max_hops: None,
        multihop: false,
        weight: (0, false),
        vrrp: false,
        checker: false,
    });
}

pub(in crate::keepalived) fn neighbour(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let address = word.text.parse::<IpAddr>();
    if address.is_err() {
        lower.say(
            Diagnostic::warning("bad-value", word.span, format!("`{}` is no address", word.text))
                .so("the bfd_instance does not run, as in keepalived: what follows it takes it to be down")
                .fix("write an address without anything after it"),
        );
    }
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    match address {
        Ok(address) => draft.neighbour = Some(At::of(word, address)),
        Err(_) => draft.ignored = true,
    }
}

pub(in crate::keepalived) fn source(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Ok(address) = word.text.parse::<IpAddr>() else {
        return lower.refuse(word, format!("`{}` is no address", word.text));
    };
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    draft.source = Some(At::of(word, address));
}

pub(in crate::keepalived) fn min_rx(lower: &mut Lower, node: &Node) {
    let value = lower.interval(node, Duration::from_millis(1));
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    draft.min_rx = value.or(draft.min_rx);
}

pub(in crate::keepalived) fn min_tx(lower: &mut Lower, node: &Node) {
    let value = lower.interval(node, Duration::from_millis(1));
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    draft.min_tx = value.or(draft.min_tx);
}

pub(in crate::keepalived) fn idle_tx(lower: &mut Lower, node: &Node) {
    let value = lower.interval(node, Duration::from_secs(1));
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    draft.idle_tx = value.or(draft.idle_tx);
}

pub(in crate::keepalived) fn multiplier(lower: &mut Lower, node: &Node) {
    let value = lower.byte(node.argument(1));
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    draft.multiplier = value.map(|value| value.value).or(draft.multiplier);
}

/// `ttl` and `hoplimit`.
pub(in crate::keepalived) fn ttl(lower: &mut Lower, node: &Node) {
    let value = lower.byte(node.argument(1));
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    draft.ttl = value.or(draft.ttl.take());
}

pub(in crate::keepalived) fn max_hops(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(hops) = lower.integer(word, -1..=255, Garbage::Refused) else { return };
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    draft.max_hops = Some(At::of(word, hops));
}

pub(in crate::keepalived) fn multihop(lower: &mut Lower, node: &Node) {
    let value = lower.boolean(node.argument(1));
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    draft.multihop = value.unwrap_or(draft.multihop);
}

pub(in crate::keepalived) fn weight(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(weight) = lower.integer(word, -253..=253, Garbage::Refused) else { return };
    let reverse = match node.argument(2) {
        None => false,
        Some(word) if word.text == "reverse" => true,
        Some(word) => {
            lower.refuse(word, format!("`{}` is no option of a weight; there is `reverse`", word.text));
            false
        }
    };
    let Some(draft) = lower.drafts.bfd.last_mut() else { return };
    draft.weight = (i16::try_from(weight).unwrap_or_default(), reverse);
}

/// The words that stand alone.
macro_rules! switches {
    ($($name:ident)*) => {$(
        pub(in crate::keepalived) fn $name(lower: &mut Lower, _: &Node) {
            let Some(draft) = lower.drafts.bfd.last_mut() else { return };
            draft.$name = true;
        }
    )*};
}

switches! { passive vrrp checker }

/// The sessions that a `track_bfd` block names, with their weights. keepalived looks them up where they are named.
pub(super) fn tracks(lower: &mut Lower, node: &Node) -> Vec<TrackDraft> {
    let mut tracks = Vec::<TrackDraft>::new();
    for mut track in track::lines_within(lower, node, TrackName::Bfd, 253) {
        let TrackName::Bfd(name) = track.target.value.clone() else { continue };
        let place = track.target.span;
        let Some(session) = lower.drafts.bfd.iter().find(|draft| draft.name.value == name) else {
            lower.say(
                Diagnostic::warning("unknown-bfd", place, format!("there is no bfd_instance `{name}` above this line"))
                    .so("nothing is tracked, as in keepalived: the address does not follow the session")
                    .fix(format!("define it further up: `bfd_instance {name} {{ ... }}`")),
            );
            continue;
        };
        if !session.tells_vrrp() {
            lower.say(
                Diagnostic::warning("unknown-bfd", place, format!("the bfd_instance `{name}` is for checkers only"))
                    .so("nothing is tracked, as in keepalived")
                    .fix("write `vrrp` into the bfd_instance, beside `checker`"),
            );
            continue;
        }
        if tracks.iter().any(|known| known.target.value == track.target.value) {
            lower.say(
                Diagnostic::warning("repeated", place, format!("the bfd_instance `{name}` is tracked twice"))
                    .so("the first line counts")
                    .fix("remove one of them"),
            );
            continue;
        }
        track.weight = track.weight.or(Some(session.weight.0));
        track.reverse = track.reverse.or(Some(session.weight.1));
        tracks.push(track);
    }
    tracks
}

/// Why a BFD_CHECK cannot follow the session of this name; `None` when it can.
pub(super) fn no_check_of(lower: &Lower, name: &str) -> Option<(String, String)> {
    match lower.drafts.bfd.iter().find(|draft| draft.name.value == name) {
        None => Some((
            format!("there is no bfd_instance `{name}` above this line"),
            format!("define it further up: `bfd_instance {name} {{ ... }}`"),
        )),
        Some(session) if !session.tells_checker() => Some((
            format!("the bfd_instance `{name}` is for virtual routers only"),
            "write `checker` into the bfd_instance, beside `vrrp`".to_owned(),
        )),
        Some(_) => None,
    }
}

/// Makes of the drafts what the sessions are told.
pub(in crate::keepalived) fn finish(lower: &mut Lower) -> Config {
    let drafts = std::mem::take(&mut lower.drafts.bfd);
    let mut config = Config::default();
    for draft in drafts.iter().filter(|draft| !draft.ignored) {
        if let Some(session) = session(draft, &config, lower) {
            lower.settings.session_weights.insert(session.name.clone(), draft.weight);
            config.sessions.push(session);
        }
    }
    lower.drafts.bfd = drafts;
    config
}

fn session(draft: &SessionDraft, config: &Config, lower: &mut Lower) -> Option<Session> {
    let name = &draft.name.value;
    let does_not_run = |span, message: String, fix: &str, lower: &mut Lower| {
        let what = "the bfd_instance does not run, as in keepalived: what tracks it takes it to be down";
        lower.say(Diagnostic::warning("bfd-disabled", span, message).so(what).fix(fix));
    };
    let Some(neighbour) = &draft.neighbour else {
        let message = format!("the bfd_instance `{name}` has no neighbor_ip");
        does_not_run(draft.name.span, message, "write `neighbor_ip ADDRESS`", lower);
        return None;
    };
    let source = draft.source.as_ref();
    if let Some(source) = source.filter(|source| source.value.is_ipv4() != neighbour.value.is_ipv4()) {
        let message = format!("{} and {} are of different families", source.value, neighbour.value);
        does_not_run(source.span, message, "name addresses of one family", lower);
        return None;
    }
    let source = source.map(|source| source.value);
    let is_there =
        |known: &&Session| known.neighbour == neighbour.value && known.source == source && known.reach == draft.reach();
    if let Some(known) = config.sessions.iter().find(is_there) {
        let message = format!("`{}` has the same neighbor_ip and source_ip", known.name);
        does_not_run(neighbour.span, message, "follow that one, or name another address", lower);
        return None;
    }
    let defaults = Session::new(name, neighbour.value);
    let ttl = draft.ttl.as_ref().map_or(default_ttl(neighbour.value), |ttl| ttl.value);
    if !draft.multihop && ttl.get() != u8::MAX {
        let span = draft.ttl.as_ref().map_or(neighbour.span, |ttl| ttl.span);
        lower.say(
            Diagnostic::warning("bfd-ttl", span, format!("packets go out with a hop limit of {ttl}"))
                .so("a neighbour that goes by RFC 5881 section 5 drops all but 255; keepalived does not look beyond its own `ttl` and `max_hops`")
                .fix("write `ttl 255` on both nodes"),
        );
    }
    Some(Session {
        source,
        reach: draft.reach(),
        min_rx: draft.min_rx.unwrap_or(defaults.min_rx),
        min_tx: draft.min_tx.unwrap_or(defaults.min_tx),
        idle_tx: draft.idle_tx.unwrap_or(defaults.idle_tx),
        multiplier: draft.multiplier.unwrap_or(defaults.multiplier),
        passive: draft.passive,
        ttl,
        max_hops: hops(draft, ttl, lower),
        tells_vrrp: draft.tells_vrrp(),
        tells_checker: draft.tells_checker(),
        ..defaults
    })
}

/// As far as packets may have come; `None` when nobody looks.
fn hops(draft: &SessionDraft, ttl: NonZeroU8, lower: &mut Lower) -> Option<u8> {
    let wanted = draft.max_hops.as_ref().map_or(0, |hops| hops.value);
    if draft.multihop && wanted == 0 {
        let span = draft.max_hops.as_ref().map_or(draft.name.span, |hops| hops.span);
        lower.say(
            Diagnostic::warning("bfd-hops", span, format!("a packet has to come with a hop limit of {ttl} at least"))
                .so("what a router has passed on is dropped, as in keepalived: the session does not come up over one")
                .fix("write `max_hops N`, as many as there may be on the way, or -1"),
        );
    }
    let Some(hops) = &draft.max_hops else { return Some(0) };
    let value = u8::try_from(hops.value).ok().filter(|hops| *hops != u8::MAX)?;
    if value > ttl.get() {
        lower.say(
            Diagnostic::warning("bad-value", hops.span, format!("max_hops {value} is more than the ttl, {ttl}"))
                .so(format!("it is taken as {ttl}, as in keepalived: packets may come from any distance"))
                .fix("write -1 when that is meant"),
        );
    }
    Some(value.min(ttl.get()))
}

impl Lower {
    fn byte(&mut self, word: Option<&Word>) -> Option<At<NonZeroU8>> {
        let word = word?;
        let value = self.integer(word, 1..=255, Garbage::Refused)?;
        let value = u8::try_from(value).ok().and_then(NonZeroU8::new)?;
        Some(At::of(word, value))
    }

    /// Milliseconds with up to three decimals.
    fn interval(&mut self, node: &Node, least: Duration) -> Option<Duration> {
        let word = node.argument(1)?;
        let Some((value, is_exact)) = milliseconds(&word.text) else {
            self.refuse(word, format!("`{}` is no number of milliseconds", word.text));
            return None;
        };
        if !(least..=LONGEST_INTERVAL).contains(&value) {
            let (least, most) = (least.as_millis(), LONGEST_INTERVAL.as_millis());
            self.refuse(word, format!("`{}` is not between {least} and {most} milliseconds", word.text));
            return None;
        }
        if !is_exact {
            self.say(
                Diagnostic::warning("rounded", word.span, format!("`{}` has too many decimals", word.text))
                    .so(format!("it is rounded to {} ms", value.as_secs_f64() * 1000.0)),
            );
        }
        if value > SENSIBLE_INTERVAL {
            self.say(
                Diagnostic::warning("bfd-slow", word.span, format!("`{}` is more than ten seconds", word.text))
                    .so("a neighbour that is gone is missed late; keepalived warns as well")
                    .fix("the number is in milliseconds"),
            );
        }
        Some(value)
    }
}

/// And whether it has no more than three decimals.
fn milliseconds(text: &str) -> Option<(Duration, bool)> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(decimals) || whole.len() > 12 {
        return None;
    }
    let millis: u64 = whole.parse().ok()?;
    let mut micros = 0;
    for place in 0..3 {
        micros = micros * 10 + decimals.as_bytes().get(place).map_or(0, |digit| u64::from(digit - b'0'));
    }
    let rounds_up = decimals.as_bytes().get(3).is_some_and(|digit| *digit >= b'5');
    Some((Duration::from_micros(millis * 1000 + micros + u64::from(rounds_up)), decimals.len() <= 3))
}
