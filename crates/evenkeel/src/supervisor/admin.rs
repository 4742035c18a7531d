//! What people asked of servers: apart from the configuration, and kept in a file so that it outlives everything else.

use evenkeel_balance::AdminState;
use evenkeel_bus::Administered;
use std::path::{Path, PathBuf};

/// Words about servers, each of them in the file too.
#[derive(Debug, Default)]
pub struct Admin {
    path: Option<PathBuf>,
    words: Vec<Administered>,
}

impl Admin {
    /// Reads what was kept at `path`. A file that cannot be read or understood is told, and nothing is asked of any server.
    pub fn open(path: PathBuf) -> Self {
        let words = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::error!(target: "supervisor", "{} is not understood, and no server is drained: {error}", path.display());
                Vec::new()
            }),
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::error!(target: "supervisor", "read {}: {error}", path.display());
                }
                Vec::new()
            }
        };
        Admin { path: Some(path), words }
    }

    /// All that stands now.
    pub fn all(&self) -> Vec<Administered> {
        self.words.clone()
    }

    /// Takes a word that replaces the one before about the same server.
    ///
    /// # Errors
    /// When it cannot be kept: then it does not hold either.
    pub fn keep(&mut self, word: &Administered) -> Result<(), String> {
        let mut words = self.words.clone();
        words.retain(|old| (&old.pool, &old.server) != (&word.pool, &word.server));
        if word.state != AdminState::Enabled {
            words.push(word.clone());
        }
        if let Some(path) = &self.path {
            write(path, &words).map_err(|error| format!("write {}: {error}", path.display()))?;
        }
        self.words = words;
        Ok(())
    }
}

fn write(path: &Path, words: &[Administered]) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let text = serde_json::to_string_pretty(words)? + "\n";
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(server: &str, state: AdminState) -> Administered {
        Administered { pool: "[10.0.0.1]:tcp:80".to_owned(), server: server.to_owned(), state }
    }

    #[test]
    fn words_outlive_the_process_and_the_last_one_about_a_server_counts() {
        let directory = std::env::temp_dir().join(format!("evenkeel-admin-{}", std::process::id()));
        let path = directory.join("servers.json");
        let mut admin = Admin::open(path.clone());
        assert_eq!(admin.all(), []);
        admin.keep(&word("10.0.0.2:80", AdminState::Drained)).unwrap();
        admin.keep(&word("10.0.0.3:80", AdminState::Weight(5))).unwrap();
        admin.keep(&word("10.0.0.2:80", AdminState::Disabled)).unwrap();
        let expected = [word("10.0.0.3:80", AdminState::Weight(5)), word("10.0.0.2:80", AdminState::Disabled)];
        assert_eq!(Admin::open(path.clone()).all(), expected);
        admin.keep(&word("10.0.0.3:80", AdminState::Enabled)).unwrap();
        assert_eq!(Admin::open(path.clone()).all(), expected[1..]);
        std::fs::write(&path, "[{").unwrap();
        assert_eq!(Admin::open(path).all(), []);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
