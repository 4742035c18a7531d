use crate::codec::{Codec, FrameError, MAX_DESCRIPTORS};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What may wait to be sent, in bytes. A peer that reads nothing for so long is as good as dead.
pub const MAX_PENDING: usize = 160 << 20;

/// Messages over one Unix stream socket. Nothing blocks except the calls that say so.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    codec: Codec,
    descriptors: VecDeque<OwnedFd>,
    pending: VecDeque<Pending>,
    n_pending: usize,
    closed: bool,
}

/// A frame that is not wholly sent.
#[derive(Debug)]
struct Pending {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

/// A message and the descriptors that came with it.
#[derive(Debug)]
pub struct Received<T> {
    /// The message.
    pub message: T,
    /// Its descriptors, in the order they were sent.
    pub descriptors: Vec<OwnedFd>,
}

/// Why a channel is of no more use; except for [`ChannelError::Full`] and [`ChannelError::TimedOut`], close it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ChannelError {
    #[error("the other side closed the connection")]
    Closed,
    #[error("the other side does not read: {MAX_PENDING} bytes wait")]
    Full,
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the message is not understood: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0} descriptors were announced, {1} came")]
    DescriptorsMissing(usize, usize),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl From<Errno> for ChannelError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET => ChannelError::Closed,
            errno => ChannelError::Io(errno.into()),
        }
    }
}

impl Channel {
    /// A channel over a connected socket.
    pub fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Channel {
            stream,
            codec: Codec::default(),
            descriptors: VecDeque::new(),
            pending: VecDeque::new(),
            n_pending: 0,
            closed: false,
        })
    }

    /// Two ends of one connection; both are closed on exec.
    pub fn pair() -> std::io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Channel::new(ours)?, theirs))
    }

    /// Sends a message, or as much of it as the socket takes now; [`Channel::flush`] sends the rest.
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), ChannelError> {
        self.send_with(message, Vec::new())
    }

    /// Sends a message with descriptors, which are closed here once they are on their way.
    pub fn send_with<T: Serialize>(&mut self, message: &T, descriptors: Vec<OwnedFd>) -> Result<(), ChannelError> {
        let body = serde_json::to_vec(message)?;
        let mut frames = Vec::new();
        let mut rest = descriptors;
        while rest.len() > MAX_DESCRIPTORS {
            let later = rest.split_off(MAX_DESCRIPTORS);
            frames.push(Pending { bytes: Codec::build(b"", rest.len())?, sent: 0, descriptors: rest });
            rest = later;
        }
        frames.push(Pending { bytes: Codec::build(&body, rest.len())?, sent: 0, descriptors: rest });
        let n_bytes: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
        if self.n_pending + n_bytes > MAX_PENDING {
            return Err(ChannelError::Full);
        }
        self.n_pending += n_bytes;
        self.pending.extend(frames);
        self.flush()
    }

    /// Sends what waits, as far as the socket takes it. After an error nothing waits any more: what nobody will read is not to
    /// keep its sender busy until the end of the other side shows at a read.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        while let Some(frame) = self.pending.front_mut() {
            match send_part(&self.stream, frame) {
                Ok(n) => {
                    frame.sent += n;
                    // The kernel holds its own references from here on.
                    frame.descriptors.clear();
                    self.n_pending -= n;
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => {
                    self.pending.clear();
                    self.n_pending = 0;
                    return Err(errno.into());
                }
            }
            if frame.sent == frame.bytes.len() {
                self.pending.pop_front();
            }
        }
        Ok(())
    }

    /// Whether something waits for the socket to become writable.
    pub fn wants_write(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The next message; `None` when none is there yet.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<Received<T>>, ChannelError> {
        loop {
            if let Some(frame) = self.codec.take()? {
                if frame.n_descriptors > self.descriptors.len() {
                    return Err(ChannelError::DescriptorsMissing(frame.n_descriptors, self.descriptors.len()));
                }
                let descriptors = self.descriptors.drain(..frame.n_descriptors).collect();
                return Ok(Some(Received { message: serde_json::from_slice(&frame.body)?, descriptors }));
            }
            if self.closed {
                return Err(ChannelError::Closed);
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Sends a message and waits until the socket has all of it.
    pub fn send_blocking<T: Serialize>(&mut self, message: &T, limit: Duration) -> Result<(), ChannelError> {
        let until = Instant::now() + limit;
        self.send(message)?;
        while self.wants_write() {
            self.wait(PollFlags::OUT, until, limit)?;
            self.flush()?;
        }
        Ok(())
    }

    /// Waits for the next message.
    pub fn receive_blocking<T: DeserializeOwned>(&mut self, limit: Duration) -> Result<Received<T>, ChannelError> {
        let until = Instant::now() + limit;
        loop {
            if let Some(received) = self.receive()? {
                return Ok(received);
            }
            self.wait(PollFlags::IN, until, limit)?;
        }
    }

    fn wait(&self, flags: PollFlags, until: Instant, limit: Duration) -> Result<(), ChannelError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ChannelError::TimedOut(limit));
            }
            let left = Timespec::try_from(left).map_err(|_| ChannelError::TimedOut(limit))?;
            match poll(&mut [PollFd::new(&self.stream, flags)], Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Reads once; false when nothing is there.
    fn fill(&mut self) -> Result<bool, ChannelError> {
        let mut bytes = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.closed = received.bytes == 0;
        self.codec.feed(&bytes[..received.bytes]);
        Ok(true)
    }
}

fn send_part(stream: &UnixStream, frame: &Pending) -> Result<usize, Errno> {
    let borrowed: Vec<BorrowedFd<'_>> = frame.descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(&borrowed));
        debug_assert!(fits, "a frame has no more than MAX_DESCRIPTORS");
    }
    // Descriptors go with the first byte; NOSIGNAL makes a closed peer an error and not a signal.
    sendmsg(stream, &[IoSlice::new(&frame.bytes[frame.sent..])], &mut control, SendFlags::NOSIGNAL)
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn pair() -> (Channel, Channel) {
        let (a, b) = Channel::pair().unwrap();
        (a, Channel::new(b).unwrap())
    }

    #[test]
    fn messages_arrive_in_order_and_then_nothing() {
        let (mut a, mut b) = pair();
        a.send(&1).unwrap();
        a.send(&"two").unwrap();
        assert_eq!(b.receive::<u32>().unwrap().unwrap().message, 1);
        assert_eq!(b.receive::<String>().unwrap().unwrap().message, "two");
        assert!(b.receive::<u32>().unwrap().is_none());
        drop(a);
        assert!(matches!(b.receive::<u32>(), Err(ChannelError::Closed)));
    }

    #[test]
    fn six_hundred_descriptors_stay_with_their_message() {
        let (mut a, mut b) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        let descriptors = || -> Vec<OwnedFd> { (0..600).map(|_| file.try_clone().unwrap().into()).collect() };
        a.send(&"before").unwrap();
        a.send_with(&"with", descriptors()).unwrap();
        a.send(&"after").unwrap();
        let mut counts = Vec::new();
        while counts.len() < 3 {
            a.flush().unwrap();
            if let Some(received) = b.receive::<String>().unwrap() {
                counts.push((received.message, received.descriptors.len()));
            }
        }
        let expected = [("before", 0), ("with", 600), ("after", 0)].map(|(text, n)| (text.to_owned(), n));
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_message_larger_than_the_socket_takes_waits_and_then_arrives() {
        let (mut a, mut b) = pair();
        let long = "x".repeat(3 << 20);
        a.send(&long).unwrap();
        assert!(a.wants_write());
        let received = loop {
            if let Some(received) = b.receive::<String>().unwrap() {
                break received;
            }
            a.flush().unwrap();
        };
        assert_eq!(received.message, long);
        assert!(!a.wants_write());
    }

    #[test]
    fn a_peer_that_never_reads_fills_a_bounded_queue() {
        let (mut a, _b) = pair();
        let megabyte = "x".repeat(1 << 20);
        let n = (0..320).take_while(|_| a.send(&megabyte).is_ok()).count();
        let bound = MAX_PENDING >> 20;
        assert!((bound - 1..=bound + 4).contains(&n), "{n}");
        assert!(matches!(a.send(&megabyte), Err(ChannelError::Full)));
    }

    #[test]
    fn nothing_waits_for_one_that_is_gone() {
        let (mut a, b) = pair();
        a.send(&"x".repeat(3 << 20)).unwrap();
        assert!(a.wants_write());
        drop(b);
        assert!(matches!(a.flush(), Err(ChannelError::Closed)));
        assert!(!a.wants_write());
        assert!(matches!(a.send(&1), Err(ChannelError::Closed)));
        assert!(!a.wants_write());
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        let (a, mut b) = UnixStream::pair().unwrap();
        let mut a = Channel::new(a).unwrap();
        b.write_all(&Codec::build(b"{", 0).unwrap()).unwrap();
        assert!(matches!(a.receive::<u32>(), Err(ChannelError::Json(_))));
    }

    #[test]
    fn descriptors_that_did_not_come_are_an_error() {
        let (a, mut b) = UnixStream::pair().unwrap();
        let mut a = Channel::new(a).unwrap();
        b.write_all(&Codec::build(b"1", 1).unwrap()).unwrap();
        assert!(matches!(a.receive::<u32>(), Err(ChannelError::DescriptorsMissing(1, 0))));
    }

    #[test]
    fn waiting_for_an_answer_ends() {
        let (mut a, _b) = pair();
        let limit = Duration::from_millis(1);
        assert!(matches!(a.receive_blocking::<u32>(limit), Err(ChannelError::TimedOut(_))));
    }
}
