//! Packets to a virtual address by way of one real server, as a balancer would send them there.

use crate::Error;
use crate::arp_socket::link_address;
use crate::error::During;
use evenkeel_wire::Mac;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

/// The Ethernet type of IPv4.
const ETHERTYPE: u16 = 0x0800;

/// Sends whole IPv4 packets by way of a neighbour, and hears what comes back to one port, without blocking.
///
/// What comes back has the virtual address for its source, which may be this host's own: its stack drops such packets, so
/// they are taken where they arrive.
#[derive(Debug)]
pub struct DataPath {
    sender: Socket,
    receiver: Socket,
    server: Ipv4Addr,
}

impl DataPath {
    /// To the real server at `server`; what is heard is TCP from `peer` to `port`. Needs `CAP_NET_RAW`.
    pub fn open(server: Ipv4Addr, peer: SocketAddrV4, port: u16) -> Result<Self, Error> {
        let during = |step: &'static str| move || format!("{step} for the data path to {server}");
        // A raw socket of this kind takes whole packets and routes them by where they are sent, not by what stands in them.
        let raw = Some(Protocol::from(libc::IPPROTO_RAW));
        let sender = Socket::new(Domain::IPV4, Type::RAW, raw).during(during("open a raw socket"))?;
        let receiver =
            Socket::new(Domain::PACKET, Type::DGRAM, None::<Protocol>).during(during("open a packet socket"))?;
        receiver.set_nonblocking(true).during(during("set up a packet socket"))?;
        receiver.attach_filter(&answers(peer, port)).during(during("set up a packet socket"))?;
        receiver.bind(&link_address(ETHERTYPE, 0, Mac([0; 6]))).during(during("bind a packet socket"))?;
        Ok(DataPath { sender, receiver, server })
    }

    /// Sends a packet to the server, whatever its destination address says.
    pub fn send(&self, packet: &[u8]) -> Result<(), Error> {
        rustix::net::sendto(&self.sender, packet, SendFlags::empty(), &SocketAddrV4::new(self.server, 0))
            .during(|| format!("send a packet by way of {}", self.server))?;
        Ok(())
    }

    /// The next packet that came back, from its IPv4 header on, cut to `buffer`; `None` when none is waiting.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        loop {
            match rustix::net::recv(&self.receiver, &mut *buffer, RecvFlags::empty()) {
                Ok((_, length)) => return Ok(Some(length.min(buffer.len()))),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR | Errno::NETDOWN) => {}
                Err(cause) => return Err(Error::new(format!("hear answers of {}", self.server), cause)),
            }
        }
    }
}

impl AsFd for DataPath {
    /// Readable when something came back.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

/// TCP from this address and port to that port, and nothing else.
fn answers(peer: SocketAddrV4, port: u16) -> [SockFilter; 11] {
    let load = |size: u32, mode: u32, at: u32| SockFilter::new((libc::BPF_LD | size | mode) as u16, 0, 0, at);
    let unless = |value: u32, to_end: u8| {
        SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, to_end, value)
    };
    let give = |length: u32| SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, length);
    [
        load(libc::BPF_B, libc::BPF_ABS, 9),
        unless(6, 8),
        load(libc::BPF_W, libc::BPF_ABS, 12),
        unless(u32::from(*peer.ip()), 6),
        // The length of the header, options included.
        SockFilter::new((libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16, 0, 0, 0),
        load(libc::BPF_H, libc::BPF_IND, 0),
        unless(peer.port().into(), 3),
        load(libc::BPF_H, libc::BPF_IND, 2),
        unless(port.into(), 1),
        give(u32::MAX),
        give(0),
    ]
}
