//! Every directive against its row: is it known, may it stand here, has it so many words, does it act.

use super::row::context::{EVENTS, HTTP, LOCATION, LOCATION_IF, MAIN, SERVER, SERVER_IF, UPSTREAM};
use super::row::{Arity, MANY, Row, Support};
use super::rows;
use super::tree::Directive;
use crate::{Diagnostic, Severity};
use std::collections::BTreeSet;

/// Reports what is wrong, and keeps what is not: the lowering sees only directives whose words can be counted on.
pub(super) fn check(directives: Vec<Directive>, context: u16, out: &mut Vec<Diagnostic>) -> Vec<Directive> {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::with_capacity(directives.len());
    for mut directive in directives {
        let Some(row) = acceptable(&directive, context, out) else { continue };
        if !row.repeats() && !seen.insert(row.name) {
            let message = format!("\"{}\" directive is duplicate", row.name);
            out.push(error("duplicate", &directive, message));
            continue;
        }
        if row.support != Support::Supported {
            continue;
        }
        if let Some(inner) = inside(row.name, context) {
            directive.block = directive.block.map(|block| check(block, inner, out));
        } else if row.name == "types" {
            check_types(directive.block.as_deref().unwrap_or_default(), out);
        }
        kept.push(directive);
    }
    kept
}

/// The context inside a block; `types` holds no directives.
fn inside(name: &str, context: u16) -> Option<u16> {
    match (name, context) {
        ("events", _) => Some(EVENTS),
        ("http", _) => Some(HTTP),
        ("upstream", _) => Some(UPSTREAM),
        ("server", HTTP) => Some(SERVER),
        ("location", _) => Some(LOCATION),
        ("if", SERVER | SERVER_IF) => Some(SERVER_IF),
        ("if", _) => Some(LOCATION_IF),
        _ => None,
    }
}

fn acceptable(directive: &Directive, context: u16, out: &mut Vec<Diagnostic>) -> Option<&'static Row> {
    let name = directive.name.text.as_str();
    let Some(row) = rows::find(name, context) else {
        let mut diagnostic = error("unknown-directive", directive, format!("unknown directive \"{name}\""));
        diagnostic.fix = nearest(name, context).map(|nearest| format!("write `{nearest}`"));
        out.push(diagnostic);
        return None;
    };
    if row.contexts & context == 0 {
        out.push(error("misplaced-directive", directive, format!("\"{name}\" directive is not allowed here")));
        return None;
    }
    let wants_block = matches!(row.arity, Arity::Block(..));
    match (&directive.block, wants_block) {
        (Some(_), false) => {
            out.push(error("syntax", directive, format!("directive \"{name}\" is not terminated by \";\"")));
            return None;
        }
        (None, true) => {
            out.push(error("syntax", directive, format!("directive \"{name}\" has no opening \"{{\"")));
            return None;
        }
        _ => {}
    }
    let (least, most) = match row.arity {
        Arity::Flag => (1, 1),
        Arity::Words(least, most) | Arity::Block(least, most) => (least, most),
    };
    let n_args = directive.args.len();
    if n_args < least || n_args > most {
        let message = format!("invalid number of arguments in \"{name}\" directive");
        let mut diagnostic = error("argument-count", directive, message);
        diagnostic.consequence = (most != MANY && n_args > most)
            .then(|| "a `;` may be missing: the words of the next lines are taken for arguments".to_owned());
        out.push(diagnostic);
        return None;
    }
    if row.arity == Arity::Flag && !matches!(directive.args[0].text.to_ascii_lowercase().as_str(), "on" | "off") {
        let value = &directive.args[0];
        let message = format!("invalid value \"{}\" in \"{name}\" directive, it must be \"on\" or \"off\"", value.text);
        out.push(Diagnostic { span: Some(value.span), ..error("invalid-value", directive, message) });
        return None;
    }
    out.extend(support(row, directive));
    Some(row)
}

/// What a person must know about a directive that does not act.
fn support(row: &Row, directive: &Directive) -> Option<Diagnostic> {
    // What `off` asks for is what happens anyway, except for these.
    const OFF_ACTS: &[&str] = &["chunked_transfer_encoding", "proxy_pass_request_body", "proxy_pass_request_headers"];
    let name = row.name;
    let is_off = matches!(directive.args.as_slice(), [word] if word.text.eq_ignore_ascii_case("off"));
    if is_off && !OFF_ACTS.contains(&name) {
        return None;
    }
    let is_on = matches!(directive.args.as_slice(), [word] if word.text.eq_ignore_ascii_case("on"));
    if is_on && OFF_ACTS.contains(&name) {
        return None;
    }
    match row.support {
        Support::Supported | Support::Harmless(_) => None,
        Support::Degraded(reason) => Some(Diagnostic {
            severity: Severity::Warning,
            consequence: Some(reason.to_owned()),
            ..error("not-acted-on", directive, format!("\"{name}\" directive has no effect"))
        }),
        Support::Rejected(what) => Some(Diagnostic {
            consequence: Some(format!("it would change answers: {what}")),
            ..error("not-supported", directive, format!("\"{name}\" directive is not supported yet"))
        }),
    }
}

fn check_types(block: &[Directive], out: &mut Vec<Diagnostic>) {
    for entry in block {
        if entry.args.is_empty() || entry.block.is_some() {
            let message = format!("invalid number of arguments in \"{}\" directive", entry.name.text);
            out.push(error("argument-count", entry, message));
        }
    }
}

fn error(rule: &'static str, directive: &Directive, message: String) -> Diagnostic {
    let span = Some(directive.name.span);
    Diagnostic { severity: Severity::Error, rule, span, message, consequence: None, fix: None }
}

/// The nearest name that may stand here, when one is near.
fn nearest(name: &str, context: u16) -> Option<&'static str> {
    let context = if context == 0 { MAIN } else { context };
    rows::all()
        .filter(|row| row.contexts & context != 0)
        .map(|row| (strsim::damerau_levenshtein(name, row.name), row.name))
        .filter(|(distance, row)| *distance <= 2.max(row.len() / 4))
        .min()
        .map(|(_, name)| name)
}
