//! The mail role: gives every privilege away, then talks to the mail server. One letter, one conversation; what is to be
//! sent, and when to try again, is the supervisor's to know.

mod conversation;
mod text;

use conversation::Outcome;
use evenkeel_bus::{Channel, ChannelError, FromMail, Letter, Relay, ToMail};
use std::net::ToSocketAddrs;
use std::time::Duration;

/// As good as for ever.
const LONG: Duration = Duration::from_secs(86_400);

/// Runs until the bus closes.
pub fn run(mut bus: Channel, parent: u32) -> anyhow::Result<()> {
    super::give_all_away(parent)?;
    tell(&mut bus, &FromMail::Ready);
    loop {
        match bus.receive_blocking::<ToMail>(LONG) {
            Ok(received) => {
                let ToMail::Deliver { number, relay, to, letter } = received.message;
                let Outcome { settled, trouble } = deliver(&relay, &to, &letter);
                tell(&mut bus, &FromMail::Tried { number, settled, trouble });
            }
            Err(ChannelError::TimedOut(_)) => {}
            Err(ChannelError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn deliver(relay: &Relay, to: &[String], letter: &Letter) -> Outcome {
    let Relay { host, port, .. } = relay;
    let addresses = match (host.as_str(), *port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => return Outcome::failed(format!("look up the mail server {host}: {error}")),
    };
    let mut last = Outcome::failed(format!("the mail server {host} has no address"));
    for address in addresses {
        match conversation::open(address, relay.timeout) {
            Ok(conversation) => {
                tracing::info!(target: "mail", "Remote SMTP server [{}]:{port} connected.", address.ip());
                let outcome = conversation.deliver(relay, to, letter);
                if !outcome.settled.is_empty() && outcome.trouble.is_none() {
                    tracing::info!(target: "mail", "SMTP alert successfully sent: {}", letter.subject);
                }
                return outcome;
            }
            Err(error) => {
                last = Outcome::failed(format!("connect to SMTP server [{}]:{port}: {error}", address.ip()));
            }
        }
    }
    last
}

fn tell(bus: &mut Channel, message: &FromMail) {
    // A supervisor that is gone shows at the next read.
    if let Err(error) = bus.send_blocking(message, Duration::from_secs(1)) {
        tracing::debug!(target: "mail", "tell the supervisor: {error}");
    }
}
