//! Sockets as a check's target wants them: source, port, interface and mark.

use super::with_scratch;
use evenkeel_balance::config::Target;
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::Interest;
use tokio::net::{TcpSocket, UdpSocket};

/// Whom a target names.
pub(super) fn address(target: &Target) -> SocketAddr {
    SocketAddr::new(target.address, target.port)
}

/// A TCP socket that can be connected to the target. The reason names what failed.
pub(super) fn tcp(target: &Target) -> Result<TcpSocket, String> {
    let created = match target.address {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = created.map_err(|error| format!("create socket: {}", text(&error)))?;
    prepare(SockRef::from(&socket), target)?;
    Ok(socket)
}

/// A socket for datagrams, connected to the target, so that the kernel keeps others' datagrams away and tells of ICMP errors.
pub(super) fn datagrams(target: &Target, kind: Type, protocol: Option<Protocol>) -> Result<UdpSocket, Unopened> {
    let domain = Domain::for_address(address(target));
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), protocol).map_err(Unopened::NotCreated)?;
    prepare(SockRef::from(&socket), target).map_err(Unopened::Failed)?;
    // ICMP has no ports; the kernel refuses some and ignores others.
    let peer = if protocol.is_some() { SocketAddr::new(target.address, 0) } else { address(target) };
    socket.connect(&SockAddr::from(peer)).map_err(|error| Unopened::Failed(text(&error)))?;
    UdpSocket::from_std(socket.into()).map_err(|error| Unopened::Failed(format!("watch socket: {}", text(&error))))
}

/// Waits for a datagram and lends it to `read`, or for the error that an ICMP message is to a connected socket.
///
/// Such an error makes a socket neither readable nor writable to epoll, so that tokio's own `recv` sleeps through it.
pub(super) async fn receive<T>(socket: &UdpSocket, read: impl Fn(&[u8]) -> T) -> io::Result<T> {
    loop {
        let ready = socket.ready(Interest::READABLE.add(Interest::ERROR)).await?;
        // One of the two: for both at once `try_io` sees no readiness, and says so without asking the kernel.
        let interest = if ready.is_error() { Interest::ERROR } else { Interest::READABLE };
        let received = socket.try_io(interest, || {
            with_scratch(|buffer| {
                let (length, _) = rustix::net::recv(socket, &mut *buffer, RecvFlags::empty())?;
                Ok(read(&buffer[..length]))
            })
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

/// Why there is no socket.
pub(super) enum Unopened {
    /// The kernel gives none of this kind to this process.
    NotCreated(io::Error),
    /// It exists, but not as the target wants it.
    Failed(String),
}

impl Unopened {
    pub(super) fn reason(self) -> String {
        match self {
            Unopened::NotCreated(error) => format!("create socket: {}", text(&error)),
            Unopened::Failed(reason) => reason,
        }
    }
}

fn prepare(socket: SockRef<'_>, target: &Target) -> Result<(), String> {
    if let Some(interface) = &target.interface {
        socket
            .bind_device(Some(interface.as_bytes()))
            .map_err(|error| format!("bind to interface {interface}: {}", text(&error)))?;
    }
    if let Some(mark) = target.mark {
        socket.set_mark(mark.get()).map_err(|error| format!("set mark {mark}: {}", text(&error)))?;
    }
    if target.source.is_none() && target.source_port.is_none() {
        return Ok(());
    }
    let any = match target.address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let source = SocketAddr::new(target.source.unwrap_or(any), target.source_port.unwrap_or(0));
    if target.source_port.is_some() {
        // The port is in TIME_WAIT when the last probe was just now.
        socket.set_reuse_address(true).map_err(|error| format!("reuse port: {}", text(&error)))?;
    }
    socket.bind(&SockAddr::from(source)).map_err(|error| format!("bind to {source}: {}", text(&error)))
}

/// An error as people grep for it: `connection refused`, without a number.
pub(super) fn text(error: &io::Error) -> String {
    match error.kind() {
        // Also the kernel's own giving up, where a check's timeout is longer.
        io::ErrorKind::TimedOut => return "connection timeout".to_owned(),
        io::ErrorKind::NetworkUnreachable => return "network unreachable".to_owned(),
        _ => {}
    }
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut letters = text.chars();
    // `Connection refused` in the middle of a sentence.
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
