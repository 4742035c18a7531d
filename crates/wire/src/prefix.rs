use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// An address with the length of its network part, as `ip address` writes it: `10.0.0.100/32`.
///
/// The host bits are kept: this is an address on an interface, not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why a text is not a [`Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParsePrefixError {
    /// The part before the slash is no IP address.
    #[error("not an IP address")]
    Address,
    /// The part after the slash is no number, or longer than the address.
    #[error("not a prefix length (0 to 32 for IPv4, 0 to 128 for IPv6)")]
    Length,
}

impl Prefix {
    /// `address/length`, or an error when `length` exceeds the address.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, ParsePrefixError> {
        if length > max_length(address) {
            return Err(ParsePrefixError::Length);
        }
        Ok(Prefix { address, length })
    }

    /// The address alone: `/32` or `/128`.
    pub fn host(address: IpAddr) -> Self {
        Prefix { address, length: max_length(address) }
    }

    /// The address without its length.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The address when it is IPv4.
    pub fn ipv4(self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    /// How many leading bits name the network.
    pub fn length(self) -> u8 {
        self.length
    }
}

fn max_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Prefix {
    type Err = ParsePrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ParsePrefixError::Address)?;
        match length {
            Some(length) => Prefix::new(address, length.parse().map_err(|_| ParsePrefixError::Length)?),
            None => Ok(Prefix::host(address)),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_is_a_host() {
        assert_eq!("10.0.0.100".parse::<Prefix>().unwrap().to_string(), "10.0.0.100/32");
        assert_eq!("fe80::1".parse::<Prefix>().unwrap().to_string(), "fe80::1/128");
    }

    #[test]
    fn a_length_beyond_the_address_is_refused() {
        assert_eq!("10.0.0.1/33".parse::<Prefix>(), Err(ParsePrefixError::Length));
        assert_eq!("10.0.0.1/".parse::<Prefix>(), Err(ParsePrefixError::Length));
        assert_eq!("eth0/24".parse::<Prefix>(), Err(ParsePrefixError::Address));
    }
}
