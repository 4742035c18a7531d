use thiserror::Error;

/// Longest chunk-size line with its extensions, and longest trailer section.
const MAX_LINE: usize = 1024;
const MAX_TRAILERS: usize = 8 * 1024;

/// How a sender may deviate from RFC 9112, section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Not at all: what clients send.
    Exact,
    /// Lines may end in a bare LF and sizes may be padded with spaces, as old servers do.
    Upstream,
}

/// Why a chunked body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// No hexadecimal digit where a size must be, or something strange after it.
    #[error("invalid chunk size")]
    Size,
    /// The size does not fit 63 bits.
    #[error("chunk size too large")]
    Overflow,
    /// A bare CR, a bare LF or a control character.
    #[error("invalid character in a chunk line")]
    Character,
    /// Extensions or trailers beyond the limit.
    #[error("chunk line too long")]
    TooLong,
    /// Data not followed by CRLF.
    #[error("chunk data not followed by a line end")]
    DataEnd,
}

/// What one call of [`Chunked::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of body, now at the beginning of the buffer.
    pub data: usize,
    /// Bytes of the buffer, as it was, that belonged to the body.
    pub consumed: usize,
    /// The last chunk and the trailers have been read.
    pub done: bool,
}

/// A chunked body being read, in pieces of any size.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    size: u64,
    line: usize,
    strictness: Strictness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SizeFirst,
    Size,
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

impl Chunked {
    /// Before the first chunk.
    pub fn new(strictness: Strictness) -> Chunked {
        Chunked { state: State::SizeFirst, size: 0, line: 0, strictness }
    }

    /// Whether the whole body has been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads `buffer` and moves the data of its chunks together at its beginning. Trailers are checked and dropped.
    pub fn decode(&mut self, buffer: &mut [u8]) -> Result<Decoded, ChunkError> {
        let mut read = 0;
        let mut data = 0;
        while read < buffer.len() && self.state != State::Done {
            if self.state == State::Data {
                let take = usize::try_from(self.size).unwrap_or(usize::MAX).min(buffer.len() - read);
                if read != data {
                    buffer.copy_within(read..read + take, data);
                }
                read += take;
                data += take;
                self.size -= take as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            self.step(buffer[read])?;
            read += 1;
        }
        Ok(Decoded { data, consumed: read, done: self.state == State::Done })
    }

    /// One byte outside chunk data.
    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        let lenient = self.strictness == Strictness::Upstream;
        self.state = match self.state {
            State::SizeFirst => {
                self.size = hex(byte).ok_or(ChunkError::Size)?;
                self.line = 1;
                State::Size
            }
            State::Size => match byte {
                b'\r' => State::SizeLf,
                b'\n' if lenient => self.after_size(),
                b';' => State::Extension,
                b' ' | b'\t' => State::SizeSpace,
                _ => {
                    let digit = hex(byte).ok_or(ChunkError::Size)?;
                    if self.size >> 59 != 0 {
                        return Err(ChunkError::Overflow);
                    }
                    self.size = self.size << 4 | digit;
                    self.count(MAX_LINE)?;
                    State::Size
                }
            },
            // White space before an extension is tolerated by RFC 9112 7.1.1; before the line end only from an upstream.
            State::SizeSpace => match byte {
                b' ' | b'\t' => {
                    self.count(MAX_LINE)?;
                    State::SizeSpace
                }
                b';' => State::Extension,
                b'\r' if lenient => State::SizeLf,
                b'\n' if lenient => self.after_size(),
                _ => return Err(ChunkError::Size),
            },
            State::Extension => match byte {
                b'\r' => State::SizeLf,
                b'\n' if lenient => self.after_size(),
                _ => {
                    printable(byte)?;
                    self.count(MAX_LINE)?;
                    State::Extension
                }
            },
            State::SizeLf => {
                line_feed(byte, ChunkError::Character)?;
                self.after_size()
            }
            State::DataCr => match byte {
                b'\r' => State::DataLf,
                b'\n' if lenient => State::SizeFirst,
                _ => return Err(ChunkError::DataEnd),
            },
            State::DataLf => {
                line_feed(byte, ChunkError::DataEnd)?;
                State::SizeFirst
            }
            State::TrailerStart => match byte {
                b'\r' => State::EndLf,
                b'\n' if lenient => State::Done,
                b' ' | b'\t' => return Err(ChunkError::Character),
                _ => {
                    printable(byte)?;
                    self.count(MAX_TRAILERS)?;
                    State::Trailer
                }
            },
            State::Trailer => match byte {
                b'\r' => State::TrailerLf,
                b'\n' if lenient => State::TrailerStart,
                _ => {
                    printable(byte)?;
                    self.count(MAX_TRAILERS)?;
                    State::Trailer
                }
            },
            State::TrailerLf => {
                line_feed(byte, ChunkError::Character)?;
                State::TrailerStart
            }
            State::EndLf => {
                line_feed(byte, ChunkError::Character)?;
                State::Done
            }
            State::Data | State::Done => self.state,
        };
        Ok(())
    }

    fn after_size(&mut self) -> State {
        self.line = 0;
        if self.size == 0 { State::TrailerStart } else { State::Data }
    }

    fn count(&mut self, limit: usize) -> Result<(), ChunkError> {
        self.line += 1;
        if self.line > limit { Err(ChunkError::TooLong) } else { Ok(()) }
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

fn printable(byte: u8) -> Result<(), ChunkError> {
    match byte {
        b'\t' | 0x20..=0x7e | 0x80..=0xff => Ok(()),
        _ => Err(ChunkError::Character),
    }
}

fn line_feed(byte: u8, otherwise: ChunkError) -> Result<(), ChunkError> {
    if byte == b'\n' { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_all(input: &[u8], strictness: Strictness) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let mut buffer = input.to_vec();
        let decoded = Chunked::new(strictness).decode(&mut buffer)?;
        buffer.truncate(decoded.data);
        Ok((buffer, decoded.consumed, decoded.done))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_read_and_what_follows_is_left() {
        let input = b"5\r\nhello\r\n6 ;a=\"b\"\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        let (data, consumed, done) = decode_all(input, Strictness::Exact).unwrap();
        assert_eq!(data, b"hello world");
        assert_eq!(&input[consumed..], b"GET /");
        assert!(done);
    }

    #[test]
    fn what_a_client_may_not_send_is_refused() {
        let table: &[(&[u8], ChunkError)] = &[
            (b"\r\n", ChunkError::Size),
            (b"g\r\n", ChunkError::Size),
            (b"0x5\r\nhello\r\n", ChunkError::Size),
            (b"-1\r\n", ChunkError::Size),
            (b" 5\r\nhello\r\n", ChunkError::Size),
            (b"5 \r\nhello\r\n", ChunkError::Size),
            (b"5\nhello\r\n", ChunkError::Size),
            (b"5\rhello\r\n", ChunkError::Character),
            (b"5;a\nhello\r\n", ChunkError::Character),
            (b"5;a\rb\r\nhello\r\n", ChunkError::Character),
            (b"5;\0\r\nhello\r\n", ChunkError::Character),
            (b"5\r\nhelloX", ChunkError::DataEnd),
            (b"5\r\nhello\n0\r\n\r\n", ChunkError::DataEnd),
            (b"0\r\nA: b\n\r\n", ChunkError::Character),
            (b"0\r\n\n", ChunkError::Character),
            (b"0\r\n folded\r\n\r\n", ChunkError::Character),
            (b"fffffffffffffffff\r\n", ChunkError::Overflow),
        ];
        for (input, error) in table {
            assert_eq!(decode_all(input, Strictness::Exact), Err(*error), "{:?}", String::from_utf8_lossy(input));
        }
        let endless = [b"1;".as_slice(), &[b'a'; 5000]].concat();
        assert_eq!(decode_all(&endless, Strictness::Exact), Err(ChunkError::TooLong));
    }

    #[test]
    fn an_upstream_may_pad_sizes_and_end_lines_with_a_bare_lf() {
        let (data, _, done) = decode_all(b"5  \nhello\n0\n\n", Strictness::Upstream).unwrap();
        assert_eq!((data.as_slice(), done), (&b"hello"[..], true));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_decode_to_the_same(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..6), cut in 1usize..64
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let mut decoder = Chunked::new(Strictness::Exact);
            let mut data = Vec::new();
            for piece in wire.chunks(cut) {
                let mut piece = piece.to_vec();
                let decoded = decoder.decode(&mut piece).unwrap();
                prop_assert_eq!(decoded.consumed, piece.len());
                data.extend_from_slice(&piece[..decoded.data]);
            }
            prop_assert!(decoder.is_done());
            prop_assert_eq!(data, chunks.concat());
        }

        #[test]
        fn no_input_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Chunked::new(Strictness::Exact).decode(&mut bytes);
        }
    }
}
