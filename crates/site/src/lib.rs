//! Layer-7 decisions as nginx makes them, without I/O: which server, which location, what answers, which upstream server.
//!
//! [`Config`] is data: the configuration language is lowered to it and it travels from the supervisor to the
//! proxy. [`Site`] is that data compiled (regular expressions, tables of names).

pub mod config;

mod status;

pub use config::Config;
pub use status::{ServerStatus, Status, UpstreamStatus};
