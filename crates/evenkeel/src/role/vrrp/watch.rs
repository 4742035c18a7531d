//! What the loop waits for, and how the descriptors are called.

use super::bfd::Door;
use evenkeel_bfd::Reach;
use evenkeel_kernel::Error;
use evenkeel_kernel::bfd_socket::Family;
use evenkeel_kernel::poll::{Interest, Poller, Token};
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

/// The sockets of interface `n` are `n * 2 + FIRST_SOCKET` for adverts and one more for ARP.
const FIRST_SOCKET: u64 = 16;

pub fn advert_socket(interface: u32) -> Token {
    Token(FIRST_SOCKET + u64::from(interface) * 2)
}

pub fn arp_socket(interface: u32) -> Token {
    Token(FIRST_SOCKET + u64::from(interface) * 2 + 1)
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

/// The interface whose socket for adverts this is.
pub fn adverts_of(token: Token) -> Option<u32> {
    let at = token.0.checked_sub(FIRST_SOCKET)?;
    at.is_multiple_of(2).then_some((at / 2) as u32)
}

/// The interface whose socket for ARP this is.
pub fn arp_of(token: Token) -> Option<u32> {
    let at = token.0.checked_sub(FIRST_SOCKET + 1)?;
    at.is_multiple_of(2).then_some((at / 2) as u32)
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
            assert_eq!(adverts_of(advert_socket(interface)), Some(interface));
            assert_eq!(arp_of(arp_socket(interface)), Some(interface));
            assert_eq!((adverts_of(arp_socket(interface)), arp_of(advert_socket(interface))), (None, None));
        }
        for token in [BUS, TIMER, MONITOR, ROUTING] {
            assert_eq!((adverts_of(token), arp_of(token), bfd_of(token)), (None, None, None));
        }
        for door in DOORS {
            let token = bfd_socket(door);
            assert_eq!((adverts_of(token), arp_of(token), bfd_of(token)), (None, None, Some(door)));
        }
        assert_eq!(bfd_of(advert_socket(0)), None);
    }

    #[test]
    fn what_is_urgent_ends_the_gathering_of_adverts_and_adverts_do_not() {
        let watch = Watch::new().unwrap();
        let [(ours, mut theirs), (socket, mut peer)] = [UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
        watch.add_urgent(&ours, BUS).unwrap();
        watch.add_patient(&socket, advert_socket(3)).unwrap();
        let mut ready = Vec::new();
        peer.write_all(b"advert").unwrap();
        watch.wait(&mut ready, None).unwrap();
        assert_eq!(ready, [advert_socket(3)]);

        let began_at = std::time::Instant::now();
        let span = Duration::from_millis(2);
        watch.wait(&mut ready, Some(span)).unwrap();
        assert!(began_at.elapsed() >= span, "adverts gathered for the whole span");
        assert_eq!(ready, [advert_socket(3)]);

        theirs.write_all(b"stop").unwrap();
        // Returns at once: this test would not end before the span does.
        watch.wait(&mut ready, Some(Duration::from_secs(1_000_000))).unwrap();
        ready.sort();
        assert_eq!(ready, [BUS, advert_socket(3)]);
    }
}
