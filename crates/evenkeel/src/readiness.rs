use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Tells when a descriptor of any kind can be read, through a second descriptor of the same thing.
///
/// tokio's own type for this, `AsyncFd`, takes unsafe code since its safe constructor was found unsound; a stream that
/// nothing is ever read from does as well.
#[derive(Debug)]
pub struct Readiness(UnixStream);

impl Readiness {
    /// Watches `what`, which must be set not to block.
    pub fn of(what: impl AsFd) -> io::Result<Self> {
        let copy: OwnedFd = what.as_fd().try_clone_to_owned()?;
        Ok(Readiness(UnixStream::from_std(copy.into())?))
    }

    /// Until it can be read. Read until nothing is left, then say [`Readiness::drained`].
    pub async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Nothing is left to read.
    pub fn drained(&self) {
        let _: io::Result<()> = self.0.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    }
}
