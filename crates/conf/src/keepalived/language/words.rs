use super::text::{Text, is_blank};
use crate::{FileId, Span};

/// One word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::keepalived) struct Word {
    /// Without its quotes.
    pub(in crate::keepalived) text: String,
    /// Where it stands, quotes included.
    pub(in crate::keepalived) span: Span,
    /// It was written in quotes.
    pub(in crate::keepalived) quoted: bool,
}

/// Keywords whose arguments are commands: both kinds of quotes and backslashes mean something there.
const SCRIPT_KEYWORDS: [&str; 18] = [
    "script",
    "notify",
    "notify_master",
    "notify_backup",
    "notify_fault",
    "notify_stop",
    "notify_deleted",
    "notify_master_rx_lower_pri",
    "notify_up",
    "notify_down",
    "quorum_up",
    "quorum_down",
    "misc_path",
    "notify_fifo_script",
    "vrrp_notify_fifo_script",
    "lvs_notify_fifo_script",
    "startup_script",
    "shutdown_script",
];

/// Whether the first word of `line` takes a command.
pub(super) fn takes_a_command(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|b| is_blank(*b) || *b == b'"' || *b == b'\'').unwrap_or(line.len());
    SCRIPT_KEYWORDS.iter().any(|keyword| keyword.as_bytes() == &line[..end])
}

/// The words of a line without comments and braces.
pub(super) fn split(line: &Text) -> Vec<Word> {
    if takes_a_command(line.bytes()) { split_command(line) } else { split_plain(line) }
}

/// Words, and the brace after them.
pub(super) type Plain = (Vec<Word>, Option<(u8, Span)>);

/// A line on which nothing but blanks and a brace at its end means anything, which is nearly every line: its words and
/// that brace. `None` for all others, and for those that may be about files to include.
pub(super) fn plain(file: FileId, number: u32, line: &[u8]) -> Option<Plain> {
    let means_more = |byte: &u8| matches!(byte, b'#' | b'!' | b'"' | b'\'' | b'\\' | b'$' | b'@' | b'~');
    let end = line.iter().rposition(|byte| !is_blank(*byte))? + 1;
    if line.iter().any(means_more) || line[..end - 1].iter().any(|byte| matches!(byte, b'{' | b'}')) {
        return None;
    }
    let span = |start, end| Some(Span { file, line: number, start: column(start)?, end: column(end)? });
    let column_of_brace = matches!(line[end - 1], b'{' | b'}').then_some(end - 1);
    let end = column_of_brace.unwrap_or(end);
    // As long as it will be: a list that grows by itself begins with four, and most lines have two words or one.
    let begins = |at: &usize| !is_blank(line[*at]) && (*at == 0 || is_blank(line[*at - 1]));
    let mut words = Vec::with_capacity((0..end).filter(begins).count());
    let mut at = 0;
    while at < end {
        if is_blank(line[at]) {
            at += 1;
            continue;
        }
        let stop = line[at..end].iter().position(|byte| is_blank(*byte)).map_or(end, |length| at + length);
        let text = String::from_utf8_lossy(&line[at..stop]).into_owned();
        words.push(Word { text, span: span(at, stop)?, quoted: false });
        at = stop;
    }
    if words.first().is_some_and(|word: &Word| word.text.starts_with("include")) {
        return None;
    }
    let brace = match column_of_brace {
        Some(at) => Some((line[at], span(at, at + 1)?)),
        None => None,
    };
    Some((words, brace))
}

fn column(at: usize) -> Option<u32> {
    u32::try_from(at).ok()
}

/// Words split at blanks; `"` starts a word even in the middle of another one, and ends it; nothing is escaped.
fn split_plain(line: &Text) -> Vec<Word> {
    let bytes = line.bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if is_blank(bytes[at]) {
            at += 1;
        } else if bytes[at] == b'"' {
            let close = bytes[at + 1..].iter().position(|b| *b == b'"').map_or(bytes.len(), |n| at + 1 + n);
            push(&mut words, line, at + 1..close, at..(close + 1).min(bytes.len()), true);
            at = close + 1;
        } else {
            let end = bytes[at..].iter().position(|b| is_blank(*b) || *b == b'"').map_or(bytes.len(), |n| at + n);
            push(&mut words, line, at..end, at..end, false);
            at = end;
        }
    }
    words
}

fn push(words: &mut Vec<Word>, line: &Text, text: std::ops::Range<usize>, whole: std::ops::Range<usize>, quoted: bool) {
    let Some(span) = line.span(whole) else { return };
    words.push(Word { text: line.string(text), span, quoted });
}

/// Words where `'` and `"` group and a backslash takes the next quote or blank as it is. Other escapes stay for
/// [`command_words`], which splits the command itself.
fn split_command(line: &Text) -> Vec<Word> {
    let bytes = line.bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if is_blank(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        let mut text = Vec::new();
        let mut quote = None;
        let mut quoted = false;
        while at < bytes.len() {
            let byte = bytes[at];
            match quote {
                None if is_blank(byte) => break,
                None if byte == b'"' || byte == b'\'' => (quote, quoted) = (Some(byte), true),
                Some(open) if byte == open => quote = None,
                _ if byte == b'\\' && quote != Some(b'\'') && at + 1 < bytes.len() => {
                    let next = bytes[at + 1];
                    // Inside quotes an escaped quote is the character; everything else waits for the second split.
                    if !(next == b'"' || quote.is_none() && (is_blank(next) || next == b'\'')) {
                        text.push(byte);
                    }
                    text.push(next);
                    at += 1;
                }
                _ => text.push(byte),
            }
            at += 1;
        }
        if let Some(span) = line.span(start..at) {
            words.push(Word { text: String::from_utf8_lossy(&text).into_owned(), span, quoted });
        }
    }
    words
}

/// Splits a command as keepalived does the second time: quotes of both kinds and the escapes
/// `\a \b \E \f \n \r \t \v \ooo \xHH \cX`.
pub(in crate::keepalived) fn command_words(command: &str) -> Vec<String> {
    let bytes = command.as_bytes();
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        match quote {
            None if byte.is_ascii_whitespace() => {
                words.extend(word.take());
                continue;
            }
            None if byte == b'"' || byte == b'\'' => {
                quote = Some(byte);
                word.get_or_insert_default();
                continue;
            }
            Some(open) if byte == open => {
                quote = None;
                continue;
            }
            _ => {}
        }
        let word = word.get_or_insert_default();
        if byte == b'\\' && quote != Some(b'\'') {
            let (escaped, used) = escape(&bytes[at..]);
            word.push(escaped);
            at += used;
        } else {
            word.push(byte);
        }
    }
    words.extend(word);
    words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The byte that the escape after a backslash stands for, and how many bytes it took.
fn escape(rest: &[u8]) -> (u8, usize) {
    let number = |digits: &[u8], base: u32| {
        digits.iter().fold(0_u32, |n, d| n * base + char::from(*d).to_digit(base).unwrap_or(0)) as u8
    };
    match rest {
        [] => (b'\\', 0),
        [b'a', ..] => (0x07, 1),
        [b'b', ..] => (0x08, 1),
        [b'E', ..] => (0x1b, 1),
        [b'f', ..] => (0x0c, 1),
        [b'n', ..] => (b'\n', 1),
        [b'r', ..] => (b'\r', 1),
        [b't', ..] => (b'\t', 1),
        [b'v', ..] => (0x0b, 1),
        [b'c', control, ..] => (control & 0x1f, 2),
        [b'x', digits @ ..] => {
            let n = digits.iter().take(2).take_while(|d| d.is_ascii_hexdigit()).count();
            if n == 0 { (b'x', 1) } else { (number(&digits[..n], 16), n + 1) }
        }
        [b'0'..=b'7', ..] => {
            let n = rest.iter().take(3).take_while(|d| matches!(d, b'0'..=b'7')).count();
            (number(&rest[..n], 8), n)
        }
        [other, ..] => (*other, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(&Text::of_line(FileId(0), 1, line.as_bytes())).into_iter().map(|w| w.text).collect()
    }

    #[test]
    fn a_double_quote_splits_words_and_protects_blanks() {
        assert_eq!(words("a  b\tc"), ["a", "b", "c"]);
        assert_eq!(words(r#"name "John Doe" x"#), ["name", "John Doe", "x"]);
        assert_eq!(words(r#"mid"dle of"it"#), ["mid", "dle of", "it"]);
        assert_eq!(words(r"it's plain \n"), ["it's", "plain", r"\n"]);
    }

    #[test]
    fn a_plain_line_has_the_words_and_places_that_any_line_has() {
        for line in [
            &b"a  b\tc"[..],
            b"  real_server 10.0.0.1 80 {",
            b"}",
            b"\t }\t",
            b"notify_up /bin/x y",
            b"caf\xe9 x\x0b y",
        ] {
            let (words, brace) = plain(FileId(0), 7, line).expect("nothing in it means more");
            let text = Text::of_line(FileId(0), 7, line);
            let at = line.iter().position(|byte| b"{}".contains(byte));
            assert_eq!(words, split(&text.slice(0..at.unwrap_or(line.len()))), "{line:?}");
            assert_eq!(brace, at.map(|at| (line[at], text.span(at..at + 1).expect("not empty"))), "{line:?}");
        }
        for line in
            ["", " ", "a { b", "a } }", "a # b", "$A=b", "@x y", "~SEQ(i,2) x", "a \"b\"", "script 'x'", "include x"]
        {
            assert_eq!(plain(FileId(0), 7, line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn commands_know_both_quotes_and_backslashes() {
        assert_eq!(words(r#"script "killall -0 nginx""#), ["script", "killall -0 nginx"]);
        assert_eq!(words(r"notify '/x y/z' root"), ["notify", "/x y/z", "root"]);
        assert_eq!(words(r#"script "/bin/sh -c \"echo a\"" root"#), ["script", r#"/bin/sh -c "echo a""#, "root"]);
    }

    #[test]
    fn the_command_itself_is_split_with_escapes() {
        assert_eq!(command_words("killall -0 nginx"), ["killall", "-0", "nginx"]);
        assert_eq!(command_words(r"/bin/sh -c 'a  b' \x41\102 \cA\t"), ["/bin/sh", "-c", "a  b", "AB", "\u{1}\t"]);
        assert_eq!(command_words(r#"x "" y\ z"#), ["x", "", "y z"]);
        assert_eq!(command_words("trailing\\"), ["trailing\\"]);
    }
}
