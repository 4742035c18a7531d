use crate::StateName;
use crate::packet::{Diagnostic, Packet};
use evenkeel_wire::Instant;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

/// What a session is doing, with the instants that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no socket.
    AdminDown {
        /// When to ask for one again.
        retry_at: Instant,
    },
    /// The peer is not heard, or does not hear us.
    Down {
        /// When to send next; never while passive and not spoken to.
        send_at: Option<Instant>,
        /// When what the peer said last is too old to go by.
        forget_at: Option<Instant>,
    },
    /// The peer is heard.
    Init {
        /// When to send next.
        send_at: Option<Instant>,
        /// When its silence will have been too long.
        expires_at: Instant,
    },
    /// Both hear each other.
    Up {
        /// When to send next; never while the peer's demand mode is in effect.
        send_at: Option<Instant>,
        /// When its silence will have been too long.
        expires_at: Instant,
        /// Our intervals changed, and the peer has not confirmed that yet.
        polling: bool,
    },
}

impl State {
    pub(crate) fn name(self) -> StateName {
        match self {
            State::AdminDown { .. } => StateName::AdminDown,
            State::Down { .. } => StateName::Down,
            State::Init { .. } => StateName::Init,
            State::Up { .. } => StateName::Up,
        }
    }

    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            State::AdminDown { retry_at } => Some(retry_at),
            State::Down { send_at, forget_at } => earlier(send_at, forget_at),
            State::Init { send_at, expires_at } | State::Up { send_at, expires_at, .. } => {
                earlier(send_at, Some(expires_at))
            }
        }
    }

    pub(crate) fn send_at(&mut self) -> Option<&mut Option<Instant>> {
        match self {
            State::AdminDown { .. } => None,
            State::Down { send_at, .. } | State::Init { send_at, .. } | State::Up { send_at, .. } => Some(send_at),
        }
    }

    pub(crate) fn is_polling(self) -> bool {
        matches!(self, State::Up { polling: true, .. })
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// What the peer said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) discriminator: NonZeroU32,
    pub(crate) state: StateName,
    pub(crate) diagnostic: Diagnostic,
    pub(crate) demand: bool,
    pub(crate) min_tx: Duration,
    pub(crate) min_rx: Duration,
    pub(crate) multiplier: NonZeroU8,
    pub(crate) heard_at: Instant,
}

impl Remote {
    pub(crate) fn new(packet: &Packet, now: Instant) -> Self {
        Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            demand: packet.demand,
            min_tx: Duration::from_micros(packet.min_tx.into()),
            min_rx: Duration::from_micros(packet.min_rx.into()),
            multiplier: packet.multiplier,
            heard_at: now,
        }
    }
}

/// Our intervals as they are in force, which may be other ones than we want while a poll sequence runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) tx: Duration,
    pub(crate) rx: Duration,
}
