//! auth_hmac: its keys, some of which are in files of their own.

use super::key::{self, Source};
use super::number::Garbage;
use super::{At, InstanceDraft, Lower};
use crate::keepalived::language::{Node, Word};
use crate::{Diagnostic, Files, Span};
use evenkeel_vrrp::config::{Centis, Hmac, Key, KeyId, Mode, Replay, Secret};
use std::num::NonZeroU16;

/// What the block says.
#[derive(Clone, Debug)]
pub(in crate::keepalived) struct HmacDraft {
    pub(in crate::keepalived) place: Span,
    keys: Vec<KeyDraft>,
    active: Option<At<KeyId>>,
    window: Option<NonZeroU16>,
    replay: Option<Replay>,
    mode: Option<At<Mode>>,
}

#[derive(Clone, Debug)]
struct KeyDraft {
    id: KeyId,
    source: At<Source>,
}

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    let Some(place) = node.span() else { return };
    let Some(draft) = lower.drafts.instances.last_mut() else { return };
    if draft.hmac.is_some() {
        lower.say(
            Diagnostic::warning("repeated", place, "`auth_hmac` is there twice")
                .so("both blocks are read as one")
                .fix("write one block"),
        );
        return;
    }
    draft.hmac = Some(HmacDraft { place, keys: Vec::new(), active: None, window: None, replay: None, mode: None });
}

fn draft(lower: &mut Lower) -> Option<&mut HmacDraft> {
    lower.drafts.instances.last_mut()?.hmac.as_mut()
}

/// `key ID hex:... | TEXT | file:PATH`
pub(in crate::keepalived) fn key(lower: &mut Lower, node: &Node) {
    let (Some(number), Some(word)) = (node.argument(1), node.argument(2)) else { return };
    let Some(id) = key_id(lower, number) else { return };
    let source = Source::of(word);
    let Some(draft) = draft(lower) else { return };
    if draft.keys.iter().any(|key| key.id == id) {
        return lower.say(
            Diagnostic::warning("repeated", number.span, format!("there is already a key {}", id.get()))
                .so("this one is ignored")
                .fix("give it a number of its own"),
        );
    }
    draft.keys.push(KeyDraft { id, source });
}

pub(in crate::keepalived) fn active_key(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(id) = key_id(lower, word) else { return };
    let Some(draft) = draft(lower) else { return };
    let before = draft.active.replace(At::of(word, id));
    lower.replaced(node, before.map(|before| before.value).as_ref(), &id);
}

fn key_id(lower: &mut Lower, word: &Word) -> Option<KeyId> {
    let number = lower.integer(word, 1..=255, Garbage::Refused)?;
    KeyId::new(u8::try_from(number).ok()?)
}

pub(in crate::keepalived) fn time_window(lower: &mut Lower, node: &Node) {
    let longest = i64::from(Hmac::LONGEST_WINDOW);
    let Some(seconds) = node.argument(1).and_then(|word| lower.integer(word, 1..=longest, Garbage::Refused)) else {
        return;
    };
    let Some(draft) = draft(lower) else { return };
    draft.window = u16::try_from(seconds).ok().and_then(NonZeroU16::new);
}

pub(in crate::keepalived) fn anti_replay(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let replay = match word.text.as_str() {
        "time" => Replay::Time,
        "monotonic" => Replay::Monotonic,
        other => return lower.refuse(word, format!("`{other}` is neither time nor monotonic")),
    };
    let Some(draft) = draft(lower) else { return };
    draft.replay = Some(replay);
}

pub(in crate::keepalived) fn mode(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let mode = match word.text.as_str() {
        "enforce" => Mode::Enforce,
        "permissive" => Mode::Permissive,
        "receive-only" => Mode::ReceiveOnly,
        other => return lower.refuse(word, format!("`{other}` is neither enforce nor permissive nor receive-only")),
    };
    let Some(draft) = draft(lower) else { return };
    draft.mode = Some(At::of(word, mode));
}

/// What the block comes to; `None`, after saying why, where nothing can be signed. keepalived goes on without as well.
pub(super) fn finish(
    instance: &InstanceDraft,
    interval: Centis,
    strict: bool,
    files: &dyn Files,
    lower: &mut Lower,
) -> Option<Hmac> {
    let draft = instance.hmac.as_ref()?;
    let mut keys = Vec::new();
    for key in &draft.keys {
        if let Some(secret) = secret(&key.source, files, lower) {
            keys.push(Key { id: key.id, secret });
        }
    }
    let unsigned = "`auth_hmac` is off: adverts are sent and taken without authentication, as in keepalived";
    let Some(active) = &draft.active else {
        lower.say(
            Diagnostic::warning("auth-hmac-off", draft.place, "no `active_key` says which key signs")
                .so(unsigned)
                .fix("write `active_key ID` with the number of a key"),
        );
        return None;
    };
    let id = active.value;
    if !keys.iter().any(|key| key.id == id) {
        let written = draft.keys.iter().any(|key| key.id == id);
        let (what, fix) = match written {
            true => (format!("key {} cannot be used", id.get()), "correct the key, see above".to_owned()),
            false => (format!("there is no key {}", id.get()), format!("write `key {} file:PATH`", id.get())),
        };
        lower.say(Diagnostic::warning("auth-hmac-off", active.span, what).so(unsigned).fix(fix));
        return None;
    }
    let mut mode = draft.mode.clone().map_or(Mode::Enforce, |mode| mode.value);
    if strict && mode != Mode::Enforce {
        let place = draft.mode.as_ref().map_or(draft.place, |mode| mode.span);
        lower.say(
            Diagnostic::warning("strict-auth-hmac", place, "in strict mode auth_hmac is always enforced")
                .so("adverts without a signature are refused, as in keepalived")
                .fix("write `mode enforce`, or remove vrrp_strict"),
        );
        mode = Mode::Enforce;
    }
    Some(Hmac {
        keys,
        active: id,
        window: draft.window.unwrap_or_else(|| Hmac::default_window(interval)),
        replay: draft.replay.unwrap_or(Replay::Time),
        mode,
    })
}

/// A key; `None` after saying why it cannot be used.
fn secret(source: &At<Source>, files: &dyn Files, lower: &mut Lower) -> Option<Secret> {
    let bytes = key::bytes(source, "become master", files, lower)?;
    let n_bytes = bytes.len();
    let secret = Secret::new(bytes);
    if secret.is_none() {
        key::wrong_length(source, n_bytes, Secret::SHORTEST..=Secret::LONGEST, lower);
    }
    secret
}
