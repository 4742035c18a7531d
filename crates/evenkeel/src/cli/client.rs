//! Talking to the daemon.

use super::DaemonArgs;
use crate::supervisor::{SOCKET, runtime_directory};
use anyhow::bail;
use evenkeel_bus::{Channel, ChannelError, Reply, Request};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A reload may wait for a port to become free.
const LIMIT: Duration = Duration::from_secs(30);

/// A connection to the daemon.
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects, or says in words what is wrong.
    pub fn connect(daemon: &DaemonArgs) -> anyhow::Result<Self> {
        let path = runtime_directory(daemon.runtime_dir.clone()).join(SOCKET);
        let path_text = path.display();
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Client { channel: Channel::new(stream)? }),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => bail!(
                    "no daemon runs here: there is no {path_text}\n  start one with `evenkeel run`, or name its directory with --runtime-dir"
                ),
                ErrorKind::ConnectionRefused => {
                    bail!("no daemon runs here: nobody listens on {path_text}, which a killed one left behind")
                }
                ErrorKind::PermissionDenied => {
                    bail!("no permission to talk to the daemon: {path_text} is for root; try with sudo")
                }
                _ => bail!("connect to {path_text}: {error}"),
            },
        }
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, request: &Request) -> anyhow::Result<Reply> {
        self.channel.send_blocking(request, LIMIT)?;
        match self.channel.receive_blocking(LIMIT) {
            Ok(received) => Ok(received.message),
            Err(ChannelError::Closed) => bail!("the daemon ended before it answered"),
            Err(ChannelError::TimedOut(_)) => bail!("the daemon did not answer within {LIMIT:?}"),
            Err(ChannelError::Json(error)) => {
                bail!("the daemon's answer is not understood ({error}): is it of another version?")
            }
            Err(error) => Err(error.into()),
        }
    }
}
