//! Asking a driver whether its link has carrier, for those that do not tell of changes by themselves.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The transceiver's status register (IEEE 802.3, 22.2.4.2).
    Mii,
    /// `ETHTOOL_GLINK`.
    Ethtool,
    /// `IFF_RUNNING`: what the kernel itself thinks.
    Flags,
}

/// Asks for carrier.
#[derive(Debug)]
pub struct LinkBeat {
    socket: OwnedFd,
}

impl LinkBeat {
    /// Any socket will do.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        Ok(LinkBeat { socket: rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)? })
    }

    /// Whether there is carrier, by the first of `ways` that the driver knows. `CAP_NET_ADMIN` is needed for
    /// [`Way::Mii`].
    pub fn ask(&self, interface: &str, ways: &[Way]) -> io::Result<bool> {
        let mut answer = Err(io::Error::from(io::ErrorKind::Unsupported));
        for way in ways {
            answer = match way {
                Way::Mii => self.by_mii(interface),
                Way::Ethtool => self.by_ethtool(interface),
                Way::Flags => self.by_flags(interface),
            };
            if answer.is_ok() {
                break;
            }
        }
        answer
    }

    fn by_mii(&self, interface: &str) -> io::Result<bool> {
        let mut request = Request::new(interface)?;
        self.call(libc::SIOCGMIIPHY, &mut request)?;
        request.mii[1] = STATUS;
        // The bit remembers a loss until it is read: the second reading is the present.
        self.call(libc::SIOCGMIIREG, &mut request)?;
        self.call(libc::SIOCGMIIREG, &mut request)?;
        Ok(request.mii[3] & LINK != 0)
    }

    fn by_ethtool(&self, interface: &str) -> io::Result<bool> {
        let mut question = Ethtool { command: GET_LINK, data: 0 };
        let mut request = PointerRequest { name: name(interface)?, data: &raw mut question, _rest: [0; 16] };
        // SAFETY: the kernel reads the name and reads and writes the eight bytes that `data` points to; both outlive the
        // call.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(question.data != 0) }
    }

    fn by_flags(&self, interface: &str) -> io::Result<bool> {
        let mut request = Request::new(interface)?;
        self.call(libc::SIOCGIFFLAGS, &mut request)?;
        Ok(request.mii[0] & libc::IFF_RUNNING as u16 != 0)
    }

    fn call(&self, what: libc::c_ulong, request: &mut Request) -> io::Result<()> {
        // SAFETY: these calls read and write an `ifreq`, which `Request` is at least as large as, and keep nothing of it.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), what as _, &raw mut *request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// An `ifreq` whose second part is flags, or the request to a transceiver: its number, register, value in, value out.
#[repr(C, align(8))]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    mii: [u16; 4],
    _rest: [u8; 16],
}

impl Request {
    fn new(interface: &str) -> io::Result<Self> {
        Ok(Request { name: name(interface)?, mii: [0; 4], _rest: [0; 16] })
    }
}

/// An `ifreq` whose second part is a pointer.
#[repr(C)]
struct PointerRequest {
    name: [u8; libc::IFNAMSIZ],
    data: *mut Ethtool,
    _rest: [u8; 16],
}

const _: () = assert!(size_of::<Request>() >= size_of::<libc::ifreq>());
const _: () = assert!(size_of::<PointerRequest>() >= size_of::<libc::ifreq>());

/// `ethtool_value`.
#[repr(C)]
struct Ethtool {
    command: u32,
    data: u32,
}

/// `ETHTOOL_GLINK`.
const GET_LINK: u32 = 0x0a;
/// Register 1, and its bit for carrier.
const STATUS: u16 = 1;
const LINK: u16 = 1 << 2;

/// Ended by a zero byte.
fn name(interface: &str) -> io::Result<[u8; libc::IFNAMSIZ]> {
    let mut name = [0; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    name[..interface.len()].copy_from_slice(interface.as_bytes());
    Ok(name)
}
