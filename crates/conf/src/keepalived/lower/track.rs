use super::number::Garbage;
use super::{At, Lower};
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};

/// A line of a track block.
#[derive(Clone, Debug)]
pub(in crate::keepalived) struct TrackDraft {
    pub(in crate::keepalived) target: At<TrackName>,
    /// `None`: the script's own, or 0.
    pub(in crate::keepalived) weight: Option<i16>,
    pub(in crate::keepalived) reverse: Option<bool>,
}

/// What is tracked, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::keepalived) enum TrackName {
    Interface(String),
    Script(String),
    File(String),
    Process(String),
    Bfd(String),
    Proxy,
}

/// The lines `NAME [weight W [reverse|noreverse]]` of a block.
pub(super) fn lines(lower: &mut Lower, node: &Node, name: fn(String) -> TrackName) -> Vec<TrackDraft> {
    lines_within(lower, node, name, MOST)
}

/// The same with weights up to `most`.
pub(super) fn lines_within(
    lower: &mut Lower,
    node: &Node,
    name: fn(String) -> TrackName,
    most: i64,
) -> Vec<TrackDraft> {
    node.children
        .iter()
        .filter_map(|line| {
            let (first, rest) = line.words.split_first()?;
            let (weight, reverse) = weight_within(lower, rest, most);
            Some(TrackDraft { target: At::of(first, name(first.text.clone())), weight, reverse })
        })
        .collect()
}

/// `weight W [reverse]` of the thing that is tracked.
pub(super) fn default_weight(lower: &mut Lower, node: &Node) -> Option<(i16, bool)> {
    let weight = lower.integer(node.argument(1)?, -254..=254, Garbage::Tolerated)?;
    let reverse = node.argument(2).is_some_and(|word| word.text == "reverse");
    Some((i16::try_from(weight).ok()?, reverse))
}

/// keepalived takes one more than it uses, and clips it.
const MOST: i64 = 254;

/// `weight W [reverse|noreverse]`, in any order, each optional.
pub(super) fn weight(lower: &mut Lower, words: &[Word]) -> (Option<i16>, Option<bool>) {
    weight_within(lower, words, MOST)
}

fn weight_within(lower: &mut Lower, words: &[Word], most: i64) -> (Option<i16>, Option<bool>) {
    let (mut weight, mut reverse) = (None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "reverse" => reverse = Some(true),
            "noreverse" => reverse = Some(false),
            "weight" => match words.next() {
                Some(number) => {
                    let number = lower.integer(number, -most..=most, Garbage::Tolerated);
                    weight = number.and_then(|number| i16::try_from(number.clamp(-253, 253)).ok());
                }
                None => lower.say(Diagnostic::error("missing-argument", word.span, "`weight` needs a number")),
            },
            _ => lower.say(
                Diagnostic::warning("extra-text", word.span, format!("`{}` is not understood here", word.text))
                    .so("it is ignored")
                    .fix("a line is `NAME [weight W [reverse]]`"),
            ),
        }
    }
    (weight, reverse)
}
