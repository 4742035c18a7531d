//! The raw socket that adverts travel through.

use crate::Error;
use crate::error::During;
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::net::sockopt;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

/// The group that all virtual routers listen to.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// IP protocol number of VRRP.
pub const PROTOCOL: u8 = 112;

/// IP protocol number of the Authentication Header, behind which adverts may be.
pub const AUTHENTICATION_HEADER: u8 = 51;

/// 250 virtual routers that speak ten times a second fill this in one to two seconds.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// Which queue of the interface adverts wait in: the first that needs no privilege, so before any ordinary packet.
const PRIORITY: u32 = 6;

/// Packets that one reading takes at most.
pub const BATCH: usize = 32;

/// What one packet has room for; no advert is as long. The rest of a longer one is lost.
pub const LONGEST_PACKET: usize = 2048;

/// Sends and receives whole IPv4 packets of protocol 112, or of 51, on one interface, without blocking.
///
/// What this host sends is not heard here, whichever socket sent it, unless a peer reflects it.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    interface: String,
}

impl VrrpSocket {
    /// A socket on the interface of this name and index. With `multicast` it joins [`GROUP`] there; without, it hears only
    /// what is sent to the host's own addresses.
    pub fn open(interface: &str, index: u32, multicast: bool) -> Result<Self, Error> {
        Self::open_for(PROTOCOL, interface, index, multicast)
    }

    /// The same for what has an Authentication Header: keepalived's `auth_type AH`.
    pub fn open_protected(interface: &str, index: u32, multicast: bool) -> Result<Self, Error> {
        Self::open_for(AUTHENTICATION_HEADER, interface, index, multicast)
    }

    fn open_for(protocol: u8, interface: &str, index: u32, multicast: bool) -> Result<Self, Error> {
        let during = |step: &'static str| move || format!("{step} for VRRP on {interface}");
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(protocol))));
        let socket = socket.during(during("open a raw socket"))?;
        socket.set_nonblocking(true).during(during("set up a raw socket"))?;
        socket.bind_device(Some(interface.as_bytes())).during(during("bind a raw socket"))?;
        socket.set_header_included_v4(true).during(during("set up a raw socket"))?;
        // Otherwise the groups that any socket on this host joined would be heard here.
        socket.set_multicast_all_v4(false).during(during("set up a raw socket"))?;
        socket.set_multicast_loop_v4(false).during(during("set up a raw socket"))?;
        socket.set_priority(PRIORITY).during(during("set up a raw socket"))?;
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER).during(during("set up a raw socket"))?;
        }
        if multicast {
            socket
                .join_multicast_v4_n(&GROUP, &InterfaceIndexOrAddress::Index(index))
                .during(during("join 224.0.0.18"))?;
        }
        Ok(VrrpSocket { socket, interface: interface.to_owned() })
    }

    /// Sends a packet, from its IPv4 header on. The kernel fills in the header's checksum and total length.
    pub fn send(&self, packet: &[u8], destination: Ipv4Addr) -> Result<(), Error> {
        // Adverts to the group never leave the link, whatever the routing table says.
        let flags = if destination.is_multicast() { SendFlags::DONTROUTE } else { SendFlags::empty() };
        rustix::net::sendto(&self.socket, packet, flags, &SocketAddrV4::new(destination, 0))
            .during(|| format!("send an advert to {destination} on {}", self.interface))?;
        Ok(())
    }

    /// Replaces what is in `batch` by the packets that are waiting, at most [`BATCH`]. Unless it is full afterwards,
    /// nothing was left.
    pub fn receive(&self, batch: &mut Batch) -> Result<(), Error> {
        loop {
            match batch.fill(&self.socket) {
                Ok(()) | Err(Errno::AGAIN) => return Ok(()),
                // An interrupted call, and a link that went down: neither ends the socket.
                Err(Errno::INTR | Errno::NETDOWN) => {}
                Err(cause) => return Err(Error::new(format!("receive adverts on {}", self.interface), cause)),
            }
        }
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Room for the packets of one reading.
#[derive(Debug)]
pub struct Batch {
    /// [`BATCH`] times [`LONGEST_PACKET`]. The kernel gives memory only to the part that was ever written.
    bytes: Vec<u8>,
    lengths: [usize; BATCH],
    n_packets: usize,
}

impl Batch {
    /// Room without packets.
    #[expect(clippy::new_without_default, reason = "room for something is no value of its own")]
    pub fn new() -> Self {
        Batch { bytes: vec![0; BATCH * LONGEST_PACKET], lengths: [0; BATCH], n_packets: 0 }
    }

    /// How many packets the last reading found.
    pub fn len(&self) -> usize {
        self.n_packets
    }

    /// Whether the last reading found nothing.
    pub fn is_empty(&self) -> bool {
        self.n_packets == 0
    }

    /// A packet, from its IPv4 header on, in the order of arrival; `None` beyond the last.
    pub fn packet(&self, at: usize) -> Option<&[u8]> {
        let length = *self.lengths[..self.n_packets].get(at)?;
        self.bytes.chunks_exact(LONGEST_PACKET).nth(at)?.get(..length)
    }

    fn fill(&mut self, socket: &Socket) -> Result<(), Errno> {
        self.n_packets = 0;
        let mut rooms = [libc::iovec { iov_base: ptr::null_mut(), iov_len: LONGEST_PACKET }; BATCH];
        // SAFETY: a C structure of numbers and pointers, in which zeros mean "not given".
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let slots = self.bytes.chunks_exact_mut(LONGEST_PACKET);
        for ((header, room), slot) in headers.iter_mut().zip(&mut rooms).zip(slots) {
            room.iov_base = slot.as_mut_ptr().cast();
            header.msg_hdr.msg_iov = room;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: there are `BATCH` headers, each with one room of `LONGEST_PACKET` bytes that nothing else refers to
        // and that outlives the call. No timeout is given.
        let n_packets =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), BATCH as u32, 0, ptr::null_mut()) };
        // Negative is an error, told by the thread's errno.
        let Ok(n_packets) = usize::try_from(n_packets) else {
            return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
        };
        for (length, header) in self.lengths.iter_mut().zip(&headers[..n_packets]) {
            *length = header.msg_len as usize;
        }
        self.n_packets = n_packets;
        Ok(())
    }
}
