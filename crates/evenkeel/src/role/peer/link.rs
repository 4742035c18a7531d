//! The socket to one peer. It is connected: the kernel hands over what comes from that peer's address and port, and nothing
//! else. What cannot be opened now (an address that is not there yet, no route) is tried again with the next datagram.

use anyhow::Context;
use evenkeel_peer::config::Peer;
use evenkeel_peer::packet::MAX_LENGTH;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A datagram of a peer.
pub(super) struct Arrived {
    pub(super) from: IpAddr,
    pub(super) bytes: Vec<u8>,
}

pub(super) struct Link {
    peer: Peer,
    open: Option<Open>,
    /// Why the last datagram was not sent.
    trouble: Option<String>,
}

struct Open {
    /// Sends without asking whether it may: a datagram that finds no room is one that is lost.
    sender: std::net::UdpSocket,
    reader: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Link {
    pub(super) fn new(peer: Peer) -> Self {
        Link { peer, open: None, trouble: None }
    }

    /// Whether this is the socket for `peer`.
    pub(super) fn leads_to(&self, peer: &Peer) -> bool {
        let place = |peer: &Peer| (peer.address, peer.port, peer.source, peer.interface.clone());
        place(&self.peer) == place(peer)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    /// Whether the datagram was sent.
    pub(super) fn send(&mut self, datagram: &[u8], arrivals: &mpsc::Sender<Arrived>) -> bool {
        let trouble = self.try_send(datagram, arrivals).err().map(|error| format!("{error:#}"));
        let name = &self.peer.name;
        match (&trouble, &self.trouble) {
            (Some(now), before) if before.as_ref() != Some(now) => {
                tracing::warn!(target: "peer", "({name}) {now}; it is tried again with every hello");
            }
            (None, Some(_)) => tracing::info!(target: "peer", "({name}) hellos go out again"),
            (Some(_), _) | (None, None) => {}
        }
        self.trouble = trouble;
        self.trouble.is_none()
    }

    fn try_send(&mut self, datagram: &[u8], arrivals: &mpsc::Sender<Arrived>) -> anyhow::Result<()> {
        let open = match &self.open {
            Some(open) => open,
            None => self.open.insert(open(&self.peer, arrivals)?),
        };
        let sent = match open.sender.send(datagram) {
            // What became of the datagram before; this one was not sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => open.sender.send(datagram),
            sent => sent,
        };
        match sent {
            Ok(_) => Ok(()),
            // Nobody listens there; that is told by silence.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error).context("no room to send"),
            Err(error) => {
                // The way there may be another one now, and with it the address that we send from.
                self.open = None;
                Err(error).with_context(|| format!("send to {}", self.peer.address))
            }
        }
    }
}

fn open(peer: &Peer, arrivals: &mpsc::Sender<Arrived>) -> anyhow::Result<Open> {
    let domain = if peer.address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let unspecified = if peer.address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = peer.source.unwrap_or(unspecified);
    let socket = Socket::new(domain, Type::DGRAM, None).context("open a socket")?;
    socket.set_nonblocking(true)?;
    // Each peer has a connected socket at the same port.
    socket.set_reuse_port(true)?;
    if let Some(interface) = &peer.interface {
        socket.bind_device(Some(interface.as_bytes())).with_context(|| format!("use the interface {interface}"))?;
    }
    let local = place(&socket, source, peer)?;
    socket.bind(&local.into()).with_context(|| format!("take the address {local}"))?;
    let remote = place(&socket, peer.address, peer)?;
    socket.connect(&remote.into()).with_context(|| format!("find the way to {remote}"))?;
    let sender = std::net::UdpSocket::from(socket);
    let receiver = UdpSocket::from_std(sender.try_clone()?)?;
    let reader = tokio::spawn(read(receiver, peer.address, arrivals.clone()));
    Ok(Open { sender, reader })
}

/// Address and port; a link-local address is one of an interface.
fn place(socket: &Socket, address: IpAddr, peer: &Peer) -> anyhow::Result<SocketAddr> {
    match (address, &peer.interface) {
        (IpAddr::V6(address), Some(interface)) if address.is_unicast_link_local() => {
            let index = rustix::net::netdevice::name_to_index(socket.as_fd(), interface)
                .with_context(|| format!("look up the interface {interface}"))?;
            Ok(SocketAddrV6::new(address, peer.port, 0, index).into())
        }
        _ => Ok(SocketAddr::new(address, peer.port)),
    }
}

async fn read(socket: UdpSocket, from: IpAddr, arrivals: mpsc::Sender<Arrived>) {
    // One byte more than there may be, so that what is longer shows.
    let mut buffer = [0; MAX_LENGTH + 1];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(n_bytes) => {
                let bytes = buffer[..n_bytes].to_vec();
                if arrivals.send(Arrived { from, bytes }).await.is_err() {
                    return;
                }
            }
            // Nobody listens there.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                tracing::debug!(target: "peer", "read from {from}: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
