//! What servers answer, parsed without I/O. The fuzz targets compile this folder too, so nothing here names the crate.

pub mod agent;
pub mod dns;
pub mod http;
pub mod smtp;

/// What a server sent, fit for a log line: printable, and not long.
pub fn excerpt(bytes: &[u8]) -> String {
    const LONGEST: usize = 60;
    let mut text = String::new();
    for byte in bytes.iter().take(LONGEST) {
        text.extend(std::ascii::escape_default(*byte).map(char::from));
    }
    if bytes.len() > LONGEST {
        text.push_str("...");
    }
    text
}
