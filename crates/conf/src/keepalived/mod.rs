//! keepalived.conf.

mod settings;

pub use settings::{CommandLine, InstanceSettings, NotifyCommands, ScriptCommand, Settings};
