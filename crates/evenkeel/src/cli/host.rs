//! What lint rules may know about this machine.

use evenkeel_conf::keepalived::{Host, ScriptFile};
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

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
            writable_element: writable_element(path),
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

/// The first element from the root that somebody other than root may write. A directory with the sticky bit is safe.
fn writable_element(path: &Path) -> Option<PathBuf> {
    let mut elements: Vec<_> = path.ancestors().collect();
    elements.reverse();
    elements.into_iter().filter(|element| !element.as_os_str().is_empty()).find_map(|element| {
        let metadata = std::fs::metadata(element).ok()?;
        let mode = metadata.permissions().mode();
        let by_others = mode & 0o022 != 0 && !(metadata.is_dir() && mode & 0o1000 != 0);
        (metadata.uid() != 0 || by_others).then(|| element.to_owned())
    })
}
