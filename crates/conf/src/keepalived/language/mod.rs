//! The language, before any keyword means something: `lines -> comments -> conditions, definitions, loops -> words and
//! braces`, as keepalived's parser does it line by line.
//!
//! What is deliberately absent: the consolidated copy that keepalived writes for its children. Here one process reads.

mod definitions;
mod loops;
mod reader;
mod text;
mod tree;
mod words;

pub(super) use reader::{Source, read};
pub(super) use tree::Node;
pub(super) use words::Word;
pub(super) use words::command_words;
