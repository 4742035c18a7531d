//! Hearing that processes begin, end or change, without looking for them all the time.

use crate::Error;
use crate::error::During;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::netlink::{CONNECTOR, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with};

/// CN_IDX_PROC and CN_VAL_PROC: the group and the value that speak of processes.
const PROCESSES: u32 = 1;
/// PROC_CN_MCAST_LISTEN.
const LISTEN: u32 = 1;
/// NLMSG_DONE, which each message of the connector has.
const DONE: u16 = 3;

/// A non-blocking socket of the kernel's process connector. Only the first network namespace of a machine has it.
#[derive(Debug)]
pub struct ProcessEvents {
    socket: OwnedFd,
}

impl ProcessEvents {
    /// Opens the connector and asks for events. Needs CAP_NET_ADMIN.
    pub fn open() -> Result<Self, Error> {
        Self::connect().during(|| "listen for events of processes")
    }

    fn connect() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(CONNECTOR))?;
        bind(&socket, &SocketAddrNetlink::new(0, PROCESSES))?;
        send(&socket, &request(), SendFlags::empty())?;
        Ok(ProcessEvents { socket })
    }

    /// Reads all that was told, or was too much to be told. What it was shows only /proc, reliably.
    pub fn drain(&self) -> Result<(), Error> {
        let mut bytes = [0_u8; 4096];
        loop {
            match recv(&self.socket, &mut bytes, RecvFlags::empty()) {
                Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno).during(|| "read events of processes"),
            }
        }
    }
}

impl AsFd for ProcessEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// ```text
/// nlmsghdr  length 40 | type 3, flags 0 | sequence | port
/// cn_msg    index 1 | value 1 | sequence | acknowledgement | length 4, flags 0
///           1 (listen)
/// ```
fn request() -> Vec<u8> {
    let words = [PROCESSES, PROCESSES, 0, 0];
    let mut message = Vec::new();
    message.extend(40_u32.to_ne_bytes());
    message.extend(DONE.to_ne_bytes());
    message.extend(0_u16.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    message.extend(4_u16.to_ne_bytes());
    message.extend(0_u16.to_ne_bytes());
    message.extend(LISTEN.to_ne_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_as_long_as_it_says() {
        let request = request();
        assert_eq!(request.len(), 40);
        assert_eq!(&request[..4], 40_u32.to_ne_bytes());
    }
}
