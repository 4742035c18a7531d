use super::words::Word;
use crate::{Diagnostic, Span};

/// A line, with the lines between its braces when it has any.
#[derive(Clone, Debug, Default)]
pub(in crate::keepalived) struct Node {
    /// The words of the line. Empty when a `{` stood where no block can begin.
    pub(in crate::keepalived) words: Vec<Word>,
    /// The place of `{`.
    pub(in crate::keepalived) open: Option<Span>,
    /// What is between the braces.
    pub(in crate::keepalived) children: Vec<Node>,
}

impl Node {
    /// The keyword, or an empty text.
    pub(in crate::keepalived) fn keyword(&self) -> &str {
        self.words.first().map_or("", |word| &word.text)
    }

    /// Argument `n`, from 1.
    pub(in crate::keepalived) fn argument(&self, n: usize) -> Option<&Word> {
        self.words.get(n)
    }

    /// Where to point when the whole line is meant.
    pub(in crate::keepalived) fn span(&self) -> Option<Span> {
        self.words.first().map(|word| word.span).or(self.open)
    }
}

/// Deeper than any block of the language by an order of magnitude; bounds recursion over the tree.
const DEEPEST: usize = 32;

/// Puts lines and braces together.
#[derive(Debug)]
pub(super) struct Builder {
    /// The blocks that are open, outermost first. The first one is the file itself.
    open: Vec<Vec<Node>>,
    /// Blocks opened beyond [`DEEPEST`] and not kept.
    too_deep: usize,
    /// The last line may still get a `{`.
    may_open: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Builder { open: vec![Vec::new()], too_deep: 0, may_open: false }
    }
}

impl Builder {
    pub(super) fn line(&mut self, words: Vec<Word>) {
        if self.too_deep > 0 || words.is_empty() {
            return;
        }
        self.siblings().push(Node { words, ..Node::default() });
        self.may_open = true;
    }

    pub(super) fn open(&mut self, brace: Span) -> Option<Diagnostic> {
        if self.open.len() > DEEPEST {
            self.too_deep += 1;
            return (self.too_deep == 1).then(|| {
                Diagnostic::error("blocks-too-deep", brace, format!("blocks are nested more than {DEEPEST} deep"))
            });
        }
        let may_open = self.may_open;
        let siblings = self.siblings();
        let diagnostic = match siblings.last_mut() {
            Some(node) if may_open => {
                node.open = Some(brace);
                None
            }
            _ => {
                siblings.push(Node { open: Some(brace), ..Node::default() });
                Some(
                    Diagnostic::warning("unexpected-brace", brace, "`{` without a keyword before it")
                        .so("what follows is read as if the braces were not there"),
                )
            }
        };
        self.open.push(Vec::new());
        self.may_open = false;
        diagnostic
    }

    pub(super) fn close(&mut self, brace: Span) -> Option<Diagnostic> {
        self.may_open = false;
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return None;
        }
        if self.open.len() == 1 {
            return Some(
                Diagnostic::warning("unexpected-brace", brace, "`}` closes nothing")
                    .so("it is ignored")
                    .fix("remove it, or look above for a block that was closed too early"),
            );
        }
        self.close_innermost();
        None
    }

    /// The lines of the file, and the words that opened blocks which nothing closed, innermost first.
    pub(super) fn finish(mut self) -> (Vec<Node>, Vec<(String, Span)>) {
        let mut unclosed = Vec::new();
        while self.open.len() > 1 {
            let node = self.close_innermost();
            if let Some(span) = node.span() {
                unclosed.push((node.keyword().to_owned(), span));
            }
        }
        (self.open.pop().unwrap_or_default(), unclosed)
    }

    fn close_innermost(&mut self) -> &Node {
        let children = self.open.pop().unwrap_or_default();
        let siblings = self.siblings();
        if siblings.is_empty() {
            siblings.push(Node::default());
        }
        let node = siblings.last_mut().expect("one was pushed when there was none");
        node.children = children;
        node
    }

    fn siblings(&mut self) -> &mut Vec<Node> {
        if self.open.is_empty() {
            self.open.push(Vec::new());
        }
        self.open.last_mut().expect("the file itself is always open")
    }
}
