//! What a node says of itself.
//!
//! As bytes these are fields with a tag (2 bytes) and a length (4 bytes); in a field of several values there are such
//! fields again. A reader skips tags that it does not know.

use crate::packet::Digest;
use crate::tlv::{Lengths, Malformed, Reader, push};
use crate::words::{Asked, Stamp, Word};
use evenkeel_wire::Prefix;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The longest facts, as bytes: some forty thousand virtual addresses. A node with more leaves their lists out.
pub const MAX_LENGTH: usize = 1 << 20;

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `router_id`, or the host name.
    pub node: String,
    /// Version of evenkeel.
    pub version: String,
    /// Digests of those parts of the configuration that should agree, by their names.
    pub parts: Vec<(String, [u8; 16])>,
    /// Its virtual routers.
    pub routers: Vec<Router>,
    /// Its proxy; `None` without one.
    pub proxy: Option<Proxy>,
    /// Its virtual servers.
    pub pools: Vec<Pool>,
    /// It is in maintenance.
    pub maintenance: Option<Maintenance>,
    /// What people asked of real servers.
    pub words: Vec<Word>,
    /// There are more virtual addresses than a node may list: none is.
    pub without_addresses: bool,
}

/// A virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
    /// Its name there.
    pub name: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Whether it is one of IPv6.
    pub is_ipv6: bool,
    /// VRRP version.
    pub version: u8,
    /// From advert to advert.
    pub interval: Duration,
    /// Every address that moves with it.
    pub addresses: Vec<Prefix>,
    /// How it is.
    pub state: RouterState,
    /// Its priority now.
    pub priority: u8,
}

/// How a virtual router is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouterState {
    /// The node does not know, or has a word that this version has not.
    #[default]
    Unknown,
    /// Not started.
    Init,
    /// Listening for a master.
    Backup,
    /// Answering for the addresses.
    Master,
    /// Handing over.
    Leaving,
    /// Something it depends on has failed.
    Fault,
    /// Shut down.
    Stopped,
}

impl RouterState {
    const ALL: [RouterState; 7] = [
        RouterState::Unknown,
        RouterState::Init,
        RouterState::Backup,
        RouterState::Master,
        RouterState::Leaving,
        RouterState::Fault,
        RouterState::Stopped,
    ];

    fn number(self) -> u8 {
        RouterState::ALL.iter().position(|state| *state == self).unwrap_or_default() as u8
    }

    fn of(number: u8) -> Self {
        RouterState::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }
}

impl Router {
    /// What tells it from others on both nodes: `VI_1 (vrid 51, IPv4)`.
    pub fn title(&self) -> String {
        let family = if self.is_ipv6 { "IPv6" } else { "IPv4" };
        format!("{} (vrid {}, {family})", self.name, self.vrid)
    }
}

/// The proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// It serves.
    pub healthy: bool,
    /// Why, in words.
    pub reason: String,
}

/// A virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// As keepalived's log spells it.
    pub name: String,
    /// Enough servers are up.
    pub quorum: bool,
    /// Servers that are up.
    pub up: u32,
    /// Servers.
    pub servers: u32,
}

/// A node that leaves the addresses to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Milliseconds since 1970 at its end; `None` for one that somebody has to end.
    pub until_ms: Option<u64>,
    /// Not even when nobody else answers does the node take an address.
    pub strict: bool,
}

impl fmt::Display for Maintenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.strict { "in maintenance, strictly" } else { "in maintenance" })
    }
}

impl Facts {
    /// As bytes: the same ones for the same facts. Lists of addresses are left out when all would be too long.
    pub fn build(&self) -> Vec<u8> {
        let whole = self.build_with(!self.without_addresses);
        if whole.len() <= MAX_LENGTH { whole } else { self.build_with(false) }
    }

    /// Those that bytes say.
    ///
    /// # Errors
    /// When a field is cut off, or its value is none of its kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut facts = Facts::default();
        let mut reader = Reader(bytes);
        while let Some((tag, mut field)) = reader.field(Lengths::Long)? {
            match tag {
                1 => facts.node = field.text()?,
                2 => facts.version = field.text()?,
                3 => {
                    let digest = field.array()?;
                    facts.parts.push((field.text()?, digest));
                }
                4 => facts.routers.push(Router::parse(field)?),
                5 => facts.proxy = Some(Proxy { healthy: field.u8()? != 0, reason: field.text()? }),
                6 => {
                    let (quorum, up, servers) = (field.u8()? != 0, field.u32()?, field.u32()?);
                    facts.pools.push(Pool { name: field.text()?, quorum, up, servers });
                }
                7 => {
                    let (strict, until_ms) = (field.u8()? != 0, field.u64()?);
                    facts.maintenance = Some(Maintenance { until_ms: (until_ms != 0).then_some(until_ms), strict });
                }
                8 => facts.words.extend(parse_word(field)?),
                9 => facts.without_addresses = true,
                // Of a later version.
                _ => {}
            }
        }
        if facts.without_addresses {
            // Some are not all.
            facts.routers.iter_mut().for_each(|router| router.addresses.clear());
        }
        Ok(facts)
    }

    fn build_with(&self, addresses: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |tag, write: &dyn Fn(&mut Vec<u8>)| push(&mut out, Lengths::Long, tag, write);
        put(1, &|out| out.extend(self.node.as_bytes()));
        put(2, &|out| out.extend(self.version.as_bytes()));
        for (name, digest) in &self.parts {
            put(3, &|out| {
                out.extend(digest);
                out.extend(name.as_bytes());
            });
        }
        for router in &self.routers {
            put(4, &|out| router.build(out, addresses));
        }
        if let Some(proxy) = &self.proxy {
            put(5, &|out| {
                out.push(proxy.healthy.into());
                out.extend(proxy.reason.as_bytes());
            });
        }
        for pool in &self.pools {
            put(6, &|out| {
                out.push(pool.quorum.into());
                out.extend(pool.up.to_be_bytes());
                out.extend(pool.servers.to_be_bytes());
                out.extend(pool.name.as_bytes());
            });
        }
        if let Some(maintenance) = &self.maintenance {
            put(7, &|out| {
                out.push(maintenance.strict.into());
                out.extend(maintenance.until_ms.unwrap_or(0).to_be_bytes());
            });
        }
        for word in &self.words {
            put(8, &|out| build_word(word, out));
        }
        if !addresses {
            put(9, &|_| {});
        }
        out
    }

    /// The digest of [`Facts::build`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.build())
    }
}

impl Router {
    fn build(&self, out: &mut Vec<u8>, addresses: bool) {
        let mut put = |tag, write: &dyn Fn(&mut Vec<u8>)| push(out, Lengths::Long, tag, write);
        put(1, &|out| out.extend(self.name.as_bytes()));
        put(2, &|out| out.extend([self.vrid, self.is_ipv6.into(), self.version]));
        let millis = u32::try_from(self.interval.as_millis()).unwrap_or(u32::MAX);
        put(3, &|out| out.extend(millis.to_be_bytes()));
        put(4, &|out| out.extend([self.state.number(), self.priority]));
        for address in self.addresses.iter().filter(|_| addresses) {
            put(5, &|out| {
                out.push(address.length());
                match address.address() {
                    IpAddr::V4(address) => out.extend(address.octets()),
                    IpAddr::V6(address) => out.extend(address.octets()),
                }
            });
        }
    }

    fn parse(mut reader: Reader) -> Result<Self, Malformed> {
        let mut router = Router {
            name: String::new(),
            vrid: 0,
            is_ipv6: false,
            version: 0,
            interval: Duration::ZERO,
            addresses: Vec::new(),
            state: RouterState::Unknown,
            priority: 0,
        };
        while let Some((tag, mut field)) = reader.field(Lengths::Long)? {
            match tag {
                1 => router.name = field.text()?,
                2 => (router.vrid, router.is_ipv6, router.version) = (field.u8()?, field.u8()? != 0, field.u8()?),
                3 => router.interval = Duration::from_millis(field.u32()?.into()),
                4 => (router.state, router.priority) = (RouterState::of(field.u8()?), field.u8()?),
                5 => {
                    let length = field.u8()?;
                    let address = match field.0.len() {
                        4 => IpAddr::from(field.array::<4>()?),
                        _ => IpAddr::from(field.array::<16>()?),
                    };
                    router.addresses.push(Prefix::new(address, length).map_err(|_| Malformed)?);
                }
                _ => {}
            }
        }
        Ok(router)
    }
}

fn build_word(word: &Word, out: &mut Vec<u8>) {
    let (kind, weight) = match word.asked {
        Asked::Enabled => (0, 0),
        Asked::Drained => (1, 0),
        Asked::Disabled => (2, 0),
        Asked::Weight(weight) => (3, weight),
    };
    let mut put = |tag, write: &dyn Fn(&mut Vec<u8>)| push(out, Lengths::Long, tag, write);
    put(1, &|out| out.extend(word.pool.as_bytes()));
    put(2, &|out| out.extend(word.server.as_bytes()));
    put(3, &|out| {
        out.extend(word.stamp.at_ms.to_be_bytes());
        out.extend(word.stamp.node.to_be_bytes());
    });
    put(4, &|out| {
        out.push(kind);
        out.extend(u32::to_be_bytes(weight));
    });
}

/// `None` for what a later version asks of a server.
fn parse_word(mut reader: Reader) -> Result<Option<Word>, Malformed> {
    let (mut pool, mut server, mut stamp, mut asked) = (String::new(), String::new(), Stamp::default(), None);
    while let Some((tag, mut field)) = reader.field(Lengths::Long)? {
        match tag {
            1 => pool = field.text()?,
            2 => server = field.text()?,
            3 => stamp = Stamp { at_ms: field.u64()?, node: field.u64()? },
            4 => {
                asked = match (field.u8()?, field.u32()?) {
                    (0, _) => Some(Asked::Enabled),
                    (1, _) => Some(Asked::Drained),
                    (2, _) => Some(Asked::Disabled),
                    (3, weight) => Some(Asked::Weight(weight)),
                    _ => None,
                }
            }
            _ => {}
        }
    }
    Ok(asked.map(|asked| Word { pool, server, asked, stamp }))
}
