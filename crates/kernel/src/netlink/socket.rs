//! A netlink socket: requests with their answers, and datagrams that come by themselves.

use super::message::{Message, Received, attributes, messages, text, u32_at};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Links, addresses and routes: protocol 0, which is also what naming none gives.
pub(crate) const ROUTE: Option<Protocol> = None;
/// Families that are found by name.
pub(crate) const GENERIC: Option<Protocol> = Some(rustix::net::netlink::GENERIC);
/// nftables.
pub(crate) const NETFILTER: Option<Protocol> = Some(rustix::net::netlink::NETFILTER);

pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const DUMP: u16 = 0x300;
const DUMP_INTERRUPTED: u16 = 0x10;
const ACK_ATTRIBUTES: u16 = 0x200;
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;
/// An error number and the header of the request.
const ERROR_FIXED: usize = 4 + 16;
/// The attribute of an answer that is a text.
const EXPLANATION: u16 = 1;

/// Larger than any datagram the kernel builds (32 kB for a dump since Linux 4.9).
const BUFFER: usize = 64 * 1024;
/// What any send buffer takes.
const USUAL_DATAGRAM: usize = 32 * 1024;
/// So many requests travel before their answers are read: below what the default receive buffer holds of answers.
const WINDOW: usize = 64;
/// The kernel answers while it takes the request, so waiting this long means that something is broken.
const PATIENCE: Duration = Duration::from_secs(5);
/// A dump that is changed underneath is begun again, so often.
const DUMP_ATTEMPTS: usize = 10;

/// A socket for one netlink protocol.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Socket {
    /// A blocking socket for requests.
    pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let socket = Socket::bound(protocol, SocketFlags::CLOEXEC, 0)?;
        sockopt::set_socket_timeout(&socket.fd, sockopt::Timeout::Recv, Some(PATIENCE))?;
        Ok(socket)
    }

    /// A non-blocking socket that hears the multicast groups whose bits are set in `groups`.
    pub(crate) fn listen(protocol: Option<Protocol>, groups: u32, receive_buffer: usize) -> io::Result<Self> {
        let socket = Socket::bound(protocol, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, groups)?;
        // Without CAP_NET_ADMIN the system's limit applies; an overrun is reported and survived.
        if sockopt::set_socket_recv_buffer_size_force(&socket.fd, receive_buffer).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket.fd, receive_buffer)?;
        }
        Ok(socket)
    }

    fn bound(protocol: Option<Protocol>, flags: SocketFlags, groups: u32) -> io::Result<Self> {
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        // Explanations in words, and no copy of the request. Without these answers are merely shorter or longer.
        let _ = switch_on(&fd, libc::NETLINK_EXT_ACK);
        let _ = switch_on(&fd, libc::NETLINK_CAP_ACK);
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Socket { fd, buffer: vec![0; BUFFER], sequence: 0 })
    }

    /// Sends one request and waits for its acknowledgement.
    pub(crate) fn request(&mut self, message: &Message) -> io::Result<()> {
        let mut answers = self.requests(std::slice::from_ref(message))?;
        answers.pop().unwrap_or(Err(Errno::PROTO.into())).map_err(io::Error::from)
    }

    /// Sends requests that all ask for an acknowledgement, many at a time, and returns the kernel's answer to each.
    pub(crate) fn requests(&mut self, requests: &[Message]) -> io::Result<Vec<Result<(), Refusal>>> {
        let mut answers = Vec::with_capacity(requests.len());
        for window in requests.chunks(WINDOW) {
            let first = self.send(window)?;
            let mut pending = window.len();
            let start = answers.len();
            answers.resize(start + window.len(), Err(Errno::PROTO.into()));
            while pending > 0 {
                self.receive(|message| {
                    let at = message.sequence.wrapping_sub(first) as usize;
                    if message.kind == KIND_ERROR && at < window.len() {
                        answers[start + at] = outcome(message);
                        pending = pending.saturating_sub(1);
                    }
                })?;
            }
        }
        Ok(answers)
    }

    /// Asks for one thing. The request must want an acknowledgement: some answers have no other end.
    pub(crate) fn ask<T>(
        &mut self,
        request: &Message,
        mut read: impl FnMut(Received<'_>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let sequence = self.send(std::slice::from_ref(request))?;
        let (mut found, mut end) = (None, None);
        while end.is_none() {
            self.receive(|message| match message.kind {
                _ if message.sequence != sequence => {}
                KIND_DONE | KIND_ERROR => end = Some(outcome(message)),
                _ => found = read(message).or(found.take()),
            })?;
        }
        end.unwrap_or(Err(Errno::PROTO.into())).map_err(io::Error::from)?;
        Ok(found)
    }

    /// Sends messages of which only the last asks for an acknowledgement (a transaction), and waits for it or for the
    /// first error.
    pub(crate) fn transaction(&mut self, batch: &[Message]) -> io::Result<()> {
        // It has to go in one datagram, which the send buffer has to have room for.
        let length: usize = batch.iter().map(Message::length).sum();
        if length > USUAL_DATAGRAM {
            sockopt::set_socket_send_buffer_size_force(&self.fd, length * 2)?;
        }
        let first = self.send(batch)?;
        let mut answer = None;
        while answer.is_none() {
            self.receive(|message| {
                let ours = (message.sequence.wrapping_sub(first) as usize) < batch.len();
                if message.kind == KIND_ERROR && ours && answer.is_none() {
                    answer = Some(outcome(message));
                }
            })?;
        }
        answer.unwrap_or(Err(Errno::PROTO.into())).map_err(io::Error::from)
    }

    /// Asks for a list and hands each entry to `each`. The list is consistent: when it changed meanwhile, it is asked
    /// for again after `restart`.
    pub(crate) fn dump<T>(
        &mut self,
        kind: u16,
        fixed: &[u8],
        each: impl FnMut(Received<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        self.list(&Message::new(kind, REQUEST | DUMP, fixed), each)
    }

    /// The same for a request that is more than a fixed part. Its flags must have [`REQUEST`] and [`DUMP`].
    pub(crate) fn list<T>(
        &mut self,
        request: &Message,
        mut each: impl FnMut(Received<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let mut entries = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            entries.clear();
            let sequence = self.send(std::slice::from_ref(request))?;
            let mut interrupted = false;
            let mut end = None;
            while end.is_none() {
                self.receive(|message| {
                    if message.sequence != sequence {
                        return;
                    }
                    interrupted |= message.flags & DUMP_INTERRUPTED != 0;
                    match message.kind {
                        KIND_DONE | KIND_ERROR => end = Some(outcome(message)),
                        _ => entries.extend(each(message)),
                    }
                })?;
            }
            end.unwrap_or(Ok(())).map_err(io::Error::from)?;
            if !interrupted {
                return Ok(entries);
            }
        }
        // The last list that was read is as good as any: the table changes faster than it can be listed.
        Ok(entries)
    }

    /// Waits for one datagram (or fails with `WouldBlock`) and hands its messages to `each`.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(Received<'_>)) -> io::Result<()> {
        let (_, length) = loop {
            match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC) {
                Err(Errno::INTR) => {}
                result => break result?,
            }
        };
        messages(&self.buffer[..length.min(BUFFER)]).for_each(&mut each);
        Ok(())
    }

    /// Sends messages in one datagram, and returns the number of the first; the others count on.
    fn send(&mut self, batch: &[Message]) -> io::Result<u32> {
        let first = self.sequence;
        let mut datagram = Vec::new();
        for message in batch {
            message.write(self.sequence, &mut datagram);
            self.sequence = self.sequence.wrapping_add(1);
        }
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.fd, &datagram, SendFlags::empty(), &kernel)?;
        Ok(first)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The kernel's no.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    /// Why, in the kernel's words; few refusals have any.
    explanation: Option<String>,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Refusal { errno, explanation: None }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        let error = io::Error::from(refusal.errno);
        match refusal.explanation {
            Some(explanation) => io::Error::new(error.kind(), format!("{error} ({explanation})")),
            None => error,
        }
    }
}

/// What acknowledgements and ends of dumps say: an error number, negated (zero is success), and, where the flag says so,
/// the header of the request and attributes, one of which is a text.
fn outcome(message: Received<'_>) -> Result<(), Refusal> {
    let errno = match u32_at(message.payload, 0).map(|number| (number as i32).wrapping_neg()) {
        Some(0) => return Ok(()),
        Some(number) => Errno::from_raw_os_error(number),
        None => Errno::PROTO,
    };
    let mut explained = attributes(message.payload, ERROR_FIXED).filter(|_| message.flags & ACK_ATTRIBUTES != 0);
    let explanation = explained.find(|&(kind, _)| kind == EXPLANATION).map(|(_, value)| text(value));
    Err(Refusal { errno, explanation })
}

/// Switches an option of netlink's on, which the libraries do not know.
fn switch_on(fd: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is an int that lives through the call, and its length is given.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
