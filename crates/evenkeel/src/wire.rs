use evenkeel_bus::{Channel, ChannelError, Received};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// A [`Channel`] whose readiness tokio watches, through a second descriptor of the same socket.
#[derive(Debug)]
pub struct Wire {
    channel: Channel,
    watch: UnixStream,
}

impl Wire {
    /// Takes a channel into the runtime.
    pub fn new(channel: Channel) -> io::Result<Self> {
        let watch = std::os::unix::net::UnixStream::from(channel.as_fd().try_clone_to_owned()?);
        Ok(Wire { channel, watch: UnixStream::from_std(watch)? })
    }

    /// Until [`Wire::receive`] may have something. Does not change anything when it is given up.
    pub async fn readable(&self) -> io::Result<()> {
        self.watch.readable().await
    }

    /// Until [`Wire::flush`] may get further.
    pub async fn writable(&self) -> io::Result<()> {
        self.watch.writable().await
    }

    /// The next message, if there is one now.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<Received<T>>, ChannelError> {
        let channel = &mut self.channel;
        let outcome = self.watch.try_io(Interest::READABLE, || match channel.receive() {
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            outcome => Ok(outcome),
        });
        match outcome {
            Ok(outcome) => outcome,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a message, or as much of it as goes now.
    pub fn send<T: Serialize>(&mut self, message: &T, descriptors: Vec<OwnedFd>) -> Result<(), ChannelError> {
        self.channel.send_with(message, descriptors)
    }

    /// Sends what waits, as far as it goes now.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        let channel = &mut self.channel;
        let outcome = self.watch.try_io(Interest::WRITABLE, || match channel.flush() {
            Ok(()) if channel.wants_write() => Err(io::ErrorKind::WouldBlock.into()),
            outcome => Ok(outcome),
        });
        match outcome {
            Ok(outcome) => outcome,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether something waits to be sent.
    pub fn wants_write(&self) -> bool {
        self.channel.wants_write()
    }
}
