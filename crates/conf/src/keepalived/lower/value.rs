use super::Lower;
use crate::Diagnostic;
use crate::keepalived::language::{Node, Word, command_words};
use crate::keepalived::settings::CommandLine;
use std::net::IpAddr;

/// A user and, when one is named, a group.
pub(super) type User = (String, Option<String>);

/// `USER [[:]GROUP]`. A colon, which asks for the user's other groups as well, stays before the group.
pub(super) fn user(words: &[Word]) -> Option<User> {
    let [user, rest @ ..] = words else { return None };
    let group: String = rest.iter().map(|word| word.text.as_str()).take(2).collect();
    Some((user.text.clone(), Some(group).filter(|group| !group.is_empty())))
}

impl Lower {
    /// `KEYWORD "COMMAND" [USER [[:]GROUP]]`. Where keepalived keeps the first command it got, `before` wins.
    pub(super) fn command(&mut self, node: &Node, before: Option<CommandLine>) -> Option<CommandLine> {
        if before.is_some() {
            self.repeated(node);
            return before;
        }
        let command = node.argument(1)?;
        let words = command_words(&command.text);
        if words.is_empty() {
            self.refuse(command, "the command is empty".to_owned());
            return None;
        }
        Some(CommandLine { words, user: user(&node.words[2..]) })
    }

    /// The first of several lines wins.
    pub(super) fn repeated(&mut self, node: &Node) {
        if let Some(span) = node.span() {
            self.say(
                Diagnostic::warning("repeated", span, format!("`{}` is there twice", node.keyword()))
                    .so("the first one wins, this one is ignored")
                    .fix("remove one of them"),
            );
        }
    }

    /// The last of several lines wins, which is worth a word when they differ.
    pub(super) fn replaced<T: PartialEq>(&mut self, node: &Node, before: Option<&T>, after: &T) {
        if before.is_some_and(|before| before != after)
            && let Some(span) = node.span()
        {
            self.say(
                Diagnostic::warning(
                    "repeated",
                    span,
                    format!("`{}` is there twice, with another value", node.keyword()),
                )
                .so("the last one wins")
                .fix("remove one of them"),
            );
        }
    }

    /// An IP address.
    pub(super) fn address(&mut self, word: &Word) -> Option<IpAddr> {
        match word.text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                self.refuse(word, format!("`{}` is not an IP address", word.text));
                None
            }
        }
    }
}
