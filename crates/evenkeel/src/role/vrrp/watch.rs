//! What the loop waits for, and how the descriptors are called.

use super::bfd::Door;
use evenkeel_bfd::Reach;
use evenkeel_kernel::Error;
use evenkeel_kernel::poll::{Interest, Poller, Token};
use evenkeel_wire::Family;
use std::os::fd::AsFd;
use std::time::Duration;

pub const BUS: Token = Token(0);
pub const TIMER: Token = Token(1);
pub const MONITOR: Token = Token(2);
pub const ROUTING: Token = Token(3);

/// The four sockets that BFD comes in by.
const FIRST_BFD: u64 = 4;

/// By the token's distance from the first.
const DOORS: [Door; 4] = [
    (Family::V4, Reach::SingleHop),
    (Family::V4, Reach::Multihop),
    (Family::V6, Reach::SingleHop),
    (Family::V6, Reach::Multihop),
];

/// The sockets of interface `n` are `n * 5 + FIRST_SOCKET` and the four after it, in the order of [`Socket::ALL`].
const FIRST_SOCKET: u64 = 16;

/// One of the sockets of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Adverts.
    Adverts(Family),
    /// Adverts of IPv4 behind an Authentication Header.
    Protected,
    /// ARP, or neighbour discovery.
    Neighbours(Family),
}

impl Socket {
    const ALL: [Socket; 5] = [
        Socket::Adverts(Family::V4),
        Socket::Adverts(Family::V6),
        Socket::Protected,
        Socket::Neighbours(Family::V4),
        Socket::Neighbours(Family::V6),
    ];

    /// Whether adverts come by this socket.
    pub fn has_adverts(self) -> bool {
        match self {
            Socket::Adverts(_) | Socket::Protected => true,
            Socket::Neighbours(_) => false,
        }
    }

    /// The token of this socket of an interface.
    pub fn of(self, interface: u32) -> Token {
        let at = Socket::ALL.iter().take_while(|socket| **socket != self).count();
        Token(FIRST_SOCKET + u64::from(interface) * Socket::ALL.len() as u64 + at as u64)
    }

    /// Which socket of which interface a token names.
    pub fn from_token(token: Token) -> Option<(Socket, u32)> {
        let number = token.0.checked_sub(FIRST_SOCKET)?;
        let n_sockets = Socket::ALL.len() as u64;
        Some((Socket::ALL[(number % n_sockets) as usize], (number / n_sockets) as u32))
    }
}

pub fn bfd_socket(door: Door) -> Token {
    let at = DOORS.iter().position(|known| *known == door).unwrap_or_default();
    Token(FIRST_BFD + at as u64)
}

/// What comes in by this socket, if BFD does.
pub fn bfd_of(token: Token) -> Option<Door> {
    let at = usize::try_from(token.0.checked_sub(FIRST_BFD)?).ok()?;
    DOORS.get(at).copied()
}

pub struct Watch {
    /// Everything.
    all: Poller,
    /// What does not wait while adverts gather.
    urgent: Poller,
}

impl Watch {
    pub fn new() -> Result<Self, Error> {
        Ok(Watch { all: Poller::new()?, urgent: Poller::new()? })
    }

    /// Adverts gather, and so does ARP: a master that asks after its addresses would otherwise wake all backups.
    pub fn add_patient(&self, socket: impl AsFd, token: Token) -> Result<(), Error> {
        self.all.add(socket, token)
    }

    pub fn add_urgent(&self, fd: impl AsFd, token: Token) -> Result<(), Error> {
        self.urgent.add(&fd, token)?;
        self.all.add(fd, token)
    }

    pub fn change_urgent(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<(), Error> {
        self.urgent.watch(&fd, token, interest)?;
        self.all.watch(fd, token, interest)
    }

    /// Waits for anything; or lets adverts gather for `span`, unless something else comes, and then looks at everything.
    pub fn wait(&self, ready: &mut Vec<Token>, span: Option<Duration>) -> Result<(), Error> {
        let Some(span) = span else { return self.all.wait(ready, None) };
        self.urgent.wait(ready, Some(span))?;
        self.all.wait(ready, Some(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_token_names_one_socket() {
        for interface in [0, 1, 7, u32::MAX] {
            for socket in Socket::ALL {
                assert_eq!(Socket::from_token(socket.of(interface)), Some((socket, interface)));
            }
        }
        for token in [BUS, TIMER, MONITOR, ROUTING] {
            assert_eq!((Socket::from_token(token), bfd_of(token)), (None, None));
        }
        for door in DOORS {
            let token = bfd_socket(door);
            assert_eq!((Socket::from_token(token), bfd_of(token)), (None, Some(door)));
        }
        assert_eq!(bfd_of(Socket::Adverts(Family::V4).of(0)), None);
    }

    #[test]
    fn what_is_urgent_ends_the_gathering_of_adverts_and_adverts_do_not() {
        let watch = Watch::new().unwrap();
        let [(ours, mut theirs), (socket, mut peer)] = [UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
        watch.add_urgent(&ours, BUS).unwrap();
        watch.add_patient(&socket, Socket::Adverts(Family::V6).of(3)).unwrap();
        let mut ready = Vec::new();
        peer.write_all(b"advert").unwrap();
        watch.wait(&mut ready, None).unwrap();
        assert_eq!(ready, [Socket::Adverts(Family::V6).of(3)]);

        let began_at = std::time::Instant::now();
        let span = Duration::from_millis(2);
        watch.wait(&mut ready, Some(span)).unwrap();
        assert!(began_at.elapsed() >= span, "adverts gathered for the whole span");
        assert_eq!(ready, [Socket::Adverts(Family::V6).of(3)]);

        theirs.write_all(b"stop").unwrap();
        // Returns at once: this test would not end before the span does.
        watch.wait(&mut ready, Some(Duration::from_secs(1_000_000))).unwrap();
        ready.sort();
        assert_eq!(ready, [BUS, Socket::Adverts(Family::V6).of(3)]);
    }
}
