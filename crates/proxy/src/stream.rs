use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A connected byte stream, to a client or to an upstream.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Reads into `buffer`; 0 bytes is the end. A short read spares the system call that would find the socket empty.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let outcome = match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        };
        outcome.map_ok(|()| buffer.filled().len())
    }

    /// Writes what the socket takes of `slices`.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (self, slices) {
            // `send` is cheaper than `writev` for one slice.
            (Stream::Tcp(stream), [one]) => Pin::new(stream).poll_write(cx, one),
            (Stream::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
            (Stream::Unix(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    /// Ready when there is something to read, the end included. Consumes nothing.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Whether nothing has come and the other side is still there. Costs a system call only when there was an event, and
    /// nobody is woken later.
    pub(crate) fn is_at_rest(&self) -> bool {
        let mut byte = [0];
        let outcome = match self {
            Stream::Tcp(stream) => stream.try_read(&mut byte),
            Stream::Unix(stream) => stream.try_read(&mut byte),
        };
        outcome.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the other side has closed its half, as far as the event loop knows. Costs no system call.
    pub(crate) fn is_closed_by_peer(&self) -> bool {
        let ready = |interest| match self {
            Stream::Tcp(stream) => poll_once(stream.ready(interest)),
            Stream::Unix(stream) => poll_once(stream.ready(interest)),
        };
        ready(Interest::READABLE).is_some_and(|ready| ready.is_read_closed())
    }

    /// Tells the other side that nothing more will come.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// The error of a connection that failed after it was made, if there is one.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }
}

fn poll_once<T>(future: impl Future<Output = io::Result<T>>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(outcome) => outcome.ok(),
        Poll::Pending => None,
    }
}

/// Where clients connect to.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Takes over a socket that is bound and listening. Must run inside the worker's runtime.
    pub(crate) fn new(socket: socket2::Socket) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        if socket.local_addr()?.is_unix() {
            let std = StdUnixListener::from(std::os::fd::OwnedFd::from(socket));
            return Ok(Listener::Unix(UnixListener::from_std(std)?));
        }
        Ok(Listener::Tcp(TcpListener::from_std(socket.into())?))
    }

    /// The next client and its address; `None` for one on a Unix socket.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Failing to set an option is no reason to refuse a client.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Some(address)))
            }
            Listener::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}
