use std::cell::RefCell;

/// Bytes of a buffer for bodies: large, because each system call costs as much as copying kilobytes.
pub(crate) const LARGE: usize = 128 * 1024;
/// Bytes of a buffer for heads.
pub(crate) const SMALL: usize = 16 * 1024;
/// Buffers kept of each size when nobody uses them.
const KEPT: usize = 64;

/// Bytes that have been read and not yet used: `data[start..end]`.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn with_size(size: usize) -> Buffer {
        Buffer { data: vec![0; size], start: 0, end: 0 }
    }

    /// What has been read.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// The same, to decode in place.
    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.data[self.start..self.end]
    }

    /// Room for more.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.data[self.end..]
    }

    /// `n` bytes of the room have been filled.
    pub(crate) fn fill(&mut self, n: usize) {
        self.end = (self.end + n).min(self.data.len());
    }

    /// `n` bytes have been used.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    /// Removes the bytes `from..to`, counted from the first one filled.
    pub(crate) fn remove(&mut self, from: usize, to: usize) {
        self.data.copy_within(self.start + to..self.end, self.start + from);
        self.end -= to - from;
        if self.start == self.end {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Makes room by moving what is there to the front and, up to `limit` bytes in all, by growing.
    /// False when `limit` bytes are waiting already.
    pub(crate) fn make_room(&mut self, limit: usize) -> bool {
        if self.end < self.data.len() && self.len() < limit {
            return true;
        }
        if self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.len() >= limit {
            return false;
        }
        if self.end == self.data.len() {
            self.data.resize((self.data.len() * 2).clamp(SMALL, limit.max(SMALL)), 0);
        }
        true
    }

    /// Puts `bytes`, which were read too far elsewhere, after what is there.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.data.len() - self.end < bytes.len() {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let needed = self.end + bytes.len();
            if self.data.len() < needed {
                self.data.resize(needed, 0);
            }
        }
        self.data[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }
}

/// Buffers at rest. The last one put back is the first taken, so a busy worker stays in few cache lines.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    small: RefCell<Vec<Buffer>>,
    large: RefCell<Vec<Buffer>>,
    texts: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    pub(crate) fn small(&self) -> Buffer {
        self.small.borrow_mut().pop().unwrap_or_else(|| Buffer::with_size(SMALL))
    }

    pub(crate) fn large(&self) -> Buffer {
        self.large.borrow_mut().pop().unwrap_or_else(|| Buffer::with_size(LARGE))
    }

    /// An empty vector to build a head in.
    pub(crate) fn text(&self) -> Vec<u8> {
        self.texts.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    pub(crate) fn put_text(&self, mut text: Vec<u8>) {
        let mut texts = self.texts.borrow_mut();
        if texts.len() < KEPT && text.capacity() <= SMALL && text.capacity() > 0 {
            text.clear();
            texts.push(text);
        }
    }

    /// Takes a buffer of either size back. One that grew for an unusual head is freed.
    pub(crate) fn put(&self, mut buffer: Buffer) {
        let shelf = match buffer.data.len() {
            SMALL => &self.small,
            LARGE => &self.large,
            _ => return,
        };
        let mut shelf = shelf.borrow_mut();
        if shelf.len() < KEPT {
            buffer.clear();
            shelf.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_moves_and_grows_up_to_its_limit() {
        let mut buffer = Buffer::with_size(4);
        buffer.room().copy_from_slice(b"abcd");
        buffer.fill(4);
        buffer.consume(2);
        assert!(buffer.make_room(8));
        assert_eq!(buffer.filled(), b"cd");
        assert_eq!(buffer.room().len(), 2);
        buffer.append(b"efghij");
        assert_eq!(buffer.filled(), b"cdefghij");
        assert!(!buffer.make_room(8));
    }

    #[test]
    fn an_odd_sized_buffer_is_not_kept() {
        let buffers = Buffers::default();
        buffers.put(Buffer::with_size(5));
        buffers.put(Buffer::with_size(SMALL));
        assert_eq!((buffers.small.borrow().len(), buffers.large.borrow().len()), (1, 0));
    }
}
