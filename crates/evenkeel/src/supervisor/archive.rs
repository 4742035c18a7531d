//! Around a reload: the file that says that the configuration is being read (`reload_file`), and the copies of what was read
//! and of the state before and after (`config_save_dir`).

use super::{Supervisor, dump};
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// There while the configuration is being read: whoever writes it waits until it is gone.
#[derive(Debug)]
pub struct Reading(Option<PathBuf>);

impl Reading {
    /// Makes the file, or empties the one that is there.
    fn begin(path: Option<PathBuf>) -> Self {
        let Some(path) = path else { return Reading(None) };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        if let Err(error) = options.open(&path) {
            tracing::warn!(target: "supervisor", "Failed to create reload file ({}): {error}", path.display());
        }
        Reading(Some(path))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            remove(path);
        }
    }
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(target: "supervisor", "remove the reload file {}: {error}", path.display()),
    }
}

impl Supervisor {
    /// From now until the result is dropped the configuration is being read.
    pub(super) fn read_begins(&self) -> Reading {
        Reading::begin(self.reload_file())
    }

    /// At the start nobody knew of the file before the configuration was read: one that is there has served.
    pub(super) fn first_read_is_over(&self) {
        if let Some(path) = self.reload_file() {
            remove(&path);
        }
    }

    pub(super) fn reload_file(&self) -> Option<PathBuf> {
        let configured = self.compiled.settings.process.reload.file.as_ref()?;
        Some(configured.clone().unwrap_or_else(|| self.plan.pid_directory.join("keepalived.reload")))
    }

    /// What was read at the start (0) or by a reload, as `keepalived.conf.PID.NUMBER`.
    pub(super) fn save_text(&self, text: &str) {
        let Some(directory) = self.save_directory() else { return };
        let path = directory.join(format!("keepalived.conf.{}.{}", std::process::id(), self.n_reloads));
        dump::store(&path, text);
    }

    /// The state of the roles before or after the reload, as `keepalived_vrrp.PID.NUMBER.pre`. Their processes were asked when
    /// this returns, and what they say is of that moment.
    pub(super) fn save_state(&mut self, when: &'static str) {
        let Some(directory) = self.save_directory() else { return };
        let number = self.n_reloads;
        let place = |role: &str, pid: u32| directory.join(format!("keepalived_{role}.{pid}.{number}.{when}"));
        let vrrp = self.vrrp.process.as_ref().map(|process| place("vrrp", process.pid));
        let checker = self.balance.process.as_ref().map(|process| place("check", process.pid));
        let dumps = self.dumps();
        tokio::spawn(async move {
            let dumps = dumps.await;
            for (path, text) in [(vrrp, dumps.vrrp), (checker, dumps.checker)] {
                if let (Some(path), Some(text)) = (path, text) {
                    dump::store(&path, &text);
                }
            }
        });
    }

    /// Made when it is not there; the folder that it is in has to be.
    fn save_directory(&self) -> Option<PathBuf> {
        let directory = self.compiled.settings.process.reload.save_directory.clone()?;
        match DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => Some(directory),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Some(directory),
            Err(error) => {
                tracing::warn!(target: "supervisor", "Unable to create config_save_dir {}: {error}", directory.display());
                None
            }
        }
    }
}
