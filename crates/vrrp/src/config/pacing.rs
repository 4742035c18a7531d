//! How fast addresses are announced.

use super::{Instance, VirtualAddress};
use evenkeel_wire::Family;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The least time from one gratuitous ARP, or unsolicited neighbour advertisement, to the next: for switches that cannot take
/// in many at once. An interface on top of another one counts as that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pacing {
    /// Of each interface that no group names: `vrrp_garp_interval` and `vrrp_gna_interval`.
    pub each: Gap,
    /// `garp_group`: of several interfaces together.
    pub groups: Vec<PacedGroup>,
}

/// Interfaces that share a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacedGroup {
    /// Their names.
    pub interfaces: Vec<String>,
    /// The gap.
    pub gap: Gap,
}

/// Zero: one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Between gratuitous ARPs.
    pub arp: Duration,
    /// Between neighbour advertisements.
    pub neighbour: Duration,
}

impl Gap {
    /// Of addresses of this family.
    pub fn of(self, family: Family) -> Duration {
        match family {
            Family::V4 => self.arp,
            Family::V6 => self.neighbour,
        }
    }
}

impl Pacing {
    /// Whether nothing ever waits.
    pub fn is_none(&self) -> bool {
        let is_none = |gap: Gap| gap == Gap::default();
        is_none(self.each) && self.groups.iter().all(|group| is_none(group.gap))
    }
}

impl Instance {
    /// The interface that announcements of one of the addresses count for.
    pub fn announces_on<'a>(&'a self, address: &'a VirtualAddress) -> &'a str {
        address.device.as_deref().unwrap_or(&self.interface)
    }
}
