//! The binary under the names of the programs it stands in for: their options, their texts, their exit status.

mod detach;
pub mod genhash;
pub mod ipvsadm;
pub mod keepalived;
pub mod nginx;
mod options;

pub use detach::DETACHED;
