//! Signals as a descriptor, for loops that are not tokio's.

use crate::Error;
use crate::error::During;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// Signals that are read instead of delivered.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Blocks `signals` (as numbered by `libc`) in the calling thread, and makes a descriptor that they are read from.
    ///
    /// Threads inherit the mask, so call it before any other thread is started. So do programs that are executed: reset the
    /// mask there.
    pub fn new(signals: &[i32]) -> Result<Self, Error> {
        let set = block(signals)?;
        // SAFETY: -1 asks for a new descriptor; the set is initialised.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        checked(fd).during(|| "create a signal descriptor")?;
        // SAFETY: the descriptor was just created and belongs to nobody else.
        Ok(SignalFd { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The next signal that has arrived, if any.
    pub fn receive(&self) -> Result<Option<i32>, Error> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut record = [0; SIZE];
        match rustix::io::read(&self.fd, &mut record) {
            // The number of the signal is the first field, a u32.
            Ok(SIZE) => Ok(Some(i32::from_ne_bytes([record[0], record[1], record[2], record[3]]))),
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(cause) => Err(Error::new("read a signal descriptor", cause)),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Blocks `signals` (as numbered by `libc`) in the calling thread and the threads it starts: they wait, and nobody is
/// ended by them. Returns the set of them.
fn block(signals: &[i32]) -> Result<libc::sigset_t, Error> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set it is given and cannot fail.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for &signal in signals {
        // SAFETY: the set is initialised; a number that is no signal is refused.
        let result = unsafe { libc::sigaddset(&raw mut set, signal) };
        checked(result).during(|| format!("watch signal {signal}"))?;
    }
    // SAFETY: the set is initialised, and the old mask is not asked for.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    if result != 0 {
        return Err(Error::new("block signals", io::Error::from_raw_os_error(result)));
    }
    Ok(set)
}

/// Turns a deaf ear on `signals` (as numbered by `libc`), which somebody else acts on. Call it before any other thread is
/// started; programs that are executed inherit it.
pub fn leave_unheard(signals: &[i32]) -> Result<(), Error> {
    block(signals).map(drop)
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_not_delivered() {
        // The thread that runs this test blocks SIGUSR2 and sends it to itself.
        let signals = SignalFd::new(&[libc::SIGUSR2]).unwrap();
        assert_eq!(signals.receive().unwrap(), None);
        // SAFETY: a thread may signal itself.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
        assert_eq!(signals.receive().unwrap(), Some(libc::SIGUSR2));
        assert_eq!(signals.receive().unwrap(), None);
    }

    #[test]
    fn a_signal_that_is_left_unheard_ends_nobody() {
        leave_unheard(&[libc::SIGHUP]).unwrap();
        // SAFETY: a thread may signal itself.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGHUP) };
        let signals = SignalFd::new(&[libc::SIGHUP]).unwrap();
        assert_eq!(signals.receive().unwrap(), Some(libc::SIGHUP));
    }
}
