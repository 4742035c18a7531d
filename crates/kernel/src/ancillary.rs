//! What an IPv6 header says, beside the packet: raw sockets neither deliver nor take the header itself (RFC 3542).

use rustix::net::SendFlags;
use socket2::Socket;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;

/// What matters of an IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header6 {
    /// Who sends it.
    pub source: Ipv6Addr,
    /// Who is to get it.
    pub destination: Ipv6Addr,
    /// Routers that it may pass, and one more.
    pub hop_limit: u8,
}

/// `IPV6_MULTICAST_ALL` (Linux 4.20): hear what other sockets of this host joined.
pub(crate) const IPV6_MULTICAST_ALL: i32 = 29;

/// `IPV6_FREEBIND` (Linux 4.15): send from addresses that are not on the interface.
pub(crate) const IPV6_FREEBIND: i32 = 78;

/// Bytes of a control message's header, and what each message is filled up to a multiple of.
const CONTROL_HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGNMENT: usize = size_of::<usize>();

/// Room for `IPV6_PKTINFO` (20 bytes) and `IPV6_HOPLIMIT` (4 bytes) with their headers.
const CONTROL: usize = 2 * CONTROL_HEADER + 32;

/// Sets numeric options of a socket of IPv6.
pub(crate) fn set_up(socket: &Socket, options: &[(i32, i32)]) -> io::Result<()> {
    for (option, value) in options {
        let length = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the value is a number of the length given, which the call only reads.
        let result = unsafe {
            libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IPV6, *option, std::ptr::from_ref(value).cast(), length)
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Sends a packet that has this header, out of the interface of this index; 0 leaves that to the routes.
pub(crate) fn send(
    socket: &Socket,
    packet: &[u8],
    header: &Header6,
    interface: u32,
    flags: SendFlags,
) -> io::Result<()> {
    let mut name = address(header.destination, interface);
    let mut control = Vec::with_capacity(CONTROL);
    let info = [&header.source.octets()[..], &interface.to_ne_bytes()].concat();
    push(&mut control, libc::IPV6_PKTINFO, &info);
    push(&mut control, libc::IPV6_HOPLIMIT, &i32::from(header.hop_limit).to_ne_bytes());
    let mut room = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
    // SAFETY: a C structure of numbers and pointers, in which zeros mean "not given".
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = std::ptr::from_mut(&mut name).cast();
    message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    message.msg_iov = &mut room;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len() as _;
    // SAFETY: name, packet and control messages have the lengths given and outlive the call, which only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags.bits() as i32) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one packet into `buffer`; its length, and what its header said.
pub(crate) fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<(usize, Header6)> {
    let mut ancillary = Ancillary::EMPTY;
    let mut room = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a C structure of numbers and pointers, in which zeros mean "not given".
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut room;
    message.msg_iovlen = 1;
    ancillary.lend(&mut message);
    // SAFETY: the room and what was lent have the lengths given, nothing else refers to them, and they outlive the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, 0) };
    let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
    ancillary.returned(&message);
    Ok((length, ancillary.header()))
}

/// Room for what the kernel says about one received packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ancillary {
    name: libc::sockaddr_in6,
    control: [u8; CONTROL],
    control_length: usize,
}

impl Ancillary {
    pub(crate) const EMPTY: Ancillary =
        Ancillary { name: address(Ipv6Addr::UNSPECIFIED, 0), control: [0; CONTROL], control_length: 0 };

    /// Points a message at this room. It must stay where it is until the message was received.
    pub(crate) fn lend(&mut self, message: &mut libc::msghdr) {
        message.msg_name = std::ptr::from_mut(&mut self.name).cast();
        message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        message.msg_control = self.control.as_mut_ptr().cast();
        message.msg_controllen = CONTROL as _;
    }

    /// Notes how much of the room was used.
    pub(crate) fn returned(&mut self, message: &libc::msghdr) {
        self.control_length = message.msg_controllen.min(CONTROL);
    }

    /// What the header said. What the kernel did not tell is all zeros.
    pub(crate) fn header(&self) -> Header6 {
        let source = Ipv6Addr::from(self.name.sin6_addr.s6_addr);
        let mut header = Header6 { source, destination: Ipv6Addr::UNSPECIFIED, hop_limit: 0 };
        let mut rest = &self.control[..self.control_length];
        while let Some((length, level, kind)) = control_header(rest) {
            let Some(data) = rest.get(CONTROL_HEADER..length) else { break };
            match (level, kind) {
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    if let Some(octets) = data.first_chunk::<16>() {
                        header.destination = Ipv6Addr::from(*octets);
                    }
                }
                (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    let number = data.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                    header.hop_limit = u8::try_from(number).unwrap_or_default();
                }
                _ => {}
            }
            rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        }
        header
    }
}

/// Length with the header, level and kind of the control message that `bytes` begin with.
fn control_header(bytes: &[u8]) -> Option<(usize, i32, i32)> {
    let (length, rest) = bytes.split_first_chunk::<{ size_of::<usize>() }>()?;
    let (level, rest) = rest.split_first_chunk::<4>()?;
    let kind = rest.first_chunk::<4>()?;
    let length = usize::from_ne_bytes(*length);
    (length >= CONTROL_HEADER).then_some((length, i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind)))
}

fn push(control: &mut Vec<u8>, kind: i32, data: &[u8]) {
    control.extend_from_slice(&(CONTROL_HEADER + data.len()).to_ne_bytes());
    control.extend_from_slice(&libc::IPPROTO_IPV6.to_ne_bytes());
    control.extend_from_slice(&kind.to_ne_bytes());
    control.extend_from_slice(data);
    control.resize(control.len().next_multiple_of(ALIGNMENT), 0);
}

const fn address(address: Ipv6Addr, interface: u32) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: address.octets() },
        // Only link-local addresses and groups need it, and only for them the kernel minds.
        sin6_scope_id: interface,
    }
}
