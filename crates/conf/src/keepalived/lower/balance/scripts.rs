//! Commands of notices and MISC_CHECK.

use super::super::{At, Lower};
use crate::Diagnostic;
use crate::keepalived::language::{Node, command_words};
use crate::keepalived::settings::CommandLine;

impl Lower {
    /// `KEYWORD "COMMAND" [USER [[:]GROUP]]`; the first one is kept.
    pub(super) fn notice(&mut self, node: &Node, before: Option<At<CommandLine>>) -> Option<At<CommandLine>> {
        if before.is_some() {
            self.repeated(node);
            return before;
        }
        let command = self.command(node, None)?;
        Some(At::of(node.argument(1)?, command))
    }

    /// `KEYWORD "COMMAND"`, also when the quotes were forgotten.
    pub(in crate::keepalived::lower) fn quoted_command(&mut self, node: &Node) -> Option<At<Vec<String>>> {
        let first = node.argument(1)?;
        let mut words = command_words(&first.text);
        if let [extra, ..] = &node.words[2..] {
            let line = node.words[1..].iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            self.say(
                Diagnostic::warning("unquoted-command", extra.span, "a command of several words is not quoted")
                    .so("the whole line is run here; keepalived runs the first word without its arguments")
                    .fix(format!("write `{} \"{line}\"`", node.keyword())),
            );
            words = command_words(&line);
        }
        if words.is_empty() {
            self.refuse(first, "the command is empty".to_owned());
            return None;
        }
        Some(At::of(first, words))
    }

    /// A warning that a keyword has another name now.
    pub(in crate::keepalived::lower) fn formerly(&mut self, node: &Node, name: &str, consequence: &str) {
        let Some(span) = node.span() else { return };
        self.say(
            Diagnostic::warning("old-spelling", span, format!("`{}` is now called `{name}`", node.keyword()))
                .so(consequence)
                .fix(format!("write `{name}`")),
        );
    }
}
