//! Waiting for several descriptors and a deadline: epoll and timerfd.

use crate::Error;
use crate::error::During;
use evenkeel_wire::Instant;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The caller's name for a descriptor. What the number means is the caller's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What about a descriptor is worth waking for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// There is something to read.
    Read,
    /// There is something to read, or room to write.
    ReadAndWrite,
}

/// At most so many descriptors are reported by one call; the others come with the next.
const EVENTS_PER_WAIT: usize = 64;

/// A set of descriptors, any of which may become readable. Level-triggered: what is not read is reported again.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// An empty set.
    pub fn new() -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).during(|| "create an epoll set")?;
        Ok(Poller { epoll })
    }

    /// Reports `token` whenever `fd` is readable, hung up or in error. Closing the last copy of `fd` takes it out.
    pub fn add(&self, fd: impl AsFd, token: Token) -> Result<(), Error> {
        let data = epoll::EventData::new_u64(token.0);
        epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN).during(|| "add a descriptor to an epoll set")
    }

    /// Reports the token of `fd`, which is in the set already, also whenever `fd` takes bytes; or no longer.
    pub fn watch(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<(), Error> {
        let data = epoll::EventData::new_u64(token.0);
        let flags = match interest {
            Interest::Read => epoll::EventFlags::IN,
            Interest::ReadAndWrite => epoll::EventFlags::IN | epoll::EventFlags::OUT,
        };
        epoll::modify(&self.epoll, fd, data, flags).during(|| "change a descriptor in an epoll set")
    }

    /// Takes `fd` out.
    pub fn remove(&self, fd: impl AsFd) -> Result<(), Error> {
        epoll::delete(&self.epoll, fd).during(|| "remove a descriptor from an epoll set")
    }

    /// Waits until at least one descriptor is ready or `timeout` is over (`None`: for ever), and replaces `ready` by the
    /// tokens of the ready ones. A signal ends the wait early with nothing ready.
    pub fn wait(&self, ready: &mut Vec<Token>, timeout: Option<Duration>) -> Result<(), Error> {
        ready.clear();
        let timeout = timeout.map(timespec);
        let mut events = [const { MaybeUninit::uninit() }; EVENTS_PER_WAIT];
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => ready.extend(events.iter().map(|event| Token(event.data.u64()))),
            Err(Errno::INTR) => {}
            Err(cause) => return Err(Error::new("wait for an epoll set", cause)),
        }
        Ok(())
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// A deadline as a descriptor, which is readable once the deadline has come.
#[derive(Debug)]
pub struct Timer {
    timer: OwnedFd,
}

impl Timer {
    /// A timer without a deadline.
    pub fn new() -> Result<Self, Error> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).during(|| "create a timer descriptor")?;
        Ok(Timer { timer })
    }

    /// Sets the one deadline, on the clock of [`clock::now`](crate::clock::now), or none. A deadline in the past has
    /// come at once.
    pub fn set(&self, deadline: Option<Instant>) -> Result<(), Error> {
        // A time of zero would disarm the timer, so the origin of the clock becomes its first nanosecond.
        let at = deadline.map(|deadline| deadline.since_origin().max(Duration::from_nanos(1)));
        let value =
            Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(at.unwrap_or(Duration::ZERO)) };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &value)
            .during(|| "set a timer descriptor")?;
        Ok(())
    }

    /// Makes the descriptor unreadable again, and says whether the deadline had come.
    pub fn drain(&self) -> Result<bool, Error> {
        let mut count = [0; 8];
        match rustix::io::read(&self.timer, &mut count) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(cause) => Err(Error::new("read a timer descriptor", cause)),
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

fn timespec(span: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), tv_nsec: span.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::io::Write;

    #[test]
    fn a_deadline_that_has_come_is_reported_once() {
        let poller = Poller::new().unwrap();
        let timer = Timer::new().unwrap();
        poller.add(&timer, Token(7)).unwrap();
        let mut ready = vec![Token(1)];

        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert_eq!(ready, []);

        timer.set(Some(clock::now())).unwrap();
        poller.wait(&mut ready, None).unwrap();
        assert_eq!(ready, [Token(7)]);
        assert!(timer.drain().unwrap());
        assert!(!timer.drain().unwrap());

        timer.set(Some(Instant::ORIGIN)).unwrap();
        poller.wait(&mut ready, None).unwrap();
        timer.set(None).unwrap();
        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert_eq!(ready, []);
    }

    #[test]
    fn room_to_write_is_reported_while_it_is_of_interest() {
        let poller = Poller::new().unwrap();
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        poller.add(&ours, Token(3)).unwrap();
        let mut ready = Vec::new();
        for (interest, expected) in [(Interest::ReadAndWrite, vec![Token(3)]), (Interest::Read, vec![])] {
            poller.watch(&ours, Token(3), interest).unwrap();
            poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
            assert_eq!(ready, expected);
        }
    }

    #[test]
    fn the_end_of_a_stream_is_reported() {
        let poller = Poller::new().unwrap();
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        poller.add(&ours, Token(3)).unwrap();
        theirs.write_all(b"x").unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready, None).unwrap();
        assert_eq!(ready, [Token(3)]);
        drop(theirs);
        poller.wait(&mut ready, None).unwrap();
        assert_eq!(ready, [Token(3)]);
        poller.remove(&ours).unwrap();
        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert_eq!(ready, []);
    }
}
