use crate::config::{LogEscape, LogFormat};
use crate::template::{Part, Template, TemplateError, Values};
use crate::variables::Variables;

/// A `log_format`, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTemplate {
    template: Template,
    escape: LogEscape,
}

impl LogTemplate {
    /// Compiles a format.
    pub fn parse(format: &LogFormat, own: &Variables) -> Result<LogTemplate, TemplateError> {
        Ok(LogTemplate { template: Template::parse(&format.text, own)?, escape: format.escape })
    }

    /// Appends one line, without its line end. What clients control is escaped, so that nobody can forge a line.
    pub fn render(&self, values: &dyn Values, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        for part in &self.template.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(variable) => {
                    value.clear();
                    let found = values.write(variable, &mut value);
                    match (self.escape, found) {
                        (LogEscape::Default, false) => out.push(b'-'),
                        (LogEscape::Default, true) => escape_default(&value, out),
                        (LogEscape::Json, _) => escape_json(&value, out),
                        (LogEscape::None, _) => out.extend_from_slice(&value),
                    }
                }
            }
        }
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn escape_default(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(*byte),
        }
    }
}

fn escape_json(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Variable;

    struct Fake(Option<&'static [u8]>);

    impl Values for Fake {
        fn write(&self, _: &Variable, out: &mut Vec<u8>) -> bool {
            out.extend_from_slice(self.0.unwrap_or_default());
            self.0.is_some()
        }
    }

    fn line(escape: LogEscape, value: Option<&'static [u8]>) -> String {
        let format = LogFormat { name: "t".to_owned(), text: "\"$request\"".to_owned(), escape };
        let mut out = Vec::new();
        LogTemplate::parse(&format, &Variables::default()).expect("valid").render(&Fake(value), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn nobody_can_forge_a_line() {
        let evil = Some(&b"GET /\" 200\n\\ \x7f\xc3\xa9"[..]);
        assert_eq!(line(LogEscape::Default, evil), "\"GET /\\x22 200\\x0A\\x5C \\x7F\\xC3\\xA9\"");
        assert_eq!(line(LogEscape::Json, Some(b"a\"\n\x01\xc3\xa9")), "\"a\\\"\\n\\u0001é\"");
        assert_eq!(line(LogEscape::None, Some(b"a\"b")), "\"a\"b\"");
    }

    #[test]
    fn an_absent_value_is_a_dash_and_an_empty_one_nothing() {
        assert_eq!(line(LogEscape::Default, None), "\"-\"");
        assert_eq!(line(LogEscape::Default, Some(b"")), "\"\"");
        assert_eq!(line(LogEscape::Json, None), "\"\"");
    }

    #[test]
    fn the_combined_format_is_valid() {
        assert!(LogTemplate::parse(&LogFormat::combined(), &Variables::default()).is_ok());
    }
}
