//! `rewrite`, `set`, `if`, `break` and `return`.

use super::lexer::Word;
use super::lower::Lowering;
use super::tree::Directive;
use super::upstream;
use evenkeel_site::Variable;
use evenkeel_site::config::rewrite::{Condition, FileTest, Inside, Step, Test, Then};
use evenkeel_site::config::{Handler, LocationMatch, Return, Scope};

/// Where rewriting stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'s> {
    Server,
    /// With the values around.
    Location(&'s Scope),
}

/// The rewriting of a block, in the order of the file.
pub(super) fn steps(lowering: &mut Lowering<'_>, block: &[Directive], place: Place<'_>) -> Vec<Step> {
    block.iter().filter_map(|directive| step(lowering, directive, place)).collect()
}

fn step(lowering: &mut Lowering<'_>, directive: &Directive, place: Place<'_>) -> Option<Step> {
    match directive.name.text.as_str() {
        "break" => Some(Step::Break),
        "return" => returns(lowering, directive).map(Step::Return),
        "set" => set(lowering, directive),
        "rewrite" => rewrite(lowering, directive),
        "if" => {
            let condition = condition(lowering, directive)?;
            let block = directive.block.as_deref().unwrap_or_default();
            let inside = match place {
                Place::Server => None,
                Place::Location(around) => {
                    let scope = lowering.scope(around, block);
                    Some(Box::new(Inside { scope, handler: handler(lowering, block) }))
                }
            };
            let place = inside.as_ref().map_or(Place::Server, |inside| Place::Location(&inside.scope));
            Some(Step::If { condition, steps: steps(lowering, block, place), inside })
        }
        _ => None,
    }
}

fn handler(lowering: &mut Lowering<'_>, block: &[Directive]) -> Option<Handler> {
    let directive = block.iter().find(|directive| directive.name.text == "proxy_pass")?;
    let nameless = LocationMatch::Named(String::new());
    upstream::proxy_pass(lowering, directive, &nameless).map(Handler::Proxy)
}

pub(super) fn returns(lowering: &mut Lowering<'_>, directive: &Directive) -> Option<Return> {
    let (first, text) = match directive.args.as_slice() {
        [first] => (first, None),
        [first, text] => (first, Some(text)),
        _ => return None,
    };
    let Some(status) = super::value::number(&first.text) else {
        let is_url = ["http://", "https://", "$scheme"].iter().any(|start| first.text.starts_with(start));
        if text.is_some() || !is_url {
            lowering.error("invalid-value", first.span, format!("invalid return code \"{}\"", first.text));
            return None;
        }
        lowering.check_template(first);
        return Some(Return { status: 302, text: Some(first.text.clone()) });
    };
    let Some(status) = u16::try_from(status).ok().filter(|status| *status <= 999) else {
        lowering.error("invalid-value", first.span, format!("invalid return code \"{}\"", first.text));
        return None;
    };
    if let Some(text) = text {
        lowering.check_template(text);
    }
    Some(Return { status, text: text.map(|text| text.text.clone()) })
}

fn set(lowering: &mut Lowering<'_>, directive: &Directive) -> Option<Step> {
    let [name, value] = directive.args.as_slice() else { return None };
    let variable = variable_name(lowering, name)?;
    if variable == "limit_rate" {
        lowering.unsupported(directive, name);
        return None;
    }
    if Variable::is_fixed(&variable) {
        lowering.error("duplicate", name.span, format!("the duplicate \"{variable}\" variable"));
        return None;
    }
    lowering.check_template(value);
    Some(Step::Set { variable, value: value.text.clone() })
}

/// The name of a variable that is written with its dollar sign, in lower case.
pub(super) fn variable_name(lowering: &mut Lowering<'_>, word: &Word) -> Option<String> {
    match word.text.strip_prefix('$').filter(|name| !name.is_empty()) {
        Some(name) => Some(name.to_ascii_lowercase()),
        None => {
            lowering.error("invalid-value", word.span, format!("invalid variable name \"{}\"", word.text));
            None
        }
    }
}

fn rewrite(lowering: &mut Lowering<'_>, directive: &Directive) -> Option<Step> {
    let [pattern, replacement, rest @ ..] = directive.args.as_slice() else { return None };
    if replacement.text.is_empty() {
        lowering.error("invalid-value", replacement.span, "empty replacement".to_owned());
        return None;
    }
    let is_url = ["http://", "https://", "$scheme"].iter().any(|start| replacement.text.starts_with(start));
    let then = match rest {
        [] if is_url => Then::Redirect,
        [] => Then::Continue,
        [flag, ..] => match flag.text.as_str() {
            "last" if is_url => Then::Redirect,
            "break" if is_url => Then::Redirect,
            "last" => Then::Last,
            "break" => Then::Break,
            "redirect" => Then::Redirect,
            "permanent" => Then::Permanent,
            other => {
                lowering.error("invalid-value", flag.span, format!("invalid parameter \"{other}\""));
                return None;
            }
        },
    };
    lowering.check_template(replacement);
    Some(Step::Rewrite { pattern: pattern.text.clone(), replacement: replacement.text.clone(), then })
}

/// `($a = b)`: the parentheses may stand apart from what they hold, as in nginx.
fn condition(lowering: &mut Lowering<'_>, directive: &Directive) -> Option<Condition> {
    let mut words: Vec<Word> = directive.args.clone();
    let invalid = |lowering: &mut Lowering<'_>, word: &Word| {
        lowering.error("invalid-value", word.span, format!("invalid condition \"{}\"", word.text));
        None
    };
    let span = directive.name.span;
    let (Some(first), Some(last)) = (directive.args.first(), directive.args.last()) else { return None };
    if !first.text.starts_with('(') || !last.text.ends_with(')') {
        return invalid(lowering, if first.text.starts_with('(') { last } else { first });
    }
    words[0].text.remove(0);
    if words[0].text.is_empty() {
        words.remove(0);
    }
    if let Some(last) = words.last_mut() {
        last.text.pop();
        if last.text.is_empty() {
            words.pop();
        }
    }
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let plain = |test| Some(Condition { test, negated: false });
    match texts.as_slice() {
        [test, path] if test.starts_with('-') || test.starts_with("!-") => {
            let (negated, letter) = match test.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, *test),
            };
            let what = match letter {
                "-f" => FileTest::File,
                "-d" => FileTest::Directory,
                "-e" => FileTest::Exists,
                "-x" => FileTest::Executable,
                _ => return invalid(lowering, &words[0]),
            };
            lowering.check_template(&words[1]);
            Some(Condition { test: Test::File(what, (*path).to_owned()), negated })
        }
        [name] if name.starts_with('$') => {
            let name = variable_name(lowering, &words[0])?;
            lowering.check_variable(&name, words[0].span);
            plain(Test::True(name))
        }
        [name, operator, value] if name.starts_with('$') => {
            let name = variable_name(lowering, &words[0])?;
            lowering.check_variable(&name, words[0].span);
            let (negated, operator) = match operator.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, *operator),
            };
            let test = match operator {
                "=" => {
                    lowering.check_template(&words[2]);
                    Test::Equal(name, (*value).to_owned())
                }
                "~" | "~*" => {
                    Test::Match { variable: name, pattern: (*value).to_owned(), ignore_case: operator == "~*" }
                }
                _ => {
                    let message = format!("unexpected \"{}\" in condition", words[1].text);
                    lowering.error("invalid-value", words[1].span, message);
                    return None;
                }
            };
            Some(Condition { test, negated })
        }
        [] => {
            lowering.error("invalid-value", span, "invalid condition \"()\"".to_owned());
            None
        }
        _ => invalid(lowering, &words[0]),
    }
}
