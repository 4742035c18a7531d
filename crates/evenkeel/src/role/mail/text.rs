//! A letter as it goes over the wire (RFC 5322).

use evenkeel_bus::{Letter, Relay};

/// keepalived's longest subject, in bytes.
const MAX_SUBJECT: usize = 256;
/// Bytes of text in one encoded word: with what stands around it and four characters for three bytes, 75 at most.
const WORD: usize = 45;

/// Headers and body, lines ended and dots doubled as DATA wants it, with the dot at the end.
pub(super) fn message(relay: &Relay, to: &[String], letter: &Letter) -> String {
    let to: Vec<_> = to.iter().map(|address| one_line(address)).collect();
    let mut subject = one_line(&letter.subject);
    subject.truncate(subject.floor_char_boundary(MAX_SUBJECT));
    let mut text = format!(
        "Date: {}\r\nFrom: {}\r\nSubject: {}\r\nX-Mailer: Keepalived\r\nTo: {}\r\n",
        letter.at.mail_date(),
        one_line(&relay.from),
        encoded(&subject),
        // A recipient for each line: a line has a limit.
        to.join(",\r\n ")
    );
    if !letter.body.is_ascii() {
        text += "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";
    }
    text += "\r\n";
    for line in letter.body.lines() {
        if line.starts_with('.') {
            text.push('.');
        }
        text += &one_line(line);
        text += "\r\n";
    }
    text += ".\r\n";
    text
}

/// `ops@example.org` of `"Ops <ops@example.org>"`, and of itself.
pub(super) fn mailbox(address: &str) -> String {
    let inner = address.rsplit_once('<').map_or(address, |(_, rest)| rest.split('>').next().unwrap_or_default());
    inner.chars().filter(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>')).collect()
}

/// Without anything that could begin another line.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text of a header; as encoded words (RFC 2047) when it is not ASCII.
fn encoded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for c in text.chars() {
        // A character stands in one word whole.
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > WORD) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let words: Vec<_> = words.iter().map(|word| format!("=?utf-8?B?{}?=", base64(word.as_bytes()))).collect();
    words.join("\r\n ")
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or_default()));
        let bits = a << 16 | b << 8 | c;
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_bus::WallTime;
    use std::time::Duration;

    fn written(subject: &str, body: &str, to: &[&str]) -> String {
        let relay = Relay {
            host: String::new(),
            port: 25,
            helo: String::new(),
            from: "ek@lb01".to_owned(),
            timeout: Duration::from_secs(1),
        };
        let at = "2026-01-02T03:04:05.678Z".parse::<WallTime>().unwrap();
        let to: Vec<_> = to.iter().map(|address| (*address).to_owned()).collect();
        message(&relay, &to, &Letter { at, subject: subject.to_owned(), body: body.to_owned() })
    }

    #[test]
    fn a_letter_has_keepaliveds_headers() {
        assert_eq!(
            written("[lb01] it", "=> text <=\n\n.dot", &["a@b", "C <c@d>"]),
            "Date: Fri, 02 Jan 2026 03:04:05 +0000\r\nFrom: ek@lb01\r\nSubject: [lb01] it\r\nX-Mailer: Keepalived\r\n\
             To: a@b,\r\n C <c@d>\r\n\r\n=> text <=\r\n\r\n..dot\r\n.\r\n"
        );
    }

    #[test]
    fn what_a_server_or_a_file_said_cannot_add_headers_or_commands() {
        let text = written("it\r\nBcc: x@y", "a\r.\r\nb\u{0}", &["a@b\r\nRCPT TO:<x@y>"]);
        assert!(text.contains("Subject: it  Bcc: x@y\r\n"), "{text}");
        assert!(text.contains("To: a@b  RCPT TO:<x@y>\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\na .\r\nb \r\n.\r\n"), "{text}");
    }

    #[test]
    fn a_subject_of_other_letters_is_encoded_and_a_long_one_is_cut() {
        let text = written("[节点] Größe", "Größe", &["a@b"]);
        assert!(text.contains("Subject: =?utf-8?B?W+iKgueCuV0gR3LDtsOfZQ==?=\r\n"), "{text}");
        assert!(text.contains("charset=utf-8"), "{text}");
        let text = written(&"节".repeat(200), "", &["a@b"]);
        assert!(text.split("\r\n").all(|line| line.len() <= 90), "{text}");
        assert_eq!(text.matches("=?utf-8?B?").count(), 85usize.div_ceil(15));
    }

    #[test]
    fn a_mailbox_is_what_stands_in_angle_brackets() {
        for (address, expected) in [
            ("a@b", "a@b"),
            ("Ops <a@b>", "a@b"),
            ("\"x <y>\" <a@b>", "a@b"),
            ("root", "root"),
            ("a@b>\r\nDATA", "a@bDATA"),
        ] {
            assert_eq!(mailbox(address), expected);
        }
    }
}
