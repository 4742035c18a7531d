//! The control packet (RFC 5880 section 4.1), without authentication.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
//! |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
//! +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
//! |                       My Discriminator                        |
//! |                      Your Discriminator                       |
//! |                    Desired Min TX Interval                    |   microseconds
//! |                   Required Min RX Interval                    |
//! |                 Required Min Echo RX Interval                 |
//! +---------------------------------------------------------------+
//! ```

use crate::StateName;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU8, NonZeroU32};

/// Length of a packet without authentication.
pub const LENGTH: usize = 24;

const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATED: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// What one side says. Intervals are microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why its session last went down.
    pub diagnostic: Diagnostic,
    /// State of its session.
    pub state: StateName,
    /// P: answer at once.
    pub poll: bool,
    /// F: this is such an answer.
    pub is_final: bool,
    /// C: its BFD outlives its control plane.
    pub independent: bool,
    /// D: once both are Up, it need not be sent packets.
    pub demand: bool,
    /// So many silent intervals of its mean that it is gone.
    pub multiplier: NonZeroU8,
    /// Its number for the session.
    pub my_discriminator: NonZeroU32,
    /// Our number for it, when it knows it.
    pub your_discriminator: Option<NonZeroU32>,
    /// How often it wants to send.
    pub min_tx: u32,
    /// How often it can take packets; 0: it wants none but answers.
    pub min_rx: u32,
    /// How often it can reflect echoes; 0: never.
    pub min_echo_rx: u32,
}

/// Why a session went down (RFC 5880 section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diagnostic {
    /// 0.
    #[default]
    None,
    /// 1: the peer fell silent.
    Expired,
    /// 2.
    EchoFailed,
    /// 3: the peer said so.
    NeighbourSignaled,
    /// 4.
    ForwardingReset,
    /// 5.
    PathDown,
    /// 6.
    ConcatenatedPathDown,
    /// 7.
    AdministrativelyDown,
    /// 8.
    ReverseConcatenatedPathDown,
}

impl Diagnostic {
    const ALL: [Diagnostic; 9] = [
        Diagnostic::None,
        Diagnostic::Expired,
        Diagnostic::EchoFailed,
        Diagnostic::NeighbourSignaled,
        Diagnostic::ForwardingReset,
        Diagnostic::PathDown,
        Diagnostic::ConcatenatedPathDown,
        Diagnostic::AdministrativelyDown,
        Diagnostic::ReverseConcatenatedPathDown,
    ];

    /// As keepalived's log has it.
    pub fn words(self) -> &'static str {
        match self {
            Diagnostic::None => "No Diagnostic",
            Diagnostic::Expired => "Control Detection Time Expired",
            Diagnostic::EchoFailed => "Echo Function Failed",
            Diagnostic::NeighbourSignaled => "Neighbor Signaled Session Down",
            Diagnostic::ForwardingReset => "Forwarding Plane Reset",
            Diagnostic::PathDown => "Path Down",
            Diagnostic::ConcatenatedPathDown => "Concatenated Path Down",
            Diagnostic::AdministrativelyDown => "Administratively Down",
            Diagnostic::ReverseConcatenatedPathDown => "Reverse Concatenated Path Down",
        }
    }
}

/// Why bytes are no packet for a session. Each kind is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// Fewer bytes than a packet has.
    #[error("it is too short")]
    Short,
    /// The length field is not the number of bytes: keepalived takes no less and no more (observed).
    #[error("its length field is not its length")]
    Length,
    /// Another version than 1.
    #[error("it has another version")]
    Version,
    /// A question that is an answer.
    #[error("it is poll and final at once")]
    PollAndFinal,
    /// A bit that is reserved.
    #[error("its multipoint bit is set")]
    Multipoint,
    /// No silence would ever be too long.
    #[error("its detection multiplier is 0")]
    Multiplier,
    /// A session without number.
    #[error("its discriminator is 0")]
    MyDiscriminator,
    /// Up or Init, without knowing our number.
    #[error("it does not know our discriminator in a state that needs it")]
    YourDiscriminator,
    /// A number that means nothing yet.
    #[error("its diagnostic is unknown")]
    Diagnostic,
    /// There is nothing to check it with.
    #[error("it is authenticated")]
    Authenticated,
}

impl Packet {
    /// Checks what RFC 5880 section 6.8.6 has checked before a session is chosen.
    pub fn parse(bytes: &[u8]) -> Result<Packet, Reject> {
        let Some(fixed) = bytes.first_chunk::<LENGTH>() else { return Err(Reject::Short) };
        let [first, flags, multiplier, length, ..] = *fixed;
        if usize::from(length) < LENGTH {
            return Err(Reject::Short);
        }
        if usize::from(length) != bytes.len() {
            return Err(Reject::Length);
        }
        if first >> 5 != VERSION {
            return Err(Reject::Version);
        }
        let has = |flag| flags & flag != 0;
        if has(POLL) && has(FINAL) {
            return Err(Reject::PollAndFinal);
        }
        if has(MULTIPOINT) {
            return Err(Reject::Multipoint);
        }
        let multiplier = NonZeroU8::new(multiplier).ok_or(Reject::Multiplier)?;
        let my_discriminator = NonZeroU32::new(word(fixed, 4)).ok_or(Reject::MyDiscriminator)?;
        let your_discriminator = NonZeroU32::new(word(fixed, 8));
        let state = state_of(flags >> 6);
        let knows_us = your_discriminator.is_some() || matches!(state, StateName::AdminDown | StateName::Down);
        if !knows_us {
            return Err(Reject::YourDiscriminator);
        }
        let diagnostic = Diagnostic::ALL.get(usize::from(first & 0x1f)).copied().ok_or(Reject::Diagnostic)?;
        if has(AUTHENTICATED) {
            return Err(Reject::Authenticated);
        }
        Ok(Packet {
            diagnostic,
            state,
            poll: has(POLL),
            is_final: has(FINAL),
            independent: has(CONTROL_PLANE_INDEPENDENT),
            demand: has(DEMAND),
            multiplier,
            my_discriminator,
            your_discriminator,
            min_tx: word(fixed, 12),
            min_rx: word(fixed, 16),
            min_echo_rx: word(fixed, 20),
        })
    }

    /// The bytes of it.
    pub fn build(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let bit = |set, flag| if set { flag } else { 0 };
        bytes[0] = VERSION << 5 | self.diagnostic as u8;
        bytes[1] = number_of(self.state) << 6
            | bit(self.poll, POLL)
            | bit(self.is_final, FINAL)
            | bit(self.independent, CONTROL_PLANE_INDEPENDENT)
            | bit(self.demand, DEMAND);
        bytes[2] = self.multiplier.get();
        bytes[3] = LENGTH as u8;
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator.map_or(0, NonZeroU32::get),
            self.min_tx,
            self.min_rx,
            self.min_echo_rx,
        ];
        for (slot, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

fn word(bytes: &[u8; LENGTH], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn state_of(number: u8) -> StateName {
    match number & 3 {
        0 => StateName::AdminDown,
        1 => StateName::Down,
        2 => StateName::Init,
        _ => StateName::Up,
    }
}

fn number_of(state: StateName) -> u8 {
    match state {
        StateName::AdminDown => 0,
        StateName::Down => 1,
        StateName::Init => 2,
        StateName::Up => 3,
    }
}
