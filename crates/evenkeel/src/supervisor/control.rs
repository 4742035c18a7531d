//! The control socket, and the lock that keeps a second daemon from the same directory.

use super::Happening;
use crate::wire::Wire;
use evenkeel_bus::{Channel, Reply, Request};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Clients served at once; more wait.
const MAX_CLIENTS: usize = 32;
/// A client that asks nothing for so long, or does not read its answer, is let go.
const IDLE: Duration = Duration::from_secs(60);

/// Name of the socket in the runtime directory.
pub const SOCKET: &str = "control.sock";
const LOCK: &str = "lock";

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has the directory.
    #[error("another evenkeel{} runs with the runtime directory {}; give this one its own with --runtime-dir", .pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default(), .directory.display())]
    InUse {
        /// Which directory.
        directory: PathBuf,
        /// Who, when it says so.
        pid: Option<String>,
    },
    /// The system refused.
    #[error("{operation} {}: {cause}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// A directory that is ours while this lives.
#[derive(Debug)]
pub struct RuntimeDirectory {
    path: PathBuf,
    /// Keeps the lock.
    _lock: File,
}

impl RuntimeDirectory {
    /// Makes the directory if it is not there, and locks it.
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |cause| OpenError::Io { operation, path, cause }
        };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed("make", path))?;
        let lock_path = path.join(LOCK);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let mut lock = open.map_err(failed("open", &lock_path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = lock.take(20).read_to_string(&mut pid);
            let pid = Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty());
            return Err(OpenError::InUse { directory: path.to_owned(), pid });
        }
        let mut write = || {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        write().map_err(failed("write", &lock_path))?;
        Ok(RuntimeDirectory { path: path.to_owned(), _lock: lock })
    }

    /// Listens on the control socket. One that a killed daemon left behind is replaced: the lock says it is dead.
    pub fn listen(&self) -> Result<UnixListener, OpenError> {
        let path = self.path.join(SOCKET);
        let _ = fs::remove_file(&path);
        // Nobody may connect between bind and chmod either.
        let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(&path);
        rustix::process::umask(umask);
        let listener = bound.map_err(|cause| OpenError::Io { operation: "listen on", path: path.clone(), cause })?;
        let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
        Ok(listener)
    }
}

impl Drop for RuntimeDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join(SOCKET));
        let _ = fs::remove_file(self.path.join(LOCK));
        // Only when nobody else keeps anything there.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Takes in clients for ever.
pub async fn serve(listener: UnixListener, happenings: mpsc::Sender<Happening>) {
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let happenings = happenings.clone();
                tokio::spawn(async move {
                    // A client that breaks off has no one to be told.
                    let _ = attend(stream, happenings).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(target: "supervisor", "control socket: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn attend(stream: tokio::net::UnixStream, happenings: mpsc::Sender<Happening>) -> anyhow::Result<()> {
    let mut channel = Wire::new(Channel::new(stream.into_std()?)?)?;
    loop {
        let request = tokio::time::timeout(IDLE, next_request(&mut channel)).await??;
        let (answer, answered) = oneshot::channel();
        happenings.send(Happening::Asked { request, answer }).await?;
        let reply = answered.await.unwrap_or_else(|_| Reply::Failed { message: "the daemon is stopping".to_owned() });
        channel.send(&reply, Vec::new())?;
        while channel.wants_write() {
            tokio::time::timeout(IDLE, channel.writable()).await??;
            channel.flush()?;
        }
    }
}

async fn next_request(channel: &mut Wire) -> anyhow::Result<Request> {
    loop {
        channel.readable().await?;
        if let Some(received) = channel.receive()? {
            return Ok(received.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_who_has_the_directory() {
        let path = std::env::temp_dir().join(format!("evenkeel-lock-{}", std::process::id()));
        let first = RuntimeDirectory::lock(&path).unwrap();
        let error = RuntimeDirectory::lock(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        assert!(!path.exists(), "nothing is left behind");
        RuntimeDirectory::lock(&path).unwrap();
    }
}
