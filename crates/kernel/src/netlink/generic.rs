//! Generic netlink: families that are found by their name, each with commands of its own.
//!
//! ```text
//!  | netlink header, type: the family's number | command u8 | version u8 | reserved u16 | attributes ... |
//! ```

use super::message::{Message, Received, attributes, u16_at};
use super::socket::{ACK, DUMP, GENERIC, REQUEST, Socket};
use rustix::io::Errno;
use std::io;

/// Bytes of `struct genlmsghdr`.
pub(crate) const FIXED: usize = 4;

/// The family that knows the others has a fixed number.
const CONTROL: u16 = 16;
const CONTROL_VERSION: u8 = 2;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// A socket that speaks to one family.
#[derive(Debug)]
pub(crate) struct Family {
    socket: Socket,
    id: u16,
    version: u8,
}

impl Family {
    /// Finds the family; `NOENT` when the kernel has none of that name. Asking makes a kernel with modules load the one that
    /// has it, whoever asks.
    pub(crate) fn open(name: &str, version: u8) -> io::Result<Self> {
        let mut socket = Socket::open(GENERIC)?;
        let request = message(CONTROL, CONTROL_VERSION, GET_FAMILY, REQUEST | ACK).text(FAMILY_NAME, name);
        let id = socket.ask(&request, |answer| family_id(answer.payload))?;
        Ok(Family { socket, id: id.ok_or(Errno::PROTO)?, version })
    }

    /// A command that changes something, to be acknowledged.
    pub(crate) fn order(&self, command: u8) -> Message {
        message(self.id, self.version, command, REQUEST | ACK)
    }

    /// A command that asks for a list.
    pub(crate) fn question(&self, command: u8) -> Message {
        message(self.id, self.version, command, REQUEST | DUMP)
    }

    /// The socket for what [`order`](Self::order) and [`question`](Self::question) built.
    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The list that `question` asks for: what `read` makes of the attributes of each answer.
    pub(crate) fn list<T>(
        &mut self,
        question: &Message,
        mut read: impl FnMut(&[u8]) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let id = self.id;
        self.socket.list(question, |answer| of_family(answer, id).and_then(&mut read))
    }

    /// The one thing that `order` asks for.
    pub(crate) fn ask<T>(
        &mut self,
        order: &Message,
        mut read: impl FnMut(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let id = self.id;
        self.socket.ask(order, |answer| of_family(answer, id).and_then(&mut read))
    }
}

/// The attributes of an answer of this family.
fn of_family(answer: Received<'_>, id: u16) -> Option<&[u8]> {
    answer.payload.get(FIXED..).filter(|_| answer.kind == id)
}

fn message(family: u16, version: u8, command: u8, flags: u16) -> Message {
    Message::new(family, flags, &[command, version, 0, 0])
}

fn family_id(payload: &[u8]) -> Option<u16> {
    attributes(payload, FIXED).find(|&(kind, _)| kind == FAMILY_ID).and_then(|(_, value)| u16_at(value, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_which_family_has_a_name() {
        // The family of families answers about itself, without any privilege.
        assert_eq!(Family::open("nlctrl", CONTROL_VERSION).unwrap().id, CONTROL);
    }

    #[test]
    fn a_family_that_is_not_there_is_an_error() {
        let error = Family::open("evenkeel-none", 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
