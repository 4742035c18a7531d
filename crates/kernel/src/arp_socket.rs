//! The packet socket that ARP travels through.

use crate::Error;
use crate::error::During;
use evenkeel_wire::Mac;
use evenkeel_wire::arp::{self, Arp};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, Type};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

/// The Ethernet type of ARP.
const ETHERTYPE: u16 = 0x0806;

/// Accepts what names a sender, whose address stands at byte 14. A probe (RFC 5227 2.1.1) has 0.0.0.0 there: it claims
/// nothing, the kernel answers it, and with many virtual routers on a link there are hundreds a second.
const NO_PROBES: [SockFilter; 4] = [
    SockFilter::new((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 14),
    SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, 0),
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX),
];

/// Hears all ARP on one interface but probes, and broadcasts messages there, without blocking.
#[derive(Debug)]
pub struct ArpSocket {
    socket: Socket,
    broadcast: SockAddr,
    interface: u32,
}

impl ArpSocket {
    /// A socket on the interface of this index.
    pub fn open(interface: u32) -> Result<Self, Error> {
        let during = |step: &'static str| move || format!("{step} for ARP on interface {interface}");
        // Protocol 0 hears nothing, so that nothing of other interfaces slips in before the socket is bound.
        let socket =
            Socket::new(Domain::PACKET, Type::DGRAM, None::<Protocol>).during(during("open a packet socket"))?;
        socket.set_nonblocking(true).during(during("set up a packet socket"))?;
        socket.attach_filter(&NO_PROBES).during(during("set up a packet socket"))?;
        let broadcast = link_address(ETHERTYPE, interface, Mac::BROADCAST);
        socket.bind(&broadcast).during(during("bind a packet socket"))?;
        Ok(ArpSocket { socket, broadcast, interface })
    }

    /// Tells everybody on the link.
    pub fn send(&self, arp: &Arp) -> Result<(), Error> {
        let interface = self.interface;
        self.socket
            .send_to(&arp.build(), &self.broadcast)
            .during(|| format!("send ARP for {} on interface {interface}", arp.target_ip))?;
        Ok(())
    }

    /// The next message that somebody else sent, or `None` when none is waiting.
    pub fn receive(&self) -> Result<Option<Arp>, Error> {
        // More than ARP for IPv4 needs; the rest of a longer frame is padding or not for us.
        let mut buffer = [MaybeUninit::<u8>::uninit(); 64];
        loop {
            let (length, sender) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(cause) => match cause.raw_os_error().map(Errno::from_raw_os_error) {
                    Some(Errno::AGAIN) => return Ok(None),
                    // A link that went down is reported once; when it is up again the socket hears it.
                    Some(Errno::INTR | Errno::NETDOWN) => continue,
                    _ => return Err(Error::new(format!("receive ARP on interface {}", self.interface), cause)),
                },
            };
            if packet_type(&sender) == Some(libc::PACKET_OUTGOING) {
                continue;
            }
            let mut bytes = [0; arp::LENGTH];
            let length = length.min(buffer.len());
            if length < bytes.len() {
                continue;
            }
            for (byte, received) in bytes.iter_mut().zip(&buffer[..length]) {
                // SAFETY: `recv_from` initialised the first `length` bytes.
                *byte = unsafe { received.assume_init() };
            }
            if let Some(arp) = Arp::parse(&bytes) {
                return Ok(Some(arp));
            }
        }
    }
}

impl AsFd for ArpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A `sockaddr_ll`: frames of ARP's type on `interface`, to `mac`.
/// A link-layer address: an interface (0 for all), a protocol and a station.
pub(crate) fn link_address(ethertype: u16, interface: u32, mac: Mac) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a `sockaddr_ll` is plain integers, so all zeros is one, and `sockaddr_storage` is made to hold any address.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    link.sll_family = libc::AF_PACKET as u16;
    link.sll_protocol = ethertype.to_be();
    link.sll_ifindex = interface as i32;
    link.sll_halen = 6;
    link.sll_addr[..6].copy_from_slice(&mac.0);
    // SAFETY: the storage holds a `sockaddr_ll` and the length is that of one.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

/// How a received frame came to us (`sll_pkttype`).
fn packet_type(sender: &SockAddr) -> Option<u8> {
    if sender.family() != libc::AF_PACKET as libc::sa_family_t {
        return None;
    }
    // SAFETY: the family says that the storage, which is large enough for any address, holds a `sockaddr_ll`.
    let link = unsafe { &*sender.as_ptr().cast::<libc::sockaddr_ll>() };
    Some(link.sll_pkttype)
}
