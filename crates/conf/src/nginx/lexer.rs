//! Words of nginx's language: quoting, escapes, comments, `${name}`, and the marks that end a directive.

use crate::{FileId, Span};

/// The longest word nginx reads.
const LONGEST: usize = 4096;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without quotes and escapes; bytes that are no UTF-8 are U+FFFD.
    pub text: String,
    /// Where it stands, quotes included; its first line only.
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// `;`
    End(Span),
    /// `{`
    Open(Span),
    /// `}`
    Close(Span),
    /// What cannot be a word, in nginx's words.
    Error(Span, String),
    EndOfFile(Span),
}

pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    file: FileId,
    line: u32,
    line_start: usize,
    /// That the text ends too early is said once, not by every block that is open.
    pub(super) end_reported: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(file: FileId, text: &'t [u8]) -> Lexer<'t> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Lexer { text, at: 0, file, line: 1, line_start: 0, end_reported: false }
    }

    pub(super) fn next(&mut self) -> Token {
        self.skip_blank();
        let start = self.at;
        let Some(byte) = self.peek() else { return Token::EndOfFile(self.span(start)) };
        match byte {
            b';' => Token::End(self.mark()),
            b'{' => Token::Open(self.mark()),
            b'}' => Token::Close(self.mark()),
            b'"' | b'\'' => self.quoted(byte),
            _ => self.bare(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn advance(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
            self.line_start = self.at + 1;
        }
        self.at += 1;
    }

    fn mark(&mut self) -> Span {
        self.at += 1;
        self.span(self.at - 1)
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.advance(),
                b'#' => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.advance();
                    }
                }
                _ => return,
            }
        }
    }

    /// From `start` (on this line) to here.
    fn span(&self, start: usize) -> Span {
        let offset = |at: usize| u32::try_from(at.saturating_sub(self.line_start)).unwrap_or(u32::MAX);
        Span { file: self.file, line: self.line, start: offset(start), end: offset(self.at) }
    }

    fn bare(&mut self) -> Token {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                // An escape may hide a line end, which no span can hold: such a word ends at its first line.
                b'\\' if self.text.get(self.at + 1).is_some_and(|next| *next != b'\n') => self.at += 2,
                b'$' if self.text.get(self.at + 1) == Some(&b'{') => self.at += 2,
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => break,
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(self.text.len());
        self.word(&self.text[start..self.at], self.span(start))
    }

    fn quoted(&mut self, quote: u8) -> Token {
        let start = self.at;
        let opened_at = {
            self.at += 1;
            self.span(start)
        };
        loop {
            match self.peek() {
                None => {
                    self.end_reported = true;
                    return Token::Error(opened_at, "unexpected end of file, expecting \";\" or \"}\"".to_owned());
                }
                Some(byte) if byte == quote => break,
                Some(b'\\') => {
                    self.advance();
                    if self.peek().is_some() {
                        self.advance();
                    }
                }
                Some(_) => self.advance(),
            }
        }
        let text = &self.text[start + 1..self.at];
        self.at += 1;
        let span = if self.line == opened_at.line { self.span(start) } else { opened_at };
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{') => {}
            // `if ($a = "b")`: the parenthesis begins the next word.
            Some(b')') => {}
            Some(byte) => {
                let stray = self.mark();
                return Token::Error(stray, format!("unexpected \"{}\"", byte as char));
            }
        }
        self.word(text, span)
    }

    fn word(&self, text: &[u8], span: Span) -> Token {
        if text.len() >= LONGEST {
            let start = String::from_utf8_lossy(&text[..10]).into_owned();
            return Token::Error(span, format!("too long parameter \"{start}...\" started"));
        }
        Token::Word(Word { text: String::from_utf8_lossy(&unescape(text)).into_owned(), span })
    }
}

/// `\"`, `\'` and `\\` lose their backslash, `\t`, `\r` and `\n` are control characters, any other escape stays as it is.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        let (written, skip) = match (byte, after.first()) {
            (b'\\', Some(next @ (b'"' | b'\'' | b'\\'))) => (*next, 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (byte, _) => (*byte, 1),
        };
        out.push(written);
        rest = &rest[skip..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &[u8]) -> String {
        let mut lexer = Lexer::new(FileId(0), text);
        let mut out = Vec::new();
        loop {
            out.push(match lexer.next() {
                Token::Word(word) => format!("<{}>", word.text),
                Token::End(_) => ";".to_owned(),
                Token::Open(_) => "{".to_owned(),
                Token::Close(_) => "}".to_owned(),
                Token::Error(_, message) => format!("!{message}"),
                Token::EndOfFile(_) => return out.join(" "),
            });
        }
    }

    #[test]
    fn text_becomes_words() {
        for (text, tokens) in [
            ("user www;", "<user> <www> ;"),
            ("a{b c;}", "<a> { <b> <c> ; }"),
            ("a # b;\nc;", "<a> <c> ;"),
            ("a b#c;", "<a> <b#c> ;"),
            ("a \"b c\";", "<a> <b c> ;"),
            ("a 'b \"c\"';", "<a> <b \"c\"> ;"),
            ("a \"\";", "<a> <> ;"),
            (r#"a "b\"c\\d\te\.f";"#, "<a> <b\"c\\d\te\\.f> ;"),
            (r"a b\;c;", r"<a> <b\;c> ;"),
            ("a ${b}c;", "<a> <${b}c> ;"),
            ("a b}c;", "<a> <b}c> ;"),
            (r"location ~ ^/a\d{2} {", r"<location> <~> <^/a\d> { <2}> {"),
            ("a \"b\"c;", "<a> !unexpected \"c\" ;"),
            ("a \"b", "<a> !unexpected end of file, expecting \";\" or \"}\""),
            ("\u{feff}a;", "<a> ;"),
            ("a b\\", "<a> <b\\>"),
        ] {
            assert_eq!(shown(text.as_bytes()), tokens, "{text}");
        }
        assert!(shown(&[b'x'; 5000]).contains("too long parameter \"xxxxxxxxxx...\" started"));
    }

    #[test]
    fn words_know_where_they_stand() {
        let mut lexer = Lexer::new(FileId(3), b"a;\n\t\"b\nc\" dd;");
        let mut spans = Vec::new();
        while let token @ (Token::Word(_) | Token::End(_)) = lexer.next() {
            if let Token::Word(word) = token {
                spans.push((word.span.line, word.span.start, word.span.end));
            }
        }
        assert_eq!(spans, [(1, 0, 1), (2, 1, 2), (3, 3, 5)]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_or_loops(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            shown(&text);
        }

        #[test]
        fn no_marks_panic(text in "[a\"'\\\\${};# \n]{0,60}") {
            shown(text.as_bytes());
        }
    }
}
