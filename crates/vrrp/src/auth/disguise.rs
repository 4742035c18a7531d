//! Recordings without secrets that can be replayed all the same: each secret becomes a stand-in, and each packet that
//! was well signed with the secret is signed anew with the stand-in. What was not stays as it is, and is refused again.

use super::{header, trailer};
use crate::config::{Authentication, Config, Instance, Key, Password, Secret};
use crate::packet::{Datagram, Received};
use std::borrow::Cow;
use trailer::{Covered, LENGTH};

/// The configuration with stand-ins. The password in clear of version 2 stands in every packet, and stays.
pub fn config(config: &Config) -> Config {
    let mut disguised = config.clone();
    for instance in &mut disguised.instances {
        instance.authentication = authentication(&instance.authentication);
    }
    disguised
}

/// The bytes of a packet as an [`Event`](crate::Event) has them, for a router of the disguised configuration.
pub fn packet<'a>(config: &Config, datagram: Datagram<'a>) -> Cow<'a, [u8]> {
    let bytes = match datagram {
        Datagram::V4(packet) => packet,
        Datagram::V6 { message, .. } => message,
    };
    let Some(received) = datagram.open() else { return Cow::Borrowed(bytes) };
    let candidates = config.instances.iter().filter(|instance| Some(instance.vrid) == received.vrid());
    match candidates.filter_map(|instance| resigned(instance, &received, bytes)).next() {
        Some(resigned) => Cow::Owned(resigned),
        None => Cow::Borrowed(bytes),
    }
}

fn authentication(authentication: &Authentication) -> Authentication {
    match authentication {
        Authentication::None | Authentication::Password(_) => authentication.clone(),
        Authentication::Header(_) => Authentication::Header(STAND_IN),
        Authentication::Hmac(hmac) => {
            let mut hmac = hmac.clone();
            hmac.keys = hmac.keys.iter().map(stand_in).collect();
            Authentication::Hmac(hmac)
        }
    }
}

const STAND_IN: Password = Password(*b"standin\0");

fn stand_in(key: &Key) -> Key {
    let bytes = vec![key.id.get(); Secret::SHORTEST];
    Key { id: key.id, secret: Secret::new(bytes).expect("it is as long as the shortest one") }
}

/// The packet signed with the stand-in; `None` when it was not signed with a secret of this instance.
fn resigned(instance: &Instance, received: &Received, bytes: &[u8]) -> Option<Vec<u8>> {
    match &instance.authentication {
        Authentication::None | Authentication::Password(_) => None,
        Authentication::Hmac(hmac) => {
            let (message, trailer) = received.message.split_last_chunk::<LENGTH>()?;
            let covered = Covered { source: received.source, version: instance.version, vrid: instance.vrid, message };
            let key = hmac.key(trailer[1])?;
            let sequence = trailer::sequence(trailer);
            if trailer::build(key, sequence, &covered) != *trailer {
                return None;
            }
            let mut resigned = bytes[..bytes.len() - LENGTH].to_vec();
            resigned.extend_from_slice(&trailer::build(&stand_in(key), sequence, &covered));
            Some(resigned)
        }
        Authentication::Header(password) => {
            let packet = received.protected?;
            let header_length = received.header.len();
            let mut any = header::Counter::default();
            header::verify(packet, header_length, *password, &mut any).ok()?;
            let mut resigned = packet.to_vec();
            header::sign(&mut resigned, header_length, STAND_IN);
            Some(resigned)
        }
    }
}
