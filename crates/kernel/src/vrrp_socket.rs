//! The raw sockets that adverts travel through.

use crate::Error;
use crate::ancillary::{self, Ancillary};
use crate::error::During;
use evenkeel_wire::Family;
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::net::sockopt;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::{fmt, io, ptr};

pub use crate::ancillary::Header6;

/// IP protocol number of VRRP.
pub const PROTOCOL: u8 = 112;

/// IP protocol number of the Authentication Header, behind which adverts may be.
pub const AUTHENTICATION_HEADER: u8 = 51;

/// 250 virtual routers that speak ten times a second fill this in one to two seconds.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// Which queue of the interface adverts wait in: the first that needs no privilege, so before any ordinary packet.
const PRIORITY: u32 = 6;

/// Where the checksum stands in an advert.
const CHECKSUM_AT: i32 = 6;

/// The traffic class of network control, class selector 6.
const CONTROL: i32 = 0xc0;

/// Packets that one reading takes at most.
pub const BATCH: usize = 32;

/// What one packet has room for; no advert is as long. The rest of a longer one is lost.
pub const LONGEST_PACKET: usize = 2048;

/// Sends and receives packets of protocol 112, or of 51, of one family on one interface, without blocking.
///
/// What this host sends is not heard here, whichever socket sent it, unless a peer reflects it.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    family: Family,
    interface: Interface,
}

/// Where a socket sends and hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// On the interface of this name and index alone.
    One(String, u32),
    /// Wherever routes lead: for unicast peers.
    Any,
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interface::One(name, _) => f.write_str(name),
            Interface::Any => f.write_str("any interface"),
        }
    }
}

impl Interface {
    fn device(&self) -> Option<&[u8]> {
        match self {
            Interface::One(name, _) => Some(name.as_bytes()),
            Interface::Any => None,
        }
    }

    fn index(&self) -> u32 {
        match self {
            Interface::One(_, index) => *index,
            Interface::Any => 0,
        }
    }
}

impl VrrpSocket {
    /// A socket for IPv4. It joins each of the groups on the interface; without any it hears only what is sent to the
    /// host's own addresses.
    pub fn open_v4(interface: Interface, groups: &[Ipv4Addr]) -> Result<Self, Error> {
        Self::open_for(PROTOCOL, interface, groups)
    }

    /// The same for what has an Authentication Header: keepalived's `auth_type AH`.
    pub fn open_protected(interface: Interface, groups: &[Ipv4Addr]) -> Result<Self, Error> {
        Self::open_for(AUTHENTICATION_HEADER, interface, groups)
    }

    fn open_for(protocol: u8, interface: Interface, groups: &[Ipv4Addr]) -> Result<Self, Error> {
        let during = |step: &'static str| step_of(step, &interface);
        let socket = open(Domain::IPV4, protocol, &interface)?;
        socket.set_header_included_v4(true).during(during("set up a raw socket"))?;
        // Otherwise the groups that any socket on this host joined would be heard here.
        socket.set_multicast_all_v4(false).during(during("set up a raw socket"))?;
        socket.set_multicast_loop_v4(false).during(during("set up a raw socket"))?;
        for group in groups {
            socket
                .join_multicast_v4_n(group, &InterfaceIndexOrAddress::Index(interface.index()))
                .during(|| format!("join {group} for VRRP on {interface}"))?;
        }
        Ok(VrrpSocket { socket, family: Family::V4, interface })
    }

    /// A socket for IPv6. The kernel makes headers and checksums, and drops what has a wrong checksum.
    pub fn open_v6(interface: Interface, groups: &[Ipv6Addr]) -> Result<Self, Error> {
        let socket = open(Domain::IPV6, PROTOCOL, &interface)?;
        let options = [
            (libc::IPV6_CHECKSUM, CHECKSUM_AT),
            (libc::IPV6_TCLASS, CONTROL),
            (libc::IPV6_MULTICAST_HOPS, 255),
            (libc::IPV6_MULTICAST_LOOP, 0),
            (ancillary::IPV6_MULTICAST_ALL, 0),
            (libc::IPV6_RECVPKTINFO, 1),
            (libc::IPV6_RECVHOPLIMIT, 1),
        ];
        ancillary::set_up(&socket, &options).during(step_of("set up a raw socket", &interface))?;
        for group in groups {
            socket
                .join_multicast_v6(group, interface.index())
                .during(|| format!("join {group} for VRRP on {interface}"))?;
        }
        Ok(VrrpSocket { socket, family: Family::V6, interface })
    }

    /// From now on IPv6 adverts may come from an address that is not on the interface: one with a virtual MAC speaks from
    /// that of the one below.
    pub fn borrow_source(&self) -> Result<(), Error> {
        let set_up = ancillary::set_up(&self.socket, &[(ancillary::IPV6_FREEBIND, 1)]);
        set_up.during(step_of("set up a raw socket", &self.interface))
    }

    /// Sends an advert. Of IPv4 `packet` is all from the header on, in which the kernel fills in checksum and total
    /// length; of IPv6 it is what follows the header.
    pub fn send(&self, packet: &[u8], source: IpAddr, destination: IpAddr, ttl: u8) -> Result<(), Error> {
        // Adverts to the group never leave the link, whatever the routing table says.
        let flags = if destination.is_multicast() { SendFlags::DONTROUTE } else { SendFlags::empty() };
        let sent = match (source, destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let index = self.interface.index();
                let header = Header6 { source, destination, hop_limit: ttl };
                ancillary::send(&self.socket, packet, &header, index, flags)
            }
            (_, IpAddr::V4(destination)) => {
                rustix::net::sendto(&self.socket, packet, flags, &SocketAddrV4::new(destination, 0))
                    .map(drop)
                    .map_err(io::Error::from)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) => Err(Errno::AFNOSUPPORT.into()),
        };
        sent.during(|| format!("send an advert to {destination} on {}", self.interface))
    }

    /// Replaces what is in `batch` by the packets that are waiting, at most [`BATCH`]. Unless it is full afterwards,
    /// nothing was left.
    pub fn receive(&self, batch: &mut Batch) -> Result<(), Error> {
        loop {
            match batch.fill(&self.socket, self.family) {
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

fn step_of(step: &str, interface: &Interface) -> impl FnOnce() -> String {
    move || format!("{step} for VRRP on {interface}")
}

fn open(domain: Domain, protocol: u8, interface: &Interface) -> Result<Socket, Error> {
    let during = |step: &'static str| step_of(step, interface);
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol))));
    let socket = socket.during(during("open a raw socket"))?;
    socket.set_nonblocking(true).during(during("set up a raw socket"))?;
    if let Some(device) = interface.device() {
        socket.bind_device(Some(device)).during(during("bind a raw socket"))?;
    }
    socket.set_priority(PRIORITY).during(during("set up a raw socket"))?;
    if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER).during(during("set up a raw socket"))?;
    }
    Ok(socket)
}

/// A received packet of protocol 112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// All from the IPv4 header on.
    V4(&'a [u8]),
    /// What follows the IPv6 header, and what that said.
    V6(Header6, &'a [u8]),
}

/// Room for the packets of one reading.
#[derive(Debug)]
pub struct Batch {
    /// [`BATCH`] times [`LONGEST_PACKET`]. The kernel gives memory only to the part that was ever written.
    bytes: Vec<u8>,
    lengths: [usize; BATCH],
    /// What the packets are when they are of IPv6, which a socket does not say in the packet.
    headers: Option<Box<[Ancillary; BATCH]>>,
    /// Of which family the last reading was.
    family: Family,
    n_packets: usize,
}

impl Batch {
    /// Room without packets.
    #[expect(clippy::new_without_default, reason = "room for something is no value of its own")]
    pub fn new() -> Self {
        let bytes = vec![0; BATCH * LONGEST_PACKET];
        Batch { bytes, lengths: [0; BATCH], headers: None, family: Family::V4, n_packets: 0 }
    }

    /// How many packets the last reading found.
    pub fn len(&self) -> usize {
        self.n_packets
    }

    /// Whether the last reading found nothing.
    pub fn is_empty(&self) -> bool {
        self.n_packets == 0
    }

    /// A packet, in the order of arrival; `None` beyond the last.
    pub fn packet(&self, at: usize) -> Option<Packet<'_>> {
        let length = *self.lengths[..self.n_packets].get(at)?;
        let bytes = self.bytes.chunks_exact(LONGEST_PACKET).nth(at)?.get(..length)?;
        match self.family {
            Family::V4 => Some(Packet::V4(bytes)),
            Family::V6 => Some(Packet::V6(self.headers.as_ref()?.get(at)?.header(), bytes)),
        }
    }

    fn fill(&mut self, socket: &Socket, family: Family) -> Result<(), Errno> {
        self.n_packets = 0;
        self.family = family;
        let mut rooms = [libc::iovec { iov_base: ptr::null_mut(), iov_len: LONGEST_PACKET }; BATCH];
        // SAFETY: a C structure of numbers and pointers, in which zeros mean "not given".
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let slots = self.bytes.chunks_exact_mut(LONGEST_PACKET);
        for ((header, room), slot) in headers.iter_mut().zip(&mut rooms).zip(slots) {
            room.iov_base = slot.as_mut_ptr().cast();
            header.msg_hdr.msg_iov = room;
            header.msg_hdr.msg_iovlen = 1;
        }
        if family == Family::V6 {
            let ancillary = self.headers.get_or_insert_with(|| Box::new([Ancillary::EMPTY; BATCH]));
            for (header, ancillary) in headers.iter_mut().zip(ancillary.iter_mut()) {
                ancillary.lend(&mut header.msg_hdr);
            }
        }
        // SAFETY: there are `BATCH` headers, each with one room of `LONGEST_PACKET` bytes and, of IPv6, with room for an
        // address and control messages of the lengths given; nothing else refers to any of it, and it outlives the call.
        // No timeout is given.
        let n_packets =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), BATCH as u32, 0, ptr::null_mut()) };
        // Negative is an error, told by the thread's errno.
        let Ok(n_packets) = usize::try_from(n_packets) else {
            return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
        };
        for (length, header) in self.lengths.iter_mut().zip(&headers[..n_packets]) {
            *length = header.msg_len as usize;
        }
        if let (Family::V6, Some(ancillary)) = (family, &mut self.headers) {
            for (ancillary, header) in ancillary.iter_mut().zip(&headers[..n_packets]) {
                ancillary.returned(&header.msg_hdr);
            }
        }
        self.n_packets = n_packets;
        Ok(())
    }
}
