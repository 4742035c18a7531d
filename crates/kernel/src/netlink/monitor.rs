//! Hearing what anybody changes.

use super::socket::{ROUTE, Socket};
use super::{Interface, wire};
use crate::Error;
use crate::error::During;
use evenkeel_wire::Prefix;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

/// Bits of RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR (groups 1, 5 and 9).
const GROUPS: u32 = 1 | 1 << 4 | 1 << 8;

/// Room for some ten thousand changes that nobody has read yet.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An interface came, or something about it changed. Its addresses are not in here.
    Link(Interface),
    /// An interface is gone, and its addresses with it.
    LinkGone {
        /// Index it had.
        index: u32,
    },
    /// An address is there now. Also reported when one of its properties changed.
    AddressAdded {
        /// Whose.
        index: u32,
        /// Which.
        prefix: Prefix,
    },
    /// An address is gone.
    AddressRemoved {
        /// Whose it was.
        index: u32,
        /// Which.
        prefix: Prefix,
    },
    /// More happened than the socket could hold, and some of it is lost: read everything again.
    Overrun,
}

/// A non-blocking socket that hears changes of links and addresses from when it is opened.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    /// The rest of the last datagram: bounded by the datagram.
    pending: VecDeque<Change>,
}

impl Monitor {
    /// Opens a socket in the calling thread's network namespace. Open it before listing, so that nothing falls between.
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::listen(ROUTE, GROUPS, RECEIVE_BUFFER).during(|| "open a netlink socket for changes")?;
        Ok(Monitor { socket, pending: VecDeque::new() })
    }

    /// The next change, or `None` when all have been read. Read until `None`: some may wait inside.
    pub fn receive(&mut self) -> Result<Option<Change>, Error> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(Some(change));
            }
            let pending = &mut self.pending;
            let received = self.socket.receive(|message| pending.extend(change(message.kind, message.payload)));
            let Err(cause) = received else { continue };
            return match cause.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::AGAIN) => Ok(None),
                Some(Errno::NOBUFS) => Ok(Some(Change::Overrun)),
                _ => Err(Error::new("read a change of links or addresses", cause)),
            };
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn change(kind: u16, payload: &[u8]) -> Option<Change> {
    match kind {
        wire::NEW_LINK => wire::link(payload).map(Change::Link),
        wire::DELETE_LINK => wire::link(payload).map(|link| Change::LinkGone { index: link.index }),
        wire::NEW_ADDRESS => {
            let held = wire::address(payload)?.held;
            Some(Change::AddressAdded { index: held.index, prefix: held.address.prefix })
        }
        wire::DELETE_ADDRESS => {
            let held = wire::address(payload)?.held;
            Some(Change::AddressRemoved { index: held.index, prefix: held.address.prefix })
        }
        _ => None,
    }
}
