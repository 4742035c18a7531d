//! All that needs a capability or unsafe: rtnetlink, raw sockets, namespaces, privileges.
//!
//! Everything is plain blocking or non-blocking `std` style: no task, no runtime, no log. What happened is in the
//! return value, and an error names the operation and its object (see [`Error`]).
//!
//! | to                                   | see |
//! |--------------------------------------|-----|
//! | wait for several descriptors         | [`poll`], [`clock`], [`signal`] |
//! | read and change links and addresses  | [`netlink`] |
//! | make addresses what they should be   | [`addresses`] |
//! | ask a driver for carrier             | [`link_beat`] |
//! | the same for routes and rules        | [`routes`] |
//! | borrow settings of the network       | [`sysctl`] |
//! | keep packets from addresses           | [`vip_filter`] |
//! | speak VRRP, ARP and NDP              | [`vrrp_socket`], [`arp_socket`], [`ndp_socket`] |
//! | speak BFD                            | [`bfd_socket`] |
//! | balance connections                  | [`ipvs`], [`xdp`] |
//! | name addresses                       | [`names`] |
//! | search a text                        | [`pattern`] |
//! | give privileges away                 | [`privilege`], [`sandbox`] |
//! | hear of processes                    | [`process_events`] |
//! | give memory back                     | [`memory`] |
//! | say how processes are scheduled      | [`scheduling`] |
//! | build a network inside this machine  | [`netns`], [`machine`], [`firewall`] |

pub mod addresses;
mod ancillary;
pub mod arp_socket;
pub mod bfd_socket;
pub mod clock;
pub mod data_path;
mod error;
pub mod firewall;
pub mod ipvs;
pub mod link_beat;
pub mod machine;
pub mod memory;
pub mod names;
pub mod ndp_socket;
pub mod netlink;
pub mod netns;
mod nftables;
pub mod pattern;
pub mod poll;
pub mod privilege;
pub mod process_events;
pub mod routes;
pub mod sandbox;
pub mod scheduling;
pub mod signal;
pub mod sysctl;
pub mod vip_filter;
pub mod vrrp_socket;
pub mod xdp;

pub use error::Error;
