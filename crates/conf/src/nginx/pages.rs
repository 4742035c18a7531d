//! `error_page`, `add_header`, `allow` and `deny`.

use super::lexer::Word;
use super::lower::Lowering;
use super::tree::Directive;
use evenkeel_site::config::answer::{AccessRule, AddHeader, Clients, ErrorPage, Shown};
use evenkeel_wire::Prefix;
use std::net::IpAddr;

impl Lowering<'_> {
    /// A block's own error pages; `None` when it has none, and those around are in force.
    pub(super) fn error_pages(&mut self, directives: &[Directive]) -> Option<Vec<ErrorPage>> {
        let own: Vec<_> = directives.iter().filter(|directive| directive.name.text == "error_page").collect();
        (!own.is_empty()).then(|| own.into_iter().filter_map(|directive| self.error_page(directive)).collect())
    }

    fn error_page(&mut self, directive: &Directive) -> Option<ErrorPage> {
        let [statuses @ .., target] = directive.args.as_slice() else { return None };
        let (shown, statuses) = match statuses.split_last() {
            Some((word, rest)) if word.text.starts_with('=') => (self.shown(word)?, rest),
            _ => (Shown::Error, statuses),
        };
        if statuses.is_empty() {
            let message = "invalid number of arguments in \"error_page\" directive".to_owned();
            self.error("argument-count", directive.name.span, message);
            return None;
        }
        let statuses = statuses.iter().filter_map(|word| self.error_status(directive, word)).collect();
        self.check_template(target);
        Some(ErrorPage { statuses, shown, target: target.text.clone() })
    }

    fn shown(&mut self, word: &Word) -> Option<Shown> {
        if word.text == "=" {
            return Some(Shown::Page);
        }
        let status = super::value::number(&word.text[1..]).and_then(|status| u16::try_from(status).ok());
        if status.is_none() {
            self.error("invalid-value", word.span, format!("invalid value \"{}\"", word.text));
        }
        status.map(Shown::This)
    }

    fn error_status(&mut self, directive: &Directive, word: &Word) -> Option<u16> {
        let Some(status) = super::value::number(&word.text).and_then(|status| u16::try_from(status).ok()) else {
            self.error("invalid-value", word.span, format!("invalid value \"{}\"", word.text));
            return None;
        };
        if status == 499 {
            self.error("invalid-value", word.span, format!("invalid value \"{}\"", word.text));
            return None;
        }
        if !(300..=599).contains(&status) {
            let message = format!("value \"{}\" must be between 300 and 599", word.text);
            self.error("invalid-value", word.span, message);
            return None;
        }
        // Pages for redirects that are no errors.
        if status < 400 {
            self.unsupported(directive, word);
        }
        Some(status)
    }

    /// A block's own headers; `None` when it has none, and those around are in force.
    pub(super) fn add_headers(&mut self, directives: &[Directive]) -> Option<Vec<AddHeader>> {
        let own: Vec<_> = directives.iter().filter(|directive| directive.name.text == "add_header").collect();
        (!own.is_empty()).then(|| own.into_iter().filter_map(|directive| self.add_header(directive)).collect())
    }

    fn add_header(&mut self, directive: &Directive) -> Option<AddHeader> {
        let [name, value, rest @ ..] = directive.args.as_slice() else { return None };
        let always = match rest {
            [] => false,
            [word, ..] if word.text == "always" => true,
            [word, ..] => {
                self.error("invalid-value", word.span, format!("invalid parameter \"{}\"", word.text));
                return None;
            }
        };
        // nginx puts these in the place of its own, and takes its conditions from them.
        if name.text.eq_ignore_ascii_case("last-modified") || name.text.eq_ignore_ascii_case("etag") {
            self.unsupported(directive, name);
        }
        self.check_template(value);
        Some(AddHeader { name: name.text.clone(), value: value.text.clone(), always })
    }

    /// A block's own rules of access; `None` when it has none, and those around are in force.
    pub(super) fn access(&mut self, directives: &[Directive]) -> Option<Vec<AccessRule>> {
        let is_rule = |directive: &&Directive| matches!(directive.name.text.as_str(), "allow" | "deny");
        let own: Vec<_> = directives.iter().filter(is_rule).collect();
        (!own.is_empty()).then(|| own.into_iter().filter_map(|directive| self.access_rule(directive)).collect())
    }

    fn access_rule(&mut self, directive: &Directive) -> Option<AccessRule> {
        let word = directive.args.first()?;
        let clients = match word.text.as_str() {
            "all" => Clients::All,
            "unix:" => Clients::Unix,
            text => {
                let network = match text.contains('/') {
                    true => text.parse::<Prefix>().ok(),
                    false => text.parse::<IpAddr>().ok().map(Prefix::host),
                };
                let Some(network) = network else {
                    self.error("invalid-value", word.span, format!("invalid parameter \"{text}\""));
                    return None;
                };
                Clients::Network(network)
            }
        };
        Some(AccessRule { allows: directive.name.text == "allow", clients })
    }
}
