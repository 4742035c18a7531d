//! The words of a line of data, one after the other, with what keepalived's readers of addresses and numbers take.

use super::super::Lower;
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word};
use evenkeel_wire::{Family, Prefix};
use std::net::IpAddr;

/// A line that is being read.
pub(super) struct Words<'a> {
    rest: &'a [Word],
    /// What the line is about: `route`.
    noun: &'static str,
}

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a Node, noun: &'static str) -> Self {
        Words { rest: &line.words, noun }
    }

    pub(super) fn next(&mut self) -> Option<&'a Word> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next word's text, not taken.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.rest.first().map(|word| word.text.as_str())
    }

    /// Takes the next word when it is this one.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let is_it = self.peek() == Some(text);
        if is_it {
            self.next();
        }
        is_it
    }

    /// The word after `keyword`; missing, keepalived ends at this line.
    pub(super) fn argument(&mut self, lower: &mut Lower, keyword: &Word) -> Option<&'a Word> {
        let word = self.next();
        if word.is_none() {
            let message = format!("`{}` needs an argument", keyword.text);
            lower.say(
                Diagnostic::error("missing-argument", keyword.span, message)
                    .so("keepalived ends with exit status 2 at this line"),
            );
        }
        word
    }

    /// Says why the line is left out.
    pub(super) fn refuse<T>(&self, lower: &mut Lower, word: &Word, message: String) -> Option<T> {
        let rule = if self.noun == "route" { "bad-route" } else { "bad-rule" };
        lower.say(
            Diagnostic::warning(rule, word.span, message)
                .so(format!("the line is ignored: there is no such {}", self.noun)),
        );
        None
    }

    /// A number up to `most`: decimal, `0x` hexadecimal, or octal with a zero before it.
    pub(super) fn number(&mut self, lower: &mut Lower, keyword: &Word, most: u64) -> Option<u64> {
        let word = self.argument(lower, keyword)?;
        match number(&word.text).filter(|number| *number <= most) {
            Some(number) => Some(number),
            None => {
                self.refuse(lower, word, format!("`{} {}`: not a number from 0 to {most}", keyword.text, word.text))
            }
        }
    }

    pub(super) fn number8(&mut self, lower: &mut Lower, keyword: &Word) -> Option<u8> {
        self.number(lower, keyword, u64::from(u8::MAX)).and_then(|number| u8::try_from(number).ok())
    }

    pub(super) fn number32(&mut self, lower: &mut Lower, keyword: &Word) -> Option<u32> {
        self.number(lower, keyword, u64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok())
    }

    /// A number or one of some names.
    pub(super) fn named(&mut self, lower: &mut Lower, keyword: &Word, names: &[(&str, u32)], most: u32) -> Option<u32> {
        let word = self.argument(lower, keyword)?;
        if let Some((_, number)) = names.iter().find(|(name, _)| *name == word.text) {
            return Some(*number);
        }
        match number(&word.text).and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= most) {
            Some(number) => Some(number),
            None => {
                let known: Vec<_> = names.iter().map(|(name, _)| *name).collect();
                let message = format!(
                    "`{} {}`: neither a number nor one of {} (the names in /etc/iproute2 are not read)",
                    keyword.text,
                    word.text,
                    known.join(", ")
                );
                self.refuse(lower, word, message)
            }
        }
    }

    pub(super) fn address(&mut self, lower: &mut Lower, keyword: &Word) -> Option<IpAddr> {
        let word = self.argument(lower, keyword)?;
        match word.text.parse() {
            Ok(address) => Some(address),
            Err(_) => self.refuse(lower, word, format!("`{}` is not an IP address", word.text)),
        }
    }

    /// A network after `keyword`.
    pub(super) fn network(&mut self, lower: &mut Lower, keyword: &Word, family: Option<Family>) -> Option<Prefix> {
        let word = self.argument(lower, keyword)?;
        self.network_of(lower, word, family)
    }

    /// `ADDRESS[/LENGTH]`, or one of the words for everything.
    pub(super) fn network_of(&mut self, lower: &mut Lower, word: &Word, family: Option<Family>) -> Option<Prefix> {
        match word.text.as_str() {
            "default6" => return Some(Family::V6.any()),
            "default" | "any" | "all" => return Some(family.unwrap_or(Family::V4).any()),
            _ => {}
        }
        match word.text.parse::<Prefix>() {
            Ok(prefix) => Some(prefix),
            Err(error) => self.refuse(lower, word, format!("`{}`: {error}", word.text)),
        }
    }

    /// `[SOURCE/]DESTINATION`.
    pub(super) fn realms(&mut self, lower: &mut Lower, keyword: &Word) -> Option<u32> {
        let word = self.argument(lower, keyword)?;
        let (from, to) = word.text.split_once('/').unwrap_or(("0", &word.text));
        let half = |text| number(text).and_then(|number| u16::try_from(number).ok());
        match (half(from), half(to)) {
            (Some(from), Some(to)) => Some(u32::from(from) << 16 | u32::from(to)),
            _ => self.refuse(lower, word, format!("`{}` are no realms: write `[SOURCE/]DESTINATION`", word.text)),
        }
    }

    /// `FIRST-LAST`.
    pub(super) fn range(&mut self, lower: &mut Lower, keyword: &Word, most: u64) -> Option<(u64, u64)> {
        let word = self.argument(lower, keyword)?;
        // keepalived refuses a number alone by a slip of its parser; here it is a range of one.
        let (first, last) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last && last <= most => Some((first, last)),
            _ => self.refuse(lower, word, format!("`{} {}` is no range", keyword.text, word.text)),
        }
    }
}

/// Decimal, hexadecimal or octal, as C reads them.
pub(super) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u64::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
}

/// Four groups of sixteen bits: the upper half of an IPv6 address.
pub(super) fn locator(text: &str) -> Option<u64> {
    let groups: Vec<_> = text.split(':').map(|group| u16::from_str_radix(group, 16)).collect();
    match groups[..] {
        [Ok(a), Ok(b), Ok(c), Ok(d)] => Some([a, b, c, d].iter().fold(0, |all, group| all << 16 | u64::from(*group))),
        _ => None,
    }
}

/// Tables that have names of their own.
pub(super) const TABLES: [(&str, u32); 3] = [("main", 254), ("local", 255), ("default", 253)];

/// Protocols that rtnetlink numbers.
pub(super) const PROTOCOLS: [(&str, u32); 19] = [
    ("redirect", 1),
    ("kernel", 2),
    ("boot", 3),
    ("static", 4),
    ("gated", 8),
    ("ra", 9),
    ("mrt", 10),
    ("zebra", 11),
    ("bird", 12),
    ("dnrouted", 13),
    ("xorp", 14),
    ("ntk", 15),
    ("dhcp", 16),
    ("keepalived", 18),
    ("babel", 42),
    ("bgp", 186),
    ("isis", 187),
    ("ospf", 188),
    ("rip", 189),
];

/// Scopes that rtnetlink numbers.
pub(super) const SCOPES: [(&str, u32); 6] =
    [("global", 0), ("universe", 0), ("site", 200), ("link", 253), ("host", 254), ("nowhere", 255)];
