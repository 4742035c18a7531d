//! The UDP sockets that BFD travels through (RFC 5881 section 4): packets come to a fixed port and go out from another one.

use crate::Error;
use crate::error::During;
use evenkeel_wire::Family;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

/// Where the ports begin that packets are sent from; they end with the last one there is.
const FIRST_SOURCE_PORT: u16 = 49152;

/// As many ports are tried before a socket is said not to be had.
const ATTEMPTS: u16 = 64;

/// Which queue of the interface packets wait in: the first that needs no privilege, so before any ordinary one.
const PRIORITY: u32 = 6;

/// Internetwork control (CS6), as BIRD and routers mark these packets.
const TRAFFIC_CLASS: u32 = 0xc0;

/// Longer datagrams are cut: they are no packets then either.
const LONGEST: usize = 256;

/// What came to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: IpAddr,
    /// The address of this host that it was sent to.
    pub to: Option<IpAddr>,
    /// What was left of its time to live or hop limit.
    pub ttl: Option<u8>,
    /// What was in it.
    pub bytes: Vec<u8>,
}

/// Hears what is sent to one port of this host, on any address of one family, without blocking.
#[derive(Debug)]
pub struct BfdListener {
    socket: Socket,
    port: u16,
}

impl BfdListener {
    /// A socket on this port.
    pub fn open(family: Family, port: u16) -> Result<Self, Error> {
        let during = || format!("listen on UDP port {port} for BFD");
        let socket = Socket::new(domain(family), Type::DGRAM, Some(Protocol::UDP)).during(during)?;
        socket.set_nonblocking(true).during(during)?;
        let options = match family {
            Family::V4 => [(libc::IPPROTO_IP, libc::IP_RECVTTL), (libc::IPPROTO_IP, libc::IP_PKTINFO)],
            Family::V6 => {
                socket.set_only_v6(true).during(during)?;
                [(libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT), (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)]
            }
        };
        for (level, name) in options {
            switch_on(&socket, level, name).during(during)?;
        }
        socket.bind(&SocketAddr::new(family.unspecified(), port).into()).during(during)?;
        Ok(BfdListener { socket, port })
    }

    /// The next datagram, or `None` when none is waiting.
    pub fn receive(&self) -> Result<Option<Datagram>, Error> {
        loop {
            match receive(&self.socket) {
                Ok(datagram) => return Ok(Some(datagram)),
                Err(Errno::AGAIN) => return Ok(None),
                // An interrupted call, and a link that went down: neither ends the socket.
                Err(Errno::INTR | Errno::NETDOWN) => {}
                Err(cause) => return Err(Error::new(format!("receive BFD on UDP port {}", self.port), cause)),
            }
        }
    }
}

impl AsFd for BfdListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends the packets of one session, all from one port between 49152 and 65535 as RFC 5881 section 4 has it.
#[derive(Debug)]
pub struct BfdSender {
    socket: Socket,
    neighbour: SocketAddr,
}

impl BfdSender {
    /// A socket that sends to `neighbour`, with this time to live or hop limit, and from `source` where that is given: an
    /// error while this host has no such address.
    pub fn open(source: Option<IpAddr>, neighbour: SocketAddr, ttl: u8) -> Result<Self, Error> {
        let family = Family::of(neighbour.ip());
        let source = source.unwrap_or(family.unspecified());
        let during = || format!("open a socket for BFD from {source} to {neighbour}");
        let socket = Socket::new(domain(family), Type::DGRAM, Some(Protocol::UDP)).during(during)?;
        socket.set_nonblocking(true).during(during)?;
        socket.set_priority(PRIORITY).during(during)?;
        // Nothing is read here: what is sent to this port is not to take up memory.
        socket.set_recv_buffer_size(1).during(during)?;
        match family {
            Family::V4 => {
                socket.set_ttl_v4(ttl.into()).during(during)?;
                socket.set_tos_v4(TRAFFIC_CLASS).during(during)?;
            }
            Family::V6 => {
                socket.set_unicast_hops_v6(ttl.into()).during(during)?;
                socket.set_tclass_v6(TRAFFIC_CLASS).during(during)?;
            }
        }
        bind_to_some_port(&socket, source).during(during)?;
        Ok(BfdSender { socket, neighbour })
    }

    /// Sends a packet.
    pub fn send(&self, packet: &[u8]) -> Result<(), Error> {
        self.socket
            .send_to(packet, &self.neighbour.into())
            .during(|| format!("send BFD to {}", self.neighbour.ip()))?;
        Ok(())
    }
}

/// Begins with a random one, so that a session that is opened anew is not taken for the one before by what lies between.
fn bind_to_some_port(socket: &Socket, source: IpAddr) -> io::Result<()> {
    let mut random = [0; 2];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let n_ports = u16::MAX - FIRST_SOURCE_PORT + 1;
    let mut last = Ok(());
    for attempt in 0..ATTEMPTS {
        let port = FIRST_SOURCE_PORT + u16::from_ne_bytes(random).wrapping_add(attempt) % n_ports;
        last = socket.bind(&SocketAddr::new(source, port).into());
        match &last {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            _ => return last,
        }
    }
    last
}

fn switch_on(socket: &Socket, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the value is a C int of the length given, and is read only during the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Room for control messages, aligned as their headers are: two small ones come, and this holds several.
#[repr(C)]
union Control {
    _align: libc::cmsghdr,
    bytes: [u8; 256],
}

fn receive(socket: &Socket) -> Result<Datagram, Errno> {
    let mut bytes = [0u8; LONGEST];
    let mut room = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = Control { bytes: [0; 256] };
    let mut sender = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    // SAFETY: a C structure of numbers and pointers, in which zeros mean "not given".
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = sender.as_mut_ptr().cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &raw mut room;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = size_of::<Control>();
    // SAFETY: every pointer in the header is to a local of the length beside it that outlives the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    // Negative is an error, told by the thread's errno.
    let Ok(length) = usize::try_from(length) else {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
    };
    // SAFETY: all zeros are a value of this type, and the kernel wrote an address over some of them.
    let sender = unsafe { sender.assume_init() };
    let Some(from) = address_of(&sender) else { return Err(Errno::AFNOSUPPORT) };
    let mut datagram = Datagram { from, to: None, ttl: None, bytes: bytes[..length].to_vec() };
    // SAFETY: the header describes the control messages that the kernel has just written.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: a pointer that CMSG_FIRSTHDR or CMSG_NXTHDR returned is null or points to a whole header in `control`, which
    // nothing else refers to.
    while let Some(head) = unsafe { message.as_ref() } {
        // SAFETY: as above; the data of a message follow its header within `control`.
        let data = unsafe { libc::CMSG_DATA(message) };
        read_control(head, data, &mut datagram);
        // SAFETY: `message` is one of this header's.
        message = unsafe { libc::CMSG_NXTHDR(&raw const header, message) };
    }
    Ok(datagram)
}

fn read_control(head: &libc::cmsghdr, data: *const u8, datagram: &mut Datagram) {
    let length = head.cmsg_len.saturating_sub(size_of::<libc::cmsghdr>());
    match (head.cmsg_level, head.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
            if length >= size_of::<libc::c_int>() =>
        {
            // SAFETY: the message has at least a C int, which need not be aligned.
            let ttl = unsafe { ptr::read_unaligned(data.cast::<libc::c_int>()) };
            datagram.ttl = u8::try_from(ttl).ok();
        }
        (libc::IPPROTO_IP, libc::IP_PKTINFO) if length >= size_of::<libc::in_pktinfo>() => {
            // SAFETY: the message has at least this structure of integers.
            let info = unsafe { ptr::read_unaligned(data.cast::<libc::in_pktinfo>()) };
            datagram.to = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if length >= size_of::<libc::in6_pktinfo>() => {
            // SAFETY: the message has at least this structure of integers.
            let info = unsafe { ptr::read_unaligned(data.cast::<libc::in6_pktinfo>()) };
            datagram.to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
        }
        _ => {}
    }
}

fn address_of(sender: &libc::sockaddr_storage) -> Option<IpAddr> {
    match libc::c_int::from(sender.ss_family) {
        libc::AF_INET => {
            // SAFETY: the storage is large enough and aligned for every kind of address, and this is its kind.
            let sender = unsafe { &*ptr::from_ref(sender).cast::<libc::sockaddr_in>() };
            Some(Ipv4Addr::from(sender.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let sender = unsafe { &*ptr::from_ref(sender).cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(sender.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

fn domain(family: Family) -> Domain {
    Domain::for_address(SocketAddr::new(family.unspecified(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{Poller, Token};
    use std::net::UdpSocket;

    #[test]
    fn a_packet_arrives_with_its_addresses_and_what_is_left_of_its_time_to_live() {
        let rows: [(IpAddr, Option<IpAddr>, u8); 3] = [
            (Ipv4Addr::LOCALHOST.into(), Some(Ipv4Addr::new(127, 0, 0, 9).into()), 255),
            (Ipv4Addr::new(127, 0, 0, 5).into(), None, 7),
            (Ipv6Addr::LOCALHOST.into(), Some(Ipv6Addr::LOCALHOST.into()), 64),
        ];
        for (neighbour, source, ttl) in rows {
            let listener = BfdListener::open(Family::of(neighbour), 0).unwrap();
            let port = listener.socket.local_addr().unwrap().as_socket().unwrap().port();
            assert_eq!(listener.receive().unwrap(), None);
            let sender = BfdSender::open(source, SocketAddr::new(neighbour, port), ttl).unwrap();
            let source_port = sender.socket.local_addr().unwrap().as_socket().unwrap().port();
            assert!(source_port >= FIRST_SOURCE_PORT, "{source_port}");
            let poller = Poller::new().unwrap();
            poller.add(&listener, Token(1)).unwrap();
            for packet in [&[1u8; 24][..], &[2; 24], &[3; 1000]] {
                sender.send(packet).unwrap();
                poller.wait(&mut Vec::new(), None).unwrap();
                let datagram = listener.receive().unwrap().unwrap();
                let from = source.unwrap_or(Ipv4Addr::LOCALHOST.into());
                assert_eq!((datagram.from, datagram.to, datagram.ttl), (from, Some(neighbour), Some(ttl)));
                assert_eq!(datagram.bytes, packet[..packet.len().min(LONGEST)]);
            }
        }
    }

    #[test]
    fn what_cannot_be_had_is_said_with_its_addresses() {
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        let neighbour = "192.0.2.2:3784".parse().unwrap();
        let error = BfdSender::open(Some(elsewhere), neighbour, 255).unwrap_err();
        assert_eq!(
            error.to_string(),
            "open a socket for BFD from 192.0.2.1 to 192.0.2.2:3784: cannot assign requested address"
        );
        let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = BfdListener::open(Family::V4, port).unwrap_err();
        assert_eq!(error.to_string(), format!("listen on UDP port {port} for BFD: address already in use"));
    }
}
