use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// A pid file that goes when this goes, if it is still ours.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    pid: u32,
}

impl PidFile {
    /// Writes `pid`.
    pub fn write(path: &Path, pid: u32) -> anyhow::Result<Self> {
        if let Some(folder) = path.parent() {
            let _ = fs::create_dir_all(folder);
        }
        fs::write(path, format!("{pid}\n")).with_context(|| format!("write the pid file {}", path.display()))?;
        Ok(PidFile { path: path.to_owned(), pid })
    }

    /// Whether it is this file.
    pub fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    /// The process that a pid file names, when it is alive.
    pub fn living(path: &Path) -> Option<u32> {
        let pid = fs::read_to_string(path).ok()?.trim().parse().ok()?;
        let raw = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
        rustix::process::test_kill_process(raw).is_ok().then_some(pid)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another daemon may have replaced it meanwhile.
        if fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == self.pid.to_string()) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
