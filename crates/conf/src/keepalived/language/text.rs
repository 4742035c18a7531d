use crate::{FileId, Span};

/// Text that remembers where each of its bytes came from.
///
/// What a definition or a loop inserts has the place of its use, so that a diagnostic about expanded text cites the
/// line that a person would edit.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    origins: Vec<Origin>,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    file: FileId,
    line: u32,
    start: u32,
    end: u32,
}

impl Text {
    /// One physical line.
    pub(super) fn of_line(file: FileId, line: u32, bytes: &[u8]) -> Self {
        let origins =
            (0..bytes.len()).map(|at| Origin { file, line, start: column(at), end: column(at + 1) }).collect();
        Text { bytes: bytes.to_vec(), origins }
    }

    /// Text that stands for what is at `span`.
    pub(super) fn at(span: Span, bytes: &[u8]) -> Self {
        let origin = Origin { file: span.file, line: span.line, start: span.start, end: span.end };
        Text { bytes: bytes.to_vec(), origins: vec![origin; bytes.len()] }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of `range` as text; what is no UTF-8 becomes U+FFFD.
    pub(super) fn string(&self, range: std::ops::Range<usize>) -> String {
        String::from_utf8_lossy(&self.bytes[range]).into_owned()
    }

    /// Where `range` is in the file. A range over several uses is cut to the line it starts on.
    pub(super) fn span(&self, range: std::ops::Range<usize>) -> Option<Span> {
        let first = *self.origins.get(range.start).or_else(|| self.origins.last())?;
        let end = self.origins[range.start.min(self.len() - 1)..range.end.clamp(range.start, self.len())]
            .iter()
            .filter(|o| o.file == first.file && o.line == first.line)
            .map(|o| o.end)
            .max()
            .unwrap_or(first.end);
        Some(Span { file: first.file, line: first.line, start: first.start, end: end.max(first.start) })
    }

    /// The bytes of `range` with their origins.
    pub(super) fn slice(&self, range: std::ops::Range<usize>) -> Text {
        Text { bytes: self.bytes[range.clone()].to_vec(), origins: self.origins[range].to_vec() }
    }

    /// Without blanks at both ends.
    pub(super) fn trimmed(&self) -> Text {
        let start = self.bytes.iter().position(|b| !is_blank(*b)).unwrap_or(self.len());
        let end = self.bytes.iter().rposition(|b| !is_blank(*b)).map_or(start, |last| last + 1);
        self.slice(start..end)
    }

    pub(super) fn push(&mut self, other: &Text) {
        self.bytes.extend_from_slice(&other.bytes);
        self.origins.extend_from_slice(&other.origins);
    }

    /// Every byte as if it stood at `span`.
    pub(super) fn moved_to(&self, span: Span) -> Text {
        Text::at(span, &self.bytes)
    }
}

/// Blanks between words: also what a stray carriage return or form feed leaves.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

fn column(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
