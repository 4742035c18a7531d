//! Settings of the network under `/proc/sys/net`, borrowed: what they were is known until they are given back, by this
//! process or, when it was killed, by the next.

use crate::Error;
use crate::error::During;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Settings that were changed, with what they were.
#[derive(Debug)]
pub struct Borrowed {
    before: BTreeMap<String, String>,
    /// Where that is written down.
    notes: PathBuf,
}

impl Borrowed {
    /// Takes over what a process before this one in the same network namespace did not give back.
    pub fn resume() -> Self {
        // Namespaces share /run, and each has its own settings.
        let namespace = fs::metadata("/proc/self/ns/net").map_or(0, |namespace| namespace.ino());
        Borrowed::noted_in(PathBuf::from(format!("/run/evenkeel-sysctl.{namespace}")))
    }

    fn noted_in(notes: PathBuf) -> Self {
        let text = fs::read_to_string(&notes).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Borrowed { before: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(), notes }
    }

    /// Sets `key` (`ipv4/conf/eth0/arp_ignore`), unless it is so already. What is not there is none of ours to set: a
    /// kernel without IPv6 has no settings for it.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let path = path(key);
        let now = match fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned(),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(Error::new(format!("read net/{key}"), cause)),
        };
        if now == value {
            return Ok(());
        }
        if !self.before.contains_key(key) {
            self.before.insert(key.to_owned(), now);
            self.note();
        }
        fs::write(&path, value).during(|| format!("set net/{key} to {value}"))
    }

    /// Gives back all settings whose key `is_over`. Interfaces that are gone took theirs along.
    pub fn give_back(&mut self, is_over: impl Fn(&str) -> bool) -> Vec<Error> {
        let over: Vec<String> = self.before.keys().filter(|key| is_over(key)).cloned().collect();
        let mut errors = Vec::new();
        for key in &over {
            let Some(value) = self.before.remove(key) else { continue };
            match fs::write(path(key), &value) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    errors.push(Error::new(format!("set net/{key} back to {value}"), cause));
                }
                Ok(()) | Err(_) => {}
            }
        }
        if !over.is_empty() {
            self.note();
        }
        errors
    }

    /// What `key` was before it was borrowed, or is.
    pub fn original(&self, key: &str) -> Option<String> {
        match self.before.get(key) {
            Some(before) => Some(before.clone()),
            None => fs::read_to_string(path(key)).ok().map(|text| text.trim().to_owned()),
        }
    }

    /// Keys that are borrowed.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.before.keys().map(String::as_str)
    }

    /// Without the notes a killed process leaves its settings behind, and that is all.
    fn note(&self) {
        if self.before.is_empty() {
            let _ = fs::remove_file(&self.notes);
            return;
        }
        let lines: String = self.before.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let next = self.notes.with_extension("next");
        let _ = fs::write(&next, lines).and_then(|()| fs::rename(&next, &self.notes));
    }
}

fn path(key: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(key)
}

/// Sets a setting for good: of an interface that goes when its maker does.
pub fn set(key: &str, value: &str) -> Result<(), Error> {
    match fs::write(path(key), value) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.during(|| format!("set net/{key} to {value}")),
    }
}
