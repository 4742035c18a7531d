//! `via dataplane`: a TCP_CHECK that takes the way of a client's packets, as Katran's checks do.
//!
//! A server that answers at its own address may still not take what the balancer sends it: the virtual address is missing
//! on its loopback, or the tunnel's other end is. So the question goes to the virtual address, by way of the server: to
//! its MAC, or in a tunnel. It is a SYN, its answer is a SYN with ACK or a RST, and a RST takes back what was begun.

use crate::readiness::Readiness;
use evenkeel_balance::ProbeResult;
use evenkeel_balance::config::{Pool, Server};
use evenkeel_balance::table::{Forward, ServiceKey, Tunnel};
use evenkeel_kernel::data_path::DataPath;
use evenkeel_wire::tcp::{Answer, Attempt, encapsulate};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

/// First of the ports that questions come from, and how many there are: those that Linux hands out too.
const PORTS: (u16, u16) = (32_768, 28_232);

/// A question that is lost is asked again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// How the packets of a check get to the virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    Ipip,
}

/// Asks once. `None` where the way of clients' packets is that of any other packet (NAT): an ordinary check does.
pub(super) async fn probe(pool: &Pool, server: &Server, limit: Duration) -> Option<ProbeResult> {
    let way = match server.forward {
        Forward::Masquerade | Forward::Local => return None,
        Forward::Direct => Way::Direct,
        Forward::Tunnel(Tunnel::Ipip) => Way::Ipip,
        Forward::Tunnel(Tunnel::Gue { .. } | Tunnel::Gre { .. }) => {
            return Some(failed("via dataplane: GUE and GRE are not spoken by checks"));
        }
    };
    let (Some(virtual_server), IpAddr::V4(real)) = (virtual_server(pool), server.address) else {
        return Some(failed("via dataplane: only over IPv4"));
    };
    let answered = tokio::time::timeout(limit, ask(way, virtual_server, real)).await;
    Some(match answered {
        Ok(Ok(Answer::Open)) => ProbeResult::Passed { detail: format!("{virtual_server} answers there"), says: None },
        Ok(Ok(Answer::Refused)) => failed(&format!("{virtual_server} is refused there")),
        Ok(Err(error)) => failed(&format!("{error:#}")),
        Err(_) => failed(&format!(
            "{virtual_server} does not answer there within {limit:?}: is the address on the server's loopback?"
        )),
    })
}

fn failed(reason: &str) -> ProbeResult {
    ProbeResult::Failed { reason: reason.to_owned() }
}

fn virtual_server(pool: &Pool) -> Option<SocketAddrV4> {
    pool.services.iter().find_map(|service| match service {
        ServiceKey::Address { address: IpAddr::V4(address), port, .. } => Some(SocketAddrV4::new(*address, *port)),
        ServiceKey::Address { .. } | ServiceKey::Mark { .. } => None,
    })
}

async fn ask(way: Way, virtual_server: SocketAddrV4, real: Ipv4Addr) -> anyhow::Result<Answer> {
    let source = source_towards(real)?;
    let random = crate::supervisor::seed();
    let port = PORTS.0 + (random >> 32) as u16 % PORTS.1;
    let attempt =
        Attempt { source: SocketAddrV4::new(source, port), destination: virtual_server, sequence: random as u32 };
    let path = DataPath::open(real, virtual_server, port)?;
    let readiness = Readiness::of(&path)?;
    let send = |segment: &_| match way {
        Way::Direct => path.send(segment),
        Way::Ipip => path.send(&encapsulate(segment, source, real)),
    };
    loop {
        send(&attempt.syn())?;
        let Ok(answer) = tokio::time::timeout(AGAIN, answer(&path, &readiness, &attempt)).await else { continue };
        let answer = answer?;
        if answer == Answer::Open {
            send(&attempt.reset())?;
        }
        return Ok(answer);
    }
}

async fn answer(path: &DataPath, readiness: &Readiness, attempt: &Attempt) -> anyhow::Result<Answer> {
    let mut buffer = [0; 128];
    loop {
        readiness.readable().await?;
        while let Some(length) = path.receive(&mut buffer)? {
            if let Some(answer) = attempt.answer(&buffer[..length]) {
                return Ok(answer);
            }
        }
        readiness.drained();
    }
}

/// The address that this host speaks to the server from.
fn source_towards(real: Ipv4Addr) -> std::io::Result<Ipv4Addr> {
    // Connecting a datagram socket sends nothing.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((real, 9))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(std::io::ErrorKind::AddrNotAvailable.into()),
    }
}
