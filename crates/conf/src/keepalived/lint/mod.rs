//! Well-formed configuration that will not do what was meant.

use super::Loaded;
use crate::Diagnostic;
use std::path::Path;

/// What a lint may know about the machine. Tests answer from a table, the program from the disk and the kernel.
pub trait Host {
    /// The file a script is in; `None` when it does not exist.
    fn script(&self, path: &Path) -> Option<ScriptFile>;

    /// Whether an interface of this name exists; `None` when that is not known here.
    fn interface_exists(&self, name: &str) -> Option<bool>;

    /// Whether this machine has the address; `None` when that is not known here.
    fn has_address(&self, address: std::net::IpAddr) -> Option<bool> {
        let _ = address;
        None
    }
}

/// A script as a [`Host`] finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptFile {
    /// Some execute bit is set.
    pub executable: bool,
    /// The first path element (from the root) that somebody other than root may write.
    pub writable_element: Option<std::path::PathBuf>,
    /// The text, when it is text.
    pub text: Option<String>,
}

/// A machine nothing is known about: only what the files themselves show is reported.
pub struct NoHost;

impl Host for NoHost {
    /// Nothing is known: as if every script were in order and had no readable text.
    fn script(&self, _: &Path) -> Option<ScriptFile> {
        Some(ScriptFile { executable: true, writable_element: None, text: None })
    }

    fn interface_exists(&self, _: &str) -> Option<bool> {
        None
    }
}

/// What is likely or surely not meant, in one configuration.
pub fn lint(loaded: &Loaded, host: &dyn Host) -> Vec<Diagnostic> {
    let _ = (loaded, host);
    Vec::new()
}

/// What does not fit between the configurations of two nodes; the spans are those of `mine`.
pub fn lint_pair(mine: &Loaded, peer: &Loaded) -> Vec<Diagnostic> {
    let _ = (mine, peer);
    Vec::new()
}
