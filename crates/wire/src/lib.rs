//! Values that stand in packets, and time as the pure cores see it.
//!
//! Nothing here opens a socket or reads a clock.

pub mod arp;
pub mod checksum;
mod family;
mod instant;
pub mod ipv4;
mod mac;
pub mod ndp;
mod prefix;
pub mod route;
pub mod tcp;

pub use family::Family;
pub use instant::Instant;
pub use mac::Mac;
pub use prefix::{ParsePrefixError, Prefix};
