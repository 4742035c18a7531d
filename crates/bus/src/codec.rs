//! Frames on a byte stream.
//!
//! ```text
//!  0        1        2        3        4        5 ..
//! +--------+--------+--------+--------+--------+---------------------+
//! |       length of the body, LE      | n_fds  | body: JSON, or none |
//! +--------+--------+--------+--------+--------+---------------------+
//! ```
//!
//! The fifth byte counts descriptors that travel beside the frame (`SCM_RIGHTS`). A frame without body only carries
//! descriptors for the next one.

use std::collections::VecDeque;

/// The longest body, in bytes: about four thousand `server` blocks of nginx.conf with their MIME types, or forty thousand
/// virtual servers.
pub const MAX_FRAME: usize = 64 << 20;

/// The most descriptors beside one frame; the kernel's own limit for a message is 253.
pub const MAX_DESCRIPTORS: usize = 250;

const HEAD: usize = 5;

/// Bytes that there may be room for while nothing waits.
const ROOM: usize = 1 << 16;

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// JSON, or nothing.
    pub body: Vec<u8>,
    /// Descriptors that came with it, or with bodiless frames right before it.
    pub n_descriptors: usize,
}

/// Why a stream is no stream of frames. There is no way on from here but to close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FrameError {
    #[error("a frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    #[error("a frame with {0} descriptors has more than {MAX_DESCRIPTORS}")]
    TooManyDescriptors(usize),
}

/// Cuts bytes into frames. Keeps no more than one frame and what was fed last.
#[derive(Debug, Default)]
pub struct Codec {
    bytes: VecDeque<u8>,
    carried: usize,
}

impl Codec {
    /// Takes in bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next whole frame; `None` until more is fed.
    pub fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let Some((length, n_descriptors)) = self.head()? else { return Ok(None) };
            if self.bytes.len() < HEAD + length {
                return Ok(None);
            }
            self.bytes.drain(..HEAD);
            self.carried += n_descriptors;
            if length == 0 {
                continue;
            }
            let body = self.bytes.drain(..length).collect();
            // A configuration comes once, and what comes after it is short.
            if self.bytes.is_empty() && self.bytes.capacity() > ROOM {
                self.bytes = VecDeque::new();
            }
            return Ok(Some(Frame { body, n_descriptors: std::mem::take(&mut self.carried) }));
        }
    }

    /// Whether a frame has begun that is not whole yet.
    pub fn is_inside_frame(&self) -> bool {
        !self.bytes.is_empty()
    }

    fn head(&self) -> Result<Option<(usize, usize)>, FrameError> {
        if self.bytes.len() < HEAD {
            return Ok(None);
        }
        let length = u32::from_le_bytes([self.bytes[0], self.bytes[1], self.bytes[2], self.bytes[3]]) as usize;
        let n_descriptors = usize::from(self.bytes[4]);
        check(length, n_descriptors)?;
        Ok(Some((length, n_descriptors)))
    }

    /// The bytes of a frame.
    pub fn build(body: &[u8], n_descriptors: usize) -> Result<Vec<u8>, FrameError> {
        check(body.len(), n_descriptors)?;
        let mut bytes = Vec::with_capacity(HEAD + body.len());
        let length = u32::try_from(body.len()).expect("MAX_FRAME fits in four bytes").to_le_bytes();
        bytes.extend_from_slice(&length);
        bytes.push(u8::try_from(n_descriptors).expect("MAX_DESCRIPTORS fits in a byte"));
        bytes.extend_from_slice(body);
        Ok(bytes)
    }
}

fn check(length: usize, n_descriptors: usize) -> Result<(), FrameError> {
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    if n_descriptors > MAX_DESCRIPTORS {
        return Err(FrameError::TooManyDescriptors(n_descriptors));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_frame_is_a_little_endian_length_and_its_body() {
        assert_eq!(Codec::build(b"{}", 0).unwrap(), [2, 0, 0, 0, 0, b'{', b'}']);
    }

    #[test]
    fn a_length_beyond_the_limit_is_an_error_before_the_body_comes() {
        let mut codec = Codec::default();
        codec.feed(&[1, 0, 0, 4, 0]);
        assert_eq!(codec.take(), Err(FrameError::TooLong(MAX_FRAME + 1)));
        assert!(Codec::build(&vec![b' '; MAX_FRAME + 1], 0).is_err());
        assert!(Codec::build(&vec![b' '; MAX_FRAME], 0).is_ok());
    }

    #[test]
    fn a_count_of_descriptors_beyond_the_limit_is_an_error() {
        let mut codec = Codec::default();
        codec.feed(&[1, 0, 0, 0, 251]);
        assert_eq!(codec.take(), Err(FrameError::TooManyDescriptors(251)));
    }

    #[test]
    fn descriptors_of_bodiless_frames_count_for_the_next_frame() {
        let mut codec = Codec::default();
        codec.feed(&Codec::build(b"", 250).unwrap());
        codec.feed(&Codec::build(b"", 3).unwrap());
        assert_eq!(codec.take(), Ok(None));
        codec.feed(&Codec::build(b"1", 2).unwrap());
        codec.feed(&Codec::build(b"2", 0).unwrap());
        assert_eq!(codec.take(), Ok(Some(Frame { body: b"1".to_vec(), n_descriptors: 255 })));
        assert_eq!(codec.take(), Ok(Some(Frame { body: b"2".to_vec(), n_descriptors: 0 })));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting_of_the_stream(
            bodies in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..300), 0..=MAX_DESCRIPTORS), 0..8),
            cuts in prop::collection::vec(1usize..64, 1..64),
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|(body, n)| Codec::build(body, *n).unwrap()).collect();
            let mut codec = Codec::default();
            let mut taken = Vec::new();
            let mut rest = &stream[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                codec.feed(now);
                rest = later;
                while let Some(frame) = codec.take().unwrap() {
                    taken.push((frame.body, frame.n_descriptors));
                }
            }
            prop_assert_eq!(taken, bodies);
            prop_assert!(!codec.is_inside_frame());
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let mut codec = Codec::default();
            codec.feed(&bytes);
            while let Ok(Some(_)) = codec.take() {}
        }
    }
}
