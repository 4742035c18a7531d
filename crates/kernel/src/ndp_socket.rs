//! The raw socket that neighbour discovery travels through.

use crate::Error;
use crate::ancillary::{self, Header6};
use crate::error::During;
use evenkeel_wire::Mac;
use evenkeel_wire::ndp::{self, Advertisement};
use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// `SOL_ICMPV6` and its one option, `ICMPV6_FILTER`.
const ICMPV6: i32 = 58;
const FILTER: i32 = 1;

/// Longer than any advertisement that says nothing but an address; the rest of a longer one is lost.
const LONGEST: usize = 256;

/// Hears the neighbour advertisements that reach this host on one interface, and sends there, without blocking.
#[derive(Debug)]
pub struct NdpSocket {
    socket: Socket,
    interface: u32,
}

impl NdpSocket {
    /// A socket on the interface of this name and index.
    pub fn open(name: &str, interface: u32) -> Result<Self, Error> {
        let during = |step: &'static str| move || format!("{step} for neighbour discovery on {name}");
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6));
        let socket = socket.during(during("open a raw socket"))?;
        // First, so that nothing else slips in.
        accept_only(&socket, ndp::ADVERTISEMENT).during(during("set up a raw socket"))?;
        socket.set_nonblocking(true).during(during("set up a raw socket"))?;
        socket.bind_device(Some(name.as_bytes())).during(during("bind a raw socket"))?;
        let options = [
            (libc::IPV6_MULTICAST_HOPS, i32::from(ndp::HOP_LIMIT)),
            (libc::IPV6_MULTICAST_LOOP, 0),
            (libc::IPV6_RECVPKTINFO, 1),
            (libc::IPV6_RECVHOPLIMIT, 1),
        ];
        ancillary::set_up(&socket, &options).during(during("set up a raw socket"))?;
        Ok(NdpSocket { socket, interface })
    }

    /// Tells everybody on the link where an address is, from that address, which this host must have.
    pub fn announce(&self, advert: &Advertisement) -> Result<(), Error> {
        let header = Header6 { source: advert.target, destination: ndp::ALL_NODES, hop_limit: ndp::HOP_LIMIT };
        ancillary::send(&self.socket, &advert.build(), &header, self.interface, SendFlags::empty())
            .during(|| format!("announce {} on interface {}", advert.target, self.interface))
    }

    /// Asks who has `target`. Answers come to `source`, an address of this host.
    pub fn ask(&self, source: Ipv6Addr, mac: Mac, target: Ipv6Addr) -> Result<(), Error> {
        let destination = ndp::solicited_node(target);
        let header = Header6 { source, destination, hop_limit: ndp::HOP_LIMIT };
        ancillary::send(&self.socket, &ndp::solicitation(mac, target), &header, self.interface, SendFlags::empty())
            .during(|| format!("ask for {target} on interface {}", self.interface))
    }

    /// The next advertisement, or `None` when none is waiting. One that came through a router is none (RFC 4861 7.1.2).
    pub fn receive(&self) -> Result<Option<Advertisement>, Error> {
        let mut buffer = [0; LONGEST];
        loop {
            let (length, header) = match ancillary::receive(&self.socket, &mut buffer) {
                Ok(received) => received,
                Err(cause) => match cause.raw_os_error().map(Errno::from_raw_os_error) {
                    Some(Errno::AGAIN) => return Ok(None),
                    // A link that went down; when it is up again the socket hears it.
                    Some(Errno::INTR | Errno::NETDOWN) => continue,
                    _ => {
                        let what = format!("receive neighbour discovery on interface {}", self.interface);
                        return Err(Error::new(what, cause));
                    }
                },
            };
            let bytes = &buffer[..length.min(LONGEST)];
            if let Some(advert) = Advertisement::parse(bytes).filter(|_| header.hop_limit == ndp::HOP_LIMIT) {
                return Ok(Some(advert));
            }
        }
    }
}

impl AsFd for NdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Has the kernel pass on messages of one type alone.
fn accept_only(socket: &Socket, kind: u8) -> io::Result<()> {
    // struct icmp6_filter: a bit for each type, set for those that are blocked.
    let mut blocked = [u32::MAX; 8];
    blocked[usize::from(kind / 32)] &= !(1 << (kind % 32));
    let length = size_of_val(&blocked) as libc::socklen_t;
    // SAFETY: the filter has the length given, and the call only reads it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), ICMPV6, FILTER, blocked.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
