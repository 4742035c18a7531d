//! How the state of interfaces is found out, and when it counts.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is said about interfaces as such.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// `interface_up_down_delays`.
    pub delays: Vec<LinkDelay>,
    /// `linkbeat_interfaces`, and the interfaces of instances with `linkbeat_use_polling`.
    pub polled: Vec<Polled>,
    /// `linkbeat_use_polling` outside every block: each interface that counts for some instance.
    pub polls_all: bool,
}

/// A change of an interface counts once it has lasted for so long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDelay {
    /// Its name.
    pub interface: String,
    /// From carrier to none.
    pub down: Duration,
    /// From no carrier to one.
    pub up: Duration,
}

/// An interface whose carrier is asked for time and again, for drivers that do not tell of its changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polled {
    /// Its name.
    pub interface: String,
    /// What is tried first.
    pub beat: Beat,
}

/// A way to ask for the carrier. Where a driver does not know it, the next one is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beat {
    /// The link bit of the transceiver's status register.
    #[default]
    Mii,
    /// `ETHTOOL_GLINK`.
    Ethtool,
    /// `IFF_RUNNING`.
    Ioctl,
}
