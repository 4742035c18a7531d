//! Between the supervisor, which keeps the mails that are to be sent, and the mail role, which talks to the server.

use crate::WallTime;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// From the supervisor to the mail role. Closing the bus ends the role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToMail {
    /// Try to deliver one letter, once. Answered by [`FromMail::Tried`] with the same number; until then no other one is sent.
    Deliver {
        /// Ties the answer to the question.
        number: u64,
        /// Through which server, from whom.
        relay: Relay,
        /// To whom.
        to: Vec<String>,
        /// What.
        letter: Letter,
    },
}

/// From the mail role to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromMail {
    /// Every privilege is given away.
    Ready,
    /// A letter was tried.
    Tried {
        /// The number of the question.
        number: u64,
        /// Recipients that need no further try: the server took the letter for them, or refused them for good.
        settled: Vec<String>,
        /// What did not go well, in words.
        trouble: Option<String>,
    },
}

/// A mail server, and how to introduce oneself there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Argument of HELO.
    pub helo: String,
    /// Sender.
    pub from: String,
    /// Longest wait for a connection and for each reply.
    pub timeout: Duration,
}

/// A mail without its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// When it happened.
    pub at: WallTime,
    /// Subject.
    pub subject: String,
    /// Text.
    pub body: String,
}
