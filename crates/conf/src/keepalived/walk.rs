//! Takes a tree through the rows: what each keyword may be followed by, and who lowers it.

use super::language::{Node, Word};
use super::lower::Lower;
use super::rows::{self, Block, Body, Directive, Support};
use crate::{Diagnostic, Span};

/// Whether what is found is also acted on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Check and lower.
    Act,
    /// Inside a block that is accepted and not acted on: check only.
    Check,
}

/// Checks and lowers a file. `global_defs` is lowered before everything else, because keepalived's parent reads it
/// before its children read the instances.
pub(super) fn walk(nodes: &[Node], lower: &mut Lower) {
    let (globals, others): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.keyword() == "global_defs");
    for node in globals.into_iter().chain(others) {
        directive(node, Block::Root, Mode::Act, lower);
    }
}

fn block(nodes: &[Node], block: Block, mode: Mode, lower: &mut Lower) {
    for node in nodes {
        directive(node, block, mode, lower);
    }
}

fn directive(node: &Node, context: Block, mode: Mode, lower: &mut Lower) {
    let Some(keyword) = node.words.first() else {
        return block(&node.children, context, mode, lower);
    };
    let row = match rows::find(context, &keyword.text) {
        Some(row) => row,
        None => match rows::present_name(context, &keyword.text).and_then(|name| rows::find(context, name)) {
            Some(row) => {
                old_spelling(keyword, row, lower);
                row
            }
            None => return unknown(node, keyword, context, mode, lower),
        },
    };
    if !arguments(node, keyword, row, context, lower) {
        return;
    }
    let braces_fit = braces(node, keyword, row, lower);
    if mode == Mode::Act {
        accepted(keyword, row, lower);
        if let Some(lower_it) = row.lower {
            lower_it(lower, node);
        }
    }
    match row.body {
        Body::Block(inner) => {
            let mode = if row.support == Support::Supported { mode } else { Mode::Check };
            block(&node.children, inner, mode, lower);
        }
        // The braces of a keyword that takes none do not hide what is between them from keepalived.
        Body::Line if !braces_fit => block(&node.children, context, mode, lower),
        Body::Line | Body::Values | Body::OptionalValues => {}
    }
}

fn old_spelling(keyword: &Word, row: &Directive, lower: &mut Lower) {
    lower.say(
        Diagnostic::warning("old-spelling", keyword.span, format!("`{}` is now called `{}`", keyword.text, row.name))
            .so("current keepalived no longer knows the old name and ignores it; here it means the same")
            .fix(format!("write `{}`", row.name)),
    );
}

/// keepalived reports an unknown keyword, and then reads what is between its braces as if they were not there.
fn unknown(node: &Node, keyword: &Word, context: Block, mode: Mode, lower: &mut Lower) {
    let diagnostic = unknown_keyword(keyword, context, lower);
    lower.say(diagnostic);
    for child in &node.children {
        if let Some(keyword) = child.words.first()
            && rows::find(context, &keyword.text).is_some()
        {
            let message = format!("`{}` is inside an unknown block", keyword.text);
            lower.say(
                Diagnostic::warning("inside-unknown-block", keyword.span, message)
                    .so("it is acted on as if it stood outside that block, as keepalived does")
                    .fix("correct the keyword of the block, or move this line out of it"),
            );
        }
        directive(child, context, mode, lower);
    }
}

fn unknown_keyword(keyword: &Word, context: Block, lower: &Lower) -> Diagnostic {
    let diagnostic =
        Diagnostic::warning("unknown-keyword", keyword.span, format!("unknown keyword `{}`", keyword.text));
    if lower.has_said_enough() {
        // Nobody will read it: do not search for the nearest word.
        return diagnostic;
    }
    if let Some(nearest) = rows::nearest(context, &keyword.text) {
        return diagnostic.so("it is ignored").fix(format!("write `{nearest}`"));
    }
    if let Some(block) = rows::elsewhere(context, &keyword.text) {
        return diagnostic
            .so(format!("it is ignored: it does not belong {}", inside(context)))
            .fix(format!("move it {}", inside(block)));
    }
    let fix = match keyword.text.contains('=') {
        true => "separate a keyword from its value with a blank",
        false => "remove it",
    };
    diagnostic.so("it is ignored").fix(fix)
}

fn inside(block: Block) -> String {
    match block {
        Block::Root => "outside of all blocks".to_owned(),
        block => format!("inside `{}`", block.title()),
    }
}

/// Whether there are enough arguments; extra ones are ignored with a warning.
fn arguments(node: &Node, keyword: &Word, row: &Directive, context: Block, lower: &mut Lower) -> bool {
    let (fewest, most) = (usize::from(row.arity.0), usize::from(row.arity.1));
    let given = node.words.len() - 1;
    if given < fewest {
        lower.say(
            Diagnostic::error("missing-argument", keyword.span, format!("`{}` needs {}", row.name, row.arguments))
                .so("keepalived ends with exit status 2 at this line")
                .fix(format!("write `{} {}`", row.name, row.arguments)),
        );
        return false;
    }
    if given > most {
        extra_words(&node.words[most + 1..], row, context, lower);
    }
    true
}

fn extra_words(extra: &[Word], row: &Directive, context: Block, lower: &mut Lower) {
    let Some(span) = Span::around(extra.iter().map(|word| word.span)) else { return };
    let stuck = extra.iter().find(|word| !word.quoted && rows::find(context, &word.text).is_some());
    if let Some(word) = stuck {
        lower.say(
            Diagnostic::warning(
                "stuck-keyword",
                word.span,
                format!("`{}` is on the line of `{}`", word.text, row.name),
            )
            .so("it is ignored: a line has one directive")
            .fix(format!("put `{}` on a line of its own", word.text)),
        );
        return;
    }
    let message = match row.arity.1 {
        0 => format!("`{}` takes no argument", row.name),
        _ => format!("`{}` takes {}", row.name, row.arguments),
    };
    let consequence = match (row.arity.1, row.body) {
        (0, Body::Line) => "what follows is ignored, so that even `off` or `false` turns it on",
        _ => "the rest of the line is ignored",
    };
    lower.say(
        Diagnostic::warning("extra-text", span, message)
            .so(consequence)
            .fix("remove it, or make it a comment with `#`"),
    );
}

/// Whether there are braces if and only if the keyword has a body.
fn braces(node: &Node, keyword: &Word, row: &Directive, lower: &mut Lower) -> bool {
    match (row.body, node.open) {
        (Body::Line, Some(open)) => {
            lower.say(
                Diagnostic::warning("unexpected-brace", open, format!("`{}` has no block", row.name))
                    .so("what is between the braces is read as if they were not there")
                    .fix("remove the braces"),
            );
            false
        }
        (Body::Block(_) | Body::Values, None) => {
            lower.say(
                Diagnostic::warning("missing-brace", keyword.span, format!("`{}` needs a block", row.name))
                    .so("it is read as if the block were empty")
                    .fix(format!("write `{} {{ ... }}`", row.name)),
            );
            false
        }
        _ => true,
    }
}

/// Says once for a keyword or a block that nothing acts on it.
fn accepted(keyword: &Word, row: &Directive, lower: &mut Lower) {
    let Support::Accepted { reason, missed } = row.support else { return };
    let message = format!("`{}` is accepted: {reason}", keyword.text);
    lower.say(match missed {
        true => Diagnostic::warning("not-acted-on", keyword.span, message).so("what depends on it does not happen"),
        false => Diagnostic::note("not-acted-on", keyword.span, message),
    });
}
