//! DNS_CHECK: one query over UDP, and status 0 in the answer to it.

use super::parse::dns::{Datagram, Query};
use super::{Limit, Pass, Verdict, socket};
use evenkeel_balance::config::Target;
use rustix::rand::{GetRandomFlags, getrandom};
use socket2::Type;

pub(super) async fn probe(target: &Target, query_type: u16, name: &str, limit: Limit) -> Verdict {
    let query = Query::new(random_id()?, name, query_type)?;
    let socket = socket::datagrams(target, Type::DGRAM, None).map_err(socket::Unopened::reason)?;
    match limit.of(socket.send(query.bytes())).await {
        Some(Ok(_)) => {}
        Some(Err(error)) => return Err(format!("failed to write socket: {}", socket::text(&error))),
        None => return Err(format!("write timeout to socket after {limit}")),
    }
    let mut n_strangers = 0_u32;
    loop {
        match limit.of(socket::receive(&socket, |datagram| query.judge(datagram))).await {
            Some(Ok(Datagram::Reply(0))) => return Ok(Pass::new("DNS reply without error")),
            Some(Ok(Datagram::Reply(rcode))) => {
                return Err(format!("read error occurred. (rcode = {rcode}{})", name_of(rcode)));
            }
            Some(Ok(Datagram::Stranger)) => n_strangers = n_strangers.saturating_add(1),
            Some(Err(error)) => return Err(format!("failed to read socket: {}", socket::text(&error))),
            None if n_strangers == 0 => return Err(format!("read timeout from socket after {limit}")),
            None => {
                return Err(format!(
                    "read timeout from socket after {limit}: {n_strangers} datagrams with another id or question"
                ));
            }
        }
    }
}

/// An id that nobody can guess.
fn random_id() -> Result<u16, String> {
    let mut bytes = [0; 2];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(2) => Ok(u16::from_ne_bytes(bytes)),
        Ok(_) => Err("no random number for the query's id".to_owned()),
        Err(error) => Err(format!("random number for the query's id: {error}")),
    }
}

fn name_of(rcode: u8) -> &'static str {
    match rcode {
        1 => ", FORMERR",
        2 => ", SERVFAIL",
        3 => ", NXDOMAIN",
        4 => ", NOTIMP",
        5 => ", REFUSED",
        9 => ", NOTAUTH",
        _ => "",
    }
}
