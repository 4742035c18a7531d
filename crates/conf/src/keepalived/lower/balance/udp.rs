//! UDP_CHECK.

use super::super::Lower;
use super::super::number::Garbage;
use super::{ProbeDraft, check};
use crate::keepalived::language::{Node, Word};
use evenkeel_balance::config::UdpProbe;

pub(in crate::keepalived) fn begin(lower: &mut Lower, node: &Node) {
    check::begin(lower, node, ProbeDraft::Udp(UdpProbe { max_length: 255, ..UdpProbe::default() }));
}

fn udp(lower: &mut Lower) -> Option<&mut UdpProbe> {
    match &mut lower.check()?.probe {
        ProbeDraft::Udp(udp) => Some(udp),
        _ => None,
    }
}

pub(in crate::keepalived) fn payload(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    let Some(bytes) = lower.pattern(word) else { return };
    if bytes.iter().any(|(_, mask)| *mask != 0xff) {
        return lower.refuse(word, "`x` stands for any digit in a reply only".to_owned());
    }
    let Some(udp) = udp(lower) else { return };
    udp.payload = Some(bytes.into_iter().map(|(value, _)| value).collect());
}

/// Bare, or with what the reply looks like.
pub(in crate::keepalived) fn require_reply(lower: &mut Lower, node: &Node) {
    let reply = match node.argument(1) {
        None => None,
        Some(word) => match lower.pattern(word) {
            None => return,
            some => some,
        },
    };
    let Some(udp) = udp(lower) else { return };
    udp.require_reply = true;
    udp.reply = reply;
}

pub(in crate::keepalived) fn min_reply_length(lower: &mut Lower, node: &Node) {
    let Some(length) = length(lower, node) else { return };
    let Some(udp) = udp(lower) else { return };
    udp.min_length = length;
}

pub(in crate::keepalived) fn max_reply_length(lower: &mut Lower, node: &Node) {
    let Some(length) = length(lower, node) else { return };
    let Some(udp) = udp(lower) else { return };
    udp.max_length = length;
}

fn length(lower: &mut Lower, node: &Node) -> Option<u16> {
    u16::try_from(lower.integer(node.argument(1)?, 0..=65535, Garbage::Refused)?).ok()
}

impl Lower {
    /// Pairs of hexadecimal digits, blanks between them allowed; `x` is any digit.
    fn pattern(&mut self, word: &Word) -> Option<Vec<(u8, u8)>> {
        let pattern = pattern(&word.text);
        if pattern.is_none() {
            self.refuse(word, format!("`{}` is not pairs of hexadecimal digits", word.text));
        }
        pattern
    }
}

/// Value and mask of each byte.
fn pattern(text: &str) -> Option<Vec<(u8, u8)>> {
    let mut digits = Vec::new();
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        digits.push(match c {
            'x' | 'X' => (0, 0),
            _ => (u8::try_from(c.to_digit(16)?).ok()?, 0xf),
        });
    }
    let pairs = digits.as_chunks::<2>();
    (!pairs.0.is_empty() && pairs.1.is_empty())
        .then(|| pairs.0.iter().map(|[high, low]| (high.0 << 4 | low.0, high.1 << 4 | low.1)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_a_value_and_a_mask_for_each_byte() {
        for (text, expected) in [
            ("01ab", Some(vec![(0x01, 0xff), (0xab, 0xff)])),
            ("01 AB", Some(vec![(0x01, 0xff), (0xab, 0xff)])),
            ("x1 2x xx", Some(vec![(0x01, 0x0f), (0x20, 0xf0), (0, 0)])),
            ("012", None),
            ("0g", None),
            ("", None),
            ("é1", None),
        ] {
            assert_eq!(pattern(text), expected, "{text}");
        }
    }
}
