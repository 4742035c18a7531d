//! Names of addresses, as the system's resolver knows them.

use socket2::SockAddr;
use std::net::{IpAddr, SocketAddr};

/// Longer names do not exist (RFC 1035 section 2.3.4).
const LONGEST: usize = 1025;

/// The name of an address; `None` when nobody knows one. Asks name servers, so it may take as long as they do.
pub fn host_name(address: IpAddr) -> Option<String> {
    let address = SockAddr::from(SocketAddr::new(address, 0));
    let mut buffer = [0u8; LONGEST];
    // SAFETY: the address and the buffer live through the call, and their lengths are given; no service is asked for.
    let result = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            buffer.as_mut_ptr().cast(),
            LONGEST as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    let end = buffer.iter().position(|&byte| byte == 0)?;
    let name = std::str::from_utf8(&buffer[..end]).ok()?;
    (result == 0 && !name.is_empty()).then(|| name.to_owned())
}
