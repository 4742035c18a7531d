use crate::buffer::{Buffer, Buffers};
use crate::clock::SlotHandle;
use crate::http1::{ChunkError, Chunked, Framing, Strictness};
use crate::stream::Stream;
use std::io::{self, IoSlice, Write as _};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How much of the source is still to come.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Nothing.
    Done,
    /// This many bytes.
    Length(u64),
    /// Chunks, decoded on the way.
    Chunked(Chunked),
    /// All until the other side closes.
    Close,
}

impl Source {
    pub(crate) fn of(framing: Framing, strictness: Strictness) -> Source {
        match framing {
            Framing::None | Framing::Length(0) => Source::Done,
            Framing::Length(length) => Source::Length(length),
            Framing::Chunked => Source::Chunked(Chunked::new(strictness)),
            Framing::Close => Source::Close,
        }
    }
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// As they are.
    Plain,
    /// In chunks.
    Chunked,
}

/// Why a body did not get through.
#[derive(Debug)]
pub(crate) enum PumpError {
    /// The source closed before the end of the body.
    Ended,
    /// Reading failed.
    Read(io::Error),
    /// Writing failed.
    Write(io::Error),
    /// The source's chunks are wrong.
    Chunk(ChunkError),
    /// The body is longer than allowed.
    TooLong,
    /// Nothing came for too long.
    ReadTimeout,
    /// Nothing could be written for too long.
    WriteTimeout,
}

/// What a pump waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Read,
    Write,
}

/// Moves a body from one stream to another: one buffer, filled and emptied in turn.
#[derive(Debug)]
pub(crate) struct Pump {
    /// Head or chunk-size line that goes before the data.
    pub(crate) prefix: Vec<u8>,
    prefix_sent: usize,
    buffer: Buffer,
    /// Bytes at the beginning of `buffer` that are decoded and to be written.
    ready: usize,
    /// What goes after the data: the end of a chunk.
    suffix: &'static [u8],
    source: Source,
    sink: Sink,
    last_chunk_due: bool,
    /// Bytes of body written.
    pub(crate) n_written: u64,
    /// And what of chunks is not their data.
    pub(crate) n_framing: u64,
    /// Bytes of body that may still come.
    pub(crate) allowed: u64,
    pub(crate) waiting: Waiting,
    read_limit: Duration,
    write_limit: Duration,
    progressed: bool,
}

/// So little data is copied behind a head: one `send` costs less than a `writev`.
const COPIED: usize = 2048;

const CRLF: &[u8] = b"\r\n";
const DATA_AND_LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Pump {
    /// Writes `prefix`, then what `source` says of the bytes in `buffer` and those that follow them.
    pub(crate) fn new(
        prefix: Vec<u8>,
        buffer: Buffer,
        source: Source,
        sink: Sink,
        limits: (Duration, Duration),
    ) -> Pump {
        Pump {
            prefix,
            prefix_sent: 0,
            buffer,
            ready: 0,
            suffix: b"",
            source,
            sink,
            last_chunk_due: sink == Sink::Chunked,
            n_written: 0,
            n_framing: 0,
            allowed: u64::MAX,
            waiting: Waiting::Write,
            read_limit: limits.0,
            write_limit: limits.1,
            progressed: true,
        }
    }

    /// Has nothing to do.
    pub(crate) fn idle() -> Pump {
        Pump::new(Vec::new(), Buffer::default(), Source::Done, Sink::Plain, (Duration::MAX, Duration::MAX))
    }

    /// Drives it to its end, or until it waits. Sets the deadline of the connection whenever something moved.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        slot: &SlotHandle,
        buffers: &Buffers,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            if self.ready == 0 && self.suffix.is_empty() {
                self.decode()?;
            }
            if self.has_output() {
                let Poll::Ready(outcome) = self.poll_write(cx, to) else {
                    return self.pending(slot, Waiting::Write);
                };
                outcome.map_err(PumpError::Write)?;
                continue;
            }
            if matches!(self.source, Source::Done) {
                return Poll::Ready(Ok(()));
            }
            if self.buffer.room().is_empty() {
                buffers.put(std::mem::replace(&mut self.buffer, buffers.large()));
            }
            // More room than the body needs makes for a short read, after which nobody has to ask the socket again.
            let n = match from.poll_read(cx, self.buffer.room()) {
                Poll::Ready(outcome) => outcome.map_err(PumpError::Read)?,
                Poll::Pending => {
                    buffers.put(std::mem::take(&mut self.buffer));
                    return self.pending(slot, Waiting::Read);
                }
            };
            self.progressed = true;
            if n == 0 {
                if !matches!(self.source, Source::Close) {
                    return Poll::Ready(Err(PumpError::Ended));
                }
                self.source = Source::Done;
            }
            self.buffer.fill(n);
        }
    }

    fn pending(&mut self, slot: &SlotHandle, waiting: Waiting) -> Poll<Result<(), PumpError>> {
        if std::mem::take(&mut self.progressed) || self.waiting != waiting {
            self.waiting = waiting;
            slot.arm(if waiting == Waiting::Read { self.read_limit } else { self.write_limit });
        }
        Poll::Pending
    }

    /// What it means that the deadline passed.
    pub(crate) fn timed_out(&self) -> PumpError {
        if self.waiting == Waiting::Read { PumpError::ReadTimeout } else { PumpError::WriteTimeout }
    }

    /// Whether the source has been read to its end.
    pub(crate) fn source_is_done(&self) -> bool {
        matches!(self.source, Source::Done)
    }

    /// The buffer, with what was read beyond the end of the body.
    pub(crate) fn into_buffer(self, buffers: &Buffers) -> Buffer {
        buffers.put_text(self.prefix);
        self.buffer
    }

    fn has_output(&self) -> bool {
        self.ready > 0 || self.prefix_sent < self.prefix.len() || !self.suffix.is_empty()
    }

    /// Finds the data at the beginning of the buffer.
    fn decode(&mut self) -> Result<(), PumpError> {
        let available = self.buffer.len();
        if available > 0 {
            self.ready = match &mut self.source {
                Source::Done => 0,
                Source::Length(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
                    *left -= n as u64;
                    if *left == 0 {
                        self.source = Source::Done;
                    }
                    n
                }
                Source::Close => available,
                Source::Chunked(decoder) => {
                    let decoded = decoder.decode(self.buffer.filled_mut()).map_err(PumpError::Chunk)?;
                    // Decoded data lies at the front and what follows the body at `consumed`: close the gap.
                    self.buffer.remove(decoded.data, decoded.consumed);
                    if decoded.done {
                        self.source = Source::Done;
                    }
                    decoded.data
                }
            };
        }
        self.allowed = self.allowed.checked_sub(self.ready as u64).ok_or(PumpError::TooLong)?;
        match self.sink {
            Sink::Plain => {}
            Sink::Chunked => {
                let before = self.prefix.len();
                if self.ready > 0 {
                    self.n_written += self.ready as u64;
                    let _ = write!(self.prefix, "{:x}\r\n", self.ready);
                    self.suffix = if self.source_is_done() { DATA_AND_LAST_CHUNK } else { CRLF };
                    self.last_chunk_due &= !self.source_is_done();
                } else if self.source_is_done() && std::mem::take(&mut self.last_chunk_due) {
                    self.suffix = LAST_CHUNK;
                } else {
                    return Ok(());
                }
                self.n_framing += (self.prefix.len() - before + self.suffix.len()) as u64;
            }
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        if self.ready > 0 && self.ready <= COPIED && !self.prefix.is_empty() {
            self.prefix.extend_from_slice(&self.buffer.filled()[..self.ready]);
            self.prefix.extend_from_slice(std::mem::take(&mut self.suffix));
            self.buffer.consume(self.ready);
            if self.sink == Sink::Plain {
                self.n_written += self.ready as u64;
            }
            self.ready = 0;
        }
        let prefix = &self.prefix[self.prefix_sent..];
        let data = &self.buffer.filled()[..self.ready];
        let slices = [IoSlice::new(prefix), IoSlice::new(data), IoSlice::new(self.suffix)];
        let slices = match (prefix.is_empty(), data.is_empty(), self.suffix.is_empty()) {
            (false, true, true) => &slices[..1],
            (true, false, true) => &slices[1..2],
            (false, false, true) => &slices[..2],
            _ => &slices[..],
        };
        let n = ready!(to.poll_write(cx, slices))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.progressed = true;
        self.advance(n);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, n: usize) {
        let of_prefix = n.min(self.prefix.len() - self.prefix_sent);
        self.prefix_sent += of_prefix;
        if self.prefix_sent == self.prefix.len() {
            self.prefix.clear();
            self.prefix_sent = 0;
        }
        let of_data = (n - of_prefix).min(self.ready);
        self.ready -= of_data;
        self.buffer.consume(of_data);
        if self.sink == Sink::Plain {
            self.n_written += of_data as u64;
        }
        self.suffix = &self.suffix[n - of_prefix - of_data..];
    }
}
