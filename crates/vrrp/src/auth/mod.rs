//! Who may speak for a virtual router: the two ways besides the plain password, which is part of the advert itself.
//!
//! [`trailer`] is keepalived's `auth_hmac`, 28 bytes behind the advert. [`header`] is the IP Authentication Header
//! between IP and the advert. [`Guard`] is what an instance remembers for both.

pub mod disguise;
pub mod header;
pub mod trailer;

use crate::config::{Authentication, Hmac, Instance, Mode, OldChecksum, UnicastPeer};
use crate::sender::Outgoing;
use evenkeel_wire::{checksum, ipv4};
use std::net::IpAddr;
use std::time::Duration;
use trailer::{Covered, Memory, Utc};

/// What an instance remembers of one advert for the next. keepalived forgets it with each reload; here it is kept, since
/// otherwise whoever recorded an advert could play it again after a reload.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    trailer: Memory,
    pub(crate) header: header::Counter,
    /// A peer was heard that has the checksum of keepalived before 1.3.7.
    pub(crate) has_old_checksum: bool,
    /// How far the clock of the last sender whose trailer was verified is from ours.
    pub(crate) skew: Duration,
    /// In maintenance an owner that is to ignore adverts listens like anybody else.
    pub(crate) heeds_all: bool,
}

impl Guard {
    /// Whether an advert with or without a trailer may be believed.
    pub(crate) fn check_trailer(
        &mut self,
        hmac: &Hmac,
        now: Utc,
        covered: &Covered,
        trailer: Option<&[u8; trailer::LENGTH]>,
        peers: &[UnicastPeer],
    ) -> Result<(), trailer::Refusal> {
        let Some(trailer) = trailer else {
            return match hmac.mode {
                Mode::Enforce => Err(trailer::Refusal::Missing),
                Mode::Permissive | Mode::ReceiveOnly => Ok(()),
            };
        };
        let peers: Vec<IpAddr> = peers.iter().map(|peer| peer.address).collect();
        self.skew = self.trailer.verify(hmac, now, covered, trailer, &peers)?;
        Ok(())
    }

    /// Makes the copies of one advert such that receivers believe them: all have one trailer, or one number. None is left
    /// where the numbers are used up.
    pub(crate) fn seal(&mut self, config: &Instance, now: Utc, copies: &mut Vec<Outgoing>) {
        let Some(first) = copies.first() else { return };
        match &config.authentication {
            Authentication::None | Authentication::Password(_) => {}
            Authentication::Hmac(hmac) => {
                let message = message(first);
                let covered = Covered { source: first.source, version: config.version, vrid: config.vrid, message };
                let Some(trailer) = self.trailer.sign(hmac, now, &covered) else { return };
                for copy in copies {
                    copy.packet.extend_from_slice(&trailer);
                    if copy.source.is_ipv4() {
                        state_length(&mut copy.packet);
                    }
                }
            }
            Authentication::Header(password) => {
                let Some(sequence) = self.header.advance() else { return copies.clear() };
                for copy in copies {
                    copy.packet = header::protect(&copy.packet, *password, sequence);
                }
            }
        }
    }

    /// Forgets what a new configuration makes pointless.
    pub(crate) fn reconfigure(&mut self, config: &Instance) {
        let peers: Vec<IpAddr> = config.peers.iter().map(|peer| peer.address).collect();
        self.trailer.keep(&peers);
        self.has_old_checksum &= config.is_unicast() && config.old_checksum == OldChecksum::Learned;
    }
}

/// The advert in a packet without Authentication Header.
fn message(outgoing: &Outgoing) -> &[u8] {
    let header = if outgoing.source.is_ipv4() { ipv4::MIN_HEADER } else { 0 };
    outgoing.packet.get(header..).unwrap_or_default()
}

/// Makes the length in an IPv4 header that of the packet, and its checksum right again.
fn state_length(packet: &mut [u8]) {
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    let Some(header) = packet.get_mut(..ipv4::MIN_HEADER) else { return };
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[10..12].fill(0);
    let sum = checksum::internet(&[header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
