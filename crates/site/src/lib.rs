//! Layer-7 decisions as nginx makes them, without I/O: which server, which location, what answers, which upstream server.
//!
//! [`Config`] is data: the configuration language is lowered to it and it travels from the supervisor to the
//! proxy. [`Site`] is that data compiled (regular expressions, tables of names); [`Site::plan`] says what a request
//! gets, and a [`Balancer`] says from which server of an upstream.

pub mod config;
pub mod time;
pub mod uri;

mod balancer;
mod errors;
mod geo;
mod hashing;
mod locations;
mod log;
mod map;
mod names;
mod next;
mod page;
mod pass;
mod paths;
mod pattern;
mod plan;
mod script;
mod site;
mod status;
mod template;
mod variables;

pub use balancer::{Balancer, Outcome, Tried};
pub use config::Config;
pub use log::LogTemplate;
pub use next::{Failure, is_idempotent};
pub use page::{SERVER, SERVER_WITH_VERSION, error_page, reason};
pub use pass::{CompiledPass, Target};
pub use pattern::{Pattern, PatternError};
pub use plan::{Answer, Facts, Look, Plan, Request};
pub use site::{AddedHeader, CompileError, CompiledReturn, CompiledScope, CompiledServer, HeaderTemplate, Site};
pub use status::{ServerStatus, Status, UpstreamStatus};
pub use template::{Template, TemplateError, Values, Variable};
pub use variables::{RefusedPattern, Variables};
