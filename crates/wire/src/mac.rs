use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv6Addr;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody on the link.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// The link-local address of an interface with this MAC (RFC 4291 appendix A, RFC 4862 5.3).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_address_is_made_of_the_mac() {
        let rows = [
            (Mac([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]), "fe80::3656:78ff:fe9a:bcde"),
            (Mac([0x02, 0, 0, 0, 0, 0x0a]), "fe80::ff:fe00:a"),
        ];
        for (mac, want) in rows {
            assert_eq!(mac.link_local().to_string(), want);
        }
    }
}
