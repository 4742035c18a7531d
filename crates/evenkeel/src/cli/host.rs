//! What lint rules may know about this machine.

use evenkeel_conf::keepalived::{Host, ScriptFile};
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Scripts longer than this are not read.
const LONGEST_SCRIPT: u64 = 1 << 20;

/// The machine that the command runs on.
pub struct ThisHost;

impl Host for ThisHost {
    fn script(&self, path: &Path) -> Option<ScriptFile> {
        let metadata = std::fs::metadata(path).ok()?;
        if !metadata.is_file() {
            return None;
        }
        let text = if metadata.len() <= LONGEST_SCRIPT { std::fs::read_to_string(path).ok() } else { None };
        Some(ScriptFile {
            executable: metadata.permissions().mode() & 0o111 != 0,
            writable_element: crate::supervisor::weakness(path).map(|weakness| weakness.element),
            text,
        })
    }

    fn interface_exists(&self, name: &str) -> Option<bool> {
        // The files may be for another machine, but a name that is here is certainly no mistake.
        Some(Path::new("/sys/class/net").join(name).exists())
    }

    fn has_address(&self, address: IpAddr) -> Option<bool> {
        Some(UdpSocket::bind((address, 0)).is_ok())
    }
}
