//! The raw socket that adverts travel through.

use crate::Error;
use crate::error::During;
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

/// The group that all virtual routers listen to.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// IP protocol number of VRRP.
pub const PROTOCOL: u8 = 112;

/// 250 virtual routers that speak ten times a second fill this in one to two seconds.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// Which queue of the interface adverts wait in: the first that needs no privilege, so before any ordinary packet.
const PRIORITY: u32 = 6;

/// Sends and receives whole IPv4 packets of protocol 112 on one interface, without blocking.
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
        let during = |step: &'static str| move || format!("{step} for VRRP on {interface}");
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(PROTOCOL))));
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

    /// Reads the next packet, from its IPv4 header on, and returns its length; `None` when none is waiting. What does not
    /// fit into `buffer` is lost, and the length then says how long the packet was: more than the buffer.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        loop {
            match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::TRUNC) {
                Ok((_, length)) => return Ok(Some(length)),
                Err(Errno::AGAIN) => return Ok(None),
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
