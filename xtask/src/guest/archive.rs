//! The archive that the kernel unpacks as its first root: cpio, "newc" format (Documentation/driver-api/early-userspace/
//! buffer-format.rst of the kernel's sources).

use std::collections::BTreeSet;
use std::path::{Component, Path};

/// An archive under construction. Folders appear by themselves.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    n_entries: u32,
    paths: BTreeSet<String>,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

impl Archive {
    /// Adds a file that may be executed. What is there already stays.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.folders_of(path);
        self.entry(path, PROGRAM, (0, 0), content);
    }

    /// Adds an empty folder.
    pub(super) fn folder(&mut self, path: &str) {
        self.folders_of(path);
        self.entry(path, FOLDER, (0, 0), &[]);
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.folders_of(path);
        self.entry(path, LINK, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub(super) fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.folders_of(path);
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// Whether the path is there.
    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.contains(path.trim_start_matches('/'))
    }

    /// The finished archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn folders_of(&mut self, path: &str) {
        let Some(parent) = Path::new(path).parent() else {
            return;
        };
        let mut folder = String::new();
        for part in parent.components() {
            if let Component::Normal(part) = part {
                folder = if folder.is_empty() { String::new() } else { folder + "/" } + &part.to_string_lossy();
                self.entry(&folder.clone(), FOLDER, (0, 0), &[]);
            }
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let path = path.trim_start_matches('/');
        if !self.paths.insert(path.to_owned()) {
            return;
        }
        self.n_entries += 1;
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_length = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        // Number, mode, owner, group, links, time, length, device of the file, device that it is, length of the name, sum.
        let fields = [self.n_entries, mode, 0, 0, 1, 0, length, 0, 0, device.0, device.1, name_length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_appear_once_and_before_what_is_in_them() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", b"content");
        archive.link("/a/b/d", "c");
        assert!(archive.has("/a/b") && !archive.has("/a/e"));
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<&str> =
            text.split("070701").skip(1).filter_map(|entry| entry[104..].split('\0').next()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", "TRAILER!!!"]);
        assert_eq!(bytes.len() % 4, 0);
    }
}
