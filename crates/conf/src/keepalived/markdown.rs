use super::rows::{Block, Body, Directive, Support, Tier, directives};
use std::fmt::Write as _;

/// `docs/directives.md`, made of the rows.
pub fn directives_markdown() -> String {
    let mut out = String::from(
        "# Directives of keepalived.conf\n\n\
         Generated from the rows in `crates/conf/src/keepalived/rows`; `UPDATE_EXPECT=1 cargo test -p evenkeel-conf` writes it.\n\n\
         **yes**: does what keepalived does. **accepted**: understood and checked, and changes nothing, for the reason given;\n\
         where a service would notice, `evenkeel check` warns. **ours**: keepalived only logs it as unknown.\n\n\
         A time may carry a unit (`preempt_delay 3s`): keepalived turns such a value into microseconds or refuses it, evenkeel\n\
         takes it as written and warns. A script may be defined below the instance that tracks it, with a warning.\n",
    );
    let mut blocks: Vec<Block> = Vec::new();
    for context in directives().iter().flat_map(|directive| directive.contexts) {
        if !blocks.contains(context) {
            blocks.push(*context);
        }
    }
    for block in blocks {
        let _ = write!(out, "\n## {}\n\n| directive | support | |\n|---|---|---|\n", block.title());
        for directive in directives().iter().filter(|directive| directive.contexts.contains(&block)) {
            let _ = writeln!(out, "| `{}` | {} | {} |", usage(directive), support(directive), cell(directive.doc));
        }
    }
    out
}

fn usage(directive: &Directive) -> String {
    let block = match directive.body {
        Body::Block(_) if !directive.arguments.contains('{') => " { ... }",
        _ => "",
    };
    let arguments = directive.arguments;
    let space = if arguments.is_empty() { "" } else { " " };
    cell(&format!("{}{space}{arguments}{block}", directive.name))
}

fn support(directive: &Directive) -> String {
    match (directive.support, directive.tier) {
        (_, Tier::Ours) => "ours".to_owned(),
        (Support::Supported, _) => "yes".to_owned(),
        (Support::Accepted { reason, .. }, _) => format!("accepted: {}", cell(reason)),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
